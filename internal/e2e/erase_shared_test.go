package e2e

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"convoso-archiver/evidence"
	"convoso-archiver/fetcher/convosotest"
)

// changing starts a proxy in front of the API that changes rows, and returns its address.
func (a *archive) changing(change func(row map[string]any)) string {
	a.t.Helper()
	target, err := url.Parse(a.server.APIURL())
	if err != nil {
		a.t.Fatal(err)
	}
	proxy := &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) {
			r.Out.URL.Scheme, r.Out.URL.Host, r.Out.Host = target.Scheme, target.Host, target.Host
			r.Out.Header.Del("Accept-Encoding")
		},
		ModifyResponse: func(r *http.Response) error {
			body, err := io.ReadAll(r.Body)
			if err != nil {
				return err
			}
			var page any
			d := json.NewDecoder(bytes.NewReader(body))
			d.UseNumber()
			if d.Decode(&page) == nil {
				changeRows(page, change)
				if body, err = json.Marshal(page); err != nil {
					return err
				}
			}
			r.Body, r.ContentLength = io.NopCloser(bytes.NewReader(body)), int64(len(body))
			r.Header.Set("Content-Length", strconv.Itoa(len(body)))
			return nil
		},
	}
	front := httptest.NewServer(proxy)
	a.t.Cleanup(front.Close)
	return front.URL + target.Path
}

func changeRows(value any, change func(row map[string]any)) {
	switch v := value.(type) {
	case map[string]any:
		if _, isRow := v["phone_number"]; isRow {
			change(v)
			return
		}
		for _, one := range v {
			changeRows(one, change)
		}
	case []any:
		for _, one := range v {
			changeRows(one, change)
		}
	}
}

// sharing is an archive of three days with changed rows; each call has one recording.
type sharing struct {
	*archive
	api string
}

func sharingSpan() []string { return []string{"--start-time", daysAgo(10), "--end-time", daysAgo(8)} }

// newSharing archives rows that change has modified in three calls: one of each day, or three of the
// first.
func newSharing(t *testing.T, oneDay bool, change func(calls []convosotest.Call, row map[string]any)) (s sharing, calls []convosotest.Call) {
	t.Helper()
	server := simulate(t, convosotest.Config{Seed: 131, FirstDay: daysAgo(10), Days: 3, CallsPerDay: 20, RecordedShare: 1, MedianSize: 3_000})
	s = sharing{archive: onDisk(t, server)}
	days := map[string][]convosotest.Call{}
	for c := range server.Calls() {
		if len(c.Recordings) == 1 {
			days[c.Day] = append(days[c.Day], c)
		}
	}
	if calls = days[daysAgo(10)][:3]; !oneDay {
		calls = []convosotest.Call{calls[0], days[daysAgo(9)][0], days[daysAgo(8)][0]}
	}
	s.api = s.changing(func(row map[string]any) {
		row["last_name"] = customer(fmt.Sprint(row["id"]))
		change(calls, row)
	})
	s.run(append(sharingSpan(), "--api-url", s.api)...).want(t, 0)
	return s, calls
}

// customer is a name that no other call has.
func customer(call string) string { return "Customer" + call }

// holds reports whether a file of the archive contains a recording's audio.
func (s *sharing) holds(ref string) bool {
	s.t.Helper()
	r, known := s.server.Recording(ref)
	if !known {
		s.t.Fatalf("the API has no recording %s", ref)
	}
	body, err := io.ReadAll(r.Body())
	if err != nil {
		s.t.Fatal(err)
	}
	return s.mentions(string(body[len(body)/2:]))
}

func (s *sharing) mentions(text string) (found bool) {
	s.t.Helper()
	look(s.t, nil, func(_ string, content []byte) { found = found || bytes.Contains(content, []byte(text)) }, s.dest)
	return found
}

// idsFile writes a list for --ids-from.
func idsFile(t *testing.T, ids ...string) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "ids")
	writeFile(t, name, strings.Join(ids, "\n")+"\n")
	return name
}

func confirmed(terms ...string) []string { return append(terms, "--yes", "--reason", "request 7") }

// withoutIDs removes the ids of two calls of one day, and names their customers.
func withoutIDs(calls []convosotest.Call, row map[string]any) {
	switch fmt.Sprint(row["id"]) {
	case calls[0].ID:
		row["id"], row["last_name"] = "", "Quagmirefield"
	case calls[1].ID:
		row["id"], row["last_name"] = "", "Bystander"
	}
}

// TestEraseRowsWithoutID: a row without an id keeps its own recordings, no matter which of the two is erased.
func TestEraseRowsWithoutID(t *testing.T) {
	for name, terms := range map[string]func(id string) []string{
		"by name":      func(string) []string { return []string{"--name", "Quagmirefield"} },
		"by recording": func(id string) []string { return []string{"--ids-from", idsFile(t, id)} },
	} {
		t.Run(name, func(t *testing.T) {
			s, calls := newSharing(t, true, withoutIDs)
			id, other := calls[0].Recordings[0].Ref, calls[1].Recordings[0].Ref
			if got := s.erase(0, confirmed(terms(id)...)...); got.Calls != 1 || got.Recordings != 1 || len(got.Erased) != 1 {
				t.Errorf("erase %+v, want one call with one recording", got)
			}
			if s.holds(id) || s.mentions("Quagmirefield") {
				t.Error("the audio or the row of the call that was erased is left")
			}
			if !s.holds(other) || !s.mentions("Bystander") {
				t.Error("a call that was not chosen is gone")
			}
		})
	}
}

