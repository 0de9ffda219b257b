// Lists the recordings that an expiry would remove.

package evidence

import (
	"context"
	"fmt"

	"convoso-archiver/manifest"
)

// Due is a recording that is past its retention, and that nothing protects.
type Due struct {
	RecordingID string
	CallID      string
	Day         string // of the call
	Campaign    string // its id; empty if no row has it
	Class       string // of the retention
	Bytes       int64
	Ended       string // the first day past its retention
}

// list calls Each for recordings that Run would remove, day by day. Rows that cannot be read leave the campaign empty:
// where the retention depends on the campaign, such rows have ended Run with an error.
func (x *Expiring) list(ctx context.Context, free []due) error {
	for _, ofDay := range chunkBy(free, func(d due) string { return d.day }) {
		day, campaigns := ofDay[0].day, map[string]string{}
		for _, d := range ofDay {
			campaigns[d.call] = ""
		}
		err := x.Ledger.ReadCalls(ctx, day, func(c manifest.Call) error {
			if _, isDue := campaigns[c.CallID]; isDue {
				campaigns[c.CallID] = CampaignOf(c.Row)
			}
			return nil
		}, func(manifest.Fault) {})
		if err != nil {
			return fmt.Errorf("read the calls of %s: %w", day, err)
		}
		for _, d := range ofDay {
			if err := x.Each(Due{d.id, d.call, day, campaigns[d.call], d.class, d.bytes, d.ended}); err != nil {
				return err
			}
		}
	}
	return nil
}
