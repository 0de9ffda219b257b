package report

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"path"
	"strings"

	"convoso-archiver/manifest"
)

// readsAtOnce bounds how many days are read whole side by side; each takes memory for its recordings.
const readsAtOnce = 4

// Read yields the facts of every day that the ledger knows in the options' span, ascending. Closed days are
// taken from their day line; open ones are read whole, a few side by side, and so are closed ones with losses
// as long as fewer losses than o.Losses were met. An error is the last; a line that cannot be read is a fact
// of its day. Memory follows the few days in work.
func Read(ctx context.Context, ledger *manifest.Ledger, o Options) iter.Seq2[Facts, error] {
	return func(yield func(Facts, error) bool) {
		ctx, cancel := context.WithCancel(ctx)
		q := &queue{reader: reader{ledger: ledger, losses: o.Losses}}
		defer q.drain()
		defer cancel()
		for status, err := range ledger.Days(ctx) {
			if err == nil && o.outside(status.Day) {
				continue
			}
			if err != nil {
				q.push(func() (Facts, error) { return Facts{}, fmt.Errorf("look at the days: %w", err) })
				break
			}
			q.push(q.reader.job(ctx, status))
			if len(q.ahead) >= readsAtOnce && !q.pop(yield) {
				return
			}
		}
		for len(q.ahead) > 0 {
			if !q.pop(yield) {
				return
			}
		}
	}
}

// queue works jobs side by side and gives their results in order.
type queue struct {
	reader reader
	ahead  []chan result
}

type result struct {
	facts Facts
	err   error
}

func (q *queue) push(job func() (Facts, error)) {
	ch := make(chan result, 1)
	q.ahead = append(q.ahead, ch)
	go func() {
		facts, err := job()
		ch <- result{facts, err}
	}()
}

// pop yields the first result, and reports whether the next is wanted.
func (q *queue) pop(yield func(Facts, error) bool) bool {
	r := <-q.ahead[0]
	q.ahead = q.ahead[1:]
	if r.facts.closed() {
		q.reader.met += len(r.facts.Unarchived)
	}
	return yield(r.facts, r.err) && r.err == nil
}

// drain waits for the jobs that nobody asks for any more.
func (q *queue) drain() {
	for _, ch := range q.ahead {
		<-ch
	}
}

// reader reads single days.
type reader struct {
	ledger *manifest.Ledger
	losses int // wanted
	met    int // losses of closed days given so far
}

// job returns how to get the facts of a day.
func (r *reader) job(ctx context.Context, status manifest.DayStatus) func() (Facts, error) {
	f := Facts{Day: status.Day}
	isClosed := status.ClosedFor("")
	if isClosed && (r.met >= r.losses || !hasLosses(status.DayLine)) {
		f.Noted, f.Closing = true, &status.DayLine
		return func() (Facts, error) { return f, nil }
	}
	return func() (Facts, error) {
		err := f.read(ctx, r.ledger)
		return f, err
	}
}

// hasLosses reports whether a closed day holds recordings that are not archived.
func hasLosses(line manifest.DayLine) bool {
	for outcome, n := range line.ByOutcome {
		if n > 0 && isUnarchived(outcome) {
			return true
		}
	}
	return false
}

// isUnarchived is not true of outcomes of a later version: what they mean is not known.
func isUnarchived(o manifest.Outcome) bool { return o == manifest.Lost || !o.Final() }

// read takes from the day's lines all that is asked for, in one pass.
func (f *Facts) read(ctx context.Context, ledger *manifest.Ledger) error {
	notes := notes{day: f.Day}
	day, err := ledger.ReadDay(ctx, f.Day, notes.take)
	if bad, isBad := errors.AsType[*manifest.BadLineError](err); isBad {
		f.Bad = bad
		notes, err = scan(ctx, ledger, f.Day) // what stands behind the bad line counts too
	}
	if err != nil {
		return fmt.Errorf("read %s: %w", f.Day, err)
	}
	if f.Bad == nil {
		f.Bad = notes.bad
	}
	f.Noted = notes.any || f.Bad != nil
	if day != nil && f.Noted {
		f.count(day)
	}
	if !f.closed() {
		f.Windows = notes.windows
		f.Reopened, f.Contradicted = notes.closing()
	}
	return nil
}

// count takes what the day's recordings come to.
func (f *Facts) count(day *manifest.Day) {
	f.ByOutcome = map[manifest.Outcome]int{}
	for id, s := range day.Recordings() {
		f.ByOutcome[s.Outcome]++
		if s.Outcome == manifest.Archived {
			f.Bytes += s.Size
		}
		if isUnarchived(s.Outcome) {
			f.Unarchived = append(f.Unarchived, Unarchived{
				RecordingID: strings.Clone(id), CallID: strings.Clone(s.CallID), Outcome: s.Outcome,
				Time: s.Time, FirstSeen: s.FirstSeen, Reason: strings.Clone(s.Reason),
			})
		}
	}
	if line, ok := day.Closed(); ok {
		f.Closing = &line
	}
}

// scan reads the lines of a day of which some cannot be read.
func scan(ctx context.Context, ledger *manifest.Ledger, day string) (notes, error) {
	n := notes{day: day}
	for line, err := range ledger.Records(ctx, day) {
		if _, isBad := errors.AsType[*manifest.BadLineError](err); isBad {
			line.Kind = "" // of a line that cannot be read
		} else if err != nil {
			return n, err
		}
		n.take(line)
	}
	return n, nil
}

// notes is what a day's lines say beside those of recordings.
type notes struct {
	day     string
	any     bool // there is a line
	windows []manifest.Window
	bad     *manifest.BadLineError // the first window that cannot be read
	last    *manifest.DayLine      // the last one for all calls
	isLast  bool                   // no line came after it
	files   segments
}

func (n *notes) take(line manifest.Line) {
	n.any, n.isLast = true, false
	n.files.note(line.File)
	switch line.Kind {
	case "window":
		w, err := line.Window()
		if err == nil {
			n.windows = append(n.windows, w)
		} else if n.bad == nil {
			n.bad = &manifest.BadLineError{Day: n.day, File: line.File, Line: line.Number, Reason: err.Error()}
		}
	case "day":
		if d, err := line.DayLine(); err == nil && d.Closed && d.Filter == "" {
			n.last, n.isLast = &d, true
		}
	}
}

// closing says of a day that is not closed whether it was, and whether it would be if its lines agreed with
// its day line.
func (n *notes) closing() (reopened, contradicted bool) {
	if n.last == nil {
		return false, false
	}
	contradicted = n.isLast && n.files.agree(n.last)
	return !contradicted, contradicted
}

// segments counts the files of a day in a bucket.
type segments struct {
	n    int
	last string // name of the last one
	file string // of the last line
}

func (s *segments) note(file string) {
	if file == s.file {
		return
	}
	s.file = file
	if name := path.Base(file); name != "closed.json" {
		s.n, s.last = s.n+1, name
	}
}

// agree reports whether nothing was added after the day line as far as its file names tell. On disk, where
// the line names none, its place tells.
func (s *segments) agree(d *manifest.DayLine) bool {
	return d.Segments == 0 || d.Segments == s.n && d.LastSegment == s.last
}
