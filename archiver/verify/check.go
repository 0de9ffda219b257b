// Compares one recording with its line in the manifest.

package verify

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strings"
	"time"

	"convoso-archiver/archiver/store"
	"convoso-archiver/internal/retry"
)

// check compares a recording with its line.
func (d *dayWork) check(ctx context.Context, t target) {
	compare := d.hash
	if d.run.Config.Mode == Quick {
		compare = d.compareInfo
	}
	f, err := compare(ctx, t)
	switch {
	case ctx.Err() != nil:
		return
	case errors.Is(err, fs.ErrNotExist) || errors.Is(err, store.ErrBadKey): // no object can have this key
		f = Finding{Kind: Missing, Detail: "file missing or empty"}
	case err != nil:
		d.run.noteTrouble(err)
		d.add(t, Finding{Kind: NotReadable, Detail: withoutPath(err).Error()}, false)
		return
	}
	d.run.trouble.Store(0)
	d.run.checked.Add(1)
	if f.Kind == Missing {
		removed, err := d.isRemoved(ctx, t)
		if err != nil {
			f = Finding{Kind: NotReadable, Detail: withoutPath(err).Error()}
		}
		if removed {
			return
		}
	}
	if f.Kind != "" {
		d.add(t, f, false)
	}
	if f.Kind != Missing && d.run.looksAtLocks() {
		d.run.checkLock(ctx, Stored{Key: t.Key, Day: d.day, RecordingID: t.id, CallID: t.CallID, Noted: t.Time})
	}
}

// isRemoved reports whether missing audio was removed on purpose, also since the day was read.
func (d *dayWork) isRemoved(ctx context.Context, t target) (bool, error) {
	removed, err := d.run.Ledger.IsRemoved(ctx, d.day, t.id, t.CallID)
	if err != nil {
		return false, fmt.Errorf("read what was erased: %w", err)
	}
	if removed || d.run.Expired == nil {
		return removed, nil
	}
	expired, err := d.run.Expired(ctx, Stored{Key: t.Key, Day: d.day, RecordingID: t.id, CallID: t.CallID, Noted: t.Time})
	if err != nil {
		return false, fmt.Errorf("read its retention: %w", err)
	}
	if expired {
		d.run.count(func(s *Summary) { s.Expired++ })
	}
	return expired, nil
}

// checkKnown judges a recording by its lines, and checks whether the noted bytes are stored under its key
// anyway.
func (d *dayWork) checkKnown(ctx context.Context, t target, kind Kind) {
	back := false
	if t.isProved() {
		differs, err := d.hash(ctx, t)
		back = err == nil && differs.Kind == ""
	}
	if ctx.Err() != nil {
		return
	}
	f := Finding{Kind: kind, Detail: "two manifest lines give this file different checksums"}
	if kind == KnownDamaged {
		f.Detail = fmt.Sprintf("marked as damaged on %s (%s), not downloaded again since", t.Time.Format(time.DateOnly), t.Reason)
		if t.Final {
			f.Detail += "; the vendor no longer has it"
		}
		if back {
			f.Detail += "; the file is intact again"
		}
	}
	d.add(t, f, back)
}

// noteTrouble ends the run if the whole store cannot be read.
func (r *run) noteTrouble(err error) {
	if !errors.Is(err, store.ErrUnusable) && !store.IsRetriable(err) {
		return // concerns only this recording
	}
	if r.trouble.Add(1) >= maxTrouble {
		r.stop(fmt.Errorf("%d reads in a row failed: %w", maxTrouble, err))
	}
}

// withoutPath returns the cause within an error of package os.
func withoutPath(err error) error {
	if e, ok := errors.AsType[*fs.PathError](err); ok {
		return e.Err
	}
	return err
}

// compareInfo compares by description. A different entity tag only counts if the metadata identifies the noted
// object, because copying to another bucket changes tags and may drop the metadata. Then the bytes decide.
func (d *dayWork) compareInfo(ctx context.Context, t target) (Finding, error) {
	info, err := d.run.Store.Stat(ctx, t.Key)
	switch etag := unquoted(t.ETag); {
	case err != nil:
		return Finding{}, err
	case info.Size != t.Size:
		return wrongSize(info.Size, t.Size), nil
	case info.SHA256 == [32]byte{}, info.SHA256 == t.SHA256 && (etag == "" || etag == info.ETag):
		return Finding{}, nil
	}
	return d.hash(ctx, t)
}

func unquoted(etag string) string { return strings.Trim(etag, `"`) }

// hash reads and hashes every byte, but at most one byte beyond the noted size.
func (d *dayWork) hash(ctx context.Context, t target) (Finding, error) {
	var size int64
	hash := sha256.New()
	err := retry.If(ctx, store.IsRetriable, func(ctx context.Context) error {
		hash.Reset()
		body, err := d.run.Store.Open(ctx, t.Key)
		if err == nil {
			size, err = io.Copy(hash, io.LimitReader(body, t.Size+1))
			d.run.bytes.Add(size)
			_ = body.Close() // read only
		}
		return err
	})
	sum := [32]byte(hash.Sum(nil))
	switch {
	case err != nil:
		return Finding{}, err
	case size != t.Size:
		if info, err := d.run.Store.Stat(ctx, t.Key); err == nil && info.Size != t.Size {
			size = info.Size // reading stopped after the noted size
		}
		return wrongSize(size, t.Size), nil
	case sum != t.SHA256:
		return Finding{Kind: WrongHash, Detail: fmt.Sprintf("checksum mismatch: SHA-256 %x…, the manifest says %x…", sum[:6], t.SHA256[:6])}, nil
	}
	return Finding{}, nil
}

func wrongSize(size, noted int64) Finding {
	return Finding{Kind: WrongSize, Detail: fmt.Sprintf("size mismatch: %d bytes, the manifest says %d", size, noted)}
}
