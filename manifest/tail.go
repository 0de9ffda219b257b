package manifest

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"runtime"
	"syscall"
)

const tailBlock = 8 << 10

// goodEnd returns the offset after the last whole line of a file of JSON Lines before anything that a crash
// may have torn. What follows was never acknowledged: a line that was cut, the NUL bytes that some file systems
// leave after a power cut, and whole lines behind a hole of such bytes, for the system may write the later
// part of a batch first. A hole further back than one batch is no crash's, nor is one before a day line, which
// is only written when all before it is durable: those are bad lines, for people to look at.
func goodEnd(r io.ReaderAt, size int64) (int64, error) {
	end, err := wholeEnd(r, size)
	if err != nil || end == 0 {
		return 0, err
	}
	last, err := lineBefore(r, end)
	if err != nil {
		return 0, err
	}
	if h, err := parseHeader(last); err == nil && h.Kind == kindDay {
		return end, nil
	}
	from := max(0, end-maxBatchBytes-maxCallLine)
	hole, err := firstNUL(r, from, end)
	if err != nil || hole < 0 {
		return end, err
	}
	feed, err := lastFeed(r, hole)
	return feed + 1, err
}

// wholeEnd returns the offset after the last whole line. One that contains a NUL, which JSON never does, is none.
func wholeEnd(r io.ReaderAt, size int64) (int64, error) {
	for end := size; ; {
		feed, err := lastFeed(r, end)
		if err != nil || feed < 0 {
			return 0, err
		}
		before, err := lastFeed(r, feed)
		if err != nil {
			return 0, err
		}
		hole, err := firstNUL(r, before+1, feed)
		if err != nil || hole < 0 {
			return feed + 1, err
		}
		end = before + 1
	}
}

// lastFeed returns the offset of the last line feed before end, -1 for none.
func lastFeed(r io.ReaderAt, end int64) (int64, error) {
	buf := make([]byte, tailBlock)
	for end > 0 {
		n := min(end, tailBlock)
		if err := readFull(r, buf[:n], end-n); err != nil {
			return 0, err
		}
		if i := bytes.LastIndexByte(buf[:n], '\n'); i >= 0 {
			return end - n + int64(i), nil
		}
		end -= n
	}
	return -1, nil
}

// firstNUL returns the offset of the first NUL byte, -1 for none.
func firstNUL(r io.ReaderAt, from, to int64) (int64, error) {
	buf := make([]byte, min(to-from, 128<<10))
	for from < to {
		n := min(to-from, int64(len(buf)))
		if err := readFull(r, buf[:n], from); err != nil {
			return 0, err
		}
		if i := bytes.IndexByte(buf[:n], 0); i >= 0 {
			return from + int64(i), nil
		}
		from += n
	}
	return -1, nil
}

// readFull is ReadAt without its licence to return io.EOF together with a full buffer.
func readFull(r io.ReaderAt, buf []byte, off int64) error {
	n, err := r.ReadAt(buf, off)
	if n == len(buf) {
		return nil
	}
	return err
}

// lastLine returns the last whole line without its line feed; nil for none, or for one over 1 MiB. It reads
// nothing before it, so that a hole there goes unseen.
func lastLine(r io.ReaderAt, size int64) ([]byte, error) {
	end, err := wholeEnd(r, size)
	if err != nil || end == 0 {
		return nil, err
	}
	return lineBefore(r, end)
}

// lineBefore returns the line that ends at an offset, without its line feed; nil for one over 1 MiB.
func lineBefore(r io.ReaderAt, end int64) ([]byte, error) {
	before, err := lastFeed(r, end-1)
	if err != nil || end-before > maxLine {
		return nil, err
	}
	line := make([]byte, end-1-(before+1))
	return line, readFull(r, line, before+1)
}

// logFile is an append-only file as the committer needs it.
type logFile interface {
	io.WriterAt
	Truncate(size int64) error
	Sync() error
	Close() error
}

// openLog opens a file of whole lines for appending and returns where to write. It makes a missing file
// and its folder; a torn tail is cut back first, and with keep saved in NAME.torn.
func openLog(root *os.Root, name string, keep bool) (*os.File, int64, error) {
	f, err := root.OpenFile(name, os.O_RDWR, 0o600)
	if errors.Is(err, fs.ErrNotExist) {
		return createLog(root, name)
	}
	if err != nil {
		return nil, 0, fmt.Errorf("open manifest file: %w", err)
	}
	size, err := cutTail(root, f, name, keep)
	if err != nil {
		_ = f.Close() // the cause is worth more
		return nil, 0, err
	}
	return f, size, nil
}

