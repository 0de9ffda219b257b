// Adds salts to the lines of days that older versions closed.

package manifest

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
)

// SaltStem is the stem of the files of evidence/ about files of older versions that got salts.
const SaltStem = "salt"

const kindSalting = "salting"

// SaltRecord is a line of evidence/salt-*: files of a day before their lines get salts.
type SaltRecord struct {
	RecordHead
	Day   string       `json:"day"`
	Files []SaltedFile `json:"files"`
}

// SaltedFile is a file before and after.
type SaltedFile struct {
	File   string  `json:"file"` // relative to the archive's root
	Before Segment `json:"before"`
	After  Segment `json:"after"`
}

// ErrNotAsClosed means that a day does not match its day line. Ledger.Read reports the faults.
var ErrNotAsClosed = errors.New("the day does not match its day line: run verify --repair")

// SaltDay adds salts to the lines of a day that have none, which are those of older versions. The content of the
// lines stays, and the day stays closed by a line of closed.json with the new files. First it checks the day against
// its day lines; the old hashes are kept in evidence/salt-*. After a kill it may be called again. It does nothing if
// all lines have salts. No *Day of it may be in use. The error is ErrNotAsClosed, or a *BadLineError.
func (l *Ledger) SaltDay(ctx context.Context, day string) error {
	if err := l.saltDay(ctx, day); err != nil {
		return fmt.Errorf("salt the lines of %s: %w", day, err)
	}
	return nil
}

// salting is a file to rewrite.
type salting struct {
	SaltedFile
	body []byte
	tag  string
}

// segmentOf returns a file as listed in a day line.
func segmentOf(name string, body []byte) Segment {
	sum := sha256.Sum256(body)
	return Segment{Name: name, Bytes: int64(len(body)), SHA256: hex.EncodeToString(sum[:])}
}

func (l *Ledger) saltDay(ctx context.Context, day string) error {
	d, err := l.Load(ctx, day) // which moves torn tails aside
	if err == nil {
		err = d.NoteCalls(ctx, nil)
	}
	if err == nil {
		err = l.write(ctx, func() error { return l.writer.seal(ctx, day) })
	}
	if err != nil {
		return err
	}
	todo, err := l.unsalted(ctx, day)
	if err != nil {
		return err
	}
	isOld := func(c *closing) bool { return c.old != nil || c.salting }
	if len(todo) == 0 && !slices.ContainsFunc(d.closings, isOld) {
		return nil
	}
	checked, err := l.ReadAll(ctx, day, func(f Fault) error {
		switch f.Kind {
		case FaultDayLine, FaultLostSegments, FaultChangedSegment:
			return ErrNotAsClosed
		case FaultBadLine:
			return &BadLineError{Day: day, File: f.File, Line: f.Line, Reason: f.Reason}
		}
		return nil
	})
	if err != nil {
		return err
	}
	if len(todo) > 0 {
		record := &SaltRecord{RecordHead: RecordHead{Kind: kindSalting}, Day: day}
		for _, one := range todo {
			record.Files = append(record.Files, one.SaltedFile)
		}
		if err := l.PutRecords(ctx, SaltStem+"-"+day, record); err != nil {
			return err
		}
	}
	for _, one := range todo {
		if err := l.replace(ctx, one.File, one.body, one.tag); err != nil {
			return err
		}
	}
	return l.closeSalted(ctx, checked)
}

