package e2e

import (
	"bytes"
	"crypto/sha256"
	"encoding/csv"
	"encoding/hex"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"

	"convoso-archiver/fetcher/convosotest"
	"convoso-archiver/manifest"
)

// copied is the content of a folder of copies.
type copied struct {
	files map[string]string   // hashes by name, without index and playlist
	rows  []map[string]string // of the index
	list  []string            // of the playlist
	plays []string            // durations in the playlist
}

// readCopies reads a folder of copies, whose index and playlist must list exactly the existing files in the same
// order.
func readCopies(t *testing.T, dir string) copied {
	t.Helper()
	c := copied{files: map[string]string{}}
	err := filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		data, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		name, err := filepath.Rel(dir, path)
		sum := sha256.Sum256(data)
		c.files[filepath.ToSlash(name)] = hex.EncodeToString(sum[:])
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	delete(c.files, "index.csv")
	delete(c.files, "playlist.m3u8")
	c.readTables(t, dir)
	for name := range c.files {
		if strings.HasPrefix(name, ".find") {
			t.Errorf("%s is left", name)
		}
	}
	return c
}

func (c *copied) readTables(t *testing.T, dir string) {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(dir, "index.csv"))
	if err != nil {
		t.Fatal(err)
	}
	rows, err := csv.NewReader(bytes.NewReader(data)).ReadAll()
	if err != nil || strings.Count(string(data), "\r\n") != len(rows) {
		t.Fatalf("index.csv: %v", err)
	}
	for _, row := range rows[1:] {
		named := map[string]string{}
		for i, name := range rows[0] {
			named[name] = row[i]
		}
		c.rows = append(c.rows, named)
		if c.files[named["file"]] != named["sha256"] {
			t.Errorf("index.csv: %s has another hash, or is not there", named["file"])
		}
	}
	list, err := os.ReadFile(filepath.Join(dir, "playlist.m3u8"))
	if err != nil || !strings.HasPrefix(string(list), "#EXTM3U\n") {
		t.Fatalf("playlist: %v", err)
	}
	title := ""
	for line := range strings.SplitSeq(strings.TrimSuffix(string(list), "\n"), "\n") {
		switch {
		case strings.HasPrefix(line, "#EXTINF:"):
			title = line
		case !strings.HasPrefix(line, "#"):
			row := c.rows[len(c.list)]
			c.list = append(c.list, line)
			length, _, _ := strings.Cut(strings.TrimPrefix(title, "#EXTINF:"), ",")
			c.plays = append(c.plays, length)
			if line != row["file"] || !strings.HasPrefix(title, "#EXTINF:") || strings.Contains(title, row["phone_number"]) {
				t.Errorf("playlist: %q and %q for %v", title, line, row)
			}
		}
	}
	if len(c.list) != len(c.rows) {
		t.Errorf("%d entries for %d rows", len(c.list), len(c.rows))
	}
}

// checkCopied fails unless the copies are exactly the recordings wanted, byte for byte as the source has them.
func checkCopied(t *testing.T, c copied, want []convosotest.Recording) {
	t.Helper()
	byID := map[string]map[string]string{}
	for _, row := range c.rows {
		byID[row["recording_id"]] = row
	}
	for _, r := range want {
		row := byID[r.Ref]
		if row == nil || c.files[row["file"]] != r.SHA256() || row["id"] != r.CallID {
			t.Errorf("recording %s is not copied: %v", r.Ref, row)
		}
	}
	if len(byID) != len(want) || len(c.files) != len(want) {
		t.Errorf("%d rows and %d files for %d recordings", len(byID), len(c.files), len(want))
	}
}

func recordingsOf(server *convosotest.Server, want func(convosotest.Recording) bool) []convosotest.Recording {
	var all []convosotest.Recording
	for r := range server.Recordings() {
		if want == nil || want(r) {
			all = append(all, r)
		}
	}
	return all
}

// copyable is an archive of one day in which every call has a recording.
func copyable(t *testing.T, where func(*testing.T, *convosotest.Server) *archive, config convosotest.Config) (*archive, *convosotest.Server) {
	t.Helper()
	config.FirstDay, config.RecordedShare = daysAgo(7), 1
	server := simulate(t, config)
	a := where(t, server)
	a.run("--start-time", daysAgo(7), "--end-time", daysAgo(7)).want(t, 0)
	return a, server
}

func diskArchive(t *testing.T, server *convosotest.Server) *archive { return onDisk(t, server) }

