package archiver

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"convoso-archiver/archiver/key"
	"convoso-archiver/fetcher"
	"convoso-archiver/internal/retry"
	"convoso-archiver/manifest"
)

// world is a vendor without a network: an account's calls, its API and its media host. It uses the
// clock of the test's bubble. Failures are a list of troubles, each with a duration.
type world struct {
	t    *testing.T
	zone *time.Location
	dir  string // of the archive

	mu        sync.Mutex
	calls     []*worldCall // by time
	troubles  []trouble
	keeps     time.Duration // audio is deleted at this age; 0: never
	requested map[string]int
	asked     int // media requests since the run began
	listings  int // API requests since the run began
}

type worldCall struct {
	id        string
	at        time.Time // the instant
	recorded  []*worldRecording
	visible   time.Time // listed from then on
	gone      time.Time // listed until then; zero: for ever
	campaign  string
	cutLength bool // call_length is null
}

type worldRecording struct {
	id, file, token string
	link            time.Time // time from which it has a link
	ready           time.Time // time from which its audio exists
	broken          bool      // its audio never comes
	idFrom          time.Time // time when its id is filled in
}

// trouble is a failure for a time.
type trouble struct {
	kind     string
	from, to time.Time
	n        int
}

func newWorld(t *testing.T) *world {
	zone, err := time.LoadLocation("America/Los_Angeles")
	if err != nil {
		t.Fatal(err)
	}
	return &world{t: t, zone: zone, dir: t.TempDir(), requested: map[string]int{}}
}

// call adds a call, with recordings, that happens at a wall-clock time.
func (w *world) call(wall string, recordings int) *worldCall {
	at, err := time.ParseInLocation(fetcher.WallLayout, wall, w.zone)
	if err != nil {
		w.t.Fatal(err)
	}
	return w.callAt(at, recordings)
}

func (w *world) callAt(at time.Time, recordings int) *worldCall {
	w.mu.Lock()
	defer w.mu.Unlock()
	c := &worldCall{id: fmt.Sprint(1000 + len(w.calls)), at: at, visible: at, campaign: "7"}
	for i := range recordings {
		id := fmt.Sprintf("%s%d", c.id, i)
		c.recorded = append(c.recorded, &worldRecording{
			id: id, token: "token" + id, link: at, ready: at,
			file: fmt.Sprintf("100200_1_5555550100_7_5051_%d_%d-in-1.mp3", at.Unix(), len(w.calls)*10+i),
		})
	}
	w.calls = append(w.calls, c)
	slices.SortStableFunc(w.calls, func(a, b *worldCall) int { return a.at.Compare(b.at) })
	return c
}

// trouble adds a failure that starts now and lasts for a time.
func (w *world) trouble(kind string, lasts time.Duration, n int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.troubles = append(w.troubles, trouble{kind, time.Now(), time.Now().Add(lasts), n})
}

// in returns the current trouble of a kind.
func (w *world) in(kind string) (trouble, bool) {
	now := time.Now()
	for _, t := range w.troubles {
		if t.kind == kind && !now.Before(t.from) && now.Before(t.to) {
			return t, true
		}
	}
	return trouble{}, false
}

func (w *world) has(kind string) bool { _, ok := w.in(kind); return ok }

// RoundTrip implements http.RoundTripper.
func (w *world) RoundTrip(r *http.Request) (*http.Response, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	answer := httptest.NewRecorder()
	answer.Header().Set("Date", w.date().UTC().Format(http.TimeFormat))
	if r.URL.Host == "api.test" {
		w.listings++
		if w.has("api down") {
			return nil, &net.OpError{Op: "dial", Net: "tcp", Err: errors.New("connection refused")}
		}
		w.list(answer, r)
	} else {
		w.asked++
		if w.has("media down") {
			return nil, &net.OpError{Op: "dial", Net: "tcp", Err: errors.New("connection refused")}
		}
		w.audio(answer, r)
	}
	response := answer.Result()
	response.Request = r
	return response, nil
}

func (w *world) date() time.Time {
	t, _ := w.in("skew")
	return time.Now().Add(time.Duration(t.n) * time.Minute)
}

