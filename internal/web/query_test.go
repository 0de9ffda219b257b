package web

import (
	"fmt"
	"net/url"
	"strings"
	"testing"
	"time"

	"convoso-archiver/internal/web/webtest"
	"convoso-archiver/manifest"
	"convoso-archiver/manifest/report"
	"convoso-archiver/search"
)

func TestParseQuery(t *testing.T) {
	now := time.Date(2026, 3, 10, 20, 0, 0, 0, time.UTC)
	zone, err := time.LoadLocation(webtest.Zone)
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct{ address, wrong string }{
		{"", ""}, {"number=5309&agent=&campaign=+", ""}, {"start-time=2025-05-01&end-time=2025-05-31", ""}, {"start-time=2025-05-01T10:00", ""}, {"last=7d", ""},
		{"last=2w", ""}, {"after=12", ""}, {"sort=time&after=12", ""}, {"sample=5&seed=1", ""}, {"with-recording=true", ""}, {"id=1,2&id=3", ""},
		{"last=7", "last"}, {"last=0d", "last"}, {"last=7d&start-time=2025-05-01", "last"}, {"after=-1", "after"}, {"after=x", "after"}, {"after=1&after=2", "after"},
		{"sort=length&after=12", "after"}, {"number=12", "number"}, {"agent=a&agent=b", "agent"}, {"start-time=2025-06-01&end-time=2025-05-01", "start-time"},
		{"min-length=9&max-length=3", "min-length"}, {"outcome=gone", "outcome"}, {"color=red", "address"}, {"agent=" + strings.Repeat("a", maxValue+1), "agent"},
		{"sample=0", "sample"}, {"limit=-5", "limit"}, {"start-time=2026-03-10", ""}, {"start-time=2026-03-10+12:59:00", ""}, {"start-time=2026-03-10+13:01:00", "start-time"},
		{"start-time=2026-03-11", "start-time"}, {"end-time=2027-01-01", ""},
	} {
		values, err := url.ParseQuery(test.address)
		if err != nil {
			t.Fatal(err)
		}
		a := parseQuery(values, now, zone)
		got := ""
		if len(a.wrong) > 0 {
			got = a.wrong[0].Name
		}
		if got != test.wrong {
			t.Errorf("%.60q: wrong is %q, want %q", test.address, got, test.wrong)
		}
	}
	if a := parseQuery(url.Values{"last": {"7d"}}, now, zone); a.query.From.Format(time.DateTime) != "2026-03-03 00:00:00" {
		t.Errorf("the last seven days begin %s", a.query.From)
	}
	if a := parseQuery(url.Values{"call": {"2025-05-27/a/b#c"}, "t": {"75"}}, now, zone); a.day != "2025-05-27" || a.id != "a/b#c" || a.second != 75 {
		t.Errorf("open is %+v", a)
	}
}

// FuzzQuery parses any address. An error must name a field; a valid query must run, and must survive a round trip
// through an address.
func FuzzQuery(f *testing.F) {
	for _, seed := range []string{
		"number=5309&last=7d", "start-time=2025-05-01&end-time=2025-05-02T10:00&after=5", "sample=3&seed=9", "call=2025-05-27/9&t=3", "outcome=lost,pending&id=1,2",
		"sort=-length&limit=5", "%zz", "a=b;c=d", "number=%00", "comment=%F0%9F%98%80",
	} {
		f.Add(seed)
	}
	now := time.Date(2026, 3, 10, 20, 0, 0, 0, time.UTC)
	call := &search.Call{Day: "2025-05-27", Position: 5, Fields: search.Fields{ID: "9", Length: -1}}
	f.Fuzz(func(t *testing.T, text string) {
		values, _ := url.ParseQuery(text) // keeps the valid part, as net/http does
		a := parseQuery(values, now, time.UTC)
		newForm(values, a.wrong)
		for _, w := range a.wrong {
			if w.Name == "" || w.Problem == "" || w.Try == "" {
				t.Fatalf("%q: %+v", text, w)
			}
		}
		if len(a.wrong) > 0 {
			return
		}
		if a.size() < 1 || a.size() > maxPageCalls || a.query.After < 0 || a.id != "" && !isDay(a.day) {
			t.Fatalf("%q: %+v", text, a)
		}
		a.query.Matches(call)
		again, err := url.Parse(with(values))
		if err != nil {
			t.Fatal(err)
		}
		b := parseQuery(again.Query(), now, time.UTC)
		if got, want := fmt.Sprintf("%+v", b), fmt.Sprintf("%+v", a); got != want {
			t.Fatalf("%q is written as %q:\n%s\n%s", text, again, got, want)
		}
	})
}

