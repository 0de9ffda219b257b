package manifest

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"iter"
	"maps"
	"path"
	"time"
)

// FaultKind says what is wrong with the lines of a day.
type FaultKind string

// The faults that an Audit finds.
const (
	// FaultBadLine: a complete line that cannot be read.
	FaultBadLine FaultKind = "bad_line"
	// FaultTornLine: the file ends in part of a line. A crash leaves that, and so does a cut.
	FaultTornLine FaultKind = "torn_line"
	// FaultDayLine: a day line disagrees with the lines before it.
	FaultDayLine FaultKind = "wrong_day_line"
	// FaultLostSegments: the day was closed over more segments than there are now.
	FaultLostSegments FaultKind = "lost_segments"
)

// Fault is one thing that is wrong with the lines of a day. Its texts quote nothing of the lines.
type Fault struct {
	Kind   FaultKind
	File   string // the file or segment, from the archive's root
	Line   int    // from 1 within File
	Reason string
	// Written is when the file was last written to, for a torn line alone: a line that another process is
	// writing at this moment looks torn.
	Written time.Time
}

// Audited is a recording that is archived by the line that decides about it.
type Audited struct {
	ID    string
	State State
	// SHA256 of the stored bytes, and the store's entity tag, as they were noted.
	SHA256 [32]byte
	ETag   string
	// Unproved says that a line lacks the size or the SHA-256 of the stored bytes, Contradicted that two
	// lines name the same key with different ones.
	Unproved, Contradicted bool
}

// Named is a key under which a recording stands or stood.
type Named struct {
	ID, Key string
	// Current says that this is the key of the line that decides, and that the line says archived.
	Current bool
}

// Audit is one day, read with mistrust: where Ledger.Day gives up at the first bad line, an audit reports it and
// reads on, and it compares every day line with what stands before it. It holds what it has read, about as
// much again as a Day does.
type Audit struct {
	day      string
	report   func(Fault)
	fold     fold
	proofs   []proof            // by the fold's entry; the first key of each
	more     map[uint32][]proof // further keys, of the rare recordings that were fetched again
	lines    int64
	sum      hash.Hash
	bad      int      // bad lines in files and segments
	wrong    []Fault  // of day lines
	closing  *dayLine // the day line, while it is last
	place    rawLine  // of closing
	segments []string // S3: names of the segments
	faults   int
}

// proof is what lines say of the bytes under one key.
type proof struct {
	key, etag                        string
	sum                              [32]byte
	size                             int64
	archived, unproved, contradicted bool
}

// Audit reads a day and calls report, which may be nil, for each fault. The error is a *VersionError when a
// later version wrote to the day, else what kept it from being read. It takes no lock and changes nothing.
func (l *Ledger) Audit(ctx context.Context, day string, report func(Fault)) (*Audit, error) {
	if err := checkDay(day); err != nil {
		return nil, err
	}
	a := &Audit{day: day, report: report, sum: sha256.New()}
	var v view
	for raw, err := range lines(ctx, day, a.noteSegments(l.medium.pieces(ctx, treeManifest, day)), maxLine) {
		if err := a.take(raw, err, &v); err != nil {
			return nil, l.refuseLater(err)
		}
	}
	if err := a.finish(ctx, l.medium); err != nil {
		return nil, err
	}
	return a, nil
}

// noteSegments remembers the names of the segments that are read.
func (a *Audit) noteSegments(pieces iter.Seq2[piece, error]) iter.Seq2[piece, error] {
	return func(yield func(piece, error) bool) {
		for p, err := range pieces {
			if err == nil && p.name != closedKey(a.day) {
				a.segments = append(a.segments, path.Base(p.name))
			}
			if !yield(p, err) {
				return
			}
		}
	}
}

// take takes one line. It returns what ends the audit.
func (a *Audit) take(raw rawLine, err error, v *view) error {
	bad, isBad := errors.AsType[*BadLineError](err)
	if err != nil && !isBad {
		return err
	}
	isClosing := raw.file == closedKey(a.day)
	if !isBad {
		if isClosing {
			err = a.takeClosing(raw)
		} else {
			err = a.takeLine(raw, v)
		}
		if err == nil {
			return nil
		}
		err = raw.fault(a.day, err)
		if bad, isBad = errors.AsType[*BadLineError](err); !isBad {
			return err // of a later version
		}
	}
	if !isClosing {
		a.bad++
	}
	a.tell(Fault{Kind: FaultBadLine, File: raw.file, Line: raw.n, Reason: bad.Reason})
	return nil
}

func (a *Audit) tell(f Fault) {
	a.faults++
	if a.report != nil {
		a.report(f)
	}
}

