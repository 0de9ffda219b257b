// Folds the lines of a recording into its state.

package manifest

import (
	"bytes"
	"cmp"
	"encoding/hex"
	"math"
	"time"
)

// zeroUnix is the zero time.Time in the ledger's encoding.
var zeroUnix = time.Time{}.Unix()

// State is the state of one recording, folded from its lines.
type State struct {
	Outcome     Outcome
	Final       bool // final by outcome, by its line, or by the rule of older versions: lost without a salt
	Old         bool // an older version wrote the deciding line, which has no salt
	Restored    bool
	Key         string
	Size        int64    // bytes
	SHA256      [32]byte // zero if the line has none
	ContentType string
	ETag        string
	Host        string
	Source      string
	CallID      string
	Reason      string
	Cause       string
	Attempts    int       // from the deciding line
	Time        time.Time // of the deciding line
	FirstSeen   time.Time // earliest of all its lines

	History
}

// fold keeps the deciding line of each recording of a day. The result does not depend on the order of the lines,
// except lines of one run and one second, of which the later one counts. It is not safe for concurrent use. It takes
// less than 350 bytes per recording.
type fold struct {
	index   map[string]*entry
	list    []*entry // in the order of the first line
	strings interner
	traits  map[traits]*traits
	scratch []byte
}

// entry holds the needed fields of a line. Its strings are joined into one, which saves an allocation and a
// header for each.
type entry struct {
	*traits
	text              string // the parts, then the reason
	lens              [parts]uint16
	attempts          uint16 // capped at the maximum
	size, time, first int64
	sum               [32]byte
	more              *more // nil for most
}

// traits are fields shared by many lines; each combination is stored once.
type traits struct {
	outcome                     Outcome
	run, host, cause, media     string
	isFinal, isOld, wasRestored bool
}

// more holds the fields that few recordings have.
type more struct {
	marks  []mark
	rivals []*entry // all lines that do not wait, if there are several
}

// The parts of an entry's text, in order. The reason is what follows them.
const (
	partID = iota
	partKey
	partCallID
	partSource
	partETag
	parts
)

func (e *entry) part(i int) string {
	start := e.start(i)
	return e.text[start:][:e.lens[i]]
}

// start returns the start of part i.
func (e *entry) start(i int) (at int) {
	for _, n := range e.lens[:i] {
		at += int(n)
	}
	return at
}

func (e *entry) id() string  { return e.part(partID) }
func (e *entry) key() string { return e.part(partKey) }

// interner deduplicates strings with few distinct values.
type interner map[string]string

// of returns b as a shared string.
func (n interner) of(b []byte) string {
	s, ok := n[string(b)]
	if !ok {
		s = string(b)
		n[s] = s
	}
	return s
}

// add folds in one recording line.
func (f *fold) add(v *view) *entry {
	if f.index == nil {
		*f = fold{index: map[string]*entry{}, strings: interner{}, traits: map[traits]*traits{}}
	}
	if v.firstSeen == zeroUnix {
		v.firstSeen = v.time
	}
	if len(v.cause) == 0 && bytes.HasPrefix(v.reason, []byte(CauseNotFound)) {
		if listing, ok := notFoundReason(string(v.reason)); ok {
			v.cause, v.listing = []byte(CauseNotFound), []byte(listing)
		}
	}
	e, known := f.index[string(v.id)]
	if !known {
		e = f.entry(v)
		f.list = append(f.list, e)
	}
	f.mark(e, v)
	if !known {
		f.index[e.id()] = e
		return e
	}
	first, m := min(e.first, v.firstSeen), e.more
	switch waits := waiting(Outcome(v.outcome)); {
	case !waits && !waiting(e.outcome):
		m = e.rival(f.entry(v))
		*e = *decide(m.rivals)
	case !waits || waiting(e.outcome) && compare(v.time, f.strings.of(v.run), e) >= 0:
		*e = *f.entry(v)
	}
	e.first, e.more = first, m
	f.index[e.id()] = e // the key refers to the new text, so the old one can be freed
	return e
}

