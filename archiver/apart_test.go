package archiver

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"convoso-archiver/manifest"
)

// TestApartIsOfTheListings checks that nothing is written off after two listings 20 h apart, even if the downloads of
// the second one took long.
func TestApartIsOfTheListings(t *testing.T) {
	t.Parallel()
	inBubble(t, func(t *testing.T, w *world) {
		day := w.ago(6)
		w.recordedCalls(w.ago(7), 2)
		w.recordedCalls(day, 3)
		c := w.call(string(day)+" 08:00:00", 1) // its recording has no link yet
		c.recorded[0].link = time.Now().Add(100 * oneDay)
		span := spanOf(w.ago(7), day)
		w.try(trial{config: span})
		time.Sleep(6 * time.Hour)
		c.gone = time.Now() // hidden from now on
		first := time.Now()
		w.try(trial{config: span})
		time.Sleep(20*time.Hour - time.Since(first))
		late := w.call(string(day)+" 10:30:00", 1) // its audio takes 4 h 5 min to arrive
		second := time.Now()
		vendor := &hooked{world: w, audio: func(r *http.Request, token string) (*http.Response, error) {
			if token == late.recorded[0].token {
				time.Sleep(4*time.Hour + 5*time.Minute)
			}
			return nil, nil
		}}
		w.try(trial{vendor: vendor, config: span})
		if s := w.state(day, c.recorded[0]); s.Outcome == manifest.Lost {
			t.Errorf("after two listings %v apart: %s", second.Sub(first), told(s))
		}
	})
}

// TestWitnessThatCanBeHad looks beyond the newest calls for audio that can be requested.
func TestWitnessThatCanBeHad(t *testing.T) {
	t.Parallel()
	inBubble(t, func(t *testing.T, w *world) {
		old := w.ago(160)
		r := w.recordedCalls(old, 1)[0] // the vendor has it throughout
		w.recordedCalls(w.ago(20), 5)   // younger than --purge-after, listed, not requested
		for i := range 600 {            // the last ten hours: no link yet
			c := w.callAt(time.Now().Add(-10*time.Hour+time.Duration(i)*time.Minute), 1)
			c.recorded[0].link = time.Now().Add(365 * oneDay)
		}
		w.trouble("media 404", 30*time.Hour, 0) // an outage of the media host
		span := spanOf(old, old)
		w.try(trial{config: span})
		time.Sleep(25 * time.Hour)
		for i := range 600 {
			c := w.callAt(time.Now().Add(-10*time.Hour+time.Duration(i)*time.Minute), 1)
			c.recorded[0].link = time.Now().Add(365 * oneDay)
		}
		n := w.try(trial{config: span})
		if s := w.state(old, r); s.Outcome == manifest.Lost {
			t.Errorf("without a witness, of which there are five: %s", told(s))
		}
		time.Sleep(25 * time.Hour)
		n = w.try(trial{config: span})
		if s := w.state(old, r); s.Outcome != manifest.Archived {
			t.Errorf("the outage is over: %s; skipped days %d", told(s), n.DaysSkipped)
		}
	})
}

// TestRestoredIsNotDelivered checks that audio which verify restored does not count as delivered by the host at
// that age.
func TestRestoredIsNotDelivered(t *testing.T) {
	t.Parallel()
	inBubble(t, func(t *testing.T, w *world) {
		old, older := w.ago(160), w.ago(190)
		r := w.recordedCalls(old, 1)[0]
		r.broken = true
		w.recordedCalls(w.ago(6), 2)
		line := archivedLine("1", "a.mp3", frames(3))
		line.Host, line.Restored = "media.test", true
		line.Time = time.Now()
		w.note(older, line)
		_ = w.try(trial{config: spanOf(old, old)})
		n := w.try(trial{config: all(spanOf(w.ago(160), w.ago(6)), func(c *Config) { c.Relist = true })})
		if strings.Contains(strings.Join(n.Warnings, " "), "raise --purge-after") {
			t.Error("the host never delivered audio of that age")
		}
	})
}
