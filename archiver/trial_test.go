package archiver

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"convoso-archiver/archiver/key"
	"convoso-archiver/archiver/store"
	"convoso-archiver/fetcher"
	"convoso-archiver/manifest"
)

// oneDay is the length of most days.
const oneDay = 24 * time.Hour

// trial is one run with more options than [world.run]. The zero value requests the last seven days.
type trial struct {
	ctx      context.Context
	config   func(*Config)
	vendor   http.RoundTripper // nil: the world itself
	template string
	access   Access                  // zero: Archive, because no run uses Read
	store    func(store Store) Store // replaces the store
	bucket   manifest.Objects        // holds the manifest; nil: the folder holds it
	begin    func(*Archiver)         // called before the run
	source   func(*fetcher.Options)
}

// try makes a run.
func (w *world) try(o trial) night {
	w.t.Helper()
	now := fetcher.Wall(time.Now(), w.zone)
	start, _ := fetcher.ParseWall(string(fetcher.DateOf(now).AddDays(-7)))
	config := Config{
		Run: manifest.NewRunID(time.Now()), APIURL: "https://api.test/v1", Zone: w.zone, Order: Expiring,
		Settle: 2 * oneDay, PurgeAfter: 155 * oneDay, GiveUp: 14 * oneDay, RetryFor: 10 * time.Minute,
		Calls: AllCalls, Workers: 4, Grace: 20 * time.Second, Span: Span{From: start, To: now},
	}
	if o.config != nil {
		o.config(&config)
	}
	if o.vendor == nil {
		o.vendor = w
	}
	if o.access == Read {
		o.access = Archive
	}
	if o.ctx == nil {
		o.ctx = context.Background()
	}
	client := w.client(o.vendor, config.RetryFor, o.source)
	defer client.Close()
	opened, err := Open(context.Background(), Location{Folder: w.dir}, o.access, config.Run, slog.New(slog.DiscardHandler))
	if err != nil {
		w.t.Fatal(err)
	}
	ledger := opened.Ledger
	if o.bucket != nil {
		if ledger, err = manifest.OpenBucket(o.bucket, manifest.Options{Run: config.Run, ReadOnly: config.DryRun}); err != nil {
			w.t.Fatal(err)
		}
	}
	a := &Archiver{Config: config, Source: client, Store: opened.Store, Ledger: ledger, Keys: w.keys(o.template), Logger: w.log()}
	if o.store != nil {
		a.Store = o.store(opened.Store)
	}
	if o.begin != nil {
		o.begin(a)
	}
	w.mu.Lock()
	w.asked, w.listings = 0, 0
	w.mu.Unlock()
	err = a.Run(o.ctx)
	if o.bucket != nil {
		_ = ledger.Close(context.Background()) // the store may be failing
	}
	if closeErr := opened.Close(context.Background()); closeErr != nil {
		w.t.Fatal(closeErr)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	return night{Summary: a.Summary(), err: err, asked: w.asked, listings: w.listings}
}

func (w *world) client(vendor http.RoundTripper, retryFor time.Duration, changes ...func(*fetcher.Options)) *fetcher.Client {
	hosts, err := fetcher.ParseAllowedHosts([]string{"https://media.test", "https://other.test"})
	if err != nil {
		w.t.Fatal(err)
	}
	options := fetcher.Options{
		APIURL: "https://api.test/v1", Token: "token", Zone: w.zone, AllowHosts: hosts, Transport: vendor, RetryFor: retryFor,
		Logger: slog.New(slog.DiscardHandler),
	}
	for _, change := range changes {
		if change != nil {
			change(&options)
		}
	}
	client, err := fetcher.New(options)
	if err != nil {
		w.t.Fatal(err)
	}
	return client
}

func (w *world) keys(template string) *key.Template {
	if template == "" {
		template = "{{.filename}}"
	}
	keys, err := key.Parse(template)
	if err != nil {
		w.t.Fatal(err)
	}
	return keys
}

// inBubble runs a test with a world in a synctest bubble, two hundred days after the bubble's clock
// began.
func inBubble(t *testing.T, f func(t *testing.T, w *world)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		time.Sleep(200 * oneDay)
		w.sleepUntilNight()
		f(t, w)
	})
}

// ago returns the date the given number of days before today.
func (w *world) ago(days int) fetcher.Date { return w.dayOf(time.Now()).AddDays(-days) }

// recordedCalls adds n calls with a recording each to a day, a minute apart, from 09:00.
func (w *world) recordedCalls(day fetcher.Date, n int) (recordings []*worldRecording) {
	for i := range n {
		c := w.call(fmt.Sprintf("%s %02d:%02d:00", day, 9+i/60, i%60), 1)
		recordings = append(recordings, c.recorded...)
	}
	return recordings
}

