package archiver

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io/fs"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"convoso-archiver/archiver/key"
	"convoso-archiver/archiver/store"
	"convoso-archiver/fetcher"
	"convoso-archiver/fetcher/convosotest"
	"convoso-archiver/internal/retry"
	"convoso-archiver/manifest"
)

const (
	oneDay = 24 * time.Hour
	noon   = " 12:00:00" // of a date
	token  = "test-token"
)

// daysAgo returns a date in the account's zone.
func daysAgo(t *testing.T, n int) fetcher.Date {
	t.Helper()
	return fetcher.DateOf(fetcher.Wall(time.Now(), losAngeles(t))).AddDays(-n)
}

// instant reads a wall-clock time of the account's zone as the instant it is.
func instant(t *testing.T, wall string) time.Time {
	t.Helper()
	w := at(t, wall)
	return time.Date(w.Year(), w.Month(), w.Day(), w.Hour(), w.Minute(), w.Second(), 0, losAngeles(t))
}

func spanOf(t *testing.T, from, to fetcher.Date) Span {
	t.Helper()
	return Span{From: at(t, string(from)), To: at(t, string(to)+" 23:59:59")}
}

// simulate starts a simulator with small recordings.
func simulate(t *testing.T, config convosotest.Config) *convosotest.Server {
	t.Helper()
	if config.MedianSize == 0 {
		config.MedianSize = 3000
	}
	if config.RecordedShare == 0 {
		config.RecordedShare = 1
	}
	server, err := convosotest.New(config)
	if err != nil {
		t.Fatal(err)
	}
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = server.Close() })
	return server
}

// archive is one destination folder, filled by one run after another.
type archive struct {
	t                 *testing.T
	api, media, token string
	dir               string
	pageSize          int // 0 for the client's own
}

// archiveOf returns an empty archive of the simulator's account.
func archiveOf(t *testing.T, server *convosotest.Server) *archive {
	t.Helper()
	return &archive{t: t, api: server.APIURL(), media: server.MediaURL(), token: server.Token(), dir: t.TempDir()}
}

// setup is what a test may change of a run before it begins.
type setup struct {
	*Archiver
	client *fetcher.Client
	finish func() // lets go of everything; called at the test's end in any case
}

