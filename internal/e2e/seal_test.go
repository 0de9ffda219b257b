package e2e

import (
	"context"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"convoso-archiver/evidence"
)

// other runs a command other than archive, without token and home, and looks for secrets in its output.
func (a *archive) other(code int, name string, args ...string) result {
	a.t.Helper()
	ctx, cancel := context.WithTimeout(a.t.Context(), 2*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, binary, slices.Concat([]string{name, "--dest", a.dest}, a.flags, args)...)
	cmd.Env = append([]string{"PATH=" + os.Getenv("PATH"), "GORACE=halt_on_error=1 atexit_sleep_ms=0"}, a.env...)
	var stdout, stderr strings.Builder
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	_ = cmd.Run()
	r := result{code: cmd.ProcessState.ExitCode(), stdout: stdout.String(), stderr: stderr.String()}
	if strings.Contains(r.stderr, "DATA RACE") {
		a.t.Fatalf("data race:\n%s", r.stderr)
	}
	a.lookForSecrets(r)
	return r.want(a.t, code)
}

// sealKey makes a key with ssh-keygen, and a file of allowed signers with it.
func sealKey(t *testing.T, args ...string) (key, allowed string) {
	t.Helper()
	dir := t.TempDir()
	key, allowed = filepath.Join(dir, "seal"), filepath.Join(dir, "allowed_signers")
	if out, err := exec.Command("ssh-keygen", append([]string{"-q", "-t", "ed25519", "-N", "", "-C", "archive", "-f", key}, args...)...).CombinedOutput(); err != nil {
		t.Fatalf("ssh-keygen, of the package openssh-client: %v: %s", err, out)
	}
	public, err := os.ReadFile(key + ".pub")
	if err != nil {
		t.Fatal(err)
	}
	writeFile(t, allowed, `archive namespaces="`+evidence.Namespace+`" `+string(public))
	return key, allowed
}

type sealed struct {
	Number int    `json:"number"`
	Head   string `json:"head"`
	Days   int    `json:"days"`
	New    bool   `json:"new"`
}

func (a *archive) seal(key string) (s sealed) {
	a.t.Helper()
	if err := json.Unmarshal([]byte(a.other(0, "seal", "--json", "--key", key).stdout), &s); err != nil {
		a.t.Fatal(err)
	}
	return s
}

func (a *archive) audit(code int, args ...string) (found evidence.Audited) {
	a.t.Helper()
	if err := json.Unmarshal([]byte(a.other(code, "audit", append([]string{"--json", "--seals"}, args...)...).stdout), &found); err != nil {
		a.t.Fatal(err)
	}
	return found
}

// TestSeal seals an archive in a folder and one in a bucket, continues both, and detects changes of sealed data;
// verify and archive ignore seals.
func TestSeal(t *testing.T) {
	for _, where := range []string{"disk", "s3"} {
		t.Run(where, func(t *testing.T) {
			t.Parallel()
			server := threeDays(t, 81)
			a := onDisk(t, server)
			if where == "s3" {
				b := onS3(t, server, false)
				a = b.archive
			}
			a.env = append(a.env, quickExit)
			key, allowed := sealKey(t)
			a.run("--start-time", daysAgo(10), "--end-time", daysAgo(9)).want(t, 0)
			first := a.seal(key)
			a.run("--start-time", daysAgo(10), "--end-time", daysAgo(8)).want(t, 0)
			second := a.seal(key)
			if !first.New || first.Days != 2 || second.Number != 2 || second.Days != 1 {
				t.Fatalf("%+v, %+v", first, second)
			}
			got := a.audit(0, "--allowed-signers", allowed, "--head", second.Head)
			if got.Days != 3 || got.Recordings != 60 || got.AudioRead != 60 || got.Head != second.Head {
				t.Errorf("%+v", got)
			}
			if got := a.audit(4, "--allowed-signers", allowed, "--head", "3:"+second.Head[2:]); got.Findings[0].Kind != evidence.SealsCut {
				t.Errorf("a head of a seal that is not there: %+v", got.Findings)
			}
			_, others := sealKey(t)
			if got := a.audit(4, "--allowed-signers", others); got.Findings[0].Kind != evidence.UnknownSigner {
				t.Errorf("signers of something else: %+v", got.Findings)
			}
			if said := a.other(4, "audit", "--seals", "--allowed-signers", others).stdout; !strings.HasPrefix(said, "NOT TRUSTED: the signature of 2 seals is not by a key of --allowed-signers, so nothing was compared") {
				t.Errorf("signers of something else: %s", said)
			}
			if r := a.other(0, "verify"); strings.Contains(r.stdout, "does not know") {
				t.Errorf("verify: %s", r.stdout)
			}
			id := ""
			for r := range server.Recordings() {
				id = r.ID
			}
			history := a.other(0, "audit", id).stdout
			for _, what := range []string{"listed ", "archived ", "closed ", "sealed ", "1 of 1 line sealed"} {
				if !strings.Contains(history, what) {
					t.Errorf("the history lacks %q:\n%s", what, history)
				}
			}
			if where == "s3" {
				return
			}
			recording := a.anyAudio()
			writeFile(t, recording, "other audio")
			got = a.audit(4, "--allowed-signers", allowed)
			if got.Found != 1 || got.Findings[0].Kind != evidence.AudioChanged || got.Findings[0].RecordingID == "" {
				t.Errorf("changed audio: %+v", got.Findings)
			}
			if got := a.audit(0, "--allowed-signers", allowed, "--no-audio"); got.AudioRead != 0 {
				t.Errorf("without audio: %+v", got)
			}
			if err := os.Remove(filepath.Join(a.dest, "seals", "000001.json")); err != nil {
				t.Fatal(err)
			}
			if r := a.other(1, "seal", "--key", key); !strings.Contains(r.stderr, "seal 1 is missing") {
				t.Errorf("a chain with a gap: %s", r.stderr)
			}
		})
	}
}