// TestHoldRowsWithoutID: a row without an id is held with its recordings.
func TestHoldRowsWithoutID(t *testing.T) {
	s, calls := newSharing(t, true, withoutIDs)
	s.hold(0, []string{"add", "case 1"}, "--name", "Quagmirefield")
	id, other := calls[0].Recordings[0].Ref, calls[1].Recordings[0].Ref
	if got := s.erase(3, confirmed("--ids-from", idsFile(t, id))...); len(got.Kept) == 0 || len(got.Erased) > 0 {
		t.Errorf("erase of what is held: %+v", got)
	}
	s.erase(0, confirmed("--ids-from", idsFile(t, other))...)
	if !s.holds(id) || s.holds(other) {
		t.Error("the held recording is gone, or the other one is left")
	}
}

// borrowed returns an archive in which two calls of one day list the same recording, and these calls. The recording is
// noted for the first one.
func borrowed(t *testing.T) (s sharing, ref string, calls []string) {
	t.Helper()
	server := simulate(t, convosotest.Config{
		Seed: 131, FirstDay: daysAgo(10), Days: 3, CallsPerDay: 40, RecordedShare: 0.8, MedianSize: 3_000,
		Oddities: convosotest.Oddities{SharedRecordings: true},
	})
	for c := range server.Calls() {
		if c.Borrowed != nil && c.ID != "" && c.Borrowed.CallID != c.ID {
			ref, calls = c.Borrowed.ID, []string{c.Borrowed.CallID, c.ID}
		}
	}
	s = sharing{archive: onDisk(t, server)}
	s.run(sharingSpan()...).want(t, 0)
	if owner := s.read().outcome(ref).CallID; owner != calls[0] {
		slices.Reverse(calls)
	}
	return s, ref, calls
}

// TestEraseSharedRecording: a recording that two calls of a day list is erased with both of them, or not at
// all.
func TestEraseSharedRecording(t *testing.T) {
	s, ref, calls := borrowed(t)
	for _, id := range calls {
		if got := s.erase(3, confirmed("--id", id)...); len(got.Kept) == 0 || got.Kept[0].Shared == "" || len(got.Erased) > 0 {
			t.Errorf("erase of one call: %+v", got)
		}
	}
	if !s.holds(ref) {
		t.Error("the recording is gone")
	}
	s.erase(0, confirmed("--ids-from", idsFile(t, calls...))...)
	if s.holds(ref) {
		t.Error("the recording of calls that were erased is left")
	}
}

// TestHoldSharedRecording: a call is held with every recording that its row lists.
func TestHoldSharedRecording(t *testing.T) {
	s, ref, calls := borrowed(t)
	s.hold(0, []string{"add", "case 1"}, "--id", calls[1])
	ids := s.hold(0, []string{"list", "case 1"}).Cases[0].IDs
	if !slices.ContainsFunc(ids, func(id evidence.HeldID) bool { return id.Recording == ref }) {
		t.Errorf("held %+v, want recording %s too", ids, ref)
	}
	for _, list := range [][]string{calls[:1], calls} {
		got := s.erase(3, confirmed("--ids-from", idsFile(t, list...))...)
		if !slices.ContainsFunc(got.Kept, func(k evidence.Kept) bool { return k.Recording == ref && slices.Contains(k.Cases, "case 1") }) {
			t.Errorf("erase of %d: %+v", len(list), got)
		}
	}
	if !s.holds(ref) {
		t.Error("the held recording is gone")
	}
}

// TestEraseIDOfBothKinds: an id of both a call and another call's recording erases the one that the term means.
func TestEraseIDOfBothKinds(t *testing.T) {
	s, calls := newSharing(t, false, func(calls []convosotest.Call, row map[string]any) {
		if r, _ := row["recording"].([]any); fmt.Sprint(row["id"]) == calls[1].ID && len(r) > 0 {
			r[0].(map[string]any)["recording_id"] = calls[0].ID
		}
	})
	if got := s.erase(0, confirmed("--id", calls[0].ID)...); got.Calls != 1 || len(got.Erased) != 1 {
		t.Errorf("erase %+v, want one call", got)
	}
	if s.holds(calls[0].Recordings[0].Ref) || s.mentions(customer(calls[0].ID)) {
		t.Error("something is left of the call that was erased")
	}
	if !s.holds(calls[1].Recordings[0].Ref) || !s.mentions(customer(calls[1].ID)) {
		t.Error("a call that was not chosen is gone")
	}
}

// TestEraseChain: calls of three days connected by shared recordings are erased together, or not at
// all.
func TestEraseChain(t *testing.T) {
	s, calls := newSharing(t, false, func(calls []convosotest.Call, row map[string]any) {
		r, _ := row["recording"].([]any)
		if len(r) == 0 {
			return
		}
		first := r[0].(map[string]any)
		switch fmt.Sprint(row["id"]) {
		case calls[0].ID:
			first["recording_id"] = "900001"
		case calls[1].ID:
			second := maps.Clone(first)
			first["recording_id"] = "900001"
			second["recording_id"], second["filename"] = "900002", "second.mp3"
			row["recording"] = append(r, second)
		case calls[2].ID:
			first["recording_id"] = "900002"
		}
	})
	ids := []string{calls[0].ID, calls[1].ID, calls[2].ID}
	for _, part := range [][]string{ids[:1], ids[:2], ids[2:]} {
		if got := s.erase(3, confirmed("--ids-from", idsFile(t, part...))...); len(got.Kept) == 0 || got.Kept[0].Shared == "" || len(got.Erased) > 0 {
			t.Errorf("erase of %d: %+v", len(part), got)
		}
	}
	s.erase(0, confirmed("--ids-from", idsFile(t, ids...))...)
	for _, c := range calls {
		if s.holds(c.Recordings[0].Ref) || s.mentions(customer(c.ID)) {
			t.Errorf("something is left of call %s", c.ID)
		}
	}
}
