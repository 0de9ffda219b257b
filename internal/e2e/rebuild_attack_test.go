package e2e

import (
	"bytes"
	"encoding/json"
	"math/rand/v2"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"convoso-archiver/fetcher/convosotest"
	"convoso-archiver/manifest"
)

// lossy is an archive in a folder or a bucket, that can lose parts.
type lossy struct {
	*archive
	remove func(prefix string) // deletes names with this prefix
	put    func(name string, text []byte)
}

func inBoth(t *testing.T, config convosotest.Config, test func(t *testing.T, a *lossy)) {
	for _, where := range []string{"disk", "s3"} {
		t.Run(where, func(t *testing.T) {
			t.Parallel()
			server := simulate(t, config)
			a := &lossy{archive: onDisk(t, server)}
			a.remove = func(prefix string) {
				if err := os.RemoveAll(filepath.Join(a.folder, prefix)); err != nil {
					t.Fatal(err)
				}
			}
			if where == "s3" {
				b := onS3(t, server, false)
				a.archive = b.archive
				a.remove = func(prefix string) { b.remove("pre fix/" + prefix) }
			}
			a.put = func(name string, text []byte) { // a file in a versitygw bucket counts as an object
				name = filepath.Join(a.folder, filepath.FromSlash(name))
				if err := os.MkdirAll(filepath.Dir(name), 0o700); err != nil {
					t.Fatal(err)
				}
				writeFile(t, name, string(text))
			}
			a.env = append(a.env, quickExit)
			a.run(allDays...).want(t, 0)
			test(t, a)
		})
	}
}

var allDays = []string{"--start-time", daysAgo(10), "--end-time", daysAgo(8)}

func smallDays(seed uint64) convosotest.Config {
	return convosotest.Config{Seed: seed, FirstDay: daysAgo(10), Days: 3, CallsPerDay: 20, RecordedShare: 1, MedianSize: 6_000}
}

// lines returns the recording lines of a day, of all days when it is "".
func (a *archive) lines(day string) (list []manifest.Recording) {
	a.t.Helper()
	names, err := filepath.Glob(filepath.Join(a.folder, "manifest", day+"*", "*.jsonl"))
	if err != nil {
		a.t.Fatal(err)
	}
	for _, name := range names {
		for line := range bytes.Lines(a.text(name)) {
			var one struct {
				Kind string `json:"kind"`
				manifest.Recording
			}
			if err := json.Unmarshal(line, &one); err != nil {
				a.t.Fatalf("%s: %v", name, err)
			}
			if one.Kind == "recording" {
				list = append(list, one.Recording)
			}
		}
	}
	return list
}

func (a *archive) text(name string) []byte {
	a.t.Helper()
	text, err := os.ReadFile(name)
	if err != nil {
		a.t.Fatal(err)
	}
	return text
}

// checkRebuilt fails unless each recording of the source has one line and a file with its bytes.
func (a *archive) checkRebuilt() {
	a.t.Helper()
	files, sums := a.files(), truthOf(a.t, a.server, nil)
	seen := map[string]bool{}
	lines := a.lines("")
	for _, l := range lines {
		if _, is := sums[l.SHA256]; !is || files[l.Key] != l.SHA256 || seen[l.RecordingID] {
			a.t.Errorf("recording %s: noted twice, or with bytes that are not its own", l.RecordingID)
		}
		seen[l.RecordingID] = true
	}
	wanted := 0
	for range a.server.Recordings() {
		wanted++
	}
	if len(lines) != wanted {
		a.t.Errorf("%d recordings are noted of %d", len(lines), wanted)
	}
}

