// Reads from the whole manifest how old the audio was that each media host delivered.

package archiver

import (
	"fmt"
	"time"

	"convoso-archiver/fetcher"
	"convoso-archiver/manifest"
)

// history summarizes the whole ledger by media host.
type history struct {
	oldest map[string]time.Duration // maximum age of audio that a host delivered
	any    time.Duration            // the same for lines of older versions, which name no host
}

func (h *history) of(host string) (ever bool, oldest time.Duration) {
	oldest, ever = h.oldest[host]
	return ever || h.any > 0, max(oldest, h.any)
}

// readHistory reads the whole ledger once.
func (r *run) readHistory() error {
	if r.history != nil {
		return nil
	}
	h := &history{oldest: map[string]time.Duration{}}
	ends := map[string]time.Time{}
	err := r.scan(func(e *manifest.Entry) {
		if e.Outcome != manifest.Archived || e.Restored { // verify restored it, so no host delivered it then
			return
		}
		end, ok := ends[e.Day]
		if !ok {
			end = fetcher.Date(e.Day).End(r.config.Zone)
			ends[e.Day] = end
		}
		age := time.Unix(e.Time, 0).Sub(end)
		if len(e.Host) == 0 {
			h.any = max(h.any, age)
			return
		}
		if age > h.oldest[string(e.Host)] || h.oldest[string(e.Host)] == 0 {
			h.oldest[string(e.Host)] = max(age, 1)
		}
	})
	if err != nil {
		return err
	}
	r.history = h
	return nil
}

// scan reads the whole ledger. A line that cannot be read is an entry with only Bad: its day stays open.
func (r *run) scan(visit func(*manifest.Entry)) error {
	err := r.patiently(func() error {
		if err := r.ledger.Flush(r.hard); err != nil {
			return err
		}
		return r.ledger.Scan(r.hard, func(e manifest.Entry) error {
			visit(&e)
			return nil
		})
	})
	if err != nil {
		return fmt.Errorf("read the manifest: %w", err)
	}
	return nil
}
