package e2e

import (
	"bytes"
	"compress/gzip"
	"crypto/rand"
	"encoding/json"
	"io"
	"io/fs"
	"maps"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"convoso-archiver/evidence"
	"convoso-archiver/fetcher/convosotest"
	"convoso-archiver/manifest"
)

// The person to erase; no other call has these values.
const (
	personFirst   = "Zebulon"
	personLast    = "Quagmirefield"
	personComment = "promised to feed the parakeet"
)

// erasure is the output of erase.
type erasure struct {
	Calls      int               `json:"calls"`
	Recordings int               `json:"recordings"`
	Chosen     []evidence.Chosen `json:"chosen"`
	Missing    []string          `json:"missing"`
	Kept       []evidence.Kept   `json:"kept"`
	Erased     []evidence.Erased `json:"erased"`
	Unfinished []string          `json:"unfinished"`
	Problems   []string          `json:"problems"`
	Elsewhere  []string          `json:"elsewhere"`
}

func (a *archive) erase(code int, args ...string) (e erasure) {
	a.t.Helper()
	r := a.other(code, "erase", append([]string{"--json", "--state-dir", a.state}, args...)...)
	if err := json.Unmarshal([]byte(r.stdout), &e); err != nil {
		a.t.Fatalf("%v: %s%s", err, r.stdout, r.stderr)
	}
	return e
}

// person is somebody with calls and recordings on several days.
type person struct {
	number string
	calls  map[string]bool
	refs   []string // ids of recordings
	days   map[string]bool
}

// aPerson returns the person with the most recordings among those with recordings on two days.
func aPerson(t *testing.T, server *convosotest.Server) person {
	t.Helper()
	all := map[string]*person{}
	for c := range server.Calls() {
		p := all[c.PhoneNumber]
		if p == nil {
			p = &person{number: c.PhoneNumber, calls: map[string]bool{}, days: map[string]bool{}}
			all[c.PhoneNumber] = p
		}
		p.calls[c.ID] = true
		for _, r := range c.Recordings {
			p.refs, p.days[c.Day] = append(p.refs, r.Ref), true
		}
	}
	best := person{}
	for _, number := range slices.Sorted(maps.Keys(all)) {
		if p := all[number]; len(p.days) > 1 && len(p.refs) > len(best.refs) {
			best = *p
		}
	}
	if len(best.refs) < 3 {
		t.Fatalf("nobody has three recordings on two days: %+v", best)
	}
	return best
}

// naming replaces names and comments in the answers of the API, and returns the address.
func (a *archive) naming(people ...person) string {
	a.t.Helper()
	return a.changing(func(row map[string]any) {
		for _, p := range people {
			if row["phone_number"] == p.number {
				row["first_name"], row["last_name"], row["agent_comment"] = personFirst, personLast, personComment
			}
		}
	})
}

// traces are the data of the person that must not be found: texts, and the middle of each
// recording.
func (a *archive) traces(p person) map[string][]byte {
	a.t.Helper()
	traces := map[string][]byte{"number": []byte(p.number), "first name": []byte(personFirst), "last name": []byte(personLast), "comment": []byte("parakeet")}
	for _, ref := range p.refs {
		traces["audio of "+ref] = a.part(ref)
	}
	return traces
}

