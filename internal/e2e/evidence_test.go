package e2e

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"convoso-archiver/evidence"
	"convoso-archiver/fetcher/convosotest"
	"convoso-archiver/manifest"
)

// plainFiles are the files of an archive, as an attacker with write access sees them.
type plainFiles struct {
	names  func(prefix string) []string // from the archive's root
	read   func(name string) []byte
	write  func(name string, content []byte)
	remove func(name string)
}

func filesOf(t *testing.T, a *archive) plainFiles {
	t.Helper()
	if b := a.bucket; b != nil {
		return plainFiles{
			names: b.names, read: b.content, write: b.overwrite,
			remove: func(name string) {
				if _, err := b.server.Client().DeleteObject(t.Context(), &s3.DeleteObjectInput{Bucket: &b.server.Bucket, Key: aws.String("pre fix/" + name)}); err != nil {
					t.Fatal(err)
				}
			},
		}
	}
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	at := func(name string) string { return filepath.Join(a.dest, filepath.FromSlash(name)) }
	return plainFiles{
		names: func(prefix string) (names []string) {
			dir, base := path.Split(prefix)
			paths, err := filepath.Glob(filepath.Join(at(dir), base+"*"))
			must(err)
			for _, p := range paths {
				info, err := os.Stat(p)
				must(err)
				if name, err := filepath.Rel(a.dest, p); err == nil && !info.IsDir() {
					names = append(names, filepath.ToSlash(name))
				}
			}
			return names
		},
		read: func(name string) []byte {
			text, err := os.ReadFile(at(name))
			must(err)
			return text
		},
		write:  func(name string, content []byte) { writeFile(t, at(name), string(content)) },
		remove: func(name string) { must(os.Remove(at(name))) },
	}
}

// onEach runs a test with an archive of fewDays in a folder, and with one in a bucket.
func onEach(t *testing.T, seed uint64, test func(t *testing.T, a *archive, files plainFiles)) {
	t.Helper()
	for _, where := range []string{"disk", "s3"} {
		t.Run(where, func(t *testing.T) {
			t.Parallel()
			server := simulate(t, convosotest.Config{Seed: seed, FirstDay: daysAgo(10), Days: 2, CallsPerDay: 20, RecordedShare: 1, MedianSize: 3_000})
			a := onDisk(t, server)
			if where == "s3" {
				a = onS3(t, server, false).archive
			}
			a.env = append(a.env, quickExit)
			a.run(twoDays()...).want(t, 0)
			test(t, a, filesOf(t, a))
		})
	}
}

func twoDays(more ...string) []string {
	return append([]string{"--start-time", daysAgo(10), "--end-time", daysAgo(9)}, more...)
}

// sha returns the SHA-256 of a text, in hex.
func sha(text []byte) string {
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:])
}

// TestRecordsOfEvidence: records of hold and erase are in files of evidence/ named by kind and run that never change.
// They contain ids and no terms, each line has the digest of the previous one, and they do not reopen a day.
func TestRecordsOfEvidence(t *testing.T) {
	onEach(t, 171, func(t *testing.T, a *archive, files plainFiles) {
		p := aPerson(t, a.server)
		seen := map[string]string{}
		check := func(want int) {
			t.Helper()
			names := files.names("evidence/")
			if len(names) != want {
				t.Errorf("files %q, want %d", names, want)
			}
			for _, name := range names {
				text := files.read(name)
				if !regexp.MustCompile(`^evidence/(hold|erase)-\d{8}T\d{6}Z-[0-9a-f]{8}-(claim-)?\d{6}\.jsonl$`).MatchString(name) {
					t.Errorf("a file %s", name)
				}
				if before, known := seen[name]; known && before != string(text) {
					t.Errorf("%s has changed", name)
				}
				seen[name] = string(text)
				if bytes.Contains(text, []byte(p.number)) {
					t.Errorf("%s holds the number that was searched for", name)
				}
				previous := ""
				for line := range bytes.Lines(text) {
					line = bytes.TrimSuffix(line, []byte("\n"))
					var head manifest.RecordHead
					if err := json.Unmarshal(line, &head); err != nil || head.Previous != previous || head.Run == "" || head.Time.IsZero() || head.Kind == "" {
						t.Errorf("%s: %s, %v, want previous %q", name, line, err, previous)
					}
					previous = sha(line)
				}
			}
		}
		a.hold(0, []string{"add", "case 1"}, "--number", p.number)
		check(1)
		if got := a.erase(3, "--number", p.number, "--yes", "--reason", "request 7"); len(got.Kept) == 0 {
			t.Errorf("what is held: %+v", got)
		}
		check(1)
		a.hold(0, []string{"release", "case 1"})
		check(2)
		a.erase(0, "--number", p.number, "--yes", "--reason", "request 7")
		check(5) // intent, claim and done
		a.server.ResetStats()
		if r := a.run(twoDays()...).want(t, 0); a.server.Stats().API.Requests > 0 || r.summary.DaysSkipped != 2 {
			t.Errorf("a day is open: %s", r.stdout)
		}
	})
}