// open prepares a run on real parts: client, folder and manifest.
func (a *archive) open() *setup {
	a.t.Helper()
	hosts, err := fetcher.ParseAllowedHosts([]string{a.media})
	if err != nil {
		a.t.Fatal(err)
	}
	zone := losAngeles(a.t)
	client, err := fetcher.New(fetcher.Options{
		APIURL: a.api, Token: fetcher.Secret(a.token), Zone: zone, AllowHosts: hosts, PageSize: a.pageSize,
		Retry:  retry.Policy{Tries: 3, Initial: time.Millisecond, Max: time.Millisecond},
		Logger: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		a.t.Fatal(err)
	}
	keys, err := key.Parse("{{.filename}}")
	if err != nil {
		a.t.Fatal(err)
	}
	s := &setup{client: client, Archiver: &Archiver{
		Source: client, Keys: keys, Logger: slog.New(slog.DiscardHandler),
		Config: Config{
			Run: manifest.NewRunID(time.Now()), APIURL: a.api, Zone: zone, Order: Ascending,
			Settle: 2 * oneDay, PurgeAfter: 155 * oneDay, GiveUp: 14 * oneDay, Workers: 4, Storing: 4, Grace: time.Minute,
		},
	}}
	disk, err := store.OpenDisk(a.dir, store.DiskOptions{Owner: func(ctx context.Context, key string) (string, error) {
		return s.Ledger.Owner(ctx, key)
	}})
	if err != nil {
		a.t.Fatal(err)
	}
	s.Store = disk
	if s.Ledger, err = manifest.OpenDir(disk.Root(), manifest.Options{Run: s.Config.Run}); err != nil {
		a.t.Fatal(err)
	}
	s.finish = sync.OnceFunc(func() {
		client.Close()
		if err := errors.Join(s.Ledger.Close(context.Background()), disk.Close()); err != nil {
			a.t.Error(err)
		}
	})
	a.t.Cleanup(s.finish)
	return s
}

// run runs over whole days, lets go of the archive and returns what Run did.
func (a *archive) run(from, to fetcher.Date, change func(*setup)) (Summary, error) {
	a.t.Helper()
	s := a.open()
	s.Config.Span = spanOf(a.t, from, to)
	if change != nil {
		change(s)
	}
	err := s.Run(a.t.Context())
	s.finish()
	return s.Summary(), err
}

// mustRun is run for one day, for a run that must not end with an error.
func (a *archive) mustRun(day fetcher.Date, change func(*setup)) Summary {
	a.t.Helper()
	summary, err := a.run(day, day, change)
	if err != nil {
		a.t.Fatal(err)
	}
	return summary
}

// runAt works the days one after another at a time of the test's choosing.
func (a *archive) runAt(now time.Time, days []plannedDay, change func(*setup)) Summary {
	a.t.Helper()
	s := a.open()
	if change != nil {
		change(s)
	}
	r := s.prepare(a.t.Context())
	r.now = func() time.Time { return now }
	work := withWorkers(r)
	for _, day := range days {
		if err := r.workDay(day); err != nil {
			a.t.Fatal(err)
		}
	}
	work()
	if err := r.settleHeld(); err != nil {
		a.t.Fatal(err)
	}
	r.kill()
	s.finish()
	return s.Summary()
}

// withWorkers starts the run's workers. The function it returns ends them.
func withWorkers(r *run) (end func()) {
	var workers sync.WaitGroup
	for range r.config.Workers + r.config.Storing {
		workers.Go(r.worker)
	}
	return func() {
		close(r.jobs)
		workers.Wait()
	}
}

// wholeDay plans a day of which everything is asked for.
func wholeDay(day fetcher.Date) plannedDay {
	return plannedDay{date: day, span: day.Window(), whole: true}
}

// note writes lines of a day before a run, as earlier runs have left them.
func (a *archive) note(day fetcher.Date, lines ...manifest.Recording) {
	a.t.Helper()
	s := a.open()
	defer s.finish()
	d, err := s.Ledger.Day(a.t.Context(), string(day))
	if err != nil {
		a.t.Fatal(err)
	}
	defer d.Release()
	for _, line := range lines {
		if err := d.Note(a.t.Context(), line); err != nil {
			a.t.Fatal(err)
		}
	}
}

// manifestLine has the fields of every kind of line that tests look at.
type manifestLine struct {
	Kind string `json:"kind"`
	manifest.Recording
	Calls    int       `json:"calls"`
	Filter   string    `json:"filter"`
	ListedAt time.Time `json:"listed_at"`
}

// lines returns a day's lines of one kind.
func (a *archive) lines(day fetcher.Date, kind string) []manifestLine {
	a.t.Helper()
	data, err := os.ReadFile(filepath.Join(a.dir, "manifest", string(day)+".jsonl"))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		a.t.Fatal(err)
	}
	var found []manifestLine
	for text := range bytes.Lines(data) {
		var line manifestLine
		if err := json.Unmarshal(text, &line); err != nil {
			a.t.Fatal(err)
		}
		if line.Kind == kind {
			found = append(found, line)
		}
	}
	return found
}

// recordings returns the last line of each recording of a day.
func (a *archive) recordings(day fetcher.Date) map[string]manifestLine {
	a.t.Helper()
	last := map[string]manifestLine{}
	for _, line := range a.lines(day, "recording") {
		last[line.RecordingID] = line
	}
	return last
}

// closed reports whether the day is closed.
func (a *archive) closed(day fetcher.Date) bool {
	a.t.Helper()
	s := a.open()
	defer s.finish()
	return isClosed(a.t, s, day)
}

func isClosed(t *testing.T, s *setup, day fetcher.Date) bool {
	t.Helper()
	status, err := s.Ledger.Status(t.Context(), string(day))
	if err != nil {
		t.Fatal(err)
	}
	return status.Closed
}

// vendor is an API and a media host whose rows and answers the test writes itself,
// for what the simulator does not do.
type vendor struct {
	*httptest.Server

	mu     sync.Mutex
	rows   map[fetcher.Date][]row // by the day that is asked for
	asked  map[string]int         // requests by recording
	status map[string]int         // answers other than 200, by recording
	bodies map[string][]byte      // other than some MP3, by recording
	ahead  time.Duration          // of the Date header

	onPage  func(day fetcher.Date, offset int) // before a page is answered
	onAudio func(recording string)             // before a recording is answered
}

// row is one call.
type row struct {
	ID     string         `json:"id"`
	Date   string         `json:"call_date"`
	Length string         `json:"call_length"`
	Found  []vendorRecord `json:"recording"`
	Pad    string         `json:"agent_comment,omitempty"`
}

