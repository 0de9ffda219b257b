package verify

import (
	"context"
	"fmt"
	"path"
	"strings"

	"convoso-archiver/archiver/store"
)

const (
	quarantine = "quarantine/"
	// mostShared is how many keys with several recordings are named; beyond it the manifest is in such a state
	// that more names would not help.
	mostShared = 10_000
)

// compare goes through the listing of the store: it marks what the index knows, and reports what it does not.
func (r *run) compare(ctx context.Context) error {
	for info, err := range r.Store.List(ctx, "") {
		if err != nil {
			if ctx.Err() != nil {
				return context.Cause(ctx)
			}
			return fmt.Errorf("list what is stored: %w", err)
		}
		r.meet(info)
	}
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	for key := range r.index.shared {
		if len(r.shared) == mostShared {
			break
		}
		r.shared[key] = true
	}
	r.count(func(s *Summary) { s.UnknownChecked = !r.blind })
	return nil
}

// meet takes one object of the listing.
func (r *run) meet(info store.Info) {
	first := r.index.pass == 0
	if strings.HasPrefix(info.Key, quarantine) {
		if first {
			r.count(func(s *Summary) { s.Quarantined++ })
		}
		return
	}
	key := r.index.hash(info.Key)
	if !r.index.takes(key) {
		return
	}
	if known := r.index.of(key); known != nil {
		r.checked.Add(int64(r.index.see(known, info.Size, info.ETag)))
		return
	}
	switch {
	case isDropped(info.Key) || info.ModTime.After(r.started):
		r.count(func(s *Summary) { s.Ignored++ })
	case r.blind:
		// It may be of the day that could not be read.
	default:
		r.find(Finding{Kind: Unknown, Key: info.Key, Detail: fmt.Sprintf("%d bytes that no line of the manifest names", info.Size)})
		r.count(func(s *Summary) { s.UnknownBytes += info.Size })
	}
}

// isDropped reports whether a file is one that systems leave in folders without being asked, or an object that
// stands for a folder.
func isDropped(key string) bool {
	name := path.Base(key)
	switch strings.ToLower(name) {
	case ".ds_store", "thumbs.db", "desktop.ini":
		return true
	}
	return strings.HasPrefix(name, "._") || strings.HasSuffix(key, "/")
}
