package e2e

import (
	"bufio"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"convoso-archiver/evidence"
	"convoso-archiver/fetcher/convosotest"
)

type bagged struct {
	ExitCode int    `json:"exit_code"`
	Error    string `json:"error"`
	Calls    int    `json:"calls"`
	Stored   int    `json:"stored"`
	LeftOut  int    `json:"left_out"`
	Seals    int    `json:"seals"`
	Files    int    `json:"files"`
	Checksum string `json:"tagmanifest_sha256"`

	SealedCalls   int      `json:"sealed_calls"`
	SealedDays    int      `json:"sealed_days"`
	UnsealedCalls int      `json:"unsealed_calls"`
	UnsealedDays  []string `json:"unsealed_days"`
}

func (a *archive) bag(code int, to string, args ...string) (b bagged) {
	a.t.Helper()
	r := a.other(code, "export", append([]string{"--json", "--format", "bagit", "--to", to}, args...)...)
	if err := json.Unmarshal([]byte(r.stdout), &b); err != nil {
		a.t.Fatal(err)
	}
	return b
}

// TestBag writes a bag of one of three days, from a folder and from a bucket, and checks it against the RFC, with
// sha256sum and with the seal.
func TestBag(t *testing.T) {
	for _, where := range []string{"disk", "s3"} {
		t.Run(where, func(t *testing.T) {
			t.Parallel()
			server := threeDays(t, 83)
			a := onDisk(t, server)
			if where == "s3" {
				a = onS3(t, server, false).archive
			}
			a.run("--start-time", daysAgo(10), "--end-time", daysAgo(8)).want(t, 0)
			key, allowed := sealKey(t)
			a.seal(key)
			dir := filepath.Join(t.TempDir(), "new", "case 17")
			got := a.bag(0, dir, "--start-time", daysAgo(9), "--end-time", daysAgo(9))
			if got.Calls != 20 || got.Stored != 20 || got.LeftOut != 0 || got.Seals != 1 || got.Files != 20+2+2+2+2 ||
				got.SealedCalls != 20 || got.SealedDays != 1 || got.UnsealedCalls != 0 || len(got.UnsealedDays) != 0 {
				t.Errorf("%+v", got)
			}
			checkBag(t, dir)
			if is := sha([]byte(readText(t, dir, "tagmanifest-sha256.txt"))); got.Checksum != is {
				t.Errorf("checksum %s, is %s", got.Checksum, is)
			}
			checkVouched(t, dir, allowed)
			const zone = "America/Los_Angeles"
			if info, about := readText(t, dir, "bag-info.txt"), readText(t, dir, "README.txt"); !strings.Contains(info, "\nTime-Zone: "+zone+"\n") || !strings.Contains(about, ": "+zone+".\n") {
				t.Errorf("the zone is in neither %q nor %q", info, about)
			}
			if said := checkReadme(t, dir, key+".pub"); strings.Contains(said, ":") {
				t.Errorf("the checks of README.txt say %q", said)
			}
			if left, _ := filepath.Glob(dir + ".part*"); len(left) > 0 {
				t.Errorf("%q is left", left)
			}
			if again := a.bag(2, dir, "--start-time", daysAgo(9)); !strings.Contains(again.Error, "the folder already contains files") {
				t.Errorf("%+v", again)
			}
			if none := a.bag(3, dir+" none", "--id", "no-such-call"); !strings.Contains(none.Error, "no call matches") {
				t.Errorf("%+v", none)
			}
			if left, _ := filepath.Glob(dir + " none*"); len(left) > 0 {
				t.Errorf("%q is left of nothing", left)
			}
		})
	}
}

