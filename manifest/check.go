// Checks closed.json against the files that it names.

package manifest

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"maps"
	"path"
	"slices"
)

// check reports every fault of closed.json and of the segments in its lines. Unreadable lines were already
// reported.
func (l *Ledger) check(ctx context.Context, files standing, d *Day, fault func(Fault) error) error {
	calls, err := l.files(ctx, treeCalls, d.day)
	if err != nil {
		return err
	}
	faults := files.bad
	if len(files.segments) == 0 && len(files.closings) == 0 && len(calls.segments) > 0 {
		faults = append(faults, Fault{
			Kind: FaultNoManifest, File: calls.segments[0].file, Written: calls.newest, Reason: "manifest/ has no files of a day that has calls in calls/",
		})
	}
	if len(files.closings) > 0 {
		lines, err := l.seal(ctx, files.segments)
		if err != nil {
			return err
		}
		rows, err := l.seal(ctx, calls.segments)
		if err != nil {
			return err
		}
		for _, c := range files.closings {
			found, err := l.compare(ctx, c, files.segments, d, lines, rows)
			if err == nil && len(found) > 0 {
				found, err = l.unexplained(ctx, found, c, d, lines, rows)
			}
			if err != nil {
				return err
			}
			faults = append(faults, found...)
			c.broken = c.broken || len(found) > 0
		}
	}
	told := map[Fault]bool{} // two day lines may list the same segment
	for _, f := range faults {
		if told[f] {
			continue
		}
		told[f] = true
		if err := fault(f); err != nil {
			return err
		}
	}
	return nil
}

// compare compares a day line with its segments. lines and rows are the segments of both folders.
func (l *Ledger) compare(ctx context.Context, c *closing, segments []segment, d *Day, lines, rows []sealed) (faults []Fault, err error) {
	wrong := func(reason string) []Fault {
		return []Fault{{Kind: FaultDayLine, File: c.file, Line: c.number, Reason: reason}}
	}
	is, oldSum := c.line, ""
	switch {
	case c.void:
		return nil, nil
	case !c.line.holds(d.day):
		return wrong("it belongs to another day, or its counts contradict each other"), nil
	case c.old == nil:
		namedLines, lost := pick(treeManifest, d.day, c.line.Segments, lines)
		namedRows, lostRows := pick(treeCalls, d.day, c.line.CallsSegments, rows)
		faults = append(lost, lostRows...)
		is.vouch(namedLines, namedRows)
	case len(c.lacking) > 0:
		reason := fmt.Sprintf("the day was closed with %d manifest files, now there are %d", c.old.segments, len(c.named))
		return []Fault{{Kind: FaultLostSegments, File: c.file, Line: c.number, Reason: reason}}, nil
	case c.broken: // of an older version, so its segments are unknown
		return nil, nil
	default:
		oldSum, is.Lines, err = l.sumOld(ctx, c, segments)
	}
	if err != nil || len(faults) > 0 || d.hasBad {
		return faults, err
	}
	if d.count(&is); d.hides || !c.namesAll(segments) {
		is.Recordings, is.ByOutcome, is.Bytes = c.line.Recordings, c.line.ByOutcome, c.line.Bytes
	}
	switch {
	case is.Lines != c.line.Lines:
		return wrong(fmt.Sprintf("it counts %d lines, there are %d", c.line.Lines, is.Lines)), nil
	case is.Root != c.line.Root || is.CallsRoot != c.line.CallsRoot || c.old != nil && oldSum != c.old.sha256:
		return wrong("the lines have changed since the day was closed: their root or SHA-256 differs"), nil
	case is.Recordings != c.line.Recordings || is.Bytes != c.line.Bytes || !maps.Equal(is.ByOutcome, c.line.ByOutcome):
		return wrong("its counts differ from the lines"), nil
	}
	return nil, nil
}

// pick returns the segments of a day line, and a fault for each lost or changed one.
func pick(tree, day string, segments []Segment, found []sealed) (list []sealed, faults []Fault) {
	for _, s := range segments {
		i := slices.IndexFunc(found, func(f sealed) bool { return f.Name == s.Name })
		file := tree + "/" + day + "/" + s.Name
		if old := oldFile(tree, day); s.Name == path.Base(old) {
			file = old
		}
		switch {
		case i < 0:
			faults = append(faults, Fault{Kind: FaultLostSegments, File: file, Reason: "a day line names it, but it is missing"})
		case found[i].Segment != s || found[i].torn > 0:
			faults = append(faults, Fault{Kind: FaultChangedSegment, File: file, Reason: "its size or SHA-256 differs from closed.json"})
			if tree == treeCalls && found[i].torn > 0 && !isGzip(file) { // ReadCalls takes it for what a crash has left
				faults = append(faults, Fault{Kind: FaultBadLine, File: file, Line: found[i].torn, Reason: "the rows end in part of a line, or in a gap of NUL bytes"})
			}
		default:
			list = append(list, found[i])
		}
	}
	return list, faults
}

// sumOld hashes and counts the lines that the day line of an older version covers: those of its segments or, if it is
// the last line of the day's single file, those before it.
func (l *Ledger) sumOld(ctx context.Context, c *closing, segments []segment) (sum string, lines int64, err error) {
	hash := sha256.New()
	for _, s := range segments {
		if !c.named[s.name()] {
			continue
		}
		r := l.read(ctx, s, maxLine, 0)
		for r.next() {
			if c.end == 0 || r.off < c.end {
				hash.Write(r.line)
				hash.Write([]byte("\n"))
				lines++
			}
		}
		if r.err != nil {
			return "", 0, r.err
		}
	}
	return hex.EncodeToString(hash.Sum(nil)), lines, nil
}
