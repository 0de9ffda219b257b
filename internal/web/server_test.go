package web

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"convoso-archiver/archiver"
	"convoso-archiver/internal/web/webtest"
	"convoso-archiver/manifest/report"
	"convoso-archiver/search"
)

// shared is the read-only archive of the tests, and its folder.
var shared struct {
	folder string
	world  *webtest.World
}

func TestMain(m *testing.M) {
	os.Exit(func() int {
		folder, err := os.MkdirTemp("", "web-")
		if err == nil {
			defer os.RemoveAll(folder)
			shared.folder = filepath.Join(folder, "archive")
			shared.world, err = webtest.Make(context.Background(), archiver.Location{Folder: shared.folder})
		}
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		return m.Run()
	}())
}

// own makes an archive that a test may modify.
func own(t *testing.T) (folder string, world *webtest.World) {
	t.Helper()
	folder = filepath.Join(t.TempDir(), "archive")
	world, err := webtest.Make(t.Context(), archiver.Location{Folder: folder})
	if err != nil {
		t.Fatal(err)
	}
	return folder, world
}

// site is a server under test.
type site struct {
	t      *testing.T
	server *Server
	url    string
	client *http.Client
	log    *logText
}

// logText returns the program's log.
type logText struct {
	mu   sync.Mutex
	text strings.Builder
}

func (l *logText) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *logText) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

func everything() Rights { return Rights{Listen: true, Download: true, Numbers: true, Audit: true} }

// serve starts a server over the shared archive.
func serve(t *testing.T, change func(*Config)) *site {
	return serveAt(t, archiver.Location{Folder: shared.folder}, change)
}

func serveAt(t *testing.T, at archiver.Location, change func(*Config)) *site {
	t.Helper()
	log := &logText{}
	logger := slog.New(slog.NewTextHandler(log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	opened, err := archiver.Open(t.Context(), at, archiver.Read, "", logger)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = opened.Close(context.Background()) })
	zone, err := time.LoadLocation(webtest.Zone)
	if err != nil {
		t.Fatal(err)
	}
	c := Config{
		Archive: search.New(opened.Ledger, zone), Ledger: opened.Ledger, Audio: opened.Store, Logger: logger, Everybody: everything(),
		Rules: report.Options{Settle: 48 * time.Hour, PurgeAfter: 155 * 24 * time.Hour, GiveUp: 14 * 24 * time.Hour},
	}
	if change != nil {
		change(&c)
	}
	listening := httptest.NewUnstartedServer(nil)
	s, err := New(c, listening.Listener.Addr())
	if err != nil {
		t.Fatal(err)
	}
	listening.Config.Handler = s.Handler()
	listening.Config.ErrorLog = slog.NewLogLogger(logger.Handler(), slog.LevelDebug)
	listening.Start()
	t.Cleanup(listening.Close)
	client := listening.Client()
	client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return &site{t: t, server: s, url: listening.URL, client: client, log: log}
}

// answer is a complete answer.
type answer struct {
	status int
	header http.Header
	body   string
}