// TestBagOfDamage omits damaged recordings, and still makes a valid bag.
func TestBagOfDamage(t *testing.T) {
	t.Parallel()
	a := onDisk(t, threeDays(t, 84))
	a.run("--start-time", daysAgo(10), "--end-time", daysAgo(8)).want(t, 0)
	writeFile(t, a.anyAudio(), "other audio")
	dir := filepath.Join(t.TempDir(), "bag")
	if err := os.Mkdir(dir, 0o700); err != nil { // an empty folder is accepted
		t.Fatal(err)
	}
	if got := a.bag(4, dir); got.Calls != 60 || got.Stored != 59 || got.LeftOut != 1 || got.Seals != 0 {
		t.Errorf("%+v", got)
	}
	checkBag(t, dir)
	wantSaid(t, readText(t, dir, "README.txt"), "not in this bag: 1.\n")
	for _, to := range []string{filepath.Join(a.dest, "bag"), filepath.Dir(a.dest), "s3://bucket/bag"} {
		if r := a.other(2, "export", "--format", "bagit", "--to", to); r.stderr == "" {
			t.Errorf("a bag in %s", to)
		}
	}
	if err := os.Mkdir(dir+" other.part", 0o700); err != nil {
		t.Fatal(err)
	}
	writeFile(t, dir+" other.part/letter", "not ours")
	if got := a.bag(2, dir+" other"); !strings.Contains(got.Error, "the folder already contains files") {
		t.Errorf("%+v", got)
	}
}