// TestEraseStubs: a stub with only ids and digest replaces each erased line, roots stay the same, and closed.json
// describes the new files.
func TestEraseStubs(t *testing.T) {
	onEach(t, 172, func(t *testing.T, a *archive, files plainFiles) {
		p := aPerson(t, a.server)
		type place struct {
			name string
			line int
		}
		before := map[place][]byte{}
		each := func(visit func(at place, line []byte)) {
			for _, tree := range []string{"manifest/", "calls/"} {
				for _, day := range []string{daysAgo(10), daysAgo(9)} {
					for _, name := range files.names(tree + day + "/") {
						if strings.HasSuffix(name, "/closed.json") {
							continue
						}
						number := 0
						for line := range bytes.Lines(unzipped(files.read(name))) {
							number++
							visit(place{name, number}, bytes.TrimSuffix(line, []byte("\n")))
						}
					}
				}
			}
		}
		each(func(at place, line []byte) { before[at] = bytes.Clone(line) })
		closed := a.closings(files)
		got := a.erase(0, "--number", p.number, "--yes", "--reason", "request 7")
		if len(got.Erased) != 1 || got.Erased[0].Stubs != len(p.calls)+len(p.refs) {
			t.Fatalf("%+v of %+v", got, p)
		}
		stubs := 0
		each(func(at place, line []byte) {
			if bytes.Equal(line, before[at]) {
				delete(before, at)
				return
			}
			stubs++
			var was, is map[string]any
			if json.Unmarshal(before[at], &was) != nil || json.Unmarshal(line, &is) != nil {
				t.Fatalf("%v: %s", at, line)
			}
			want := map[string]any{"kind": was["kind"], "call_id": was["call_id"], "reason": got.Erased[0].Erasure, "digest": sha(before[at]), "v": was["v"]}
			if was["kind"] == "recording" {
				want["recording_id"], want["outcome"] = was["recording_id"], "erased"
			}
			for name, value := range is {
				if row, ok := value.(map[string]any); ok && len(row) == 0 || value == "" || value == 0.0 || value == false || value == nil {
					continue // empty
				}
				if name == "time" || name == "first_seen" {
					if at, err := time.Parse(time.RFC3339, value.(string)); err == nil && at.Unix() <= 0 {
						continue // no time
					}
				}
				if value != want[name] {
					t.Errorf("%v says %s %v: %s", at, name, value, line)
				}
				delete(want, name)
			}
			if len(want) > 0 {
				t.Errorf("%v lacks %v: %s", at, want, line)
			}
			delete(before, at)
		})
		if stubs != got.Erased[0].Stubs || len(before) > 0 {
			t.Errorf("%d stubs, %d lines are gone", stubs, len(before))
		}
		for day, is := range a.closings(files) {
			was := closed[day]
			if is.Root != was.Root || is.CallsRoot != was.CallsRoot || is.Lines != was.Lines || is.Recordings != was.Recordings || is.ByOutcome["erased"]+is.ByOutcome["archived"] != was.ByOutcome["archived"] {
				t.Errorf("%s: closed.json says %+v, and said %+v", day, is, was)
			}
			for tree, segments := range map[string][]manifest.Segment{"manifest/": is.Segments, "calls/": is.CallsSegments} {
				for _, s := range segments {
					if text := files.read(tree + day + "/" + s.Name); s.SHA256 != sha(text) || s.Bytes != int64(len(text)) {
						t.Errorf("%s: %+v is not as the file lies", day, s)
					}
				}
			}
		}
	})
}

