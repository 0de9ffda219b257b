package cli

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"convoso-archiver/archiver/store"
	"convoso-archiver/archiver/verify"
	"convoso-archiver/manifest"
)

// openedArchive is an archive open to be verified. It is opened for reading alone, but for the ledger of a repair.
type openedArchive struct {
	parts
	store  verify.Store
	ledger *manifest.Ledger
}

// open opens the archive of a job. It returns what it has opened also beside an error.
func (j *verifyJob) open(ctx context.Context, logger *slog.Logger) (*openedArchive, error) {
	o := &openedArchive{}
	options := manifest.Options{Run: manifest.NewRunID(time.Now()), ReadOnly: !j.config.Repair, Logger: logger}
	if j.folder != "" {
		return o, o.openFolder(j, options)
	}
	return o, o.openBucket(ctx, j, options)
}

func (o *openedArchive) openFolder(j *verifyJob, options manifest.Options) error {
	// Opening the ledger for writing would make a folder for its lock where no archive is.
	if _, err := os.Stat(filepath.Join(j.folder, "manifest")); err != nil {
		return errNoFolder(err)
	}
	disk, err := store.OpenDisk(j.folder, store.DiskOptions{ReadOnly: true})
	if err != nil {
		return badFolder(err)
	}
	o.closers = append(o.closers, func(context.Context) error { return disk.Close() })
	o.store = disk
	return o.openLedger(manifest.OpenDir(disk.Root(), options))
}

func (o *openedArchive) openBucket(ctx context.Context, j *verifyJob, options manifest.Options) error {
	b := j.bucket
	temp, err := o.temporaryFolder() // the store wants one; nothing is put there
	if err != nil {
		return err
	}
	objects, err := store.OpenS3(ctx, store.S3Options{
		Bucket: b.bucket, Prefix: b.prefix, Endpoint: b.endpoint, Region: b.region, PathStyle: b.pathStyle,
		SSE: b.sse, KMSKeyID: b.kmsKeyID, Checksum: b.checksum, NoConditionalWrites: b.noConditionalWrites,
		TempDir: temp, Workers: j.config.Workers,
	})
	if err != nil {
		return badBucketSettings(ctx, err)
	}
	o.closers = append(o.closers, func(context.Context) error { return objects.Close() })
	o.store = objects
	if j.config.Repair {
		if err := openStateDir(j.stateDir); err != nil {
			return err
		}
		options.SpoolDir = filepath.Join(destinationState(j.stateDir, b.endpoint, b.bucket, b.prefix), "spool")
	}
	return o.openLedger(manifest.OpenObjects(ctx, objects, options))
}

func (o *openedArchive) openLedger(ledger *manifest.Ledger, err error) error {
	if err != nil {
		return fmt.Errorf("open manifest: %w", err)
	}
	o.ledger = ledger
	o.closers = append(o.closers, ledger.Close)
	return nil
}
