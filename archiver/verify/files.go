// Looks for files that the manifest does not know.

package verify

import (
	"cmp"
	"context"
	"fmt"
	"hash/maphash"
	"path"
	"slices"
	"strings"

	"convoso-archiver/archiver/store"
	"convoso-archiver/manifest"
)

// takeKeys takes the keys of this pass that any line of any day names into the index. A line that cannot be read is
// passed over: reading the day reports it.
func (r *run) takeKeys(ctx context.Context) error {
	err := r.Ledger.Scan(ctx, func(e manifest.Entry) error {
		if e.Bad == nil && len(e.Key) > 0 {
			r.takeKey(&e)
		}
		return nil
	})
	if endsRun(ctx, err) {
		return err
	}
	r.index.complete()
	r.blind = cmp.Or(r.blind, err)
	return nil
}

func (r *run) takeKey(line *manifest.Entry) {
	x := r.index
	e := entry{key: maphash.Bytes(x.seed, line.Key)}
	switch line.Outcome {
	case manifest.Pending, manifest.Failed, manifest.Rejected, manifest.Lost:
		return // nothing is stored under this key
	case manifest.Damaged, manifest.Erased, manifest.Expired:
		e.flags = isOver
	case manifest.Archived:
		e.flags = isArchived
		e.content = x.contentOf(line.SHA256, line.Size)
		etag := unquoted(string(line.ETag))
		if e.proof = x.proofOf(line.Size, etag); etag != "" {
			e.flags |= hasETag
		}
	}
	x.add(e)
}

// compare goes through the listing of the store: it marks what the index knows, and reports what it does not.
func (r *run) compare(ctx context.Context) error {
	for info, err := range r.Store.List(ctx, "") {
		if err != nil {
			return fmt.Errorf("list stored files: %w", err)
		}
		r.meet(info)
	}
	r.index.end()
	return ctx.Err()
}

// meet compares one object of the listing with the index.
func (r *run) meet(info store.Info) {
	if strings.HasPrefix(info.Key, "quarantine/") {
		if r.index.pass == 0 {
			r.count(func(s *Summary) { s.Quarantined++ })
		}
		return
	}
	key := r.index.hash(info.Key)
	if !r.index.takes(key) {
		return
	}
	known := r.index.of(key)
	switch {
	case len(known) > 0:
		r.index.see(known, info.Size, info.ETag)
	case isDropped(info.Key) || isEvidence(info.Key) || info.ModTime.After(r.started):
		r.count(func(s *Summary) { s.Ignored++ })
	case r.blind != nil:
		// It may be of the day that could not be read.
	default:
		r.find(Finding{Kind: Unknown, Key: info.Key, Detail: fmt.Sprintf("%d bytes, not in the manifest", info.Size)})
		r.count(func(s *Summary) { s.UnknownBytes += info.Size })
	}
}

// isEvidence reports whether an object is one of those that seal and the commands beside it write. Older versions may
// have stored recordings there, which the manifest knows.
func isEvidence(key string) bool {
	return strings.HasPrefix(key, "evidence/") || strings.HasPrefix(key, "seals/")
}

// isDropped reports whether a file is one that systems leave in folders without being asked, or an object that
// stands for a folder.
func isDropped(key string) bool {
	name := strings.ToLower(path.Base(key))
	return slices.Contains([]string{".ds_store", "thumbs.db", "desktop.ini"}, name) ||
		strings.HasPrefix(name, "._") || strings.HasSuffix(key, "/")
}
