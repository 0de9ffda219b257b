package archiver

import (
	"context"
	"fmt"
	"testing"
	"time"

	"convoso-archiver/fetcher"
	"convoso-archiver/manifest"
)

// finals closes a day with one archived recording, and one for each final outcome without audio.
func (w *world) finals(day fetcher.Date) map[manifest.Outcome]*worldRecording {
	w.t.Helper()
	outcomes := []manifest.Outcome{manifest.Archived, manifest.Pending, manifest.Failed, manifest.Rejected, manifest.Lost, manifest.Damaged}
	recordings := map[manifest.Outcome]*worldRecording{}
	then := day.End(w.zone).Add(5 * oneDay)
	var lines []manifest.Recording
	for i, r := range w.recordedCalls(day, len(outcomes)) {
		recordings[outcomes[i]] = r
		line := archivedLine(r.id, r.file, r.audio())
		line.CallID, line.Time, line.FirstSeen = w.calls[i].id, then, then.Add(-2*oneDay)
		switch line.Outcome = outcomes[i]; outcomes[i] {
		case manifest.Archived:
			w.put(r.file, r.audio())
		case manifest.Damaged:
			w.put(r.file, []byte("damaged"))
			line.Final = true
		default:
			line.Size, line.SHA256, line.Final = 0, "", true
		}
		lines = append(lines, line)
	}
	w.writeDay(day, func(ctx context.Context, d *manifest.Day) error {
		if err := d.Note(ctx, lines...); err != nil {
			return err
		}
		return d.Close(ctx, manifest.DayLine{Kept: []string{"calls", "recordings"}, Calls: len(outcomes), Time: then})
	})
	return recordings
}

// TestRetry requests only the final recordings of one outcome again; those that download are
// archived, and the day closes again.
func TestRetry(t *testing.T) {
	for _, outcome := range []manifest.Outcome{manifest.Pending, manifest.Failed, manifest.Rejected, manifest.Lost, manifest.Damaged} {
		t.Run(string(outcome), func(t *testing.T) {
			t.Parallel()
			inBubble(t, func(t *testing.T, w *world) {
				day := w.ago(30)
				recordings := w.finals(day)
				if n := w.try(trial{config: spanOf(day, day)}); n.DaysSkipped != 1 || n.asked+n.listings > 0 {
					t.Fatalf("without --retry: %d days skipped, %d requests", n.DaysSkipped, n.asked+n.listings)
				}
				o := trial{config: all(spanOf(day, day), func(c *Config) { c.Retry = map[manifest.Outcome]bool{outcome: true} })}
				n := w.try(o)
				if n.err != nil || n.Archived != 1 || n.asked != 1 || n.Known != 5 || n.DaysClosed != 1 || n.incomplete() {
					t.Errorf("%v, %d archived, %d requests, %d known, %d closed, incomplete %v", n.err, n.Archived, n.asked, n.Known, n.DaysClosed, n.incomplete())
				}
				for was, r := range recordings {
					want := was
					if was == outcome {
						want = manifest.Archived
					}
					if s := w.state(day, r); s.Outcome != want || was == outcome && was == manifest.Damaged && s.Key == r.file {
						t.Errorf("%s: %s", was, told(s))
					}
				}
				if n = w.try(o); n.DaysSkipped != 1 || n.asked > 0 {
					t.Errorf("again: %d days skipped, %d requests", n.DaysSkipped, n.asked)
				}
			})
		})
	}
}

