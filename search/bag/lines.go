// Writes the manifest lines, digests and seals of a bag.

package bag

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strings"

	"convoso-archiver/manifest"
)

const (
	linesFolder   = payload + "lines/"
	digestsFolder = payload + "digests/"
	sealsFolder   = "seals/"
)

// wanted are the found calls of a day. Erased ones are false: their lines may still exist, but only their stubs may
// be in the bag.
type wanted struct {
	day        string
	count      int // of calls
	calls      map[string]bool
	recordings map[string]bool
}

// lines writes the ledger lines of a day's calls, and the digests of all lines of their segments.
func (w *writing) lines(ctx context.Context, of wanted) error {
	if of.day == "" {
		return nil
	}
	if w.first == "" {
		w.first = of.day
	}
	w.last = of.day
	w.sum.Days++
	w.days = append(w.days, bagDay{day: of.day, calls: of.count, roots: map[string]string{}})
	for _, tree := range []manifest.Tree{manifest.TreeManifest, manifest.TreeCalls} {
		segments, err := w.Ledger.Segments(ctx, tree, of.day)
		if err != nil {
			return err
		}
		for _, s := range segments {
			if err := w.segment(ctx, of, s); err != nil {
				return fmt.Errorf("read the lines of %s: %w", of.day, err)
			}
		}
	}
	return nil
}

// segment writes the wanted lines of a segment, and no file if there are none.
func (w *writing) segment(ctx context.Context, of wanted, s manifest.StoredSegment) error {
	name := lineFile(s.Tree, of.day, s.Name)
	var digests bytes.Buffer
	var lines *file
	defer func() { lines.discard() }()
	_, err := w.Ledger.ReadSegment(ctx, s, func(l manifest.SegmentLine) (err error) {
		digests.Write(l.Digest)
		digests.WriteByte('\n')
		if !of.has(s.Tree, l) {
			return nil
		}
		if lines == nil {
			if lines, err = w.folder.create(linesFolder + name + ".jsonl"); err != nil {
				return err
			}
		}
		w.sum.Lines++
		if _, err := lines.Write(l.Raw); err != nil {
			return err
		}
		_, err = lines.Write([]byte("\n"))
		return err
	})
	if err != nil || lines == nil {
		return err
	}
	if err := lines.finish(); err != nil {
		return err
	}
	w.files.add(lines.name, lines.sum(), lines.size)
	h, err := w.folder.write(digestsFolder+name+".txt", digests.String())
	if err != nil {
		return err
	}
	w.files.add(digestsFolder+name+".txt", h.sum(), h.size)
	w.days[len(w.days)-1].roots[name] = h.sum()
	return nil
}

// has reports whether a line is about a found call.
func (of *wanted) has(tree manifest.Tree, l manifest.SegmentLine) bool {
	if l.Bad != nil {
		return false
	}
	var kept, found bool
	if tree == manifest.TreeManifest {
		r, ok, err := l.Recording()
		if ok && err == nil {
			kept, found = of.recordings[r.RecordingID]
		}
	} else {
		var c struct {
			CallID string `json:"call_id"`
		}
		if json.Unmarshal(l.Raw, &c) == nil {
			kept, found = of.calls[c.CallID]
		}
	}
	return found && (kept || l.Stub)
}

var sealPattern = regexp.MustCompile(`^seals/[0-9]{6,9}\.(json|sig|tsr)$`)

// seals copies all seals, because each contains the hash of the previous one, and a single seal
// proves less.
func (w *writing) seals(ctx context.Context) error {
	objects := w.Ledger.Objects()
	var names []string
	for info, err := range objects.ListFiles(ctx, sealsFolder) {
		if err != nil {
			return fmt.Errorf("list the seals: %w", err)
		}
		if sealPattern.MatchString(info.Name()) {
			names = append(names, info.Name())
		}
	}
	for _, name := range names {
		body, _, err := objects.GetFile(ctx, name)
		if err != nil {
			return fmt.Errorf("read %s: %w", name, err)
		}
		text, err := io.ReadAll(body)
		_ = body.Close() // already read, or failed
		if err != nil {
			return fmt.Errorf("read %s: %w", name, err)
		}
		h, err := w.folder.write(payload+name, string(text))
		if err != nil {
			return err
		}
		w.files.add(payload+name, h.sum(), h.size)
		number, isSeal := strings.CutSuffix(name, ".json")
		if !isSeal {
			continue
		}
		w.sum.Seals++
		if slices.Contains(names, number+".sig") {
			w.signed = append(w.signed, text)
		}
	}
	return nil
}