// ask sends a request. The headers are pairs.
func (s *site) ask(method, path string, form url.Values, headers ...string) answer {
	s.t.Helper()
	var body io.Reader
	if form != nil {
		body = strings.NewReader(form.Encode())
	}
	r, err := http.NewRequestWithContext(s.t.Context(), method, s.url+path, body)
	if err != nil {
		s.t.Fatal(err)
	}
	r.Header.Set("Accept", "text/html")
	if form != nil {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	for i := 0; i+1 < len(headers); i += 2 {
		if headers[i] == "Host" {
			r.Host = headers[i+1]
			continue
		}
		r.Header.Add(headers[i], headers[i+1])
	}
	got, err := s.client.Do(r)
	if err != nil {
		s.t.Fatalf("%s %s: %v", method, path, err)
	}
	defer got.Body.Close()
	text, err := io.ReadAll(got.Body)
	if err != nil {
		s.t.Fatalf("%s %s: read: %v", method, path, err)
	}
	return answer{got.StatusCode, got.Header, string(text)}
}

func (s *site) get(path string, headers ...string) answer {
	s.t.Helper()
	return s.ask(http.MethodGet, path, nil, headers...)
}

func (a answer) want(t *testing.T, status int, parts ...string) {
	t.Helper()
	if a.status != status {
		t.Errorf("status %d, want %d: %.300s", a.status, status, a.body)
	}
	for _, part := range parts {
		if !strings.Contains(a.body, part) {
			t.Errorf("the answer does not hold %q: %.600s", part, a.body)
		}
	}
}

// stored returns a recording of the third day and the given campaign that browsers can play.
func stored(w *webtest.World, campaign string) webtest.Recording {
	for i := range webtest.LastCalls {
		c := w.Calls[fmt.Sprintf("9%s%s%03d", webtest.OpenDay[5:7], webtest.OpenDay[8:], i)]
		if c.CampaignID == campaign && len(c.Recordings) > 0 {
			if r := w.Recordings[c.Recordings[0]]; r.Body != nil {
				return r
			}
		}
	}
	panic("there is none")
}

func audioPath(r webtest.Recording) string { return "/audio/" + r.Day + "/" + r.ID }

// wantNoNumbers fails if a text contains more of a number than its last digits.
func wantNoNumbers(t *testing.T, what, text string) {
	t.Helper()
	for _, hidden := range webtest.Hidden() {
		if i := strings.Index(text, hidden); i >= 0 {
			t.Errorf("%s shows a number: …%s…", what, text[max(0, i-80):min(len(text), i+40)])
		}
	}
}

func TestPages(t *testing.T) {
	s := serve(t, nil)
	r := stored(shared.world, "12")
	for _, test := range []struct {
		path   string
		status int
		parts  []string
	}{
		{"/", 200, []string{"<!doctype html>", "50 calls, newest first; more follow", "Next page", "(550) 867-5359", "America/Los_Angeles"}},
		{"/calls", 200, []string{"Ana Núñez"}},
		{"/calls?call=" + r.Day + "/" + r.CallID + "&t=3", 200, []string{`data-second="3"`, audioPath(r), "All fields of the row", "caller_id", "Sale made"}},
		{"/calls?call=" + r.Day + "/none", 200, []string{textUnseen}},
		{"/calls?number=99", 400, []string{"fewer than 4 digits", `aria-invalid="true"`}},
		{"/calls?start-time=2025-02-30", 400, []string{"not a date or time that exists"}},
		{"/calls?colour=red", 400, []string{"an unknown search term"}},
		{"/calls?agent=nobody", 200, []string{"No call matches all terms."}},
		{"/calls?start-time=2025-01-01&end-time=2025-01-31", 200, []string{"No call matches all terms.", "The archive has no day in this time range; it has days from 2025-05-25 to 2025-05-27."}},
		{"/calls?sort=-time", 200, []string{`<select id="f-sort" name="sort"><option value="">Newest first</option><option value="time">Oldest first</option>`, "calls, newest first"}},
		{"/calls?sort=time", 200, []string{`<option value="time" selected>Oldest first</option>`, `name="outcome"><option value="">Any</option>`, "calls, oldest first"}},
		{"/calls?last=7d&agent=nobody", 200, []string{"it has days from 2025-05-25 to 2025-05-27."}},
		{"/calls?start-time=2025-05-26&agent=nobody", 200, []string{"Remove a term, or choose more days."}},
		{"/calls?start-time=2099-01-01", 400, []string{"It is in the future. Check the date.", `aria-invalid="true"`}},
		{"/call/" + r.Day + "/" + r.CallID, 200, []string{"data-audio="}},
		{"/call/" + r.Day + "/none", 404, []string{textUnseen}},
		{"/completeness", 200, []string{"May 2025", "Not complete", " closed, ", " waiting", ">Waiting</th>", "The last run wrote", "closed, with losses"}},
		{"/completeness?month=2025-05&day=" + webtest.LossDay, 200, []string{"the vendor no longer has it", "Not in the archive", "Calls of this day"}},
		{"/completeness?month=2025-13", 400, nil},
		{"/completeness?day=2025-05-1", 400, nil},
		{"/nothing", 404, []string{"There is no such page."}},
		{"/assets/style.css", 200, []string{"prefers-color-scheme", "prefers-reduced-motion"}},
		{"/assets/script.js", 200, []string{"preservesPitch"}},
		{"/assets/nothing", 404, nil},
		{"/healthz", 200, []string{"ok"}},
	} {
		t.Run(test.path, func(t *testing.T) {
			s.t = t
			got := s.get(test.path)
			got.want(t, test.status, test.parts...)
		})
	}
}

// TestHints: an empty list explains why, with masked numbers, but not to a user with limits.
func TestHints(t *testing.T) {
	asked := 0
	hint := func(_ context.Context, q search.Query) []string {
		asked++
		return []string{"no call of the archive has agent " + q.Agent + `; nearest: "Ann 5559876543"`}
	}
	for _, test := range []struct {
		rights     string
		want, none string
		asked      int
	}{
		{"listen,numbers", "No call of the archive has agent nobody; nearest: &#34;Ann 5559876543&#34;.", "•••", 1},
		{"listen", "•••6543", "5559876543", 1},
		{"listen;campaigns=12", "No call matches", "nearest", 0},
	} {
		rights, err := ParseRights(test.rights)
		if err != nil {
			t.Fatal(err)
		}
		asked = 0
		s := serve(t, func(c *Config) { c.Hint, c.Everybody = hint, rights })
		got := s.get("/calls?agent=nobody")
		got.want(t, 200, test.want)
		if strings.Contains(got.body, test.none) || asked != test.asked {
			t.Errorf("%s: asked %d times, %s", test.rights, asked, got.body)
		}
		if s.get("/calls"); asked != test.asked {
			t.Errorf("%s: asked though calls were found", test.rights)
		}
	}
}

// TestReasonsInWords wants a sentence for every kind of missing audio.
func TestReasonsInWords(t *testing.T) {
	s := serve(t, nil)
	for path, part := range map[string]string{
		"900": "Recording", "002": "the vendor has not delivered it yet (HTTP status 404); the next run tries again", "005": "something other than audio",
		"006": "The call log lists no recording of this call.",
	} {
		id := "90527" + path
		if path == "900" {
			id = "90527000"
		}
		s.get("/call/"+webtest.OpenDay+"/"+id).want(t, 200, strings.ToUpper(part[:1]))
		if body := strings.ToLower(s.get("/call/" + webtest.OpenDay + "/" + id).body); !strings.Contains(body, strings.ToLower(part)) {
			t.Errorf("call %s does not say %q", id, part)
		}
	}
	s.get("/call/"+webtest.LossDay+"/90525001").want(t, 200, "The vendor no longer has it, and it was never archived")
	s.get("/audio/"+webtest.LossDay+"/"+shared.world.Calls["90525001"].Recordings[0]).want(t, 404, "The vendor no longer has it")
}

// TestPaging walks through all pages, and finds each call exactly once.
func TestPaging(t *testing.T) {
	for _, order := range []string{"", "sort=time&", "sort=-time&", "campaign=12&"} {
		s := serve(t, nil)
		seen := map[string]int{}
		path := "/calls?" + order
		for pages := 0; path != ""; pages++ {
			if pages > 5 {
				t.Fatal("it does not end")
			}
			got := s.get(strings.TrimSuffix(path, "&"))
			got.want(t, 200)
			for _, part := range strings.Split(got.body, ` data-ref="`)[1:] {
				ref, _, _ := strings.Cut(part, `"`)
				seen[ref]++
			}
			_, rest, found := strings.Cut(got.body, `id="next-page" href="`)
			path = ""
			if found {
				path, _, _ = strings.Cut(rest, `"`)
				path = strings.ReplaceAll(path, "&amp;", "&")
			}
		}
		want := 0
		for _, c := range shared.world.Calls {
			if order != "campaign=12&" || c.CampaignID == "12" {
				want++
				if n := seen[c.Day+"/"+c.ID]; n != 1 {
					t.Errorf("%q: call %s is there %d times", order, c.ID, n)
				}
			}
		}
		if len(seen) != want {
			t.Errorf("%q: %d calls, want %d", order, len(seen), want)
		}
	}
}

// TestStop checks that Serve ends soon although a client keeps a connection open.
func TestStop(t *testing.T) {
	s := serve(t, nil)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server, err := New(s.server.Config, listener.Addr())
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancelCause(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- server.Serve(ctx, listener, nil) }()
	conn, err := net.Dial("tcp", listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := io.WriteString(conn, "GET / HTTP/1.1\r\nHost: "); err != nil {
		t.Fatal(err)
	}
	stop := fmt.Errorf("stopped")
	cancel(stop)
	if err := <-ended; err == nil || !strings.Contains(err.Error(), "stopped") {
		t.Errorf("it ended with %v", err)
	}
}

// TestUnreadVerification: a note of a verification that cannot be read does not take the report away, and the page names it.
func TestUnreadVerification(t *testing.T) {
	folder, _ := own(t)
	const name = "evidence/verify-20260301T000000Z-00000000-000001.jsonl"
	if err := os.MkdirAll(filepath.Join(folder, "evidence"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(folder, name), []byte("{\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	s := serveAt(t, archiver.Location{Folder: folder}, nil)
	s.get("/completeness").want(t, 200, "May 2025", "The last run wrote", name+" cannot be read. Restore it from a copy.")
	if !strings.Contains(s.log.String(), "the note of a verification cannot be read") {
		t.Errorf("the log: %s", s.log.String())
	}
}

// TestCampaignWords checks that names that begin alike differ at their beginning.
func TestCampaignWords(t *testing.T) {
	for _, test := range []struct{ id, name, want string }{
		{"5051", "Campaign 5051", "5051 Campaign 5051"}, {"12", "Solar West", "12 Solar West"}, {"12", "12 Solar", "12 Solar"}, {"12", "", "12"}, {"", "Solar", "Solar"}, {"", "", ""},
	} {
		if got := campaignWords(test.id, test.name); got != test.want {
			t.Errorf("%q and %q: %q, want %q", test.id, test.name, got, test.want)
		}
	}
}
