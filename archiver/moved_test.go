package archiver

import (
	"net/http"
	"testing"
	"time"

	"convoso-archiver/fetcher"
	"convoso-archiver/manifest"
)

// TestMovedToAClosedDay archives a recording under the day to which its call has moved, though that is closed.
func TestMovedToAClosedDay(t *testing.T) {
	t.Parallel()
	inBubble(t, func(t *testing.T, w *world) {
		a, b := w.ago(6), w.ago(5)
		for i := 4; i <= 8; i++ {
			w.recordedCalls(w.ago(i), 2)
		}
		c := w.call(string(a)+" 23:59:00", 1)
		r := c.recorded[0]
		r.link = time.Now().Add(20 * time.Hour)
		w.try(trial{config: func(c *Config) { c.Span.CatchUp = true }})
		if !w.isClosed(b) {
			t.Fatal("not the case")
		}
		c.at = c.at.Add(2 * time.Minute)
		for range 4 {
			time.Sleep(25 * time.Hour)
			w.try(trial{config: func(c *Config) { c.Span.CatchUp = true }})
		}
		if s := w.state(a, r); s.Outcome == manifest.Lost {
			t.Errorf("the API lists it under %s with a link, its audio is there, %d requests for it: %s", b, w.requested[r.token], told(s))
		}
	})
}

// TestMovedAndBack moves a call to an open day and back.
func TestMovedAndBack(t *testing.T) {
	t.Parallel()
	inBubble(t, func(t *testing.T, w *world) {
		a, b := w.ago(6), w.ago(5)
		for i := 4; i <= 8; i++ {
			w.recordedCalls(w.ago(i), 2)
		}
		for _, day := range []fetcher.Date{a, b} { // keeps both days open
			w.call(string(day)+" 07:00:00", 1).recorded[0].link = time.Now().Add(12 * oneDay)
		}
		c := w.call(string(a)+" 23:59:00", 1)
		r := c.recorded[0]
		r.link = time.Now().Add(60 * oneDay)
		span := func(c *Config) { c.Span.CatchUp = true }
		at := c.at
		w.try(trial{config: span})
		c.at = at.Add(2 * time.Minute)
		time.Sleep(25 * time.Hour)
		w.try(trial{config: span})
		c.at = at
		r.link = time.Now()
		for range 12 {
			time.Sleep(25 * time.Hour)
			w.try(trial{config: span})
		}
		if w.state(a, r).Outcome != manifest.Archived && w.state(b, r).Outcome != manifest.Archived {
			t.Errorf("listed with a link for 12 nights and never fetched: %d requests; closed %v %v", w.requested[r.token], w.isClosed(a), w.isClosed(b))
		}
	})
}

// TestMovedAndBackByRelist moves a call to another day and back, when both are closed.
func TestMovedAndBackByRelist(t *testing.T) {
	t.Parallel()
	inBubble(t, func(t *testing.T, w *world) {
		a, b := w.ago(6), w.ago(5)
		for i := 4; i <= 8; i++ {
			w.recordedCalls(w.ago(i), 2)
		}
		c := w.call(string(a)+" 23:59:00", 1)
		r := c.recorded[0]
		r.link = time.Now().Add(60 * oneDay)
		span := spanOf(w.ago(8), w.ago(4))
		at := c.at
		w.try(trial{config: span})
		c.at = at.Add(2 * time.Minute)
		time.Sleep(25 * time.Hour)
		w.try(trial{config: span})
		time.Sleep(25 * time.Hour)
		w.try(trial{config: span})
		c.at = at
		r.link = time.Now()
		for range 4 {
			time.Sleep(25 * time.Hour)
			w.try(trial{config: all(span, func(c *Config) { c.Relist = true })})
		}
		if w.state(a, r).Outcome != manifest.Archived && w.state(b, r).Outcome != manifest.Archived {
			t.Errorf("never fetched: %d requests, %s closed %v, %s closed %v", w.requested[r.token], a, w.isClosed(a), b, w.isClosed(b))
		}
	})
}

// TestMovedAndGone moves a call to another day, where it vanishes.
func TestMovedAndGone(t *testing.T) {
	t.Parallel()
	inBubble(t, func(t *testing.T, w *world) {
		a, b := w.ago(6), w.ago(5)
		for i := 4; i <= 8; i++ {
			w.recordedCalls(w.ago(i), 2)
		}
		c := w.call(string(a)+" 23:59:00", 1)
		r := c.recorded[0]
		r.link = time.Now().Add(60 * oneDay)
		span := spanOf(w.ago(8), w.ago(4))
		w.try(trial{config: span})
		c.at = c.at.Add(2 * time.Minute)
		time.Sleep(25 * time.Hour)
		w.try(trial{config: span})
		c.gone = time.Now()
		lost := 0
		var n night
		for range 4 {
			time.Sleep(25 * time.Hour)
			n = w.try(trial{config: span})
			lost += n.Lost
		}
		if lost == 0 && w.isClosed(a) && w.isClosed(b) {
			t.Errorf("both days are closed, and no line says that it is lost")
		}
	})
}

