package fetcher

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

const aDay = Date("2025-05-01")

// vendor is a scriptable API without a network.
type vendor struct {
	mu        sync.Mutex
	rows      []map[string]any
	ceiling   int
	exclusive bool                                         // both bounds are exclusive
	ignore    bool                                         // the times are ignored
	total     func(query url.Values, rows int) int         // replaces the number of rows
	hook      func(url.Values) (*http.Response, error)     // takes precedence if it returns something
	change    func(query url.Values, answer []byte) []byte // modifies an answer
	header    http.Header
	asked     []url.Values
	first     []byte // for a test's use
	sorted    int    // number of sorted rows
}

// call adds a row with one recording.
func (v *vendor) call(id int, at string, fields ...any) map[string]any {
	row := map[string]any{"id": strconv.Itoa(id), "call_date": at, "call_length": "5", "recording": []any{
		map[string]any{"recording_id": strconv.Itoa(900 + id), "filename": "a.mp3", "public_url": fmt.Sprintf("https://h.convoso.com/play/%d", id)},
	}}
	for i := 0; i < len(fields); i += 2 {
		row[fields[i].(string)] = fields[i+1]
	}
	v.rows = append(v.rows, row)
	return row
}

// calls adds n rows, evenly over a day.
func (v *vendor) calls(day Date, n int) *vendor {
	for i := range n {
		v.call(len(v.rows)+1, day.start().Add(time.Duration(i)*24*time.Hour/time.Duration(n)).Format(WallLayout))
	}
	return v
}

func answerOf(status int, body string) *http.Response {
	return &http.Response{StatusCode: status, Body: io.NopCloser(strings.NewReader(body)), ContentLength: int64(len(body)), Header: http.Header{}}
}

// RoundTrip implements http.RoundTripper.
func (v *vendor) RoundTrip(r *http.Request) (*http.Response, error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	query := r.URL.Query()
	if r.Header.Get("Accept-Encoding") != "identity" || query.Get("auth_token") != "test-token" || r.URL.Path != "/v1/log/retrieve" {
		return nil, errors.New("not a request for calls")
	}
	v.asked = append(v.asked, query)
	if v.hook != nil {
		if response, err := v.hook(query); response != nil || err != nil {
			return response, err
		}
	}
	limit, _ := strconv.Atoi(query.Get("limit"))
	offset, _ := strconv.Atoi(query.Get("offset"))
	if v.ceiling > 0 && offset > v.ceiling {
		return answerOf(200, `{"success":false,"code":7231,"text":"Invalid offset"}`), nil
	}
	from, to := query.Get("start_time"), query.Get("end_time")
	byDate := func(a, b map[string]any) int {
		first, _ := a["call_date"].(string)
		second, _ := b["call_date"].(string)
		return strings.Compare(first, second)
	}
	if v.sorted != len(v.rows) {
		slices.SortStableFunc(v.rows, byDate)
		v.sorted = len(v.rows)
	}
	var found []map[string]any
	for _, row := range v.rows {
		at, _ := row["call_date"].(string)
		inside := at >= from && at <= to && (!v.exclusive || at != from && at != to)
		if inside || v.ignore || at == "" {
			found = append(found, row)
		}
	}
	total := len(found)
	if v.total != nil {
		total = v.total(query, total)
	}
	page := found[min(offset, len(found)):min(offset+limit, len(found))]
	body, err := json.Marshal(map[string]any{"success": true, "data": map[string]any{"total_found": total, "results": slices.Concat([]map[string]any{}, page)}})
	if err != nil {
		return nil, err
	}
	if v.change != nil {
		body = v.change(query, body)
	}
	response := answerOf(200, string(body))
	if v.header != nil {
		response.Header = v.header
	}
	return response, nil
}

func (v *vendor) requests() int {
	v.mu.Lock()
	defer v.mu.Unlock()
	return len(v.asked)
}

// logged collects the log of a client.
type logged struct {
	mu    sync.Mutex
	lines bytes.Buffer
}

func (l *logged) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.lines.Write(p)
}

func (l *logged) count(part string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Count(l.lines.String(), part)
}

// client returns a client of the vendor without limits.
func (v *vendor) client(t testing.TB, change func(*Options)) *Client {
	t.Helper()
	o := Options{APIURL: "https://api.convoso.com/v1", Token: "test-token", Zone: time.UTC, Transport: v, Logger: slog.New(slog.DiscardHandler)}
	if change != nil {
		change(&o)
	}
	client, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	return client
}

// dayListing is the result of listing a day.
type dayListing struct {
	ListingResult
	calls    map[string]Call // the last row of each, by id
	pages    int
	failures []error // of single windows
}

// listDay lists a day and continues after a failed window.
func listDay(ctx context.Context, client *Client, day Date, filter Filter, repeat bool) (dayListing, error) {
	got := dayListing{calls: map[string]Call{}}
	listing := client.Day(day, day.Window(), filter, repeat)
	for page, err := range listing.Pages(ctx, nil) {
		if ofWindow(err) {
			got.failures = append(got.failures, err)
			continue
		}
		if err != nil {
			return got, err
		}
		got.pages++
		for _, call := range page.Calls {
			got.calls[call.ID] = call
		}
	}
	got.ListingResult = listing.Result()
	return got, nil
}

// doubts returns the doubts as words and counts.
func (d dayListing) doubts() string {
	var words []string
	for _, doubt := range d.Doubts {
		words = append(words, fmt.Sprintf("%s %d", doubt.Kind, doubt.Count))
	}
	return strings.Join(words, ", ")
}
