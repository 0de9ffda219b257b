package search

import (
	"errors"
	"fmt"
	"iter"
	"reflect"
	"strings"
	"testing"
	"time"

	"convoso-archiver/manifest"
)

// openIndex opens an index in its own folder.
func openIndex(t testing.TB, folder string) *Index {
	t.Helper()
	ix, err := OpenIndex(t.Context(), folder, "it")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = ix.Close() })
	return ix
}

func update(t testing.TB, ix *Index, a *Archive) UpdateReport {
	t.Helper()
	report, err := ix.Update(t.Context(), a, nil)
	if err != nil {
		t.Fatal(err)
	}
	return report
}

// answer is the result of a search, without data that an index does not have.
func answer(t testing.TB, found iter.Seq2[Call, error]) (calls []Call, problems []string) {
	t.Helper()
	for c, err := range found {
		var ofDay *DayError
		if errors.As(err, &ofDay) {
			problems = append(problems, err.Error())
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		calls = append(calls, bare(c))
	}
	return calls, problems
}

// bare returns a call without data that an index does not have.
func bare(c Call) Call {
	c.Row = nil
	for i := range c.Recordings {
		c.Recordings[i].State = nil
	}
	return c
}

// wantSame compares the answers of the index with those of reading the days.
func wantSame(t testing.TB, a *Archive, ix *Index, q Query) (calls int) {
	t.Helper()
	want, wantProblems := answer(t, a.Search(t.Context(), q))
	got, gotProblems := answer(t, a.WithIndex(ix).Search(t.Context(), q))
	if len(got) != len(want) {
		t.Fatalf("%+v: %d calls by the index, %d by reading", q, len(got), len(want))
	}
	for i := range got {
		if !reflect.DeepEqual(got[i], want[i]) {
			t.Fatalf("%+v: call %d of %d:\n%+v\n%+v", q, i, len(want), got[i], want[i])
		}
	}
	if q.Limit == 0 && q.After == 0 && !q.plan().none && !reflect.DeepEqual(gotProblems, wantProblems) {
		t.Fatalf("%+v: problems %q, want %q", q, gotProblems, wantProblems)
	}
	return len(got)
}

// wantPages compares all pages of an answer.
func wantPages(t testing.TB, a *Archive, ix *Index, q Query, size int) {
	t.Helper()
	want, _ := answer(t, a.Search(t.Context(), q))
	q.Limit = size
	for page := 0; ; page++ {
		got, _ := answer(t, a.WithIndex(ix).Search(t.Context(), q))
		rest := want[min(page*size, len(want)):]
		rest = rest[:min(size, len(rest))]
		if len(got) != len(rest) || len(got) > 0 && !reflect.DeepEqual(got, rest) {
			t.Fatalf("%+v: page %d has %d calls, want %d", q, page, len(got), len(rest))
		}
		if len(got) == 0 {
			return
		}
		q.After = got[len(got)-1].Position
	}
}

// randomQuery mostly searches values of an existing call.
func (m *made) randomQuery(calls []Call) Query {
	var q Query
	for range 1 + m.rand.IntN(2) {
		m.addTerm(&q, &calls[m.rand.IntN(len(calls))])
	}
	switch m.rand.IntN(8) {
	case 0:
		q.Sort = OldestFirst
	case 1:
		q.Sort = LongestFirst
	case 2:
		q.Sort, q.Limit = ShortestFirst, 1+m.rand.IntN(20)
	case 3:
		q.Sample, q.Seed = 1+m.rand.IntN(30), m.rand.Uint64()
	case 4:
		q.Limit = 1 + m.rand.IntN(100)
	}
	return q
}

func (m *made) addTerm(q *Query, like *Call) {
	ofCase := pick(m, []func(string) string{strings.ToUpper, strings.ToLower, func(s string) string { return s }})
	end := func(text string) string { return text[m.rand.IntN(max(1, len(text)-3)):] }
	anyWord := func(text string) string {
		all := words(text)
		if len(all) == 0 {
			return text
		}
		word := []rune(pick(m, all))
		return string(word[:1+m.rand.IntN(len(word))])
	}
	recording := "none"
	if len(like.Recordings) > 0 {
		recording = like.Recordings[0].ID
	}
	choices := []func(){
		func() { q.IDs = []string{like.ID, "1000003", "none"} },
		func() { q.LeadIDs = []string{like.LeadID, "17"} },
		func() { q.CampaignIDs = []string{ofCase(like.CampaignID)} },
		func() { q.QueueIDs = []string{like.QueueID} },
		func() { q.ListIDs = []string{like.ListID} },
		func() { q.UserIDs = []string{ofCase(like.UserID)} },
		func() { q.Statuses = []string{ofCase(like.Status), "dnc"} },
		func() { q.CallTypes = []string{ofCase(like.CallType)} },
		func() { q.CalledCounts = []string{"1", "2", "x"} },
		func() { q.PhoneNumbers = []string{like.PhoneNumber} },
		func() { q.NumbersDialed = []string{"+" + like.NumberDialed, "5309"} },
		func() { q.FirstNames = []string{ofCase(like.FirstName)} },
		func() { q.LastNames = []string{ofCase(like.LastName), "ng"} },
		func() { q.Number = end(like.PhoneNumber) },
		func() { q.Number = end(like.NumberDialed) },
		func() { q.Agent = pick(m, []string{like.UserID, ofCase(like.User), "jose nunez"}) },
		func() { q.Campaign = pick(m, []string{like.CampaignID, ofCase(like.Campaign), "?"}) },
		func() { q.Name = anyWord(ofCase(like.FirstName)) + " " + anyWord(like.LastName) },
		func() { q.Name = anyWord(like.LastName) },
		func() { q.Comment = ofCase(like.Comment) },
		func() { q.Comment = anyWord(like.Comment) },
		func() { q.MinLength = m.rand.IntN(200) },
		func() { q.MaxLength = m.rand.IntN(200) },
		func() { q.Outcomes = []manifest.Outcome{pick(m, manifest.Outcomes()), "novel"} },
		func() { q.WithRecording = true },
		func() { q.Listed = []string{like.ID, recording, "ABC"} },
		func() {
			q.Listed = []string{recording}
			for i := range 20 {
				q.Listed = append(q.Listed, fmt.Sprint(1000000*(i+1)+i))
			}
		},
		func() { q.Within.Agents = []string{like.UserID, ofCase(like.User)} },
		func() { q.Within.Campaigns = []string{ofCase(like.Campaign), "2"} },
		func() { q.Within.Campaigns, q.Outcomes = []string{}, []manifest.Outcome{} },
		func() { q.From = like.Wall.Add(-time.Duration(m.rand.IntN(100)) * time.Hour) },
		func() { q.To = like.Wall },
		func() { q.From, q.To = like.Wall, like.Wall.Add(time.Duration(m.rand.IntN(30))*time.Hour) },
		func() { q.After = like.Position },
	}
	pick(m, choices)()
	if q.Sort == LongestFirst || q.Sort == ShortestFirst {
		q.After = 0
	}
}

// For any query, the index gives the same answers as reading the days, also page by page.
func TestIndexAnswersAsReading(t *testing.T) {
	m := newMade(t, 1)
	m.fill(18, 60)
	m.breakLine(dayAt(5))
	a := m.open()
	ix := openIndex(t, t.TempDir())
	if report := update(t, ix, a); report.Days != 18 || report.Read != 18 || len(report.Unread) != 0 {
		t.Fatalf("%+v", report)
	}
	all, _ := answer(t, a.Search(t.Context(), Query{}))
	if wantSame(t, a, ix, Query{}) < 300 {
		t.Fatal("the archive is too small to say anything")
	}
	some := 0
	for i := range 250 {
		q := m.randomQuery(all)
		n := wantSame(t, a, ix, q)
		if n > 0 && n < len(all) {
			some++
		}
		wantCount(t, a, ix, q)
		if i%20 == 0 && n < 200 {
			q.Limit, q.Sample, q.Seed, q.After = 0, 0, 0, 0
			q.Sort = []Sort{NewestFirst, OldestFirst}[i/20%2]
			wantPages(t, a, ix, q, 3+m.rand.IntN(9))
		}
	}
	wantLookups(t, a, ix)
	if some < 120 {
		t.Errorf("only %d queries found some calls and not all", some)
	}
}

func wantCount(t testing.TB, a *Archive, ix *Index, q Query) {
	t.Helper()
	for _, bound := range []int{0, 1, 10} {
		want, wantMore, err := a.Count(t.Context(), q, bound)
		got, gotMore, err2 := a.WithIndex(ix).Count(t.Context(), q, bound)
		if isFatal(err) || isFatal(err2) || got != want || gotMore != wantMore {
			t.Fatalf("%+v: count up to %d: %d, %v, %v, want %d, %v, %v", q, bound, got, gotMore, err2, want, wantMore, err)
		}
	}
}

// isFatal reports whether an error concerns more than one day.
func isFatal(err error) bool {
	var ofDay *DayError
	return err != nil && !errors.As(err, &ofDay)
}

// wantLookups compares lookups by id, and counts.
func wantLookups(t testing.TB, a *Archive, ix *Index) {
	t.Helper()
	indexed := a.WithIndex(ix)
	names, err := a.Names(t.Context())
	got, err2 := indexed.Names(t.Context())
	if isFatal(err) || isFatal(err2) || !reflect.DeepEqual(got, names) || len(names.Agents) < 5 {
		t.Fatalf("names: %+v, %v, want %+v, %v", got, err2, names, err)
	}
	totals, err := a.Totals(t.Context())
	gotTotals, err2 := indexed.Totals(t.Context())
	if isFatal(err) || isFatal(err2) || !reflect.DeepEqual(gotTotals, totals) {
		t.Fatalf("totals: %+v, %v, want %+v, %v", gotTotals, err2, totals, err)
	}
	all, _ := answer(t, a.Search(t.Context(), Query{}))
	for i := range all {
		if i%50 != 0 {
			continue
		}
		c, err := indexed.FindCall(t.Context(), all[i].ID)
		if err != nil || !reflect.DeepEqual(bare(c), all[i]) {
			t.Fatalf("call %s: %+v, %v", all[i].ID, c, err)
		}
		for _, want := range all[i].Recordings {
			c, r, err := indexed.FindRecording(t.Context(), want.ID)
			r.State = nil
			if err != nil || r != want || c.ID != all[i].ID {
				t.Fatalf("recording %s: %+v of %s, %v", want.ID, r, c.ID, err)
			}
		}
	}
	if _, err := indexed.FindCall(t.Context(), "none"); !errors.Is(err, ErrNotFound) {
		t.Errorf("a call that is not there: %v", err)
	}
	if _, _, err := indexed.FindRecording(t.Context(), all[0].ID); !errors.Is(err, ErrNotFound) {
		t.Errorf("a call's id as a recording's: %v", err)
	}
}
