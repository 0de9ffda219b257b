package archiver

import (
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"sync"
	"time"

	"convoso-archiver/fetcher"
	"convoso-archiver/manifest"
)

// zoneCheck compares the epochs in file names with call_date, which has no zone:
// both tell when the call began, if the zone is the right one.
type zoneCheck struct {
	location *time.Location

	mu      sync.Mutex
	offsets []time.Duration
	warned  bool
}

const (
	zoneSamples    = 200
	zoneFewest     = 5
	zoneLargestGap = 10 * time.Minute
)

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

// warn tells of a median that is too far off.
func (z *zoneCheck) warn(r *run) {
	z.mu.Lock()
	defer z.mu.Unlock()
	if len(z.offsets) < zoneFewest || z.warned {
		return
	}
	slices.Sort(z.offsets)
	median := z.offsets[len(z.offsets)/2]
	if median.Abs() <= zoneLargestGap {
		return
	}
	z.warned = true
	r.warn(fmt.Sprintf("call dates and the times in file names are %s apart: check --time-zone (now %s)",
		median.Abs().Round(time.Minute), z.location))
}

// accountCheck holds an archive to one account.
type accountCheck struct {
	mu      sync.Mutex
	archive manifest.Archive
}

// check fails when most recordings of a page belong to another account than the
// archive's, and notes the account of a new archive.
func (c *accountCheck) check(r *run, calls []fetcher.Call) error {
	votes := map[string]int{}
	voters := 0
	for i := range calls {
		for j := range calls[i].Recordings {
			if id := calls[i].Recordings[j].AccountID(); id != "" {
				votes[id]++
				voters++
			}
		}
	}
	account := ""
	for id, count := range votes {
		if count*2 > voters {
			account = id
		}
	}
	if account == "" {
		return nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.archive.AccountID == account:
		return nil
	case c.archive.AccountID != "":
		return &OtherArchiveError{Of: OfAccount, Archive: c.archive.AccountID, Run: account}
	case r.config.DryRun:
		return nil
	}
	c.archive.AccountID = account
	err := r.Ledger.SaveArchive(r.hard, c.archive)
	if errors.Is(err, fs.ErrExist) { // another run noted it first
		noted, readErr := r.Ledger.Archive(r.hard)
		if readErr == nil && noted.AccountID == account {
			return nil
		}
		return &OtherArchiveError{Of: OfAccount, Archive: noted.AccountID, Run: account}
	}
	if err != nil {
		return fmt.Errorf("note the archive's account: %w", err)
	}
	return nil
}
