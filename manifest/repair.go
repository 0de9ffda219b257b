package manifest

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"time"
)

// kindRepair is the line that Mend leaves. It opens the day, and says that no day line before it vouches for
// anything.
const kindRepair = "repair"

type repairLine struct {
	header
	Day     string    `json:"day"`
	Reason  string    `json:"reason"`
	Dropped int       `json:"dropped"` // bad lines that were left out
	Aside   []string  `json:"aside"`   // names of the copies of what was there, beside the file or segment
	Time    time.Time `json:"time"`
	Run     string    `json:"run"`
}

// Mended says what Mend did.
type Mended struct {
	Dropped int      // bad lines that were left out
	Aside   []string // copies of the files that had them, from the archive's root
}

// Mend makes a day readable and opens it, so that the next run lists it again. A file or segment with bad
// lines is copied aside as NAME.bad-RUNID, and replaced in one step by one that holds the lines that can be read;
// nothing is deleted. The day must not be loaded. On S3 this is the one case in which a segment is written a
// second time: the bucket's policy must allow it.
//
// A Mend that was interrupted may be repeated: the bad line stays until the copy is safe.
func (l *Ledger) Mend(ctx context.Context, day, reason string) (Mended, error) {
	m := &mending{
		ledger: l, day: day, view: new(view),
		line: repairLine{header: header{formatVersion, kindRepair}, Day: day, Reason: reason, Aside: []string{}, Run: l.run},
	}
	if err := checkDay(day); err != nil {
		return Mended{}, err
	}
	if l.isLoaded(day) {
		return Mended{}, fmt.Errorf("mend manifest of %s: the day is in work", day)
	}
	var err error
	switch medium := l.medium.(type) {
	case *disk:
		err = l.append(ctx, &change{name: fileName(treeManifest, day), task: func() error { return m.mendFile(ctx, medium) }})
	case *bucket:
		err = m.mendSegments(ctx, medium)
	}
	if err != nil {
		return Mended{}, l.refuseLater(fmt.Errorf("mend manifest of %s: %w", day, err))
	}
	return Mended{Dropped: m.line.Dropped, Aside: m.aside}, nil
}

func (l *Ledger) isLoaded(day string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.days[day] != nil
}

// mending is one day being mended.
type mending struct {
	ledger *Ledger
	day    string
	view   *view
	line   repairLine
	aside  []string
}

// keep notes that a file was copied aside, and returns the name to copy it to.
func (m *mending) keep(name string) string {
	aside := name + ".bad-" + m.ledger.run
	m.aside = append(m.aside, aside)
	m.line.Aside = append(m.line.Aside, path.Base(aside))
	return aside
}

// last returns the line to leave at the end.
func (m *mending) last() ([]byte, error) {
	m.line.Time = secondsOr(time.Time{}, time.Now())
	return encode(m.line)
}

// copyGood copies the lines of r that can be read to w, and returns how many cannot.
func (m *mending) copyGood(w io.Writer, r io.Reader, file string) (bad int, err error) {
	for in := newLineReader(r, maxLine); ; {
		text, err := in.next()
		switch {
		case errors.Is(err, io.EOF):
			return bad, nil
		case errors.Is(err, errTooLong), errors.Is(err, errNoEnd):
			bad++
			continue
		case err != nil:
			return bad, err
		}
		if _, err := readLine(text[:len(text)-1], m.view); err != nil {
			if later := laterVersion(0); errors.As(err, &later) {
				return bad, &VersionError{File: file, V: int(later)}
			}
			bad++
			continue
		}
		if _, err := w.Write(text); err != nil {
			return bad, err
		}
	}
}