// TestRenamedWhileItWaits gives a recording another file name while it waits for its link. The new name makes
// it another recording. The old recording is no longer listed and must not keep its day open for ever.
func TestRenamedWhileItWaits(t *testing.T) {
	t.Parallel()
	inBubble(t, func(t *testing.T, w *world) {
		for i := 4; i <= 8; i++ {
			w.recordedCalls(w.ago(i), 2)
		}
		day := w.ago(6)
		r := w.call(string(day)+" 12:00:00", 1).recorded[0]
		r.link = time.Now().Add(20 * time.Hour)
		for range 4 {
			w.try(trial{config: func(c *Config) { c.Span.CatchUp = true }})
			r.file = "renamed.mp3"
			time.Sleep(25 * time.Hour)
		}
		states, status := w.ledger(day)
		line, closed := status.Line("")
		if !closed || line.Unlisted != 1 || line.ByOutcome[manifest.Lost] != 1 || line.ByOutcome[manifest.Archived] != 3 {
			t.Errorf("closed %t: %+v, %+v", closed, line, states)
		}
		if w.requested[r.token] != 1 {
			t.Errorf("%d requests for the audio", w.requested[r.token])
		}
	})
}

// TestNothingButItsID lists an archived recording with only its id, like audio that the vendor has deleted.
// It is the same recording: nothing waits, and nothing is missing.
func TestNothingButItsID(t *testing.T) {
	t.Parallel()
	inBubble(t, func(t *testing.T, w *world) {
		for i := 4; i <= 8; i++ {
			w.recordedCalls(w.ago(i), 2)
		}
		day := w.ago(6)
		w.call(string(day)+" 07:00:00", 1).recorded[0].link = time.Now().Add(20 * time.Hour) // keeps the day open
		c := w.call(string(day)+" 12:00:00", 2)
		for range 4 {
			w.try(trial{config: func(c *Config) { c.Span.CatchUp = true }})
			for _, r := range c.recorded {
				r.file, r.link = "", time.Now().Add(1000*oneDay)
			}
			time.Sleep(25 * time.Hour)
		}
		states, status := w.ledger(day)
		if line, closed := status.Line(""); !closed || line.Recordings != 5 || line.ByOutcome[manifest.Archived] != 5 || line.Unlisted != 0 {
			t.Errorf("closed %t: %+v, %+v", closed, line, states)
		}
	})
}

// TestRenamedWhereItIsNotListed: the listing of a day lacks a call that the API still lists by its id. The
// call's waiting recording has another file name by now. This contradicts the listing: nothing is given up,
// and the day stays open.
func TestRenamedWhereItIsNotListed(t *testing.T) {
	t.Parallel()
	inBubble(t, func(t *testing.T, w *world) {
		for i := 4; i <= 8; i++ {
			w.recordedCalls(w.ago(i), 2)
		}
		day := w.ago(6)
		c := w.call(string(day)+" 12:00:00", 1)
		r := c.recorded[0]
		r.link = time.Now().Add(20 * time.Hour)
		vendor := &hooked{world: w, page: func(q *http.Request) *http.Response {
			w.mu.Lock()
			defer w.mu.Unlock()
			c.gone = time.Time{}
			if r.file == "renamed.mp3" && q.URL.Query().Get("id") != c.id {
				c.gone = time.Now()
			}
			return nil
		}}
		for range 4 {
			w.try(trial{vendor: vendor, config: func(c *Config) { c.Span.CatchUp = true }})
			r.file = "renamed.mp3"
			time.Sleep(25 * time.Hour)
		}
		if states, _ := w.ledger(day); w.isClosed(day) || w.requested[r.token] == 0 && w.state(day, r).Outcome == manifest.Lost {
			t.Errorf("closed %t: %+v", w.isClosed(day), states)
		}
	})
}

// TestManyCallsMove moves more calls to the next day than a run asks for.
func TestManyCallsMove(t *testing.T) {
	t.Parallel()
	inBubble(t, func(t *testing.T, w *world) {
		day := w.ago(5)
		w.recordedCalls(w.ago(7), 2)
		w.recordedCalls(day, 20)
		w.recordedCalls(day.AddDays(1), 3)
		var moving []*worldCall
		for range 60 {
			c := w.call(string(day)+" 23:30:00", 1)
			c.recorded[0].link = time.Now().Add(15 * oneDay)
			moving = append(moving, c)
		}
		span := spanOf(day, day.AddDays(1))
		w.try(trial{config: span})
		time.Sleep(oneDay)
		for _, c := range moving {
			c.at = c.at.Add(time.Hour)
		}
		for range 12 {
			w.try(trial{config: span})
			time.Sleep(25 * time.Hour)
		}
		lost := 0
		for _, c := range moving {
			if s := w.state(day, c.recorded[0]); s.Outcome == manifest.Lost {
				lost++
			}
		}
		if lost > 0 || !w.isClosed(day) {
			t.Errorf("%d of 60 recordings that the vendor lists under the next day are lost; closed %v", lost, w.isClosed(day))
		}
	})
}
