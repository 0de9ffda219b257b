package fetcher

import (
	"testing"
	"testing/synctest"
	"time"
)

// TestPauseNeverBringsTheNextStartForward is refused with a pause that ends before the next start
// is due.
func TestPauseNeverBringsTheNextStartForward(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := testPacer(0.5, 0) // a start every two seconds
		begun := time.Now()
		first, err := p.wait(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if err := p.refused(first, refusal{after: 100 * time.Millisecond}); err != nil {
			t.Fatal(err)
		}
		if _, err := p.wait(t.Context()); err != nil {
			t.Fatal(err)
		}
		if gap := time.Since(begun); gap < 2*time.Second {
			t.Errorf("the next start came after %v", gap)
		}
	})
}