// TestRebuildAfterRepair: the damaged bytes have the better name, but the good ones are noted.
func TestRebuildAfterRepair(t *testing.T) {
	inBoth(t, smallDays(93), func(t *testing.T, a *lossy) {
		damaged := a.lines("")[0]
		name := filepath.Join(a.folder, damaged.Key)
		text := a.text(name)
		text[len(text)/2+100] ^= 0xff
		if f, err := os.OpenFile(name, os.O_RDWR, 0); err != nil {
			t.Fatal(err)
		} else if _, err := f.WriteAt(text, 0); err != nil || f.Close() != nil { // in place, so the server's metadata stays
			t.Fatal(err)
		}
		a.other(4, "verify", "--repair")
		a.run(allDays...).want(t, 0)
		a.remove("manifest/")
		if made := a.rebuild(0); made.Archived != 60 {
			t.Fatalf("%+v", made)
		}
		a.checkRebuilt()
		if r := a.run(allDays...).want(t, 0); r.summary.MediaRequests != 0 || r.summary.DaysClosed != 3 {
			t.Errorf("the next run: %s", r.stdout)
		}
		a.other(0, "verify")
	})
}

// callsFile is the one segment of a day's rows on disk.
func (a *archive) callsFile(day string) string {
	a.t.Helper()
	names, err := filepath.Glob(filepath.Join(a.folder, "calls", day, "*.jsonl"))
	if err != nil || len(names) != 1 {
		a.t.Fatalf("%v, %v", names, err)
	}
	return names[0]
}

// addRow notes a changed row of a recording's call, like a run an hour later.
func (a *lossy) addRow(from, to string, l manifest.Recording, change func(row map[string]any)) {
	a.t.Helper()
	for line := range bytes.Lines(a.text(a.callsFile(from))) {
		var fields map[string]any
		if err := json.Unmarshal(line, &fields); err != nil {
			a.t.Fatal(err)
		}
		if fields["call_id"] != l.CallID {
			continue
		}
		change(fields["row"].(map[string]any))
		at, err := time.Parse(time.RFC3339, fields["time"].(string))
		if err != nil {
			a.t.Fatal(err)
		}
		fields["time"] = at.Add(time.Hour).Format(time.RFC3339)
		text, err := json.Marshal(fields)
		if err != nil {
			a.t.Fatal(err)
		}
		a.put("calls/"+to+"/20991231T000000Z-aaaaaaaa-000001.jsonl", append(text, '\n'))
		return
	}
	a.t.Fatal("the call has no row")
}

// TestRebuildSharedName gives two recordings one file name, and removes either the metadata of the first or the audio
// of the second. Neither gets the other's audio.
func TestRebuildSharedName(t *testing.T) {
	t.Parallel()
	for name, fade := range map[string]func(a *lossy, first manifest.Recording, own string){
		"nothing is lost":         func(*lossy, manifest.Recording, string) {},
		"the second's audio is":   func(a *lossy, _ manifest.Recording, own string) { a.remove(own) },
		"the rows of its day are": func(a *lossy, _ manifest.Recording, _ string) { a.remove("calls/" + daysAgo(10)) },
		"a later row does not list it": func(a *lossy, first manifest.Recording, _ string) {
			a.addRow(daysAgo(10), daysAgo(10), first, func(row map[string]any) { row["recording"] = []any{} })
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a := &lossy{archive: onDisk(t, simulate(t, smallDays(94)))}
			a.env = append(a.env, quickExit)
			a.remove = func(name string) {
				if err := os.RemoveAll(filepath.Join(a.folder, name)); err != nil {
					t.Fatal(err)
				}
			}
			a.put = func(name string, text []byte) { writeFile(t, filepath.Join(a.folder, name), string(text)) }
			a.run(allDays...).want(t, 0)
			first, second := a.lines(daysAgo(10))[0], a.lines(daysAgo(9))[0]
			stem, other := strings.TrimSuffix(first.Key, ".mp3"), strings.TrimSuffix(second.Key, ".mp3")
			own := stem + "-" + second.RecordingID + ".mp3"
			if err := os.Rename(filepath.Join(a.folder, second.Key), filepath.Join(a.folder, own)); err != nil {
				t.Fatal(err)
			}
			rows := a.callsFile(daysAgo(9))
			writeFile(t, rows, strings.ReplaceAll(string(a.text(rows)), other, stem))
			fade(a, first, own)
			a.remove("manifest")
			a.anyEnd("rebuild", "--json", "--api-url", a.server.APIURL())
			for _, l := range a.lines("") {
				if l.RecordingID == second.RecordingID && l.Key != own || l.RecordingID == first.RecordingID && l.Key != first.Key {
					t.Errorf("recording %s got %s", l.RecordingID, l.Key)
				}
			}
			if exists(filepath.Join(a.folder, own)) && !slices.ContainsFunc(a.lines(daysAgo(9)), func(l manifest.Recording) bool { return l.RecordingID == second.RecordingID }) {
				t.Error("the second is not noted, which alone has its id in its name")
			}
		})
	}
}

