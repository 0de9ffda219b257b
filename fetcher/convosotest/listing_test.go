package convosotest_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"convoso-archiver/fetcher/convosotest"
)

func TestPagesCoverEveryCallOnce(t *testing.T) {
	autumn := convosotest.Config{FirstDay: "2025-11-02", CallsPerDay: 200, RecordedShare: 1}
	instants := autumn
	instants.Listing.Compare = convosotest.CompareInstants
	late := instants
	late.Listing.AmbiguousLate = true
	spring := convosotest.Config{FirstDay: "2025-03-09", CallsPerDay: 200}
	ties := convosotest.Config{CallsPerDay: 200, Oddities: convosotest.Oddities{SharedSeconds: true, ShortPages: true}}
	for name, config := range map[string]convosotest.Config{
		"plain":              {CallsPerDay: 200},
		"autumn as text":     autumn,
		"autumn as instants": instants,
		"autumn read late":   late,
		"spring":             spring,
		"ties, short pages":  ties,
		"one call":           {CallsPerDay: 1},
	} {
		for _, order := range []string{"asc", "desc"} {
			t.Run(name+" "+order, func(t *testing.T) {
				server := start(t, config)
				day := firstDay(server)
				rows := listAll(t, server, 37, "order", order, "start_time", day, "end_time", day)
				all := trueIDs(server, func(convosotest.Call) bool { return true })
				mustBe(t, "distinct calls", distinct(rows), len(all))
				mustBe(t, "rows", len(rows), len(all))
				times := make([]string, len(rows))
				for i, r := range rows {
					times[i] = r.CallDate
				}
				if order == "desc" {
					slices.Reverse(times)
				}
				if config.Listing.Compare == convosotest.CompareText && !slices.IsSorted(times) {
					t.Error("rows are not in the order of call_date")
				}
			})
		}
	}
}

func firstDay(server *convosotest.Server) string {
	for c := range server.Calls() {
		return c.Day
	}
	return ""
}

func TestRowHasTheDocumentedFields(t *testing.T) {
	server := start(t, convosotest.Config{RecordedShare: 1})
	_, body := askRaw(t, server, "start_time", "2025-05-01", "end_time", "2025-05-01", "limit", "1")
	var answer struct {
		Data struct {
			Offset, Limit, Entries int
			TotalFound             string `json:"total_found"`
			Results                []map[string]any
		}
	}
	if err := json.Unmarshal(body, &answer); err != nil {
		t.Fatal(err)
	}
	mustBe(t, "total_found", answer.Data.TotalFound, "100")
	row := answer.Data.Results[0]
	want := []string{
		"agent_comment", "call_date", "call_length", "call_type", "called_count", "caller_id_displayed", "campaign",
		"campaign_id", "first_name", "id", "last_name", "lead_id", "list_id", "number_dialed", "originating_agent_id",
		"phone_number", "queue_id", "queue_position", "queue_seconds", "recording", "session_id", "status", "status_name",
		"term_reason", "user", "user_id",
	}
	if got := sortedKeys(row); !slices.Equal(got, want) {
		t.Errorf("fields of a row: got %v, want %v", got, want)
	}
	recording := row["recording"].([]any)[0].(map[string]any)
	want = []string{"filename", "new", "public_url", "recording_id", "src", "type"}
	if got := sortedKeys(recording); !slices.Equal(got, want) {
		t.Errorf("fields of a recording: got %v, want %v", got, want)
	}
	_, body = askRaw(t, server, "start_time", "2025-05-01", "limit", "1", "include_recordings", "0")
	if strings.Contains(string(body), `"recording"`) {
		t.Error("recordings are listed though not asked for")
	}
}

