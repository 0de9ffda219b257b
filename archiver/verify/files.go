// Searches for files that are not in the manifest.

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

// takeKeys adds the keys of this pass from all lines of all days to the index. It skips unreadable lines, which
// reading the day reports.
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

// compare iterates over the listing of the store: it marks known objects in the index, and reports unknown
// ones.
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
		// It may belong to an unreadable day.
	default:
		r.find(Finding{Kind: Unknown, Key: info.Key, Detail: fmt.Sprintf("%d bytes, not in the manifest", info.Size)})
		r.count(func(s *Summary) { s.UnknownBytes += info.Size })
	}
}

// isEvidence reports whether an object was written by seal and related commands. Older versions may have stored
// recordings there, which are in the manifest.
func isEvidence(key string) bool {
	return strings.HasPrefix(key, "evidence/") || strings.HasPrefix(key, "seals/")
}

// isDropped reports whether a file is one that systems create in folders, or an object that represents a
// folder.
func isDropped(key string) bool {
	name := strings.ToLower(path.Base(key))
	return slices.Contains([]string{".ds_store", "thumbs.db", "desktop.ini"}, name) ||
		strings.HasPrefix(name, "._") || strings.HasSuffix(key, "/")
}
