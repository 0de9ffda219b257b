package e2e

import (
	"strings"
	"testing"

	"convoso-archiver/fetcher/convosotest"
)

// TestDoctorOfLocks: doctor says of the settings for locks what archive says of them, and stores nothing. Without such
// settings it says nothing of locks.
func TestDoctorOfLocks(t *testing.T) {
	t.Parallel()
	server := lockServer(t)
	bare := server.NewBucket(t, newName())
	locked, byDefault := server.NewLockBucket(t, newName(), 0), server.NewLockBucket(t, newName(), 1)
	for name, c := range map[string]struct {
		bucket string
		config string
		code   int
		saw    string // "" for no check
	}{
		"no versions":         {bare, "s3-lock-mode: governance\ns3-lock-for: 7y\n", 1, "the bucket has no versioning, and locks need it"},
		"no versions, later":  {bare, "s3-lock-mode: governance\ns3-lock-for: 7y\ns3-lock-after: 30d\n", 1, "the bucket has no versioning, and locks need it"},
		"default retention":   {byDefault, "s3-lock-mode: governance\ns3-lock-for: 7y\n", 1, "the bucket has a default retention"},
		"not confirmed":       {locked, "s3-lock-mode: compliance\ns3-lock-for: 7y\n", 2, "it must be confirmed once for this archive"},
		"no period":           {locked, "s3-lock-mode: governance\n", 2, "the lock period is missing"},
		"no locks":            {bare, "", 0, ""},
		"a bucket with locks": {locked, "s3-lock-mode: governance\ns3-lock-for: 7y\ns3-lock-after: 30d\n", 0, "has Object Lock"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := onePatient(t, convosotest.Config{})
			at := onBucket(t, p.source, server, c.bucket)
			p.flags["dest"], p.flags["s3-endpoint"] = "s3://"+c.bucket+"/"+newName(), server.Endpoint
			p.flags["config"] = p.file("archive.yaml", "s3-path-style: true\ns3-region: us-east-1\n"+c.config, 0o600)
			for _, pair := range at.env {
				name, value, _ := strings.Cut(pair, "=")
				p.env[name] = value
			}
			d := p.examine()
			if ignoresConditions(t) {
				return
			}
			state := map[bool]string{true: "ok", false: "failed"}[c.code == 0]
			if c.saw == "" && strings.Contains(d.stdout, "object-lock") || d.code != c.code {
				t.Errorf("exit code %d: %s", d.code, d.stdout)
			} else if c.saw != "" {
				d.want(t, "object-lock", state, c.saw)
			}
			if c.code == 0 {
				return
			}
			command := p.command(t.Context(), "archive", "--quiet")
			out, _ := command.CombinedOutput() // its exit code is compared
			if code := command.ProcessState.ExitCode(); code != c.code || !strings.Contains(string(out), c.saw) {
				t.Errorf("archive: exit code %d, %s", code, out)
			}
		})
	}
}
