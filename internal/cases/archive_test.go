package cases

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
)

// now is the common time of all examples, so that midnight never falls within one.
var now = time.Now().UTC()

// ago returns the date n days before today.
func ago(days int) string { return now.AddDate(0, 0, -days).Format(time.DateOnly) }

// archive is a destination, the span to archive and the flags to do it with.
type archive struct {
	t        testing.TB
	v        *vendor
	dest     string // a folder, or s3://bucket/prefix
	s3       *s3
	state    string
	from, to string // days
	flags    []string
	env      []string
	wrap     func(*exec.Cmd) // modifies the command before it starts
	patience time.Duration   // timeout of a run; the default ends only those that would never end, on a busy machine too
	rate     string          // --media-rate
}

// onDisk returns an archive in a new folder.
func onDisk(t testing.TB, v *vendor, from, to string, flags ...string) *archive {
	t.Helper()
	dir := t.TempDir()
	return &archive{
		t: t, v: v, dest: filepath.Join(dir, "dest"), state: filepath.Join(dir, "state"), from: from, to: to,
		flags: flags, patience: 4 * time.Minute, rate: "0",
	}
}

// onS3 returns an archive in a bucket of a small S3 server.
func onS3(t testing.TB, v *vendor, server *s3, from, to string, flags ...string) *archive {
	t.Helper()
	a := onDisk(t, v, from, to, flags...)
	a.dest, a.s3 = "s3://bucket/calls", server
	return a
}

// result is a finished run.
type result struct {
	t              testing.TB
	code           int
	stdout, stderr string
	took           time.Duration
}

// run archives the span.
func (a *archive) run(flags ...string) result {
	a.t.Helper()
	args := []string{
		"archive", "--json", "--time-zone", "UTC", "--start-time", a.from, "--end-time", a.to, "--api-url", a.v.api.URL + "/v1",
		"--api-rate", "0", "--media-rate", a.rate, "--log-level", "debug", "--state-dir", a.state,
	}
	if !slices.Contains(a.flags, "--allow-host") {
		args = append(args, "--allow-host", a.v.media.URL)
	}
	r := a.command(append(args, flags...)...)
	a.lookForSecrets(r)
	return r
}

// verify and report run the commands of these names.
func (a *archive) verify(flags ...string) result {
	a.t.Helper()
	return a.command(append([]string{"verify", "--state-dir", a.state}, flags...)...)
}

func (a *archive) report(flags ...string) result {
	a.t.Helper()
	return a.command(append([]string{"report", "--start-time", a.from, "--end-time", a.to}, flags...)...)
}