// anyAudio returns the file of any recording.
func (a *archive) anyAudio() string {
	a.t.Helper()
	for name := range a.files() {
		if strings.HasSuffix(name, ".mp3") {
			return filepath.Join(a.dest, name)
		}
	}
	a.t.Fatal("there is no recording")
	return ""
}

// TestSealRefuses: one clear line for each mistake, and no change.
func TestSealRefuses(t *testing.T) {
	t.Parallel()
	a := onDisk(t, threeDays(t, 82))
	a.run("--start-time", daysAgo(10), "--end-time", daysAgo(8)).want(t, 0)
	locked, allowed := sealKey(t)
	if out, err := exec.Command("ssh-keygen", "-q", "-p", "-N", "secret", "-f", locked).CombinedOutput(); err != nil {
		t.Fatalf("ssh-keygen: %v: %s", err, out)
	}
	before := a.files()
	none := filepath.Join(t.TempDir(), "none")
	for _, test := range []struct {
		name string
		args []string
		says string
	}{
		{"seal", nil, "no key is given"},
		{"seal", []string{"--key", none}, "read the key"},
		{"seal", []string{"--key", allowed}, "holds no SSH key"},
		{"seal", []string{"--key", locked}, "run ssh-add"},
		{"seal", []string{"--key", locked + ".pub"}, "run ssh-add"},
		{"audit", nil, "or the id of a recording"},
		{"audit", []string{"--seals"}, "no allowed signers are given"},
		{"audit", []string{"--seals", "--allowed-signers", none}, "read the allowed signers"},
		{"audit", []string{"--seals", "--allowed-signers", locked + ".pub"}, "line 1"},
		{"audit", []string{"--seals", "--allowed-signers", allowed, "--head", "1:abc"}, "give the head that seal printed"},
		{"audit", []string{"--seals", "1"}, "use either --seals or an id"},
		{"audit", []string{"1", "2"}, "one recording"},
		{"audit", []string{"--seals", "--allowed-signers", allowed, "--access-log", "x"}, "use either --seals or --access-log"},
		{"audit", []string{"--access-log", none}, "open the access log"},
	} {
		r := a.other(2, test.name, test.args...)
		if !strings.Contains(r.stderr, test.says) || strings.Count(strings.TrimSpace(r.stderr), "\n") > 0 {
			t.Errorf("%s %v: %s", test.name, test.args, r.stderr)
		}
	}
	if r := a.other(3, "audit", "--seals", "--allowed-signers", allowed); !strings.Contains(r.stdout, "not sealed") {
		t.Errorf("without a seal: %s", r.stdout)
	}
	if after := a.files(); len(after) != len(before) {
		t.Errorf("%d files, %d before", len(after), len(before))
	}
}

// TestAuditAccessLog reads the access log of serve: for all recordings, for one, for some days, and reports unreadable
// lines.
func TestAuditAccessLog(t *testing.T) {
	t.Parallel()
	a, log := onDisk(t, threeDays(t, 83)), t.TempDir()
	for name, text := range map[string]string{
		"2026-03-10/run-000001.jsonl": `{"v":1,"kind":"access","time":"2026-03-10T08:00:00Z","user":"anna","what":"play","day":"2026-03-01","recording_id":"r1","call_id":"c1","from":"10.0.0.7","reason":"complaint 12"}` + "\n",
		"2026-03-11/run-000001.jsonl": `{"v":1,"kind":"access","time":"2026-03-11T09:00:00Z","user":"","what":"zip","recording_id":"r2","from":"127.0.0.1"}` + "\n" +
			`{"v":1,"kind":"access","time":"2026-03-11T09:00:01Z","user":"ben","what":"csv","call_ids":["a","b"],"from":"10.0.0.8"}` + "\n" + `{"v":1,"kin`,
	} {
		if err := os.MkdirAll(filepath.Dir(filepath.Join(log, name)), 0o700); err != nil {
			t.Fatal(err)
		}
		writeFile(t, filepath.Join(log, name), text)
	}
	read := func(code, lines int, args ...string) string {
		t.Helper()
		r := a.other(code, "audit", append([]string{"--access-log", log}, args...)...)
		if got := strings.Count(r.stdout, "\n"); got != lines {
			t.Errorf("%v: %d lines\n%s", args, got, r.stdout)
		}
		return r.stdout + r.stderr
	}
	if said := read(4, 4); !strings.Contains(said, "complaint 12") || !strings.Contains(said, "csv of 2 calls") || !strings.Contains(said, "1 line of the access log cannot be read") {
		t.Error(said)
	}
	wantSaid(t, read(0, 2, "--end-time", "2026-03-10"), "TIME  ", "  play  c1    r1         10.0.0.7  complaint 12\n")
	read(4, 2, "r2")
	read(4, 1, "--start-time", "2026-03-11", "--json", "r2")
	wantSaid(t, read(4, 1, "999"), "the access log notes nothing about 999: ")
	wantSaid(t, read(0, 1, "--start-time", "2026-03-12", "--end-time", "2026-03-12"), "the access log notes nothing on these days: ")
}