// unsalted returns the files of a day with a line without a salt.
func (l *Ledger) unsalted(ctx context.Context, day string) (todo []salting, err error) {
	for _, tree := range []Tree{TreeManifest, TreeCalls} {
		segments, err := l.Segments(ctx, tree, day)
		if err != nil {
			return nil, err
		}
		for _, s := range segments {
			file, tag, err := readFile(ctx, l.objects, s.file)
			if err != nil {
				return nil, err
			}
			text, err := unpacked(s.file, file)
			if err != nil {
				return nil, err
			}
			one, isSalted := salting{tag: tag}, true
			for line := range bytes.Lines(text) {
				salted, isNew, err := saltLine(bytes.TrimSuffix(line, []byte("\n")), tree)
				if err != nil {
					return nil, fmt.Errorf("%s: %w", s.file, err)
				}
				isSalted = isSalted && !isNew
				one.body = append(append(one.body, salted...), '\n')
			}
			if isSalted {
				continue
			}
			one.body = packed(s.file, one.body)
			one.SaltedFile = SaltedFile{File: s.file, Before: segmentOf(s.Name, file), After: segmentOf(s.Name, one.body)}
			todo = append(todo, one)
		}
	}
	return todo, nil
}

// endsInSalt reports whether a line has the ending of this version's lines.
func endsInSalt(line []byte) bool {
	const mark, digits, end = `,"salt":"`, 32, `"}`
	at := len(line) - len(mark) - digits - len(end)
	return at > 0 && string(line[at:at+len(mark)]) == mark && string(line[len(line)-len(end):]) == end &&
		len(bytes.Trim(line[at+len(mark):len(line)-len(end)], "0123456789abcdef")) == 0
}

// saltLine returns a line with a salt, and whether it had none. A recording's line also says that an older version
// wrote it. Unreadable lines get none.
func saltLine(line []byte, tree Tree) (salted []byte, isNew bool, err error) {
	if _, isStub := stubDigest(line); isStub || endsInSalt(line) {
		return line, false, nil
	}
	var l struct {
		header
		Salt string `json:"salt"`
	}
	body, isObject := bytes.CutSuffix(bytes.TrimRight(line, " \t\r"), []byte("}"))
	if json.Unmarshal(line, &l) != nil || l.Kind == "" || l.Salt != "" || !isObject {
		return line, false, nil
	}
	max := maxCallLine
	salted = bytes.Clone(body)
	if tree == TreeManifest {
		max = maxLine
	}
	if l.Kind == kindRecording {
		salted = append(salted, `,"old":true`...)
	}
	var salt [16]byte
	rand.Read(salt[:]) // never fails
	if salted = fmt.Appendf(salted, `,"salt":"%x"}`, salt); len(salted) >= max {
		return nil, false, errTooLong
	}
	return salted, true, nil
}

// closeSalted updates closed.json to the current files of a day. checked are the earlier day lines.
func (l *Ledger) closeSalted(ctx context.Context, checked *Day) error {
	files, err := l.look(ctx, checked.day)
	if err != nil || len(checked.closings) == 0 {
		return err
	}
	lines, rows, err := l.sealDay(ctx, files.dayFiles)
	if err != nil {
		return err
	}
	var text []byte
	for _, raw := range files.unknown {
		text = append(append(text, raw...), '\n')
	}
	for _, c := range checked.closings {
		raw := c.raw
		if !c.broken && !c.void {
			isOther := func(s sealed) bool { return !c.isOf(s.Name) }
			if c.old == nil {
				lines, rows := ofNames(c.line.Segments, lines), ofNames(c.line.CallsSegments, rows)
				c.line.vouch(lines, rows)
			} else {
				c.line.vouch(slices.DeleteFunc(slices.Clone(lines), isOther), slices.DeleteFunc(slices.Clone(rows), isOther))
			}
			if raw, err = c.line.line(); err != nil {
				return err
			}
		}
		if raw != nil {
			text = append(append(text, bytes.TrimSuffix(raw, []byte("\n"))...), '\n')
		}
	}
	if len(text) == 0 {
		return nil
	}
	err = l.write(ctx, func() error { return l.objects.PutFile(ctx, closedFile(checked.day), text, files.tag) })
	if errors.Is(err, fs.ErrExist) {
		return ErrChanged
	}
	return err
}

