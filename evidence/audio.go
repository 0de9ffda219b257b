// Compares stored recordings with the sealed lines.

package evidence

import (
	"cmp"
	"context"
	"crypto/sha256"
	"errors"
	"io"
	"io/fs"

	"golang.org/x/sync/errgroup"

	"convoso-archiver/archiver/store"
	"convoso-archiver/internal/retry"
	"convoso-archiver/manifest"
)

// checkAudio reads the recordings that are archived according to the sealed lines of a day. It skips those whose lines may
// differ from the sealed ones: they do not say which audio was sealed.
func (r *auditing) checkAudio(ctx context.Context, d *daySeals, folded *manifest.Day) error {
	if folded == nil {
		return nil
	}
	expired, err := r.expired(ctx, d.day, nil)
	if err != nil {
		return err
	}
	vouched, err := r.expired(ctx, d.day, func(name string) bool { return r.evidence[name] })
	if err != nil {
		return err
	}
	group, ctx := errgroup.WithContext(ctx)
	for id, state := range folded.Recordings() {
		_, isErased := r.sealed.Of(id, state.CallID) // even if no stub has replaced the line yet
		r.count(func(a *Audited) {
			a.Recordings++
			if state.Outcome == manifest.Erased || isErased {
				a.Erased++
			} else if vouched[id] != nil || state.Outcome == manifest.Expired {
				a.Expired++
			}
		})
		if isErased || vouched[id] != nil || state.Outcome != manifest.Archived {
			continue
		}
		if expiry := expired[id]; expiry != nil {
			r.find(Finding{
				Kind: ErasureUnsealed, Seal: d.lastSeal(), Day: d.day, RecordingID: id,
				Detail: "expiry " + expiry.Expiry + " says that its audio was removed, and no seal names that expiry",
			})
			continue
		}
		if erasure, hidden := r.obeyed.Of(id, state.CallID); hidden {
			r.find(Finding{
				Kind: ErasureUnsealed, Seal: d.lastSeal(), Day: d.day, RecordingID: id,
				Detail: "the erasure " + erasure + " hides it, and no seal covers that erasure",
			})
			continue
		}
		if r.Store == nil {
			continue
		}
		if d.unsure[id] {
			r.count(func(a *Audited) { a.Unsure++ })
			continue
		}
		select {
		case r.slots <- struct{}{}:
		case <-ctx.Done():
			return cmp.Or(group.Wait(), context.Cause(ctx))
		}
		group.Go(func() error {
			defer func() { <-r.slots }()
			return r.checkRecording(ctx, d, id, state)
		})
	}
	return group.Wait()
}

// expired returns the expired recordings of a day according to the files of evidence/ that only accepts. It ignores an
// unreadable file, which is a finding.
func (r *auditing) expired(ctx context.Context, day string, only func(name string) bool) (map[string]*manifest.ExpiryRecord, error) {
	if r.obeyed == nil { // the findings say why
		return nil, nil
	}
	list, err := r.Ledger.Expired(ctx, day, only)
	if broken, ok := errors.AsType[*manifest.ErasuresError](err); ok {
		if only == nil {
			r.find(Finding{Kind: LinesChanged, Day: day, File: broken.File, Line: broken.Line, Detail: "it is not a record of an expiry"})
		}
		return nil, nil
	}
	return list, err
}

func (r *auditing) checkRecording(ctx context.Context, d *daySeals, id string, state manifest.State) error {
	f := Finding{Seal: d.lastSeal(), Day: d.day, RecordingID: id}
	err := r.compare(ctx, &state)
	switch {
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case err == nil:
		r.count(func(a *Audited) { a.AudioRead, a.Bytes = a.AudioRead+1, a.Bytes+state.Size })
		return nil
	case errors.Is(err, fs.ErrNotExist):
		expired, hint := r.isExpired(ctx, d, id, state.CallID)
		if expired {
			r.count(func(a *Audited) { a.Absent++ })
			return nil
		}
		f.Kind, f.Detail = AudioMissing, "the audio is missing"+hint
	case errors.Is(err, errOtherBytes):
		f.Kind, f.Detail = AudioChanged, "the size or checksum of the audio differs from the sealed one"
	default:
		f.Kind, f.Detail = AudioUnreadable, "the audio could not be read"
	}
	r.find(f)
	return nil
}

// errOtherBytes means that the stored bytes differ from the sealed ones.
var errOtherBytes = errors.New("checksum mismatch")

// compare reads a recording, up to one byte beyond its size, and compares it with its line.
func (r *auditing) compare(ctx context.Context, state *manifest.State) error {
	sum := sha256.New()
	var size int64
	err := retry.If(ctx, store.IsRetriable, func(ctx context.Context) error {
		sum.Reset()
		body, err := r.Store.Open(ctx, state.Key)
		if err == nil {
			size, err = io.Copy(sum, io.LimitReader(body, state.Size+1))
			_ = body.Close() // read only
		}
		return err
	})
	switch {
	case errors.Is(err, store.ErrBadKey): // no object can have this key
		return fs.ErrNotExist
	case err != nil:
		return err
	case size != state.Size || [sha256.Size]byte(sum.Sum(nil)) != state.SHA256:
		return errOtherBytes
	}
	return nil
}
