// Decides whether missing audio has expired or is damage.

package evidence

import (
	"context"
	"fmt"
	"path"
	"slices"
	"sync"

	"convoso-archiver/manifest"
)

// Missing are the facts about a recording with missing audio and without an expiry.
type Missing struct {
	Ends  bool   // its class has a retention
	Ended string // the first day past the retention
	Held  bool   // held by a case
	NoRow bool   // its campaign is unknown, and retention depends on campaigns
	Today string // empty if the clock is wrong
}

// IsExpired reports whether a lifecycle rule of the bucket may have removed the audio after its retention. If not, the
// missing audio is damage.
func (m Missing) IsExpired() bool {
	return m.Ends && !m.NoRow && !m.Held && m.Today != "" && m.Today >= m.Ended
}

// MissingCheck judges missing audio. Make it with [NewMissingCheck]. It is safe for concurrent use.
type MissingCheck struct {
	ledger    *manifest.Ledger
	retention Retention
	holds     *Holds
	today     string

	mu   sync.Mutex
	days []campaignsOfDay // the last ones read, guarded by mu
}

// campaignsOfDay are the campaigns of the calls of a day, nil if retention does not depend on campaigns.
type campaignsOfDay struct {
	day       string
	campaigns map[string]string
}

// daysKept is how many days are kept in memory: verify works on two at a time.
const daysKept = 2

// NewMissingCheck returns a check with the retention noted in the archive.
func NewMissingCheck(ledger *manifest.Ledger, retention Retention, holds *Holds, today string) *MissingCheck {
	return &MissingCheck{ledger: ledger, retention: retention, holds: holds, today: today}
}

// Expired reports whether the missing audio of a recording of a day has expired.
func (c *MissingCheck) Expired(ctx context.Context, day, recordingID, callID string) (bool, error) {
	reason, err := c.Reason(ctx, day, recordingID, callID)
	return reason != "", err
}

// Reason says why the missing audio of a recording of a day has expired, "" if it has not.
func (c *MissingCheck) Reason(ctx context.Context, day, recordingID, callID string) (string, error) {
	if !c.retention.mayBePast(day, c.today) {
		return "", nil
	}
	campaigns, err := c.campaignsOf(ctx, day)
	if err != nil {
		return "", err
	}
	campaign, known := campaigns[callID]
	m := Missing{Held: len(c.holds.OfEither(recordingID, callID)) > 0, NoRow: !known && campaigns != nil, Today: c.today}
	if m.Ended, m.Ends = c.retention.Ends(day, campaign); !m.IsExpired() {
		return "", nil
	}
	return fmt.Sprintf(`its retention, class "%s", ended on %s; its audio is not in the store`, c.retention.Class(campaign), m.Ended), nil
}

func (c *MissingCheck) campaignsOf(ctx context.Context, day string) (map[string]string, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	i := slices.IndexFunc(c.days, func(d campaignsOfDay) bool { return d.day == day })
	if i >= 0 {
		return c.days[i].campaigns, nil
	}
	campaigns, err := c.retention.campaignsOf(ctx, c.ledger, day)
	if err != nil {
		return nil, err
	}
	if len(c.days) == daysKept {
		c.days = c.days[1:]
	}
	c.days = append(c.days, campaignsOfDay{day, campaigns})
	return campaigns, nil
}

// missingChecks judge the missing audio of an audit: by sealed records alone, and by all; nil: they cannot.
type missingChecks struct{ sealed, all *MissingCheck }

// loadMissing reads the retention and the holds. A release that is not sealed does not count for the sealed check. If records
// cannot be read, or the clock is wrong, there is no check: all missing audio is a finding.
func (r *auditing) loadMissing(ctx context.Context) error {
	err := r.readMissing(ctx)
	if ctx.Err() != nil {
		return err
	}
	if err != nil {
		r.missing = missingChecks{}
	}
	return nil
}

func (r *auditing) readMissing(ctx context.Context) error {
	today, err := Today(ctx, r.Ledger, r.Now)
	if err != nil {
		return err
	}
	records, err := readHolds(ctx, r.Ledger)
	if err != nil {
		return err
	}
	isSealed := func(name string) bool { return r.evidence[name] }
	sealed := slices.DeleteFunc(slices.Clone(records), func(h holdRecord) bool { return h.State == holdRelease && !isSealed(path.Base(h.file)) })
	last, err := lastRetention(ctx, r.Ledger, isSealed)
	if err != nil {
		return err
	}
	r.missing.sealed = NewMissingCheck(r.Ledger, last.Retention, foldHolds(sealed), today)
	if last, err = lastRetention(ctx, r.Ledger, nil); err != nil {
		return err
	}
	r.missing.all = NewMissingCheck(r.Ledger, last.Retention, foldHolds(records), today)
	return nil
}

// isExpired reports whether the retention of missing audio has ended, also by sealed records alone. hint says what to do if
// only records that are not sealed say so.
func (r *auditing) isExpired(ctx context.Context, d *daySeals, id, call string) (expired bool, hint string) {
	ended := func(c *MissingCheck) bool {
		if c == nil {
			return false
		}
		expired, err := c.Expired(ctx, d.day, id, call)
		return err == nil && expired // what cannot be told stays a finding
	}
	switch {
	case !ended(r.missing.all):
		return false, ""
	case d.rowsUnsealed || !ended(r.missing.sealed):
		return false, ". By records that no seal names, its retention has ended: if a lifecycle rule has removed it, run erase --expired --yes, and then seal"
	}
	return true, ""
}
