package cases

import (
	"encoding/json"
	"net/http"
	"slices"
	"testing"
	"time"
)

// closing covers conditions that must not close a day: cases 1, 1b and 1c.
func closing() []example {
	all := emptyAnswers()
	all = append(all, shrunk()...)
	return append(all, noRecordings()...)
}

const day = 24 * time.Hour

// emptyAnswers: three settled days with ten calls each, of which the API temporarily shows none or
// wrong ones. No day closes without its calls, and later all are archived.
func emptyAnswers() []example {
	var all []example
	add := func(name string, codes []int, flags []string, fault func(*vendor)) {
		all = append(all, example{"1 " + name, func(t testing.TB) {
			v := newVendor(t)
			for _, n := range []int{8, 7, 6} {
				v.fill(ago(n), n*100, 10)
			}
			fault(v)
			a := onDisk(t, v, ago(8), ago(6), flags...)
			a.run().want(codes...)
			for name, d := range a.days() {
				for _, l := range d.closed {
					if l.Calls != 10 || l.Recordings != 10 {
						t.Errorf("%s is closed with %d calls and %d recordings", name, l.Calls, l.Recordings)
					}
				}
			}
			if len(a.audio()) < 30 { // a report may refuse an archive without any line
				a.report("--strict").want(2, 3).saysNot("^complete")
			}
			v.change(func() { v.API, v.Ignore = nil, nil })
			a.run().want(0)
			a.holds(v.bodies()...)
			if flags == nil {
				a.isClosed(ago(8), ago(7), ago(6))
			}
		}})
	}
	ignored := func(names ...string) func(*vendor) {
		return func(v *vendor) {
			for _, name := range names {
				v.Ignore[name] = true
			}
		}
	}
	answers := func(text string) func(*vendor) {
		return func(v *vendor) { v.API = reply(http.StatusOK, "application/json", text) }
	}
	never := []int{0} // nothing was ever listed that could be missing
	add("both bounds ignored", never, nil, ignored("start_time", "end_time"))
	// A single bound includes rows of other days: more than half of those of the first window, so that the
	// run may end there with 1 as in the contract, or find the rest in order.
	add("start ignored", []int{0, 1, 3}, nil, ignored("start_time"))
	add("end ignored", []int{0, 1, 3}, nil, ignored("end_time"))
	add("total 0", never, nil, answers(`{"success":true,"data":{"offset":0,"limit":500,"total_found":"0","entries":0,"results":[]}}`))
	add("total 0 as a number", never, nil, answers(`{"success":true,"data":{"offset":0,"limit":500,"total_found":0,"entries":0,"results":[]}}`))
	add("results null", []int{0, 1, 3}, nil, answers(`{"success":true,"data":{"offset":0,"limit":500,"total_found":"0","entries":0,"results":null}}`))
	add("total 0 for a filter", never, []string{"--status", "SALE"}, answers(`{"success":true,"data":{"offset":0,"limit":500,"total_found":"0","entries":0,"results":[]}}`))
	// Without data the answer is invalid, or counts as empty: it closes nothing.
	add("no data", []int{1, 3}, []string{"--retry-for", "3s"}, answers(`{"success":true}`))
	add("data is an empty list", []int{0, 1, 3}, []string{"--retry-for", "3s"}, answers(`{"success":true,"data":[]}`))
	add("data is null", []int{1, 3}, []string{"--retry-for", "3s"}, answers(`{"success":true,"data":null}`))

	return append(all, example{"1 one empty day among others", func(t testing.TB) {
		v := newVendor(t)
		v.fill(ago(8), 100, 10)
		v.fill(ago(6), 300, 10)
		a := onDisk(t, v, ago(8), ago(6))
		a.run().want(0) // the days beside it are the witness, and the span's total is their sum
		a.isClosed(ago(8), ago(7), ago(6))
	}}, example{"1 one day empty that the span counts", func(t testing.TB) {
		v := newVendor(t)
		for _, n := range []int{8, 7, 6} {
			v.fill(ago(n), n*100, 10)
		}
		v.API = func(w http.ResponseWriter, r *http.Request) {
			if asksOnly(r, ago(7)) {
				_, _ = w.Write(answer(0, 500, "0", nil))
			}
		}
		a := onDisk(t, v, ago(8), ago(6))
		a.run().want(3)
		a.isClosed(ago(8), ago(6))
		a.isOpen(ago(7))
		v.change(func() { v.API = nil })
		a.run().want(0)
		a.isClosed(ago(7))
		a.holds(v.bodies()...)
	}})
}

