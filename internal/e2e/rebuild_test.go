package e2e

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/s3"

	"convoso-archiver/archiver"
	"convoso-archiver/fetcher/convosotest"
)

func (a *archive) rebuild(code int, args ...string) (made archiver.Rebuilt) {
	a.t.Helper()
	r := a.other(code, "rebuild", append([]string{"--json", "--api-url", a.server.APIURL()}, args...)...)
	if err := json.Unmarshal([]byte(r.stdout), &made); err != nil {
		a.t.Fatalf("%v: %s", err, r.stdout)
	}
	return made
}

// remove deletes the objects below a prefix.
func (b *bucket) remove(prefix string) {
	b.t.Helper()
	ctx := b.t.Context()
	client := b.server.Client()
	list, err := client.ListObjectsV2(ctx, &s3.ListObjectsV2Input{Bucket: &b.server.Bucket, Prefix: &prefix})
	if err != nil || len(list.Contents) == 0 {
		b.t.Fatalf("%d objects below %s: %v", len(list.Contents), prefix, err)
	}
	for _, object := range list.Contents {
		if _, err := client.DeleteObject(ctx, &s3.DeleteObjectInput{Bucket: &b.server.Bucket, Key: object.Key}); err != nil {
			b.t.Fatal(err)
		}
	}
}

// losable returns an archive on disk or in S3, and a function that removes its manifest.
func losable(t *testing.T, server *convosotest.Server, where string) (a *archive, lose func()) {
	t.Helper()
	if where == "s3" {
		b := onS3(t, server, false)
		return b.archive, func() { b.remove("pre fix/manifest/") }
	}
	a = onDisk(t, server)
	return a, func() {
		if err := os.RemoveAll(filepath.Join(a.folder, "manifest")); err != nil {
			t.Fatal(err)
		}
	}
}

// TestRebuild loses the manifest: the rebuilt manifest costs no download, and verifies.
func TestRebuild(t *testing.T) {
	for _, where := range []string{"disk", "s3"} {
		t.Run(where, func(t *testing.T) {
			t.Parallel()
			server := threeDays(t, 91)
			a, lose := losable(t, server, where)
			a.env = append(a.env, quickExit)
			span := []string{"--start-time", daysAgo(10), "--end-time", daysAgo(8)}
			a.run(span...).want(t, 0)
			if made := a.rebuild(0); made.Days != 0 || made.Known != 3 {
				t.Errorf("nothing is lost: %+v", made)
			}
			before := a.files()
			lose()
			made := a.rebuild(0)
			if made.Days != 3 || made.Archived != 60 || made.Missing+made.Ambiguous > 0 || !made.Archive {
				t.Fatalf("%+v", made)
			}
			if r := a.run(span...).want(t, 0); r.summary.Known != 60 || r.summary.DaysClosed != 3 || r.summary.MediaRequests != 0 {
				t.Errorf("the next run: %s", r.stdout)
			}
			a.other(0, "verify")
			if after := a.files(); len(after) != len(before) {
				t.Errorf("%d files, %d before", len(after), len(before))
			}
		})
	}
}

// TestRebuildDoubts loses the manifest and some audio, with misleading names: a recording that cannot be identified
// stays waiting, and is never confused with another. If a call lacks one of several recordings, the rest is shorter
// than the call, so the others may wait too.
func TestRebuildDoubts(t *testing.T) {
	t.Parallel()
	for name, siblings := range map[string]bool{"alone": false, "siblings": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			testRebuildDoubts(t, siblings)
		})
	}
}