func TestFindCopy(t *testing.T) {
	t.Parallel()
	for name, where := range map[string]func(*testing.T, *convosotest.Server) *archive{
		"disk": diskArchive,
		"S3":   func(t *testing.T, server *convosotest.Server) *archive { return onS3(t, server, false).archive },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a, server := copyable(t, where, convosotest.Config{Seed: 72, CallsPerDay: 40, SeveralShare: 0.3, MedianSize: 5_000})
			all := recordingsOf(server, nil)
			to := filepath.Join(t.TempDir(), "copies")
			r := a.find("--copy-to", to, "--workers", "3").want(t, 0)
			if r.stdout != "" || !strings.Contains(r.stderr, fmt.Sprintf("40 calls, %d recordings (all %d with audio): %d copied (", len(all), len(all), len(all))) {
				t.Errorf("stdout %q, stderr %q", r.stdout, r.stderr)
			}
			first := readCopies(t, to)
			checkCopied(t, first, all)
			if !maps.Equal(first.files, a.files()) {
				t.Error("the copies have other names than in the archive")
			}
			r = a.find("--copy-to", to, "--json").want(t, 0)
			if len(callsOf(t, r.stdout)) != 40 || !strings.Contains(r.stderr, fmt.Sprintf(": 0 copied (0 B), %d already there\n", len(all))) {
				t.Errorf("stderr %q", r.stderr)
			}

			// All recordings share a few names, and another search runs in parallel.
			to = filepath.Join(t.TempDir(), "copies")
			names := "{{.campaign_id}}/call {{.call_date.Format \"2006-01-02\"}}"
			campaign := ""
			for c := range server.Calls() {
				campaign = c.CampaignID
			}
			a.find("--copy-to", to, "--path-template", names, "--campaign-id", campaign).want(t, 0)
			some := readCopies(t, to)
			a.find("--copy-to", to, "--path-template", names).want(t, 0)
			second := readCopies(t, to)
			checkCopied(t, second, all)
			for name, sum := range some.files {
				if second.files[name] != sum {
					t.Errorf("%s was overwritten", name)
				}
			}
			// A copy into a new folder gives the same names, independent of the workers.
			other, third := filepath.Join(t.TempDir(), "a"), filepath.Join(t.TempDir(), "b")
			a.find("--copy-to", other, "--path-template", names, "--workers", "8").want(t, 0)
			a.find("--copy-to", third, "--path-template", names, "--workers", "1").want(t, 0)
			if x, y := readCopies(t, other), readCopies(t, third); !maps.Equal(x.files, y.files) || !slices.Equal(x.list, y.list) {
				t.Error("two copies have other names")
			}
		})
	}
}

// TestFindCopyStopped stops a copy by signals, in the middle; the same command continues.
func TestFindCopyStopped(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("signals cannot be sent on Windows")
	}
	t.Parallel()
	a, server := copyable(t, diskArchive, convosotest.Config{Seed: 73, CallsPerDay: 250, MedianSize: 200_000, MinSize: 150_000})
	all := recordingsOf(server, nil)
	to := filepath.Join(t.TempDir(), "copies")
	files := func() int {
		names, _ := filepath.Glob(filepath.Join(to, "*.*"))
		return len(names)
	}
	begun := 0
	for _, test := range []struct {
		signal os.Signal
		code   int
	}{{syscall.SIGINT, 130}, {syscall.SIGKILL, -1}, {syscall.SIGTERM, 143}} {
		r := a.finishFind(a.findCommand("--copy-to", to, "--workers", "1"), func(p *os.Process) {
			waitFor(t, func() bool { return files() > begun+20 })
			_ = p.Signal(test.signal)
		})
		if r.code != test.code {
			t.Fatalf("exit code %d, want %d: %s", r.code, test.code, r.stderr)
		}
		if begun = files(); begun >= len(all) {
			t.Fatal("the copy was done before it was stopped")
		}
		if test.code < 0 {
			continue // nothing was written yet
		}
		if !strings.Contains(r.stderr, "stopping cleanly") || !strings.Contains(r.stderr, "stopped: ") {
			t.Errorf("stderr %q", r.stderr)
		}
		c := readCopies(t, to)
		for name, sum := range c.files {
			if !slices.ContainsFunc(all, func(r convosotest.Recording) bool { return r.SHA256() == sum }) {
				t.Errorf("%s is no whole recording", name)
			}
		}
		if test.code == 130 && len(c.rows) != len(c.files) {
			t.Errorf("%d rows for %d files", len(c.rows), len(c.files))
		}
	}
	r := a.find("--copy-to", to).want(t, 0)
	if !strings.Contains(r.stderr, " already there") {
		t.Errorf("stderr %q", r.stderr)
	}
	checkCopied(t, readCopies(t, to), all)
}

