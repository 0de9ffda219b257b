// Opens store and manifest of an archive, for every command.

package archiver

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"log/slog"
	"os"
	"path/filepath"

	"convoso-archiver/archiver/store"
	"convoso-archiver/manifest"
)

// Location says where an archive is: in a folder, or in a bucket.
type Location struct {
	Folder string
	S3     store.S3Options // used if Folder is ""
	// Check, if set, is called before anything is written to a bucket; its error ends Open.
	Check func(ctx context.Context, bucket *store.S3, ledger *manifest.Ledger) error
}

// Access is the purpose of opening an archive.
type Access int

// The kinds of access.
const (
	Read    Access = iota // takes no lock and writes nothing; the archive must exist
	DryRun                // like Read; a folder that does not exist is an empty archive
	Repair                // writes the manifest of an archive that exists
	Archive               // stores recordings; creates a missing archive
	Erase                 // removes recordings of an archive that exists, and writes its manifest
)

// Writes reports whether the archive is written to.
func (a Access) Writes() bool { return a == Repair || a.stores() }

// stores reports whether recordings are stored or removed.
func (a Access) stores() bool { return a == Archive || a == Erase }

// Makes reports whether a missing archive is created, if only for the duration of a dry run.
func (a Access) Makes() bool { return a == Archive || a == DryRun }

// Opened is an open archive. The caller must close it.
type Opened struct {
	Store  OpenedStore
	Ledger *manifest.Ledger
	// KeyPrefixLen is how many bytes the store puts before each key.
	KeyPrefixLen int
	// Conditions says whether the store honours If-None-Match, nil on disk.
	Conditions *bool

	closers []func(context.Context) error // in the order of opening
}

// OpenedStore is the part of a store that commands use; *store.Disk and *store.S3 implement it.
type OpenedStore interface {
	Store
	List(ctx context.Context, prefix string) iter.Seq2[store.Info, error]
	OpenRange(ctx context.Context, key string, offset, length int64) (io.ReadCloser, error)
	Remove(ctx context.Context, key string) error
	RemoveAside(ctx context.Context, name string) error
	RemoveOlder(ctx context.Context, name string) error
	Names(ctx context.Context, prefix string) iter.Seq2[string, error]
}

// Close flushes the ledger and closes everything, also after an error.
func (o *Opened) Close(ctx context.Context) error {
	var failed error
	for i := len(o.closers) - 1; i >= 0; i-- {
		failed = errors.Join(failed, o.closers[i](ctx))
	}
	return failed
}

// Open opens an archive for a run with the given id, "" for a new one. The error is
// [manifest.ErrLocked] when another run holds the archive; fs.ErrNotExist when a required archive
// does not exist; [store.ErrUnusable] and [store.IsRetriable] classify errors of the store. Open
// checks that a bucket for writing honours conditions.
func Open(ctx context.Context, at Location, access Access, run string, log *slog.Logger) (*Opened, error) {
	o := &Opened{}
	err := o.open(ctx, at, access, manifest.Options{Run: run, ReadOnly: !access.Writes(), Logger: log})
	if err != nil {
		return nil, errors.Join(err, o.Close(context.WithoutCancel(ctx)))
	}
	return o, nil
}

func (o *Opened) open(ctx context.Context, at Location, access Access, options manifest.Options) error {
	if at.Folder != "" {
		return o.openFolder(ctx, at.Folder, access, options)
	}
	return o.openBucket(ctx, at, access, options)
}

func (o *Opened) openFolder(ctx context.Context, folder string, access Access, options manifest.Options) error {
	if access == DryRun {
		if _, err := os.Stat(folder); errors.Is(err, fs.ErrNotExist) {
			if folder, err = o.emptyFolder(); err != nil {
				return err
			}
		}
	}
	if !access.Makes() {
		if _, err := os.Stat(filepath.Join(folder, "manifest")); err != nil {
			return fmt.Errorf("open the archive: %w", err)
		}
	}
	disk, err := store.OpenDisk(folder, store.DiskOptions{ReadOnly: !access.stores(), Logger: options.Logger})
	if err != nil {
		return err
	}
	o.Store = disk
	o.closers = append(o.closers, func(context.Context) error { return disk.Close() })
	if o.Ledger, err = manifest.OpenDir(disk.Root(), options); err != nil {
		return fmt.Errorf("open manifest: %w", err)
	}
	o.closers = append(o.closers, o.Ledger.Close)
	if !access.stores() {
		return nil
	}
	// The lock proves that no other run writes, so these files are from a killed run.
	if err := disk.CleanTemp(ctx); err != nil {
		return fmt.Errorf("clean up after an earlier run: %w", err)
	}
	return nil
}

// emptyFolder makes a folder that is removed at the end.
func (o *Opened) emptyFolder() (string, error) {
	folder, err := os.MkdirTemp("", "convoso-archiver-*")
	if err != nil {
		return "", fmt.Errorf("make a temporary folder: %w", err)
	}
	o.closers = append(o.closers, func(context.Context) error { return os.RemoveAll(folder) })
	return folder, nil
}

func (o *Opened) openBucket(ctx context.Context, at Location, access Access, ledger manifest.Options) error {
	options := at.S3
	bucket, err := store.OpenS3(ctx, options)
	if err != nil {
		return err
	}
	o.Store = bucket
	o.closers = append(o.closers, func(context.Context) error { return bucket.Close() })
	if options.Prefix != "" {
		o.KeyPrefixLen = len(options.Prefix) + len("/")
	}
	if o.Ledger, err = manifest.OpenBucket(bucket, ledger); err != nil {
		return fmt.Errorf("open manifest: %w", err)
	}
	o.closers = append(o.closers, func(ctx context.Context) error {
		return errors.Join(o.Ledger.Close(ctx), removeLeftOut(ctx, bucket, o.Ledger.LeftOut()))
	})
	if !access.Writes() {
		return nil
	}
	if at.Check != nil {
		if err := at.Check(ctx, bucket, o.Ledger); err != nil {
			return err
		}
	}
	honours := !options.NoConditionalWrites
	o.Conditions = &honours
	if honours {
		return bucket.ProveConditionalWrites(ctx)
	}
	return nil
}

// removeLeftOut removes audio without a line, which this run stored while another process erased the
// recording.
func removeLeftOut(ctx context.Context, bucket *store.S3, recordings []manifest.Recording) error {
	for _, r := range recordings {
		info, err := bucket.Stat(ctx, r.Key)
		if err == nil && info.IsOf(r.RecordingID) {
			err = bucket.Remove(ctx, r.Key)
		}
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("remove recording %s, which was erased meanwhile: %w", r.RecordingID, err)
		}
	}
	return nil
}
