package cli

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"runtime/debug"
	"time"

	"convoso-archiver/archiver"
	"convoso-archiver/archiver/key"
	"convoso-archiver/archiver/store"
	"convoso-archiver/fetcher"
	"convoso-archiver/manifest"
)

// closeTime bounds what closing the manifest may take when a run was stopped: the
// upload of a spool that holds at most a minute's notes.
const closeTime = 30 * time.Second

// parts are what a run is built of, and what must be closed after it.
type parts struct {
	archiver *archiver.Archiver
	client   *fetcher.Client
	closers  []func(context.Context) error // in the order of opening
}

// close closes in reverse order, and goes on after an error.
func (p *parts) close(ctx context.Context) error {
	var failed error
	for i := len(p.closers) - 1; i >= 0; i-- {
		failed = errors.Join(failed, p.closers[i](ctx))
	}
	return failed
}

// runJob builds the parts, runs them with progress, and returns what was done, also
// beside an error.
func (p *process) runJob(ctx context.Context, job *archiveJob, talk output) (summary archiver.Summary, err error) {
	boundHeap(p.env)
	logger := newLogger(p.screen, talk, p.env)
	for _, note := range job.warnings {
		logger.Warn("a setting needs a look", "note", note)
	}
	rates := loadRates(job.stateDir, logger)
	built, err := assemble(ctx, job, rates, logger)
	defer func() {
		// The notes of a stopped run must be brought to safety all the same.
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
	stop := showProgress(talk, p.screen, p.env, logger, &watcher{run: built.archiver.Progress, paces: built.client.Paces})
	err = built.archiver.Run(ctx)
	stop()
	summary = built.archiver.Summary()
	countRequests(&summary, built.client)
	if !job.config.DryRun {
		if err := saveRates(job.stateDir, rates, built.client.Rates()); err != nil {
			logger.Warn("the learned rates are not kept; the next run starts slowly", "err", err)
		}
	}
	return summary, err
}

// heapGrowth is by how many percent the heap may grow until the collector runs: half
// of Go's default. Little lives, so that running twice as often costs little; and
// unlike a limit in bytes this never makes the collector run all the time, however
// much a day holds.
const heapGrowth = 50

// boundHeap makes the collector run more often, unless the user has chosen.
func boundHeap(env environment) {
	if env["GOGC"] == "" {
		debug.SetGCPercent(heapGrowth)
	}
}

// countRequests adds what only the client knows.
func countRequests(s *archiver.Summary, client *fetcher.Client) {
	s.APIRequests = client.Requests()
	for i, pace := range client.Paces() {
		s.Refusals += pace.Refusals
		if i > 0 { // the first is the API's
			s.MediaRequests += pace.Starts
		}
	}
}

// assemble makes the parts in the order in which they can fail cheaply: what needs no
// file and no request first. It returns what it has opened, also beside an error.
func assemble(ctx context.Context, job *archiveJob, rates fetcher.Rates, logger *slog.Logger) (*parts, error) {
	p := &parts{}
	keys, err := key.Parse(job.template)
	if err != nil {
		return p, misuse("see --path-template in archive --help", "--path-template: %v", err)
	}
	p.client, err = fetcher.New(fetcher.Options{
		APIURL: job.apiURL, Token: job.token, Zone: job.config.Zone, AllowHosts: job.allowHosts,
		PageSize: job.pageSize, APIRate: job.apiRate, MediaRate: job.mediaRate, Learned: rates,
		Workers: job.config.Workers, UserAgent: thisBuild().userAgent(), Logger: logger,
	})
	if err != nil {
		return p, misuse("check --api-url", "%v", err)
	}
	p.closers = append(p.closers, func(context.Context) error { p.client.Close(); return nil })
	if !job.config.DryRun {
		if err := openStateDir(job.stateDir); err != nil {
			return p, err
		}
	}
	config := job.config
	config.Run = manifest.NewRunID(time.Now())
	p.archiver = &archiver.Archiver{Config: config, Source: p.client, Keys: keys, Logger: logger}
	if job.folder != "" {
		return p, p.openFolder(ctx, job, logger)
	}
	return p, p.openBucket(ctx, job, logger)
}

// storingOnDisk is how many recordings may wait for a sync together: the more there
// are, the fewer syncs are made. Each has a file open, and hardly any memory.
const storingOnDisk = 512

// mostStoringInBucket is how many recordings at most may be uploading while all
// workers download. Each needs a connection and what the client keeps for a request.
const mostStoringInBucket = 16

// openFolder opens a destination on disk.
func (p *parts) openFolder(ctx context.Context, job *archiveJob, logger *slog.Logger) error {
	a, readOnly := p.archiver, job.config.DryRun
	folder, err := p.folderToOpen(job)
	if err != nil {
		return err
	}
	disk, err := store.OpenDisk(folder, store.DiskOptions{
		// The ledger is opened below; it is asked only when a recording is stored.
		Owner:    func(ctx context.Context, key string) (string, error) { return a.Ledger.Owner(ctx, key) },
		ReadOnly: readOnly,
	})
	if err != nil {
		return badFolder(err)
	}
	p.closers = append(p.closers, func(context.Context) error { return disk.Close() })
	a.Store = disk
	a.Config.Storing = storingOnDisk
	a.Ledger, err = manifest.OpenDir(disk.Root(), manifest.Options{
		Run: a.Config.Run, ReadOnly: readOnly, Logger: logger, Sync: disk.Sync,
	})
	if err != nil {
		return fmt.Errorf("open manifest: %w", err)
	}
	p.closers = append(p.closers, a.Ledger.Close)
	if readOnly {
		return nil
	}
	// Under the lock, so that these are the leavings of a run that died.
	if err := disk.CleanTemp(ctx); err != nil {
		return fmt.Errorf("clean up after an earlier run: %w", err)
	}
	return nil
}

// folderToOpen returns the destination, or for a dry run into a folder that is not
// there yet an empty one that is removed at the end.
func (p *parts) folderToOpen(job *archiveJob) (string, error) {
	if !job.config.DryRun {
		return job.folder, nil
	}
	if _, err := os.Stat(job.folder); !errors.Is(err, fs.ErrNotExist) {
		return job.folder, nil
	}
	return p.temporaryFolder()
}

// temporaryFolder makes a folder that is removed at the end.
func (p *parts) temporaryFolder() (string, error) {
	folder, err := os.MkdirTemp("", program+"-dry-run-*")
	if err != nil {
		return "", fmt.Errorf("make a temporary folder: %w", err)
	}
	p.closers = append(p.closers, func(context.Context) error { return os.RemoveAll(folder) })
	return folder, nil
}

// badFolder tells a folder that the user should not have named from one that got
// into trouble.
func badFolder(err error) error {
	switch {
	case errors.Is(err, fs.ErrPermission):
		return misuse("", "%v", err) // says what to try
	case errors.Is(err, store.ErrUnusable):
		return err
	}
	return misuse("check --dest", "%v", err)
}

// openBucket opens a destination on S3.
func (p *parts) openBucket(ctx context.Context, job *archiveJob, logger *slog.Logger) error {
	a, readOnly, b := p.archiver, job.config.DryRun, job.bucket
	state, err := p.bucketState(job)
	if err != nil {
		return err
	}
	objects, err := store.OpenS3(ctx, store.S3Options{
		Bucket: b.bucket, Prefix: b.prefix, Endpoint: b.endpoint, Region: b.region, PathStyle: b.pathStyle,
		StorageClass: b.storageClass, SSE: b.sse, KMSKeyID: b.kmsKeyID, Checksum: b.checksum,
		NoConditionalWrites: b.noConditionalWrites,
		TempDir:             filepath.Join(state, "tmp"), Workers: job.config.Workers + mostStoringInBucket,
	})
	if err != nil {
		return badBucketSettings(ctx, err)
	}
	p.closers = append(p.closers, func(context.Context) error { return objects.Close() })
	a.Store = objects
	a.Config.Storing = min(job.config.Workers, mostStoringInBucket)
	if b.prefix != "" {
		a.Config.KeyPrefixLen = len(b.prefix) + len("/")
	}
	a.Ledger, err = manifest.OpenObjects(ctx, objects, manifest.Options{
		Run: a.Config.Run, ReadOnly: readOnly, Logger: logger, SpoolDir: filepath.Join(state, "spool"),
	})
	if err != nil {
		return fmt.Errorf("open manifest: %w", err)
	}
	p.closers = append(p.closers, a.Ledger.Close)
	if readOnly {
		return nil
	}
	// The first run on a destination, before it writes anything else there.
	if _, err := a.Ledger.Archive(ctx); errors.Is(err, fs.ErrNotExist) {
		return badAnswer(ctx, objects.ProveConditionalWrites(ctx))
	}
	return nil // any other error is met again by the run, which says more
}

// bucketState returns the folder for temporary files and spool of the destination,
// which for a dry run is one that is removed at the end.
func (p *parts) bucketState(job *archiveJob) (string, error) {
	if job.config.DryRun {
		return p.temporaryFolder()
	}
	b := job.bucket
	return destinationState(job.stateDir, b.endpoint, b.bucket, b.prefix), nil
}

// badAnswer adds what to try where the address answers, but not as a store does.
func badAnswer(ctx context.Context, err error) error {
	if err == nil || ctx.Err() != nil || errors.Is(err, store.ErrUnusable) || store.IsRetriable(err) {
		return err
	}
	return fmt.Errorf("%w: check --s3-endpoint and --dest: what answers there may be no S3 server", err)
}

// badBucketSettings tells mistakes in the settings, which is what OpenS3 fails with
// where it says nothing else, from trouble.
func badBucketSettings(ctx context.Context, err error) error {
	if ctx.Err() != nil || errors.Is(err, store.ErrUnusable) || store.IsRetriable(err) {
		return err
	}
	return misuse("see the flags for S3 in archive --help", "%v", err)
}