func TestFilters(t *testing.T) {
	server := start(t, convosotest.Config{CallsPerDay: 300, RecordedShare: 0.5})
	var sample convosotest.Call
	for c := range server.Calls() {
		if sample = c; c.QueueID != "" && len(c.Recordings) > 0 {
			break
		}
	}
	for name, field := range map[string]func(convosotest.Call) string{
		"id":            func(c convosotest.Call) string { return c.ID },
		"lead_id":       func(c convosotest.Call) string { return c.LeadID },
		"campaign_id":   func(c convosotest.Call) string { return c.CampaignID },
		"queue_id":      func(c convosotest.Call) string { return c.QueueID },
		"list_id":       func(c convosotest.Call) string { return c.ListID },
		"user_id":       func(c convosotest.Call) string { return c.UserID },
		"status":        func(c convosotest.Call) string { return c.Status },
		"phone_number":  func(c convosotest.Call) string { return c.PhoneNumber },
		"number_dialed": func(c convosotest.Call) string { return c.NumberDialed },
		"first_name":    func(c convosotest.Call) string { return c.FirstName },
		"last_name":     func(c convosotest.Call) string { return c.LastName },
		"call_type":     func(c convosotest.Call) string { return c.CallType },
		"called_count":  func(c convosotest.Call) string { return c.CalledCount },
	} {
		t.Run(name, func(t *testing.T) {
			wanted := field(sample)
			rows := listAll(t, server, 50, "start_time", "2025-05-01", "end_time", "2025-05-01", name, wanted)
			want := trueIDs(server, func(c convosotest.Call) bool { return field(c) == wanted })
			if got := ids(rows); !slices.Equal(got, want) {
				t.Errorf("got %d calls, want %d", len(got), len(want))
			}
			if len(want) == 300 {
				t.Error("the filter keeps everything")
			}
		})
	}
	t.Run("comma list", func(t *testing.T) {
		rows := listAll(t, server, 50, "start_time", "2025-05-01", "end_time", "2025-05-01", "status", "SALE,hu")
		want := trueIDs(server, func(c convosotest.Call) bool { return c.Status == "SALE" || c.Status == "HU" })
		if got := ids(rows); !slices.Equal(got, want) {
			t.Errorf("got %d calls, want %d", len(got), len(want))
		}
	})
}

func TestRefusals(t *testing.T) {
	server := start(t, convosotest.Config{Listing: convosotest.Listing{OffsetCeiling: 20, LimitMode: convosotest.LimitReject}})
	for _, test := range []struct {
		name, value string
		code        int
	}{
		{"auth_token", "wrong", 5001},
		{"auth_token", "", 5001},
		{"offset", "21", 7231},
		{"offset", "-1", 7231},
		{"limit", "0", 7230},
		{"limit", "501", 7230},
		{"list_id", "1", 6002},
		{"campaign_id", "1", 6004},
		{"user_id", "1", 6006},
		{"queue_id", "1", 6030},
		{"start_time", "2025-13-01", 6026},
		{"end_time", "soon", 6041},
	} {
		t.Run(test.name+"="+test.value, func(t *testing.T) {
			status, body := askRaw(t, server, test.name, test.value)
			var l listing
			if err := json.Unmarshal(body, &l); err != nil {
				t.Fatal(err)
			}
			mustBe(t, "status", status, 200)
			mustBe(t, "success", l.Success, false)
			mustBe(t, "code", l.Code, test.code)
		})
	}
	page := ask(t, server, "start_time", "2025-05-01", "end_time", "2025-05-01", "offset", "20")
	mustBe(t, "rows at the ceiling", len(page.Data.Results), 80)
}

func TestErrorShapes(t *testing.T) {
	server := start(t, convosotest.Config{ErrorStatus: 403, ErrorField: "message", ErrorCodeAsText: true})
	status, body := askRaw(t, server, "auth_token", "wrong")
	mustBe(t, "status", status, 403)
	mustBe(t, "body", string(body), `{"success":false,"code":"5001","message":"Auth token is invalid"}`)
}

func TestLimitModes(t *testing.T) {
	for _, test := range []struct {
		mode convosotest.LimitMode
		want int
	}{{convosotest.LimitClamp, 10}, {convosotest.LimitHonour, 60}} {
		server := start(t, convosotest.Config{Listing: convosotest.Listing{MaxLimit: 10, LimitMode: test.mode}})
		page := ask(t, server, "start_time", "2025-05-01", "end_time", "2025-05-01", "limit", "60")
		mustBe(t, fmt.Sprintf("rows with mode %q", test.mode), page.Data.Entries, test.want)
	}
}

func TestWindowWithoutTimesIsToday(t *testing.T) {
	now := time.Date(2025, 5, 2, 22, 0, 0, 0, time.UTC) // 15:00 in Los Angeles
	server := start(t, convosotest.Config{Days: 3, Now: func() time.Time { return now }})
	rows := listAll(t, server, 500, "start_date", "2025-05-01")
	want := trueIDs(server, func(c convosotest.Call) bool { return c.Day == "2025-05-02" && c.Instant <= now.Unix() })
	if got := ids(rows); !slices.Equal(got, want) || len(want) == 0 || len(want) == 100 {
		t.Errorf("got %d calls, want %d of today so far", len(got), len(want))
	}
}