// mendFile mends a day on disk. It runs between two batches of the committer, with the file closed.
func (m *mending) mendFile(ctx context.Context, d *disk) error {
	if err := m.ledger.files.refusal(); err != nil {
		return err
	}
	name := fileName(treeManifest, m.day)
	if err := repair(d.root, name, true); err != nil {
		return err
	}
	file, size, err := d.openDay(treeManifest, m.day)
	if err != nil {
		return err
	}
	if file == nil {
		return errors.New("there is no such day")
	}
	defer file.Close() // only read from
	bad, err := m.copyGood(io.Discard, file, name)
	if err != nil {
		return err
	}
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	m.line.Dropped = bad
	if bad == 0 {
		return m.appendLine(d, name)
	}
	whole := func() io.Reader { return io.NewSectionReader(file, 0, size) }
	err = writeDurable(d.root, m.keep(name), os.O_EXCL, func(w io.Writer) error {
		_, err := io.Copy(w, whole())
		return err
	})
	if err != nil {
		return fmt.Errorf("copy aside: %w", err)
	}
	last, err := m.last()
	if err != nil {
		return err
	}
	part := name + ".mending"
	err = writeDurable(d.root, part, os.O_TRUNC, func(w io.Writer) error {
		if _, err := m.copyGood(w, whole(), name); err != nil {
			return err
		}
		_, err := w.Write(last)
		return err
	})
	if err != nil {
		return fmt.Errorf("write the lines that are good: %w", err)
	}
	_ = file.Close() // Windows renames onto no open file
	if err := d.root.Rename(part, name); err != nil {
		return fmt.Errorf("replace the file: %w", err)
	}
	return syncDir(d.root, treeManifest)
}

// appendLine appends the line to a file that has no bad one.
func (m *mending) appendLine(d *disk, name string) error {
	last, err := m.last()
	if err != nil {
		return err
	}
	f, size, err := openLog(d.root, name, true)
	if err != nil {
		return err
	}
	_, err = f.WriteAt(last, size)
	if err == nil {
		err = f.Sync()
	}
	return errors.Join(err, f.Close())
}

// writeDurable makes a file, 0600, whose bytes and name are durable when it returns.
func writeDurable(root *os.Root, name string, flag int, fill func(io.Writer) error) error {
	f, err := root.OpenFile(name, os.O_WRONLY|os.O_CREATE|flag, 0o600)
	if err != nil {
		return err
	}
	out := bufio.NewWriterSize(f, 64<<10)
	err = fill(out)
	if err == nil {
		err = out.Flush()
	}
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return err
	}
	return syncDir(root, path.Dir(name))
}

// mendSegments mends a day in a bucket: copies first, then the line that opens the day, then the segments. A
// segment with bad lines is held in memory; it has what one run noted between two uploads.
func (m *mending) mendSegments(ctx context.Context, b *bucket) error {
	if b.spool == nil {
		return ErrReadOnly
	}
	g, err := b.list(ctx, treeManifest, m.day)
	if err != nil {
		return err
	}
	var broken []string
	for _, key := range g.keys(treeManifest, m.day) {
		all, _, bad, err := m.readSegment(ctx, b, key)
		if err != nil {
			return err
		}
		if bad == 0 {
			continue
		}
		m.line.Dropped += bad
		if err := b.objects.PutObject(ctx, m.keep(key), bytes.NewReader(all), int64(len(all)), false); err != nil {
			return fmt.Errorf("copy a segment aside: %w", err)
		}
		broken = append(broken, key)
	}
	last, err := m.last()
	if err != nil {
		return err
	}
	if err := m.ledger.append(ctx, &change{name: fileName(treeManifest, m.day), data: last}); err != nil {
		return err
	}
	if err := b.spool.uploadDay(ctx, m.day); err != nil {
		return err
	}
	for _, key := range broken {
		_, good, _, err := m.readSegment(ctx, b, key)
		if err != nil {
			return err
		}
		if err := b.objects.PutObject(ctx, key, bytes.NewReader(good), int64(len(good)), true); err != nil {
			return fmt.Errorf("replace a segment: %w", err)
		}
	}
	return nil
}

// readSegment returns a segment as it is, and the lines of it that can be read.
func (m *mending) readSegment(ctx context.Context, b *bucket, key string) (all, good []byte, bad int, err error) {
	for p, err := range readAhead(ctx, b.objects, []string{key}) {
		if err != nil {
			return nil, nil, 0, err
		}
		var whole, readable bytes.Buffer
		if bad, err = m.copyGood(&readable, io.TeeReader(p.body, &whole), key); err != nil {
			return nil, nil, 0, err
		}
		all, good = whole.Bytes(), readable.Bytes()
	}
	return all, good, bad, nil
}
