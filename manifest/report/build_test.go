package report

import (
	"errors"
	"iter"
	"reflect"
	"strings"
	"testing"
	"time"

	"convoso-archiver/manifest"
)

const (
	hour = time.Hour
	day  = 24 * hour
)

// options are those of a report made on 10 May 2025 at noon in Los Angeles.
func options(t *testing.T) Options {
	t.Helper()
	zone, err := time.LoadLocation("America/Los_Angeles")
	if err != nil {
		t.Fatal(err)
	}
	return Options{
		Now: time.Date(2025, 5, 10, 12, 0, 0, 0, zone), Zone: zone,
		Settle: 2 * day, PurgeAfter: 155 * day, GiveUp: 14 * day, Losses: AllLosses,
	}
}

func facts(list ...Facts) iter.Seq2[Facts, error] {
	return func(yield func(Facts, error) bool) {
		for _, f := range list {
			if !yield(f, nil) {
				return
			}
		}
	}
}

type outcomes = map[manifest.Outcome]int

func closedDay(name, filter string, calls int, by outcomes, lost ...Unarchived) Facts {
	recordings := 0
	for _, n := range by {
		recordings += n
	}
	return Facts{Day: name, Noted: true, Unarchived: lost, Closing: &manifest.DayLine{
		Day: name, Closed: true, Filter: filter, Calls: calls, Recordings: recordings, ByOutcome: by, Bytes: 100 * int64(by[manifest.Archived]),
	}}
}

// listed is a whole listing of a day.
func listed(name string, calls int) manifest.Window {
	d, err := time.Parse(time.DateOnly, name)
	if err != nil {
		panic(err)
	}
	return manifest.Window{
		From: d.Add(-time.Second).Format(time.DateTime), To: d.AddDate(0, 0, 1).Format(time.DateTime),
		Listing: "run.1", Run: "run", Rows: calls, Total: calls, Calls: calls, ListedAt: d.AddDate(0, 0, 3),
	}
}

func waits(id string, o manifest.Outcome, seen, noted time.Time) Unarchived {
	return Unarchived{RecordingID: id, CallID: "c" + id, Outcome: o, FirstSeen: seen, Time: noted, Reason: "why"}
}

func codes(d Day) string {
	var list []string
	for _, r := range d.Reasons {
		list = append(list, string(r.Code))
	}
	return strings.Join(list, " ")
}