func TestPostedForm(t *testing.T) {
	server := start(t, convosotest.Config{})
	form := url.Values{"auth_token": {server.Token()}, "start_time": {"2025-05-01T00:00:00"}, "limit": {"1"}}
	response, err := newClient(t).PostForm(server.APIURL()+"/log/retrieve", form)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	var l listing
	if err := json.NewDecoder(response.Body).Decode(&l); err != nil {
		t.Fatal(err)
	}
	mustBe(t, "rows", len(l.Data.Results), 1)
	stats := server.Stats()
	mustBe(t, "tokens in addresses", stats.TokenInURL, 0)
	mustBe(t, "windows", len(stats.Windows), 1)
	mustBe(t, "start_time", stats.Windows[0].StartTime, "2025-05-01T00:00:00")
	if _, ok := stats.Windows[0].Params["auth_token"]; ok {
		t.Error("the token is among the noted parameters")
	}
}

func TestUnknownPathIsHTML(t *testing.T) {
	server := start(t, convosotest.Config{})
	got := fetch(t, server.APIURL()+"/log/retrieved")
	mustBe(t, "status", got.status, http.StatusNotFound)
	mustBe(t, "type", got.header.Get("Content-Type"), "text/html; charset=UTF-8")
}

func TestWindowEdges(t *testing.T) {
	for _, test := range []struct {
		name    string
		listing convosotest.Listing
		want    int
	}{
		{"inclusive", convosotest.Listing{}, 2},
		{"exclusive end", convosotest.Listing{ExclusiveEnd: true}, 1},
		{"exclusive start", convosotest.Listing{ExclusiveStart: true}, 1},
	} {
		t.Run(test.name, func(t *testing.T) {
			server := start(t, convosotest.Config{CallsPerDay: 2, Listing: test.listing})
			rows := listAll(t, server, 10, "start_time", "2025-05-01 00:00:00", "end_time", "2025-05-01 23:59:59")
			mustBe(t, "rows", len(rows), test.want)
		})
	}
}

func TestIgnoredParameter(t *testing.T) {
	server := start(t, convosotest.Config{Days: 2, Listing: convosotest.Listing{Ignore: []string{"start_time", "campaign_id"}}})
	page := ask(t, server, "start_time", "2025-05-02", "end_time", "2025-05-02", "campaign_id", "5051")
	mustBe(t, "total", page.total(t), 200)
}

// The two ways to compare times must differ in the repeated hour: that is their purpose.
func TestRepeatedHour(t *testing.T) {
	const from, to = "2025-11-02 01:00:00", "2025-11-02 01:59:59"
	rows := map[convosotest.Compare][]row{}
	for _, compare := range []convosotest.Compare{convosotest.CompareText, convosotest.CompareInstants} {
		server := start(t, convosotest.Config{
			FirstDay: "2025-11-02", CallsPerDay: 500, Listing: convosotest.Listing{Compare: compare},
		})
		inHour := trueIDs(server, func(c convosotest.Call) bool { return c.CallDate >= from && c.CallDate <= to })
		rows[compare] = listAll(t, server, 500, "start_time", from, "end_time", to)
		if len(inHour) < 10 {
			t.Fatalf("only %d calls in the repeated hour", len(inHour))
		}
		switch compare {
		case convosotest.CompareText:
			mustBe(t, "calls of both hours", len(rows[compare]), len(inHour))
		case convosotest.CompareInstants:
			if got := len(rows[compare]); got == 0 || got >= len(inHour) {
				t.Errorf("got %d calls of %d: want those of the first hour only", got, len(inHour))
			}
		}
	}
}

func TestMissingHourHasNoCalls(t *testing.T) {
	server := start(t, convosotest.Config{FirstDay: "2025-03-09", CallsPerDay: 1000})
	for c := range server.Calls() {
		if c.Day != "2025-03-09" || strings.HasPrefix(c.CallDate, "2025-03-09 02:") {
			t.Errorf("a call at %s", c.CallDate)
		}
	}
	for _, compare := range []convosotest.Compare{convosotest.CompareText, convosotest.CompareInstants} {
		server := start(t, convosotest.Config{FirstDay: "2025-03-09", CallsPerDay: 300, Listing: convosotest.Listing{Compare: compare}})
		early := listAll(t, server, 500, "start_time", "2025-03-09", "end_time", "2025-03-09 02:30:00")
		late := listAll(t, server, 500, "start_time", "2025-03-09 02:30:00", "end_time", "2025-03-09")
		mustBe(t, "calls of both halves", distinct(append(early, late...)), 300)
	}
}