func (w *world) list(answer *httptest.ResponseRecorder, r *http.Request) {
	q := r.URL.Query()
	if w.has("api error") {
		fmt.Fprint(answer, `{"success":false,"code":9999,"text":"something went wrong"}`)
		return
	}
	if w.has("api page") {
		answer.Code = http.StatusBadGateway
		fmt.Fprint(answer, "<html>bad gateway</html>")
		return
	}
	var rows []*worldCall
	hidden := 0
	now := time.Now()
	for _, c := range w.calls {
		wall := fetcher.Wall(c.at, w.zone).Format(fetcher.WallLayout)
		inside := wall >= q.Get("start_time") && wall <= q.Get("end_time")
		if t, stray := w.in("strays"); stray { // the API widens every window
			first, _ := fetcher.ParseWall(q.Get("start_time"))
			last, _ := fetcher.ParseWall(q.Get("end_time"))
			span := time.Duration(t.n) * time.Minute
			inside = wall >= first.Add(-span).Format(fetcher.WallLayout) && wall <= last.Add(span).Format(fetcher.WallLayout)
		}
		if w.has("dates ignored") {
			inside = fetcher.DateOf(fetcher.Wall(c.at, w.zone)) == fetcher.DateOf(fetcher.Wall(now, w.zone))
		}
		if !inside || now.Before(c.visible) || !c.gone.IsZero() && !now.Before(c.gone) || c.at.After(now) ||
			q.Get("campaign_id") != "" && q.Get("campaign_id") != c.campaign || q.Get("id") != "" && q.Get("id") != c.id {
			continue
		}
		if t, short := w.in("short"); short && hashed(c.id, t.from.String())%uint32(t.n) == 0 {
			hidden++
			continue
		}
		rows = append(rows, c)
	}
	if w.has("empty") {
		rows, hidden = nil, 0
	}
	total := len(rows) + hidden
	if t, wrong := w.in("total"); wrong {
		total += t.n
	}
	offset, _ := strconv.Atoi(q.Get("offset"))
	limit, _ := strconv.Atoi(q.Get("limit"))
	page := rows[min(offset, len(rows)):min(offset+limit, len(rows))]
	results := []map[string]any{}
	for _, c := range page {
		results = append(results, w.row(c))
	}
	_ = json.NewEncoder(answer).Encode(map[string]any{"success": true, "data": map[string]any{
		"offset": offset, "limit": limit, "total_found": strconv.Itoa(total), "entries": len(page), "results": results,
	}})
}

func (w *world) row(c *worldCall) map[string]any {
	recordings := []map[string]any{}
	for _, r := range c.recorded {
		if w.has("no recordings") {
			break
		}
		listed := map[string]any{"recording_id": r.id, "filename": r.file, "public_url": nil}
		if time.Now().Before(r.idFrom) {
			listed["recording_id"] = nil
		}
		if !time.Now().Before(r.link) {
			token := base64.StdEncoding.EncodeToString([]byte(url.QueryEscape(`{"account_id":100200,"u_id":"` + r.token + `"}`)))
			listed["public_url"] = "https://media.test/play-recording-public/" + token + "?rlt=a+b/c=" + strconv.Itoa(time.Now().Day())
		}
		recordings = append(recordings, listed)
	}
	row := map[string]any{
		"id": c.id, "call_date": fetcher.Wall(c.at, w.zone).Format(fetcher.WallLayout), "call_length": "1", "campaign_id": c.campaign,
		"recording": recordings,
	}
	if c.cutLength {
		row["call_length"] = nil
	}
	return row
}

func (w *world) audio(answer *httptest.ResponseRecorder, r *http.Request) {
	token := path.Base(r.URL.Path)
	if raw, err := base64.StdEncoding.DecodeString(token); err == nil {
		_, token, _ = strings.Cut(string(raw), "u_id%22%3A%22")
		token, _, _ = strings.Cut(token, "%22")
	}
	w.requested[token]++
	for _, c := range w.calls {
		for _, recording := range c.recorded {
			if recording.token == token {
				w.deliver(answer, c, recording)
				return
			}
		}
	}
	answer.Code = http.StatusNotFound
}

func (w *world) deliver(answer *httptest.ResponseRecorder, c *worldCall, r *worldRecording) {
	for kind, code := range map[string]int{"media 404": 404, "media 403": 403, "media 500": 500, "media 503": 503} {
		if w.has(kind) {
			answer.Code = code
			return
		}
	}
	switch {
	case w.has("media page"):
		answer.Header().Set("Content-Type", "text/html")
		fmt.Fprint(answer, "<html>maintenance</html>")
	case !w.isThere(c, r):
		fmt.Fprint(answer, `{"error":"Recording not found!"}`)
	default:
		audio := r.audio()
		answer.Header().Set("Content-Length", strconv.Itoa(len(audio)))
		_, _ = answer.Write(audio)
	}
}

// isThere reports whether the vendor has the audio now.
func (w *world) isThere(c *worldCall, r *worldRecording) bool {
	now := time.Now()
	return !r.broken && !now.Before(r.ready) && (w.keeps == 0 || now.Sub(c.at) < w.keeps)
}

// audio returns some MPEG frames, different for each recording.
func (r *worldRecording) audio() []byte {
	random := rand.New(rand.NewPCG(uint64(hashed(r.token, "audio")), 1))
	var b bytes.Buffer
	for range 4 {
		b.Write([]byte{0xff, 0xe3, 0x88, 0xc4})
		for range 572 {
			b.WriteByte(byte(random.UintN(256)))
		}
	}
	return b.Bytes()
}

