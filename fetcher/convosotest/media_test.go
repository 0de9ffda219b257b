package convosotest_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"io"
	"math"
	"net/http"
	"net/url"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"convoso-archiver/fetcher/convosotest"
)

func TestEveryRecordingIsServedAsTruthSays(t *testing.T) {
	server := start(t, convosotest.Config{
		Seed: 2, Days: 2, CallsPerDay: 200, RecordedShare: 0.5, SeveralShare: 0.2, MaxSize: 200_000, Oddities: convosotest.AllBenign(),
	})
	client := newClient(t)
	client.CheckRedirect = nil
	names, kinds, recordings, redirected := map[string]int{}, map[convosotest.Kind]int{}, 0, 0
	for r := range server.Recordings() {
		got := fetchWith(t, client, r.Link())
		if got.err != nil || got.status != http.StatusOK || got.size != r.Size || got.sha256 != r.SHA256() {
			t.Errorf("recording %s: got status %d, %d bytes, error %v, want %d bytes of the same hash", r.Ref, got.status, got.size, got.err, r.Size)
		}
		if got.length >= 0 && got.length != r.Size {
			t.Errorf("recording %s: Content-Length %d, want %d", r.Ref, got.length, r.Size)
		}
		recordings++
		names[r.Filename]++
		kinds[r.Kind]++
		if r.Redirects {
			redirected++
		}
	}
	stats := server.Stats()
	for ref, s := range stats.Recordings {
		if s.Requests != 1 || (s.Whole != 1) {
			t.Errorf("recording %s: %+v, want one request", ref, s)
		}
	}
	mustBe(t, "recordings asked for", len(stats.Recordings), recordings)
	mustBe(t, "redirected requests", stats.Hops, redirected)
	mustBe(t, "bad links", stats.BadLinks, 0)
	mustBe(t, "all media requests", stats.Media.Requests, recordings+redirected)
	mustBe(t, "kinds", len(kinds), 8)
	for _, name := range convosotest.HostileNames() {
		if names[name] == 0 {
			t.Errorf("no recording has the hostile name %.20q", name)
		}
	}
}

func TestSizesSpreadAsMeasured(t *testing.T) {
	server := start(t, convosotest.Config{CallsPerDay: 4000, RecordedShare: 1, BigRecordings: []int64{1 << 30}})
	small, total := 0, 0
	for r := range server.Recordings() {
		if total++; total == 1 {
			mustBe(t, "frames of the big one", r.Size/576, int64(1<<30+288)/576)
			continue
		}
		if r.Size < 13_000 || r.Size > 3_100_500 {
			t.Errorf("a recording of %d bytes", r.Size)
		}
		if r.Size < 54_000 {
			small++
		}
	}
	if share := float64(small) / float64(total); math.Abs(share-0.5) > 0.05 {
		t.Errorf("%.2f of the recordings are below the median", share)
	}
}

func TestLinksAreComparedByteForByte(t *testing.T) {
	server := start(t, convosotest.Config{RecordedShare: 1, LinkSecret: "canary+Secret/1"})
	link := firstRecording(t, server).Link()
	path, rlt, _ := strings.Cut(link, "?rlt=")
	if !strings.Contains(rlt, "canary+Secret/1") || len(rlt) != 43 || !strings.HasSuffix(path, "==") {
		t.Fatalf("link %s is not of the vendor's form", link)
	}
	mustBe(t, "status of the link", fetch(t, link).status, 200)
	for name, changed := range map[string]string{
		"query encoded again":  path + "?" + url.Values{"rlt": {rlt}}.Encode(),
		"plus as space":        strings.Replace(link, "+", "%20", 1),
		"slash encoded":        path + "?rlt=" + strings.Replace(rlt, "/", "%2F", 1),
		"path encoded":         strings.Replace(path, "==", "%3D%3D", 1) + "?rlt=" + rlt,
		"padding lost":         strings.TrimSuffix(path, "==") + "?rlt=" + rlt,
		"query lost":           path,
		"parameter added":      link + "&download=1",
		"secret of other link": path + "?rlt=" + strings.Repeat("A", 43),
		"another path":         server.MediaURL() + "/",
	} {
		t.Run(name, func(t *testing.T) {
			mustBe(t, "status", fetch(t, changed).status, 403)
		})
	}
	stats := server.Stats()
	mustBe(t, "bad links", stats.BadLinks, 9)
	mustBe(t, "recordings asked for", len(stats.Recordings), 1)
}

