package convosotest_test

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"convoso-archiver/fetcher/convosotest"
)

func TestAPIFaults(t *testing.T) {
	tests := map[convosotest.APIFault]struct {
		status int
		holds  string
		fails  string // the error of the request or of reading the body
	}{
		convosotest.APIGateway:    {status: 504, holds: "<html>"},
		convosotest.APIHTML:       {status: 200, holds: "<html>"},
		convosotest.APIBrokenJSON: {status: 200, holds: `"results":,`},
		convosotest.APICutJSON:    {status: 200, holds: `{"success":true`},
		convosotest.APIShort:      {status: 200, fails: "unexpected EOF"},
		convosotest.APIEmpty:      {status: 200},
		convosotest.APIServer:     {status: 500, holds: `"code":500`},
		convosotest.APIServerOK:   {status: 200, holds: `"code":500`},
		convosotest.APIBusy:       {status: 503, holds: "<html>"},
		convosotest.APIBadToken:   {status: 200, holds: `"code":5001`},
		convosotest.API401:        {status: 401, holds: `"code":401`},
		convosotest.API403:        {status: 403, holds: `"code":403`},
		convosotest.APILimit:      {status: 429, holds: "Too many"},
		convosotest.APILimitWait:  {status: 429},
		convosotest.APILimitDate:  {status: 429},
		convosotest.APILimitHours: {status: 429},
		convosotest.APIEcho:       {status: 400, holds: "simulator-token"},
		convosotest.APISlow:       {status: 200, holds: `"success":true`},
		convosotest.APIHang:       {fails: "deadline exceeded"},
		convosotest.APIStall:      {status: 200, fails: "context canceled"},
		convosotest.APIReset:      {fails: "connection reset"},
		convosotest.APIResetBody:  {status: 200, fails: "connection reset"},
		convosotest.APIClose:      {fails: "EOF"},
		convosotest.APIRedirect:   {status: 302},
	}
	server := start(t, convosotest.Config{SlowAnswer: 10 * time.Millisecond})
	address := server.APIURL() + "/log/retrieve?start_time=2025-05-01&auth_token=" + server.Token()
	for _, fault := range convosotest.APIFaults() {
		t.Run(string(fault), func(t *testing.T) {
			test, ok := tests[fault]
			if !ok {
				t.Fatal("no test for this fault")
			}
			server.FailAPI(fault, 1)
			got := fetchFaulty(t, address, fault == convosotest.APIHang, fault == convosotest.APIStall)
			if fault != convosotest.APIResetBody { // some systems discard unread data, including the status
				mustBe(t, "status", got.status, test.status)
			}
			if !strings.Contains(string(got.head), test.holds) {
				t.Errorf("the body does not hold %q: %.300s", test.holds, got.head)
			}
			if (got.err == nil) != (test.fails == "") || !strings.Contains(text(got.err), test.fails) {
				t.Errorf("error %v, want %q", got.err, test.fails)
			}
			var l listing
			if again := fetch(t, address+"&limit=1"); json.Unmarshal(again.head, &l) != nil || !l.Success {
				t.Errorf("the next answer is still bad: %.200s", again.head)
			}
		})
	}
}

func TestAPIRulesAndHook(t *testing.T) {
	server := start(t, convosotest.Config{APIRules: []convosotest.APIRule{
		{Fault: convosotest.APIBusy, Skip: 1, Times: 2},
		{Fault: convosotest.APIServer, Every: 2},
	}})
	expect := func(wanted ...int) {
		t.Helper()
		for i, want := range wanted {
			status, _ := askRaw(t, server)
			mustBe(t, fmt.Sprintf("status %d", i+1), status, want)
		}
	}
	expect(200, 503, 503, 500, 200, 500)
	server.ClearFaults()
	expect(200, 200)
	server.SetAPIHook(func(r convosotest.APIRequest) convosotest.APIFault {
		if r.Params.Get("offset") == "5" && r.Params.Get("auth_token") == "" {
			return convosotest.APIGateway
		}
		return convosotest.APIOK
	})
	status, _ := askRaw(t, server, "offset", "5")
	mustBe(t, "status with the hook", status, 504)
	expect(200)
}

func TestTokenIsRevoked(t *testing.T) {
	server := start(t, convosotest.Config{TokenRequests: 2, Token: "canary"})
	mustBe(t, "token", server.Token(), "canary")
	for _, want := range []bool{true, true, false, false} {
		mustBe(t, "success", ask(t, server).Success, want)
	}
	server.SetTokenValid(true)
	mustBe(t, "success when valid again", ask(t, server).Success, true)
	server.SetTokenValid(false)
	mustBe(t, "success when revoked by hand", ask(t, server).Success, false)
}

