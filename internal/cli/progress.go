// Shows the progress of a run, as bars on a terminal and as log lines elsewhere.

package cli

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/vbauerster/cupwriter"
	"github.com/vbauerster/mpb/v8"
	"github.com/vbauerster/mpb/v8/decor"

	"convoso-archiver/archiver"
	"convoso-archiver/fetcher"
)

const (
	barsEvery  = 300 * time.Millisecond // between two updates of the bars
	linesEvery = 30 * time.Second       // between two lines of a log
	paceSpan   = time.Minute            // over which speeds are measured
	etaAfter   = 10 * time.Second       // minimum time of measurement for an ETA
)

// view is the displayed progress.
type view struct {
	done, listed int     // recordings
	total        int     // of the whole span; an estimate until all days are listed
	share        float64 // finished part of the whole span; it never falls, although the total may grow
	perSecond    float64 // recordings
	bytes        int64
	bytesSecond  float64
	eta          time.Duration // 0 while unknown
	day          string
	daysLeft     int           // not done
	unlisted     int           // days that may add to the total
	waiting      time.Duration // wait for a host's rate limit, 0 for none
	host         string        // that asked to wait
	off          bool          // the schedule is off
	offUntil     time.Time     // in the account's zone
	wide         int           // maximum width of a headline so far; the bar starts after it

	counts              bool // a dry run: days are processed, and recordings only counted
	daysDone, daysAsked int
}

// watcher turns snapshots of a run into views.
type watcher struct {
	run   func() archiver.Progress
	paces func() []fetcher.Pace
	// off reports whether the schedule is off, and until when; nil without a schedule.
	off func(now time.Time) (until time.Time, isOff bool)

	samples []sample // of the last paceSpan, oldest first
	share   float64  // the largest share shown
	wide    int      // the longest headline shown
}

type sample struct {
	at     time.Time
	worked int // recordings that cost a request; days in a dry run
	bytes  int64
}

// look must be called by one goroutine at a time.
func (w *watcher) look(now time.Time) view {
	p := w.run()
	worked := p.Archived + p.Pending + p.Failed + p.Rejected + p.Lost + p.GivenUp
	v := view{
		done: worked + p.Known, listed: p.Recordings, bytes: p.Received, day: p.Day, daysLeft: p.DaysLeft, unlisted: unlisted(p),
		counts: p.DryRun, daysDone: p.DaysAsked - p.DaysLeft, daysAsked: p.DaysAsked,
	}
	v.listed = max(v.listed, v.done) // the two are counted separately
	v.total = v.listed + int(perDay(p, p.Recordings)*float64(v.unlisted))
	left := expected(p, v)
	if v.counts {
		worked, left = v.daysDone, float64(v.daysLeft)
	}
	w.share = max(w.share, v.shareDone())
	v.share = w.share

	w.samples = append(w.samples, sample{now, worked, p.Received})
	for len(w.samples) > 2 && now.Sub(w.samples[0].at) > paceSpan {
		w.samples = w.samples[1:]
	}
	oldest := w.samples[0]
	if span := now.Sub(oldest.at); span > 0 {
		v.perSecond = float64(worked-oldest.worked) / span.Seconds()
		v.bytesSecond = float64(p.Received-oldest.bytes) / span.Seconds()
		if span >= etaAfter && v.perSecond > 0 {
			v.eta = time.Duration(left / v.perSecond * float64(time.Second))
		}
	}
	for _, pace := range w.paces() {
		if wait := pace.PausedUntil.Sub(now); wait > v.waiting {
			v.waiting, v.host = wait, pace.Host
		}
	}
	if w.off != nil {
		v.offUntil, v.off = w.off(now)
	}
	w.wide = max(w.wide, len(v.headline()))
	v.wide = w.wide
	return v
}

// shareDone estimates how much of the whole span is done.
func (v *view) shareDone() float64 {
	done, total := v.done, v.total
	if v.counts {
		done, total = v.daysDone, v.daysAsked
	}
	if total == 0 {
		return 0
	}
	return float64(done) / float64(total)
}

// expected estimates the remaining recordings: those listed, plus the average of the listed days
// for each other day.
func expected(p archiver.Progress, v view) float64 {
	return float64(v.listed-v.done) + float64(v.unlisted)*perDay(p, p.Recordings-p.Known)
}

// perDay is the average of n per listed day.
func perDay(p archiver.Progress, n int) float64 {
	return float64(max(n, 0)) / float64(max(p.DaysListed, 1))
}

// unlisted counts the days whose recordings are unknown. They include days that turn out to be
// closed, so that an ETA falls rather than rises.
func unlisted(p archiver.Progress) int {
	return max(p.DaysAsked-p.DaysSkipped-p.DaysListed, 0)
}

// headline is the text before the bar: the ETA comes first, because a narrow terminal truncates the
// end.
func (v view) headline() string {
	eta := "ETA ?"
	switch {
	case v.eta > 0:
		eta = "ETA " + durationText(v.eta)
	case v.unlisted == 0 && v.total > 0 && v.done == v.total:
		eta = "ETA 0s"
	}
	return eta + "  " + v.count()
}