// saltings returns the files of a day that got salts, or were going to.
func (l *Ledger) saltings(ctx context.Context, day string) (list []SaltedFile, err error) {
	err = l.Records(ctx, SaltStem+"-"+day, func(file string, raw []byte) error {
		var r SaltRecord
		if json.Unmarshal(raw, &r) != nil {
			return errors.New("a line is not a record of salts: restore the file from a copy")
		}
		list = append(list, r.Files...)
		return nil
	})
	return list, err
}

// excuse accepts segments of another size if salts explain it, or stubs of an unfinished erasure.
func (l *Ledger) excuse(ctx context.Context, s *standing) error {
	for _, c := range s.closings {
		if len(c.changed) == 0 {
			continue
		}
		saltings, err := l.saltings(ctx, s.day)
		if err != nil {
			return err
		}
		c.changed = slices.DeleteFunc(c.changed, func(name string) bool {
			i := slices.IndexFunc(s.segments, func(there segment) bool { return there.name() == name })
			explains := func(f SaltedFile) bool {
				return f.File == s.segments[i].file && slices.Contains(c.line.Segments, f.Before) && f.After.Bytes == s.segments[i].size
			}
			isSalted := slices.ContainsFunc(saltings, explains)
			c.salting = c.salting || isSalted
			return isSalted
		})
		if len(c.changed) == 0 || !l.erasures.Load().isOpen(s.day) {
			continue
		}
		lines, err := l.seal(ctx, s.segments)
		if err != nil {
			return err
		}
		if sum, n := root(ofNames(c.line.Segments, lines)); sum == c.line.Root && n == c.line.Lines {
			c.changed = nil
		}
	}
	return nil
}

// unexplained returns the faults of a day line that no interrupted erasure or salting explains.
func (l *Ledger) unexplained(ctx context.Context, faults []Fault, c *closing, d *Day, lines, rows []sealed) ([]Fault, error) {
	if d.erasures.isOpen(d.day) && c.standsForSame(lines, rows) {
		return slices.DeleteFunc(faults, func(f Fault) bool { return f.Kind != FaultLostSegments }), nil
	}
	saltings, err := l.saltings(ctx, d.day)
	if err != nil || len(saltings) == 0 {
		return faults, err
	}
	c.salting = false
	explained := func(tree string, names []Segment, found []sealed) bool {
		for _, f := range found {
			file := segmentPath(tree, d.day, f.Name)
			i := slices.IndexFunc(names, func(s Segment) bool { return s.Name == f.Name })
			isNamed := i >= 0 || c.old != nil && c.isOf(f.Name)
			switch {
			case !isNamed || i >= 0 && names[i] == f.Segment:
			case slices.ContainsFunc(saltings, func(s SaltedFile) bool {
				return s.File == file && s.After == f.Segment && (i < 0 || s.Before == names[i])
			}):
				c.salting = true
			case i < 0 && slices.ContainsFunc(saltings, func(s SaltedFile) bool { return s.File == file && s.Before == f.Segment }):
			default:
				return false
			}
		}
		return true
	}
	if explained(treeManifest, c.line.Segments, lines) && explained(treeCalls, c.line.CallsSegments, rows) && c.salting {
		return nil, nil
	}
	return faults, nil
}

// standsForSame reports whether the lines of a day line are the original ones, or stubs of them.
func (c *closing) standsForSame(lines, rows []sealed) bool {
	is := c.line
	lines, rows = ofNames(c.line.Segments, lines), ofNames(c.line.CallsSegments, rows)
	is.vouch(lines, rows)
	isTorn := func(s sealed) bool { return s.torn > 0 }
	return c.line.holds(c.line.Day) && is.Root == c.line.Root && is.CallsRoot == c.line.CallsRoot && is.Lines == c.line.Lines &&
		!slices.ContainsFunc(lines, isTorn) && !slices.ContainsFunc(rows, isTorn)
}

// segmentPath returns the path of a segment in a day line, relative to the archive's root.
func segmentPath(tree, day, name string) string {
	if old := oldFile(tree, day); name == path.Base(old) {
		return old
	}
	return tree + "/" + day + "/" + name
}