// spanOf returns the span of whole days.
func spanOf(from, to fetcher.Date) func(*Config) {
	return func(c *Config) {
		c.Span.From, _ = fetcher.ParseWall(string(from))
		c.Span.To, _ = fetcher.ParseWall(string(to) + " 23:59:59")
	}
}

// all combines several changes.
func all(changes ...func(*Config)) func(*Config) {
	return func(c *Config) {
		for _, change := range changes {
			change(c)
		}
	}
}

// hooked is a world where a test answers some requests itself; nil means the world's own answer.
type hooked struct {
	*world
	page  func(*http.Request) *http.Response
	audio func(r *http.Request, token string) (*http.Response, error)
}

func (h *hooked) RoundTrip(r *http.Request) (*http.Response, error) {
	var answer *http.Response
	err := r.Context().Err()
	switch {
	case err != nil:
	case r.URL.Host == "api.test" && h.page != nil:
		answer = h.page(r)
	case r.URL.Host != "api.test" && h.audio != nil:
		answer, err = h.audio(r, tokenOf(r))
	}
	if r.Context().Err() != nil {
		err = r.Context().Err() // like a connection
	}
	if err != nil {
		return nil, err
	}
	if answer == nil {
		return h.world.RoundTrip(r)
	}
	answer.Request = r
	return answer, nil
}

// tokenOf returns the token of the recording in a request.
func tokenOf(r *http.Request) string {
	raw, _ := base64.StdEncoding.DecodeString(path.Base(r.URL.Path))
	_, token, _ := strings.Cut(string(raw), "u_id%22%3A%22")
	token, _, _ = strings.Cut(token, "%22")
	return token
}

// answered makes an answer with a length.
func answered(status int, body []byte, header ...string) *http.Response {
	recorder := httptest.NewRecorder()
	for i := 0; i < len(header); i += 2 {
		recorder.Header().Set(header[i], header[i+1])
	}
	recorder.WriteHeader(status)
	_, _ = recorder.Write(body)
	answer := recorder.Result()
	answer.ContentLength = int64(len(body))
	return answer
}

// day reads the ledger of a day.
func (w *world) day(date fetcher.Date) *manifest.Day {
	w.t.Helper()
	opened, err := Open(context.Background(), Location{Folder: w.dir}, Read, "", slog.New(slog.DiscardHandler))
	if err != nil {
		w.t.Fatal(err)
	}
	defer opened.Close(context.Background())
	d, err := opened.Ledger.Load(context.Background(), string(date))
	if err != nil {
		w.t.Fatal(err)
	}
	return d
}

// state returns the ledger's state of a recording.
func (w *world) state(date fetcher.Date, r *worldRecording) manifest.State {
	w.t.Helper()
	s, _ := w.day(date).Recording(r.id)
	return s
}

// told summarizes the state of a recording.
func told(s manifest.State) string {
	return fmt.Sprintf("%s (final %v, %s: %s) under %q, %d bytes", s.Outcome, s.Final, s.Cause, s.Reason, s.Key, s.Size)
}

// note writes lines before a run, as if earlier runs had written them.
func (w *world) note(date fetcher.Date, lines ...manifest.Recording) {
	w.t.Helper()
	opened, err := Open(context.Background(), Location{Folder: w.dir}, Archive, "", slog.New(slog.DiscardHandler))
	if err != nil {
		w.t.Fatal(err)
	}
	defer opened.Close(context.Background())
	d, err := opened.Ledger.Load(context.Background(), string(date))
	if err == nil {
		err = d.Note(context.Background(), lines...)
	}
	if err != nil {
		w.t.Fatal(err)
	}
}

// put writes a file into the archive's folder.
func (w *world) put(name string, data []byte) {
	w.t.Helper()
	file := filepath.Join(w.dir, filepath.FromSlash(name))
	if err := errors.Join(os.MkdirAll(filepath.Dir(file), 0o700), os.WriteFile(file, data, 0o600)); err != nil {
		w.t.Fatal(err)
	}
}

// mustBeWhole fails unless every archived recording of a day is stored under its key, and no two
// recordings of all days share a key.
func (w *world) mustBeWhole(days ...fetcher.Date) {
	w.t.Helper()
	audio := map[string][]byte{}
	for _, c := range w.calls {
		for _, r := range c.recorded {
			audio[r.id] = r.audio()
		}
	}
	users := map[string]string{}
	for _, date := range days {
		for id, s := range w.day(date).Recordings() {
			if s.Outcome != manifest.Archived {
				continue
			}
			if other, shared := users[s.Key]; shared {
				w.t.Errorf("recordings %s and %s share a key", id, other)
			}
			users[s.Key] = id
			got, err := os.ReadFile(filepath.Join(w.dir, filepath.FromSlash(s.Key)))
			if err != nil || audio[id] != nil && !bytes.Equal(got, audio[id]) {
				w.t.Errorf("recording %s of %s does not stand under its key: %v", id, date, err)
			}
		}
	}
}