func TestLinksRotateAndExpire(t *testing.T) {
	one := []string{"start_time", "2025-05-01", "limit", "1"}
	t.Run("rotate", func(t *testing.T) {
		server := start(t, convosotest.Config{RecordedShare: 1, Oddities: convosotest.Oddities{RotateLinks: true}})
		first := *ask(t, server, one...).Data.Results[0].Recording[0].PublicURL
		second := *ask(t, server, one...).Data.Results[0].Recording[0].PublicURL
		if first == second {
			t.Error("the link is the same in both listings")
		}
		mustBe(t, "status of the first", fetch(t, first).status, 200)
		mustBe(t, "status of the second", fetch(t, second).status, 200)
	})
	t.Run("expire", func(t *testing.T) {
		server := start(t, convosotest.Config{
			RecordedShare: 1, LinkRefusal: convosotest.FaultNotFound, Listing: convosotest.Listing{LinksExpire: 2},
		})
		first := *ask(t, server, one...).Data.Results[0].Recording[0].PublicURL
		ask(t, server, one...)
		mustBe(t, "status before", fetch(t, first).size > 58, true)
		server.RotateLinks()
		mustBe(t, "size afterwards", fetch(t, first).size, 58)
	})
}

func TestMediaFaults(t *testing.T) {
	tests := map[convosotest.Fault]struct {
		status int
		holds  string // somewhere in the body
		check  func(t *testing.T, r convosotest.Recording, got download)
	}{
		convosotest.FaultNotFound: {status: 200, holds: "Recording not found!", check: func(t *testing.T, _ convosotest.Recording, got download) {
			mustBe(t, "size", got.size, 58)
		}},
		convosotest.Fault404:        {status: 404, holds: "<html>"},
		convosotest.Fault410:        {status: 410},
		convosotest.FaultHTML:       {status: 200, holds: "<html>"},
		convosotest.FaultEmpty:      {status: 200, check: sized(0)},
		convosotest.FaultOtherJSON:  {status: 200, holds: `"queued"`},
		convosotest.FaultText:       {status: 200, holds: "maintained"},
		convosotest.FaultAuth:       {status: 401, holds: "Unauthorized"},
		convosotest.FaultForbidden:  {status: 403, holds: "Forbidden"},
		convosotest.FaultServer:     {status: 500, holds: "<html>"},
		convosotest.FaultBusy:       {status: 503, check: retryAfter("")},
		convosotest.FaultBusyWait:   {status: 503, check: retryAfter("1")},
		convosotest.FaultLimit:      {status: 429, check: retryAfter("")},
		convosotest.FaultLimitWait:  {status: 429, check: retryAfter("1")},
		convosotest.FaultLimitHours: {status: 429, check: retryAfter("7200")},
		convosotest.FaultLimitDate: {status: 429, check: func(t *testing.T, _ convosotest.Recording, got download) {
			at, err := http.ParseTime(got.header.Get("Retry-After"))
			if wait := time.Until(at); err != nil || wait < time.Second || wait > 4*time.Second {
				t.Errorf("Retry-After %q, error %v", got.header.Get("Retry-After"), err)
			}
		}},
		convosotest.FaultEcho:         {status: 500, holds: "rlt="},
		convosotest.FaultEchoOK:       {status: 200, holds: "rlt="},
		convosotest.FaultUnknown:      {status: 200, holds: "\x00\x01\xfe", check: sized(4096)},
		convosotest.FaultShort:        {status: 200, check: broken(io.ErrUnexpectedEOF, true)},
		convosotest.FaultShortByte:    {status: 200, check: broken(io.ErrUnexpectedEOF, true)},
		convosotest.FaultShortChunked: {status: 200, check: broken(io.ErrUnexpectedEOF, false)},
		convosotest.FaultShortClose:   {status: 200, check: broken(nil, false)},
		convosotest.FaultReset:        {status: 200, check: brokenText("connection reset")},
		convosotest.FaultResetEarly:   {check: brokenText("connection reset")},
		convosotest.FaultStall:        {status: 200, check: broken(context.Canceled, true)},
		convosotest.FaultHang:         {check: brokenText("deadline exceeded")},
		convosotest.FaultBadWAV: {status: 200, holds: "WAVEfmt", check: func(t *testing.T, _ convosotest.Recording, got download) {
			if promised := int64(binary.LittleEndian.Uint32(got.head[4:])); promised < got.size*3/2 {
				t.Errorf("the header promises %d bytes of %d", promised, got.size)
			}
		}},
		convosotest.FaultGzip: {status: 200, check: func(t *testing.T, r convosotest.Recording, got download) {
			mustBe(t, "encoding", got.header.Get("Content-Encoding"), "gzip")
			if _, err := gzip.NewReader(bytes.NewReader(got.head)); err != nil || got.sha256 == r.SHA256() {
				t.Errorf("the body is not compressed: %v", err)
			}
		}},
		convosotest.FaultDrip: {status: 200, check: whole},
		convosotest.FaultWrongType: {status: 200, check: func(t *testing.T, r convosotest.Recording, got download) {
			whole(t, r, got)
			mustBe(t, "type", got.header.Get("Content-Type"), "text/html; charset=UTF-8")
		}},
		convosotest.FaultRedirectElsewhere: {status: 302, check: location("http://other.invalid/")},
		convosotest.FaultRedirectPrivate:   {status: 302, check: location("http://169.254.169.254/")},
		convosotest.FaultRedirectLoop: {status: 302, check: func(t *testing.T, r convosotest.Recording, got download) {
			mustBe(t, "location", "http://"+strings.SplitN(r.Link(), "/", 4)[2]+got.header.Get("Location"), r.Link())
		}},
		convosotest.FaultRedirectBad: {check: brokenText("failed to parse Location")},
	}
	server := start(t, convosotest.Config{RecordedShare: 1})
	ref := firstRecording(t, server).Ref
	for _, fault := range convosotest.Faults() {
		t.Run(string(fault), func(t *testing.T) {
			test, ok := tests[fault]
			if !ok {
				t.Fatal("no test for this fault")
			}
			if err := server.SetFault(ref, fault, 1); err != nil {
				t.Fatal(err)
			}
			r, _ := server.Recording(ref)
			mustBe(t, "fault in truth", r.Fault, fault)
			got := fetchFaulty(t, r.Link(), fault == convosotest.FaultHang, fault == convosotest.FaultStall)
			if fault != convosotest.FaultReset { // some systems discard unread data, including the status
				mustBe(t, "status", got.status, test.status)
			}
			if !bytes.Contains(got.head, []byte(test.holds)) {
				t.Errorf("the body does not hold %q", test.holds)
			}
			if fault.Delivers() {
				whole(t, r, got)
			}
			if test.check != nil {
				test.check(t, r, got)
			} else if got.err != nil {
				t.Error(got.err)
			}
			whole(t, r, fetch(t, r.Link())) // the fault lasted for one request
		})
	}
}

