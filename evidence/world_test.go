package evidence

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"

	"convoso-archiver/manifest"
)

// folderStore is a folder of recordings.
type folderStore string

func (s folderStore) Open(_ context.Context, key string) (io.ReadCloser, error) {
	return os.Open(filepath.Join(string(s), filepath.FromSlash(key)))
}

// world is an archive in a folder, with keys to seal it.
type world struct {
	t      *testing.T
	dir    string
	signer ssh.Signer
	now    time.Time
	head   Head

	campaigns []string // of the calls of keepDay, by number; nil for none
}

func newSigner(t *testing.T) ssh.Signer {
	t.Helper()
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	signer, err := ssh.NewSignerFromKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return signer
}

func newWorld(t *testing.T) *world {
	w := &world{t: t, dir: t.TempDir(), signer: newSigner(t), now: time.Date(2026, 3, 10, 9, 0, 0, 0, time.UTC)}
	w.write(func(l *manifest.Ledger) {
		w.must(l.SaveArchive(t.Context(), manifest.Archive{AccountID: "100200", APIURL: "https://api.example.com/v1", TimeZone: "America/Los_Angeles"}))
	})
	return w
}

func (w *world) must(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

// open opens the ledger until the test ends or close is called.
func (w *world) open(readOnly bool) (l *manifest.Ledger, end func()) {
	w.t.Helper()
	root, err := os.OpenRoot(w.dir)
	w.must(err)
	l, err = manifest.OpenDir(root, manifest.Options{ReadOnly: readOnly})
	w.must(err)
	return l, func() {
		w.must(l.Close(context.WithoutCancel(w.t.Context())))
		w.must(root.Close())
	}
}

func (w *world) write(change func(l *manifest.Ledger)) {
	w.t.Helper()
	l, end := w.open(false)
	defer end()
	change(l)
}

// keepDay makes a day with small recordings, and closes it.
func (w *world) keepDay(day string, recordings int) {
	w.t.Helper()
	w.write(func(l *manifest.Ledger) {
		ctx := w.t.Context()
		d, err := l.Load(ctx, day)
		w.must(err)
		var calls []manifest.Call
		var lines []manifest.Recording
		for i := range recordings {
			id := fmt.Sprintf("%s-%d", day, i)
			body := []byte("audio of " + id)
			key := day + "/" + id + ".mp3"
			w.must(os.MkdirAll(filepath.Join(w.dir, day), 0o700))
			w.must(os.WriteFile(filepath.Join(w.dir, key), body, 0o600))
			sum := sha256.Sum256(body)
			row := `{"id":"c` + id + `","number":"555"}`
			if i < len(w.campaigns) {
				row = `{"id":"c` + id + `","campaign_id":"` + w.campaigns[i] + `"}`
			}
			calls = append(calls, manifest.Call{CallID: "c" + id, Time: w.now, Row: json.RawMessage(row)})
			lines = append(lines, manifest.Recording{
				RecordingID: id, Outcome: manifest.Archived, Key: key, Size: int64(len(body)), SHA256: hex.EncodeToString(sum[:]),
				Time: w.now, CallID: "c" + id, Attempts: 1, ContentType: "audio/mpeg", Host: "media.example.com",
			})
		}
		w.must(d.NoteCalls(ctx, calls))
		w.must(d.Note(ctx, lines...))
		w.must(d.NoteWindows(ctx, manifest.Window{From: day + " 00:00:00", To: day + " 23:59:59", Rows: recordings, Total: recordings, Calls: recordings, Recordings: recordings, Whole: true, ListedAt: w.now, Time: w.now}))
		w.must(d.Close(ctx, manifest.DayLine{Kept: []string{"calls", "recordings"}, ListedAt: w.now, Calls: recordings, Time: w.now}))
	})
	w.now = w.now.Add(time.Hour)
}

// seal seals, and stores the head.
func (w *world) seal() Sealed {
	w.t.Helper()
	var made Sealed
	w.write(func(l *manifest.Ledger) {
		var err error
		made, err = (&Sealing{Ledger: l, Signer: w.signer, Now: w.now}).Run(w.t.Context())
		w.must(err)
	})
	head, err := ParseHead(made.Head)
	w.must(err)
	w.head, w.now = head, w.now.Add(time.Hour)
	return made
}

func (w *world) allowed() []AllowedSigner {
	w.t.Helper()
	signers, err := ParseAllowedSigners([]byte(`archive namespaces="` + Namespace + `" ` + string(ssh.MarshalAuthorizedKey(w.signer.PublicKey()))))
	w.must(err)
	return signers
}

// audit audits a folder, which may be a copy.
func (w *world) audit(dir string) Audited {
	w.t.Helper()
	copied := *w
	copied.dir = dir
	l, end := copied.open(true)
	defer end()
	a := &Audit{Ledger: l, Allowed: w.allowed(), Head: &w.head, Store: folderStore(dir), Workers: 2, Now: w.now}
	made, err := a.Run(w.t.Context())
	w.must(err)
	return made
}

// three returns an archive with three seals: over four days, over one more, and over a day that was
// closed again.
func three(t *testing.T) *world {
	w := newWorld(t)
	for _, day := range []string{"2026-03-01", "2026-03-02", "2026-03-03", "2026-03-04"} {
		w.keepDay(day, 5)
	}
	w.seal()
	w.keepDay("2026-03-05", 3)
	w.must(os.MkdirAll(filepath.Join(w.dir, "evidence"), 0o700))
	w.must(os.WriteFile(filepath.Join(w.dir, "evidence", "note-20260310T090000Z-00000000-000001.jsonl"), []byte(`{"v":1,"kind":"note"}`+"\n"), 0o600))
	w.seal()
	w.keepDay("2026-03-02", 6)
	w.seal()
	return w
}
