package archiver

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"convoso-archiver/archiver/store"
	"convoso-archiver/fetcher"
	"convoso-archiver/internal/retry"
	"convoso-archiver/manifest"
)

const (
	daysInFlight = 4    // listed side by side, so that workers never wait for a page
	queueLength  = 1000 // recordings listed ahead of the workers
	// mostHeld is how many recordings the days side by side may have in memory, some 200
	// bytes each, before all of them but the first wait. It is many times what workers
	// need ahead of them, and far more than most days have.
	mostHeld   = 8_000
	clockWarns = 5 * time.Minute
	clockStops = time.Hour // beyond it nothing is closed
)

// run is the state of one Archiver.Run.
type run struct {
	*Archiver
	config  Config
	now     func() time.Time // of the earlier of the two clocks
	pool    *chunkPool
	jobs    chan *job
	slots   chan struct{} // taken by each download
	retry   retry.Policy
	streaks streaks
	// patience is for a store that is out of order: some minutes.
	patience retry.Policy
	limit    *limiter
	room     *room
	zone     zoneCheck
	account  accountCheck

	soft context.Context // ends when the run is asked to stop: nothing new is begun
	hard context.Context // ends when what is in flight must end too
	stop context.CancelCauseFunc
	kill context.CancelFunc // ends hard

	mu        sync.Mutex
	open      map[fetcher.Date]*sharedDay
	claims    map[string]*claim // by the key that is being stored under
	held      []heldVerdict
	postponed []*dayRun // days that cannot be concluded yet
	summary   Summary
	active    map[fetcher.Date]bool
	left      int

	concluding sync.Mutex // held while days that were put off are concluded

	inFlight atomic.Int64
	received atomic.Int64
	listings atomic.Int64
}

// errStopping says that a recording was not worked because the run is ending.
var errStopping = errors.New("the run is stopping")

// errLimitReached ends a run that has archived as many recordings as it may.
var errLimitReached = errors.New("--max-recordings is reached")

// Run archives the span. It returns nil when all was worked, also when recordings
// failed: that is told by the Summary. It returns an error for what dooms the
// rest: the API refuses or cannot be reached, the destination cannot be written,
// the archive is another account's. When ctx ends, Run begins nothing new, gives
// what is in flight the configured grace, and returns the cause.
//
// It is called once; Summary and Progress may be called at any time.
func (a *Archiver) Run(ctx context.Context) error {
	r := a.prepare(ctx)
	defer r.kill()
	defer r.stop(nil)
	r.logSpan()
	err := r.checkArchive()
	if err == nil {
		err = r.workAll()
	}
	r.finishSummary(ctx)
	if err != nil {
		return err
	}
	if cause := context.Cause(ctx); cause != nil {
		return cause
	}
	return nil
}

// prepare makes the run's state. Summary and Progress look at it from then on.
func (a *Archiver) prepare(ctx context.Context) *run {
	r := &run{
		Archiver: a, config: a.Config, pool: newChunkPool(poolBytes),
		jobs:     make(chan *job, queueLength),
		slots:    make(chan struct{}, a.Config.Workers),
		retry:    retry.Policy{Tries: 5, Refusals: 12, Initial: 500 * time.Millisecond, Max: 30 * time.Second},
		patience: retry.Policy{Tries: 10, Initial: 4 * time.Second, Max: 30 * time.Second},
		limit:    newLimiter(a.Config.MaxRecordings),
		open:     map[fetcher.Date]*sharedDay{},
		claims:   map[string]*claim{},
		active:   map[fetcher.Date]bool{},
	}
	r.room = newRoom(mostHeld, r.inMemory)
	r.now = r.earlierClock
	r.zone.location = a.Config.Zone
	r.summary = Summary{Run: a.Config.Run, Started: time.Now().UTC(), DryRun: a.Config.DryRun, OpenDays: []OpenDay{}, Warnings: []string{}}
	r.soft, r.stop = context.WithCancelCause(ctx)
	r.hard, r.kill = context.WithCancel(context.WithoutCancel(ctx))
	context.AfterFunc(r.soft, func() {
		timer := time.NewTimer(a.Config.Grace)
		defer timer.Stop()
		select {
		case <-timer.C:
		case <-r.hard.Done():
		}
		r.kill()
	})
	a.state.Store(r)
	return r
}

