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
	barsEvery  = 300 * time.Millisecond // between two looks for the bars
	linesEvery = 30 * time.Second       // between two lines of a log
	paceSpan   = time.Minute            // over which speeds are measured
	etaAfter   = 10 * time.Second       // of measuring, before an ETA is more than a guess
)

// view is what progress shows.
type view struct {
	done, listed int
	perSecond    float64 // recordings
	bytes        int64
	bytesSecond  float64
	eta          time.Duration // 0 while unknown
	day          string
	daysLeft     int           // not done
	unlisted     int           // days that may add to listed
	waiting      time.Duration // for a host's rate limit, 0 for not at all
	host         string        // that asked to wait
}

// watcher turns looks at a run into views.
type watcher struct {
	run   func() archiver.Progress
	paces func() []fetcher.Pace

	samples []sample // of the last paceSpan, oldest first
}

type sample struct {
	at     time.Time
	worked int // recordings that cost a request
	bytes  int64
}

// look is called by one goroutine at a time.
func (w *watcher) look(now time.Time) view {
	p := w.run()
	worked := p.Archived + p.Pending + p.Failed + p.Rejected + p.Lost + p.GivenUp
	v := view{done: worked + p.Known, listed: p.Recordings, bytes: p.Received, day: p.Day, daysLeft: p.DaysLeft, unlisted: unlisted(p)}
	v.listed = max(v.listed, v.done) // the two are counted apart

	w.samples = append(w.samples, sample{now, worked, p.Received})
	for len(w.samples) > 2 && now.Sub(w.samples[0].at) > paceSpan {
		w.samples = w.samples[1:]
	}
	oldest := w.samples[0]
	if span := now.Sub(oldest.at); span > 0 {
		v.perSecond = float64(worked-oldest.worked) / span.Seconds()
		v.bytesSecond = float64(p.Received-oldest.bytes) / span.Seconds()
		if span >= etaAfter && v.perSecond > 0 {
			v.eta = time.Duration(expected(p, v) / v.perSecond * float64(time.Second))
		}
	}
	for _, pace := range w.paces() {
		if wait := pace.PausedUntil.Sub(now); wait > v.waiting {
			v.waiting, v.host = wait, pace.Host
		}
	}
	return v
}

// expected is how many recordings are still to be worked: those listed, and for
// days not listed yet as many as the days so far had.
func expected(p archiver.Progress, v view) float64 {
	perDay := float64(p.Recordings-p.Known) / float64(max(p.DaysListed, 1))
	return float64(v.listed-v.done) + float64(v.unlisted)*max(perDay, 0)
}

// unlisted counts the days whose recordings are not known yet. Days that will turn
// out to be closed are among them, so that an ETA falls rather than rises.
func unlisted(p archiver.Progress) int {
	return max(p.DaysAsked-p.DaysSkipped-p.DaysListed, 0)
}

// count is the line of the bar.
func (v view) count() string {
	more := ""
	if v.unlisted > 0 {
		more = "+"
	}
	return fmt.Sprintf("%s of %s%s recordings", thousands(int64(v.done)), thousands(int64(v.listed)), more)
}

// status is the line below the bar.
func (v view) status() string {
	parts := []string{fmt.Sprintf("%s, %s/s, %.1f recordings/s", bytesText(v.bytes), bytesText(int64(v.bytesSecond)), v.perSecond)}
	if v.day != "" {
		parts = append(parts, "day "+v.day)
	}
	if v.daysLeft > 0 {
		parts = append(parts, plural(v.daysLeft, "day")+" to go")
	}
	if v.eta > 0 {
		parts = append(parts, "ETA "+durationText(v.eta))
	}
	if v.waiting > 0 {
		parts = append(parts, "waiting "+durationText(v.waiting)+" for the rate limit of "+v.host)
	}
	return strings.Join(parts, " · ")
}

// log writes the view as one line of a log.
func (v view) log(logger *slog.Logger) {
	attrs := []any{
		"recordings", v.done, "listed", v.listed, "bytes", v.bytes,
		"recordings_per_second", float64(int(v.perSecond*10)) / 10, "bytes_per_second", int64(v.bytesSecond),
		"day", v.day, "days_left", v.daysLeft,
	}
	if v.eta > 0 {
		attrs = append(attrs, "eta_seconds", int64(v.eta.Seconds()))
	}
	if v.waiting > 0 {
		attrs = append(attrs, "waiting_for", v.host, "waiting_seconds", int64(v.waiting.Seconds()))
	}
	logger.Info("progress", attrs...)
}

// showProgress shows a run's progress until the returned function is called: bars
// on a terminal that can move its cursor, else a line of the log now and then.
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

// showBars draws a bar of recordings with a line of speeds below it.
func showBars(s *screen, w *watcher) (stop func()) {
	var latest atomic.Pointer[view]
	first := w.look(time.Now())
	latest.Store(&first)

	// The console is ours so that lines still in its buffer can be flushed at the
	// end: mpb drops those that came after its last frame.
	console := cupwriter.New(s.base, false)
	progress := mpb.New(mpb.WithConsoleWriter(console), mpb.WithAutoRefresh())
	bar := progress.New(0, mpb.BarStyle(), mpb.PrependDecorators(
		decor.Any(func(decor.Statistics) string { return latest.Load().count() + " " })))
	below := progress.New(0, mpb.NopStyle(), mpb.PrependDecorators(
		decor.Any(func(decor.Statistics) string { return latest.Load().status() })))
	s.share(progress)

	stopLooking := poll(barsEvery, func(now time.Time) {
		v := w.look(now)
		latest.Store(&v)
		bar.SetTotal(int64(v.listed), false)
		bar.SetCurrent(int64(v.done))
	})
	return func() {
		stopLooking()
		s.reclaim(func() {
			bar.Abort(true)
			below.Abort(true)
			progress.Wait()
			// The terminal that this failed for is the place where it would be told.
			_ = console.Flush(0)
		})
	}
}