// TestRetryInVain requests recordings again that are still not available: lost and permanently
// damaged ones stay so, and the others wait again until the time to give up.
func TestRetryInVain(t *testing.T) {
	for _, outcome := range []manifest.Outcome{manifest.Pending, manifest.Failed, manifest.Rejected, manifest.Lost, manifest.Damaged} {
		t.Run(string(outcome), func(t *testing.T) {
			t.Parallel()
			inBubble(t, func(t *testing.T, w *world) {
				day := w.ago(30)
				r := w.finals(day)[outcome]
				w.recordedCalls(day.AddDays(1), 1) // for a witness
				w.try(trial{config: spanOf(day.AddDays(1), day.AddDays(1))})
				code := map[manifest.Outcome]int{manifest.Lost: 404, manifest.Damaged: 404}[outcome]
				if code == 0 {
					code = 403
				}
				retry := trial{
					vendor: w.answers(code, func(token string) bool { return token == r.token }),
					config: all(spanOf(day, day), func(c *Config) { c.Retry = map[manifest.Outcome]bool{outcome: true} }),
				}
				n := w.try(retry)
				s := w.state(day, r)
				if outcome == manifest.Lost || outcome == manifest.Damaged {
					if s.Outcome != outcome || !s.Final || n.Lost+n.GivenUp > 0 || n.DaysClosed != 1 {
						t.Errorf("%s, %d lost, open days %+v", told(s), n.Lost, n.OpenDays)
					}
					return
				}
				if s.Final || n.GivenUp > 0 || w.isClosed(day) || time.Since(s.Since) > time.Second {
					t.Errorf("%s since %v, %d given up", told(s), s.Since, n.GivenUp)
				}
				again := trial{vendor: retry.vendor, config: spanOf(day, day)}
				givenUp := 0
				for range 20 {
					time.Sleep(25 * time.Hour)
					n = w.try(again)
					givenUp++
					if n.GivenUp > 0 {
						break
					}
				}
				if s = w.state(day, r); !s.Final || givenUp != 14 || s.Outcome == manifest.Archived {
					t.Errorf("%s after %d nights; %+v", told(s), givenUp, n.OpenDays)
				}
			})
		})
	}
}

// TestRetryWithoutALink retries a recording whose row no longer has a link: it cannot be requested,
// and stays final.
func TestRetryWithoutALink(t *testing.T) {
	for _, outcome := range []manifest.Outcome{manifest.Pending, manifest.Lost} {
		t.Run(string(outcome), func(t *testing.T) {
			t.Parallel()
			inBubble(t, func(t *testing.T, w *world) {
				day := w.ago(30)
				r := w.finals(day)[outcome]
				r.link = time.Now().Add(oneDay)
				n := w.try(trial{config: all(spanOf(day, day), func(c *Config) { c.Retry = map[manifest.Outcome]bool{outcome: true} })})
				if s := w.state(day, r); s.Outcome != outcome || !s.Final || n.Known != 6 || n.DaysClosed != 1 {
					t.Errorf("%s, %d known, open days %+v", told(s), n.Known, n.OpenDays)
				}
			})
		})
	}
}

// TestOlderVersionsLines applies the older rule to lines without a salt: a recording tried after
// its time to give up is final, and so is a lost one.
func TestOlderVersionsLines(t *testing.T) {
	t.Parallel()
	inBubble(t, func(t *testing.T, w *world) {
		day := w.ago(40)
		r := w.recordedCalls(day, 4)
		call := 1000
		old := func(r *worldRecording, outcome manifest.Outcome, seen, last int) string {
			call++
			return `{"v":1,"kind":"recording","recording_id":"` + r.id + `","outcome":"` + string(outcome) + `","key":"","size":0,"sha256":"","time":"` +
				time.Now().Add(time.Duration(-last)*oneDay).UTC().Format(time.RFC3339) + `","run":"19990101T000000Z-00000000","call_id":"` + fmt.Sprint(call-1) + `","first_seen":"` +
				time.Now().Add(time.Duration(-seen)*oneDay).UTC().Format(time.RFC3339) + `","attempts":1,"content_type":"","etag":"","host":"media.test","reason":"answer 500"}` + "\n"
		}
		w.put("manifest/"+string(day)+".jsonl", []byte(
			old(r[0], manifest.Failed, 30, 10)+ // given up
				old(r[1], manifest.Failed, 30, 20)+ // it waits
				old(r[2], manifest.Lost, 30, 10)+
				old(r[3], manifest.Rejected, 5, 1)))
		w.put("manifest/archive.json", []byte(`{"v":1,"kind":"archive","id":"a","account_id":"","api_url":"https://api.test/v1","time_zone":"America/Los_Angeles","created":"1999-01-01T00:00:00Z"}`+"\n"))
		n := w.try(trial{config: spanOf(day, day)})
		if n.err != nil || n.Archived != 2 || n.Known != 2 {
			t.Errorf("%v, %d archived, %d known, open days %+v", n.err, n.Archived, n.Known, n.OpenDays)
		}
	})
}
