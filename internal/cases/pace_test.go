package cases

import (
	"fmt"
	"net/http"
	"testing"
	"time"
)

// pace covers failing recordings that must not delay others: cases 21, 51 and 52. Refusals without a
// time are the slowest examples of the package: the program may pause for 15 s after the first.
func pace() []example {
	return append(refusedAgain(), longWaits()...)
}

// refusedAgain: some recordings are always refused, others of the same host are not. All of the latter are
// archived, and the run ends by itself.
func refusedAgain() []example {
	const good = 24
	busy := reply(503, "text/plain", "busy")
	busyFor := reply(503, "text/plain", "busy", "Retry-After", "1")
	slowDown := reply(429, "text/plain", "slow down", "Retry-After", "1")
	var all []example
	for _, c := range []struct {
		name   string
		bad    int
		fails  http.HandlerFunc
		within time.Duration
	}{
		{"21 eight answer 503", 8, busy, 50 * time.Second},
		{"21 eight answer 503 with Retry-After", 8, busyFor, 50 * time.Second},
		{"21 eight answer 429 with Retry-After", 8, slowDown, 50 * time.Second},
		{"21 eight answer 500", 8, reply(500, "text/plain", "internal error"), 30 * time.Second},
		{"52 one answers 503", 1, busy, 40 * time.Second},
		{"52 one answers 429", 1, reply(429, "text/plain", "slow down"), 40 * time.Second},
		{"52 one answers 503 with Retry-After", 1, busyFor, 20 * time.Second},
		{"52 one answers 503 with a longer Retry-After", 1, reply(503, "text/plain", "busy", "Retry-After", "3"), 30 * time.Second},
	} {
		all = append(all, example{c.name, func(t testing.TB) {
			v := newVendor(t)
			v.fill(ago(5), 1000, c.bad+good)
			for i := range c.bad { // the first ones, so that they meet the workers before all others
				v.Bodies[tokenOf(1000+i)] = c.fails
			}
			a := onDisk(t, v, ago(5), ago(5))
			a.rate, a.patience = "10", c.within
			a.run().want(3)
			a.isOpen(ago(5))
			a.holds(v.bodies()...)
			for i := range c.bad {
				if l := a.day(ago(5)).state(fmt.Sprint(1000 + i)); l.Outcome != "failed" {
					t.Errorf("noted is %+v", l)
				}
			}
		}})
	}
	return all
}

// longWaits: an answer asks for a wait of more than an hour.
func longWaits() []example {
	var all []example
	for _, c := range []struct {
		name string
		bad  []int // of 30
		with http.HandlerFunc
	}{
		{"one 429", []int{0}, reply(429, "text/plain", "", "Retry-After", "7200")},
		{"one 503", []int{0}, reply(503, "text/plain", "", "Retry-After", "7200")},
		{"one 503 in the middle", []int{15}, reply(503, "text/plain", "", "Retry-After", "7200")},
		{"one 503 just above an hour", []int{0}, reply(503, "text/plain", "", "Retry-After", "3700")},
		{"one 503 until a date", []int{0}, reply(503, "text/plain", "", "Retry-After", now.Add(3*time.Hour).Format(http.TimeFormat))},
		{"one 503 for years", []int{0}, reply(503, "text/plain", "", "Retry-After", "99999999999")},
		{"two far apart", []int{3, 27}, reply(429, "text/plain", "", "Retry-After", "7200")},
	} {
		all = append(all, example{"51 " + c.name, func(t testing.TB) {
			v := newVendor(t)
			v.fill(ago(5), 1000, 30)
			for _, i := range c.bad {
				v.Bodies[tokenOf(1000+i)] = c.with
			}
			a := onDisk(t, v, ago(5), ago(5))
			a.run().want(3)
			a.isOpen(ago(5))
			a.holds(v.bodies()...)
			for _, i := range c.bad {
				v.Bodies[tokenOf(1000+i)] = mp3(fmt.Sprint("late", i), 20)
			}
			a.run().want(0) // the next night
			a.isClosed(ago(5))
			a.holds(v.bodies()...)
		}})
	}
	return append(all, example{"51 three recordings in a row", func(t testing.TB) {
		v := newVendor(t)
		v.fill(ago(5), 1000, 30)
		v.Media = reply(429, "text/plain", "", "Retry-After", "7200")
		a := onDisk(t, v, ago(5), ago(5))
		a.run().want(1)
		a.isOpen(ago(5))
		if n := len(v.requests("media")); n > 3+8 { // plus downloads in flight
			t.Errorf("%d requests", n)
		}
	}}, example{"51 the API", func(t testing.TB) {
		v := newVendor(t)
		v.fill(ago(5), 1000, 3)
		v.API = reply(429, "text/plain", "", "Retry-After", "7200")
		a := onDisk(t, v, ago(5), ago(5))
		a.run().want(1)
		if n := len(v.requests("api")); n != 1 {
			t.Errorf("%d requests", n)
		}
	}})
}