func TestListingFaults(t *testing.T) {
	day := []string{"start_time", "2025-05-01", "end_time", "2025-05-01"}
	t.Run("boundary swaps repeat one row and drop another", func(t *testing.T) {
		server := start(t, convosotest.Config{Listing: convosotest.Listing{BoundarySwaps: 1}})
		mustBe(t, "distinct calls", distinct(listAll(t, server, 50, day...)), 99)
		mustBe(t, "distinct calls when listed again", distinct(listAll(t, server, 50, day...)), 100)
	})
	t.Run("total changes", func(t *testing.T) {
		server := start(t, convosotest.Config{Listing: convosotest.Listing{TotalChanges: 2}})
		for i, want := range []int{101, 102, 100} {
			mustBe(t, fmt.Sprintf("total %d", i+1), ask(t, server, day...).total(t), want)
		}
	})
	t.Run("total is wrong", func(t *testing.T) {
		server := start(t, convosotest.Config{Listing: convosotest.Listing{TotalError: -7}})
		mustBe(t, "total", ask(t, server, day...).total(t), 93)
	})
	t.Run("held back", func(t *testing.T) {
		server := start(t, convosotest.Config{Listing: convosotest.Listing{HeldBack: 3}})
		mustBe(t, "total at first", ask(t, server, append(day, "limit", "50")...).total(t), 97)
		mustBe(t, "total of the second page", ask(t, server, append(day, "limit", "50", "offset", "50")...).total(t), 100)
		mustBe(t, "distinct calls afterwards", distinct(listAll(t, server, 50, day...)), 100)
	})
	t.Run("revealed by hand", func(t *testing.T) {
		server := start(t, convosotest.Config{Listing: convosotest.Listing{HeldBack: 3}})
		server.RevealHeldBack()
		mustBe(t, "total", ask(t, server, day...).total(t), 100)
	})
	t.Run("moved", func(t *testing.T) {
		server := start(t, convosotest.Config{Days: 2, Listing: convosotest.Listing{Moved: 2}})
		mustBe(t, "total at first", ask(t, server, append(day, "limit", "50")...).total(t), 100)
		mustBe(t, "total of the second page", ask(t, server, append(day, "limit", "50", "offset", "50")...).total(t), 98)
		next := ask(t, server, "start_time", "2025-05-02", "end_time", "2025-05-02")
		mustBe(t, "total of the next day", next.total(t), 102)
		want := trueIDs(server, func(c convosotest.Call) bool { return c.Day == "2025-05-02" })
		mustBe(t, "calls of the next day", len(want), 102)
	})
	t.Run("stray", func(t *testing.T) {
		server := start(t, convosotest.Config{Listing: convosotest.Listing{Stray: 2}})
		rows := listAll(t, server, 50, day...)
		strays := slices.DeleteFunc(rows, func(r row) bool { return strings.HasPrefix(r.CallDate, "2025-05-01") })
		mustBe(t, "rows of another day", len(strays), 2)
		want := trueIDs(server, func(c convosotest.Call) bool { return c.Day != c.ListedDay })
		mustBe(t, "strays in truth", len(want), 2)
	})
	t.Run("ties change their order", func(t *testing.T) {
		odd := convosotest.Oddities{SharedSeconds: true, TieShuffle: -1}
		server := start(t, convosotest.Config{CallsPerDay: 500, Oddities: odd})
		first, second := listAll(t, server, 500, day...), listAll(t, server, 500, day...)
		if slices.Equal(ids(first), ids(second)) {
			t.Error("both listings have the same order")
		}
		mustBe(t, "distinct calls on one page", distinct(first), 500)
		dropped := 0
		for range 10 {
			dropped += 500 - distinct(listAll(t, server, 7, day...))
		}
		if dropped == 0 {
			t.Error("no listing by pages dropped a row")
		}
	})
	t.Run("shuffling ends", func(t *testing.T) {
		odd := convosotest.Oddities{SharedSeconds: true, TieShuffle: 2}
		server := start(t, convosotest.Config{CallsPerDay: 500, Oddities: odd})
		listAll(t, server, 250, day...)
		first, second := listAll(t, server, 7, day...), listAll(t, server, 7, day...)
		if !slices.Equal(ids(first), ids(second)) || distinct(first) != 500 {
			t.Error("listings still differ")
		}
	})
}