// command runs a command of the program with the destination and, for archive, the flags of the archive.
func (a *archive) command(args ...string) result {
	a.t.Helper()
	if a.dest != "" {
		args = append(args, "--dest", a.dest)
	}
	if args[0] == "archive" {
		args = append(args, a.flags...)
	}
	if a.s3 != nil {
		args = append(args, "--s3-endpoint", a.s3.URL, "--s3-path-style")
	}
	ctx, cancel := context.WithTimeout(a.t.Context(), a.patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.Env = append([]string{
		"PATH=" + os.Getenv("PATH"), "HOME=" + filepath.Dir(a.state), "CONVOSO_AUTH_TOKEN=" + token, "AWS_ACCESS_KEY_ID=key",
		"AWS_SECRET_ACCESS_KEY=secret", "AWS_REGION=us-east-1", "AWS_EC2_METADATA_DISABLED=true",
		"AWS_CONFIG_FILE=" + os.DevNull, "AWS_SHARED_CREDENTIALS_FILE=" + os.DevNull,
	}, a.env...)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if a.wrap != nil {
		a.wrap(cmd)
	}
	began := time.Now()
	a.order()
	err := cmd.Run()
	a.order()
	r := result{t: a.t, stdout: stdout.String(), stderr: stderr.String(), code: cmd.ProcessState.ExitCode(), took: time.Since(began)}
	if ctx.Err() != nil {
		a.t.Fatalf("%s did not end within %s\n%s", args[0], a.patience, tail(r.stderr))
	}
	if _, ok := errors.AsType[*exec.ExitError](err); err != nil && !ok {
		a.t.Fatalf("run: %v", err)
	}
	return r
}

// order synchronises the example with its servers for the race detector, which does not see that a
// request went through another process.
func (a *archive) order() {
	a.v.change(func() {})
	if a.s3 != nil {
		a.s3.change(func() {})
	}
}

// want fails unless the run ended with one of the exit codes.
func (r result) want(codes ...int) result {
	r.t.Helper()
	if !slices.Contains(codes, r.code) {
		r.t.Fatalf("exit code %d, want %v\nstdout: %s\nstderr: %s", r.code, codes, tail(r.stdout), tail(r.stderr))
	}
	return r
}

// says fails unless the output matches an expression, ignoring case.
func (r result) says(pattern string) result {
	r.t.Helper()
	if !regexp.MustCompile("(?is)" + pattern).MatchString(r.stdout + r.stderr) {
		r.t.Errorf("the output does not say %q\nstdout: %s\nstderr: %s", pattern, tail(r.stdout), tail(r.stderr))
	}
	return r
}

// saysNot fails when the output matches an expression.
func (r result) saysNot(pattern string) result {
	r.t.Helper()
	if found := regexp.MustCompile("(?i)" + pattern).FindString(r.stdout + r.stderr); found != "" {
		r.t.Errorf("the output says %q\nstdout: %s\nstderr: %s", found, tail(r.stdout), tail(r.stderr))
	}
	return r
}

// tail returns the end of a log without its routine lines.
func tail(s string) string {
	const max = 3000
	var b strings.Builder
	for line := range strings.Lines(s) {
		if !strings.Contains(line, `"level":"DEBUG"`) {
			b.WriteString(line)
		}
	}
	if s = b.String(); len(s) > max {
		return "…" + s[len(s)-max:]
	}
	return s
}

// lookForSecrets fails when the token or a part of a link is in the output or in a file that is not audio, or
// a phone number in the log.
func (a *archive) lookForSecrets(r result) {
	a.t.Helper()
	files := a.tree()
	for _, secret := range []string{token, rlt} {
		if strings.Contains(r.stdout, secret) || strings.Contains(r.stderr, secret) {
			a.t.Errorf("the output holds the secret %s", secret)
		}
		for name, body := range files {
			if bytes.Contains(body, []byte(secret)) {
				a.t.Errorf("%s holds the secret %s", name, secret)
			}
		}
	}
	if i := strings.Index(r.stderr, phone); i >= 0 {
		a.t.Errorf("the log holds a phone number: …%s…", r.stderr[max(0, i-200):min(len(r.stderr), i+60)])
	}
}

// tree returns every file of the archive by its name. Compressed files are decompressed.
func (a *archive) tree() map[string][]byte {
	a.t.Helper()
	files := a.bytes()
	for name, body := range files {
		if strings.HasSuffix(name, ".gz") {
			r, err := gzip.NewReader(bytes.NewReader(body))
			if err != nil {
				a.t.Fatalf("%s: %v", name, err)
			}
			if files[name], err = io.ReadAll(r); err != nil {
				a.t.Fatalf("%s: %v", name, err)
			}
		}
	}
	return files
}

// bytes returns every file of the archive as stored, by its name, without its lock and temporary files.
func (a *archive) bytes() map[string][]byte {
	a.t.Helper()
	files := map[string][]byte{}
	if a.dest == "" { // it is set in a file or in the environment
		return files
	}
	if a.s3 != nil {
		files = a.s3.under(strings.TrimPrefix(a.dest, "s3://bucket/") + "/")
	} else if err := filepath.WalkDir(a.folder(), func(file string, entry fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrPermission) {
			return nil
		}
		if err != nil || entry.IsDir() || entry.Type()&fs.ModeSymlink != 0 {
			return err
		}
		name, _ := filepath.Rel(a.folder(), file)
		if name = filepath.ToSlash(name); strings.HasPrefix(name, ".tmp/") || path.Base(name) == "lock" {
			return nil
		}
		files[name], err = os.ReadFile(file)
		return err
	}); err != nil {
		a.t.Fatal(err)
	}
	return files
}

