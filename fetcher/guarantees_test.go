package fetcher_test

import (
	"net/http"
	"testing"

	"convoso-archiver/fetcher"
)

// TestTotalThatChangesProvesNothing has the total fall between two pages of each
// pass to the number of calls that come: a row has gone meanwhile, and which one
// stood there instead is not known.
func TestTotalThatChangesProvesNothing(t *testing.T) {
	row := func(id string) map[string]any {
		return map[string]any{"id": id, "call_date": string(someDay) + " 10:00:00", "call_length": "1", "recording": []any{}}
	}
	client, _ := clientOn(t, func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Query().Get("offset") {
		case "0":
			answer(w, 4, row("1"), row("2"))
		case "2":
			answer(w, 3, row("3"))
		default:
			answer(w, 3)
		}
	}, func(o *fetcher.Options) { o.PageSize = 2 })
	got, err := list(t, client, someDay, fetcher.Filter{})
	if err != nil {
		t.Fatal(err)
	}
	if w := got.windows[0]; w.Whole || len(got.doubts) == 0 || w.Calls != w.Total {
		t.Errorf("whole %v with %d calls of %d, doubts %v", w.Whole, w.Calls, w.Total, got.doubts)
	}
}

// TestRowsThatContradictTheFilter has one row in three be another campaign's: too few
// to end the listing. They are not archived, and the listing proves nothing.
func TestRowsThatContradictTheFilter(t *testing.T) {
	row := func(id, campaign string) map[string]any {
		return map[string]any{"id": id, "campaign_id": campaign, "call_date": string(someDay) + " 10:00:00", "call_length": "1",
			"recording": []any{}}
	}
	client, _ := clientOn(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Query().Get("offset") != "0" {
			answer(w, 3)
			return
		}
		answer(w, 3, row("1", "7"), row("2", "8"), row("3", "7"))
	}, nil)
	got, err := list(t, client, someDay, fetcher.Filter{CampaignID: "7"})
	if err != nil {
		t.Fatal(err)
	}
	if len(got.doubts) == 0 {
		t.Error("a listing with another campaign's call was taken for whole")
	}
	if len(got.calls) != 2 || got.calls["2"] > 0 {
		t.Errorf("calls to archive: %v", got.calls)
	}
}
