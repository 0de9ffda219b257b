// Repairs files of a day that have unreadable lines.

package manifest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"slices"
	"time"
)

// repairLine is the line that Mend writes. It opens the day, and day lines without its segment are no longer compared
// with the lines.
type repairLine struct {
	header
	Day          string    `json:"day"`
	Reason       string    `json:"reason"`
	Dropped      int       `json:"dropped"`                // number of dropped bad lines of manifest/
	Aside        []string  `json:"aside"`                  // names of the copies of the original segments, in the same folder
	CallsDropped int       `json:"calls_dropped,omitzero"` // likewise of calls/
	CallsAside   []string  `json:"calls_aside,omitzero"`   // likewise
	Time         time.Time `json:"time"`
	Run          string    `json:"run"`
}

// Mended is the result of Mend.
type Mended struct {
	Dropped      int      // number of dropped bad lines of manifest/
	CallsDropped int      // likewise of calls/
	Aside        []string // copies of the segments with bad lines, relative to the archive's root
}

// Mend makes a day readable and opens it for every filter, so that the next run lists it again. A segment of either
// tree with bad lines is copied to NAME.bad-RUNID and replaced by one with the readable lines, and a line of kind repair
// is written; nothing is deleted. No *Day of it may be in use. In a bucket, the policy must allow replacing a
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
	var broken []*mending
	look := func(tree string, s segment, sound int64) error {
		b, err := l.findBad(ctx, tree, s, sound)
		if err != nil {
			return err
		}
		switch {
		case b.dropped > 0:
			broken = append(broken, b)
			m.Aside = append(m.Aside, s.file+".bad-"+l.run)
			line.add(tree, b.dropped, path.Base(s.file)+".bad-"+l.run)
		case b.torn:
			_, err = l.tidy(ctx, b.reader)
		}
		return err
	}
	for _, s := range files.segments {
		if err := look(treeManifest, s, soundPart(files.closings, s)); err != nil {
			return m, err
		}
	}
	if len(files.bad) > 0 {
		if err := look(treeManifest, segment{file: closedFile(day)}, allSound); err != nil {
			return m, err
		}
	}
	rows, err := l.files(ctx, treeCalls, day)
	if err != nil {
		return m, err
	}
	for _, s := range rows.segments {
		if err := look(treeCalls, s, soundRows(files.closings, s)); err != nil {
			return m, err
		}
	}
	text, err := encodeSalted(line, maxLine)
	if err != nil {
		return m, err
	}
	for i, b := range broken {
		err := l.write(ctx, func() error { return l.objects.PutFile(ctx, m.Aside[i], b.all, "") })
		if err != nil && !errors.Is(err, fs.ErrExist) { // it exists if an interrupted Mend is repeated
			return m, fmt.Errorf("save a copy of %s: %w", b.s.file, err)
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
			return m, fmt.Errorf("replace %s: %w", b.s.file, err)
		}
	}
	m.Dropped, m.CallsDropped = line.Dropped, line.CallsDropped
	return m, nil
}

// add adds the bad lines of a segment.
func (l *repairLine) add(tree string, dropped int, aside string) {
	if tree == treeCalls {
		l.CallsDropped += dropped
		l.CallsAside = append(l.CallsAside, aside)
		return
	}
	l.Dropped += dropped
	l.Aside = append(l.Aside, aside)
}

// soundRows is soundPart for a segment of calls/. A compressed one was stored whole, so that no crash has cut it.
func soundRows(closings []*closing, s segment) int64 {
	isNamed := func(c *closing) bool {
		return slices.ContainsFunc(c.line.CallsSegments, func(n Segment) bool { return n.Name == s.name() })
	}
	if isGzip(s.file) || slices.ContainsFunc(closings, isNamed) {
		return allSound
	}
	return 0
}

// mending is a segment with bad lines, held in memory.
type mending struct {
	*reader
	all, good []byte
	tag       string
	dropped   int
}

// findBad reads a segment like Read and ReadCalls.
func (l *Ledger) findBad(ctx context.Context, tree string, s segment, sound int64) (*mending, error) {
	m := &mending{}
	var v view
	longest, parse := maxLine, func(line []byte) (err error) {
		_, err = parseLine(line, &v)
		return err
	}
	if tree == treeCalls {
		longest, parse = maxCallLine, func(line []byte) (err error) {
			_, err = parseCall(line)
			return err
		}
	}
	var err error
	if m.all, m.tag, err = readFile(ctx, l.objects, s.file); err != nil {
		return nil, err
	}
	m.reader = newReader(ctx, s, io.NopCloser(bytes.NewReader(m.all)), longest, sound)
	for m.next() {
		bad := m.bad
		if bad == nil {
			bad = parse(m.line)
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
	m.good = packed(s.file, m.good)
	return m, m.err
}
