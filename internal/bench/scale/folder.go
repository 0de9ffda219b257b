package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"sync/atomic"
	"time"

	"convoso-archiver/manifest"
)

// wholeMark is a file beside the archive that stands only while the archive is as it was made, so that
// one left half made, or half changed by a benchmark that was killed, is made anew.
const wholeMark = "whole"

// folder is an archive on disk: its ledger alone, for nothing measured here looks at a recording.
type folder struct {
	shape
	base  string // holds the archive and the mark
	bytes int64  // of the days' files; set by warm
}

// openFolder makes the archive below dir, or finds it there from an earlier time.
func openFolder(dir string, s shape) (*folder, error) {
	f := &folder{shape: s, base: filepath.Join(dir, fmt.Sprintf("%d-days-of-%d", s.days, s.perDay))}
	_, err := os.Stat(filepath.Join(f.base, wholeMark))
	if err == nil {
		return f, nil
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("look for archive: %w", err)
	}
	if err := f.make(); err != nil {
		return nil, fmt.Errorf("make archive: %w", err)
	}
	return f, f.mark()
}

func (f *folder) flags() []string        { return []string{"--dest", f.dest()} }
func (f *folder) env() []string          { return nil }
func (f *folder) facts() facts           { return facts{f.shape, "disk", f.bytes} }
func (f *folder) dest() string           { return filepath.Join(f.base, "archive") }
func (f *folder) file(day string) string { return filepath.Join(f.dest(), "manifest", day+".jsonl") }

func (f *folder) make() error {
	if err := os.RemoveAll(f.base); err != nil {
		return err
	}
	for _, tree := range []string{"manifest", "calls"} {
		if err := os.MkdirAll(filepath.Join(f.dest(), tree), 0o700); err != nil {
			return err
		}
	}
	return f.each(func(i int) error {
		d, err := f.makeDay(i)
		if err != nil {
			return err
		}
		closing, err := d.closingLine()
		if err != nil {
			return err
		}
		if err := os.WriteFile(f.file(d.day), append(d.lines, closing...), 0o600); err != nil {
			return err
		}
		// Call rows are not read here. That their files are there is, in listing the days.
		return os.WriteFile(filepath.Join(f.dest(), "calls", d.day+".jsonl"), nil, 0o600)
	})
}

func (f *folder) mark() error {
	return os.WriteFile(filepath.Join(f.base, wholeMark), nil, 0o600)
}

func (f *folder) unmark() error {
	return os.Remove(filepath.Join(f.base, wholeMark))
}

// belongTo makes the archive one of the account at apiURL.
func (f *folder) belongTo(ctx context.Context, apiURL string) error {
	root, err := os.OpenRoot(f.dest())
	if err != nil {
		return err
	}
	defer root.Close() // nothing is written through it after SaveArchive
	if err := root.Remove("manifest/archive.json"); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	ledger, err := manifest.OpenDir(root, manifest.Options{})
	if err != nil {
		return err
	}
	err = ledger.SaveArchive(ctx, manifest.Archive{APIURL: apiURL, TimeZone: zone, AccountID: accountID})
	return errors.Join(err, ledger.Close(ctx))
}

// prove reads a few days through package manifest.
func (f *folder) prove(ctx context.Context) error {
	root, err := os.OpenRoot(f.dest())
	if err != nil {
		return err
	}
	defer root.Close() // only read from
	ledger, err := manifest.OpenDir(root, manifest.Options{ReadOnly: true})
	if err != nil {
		return err
	}
	return errors.Join(f.proveDays(ctx, ledger), ledger.Close(ctx))
}

// reopen adds a line to every day, which opens it, so that a report must read all its lines. It returns how
// to take the lines away again.
func (f *folder) reopen() (restore func() error, err error) {
	if err := f.unmark(); err != nil {
		return nil, fmt.Errorf("reopen days: %w", err)
	}
	line, err := waitingLine(time.Now())
	if err != nil {
		return nil, err
	}
	for i := range f.days {
		if err := appendTo(f.file(f.day(i)), line); err != nil {
			return nil, fmt.Errorf("reopen %s: %w", f.day(i), err)
		}
	}
	return func() error { return f.cut(int64(len(line))) }, nil
}

// cut takes the last bytes of every day away.
func (f *folder) cut(n int64) error {
	for i := range f.days {
		info, err := os.Stat(f.file(f.day(i)))
		if err == nil {
			err = os.Truncate(f.file(f.day(i)), info.Size()-n)
		}
		if err != nil {
			return fmt.Errorf("close days again: %w", err)
		}
	}
	return f.mark()
}

func appendTo(name string, data []byte) error {
	file, err := os.OpenFile(name, os.O_WRONLY|os.O_APPEND, 0)
	if err != nil {
		return err
	}
	_, err = file.Write(data)
	return errors.Join(err, file.Close())
}

// forget removes what runs over new days have left.
func (f *folder) forget(days []string) error {
	names := []string{filepath.Join(f.dest(), newFolder)}
	for _, day := range days {
		names = append(names, f.file(day), filepath.Join(f.dest(), "calls", day+".jsonl"))
	}
	for _, name := range names {
		if err := os.RemoveAll(name); err != nil {
			return fmt.Errorf("remove new days: %w", err)
		}
	}
	return nil
}

// newFolder is where the recordings of the new day go.
const newFolder = "new"

// warm reads every file once, so that all runs find them in the page cache.
func (f *folder) warm() error {
	var total atomic.Int64
	err := f.each(func(i int) error {
		file, err := os.Open(f.file(f.day(i)))
		if err != nil {
			return err
		}
		n, err := io.Copy(io.Discard, struct{ io.Reader }{file})
		total.Add(n)
		return errors.Join(err, file.Close())
	})
	f.bytes = total.Load()
	return err
}
