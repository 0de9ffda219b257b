package convosotest_test

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"testing"
	"time"

	"convoso-archiver/fetcher/convosotest"
)

// start returns a server that listens until the test ends.
func start(t *testing.T, config convosotest.Config) *convosotest.Server {
	t.Helper()
	server, err := convosotest.New(config)
	if err != nil {
		t.Fatal(err)
	}
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := server.Close(); err != nil {
			t.Error(err)
		}
	})
	return server
}

// newClient returns a client without redirects and compression.
func newClient(t *testing.T) *http.Client {
	t.Helper()
	transport := &http.Transport{DisableCompression: true}
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{
		Transport:     transport,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// listing is a decoded page of a well-behaved answer.
type listing struct {
	Success bool
	Code    int
	Text    string
	Data    struct {
		Offset, Limit, Entries int
		TotalFound             json.RawMessage `json:"total_found"`
		Results                []row
	}
}

type row struct {
	ID         string
	CallDate   string `json:"call_date"`
	CallLength *string
	Recording  []struct {
		RecordingID string `json:"recording_id"`
		Filename    string
		Src         *string
		PublicURL   *string `json:"public_url"`
	}
}

func (l *listing) total(t *testing.T) int {
	t.Helper()
	var text string
	if json.Unmarshal(l.Data.TotalFound, &text) != nil {
		text = string(l.Data.TotalFound)
	}
	n, err := strconv.Atoi(text)
	if err != nil {
		t.Fatalf("total_found %s: %v", l.Data.TotalFound, err)
	}
	return n
}

// ask sends a request for a page with the server's token. Parameters come in pairs.
func ask(t *testing.T, server *convosotest.Server, parameters ...string) *listing {
	t.Helper()
	status, body := askRaw(t, server, parameters...)
	var l listing
	if err := json.Unmarshal(body, &l); err != nil {
		t.Fatalf("decode answer with status %d: %v\n%s", status, err, body)
	}
	return &l
}

func askRaw(t *testing.T, server *convosotest.Server, parameters ...string) (status int, body []byte) {
	t.Helper()
	response := request(t, server, parameters...)
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response.StatusCode, body
}

func request(t *testing.T, server *convosotest.Server, parameters ...string) *http.Response {
	t.Helper()
	values := url.Values{"auth_token": {server.Token()}, "include_recordings": {"1"}, "order": {"asc"}}
	for pair := range slices.Chunk(parameters, 2) {
		values.Set(pair[0], pair[1])
	}
	response, err := newClient(t).Get(server.APIURL() + "/log/retrieve?" + values.Encode())
	if err != nil {
		t.Fatal(err)
	}
	return response
}

// listAll pages through a window and returns its rows.
func listAll(t *testing.T, server *convosotest.Server, limit int, parameters ...string) []row {
	t.Helper()
	var rows []row
	for {
		page := ask(t, server, append(parameters, "limit", strconv.Itoa(limit), "offset", strconv.Itoa(len(rows)))...)
		if !page.Success {
			t.Fatalf("offset %d: code %d: %s", len(rows), page.Code, page.Text)
		}
		rows = append(rows, page.Data.Results...)
		if len(page.Data.Results) == 0 || len(rows) >= page.total(t) {
			return rows
		}
	}
}

func ids(rows []row) []string {
	list := make([]string, len(rows))
	for i, r := range rows {
		list[i] = r.ID
	}
	return list
}

func distinct(rows []row) int {
	seen := map[string]bool{}
	for _, r := range rows {
		seen[r.ID] = true
	}
	return len(seen)
}

// trueIDs returns the ids of the calls that keep accepts, in chronological order.
func trueIDs(server *convosotest.Server, keep func(convosotest.Call) bool) []string {
	var list []string
	for c := range server.Calls() {
		if keep(c) {
			list = append(list, c.ID)
		}
	}
	return list
}

// download is the result of one request for a recording.
type download struct {
	status int
	header http.Header
	length int64 // Content-Length; -1 if there was none
	size   int64
	sha256 string
	head   []byte // the first bytes
	err    error
}

// fetch requests an address and reads as much of the answer as possible.
func fetch(t *testing.T, address string) download {
	t.Helper()
	return fetchWith(t, newClient(t), address)
}

func fetchWith(t *testing.T, client *http.Client, address string) download {
	t.Helper()
	return fetchPatiently(t, client, address, 0)
}

// fetchPatiently gives up after patience once the answer has started, or never if patience is 0.
func fetchPatiently(t *testing.T, client *http.Client, address string, patience time.Duration) download {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		t.Fatal(err)
	}
	response, err := client.Do(request)
	if err != nil {
		return download{err: err}
	}
	defer response.Body.Close()
	if patience > 0 {
		defer time.AfterFunc(patience, cancel).Stop()
	}
	sum := sha256.New()
	var head limitedBuffer
	size, err := io.Copy(io.MultiWriter(sum, &head), response.Body)
	return download{
		status: response.StatusCode, header: response.Header, length: response.ContentLength,
		size: size, sha256: hex.EncodeToString(sum.Sum(nil)), head: head, err: err,
	}
}

// limitedBuffer keeps the first kilobytes written to it.
type limitedBuffer []byte

func (b *limitedBuffer) Write(p []byte) (int, error) {
	const most = 8192
	*b = append(*b, p[:min(len(p), most-len(*b))]...)
	return len(p), nil
}

// firstRecording returns a recording with no fault.
func firstRecording(t *testing.T, server *convosotest.Server) convosotest.Recording {
	t.Helper()
	for r := range server.Recordings() {
		return r
	}
	t.Fatal("the simulator has no recording")
	return convosotest.Recording{}
}

func sortedKeys[M ~map[string]V, V any](m M) []string { return slices.Sorted(maps.Keys(m)) }

func mustBe[T comparable](t *testing.T, what string, got, want T) {
	t.Helper()
	if got != want {
		t.Errorf("%s: got %v, want %v", what, got, want)
	}
}

var errNone = errors.New("no error")

func text(err error) string {
	if err == nil {
		err = errNone
	}
	return fmt.Sprint(err)
}
