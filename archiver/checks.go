// Checks account and time zone by the file names of recordings.

package archiver

import (
	"fmt"
	"slices"
	"sync"
	"time"

	"convoso-archiver/fetcher"
	"convoso-archiver/manifest"
)

// zoneCheck compares the epochs in file names with call_date, which has no zone. With the correct zone, both are
// the start of the call.
type zoneCheck struct {
	location *time.Location

	mu      sync.Mutex
	offsets []time.Duration
	warned  bool
}

const (
	zoneSamples = 200
	zoneMin     = 5
	// ZoneMaxGap is the maximum median gap with the correct zone.
	ZoneMaxGap = 10 * time.Minute
)

// ZoneGap returns how far the times in the recordings' file names are ahead of the calls' own
// dates, as the median in the given zone, and whether there were enough samples.
func ZoneGap(calls []fetcher.Call, location *time.Location) (gap time.Duration, known bool) {
	z := zoneCheck{location: location}
	z.note(calls)
	return z.median()
}

// median returns the median of the samples, if there are enough. The caller holds the lock, or no other goroutine
// uses the check.
func (z *zoneCheck) median() (time.Duration, bool) {
	if len(z.offsets) < zoneMin {
		return 0, false
	}
	slices.Sort(z.offsets)
	return z.offsets[len(z.offsets)/2], true
}

// note takes the samples of one page.
func (z *zoneCheck) note(calls []fetcher.Call) {
	z.mu.Lock()
	defer z.mu.Unlock()
	for i := range calls {
		date, readable := calls[i].Date()
		for j := range calls[i].Recordings {
			epoch, ok := calls[i].Recordings[j].StartEpoch()
			if ok && readable && len(z.offsets) < zoneSamples {
				z.offsets = append(z.offsets, fetcher.Wall(epoch, z.location).Sub(date))
			}
		}
	}
}

// warn logs a median that is too far off.
func (z *zoneCheck) warn(r *run) {
	z.mu.Lock()
	defer z.mu.Unlock()
	median, known := z.median()
	if !known || z.warned || median.Abs() <= ZoneMaxGap {
		return
	}
	z.warned = true
	r.sum.warn(r.log, fmt.Sprintf("call dates and the times in file names are %s apart: check --time-zone (now %s)",
		median.Abs().Round(time.Minute), z.location))
}

// accountCheck ensures that an archive has one account.
type accountCheck struct {
	mu      sync.Mutex
	archive manifest.Archive
	votes   map[string]int
}

// minVotes is how many links must agree to determine the account.
const minVotes = 20

// check fails if the links of this run belong to another account than the archive's, and notes the
// account of a new archive.
func (c *accountCheck) check(r *run, calls []fetcher.Call) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	account := c.count(calls)
	switch {
	case account == "" || c.archive.AccountID == account:
		return nil
	case c.archive.AccountID != "":
		return &OtherArchiveError{Of: OfAccount, Archive: c.archive.AccountID, Run: account}
	case r.config.DryRun:
		return nil
	}
	c.archive.AccountID = account
	err := r.patiently(func() error { return r.ledger.SaveArchive(r.hard, c.archive) })
	if isContested(err) { // another run wrote it first, or this one did, but got no answer
		var noted manifest.Archive
		noted, err = r.storedArchive(r.hard)
		switch {
		case err == nil && noted.AccountID == account:
			return nil
		case err == nil && noted.AccountID != "":
			return &OtherArchiveError{Of: OfAccount, Archive: noted.AccountID, Run: account}
		case err == nil: // the next page tries again
			c.archive = noted
			return nil
		}
	}
	if err != nil {
		return fmt.Errorf("save the archive's account: %w", err)
	}
	return nil
}

// AccountOf returns the account that enough of the calls' links agree on, "" if there are too few.
func AccountOf(calls []fetcher.Call) string { return new(accountCheck).count(calls) }

// count adds the account ids of links, and returns the id that enough links agree on.
func (c *accountCheck) count(calls []fetcher.Call) string {
	if c.votes == nil {
		c.votes = map[string]int{}
	}
	for i := range calls {
		for j := range calls[i].Recordings {
			if id := calls[i].Recordings[j].AccountID(); id != "" && len(c.votes) < maxHosts {
				c.votes[id]++
			}
		}
	}
	total, best, account := 0, 0, ""
	for id, n := range c.votes {
		total += n
		if n > best {
			best, account = n, id
		}
	}
	if best < minVotes || best*2 <= total {
		return ""
	}
	return account
}