func TestAPIDown(t *testing.T) {
	server := start(t, convosotest.Config{})
	address := server.APIURL() + "/log/retrieve?auth_token=" + server.Token()
	server.SetAPIDown(true)
	if got := fetch(t, address); !strings.Contains(text(got.err), "EOF") {
		t.Errorf("error %v, want a closed connection", got.err)
	}
	server.SetAPIDown(false)
	mustBe(t, "status afterwards", fetch(t, address).status, 200)
	server.StopAPIFor(time.Hour)
	if got := fetch(t, address); got.err == nil {
		t.Error("no error while stopped")
	}
	server.StopAPIFor(0)
	mustBe(t, "status when the time is over", fetch(t, address).status, 200)
}

// The rates are tested without a network, in fake time.
func TestHiddenRates(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server, err := convosotest.New(convosotest.Config{
			RecordedShare: 1, MediaOrigin: "http://media.example",
			APIRate:   convosotest.Rate{PerSecond: 2, Burst: 3, RetryAfter: convosotest.RetrySeconds},
			MediaRate: convosotest.Rate{PerSecond: 0.25, RetryAfter: convosotest.RetryDate},
		})
		if err != nil {
			t.Fatal(err)
		}
		get := func(handler http.Handler, target string) *http.Response {
			recorder := httptest.NewRecorder()
			handler.ServeHTTP(recorder, httptest.NewRequest(http.MethodGet, target, nil))
			return recorder.Result()
		}
		for i, want := range []int{200, 200, 200, 429, 429} {
			got := get(server.APIHandler(), "/v1/log/retrieve?auth_token=simulator-token")
			mustBe(t, fmt.Sprintf("status %d of a burst", i+1), got.StatusCode, want)
			if want == 429 {
				mustBe(t, "Retry-After", got.Header.Get("Retry-After"), "1")
			}
		}
		for range 20 {
			time.Sleep(500 * time.Millisecond)
			mustBe(t, "status at the rate", get(server.APIHandler(), "/v1/log/retrieve").StatusCode, 200)
		}
		link := strings.TrimPrefix(firstRecording(t, server).Link(), "http://media.example")
		mustBe(t, "first status", get(server.MediaHandler(), link).StatusCode, 200)
		refused := get(server.MediaHandler(), link)
		mustBe(t, "second status", refused.StatusCode, 429)
		at, err := http.ParseTime(refused.Header.Get("Retry-After"))
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Until(at))
		mustBe(t, "status when waited for", get(server.MediaHandler(), link).StatusCode, 200)
		server.SetMediaRate(convosotest.Rate{PerSecond: 1, Wait: 2 * time.Hour, RetryAfter: convosotest.RetrySeconds})
		mustBe(t, "status with a new rate", get(server.MediaHandler(), link).StatusCode, 200)
		mustBe(t, "what is told", get(server.MediaHandler(), link).Header.Get("Retry-After"), "7200")
		server.SetMediaRate(convosotest.Rate{})
		server.SetAPIRate(convosotest.Rate{PerSecond: 0.001})
		mustBe(t, "status with a new rate of the API", get(server.APIHandler(), "/v1/log/retrieve").StatusCode, 200)
		mustBe(t, "status beyond it", get(server.APIHandler(), "/v1/log/retrieve").StatusCode, 429)
		mustBe(t, "status without a rate", get(server.MediaHandler(), link).StatusCode, 200)
		stats := server.Stats()
		mustBe(t, "refused by the API", stats.API.Refused, 3)
		mustBe(t, "refused by the media host", stats.Media.Refused, 2)
		mustBe(t, "last start after the first", stats.API.Starts[24].Sub(stats.API.Starts[0]), 10*time.Second)
	})
}

func TestClock(t *testing.T) {
	now := time.Date(2025, 5, 3, 12, 0, 0, 0, time.UTC)
	server := start(t, convosotest.Config{Now: func() time.Time { return now }, ClockSkew: 2 * time.Hour})
	response := request(t, server)
	defer response.Body.Close()
	mustBe(t, "Date", response.Header.Get("Date"), "Sat, 03 May 2025 14:00:00 GMT")
}

func TestTLS(t *testing.T) {
	lender := httptest.NewTLSServer(nil) // for its certificate, which is valid for 127.0.0.1
	defer lender.Close()
	server := start(t, convosotest.Config{RecordedShare: 1, TLS: &tls.Config{Certificates: lender.TLS.Certificates}})
	roots := x509.NewCertPool()
	roots.AddCert(lender.Certificate())
	client := newClient(t)
	client.Transport.(*http.Transport).TLSClientConfig = &tls.Config{RootCAs: roots}
	r := firstRecording(t, server)
	if !strings.HasPrefix(r.Link(), "https://127.0.0.1:") || !strings.HasPrefix(server.APIURL(), "https://127.0.0.1:") {
		t.Errorf("addresses %s and %s", server.APIURL(), r.Link())
	}
	whole(t, r, fetchWith(t, client, r.Link()))
	if err := server.SetFault(r.Ref, convosotest.FaultReset, 1); err != nil {
		t.Fatal(err)
	}
	brokenText("connection reset")(t, r, fetchWith(t, client, r.Link()))
}