func testRebuildDoubts(t *testing.T, siblings bool) {
	server := simulate(t, convosotest.Config{Seed: 92, FirstDay: daysAgo(10), Days: 2, CallsPerDay: 30, RecordedShare: 1, SeveralShare: 0.3, MedianSize: 6_000})
	a := onDisk(t, server)
	a.env = append(a.env, quickExit)
	span := []string{"--start-time", daysAgo(10), "--end-time", daysAgo(9)}
	a.run(span...).want(t, 0)
	before := a.files()
	calls := map[string][]string{}
	for _, day := range []string{daysAgo(10), daysAgo(9)} {
		for _, line := range a.lines(day) {
			calls[line.CallID] = append(calls[line.CallID], filepath.Join(a.dest, line.Key))
		}
	}
	var touched [][]string // two calls, each with the files of its recordings
	for _, files := range calls {
		if len(touched) < 2 && siblings == (len(files) > 1) {
			touched = append(touched, files)
		}
	}
	gone, cut := touched[0][0], touched[1][0]
	ids := map[string]string{}
	for _, line := range a.lines("") {
		ids[filepath.Join(a.dest, line.Key)] = line.RecordingID
	}
	if err := os.Remove(gone); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(cut)
	if err != nil {
		t.Fatal(err)
	}
	writeFile(t, cut, "<html>"+string(text[:200]))
	if err := os.RemoveAll(filepath.Join(a.dest, "manifest")); err != nil {
		t.Fatal(err)
	}
	made := a.rebuild(3)
	most := 1 // ambiguous
	if siblings {
		most = len(touched[0]) + len(touched[1]) - 1
	}
	if made.Missing != 1 || made.Ambiguous < 1 || made.Ambiguous > most || made.Archived != len(before)-made.Missing-made.Ambiguous {
		t.Fatalf("%+v of %d", made, len(before))
	}
	if len(made.MissingRecordings) != 1 || made.MissingRecordings[0].RecordingID != ids[gone] || len(made.AmbiguousRecordings) != made.Ambiguous ||
		!slices.ContainsFunc(made.AmbiguousRecordings, func(d archiver.RebuildDoubt) bool { return d.RecordingID == ids[cut] && d.Day != "" && d.CallID != "" }) {
		t.Errorf("named: %+v, %+v", made.MissingRecordings, made.AmbiguousRecordings)
	}
	r := a.other(3, "rebuild", "--api-url", a.server.APIURL())
	if !strings.Contains(r.stdout, "\nambiguous    ") || !strings.Contains(r.stdout, "archive downloads the ambiguous ones too") {
		t.Errorf("%s", r.stdout)
	}
	a.run(span...).want(t, 0)
	if err := os.Remove(cut); err != nil { // it was not changed, and its recording was stored under another name
		t.Fatal(err)
	}
	a.checkFiles(nil)
	if err := os.RemoveAll(filepath.Join(a.dest, "calls")); err != nil {
		t.Fatal(err)
	}
	if err := os.RemoveAll(filepath.Join(a.dest, "manifest")); err != nil {
		t.Fatal(err)
	}
	if r := a.other(2, "rebuild"); !strings.Contains(r.stderr, "the manifest cannot be rebuilt") {
		t.Errorf("without calls/: %s", r.stderr)
	}
}

// TestLostManifest loses the manifest: each command names rebuild and changes nothing, and archive does not
// start a new archive over the old one, in a folder and in S3.
func TestLostManifest(t *testing.T) {
	for _, where := range []string{"disk", "s3"} {
		t.Run(where, func(t *testing.T) {
			t.Parallel()
			server := threeDays(t, 96)
			a, lose := losable(t, server, where)
			key, allowed := sealKey(t)
			a.env = append(a.env, quickExit, "CONVOSO_AUTH_TOKEN="+server.Token())
			span := []string{"--start-time", daysAgo(10), "--end-time", daysAgo(8)}
			a.run(span...).want(t, 0)
			lose()
			server.ResetStats()
			if r := a.run(span...).want(t, 2); !strings.Contains(r.stderr, "manifest is lost: run rebuild") || server.Stats().API.Requests != 0 {
				t.Errorf("archive: %s", r.stderr)
			}
			vendor := []string{"--api-url", server.APIURL(), "--allow-host", server.MediaURL(), "--state-dir", a.state}
			if r := a.other(2, "doctor", append(vendor, span...)...); !strings.Contains(r.stdout, "manifest is lost") {
				t.Errorf("doctor: %s", r.stdout)
			}
			server.ResetStats()
			for _, command := range [][]string{
				{"report"}, {"verify"}, {"find"}, {"export", "--to", filepath.Join(t.TempDir(), "tables")}, {"hold", "list"},
				{"seal", "--key", key}, {"audit", "--seals", "--allowed-signers", allowed},
			} {
				if r := a.other(2, command[0], command[1:]...); !strings.Contains(r.stderr, "manifest is lost: run rebuild") {
					t.Errorf("%s: %s", command[0], r.stderr)
				}
			}
			if stats := server.Stats(); stats.API.Requests+stats.Media.Requests != 0 {
				t.Errorf("%d requests to the vendor", stats.API.Requests+stats.Media.Requests)
			}
			a.rebuild(0)
			if r := a.run(span...).want(t, 0); r.summary.Known != 60 || r.summary.MediaRequests != 0 {
				t.Errorf("after rebuild: %s", r.stdout)
			}
			a.other(0, "report")
			lose()
			r := a.other(0, "archive", slices.Concat(vendor, span, []string{"--media-rate", "0", "--new-archive"})...)
			if !strings.Contains(r.stdout, "60 archived (60 of them found stored already)") || !strings.Contains(r.stdout, "B   found stored already") {
				t.Errorf("--new-archive: %s", r.stdout)
			}
		})
	}
}