// earlierClock returns the earlier of the machine's time and the API's.
func (r *run) earlierClock() time.Time {
	now := time.Now()
	if skew, known := r.Source.ClockSkew(); known && skew > 0 {
		now = now.Add(-skew)
	}
	return now
}

// clockTrusted reports whether the two clocks agree well enough to close days.
func (r *run) clockTrusted() bool {
	skew, known := r.Source.ClockSkew()
	return !known || skew.Abs() <= clockStops
}

func (r *run) logSpan() {
	r.Logger.Info("run started", "run", r.config.Run,
		"from", r.config.Span.From.Format(fetcher.WallLayout), "to", r.config.Span.To.Format(fetcher.WallLayout))
}

// checkArchive fails when the archive belongs to something else, and notes what a
// new archive belongs to.
func (r *run) checkArchive() error {
	archive, err := r.Ledger.Archive(r.soft)
	if errors.Is(err, fs.ErrNotExist) {
		if r.config.DryRun {
			return nil
		}
		archive, err = r.newArchive()
	} else if err != nil {
		err = fmt.Errorf("read what the archive belongs to: %w", err)
	}
	if err != nil {
		return err
	}
	if archive.APIURL != r.config.APIURL {
		return &OtherArchiveError{Of: OfAPI, Archive: archive.APIURL, Run: r.config.APIURL}
	}
	if archive.TimeZone != r.config.Zone.String() {
		return &OtherArchiveError{Of: OfZone, Archive: archive.TimeZone, Run: r.config.Zone.String()}
	}
	r.account.archive = archive
	return nil
}

// errUnseenArchive ends a run on a store that does not show what it has taken: there
// no run would know of another, nor what the last one noted.
var errUnseenArchive = errors.New("the store acknowledged archive.json and does not show it: " +
	"run the same command again in some minutes; if it stays, --dest is a cache or a lagging copy: give the store itself")

// newArchive notes what a new archive belongs to, and returns what stands there then:
// another run may have made it first. It looks once.
func (r *run) newArchive() (manifest.Archive, error) {
	archive := manifest.Archive{APIURL: r.config.APIURL, TimeZone: r.config.Zone.String()}
	err := r.Ledger.SaveArchive(r.soft, archive)
	if err == nil || errors.Is(err, fs.ErrExist) {
		archive, err = r.Ledger.Archive(r.soft)
		if errors.Is(err, fs.ErrNotExist) {
			err = errUnseenArchive
		}
	}
	if err != nil {
		return archive, fmt.Errorf("note what the archive belongs to: %w", err)
	}
	return archive, nil
}

// workAll runs the planned days and the workers to their end.
func (r *run) workAll() error {
	days, err := r.planDays()
	if err != nil {
		return err
	}
	workers := new(errgroup.Group)
	for range r.config.Workers + r.config.Storing {
		workers.Go(func() error {
			r.worker()
			return nil
		})
	}
	lister := new(errgroup.Group)
	lister.SetLimit(daysInFlight)
	for i, day := range days {
		if r.soft.Err() != nil {
			r.count(func(s *Summary) { s.DaysNotBegun = len(days) - i })
			break
		}
		lister.Go(func() error {
			if err := r.workDay(day); err != nil {
				r.stop(err)
			}
			return nil
		})
	}
	_ = lister.Wait() // its functions return nil: the first failure is the cause of soft
	close(r.jobs)
	_ = workers.Wait()
	if err := r.settleHeld(); err != nil {
		r.stop(err)
	}
	return r.outcome()
}