func TestConnectionsAreCounted(t *testing.T) {
	var together sync.WaitGroup // all three requests arrive before any is answered
	together.Add(3)
	server := start(t, convosotest.Config{RecordedShare: 1, MediaHook: func(convosotest.MediaRequest) convosotest.Fault {
		together.Done()
		together.Wait()
		return convosotest.FaultNone
	}})
	client := newClient(t)
	link := firstRecording(t, server).Link()
	var wait sync.WaitGroup
	for range 3 {
		wait.Go(func() { fetchWith(t, client, link) })
	}
	wait.Wait()
	stats := server.Stats().Media
	mustBe(t, "requests", stats.Requests, 3)
	mustBe(t, "connections", stats.Connections, 3)
	mustBe(t, "most connections", stats.MaxOpenConnections, 3)
	mustBe(t, "most requests at a time", stats.MaxConcurrent, 3)
	server.ResetStats()
	stats = server.Stats().Media
	mustBe(t, "requests after a reset", stats.Requests, 0)
	mustBe(t, "recordings after a reset", len(server.Stats().Recordings), 0)
}

// Calls all concurrent methods in parallel, for the race detector.
func TestConcurrentUse(t *testing.T) {
	server := start(t, convosotest.Config{
		Days: 2, RecordedShare: 1, MaxSize: 20_000, Oddities: convosotest.AllBenign(),
		Listing: convosotest.Listing{HeldBack: 5, Moved: 5, BoundarySwaps: 3, LinksExpire: 1000},
		Late:    convosotest.Late{Recordings: 5, Links: 5, Listings: 1},
	})
	client := newClient(t)
	r := firstRecording(t, server)
	address := server.APIURL() + "/log/retrieve?start_time=2025-05-01&end_time=2025-05-02&include_recordings=1&limit=50&auth_token=" + server.Token()
	jobs := []func(){
		func() { fetchWith(t, client, address) },
		func() { fetchWith(t, client, address+"&offset=50") },
		func() { fetchWith(t, client, r.Link()) },
		func() {
			for c := range server.Calls() {
				for _, r := range c.Recordings {
					_ = r.SHA256()
				}
			}
		},
		func() { _ = server.SetFault(r.Ref, convosotest.FaultHTML, 1) },
		func() { _ = server.SetListed(r.Ref, true) },
		server.ReleaseLate, server.RevealHeldBack, server.ResetStats, server.ClearFaults, server.RotateLinks,
		func() { _ = server.Stats() },
		func() { server.SetMediaRate(convosotest.Rate{PerSecond: 1000, Burst: 1000}) },
		func() { server.FailAPI(convosotest.APIBusy, 1) },
	}
	var wait sync.WaitGroup
	for _, job := range jobs {
		wait.Go(func() {
			for range 5 {
				job()
			}
		})
	}
	wait.Wait()
}

// Close must not wait for clients, in any state of their requests.
func TestCloseEndsHangingRequests(t *testing.T) {
	server, err := convosotest.New(convosotest.Config{RecordedShare: 1})
	if err != nil {
		t.Fatal(err)
	}
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	r := firstRecording(t, server)
	if err := server.SetFault(r.Ref, convosotest.FaultStall, 0); err != nil {
		t.Fatal(err)
	}
	response, err := newClient(t).Get(r.Link())
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	if err := server.Close(); err != nil {
		t.Error(err)
	}
	if err := server.Close(); err != nil {
		t.Error(err)
	}
	if _, err := io.Copy(io.Discard, response.Body); err == nil {
		t.Error("the body came to its end")
	}
	if got := fetch(t, r.Link()); got.err == nil {
		t.Error("the server still answers")
	}
}

func TestBadConfig(t *testing.T) {
	for name, config := range map[string]convosotest.Config{
		"zone":           {Zone: "Mars/Olympus"},
		"first day":      {FirstDay: "yesterday"},
		"days":           {Days: -1},
		"too many calls": {Days: 10_000, CallsPerDay: 100_000},
		"sizes":          {MinSize: 2000, MaxSize: 1000},
		"link secret":    {LinkSecret: strings.Repeat("x", 25)},
		"fault":          {MediaFaults: map[convosotest.Fault]int{"nonsense": 1}},
		"too many":       {MediaFaults: map[convosotest.Fault]int{convosotest.Fault404: 101}},
		"link refusal":   {LinkRefusal: convosotest.FaultShort},
		"media down":     {MediaDown: "nonsense"},
		"rule":           {APIRules: []convosotest.APIRule{{Fault: "nonsense"}}},
	} {
		if _, err := convosotest.New(config); err == nil {
			t.Errorf("no error for a wrong %s", name)
		}
	}
}
