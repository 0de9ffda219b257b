package manifest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"os"
	"strings"

	"github.com/gofrs/flock"
)

// disk is the ledger in a folder: one file per day and tree.
type disk struct {
	root  *os.Root
	lock  *flock.Flock // nil when read-only
	files *committer   // nil when read-only
}

// OpenDir opens the ledger of the archive in root, and takes the archive's lock unless o.ReadOnly; the
// error is then ErrLocked when another process holds it. The caller keeps root open until after Close.
// Everything but the lock goes through root, so that no link leads out of the archive.
func OpenDir(root *os.Root, o Options) (*Ledger, error) {
	l, err := newLedger(o)
	if err != nil {
		return nil, err
	}
	d := &disk{root: root}
	l.medium = d
	if o.ReadOnly {
		return l, nil
	}
	if d.lock, err = lockArchive(root); err != nil {
		return nil, err
	}
	sync := o.Sync
	if sync == nil {
		sync = (*os.File).Sync
	}
	d.files = startCommitter(func(name string) (logFile, int64, error) {
		file, size, err := openLog(root, name, true)
		return dayFile{file, sync}, size, err
	})
	l.files = d.files
	return l, nil
}

// dayFile is made durable the way that the caller of OpenDir wants it.
type dayFile struct {
	*os.File
	sync func(*os.File) error
}

func (f dayFile) Sync() error { return f.sync(f.File) }

func (d *disk) readArchive(context.Context) ([]byte, error) { return d.root.ReadFile(archiveFile) }

// writeArchive replaces the file in one step: half a file would lock everybody out. That nobody else
// writes between the look and the rename is what the archive's lock is for.
func (d *disk) writeArchive(_ context.Context, data []byte, replace bool) error {
	if _, err := d.root.Stat(archiveFile); err == nil && !replace {
		return fs.ErrExist
	}
	const part = archiveFile + ".part"
	f, err := d.root.OpenFile(part, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return errors.Join(err, d.root.Remove(part))
	}
	if err := d.root.Rename(part, archiveFile); err != nil {
		return err
	}
	return syncDir(d.root, treeManifest)
}

func (d *disk) days(ctx context.Context) iter.Seq2[DayStatus, error] {
	return func(yield func(DayStatus, error) bool) {
		days, err := d.list()
		if err != nil {
			yield(DayStatus{}, err)
			return
		}
		for _, day := range days {
			if ctx.Err() != nil {
				yield(DayStatus{}, context.Cause(ctx))
				return
			}
			s, err := d.status(ctx, day)
			if !yield(s, err) {
				return
			}
		}
	}
}

// list names the days of both trees: a run killed early leaves a day that has only call rows.
func (d *disk) list() ([]string, error) {
	days := map[string]bool{}
	for _, tree := range []string{treeManifest, treeCalls} {
		names, err := readNames(d.root, tree)
		if err != nil {
			return nil, err
		}
		for _, name := range names {
			if day, ok := strings.CutSuffix(name, ".jsonl"); ok && isDay(day) {
				days[day] = true
			}
		}
	}
	return sortedDays(days), nil
}

// readNames lists a folder; a missing one is empty.
func readNames(root *os.Root, dir string) ([]string, error) {
	f, err := root.Open(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("open manifest folder: %w", err)
	}
	names, err := f.Readdirnames(-1)
	if err = errors.Join(err, f.Close()); err != nil {
		return nil, fmt.Errorf("list manifest folder: %w", err)
	}
	return names, nil
}

// status reads the last whole line. A torn tail is looked past, as if it were cut off already.
func (d *disk) status(_ context.Context, day string) (DayStatus, error) {
	s := DayStatus{Day: day}
	f, size, err := d.openDay(treeManifest, day)
	if err != nil || f == nil {
		return s, err
	}
	line, err := lastLine(f, size)
	if err = errors.Join(err, f.Close()); err != nil {
		return s, fmt.Errorf("read last line of %s: %w", day, err)
	}
	return closedStatus(rawLine{file: fileName(treeManifest, day), text: line}, day)
}

// closedStatus is the status of a day whose last line is given; a last line that cannot be read leaves the
// day open, and it is for whoever loads the day to complain.
func closedStatus(last rawLine, day string) (DayStatus, error) {
	s := DayStatus{Day: day}
	var l dayLine
	h, err := parseHeader(last.text)
	if later := laterVersion(0); errors.As(err, &later) {
		return s, last.fault(day, err)
	}
	if err != nil || h.Kind != kindDay || decodeKind(last.text, &l, &l.header, kindDay) != nil {
		return s, nil
	}
	if l.holds() && l.Day == day {
		s.Closed, s.DayLine = true, l.DayLine
	}
	return s, nil
}

// openDay opens a day's file for reading, nil if there is none.
func (d *disk) openDay(tree, day string) (*os.File, int64, error) {
	f, err := d.root.Open(fileName(tree, day))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, 0, nil
	}
	if err != nil {
		return nil, 0, fmt.Errorf("open manifest file: %w", err)
	}
	info, err := f.Stat()
	if err != nil {
		return nil, 0, errors.Join(fmt.Errorf("look at manifest file: %w", err), f.Close())
	}
	return f, info.Size(), nil
}

func (d *disk) repair(tree, day string) error {
	if d.files == nil {
		return nil
	}
	return repair(d.root, fileName(tree, day), true)
}

// pieces yields the day's file up to its last whole line.
func (d *disk) pieces(_ context.Context, tree, day string) iter.Seq2[piece, error] {
	return func(yield func(piece, error) bool) {
		f, size, err := d.openDay(tree, day)
		if err != nil {
			yield(piece{}, err)
			return
		}
		if f == nil {
			return
		}
		defer f.Close() // only read from
		end, err := goodEnd(f, size)
		if err != nil {
			yield(piece{}, fmt.Errorf("find last line of %s: %w", day, err))
			return
		}
		yield(piece{name: fileName(tree, day), body: io.NewSectionReader(f, 0, end)}, nil)
	}
}

// closeDay appends the day line. The committer calls fill when every line noted before is durable and
// counted, so that nothing can come between the count and the line.
func (d *disk) closeDay(ctx context.Context, day *Day, line DayLine) error {
	return day.ledger.append(ctx, &change{
		name: fileName(treeManifest, day.day),
		build: func() ([]byte, error) {
			day.fill(&line)
			return line.line()
		},
		durable: day.absorb,
	})
}

func (d *disk) flush(context.Context) error { return nil }

func (d *disk) close(context.Context) error {
	if d.files == nil {
		return nil
	}
	err := d.files.close()
	if unlockErr := d.lock.Unlock(); unlockErr != nil {
		err = errors.Join(err, fmt.Errorf("unlock archive: %w", unlockErr))
	}
	return err
}
