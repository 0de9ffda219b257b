package report

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"convoso-archiver/manifest"
)

// ledger opens the ledger of a folder.
func ledger(t testing.TB, dir string, readOnly bool) *manifest.Ledger {
	t.Helper()
	root, err := os.OpenRoot(dir)
	if err != nil {
		t.Fatal(err)
	}
	l, err := manifest.OpenDir(root, manifest.Options{ReadOnly: readOnly})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := l.Close(context.Background()); err != nil {
			t.Error(err)
		}
		_ = root.Close() // read only
	})
	return l
}

// writeDay writes a day with one recording of each outcome, and a window.
func writeDay(t *testing.T, l *manifest.Ledger, name string, closes bool, list ...manifest.Outcome) {
	t.Helper()
	d := load(t, l, name)
	for i, o := range list {
		r := manifest.Recording{RecordingID: fmt.Sprint(name, "-", i), CallID: fmt.Sprint("call-", i), Outcome: o, Attempts: 1, Reason: "a reason", Final: closes}
		if o == manifest.Archived {
			r.Key, r.Size, r.SHA256 = fmt.Sprint("5551234567-", name, i), 1000, strings.Repeat("1f", 32)
		}
		if err := d.Note(t.Context(), r); err != nil {
			t.Fatal(err)
		}
	}
	w := listed(name, 10)
	w.ListedAt = time.Now()
	if err := d.NoteWindows(t.Context(), w); err != nil {
		t.Fatal(err)
	}
	if closes {
		if err := d.Close(t.Context(), manifest.DayLine{Kept: []string{"recordings"}, Calls: 10}); err != nil {
			t.Fatal(err)
		}
	}
}

func load(t testing.TB, l *manifest.Ledger, name string) *manifest.Day {
	t.Helper()
	d, err := l.Load(context.Background(), name)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// segment returns the only segment of a day.
func segment(t *testing.T, dir, name string) string {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(dir, "manifest", name, "*.jsonl"))
	if err != nil || len(names) != 1 {
		t.Fatalf("%s has %d segments, %v", name, len(names), err)
	}
	return names[0]
}

