// Builds the parts of a run and closes them again.

package cli

import (
	"context"
	"errors"
	"io/fs"
	"log/slog"
	"path/filepath"
	"runtime/debug"
	"time"

	"convoso-archiver/archiver"
	"convoso-archiver/archiver/key"
	"convoso-archiver/archiver/store"
	"convoso-archiver/fetcher"
	"convoso-archiver/manifest"
)

// closeTime limits the time for closing the archive after a stop: the upload of at most 15 seconds
// of lines.
const closeTime = 30 * time.Second

// parts are the components of a run, which must be closed after it.
type parts struct {
	archiver *archiver.Archiver
	client   *fetcher.Client
	opened   *archiver.Opened // nil until opened
}

// close closes the opened parts.
func (p *parts) close(ctx context.Context) error {
	if p.client != nil {
		p.client.Close()
	}
	if p.opened == nil {
		return nil
	}
	return p.opened.Close(ctx)
}

// runJob builds the parts, runs them with progress, and returns the summary, also with an error.
func (p *process) runJob(ctx context.Context, job *archiveJob, talk output) (summary archiver.Summary, err error) {
	boundHeap(p.env)
	logger := newLogger(p.screen, talk, p.env)
	for _, note := range job.warnings {
		logger.Warn("check a setting", "note", note)
	}
	rates := loadRates(job.stateDir, logger)
	built, err := assemble(ctx, job, rates, logger)
	defer func() {
		// The lines of a stopped run must still be stored.
		closing, cancel := context.WithTimeout(context.WithoutCancel(ctx), closeTime)
		defer cancel()
		if closeErr := built.close(closing); err == nil {
			err = closeErr
		} else if closeErr != nil {
			logger.Error("closing the archive failed too", "err", closeErr)
		}
	}()
	if err != nil {
		return summary, err
	}
	stop := showProgress(talk, p.screen, p.env, logger, &watcher{run: built.archiver.Progress, paces: built.client.Paces, off: built.client.OffUntil})
	unfollow := job.monitor.follow(built.archiver, built.client)
	err = withBucket(job.location(), built.archiver.Run(ctx))
	unfollow()
	stop()
	summary = built.archiver.Summary()
	countRequests(&summary, built.client, job.apiRate/float64(max(job.rateShares, 1)))
	if !job.config.DryRun {
		if err := saveRates(job.stateDir, rates, built.client.Rates()); err != nil {
			logger.Warn("cannot save the learned rates; the next run starts slowly", "err", err)
		}
	}
	return summary, err
}

// heapGrowth is the GOGC percentage: half of Go's default. The live heap is small, so collecting
// twice as often costs little; and unlike a limit in bytes, this never makes the collector run all
// the time, even with a large day.
const heapGrowth = 50

// boundHeap makes the collector run more often, unless GOGC is set.
func boundHeap(env environment) {
	if env["GOGC"] == "" {
		debug.SetGCPercent(heapGrowth)
	}
}

// countRequests adds the counts of the client. apiRate is the maximum of this run.
func countRequests(s *archiver.Summary, client *fetcher.Client, apiRate float64) {
	s.APIRequests = client.Requests()
	for i, pace := range client.Paces() {
		s.Refusals += pace.Refusals
		if i > 0 { // the first is the API's
			s.MediaRequests += pace.Starts
		}
	}
	if s.Estimate != nil {
		s.Estimate.CountPages(s.APIRequests, apiRate)
	}
}

// assemble makes the parts in the order of the cost of a failure: first those without files and
// requests. It returns the opened parts, also with an error.
func assemble(ctx context.Context, job *archiveJob, rates fetcher.Rates, logger *slog.Logger) (*parts, error) {
	p := &parts{}
	keys, err := key.Parse(job.template)
	if err != nil {
		return p, misuse("see --path-template in archive --help", "--path-template: %v", err)
	}
	p.client, err = fetcher.New(fetcher.Options{
		APIURL: job.apiURL, Token: job.token, Zone: job.config.Zone, AllowHosts: job.allowHosts,
		PageSize: job.pageSize, APIRate: job.apiRate, MediaRate: job.mediaRate, RateShares: job.rateShares, Learned: rates,
		Schedule: job.schedule, MaxRequests: int64(job.maxRequests),
		Workers: job.config.Workers, RetryFor: max(job.config.RetryFor, 1), UserAgent: thisBuild().userAgent(), Logger: logger,
	})
	if err != nil {
		return p, misuse("check --api-url", "%v", err)
	}
	if !job.config.DryRun {
		if err := openStateDir(job.stateDir); err != nil {
			return p, err
		}
	}
	config := job.config
	config.Workers = withinFileLimit(config.Workers, openFileLimit(), logger)
	if job.folder != "" && !config.DryRun {
		if err := checkFolder(job.stateDir, job.folder, job.newArchive); err != nil {
			return p, err
		}
	}
	config.Run = manifest.NewRunID(time.Now())
	access := archiver.Archive
	if config.DryRun {
		access = archiver.DryRun
	}
	at := job.location()
	if access.Writes() && job.locks.given() { // an unsuitable bucket must stay unchanged
		at.Check = job.locks.check
	}
	p.opened, err = openArchive(ctx, at, access, config.Run, logger)
	if err != nil {
		return p, err
	}
	if access.Writes() {
		if !job.newArchive {
			if err := refuseLost(ctx, p.opened.Ledger); err != nil {
				return p, err
			}
		}
		if err := job.locks.noteFor(ctx, job, p.opened, logger); err != nil {
			return p, err
		}
		config.Lock, config.Class = job.locks.settings.Rule(), job.locks.classes.Class
	}
	if job.folder != "" && !config.DryRun {
		rememberFolder(job.stateDir, job.folder, logger)
	}
	config.KeyPrefixLen, config.Conditions = p.opened.KeyPrefixLen, p.opened.Conditions
	p.archiver = &archiver.Archiver{
		Config: config, Source: p.client, Store: p.opened.Store, Ledger: p.opened.Ledger, Keys: keys, Logger: logger,
	}
	return p, nil
}