// TestReasons is one day each, on the first of May, which has settled.
func TestReasons(t *testing.T) {
	o := options(t)
	seen := o.Now.Add(-8 * day)
	const first = "2025-05-01"
	with := func(change func(*manifest.Window)) manifest.Window {
		w := listed(first, 10)
		change(&w)
		return w
	}
	filtered := with(func(w *manifest.Window) { w.Filter = "campaign_id=7&first_name=sha256:00ff" })
	part := with(func(w *manifest.Window) {
		w.From, w.To, w.Listing = first+" 11:00:00", first+" 15:00:00", "run.2"
		w.Calls, w.Total, w.ListedAt = 3, 3, w.ListedAt.Add(day)
	})
	short := with(func(w *manifest.Window) { w.Calls, w.Rows = 9, 9 })
	for name, test := range map[string]struct {
		facts    Facts
		state    State
		codes    string
		text     string // part of the reasons
		calls    int
		complete bool
		purge    bool
	}{
		"closed":                {closedDay(first, "", 10, outcomes{manifest.Archived: 2}), Closed, "", "", 10, true, false},
		"closed with a loss":    {closedDay(first, "", 10, outcomes{manifest.Archived: 1, manifest.Lost: 1}), Closed, "", "", 10, false, false},
		"closed, given up":      {closedDay(first, "", 10, outcomes{manifest.Failed: 1}), Closed, "", "", 10, false, false},
		"of a later version":    {closedDay(first, "", 10, outcomes{"erased": 1}), Closed, "", "", 10, true, false},
		"call rows alone":       {Facts{Day: first}, NeverListed, "not_listed", "never listed", 0, false, true},
		"recordings alone":      {Facts{Day: first, Noted: true, ByOutcome: outcomes{manifest.Archived: 1}}, Open, "not_listed", "no listing", 0, false, true},
		"listed whole":          {Facts{Day: first, Noted: true, Windows: []manifest.Window{listed(first, 10)}}, Open, "not_closed_yet", "", 10, false, false},
		"not whole":             {Facts{Day: first, Noted: true, Windows: []manifest.Window{short}}, Open, "not_whole", "9 rows, and the API named 10", 9, false, true},
		"listed for a filter":   {Facts{Day: first, Noted: true, Windows: []manifest.Window{filtered}}, Open, "filtered", "listed only for a filter on campaign_id, first_name", 0, false, true},
		"closed for a filter":   {closedDay(first, "campaign_id=7", 5, outcomes{manifest.Archived: 1}), Open, "filtered", "closed only for a filter on campaign_id", 0, false, true},
		"a filter, then all":    {Facts{Day: first, Noted: true, Windows: []manifest.Window{filtered, listed(first, 10)}}, Open, "not_closed_yet", "", 10, false, false},
		"part of the day":       {Facts{Day: first, Noted: true, Windows: []manifest.Window{part}}, Open, "partial", "from 2025-05-01 11:00:00 to 2025-05-01 15:00:00", 3, false, true},
		"the whole, then part":  {Facts{Day: first, Noted: true, Windows: []manifest.Window{listed(first, 10), part}}, Open, "not_closed_yet", "", 10, false, false},
		"reopened":              {Facts{Day: first, Noted: true, Reopened: true, Windows: []manifest.Window{listed(first, 10)}}, Open, "reopened", "", 10, false, false},
		"contradicted":          {Facts{Day: first, Noted: true, Contradicted: true, Windows: []manifest.Window{listed(first, 10)}}, Open, "contradicted", "", 10, false, true},
		"a bad line":            {Facts{Day: first, Noted: true, Bad: &manifest.BadLineError{File: "manifest/2025-05-01.jsonl", Line: 12, Reason: "not one JSON object"}, Windows: []manifest.Window{listed(first, 10)}}, Open, "bad_line", "line 12 of manifest/2025-05-01.jsonl", 10, false, true},
		"a recording waits":     {Facts{Day: first, Noted: true, ByOutcome: outcomes{manifest.Failed: 1}, Unarchived: []Unarchived{waits("1", manifest.Failed, seen, seen)}, Windows: []manifest.Window{listed(first, 10)}}, Open, "waiting", "1 recording waits (1 failed)", 10, false, true},
		"two wait, one is lost": {Facts{Day: first, Noted: true, ByOutcome: outcomes{manifest.Failed: 2, manifest.Lost: 1}, Unarchived: []Unarchived{waits("1", manifest.Failed, seen, seen), waits("2", manifest.Failed, seen, seen), waits("3", manifest.Lost, seen, seen)}, Windows: []manifest.Window{listed(first, 10)}}, Open, "waiting", "2 recordings wait (2 failed)", 10, false, true},
		"given up, not closed":  {Facts{Day: first, Noted: true, ByOutcome: outcomes{manifest.Failed: 1}, Unarchived: []Unarchived{waits("1", manifest.Failed, seen, seen.Add(14*day))}, Windows: []manifest.Window{listed(first, 10)}}, Open, "not_closed_yet", "", 10, false, false},
	} {
		t.Run(name, func(t *testing.T) {
			if test.facts.Closing != nil && test.facts.Closing.Filter != "" {
				test.facts.ByOutcome = test.facts.Closing.ByOutcome
				test.facts.Windows = []manifest.Window{filtered}
			}
			r, err := Build(facts(test.facts), o)
			if err != nil {
				t.Fatal(err)
			}
			d := r.Days[0]
			if d.State != test.state || codes(d) != test.codes || d.Calls != test.calls || !d.Settled {
				t.Errorf("%s, %q, %d calls, settled %v", d.State, codes(d), d.Calls, d.Settled)
			}
			if len(d.Reasons) > 0 && !strings.Contains(d.Reasons[0].Text, test.text) {
				t.Errorf("reason %q", d.Reasons[0].Text)
			}
			if r.Complete != test.complete || (r.Purge != nil) != test.purge {
				t.Errorf("complete %v, purge %+v", r.Complete, r.Purge)
			}
		})
	}
}

