// Replaces erased lines of a day by stubs.

package manifest

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
)

// erasePasses is the maximum number of passes over a day while other runs write to it.
const erasePasses = 10

// EraseLines replaces all lines of a day about the erased ids with stubs, in both trees, and updates the sizes, hashes
// and counts in closed.json: roots stay, and the day stays closed. It returns the digests of the day's stubs, for the
// record of completion. Lines without salts get salts first. After a kill it may be called again; so may it after all
// days are done, for lines that other runs stored in a bucket meanwhile. With erasures given, lines of other
// unfinished ones stay, because they locate audio that must still be removed. No *Day of it may be in use. The error
// is a *BadLineError for an unreadable line.
func (l *Ledger) EraseLines(ctx context.Context, day string, only ...string) (digests []string, err error) {
	if digests, err = l.eraseLines(ctx, day, only); err != nil {
		return nil, fmt.Errorf("erase lines of %s: %w", day, err)
	}
	return digests, nil
}

func (l *Ledger) eraseLines(ctx context.Context, day string, only []string) ([]string, error) {
	if _, err := l.Erasures(ctx); err != nil {
		return nil, err
	}
	if err := l.saltDay(ctx, day); err != nil {
		return nil, err
	}
	for range erasePasses {
		digests, changed, err := l.eraseSegments(ctx, day, only)
		if err != nil {
			return nil, err
		}
		if !changed { // the files of closed.json are final
			changed, err = l.renewClosings(ctx, day, true)
		}
		if err != nil || !changed {
			return digests, err
		}
	}
	return nil, errors.New("other runs keep writing to the day")
}

// eraseSegments goes over the segments of a day once. It reports whether it or another run has changed any.
func (l *Ledger) eraseSegments(ctx context.Context, day string, only []string) (digests []string, changed bool, err error) {
	erasures := l.erasures.Load().only(only)
	for _, tree := range []Tree{TreeCalls, TreeManifest} {
		segments, err := l.Segments(ctx, tree, day)
		if err != nil {
			return nil, false, err
		}
		for _, s := range segments {
			found, isNew, err := l.eraseSegment(ctx, day, s, erasures)
			if errors.Is(err, fs.ErrExist) {
				isNew, err = true, nil // another run has replaced it meanwhile
			}
			if err != nil {
				return nil, false, err
			}
			digests, changed = append(digests, found...), changed || isNew
		}
	}
	return digests, changed, nil
}

// eraseSegment rewrites a segment that contains erased data.
func (l *Ledger) eraseSegment(ctx context.Context, day string, s StoredSegment, erasures *Erasures) (digests []string, changed bool, err error) {
	file, tag, err := readFile(ctx, l.objects, s.file)
	if err != nil {
		return nil, false, err
	}
	text, err := unpacked(s.file, file)
	if err != nil {
		return nil, false, err
	}
	var out bytes.Buffer
	var others []string // digests of lines whose stub has no id
	number := 0
	for line := range bytes.Lines(text) {
		number++
		line = bytes.TrimSuffix(line, []byte("\n"))
		stub, kind, err := erasures.stubOf(line, s.Tree, day)
		if err != nil {
			return nil, false, &BadLineError{Day: day, File: s.file, Line: number, Reason: err.Error()}
		}
		isNew := !bytes.Equal(stub, line)
		if digest, ok := stubDigest(stub); ok && kind != kindErased {
			digests = append(digests, string(digest))
		} else if ok && isNew {
			others = append(others, string(digest))
		}
		changed = changed || isNew
		out.Write(append(stub, '\n'))
	}
	if !changed {
		return digests, false, nil
	}
	if len(others) > 0 {
		record := NewErasureRecord(ErasureLines, erasures.naming(day))
		record.Digests = others
		if err := l.PutRecords(ctx, ErasureStem, record); err != nil {
			return nil, false, err
		}
	}
	return digests, true, l.replace(ctx, s.file, packed(s.file, out.Bytes()), tag)
}

