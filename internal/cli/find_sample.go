// Says which flags select a random sample again.

package cli

import (
	"context"
	"iter"
	"strconv"
	"time"

	"convoso-archiver/search"
)

// draw waits for the calls of a sample, and says on stderr which flags select them again, before the first is
// copied. The order and the errors stay.
func (f *found) draw(ctx context.Context, job *findJob, tell teller, answers iter.Seq2[search.Call, error]) iter.Seq2[search.Call, error] {
	return func(yield func(search.Call, error) bool) {
		type answer struct {
			call search.Call
			err  error
		}
		var all []answer
		var calls []search.Call
		for c, err := range answers {
			if all = append(all, answer{c, err}); err == nil {
				calls = append(calls, c)
			}
		}
		if ctx.Err() == nil {
			f.tellSample(job, tell, calls)
		}
		for _, a := range all {
			if !yield(a.call, a.err) {
				return
			}
		}
	}
}

// tellSample says which flags select the calls again, or that fewer calls match than were asked for.
func (f *found) tellSample(job *findJob, tell teller, calls []search.Call) {
	n := len(calls)
	if n == 0 {
		return
	}
	from, to := sampleSpan(job.query, calls)
	span := "--start-time " + from + " --end-time " + to
	switch {
	case n < job.query.Sample:
		line := "only " + thousands(int64(n)) + " calls match; all were taken"
		if n == 1 {
			line = "only 1 call matches; it was taken"
		}
		tell.note(line+"; "+span+" finds the same again", "all matching calls were taken",
			"calls", n, "sample", job.query.Sample, "start_time", from, "end_time", to)
	case job.drawn:
		seed := strconv.FormatUint(job.query.Seed, 10)
		f.again = span + " --seed " + seed
		tell.note("random sample: "+f.again+" selects the same calls again, unless archive adds calls of these days",
			"the sample was drawn", "seed", job.query.Seed, "start_time", from, "end_time", to)
	}
}

// sampleSpan returns the shortest span with the calls of a sample, as values of --start-time and --end-time. A seed selects the
// same calls in every span that has them and no calls outside the searched one.
func sampleSpan(q search.Query, calls []search.Call) (from, to string) {
	first, last := calls[0].Wall, calls[0].Wall
	for i := range calls {
		if wall := calls[i].Wall; wall.Before(first) {
			first = wall
		} else if wall.After(last) {
			last = wall
		}
	}
	first, last = startOfDay(first), endOfDay(last)
	if !q.From.IsZero() && q.From.After(first) {
		first = q.From
	}
	if !q.To.IsZero() && q.To.Before(last) {
		last = q.To
	}
	return flagTime(first, startOfDay(first)), flagTime(last, endOfDay(last))
}

// flagTime writes a wall-clock time as the value of a flag: as a date, if it is the time that the date alone means.
func flagTime(wall, ofDate time.Time) string {
	if wall.Equal(ofDate) {
		return wall.Format(time.DateOnly)
	}
	return wall.Format("2006-01-02T15:04:05")
}