func (a *Audit) takeLine(raw rawLine, v *view) error {
	kind, err := readLine(raw.text[:len(raw.text)-1], v)
	if err != nil {
		return err
	}
	a.closing = nil
	switch kind {
	case kindRecording:
		a.fold.add(v)
		a.prove(v)
	case kindRepair:
		a.wrong = nil // what day lines before it vouched for was mended
	case kindDay:
		a.takeDayLine(raw)
	}
	a.lines++
	a.sum.Write(raw.text)
	return nil
}

// readLine is parseLine for whoever trusts no line: it also refuses lines that parse and cannot be used.
func readLine(text []byte, v *view) (kind string, err error) {
	kind, err = parseLine(text, v)
	switch {
	case err != nil:
	case kind == kindDay:
		var l dayLine
		err = decodeKind(text, &l, &l.header, kindDay)
	case kind == kindRecording && len(v.key) == 0 && Outcome(v.outcome) == Archived:
		err = errKeyless // such a line keeps a recording from being fetched, and says nothing of where it is
	}
	return kind, err
}

var errKeyless = errors.New("an archived recording without a key")

// takeDayLine compares a day line of a file with the lines before it.
func (a *Audit) takeDayLine(raw rawLine) {
	var l dayLine
	_ = decodeKind(raw.text[:len(raw.text)-1], &l, &l.header, kindDay) // readLine has proved that it can be read
	a.closing, a.place = &l, raw
	if reason := a.disagrees(l.DayLine); reason != "" {
		a.closing = nil
		a.wrong = append(a.wrong, Fault{Kind: FaultDayLine, File: raw.file, Line: raw.n, Reason: reason})
	}
}

// disagrees says in what a day line differs from the bytes before it, "" for nothing. It is cheap.
func (a *Audit) disagrees(l DayLine) string {
	switch {
	case l.Day != a.day:
		return "it is of another day"
	case a.bad > 0:
		return "" // the bad lines are told of; without them nothing can agree
	case l.Lines != a.lines:
		return fmt.Sprintf("it counts %d lines, there are %d", l.Lines, a.lines)
	case l.SHA256 != hex.EncodeToString(a.sum.Sum(nil)):
		return "the lines before it are not those that it was written for: their sha256 differs"
	}
	return ""
}

// miscounts says in what a day line's counts differ from what its lines come to, "" for nothing.
func (a *Audit) miscounts(l DayLine) string {
	byOutcome, bytes := a.fold.tally()
	switch {
	case a.bad > 0:
		return ""
	case !l.Closed || l.Recordings != a.fold.entries.n:
		return fmt.Sprintf("it counts %d recordings, there are %d", l.Recordings, a.fold.entries.n)
	case !maps.Equal(l.ByOutcome, byOutcome):
		return "its counts by outcome are not those of the lines"
	case l.Bytes != bytes:
		return fmt.Sprintf("it counts %d bytes archived, the lines come to %d", l.Bytes, bytes)
	}
	return ""
}

// takeClosing takes closed.json, which is read after every segment.
func (a *Audit) takeClosing(raw rawLine) error {
	text := raw.text[:len(raw.text)-1]
	if _, err := parseHeader(text); err != nil {
		return err
	}
	var l dayLine
	if err := decodeKind(text, &l, &l.header, kindDay); err != nil {
		return err
	}
	raw.text = nil // it is valid only now
	a.closing, a.place = &l, raw
	return nil
}

// prove keeps what a line says of the bytes under its key.
func (a *Audit) prove(v *view) {
	for len(a.proofs) < a.fold.entries.n {
		a.proofs = append(a.proofs, proof{})
	}
	outcome := Outcome(v.outcome)
	if outcome.waits() || outcome == Lost || len(v.key) == 0 {
		return // nothing is stored under this key
	}
	i, _ := a.fold.find(v.id) // take has folded it in
	p := a.proofOf(i, v.key)
	if outcome != Archived {
		return
	}
	var sum [32]byte
	n, err := hex.Decode(sum[:], v.sha256[:min(len(v.sha256), 2*len(sum))])
	switch {
	case err != nil || n != len(sum) || len(v.sha256) != 2*len(sum) || v.size <= 0:
		p.unproved = true
	case p.archived && (p.sum != sum || p.size != v.size):
		p.contradicted = true
	}
	p.archived, p.sum, p.size = true, sum, v.size
	if len(v.etag) > 0 {
		p.etag = string(v.etag)
	}
}

// proofOf returns the place for a key of entry i.
func (a *Audit) proofOf(i uint32, key []byte) *proof {
	first := &a.proofs[i]
	if first.key == "" {
		first.key = string(key)
	}
	if first.key == string(key) {
		return first
	}
	for j := range a.more[i] {
		if p := &a.more[i][j]; p.key == string(key) {
			return p
		}
	}
	if a.more == nil {
		a.more = map[uint32][]proof{}
	}
	a.more[i] = append(a.more[i], proof{key: string(key)})
	return &a.more[i][len(a.more[i])-1]
}

