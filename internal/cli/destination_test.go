package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"convoso-archiver/archiver"
)

// s3Answering starts a server that gives one answer to every request.
func s3Answering(t *testing.T, status int, code string) (endpoint string) {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if code == "" {
			http.Error(w, "no such page", status)
			return
		}
		w.Header().Set("Content-Type", "application/xml")
		w.WriteHeader(status)
		_, _ = fmt.Fprintf(w, `<?xml version="1.0"?><Error><Code>%s</Code><Message>synthetic</Message></Error>`, code)
	}))
	t.Cleanup(server.Close)
	return server.URL
}

// A destination that cannot be opened: one line on stderr says why and what to try, and stdout says
// that nothing was done, with the exit code, in text and in JSON.
func TestDestinationCannotBeOpened(t *testing.T) {
	for name, value := range map[string]string{
		"AWS_ACCESS_KEY_ID": "synthetic", "AWS_SECRET_ACCESS_KEY": "synthetic", "AWS_EC2_METADATA_DISABLED": "true",
		"AWS_CONFIG_FILE": os.DevNull, "AWS_SHARED_CREDENTIALS_FILE": os.DevNull,
	} {
		t.Setenv(name, value)
	}
	r := newRunner(t, tokenVariable+"=some-token")
	for name, c := range map[string]struct{ endpoint, why, try string }{
		"unreachable": {"http://127.0.0.1:1", "no usable answer from bucket", "check --s3-endpoint, the network and the proxy variables"},
		"no bucket":   {s3Answering(t, http.StatusNotFound, "NoSuchBucket"), "NoSuchBucket (status 404)", "check the name in --dest, and --s3-endpoint"},
		"denied":      {s3Answering(t, http.StatusForbidden, "AccessDenied"), "AccessDenied (status 403)", "the credentials need s3:PutObject"},
		"no S3":       {s3Answering(t, http.StatusNotFound, ""), "NotFound (status 404)", "check --s3-endpoint and --dest: the server there may not be an S3 server"},
	} {
		t.Run(name, func(t *testing.T) {
			args := []string{
				"archive", "--dest", "s3://bucket/prefix", "--s3-endpoint", c.endpoint, "--s3-path-style", "--s3-region", "us-east-1",
				"--start-time", "2025-05-01", "--end-time", "2025-05-01",
			}
			code, stdout, stderr := r.run(t.Context(), args...)
			const want = "nothing was listed or stored\n\nexit code   1   the run failed\n\nnext\n  see the error below; "
			if code != ExitFailed || !strings.HasPrefix(stdout, want) {
				t.Errorf("exit code %d\n%s", code, stdout)
			}
			told := lastLine(stderr)
			if !strings.Contains(told, `"msg":"run ended","command":"archive","exit_code":1,"err":"`) || !strings.Contains(told, c.why) || !strings.Contains(told, c.try) {
				t.Errorf("stderr: %s", stderr)
			}
			code, stdout, _ = r.run(t.Context(), append(args, "--json", "--dry-run", "--retry-for", "1s")...)
			var summary archiver.Summary
			if err := json.Unmarshal([]byte(stdout), &summary); name != "no S3" && (err != nil || code != ExitFailed ||
				summary.ExitCode != ExitFailed || !summary.DryRun || !strings.Contains(summary.Error, c.try)) {
				t.Errorf("exit code %d, %v\n%s", code, err, stdout)
			}
			if name == "no S3" { // which needs no existing archive
				return
			}
			code, stdout, stderr = r.run(t.Context(), append([]string{"verify"}, args[1:8]...)...)
			if code != ExitFailed || stdout != "not verified: the verification failed\n\nexit code   1   see the error below\n" ||
				!strings.Contains(lastLine(stderr), c.try) {
				t.Errorf("verify: exit code %d\n%s\n%s", code, stdout, stderr)
			}
		})
	}
}

// A command stopped before it started says that it did nothing, not that there was nothing to do.
func TestStoppedBeforeItBegan(t *testing.T) {
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(&SignalError{Signal: os.Interrupt})
	dest := filepath.Join(t.TempDir(), "archive")
	if code, _, stderr := newRunner(t).run(t.Context(), "demo", "--dest", dest); code != ExitDone {
		t.Fatalf("exit code %d: %s", code, stderr)
	}
	code, stdout, _ := newRunner(t).run(ctx, "verify", "--dest", dest)
	if code != ExitInterrupted || !strings.HasPrefix(stdout, "not verified: stopped ") {
		t.Errorf("exit code %d\n%s", code, stdout)
	}
	code, stdout, _ = newRunner(t).run(ctx, "verify", "--dest", dest, "--json")
	if code != ExitInterrupted || !strings.Contains(stdout, `"answer":"not verified: `) || strings.Contains(stdout, "0001-01-01") {
		t.Errorf("exit code %d\n%s", code, stdout)
	}
}