// asksOnly reports whether a listing requests only a day or a part of it.
func asksOnly(r *http.Request, date string) bool {
	begin, _ := time.Parse(time.DateOnly, date)
	from, _ := time.Parse(time.DateTime, r.URL.Query().Get("start_time"))
	to, _ := time.Parse(time.DateTime, r.URL.Query().Get("end_time"))
	return !from.Before(begin.Add(-2*time.Second)) && !to.After(begin.Add(day+time.Second)) && from.Before(begin.Add(day-time.Second))
}

// shrunk: ten recordings, of which one waits, and then incomplete listings. They close nothing and
// write nothing off until they have agreed for long enough.
func shrunk() []example {
	const waits = 103
	before, date := ago(21), ago(20) // settled long ago even with shifted runs
	begin := func(t testing.TB) (*vendor, *archive) {
		v := newVendor(t)
		v.fill(before, 500, 2) // another day, which proves that the API and the host of recordings work
		v.fill(date, 100, 10)
		v.Bodies[tokenOf(waits)] = nil
		a := onDisk(t, v, before, date)
		a.run().want(3)
		if n := a.day(date).outcomes(); n["archived"] != 9 || n["pending"] != 1 {
			t.Fatalf("after the first run: %v", n)
		}
		return v, a
	}
	lacks := func(v *vendor, ids ...string) {
		v.change(func() {
			var rows []row
			for _, r := range v.Rows {
				keep := true
				for _, id := range ids {
					keep = keep && r["id"] != id
				}
				if keep {
					rows = append(rows, r)
				}
			}
			v.Rows = rows
		})
	}
	var all []example
	for _, c := range []struct {
		name  string
		fault func(*vendor)
	}{
		{"total 0", func(v *vendor) { lacks(v, "100", "101", "102", "103", "104", "105", "106", "107", "108", "109") }},
		{"nothing at all any more", func(v *vendor) {
			v.change(func() { v.API = reply(http.StatusOK, "application/json", string(answer(0, 500, "0", nil))) })
		}},
		{"the one that waits is missing", func(v *vendor) { lacks(v, "103") }},
		{"an archived one is missing", func(v *vendor) { lacks(v, "107") }},
		{"rows without recordings", func(v *vendor) {
			v.change(func() {
				for i, r := range v.Rows {
					v.Rows[i] = clone(r).with("recording", []row{})
				}
			})
		}},
		{"the waiting one's recording is gone from its row", func(v *vendor) {
			v.change(func() {
				for i, r := range v.Rows {
					if r["id"] == "103" {
						v.Rows[i] = clone(r).with("recording", nil)
					}
				}
			})
		}},
	} {
		all = append(all, example{"1b " + c.name, func(t testing.TB) {
			v, a := begin(t)
			rows := slices.Clone(v.Rows)
			c.fault(v)
			a.run().want(3)
			a.isOpen(date)
			if n := a.day(date).outcomes(); n["archived"] != 9 || n["pending"] != 1 {
				t.Errorf("after a listing that lacks what is noted: %v", n)
			}
			v.change(func() {
				v.Rows, v.API, v.sorted = rows, nil, false
				v.Bodies[tokenOf(waits)] = mp3("at last", 20)
			})
			a.run().want(0)
			a.isClosed(date)
			a.holds(v.bodies()...)
		}})
	}
	settles := func(name string, sequence func(t testing.TB, v *vendor, a *archive)) {
		all = append(all, example{"1b " + name, func(t testing.TB) {
			v, a := begin(t)
			sequence(t, v, a)
		}})
	}
	settles("missing twice, a day apart", func(t testing.TB, v *vendor, a *archive) {
		lacks(v, "103")
		a.run().want(3)
		a.isOpen(date)
		a.age(25 * time.Hour)
		a.run().want(3) // it is lost in this run
		a.isClosed(date)
		d := a.day(date)
		if n := d.outcomes(); n["archived"] != 9 || n["lost"] != 1 || d.closed[""].Unlisted != 1 {
			t.Errorf("closed with %v: %+v", n, d.closed[""])
		}
	})
	settles("missing twice within a day", func(t testing.TB, v *vendor, a *archive) {
		lacks(v, "103")
		a.run().want(3)
		a.run().want(3)
		a.isOpen(date)
	})
	settles("another one is missing each time", func(t testing.TB, v *vendor, a *archive) {
		rows := slices.Clone(v.Rows)
		lacks(v, "103", "105")
		a.run().want(3)
		a.age(25 * time.Hour)
		v.change(func() { v.Rows = rows })
		lacks(v, "103", "106")
		a.run().want(3)
		a.isOpen(date)
		if n := a.day(date).outcomes(); n["lost"] != 0 {
			t.Errorf("written off: %v", n)
		}
	})
	settles("many are missing: three times over seven days", func(t testing.TB, v *vendor, a *archive) {
		lacks(v, "103", "105", "106", "107")
		for range 2 {
			a.run().want(3)
			a.isOpen(date)
			a.age(4 * day)
		}
		a.run().want(3)
		a.isClosed(date)
		d := a.day(date)
		if n := d.outcomes(); n["archived"] != 9 || n["lost"] != 1 || d.closed[""].Unlisted != 4 {
			t.Errorf("closed with %v: %+v", n, d.closed[""])
		}
	})
	return all
}

