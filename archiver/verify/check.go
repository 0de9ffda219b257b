package verify

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strings"

	"convoso-archiver/archiver/store"
	"convoso-archiver/internal/retry"
	"convoso-archiver/manifest"
)

const bufferSize = 128 << 10

// job is one recording to check, and the day that waits for it.
type job struct {
	day    *dayWork
	target manifest.Audited
}

// check compares one recording with what was noted of it. It is false when all is well, and when ctx ended.
func (r *run) check(ctx context.Context, t manifest.Audited) (f Finding, bad bool) {
	f = Finding{RecordingID: t.ID, Key: t.State.Key}
	var err error
	if r.config.Mode == Quick {
		err = r.look(ctx, t, &f)
	} else {
		err = r.read(ctx, t, &f)
	}
	switch {
	case ctx.Err() != nil:
		return f, false
	case err == nil:
		r.trouble.Store(0)
		r.checked.Add(1)
	case errors.Is(err, fs.ErrNotExist):
		r.trouble.Store(0)
		r.checked.Add(1)
		f.Kind, f.Detail = Missing, "nothing, or an empty file, stands under its key"
	case errors.Is(err, store.ErrBadKey):
		r.checked.Add(1)
		f.Kind, f.Detail = Missing, "its noted key is none that a recording can have"
	default:
		r.noteTrouble(err)
		f.Kind, f.Detail = NotReadable, withoutPath(err).Error()
	}
	return f, f.Kind != ""
}

// noteTrouble ends the run when the store as a whole cannot be read.
func (r *run) noteTrouble(err error) {
	if !errors.Is(err, store.ErrUnusable) && !store.IsRetriable(err) {
		return // this one alone
	}
	if r.trouble.Add(1) >= mostTrouble {
		r.stop(fmt.Errorf("%d reads in a row failed: %w", mostTrouble, err))
	}
}

// withoutPath returns the cause within an error of package os.
func withoutPath(err error) error {
	if e, ok := errors.AsType[*fs.PathError](err); ok {
		return e.Err
	}
	return err
}

// look compares by description. Another entity tag alone proves nothing: copying an object within a bucket may
// change it. Then the bytes decide.
func (r *run) look(ctx context.Context, t manifest.Audited, f *Finding) error {
	var info store.Info
	err := r.again(ctx, func(ctx context.Context) (err error) {
		info, err = r.Store.Stat(ctx, t.State.Key)
		return err
	})
	if err != nil {
		return err
	}
	if info.Size != t.State.Size {
		f.wrongSize(info.Size, t.State.Size)
		return nil
	}
	if t.ETag == "" || unquoted(t.ETag) == info.ETag {
		return nil // stored again since the listing
	}
	return r.read(ctx, t, f)
}

func unquoted(etag string) string { return strings.Trim(etag, `"`) }

// again calls op until it succeeds, or fails for good.
func (r *run) again(ctx context.Context, op func(context.Context) error) error {
	return retry.Do(ctx, r.retry, func(ctx context.Context) error {
		err := op(ctx)
		if err == nil || store.IsRetriable(err) {
			return err
		}
		return retry.Stop(err)
	})
}

// read reads and hashes every byte.
func (r *run) read(ctx context.Context, t manifest.Audited, f *Finding) error {
	var size int64
	var sum [32]byte
	err := r.again(ctx, func(ctx context.Context) (err error) {
		size, sum, err = r.hash(ctx, t.State.Key, t.State.Size)
		return err
	})
	if err != nil {
		return err
	}
	switch {
	case size != t.State.Size:
		if info, err := r.Store.Stat(ctx, t.State.Key); err == nil && info.Size != t.State.Size {
			size = info.Size // reading stopped behind what was noted
		}
		f.wrongSize(size, t.State.Size)
	case sum != t.SHA256:
		f.Kind = WrongHash
		f.Detail = fmt.Sprintf("its bytes are others: sha256 %x…, noted was %x…", sum[:6], t.SHA256[:6])
	}
	return nil
}

func (f *Finding) wrongSize(size, noted int64) {
	f.Kind = WrongSize
	f.Detail = fmt.Sprintf("it has %d bytes, noted were %d", size, noted)
}

// hash reads an object, but no more than one byte beyond the size that it should have.
func (r *run) hash(ctx context.Context, key string, most int64) (size int64, sum [32]byte, err error) {
	body, err := r.Store.Open(ctx, key)
	if err != nil {
		return 0, sum, err
	}
	defer body.Close() // only read from
	buffer := r.buffers.Get().(*[]byte)
	defer r.buffers.Put(buffer)
	hash := sha256.New()
	for size <= most {
		if ctx.Err() != nil {
			return size, sum, context.Cause(ctx)
		}
		n, err := body.Read((*buffer)[:min(int64(bufferSize), most+1-size)])
		hash.Write((*buffer)[:n])
		size += int64(n)
		r.bytes.Add(int64(n))
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return size, sum, err
		}
	}
	return size, [32]byte(hash.Sum(nil)), nil
}
