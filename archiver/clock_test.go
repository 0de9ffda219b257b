package archiver

import (
	"testing"
	"time"

	"convoso-archiver/manifest"
)

// TestCallInProgressBeforeTheFirstAnswer checks that a machine whose clock is days ahead does not store the unfinished
// audio of a call: its days are opened before the first answer tells the API's clock.
func TestCallInProgressBeforeTheFirstAnswer(t *testing.T) {
	t.Parallel()
	inBubble(t, func(t *testing.T, w *world) {
		day := w.ago(3) // today, by the API's clock
		c := w.call(string(day)+" 09:00:00", 1)
		c.cutLength = true
		w.trouble("skew", time.Hour, -3*24*60+60)
		w.try(trial{config: spanOf(day, w.ago(1))})
		if s := w.state(day, c.recorded[0]); s.Outcome == manifest.Archived {
			t.Errorf("the call is in progress: %s", told(s))
		}
	})
}