// count returns the progress, with a ~ if the total is estimated.
func (v view) count() string {
	if v.counts {
		return fmt.Sprintf("%s of %s, %s", thousands(int64(v.daysDone)), plural(v.daysAsked, "day"), plural(v.listed, "recording"))
	}
	if v.total == 0 && (v.unlisted > 0 || v.daysAsked == 0) {
		return "nothing listed yet"
	}
	about := ""
	if v.unlisted > 0 {
		about = "~"
	}
	return fmt.Sprintf("%s of %s%s recordings", thousands(int64(v.done)), about, thousands(int64(v.total)))
}

// status returns the line below the bar; the reason for a pause comes first.
func (v view) status() string {
	var parts []string
	switch {
	case v.off:
		parts = append(parts, "off until "+v.offUntil.Format("Mon 15:04")+" by --schedule")
	case v.waiting > 0:
		parts = append(parts, "waiting "+durationText(v.waiting)+" for the rate limit of "+v.host)
	}
	if v.counts {
		parts = append(parts, fmt.Sprintf("%.0f days/min", v.perSecond*60))
	} else {
		parts = append(parts, fmt.Sprintf("%s, %s/s, %.1f recordings/s", bytesText(v.bytes), bytesText(int64(v.bytesSecond)), v.perSecond))
	}
	if v.day != "" {
		parts = append(parts, "day "+v.day)
	}
	if v.daysLeft > 0 {
		parts = append(parts, plural(v.daysLeft, "day")+" to go")
	}
	return strings.Join(parts, " · ")
}

// log writes the view as one log line.
func (v view) log(logger *slog.Logger) {
	attrs := []any{
		"recordings", v.done, "listed", v.listed, "bytes", v.bytes,
		"recordings_per_second", float64(int(v.perSecond*10)) / 10, "bytes_per_second", int64(v.bytesSecond),
		"day", v.day, "days_left", v.daysLeft,
	}
	if v.counts {
		attrs = []any{"recordings", v.listed, "day", v.day, "days_done", v.daysDone, "days_left", v.daysLeft}
	} else if v.unlisted > 0 {
		attrs = append(attrs, "estimated_recordings", v.total)
	}
	if v.eta > 0 {
		attrs = append(attrs, "eta_seconds", int64(v.eta.Seconds()))
	}
	if v.waiting > 0 {
		attrs = append(attrs, "waiting_for", v.host, "waiting_seconds", int64(v.waiting.Seconds()))
	}
	if v.off {
		attrs = append(attrs, "off_until", v.offUntil.UTC().Format(time.RFC3339))
	}
	logger.Info("progress", attrs...)
}

// showProgress shows a run's progress until the returned function is called: bars on a terminal
// that can move its cursor, otherwise a log line at intervals.
func showProgress(o output, s *screen, env environment, logger *slog.Logger, w *watcher) (stop func()) {
	switch {
	case o.quiet:
		return func() {}
	case isTerminal(s) && env["TERM"] != "dumb":
		return showBars(s, w)
	}
	return poll(linesEvery, func(now time.Time) { w.look(now).log(logger) })
}

// poll calls look at intervals from one goroutine until the returned function,
// which waits for it, is called.
func poll(every time.Duration, look func(now time.Time)) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	var done sync.WaitGroup
	done.Go(func() {
		ticker := time.NewTicker(every)
		defer ticker.Stop()
		for {
			select {
			case now := <-ticker.C:
				look(now)
			case <-ctx.Done():
				return
			}
		}
	})
	return func() {
		cancel()
		done.Wait()
	}
}

// showBars draws a bar for the whole span with a line of speeds below it.
func showBars(s *screen, w *watcher) (stop func()) {
	var latest atomic.Pointer[view]
	first := w.look(time.Now())
	latest.Store(&first)

	// The console is our own, so that its buffered lines can be flushed at the end: mpb drops lines
	// written after its last frame.
	console := cupwriter.New(s.base, false)
	progress := mpb.New(mpb.WithConsoleWriter(console), mpb.WithAutoRefresh())
	bar := progress.New(0, mpb.BarStyle(), mpb.PrependDecorators(decor.Any(func(decor.Statistics) string {
		v := latest.Load()
		return fmt.Sprintf("%-*s  ", v.wide, v.headline())
	})))
	const whole = 10_000
	bar.SetTotal(whole, false)
	below := progress.New(0, mpb.NopStyle(), mpb.PrependDecorators(
		decor.Any(func(decor.Statistics) string { return latest.Load().status() })))
	s.share(progress)

	stopLooking := poll(barsEvery, func(now time.Time) {
		v := w.look(now)
		latest.Store(&v)
		bar.SetCurrent(int64(v.share * whole))
	})
	return func() {
		stopLooking()
		s.reclaim(func() {
			bar.Abort(true)
			below.Abort(true)
			progress.Wait()
			// An error of the terminal cannot be reported on the same terminal.
			_ = console.Flush(0)
		})
	}
}
