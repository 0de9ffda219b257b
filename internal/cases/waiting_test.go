package cases

import (
	"net/http"
	"runtime"
	"slices"
	"sync/atomic"
	"testing"
	"time"
)

// waiting covers unavailable recordings: cases 6, 7 and 41.
func waiting() []example {
	all := brokenHost()
	all = append(all, givenUp()...)
	all = append(all, askedAgain()...)
	return append(all, outages()...)
}

const notFound = `{"success":false,"message":"Recording not found!"}`

// brokenHost: five recordings were not found once, and then their host fails for as long as
// --give-up. Nothing becomes final, and all are archived when the host is back.
func brokenHost() []example {
	var all []example
	add := func(name string, broken http.HandlerFunc, port bool) {
		all = append(all, example{"6 " + name, func(t testing.TB) {
			v := newVendor(t)
			if port && runtime.GOOS == "linux" { // other systems have no address where nobody else takes the port meanwhile
				v.media.Close()
				v.startMedia("127.38.2.1:0")
			}
			v.fill(ago(5), 100, 5)
			v.Media = reply(404, "text/plain", "gone")
			a := onDisk(t, v, ago(5), ago(5))
			a.run().want(3)
			a.age(time.Hour)
			v.change(func() { v.Media = broken })
			if port {
				v.media.Close()
			}
			a.run("--give-up", "2s", "--retry-for", "3s", "--max-duration", "12s").want(1, 3)
			a.isOpen(ago(5))
			for id, l := range a.day(ago(5)).recordings {
				if l.final() {
					t.Errorf("recording %s is final: %+v", id, l)
				}
			}
			v.change(func() { v.Media = nil })
			if port {
				v.startMedia(v.media.Listener.Addr().String())
			}
			a.run().want(0)
			a.isClosed(ago(5))
			a.holds(v.bodies()...)
		}})
	}
	add("500", reply(500, "text/plain", "internal error"), false)
	add("503 with Retry-After", reply(503, "text/plain", "busy", "Retry-After", "1"), false)
	add("429 for ever", reply(429, "text/plain", "slow down", "Retry-After", "1"), false)
	add("403", reply(403, "text/html", "<html>Forbidden</html>"), false)
	add("401", reply(401, "text/plain", "who are you"), false)
	add("404 again", reply(404, "text/plain", "gone"), false)
	add("maintenance page under 200", reply(200, "text/html", "<!DOCTYPE html><html>We are back soon</html>"), false)
	add("not found in JSON under 200", reply(200, "application/json", notFound), false)
	add("nothing under 200", reply(200, "audio/mpeg", ""), false)
	add("half the body", raw("HTTP/1.1 200 OK\r\nContent-Type: audio/mpeg\r\nContent-Length: 11520\r\n\r\n"+string(mp3("half", 10))), false)
	add("a redirect to a page", func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/login" {
			reply(200, "text/html", "<html>log in</html>")(w, r)
			return
		}
		http.Redirect(w, r, "/login", http.StatusFound)
	}, false)
	add("connection reset", reset, false)
	add("port closed", nil, true)
	return all
}

// givenUp: one recording of five always fails, but is never "not found". It is given up after
// --give-up, refusals in three runs on three days, and good audio from its host after the last of them.
func givenUp() []example {
	date := ago(60) // settled long ago even with shifted runs
	begin := func(t testing.TB) (*vendor, *archive) {
		v := newVendor(t)
		v.fill(date, 100, 5)
		v.Bodies[tokenOf(102)] = reply(500, "text/plain", "internal error")
		a := onDisk(t, v, date, date, "--give-up", "36h")
		a.run().want(3)
		return v, a
	}
	return []example{{"6 given up in time with a witness", func(t testing.TB) {
		v, a := begin(t)
		for range 2 {
			a.isOpen(date)
			a.age(25 * time.Hour)
			v.forget()
			a.run().want(3)
		}
		a.isClosed(date)
		if l := a.day(date).state("102"); l.Outcome != "failed" || !l.Final {
			t.Errorf("noted is %+v", l)
		}
		witnesses := 0
		for _, r := range v.requests("media") {
			if r.token != tokenOf(102) {
				witnesses++
			}
		}
		if witnesses < 1 || witnesses > 3 {
			t.Errorf("%d requests for other recordings, want 1 to 3", witnesses)
		}
		v.forget()
		a.run().want(0)
		if n := len(v.requests("api")) + len(v.requests("media")); n > 0 {
			t.Errorf("the closed day cost %d requests", n)
		}
	}}, {"6 not given up after refusals in two runs", func(t testing.TB) {
		_, a := begin(t)
		a.age(30 * day)
		a.run().want(3)
		a.isOpen(date)
	}}, {"6 not given up when the host goes down on the last day", func(t testing.TB) {
		v, a := begin(t)
		a.age(25 * time.Hour)
		a.run().want(3)
		a.age(25 * time.Hour)
		v.change(func() { v.Media = reply(500, "text/plain", "internal error") })
		a.run().want(3)
		a.isOpen(date)
	}}}
}