func hashed(parts ...string) uint32 {
	h := fnv.New32a()
	for _, p := range parts {
		_, _ = io.WriteString(h, p+"\x00")
	}
	return h.Sum32()
}

// night is the result of one run.
type night struct {
	Summary
	err             error
	asked, listings int // requests
}

// incomplete decides between exit codes 0 and 3.
func (n *night) incomplete() bool { return n.Incomplete(false) }

// run makes one run, as the built program would with --last.
func (w *world) run(last time.Duration, change func(*Config)) night {
	w.t.Helper()
	now := fetcher.Wall(time.Now(), w.zone)
	from := fetcher.DateOf(now.Add(-last))
	start, _ := fetcher.ParseWall(string(from))
	config := Config{
		Run: manifest.NewRunID(time.Now()), APIURL: "https://api.test/v1", Zone: w.zone, Order: Expiring,
		Settle: 48 * time.Hour, PurgeAfter: 155 * 24 * time.Hour, GiveUp: 14 * 24 * time.Hour, RetryFor: 10 * time.Minute,
		Calls: AllCalls, Workers: 4, Grace: 20 * time.Second,
		Span: Span{From: start, To: now, CatchUp: true},
	}
	if change != nil {
		change(&config)
	}
	hosts, err := fetcher.ParseAllowedHosts([]string{"https://media.test"})
	if err != nil {
		w.t.Fatal(err)
	}
	client, err := fetcher.New(fetcher.Options{
		APIURL: config.APIURL, Token: "token", Zone: w.zone, AllowHosts: hosts, Transport: w, RetryFor: config.RetryFor,
		Retry: retry.Policy{}, Logger: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		w.t.Fatal(err)
	}
	defer client.Close()
	opened, err := Open(context.Background(), Location{Folder: w.dir}, Archive, config.Run, slog.New(slog.DiscardHandler))
	if err != nil {
		w.t.Fatal(err)
	}
	template, err := key.Parse("{{.filename}}")
	if err != nil {
		w.t.Fatal(err)
	}
	a := &Archiver{Config: config, Source: client, Store: opened.Store, Ledger: opened.Ledger, Keys: template, Logger: w.log()}
	w.mu.Lock()
	w.asked, w.listings = 0, 0
	w.mu.Unlock()
	for _, t := range w.troubles {
		if w.has(t.kind) {
			w.log().Info("trouble", "kind", t.kind, "until", t.to, "n", t.n)
		}
	}
	err = a.Run(context.Background())
	if closeErr := opened.Close(context.Background()); closeErr != nil {
		w.t.Fatal(closeErr)
	}
	return night{Summary: a.Summary(), err: err, asked: w.asked, listings: w.listings}
}

// nights makes a run each night and returns the last.
func (w *world) nights(n int, change func(*Config)) (last night) {
	for range n {
		last = w.run(7*24*time.Hour, change)
		w.sleepUntilNight()
	}
	return last
}

// sleepUntilNight sleeps until 02:00.
func (w *world) sleepUntilNight() {
	now := time.Now().In(w.zone)
	time.Sleep(time.Date(now.Year(), now.Month(), now.Day()+1, 2, 0, 0, 0, w.zone).Sub(now))
}

// ledger reads the archive's state of a day.
func (w *world) ledger(day fetcher.Date) (states map[string]manifest.State, status manifest.Status) {
	w.t.Helper()
	opened, err := Open(context.Background(), Location{Folder: w.dir}, Read, "", slog.New(slog.DiscardHandler))
	if err != nil {
		w.t.Fatal(err)
	}
	defer opened.Close(context.Background())
	if status, err = opened.Ledger.Status(context.Background(), string(day)); err != nil {
		w.t.Fatal(err)
	}
	d, err := opened.Ledger.Load(context.Background(), string(day))
	if err != nil {
		w.t.Fatal(err)
	}
	states = map[string]manifest.State{}
	for id, s := range d.Recordings() {
		states[id] = s
	}
	return states, status
}

func (w *world) isClosed(day fetcher.Date) bool {
	_, status := w.ledger(day)
	_, closed := status.Line("")
	return closed
}

// dayOf returns the date of an instant in the account's zone.
func (w *world) dayOf(at time.Time) fetcher.Date { return fetcher.DateOf(fetcher.Wall(at, w.zone)) }

// log returns a logger for the test's output, enabled with -v and LOG=1.
func (w *world) log() *slog.Logger {
	if os.Getenv("LOG") == "" {
		return slog.New(slog.DiscardHandler)
	}
	return slog.New(slog.NewTextHandler(w.t.Output(), nil))
}