// noFileLimit is used if the limit on open files is unknown.
const noFileLimit = 1 << 20

// withinFileLimit returns how many workers the limit on open files allows. Each needs a connection,
// a file and the folders on its path.
func withinFileLimit(workers int, limit uint64, logger *slog.Logger) int {
	const others, each = 32, 5
	allowed := 1
	if limit > others+each {
		allowed = int(min((limit-others)/each, maxWorkers))
	}
	if allowed < workers {
		logger.Warn("using fewer workers than --workers: the limit on open files is low", "workers", allowed, "limit", limit)
		return allowed
	}
	return workers
}

// location returns the location of the archive.
func (j *archiveJob) location() archiver.Location {
	b := j.bucket
	b.Workers = j.config.Workers
	if j.folder == "" && !j.config.DryRun {
		b.TempDir = filepath.Join(destinationState(j.stateDir, b.Endpoint, b.Bucket, b.Prefix), "tmp")
	}
	return archiver.Location{Folder: j.folder, S3: b}
}

// openArchive opens an archive for any command, and distinguishes mistakes in the settings from
// other errors.
func openArchive(ctx context.Context, at archiver.Location, access archiver.Access, run string, logger *slog.Logger) (*archiver.Opened, error) {
	opened, err := archiver.Open(ctx, at, access, run, logger)
	err = withBucket(at, err)
	usage, isUsage := errors.AsType[*usageError](err)
	switch {
	case err == nil:
		return opened, nil
	case isUsage: // from at.Check
		return nil, usage
	case errors.Is(err, store.ErrLinkedFolder):
		return nil, misuse("", "%v", err)
	case ctx.Err() != nil, errors.Is(err, manifest.ErrLocked), errors.Is(err, store.ErrUnusable), store.IsRetriable(err):
		return nil, err
	case errors.Is(err, fs.ErrNotExist) && !access.Makes():
		if at.Folder != "" && holdsCalls(at.Folder) {
			return nil, lostManifest("run rebuild with the settings of archive to recreate it")
		}
		return nil, noArchive()
	case errors.Is(err, fs.ErrPermission):
		return nil, misuse("", "%v", err) // the error says what to try
	case at.Folder != "":
		return nil, misuse("check --dest", "%v", err)
	}
	what, try := store.Told(err)
	return nil, misuse(orElse(try, "check --dest and the flags for S3 in archive --help"), "%s", what)
}

// bucketError says which bucket failed. Errors of package store do not, because they must not
// contain keys.
type bucketError struct {
	bucket string
	err    error
}

// Error returns one lower-case line.
func (e *bucketError) Error() string { return e.bucket + ": " + e.err.Error() }

// Unwrap returns the error of the store.
func (e *bucketError) Unwrap() error { return e.err }

// withBucket adds the bucket to an error of its store.
func withBucket(at archiver.Location, err error) error {
	if _, known := errors.AsType[*bucketError](err); known || at.Folder != "" || !errors.Is(err, store.ErrUnusable) && !store.IsRetriable(err) {
		return err
	}
	bucket := "bucket " + at.S3.Bucket
	if at.S3.Endpoint != "" {
		bucket += " at " + at.S3.Endpoint
	}
	return &bucketError{bucket, err}
}

// closeOpened closes an archive, also when the context has ended.
func closeOpened(ctx context.Context, opened *archiver.Opened) error {
	closing, cancel := context.WithTimeout(context.WithoutCancel(ctx), closeTime)
	defer cancel()
	return opened.Close(closing)
}