// fetchFaulty fetches, but does not wait for data that never comes.
func fetchFaulty(t *testing.T, address string, hangs, stalls bool) download {
	t.Helper()
	client := newClient(t)
	patience := time.Duration(0)
	if hangs {
		client.Timeout = 300 * time.Millisecond
	}
	if stalls {
		patience = 300 * time.Millisecond
	}
	return fetchPatiently(t, client, address, patience)
}

func whole(t *testing.T, r convosotest.Recording, got download) {
	t.Helper()
	if got.err != nil || got.status != 200 || got.sha256 != r.SHA256() {
		t.Errorf("got status %d, %d bytes, error %v, want the whole recording", got.status, got.size, got.err)
	}
}

type downloadCheck = func(*testing.T, convosotest.Recording, download)

func sized(want int64) downloadCheck {
	return func(t *testing.T, _ convosotest.Recording, got download) {
		t.Helper()
		mustBe(t, "size", got.size, want)
	}
}

func retryAfter(want string) downloadCheck {
	return func(t *testing.T, _ convosotest.Recording, got download) {
		t.Helper()
		mustBe(t, "Retry-After", got.header.Get("Retry-After"), want)
	}
}

func location(prefix string) downloadCheck {
	return func(t *testing.T, _ convosotest.Recording, got download) {
		t.Helper()
		if !strings.HasPrefix(got.header.Get("Location"), prefix) {
			t.Errorf("location %q, want it to begin with %q", got.header.Get("Location"), prefix)
		}
	}
}