// TestFindCopyOfDamage changes and removes recordings in the archive, and others in the copies.
func TestFindCopyOfDamage(t *testing.T) {
	t.Parallel()
	a, server := copyable(t, diskArchive, convosotest.Config{Seed: 74, CallsPerDay: 30, MedianSize: 5_000})
	all := recordingsOf(server, nil)
	keys := map[string]string{}
	for key, r := range a.read().archived {
		keys[r.RecordingID] = key
	}
	changed, short, long, gone := all[3].Ref, all[7].Ref, all[9].Ref, all[12].Ref
	edit := func(id string, change func([]byte) []byte) {
		t.Helper()
		path := filepath.Join(a.dest, keys[id])
		data, err := os.ReadFile(path)
		if err == nil {
			err = os.WriteFile(path, change(data), 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	edit(changed, func(b []byte) []byte { b[len(b)/2] ^= 1; return b })
	edit(short, func(b []byte) []byte { return b[:len(b)-1] })
	edit(long, func(b []byte) []byte { return append(b, 0) })
	if err := os.Remove(filepath.Join(a.dest, keys[gone])); err != nil {
		t.Fatal(err)
	}
	to := filepath.Join(t.TempDir(), "copies")
	// Existing files are never replaced: a file of another origin, and a truncated copy.
	taken, torn := keys[all[1].Ref], keys[all[2].Ref]
	if err := os.MkdirAll(to, 0o700); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{taken, torn} {
		if err := os.WriteFile(filepath.Join(to, name), []byte("another's"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	r := a.find("--copy-to", to).want(t, 4)
	for id, why := range map[string]string{changed: "checksum mismatch", short: "size mismatch", long: "larger", gone: "missing"} {
		if !strings.Contains(r.stderr, "recording "+id+" of "+daysAgo(7)+" is left out: ") || !strings.Contains(r.stderr, why) {
			t.Errorf("recording %s: %q", id, r.stderr)
		}
	}
	if strings.Contains(r.stderr, ".mp3") {
		t.Errorf("stderr holds a key: %q", r.stderr)
	}
	c := readCopies(t, to)
	for _, name := range []string{taken, torn} {
		if data, err := os.ReadFile(filepath.Join(to, name)); err != nil || string(data) != "another's" {
			t.Errorf("a file was overwritten: %q, %v", data, err)
		}
		delete(c.files, name)
	}
	bad := []string{changed, short, long, gone}
	checkCopied(t, c, slices.DeleteFunc(slices.Clone(all), func(r convosotest.Recording) bool { return slices.Contains(bad, r.Ref) }))

	// As JSON.
	r = a.find("--copy-to", to, "--log-format", "json").want(t, 4)
	if strings.Count(r.stderr, `"msg":"a recording is left out","recording_id":"`) != len(bad) || !strings.Contains(r.stderr, `"damaged":4`) {
		t.Errorf("stderr %q", r.stderr)
	}
}

// TestFindCopyRefused tries folders that copies must not use.
func TestFindCopyRefused(t *testing.T) {
	t.Parallel()
	a, _ := copyable(t, diskArchive, convosotest.Config{Seed: 75, CallsPerDay: 5, MedianSize: 3_000})
	before := a.files()
	temp := t.TempDir()
	foreign, link, file := filepath.Join(temp, "foreign"), filepath.Join(temp, "link"), filepath.Join(temp, "file")
	if err := os.Mkdir(foreign, 0o700); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{filepath.Join(foreign, "index.csv"), file} {
		if err := os.WriteFile(name, []byte("name,price\r\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink(a.dest, link); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct{ to, why string }{
		{a.dest, "this folder belongs to an archive"},
		{filepath.Join(a.dest, "new", "folder"), "this folder belongs to an archive"},
		{filepath.Join(link, "new"), "this folder belongs to an archive"},
		{filepath.Dir(a.dest), "the archive is in this folder"},
		{foreign, "index.csv"},
		{file, "it is a file"},
		{"s3://bucket/copies", "this machine"},
	} {
		r := a.find("--copy-to", test.to).want(t, 2)
		if !strings.Contains(r.stderr, test.why) || r.stdout != "" {
			t.Errorf("%s: %q", test.to, r.stderr)
		}
	}
	if !maps.Equal(before, a.files()) {
		t.Error("the archive has changed")
	}
	if data, err := os.ReadFile(filepath.Join(foreign, "index.csv")); err != nil || string(data) != "name,price\r\n" {
		t.Errorf("another's index.csv is %q: %v", data, err)
	}
}

// TestFindCopyReadOnly copies into a read-only folder.
func TestFindCopyReadOnly(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("folders cannot be made read-only there")
	}
	t.Parallel()
	a, _ := copyable(t, diskArchive, convosotest.Config{Seed: 76, CallsPerDay: 5, MedianSize: 3_000})
	to := filepath.Join(t.TempDir(), "copies")
	if err := os.Mkdir(to, 0o500); err != nil {
		t.Fatal(err)
	}
	cmd := a.findCommand("--copy-to", to)
	if os.Geteuid() == 0 { // root ignores permissions
		setpriv, err := exec.LookPath("setpriv")
		if err != nil {
			t.Fatal(err)
		}
		cmd.Args = slices.Concat([]string{setpriv, "--bounding-set=-dac_override", "--", cmd.Path}, cmd.Args[1:])
		cmd.Path = setpriv
	}
	r := a.finishFind(cmd, nil).want(t, 1)
	if !strings.Contains(r.stderr, "permission denied") || !strings.Contains(r.stderr, "--copy-to") || strings.Count(r.stderr, "\n") != 1 {
		t.Errorf("stderr %q", r.stderr)
	}
}

// TestFindIDs searches a list of ids.
func TestFindIDs(t *testing.T) {
	t.Parallel()
	a, server := copyable(t, diskArchive, convosotest.Config{Seed: 77, CallsPerDay: 40, SeveralShare: 0.5, MedianSize: 3_000})
	var calls []convosotest.Call
	for c := range server.Calls() {
		calls = append(calls, c)
	}
	several := calls[slices.IndexFunc(calls, func(c convosotest.Call) bool { return len(c.Recordings) > 1 })]
	list := filepath.Join(t.TempDir(), "ids.csv")
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(list, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want := []string{calls[0].ID, calls[1].ID, several.ID}
	slices.Sort(want)
	want = slices.Compact(want)
	there := "\ufeff\"Call ID\";who\r\n# of the case\r\n\r\n\"" + calls[0].ID + "\";\"Smith\"\r\n" + calls[1].ID + ",x\r\n" + several.Recordings[1].Ref + "\r\n" + calls[0].ID
	write(there)
	if got := idsOf(a.findCalls("--ids-from", list)); !slices.Equal(got, want) {
		t.Errorf("found %v, want %v", got, want)
	}
	cmd := a.findCommand("--ids-from", "-", "--json")
	cmd.Stdin = strings.NewReader(there)
	if got := idsOf(callsOf(t, a.finishFind(cmd, nil).want(t, 0).stdout)); !slices.Equal(got, want) {
		t.Errorf("found %v by stdin, want %v", got, want)
	}

	write(there + "\r\n99001\r\n99002,Smith\r\nDoe\r\n")
	r := a.find("--ids-from", list, "--json").want(t, 3)
	if got := idsOf(callsOf(t, r.stdout)); !slices.Equal(got, want) {
		t.Errorf("found %v, want %v", got, want)
	}
	if !strings.Contains(r.stderr, "3 of 6 ids not found: 99001, 99002, (a line that is not an id)\n") || strings.Contains(r.stderr, "Smith") {
		t.Errorf("stderr %q", r.stderr)
	}
	many := there
	for i := range 77 {
		many += fmt.Sprintf("\n%d", 99000+i)
	}
	write(many)
	if r = a.find("--ids-from", list).want(t, 3); !strings.Contains(r.stderr, "77 of 80 ids not found: 99000, ") || !strings.Contains(r.stderr, ", 99019 and 57 more\n") {
		t.Errorf("stderr %q", r.stderr)
	}
	if r = a.find("--ids-from", list, "--log-format", "json").want(t, 3); !strings.Contains(r.stderr, `"msg":"ids were not found","missing":["99000",`) {
		t.Errorf("stderr %q", r.stderr)
	}
	// A recording left out by a limit or a sample is not missing.
	write(there)
	a.find("--ids-from", list, "--limit", "1").want(t, 0)
	a.find("--ids-from", list, "--sample", "1").want(t, 0)
	a.find("--ids-from", list, "--start-time", daysAgo(3)).want(t, 3)
	write("# nothing\n\n")
	if r = a.find("--ids-from", list).want(t, 2); !strings.Contains(r.stderr, "it contains no id") {
		t.Errorf("stderr %q", r.stderr)
	}
}

// TestFindSample draws random samples.
func TestFindSample(t *testing.T) {
	t.Parallel()
	a, _ := copyable(t, diskArchive, convosotest.Config{Seed: 78, CallsPerDay: 60, MedianSize: 3_000})
	all := len(a.findCalls())
	drawn := map[string]int{}
	for seed := range 12 {
		sample := idsOf(a.findCalls("--sample", "15", "--seed", fmt.Sprint(seed)))
		for _, id := range sample {
			drawn[id]++
		}
		if len(slices.Compact(sample)) != 15 {
			t.Errorf("%d calls", len(sample))
		}
	}
	// Each of 60 is drawn 3 times of 12 on average; the seeds are fixed, so that this always gives the same.
	if len(drawn) < all*9/10 || slices.Max(slices.Collect(maps.Values(drawn))) > 8 {
		t.Errorf("%d of %d calls were drawn: %v", len(drawn), all, drawn)
	}
	r := a.find("--sample", "5", "--paths").want(t, 0)
	flags := againFlags(t, r.stderr)
	if again := a.find(append(flags, "--sample", "5", "--paths")...).want(t, 0); again.stdout != r.stdout {
		t.Errorf("%q draws another sample: %q", flags, r.stderr)
	}
}

// TestFindInBrokenArchives searches archives with damaged or missing parts.
func TestFindInBrokenArchives(t *testing.T) {
	t.Parallel()
	server := simulate(t, convosotest.Config{Seed: 79, FirstDay: daysAgo(8), Days: 3, CallsPerDay: 20, RecordedShare: 0.5, MedianSize: 3_000})
	a := onDisk(t, server)
	a.run("--start-time", daysAgo(8), "--end-time", daysAgo(6)).want(t, 0)
	segment := func(tree string) string {
		found, err := filepath.Glob(filepath.Join(a.dest, tree, daysAgo(7), "*-000001.jsonl"))
		if err != nil || len(found) != 1 {
			t.Fatalf("%v, %v", found, err)
		}
		return found[0]
	}
	restore := func(path string, change func(data []byte) []byte) func() {
		data, err := os.ReadFile(path)
		if err == nil {
			err = os.WriteFile(path, change(slices.Clone(data)), 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
		return func() {
			if err := os.WriteFile(path, data, 0o600); err != nil {
				t.Error(err)
			}
		}
	}
	spoilLine := func(data []byte) []byte { return append([]byte("{broken 5550001234\n"), data...) }
	for tree, least := range map[string]int{"manifest": 60, "calls": 60} {
		undo := restore(segment(tree), spoilLine)
		r := a.find("--json").want(t, 4)
		if n := len(callsOf(t, r.stdout)); n < least || !strings.Contains(r.stderr, "find: read day "+daysAgo(7)+": ") || strings.Contains(r.stderr, "5550001234") {
			t.Errorf("%s: %d calls, stderr %q", tree, n, r.stderr)
		}
		// Damaged days outside of the span do not matter.
		a.find("--end-time", daysAgo(8)).want(t, 0)
		undo()
	}
	if err := os.RemoveAll(filepath.Join(a.dest, "calls")); err != nil {
		t.Fatal(err)
	}
	calls := a.findCalls("--with-recording")
	if len(calls) == 0 || calls[0].CallDate != "" || len(calls[0].Recordings) == 0 || calls[0].Recordings[0].Outcome != manifest.Archived {
		t.Errorf("without calls/: %+v", calls)
	}
	if r := a.find("--with-recording").want(t, 0); !strings.Contains(r.stdout, "\n"+daysAgo(6)+"  ") {
		t.Errorf("%q", r.stdout)
	}
	if err := os.Remove(filepath.Join(a.dest, "manifest", "archive.json")); err != nil {
		t.Fatal(err)
	}
	a.find().want(t, 1)
	if err := os.RemoveAll(filepath.Join(a.dest, "manifest")); err != nil {
		t.Fatal(err)
	}
	if r := a.find().want(t, 2); !strings.Contains(r.stderr, "there is no archive") {
		t.Errorf("stderr %q", r.stderr)
	}
}