// anyEnd is like other, for a command that may end with any code except 1 and 2.
func (a *archive) anyEnd(name string, args ...string) {
	a.t.Helper()
	cmd := exec.Command(binary, slices.Concat([]string{name, "--dest", a.dest}, a.flags, args)...)
	cmd.Env = append([]string{"PATH=" + os.Getenv("PATH")}, a.env...)
	out, _ := cmd.CombinedOutput()
	if code := cmd.ProcessState.ExitCode(); code == 1 || code == 2 {
		a.t.Fatalf("exit code %d: %s", code, out)
	}
}

// TestRebuildIsKilled kills rebuilds until one ends, at any moment and when they start to write a day: then everything
// is noted, each recording once.
func TestRebuildIsKilled(t *testing.T) {
	inBoth(t, smallDays(95), func(t *testing.T, a *lossy) {
		random := rand.New(rand.NewPCG(95, 1))
		kills := 0
		for round := range 6 {
			a.remove("manifest/")
			for try := 1; a.rebuildKilled(func(cmd *exec.Cmd, ended <-chan struct{}) {
				switch {
				case try > 6:
				case round%2 == 0:
					select {
					case <-ended:
					case <-time.After(time.Duration(random.Int64N(int64(try) * 40e6))):
					}
					_ = cmd.Process.Kill()
				default:
					waitForSegments(a.folder, len(segmentsOf(a.folder))+1, ended)
					_ = cmd.Process.Kill()
				}
			}); try++ {
				kills++
			}
			for _, name := range segmentsOf(a.folder) {
				if text := a.text(name); len(text) > 0 && text[len(text)-1] != '\n' {
					t.Errorf("%s is torn", name)
				}
			}
			a.checkRebuilt()
		}
		if kills == 0 {
			t.Error("none was killed")
		}
	})
}

