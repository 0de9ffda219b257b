// Repairs files of the manifest that have unreadable lines.

package manifest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"time"
)

// repairLine is the line that Mend writes. It opens the day, and day lines without its segment are no longer compared
// with the lines.
type repairLine struct {
	header
	Day     string    `json:"day"`
	Reason  string    `json:"reason"`
	Dropped int       `json:"dropped"` // number of dropped bad lines
	Aside   []string  `json:"aside"`   // names of the copies of the original segments, in the same folder
	Time    time.Time `json:"time"`
	Run     string    `json:"run"`
}

// Mended is the result of Mend.
type Mended struct {
	Dropped int      // number of dropped bad lines
	Aside   []string // copies of the segments with bad lines, relative to the archive's root
}

// Mend makes a day readable and opens it for every filter, so that the next run lists it again. A segment with bad
// lines is copied to NAME.bad-RUNID and replaced by one with the readable lines, and a line of kind repair is
// written; nothing is deleted. No *Day of it may be in use. In a bucket, the policy must allow replacing a
// segment. An interrupted Mend may be repeated: a bad line stays until its copy and the repair line are durable.
func (l *Ledger) Mend(ctx context.Context, day, reason string) (Mended, error) {
	m, err := l.mend(ctx, day, reason)
	if err != nil {
		return Mended{}, fmt.Errorf("repair manifest of %s: %w", day, err)
	}
	return m, nil
}

func (l *Ledger) mend(ctx context.Context, day, reason string) (m Mended, err error) {
	if err := checkDay(day); err != nil {
		return m, err
	}
	files, err := l.look(ctx, day)
	if err != nil {
		return m, err
	}
	line := repairLine{
		header: header{lineVersion, kindRepair}, Day: day, Reason: reason, Aside: []string{},
		Time: seconds(time.Now()), Run: l.run,
	}
	segments := files.segments
	if len(files.bad) > 0 {
		segments = append(segments, segment{file: closedFile(day)})
	}
	var broken []*mending
	for _, s := range segments {
		sound := soundPart(files.closings, s)
		if s.file == closedFile(day) {
			sound = allSound
		}
		b, err := l.findBad(ctx, s, sound)
		if err != nil {
			return m, err
		}
		switch {
		case b.dropped > 0:
			broken = append(broken, b)
			line.Dropped += b.dropped
			aside := s.file + ".bad-" + l.run
			m.Aside, line.Aside = append(m.Aside, aside), append(line.Aside, path.Base(aside))
		case b.torn:
			if _, err := l.tidy(ctx, b.reader); err != nil {
				return m, err
			}
		}
	}
	text, err := encodeSalted(line, maxLine)
	if err != nil {
		return m, err
	}
	for i, b := range broken {
		err := l.write(ctx, func() error { return l.objects.PutFile(ctx, m.Aside[i], b.all, "") })
		if err != nil && !errors.Is(err, fs.ErrExist) { // it exists if an interrupted Mend is repeated
			return m, fmt.Errorf("save a copy of a manifest file: %w", err)
		}
	}
	if err = l.append(ctx, treeManifest, day, text); err == nil {
		err = l.flush(ctx, day)
	}
	if err != nil {
		return m, err
	}
	for _, b := range broken {
		if err := l.write(ctx, func() error { return l.objects.PutFile(ctx, b.s.file, b.good, b.tag) }); err != nil {
			return m, fmt.Errorf("replace a manifest file: %w", err)
		}
	}
	m.Dropped = line.Dropped
	return m, nil
}

// mending is a segment with bad lines, held in memory.
type mending struct {
	*reader
	all, good []byte
	tag       string
	dropped   int
}

// findBad reads a segment like Read.
func (l *Ledger) findBad(ctx context.Context, s segment, sound int64) (*mending, error) {
	m := &mending{}
	var err error
	if m.all, m.tag, err = readFile(ctx, l.objects, s.file); err != nil {
		return nil, err
	}
	var v view
	m.reader = newReader(ctx, s, io.NopCloser(bytes.NewReader(m.all)), maxLine, sound)
	for m.next() {
		bad := m.bad
		if bad == nil {
			_, bad = parseLine(m.line, &v)
		}
		if bad == nil {
			m.good = append(append(m.good, m.line...), '\n')
			continue
		}
		m.dropped++
		if _, err := m.badLine("", bad); err != nil {
			return nil, l.noteLater(err)
		}
	}
	if isGzip(s.file) {
		m.good = gzipped(m.good)
	}
	return m, m.err
}
