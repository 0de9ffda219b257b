package manifest

import (
	"math"
	"slices"
	"strings"
	"time"
)

// zeroUnix is the zero time.Time as the ledger writes and reads it.
var zeroUnix = time.Time{}.Unix()

// State is what the lines of one recording come to.
type State struct {
	Outcome   Outcome
	Key       string
	Size      int64 // bytes
	Time      time.Time
	FirstSeen time.Time // earliest of all its lines
	Attempts  int       // as the deciding line says
	Reason    string
	CallID    string

	// NotFoundSince is the time of the first line that waits with ReasonNotFound, zero when there is none
	// or the recording no longer waits; NotFoundListing is the listing whose link was answered so then.
	NotFoundSince   time.Time
	NotFoundListing string
}

// fold keeps the deciding line of each recording of a day. The result does not depend on the order of the
// lines, but for lines of one run and one second, of which the later counts. It is not safe for
// concurrent use. Its memory stays below 200 bytes a recording.
type fold struct {
	index    idIndex
	entries  entries
	texts    texts
	told     map[uint32]told    // waiting recordings that were not found
	rivals   map[uint32][]entry // the rare ones whose deciding line depends on more than the last decision
	runs     names
	outcomes names
}

// entry is a line without what nobody asks for. Strings stand end to end in one, which saves an
// allocation and a header for each.
type entry struct {
	text                   string // id, key, call id, reason
	size, time, first      int64
	run, outcome           uint32
	attempts               uint16 // no more than fit
	idLen, keyLen, callLen uint16
}

func (e *entry) id() string     { return e.text[:e.idLen] }
func (e *entry) key() string    { return e.text[e.idLen:][:e.keyLen] }
func (e *entry) callID() string { return e.text[int(e.idLen)+int(e.keyLen):][:e.callLen] }
func (e *entry) reason() string {
	return e.text[int(e.idLen)+int(e.keyLen)+int(e.callLen):]
}

// entries is a list that grows by blocks: a slice of all would waste a quarter, and copy it all to grow.
type entries struct {
	blocks [][]entry
	n      int
}

const entryBlock = 512

func (l *entries) at(i int) *entry { return &l.blocks[i/entryBlock][i%entryBlock] }

func (l *entries) add(e entry) {
	if l.n%entryBlock == 0 {
		var block []entry
		if l.n > 0 { // a small day shall not pay for a whole block
			block = make([]entry, 0, entryBlock)
		}
		l.blocks = append(l.blocks, block)
	}
	last := &l.blocks[len(l.blocks)-1]
	*last = append(*last, e)
	l.n++
}

// texts joins the texts of many entries in few allocations, which stay for as long as one of them does.
type texts struct{ block strings.Builder }

const (
	smallestTexts = 1 << 10
	largestTexts  = 32 << 10
)

// join returns the parts end to end.
func (t *texts) join(parts ...[]byte) string {
	size := lengthOf(parts)
	if t.block.Cap()-t.block.Len() < size { // to grow the block would copy it
		next := min(max(2*t.block.Cap(), smallestTexts), largestTexts)
		t.block = strings.Builder{}
		t.block.Grow(max(next, size))
	}
	start := t.block.Len()
	for _, part := range parts {
		t.block.Write(part)
	}
	return t.block.String()[start:]
}

// join returns the parts end to end in a string of its own.
func join(parts ...[]byte) string {
	var b strings.Builder
	b.Grow(lengthOf(parts))
	for _, part := range parts {
		b.Write(part)
	}
	return b.String()
}

func lengthOf(parts [][]byte) (n int) {
	for _, part := range parts {
		n += len(part)
	}
	return n
}

type told struct {
	since   int64
	run     uint32
	listing string
}

// names numbers strings of which there are few.
type names struct {
	list   []string
	number map[string]uint32
}

func (n *names) of(b []byte) uint32 {
	if i, ok := n.number[string(b)]; ok {
		return i
	}
	if n.number == nil {
		n.number = map[string]uint32{}
	}
	i := uint32(len(n.list))
	s := string(b)
	n.list, n.number[s] = append(n.list, s), i
	return i
}

// add folds in one recording line.
func (f *fold) add(v *view) {
	if v.firstSeen == zeroUnix {
		v.firstSeen = v.time
	}
	i, known := f.find(v.id)
	if !known {
		f.insert(v)
		return
	}
	old := f.entries.at(int(i))
	old.first = min(old.first, v.firstSeen)
	outcome := Outcome(v.outcome)
	switch {
	case outcome.waits() && f.outcome(old).waits():
		f.noteTold(i, v)
		if e := f.shallow(v); f.compare(&e, old) >= 0 {
			f.replace(i, f.entry(v))
		}
	case outcome.waits():
		// What is decided outranks it.
	case f.outcome(old).waits():
		if delete(f.told, i); len(f.told) == 0 {
			f.told = nil // a map does not shrink
		}
		f.replace(i, f.entry(v))
	default:
		f.settle(i, f.entry(v))
	}
}

// find returns the number of the entry of a recording.
func (f *fold) find(id []byte) (uint32, bool) {
	return f.index.find(id, func(i uint32) bool { return f.entries.at(int(i)).id() == string(id) })
}

func (f *fold) insert(v *view) {
	i := uint32(f.entries.n)
	f.entries.add(f.entryOf(v, f.texts.join(v.id, v.key, v.callID, v.reason)))
	f.index.add(v.id, i)
	if Outcome(v.outcome).waits() {
		f.noteTold(i, v)
	}
}