// broken expects a part of the recording, and an error unless want is nil.
func broken(want error, length bool) downloadCheck {
	return func(t *testing.T, r convosotest.Recording, got download) {
		t.Helper()
		if got.size == 0 || got.size >= r.Size {
			t.Errorf("got %d bytes of %d, want a part", got.size, r.Size)
		}
		mustBe(t, "length was sent", got.length == r.Size, length)
		if want == nil {
			mustBe(t, "error", text(got.err), text(nil))
			mustBe(t, "ends in mid-frame", got.size%576 != 0, true)
			return
		}
		if !strings.Contains(text(got.err), text(want)) {
			t.Errorf("error %v, want %v", got.err, want)
		}
	}
}

func brokenText(want string) downloadCheck {
	return func(t *testing.T, _ convosotest.Recording, got download) {
		t.Helper()
		if !strings.Contains(text(got.err), want) {
			t.Errorf("error %v, want %q", got.err, want)
		}
	}
}

func TestFaultsAreSpreadOverDays(t *testing.T) {
	server := start(t, convosotest.Config{
		Days: 3, RecordedShare: 0.5,
		MediaFaults: map[convosotest.Fault]int{convosotest.Fault404: 6, convosotest.FaultServer: 3},
		FaultTimes:  map[convosotest.Fault]int{convosotest.FaultServer: 2},
	})
	byDay := map[string]int{}
	for r := range server.Recordings() {
		if r.Fault == convosotest.FaultNone {
			continue
		}
		byDay[string(r.Fault)+" "+r.Day]++
		if r.Fault == convosotest.FaultServer {
			mustBe(t, "times", r.FaultTimes, 2)
			for _, want := range []int{500, 500, 200} {
				mustBe(t, "status", fetch(t, r.Link()).status, want)
			}
			mustBe(t, "counts", server.Stats().Recordings[r.Ref], convosotest.RecordingStats{Requests: 3, Whole: 1})
		}
	}
	mustBe(t, "faults by day", fmt.Sprint(byDay), "map[404 2025-05-01:2 404 2025-05-02:2 404 2025-05-03:2 500 2025-05-01:1 500 2025-05-02:1 500 2025-05-03:1]")
	server.ClearFaults()
	for r := range server.Recordings() {
		mustBe(t, "fault after clearing", r.Fault, convosotest.FaultNone)
	}
}

func TestMediaDownAndHook(t *testing.T) {
	server := start(t, convosotest.Config{RecordedShare: 1, MediaDown: convosotest.FaultNotFound})
	link := firstRecording(t, server).Link()
	mustBe(t, "size while down", fetch(t, link).size, 58)
	server.SetMediaDown(convosotest.FaultForbidden)
	mustBe(t, "status while refusing", fetch(t, link).status, 403)
	server.SetMediaDown(convosotest.FaultNone)
	server.SetMediaHook(func(r convosotest.MediaRequest) convosotest.Fault {
		if r.Attempt == 3 {
			return convosotest.Fault410
		}
		return convosotest.FaultNone
	})
	mustBe(t, "status of the third request", fetch(t, link).status, 410)
	mustBe(t, "status of the fourth request", fetch(t, link).status, 200)
}

