// Runs an archiver from start to end: days, workers, limits and clean stop.

package archiver

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"convoso-archiver/archiver/store"
	"convoso-archiver/fetcher"
	"convoso-archiver/manifest"
)

const (
	// daysInWork is the number of days in work, so that one is usually listed while another's
	// recordings are fetched, and workers do not wait for a page.
	daysInWork = 3
	// ClockWarns is the difference between the machine's clock and the API's above which the run warns.
	ClockWarns = 5 * time.Minute
	// ClockStops is the difference above which no day is closed.
	ClockStops = time.Hour
)

// run is the state of one Archiver.Run.
type run struct {
	config  Config
	filter  string
	source  Source
	store   Store
	ledger  *manifest.Ledger
	log     *slog.Logger
	clock   clock
	sum     *tally
	limit   *limiter
	zone    zoneCheck
	account accountCheck

	queue     *queue
	downloads *downloader
	keeper    *keeper
	keys      *keyMaker
	evidence  *evidence
	// checkFolders refuses an unusable key before the download; nil if keys have no folders.
	checkFolders func(key string) error

	soft context.Context // ends when the run is asked to stop: nothing new is started
	hard context.Context // ends when downloads in progress must end too
	stop context.CancelCauseFunc
	kill context.CancelFunc // cancels hard

	heeded     atomic.Int64 // pages with rows that match the request
	unwritable atomic.Int64 // days whose manifest could not be written
	fewerRows  atomic.Int64 // closed days that were skipped and keep fewer rows than this run would

	mu         sync.Mutex // guards pending and strays while days are in work
	pending    pendingDays
	strays     map[fetcher.Date][]strayRow
	strayBytes int   // of the rows in strays, with what was read of them
	unlisted   error // why a day could not be listed, the last error
	unremoved  error // why a recording that was erased could not be removed, the last one

	// Used by one goroutine at a time: while days are in work, the one that holds asideTurn.
	asideTurn chan struct{}
	asideDays int   // consecutive, without good audio between them
	asideAt   int64 // moment of the last good audio before them
	witnesses int
	asked     map[string]bool // recordings requested as known good audio
	looks     int             // pages read to find them
	followed  int             // calls requested because a listing lacked them

	known     []fetcher.Date        // that the ledger knows, ascending
	nothing   map[bool]fetcher.Date // day around which a year showed no call (false) or no recording (true)
	everCalls bool                  // the ledger knows of a call
	// everRecorded: the ledger knows of a recording less than a year before a day in question.
	everRecorded bool
	// doubted are closed days that this run lists again. Only planDays writes it.
	doubted map[fetcher.Date]bool
	history *history // nil until it is needed
}

// errStopping says that a recording was not worked on because the run is ending.
var errStopping = errors.New("the run is stopping")

// Run archives the span. It returns nil when everything was worked on, even if recordings failed, which the Summary
// counts. An error means that the run ended early: the API refuses or cannot be reached, the destination is not
// writable, or the archive belongs to another account. When ctx ends, Run starts nothing new, gives downloads in
// flight the configured grace, and returns the cause.
//
// It must be called only once; Summary and Progress may be called at any time.
func (a *Archiver) Run(ctx context.Context) error {
	r := a.prepare(ctx)
	defer r.kill()
	defer r.stop(nil)
	r.log.Info("run started", "run", r.config.Run,
		"from", r.config.Span.From.Format(fetcher.WallLayout), "to", r.config.Span.To.Format(fetcher.WallLayout))
	err := r.checkArchive()
	if err == nil {
		err = r.workAll()
	}
	r.finishSummary(ctx)
	if err != nil {
		return err
	}
	return context.Cause(ctx)
}

// prepare makes the run's state, which Summary and Progress read from then on.
func (a *Archiver) prepare(ctx context.Context) *run {
	logger := a.Logger
	if a.Config.Shard.Count > 0 { // the logs of many runs may be collected together
		logger = logger.With("shard", a.Config.Shard.String())
	}
	r := &run{
		config: a.Config, filter: a.Config.Filter.String(), store: a.Store, ledger: a.Ledger, log: logger,
		clock: clock{source: a.Source}, sum: newTally(a.Config), limit: newLimiter(a.Config.MaxRecordings, a.Config.MaxBytes),
		queue: newQueue(), evidence: newEvidence(), asideTurn: make(chan struct{}, 1), strays: map[fetcher.Date][]strayRow{}, asked: map[string]bool{}, nothing: map[bool]fetcher.Date{}, doubted: map[fetcher.Date]bool{},
		keys: &keyMaker{template: a.Keys, prefixLen: a.Config.KeyPrefixLen},
	}
	if disk, ok := a.Store.(*store.Disk); ok {
		r.checkFolders = disk.CheckFolders
	}
	r.zone.location = a.Config.Zone
	r.soft, r.stop = context.WithCancelCause(ctx)
	r.hard, r.kill = context.WithCancel(context.WithoutCancel(ctx))
	r.source = &limited{a.Source, r.stop}
	r.downloads = &downloader{source: r.source, evidence: r.evidence, newPart: a.Store.NewPart, received: r.sum.received}
	r.keeper = &keeper{store: a.Store, keys: r.keys, owners: r, run: a.Config.Run, lock: a.Config.Lock, class: a.Config.Class}
	context.AfterFunc(r.soft, func() {
		r.queue.hurry()
		select {
		case <-time.After(a.Config.Grace):
		case <-r.hard.Done():
		}
		r.kill()
	})
	a.sum.Store(r.sum)
	r.sum.queue.Store(r.queue)
	return r
}

