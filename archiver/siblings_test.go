package archiver

import (
	"crypto/sha256"
	"testing"
	"time"

	"convoso-archiver/manifest"
)

// TestTwoOfOneNameWithoutLinks distinguishes two recordings of a call with the same file name and without a
// link.
func TestTwoOfOneNameWithoutLinks(t *testing.T) {
	t.Parallel()
	inBubble(t, func(t *testing.T, w *world) {
		w.recordedCalls(w.ago(7), 2)
		w.recordedCalls(w.ago(5), 2)
		day := w.ago(4)
		w.recordedCalls(day, 2)
		c := w.call(string(day)+" 08:00:00", 2)
		a, b := c.recorded[0], c.recorded[1]
		b.file = a.file
		a.link = time.Now().Add(4 * oneDay)
		b.link = a.link
		for range 7 {
			w.try(trial{config: func(c *Config) { c.Span.CatchUp = true }})
			time.Sleep(25 * time.Hour)
		}
		for _, r := range []*worldRecording{a, b} {
			if s := w.state(day, r); s.Outcome != manifest.Archived {
				t.Errorf("recording %s, which is listed each night and can be had: %s", r.id, told(s))
			}
		}
	})
}

// TestStoredUnderItsOwnID lists a recording with only its id, and a day later with its sibling.
func TestStoredUnderItsOwnID(t *testing.T) {
	t.Parallel()
	inBubble(t, func(t *testing.T, w *world) {
		day := w.ago(1)
		c := w.call(string(day)+" 08:00:00", 2)
		first, second := c.recorded[0], c.recorded[1]
		all := c.recorded
		name := second.file
		second.file, second.link = "", time.Now().Add(20*time.Hour) // no name and no link yet
		c.recorded = all[1:]                                        // listed before its sibling
		span := spanOf(day, day)
		w.try(trial{config: span})
		time.Sleep(25 * time.Hour)
		c.recorded, second.file = all, name
		w.try(trial{config: span})
		for _, r := range []*worldRecording{first, second} {
			s := w.state(day, r)
			if sum := sha256.Sum256(r.audio()); s.SHA256 != sum {
				t.Errorf("recording %s: %s: not its own bytes", r.id, told(s))
			}
		}
	})
}