// askedAgain: recordings are final without audio, and then their audio becomes available. --retry
// with their outcome downloads it; without it they cost nothing.
func askedAgain() []example {
	before, date := ago(21), ago(20) // settled long ago even with shifted runs
	var all []example
	add := func(outcome string, broken any, prepare func(*vendor, *archive)) {
		all = append(all, example{"7 " + outcome, func(t testing.TB) {
			v := newVendor(t)
			v.fill(before, 500, 3)
			v.fill(date, 100, 3)
			good := v.Bodies[tokenOf(101)]
			link := v.Rows[4]
			if broken == nil {
				v.Rows[4] = clone(link)
				v.Rows[4]["recording"] = []row{v.recording(101).without()}
			} else if prepare == nil {
				v.Bodies[tokenOf(101)] = broken
			}
			a := onDisk(t, v, before, date, "--give-up", "36h")
			if prepare != nil {
				a.run().want(0)
				v.Bodies[tokenOf(101)] = broken
				prepare(v, a)
			}
			for range 3 {
				a.run().want(3)
				if len(a.day(date).closed) > 0 { // lost and damaged need two runs, the others three
					break
				}
				a.age(25 * time.Hour)
			}
			a.isClosed(date)
			if l := a.day(date).state("101"); l.Outcome != outcome {
				t.Fatalf("noted is %+v", l)
			}
			if outcome == "damaged" {
				a.verify().want(4)
				a.report().want(0).says("damaged")
			}
			v.change(func() { v.Rows[4], v.Bodies[tokenOf(101)] = link, good })
			v.forget()
			a.run().want(0)
			if n := len(v.requests("api")) + len(v.requests("media")); n > 0 {
				t.Errorf("the closed day cost %d requests", n)
			}
			time.Sleep(time.Until(time.Now().Truncate(time.Second).Add(time.Second))) // times in lines have seconds
			a.run("--retry", outcome).want(0)
			a.isClosed(date)
			if l := a.day(date).state("101"); l.Outcome != "archived" {
				t.Errorf("noted is %+v", l)
			}
			if outcome != "damaged" { // then the damaged file stays where it is
				a.holds(v.bodies()...)
			}
			v.forget()
			a.run("--retry", outcome).want(0)
			if n := len(v.requests("media")); n > 0 {
				t.Errorf("%d recordings were asked for again", n)
			}
		}})
	}
	add("pending", nil, nil)
	add("failed", reply(500, "text/plain", "internal error"), nil)
	add("rejected", reply(200, "text/html", "<html>no audio here</html>"), nil)
	add("lost", reply(404, "text/plain", "gone"), nil)
	add("damaged", reply(404, "text/plain", "gone"), func(v *vendor, a *archive) {
		a.put(a.day(date).state("101").Key, []byte("damaged"))
		a.verify("--repair").want(4)
	})
	return all
}

