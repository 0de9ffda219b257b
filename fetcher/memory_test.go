package fetcher

import (
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"runtime"
	"testing"
	"time"
	"weak"
)

// TestRowsOutliveTheirPage keeps parts of a row, and expects the answer to be freed.
func TestRowsOutliveTheirPage(t *testing.T) {
	body := []byte(`{"success":true,"data":{"total_found":"1","results":[{"id":"5550100","call_date":"2025-05-28 14:58:38","recording":[` +
		`{"recording_id":"999999999999","filename":"1_2_3_1748469536_8636-in-1748.mp3","public_url":"https:\/\/x.convoso.com\/play\/AAAA?rlt=BBBB"}]}]}}`)
	answer := weak.Make(&body[0])
	p, err := decodePage("op", 200, body)
	if err != nil {
		t.Fatal(err)
	}
	body = nil
	runtime.GC()
	if answer.Value() != nil {
		t.Error("the answer is still in memory")
	}
	runtime.KeepAlive(p)
}

// TestListingKeepsNothingOfAPage drops a page inside the loop, and expects it to be freed.
func TestListingKeepsNothingOfAPage(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprint(w, `{"success":true,"data":{"total_found":"2","results":[{"id":"1","call_date":"2025-05-28 14:58:38","status_name":"as long as a name may be"},`+
			`{"id":"2","call_date":"2025-05-29 00:00:00","status_name":"of the next day, and left out"}]}}`)
	}))
	t.Cleanup(server.Close)
	client, err := New(Options{APIURL: server.URL, Token: "t", Zone: time.UTC, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	day := Date("2025-05-28")
	for page, err := range client.Day(day, day.Window(), Filter{}, false).Pages(t.Context(), nil) {
		if err != nil || len(page.Calls) != 1 {
			t.Fatalf("%d calls, %v", len(page.Calls), err)
		}
		left := page.Calls[:2][1]
		if left.ID != "" || left.Raw != nil {
			t.Errorf("behind the page's calls stands one that was left out: %q", left.ID)
		}
		row := weak.Make(&page.Calls[0].Raw[0])
		page.Calls = nil
		runtime.GC()
		if row.Value() != nil {
			t.Error("the row is still in memory")
		}
	}
}