// vendorRecord is a recording as the API lists it; nil stands for null.
type vendorRecord struct {
	ID       *string `json:"recording_id"`
	Filename string  `json:"filename"`
	Link     *string `json:"public_url"`
}

func newVendor(t *testing.T) *vendor {
	t.Helper()
	v := &vendor{rows: map[fetcher.Date][]row{}, asked: map[string]int{}, status: map[string]int{}, bodies: map[string][]byte{}}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /log/retrieve", v.list)
	mux.HandleFunc("GET /audio/{recording}", v.audio)
	v.Server = httptest.NewServer(mux)
	t.Cleanup(v.Close)
	return v
}

// archive returns an empty archive of this vendor's account.
func (v *vendor) archive(t *testing.T) *archive {
	t.Helper()
	return &archive{t: t, api: v.URL, media: v.URL, token: token, dir: t.TempDir()}
}

func (v *vendor) list(w http.ResponseWriter, r *http.Request) {
	query := r.URL.Query()
	start, _ := fetcher.ParseWall(query.Get("start_time"))
	day := fetcher.DateOf(start.Add(time.Second))
	offset, _ := strconv.Atoi(query.Get("offset"))
	limit, _ := strconv.Atoi(query.Get("limit"))
	v.mu.Lock()
	rows, onPage, ahead := v.rows[day], v.onPage, v.ahead
	v.mu.Unlock()
	if onPage != nil {
		onPage(day, offset)
	}
	from := min(offset, len(rows))
	page := map[string]any{"success": true, "data": map[string]any{
		"total_found": len(rows), "results": slices.Concat([]row{}, rows[from:min(from+limit, len(rows))]),
	}}
	w.Header().Set("Date", time.Now().Add(ahead).UTC().Format(http.TimeFormat))
	_ = json.NewEncoder(w).Encode(page) // the client may have gone
}

func (v *vendor) audio(w http.ResponseWriter, r *http.Request) {
	id := r.PathValue("recording")
	v.mu.Lock()
	v.asked[id]++
	status, body, onAudio := v.status[id], v.bodies[id], v.onAudio
	v.mu.Unlock()
	if onAudio != nil {
		onAudio(id)
	}
	if status != 0 {
		w.Header().Set("Location", "https://other.invalid/") // for a status that redirects
		w.WriteHeader(status)
		return
	}
	if body == nil {
		body = someMP3()
	}
	_, _ = w.Write(body) // the client may have gone
}

// requests returns how often each recording was asked for.
func (v *vendor) requests() map[string]int {
	v.mu.Lock()
	defer v.mu.Unlock()
	return maps.Clone(v.asked)
}

// change changes what the vendor holds.
func (v *vendor) change(change func(*vendor)) {
	v.mu.Lock()
	defer v.mu.Unlock()
	change(v)
}

// recording returns one with an id, a name and a link.
func (v *vendor) recording(id string) vendorRecord {
	link := v.URL + "/audio/" + id
	return vendorRecord{ID: &id, Filename: id + ".mp3", Link: &link}
}

// callAt returns a call on a day at a time of day, with its recordings.
func callAt(id string, day fetcher.Date, clock string, found ...vendorRecord) row {
	if found == nil {
		found = []vendorRecord{}
	}
	return row{ID: id, Date: string(day) + clock, Length: "1", Found: found}
}

// someMP3 returns a second and a half of frames like the vendor's.
func someMP3() []byte {
	frame := make([]byte, 576)
	copy(frame, "\xff\xe3\x88\xc4")
	return bytes.Repeat(frame, 20)
}

// someWAV returns a whole WAV file.
func someWAV() []byte {
	const samples = 800
	file := append([]byte("RIFF"), 36+samples&0xff, (36+samples)>>8, 0, 0)
	file = append(file, "WAVEfmt \x10\x00\x00\x00\x01\x00\x01\x00\x40\x1f\x00\x00\x40\x1f\x00\x00\x01\x00\x08\x00data"...)
	file = append(file, samples&0xff, samples>>8, 0, 0)
	return append(file, bytes.Repeat([]byte{0x80}, samples)...)
}

// read returns the file under a key.
func (a *archive) read(key string) ([]byte, error) {
	return os.ReadFile(filepath.Join(a.dir, filepath.FromSlash(key)))
}
