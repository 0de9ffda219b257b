// Reads and replaces the file of --metrics-file.

package metrics

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// Kept is the data that a run keeps from the file of the previous one.
type Kept struct {
	LastSuccess, LastFinished    time.Time
	OldestWaiting, PurgeDeadline time.Time
	Counters
}

const (
	maxFileBytes = 1 << 20
	// fileMode lets node_exporter read the file, which runs as another user.
	fileMode = 0o644
)

// CheckFile reports why a file of this path would never be read by node_exporter, or is not possible.
func CheckFile(path string) error {
	if filepath.Ext(path) != ".prom" {
		return errors.New("the name does not end in .prom")
	}
	info, err := os.Stat(filepath.Dir(path))
	if err != nil || !info.IsDir() {
		return errors.New("its folder does not exist")
	}
	if info, err := os.Stat(path); err == nil && !info.Mode().IsRegular() {
		return errors.New("it is not a regular file")
	}
	return nil
}

// NameOf returns the name that distinguishes a file's metrics from those of other files in its
// folder.
func NameOf(path string) string { return strings.TrimSuffix(filepath.Base(path), ".prom") }

// ReadKept reads a file that an earlier run wrote. Without a file, nothing is kept.
func ReadKept(path string) (Kept, error) {
	file, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return Kept{}, nil
	}
	if err != nil {
		return Kept{}, fmt.Errorf("read metrics: %w", err)
	}
	defer file.Close() // read only: closing cannot lose data
	text, err := io.ReadAll(io.LimitReader(file, maxFileBytes))
	if err != nil {
		return Kept{}, fmt.Errorf("read metrics: %w", err)
	}
	return parseKept(string(text), NameOf(path)), nil
}

// parseKept skips invalid lines, because the file is derived data and will be rewritten.
func parseKept(text, name string) Kept {
	values := map[string]float64{}
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		i := strings.LastIndexByte(line, ' ')
		if i < 0 || strings.HasPrefix(line, "#") {
			continue
		}
		if value, err := strconv.ParseFloat(line[i+1:], 64); err == nil && value > 0 && value < 1<<53 {
			values[line[:i]] = value
		}
	}
	own := label("archive", name)
	number := func(name string, labels ...string) float64 {
		return values[series(name, append([]string{own}, labels...)...)]
	}
	at := func(name string) time.Time {
		if seconds := number(name); seconds > 0 {
			return time.Unix(int64(seconds), 0)
		}
		return time.Time{}
	}
	return Kept{
		LastSuccess: at("last_success_timestamp_seconds"), LastFinished: at("last_finished_timestamp_seconds"),
		OldestWaiting: at("oldest_waiting_timestamp_seconds"), PurgeDeadline: at("purge_deadline_timestamp_seconds"),
		Counters: Counters{
			APIRequests: number("requests_total", label("host_kind", "api")), MediaRequests: number("requests_total", label("host_kind", "media")),
			Refusals: number("refusals_total"), Bytes: number("bytes_stored_total"),
		},
	}
}

// WriteFile atomically replaces the file with the text. The temporary file is in the same folder
// under a name that node_exporter ignores.
func WriteFile(path, text string) (err error) {
	file, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+".*.tmp")
	if err != nil {
		return fmt.Errorf("write metrics: %w", err)
	}
	defer func() {
		if err != nil {
			_ = os.Remove(file.Name())
			err = fmt.Errorf("write metrics: %w", err)
		}
	}()
	_, err = file.WriteString(text)
	// Values kept over failures must also survive a power failure.
	err = cmp.Or(err, file.Chmod(fileMode), file.Sync())
	if closeErr := file.Close(); err == nil {
		err = closeErr
	}
	if err != nil {
		return err
	}
	return os.Rename(file.Name(), path)
}