// outcome returns why the run stopped itself, nil where it did not.
func (r *run) outcome() error {
	cause := context.Cause(r.soft)
	switch {
	case cause == nil, errors.Is(cause, errLimitReached):
		return nil
	case errors.Is(cause, context.Canceled):
		return nil
	}
	return cause
}

func (r *run) planDays() ([]plannedDay, error) {
	var open []fetcher.Date
	if r.config.Span.CatchUp {
		for status, err := range r.Ledger.Days(r.soft) {
			// A day that cannot be looked at counts as open; what is wrong is told when
			// it is worked.
			if err != nil && (status.Day == "" || !r.concernsDayAlone(err) && !store.IsRetriable(err)) {
				return nil, fmt.Errorf("look for open days: %w", err)
			}
			if !status.ClosedFor(r.config.Filter.String()) {
				open = append(open, fetcher.Date(status.Day))
			}
		}
	}
	days := r.config.plan(time.Now(), open)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.summary.DaysAsked = len(days)
	r.left = len(days)
	return days, nil
}

// count changes the summary under its lock.
func (r *run) count(change func(*Summary)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	change(&r.summary)
}

// warn logs and keeps a warning; the same one is told once.
func (r *run) warn(text string) {
	r.mu.Lock()
	for _, known := range r.summary.Warnings {
		if known == text {
			r.mu.Unlock()
			return
		}
	}
	r.summary.Warnings = append(r.summary.Warnings, text)
	r.mu.Unlock()
	r.Logger.Warn("worth a look", "warning", text)
}

func (r *run) finishSummary(ctx context.Context) {
	r.warnOfClocks()
	r.zone.warn(r)
	r.count(func(s *Summary) {
		s.Ended = time.Now().UTC()
		s.Seconds = s.Ended.Sub(s.Started).Seconds()
		switch {
		case errors.Is(context.Cause(r.soft), errLimitReached):
			s.Stopped = "max-recordings"
		case ctx.Err() != nil:
			s.Stopped = context.Cause(ctx).Error()
		}
	})
}

func (r *run) warnOfClocks() {
	skew, known := r.Source.ClockSkew()
	if !known || skew.Abs() <= clockWarns {
		return
	}
	text := fmt.Sprintf("the machine's clock and the API's are %s apart: check the clock", skew.Abs().Round(time.Second))
	if skew.Abs() > clockStops {
		text += "; no day is closed"
		r.count(func(s *Summary) { s.ClocksApart = true })
	}
	r.warn(text)
}

// Summary returns what the run has done so far; after Run, the whole of it. It is
// safe for concurrent use.
func (a *Archiver) Summary() Summary {
	r := a.state.Load()
	if r == nil {
		return Summary{OpenDays: []OpenDay{}, Warnings: []string{}}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	s := r.summary
	s.OpenDays = append([]OpenDay{}, s.OpenDays...)
	s.Warnings = append([]string{}, s.Warnings...)
	return s
}

// Progress returns a look at the run. It is safe for concurrent use, and cheap
// enough to be polled several times a second.
func (a *Archiver) Progress() Progress {
	r := a.state.Load()
	if r == nil {
		return Progress{}
	}
	p := Progress{Queued: len(r.jobs), InFlight: int(r.inFlight.Load()), Received: r.received.Load()}
	r.mu.Lock()
	defer r.mu.Unlock()
	p.Summary = r.summary
	p.OpenDays, p.Warnings = nil, nil
	p.DaysLeft = r.left
	for date := range r.active {
		if p.Day == "" || string(date) < p.Day {
			p.Day = string(date)
		}
	}
	return p
}

// logger returns the logger with the attributes of one recording.
func (r *run) logger(j *job) *slog.Logger {
	return r.Logger.With("recording_id", j.recording.Identity, "day", string(j.day.date))
}
