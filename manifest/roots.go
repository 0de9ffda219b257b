// Reads files of the manifest with the hashes of their lines, for seals.

package manifest

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strings"
)

// Tree is a folder of an archive that holds segments.
type Tree string

// The trees.
const (
	TreeManifest Tree = treeManifest
	TreeCalls    Tree = treeCalls
	TreeEvidence Tree = "evidence" // of no day
)

// StoredSegment is a segment as a listing shows it.
type StoredSegment struct {
	Name string // as a day line names it
	Tree Tree
	segment
}

// File is its name from the archive's root.
func (s StoredSegment) File() string { return s.file }

// SegmentLine is a line of a segment as [Ledger.ReadSegment] gives it.
type SegmentLine struct {
	Number int    // from 1
	Raw    []byte // without the line feed; valid until visit returns
	Digest []byte // 64 hex digits, valid likewise: the SHA-256 of Raw, or what a stub says in its place
	Stub   bool   // the line stands for one that was erased, and Digest is of that one
	Salted bool   // its hash reveals nothing of its content, or the line cannot be read
	Bad    error  // why it cannot be read, nil for a whole line
}

// Recording reads a line of kind recording; ok is false for a line of another kind.
func (l SegmentLine) Recording() (r Recording, ok bool, err error) {
	var v view
	kind, err := parseLine(l.Raw, &v)
	if err != nil || kind != kindRecording {
		return Recording{}, false, err
	}
	return v.recording(), true, nil
}

// Objects returns the archive's files, for what is beside the ledger. What is put there on disk needs the archive's
// lock.
func (l *Ledger) Objects() Objects { return l.objects }

// Segments returns the segments of a day in one tree, in the order in which they are read. Those of TreeEvidence belong
// to no day.
func (l *Ledger) Segments(ctx context.Context, tree Tree, day string) ([]StoredSegment, error) {
	if tree == TreeEvidence {
		return l.evidence(ctx, "")
	}
	if err := checkDay(day); err != nil {
		return nil, err
	}
	files, err := l.files(ctx, string(tree), day)
	if err != nil {
		return nil, err
	}
	list := make([]StoredSegment, 0, len(files.segments))
	for _, s := range files.segments {
		list = append(list, StoredSegment{Name: s.name(), Tree: tree, segment: s})
	}
	return list, nil
}

// evidence lists the files of evidence/ whose names begin with prefix.
func (l *Ledger) evidence(ctx context.Context, prefix string) ([]StoredSegment, error) {
	const folder = string(TreeEvidence) + "/"
	var list []StoredSegment
	for info, err := range l.objects.ListFiles(ctx, folder+prefix) {
		if err != nil {
			return nil, fmt.Errorf("list %s: %w", TreeEvidence, err)
		}
		if name := strings.TrimPrefix(info.Name(), folder); isSegment(name) {
			list = append(list, StoredSegment{Name: name, Tree: TreeEvidence, segment: segment{info.Name(), info.Size(), info.ModTime()}})
		}
	}
	return list, nil
}

// Fold adds the lines of a segment to a day, nil for none yet, and tells visit of each, as ReadSegment does. Lines
// that cannot be read are passed to visit and left out. The day takes no lines.
func (l *Ledger) Fold(ctx context.Context, d *Day, day string, s StoredSegment, visit func(SegmentLine) error) (*Day, Segment, error) {
	if d == nil {
		d = &Day{ledger: l, day: day, sizes: map[string]int64{}}
	}
	is, err := l.ReadSegment(ctx, s, func(line SegmentLine) error {
		if line.Bad == nil {
			_, line.Bad = d.take(line.Raw, nil)
		}
		return visit(line)
	})
	return d, is, err
}

// ReadSegment is ReadLines, and returns the file as it is stored.
func (l *Ledger) ReadSegment(ctx context.Context, s StoredSegment, visit func(SegmentLine) error) (Segment, error) {
	r := l.read(ctx, s.segment, maxCallLine, allSound)
	file := sha256.New()
	r.copyTo(file)
	if err := r.each(s.Tree, visit); err != nil {
		return Segment{}, err
	}
	return Segment{Name: s.Name, Bytes: r.file.n, SHA256: hex.EncodeToString(file.Sum(nil))}, nil
}

// ReadLines calls visit with each line of a segment, also of what follows its last whole line. An error of visit ends the
// reading.
func (l *Ledger) ReadLines(ctx context.Context, s StoredSegment, visit func(SegmentLine) error) error {
	return l.read(ctx, s.segment, maxCallLine, allSound).each(s.Tree, visit)
}

func (r *reader) each(tree Tree, visit func(SegmentLine) error) error {
	defer r.close()
	var digest []byte
	for r.next() {
		digest = appendDigest(digest[:0], r.line)
		_, stub := stubDigest(r.line)
		_, isUnsalted, err := saltLine(r.line, tree)
		line := SegmentLine{Number: r.n, Raw: r.line, Digest: digest, Stub: stub, Salted: !isUnsalted && err == nil, Bad: r.bad}
		if err := visit(line); err != nil {
			return fmt.Errorf("read %s: %w", r.s.file, err)
		}
	}
	return r.err
}
