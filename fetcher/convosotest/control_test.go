package convosotest_test

import (
	"net/http"
	"testing"
	"time"

	"convoso-archiver/fetcher/convosotest"
)

func TestClearListingFaults(t *testing.T) {
	day := []string{"start_time", "2025-05-02", "end_time", "2025-05-02"}
	server := start(t, convosotest.Config{
		Days: 3, Oddities: convosotest.Oddities{SharedSeconds: true, TieShuffle: -1},
		Listing: convosotest.Listing{
			Ignore: []string{"campaign_id"}, ExclusiveStart: true, ExclusiveEnd: true,
			TotalChanges: -1, TotalError: 7, BoundarySwaps: -1, HeldBack: 3, Moved: 2, Stray: 2,
		},
	})
	before := trueIDs(server, func(c convosotest.Call) bool { return c.ListedDay == "2025-05-02" && !c.Hidden })
	mustBe(t, "calls listed at first", len(before), 97)
	server.ClearListingFaults()
	want := trueIDs(server, func(c convosotest.Call) bool { return c.Day == "2025-05-02" })
	mustBe(t, "calls of the day, of the next two that were strays", len(want), 100)
	for range 2 {
		rows := listAll(t, server, 30, day...)
		mustBe(t, "rows", len(rows), 100)
		mustBe(t, "distinct calls", distinct(rows), 100)
	}
	mustBe(t, "total", ask(t, server, day...).total(t), 100)
	for call := range server.Calls() {
		if call.Hidden || call.Day != call.ListedDay {
			t.Errorf("call %s is held back or a stray", call.ID)
		}
	}
	campaign := ""
	for call := range server.Calls() {
		campaign = call.CampaignID
	}
	filtered := listAll(t, server, 500, append(day, "campaign_id", campaign)...)
	mustBe(t, "calls of one campaign", len(filtered), len(trueIDs(server, func(c convosotest.Call) bool {
		return c.Day == "2025-05-02" && c.CampaignID == campaign
	})))
}

func TestMoveCall(t *testing.T) {
	server := start(t, convosotest.Config{Days: 2, Listing: convosotest.Listing{HeldBack: 1}})
	day := func(date string) []string { return []string{"start_time", date, "end_time", date} }
	var moving, hidden string
	for call := range server.Calls() {
		if call.Hidden {
			hidden = call.ID
		} else if call.Day == "2025-05-01" {
			moving = call.ID
		}
	}
	if err := server.MoveCall(moving); err != nil {
		t.Fatal(err)
	}
	mustBe(t, "calls left", ask(t, server, day("2025-05-01")...).total(t), 98)
	mustBe(t, "calls of the next day", ask(t, server, day("2025-05-02")...).total(t), 100)
	for name, id := range map[string]string{"moved": moving, "held back": hidden, "unknown": "1"} {
		if err := server.MoveCall(id); err == nil {
			t.Errorf("a call that is %s was moved", name)
		}
	}
}

func TestSetCallListed(t *testing.T) {
	server := start(t, convosotest.Config{Listing: convosotest.Listing{HeldBack: 2, Moved: 2}})
	day := []string{"start_time", "2025-05-01", "end_time", "2025-05-01", "limit", "200"}
	var hidden string
	var ids []string
	for call := range server.Calls() {
		if call.Hidden {
			hidden = call.ID
		} else if len(ids) < 5 {
			ids = append(ids, call.ID)
		}
	}
	set := func(listed bool) {
		for range 2 { // the second time changes nothing
			for _, id := range ids {
				if err := server.SetCallListed(id, listed); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
	for name, id := range map[string]string{"held back": hidden, "unknown": "1"} {
		if err := server.SetCallListed(id, false); err == nil {
			t.Errorf("a call that is %s was taken out", name)
		}
	}
	set(false)
	mustBe(t, "calls without those taken out", ask(t, server, day...).total(t), 93)
	mustBe(t, "held back or taken out in truth", len(trueIDs(server, func(c convosotest.Call) bool { return c.Hidden })), 7)
	server.RevealHeldBack()
	server.ClearListingFaults()
	mustBe(t, "calls after the others were revealed", distinct(listAll(t, server, 30, day[:4]...)), 95)
	set(true)
	mustBe(t, "calls with all put back", distinct(listAll(t, server, 30, day[:4]...)), 100)
}

func TestSetClockSkew(t *testing.T) {
	now := time.Date(2025, 5, 10, 12, 0, 0, 0, time.UTC)
	server := start(t, convosotest.Config{ClockSkew: time.Minute, Now: func() time.Time { return now }})
	for _, ahead := range []time.Duration{time.Minute, -2 * time.Hour, 0} {
		if ahead != time.Minute {
			server.SetClockSkew(ahead)
		}
		for _, address := range []string{server.APIURL(), server.MediaURL()} {
			request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, address, nil)
			if err != nil {
				t.Fatal(err)
			}
			response, err := http.DefaultClient.Do(request)
			if err != nil {
				t.Fatal(err)
			}
			_ = response.Body.Close()
			mustBe(t, "Date", response.Header.Get("Date"), now.Add(ahead).Format(http.TimeFormat))
		}
	}
}