// shallow is the part of an entry that compare looks at, without the strings' allocation.
func (f *fold) shallow(v *view) entry {
	return entry{time: v.time, run: f.runs.of(v.run)}
}

// entry is for a line that may replace another one: its text stands alone, and goes with it.
func (f *fold) entry(v *view) entry {
	return f.entryOf(v, join(v.id, v.key, v.callID, v.reason))
}

func (f *fold) entryOf(v *view, text string) entry {
	return entry{
		text: text, size: v.size, time: v.time, first: v.firstSeen,
		run: f.runs.of(v.run), outcome: f.outcomes.of(v.outcome), attempts: uint16(min(max(v.attempts, 0), math.MaxUint16)),
		idLen: uint16(len(v.id)), keyLen: uint16(len(v.key)), callLen: uint16(len(v.callID)),
	}
}

// replace puts e in place i.
func (f *fold) replace(i uint32, e entry) {
	old := f.entries.at(int(i))
	e.first = min(e.first, old.first)
	*old = e
}

// noteTold remembers the earliest "not found" of a recording.
func (f *fold) noteTold(i uint32, v *view) {
	listing, ok := notFound(string(v.reason))
	if !ok {
		return
	}
	t := told{since: v.time, run: f.runs.of(v.run), listing: listing}
	if old, known := f.told[i]; known &&
		(old.since < t.since || old.since == t.since && f.runs.list[old.run] <= f.runs.list[t.run]) {
		return
	}
	if f.told == nil {
		f.told = map[uint32]told{}
	}
	f.told[i] = t
}

// settle decides among lines that all outrank the waiting ones. "Only a later archived with another key
// beats damaged" cannot be decided from the last decision alone when lines come out of order, so the
// latest line of each outcome and key is kept as long as there are two.
func (f *fold) settle(i uint32, e entry) {
	list := f.rivals[i]
	if list == nil {
		list = []entry{*f.entries.at(int(i))}
	}
	list = f.merge(list, e)
	f.replace(i, f.decide(list))
	if len(list) == 1 {
		delete(f.rivals, i)
		return
	}
	if f.rivals == nil {
		f.rivals = map[uint32][]entry{}
	}
	f.rivals[i] = list
}

// merge keeps the latest line of each outcome and key, in the order in which they were folded.
func (f *fold) merge(list []entry, e entry) []entry {
	for j := range list {
		if list[j].outcome != e.outcome || list[j].key() != e.key() {
			continue
		}
		if f.compare(&e, &list[j]) < 0 {
			return list
		}
		list = slices.Delete(list, j, j+1)
		break
	}
	return append(list, e)
}

// decide is the ranking: an unknown outcome beats all; damaged beats everything but an archived that is
// later and has another key; then archived and lost. Within a rank the later line counts.
func (f *fold) decide(list []entry) entry {
	if unknown := f.latest(list, func(o Outcome) bool { return o.Final() && o != Archived && o != Lost }); unknown >= 0 {
		return list[unknown]
	}
	damaged := f.latest(list, func(o Outcome) bool { return o == Damaged })
	if damaged < 0 {
		return list[f.latest(list, func(Outcome) bool { return true })]
	}
	winner := damaged
	for j := range list {
		if f.outcome(&list[j]) == Archived && list[j].key() != list[damaged].key() && f.later(list, j, damaged) &&
			(winner == damaged || f.later(list, j, winner)) {
			winner = j
		}
	}
	return list[winner]
}

// latest returns the index of the latest line with such an outcome, -1 for none.
func (f *fold) latest(list []entry, such func(Outcome) bool) int {
	found := -1
	for j := range list {
		if such(f.outcome(&list[j])) && (found < 0 || f.later(list, j, found)) {
			found = j
		}
	}
	return found
}

// later reports whether line a of the list is later than line b.
func (f *fold) later(list []entry, a, b int) bool {
	c := f.compare(&list[a], &list[b])
	return c > 0 || c == 0 && a > b
}

// compare orders lines by time, then run. Equal lines are ordered by their sequence, which is the
// order in which they are folded.
func (f *fold) compare(a, b *entry) int {
	switch {
	case a.time < b.time:
		return -1
	case a.time > b.time:
		return 1
	}
	return strings.Compare(f.runs.list[a.run], f.runs.list[b.run])
}

func (f *fold) outcome(e *entry) Outcome { return Outcome(f.outcomes.list[e.outcome]) }

// state returns the state of entry i.
func (f *fold) state(i uint32) State {
	e := f.entries.at(int(i))
	s := State{
		Outcome: f.outcome(e), Key: e.key(), Size: e.size, Time: time.Unix(e.time, 0).UTC(),
		FirstSeen: time.Unix(e.first, 0).UTC(), Attempts: int(e.attempts), Reason: e.reason(), CallID: e.callID(),
	}
	if t, ok := f.told[i]; ok {
		s.NotFoundSince, s.NotFoundListing = time.Unix(t.since, 0).UTC(), t.listing
	}
	return s
}

// tally counts the recordings by outcome and sums the archived bytes.
func (f *fold) tally() (byOutcome map[Outcome]int, bytes int64) {
	byOutcome = map[Outcome]int{}
	for i := range f.entries.n {
		e := f.entries.at(i)
		o := f.outcome(e)
		byOutcome[o]++
		if o == Archived {
			bytes += e.size
		}
	}
	return byOutcome, bytes
}