func TestBuild(t *testing.T) {
	o := options(t)
	o.From, o.To = "2025-05-01", "2025-05-10"
	seen := o.Now.Add(-20 * day)
	r, err := Build(facts(
		closedDay("2025-04-30", "", 9, outcomes{manifest.Lost: 9}),
		closedDay("2025-05-02", "", 10, outcomes{manifest.Archived: 3, manifest.Lost: 1, manifest.Rejected: 1},
			waits("1", manifest.Lost, seen, seen.Add(day)), waits("2", manifest.Rejected, seen, seen.Add(15*day))),
		Facts{
			Day: "2025-05-04", Noted: true, Bytes: 100, ByOutcome: outcomes{manifest.Archived: 1, manifest.Pending: 1, manifest.Damaged: 1, manifest.Failed: 2},
			Unarchived: []Unarchived{
				waits("3", manifest.Pending, seen, seen),               // never tried since it was first seen
				waits("4", manifest.Damaged, seen, o.Now.Add(-14*day)), // never given up
				waits("5", manifest.Failed, seen, seen.Add(14*day)),
				waits("6", manifest.Failed, seen, seen.Add(14*day-time.Second)),
			},
			Windows: []manifest.Window{listed("2025-05-04", 20)},
		},
		Facts{Day: "2025-05-09", Noted: true, ByOutcome: outcomes{}, Windows: []manifest.Window{listed("2025-05-09", 5)}},
		closedDay("2025-05-11", "", 9, outcomes{manifest.Lost: 9}),
	), o)
	if err != nil {
		t.Fatal(err)
	}
	want := Total{
		Days: 10, Closed: 1, Open: 2, NeverListed: 7, Unsettled: 3, // from the 8th on: it ended 36 hours ago
		Counts: Counts{
			Calls: 35, Recordings: 10, Waiting: 3, GivenUp: 2, Bytes: 400,
			ByOutcome: outcomes{manifest.Archived: 4, manifest.Lost: 1, manifest.Rejected: 1, manifest.Pending: 1, manifest.Damaged: 1, manifest.Failed: 2},
		},
	}
	if !reflect.DeepEqual(r.Total, want) {
		t.Errorf("got  %+v\nwant %+v", r.Total, want)
	}
	if want := []Range{{"2025-05-01", "2025-05-01"}, {"2025-05-03", "2025-05-03"}, {"2025-05-05", "2025-05-08"}, {"2025-05-10", "2025-05-10"}}; !reflect.DeepEqual(r.NeverIn, want) {
		t.Errorf("never listed %v", r.NeverIn)
	}
	var lost []string
	for _, l := range r.Losses {
		lost = append(lost, l.Day+" "+l.RecordingID+" "+l.CallID+" "+string(l.Outcome))
	}
	if got := strings.Join(lost, ", "); got != "2025-05-02 1 c1 lost, 2025-05-02 2 c2 rejected, 2025-05-04 5 c5 failed" || r.Omitted != 0 {
		t.Errorf("losses %s, %d more", got, r.Omitted)
	}
	// 1 May 0:00 is 9.5 days ago.
	if want := (Purge{Oldest: "2025-05-01", DaysLeft: 145, Next: "2025-05-01", NextDaysLeft: 145}); *r.Purge != want {
		t.Errorf("purge %+v", *r.Purge)
	}
	o.Losses = 1
	r, err = Build(facts(closedDay("2025-05-02", "", 1, outcomes{manifest.Lost: 3}, waits("1", manifest.Lost, seen, seen), waits("2", manifest.Lost, seen, seen))), o)
	if err != nil || len(r.Losses) != 1 || r.Omitted != 2 {
		t.Errorf("%d losses, %d more, %v", len(r.Losses), r.Omitted, err)
	}
}