// closings returns the day lines of both days.
func (a *archive) closings(files plainFiles) map[string]manifest.DayLine {
	a.t.Helper()
	closed := map[string]manifest.DayLine{}
	for _, day := range []string{daysAgo(10), daysAgo(9)} {
		line, err := (manifest.Line{Raw: bytes.TrimSpace(files.read("manifest/" + day + "/closed.json"))}).DayLine()
		if err != nil {
			a.t.Fatal(err)
		}
		closed[day] = line
	}
	return closed
}

// TestAuditFindings changes sealed data in every way and restores it: each change is found and named, with exit
// code 4.
func TestAuditFindings(t *testing.T) {
	onEach(t, 173, func(t *testing.T, a *archive, files plainFiles) {
		key, allowed := sealKey(t)
		foreign, _ := sealKey(t)
		a.hold(0, []string{"add", "case 1"}, "--with-recording")
		a.seal(key)
		a.hold(0, []string{"release", "case 1"})
		last := a.seal(key)
		head := []string{"--allowed-signers", allowed, "--head", last.Head}
		a.audit(0, head...)
		if r := a.other(0, "audit", "--seals", "--allowed-signers", allowed); !strings.Contains(r.stdout, "no --head    audit could not check whether the newest seals were removed") {
			t.Errorf("without a head: %s", r.stdout)
		}
		day := daysAgo(10)
		lines, rows, audio, hold := fullSegment(t, files, day), files.names("calls/" + day + "/2")[0], "", files.names("evidence/hold-")[0]
		for name := range a.files() {
			if strings.HasSuffix(name, ".mp3") {
				audio = name
			}
		}
		parts := func(text []byte) [][]byte { return slices.Collect(bytes.Lines(text)) }
		for name, c := range map[string]struct {
			file   string
			change func(text []byte) []byte // nil removes
			kind   evidence.FindingKind
		}{
			"a line is changed": {lines, func(text []byte) []byte {
				return bytes.Replace(text, []byte(`"attempts":1`), []byte(`"attempts":2`), 1)
			}, evidence.LinesChanged},
			"a line is removed":   {lines, func(text []byte) []byte { return bytes.Join(parts(text)[1:], nil) }, evidence.LinesChanged},
			"a line is added":     {lines, func(text []byte) []byte { return append(parts(text)[0], text...) }, evidence.LinesChanged},
			"lines change places": {lines, func(text []byte) []byte { l := parts(text); l[0], l[1] = l[1], l[0]; return bytes.Join(l, nil) }, evidence.LinesChanged},
			"a line is a stub":    {lines, func(text []byte) []byte { return stubOfFirst(t, text) }, evidence.StubUnexplained},
			"a file is removed":   {lines, nil, evidence.LinesMissing},
			"rows are removed":    {rows, nil, evidence.LinesMissing},
			"a hold is removed":   {hold, nil, evidence.LinesMissing},
			"a hold is changed":   {hold, func(text []byte) []byte { return bytes.Replace(text, []byte("case 1"), []byte("case 2"), 1) }, evidence.LinesChanged},
			"a seal is removed":   {"seals/000001.json", nil, evidence.SealMissing},
			"a seal is changed":   {"seals/000001.json", func(text []byte) []byte { return append(text, '\n') }, evidence.BadSignature},
			"the last is cut off": {"seals/000002.json", nil, evidence.SealsCut},
			"a signature is gone": {"seals/000001.sig", nil, evidence.BadSignature},
			"the day is open":     {"manifest/" + day + "/closed.json", nil, evidence.ClosingMissing},
			"a day line is changed": {"manifest/" + day + "/closed.json", func(text []byte) []byte {
				return bytes.Replace(text, []byte(`"calls":20`), []byte(`"calls":21`), 1)
			}, evidence.ClosingChanged},
			"audio is changed":     {audio, func(text []byte) []byte { text[len(text)/2] ^= 1; return text }, evidence.AudioChanged},
			"audio is removed":     {audio, nil, evidence.AudioMissing},
			"something is between": {"seals/note", func([]byte) []byte { return []byte("x") }, evidence.ForeignFile},
		} {
			isNew := c.kind == evidence.ForeignFile
			var was []byte
			if !isNew {
				was = bytes.Clone(files.read(c.file))
			}
			if c.change == nil {
				files.remove(c.file)
			} else {
				files.write(c.file, c.change(bytes.Clone(was)))
			}
			t.Log(name)
			got := a.audit(4, head...)
			if !slices.ContainsFunc(got.Findings, func(f evidence.Finding) bool { return f.Kind == c.kind && (f.File != "" || f.RecordingID != "") }) {
				t.Errorf("%s: %+v", name, got.Findings)
			}
			if isNew {
				files.remove(c.file)
			} else {
				files.write(c.file, was)
			}
		}
		a.audit(0, head...)

		// Signed again with another key, from a changed line on.
		was := map[string][]byte{}
		for _, name := range files.names("seals/") {
			was[name] = files.read(name)
			files.remove(name)
		}
		a.seal(foreign)
		if got := a.audit(4, head...); !slices.ContainsFunc(got.Findings, func(f evidence.Finding) bool { return f.Kind == evidence.UnknownSigner }) {
			t.Errorf("signed anew: %+v", got.Findings)
		}
		for _, name := range files.names("seals/") {
			files.remove(name)
		}
		for name, text := range was {
			files.write(name, text)
		}

		// A line is damaged and repaired: this is distinguished from a change.
		files.write(lines, append([]byte("x"), files.read(lines)...))
		a.other(4, "verify", "--repair")
		got := a.audit(4, head...)
		if !slices.ContainsFunc(got.Findings, func(f evidence.Finding) bool {
			return f.Kind == evidence.LinesRepaired && f.File == lines && strings.Contains(f.Detail, ".bad-")
		}) || slices.ContainsFunc(got.Findings, func(f evidence.Finding) bool { return f.Kind == evidence.LinesChanged }) {
			t.Errorf("mended: %+v", got.Findings)
		}
	})
}

