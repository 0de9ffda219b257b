package web

import (
	"archive/zip"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/csv"
	"encoding/hex"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"convoso-archiver/archiver"
	"convoso-archiver/archiver/store"
	"convoso-archiver/internal/s3test"
	"convoso-archiver/internal/web/webtest"
)

// unzip returns the files of a ZIP by name.
func unzip(t *testing.T, body string) map[string]string {
	t.Helper()
	r, err := zip.NewReader(strings.NewReader(body), int64(len(body)))
	if err != nil {
		t.Fatal(err)
	}
	files := map[string]string{}
	for _, f := range r.File {
		if f.Method != zip.Store || !filepath.IsLocal(f.Name) {
			t.Errorf("%s: method %d", f.Name, f.Method)
		}
		opened, err := f.Open()
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(opened)
		if err != nil {
			t.Fatalf("%s: %v", f.Name, err)
		}
		files[f.Name] = string(text)
	}
	return files
}

// wrongSums returns the names of files that sha256sums.txt lists with another hash.
func wrongSums(t *testing.T, files map[string]string) []string {
	t.Helper()
	var wrong []string
	for line := range strings.Lines(files["sha256sums.txt"]) {
		sum, name, _ := strings.Cut(strings.TrimSpace(line), "  ")
		if got := sha256.Sum256([]byte(files[name])); hex.EncodeToString(got[:]) != sum {
			wrong = append(wrong, name)
		}
	}
	return wrong
}

func table(t *testing.T, text string) [][]string {
	t.Helper()
	rows, err := csv.NewReader(strings.NewReader(text)).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	return rows
}

func TestZIP(t *testing.T) {
	s := serve(t, func(c *Config) { c.Everybody = Rights{Listen: true, Download: true} })
	form := url.Values{}
	var bodies []string
	for _, id := range []string{"90527000", "90527001", "90527002", "90527003", "90527006", "90525000"} {
		c := shared.world.Calls[id]
		form.Add("call", c.Day+"/"+id)
		for _, rec := range c.Recordings {
			if body := shared.world.Recordings[rec].Body; body != nil {
				bodies = append(bodies, string(body))
			}
		}
	}
	form.Add("call", "2025-05-27/90527000") // duplicates count once
	got := s.ask("POST", "/zip", form)
	got.want(t, 200)
	if got.header.Get("Content-Disposition") != `attachment; filename="recordings.zip"` {
		t.Error(got.header.Get("Content-Disposition"))
	}
	files := unzip(t, got.body)
	var audio []string
	for name, text := range files {
		if strings.HasSuffix(name, ".wav") {
			audio = append(audio, text)
		}
	}
	slices.Sort(audio)
	slices.Sort(bodies)
	if !slices.Equal(audio, bodies) {
		t.Errorf("%d recordings, want %d, or other bytes", len(audio), len(bodies))
	}
	if wrong := wrongSums(t, files); len(wrong) > 0 || strings.Count(files["sha256sums.txt"], "\n") != len(bodies)+1 {
		t.Errorf("sha256sums.txt: wrong %v of\n%s", wrong, files["sha256sums.txt"])
	}
	if files["errors.txt"] != "" {
		t.Error(files["errors.txt"])
	}
	rows := table(t, files["index.csv"])
	at := map[string]int{}
	for i, name := range rows[0] {
		at[name] = i
	}
	if len(rows) != 8 { // head, 5 archived recordings, one waiting, one call without a recording
		t.Errorf("index.csv has %d rows: %v", len(rows), rows)
	}
	for _, row := range rows[1:] {
		if file := row[at["file"]]; file != "" && files[file] == "" || (row[at["state"]] == "archived") != (file != "") {
			t.Errorf("index.csv: %v", row)
		}
	}
	for name, text := range files {
		wantNoNumbers(t, "a name", name)
		if !strings.HasSuffix(name, ".wav") {
			wantNoNumbers(t, name, text)
		}
	}
	checkWithSha256sum(t, files)
}