func TestLate(t *testing.T) {
	day := []string{"start_time", "2025-05-01", "end_time", "2025-05-01"}
	count := func(t *testing.T, server *convosotest.Server) (listed, linked int) {
		t.Helper()
		for _, r := range listAll(t, server, 500, day...) {
			for _, recording := range r.Recording {
				listed++
				if recording.Src != nil || recording.PublicURL != nil {
					linked++
				}
			}
		}
		return listed, linked
	}
	expect := func(t *testing.T, server *convosotest.Server, wantListed, wantLinked int) {
		t.Helper()
		listed, linked := count(t, server)
		mustBe(t, "recordings listed", listed, wantListed)
		mustBe(t, "recordings with a link", linked, wantLinked)
	}
	t.Run("until released", func(t *testing.T) {
		server := start(t, convosotest.Config{RecordedShare: 1, Late: convosotest.Late{Recordings: 5, Links: 7}})
		expect(t, server, 95, 88)
		server.ReleaseLate()
		expect(t, server, 100, 100)
	})
	t.Run("by listings", func(t *testing.T) {
		server := start(t, convosotest.Config{RecordedShare: 1, Late: convosotest.Late{Recordings: 5, Links: 7, Listings: 2}})
		expect(t, server, 95, 88)
		expect(t, server, 95, 88)
		expect(t, server, 100, 100)
	})
	t.Run("by the clock", func(t *testing.T) {
		var minutes atomic.Int64
		begin := time.Date(2025, 5, 10, 0, 0, 0, 0, time.UTC)
		server := start(t, convosotest.Config{
			RecordedShare: 1, Late: convosotest.Late{Recordings: 5, After: time.Hour},
			Now: func() time.Time { return begin.Add(time.Duration(minutes.Load()) * time.Minute) },
		})
		expect(t, server, 95, 95)
		minutes.Store(59)
		expect(t, server, 95, 95)
		minutes.Store(60)
		expect(t, server, 100, 100)
	})
	t.Run("by hand", func(t *testing.T) {
		server := start(t, convosotest.Config{RecordedShare: 1})
		first := firstRecording(t, server)
		if err := server.SetListed(first.Ref, false); err != nil {
			t.Fatal(err)
		}
		expect(t, server, 99, 99)
		if err := server.SetListed(first.Ref, true); err != nil {
			t.Fatal(err)
		}
		if err := server.SetLate(first.Ref, true); err != nil {
			t.Fatal(err)
		}
		expect(t, server, 100, 99)
	})
}

func TestEditedStatus(t *testing.T) {
	server := start(t, convosotest.Config{})
	id := trueIDs(server, func(convosotest.Call) bool { return true })[5]
	if err := server.SetStatus(id, "EDITED"); err != nil {
		t.Fatal(err)
	}
	rows := listAll(t, server, 500, "start_time", "2025-05-01", "status", "EDITED")
	if got := ids(rows); !slices.Equal(got, []string{id}) {
		t.Errorf("got %v, want %v", got, id)
	}
	if server.SetStatus("1", "X") == nil {
		t.Error("no error for an unknown call")
	}
}

func TestSameSeedSameData(t *testing.T) {
	config := convosotest.Config{
		Seed: 7, Days: 2, RecordedShare: 0.5, SeveralShare: 0.3, Oddities: convosotest.AllBenign(),
		MediaFaults: map[convosotest.Fault]int{convosotest.FaultHTML: 3, convosotest.FaultShort: 2}, MediaOrigin: "http://media.example",
	}
	describe := func(seed uint64) (description, page string) {
		config.Seed = seed
		server := start(t, config)
		var b strings.Builder
		for c := range server.Calls() {
			for _, r := range c.Recordings {
				fmt.Fprintln(&b, c.ID, c.CallDate, r.Ref, r.ID, r.Filename, r.Kind, r.Size, r.Fault, r.SHA256(), r.Link())
			}
		}
		_, body := askRaw(t, server, "start_time", "2025-05-01", "end_time", "2025-05-02")
		return b.String(), string(body)
	}
	description, page := describe(7)
	again, pageAgain := describe(7)
	other, _ := describe(8)
	mustBe(t, "same description", description == again, true)
	mustBe(t, "same page", page == pageAgain, true)
	mustBe(t, "same description with another seed", description == other, false)
}

// A page with all oddities is stored in testdata, so that other packages can test their decoders
// with it and changes of the form are visible.
func TestGoldenPage(t *testing.T) {
	server := start(t, convosotest.Config{
		Seed: 3, CallsPerDay: 24, RecordedShare: 0.6, SeveralShare: 0.3, Oddities: convosotest.AllBenign(),
		MediaOrigin: "https://media.example",
	})
	_, body := askRaw(t, server, "start_time", "2025-05-01", "end_time", "2025-05-01")
	const path = "testdata/page.json"
	if os.Getenv("UPDATE_GOLDEN") != "" {
		if err := os.WriteFile(path, body, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if string(body) != string(want) {
		t.Errorf("the page differs from %s; look at it, and renew it with UPDATE_GOLDEN=1", path)
	}
	var any map[string]any
	if err := json.Unmarshal(body, &any); err != nil {
		t.Errorf("the page is not JSON: %v", err)
	}
}