func TestPurge(t *testing.T) {
	o := options(t)
	o.PurgeAfter = 5 * day
	for name, test := range map[string]struct {
		days []Facts
		want *Purge
	}{
		"nothing left":    {[]Facts{closedDay("2025-05-01", "", 1, nil)}, nil},
		"past":            {[]Facts{{Day: "2025-05-01"}, {Day: "2025-05-02"}}, &Purge{Oldest: "2025-05-01", DaysLeft: -5, Past: 2}},
		"past and next":   {[]Facts{{Day: "2025-05-04"}, {Day: "2025-05-05"}, {Day: "2025-05-06"}, {Day: "2025-05-07"}}, &Purge{Oldest: "2025-05-04", DaysLeft: -2, Past: 2, Next: "2025-05-06", NextDaysLeft: 0}},
		"nothing is past": {[]Facts{{Day: "2025-05-09"}}, &Purge{Oldest: "2025-05-09", DaysLeft: 3, Next: "2025-05-09", NextDaysLeft: 3}},
	} {
		r, err := Build(facts(test.days...), o)
		if err != nil || !reflect.DeepEqual(r.Purge, test.want) {
			t.Errorf("%s: %+v, %v", name, r.Purge, err)
		}
	}
}

func TestSpan(t *testing.T) {
	for name, test := range map[string]struct {
		from, to string
		days     []Facts
		want     string // first and last day, number of days, complete
	}{
		"an empty archive":  {"", "", nil, "  0"},
		"asked for nothing": {"", "", []Facts{{Day: "2025-02-27"}, {Day: "2025-03-02"}}, "2025-02-27 2025-03-02 4"},
		"nothing known":     {"2025-05-01", "2025-05-03", nil, "2025-05-01 2025-05-03 3"},
		"more known":        {"2025-03-01", "2025-03-01", []Facts{{Day: "2025-02-27"}, {Day: "2025-03-02"}}, "2025-03-01 2025-03-01 1"},
	} {
		o := options(t)
		o.From, o.To = test.from, test.to
		r, err := Build(facts(test.days...), o)
		if err != nil {
			t.Fatal(err)
		}
		if got := r.From + " " + r.To + " " + string(rune('0'+len(r.Days))); got != test.want || r.Complete {
			t.Errorf("%s: %q, complete %v", name, got, r.Complete)
		}
	}
}

func TestBuildFails(t *testing.T) {
	broken := errors.New("broken")
	if _, err := Build(func(yield func(Facts, error) bool) { yield(Facts{}, broken) }, options(t)); !errors.Is(err, broken) {
		t.Errorf("got %v", err)
	}
	for _, second := range []string{"2025-05-01", "2025-04-30"} {
		if _, err := Build(facts(Facts{Day: "2025-05-01"}, Facts{Day: second}), options(t)); err == nil {
			t.Errorf("2025-05-01, then %s: no error", second)
		}
	}
}

// A day of daylight saving has 23 or 25 hours: settling counts from its real end.
func TestSettled(t *testing.T) {
	o := options(t)
	for _, name := range []string{"2025-03-09", "2025-11-02"} {
		end := dayEnd(name, o.Zone)
		for after, want := range map[time.Duration]bool{2*day - time.Second: false, 2 * day: true} {
			o.Now = end.Add(after)
			r, err := Build(facts(Facts{Day: name}), o)
			if err != nil || r.Days[0].Settled != want || r.Total.Unsettled == 1 == want {
				t.Errorf("%s, %s after its end: %+v, %v", name, after, r.Days[0], err)
			}
		}
	}
}