// TestTerms searches for each term through the page and compares with the search itself.
func TestTerms(t *testing.T) {
	s := serve(t, nil)
	for _, address := range []string{
		"number=5307", "number=(550)+867-5301", "agent=3001", "agent=ana+nunez", "campaign=12", "campaign=solar+west", "name=mary+neil", "comment=soon", "comment=later",
		"min-length=70", "max-length=25", "outcome=archived", "outcome=lost,pending", "with-recording=true", "id=90527003", "lead-id=77003", "campaign-id=13", "queue-id=1",
		"list-id=5", "user-id=3002", "status=sale", "phone-number=5508675301", "number-dialed=15508675301", "first-name=mary", "last-name=o%27neil+b", "call-type=OUTBOUND",
		"called-count=2", "sample=7&seed=2", "sort=length&limit=9", "sort=-length&limit=9", "sort=time", "limit=3", "start-time=2025-05-26&end-time=2025-05-26",
		"start-time=2025-05-27+10:00:00", "agent=3001&campaign=12&status=SALE&min-length=30",
	} {
		values, err := url.ParseQuery(address)
		if err != nil {
			t.Fatal(err)
		}
		a := parseQuery(values, time.Now(), s.server.Archive.Zone())
		if len(a.wrong) > 0 {
			t.Fatalf("%s: %v", address, a.wrong[0])
		}
		var want []string
		a.query.Limit = a.size()
		if a.query.Sample > 0 {
			a.query.Limit = 0
		}
		for c, err := range s.server.Archive.Search(t.Context(), a.query) {
			if err != nil {
				t.Fatal(err)
			}
			want = append(want, c.Day+"/"+c.ID)
		}
		got := s.get("/calls?" + address)
		got.want(t, 200)
		var refs []string
		for _, part := range strings.Split(got.body, ` data-ref="`)[1:] {
			ref, _, _ := strings.Cut(part, `"`)
			refs = append(refs, ref)
		}
		if strings.Join(refs, " ") != strings.Join(want, " ") {
			t.Errorf("%s: %v, want %v", address, refs, want)
		}
	}
	known := map[string]bool{}
	form := s.get("/calls").body
	for _, term := range search.Terms() {
		known[term.Name] = true
		if !strings.Contains(form, `name="`+term.Name+`"`) {
			t.Errorf("the form lacks %s", term.Name)
		}
	}
}

// TestStoppedSearch continues a stopped search.
func TestStoppedSearch(t *testing.T) {
	days := []string{"2025-05-27", "2025-05-26"}
	part := within(search.Query{}, days)
	var f found
	f.stop(part, days)
	first, last := part.Positions()
	if !f.stopped || f.next != last+1 || f.reached != "2025-05-27" {
		t.Errorf("%+v", f)
	}
	f = found{calls: []search.Call{{Day: "2025-05-26", Position: first + 5}}}
	if f.stop(part, days); f.next != first+5 || f.reached != "2025-05-26" {
		t.Errorf("%+v", f)
	}
	part.Sort = search.OldestFirst
	f = found{}
	if f.stop(part, []string{"2025-05-26", "2025-05-27"}); f.next != first-1 {
		t.Errorf("%+v", f)
	}
	p := callsPage{}
	p.tell(&found{stopped: true, next: 5, reached: "2025-05-26"}, &asked{}, url.Values{})
	if p.Next != "/calls?after=5" || p.NextText != "Continue the search" || len(p.Remarks) != 1 || p.Empty != nil {
		t.Errorf("%+v", p)
	}
}

func TestLook(t *testing.T) {
	for _, test := range []struct {
		day  report.Day
		want string
	}{
		{report.Day{State: report.Closed, Settled: true}, "closed"},
		{report.Day{State: report.Closed, Settled: true, Counts: report.Counts{GivenUp: 1}}, "lost"},
		{report.Day{State: report.Closed, Settled: true, Counts: report.Counts{ByOutcome: map[manifest.Outcome]int{"lost": 1}}}, "lost"},
		{report.Day{State: report.Open, Settled: true}, "open"},
		{report.Day{State: report.Open}, "fresh"},
		{report.Day{State: report.NeverListed, Settled: true}, "never"},
		{report.Day{State: report.NeverListed}, "fresh"},
	} {
		if class, text := look(&test.day); class != test.want || text == "" {
			t.Errorf("%+v looks %s", test.day, class)
		}
	}
}

func TestWeeksOfAMonth(t *testing.T) {
	for month, want := range map[string][2]int{"2025-05": {5, 3}, "2025-06": {6, 6}, "2026-02": {4, 6}, "2024-02": {5, 3}} {
		first, err := time.Parse("2006-01", month)
		if err != nil {
			t.Fatal(err)
		}
		rows := weeks(first, nil, "")
		days, blank := 0, 0
		for _, row := range rows {
			if len(row) != 7 {
				t.Errorf("%s: a week of %d days", month, len(row))
			}
			for _, cell := range row {
				if cell.Number != "" {
					days++
				} else if days == 0 {
					blank++
				}
			}
		}
		if days != first.AddDate(0, 1, -1).Day() || len(rows) != want[0] && month != "2026-02" || blank != (int(first.Weekday())+6)%7 {
			t.Errorf("%s: %d weeks, %d days, %d before", month, len(rows), days, blank)
		}
	}
}