// noRecordings: a day of calls without any recording according to the rows.
func noRecordings() []example {
	before, date := ago(21), ago(20) // settled long ago even with shifted runs
	day := func(t testing.TB, change func(row)) (*vendor, *archive) {
		v := newVendor(t)
		v.fill(date, 100, 10)
		for i, r := range v.Rows {
			v.Rows[i] = clone(r)
			change(v.Rows[i])
		}
		return v, onDisk(t, v, date, date)
	}
	var all []example
	for name, change := range map[string]func(row){
		"list empty":    func(r row) { r["recording"] = []row{} },
		"null":          func(r row) { r["recording"] = nil },
		"field missing": func(r row) { delete(r, "recording") },
		"empty text":    func(r row) { r["recording"] = "" },
		"object empty":  func(r row) { r["recording"] = row{} },
	} {
		all = append(all, example{"1c recordings " + name, func(t testing.TB) {
			v, a := day(t, change)
			a.run().want(3)
			a.isOpen(date)
			v.change(func() { v.Rows = nil })
			v.fill(date, 100, 10)
			a.run().want(0)
			a.isClosed(date)
			a.holds(v.bodies()...)
		}})
	}
	none := func(r row) { r["recording"] = []row{} }
	return append(all, example{"1c with a witness", func(t testing.TB) {
		v, a := day(t, none)
		v.Bodies = map[string]any{}
		v.fill(before, 500, 3)
		a.from = before
		a.run().want(0)
		a.isClosed(before, date)
		a.holds(v.bodies()...)
	}}, example{"1c with a witness outside the span", func(t testing.TB) {
		v, a := day(t, none)
		v.fill(ago(24), 500, 3)
		a.run().want(0)
		a.isClosed(date)
	}}, example{"1c a year without recordings, on three days", func(t testing.TB) {
		_, a := day(t, none)
		for range 2 {
			a.run().want(3)
			a.isOpen(date)
			a.age(25 * time.Hour)
		}
		a.run().want(0)
		a.isClosed(date)
		if l := a.day(date).closed[""]; !l.Unwitnessed {
			t.Errorf("the day line does not say that nothing proved it: %+v", l)
		}
		a.report().want(0).says("unwitnessed|no witness|without .*witness")
	}})
}

// clone copies a row, so that a change does not reach other holders.
func clone(r row) row {
	text, err := json.Marshal(r)
	if err != nil {
		panic(err)
	}
	var c row
	if err := json.Unmarshal(text, &c); err != nil {
		panic(err)
	}
	return c
}