func TestLeaksAreCounted(t *testing.T) {
	server := start(t, convosotest.Config{RecordedShare: 1})
	link := firstRecording(t, server).Link()
	for _, header := range []string{"Referer", "Authorization"} {
		request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, link, nil)
		if err != nil {
			t.Fatal(err)
		}
		request.Header.Set(header, "x "+server.Token())
		response, err := newClient(t).Do(request)
		if err != nil {
			t.Fatal(err)
		}
		response.Body.Close()
	}
	stats := server.Stats()
	mustBe(t, "leaks", stats.TokenLeaks, 2)
	mustBe(t, "referers", stats.Referers, 1)
}

// Audio is generated while it is sent: neither its size nor the number of clients may affect
// memory.
func TestMemoryStaysFlat(t *testing.T) {
	const size, fetchers = 16 << 20, 2
	server := start(t, convosotest.Config{RecordedShare: 1, BigRecordings: []int64{size}})
	r := firstRecording(t, server)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	var wait sync.WaitGroup
	for range fetchers {
		wait.Go(func() {
			if got := fetch(t, r.Link()); got.sha256 != r.SHA256() || got.size != r.Size {
				t.Errorf("got %d bytes, error %v", got.size, got.err)
			}
		})
	}
	wait.Wait()
	runtime.ReadMemStats(&after)
	if grown := after.TotalAlloc - before.TotalAlloc; grown > size/8 {
		t.Errorf("%d bytes were allocated to send %d bytes %d times", grown, size, fetchers)
	}
}

func TestSHA256IsThatOfTheBody(t *testing.T) {
	server := start(t, convosotest.Config{RecordedShare: 1})
	r := firstRecording(t, server)
	content, err := io.ReadAll(r.Body())
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256(content)
	mustBe(t, "hash", r.SHA256(), hex.EncodeToString(sum[:]))
	mustBe(t, "hash asked for again", r.SHA256(), hex.EncodeToString(sum[:]))
}

func TestRefs(t *testing.T) {
	server := start(t, convosotest.Config{Seed: 4, CallsPerDay: 300, RecordedShare: 0.7, Oddities: convosotest.AllBenign()})
	seen := map[string]bool{}
	idless, split := 0, 0
	for r := range server.Recordings() {
		if seen[r.Ref] {
			t.Errorf("two recordings with ref %s", r.Ref)
		}
		seen[r.Ref] = true
		for _, name := range []string{r.Ref, r.UID} {
			if found, ok := server.Recording(name); !ok || found.UID != r.UID {
				t.Errorf("recording %s is not found by %s", r.Ref, name)
			}
		}
		if r.ID == "" {
			idless++
		} else if r.Ref != r.ID {
			split++
		}
	}
	shared := 0
	for c := range server.Calls() {
		if c.Borrowed != nil {
			shared++
			mustBe(t, "day of a shared recording", c.Borrowed.Day, c.Day)
			mustBe(t, "a shared recording has an id", c.Borrowed.ID != "", true)
		}
	}
	if idless == 0 || split == 0 || split%2 != 0 || shared == 0 {
		t.Errorf("%d recordings without id, %d that share one, %d under two calls", idless, split, shared)
	}
	for _, wrong := range []string{"", "1", "400400000000000", strings.Repeat("0", 32), strconv.Itoa(499_999_999_999)} {
		if _, ok := server.Recording(wrong); ok {
			t.Errorf("a recording is found by %q", wrong)
		}
		if server.SetFault(wrong, convosotest.Fault404, 1) == nil {
			t.Errorf("no error for %q", wrong)
		}
	}
}