// finish judges the day line that is left as the last, and reports what was held back.
func (a *Audit) finish(ctx context.Context, m medium) error {
	switch m := m.(type) {
	case *disk:
		if err := a.findTornLine(m); err != nil {
			return err
		}
		if a.closing != nil {
			a.suspect(a.miscounts(a.closing.DayLine))
		}
	case *bucket:
		if err := a.judgeClosing(ctx, m); err != nil {
			return err
		}
	}
	for _, f := range a.wrong {
		a.tell(f)
	}
	return nil
}

func (a *Audit) suspect(reason string) {
	if reason != "" {
		a.wrong = append(a.wrong, Fault{Kind: FaultDayLine, File: a.place.file, Line: a.place.n, Reason: reason})
	}
}

// findTornLine looks for what stands behind the last whole line.
func (a *Audit) findTornLine(d *disk) error {
	f, size, err := d.openDay(treeManifest, a.day)
	if err != nil || f == nil {
		return err
	}
	defer f.Close() // only read from
	end, err := goodEnd(f, size)
	if err != nil {
		return fmt.Errorf("find last line of %s: %w", a.day, err)
	}
	if end == size {
		return nil
	}
	info, err := f.Stat()
	if err != nil {
		return fmt.Errorf("look at manifest file: %w", err)
	}
	a.tell(Fault{
		Kind: FaultTornLine, File: fileName(treeManifest, a.day), Line: int(a.lines) + a.bad + 1,
		Reason: fmt.Sprintf("%d bytes without the end of a line", size-end), Written: info.ModTime(),
	})
	return nil
}

// judgeClosing compares closed.json with the segments. One that is older than a segment says nothing.
func (a *Audit) judgeClosing(ctx context.Context, b *bucket) error {
	if a.closing == nil || a.place.file != closedKey(a.day) {
		return nil
	}
	line := a.closing.DayLine
	if line.stands(a.segments) {
		reason := a.disagrees(line)
		if reason == "" {
			reason = a.miscounts(line)
		}
		a.suspect(reason)
		return nil
	}
	if !a.lacks(line) {
		return nil
	}
	// A run may have closed the day between our listing and our reading of closed.json.
	now, err := b.list(ctx, treeManifest, a.day)
	if err != nil {
		return err
	}
	if len(now.segments) != len(a.segments) {
		return nil
	}
	a.wrong = append(a.wrong, Fault{
		Kind: FaultLostSegments, File: a.place.file, Line: a.place.n,
		Reason: fmt.Sprintf("the day was closed over %d segments, there are %d", line.Segments, len(a.segments)),
	})
	return nil
}

// lacks reports whether segments are gone that stood when the day was closed.
func (a *Audit) lacks(line DayLine) bool {
	if line.Segments > len(a.segments) {
		return true
	}
	for _, name := range a.segments {
		if name == line.LastSegment {
			return false
		}
	}
	return line.LastSegment != ""
}

// Faults returns how many faults were reported.
func (a *Audit) Faults() int { return a.faults }

// Recordings yields the recordings that are archived, in the order of their first line.
func (a *Audit) Recordings() iter.Seq[Audited] {
	return func(yield func(Audited) bool) {
		for i := range a.fold.entries.n {
			s := a.fold.state(uint32(i))
			if s.Outcome != Archived {
				continue
			}
			r := Audited{ID: a.fold.entries.at(i).id(), State: s, Unproved: true}
			for p := range a.proofsOf(uint32(i)) {
				if p.key == s.Key {
					r.SHA256, r.ETag, r.Unproved, r.Contradicted = p.sum, p.etag, p.unproved, p.contradicted
				}
			}
			if !yield(r) {
				return
			}
		}
	}
}

// Damaged yields the recordings that were found damaged and not fetched again since.
func (a *Audit) Damaged() iter.Seq2[string, State] {
	return func(yield func(string, State) bool) {
		for i := range a.fold.entries.n {
			e := a.fold.entries.at(i)
			if a.fold.outcome(e) == Damaged && !yield(e.id(), a.fold.state(uint32(i))) {
				return
			}
		}
	}
}

// Keys yields every key under which a recording of the day is or was stored by its lines, older ones
// of recordings that were damaged included.
func (a *Audit) Keys() iter.Seq[Named] {
	return func(yield func(Named) bool) {
		for i := range a.fold.entries.n {
			e := a.fold.entries.at(i)
			archived := a.fold.outcome(e) == Archived
			for p := range a.proofsOf(uint32(i)) {
				if !yield(Named{ID: e.id(), Key: p.key, Current: archived && p.key == e.key()}) {
					return
				}
			}
		}
	}
}

func (a *Audit) proofsOf(i uint32) iter.Seq[*proof] {
	return func(yield func(*proof) bool) {
		if int(i) >= len(a.proofs) || a.proofs[i].key == "" || !yield(&a.proofs[i]) {
			return
		}
		for j := range a.more[i] {
			if !yield(&a.more[i][j]) {
				return
			}
		}
	}
}