// files lists the files below the archive's folder, except the lock.
func (w *world) files() (names []string) {
	w.t.Helper()
	err := filepath.WalkDir(w.dir, func(name string, entry fs.DirEntry, err error) error {
		if err == nil && !entry.IsDir() && !strings.HasSuffix(name, "lock") {
			names = append(names, strings.TrimPrefix(name, w.dir+string(filepath.Separator)))
		}
		if errors.Is(err, fs.ErrNotExist) { // a run removed it meanwhile
			return nil
		}
		return err
	})
	if err != nil {
		w.t.Fatal(err)
	}
	return names
}

// memoryBucket is a bucket for a manifest, with a delay per request and failures chosen by a test.
// A real one is in internal/e2e.
type memoryBucket struct {
	mu    sync.Mutex
	files map[string][]byte
	puts  []string // names in the order in which they were stored

	delay time.Duration           // only for read-only ledgers: the bubble's clock stops while a goroutine waits for a mutex
	put   func(name string) error // before storing
	get   func(name string) error
}

func newBucket() *memoryBucket { return &memoryBucket{files: map[string][]byte{}} }

func (b *memoryBucket) GetFile(ctx context.Context, name string) (io.ReadCloser, string, error) {
	time.Sleep(b.delay)
	if b.get != nil {
		if err := b.get(name); err != nil {
			return nil, "", err
		}
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	data, there := b.files[name]
	if !there {
		return nil, "", fs.ErrNotExist
	}
	return io.NopCloser(bytes.NewReader(data)), fmt.Sprintf("%x", hashed(string(data))), ctx.Err()
}

func (b *memoryBucket) PutFile(ctx context.Context, name string, body []byte, ifTag string) error {
	time.Sleep(b.delay)
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if b.put != nil {
		if err := b.put(name); err != nil {
			return err
		}
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	tag := ""
	if data, there := b.files[name]; there {
		tag = fmt.Sprintf("%x", hashed(string(data)))
	}
	if tag != ifTag {
		return fs.ErrExist
	}
	b.files[name] = bytes.Clone(body)
	b.puts = append(b.puts, name)
	return nil
}

func (b *memoryBucket) ListFiles(ctx context.Context, prefix string) iter.Seq2[fs.FileInfo, error] {
	time.Sleep(b.delay)
	b.mu.Lock()
	names := slices.Sorted(maps.Keys(b.files))
	b.mu.Unlock()
	return func(yield func(fs.FileInfo, error) bool) {
		for _, name := range names {
			b.mu.Lock()
			size := len(b.files[name])
			b.mu.Unlock()
			if strings.HasPrefix(name, prefix) && !yield(bucketFile{name, int64(size)}, ctx.Err()) {
				return
			}
		}
	}
}

// bucketFile is one entry of a listing.
type bucketFile struct {
	name string
	size int64
}

func (f bucketFile) Name() string       { return f.name }
func (f bucketFile) Size() int64        { return f.size }
func (f bucketFile) Mode() fs.FileMode  { return 0o600 }
func (f bucketFile) ModTime() time.Time { return time.Unix(0, 0) }
func (f bucketFile) IsDir() bool        { return false }
func (f bucketFile) Sys() any           { return nil }

// busyStore returns the error of a real busy store. It must be called outside of bubbles.
func busyStore(t *testing.T) error {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusServiceUnavailable)
	}))
	defer server.Close()
	for name, value := range map[string]string{
		"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "AWS_REGION": "us-east-1", "AWS_EC2_METADATA_DISABLED": "true",
		"AWS_CONFIG_FILE": os.DevNull, "AWS_SHARED_CREDENTIALS_FILE": os.DevNull, "AWS_PROFILE": "",
	} {
		t.Setenv(name, value)
	}
	s, err := store.OpenS3(t.Context(), store.S3Options{Bucket: "bucket", Endpoint: server.URL, TempDir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	_, err = s.Put(t.Context(), store.Object{Key: "a", Body: strings.NewReader("a"), Size: 1, RecordingID: "1"})
	if !store.IsRetriable(err) {
		t.Fatalf("not an error that passes: %v", err)
	}
	return err
}

// read returns the content of a file of the archive.
func (w *world) read(name string) string {
	w.t.Helper()
	data, err := os.ReadFile(filepath.Join(w.dir, filepath.FromSlash(name)))
	if err != nil {
		w.t.Fatal(err)
	}
	return string(data)
}

// waitFor is a body that blocks until its request ends.
type waitFor struct{ r *http.Request }

func (w waitFor) Read([]byte) (int, error) {
	<-w.r.Context().Done()
	return 0, w.r.Context().Err()
}