// checkWithSha256sum runs the tool that a user would run.
func checkWithSha256sum(t *testing.T, files map[string]string) {
	t.Helper()
	if runtime.GOOS != "linux" {
		return
	}
	folder := t.TempDir()
	for name, text := range files {
		path := filepath.Join(folder, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	check := exec.CommandContext(t.Context(), "sha256sum", "--check", "--strict", "sha256sums.txt")
	check.Dir = folder
	if out, err := check.CombinedOutput(); err != nil {
		t.Errorf("sha256sum -c: %v\n%s", err, out)
	}
}

// TestZIPOfDamage checks that the ZIP lists damaged recordings.
func TestZIPOfDamage(t *testing.T) {
	folder, world := own(t)
	s := serveAt(t, archiver.Location{Folder: folder}, nil)
	changed, gone, cut, well := world.Recordings["705270000"], world.Recordings["705270040"], world.Recordings["705270080"], world.Recordings["705270120"]
	form := url.Values{}
	for _, r := range []webtest.Recording{changed, gone, cut, well} {
		form.Add("call", r.Day+"/"+r.CallID)
	}
	spoilt := bytes.Clone(changed.Body)
	spoilt[1000] ^= 1
	for _, err := range []error{
		os.WriteFile(filepath.Join(folder, changed.Key), spoilt, 0o600), os.Remove(filepath.Join(folder, gone.Key)),
		os.WriteFile(filepath.Join(folder, cut.Key), cut.Body[:500], 0o600),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	got := s.ask("POST", "/zip", form)
	got.want(t, 200)
	files := unzip(t, got.body)
	lines := strings.Split(strings.TrimSpace(files["errors.txt"]), "\n")
	if len(lines) != 5 {
		t.Fatalf("errors.txt:\n%s", files["errors.txt"])
	}
	for i, part := range []string{changed.ID + ".wav: checksum mismatch", gone.ID + ".wav: it is archived, but its file is missing", cut.ID + ".wav: size mismatch: it has 500 bytes"} {
		if !strings.Contains(lines[i+2], part) {
			t.Errorf("errors.txt: %q does not hold %q", lines[i+2], part)
		}
	}
	wrong := wrongSums(t, files)
	if len(wrong) != 2 || !strings.Contains(wrong[0], changed.ID) || !strings.Contains(wrong[1], cut.ID) {
		t.Errorf("sha256sums.txt finds %v", wrong)
	}
	if log := s.log.String(); strings.Count(log, "run verify") != 3 {
		t.Errorf("the log: %s", log)
	}
	wantNoNumbers(t, "the log", s.log.String())
}

// TestZIPWithoutReader disconnects in the middle of a ZIP.
func TestZIPWithoutReader(t *testing.T) {
	s := serve(t, nil)
	form := url.Values{}
	for _, c := range shared.world.Calls {
		form.Add("call", c.Day+"/"+c.ID)
	}
	for range 2 * maxHandoversEach { // none of them keeps its place
		ctx, cancel := context.WithCancel(t.Context())
		r, err := http.NewRequestWithContext(ctx, "POST", s.url+"/zip", strings.NewReader(form.Encode()))
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		got, err := s.client.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		if got.StatusCode == http.StatusServiceUnavailable {
			_ = got.Body.Close()
			cancel()
			time.Sleep(10 * time.Millisecond) // the last ones are still ending
			continue
		}
		if _, err := io.ReadFull(got.Body, make([]byte, 1000)); err != nil {
			t.Fatal(err)
		}
		cancel()
		_ = got.Body.Close()
	}
	deadline := time.Now().Add(20 * time.Second)
	for s.server.handovers.count() > 0 && time.Now().Before(deadline) {
		time.Sleep(10 * time.Millisecond)
	}
	if n := s.server.handovers.count(); n > 0 {
		t.Errorf("%d places are taken still", n)
	}
	s.ask("POST", "/zip", form).want(t, 200)
}

// TestPlaces checks that one user cannot take all places, and that each place is returned.
func TestPlaces(t *testing.T) {
	var p places
	for n := range maxHandoversEach + 1 {
		if got := p.take("anna"); got != (n < maxHandoversEach) {
			t.Fatalf("place %d of one user: %t", n+1, got)
		}
	}
	for n := range maxHandovers {
		if got := p.take(strconv.Itoa(n)); got != (n < maxHandovers-maxHandoversEach) {
			t.Fatalf("place %d of the others: %t", n+1, got)
		}
	}
	p.leave("anna")
	if !p.take("ben") || p.take("cleo") {
		t.Error("one that was left is not the only one there is")
	}
	for name, n := range map[string]int{"anna": maxHandoversEach - 1, "ben": 1} {
		for range n {
			p.leave(name)
		}
	}
	if p.count() != maxHandovers-maxHandoversEach || len(p.taken) != p.count() {
		t.Errorf("%d places are taken, by %v", p.count(), p.taken)
	}
}

func TestCSV(t *testing.T) {
	s := serve(t, nil)
	got := s.ask("POST", "/csv?campaign=13&sort=time", url.Values{})
	got.want(t, 200)
	rows := table(t, got.body)
	if len(rows) != 1+35 || rows[0][0] != "day" || rows[1][0] != webtest.LossDay || rows[1][1] != "2025-05-25 09:05:01" {
		t.Errorf("%d rows: %v", len(rows), rows[:2])
	}
	if sample := table(t, s.ask("POST", "/csv?sample=5&seed=3", url.Values{}).body); len(sample) != 6 {
		t.Errorf("a sample has %d rows", len(sample))
	}
	if limited := table(t, s.ask("POST", "/csv?limit=7", url.Values{}).body); len(limited) != 8 {
		t.Errorf("7 calls are %d rows", len(limited))
	}
	s.ask("POST", "/csv?number=1", url.Values{}).want(t, 400)
	if none := table(t, s.ask("POST", "/csv?agent=nobody", url.Values{}).body); len(none) != 1 {
		t.Errorf("no call is %d rows", len(none))
	}
}

func TestPlainCell(t *testing.T) {
	for in, want := range map[string]string{
		"": "", "a": "a", "=1+1": "'=1+1", "@SUM(A1)": "'@SUM(A1)", "-2": "'-2", "+1 (550) 867-5309": "+1 (550) 867-5309", "+cmd|x": "'+cmd|x", "\t=1": "'\t=1", "+": "'+",
	} {
		if got := plainCell(in); got != want {
			t.Errorf("%q becomes %q, want %q", in, got, want)
		}
	}
}

// TestS3 serves an archive in a bucket, with the access log in another one.
func TestS3(t *testing.T) {
	server := s3test.FromEnv(t)
	if server == nil {
		server = s3test.Start(t, false)
	}
	server.Setenv(t)
	bucket := server.NewBucket(t, "web")
	at := archiver.Location{S3: store.S3Options{Bucket: bucket, Prefix: "calls", Endpoint: server.Endpoint, PathStyle: true}}
	world, err := webtest.Make(t.Context(), at)
	if err != nil {
		t.Fatal(err)
	}
	logs := at.S3
	logs.Prefix = "log"
	objects, err := store.OpenS3(t.Context(), logs)
	if err != nil {
		t.Fatal(err)
	}
	log := OpenAccessLog(NewBucket(objects, "RUN"))
	s := serveAt(t, at, func(c *Config) { c.Log = log })
	s.get("/calls").want(t, 200, "50 calls", "(550) 867-5359")
	s.get("/completeness?day="+webtest.LossDay).want(t, 200, "the vendor no longer has it")
	testAudio(t, s, world)
	r := stored(world, "12")
	if files := unzip(t, s.ask("POST", "/zip", url.Values{"call": {r.Day + "/" + r.CallID}}).body); len(wrongSums(t, files)) > 0 || len(files) != 3 {
		t.Errorf("a ZIP of %d files", len(files))
	}
	var lines []Access
	for info, err := range objects.ListFiles(t.Context(), "") {
		if err != nil {
			t.Fatal(err)
		}
		body, _, err := objects.GetFile(t.Context(), info.Name())
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(body)
		_ = body.Close()
		if err != nil {
			t.Fatal(err)
		}
		lines = append(lines, readLines(t, string(text))...)
	}
	if len(lines) != 5 { // two plays, two downloads, a ZIP
		t.Errorf("the access log: %+v", lines)
	}
	if err := log.Close(); err != nil {
		t.Error(err)
	}
	s.get(audioPath(world.Recordings["705270040"])).want(t, 503)
}
