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
		// The windows of an open day before its recordings, for in the ledger they follow them: a run that
		// works the day meanwhile can then only add recordings.
		if !isClosed {
			if err := f.scan(ctx, r.ledger); err != nil {
				return f, err
			}
		}
		if !isClosed && !f.Noted {
			return f, nil
		}
		if err := f.load(ctx, r.ledger); err != nil {
			return f, err
		}
		if isClosed && !f.closed() {
			return f, f.scan(ctx, r.ledger)
		}
		return f, nil
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

// load folds the day's lines and takes what they come to.
func (f *Facts) load(ctx context.Context, ledger *manifest.Ledger) error {
	day, err := ledger.Day(ctx, f.Day)
	if bad, isBad := errors.AsType[*manifest.BadLineError](err); isBad {
		f.Noted, f.Bad = true, bad
		return nil
	}
	if err != nil {
		return fmt.Errorf("read %s: %w", f.Day, err)
	}
	defer day.Release()
	f.Noted, f.ByOutcome = true, map[manifest.Outcome]int{}
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
		f.Closing, f.Reopened, f.Contradicted = &line, false, false
	}
	return nil
}

// scan reads the lines that are not of recordings.
func (f *Facts) scan(ctx context.Context, ledger *manifest.Ledger) error {
	var closing *manifest.DayLine // the last one for all calls
	var files segments
	isLast := false
	for line, err := range ledger.Records(ctx, f.Day) {
		if _, isBad := errors.AsType[*manifest.BadLineError](err); isBad {
			f.Noted, isLast = true, false
			continue // loading the day meets it too
		}
		if err != nil {
			return fmt.Errorf("read %s: %w", f.Day, err)
		}
		f.Noted = true
		files.note(line.File)
		switch line.Kind {
		case "window":
			w, err := line.Window()
			if err != nil {
				f.Bad = &manifest.BadLineError{Day: f.Day, File: line.File, Line: line.Number, Reason: err.Error()}
				return nil
			}
			f.Windows, isLast = append(f.Windows, w), false
		case "day":
			if d, err := line.DayLine(); err == nil && d.Closed && d.Filter == "" {
				closing, isLast = &d, true
			}
		default:
			isLast = false
		}
	}
	if closing != nil {
		f.Contradicted = isLast && files.agree(closing)
		f.Reopened = !f.Contradicted
	}
	return nil
}

// segments counts the files of a day in a bucket.
type segments struct {
	n    int
	last string
}

func (s *segments) note(file string) {
	if name := path.Base(file); name != s.last && name != "closed.json" {
		s.n, s.last = s.n+1, name
	}
}

// agree reports whether nothing was added after the day line as far as its file names tell. On disk, where
// the line names none, its place tells.
func (s *segments) agree(d *manifest.DayLine) bool {
	return d.Segments == 0 || d.Segments == s.n && d.LastSegment == s.last
}
