// Says which flags select a random sample again.

package cli

import (
	"context"
	"iter"
	"strconv"
	"time"

	"convoso-archiver/manifest"
	"convoso-archiver/search"
)

// draw waits for the calls of a sample, and says on stderr which flags select them again, before the first is
// copied. The order and the errors stay.
func (f *found) draw(ctx context.Context, job *findJob, archive *searched, tell teller, answers iter.Seq2[search.Call, error]) iter.Seq2[search.Call, error] {
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
			f.tellSample(ctx, job, archive, tell, calls)
		}
		for _, a := range all {
			if !yield(a.call, a.err) {
				return
			}
		}
	}
}

// tellSample says which flags select the calls again, or that fewer calls match than were asked for.
func (f *found) tellSample(ctx context.Context, job *findJob, archive *searched, tell teller, calls []search.Call) {
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
		tell.note(line+"; "+span+" finds the same again, unless archive adds calls of these days", "all matching calls were taken",
			"calls", n, "sample", job.query.Sample, "start_time", from, "end_time", to)
	case job.drawn:
		seed := strconv.FormatUint(job.query.Seed, 10)
		f.again = span + " --seed " + seed
		tell.note("random sample: "+f.again+" selects the same calls again, unless archive adds calls of these days",
			"the sample was drawn", "seed", job.query.Seed, "start_time", from, "end_time", to)
		day := to[:len(time.DateOnly)]
		if closed := lastClosed(ctx, archive.opened.Ledger, from[:len(time.DateOnly)], day); closed != "" && closed != day {
			tell.note(day+" is not closed yet, so archive may add calls of it: a new sample with --end-time "+closed+" stays the same",
				"the last day of the sample is not closed", "day", day, "closed", closed)
		}
	}
}

// lastClosed returns the last closed day of a span, "" if none of its last 31 days is closed or can be looked at.
func lastClosed(ctx context.Context, ledger *manifest.Ledger, from, to string) string {
	first, err := time.Parse(time.DateOnly, from)
	day, endErr := time.Parse(time.DateOnly, to)
	for range 31 {
		if err != nil || endErr != nil || day.Before(first) {
			return ""
		}
		var status manifest.Status
		if status, err = ledger.Status(ctx, day.Format(time.DateOnly)); err == nil && len(status.Lines) > 0 {
			return status.Day
		}
		day = day.AddDate(0, 0, -1)
	}
	return ""
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
