// Scans the recording lines of all days.

package manifest

import (
	"context"
	"errors"
	"sync"

	"golang.org/x/sync/errgroup"
)

// Entry is one recording line, from Ledger.Scan. Its slices are valid until visit returns.
type Entry struct {
	Day             string
	Bad             *BadLineError // an unreadable line; then only Day is also set
	ID, CallID      []byte
	Key, ETag, Host []byte // an erased recording keeps its Key while its line exists, because the object there is its own
	SHA256          []byte // hex
	Outcome         Outcome
	Final, Old      bool // as in State, for this line
	Restored        bool
	Size            int64
	Time, FirstSeen int64 // seconds since 1970
}

// Scan calls visit with every recording line of every day, as a stream. Lines of one day come in order, days in any
// order; visit is never called concurrently. An unreadable line is an Entry with Bad: visit may return it to end
// the scan, or nil to skip the line. Buffered lines of this run are stored in the bucket first.
func (l *Ledger) Scan(ctx context.Context, visit func(Entry) error) error {
	if err := l.Flush(ctx); err != nil {
		return err
	}
	if _, err := l.Erasures(ctx); err != nil {
		return err
	}
	var visiting sync.Mutex
	group, groupCtx := errgroup.WithContext(ctx)
	group.SetLimit(l.scans)
	for files, err := range l.list(ctx, treeManifest, "") {
		if err != nil {
			return errors.Join(err, group.Wait())
		}
		group.Go(func() error {
			return l.scanDay(groupCtx, files, func(e Entry) error {
				visiting.Lock()
				defer visiting.Unlock()
				return visit(e)
			})
		})
		if groupCtx.Err() != nil {
			break
		}
	}
	if err := group.Wait(); err != nil {
		return err
	}
	return context.Cause(ctx)
}

func (l *Ledger) scanDay(ctx context.Context, files dayFiles, visit func(Entry) error) error {
	expired, err := l.expiredBy(ctx, l.erasures.Load().expiring(files.day))
	if err != nil {
		return err
	}
	for _, s := range files.segments {
		if err := l.scanSegment(ctx, files.day, s, expired, visit); err != nil {
			return err
		}
	}
	return nil
}

func (l *Ledger) scanSegment(ctx context.Context, day string, s segment, expired map[string]*ExpiryRecord, visit func(Entry) error) error {
	var v view
	outcomes, erasures := interner{}, l.erasures.Load()
	r := l.read(ctx, s, maxLine, 0)
	defer r.close()
	for r.next() {
		kind, bad := "", r.bad
		if bad == nil {
			kind, bad = parseLine(r.line, &v)
		}
		e := Entry{Day: day}
		switch {
		case bad != nil:
			var err error
			if e.Bad, err = r.badLine(day, bad); err != nil {
				return l.noteLater(err)
			}
		case kind != kindRecording:
			continue
		default:
			key := v.key
			if erasure, erased := erasures.of(v.id, v.callID); erased {
				v.erase(erasure)
			} else if expiry := expired[string(v.id)]; expiry != nil {
				v.expire(expiry)
			}
			e = Entry{
				Day: day, ID: v.id, CallID: v.callID, Key: key, ETag: v.etag, Host: v.host, SHA256: v.sha256,
				Outcome: Outcome(outcomes.of(v.outcome)), Final: v.isFinal(), Old: !v.salted, Restored: v.restored,
				Size: v.size, Time: v.time, FirstSeen: v.firstSeen,
			}
		}
		if err := visit(e); err != nil {
			return err
		}
	}
	return r.err
}