// rebuildKilled rebuilds, and reports whether the run was killed.
func (a *archive) rebuildKilled(during func(cmd *exec.Cmd, ended <-chan struct{})) bool {
	a.t.Helper()
	cmd := exec.Command(binary, slices.Concat([]string{"rebuild", "--dest", a.dest, "--api-url", a.server.APIURL(), "--quiet"}, a.flags)...)
	cmd.Env = append([]string{"PATH=" + os.Getenv("PATH")}, a.env...)
	if err := cmd.Start(); err != nil {
		a.t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() {
		_ = cmd.Wait()
		close(ended)
	}()
	during(cmd, ended)
	<-ended
	code := cmd.ProcessState.ExitCode()
	if code > 0 {
		a.t.Fatalf("exit code %d", code)
	}
	return code != 0
}

func segmentsOf(folder string) []string {
	names, _ := filepath.Glob(filepath.Join(folder, "manifest", "*", "*.jsonl")) // the pattern is sound
	return names
}

// waitForSegments waits until a run has started n segments, or has ended.
func waitForSegments(folder string, count int, ended <-chan struct{}) {
	for len(segmentsOf(folder)) < count {
		select {
		case <-ended:
			return
		default:
		}
	}
}

// TestRebuildAfterNoLine: a segment without a complete line, as after a full disk, is not a
// manifest.
func TestRebuildAfterNoLine(t *testing.T) {
	t.Parallel()
	a := onDisk(t, threeDays(t, 96))
	a.env = append(a.env, quickExit)
	a.run(allDays...).want(t, 0)
	if err := os.RemoveAll(filepath.Join(a.folder, "manifest")); err != nil {
		t.Fatal(err)
	}
	for day, text := range map[string]string{daysAgo(10): "", daysAgo(9): `{"v":1,"kind":"rebuild"`} {
		folder := filepath.Join(a.folder, "manifest", day)
		if err := os.MkdirAll(folder, 0o700); err != nil {
			t.Fatal(err)
		}
		writeFile(t, filepath.Join(folder, "20260101T000000Z-aaaaaaaa-000001.jsonl"), text)
	}
	if made := a.rebuild(0); made.Days != 3 || made.Archived != 60 {
		t.Errorf("%+v", made)
	}
	a.checkRebuilt()
}

// TestRebuildGoesOn rebuilds while half of the audio is missing, and again once it is back; a day with lines of
// archive is not changed.
func TestRebuildGoesOn(t *testing.T) {
	inBoth(t, smallDays(97), func(t *testing.T, a *lossy) {
		a.remove("manifest/")
		away := t.TempDir()
		keys := slices.Sorted(func(yield func(string) bool) {
			for name := range a.files() {
				if !yield(name) {
					return
				}
			}
		})[:30]
		move := func(from, to string) {
			for _, name := range keys {
				if err := os.Rename(filepath.Join(from, name), filepath.Join(to, name)); err != nil {
					t.Fatal(err)
				}
			}
		}
		move(a.folder, away)
		if made := a.rebuild(3); made.Archived != 30 || made.Missing != 30 {
			t.Errorf("half is away: %+v", made)
		}
		move(away, a.folder)
		if made := a.rebuild(0); made.Days != 3 || made.Archived != 60 {
			t.Errorf("it is back: %+v", made)
		}
		a.checkRebuilt()
		if made := a.rebuild(0); made.Days != 3 || made.Archived != 60 || len(a.lines("")) != 60 {
			t.Errorf("nothing is left to do: %+v", made)
		}
		a.run(allDays...).want(t, 0)
		if made := a.rebuild(0); made.Days != 0 || made.Known != 3 {
			t.Errorf("archive has worked the days: %+v", made)
		}
	})
}

// TestRebuildHalf truncates a recording at the end of a frame, so that it looks complete.
func TestRebuildHalf(t *testing.T) {
	t.Parallel()
	a := onDisk(t, simulate(t, convosotest.Config{
		Seed: 98, FirstDay: daysAgo(10), Days: 1, CallsPerDay: 10, RecordedShare: 1, MedianSize: 120_000, MinSize: 100_000,
	}))
	a.env = append(a.env, quickExit)
	a.run("--start-time", daysAgo(10), "--end-time", daysAgo(10)).want(t, 0)
	name := a.anyAudio()
	const frame = 576
	text := a.text(name)
	writeFile(t, name, string(text[:len(text)/frame/2*frame]))
	if err := os.RemoveAll(filepath.Join(a.folder, "manifest")); err != nil {
		t.Fatal(err)
	}
	if made := a.rebuild(3); made.Archived != 9 || made.Ambiguous != 1 {
		t.Errorf("%+v", made)
	}
}

// TestRebuildRows: an unreadable row makes a rebuild incomplete. So it does if the retention depends on campaigns, and audio
// is missing.
func TestRebuildRows(t *testing.T) {
	t.Parallel()
	server := threeDays(t, 99)
	a := onDisk(t, server)
	a.env = append(a.env, quickExit)
	campaign := ""
	for c := range server.Calls() {
		campaign = c.CampaignID
	}
	a.run(append([]string{"--retention", "short=3d", "--retention-campaign", campaign + "=short"}, allDays...)...).want(t, 0)
	rows := strings.SplitAfter(string(a.text(a.callsFile(daysAgo(9)))), "\n")
	rows[2] = "{bad\n"
	writeFile(t, a.callsFile(daysAgo(9)), strings.Join(rows, ""))
	if err := os.RemoveAll(filepath.Join(a.folder, "manifest")); err != nil {
		t.Fatal(err)
	}
	for c := range server.Calls() {
		if strings.Contains(rows[3], `"`+c.ID+`"`) {
			if err := os.Remove(filepath.Join(a.dest, c.Recordings[0].Filename)); err != nil {
				t.Fatal(err)
			}
		}
	}
	if made := a.rebuild(3); made.Archived != 58 || made.Unreadable != 1 || made.Missing != 1 || made.Ambiguous != 0 {
		t.Errorf("%+v", made)
	}
}

// TestRebuildArchive loses archive.json: a seal supplies its content, and sealing continues; without seals, a zone
// that contradicts the calls is refused.
func TestRebuildArchive(t *testing.T) {
	inBoth(t, smallDays(100), func(t *testing.T, a *lossy) {
		a.remove("manifest/")
		r := a.other(2, "rebuild", "--api-url", a.server.APIURL(), "--time-zone", "Asia/Manila")
		if !strings.Contains(r.stderr, "give the account's --time-zone") || len(a.lines("")) != 0 {
			t.Errorf("another zone: %s", r.stderr)
		}
		r = a.other(0, "rebuild", "--api-url", a.server.APIURL())
		if !strings.Contains(r.stdout, "from --time-zone and --api-url") {
			t.Errorf("without seals: %s", r.stdout)
		}
		if !strings.Contains(r.stdout, "these were not given, so rebuild used the defaults: --time-zone. If archive used other values") {
			t.Errorf("without --time-zone: %s", r.stdout)
		}
		a.run(allDays...).want(t, 0)
		key, _ := sealKey(t)
		a.seal(key)
		file := filepath.Join(a.folder, "manifest", "archive.json")
		var before, after manifest.Archive
		if err := json.Unmarshal(a.text(file), &before); err != nil {
			t.Fatal(err)
		}
		a.remove("manifest/")
		r = a.other(0, "rebuild", "--api-url", "https://elsewhere.test/v1", "--time-zone", "Asia/Manila")
		if !strings.Contains(r.stdout, "from the newest seal") {
			t.Errorf("with seals: %s", r.stdout)
		}
		if err := json.Unmarshal(a.text(file), &after); err != nil {
			t.Fatal(err)
		}
		if after.ID != before.ID || after.AccountID != before.AccountID || after.APIURL != before.APIURL || after.TimeZone != before.TimeZone {
			t.Errorf("%+v, it was %+v", after, before)
		}
		a.run(allDays...).want(t, 0)
		if s := a.seal(key); s.Number != 2 || s.Days != 3 {
			t.Errorf("sealed %+v", s)
		}
	})
}

// TestRebuildMovedCall lists a call under two days: its recording is noted once, in a bucket under the day of its
// metadata, in a folder under the day of the newest row.
func TestRebuildMovedCall(t *testing.T) {
	inBoth(t, smallDays(101), func(t *testing.T, a *lossy) {
		l := a.lines(daysAgo(10))[0]
		onDisk := a.folder == a.dest
		if onDisk {
			a.addRow(daysAgo(10), daysAgo(9), l, func(map[string]any) {})
		} else {
			names, err := filepath.Glob(filepath.Join(a.folder, "calls", daysAgo(10), "*.jsonl.gz"))
			if err != nil || len(names) == 0 {
				t.Fatalf("%v, %v", names, err)
			}
			a.put(path.Join("calls", daysAgo(9), "20991231T000000Z-aaaaaaaa-000001.jsonl.gz"), a.text(names[0]))
		}
		a.remove("manifest/")
		if made := a.rebuild(0); made.Archived != 60 || made.Recordings != 60 {
			t.Errorf("%+v", made)
		}
		a.checkRebuilt()
		if moved := len(a.lines(daysAgo(9))) == 21; moved != onDisk {
			t.Errorf("the second day has %d recordings", len(a.lines(daysAgo(9))))
		}
	})
}

// TestRebuildNowhere leaves nothing at a prefix without an archive.
func TestRebuildNowhere(t *testing.T) {
	t.Parallel()
	b := onS3(t, threeDays(t, 102), false)
	b.env = append(b.env, quickExit)
	b.dest += "-mistyped"
	if r := b.other(2, "rebuild"); !strings.Contains(r.stderr, "the manifest cannot be rebuilt") {
		t.Error(r.stderr)
	}
	if len(b.puts) != 0 {
		t.Errorf("%d objects were put", len(b.puts))
	}
}