// look calls visit with all stored data: files below folders with their paths, and every version and delete marker of
// a bucket.
func look(t *testing.T, b *bucket, visit func(name string, content []byte), folders ...string) {
	t.Helper()
	see := func(name string, content []byte) { visit(name, unzipped(content)) }
	for _, folder := range folders {
		err := filepath.WalkDir(folder, func(path string, entry fs.DirEntry, err error) error {
			if err != nil || entry.IsDir() {
				visit(path, nil)
				return err
			}
			content, err := os.ReadFile(path)
			see(path, content)
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if b == nil {
		return
	}
	client := b.server.Client()
	pages := s3.NewListObjectVersionsPaginator(client, &s3.ListObjectVersionsInput{Bucket: &b.server.Bucket})
	for pages.HasMorePages() {
		page, err := pages.NextPage(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range page.DeleteMarkers {
			visit("delete marker of "+aws.ToString(m.Key), nil)
		}
		for _, v := range page.Versions {
			out, err := client.GetObject(t.Context(), &s3.GetObjectInput{Bucket: &b.server.Bucket, Key: v.Key, VersionId: v.VersionId})
			if err != nil {
				t.Fatal(err)
			}
			content, err := io.ReadAll(out.Body)
			if err != nil {
				t.Fatal(err)
			}
			see("version of "+aws.ToString(v.Key), content)
		}
	}
}

// unzipped returns the content of a file, compressed or not.
func unzipped(content []byte) []byte {
	if z, err := gzip.NewReader(bytes.NewReader(content)); err == nil {
		if plain, err := io.ReadAll(z); err == nil {
			return plain
		}
	}
	return content
}

// wantTraces looks for the person: every trace must be present, or none at all.
func wantTraces(t *testing.T, b *bucket, traces map[string][]byte, some bool, folders ...string) {
	t.Helper()
	found := map[string]int{}
	look(t, b, func(name string, content []byte) {
		for what, trace := range traces {
			if bytes.Contains(content, trace) || strings.Contains(name, string(trace)) {
				if found[what]++; !some {
					t.Errorf("%s: the %s is left", name, what)
				}
			}
		}
	}, folders...)
	for what := range traces {
		if some && found[what] == 0 {
			t.Errorf("the %s was nowhere", what)
		}
	}
}

// TestEraseLeavesNothing erases one person: no byte of number, name, comment or audio is left in any file, object,
// version, delete marker, quarantine, copy, index, log or export. Seals stay valid, days stay closed, and nothing
// restores the data.
func TestEraseLeavesNothing(t *testing.T) {
	for _, where := range []string{"disk", "s3", "s3 without versions"} {
		t.Run(where, func(t *testing.T) {
			t.Parallel()
			calls := 120
			if n, err := strconv.Atoi(os.Getenv("ERASE_CALLS")); err == nil {
				calls = n
			}
			server := simulate(t, convosotest.Config{
				Seed: 131, FirstDay: daysAgo(10), Days: 3, CallsPerDay: calls / 3, RecordedShare: 0.5, SeveralShare: 0.2, MedianSize: 6_000,
			})
			p := aPerson(t, server)
			a := onDisk(t, server)
			var b *bucket
			if where != "disk" {
				b = onS3(t, server, false)
				a = b.archive
			}
			if where == "s3" {
				keepVersions(t, b)
			}
			eraseAll(t, a, b, p)
		})
	}
}

func eraseAll(t *testing.T, a *archive, b *bucket, p person) {
	t.Helper()
	api := a.naming(p)
	a.env = append(a.env, quickExit)
	key, allowed := sealKey(t)
	tables, copies := filepath.Join(t.TempDir(), "tables"), filepath.Join(t.TempDir(), "copies")
	traces := a.traces(p)
	span := []string{"--start-time", daysAgo(10), "--end-time", daysAgo(8), "--path-template", "{{.last_name}}/{{.filename}}"}
	asked := func(code int, args ...string) result { // runs archive
		t.Helper()
		return a.run(slices.Concat(span, []string{"--api-url", api}, args)...).want(t, code)
	}
	noTraces := func(r result) {
		t.Helper()
		for what, trace := range traces {
			if strings.Contains(r.stdout+r.stderr, string(trace)) {
				t.Errorf("the %s is told: %s", what, tail(r.stderr))
			}
		}
	}
	// A body that is not audio goes into quarantine, and the next run archives the recording.
	if err := a.server.SetFault(p.refs[0], convosotest.FaultUnknown, 1); err != nil {
		t.Fatal(err)
	}
	asked(3)
	asked(0)
	// A recording is damaged, and downloaded again under another key. A line is damaged, and copied
	// aside.
	a.spoil(t, b, p.refs[1])
	a.spoilLine(t, b, p)
	a.spoilRow(t, b, p)
	if r := a.other(4, "verify", "--repair"); !strings.Contains(r.stdout, ".bad-") || !strings.Contains(r.stdout, "  calls/") {
		t.Errorf("repaired: %s", r.stdout)
	}
	asked(0, "--relist")
	a.tear(t, b, p)
	a.seal(key)
	a.other(0, "find", "--state-dir", a.state, "--name", personLast) // this builds the index
	a.other(0, "export", "--to", tables, "--format", "csv")
	kept := []string{a.state, tables}
	if b == nil {
		kept = append(kept, a.dest)
	}
	wantTraces(t, b, traces, true, kept...)
	closed := a.closed(b)

	shown := a.erase(0, "--number", p.number)
	if shown.Calls != len(p.calls) || shown.Recordings != len(p.refs) || len(shown.Erased) != 0 {
		t.Fatalf("would erase %+v of %+v", shown, p)
	}
	wantTraces(t, b, traces, true, kept...)
	said := a.other(0, "erase", "--state-dir", a.state, "--number", p.number, "--reason", "request 7", "--export", tables, "--yes")
	noTraces(said)
	if !strings.Contains(said.stdout, "quarantine   1 file removed") || !strings.Contains(said.stdout, "copies of damaged files") {
		t.Errorf("erase: %s", said.stdout)
	}
	wantTraces(t, b, traces, false, kept...)
	sealsHold := func() {
		t.Helper()
		a.seal(key)
		if got := a.audit(0, "--allowed-signers", allowed); got.Erased != len(p.refs) {
			t.Errorf("the audit knows %d erased recordings, not %d", got.Erased, len(p.refs))
		}
	}
	sealsHold()
	if after := a.closed(b); !slices.Equal(after, closed) {
		t.Errorf("closed are %v, were %v", after, closed)
	}
	noTraces(a.other(0, "find", "--state-dir", a.state, "--last", "30d", "--csv"))
	noTraces(a.other(0, "find", "--last", "30d", "--state-dir", a.state, "--copy-to", copies))
	a.other(0, "export", "--to", tables, "--format", "csv")
	noTraces(a.other(0, "verify"))
	noTraces(a.other(0, "verify", "--repair"))
	noTraces(asked(0))
	if r := asked(0, "--relist"); r.summary.MediaRequests != 0 {
		t.Errorf("%d downloads after the erasure", r.summary.MediaRequests)
	}
	kept = append(kept, copies)
	wantTraces(t, b, traces, false, kept...)
	sealsHold()
	if again := a.erase(0, "--number", p.number); len(again.Chosen) != 0 {
		t.Errorf("it is there again: %+v", again)
	}
	// A lost manifest does not restore it either.
	if b != nil {
		b = b.copied("pre fix/manifest/")
		a = b.archive
	} else if err := os.RemoveAll(filepath.Join(a.dest, "manifest")); err != nil {
		t.Fatal(err)
	}
	if made := a.rebuild(0, "--path-template", "{{.last_name}}/{{.filename}}", "--api-url", api); made.Erased != len(p.refs) {
		t.Errorf("rebuilt: %+v", made)
	}
	wantErased := func() {
		t.Helper()
		for _, ref := range p.refs {
			wantSaid(t, a.other(0, "audit", ref).stdout, "erased", "request 7")
		}
		var report struct {
			Total struct {
				By map[string]int `json:"by_outcome"`
			} `json:"total"`
		}
		r := a.other(0, "report", "--json")
		if err := json.Unmarshal([]byte(r.stdout), &report); err != nil || report.Total.By["erased"] != len(p.refs) {
			t.Errorf("%v, the report knows %v, want %d erased recordings", err, report.Total.By, len(p.refs))
		}
	}
	wantErased()
	if r := asked(0); r.summary.MediaRequests != 0 {
		t.Errorf("%d downloads after the rebuild", r.summary.MediaRequests)
	}
	wantErased()
	wantTraces(t, b, traces, false, kept...)
	if after := a.closed(b); !slices.Equal(after, closed) {
		t.Errorf("after the rebuild closed are %v, were %v", after, closed)
	}
	a.other(0, "verify")
}

// copied copies the newest versions into another bucket, except those below a prefix.
func (b *bucket) copied(without string) *bucket {
	b.t.Helper()
	client, copied := b.server.Client(), *b.archive
	made := &bucket{archive: &copied, server: b.server, endpoint: b.endpoint}
	copied.bucket = made
	made.in(b.server.NewBucket(b.t, "copy "+rand.Text()))
	if b.versioned {
		keepVersions(b.t, made)
	}
	pages := s3.NewListObjectsV2Paginator(client, &s3.ListObjectsV2Input{Bucket: &b.server.Bucket})
	for pages.HasMorePages() {
		page, err := pages.NextPage(b.t.Context())
		if err != nil {
			b.t.Fatal(err)
		}
		for _, o := range page.Contents {
			if without != "" && strings.HasPrefix(*o.Key, without) {
				continue
			}
			source := b.server.Bucket + "/" + (&url.URL{Path: *o.Key}).EscapedPath()
			if _, err := client.CopyObject(b.t.Context(), &s3.CopyObjectInput{Bucket: &made.server.Bucket, Key: o.Key, CopySource: &source}); err != nil {
				b.t.Fatal(err)
			}
		}
	}
	return made
}

// spoil damages the stored audio of a recording.
func (a *archive) spoil(t *testing.T, b *bucket, id string) {
	t.Helper()
	if b == nil {
		writeFile(t, filepath.Join(a.dest, filepath.FromSlash(a.read().outcome(id).Key)), "rubbish")
		return
	}
	b.overwrite(b.readBucket().outcome(id).Key, []byte("rubbish"))
}

// spoilLine damages the first line of a segment of a day of the person.
func (a *archive) spoilLine(t *testing.T, b *bucket, p person) {
	t.Helper()
	day := slices.Sorted(maps.Keys(p.days))[0]
	if b == nil {
		names, err := filepath.Glob(filepath.Join(a.dest, "manifest", day, "*.jsonl"))
		if err != nil || len(names) == 0 {
			t.Fatal(names, err)
		}
		text, err := os.ReadFile(names[0])
		if err != nil {
			t.Fatal(err)
		}
		writeFile(t, names[0], "x"+string(text))
		return
	}
	for _, name := range b.names("manifest/" + day + "/") {
		if strings.HasSuffix(name, ".jsonl") {
			b.overwrite(name, append([]byte("x"), b.content(name)...))
			return
		}
	}
	t.Fatal("the day has no segment")
}

// spoilRow damages the row of a call of the person, so that the number can still be seen in it.
func (a *archive) spoilRow(t *testing.T, b *bucket, p person) {
	t.Helper()
	files := filesOf(t, a)
	for _, name := range files.names("calls/" + slices.Sorted(maps.Keys(p.days))[0] + "/") {
		file, isSpoilt := files.read(name), false
		spoilt := repacked(t, name, file, func(text []byte) []byte {
			at := bytes.Index(text, []byte(p.number))
			if isSpoilt = at >= 0; isSpoilt {
				start := bytes.LastIndexByte(text[:at], '\n') + 1
				text = slices.Insert(text, start, 'x')
			}
			return text
		})
		if isSpoilt {
			files.write(name, spoilt)
			return
		}
	}
	t.Fatal("no row of the person")
}

// tear leaves the traces of killed runs: on disk half a row, and the second name of a part; in a bucket the copy of
// such a tail.
func (a *archive) tear(t *testing.T, b *bucket, p person) {
	t.Helper()
	day, half := slices.Sorted(maps.Keys(p.days))[0], `{"v":1,"kind":"call","call_id":"77","row":{"last_name":"`+personLast
	if b != nil {
		b.overwrite("calls/"+day+"/20260102T030405Z-1f0c9a3e-000001.jsonl.torn", []byte(half))
		return
	}
	writeFile(t, filepath.Join(a.dest, "calls", day, manifest.NewRunID(started)+"-000001.jsonl"), half)
	writeFile(t, filepath.Join(a.dest, ".tmp", "abcdefgh.part"), half)
}

// names returns the names below a prefix of the archive.
func (b *bucket) names(prefix string) (names []string) {
	b.t.Helper()
	page, err := b.server.Client().ListObjectsV2(b.t.Context(), &s3.ListObjectsV2Input{Bucket: &b.server.Bucket, Prefix: aws.String("pre fix/" + prefix)})
	if err != nil {
		b.t.Fatal(err)
	}
	for _, o := range page.Contents {
		names = append(names, strings.TrimPrefix(*o.Key, "pre fix/"))
	}
	return names
}

func (b *bucket) content(name string) []byte {
	b.t.Helper()
	out, err := b.server.Client().GetObject(b.t.Context(), &s3.GetObjectInput{Bucket: &b.server.Bucket, Key: aws.String("pre fix/" + name)})
	if err != nil {
		b.t.Fatal(err)
	}
	content, err := io.ReadAll(out.Body)
	if err != nil {
		b.t.Fatal(err)
	}
	return content
}

func (b *bucket) overwrite(name string, content []byte) {
	b.t.Helper()
	_, err := b.server.Client().PutObject(b.t.Context(), &s3.PutObjectInput{Bucket: &b.server.Bucket, Key: aws.String("pre fix/" + name), Body: bytes.NewReader(content)})
	if err != nil {
		b.t.Fatal(err)
	}
}

// TestEraseDuringARun erases a recording while a run has it in flight: what the run stores after the erasure is removed
// too.
func TestEraseDuringARun(t *testing.T) {
	t.Parallel()
	server := simulate(t, convosotest.Config{Seed: 161, FirstDay: daysAgo(10), Days: 2, CallsPerDay: 30, RecordedShare: 0.8, MedianSize: 3_000})
	p := aPerson(t, server)
	b := onS3(t, server, false)
	keepVersions(t, b)
	b.env = append(b.env, quickExit)
	if err := server.SetFault(p.refs[0], convosotest.FaultNotFound, 1); err != nil {
		t.Fatal(err)
	}
	span := []string{"--start-time", daysAgo(10), "--end-time", daysAgo(9)}
	b.run(span...).want(t, 3)
	var once sync.Once
	server.SetMediaHook(func(convosotest.MediaRequest) convosotest.Fault {
		once.Do(func() {
			if got := b.erase(0, "--number", p.number, "--yes", "--reason", "request 7"); len(got.Erased) != 1 {
				t.Errorf("%+v", got)
			}
		})
		return convosotest.FaultNone
	})
	if r := b.run(span...).want(t, 0); r.summary.MediaRequests == 0 {
		t.Errorf("nothing was in flight: %s", r.stdout)
	}
	traces := b.traces(p)
	for _, named := range []string{"first name", "last name", "comment"} {
		delete(traces, named) // the API did not send them
	}
	wantTraces(t, b, traces, false)
	b.other(0, "verify")
}

// closed returns the days that are closed for every filter.
func (a *archive) closed(b *bucket) (days []string) {
	a.t.Helper()
	read := a.read
	if b != nil {
		read = b.readBucket
	}
	for day, line := range read().closed {
		if line.Filter == "" {
			days = append(days, day)
		}
	}
	slices.Sort(days)
	return days
}
