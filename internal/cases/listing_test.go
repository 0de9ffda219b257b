package cases

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"
)

// listing covers incomplete and misleading listings: cases 5, 14, 15 and 16.
func listing() []example {
	all := totals()
	all = append(all, ignoredDates()...)
	all = append(all, bounds()...)
	all = append(all, caps()...)
	return append(all, doubts()...)
}

// constant answers every listing with the same total.
func constant(total any) func(url.Values, int) any {
	return func(url.Values, int) any { return total }
}

// totals: 50 rows and an unrelated total. The rows are archived, the day stays open with one reason, and
// neither the requests nor the log grow without limit.
func totals() []example {
	var all []example
	add := func(name string, total func() func(url.Values, int) any) {
		all = append(all, example{"5 total " + name, func(t testing.TB) {
			v := newVendor(t)
			v.fill(ago(5), 100, 50)
			v.Total = total()
			a := onDisk(t, v, ago(5), ago(5))
			r := a.run().want(3)
			a.isOpen(ago(5))
			a.holds(v.bodies()...)
			// The listing may be repeated twice, and a window halved a few times without success.
			if n := len(v.requests("api")); n > 60 {
				t.Errorf("%d requests for 50 rows", n)
			}
			r.tellsLittle(ago(5), 1)
		}})
	}
	fixed := func(name string, total any) {
		add(name, func() func(url.Values, int) any { return constant(total) })
	}
	fixed("5,000,000 as text", "5000000")
	fixed("5,000,000 as a number", 5000000)
	fixed("just above the offset ceiling", "40001")
	fixed("negative", -1)
	fixed("null", nil) // the rows are valid, so they are used; their completeness is not proved
	fixed("no number", "many")
	fixed("less than the rows", "49")
	fixed("one more than the rows", 51)
	add("that grows with each request", func() func(url.Values, int) any {
		n := 50
		return func(url.Values, int) any { n += 7; return n }
	})
	add("that grows beyond the ceiling", func() func(url.Values, int) any {
		n := 39000
		return func(url.Values, int) any { n += 700; return n }
	})
	return append(all, example{"5 total that stays wrong by a little", func(t testing.TB) {
		v := newVendor(t)
		v.fill(ago(20), 100, 50)
		v.fill(ago(21), 300, 3)
		v.Total = func(q url.Values, n int) any { // counts two rows that are on no page
			if n == 50 {
				n += 2
			}
			return n
		}
		a := onDisk(t, v, ago(21), ago(20))
		for range 2 {
			a.run().want(3)
			a.isOpen(ago(20))
			a.age(25 * time.Hour)
		}
		a.run("--give-up", "24h").want(3)
		a.isClosed(ago(20))
		if l := a.day(ago(20)).closed[""]; l.Uncounted != 2 && l.Uncounted != -2 {
			t.Errorf("the day line does not say how far the total was off: %+v", l)
		}
		a.holds(v.bodies()...)
		v.forget()
		a.run("--give-up", "24h").want(0)
		if n := len(v.requests("api")); n > 0 {
			t.Errorf("the closed day cost %d requests", n)
		}
	}})
}

// tellsLittle fails if an open day has no reason or more than max in the summary, or a log line is long.
func (r result) tellsLittle(day string, max int) {
	r.t.Helper()
	var summary struct {
		OpenDays []struct {
			Day     string   `json:"day"`
			Reasons []string `json:"reasons"`
		} `json:"open_days"`
	}
	if err := json.Unmarshal([]byte(r.stdout), &summary); err != nil {
		r.t.Fatalf("read summary: %v\n%s", err, r.stdout)
	}
	found := false
	for _, d := range summary.OpenDays {
		if d.Day != day {
			continue
		}
		if found = true; len(d.Reasons) == 0 || len(d.Reasons) > max {
			r.t.Errorf("%d reasons for one fault, want 1 to %d: %.500q", len(d.Reasons), max, d.Reasons)
		}
	}
	if !found {
		r.t.Errorf("the summary does not name %s as open: %.500s", day, r.stdout)
	}
	const longest = 4 << 10
	for text := range strings.Lines(r.stderr) {
		if len(text) > longest {
			r.t.Errorf("a line of the log has %d bytes: %.200s…", len(text), text)
		}
	}
}

// ignoredDates: every request gets the same page, with a total above the offset ceiling.
func ignoredDates() []example {
	var all []example
	for _, c := range []struct {
		name  string
		total any
		rows  int
		days  int // ago
	}{
		{"total below the ceiling", "500", 500, 0},
		{"total 41,000", "41000", 500, 0},
		{"total 5,000,000", 5000000, 500, 0},
		{"rows of long ago", "41000", 500, 300},
		{"few rows", "90000", 25, 0},
	} {
		all = append(all, example{"5b dates ignored, " + c.name, func(t testing.TB) {
			v := newVendor(t)
			var page []row
			for i := range c.rows {
				page = append(page, row{"id": fmt.Sprint(i), "call_date": fmt.Sprintf("%s 00:%02d:%02d", ago(c.days), i/60%60, i%60), "call_length": "5", "recording": []row{}})
			}
			body := string(answer(0, 500, c.total, page))
			v.API = reply(http.StatusOK, "application/json", body)
			a := onDisk(t, v, ago(8), ago(4))
			a.run().want(1).says("ignore")
			if n := len(v.requests("api")); n > 30 {
				t.Errorf("%d requests to find out", n)
			}
			a.isOpen(ago(8), ago(7), ago(6), ago(5), ago(4))
		}})
	}
	return all
}