// stubOfFirst replaces the first line of a recording with a stub.
func stubOfFirst(t *testing.T, text []byte) (out []byte) {
	t.Helper()
	done := false
	for line := range bytes.Lines(text) {
		var r struct {
			Kind      string `json:"kind"`
			Recording string `json:"recording_id"`
			Call      string `json:"call_id"`
		}
		if json.Unmarshal(line, &r) != nil || r.Kind != "recording" || done {
			out = append(out, line...)
			continue
		}
		done = true
		out = append(out, `{"v":2,"kind":"recording","recording_id":"`+r.Recording+`","outcome":"erased","call_id":"`+r.Call+`","reason":"E","digest":"`+sha(bytes.TrimSpace(line))+`"}`+"\n"...)
	}
	if !done {
		t.Fatal("no recording")
	}
	return out
}

// TestEvidenceAgainstARun: in a folder hold, erase and seal take the archive's lock, and end with 5 while a run has it.
func TestEvidenceAgainstARun(t *testing.T) {
	t.Parallel()
	server := simulate(t, convosotest.Config{Seed: 174, FirstDay: daysAgo(10), Days: 2, CallsPerDay: 20, RecordedShare: 1, MedianSize: 3_000})
	a := onDisk(t, server)
	key, _ := sealKey(t)
	p := aPerson(t, server)
	a.run("--start-time", daysAgo(10), "--end-time", daysAgo(10)).want(t, 0)
	held, release := holdMedia(t, server)
	a.finish(a.command(context.Background(), twoDays("--workers", "1")...), func(*os.Process) {
		defer release()
		waitFor(t, held)
		a.other(5, "hold", "add", "case 1", "--with-recording")
		a.other(5, "erase", "--state-dir", a.state, "--number", p.number, "--yes", "--reason", "request 7")
		a.other(5, "seal", "--key", key)
	}).want(t, 0)
	if names := filesOf(t, a).names("evidence/"); len(names) > 0 {
		t.Errorf("noted: %q", names)
	}
}
