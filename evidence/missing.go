// Decides whether missing audio has expired or is damage.

package evidence

import (
	"context"
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
	if !c.retention.mayBePast(day, c.today) {
		return false, nil
	}
	campaigns, err := c.campaignsOf(ctx, day)
	if err != nil {
		return false, err
	}
	campaign, known := campaigns[callID]
	m := Missing{Held: len(c.holds.OfEither(recordingID, callID)) > 0, NoRow: !known && campaigns != nil, Today: c.today}
	m.Ended, m.Ends = c.retention.Ends(day, campaign)
	return m.IsExpired(), nil
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