func appendTo(t *testing.T, file, text string) {
	t.Helper()
	f, err := os.OpenFile(file, os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteString(text); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
}

// TestRead reads, while another run holds the lock, an archive with a day of each kind.
func TestRead(t *testing.T) {
	dir := t.TempDir()
	writer := ledger(t, dir, false)
	a, lost, failed := manifest.Archived, manifest.Lost, manifest.Failed
	writeDay(t, writer, "2025-05-01", true, a, a, lost)
	writeDay(t, writer, "2025-05-02", true, a)
	writeDay(t, writer, "2025-05-03", false, a, failed)
	writeDay(t, writer, "2025-05-04", true, a) // reopened below
	writeDay(t, writer, "2025-05-05", true, a, lost)
	writeDay(t, writer, "2025-05-06", true, a)
	writeDay(t, writer, "2025-05-07", true, a, failed, lost)
	writeDay(t, writer, "2025-05-08", false, a, failed)
	calls := load(t, writer, "2025-05-09")
	if err := calls.NoteCalls(t.Context(), []manifest.Call{{CallID: "1", Row: json.RawMessage(`{}`)}}); err != nil {
		t.Fatal(err)
	}
	if err := load(t, writer, "2025-05-04").Note(t.Context(), manifest.Recording{RecordingID: "new", Outcome: failed}); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(segment(t, dir, "2025-05-05")); err != nil {
		t.Fatal(err)
	}
	edit(t, filepath.Join(dir, "manifest", "2025-05-06", "closed.json"), `"closed":true`, `"closed":false`)
	edit(t, segment(t, dir, "2025-05-08"), `"kind":"recording"`, `"kind":"recording`)
	appendTo(t, segment(t, dir, "2025-05-08"), `{"v":1,"kind":"torn`)

	o := options(t)
	for name, test := range map[string]struct {
		losses int
		want   string
	}{
		"all losses": {AllLosses, "2025-05-01 closed 3+1 losses, 2025-05-02 closed 1+0 losses, 2025-05-03 open waiting 2+0 losses, " +
			"2025-05-04 open reopened waiting 2+0 losses, 2025-05-05 open reopened not_listed 0+0 losses, 2025-05-06 open not_closed_yet 1+0 losses, " +
			"2025-05-07 closed 3+2 losses, 2025-05-08 open bad_line waiting 1+0 losses, 2025-05-09 open not_listed 0+0 losses"},
		"no losses": {0, "2025-05-01 closed 3+0 losses, 2025-05-02 closed 1+0 losses, 2025-05-03 open waiting 2+0 losses, " +
			"2025-05-04 open reopened waiting 2+0 losses, 2025-05-05 open reopened not_listed 0+0 losses, 2025-05-06 open not_closed_yet 1+0 losses, " +
			"2025-05-07 closed 3+0 losses, 2025-05-08 open bad_line waiting 1+0 losses, 2025-05-09 open not_listed 0+0 losses"},
	} {
		o.Losses, o.Now = test.losses, time.Now() // recordings are noted now
		r, err := Build(Read(t.Context(), ledger(t, dir, true), o), o)
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, d := range r.Days {
			n := 0
			for _, l := range r.Losses {
				if l.Day == d.Day {
					n++
				}
			}
			got = append(got, strings.Join(strings.Fields(fmt.Sprintf("%s %s %s %d+%d losses", d.Day, d.State, codes(d), d.Recordings, n)), " "))
		}
		if got := strings.Join(got, ", "); got != test.want {
			t.Errorf("%s:\ngot  %s\nwant %s", name, got, test.want)
		}
		if age := o.Now.Sub(r.LastRun); age < 0 || age > time.Minute {
			t.Errorf("%s: the last run was at %v, and the days were noted now", name, r.LastRun)
		}
		if closed, open := r.Days[0], r.Days[2]; !slices.Equal(closed.Kept, []string{"recordings"}) || open.Kept != nil {
			t.Errorf("%s: kept %q and %q", name, closed.Kept, open.Kept)
		}
		if r.Total.Calls != 70 {
			t.Errorf("%s: %d calls", name, r.Total.Calls)
		}
	}
}

// TestDayWords reads spans of an archive with days from 4 to 7 May, on 10 May: the words name the days that
// are not settled, and those that are older than the archive.
func TestDayWords(t *testing.T) {
	l := ledger(t, t.TempDir(), false)
	for _, name := range []string{"2025-05-04", "2025-05-05", "2025-05-07"} {
		writeDay(t, l, name, true, manifest.Archived)
	}
	for span, want := range map[[2]string]string{
		{"2025-05-01", ""}:           "3 closed, 7 never listed (3 of them before 2025-05-04, the first listed day), 2025-05-08 to 2025-05-10 not settled yet",
		{"2025-05-02", "2025-05-05"}: "2 closed, 2 never listed (before 2025-05-04, the first listed day)",
		{"2025-05-05", "2025-05-06"}: "1 closed, 1 never listed",
		{"2025-05-06", "2025-05-08"}: "1 closed, 2 never listed, 2025-05-08 not settled yet",
		{"2025-05-07", ""}:           "1 closed, 3 not settled yet (2025-05-08 to 2025-05-10)",
		{"2025-05-01", "2025-05-02"}: "2 never listed (before 2025-05-04, the first listed day)",
		{"2025-05-08", "2025-05-08"}: "1 not settled yet (2025-05-08)",
		{"", ""}:                     "3 closed, 4 never listed, 2025-05-08 to 2025-05-10 not settled yet",
		{"2025-05-04", "2025-05-05"}: "",
	} {
		o := options(t)
		o.From, o.To, o.Until = span[0], span[1], "2025-05-10"
		made, err := Build(Read(t.Context(), l, o), o)
		if err != nil {
			t.Fatal(err)
		}
		var words []string
		for _, c := range made.DayCounts() {
			words = append(words, fmt.Sprint(c.N, " ", c.What))
		}
		if days := made.Unsettled(); days != "" {
			words = append(words, days)
		}
		if got := strings.Join(words, ", "); got != want || made.FirstListed != "2025-05-04" {
			t.Errorf("%v: %s, first listed %s, want %s", span, got, made.FirstListed, want)
		}
	}
}

func edit(t *testing.T, file, before, after string) {
	t.Helper()
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(data), before) {
		t.Fatalf("%s lacks %s", file, before)
	}
	if err := os.WriteFile(file, []byte(strings.Replace(string(data), before, after, 1)), 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestReadStops(t *testing.T) {
	dir := t.TempDir()
	writer := ledger(t, dir, false)
	for i := range 90 {
		name := time.Date(2025, 5, 1+i, 0, 0, 0, 0, time.UTC).Format(time.DateOnly)
		writeDay(t, writer, name, i%2 == 0, manifest.Lost)
	}
	reader, o := ledger(t, dir, true), options(t)
	n := 0
	for _, err := range Read(t.Context(), reader, o) {
		if err != nil {
			t.Fatal(err)
		}
		if n++; n == 3 {
			break
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Build(Read(ctx, reader, o), o); err == nil {
		t.Error("a cancelled reading gives a report")
	}
	// Enough losses: later closed days are not read.
	o.Losses = 2
	var met int
	for f, err := range Read(t.Context(), reader, o) {
		if err != nil {
			t.Fatal(err)
		}
		if f.Closing != nil {
			met += len(f.Unarchived)
		}
	}
	if met < 2 || met > looksAtOnce {
		t.Errorf("%d losses of closed days read for 2", met)
	}
	// A later version of the format stops the reading.
	appendTo(t, segment(t, dir, "2025-05-10"), `{"v":3,"kind":"recording"}`+"\n")
	if _, err := Build(Read(t.Context(), reader, o), o); err == nil {
		t.Error("a line of a later version gives a report")
	}
}

// large writes closed days, every lossEvery-th of them with a loss.
func large(t testing.TB, days, recordings, lossEvery int) (l *manifest.Ledger, bytes int64) {
	t.Helper()
	dir := t.TempDir()
	writer := ledger(t, dir, false)
	first := time.Date(2022, 1, 1, 0, 0, 0, 0, time.UTC)
	for i := range days {
		name := first.AddDate(0, 0, i).Format(time.DateOnly)
		outcomes := []manifest.Outcome{manifest.Archived}
		if lossEvery > 0 && i%lossEvery == 0 {
			outcomes = []manifest.Outcome{manifest.Lost}
		}
		if recordings == 1 { // only the day line claims many
			writeClosed(t, dir, name, 10_000)
			continue
		}
		writeMany(t, dir, name, slices.Repeat([]manifest.Outcome{manifest.Archived}, recordings), outcomes[0])
		if err := load(t, writer, name).Close(context.Background(), manifest.DayLine{Calls: 10 * recordings}); err != nil {
			t.Fatal(err)
		}
		info, err := os.Stat(segmentFile(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		bytes += info.Size()
	}
	return ledger(t, dir, true), bytes
}

// segmentFile returns the segment of a day of writeClosed and writeMany.
func segmentFile(dir, name string) string {
	return filepath.Join(dir, "manifest", name, "20250504T090000Z-1f0c9a3e-000001.jsonl")
}

func writeFile(t testing.TB, name, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(name), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// writeClosed writes a day line for many recordings, and a segment of its size without any.
func writeClosed(t testing.TB, dir, name string, recordings int) {
	t.Helper()
	segment := segmentFile(dir, name)
	writeFile(t, segment, "\n")
	writeFile(t, filepath.Join(filepath.Dir(segment), "closed.json"), fmt.Sprintf(
		`{"v":1,"kind":"day","day":%q,"closed":true,"filter":"","kept":["recordings"],"listed_at":"2025-05-04T09:00:00Z",`+
			`"calls":%d,"recordings":%d,"by_outcome":{"archived":%d},"bytes":%d,"lines":0,"segments":[{"name":%q,"bytes":1,"sha256":""}],`+
			`"root":"","calls_segments":[],"calls_root":"","time":"2025-05-04T09:00:00Z","run":"20250504T090000Z-1f0c9a3e"}`+"\n",
		name, 10*recordings, recordings, recordings, 57_000*recordings, filepath.Base(segment)))
}

// writeMany writes recording lines like the ledger, without its syncs.
func writeMany(t testing.TB, dir, name string, list []manifest.Outcome, last manifest.Outcome) {
	t.Helper()
	list[len(list)-1] = last
	var b strings.Builder
	for i, o := range list {
		fmt.Fprintf(&b, `{"v":1,"kind":"recording","recording_id":"%s%06d","outcome":%q,"key":"CID-%07d_LID-%09d_5551234567.mp3","size":57472,`+
			`"sha256":"1f0c9a3e1f0c9a3e1f0c9a3e1f0c9a3e1f0c9a3e1f0c9a3e1f0c9a3e1f0c9a3e","time":"2025-05-04T09:00:00Z","run":"20250504T090000Z-1f0c9a3e",`+
			`"call_id":"%s%07d","first_seen":"2025-05-04T09:00:00Z","attempts":1,"content_type":"audio/mpeg","etag":"","host":"media","reason":"","salt":"1f0c9a3e1f0c9a3e1f0c9a3e1f0c9a3e"}`+"\n",
			strings.ReplaceAll(name, "-", ""), i, o, i, i, strings.ReplaceAll(name, "-", ""), i)
	}
	writeFile(t, segmentFile(dir, name), b.String())
}

// TestThousandClosedDays: closed days without a loss need only their day line.
func TestThousandClosedDays(t *testing.T) {
	l, _ := large(t, 1000, 1, 0)
	o := options(t)
	started := time.Now()
	r, err := Build(Read(t.Context(), l, o), o)
	if err != nil {
		t.Fatal(err)
	}
	if r.Total.Closed != 1000 || r.Total.Recordings != 10_000_000 || !r.Complete {
		t.Errorf("%+v", r.Total)
	}
	t.Logf("%s", time.Since(started))
}

// slowBucket answers each request after 20 ms.
type slowBucket struct {
	files map[string]string
	names []string // sorted
}

const latency = 20 * time.Millisecond

func (b *slowBucket) GetFile(_ context.Context, name string) (io.ReadCloser, string, error) {
	time.Sleep(latency)
	text, there := b.files[name]
	if !there {
		return nil, "", fs.ErrNotExist
	}
	return io.NopCloser(strings.NewReader(text)), "tag", nil
}

func (b *slowBucket) PutFile(context.Context, string, []byte, string) error { return fs.ErrPermission }

type fileInfo struct {
	fs.FileInfo // unused: only the methods below are called
	name        string
	size        int64
}

func (i fileInfo) Name() string     { return i.name }
func (i fileInfo) Size() int64      { return i.size }
func (fileInfo) ModTime() time.Time { return time.Time{} }

// ListFiles returns 1,000 names per request.
func (b *slowBucket) ListFiles(_ context.Context, prefix string) iter.Seq2[fs.FileInfo, error] {
	return func(yield func(fs.FileInfo, error) bool) {
		start, _ := slices.BinarySearch(b.names, prefix)
		for i, name := range b.names[start:] {
			if i%1000 == 0 {
				time.Sleep(latency)
			}
			if !strings.HasPrefix(name, prefix) || !yield(fileInfo{name: name, size: int64(len(b.files[name]))}, nil) {
				return
			}
		}
	}
}

// TestThousandClosedDaysOnS3: many are checked in parallel.
func TestThousandClosedDaysOnS3(t *testing.T) {
	dir := t.TempDir()
	b := &slowBucket{files: map[string]string{}}
	for i := range 1000 {
		name := time.Date(2022, 1, 1+i, 0, 0, 0, 0, time.UTC).Format(time.DateOnly)
		writeClosed(t, dir, name, 10_000)
		for _, file := range []string{segmentFile(dir, name), filepath.Join(filepath.Dir(segmentFile(dir, name)), "closed.json")} {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			b.files["manifest/"+name+"/"+filepath.Base(file)] = string(text)
		}
	}
	b.names = slices.Sorted(maps.Keys(b.files))
	synctest.Test(t, func(t *testing.T) {
		l, err := manifest.OpenBucket(b, manifest.Options{ReadOnly: true})
		if err != nil {
			t.Fatal(err)
		}
		o, started := options(t), time.Now()
		r, err := Build(Read(t.Context(), l, o), o)
		if err != nil {
			t.Fatal(err)
		}
		if took := time.Since(started); r.Total.Closed != 1000 || r.Total.Recordings != 10_000_000 || took > 2*time.Second {
			t.Errorf("%+v after %s", r.Total, took)
		}
	})
}

func BenchmarkClosedDays(b *testing.B) {
	l, _ := large(b, 1000, 1, 0)
	benchmark(b, l, 1000)
}

// Each day has a loss, so each is read completely.
func BenchmarkDaysWithLosses(b *testing.B) {
	l, size := large(b, 16, 10_000, 1)
	b.SetBytes(size)
	benchmark(b, l, 16)
}

func benchmark(b *testing.B, l *manifest.Ledger, days int) {
	b.ReportAllocs()
	o := Options{Now: time.Now(), Zone: time.UTC, Losses: AllLosses}
	for b.Loop() {
		r, err := Build(Read(b.Context(), l, o), o)
		if err != nil || r.Total.Closed != days {
			b.Fatal(r, err)
		}
	}
}