// bounds: more calls than the offset ceiling, so that the day is halved, with recordings in the seconds
// around the middle, with an API that may omit calls in the second of a bound.
func bounds() []example {
	var all []example
	for _, c := range []struct {
		name       string
		start, end bool
		calls      int
	}{
		{"both exclusive", true, true, 40100},
		{"start exclusive", true, false, 40100},
		{"end exclusive", false, true, 40100},
		{"both inclusive", false, false, 40100},
		{"both exclusive, four parts", true, true, 80300},
	} {
		all = append(all, example{"14 bounds " + c.name, func(t testing.TB) {
			v := newVendor(t)
			v.ExclusiveStart, v.ExclusiveEnd = c.start, c.end
			midnight, _ := time.Parse(time.DateOnly, ago(5))
			for i := range c.calls {
				at := midnight.Add(time.Duration(i) * 86390 * time.Second / time.Duration(c.calls))
				v.add(row{"id": fmt.Sprint(1000000 + i), "call_date": at.Format(time.DateTime), "call_length": "5", "recording": []row{}})
			}
			id := 100
			for _, hour := range []time.Duration{6, 12, 18} {
				for second := time.Duration(-4); second <= 4; second++ {
					v.call(id, midnight.Add(hour*time.Hour+second*time.Second).Format(time.DateTime), v.recording(id))
					id++
				}
			}
			a := onDisk(t, v, ago(5), ago(5))
			a.run().want(0)
			a.isClosed(ago(5))
			a.holds(v.bodies()...)
		}})
	}
	return all
}

// caps: the total stops counting somewhere, though there are more rows.
func caps() []example {
	var all []example
	for _, c := range []struct {
		name  string
		total func(url.Values, int) any
	}{
		{"at the end of a page", func(_ url.Values, n int) any { return min(n, 1000) }},
		{"within a page", func(_ url.Values, n int) any { return fmt.Sprint(min(n, 1234)) }},
		{"one row before the end", func(_ url.Values, n int) any { return min(n, 1299) }},
		{"at the rows of one page", func(_ url.Values, n int) any { return min(n, 500) }},
		{"at the rows shown so far", func(q url.Values, n int) any {
			var offset int
			_, _ = fmt.Sscan(q.Get("offset"), &offset)
			return min(n, offset+500)
		}},
	} {
		all = append(all, example{"15 total stops " + c.name, func(t testing.TB) {
			v := newVendor(t)
			v.Total = c.total
			midnight, _ := time.Parse(time.DateOnly, ago(5))
			for i := range 1300 {
				at := midnight.Add(time.Duration(i) * time.Minute).Format(time.DateTime)
				if i%20 == 19 {
					v.call(10000+i, at, v.recording(10000+i))
				} else {
					v.call(10000+i, at)
				}
			}
			a := onDisk(t, v, ago(5), ago(5))
			a.run().want(3)
			a.isOpen(ago(5))
			a.holds(v.bodies()...)
		}})
	}
	return all
}

// doubts: a day that cannot be proved complete. Readable rows are archived, the day stays open, and
// the report says why, once.
func doubts() []example {
	var all []example
	for _, c := range []struct {
		name  string
		rows  func(v *vendor, day string)
		count string // in the report, if the fault concerns many rows
	}{
		{"a second row with the id of a call", func(v *vendor, day string) { v.call(105, day+" 20:00:00") }, ""},
		{"a row sent twice", func(v *vendor, day string) { v.add(v.Rows[5]) }, ""},
		{"many rows sent twice", func(v *vendor, day string) { v.Rows = append(v.Rows, v.Rows[:20]...) }, ""},
		{"3,000 recordings as text", func(v *vendor, day string) {
			for i := range 3000 {
				v.call(1000+i, fmt.Sprintf("%s 1%d:%02d:%02d", day, i/600, i/60%60, i%60)).
					with("recording", fmt.Sprintf("https://admin-dt.convoso.com/play-recording-public/abcdefghijklmnop%d?rlt=abcdefghijklmnop", i))
			}
		}, "3,?000"},
		{"700 recordings as numbers", func(v *vendor, day string) {
			for i := range 700 {
				v.call(1000+i, fmt.Sprintf("%s 1%d:%02d:%02d", day, i/600, i/60%60, i%60)).with("recording", []any{i})
			}
		}, "700"},
		{"800 rows that are no objects", func(v *vendor, day string) {
			for i := range 800 {
				v.add(row{literal: fmt.Sprintf("%q", fmt.Sprint("row ", i)), "call_date": fmt.Sprintf("%s 1%d:%02d:%02d", day, i/600, i/60%60, i%60)})
			}
		}, "800"},
	} {
		all = append(all, example{"16 " + c.name, func(t testing.TB) {
			v := newVendor(t)
			v.fill(ago(5), 100, 30)
			c.rows(v, ago(5))
			a := onDisk(t, v, ago(5), ago(5))
			a.run().want(3).tellsLittle(ago(5), 3)
			a.isOpen(ago(5))
			a.holds(v.bodies()...)
			windows := a.day(ago(5)).windows
			if len(windows) == 0 {
				t.Fatal("no window is noted")
			}
			if l := windows[len(windows)-1]; l.Whole == nil || *l.Whole || len(l.Doubts) == 0 || len(l.Doubts) > 3 {
				t.Errorf("the window line does not keep the doubts: %+v", l)
			}
			r := a.report().want(0).saysNot("all that is known of it is final")
			if c.count != "" {
				r.says(c.count)
			}
			if len(r.stdout) > 4<<10 {
				t.Errorf("the report of one day has %d bytes", len(r.stdout))
			}
		}})
	}
	return all
}
