package report

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"convoso-archiver/manifest"
)

const (
	hour = time.Hour
	day  = 24 * hour
)

// options returns the options of a report made on 10 May 2025 at noon in Los Angeles.
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
	return Facts{Day: name, Known: true, Unarchived: lost, Closing: &manifest.DayLine{
		Day: name, Closed: true, Filter: filter, Calls: calls, Recordings: recordings, ByOutcome: by, Bytes: 100 * int64(by[manifest.Archived]),
	}}
}

// listed is a complete listing of a day.
func listed(name string, calls int) manifest.Window {
	d, err := time.Parse(time.DateOnly, name)
	if err != nil {
		panic(err)
	}
	return manifest.Window{
		From: d.Add(-time.Second).Format(time.DateTime), To: d.AddDate(0, 0, 1).Format(time.DateTime),
		Listing: "run.1", Run: "run", Rows: calls, Total: calls, Calls: calls, Recordings: calls / 2, Whole: true, ListedAt: d.AddDate(0, 0, 4),
	}
}

func waits(id string, o manifest.Outcome, seen, noted time.Time) Unarchived {
	return Unarchived{id, manifest.State{CallID: "c" + id, Outcome: o, FirstSeen: seen, Time: noted, Reason: "why", Final: o == manifest.Lost}}
}

// old marks a line as written by an older version.
func old(u Unarchived) Unarchived { u.Old = true; return u }

// because sets the cause of a line.
func because(cause string, u Unarchived) Unarchived { u.Cause = cause; return u }

