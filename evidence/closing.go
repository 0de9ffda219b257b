// Compares closed.json with the seals.

package evidence

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io/fs"
	"slices"
	"strings"

	"convoso-archiver/manifest"
)

// checkClosings compares closed.json with the newest seal. It reports whether the day was closed again after the seal,
// or for another filter, or after an erasure; then its day lines must be compared with all lines of the day.
func (r *auditing) checkClosings(ctx context.Context, d *daySeals) (changed bool, err error) {
	name := string(manifest.TreeManifest) + "/" + d.day + "/closed.json"
	text, err := readAll(ctx, r.Ledger.Objects(), name)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return false, err
	}
	lines := map[string][]manifest.DayLine{}
	for raw := range strings.Lines(string(text)) {
		line, err := (manifest.Line{Raw: []byte(strings.TrimSuffix(raw, "\n"))}).DayLine()
		// This program did not write a line with the same content but other bytes.
		if written, textErr := line.Text(); err == nil && textErr == nil && string(written) == raw {
			lines[line.Filter] = append(lines[line.Filter], line)
		}
	}
	reclosed := false
	for _, filter := range sortedKeys(lines) {
		sealed, ok := d.newest[filter]
		changed = changed || !ok
		for _, line := range lines[filter] { // like seal does: an erasure leaves nothing to seal
			reclosed = reclosed || isUnsealed(line, sealed.SealedDay)
			for tree, list := range map[manifest.Tree][]manifest.Segment{manifest.TreeManifest: line.Segments, manifest.TreeCalls: line.CallsSegments} {
				for _, s := range list {
					delete(d.unsealed, string(tree)+"/"+d.day+"/"+s.Name)
				}
			}
		}
	}
	for _, filter := range sortedKeys(d.newest) {
		sealed := d.newest[filter]
		kind, problem, again := d.judgeClosing(lines[filter], sealed.SealedDay)
		changed = changed || again
		if problem != "" {
			r.find(Finding{Kind: kind, Seal: sealed.seal, Day: d.day, File: name, Detail: problem})
		}
	}
	r.count(func(a *Audited) {
		if a.Unclosed += len(d.unsealed); reclosed {
			a.Reclosed++
		}
	})
	return changed, nil
}

// isUnsealed reports whether the next seal includes a day line, given the newest sealed one for its
// filter.
func isUnsealed(line manifest.DayLine, sealed SealedDay) bool {
	return !manifest.IsPersonal(line.Filter) && (line.Root == "" || line.Root+line.CallsRoot != sealed.Root+sealed.CallsRoot)
}

// judgeClosing returns what is wrong with the day lines for a filter, given the sealed one, and whether the day was
// closed again or lost recordings by erasure.
func (d *daySeals) judgeClosing(lines []manifest.DayLine, sealed SealedDay) (kind FindingKind, problem string, again bool) {
	if len(lines) == 0 {
		return ClosingMissing, "the day was sealed as closed, but its day line is missing", false
	}
	if len(lines) > 1 {
		return ClosingChanged, "there are two day lines for one filter", true
	}
	line := lines[0]
	if line.Root != sealed.Root || line.CallsRoot != sealed.CallsRoot {
		if !namesAll(line.Segments, sealed.Segments) || !namesAll(line.CallsSegments, sealed.CallsSegments) || !holdsAll(line.Kept, sealed.Kept) {
			return ClosingChanged, "its day line omits files that were sealed", true
		}
		return "", "", true
	}
	same, erased := sameClosing(line, sealed.DayLine)
	switch {
	case !same:
		return ClosingChanged, "its day line differs from the seal", erased
	case !d.lieSo(manifest.TreeManifest, line.Segments, sealed.Segments) || !d.lieSo(manifest.TreeCalls, line.CallsSegments, sealed.CallsSegments):
		return ClosingChanged, "the files, sizes or hashes in its day line differ from the files in the archive", erased
	}
	return "", "", erased
}

// sameClosing compares a day line with the sealed one, except the files. An erasure also changes outcomes and bytes,
// but never the counts; then it reports erased.
func sameClosing(line, sealed manifest.DayLine) (same, erased bool) {
	gone := func(l manifest.DayLine) int { return l.ByOutcome[manifest.Erased] + l.ByOutcome[manifest.Expired] }
	if erased = gone(line) > gone(sealed); erased {
		line.ByOutcome, line.Bytes = sealed.ByOutcome, sealed.Bytes
	}
	line.Segments, line.CallsSegments, sealed.Segments, sealed.CallsSegments = nil, nil, nil, nil
	a, errA := json.Marshal(line)
	b, errB := json.Marshal(sealed)
	return errA == nil && errB == nil && bytes.Equal(a, b), erased
}

// namesAll reports whether a day line names all sealed files.
func namesAll(named []manifest.Segment, sealed []SealedLines) bool {
	return !slices.ContainsFunc(sealed, func(s SealedLines) bool {
		return !slices.ContainsFunc(named, func(n manifest.Segment) bool { return n.Name == s.Name })
	})
}

func holdsAll(list, wanted []string) bool {
	return !slices.ContainsFunc(wanted, func(w string) bool { return !slices.Contains(list, w) })
}

// lieSo reports whether files match the day line that was sealed with them. It ignores a missing file, and a
// file whose lines differ from the seal, because other findings report them. No seal signs these sizes and
// hashes, so the result is the same if someone changed them in the day line too.
func (d *daySeals) lieSo(tree manifest.Tree, named []manifest.Segment, sealed []SealedLines) bool {
	return slices.EqualFunc(named, sealed, func(n manifest.Segment, s SealedLines) bool {
		file := string(tree) + "/" + d.day + "/" + n.Name
		is, there := d.files[file]
		return n.Name == s.Name && (!there || is == n || d.explains(file, s))
	})
}

// explains reports whether a file has other lines than a seal says, and notes that a day line does not fit it.
func (d *daySeals) explains(file string, sealed SealedLines) bool {
	i := d.changedAt(file, sealed)
	if i >= 0 {
		d.changed[i].unfit = true
	}
	return i >= 0
}

// checkLater reads the whole day, including unsealed lines. Day lines of a day that was closed again must match its
// lines. No line may contradict a recording that is sealed as archived, because that line is not signed.
func (r *auditing) checkLater(ctx context.Context, d *daySeals, sealed *manifest.Day, changed bool) error {
	whole, err := r.Ledger.ReadAll(ctx, d.day, func(f manifest.Fault) error {
		if changed {
			r.find(Finding{Kind: ClosingChanged, Seal: d.lastSeal(), Day: d.day, File: f.File, Line: f.Line, Detail: f.Reason})
		}
		return nil
	})
	if err != nil || sealed == nil {
		return err
	}
	for id, was := range sealed.Recordings() {
		is, _ := whole.Recording(id)
		if d.unsure[id] || was.Outcome != manifest.Archived || is.Outcome == was.Outcome && is.Key == was.Key && is.SHA256 == was.SHA256 && is.Size == was.Size {
			continue
		}
		r.find(Finding{
			Kind: Replaced, Seal: d.lastSeal(), Day: d.day, RecordingID: id,
			Detail: "lines added after the seal name other audio, or none; if verify --repair wrote them, run archive and then seal",
		})
	}
	return nil
}
