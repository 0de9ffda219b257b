// Locates the state folder, and stores the learned rates in it.

package cli

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"math"
	"os"
	"path/filepath"

	"convoso-archiver/fetcher"
)

// stateDir returns the folder for state between runs outside of the archive: learned rates and, for
// S3, temporary files.
func stateDir(goos string, env environment) (string, error) {
	var base string
	switch goos {
	case "windows":
		base = env["LOCALAPPDATA"]
	case "darwin", "ios":
		if home := homeFolder(goos, env); home != "" {
			base = filepath.Join(home, "Library", "Application Support")
		}
	default:
		base = env["XDG_STATE_HOME"]
		if !filepath.IsAbs(base) { // the XDG specification says to ignore a relative path
			base = ""
		}
		if home := homeFolder(goos, env); base == "" && home != "" {
			base = filepath.Join(home, ".local", "state")
		}
	}
	if base == "" || !filepath.IsAbs(base) {
		return "", misuse("give --state-dir", "find the state folder: this user has no home folder")
	}
	return filepath.Join(base, program), nil
}

// openStateDir creates the folder, and checks that it is writable: otherwise the first large
// recording would fail, maybe hours later.
func openStateDir(dir string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return misuse("give another --state-dir", "make the state folder: %v", err)
	}
	probe, err := os.CreateTemp(dir, ".probe-*")
	if err != nil {
		return misuse("give another --state-dir", "write to the state folder: %v", err)
	}
	err = errors.Join(probe.Close(), os.Remove(probe.Name()))
	if err != nil {
		return misuse("give another --state-dir", "write to the state folder: %v", err)
	}
	return nil
}

// destinationState is the folder of one S3 destination under the state folder, so
// that two destinations never share temporary files.
func destinationState(dir, endpoint, bucket, prefix string) string {
	sum := sha256.Sum256([]byte(endpoint + "\n" + bucket + "\n" + prefix))
	return filepath.Join(dir, "s3-"+hex.EncodeToString(sum[:8]))
}

const (
	ratesFile     = "rates.json"
	maxRatesBytes = 1 << 20
	maxRates      = 64 // hosts remembered
)

type ratesDocument struct {
	V     int           `json:"v"`
	Rates fetcher.Rates `json:"rates"` // request starts a second
}

// loadRates reads the rates that earlier runs learned. Without a readable file, the run starts
// slowly.
func loadRates(dir string, logger *slog.Logger) fetcher.Rates {
	data, err := readSmallFile(context.Background(), filepath.Join(dir, ratesFile), maxRatesBytes)
	if err != nil {
		if !errors.Is(err, fs.ErrNotExist) {
			logger.Warn("the learned rates cannot be read; starting slowly", "err", err)
		}
		return fetcher.Rates{}
	}
	var document ratesDocument
	if err := json.Unmarshal(data, &document); err != nil || document.V != 1 {
		logger.Warn("the learned rates are damaged; starting slowly", "file", ratesFile)
		return fetcher.Rates{}
	}
	rates := fetcher.Rates{}
	for key, rate := range document.Rates {
		if rate > 0 && !math.IsInf(rate, 0) {
			rates[key] = rate
		}
	}
	return rates
}

// saveRates saves the rates that this run learned, and keeps the others. The file is replaced
// atomically, so a concurrent reader sees either version.
func saveRates(dir string, before, learned fetcher.Rates) error {
	if len(learned) == 0 {
		return nil
	}
	kept := fetcher.Rates{}
	for key, rate := range learned {
		kept[key] = rate
	}
	for key, rate := range before {
		if _, ok := kept[key]; !ok && len(kept) < maxRates {
			kept[key] = rate
		}
	}
	data, err := json.MarshalIndent(ratesDocument{V: 1, Rates: kept}, "", "  ")
	if err != nil {
		return fmt.Errorf("encode learned rates: %w", err)
	}
	return replaceFile(filepath.Join(dir, ratesFile), append(data, '\n'))
}

func replaceFile(path string, data []byte) error {
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+"-*") // mode 0600
	if err != nil {
		return fmt.Errorf("replace file: %w", err)
	}
	_, err = f.Write(data)
	err = errors.Join(err, f.Close())
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		return errors.Join(fmt.Errorf("replace file: %w", err), os.Remove(f.Name()))
	}
	return nil
}