// final marks a line as final.
func final(u Unarchived) Unarchived { u.Final = true; return u }

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
	open := func(windows ...manifest.Window) Facts { return Facts{Day: first, Known: true, Windows: windows} }
	holds := func(f Facts, list ...Unarchived) Facts {
		f.Unarchived, f.ByOutcome = list, outcomes{}
		for _, u := range list {
			f.ByOutcome[u.Outcome]++
		}
		return f
	}
	whole := listed(first, 10)
	filtered := with(func(w *manifest.Window) { w.Filter = "campaign_id=7&first_name=sha256:00ff" })
	part := with(func(w *manifest.Window) {
		w.From, w.To, w.Listing = first+" 11:00:00", first+" 15:00:00", "run.2"
		w.Calls, w.Total, w.ListedAt = 3, 3, w.ListedAt.Add(day)
	})
	oldShort := with(func(w *manifest.Window) { w.Calls, w.Rows, w.Whole = 9, 9, false })
	oldWhole := with(func(w *manifest.Window) { w.Whole = false })
	doubtful := with(func(w *manifest.Window) {
		w.Whole, w.Doubts = false, []string{"rows that cannot be read (3000 times)", "another"}
	})
	early := with(func(w *manifest.Window) { w.ListedAt = time.Date(2025, 5, 2, 9, 0, 0, 0, time.UTC) })
	closing := func(change func(*manifest.DayLine)) Facts {
		f := closedDay(first, "", 10, outcomes{manifest.Archived: 2})
		change(f.Closing)
		return f
	}
	otherwise := open(filtered)
	otherwise.ClosedFor = []string{"campaign_id=7"}
	reopened := open(whole)
	reopened.Reopened = true
	repaired := reopened
	repaired.CallsDropped = 2
	bad := open(whole)
	bad.Bad = &manifest.BadLineError{File: "manifest/2025-05-01.jsonl", Line: 12, Reason: "not one JSON object"}
	for name, test := range map[string]struct {
		facts    Facts
		state    State
		codes    string
		text     string // part of the first reason
		calls    int
		complete bool
		purge    bool
	}{
		"closed":               {closedDay(first, "", 10, outcomes{manifest.Archived: 2}), Closed, "", "", 10, true, false},
		"closed with a loss":   {closedDay(first, "", 10, outcomes{manifest.Archived: 1, manifest.Lost: 1}), Closed, "", "", 10, false, false},
		"closed, given up":     {closedDay(first, "", 10, outcomes{manifest.Failed: 1}), Closed, "", "", 10, false, false},
		"closed, damaged":      {closedDay(first, "", 10, outcomes{manifest.Damaged: 1}), Closed, "", "", 10, false, false},
		"closed, erased":       {closedDay(first, "", 10, outcomes{manifest.Erased: 1, manifest.Expired: 1}), Closed, "", "", 10, true, false},
		"of a later version":   {closedDay(first, "", 10, outcomes{"transcribed": 1}), Closed, "", "", 10, true, false},
		"closed uncounted":     {closing(func(l *manifest.DayLine) { l.Uncounted = -3 }), Closed, "uncounted", "10 calls listed; the API's total differs by 3", 10, false, false},
		"closed unlistable":    {closing(func(l *manifest.DayLine) { l.Unlistable = true }), Closed, "unlistable", "calls may be missing", 10, false, false},
		"closed unlisted":      {closing(func(l *manifest.DayLine) { l.Unlisted = 1 }), Closed, "unlisted", "1 known recording no longer listed", 10, true, false},
		"closed unwitnessed":   {closing(func(l *manifest.DayLine) { l.Unwitnessed = true }), Closed, "unwitnessed", "no recordings", 10, true, false},
		"closed with strays":   {closing(func(l *manifest.DayLine) { l.Stray = 2 }), Closed, "stray", "2 rows of another day", 10, true, false},
		"call rows alone":      {Facts{Day: first}, NeverListed, "not_listed", "never listed", 0, false, true},
		"recordings alone":     {holds(open(), waits("1", manifest.Lost, seen, seen)), Open, "not_listed", "no listing", 0, false, true},
		"listed whole":         {open(whole), Open, "not_closed_yet", "no run has closed it", 10, false, false},
		"by an older version":  {open(oldWhole), Open, "not_closed_yet", "", 10, false, false},
		"listed early":         {open(early), Open, "listed_early", "last listed on 2025-05-02", 10, false, true},
		"no calls":             {open(listed(first, 0)), Open, "empty", "no calls", 0, false, true},
		"no recordings":        {open(with(func(w *manifest.Window) { w.Recordings = 0 })), Open, "empty", "no recordings", 10, false, true},
		"not whole, no reason": {open(oldShort), Open, "not_whole", "9 rows listed, the API counts 10", 9, false, true},
		"not whole":            {open(doubtful, doubtful), Open, "not_whole", "complete: rows that cannot be read (3000 times); another", 20, false, true},
		"recordings missing":   {open(with(func(w *manifest.Window) { w.Missing = 2 }), with(func(w *manifest.Window) { w.Missing = 2 })), Open, "missing", "2 known recordings no longer listed", 20, false, false},
		"strays":               {open(with(func(w *manifest.Window) { w.Stray = 1 })), Open, "stray", "1 row of another day", 10, false, false},
		"listed for a filter":  {open(filtered), Open, "filtered", "listed only for a filter on campaign_id, first_name", 0, false, true},
		"closed for a filter":  {otherwise, Open, "filtered", "closed only for a filter on campaign_id", 0, false, true},
		"a filter, then all":   {open(filtered, whole), Open, "not_closed_yet", "", 10, false, false},
		"part of the day":      {open(part), Open, "partial", "from 2025-05-01 11:00:00 to 2025-05-01 15:00:00", 3, false, true},
		"the whole, then part": {open(whole, part), Open, "not_closed_yet", "", 10, false, false},
		"reopened":             {reopened, Open, "reopened", "its lines have changed", 10, false, true},
		"rows were repaired":   {repaired, Open, "reopened calls_repaired", "its lines have changed", 10, false, true},
		"a bad line":           {bad, Open, "bad_line", "line 12 of manifest/2025-05-01.jsonl", 10, false, true},
		"a recording waits":    {holds(open(whole), waits("1", manifest.Failed, seen, seen)), Open, "waiting", "1 recording waits (1 failed)", 10, false, true},
		"two wait, one is lost": {
			holds(open(whole), waits("1", manifest.Failed, seen, seen), waits("2", manifest.Failed, seen, seen), waits("3", manifest.Lost, seen, seen)),
			Open, "waiting", "2 recordings wait (2 failed)", 10, false, true,
		},
		"given up, not closed":       {holds(open(whole), final(waits("1", manifest.Failed, seen, seen))), Open, "not_closed_yet", "", 10, false, false},
		"old enough, but not final":  {holds(open(whole), waits("1", manifest.Failed, seen, seen.Add(14*day))), Open, "waiting", "", 10, false, true},
		"given up by an older one":   {holds(open(whole), old(waits("1", manifest.Failed, seen, seen.Add(14*day)))), Open, "not_closed_yet", "", 10, false, false},
		"young, by an older version": {holds(open(whole), old(waits("1", manifest.Failed, seen, seen.Add(13*day)))), Open, "waiting", "", 10, false, true},
		"damaged, final":             {holds(open(whole), final(waits("1", manifest.Damaged, seen, seen))), Open, "not_closed_yet", "", 10, false, false},
		"damaged, of any age":        {holds(open(whole), old(waits("1", manifest.Damaged, seen, seen.Add(99*day)))), Open, "waiting", "1 recording waits (1 damaged)", 10, false, true},
	} {
		t.Run(name, func(t *testing.T) {
			r, err := Build(facts(test.facts), o)
			if err != nil {
				t.Fatal(err)
			}
			d := r.Days[0]
			if d.State != test.state || codes(d) != test.codes || d.Calls != test.calls || !d.Settled || d.Reasons == nil {
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

// TestPartlyListed counts the open days that may have recordings without a line, like those of a run that was stopped.
// A day that has not settled is listed again in any case.
func TestPartlyListed(t *testing.T) {
	const settled, fresh = "2025-05-01", "2025-05-09"
	open := func(name string, change func(*manifest.Window)) Facts {
		w := listed(name, 10)
		change(&w)
		return Facts{Day: name, Known: true, Windows: []manifest.Window{w}}
	}
	same := func(*manifest.Window) {}
	partly := func(w *manifest.Window) { w.To = w.From[:len("2025-05-01")] + " 12:00:00" }
	doubtful := func(w *manifest.Window) { w.Whole, w.Doubts = false, []string{"total"} }
	early := func(w *manifest.Window) { w.ListedAt = time.Date(2025, 5, 2, 9, 0, 0, 0, time.UTC) }
	waiting := open(settled, early)
	waiting.Unarchived = []Unarchived{waits("1", manifest.Failed, time.Time{}, time.Time{})}
	for name, test := range map[string]struct {
		facts  Facts
		partly int
	}{
		"closed":                     {closedDay(settled, "", 10, nil), 0},
		"never listed":               {Facts{Day: settled}, 0},
		"stopped":                    {Facts{Day: settled, Known: true}, 1},
		"stopped, not settled":       {Facts{Day: fresh, Known: true}, 1},
		"listed":                     {open(settled, same), 0},
		"listed, not settled":        {open(fresh, same), 0},
		"for a filter":               {open(settled, func(w *manifest.Window) { w.Filter = "queue_id=1" }), 1},
		"part of the day":            {open(settled, partly), 1},
		"a day that is not over":     {open(fresh, partly), 0},
		"doubtful":                   {open(settled, doubtful), 1},
		"doubtful, not settled":      {open(fresh, doubtful), 0},
		"early":                      {open(settled, early), 1},
		"early, and recordings wait": {waiting, 1},
	} {
		r, err := Build(facts(test.facts), options(t))
		if err != nil {
			t.Fatal(err)
		}
		if r.Total.PartlyListed != test.partly || len(r.Total.More()) != test.partly {
			t.Errorf("%s: %d, %v", name, r.Total.PartlyListed, r.Total.More())
		}
	}
}

// TestFilter judges by the listings with a filter, and those of all calls.
func TestFilter(t *testing.T) {
	const first, asked = "2025-05-01", "campaign_id=7&status=SALE"
	with := func(filter string, calls int) manifest.Window {
		w := listed(first, calls)
		w.Filter, w.Listing = filter, "run."+filter
		return w
	}
	closedFor := func(filters ...string) Facts {
		return Facts{Day: first, Known: true, Windows: []manifest.Window{with("queue_id=1", 4)}, ClosedFor: filters}
	}
	for name, test := range map[string]struct {
		facts Facts
		codes string
		text  string
		calls int
	}{
		"closed":                {closedDay(first, asked, 5, outcomes{manifest.Archived: 1}), "", "", 5},
		"closed for all":        {closedDay(first, "", 9, outcomes{manifest.Archived: 1}), "", "", 9},
		"listed":                {Facts{Day: first, Known: true, Windows: []manifest.Window{with("queue_id=1", 4), with(asked, 5)}}, "not_closed_yet", "", 5},
		"listed for all":        {Facts{Day: first, Known: true, Windows: []manifest.Window{with("", 9), with("queue_id=1", 4)}}, "not_closed_yet", "", 9},
		"listed otherwise":      {Facts{Day: first, Known: true, Windows: []manifest.Window{with("queue_id=1", 4), with("queue_id=2", 4)}}, "filtered", "listed only for a filter on queue_id", 0},
		"closed for two others": {closedFor("queue_id=1", "user_id=2&status=A"), "filtered", "closed only for a filter on queue_id; on user_id, status", 0},
	} {
		o := options(t)
		o.Filter = asked
		r, err := Build(facts(test.facts), o)
		if err != nil {
			t.Fatal(err)
		}
		d := r.Days[0]
		if codes(d) != test.codes || d.Calls != test.calls || (d.State == Closed) != (test.codes == "") {
			t.Errorf("%s: %s, %q, %d calls", name, d.State, codes(d), d.Calls)
		}
		if len(d.Reasons) > 0 && !strings.Contains(d.Reasons[0].Text, test.text) {
			t.Errorf("%s: reason %q", name, d.Reasons[0].Text)
		}
		if !slices.Equal(r.Filter, []string{"campaign_id", "status"}) {
			t.Errorf("%s: filter %q", name, r.Filter)
		}
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
			Day: "2025-05-04", Known: true, Bytes: 100, ByOutcome: outcomes{manifest.Archived: 1, manifest.Pending: 1, manifest.Damaged: 1, manifest.Failed: 2},
			Unarchived: []Unarchived{
				because("no_link", waits("3", manifest.Pending, seen, seen)), // not tried since it was first seen
				waits("4", manifest.Damaged, seen, o.Now.Add(-14*day)),       // never given up
				old(waits("5", manifest.Failed, seen, seen.Add(14*day))),
				old(waits("6", manifest.Failed, seen, seen.Add(14*day-time.Second))),
			},
			Windows: []manifest.Window{listed("2025-05-04", 20)},
		},
		Facts{Day: "2025-05-09", Known: true, ByOutcome: outcomes{}, Windows: []manifest.Window{listed("2025-05-09", 5)}},
		closedDay("2025-05-11", "", 9, outcomes{manifest.Lost: 9}),
	), o)
	if err != nil {
		t.Fatal(err)
	}
	want := Total{
		Days: 10, Closed: 1, Open: 2, NeverListed: 7, Unsettled: 3, // from the 8th on: it ended 36 hours ago
		Counts: Counts{
			Calls: 35, Recordings: 10, Waiting: 3, GivenUp: 2, Bytes: 400,
			WaitingBy: map[string]int{"no_link": 1, "damaged": 1, "failed": 1},
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

// The report has the latest verification of each mode that checked a day of the span, with the days that it can have
// checked.
func TestVerified(t *testing.T) {
	o := options(t)
	at := func(day int, mode, from, to string, change ...func(*manifest.Verification)) manifest.Verification {
		v := manifest.Verification{Started: time.Date(2025, 5, day, 12, 0, 0, 0, o.Zone), Mode: mode, From: from, To: to, Complete: true}
		for _, c := range change {
			c(&v)
		}
		return v
	}
	stopped := func(v *manifest.Verification) { v.Complete = false }
	damaged := func(v *manifest.Verification) { v.DamagedCount = 1 }
	type list = []manifest.Verification
	for name, test := range map[string]struct {
		noted list
		want  string // mode, start day, last day, number of days
	}{
		"none":                       {nil, ""},
		"everything":                 {list{at(9, "full", "", "")}, "full 9 2025-05-09 3"}, // the third of May was never listed
		"before the last days":       {list{at(2, "full", "", "")}, "full 2 2025-05-02 2"},
		"a part":                     {list{at(9, "full", "2025-05-02", "2025-05-02")}, "full 9 2025-05-02 1"},
		"other days":                 {list{at(9, "full", "2025-05-05", ""), at(9, "full", "", "2025-04-30")}, ""},
		"a day never listed":         {list{at(9, "full", "2025-05-03", "2025-05-03")}, ""},
		"into the future":            {list{at(2, "full", "2025-05-01", "2025-05-31")}, "full 2 2025-05-02 2"},
		"the latest of each":         {list{at(7, "sample", "", ""), at(9, "sample", "", ""), at(8, "full", "", ""), at(6, "full", "", "")}, "sample 9 2025-05-09 3, full 8 2025-05-08 3"},
		"a later one of other days":  {list{at(8, "full", "", ""), at(9, "full", "2025-05-05", "")}, "full 8 2025-05-08 3"},
		"stopped":                    {list{at(9, "full", "", "", stopped), at(8, "full", "", "")}, "full 8 2025-05-08 3"},
		"stopped after it had found": {list{at(9, "full", "", "", stopped, damaged), at(8, "full", "", "")}, "full 9 2025-05-09 3"},
	} {
		o := o
		o.From, o.To, o.Verifications = "2025-05-01", "2025-05-04", test.noted
		r, err := Build(facts(closedDay("2025-05-01", "", 1, nil), closedDay("2025-05-02", "", 1, nil), Facts{Day: "2025-05-04", Known: true}), o)
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, v := range r.Verified {
			got = append(got, fmt.Sprintf("%s %d %s %d", v.Mode, v.Started.Day(), v.To, v.Days))
		}
		if text := strings.Join(got, ", "); text != test.want || r.Verified == nil {
			t.Errorf("%s: %q, want %q", name, text, test.want)
		}
	}
}

// TestVerificationNotRead: the report names the file of a verification that cannot be read, if the error
// names it, and is made without it.
func TestVerificationNotRead(t *testing.T) {
	const name = "evidence/verify-1.jsonl"
	for _, test := range []struct {
		err  error
		want string
	}{
		{nil, ""},
		{fmt.Errorf("read: %w", &manifest.BadLineError{File: name, Line: 1, Reason: "broken"}), name},
		{fmt.Errorf("read: %w", &fs.PathError{Op: "open", Path: name, Err: fs.ErrPermission}), name},
		{io.ErrUnexpectedEOF, "a file evidence/verify-*"},
	} {
		o := options(t)
		o.NotRead = test.err
		if r, err := Build(facts(closedDay("2025-05-01", "", 1, nil)), o); err != nil || r.VerifiedUnreadable != test.want {
			t.Errorf("%v: %q, %v, want %q", test.err, r.VerifiedUnreadable, err, test.want)
		}
	}
}

func TestSpan(t *testing.T) {
	for name, test := range map[string]struct {
		from, to, until string
		days            []Facts
		want            string // first and last day, number of days, complete
	}{
		"an empty archive":        {"", "", "", nil, "  0"},
		"an empty archive, today": {"", "", "2025-03-04", nil, "  0"},
		"asked for nothing":       {"", "", "", []Facts{{Day: "2025-02-27"}, {Day: "2025-03-02"}}, "2025-02-27 2025-03-02 4"},
		"until today":             {"", "", "2025-03-04", []Facts{{Day: "2025-02-27"}, {Day: "2025-03-02"}}, "2025-02-27 2025-03-04 6"},
		"known behind today":      {"", "", "2025-03-01", []Facts{{Day: "2025-02-27"}, {Day: "2025-03-02"}}, "2025-02-27 2025-03-02 4"},
		"not to today":            {"", "2025-02-28", "2025-03-04", []Facts{{Day: "2025-02-27"}}, "2025-02-27 2025-02-28 2"},
		"nothing known":           {"2025-05-01", "2025-05-03", "", nil, "2025-05-01 2025-05-03 3"},
		"more known":              {"2025-03-01", "2025-03-01", "", []Facts{{Day: "2025-02-27"}, {Day: "2025-03-02"}}, "2025-03-01 2025-03-01 1"},
	} {
		o := options(t)
		o.From, o.To, o.Until = test.from, test.to, test.until
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

// A day of daylight saving has 23 or 25 hours: settling starts at its real end.
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

func TestUnknownOutcomesAreCounted(t *testing.T) {
	t.Parallel()
	total := Total{Counts: Counts{ByOutcome: map[manifest.Outcome]int{manifest.Archived: 36, manifest.Erased: 1, "mislaid": 2}}}
	want := []Named{{1, "erased"}, {2, "with an outcome that this version does not know"}}
	if got := total.UnarchivedCounts(); !slices.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
}
