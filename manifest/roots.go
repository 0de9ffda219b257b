// Reads manifest files with the hashes of their lines, for seals.

package manifest

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strings"
)

// Tree is a folder of an archive with segments.
type Tree string

// The trees.
const (
	TreeManifest Tree = treeManifest
	TreeCalls    Tree = treeCalls
	TreeEvidence Tree = "evidence" // not by day
)

// StoredSegment is a segment in a listing.
type StoredSegment struct {
	Name string // as in a day line
	Tree Tree
	segment
}

// File is its name relative to the archive's root.
func (s StoredSegment) File() string { return s.file }

// SegmentLine is a line of a segment, from [Ledger.ReadSegment].
type SegmentLine struct {
	Number int    // from 1
	Raw    []byte // without the line feed; valid until visit returns
	Digest []byte // 64 hex digits, same validity: the SHA-256 of Raw, or the digest in a stub
	Stub   bool   // the line replaces an erased one, whose digest is Digest
	Salted bool   // its hash does not reveal its content, or the line is unreadable
	Bad    error  // why it is unreadable, nil for a complete line
}

// Recording parses a line of kind recording; ok is false for other kinds.
func (l SegmentLine) Recording() (r Recording, ok bool, err error) {
	var v view
	kind, err := parseLine(l.Raw, &v)
	if err != nil || kind != kindRecording {
		return Recording{}, false, err
	}
	return v.recording(), true, nil
}

// Objects returns access to the archive's files outside of the ledger. On disk, writing needs the archive's lock.
func (l *Ledger) Objects() Objects { return l.objects }

// Segments returns the segments of a day in one tree, in reading order. Those of TreeEvidence belong to no day.
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

// Fold adds the lines of a segment to a day, nil for none yet, and calls visit with each, like ReadSegment.
// Unreadable lines are passed to visit and skipped. The day is read-only.
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

// ReadSegment is like ReadLines, and also returns the stored file.
func (l *Ledger) ReadSegment(ctx context.Context, s StoredSegment, visit func(SegmentLine) error) (Segment, error) {
	r := l.read(ctx, s.segment, maxCallLine, allSound)
	file := sha256.New()
	r.copyTo(file)
	if err := r.each(s.Tree, visit); err != nil {
		return Segment{}, err
	}
	return Segment{Name: s.Name, Bytes: r.file.n, SHA256: hex.EncodeToString(file.Sum(nil))}, nil
}

// ReadLines calls visit with each line of a segment, including the bytes after its last complete line. An error of
// visit ends the reading.
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