// unpacked returns the uncompressed content of a segment.
func unpacked(name string, file []byte) (text []byte, err error) {
	if !isGzip(name) {
		return file, nil
	}
	z, err := gzip.NewReader(bytes.NewReader(file))
	if err == nil {
		text, err = io.ReadAll(z)
	}
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", name, err)
	}
	return text, nil
}

// packed returns a segment's file content, compressed if its name says so.
func packed(name string, text []byte) []byte {
	if isGzip(name) {
		return gzipped(text)
	}
	return text
}

// replace replaces a segment.
func (l *Ledger) replace(ctx context.Context, name string, body []byte, tag string) error {
	err := l.write(ctx, func() error { return l.objects.PutFile(ctx, name, body, tag) })
	if err != nil {
		return fmt.Errorf("write %s: %w", name, err)
	}
	return nil
}

// renewClosings updates the lines of closed.json to the files as stored, if their roots match. With drop it removes
// lines with a personal filter. It reports whether it or another run has changed something.
func (l *Ledger) renewClosings(ctx context.Context, day string, drop bool) (changed bool, err error) {
	files, err := l.look(ctx, day)
	if err != nil || files.tag == "" {
		return false, err
	}
	if len(files.bad) > 0 {
		return false, &BadLineError{Day: day, File: files.bad[0].File, Line: files.bad[0].Line, Reason: files.bad[0].Reason}
	}
	lines, rows, err := l.sealDay(ctx, files.dayFiles)
	if err != nil {
		return false, err
	}
	var text []byte
	for _, raw := range files.unknown {
		text = append(append(text, raw...), '\n')
	}
	for _, c := range files.closings {
		if drop && IsPersonal(c.line.Filter) { // no run can use this filter any more
			changed = true
			continue
		}
		raw, err := l.renewed(ctx, c, files.segments, lines, rows)
		if err != nil {
			return false, err
		}
		changed = changed || !bytes.Equal(raw, c.raw)
		text = append(append(text, raw...), '\n')
	}
	if !changed {
		return false, nil
	}
	err = l.write(ctx, func() error { return l.objects.PutFile(ctx, closedFile(day), text, files.tag) })
	if err != nil && !errors.Is(err, fs.ErrExist) {
		return false, fmt.Errorf("write %s: %w", closedName, err)
	}
	return true, nil
}

// sealDay hashes the segments of a day, in manifest/ and in calls/.
func (l *Ledger) sealDay(ctx context.Context, files dayFiles) (lines, rows []sealed, err error) {
	if lines, err = l.seal(ctx, files.segments); err != nil {
		return nil, nil, err
	}
	calls, err := l.files(ctx, treeCalls, files.day)
	if err == nil {
		rows, err = l.seal(ctx, calls.segments)
	}
	return lines, rows, err
}

// renewed returns a day line with the current sizes, hashes and counts of its segments. A line whose roots do not
// match stays unchanged.
func (l *Ledger) renewed(ctx context.Context, c *closing, segments []segment, lines, rows []sealed) ([]byte, error) {
	is := c.line
	is.vouch(ofNames(c.line.Segments, lines), ofNames(c.line.CallsSegments, rows))
	if c.old != nil || is.Root != c.line.Root || is.CallsRoot != c.line.CallsRoot || is.Lines != c.line.Lines {
		return c.raw, nil
	}
	of := standing{dayFiles: dayFiles{day: c.line.Day}}
	for _, s := range segments {
		if c.named[s.name()] {
			of.segments = append(of.segments, s)
		}
	}
	d, err := l.readDay(ctx, of, reading{})
	if err != nil {
		return nil, err
	}
	if d.count(&is); is.Recordings != c.line.Recordings { // it was already wrong
		is.Recordings, is.ByOutcome, is.Bytes = c.line.Recordings, c.line.ByOutcome, c.line.Bytes
	}
	text, err := is.line()
	return bytes.TrimSuffix(text, []byte("\n")), err
}

// ofNames returns the segments that a day line lists.
func ofNames(names []Segment, found []sealed) (list []sealed) {
	for _, name := range names {
		for _, f := range found {
			if f.Name == name.Name {
				list = append(list, f)
			}
		}
	}
	return list
}