// folder returns the folder of an archive on disk, whose destination may be a link.
func (a *archive) folder() string {
	if real, err := filepath.EvalSymlinks(a.dest); err == nil {
		return real
	}
	return a.dest
}

// put writes a file of the archive.
func (a *archive) put(name string, body []byte) {
	a.t.Helper()
	if a.s3 != nil {
		a.s3.put(strings.TrimPrefix(a.dest, "s3://bucket/")+"/"+name, body)
		return
	}
	file := filepath.Join(a.dest, filepath.FromSlash(name))
	if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
		a.t.Fatal(err)
	}
	if err := os.WriteFile(file, body, 0o600); err != nil {
		a.t.Fatal(err)
	}
}

// remove removes a file of the archive.
func (a *archive) remove(name string) {
	a.t.Helper()
	if a.s3 != nil {
		a.s3.remove(strings.TrimPrefix(a.dest, "s3://bucket/") + "/" + name)
		return
	}
	if err := os.Remove(filepath.Join(a.dest, filepath.FromSlash(name))); err != nil {
		a.t.Fatal(err)
	}
}

// audio returns the stored recordings by their keys: all files except the archive's own.
func (a *archive) audio() map[string][]byte {
	a.t.Helper()
	files := a.tree()
	maps.DeleteFunc(files, func(name string, _ []byte) bool {
		first, _, _ := strings.Cut(name, "/")
		return strings.HasPrefix(first, ".") || slices.Contains([]string{"manifest", "calls", "quarantine", "evidence", "seals"}, first)
	})
	return files
}

// holds fails unless exactly these bodies are stored, each once, under the keys of archived
// recordings in the manifest.
func (a *archive) holds(bodies ...any) {
	a.t.Helper()
	wanted := map[string]int{}
	for _, body := range bodies {
		wanted[sum(body.([]byte))]++
	}
	files, noted := a.audio(), map[string]string{}
	for _, day := range a.days() {
		for _, l := range day.recordings {
			if l.Outcome != "archived" {
				continue
			}
			if other, taken := noted[l.Key]; taken {
				a.t.Errorf("recordings %s and %s are noted under one key", other, l.RecordingID)
				continue
			}
			noted[l.Key] = l.RecordingID
			body, stored := files[l.Key]
			if !stored {
				a.t.Errorf("recording %s is noted as archived and its key is not there", l.RecordingID)
				continue
			}
			delete(files, l.Key)
			if sum(body) != l.SHA256 {
				a.t.Errorf("recording %s: the stored bytes are not those that are noted", l.RecordingID)
			}
			if wanted[l.SHA256]--; wanted[l.SHA256] < 0 {
				a.t.Errorf("recording %s: its bytes were not wanted, or are noted twice", l.RecordingID)
			}
		}
	}
	missing := 0
	for _, n := range wanted {
		missing += max(n, 0)
	}
	if missing > 0 {
		a.t.Errorf("%d of %d recordings are not archived", missing, len(bodies))
	}
	for name := range files {
		a.t.Errorf("file %q is stored and not noted", name)
	}
}

// bodies returns the bodies of the vendor for the tokens, or all.
func (v *vendor) bodies(tokens ...string) []any {
	v.mu.Lock()
	defer v.mu.Unlock()
	if tokens == nil {
		tokens = slices.Collect(maps.Keys(v.Bodies))
	}
	var bodies []any
	for _, tok := range tokens {
		if body, ok := v.Bodies[tok].([]byte); ok {
			bodies = append(bodies, body)
		}
	}
	return bodies
}

func sum(body []byte) string {
	digest := sha256.Sum256(body)
	return hex.EncodeToString(digest[:])
}
