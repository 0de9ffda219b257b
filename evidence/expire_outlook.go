// Counts what is kept and expires later, and checks the campaigns of a retention.

package evidence

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"convoso-archiver/manifest"
)

// NextExpiry counts the stored recordings whose retention ends next, including those that a case or a lock
// protects.
type NextExpiry struct {
	Day        string `json:"day"` // first day past their retention
	Recordings int    `json:"recordings"`
	Bytes      int64  `json:"bytes"`
	FirstDay   string `json:"first_day"` // of the calls
	LastDay    string `json:"last_day"`
}

// Outlook counts the stored recordings of an archive: those of each class, whether past their retention or not, in the
// order of the classes, where those that are kept for ever have the class ""; and those whose retention ends next after
// Today, nil for none. It reads all days.
func (x *Expiring) Outlook(ctx context.Context) (stored []ExpiredClass, next *NextExpiry, err error) {
	stored = []ExpiredClass{}
	for day, err := range x.Ledger.Days(ctx) {
		if err != nil {
			return nil, nil, fmt.Errorf("list the days: %w", err)
		}
		list, _, err := x.storedOf(ctx, day)
		if _, bad := errors.AsType[*manifest.BadLineError](err); err != nil && !bad { // Run reports bad lines once the day is due
			return nil, nil, err
		}
		for _, d := range list {
			stored = countClass(stored, d)
			if d.ended > x.Today && (next == nil || d.ended < next.Day) {
				next = &NextExpiry{Day: d.ended}
			}
			if next != nil && d.ended == next.Day {
				next.Recordings, next.Bytes = next.Recordings+1, next.Bytes+d.bytes
				next.FirstDay, next.LastDay = firstDay(next.FirstDay, day), max(next.LastDay, day)
			}
		}
	}
	slices.SortFunc(stored, func(a, b ExpiredClass) int { return strings.Compare(a.Class, b.Class) })
	return stored, next, nil
}

// UnseenCampaigns returns the campaigns of a retention that no call of the archive has. It reads the newest days first,
// until it has found all campaigns. It skips lines that cannot be read.
func UnseenCampaigns(ctx context.Context, ledger *manifest.Ledger, r Retention) ([]string, error) {
	unseen := map[string]bool{}
	for campaign := range r.Campaigns {
		unseen[campaign] = true
	}
	if len(unseen) == 0 {
		return nil, nil
	}
	var days []string
	for day, err := range ledger.Days(ctx) {
		if err != nil {
			return nil, fmt.Errorf("list the days: %w", err)
		}
		days = append(days, day)
	}
	for _, day := range slices.Backward(days) {
		err := ledger.ReadCalls(ctx, day, func(c manifest.Call) error {
			delete(unseen, CampaignOf(c.Row))
			return nil
		}, func(manifest.Fault) {})
		if err != nil {
			return nil, fmt.Errorf("read the calls of %s: %w", day, err)
		}
		if len(unseen) == 0 {
			return nil, nil
		}
	}
	return sortedKeys(unseen), nil
}