func createLog(root *os.Root, name string) (*os.File, int64, error) {
	if err := makeDir(root, path.Dir(name)); err != nil {
		return nil, 0, err
	}
	f, err := root.OpenFile(name, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return nil, 0, fmt.Errorf("create manifest file: %w", err)
	}
	// Without this a power cut may lose the name of a file whose bytes were synced.
	if err := syncDir(root, path.Dir(name)); err != nil {
		_ = f.Close() // the cause is worth more
		return nil, 0, err
	}
	return f, 0, nil
}

// repair cuts the torn tail off a file, if there is one, and makes the rest durable.
func repair(root *os.Root, name string, keep bool) error {
	f, err := root.OpenFile(name, os.O_RDWR, 0o600)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("open manifest file: %w", err)
	}
	if _, err = cutTail(root, f, name, keep); err == nil {
		err = settle(root, f, name)
	}
	return errors.Join(err, f.Close())
}

// cutAtFirstBadLine cuts a file back to the lines before the first one that is none. Where the system died with
// lines unsynced, a hole may stand in the middle; what is noted behind it may build upon what stood there.
func cutAtFirstBadLine(root *os.Root, name string) error {
	f, err := root.OpenFile(name, os.O_RDWR, 0o600)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("open manifest file: %w", err)
	}
	end, err := goodStart(f)
	if err == nil {
		err = f.Truncate(end)
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return fmt.Errorf("cut manifest file: %w", err)
	}
	return nil
}

// goodStart returns where the lines from the start on end that are JSON.
func goodStart(r io.Reader) (end int64, err error) {
	lines := bufio.NewReaderSize(r, 64<<10)
	for {
		line, err := lines.ReadBytes('\n')
		if errors.Is(err, io.EOF) || err == nil && !json.Valid(line) {
			return end, nil
		}
		if err != nil {
			return 0, err
		}
		end += int64(len(line))
	}
}

// settle makes durable what a killed run may have left in the system's memory alone: lines, the file's name,
// those of its folders. What is read from the file is built upon, and a power cut must not take it back.
func settle(root *os.Root, f *os.File, name string) error {
	if err := f.Sync(); err != nil {
		return fmt.Errorf("sync manifest file: %w", err)
	}
	for dir := name; dir != "."; {
		dir = path.Dir(dir)
		if err := syncDir(root, dir); err != nil {
			return err
		}
	}
	return nil
}

// cutTail cuts f back to its last whole line and returns its size then.
func cutTail(root *os.Root, f *os.File, name string, keep bool) (int64, error) {
	info, err := f.Stat()
	if err != nil {
		return 0, fmt.Errorf("look at manifest file: %w", err)
	}
	end, err := goodEnd(f, info.Size())
	if err != nil {
		return 0, fmt.Errorf("find last line: %w", err)
	}
	if end == info.Size() {
		return end, nil
	}
	if keep {
		if err := saveTorn(root, name+".torn", io.NewSectionReader(f, end, info.Size()-end)); err != nil {
			return 0, err
		}
	}
	if err := f.Truncate(end); err != nil {
		return 0, fmt.Errorf("cut torn line: %w", err)
	}
	if err := f.Sync(); err != nil {
		return 0, fmt.Errorf("sync manifest file: %w", err)
	}
	return end, nil
}

// saveTorn appends what is about to be cut off to a file beside it and ends it with a line feed.
func saveTorn(root *os.Root, name string, tail io.Reader) error {
	out, err := root.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return fmt.Errorf("save torn line: %w", err)
	}
	_, err = io.Copy(out, io.MultiReader(tail, bytes.NewReader([]byte("\n"))))
	if err == nil {
		err = out.Sync()
	}
	if err = errors.Join(err, out.Close()); err != nil {
		return fmt.Errorf("save torn line: %w", err)
	}
	return syncDir(root, path.Dir(name))
}

// makeDir makes a folder below root, 0700, durable with its parents.
func makeDir(root *os.Root, name string) error {
	if info, err := root.Stat(name); err == nil && info.IsDir() {
		return nil
	}
	if err := root.MkdirAll(name, 0o700); err != nil {
		return fmt.Errorf("make manifest folder: %w", err)
	}
	for dir := path.Dir(name); ; dir = path.Dir(dir) {
		if err := syncDir(root, dir); err != nil {
			return err
		}
		if dir == "." {
			return nil
		}
	}
}

// syncDir makes the names in a folder durable. Windows has no such call, and some network file systems
// refuse it; both keep their names by other means.
func syncDir(root *os.Root, name string) error {
	if runtime.GOOS == "windows" {
		return nil
	}
	d, err := root.Open(name)
	if err != nil {
		return fmt.Errorf("open manifest folder: %w", err)
	}
	err = d.Sync()
	if errors.Is(err, syscall.EINVAL) || errors.Is(err, errors.ErrUnsupported) {
		err = nil
	}
	if err = errors.Join(err, d.Close()); err != nil {
		return fmt.Errorf("sync manifest folder: %w", err)
	}
	return nil
}