// TestRebuildCorrects rebuilds with the default address, which is not the account's: archive says how to correct it,
// another rebuild does so, and after a run has noted something it is refused.
func TestRebuildCorrects(t *testing.T) {
	inBoth(t, smallDays(107), func(t *testing.T, a *lossy) {
		a.remove("manifest/")
		a.other(0, "rebuild")
		r := a.run(allDays...).want(t, 2)
		if !strings.Contains(r.stderr, "the archive was made with the API address https://api.convoso.com/v1") || !strings.Contains(r.stderr, "run rebuild with the right --api-url") {
			t.Errorf("archive: %s", r.stderr)
		}
		if r := a.other(2, "rebuild", "--time-zone", "Asia/Manila"); !strings.Contains(r.stderr, "give the account's --time-zone") {
			t.Errorf("another zone: %s", r.stderr)
		}
		if r := a.other(0, "rebuild", "--api-url", a.server.APIURL()); !strings.Contains(r.stdout, "written again from --time-zone and --api-url") || !strings.Contains(r.stdout, "API address  "+a.server.APIURL()+"\n    time zone    America/Los_Angeles\n") {
			t.Errorf("rebuild with the right address: %s", r.stdout)
		}
		if r := a.run(allDays...).want(t, 0); r.summary.MediaRequests != 0 {
			t.Errorf("%d recordings were asked for again", r.summary.MediaRequests)
		}
		r = a.other(2, "rebuild", "--api-url", "https://elsewhere.test/v1")
		if !strings.Contains(r.stderr, "leave --api-url out; if the archive's is wrong, remove manifest/ and run rebuild again") {
			t.Errorf("rebuild with another address: %s", r.stderr)
		}
		a.other(0, "rebuild", "--api-url", a.server.APIURL())
	})
}

// TestNamedLinks: links end with the file name of their recording. Its row keeps the name, so that a lost manifest is found
// again by it, and keeps no link.
func TestNamedLinks(t *testing.T) {
	t.Parallel()
	server := simulate(t, convosotest.Config{
		Seed: 96, FirstDay: daysAgo(10), Days: 1, CallsPerDay: 20, RecordedShare: 1, MedianSize: 3_000,
		Oddities: convosotest.Oddities{NamedLinks: true, ExtraFields: true},
	})
	a := onDisk(t, server)
	a.env = append(a.env, quickExit)
	span := []string{"--start-time", daysAgo(10), "--end-time", daysAgo(10)}
	a.run(span...).want(t, 0)
	found := a.other(0, "find", "--last", "30d", "--state-dir", a.state, "--json").stdout
	recordings := 0
	for r := range server.Recordings() {
		recordings++
		if !strings.HasSuffix(strings.Split(r.Link(), "?")[0], "/"+r.Filename) {
			t.Fatalf("the link does not end with %s", r.Filename)
		}
		if !strings.Contains(found, `"filename":"`+r.Filename+`"`) {
			t.Errorf("the row of %s has lost its file name", r.ID)
		}
	}
	if err := os.RemoveAll(filepath.Join(a.folder, "manifest")); err != nil {
		t.Fatal(err)
	}
	if made := a.rebuild(0); made.Archived != recordings || made.Missing+made.Ambiguous > 0 {
		t.Errorf("%+v, want %d archived", made, recordings)
	}
	if r := a.run(span...).want(t, 0); r.summary.MediaRequests != 0 {
		t.Errorf("%d downloads after the rebuild", r.summary.MediaRequests)
	}
}