// clock returns the time for settling: the earlier of the machine's and the API's clock.
type clock struct{ source Source }

func (c clock) now() time.Time { return c.at(time.Now()) }

// at converts a time of the machine to the clock that now uses, with the current knowledge of the
// API's clock.
func (c clock) at(machine time.Time) time.Time {
	if skew, known := c.source.ClockSkew(); known && skew > 0 {
		machine = machine.Add(-skew)
	}
	return machine.UTC()
}

// latest returns the time up to which calls are asked for. If the clocks are too far apart to close a day, it follows
// the later one: a wrong Date must not hide days that the API lists.
func (c clock) latest(zone *time.Location) time.Time {
	now := c.now()
	if !c.trusted() {
		skew, _ := c.source.ClockSkew()
		now = time.Now().Add(max(0, -skew))
	}
	return fetcher.Wall(now.Add(-endBefore), zone)
}

// trusted reports whether the two clocks agree well enough to close days.
func (c clock) trusted() bool {
	skew, known := c.source.ClockSkew()
	return !known || skew.Abs() <= ClockStops
}

// workAll works on the planned days to their end, and judges the pending ones.
func (r *run) workAll() error {
	days, err := r.planDays()
	if err != nil {
		return err
	}
	workers := new(errgroup.Group)
	for range r.config.Workers {
		workers.Go(func() error {
			r.worker()
			return nil
		})
	}
	flushed := r.flushInTime()
	r.workDays(days)
	if err := r.settle(); err != nil {
		r.stop(err)
	}
	r.queue.close()
	_ = workers.Wait() // they return nil
	flushed()
	return r.outcome()
}

// workDays works on the days in order, a few in parallel.
func (r *run) workDays(days []plannedDay) {
	inWork := new(errgroup.Group)
	inWork.SetLimit(daysInWork)
	done := 0
	for p, status := range r.statuses(days) {
		if r.soft.Err() != nil {
			break
		}
		if r.isPendingDue() {
			_ = inWork.Wait()
			if err := r.settle(); err != nil {
				r.stop(err)
				break
			}
		}
		done++
		inWork.Go(func() error {
			r.sum.begin(p.date)
			defer r.sum.end(p.date)
			if err := r.workDay(p, status); err != nil && !errors.Is(err, errStopping) {
				r.stop(err)
			}
			return nil
		})
	}
	_ = inWork.Wait() // its functions return nil: the first failure is the cause of soft
	r.sum.count(func(s *Summary) { s.DaysNotBegun = len(days) - done })
}

// knownDays returns the newest days that the ledger knows now, newest first.
func (r *run) knownDays() []fetcher.Date {
	r.mu.Lock()
	defer r.mu.Unlock()
	days := slices.Clone(r.known[max(0, len(r.known)-maxLookBack):])
	slices.Reverse(days)
	return days
}

// workDay lists one day, lets workers process its recordings, and closes it if possible.
func (r *run) workDay(p plannedDay, status dayStatus) error {
	switch {
	case r.concernsDayAlone(status.err):
		r.leaveUnread(p.date, status.err)
		return nil
	case status.err != nil:
		r.leaveOpen(OpenDay{Day: string(p.date), Settled: r.config.settled(r.clock.now(), p.date), Reasons: []string{reasonStopped}})
		return fmt.Errorf("read state of %s: %w", p.date, status.err)
	case r.skips(status.Status):
		if line, _ := status.Line(r.filter); r.config.Calls != RecordedCalls && !slices.Contains(line.Kept, keptCalls) {
			r.fewerRows.Add(1)
		}
		r.sum.count(func(s *Summary) { s.DaysSkipped++ })
		return nil
	}
	cut := false
	if latest := r.clock.latest(r.config.Zone); p.span.To.After(latest) {
		p.span.To, cut = latest, true
	}
	if !p.span.To.After(p.span.From) {
		r.leaveOpen(OpenDay{Day: string(p.date), Reasons: []string{reasonUnsettled}})
		return nil
	}
	d, err := r.open(p)
	switch {
	case r.concernsDayAlone(err):
		r.leaveUnread(p.date, err)
		return nil
	case err != nil:
		r.leaveOpen(OpenDay{Day: string(p.date), Settled: r.config.settled(r.clock.now(), p.date), Reasons: []string{reasonStopped}})
		return fmt.Errorf("read manifest of %s: %w", p.date, err)
	}
	d.cut = cut
	err = r.list(d)
	d.wait()
	if err != nil {
		r.leaveUnfinished(d)
		return err
	}
	return r.finish(d)
}