// TestBagIsKilled kills exports at any moment: the name of the bag has nothing, or a complete bag.
func TestBagIsKilled(t *testing.T) {
	t.Parallel()
	a := onDisk(t, threeDays(t, 85))
	a.run("--start-time", daysAgo(10), "--end-time", daysAgo(8)).want(t, 0)
	dir := filepath.Join(t.TempDir(), "bag")
	killed := 0
	for try := range 12 {
		cmd := exec.Command(binary, "export", "--dest", a.dest, "--format", "bagit", "--to", dir, "--quiet")
		cmd.Env = []string{"PATH=" + os.Getenv("PATH")}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		ended := make(chan struct{})
		go func() { _ = cmd.Wait(); close(ended) }()
		waitUntil(ended, func() bool { return exists(dir + ".part/data") })
		select {
		case <-time.After(time.Duration(try) * 5 * time.Millisecond):
		case <-ended:
		}
		_ = cmd.Process.Kill()
		<-ended
		if !exists(dir) {
			killed++
			continue
		}
		checkBag(t, dir)
		if err := os.RemoveAll(dir); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("%d of 12 were killed before they ended", killed)
	if got := a.bag(0, dir); got.Stored != 60 {
		t.Errorf("%+v", got)
	}
	checkBag(t, dir)
}

func exists(name string) bool {
	_, err := os.Lstat(name)
	return err == nil
}

// waitUntil waits until a condition holds, or a process has ended.
func waitUntil(ended <-chan struct{}, isSo func() bool) {
	for !isSo() {
		select {
		case <-ended:
			return
		case <-time.After(time.Millisecond):
		}
	}
}

var (
	manifestPattern = regexp.MustCompile(`^([0-9a-f]{64})  ([^ ].*)$`)
	devicePattern   = regexp.MustCompile(`(?i)^(con|prn|aux|nul|com[0-9]|lpt[0-9])(\.|$)`)
)

// checkBag checks a folder against RFC 8493, its names for Windows, and its hashes with sha256sum.
func checkBag(t *testing.T, dir string) {
	t.Helper()
	files := map[string]string{} // checksums by path
	var bytes int64
	payload := 0
	err := filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		name, err := filepath.Rel(dir, path)
		sum := sha256.Sum256(text)
		files[filepath.ToSlash(name)] = hex.EncodeToString(sum[:])
		if strings.HasPrefix(name, "data"+string(filepath.Separator)) {
			payload++
			bytes += int64(len(text))
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if text := readText(t, dir, "bagit.txt"); text != "BagIt-Version: 1.0\nTag-File-Character-Encoding: UTF-8\n" {
		t.Errorf("bagit.txt: %q", text)
	}
	info := readText(t, dir, "bag-info.txt")
	if !strings.Contains(info, fmt.Sprintf("\nPayload-Oxum: %d.%d\n", bytes, payload)) {
		t.Errorf("%d bytes in %d files: %s", bytes, payload, info)
	}
	for line := range strings.Lines(info) {
		if !regexp.MustCompile(`^[A-Z][A-Za-z-]*: [^ ].*\n$`).MatchString(line) {
			t.Errorf("bag-info.txt: %q", line)
		}
	}
	listed := map[string]map[string]string{"manifest-sha256.txt": {}, "tagmanifest-sha256.txt": {}}
	for name, entries := range listed {
		for line := range strings.Lines(readText(t, dir, name)) {
			found := manifestPattern.FindStringSubmatch(strings.TrimSuffix(line, "\n"))
			if found == nil || !strings.HasSuffix(line, "\n") {
				t.Fatalf("%s: %q", name, line)
			}
			path := strings.NewReplacer("%0D", "\r", "%0A", "\n", "%25", "%").Replace(found[2])
			if _, twice := entries[path]; twice || files[path] != found[1] {
				t.Errorf("%s: %s is listed twice, or has another checksum", name, path)
			}
			if strings.HasPrefix(path, "data/") != (name == "manifest-sha256.txt") || slices.Contains(strings.Split(path, "/"), "..") {
				t.Errorf("%s lists %s", name, path)
			}
			entries[path] = found[1]
		}
		cmd := exec.Command("sha256sum", "--strict", "--quiet", "-c", name)
		cmd.Dir = dir
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("sha256sum -c %s: %v: %s", name, err, out)
		}
	}
	folded := map[string]bool{}
	for name := range files {
		_, inPayload := listed["manifest-sha256.txt"][name]
		_, inTags := listed["tagmanifest-sha256.txt"][name]
		if !inPayload && !inTags && name != "tagmanifest-sha256.txt" {
			t.Errorf("%s is listed nowhere", name)
		}
		if folded[strings.ToLower(name)] || len(name) > 150 {
			t.Errorf("%s is too long, or differs from another name in its case alone", name)
		}
		folded[strings.ToLower(name)] = true
		for part := range strings.SplitSeq(name, "/") {
			if strings.ContainsAny(part, `<>:"|?*\`) || strings.TrimRight(part, ". ") != part || devicePattern.MatchString(part) {
				t.Errorf("%s is no name on Windows", name)
			}
		}
	}
}

// TestBagSaysWhatIsSealed: a bag says which of its calls are on sealed days, and the commands of its README find the
// others.
func TestBagSaysWhatIsSealed(t *testing.T) {
	for _, where := range []string{"disk", "s3"} {
		t.Run(where, func(t *testing.T) {
			t.Parallel()
			server := simulate(t, convosotest.Config{Seed: 185, FirstDay: daysAgo(10), Days: 4, CallsPerDay: 20, RecordedShare: 1, MedianSize: 3_000})
			a := onDisk(t, server)
			if where == "s3" {
				a = onS3(t, server, false).archive
			}
			a.run(twoDays()...).want(t, 0)
			checkSealedInBag(t, a)
		})
	}
}

func checkSealedInBag(t *testing.T, a *archive) {
	t.Helper()
	key, _ := sealKey(t)
	a.seal(key)
	sealed, unsealed := []string{daysAgo(10), daysAgo(9)}, []string{daysAgo(8), daysAgo(7)}
	a.run("--start-time", unsealed[0], "--end-time", unsealed[1]).want(t, 0)
	dir := filepath.Join(t.TempDir(), "bag")
	got := a.bag(0, dir)
	if got.SealedDays != 2 || got.SealedCalls == 0 || got.UnsealedCalls == 0 || got.SealedCalls+got.UnsealedCalls != got.Calls || !slices.Equal(got.UnsealedDays, unsealed) {
		t.Errorf("%+v", got)
	}
	checkBag(t, dir)
	span := unsealed[0] + " to " + unsealed[1]
	for name, want := range map[string]string{
		"bag-info.txt": fmt.Sprintf("\nCalls-On-Sealed-Days: %d\nSealed-Days: 2\nCalls-On-Unsealed-Days: %d\nUnsealed-Days: %s\n", got.SealedCalls, got.UnsealedCalls, span),
		"README.txt":   fmt.Sprintf("What the seals prove: %d calls on 2 days, sealed by", got.SealedCalls),
	} {
		if text := readText(t, dir, name); !strings.Contains(text, want) || !strings.Contains(text, span) {
			t.Errorf("%s does not say %q and %q: %s", name, want, span, text)
		}
	}
	check := func(prefix string, want []string) {
		t.Helper()
		var found []string
		for line := range strings.Lines(checkReadme(t, dir, key+".pub")) {
			if file, ok := strings.CutPrefix(line, prefix+": "); ok {
				found = append(found, strings.TrimSuffix(file, "\n"))
			} else if strings.Contains(line, ":") && !strings.HasPrefix(line, "NOT SEALED: ") {
				t.Errorf("the checks say %q", line)
			}
		}
		if slices.Sort(found); !slices.Equal(found, want) {
			t.Errorf("%s: %q, want %q", prefix, found, want)
		}
	}
	var open []string
	for _, day := range unsealed {
		for _, tree := range []string{"calls", "manifest"} {
			names, _ := filepath.Glob(filepath.Join(dir, "data/digests", tree, day, "*.txt"))
			for _, name := range names {
				open = append(open, name[len(dir)+1:])
			}
		}
	}
	slices.Sort(open)
	check("NOT SEALED", open)
	var calls []string // of the unsealed days, by day and id
	for _, c := range a.findCalls("--start-time", unsealed[0], "--end-time", unsealed[1]) {
		calls = append(calls, c.Day+","+c.ID+"\n")
	}
	slices.Sort(calls)
	if got := regexp.MustCompile(`(?m)^20.*\n`).FindAllString(checkReadme(t, dir, key+".pub"), -1); len(calls) != 40 || !slices.Equal(got, calls) {
		t.Errorf("calls of unsealed days %q, want %q", got, calls)
	}

	text := a.other(0, "export", "--format", "bagit", "--to", dir+" 2").stdout
	for _, want := range []string{
		fmt.Sprintf("sealed       %d calls on 2 days\n", got.SealedCalls), fmt.Sprintf("NOT SEALED   %d calls on 2 days: %s; ", got.UnsealedCalls, span),
		"  check the files: cd '" + dir + " 2' && sha256sum --strict --quiet -c manifest-sha256.txt && sha256sum --strict --quiet -c tagmanifest-sha256.txt\n", "  check the seals: README.txt in the bag has",
		"checksum     " + sha([]byte(readText(t, dir+" 2", "tagmanifest-sha256.txt"))) + " of tagmanifest-sha256.txt\n",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("the summary does not say %q: %s", want, text)
		}
	}

	// An attacker changes the bag, and updates its checksums.
	remake := func() {
		t.Helper()
		cmd := exec.Command("sh", "-c", "find data -type f | LC_ALL=C sort | xargs -d '\\n' sha256sum > m && mv m manifest-sha256.txt && sha256sum bag-info.txt bagit.txt manifest-sha256.txt README.txt > tagmanifest-sha256.txt")
		cmd.Dir = dir
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
	}
	one := func(pattern string) string {
		t.Helper()
		names, _ := filepath.Glob(filepath.Join(dir, pattern))
		if len(names) == 0 {
			t.Fatalf("no %s", pattern)
		}
		return names[0][len(dir)+1:]
	}
	// Audio of another recording of the day, and another call.
	audio, _ := filepath.Glob(filepath.Join(dir, "data/audio", sealed[0], "*.mp3"))
	first, second := audio[0][len(dir)+1:], audio[1][len(dir)+1:]
	of, with := readText(t, dir, first), readText(t, dir, second)
	writeFile(t, audio[0], with)
	writeFile(t, audio[1], of)
	remake()
	check("NO LINE", []string{first, second})
	index := readText(t, dir, "data/audio/index.csv")
	was, is := strings.TrimPrefix(first, "data/audio/")+",", strings.TrimPrefix(second, "data/audio/")+","
	writeFile(t, filepath.Join(dir, "data/audio/index.csv"), strings.NewReplacer(was, is, is, was).Replace(index))
	remake()
	check("OTHER NAME", []string{first, second})
	writeFile(t, audio[0], of)
	writeFile(t, audio[1], with)
	callOf := func(name string) string {
		for line := range strings.Lines(index) {
			if strings.HasPrefix(line, name) {
				return "," + strings.Split(line, ",")[2] + ","
			}
		}
		t.Fatalf("no row %s", name)
		return ""
	}
	writeFile(t, filepath.Join(dir, "data/audio/index.csv"), strings.Replace(index, callOf(was), callOf(is), 1))
	remake()
	check("NO LINE", []string{first})
	writeFile(t, filepath.Join(dir, "data/audio/index.csv"), index)
	remake()
	check("NO LINE", nil)

	for finding, change := range map[string]struct{ file, was, is string }{
		"NO LINE":    {one("data/audio/" + sealed[0] + "/*"), "", "other audio"},
		"OTHER LINE": {one("data/lines/calls/" + sealed[0] + "/*"), `"row":{`, `"row": {`},
		"NOT SEALED": {one("data/digests/calls/" + sealed[0] + "/*"), "", strings.Repeat("0", 64) + "\n"},
	} {
		before := readText(t, dir, change.file)
		after := strings.Replace(before, change.was, change.is, 1)
		if after == before {
			t.Fatalf("%s is not changed", change.file)
		}
		writeFile(t, filepath.Join(dir, change.file), after)
		remake()
		want := []string{change.file}
		if finding == "NOT SEALED" {
			want = append(want, open...)
			slices.Sort(want)
		}
		check(finding, want)
		writeFile(t, filepath.Join(dir, change.file), before)
	}
}

// checkReadme runs the commands of README.txt in the bag, except the one that needs a timestamp, and returns their
// output other than good signatures.
func checkReadme(t *testing.T, dir, public string) string {
	t.Helper()
	key, err := os.ReadFile(public)
	if err != nil {
		t.Fatal(err)
	}
	writeFile(t, filepath.Join(dir, "key.pub"), string(key))
	commands := "set -e\n"
	for _, found := range regexp.MustCompile(`(?m)^  ((?:sha256sum|printf|for|grep) .*)$`).FindAllStringSubmatch(readText(t, dir, "README.txt"), -1) {
		commands += found[1] + "\n"
	}
	if strings.Count(commands, "\n") != 1+7 {
		t.Fatalf("README.txt has other commands: %s", commands)
	}
	cmd := exec.Command("sh", "-c", commands)
	cmd.Dir = dir
	out, err := cmd.CombinedOutput()
	if err != nil || !strings.Contains(string(out), "Good \""+evidence.Namespace+"\" signature for archive") {
		t.Errorf("%v: %s", err, out)
	}
	return regexp.MustCompile(`(?m)^Good "[^"]*" signature for archive .*\n`).ReplaceAllString(string(out), "")
}

func readText(t *testing.T, dir, name string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(dir, name))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// checkVouched verifies from the signature to the audio, as README.txt of the bag describes.
func checkVouched(t *testing.T, dir, allowed string) {
	t.Helper()
	text := readText(t, dir, "data/seals/000001.json")
	verify := exec.Command("ssh-keygen", "-Y", "verify", "-f", allowed, "-I", "archive", "-n", evidence.Namespace, "-s", filepath.Join(dir, "data/seals/000001.sig"))
	verify.Stdin = strings.NewReader(text)
	if out, err := verify.CombinedOutput(); err != nil {
		t.Fatalf("ssh-keygen: %v: %s", err, out)
	}
	var seal evidence.Seal
	if err := json.Unmarshal([]byte(text), &seal); err != nil {
		t.Fatal(err)
	}
	recordings := 0
	for _, d := range seal.Days {
		for tree, segments := range map[string][]evidence.SealedLines{"manifest": d.Segments, "calls": d.CallsSegments} {
			for _, s := range segments {
				name := filepath.Join(tree, d.Day, strings.TrimSuffix(strings.TrimSuffix(s.Name, ".gz"), ".jsonl"))
				if !exists(filepath.Join(dir, "data/lines", name+".jsonl")) {
					continue // of another day
				}
				digests := readText(t, dir, filepath.Join("data/digests", name+".txt"))
				if sum := sha256.Sum256([]byte(digests)); hex.EncodeToString(sum[:]) != s.Root || strings.Count(digests, "\n") != int(s.Lines) {
					t.Errorf("%s: the digests are not those that were sealed", name)
				}
				lines := bufio.NewScanner(strings.NewReader(readText(t, dir, filepath.Join("data/lines", name+".jsonl"))))
				for lines.Scan() {
					if sum := sha256.Sum256(lines.Bytes()); !strings.Contains(digests, hex.EncodeToString(sum[:])+"\n") {
						t.Errorf("%s: a line is not among those that were sealed", name)
					}
					var r struct {
						ID     string `json:"recording_id"`
						SHA256 string `json:"sha256"`
					}
					if err := json.Unmarshal(lines.Bytes(), &r); err != nil {
						t.Fatal(err)
					}
					if tree != "manifest" {
						continue
					}
					recordings++
					if sum := sha256.Sum256([]byte(readText(t, dir, filepath.Join("data/audio", d.Day, r.ID+".mp3")))); hex.EncodeToString(sum[:]) != r.SHA256 {
						t.Errorf("the audio of %s is not that of its line", r.ID)
					}
				}
			}
		}
	}
	if recordings != 20 {
		t.Errorf("%d recordings are vouched for, want 20", recordings)
	}
}