// waiting reports whether o is a waiting outcome, which every other one outranks.
func waiting(o Outcome) bool { return rank(o) == 0 }

// entry returns the line in v.
func (f *fold) entry(v *view) *entry {
	t := traits{
		outcome: Outcome(f.strings.of(v.outcome)), run: f.strings.of(v.run), host: f.strings.of(v.host),
		cause: f.strings.of(v.cause), media: f.strings.of(v.contentType),
		isFinal: v.isFinal(), isOld: !v.salted, wasRestored: v.restored,
	}
	if f.traits[t] == nil {
		kept := t
		f.traits[t] = &kept
	}
	e := &entry{
		traits: f.traits[t], size: v.size, time: v.time, first: v.firstSeen,
		attempts: uint16(min(max(v.attempts, 0), math.MaxUint16)),
	}
	all := f.scratch[:0]
	for i, text := range [parts][]byte{v.id, v.key, v.callID, v.source, v.etag} {
		e.lens[i] = uint16(len(text))
		all = append(all, text...)
	}
	f.scratch = append(all, v.reason...)
	e.text = string(f.scratch)
	if _, err := hex.Decode(e.sum[:], v.sha256[:min(len(v.sha256), 2*len(e.sum))]); err != nil || len(v.sha256) != 2*len(e.sum) {
		e.sum = [32]byte{}
	}
	return e
}

// rival adds a line to those that outrank the waiting ones. With lines out of order, what outranks damaged cannot be
// decided from the last decision alone, so all are kept.
func (e *entry) rival(line *entry) *more {
	if e.more == nil {
		e.more = &more{}
	}
	if e.more.rivals == nil {
		first := *e
		e.more.rivals = []*entry{&first}
	}
	e.more.rivals = append(e.more.rivals, line)
	return e.more
}

// decide implements the ranking: unknown outcomes first, then erased and expired, then damaged (unless a later
// archived line has another key or was restored), then archived, then lost. Within a rank the later line counts.
func decide(list []*entry) *entry {
	best := 0
	for i, e := range list {
		if c := rank(e.outcome) - rank(list[best].outcome); c > 0 || c == 0 && isLater(list, i, best) {
			best = i
		}
	}
	if list[best].outcome != Damaged {
		return list[best]
	}
	damaged := best
	for i, e := range list {
		repairs := e.outcome == Archived && (e.wasRestored || e.key() != list[damaged].key())
		if repairs && isLater(list, i, damaged) && (best == damaged || isLater(list, i, best)) {
			best = i
		}
	}
	return list[best]
}

// isLater reports whether line i of the list is later than line j. Lines of one run and second are ordered by
// position.
func isLater(list []*entry, i, j int) bool {
	c := compare(list[i].time, list[i].run, list[j])
	return c > 0 || c == 0 && i > j
}

func rank(o Outcome) int {
	switch o {
	case Pending, Failed, Rejected:
		return 0
	case Lost:
		return 1
	case Archived:
		return 2
	case Damaged:
		return 3
	case Erased, Expired:
		return 4
	}
	return 5
}

// compare orders two lines by time, then by run.
func compare(time int64, run string, with *entry) int {
	return cmp.Or(cmp.Compare(time, with.time), cmp.Compare(run, with.run))
}

func (e *entry) state() State {
	s := State{
		Outcome: e.outcome, Final: e.isFinal, Old: e.isOld, Restored: e.wasRestored, Key: e.key(), Size: e.size, SHA256: e.sum,
		ContentType: e.media, ETag: e.part(partETag), Host: e.host, Source: e.part(partSource), CallID: e.part(partCallID),
		Reason: e.text[e.start(parts):], Cause: e.cause, Attempts: int(e.attempts),
		Time: unixTime(e.time), FirstSeen: unixTime(e.first), History: History{Since: unixTime(e.first)},
	}
	if e.more != nil {
		s.History = history(e.more.marks, e.first)
	}
	return s
}

func unixTime(seconds int64) time.Time { return time.Unix(seconds, 0).UTC() }