func (r *run) open(p plannedDay) (*day, error) {
	var ledger *manifest.Day
	err := r.patiently(func() (err error) {
		ledger, err = r.ledger.Load(r.hard, string(p.date))
		return err
	})
	if err != nil {
		return nil, err
	}
	r.mu.Lock()
	if i, found := slices.BinarySearch(r.known, p.date); !found {
		r.known = slices.Insert(r.known, i, p.date)
	}
	r.mu.Unlock()
	now := r.clock.now()
	d := newDay(p, ledger)
	d.begun = now
	d.settled, d.expired = r.config.settled(now, p.date), r.config.expired(now, p.date)
	d.listingID = fmt.Sprintf("%s.%d", r.config.Run, r.sum.listings.Add(1))
	return d, nil
}

// skips reports whether a day needs no work at all.
func (r *run) skips(status manifest.Status) bool {
	line, closed := status.Line(r.filter)
	if r.config.Relist || !closed || r.doubted[fetcher.Date(status.Day)] {
		return false
	}
	for outcome := range r.config.Retry {
		if line.ByOutcome[outcome] > 0 {
			return false
		}
	}
	return true
}

// maxUnnoted is the maximum time that lines stay only in memory.
const maxUnnoted = 15 * time.Second

// flushInTime stores the lines that the ledger of a bucket holds in memory: 1, 2, 4 and 8 seconds after the start,
// and then at least every 15. The returned function stops this.
func (r *run) flushInTime() (end func()) {
	ctx, cancel := context.WithCancel(r.hard)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for wait, next := time.Second, time.Second; ; wait, next = next, min(2*next, maxUnnoted) {
			select {
			case <-time.After(wait):
			case <-ctx.Done():
				return
			}
			err := r.patiently(func() error { return r.ledger.Flush(ctx) })
			if err != nil && ctx.Err() == nil {
				r.stop(fmt.Errorf("store the manifest: %w", err))
				return
			}
		}
	}()
	return func() {
		cancel()
		<-done
	}
}

// outcome returns why the run stopped itself, or nil.
func (r *run) outcome() error {
	cause := context.Cause(r.soft)
	_, limited := limitOf(cause)
	switch {
	case cause == nil && r.unlisted != nil && r.source.Answers() == 0:
		return r.unlisted // no window could be listed
	case cause == nil && r.unremoved != nil:
		return r.unremoved
	case cause == nil, limited, errors.Is(cause, context.Canceled):
		return nil
	}
	return cause
}

func (r *run) finishSummary(ctx context.Context) {
	r.warnOfClocks()
	r.zone.warn(r)
	if days := r.fewerRows.Load(); days > 0 {
		r.sum.warn(r.log, fmt.Sprintf("closed days that keep only rows of calls with recordings: %d; add --relist to keep the rows of all calls", days))
	}
	for host, links := range r.evidence.forbiddenHosts() {
		r.sum.warn(r.log, forbiddenText(host, links))
	}
	r.sum.count(func(s *Summary) {
		s.Ended = time.Now().UTC()
		s.Seconds = s.Ended.Sub(s.Started).Seconds()
		if s.DryRun {
			_, toS3 := r.store.(*store.S3)
			s.Estimate = r.sum.counted.estimate(toS3)
		}
		limit, limited := limitOf(context.Cause(r.soft))
		switch {
		case limited:
			s.Stopped = string(limit)
		case ctx.Err() != nil:
			s.Stopped = context.Cause(ctx).Error()
		}
	})
}

// forbiddenText says what to do about links to a host that is not allowed.
func forbiddenText(host string, links int) string {
	text := fmt.Sprintf("%d links point to %s", links, host)
	if links == 1 {
		text = "1 link points to " + host
	}
	if host == otherHosts {
		return text + " that are not allowed"
	}
	return text + "; add --allow-host " + host + " if the host is the vendor's: the flag replaces the default, so give --allow-host '*.convoso.com' too"
}

func (r *run) warnOfClocks() {
	skew, known := r.source.ClockSkew()
	if !known || skew.Abs() <= ClockWarns {
		return
	}
	text := fmt.Sprintf("the machine's clock and the API's are %s apart: check the clock", skew.Abs().Round(time.Second))
	if skew.Abs() > ClockStops {
		text += "; no day is closed"
		r.sum.count(func(s *Summary) { s.ClocksApart = true })
	}
	r.sum.warn(r.log, text)
}