// outages: many recordings of a day are unavailable, in an archive of four days.
func outages() []example {
	const many, few = 100, 15
	var all []example
	add := func(name string, bad int, broken http.HandlerFunc, warning string) {
		all = append(all, example{"41 " + name, func(t testing.TB) {
			v := newVendor(t)
			days := []string{ago(8), ago(7), ago(6), ago(5)}
			for i, day := range days {
				n := few
				if i == bad {
					n = many
				}
				v.fill(day, (i+1)*1000, n)
			}
			for i := range many {
				v.Bodies[tokenOf((bad+1)*1000+i)] = broken
			}
			v.API = func(_ http.ResponseWriter, r *http.Request) { // so that no good answer arrives between the bad ones
				if !asksOnly(r, days[bad]) {
					time.Sleep(500 * time.Millisecond)
				}
			}
			a := onDisk(t, v, days[0], days[3], "--order", "asc")
			a.run().want(3).says(warning)
			a.isOpen(days[bad])
			a.isClosed(append(days[:bad:bad], days[bad+1:]...)...)
			a.holds(v.bodies()...) // the good ones
			if n := a.day(days[bad]).outcomes(); n["lost"] > 0 || n["pending"]+n["failed"]+n["rejected"] != many {
				t.Errorf("they are noted as %v", n)
			}
			// Each once, and the witness. Failures other than "not found" may be retried.
			if n := len(v.requests("media")); n > 3*few+5*many+3 {
				t.Errorf("%d requests", n)
			}
		}})
	}
	gone := reply(404, "text/plain", "gone")
	add("oldest day not found", 0, gone, "purge-after")
	add("oldest day gone", 0, reply(410, "text/plain", "gone"), "purge-after")
	add("oldest day not found in JSON", 0, reply(200, "application/json", notFound), "purge-after")
	add("oldest day forbidden", 0, reply(403, "text/html", "<html>Forbidden</html>"), "") // which is not caused by age
	add("a day in the middle not found", 1, gone, "purge-after")
	add("newest day not found", 3, gone, "purge-after")

	days := []string{ago(9), ago(8), ago(7), ago(6), ago(5)}
	world := func(t testing.TB) (*vendor, *archive) {
		v := newVendor(t)
		for i, day := range days {
			v.fill(day, (i+1)*1000, many)
		}
		return v, onDisk(t, v, days[0], days[4], "--order", "asc")
	}
	return append(all, example{"41 every day not found", func(t testing.TB) {
		v, a := world(t)
		v.Media = func(w http.ResponseWriter, r *http.Request) {
			time.Sleep(50 * time.Millisecond) // a day goes on while the witness is asked for
			gone(w, r)
		}
		a.run().want(1)
		a.isOpen(days...)
		for _, d := range a.days() {
			if n := d.outcomes(); n["lost"] > 0 {
				t.Errorf("written off: %v", n)
			}
		}
		// At most three days and three witnesses, plus downloads in flight.
		if n := len(v.requests("media")); n > 3*many+3+16 {
			t.Errorf("%d requests", n)
		}
		v.change(func() { v.Media = nil })
		a.run().want(0)
		a.isClosed(days...)
		a.holds(v.bodies()...)
	}}, example{"41 an outage that ends within the run", func(t testing.TB) {
		v, a := world(t)
		left := 70 // more than 50, so that the witness is not found either
		v.Media = func(w http.ResponseWriter, r *http.Request) {
			v.mu.Lock()
			left--
			out := left >= 0
			v.mu.Unlock()
			if out {
				gone(w, r)
			}
		}
		var begun atomic.Bool
		v.API = func(w http.ResponseWriter, r *http.Request) { // so that the outage affects no later day
			if asksOnly(r, days[0]) {
				begun.Store(true)
			} else if !begun.Load() { // only one request is sent until the first good answer: it must not be the waiting one
				w.WriteHeader(http.StatusInternalServerError)
				_, _ = w.Write([]byte("try again"))
				return
			}
			for i, most := range []int{70, 20, 0, 0, 0} {
				for end := time.Now().Add(50 * time.Second); asksOnly(r, days[i]) && time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
					v.mu.Lock()
					over := left <= most
					v.mu.Unlock()
					if over {
						break
					}
				}
			}
		}
		a.run().want(3)
		a.isOpen(days[0])
		a.isClosed(days[2:]...) // the second day may overlap its end
		v.change(func() { v.Media, v.API = nil, nil })
		a.run().want(0)
		a.isClosed(days...)
		a.holds(v.bodies()...)
		if slices.ContainsFunc(v.requests("media"), func(r request) bool { return v.asked(r.token) > 5 }) {
			t.Error("a recording was asked for more than five times")
		}
	}})
}
