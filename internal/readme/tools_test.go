// Tests the commands and configuration files of other programs on the pages.
package readme

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"testing"
)

// need skips a test without a program of the system; in CI it fails. `make docs-tools` installs them on Debian.
func need(t *testing.T, program, debianPackage string) {
	t.Helper()
	if _, err := exec.LookPath(program); err == nil {
		return
	}
	if os.Getenv("REQUIRE_DOCS") != "" || os.Getenv("CI") != "" {
		t.Fatalf("%s is missing: apt-get install %s", program, debianPackage)
	}
	t.Skipf("%s is missing, so that commands of the pages are not run: apt-get install %s", program, debianPackage)
}

// theBlock returns the one block of a page with a language and beginning.
func theBlock(t *testing.T, page, language, beginning string) string {
	t.Helper()
	text, err := os.ReadFile(inRoot(page))
	if err != nil {
		t.Fatal(err)
	}
	var found []string
	for _, b := range blocks(string(text), language) {
		if strings.HasPrefix(b.text, beginning) {
			found = append(found, b.text)
		}
	}
	if len(found) != 1 {
		t.Fatalf("%s: %d blocks that begin with %q", page, len(found), beginning)
	}
	return found[0]
}

// TestClone builds the program from a clone and starts it, as in the README.
func TestClone(t *testing.T) {
	repository, err := filepath.Abs(inRoot("."))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(repository, ".git")); err != nil {
		if os.Getenv("REQUIRE_DOCS") != "" || os.Getenv("CI") != "" {
			t.Fatal(err)
		}
		t.Skip("this is no clone, so that a clone of it is not made")
	}
	block := theBlock(t, "README.md", "sh", "git clone ")
	cmd := exec.CommandContext(t.Context(), "sh", "-e", "-c", strings.ReplaceAll(block, "REPOSITORY", "'"+repository+"'"))
	cmd.Dir = t.TempDir()
	out, err := cmd.CombinedOutput()
	if err != nil || !strings.Contains(string(out), "101 of 101 recordings on disk") {
		t.Fatalf("%s: %v\n%s", block, err, out)
	}
	if _, err := os.Stat(filepath.Join(cmd.Dir, "convoso-archiver", "bin", "convoso-archiver")); err != nil {
		t.Error(err)
	}
}

// TestTargets asks make for each target on the pages, without running it.
func TestTargets(t *testing.T) {
	named := map[string]bool{"": true} // make alone lists the targets
	for _, page := range allPages(t) {
		text, err := os.ReadFile(inRoot(page))
		if err != nil {
			t.Fatal(err)
		}
		for _, found := range regexp.MustCompile("(?m)(?:^|`)make ([a-z][a-z0-9-]*)").FindAllStringSubmatch(string(text), -1) {
			named[found[1]] = true
		}
	}
	if len(named) < 20 {
		t.Fatalf("only %d targets", len(named))
	}
	args := []string{"-n"}
	for target := range named {
		if target != "" {
			args = append(args, target)
		}
	}
	for _, args := range [][]string{args, {"-n"}} {
		cmd := exec.CommandContext(t.Context(), "make", args...)
		cmd.Dir = inRoot(".")
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("%q: %v\n%s", cmd.Args, err, out)
		}
	}
}

// TestLogins makes a users file as on the page, with the password from stdin instead of a terminal, and serves with it.
func TestLogins(t *testing.T) {
	need(t, "htpasswd", "apache2-utils")
	s := newShell(t)
	s.run(t, "convoso-archiver archive --dest archive --start-time 2025-05-01 --end-time 2025-05-01 2>/dev/null")
	writeServeFiles(t, s.dir)
	block := theBlock(t, "docs/serve.md", "sh", "# on this machine")
	command := regexp.MustCompile(`(?m)^htpasswd .*$`).FindString(block)
	if err := os.Remove(filepath.Join(s.dir, "users")); err != nil {
		t.Fatal(err)
	}
	s.run(t, "echo secret | "+strings.NewReplacer("htpasswd ", "htpasswd -i ", configFolder, "./").Replace(command)+" 2>&1")
	s.serve(t, "--dest archive --listen 127.0.0.1:0 --users users --tls-cert cert.pem --tls-key key.pem --access-log log")
	users, err := os.ReadFile(filepath.Join(s.dir, "users"))
	if err != nil || !strings.HasPrefix(string(users), "anna:$2y$") {
		t.Errorf("%v: %s", err, users)
	}
}

// TestMetricsFolder gives a user the right to create files in a folder, as on the page.
func TestMetricsFolder(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("setfacl is Linux's")
	}
	need(t, "setfacl", "acl")
	s := newShell(t)
	command := theBlock(t, "docs/operate.md", "sh", "setfacl ")
	s.run(t, strings.NewReplacer("u:archiver:", "u:nobody:", "/var/lib/prometheus/node-exporter", ".").Replace(command))
	if said := s.run(t, "getfacl -c ."); !strings.Contains(said, "user:nobody:rwx") {
		t.Errorf("the folder has %s", said)
	}
}

// TestScrapeConfiguration checks the sample with Prometheus, including its rules.
func TestScrapeConfiguration(t *testing.T) {
	need(t, "promtool", "prometheus")
	s := newShell(t)
	config := theBlock(t, "docs/operate.md", "yaml", "# prometheus.yml")
	if err := os.WriteFile(filepath.Join(s.dir, "prometheus.yml"), []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	command := regexp.MustCompile(`convoso-archiver deploy alerts > \S+`).FindString(config)
	s.run(t, command+" && promtool check config prometheus.yml")
}

// TestJSON reads each JSON block.
func TestJSON(t *testing.T) {
	for _, page := range allPages(t) {
		text, err := os.ReadFile(inRoot(page))
		if err != nil {
			t.Fatal(err)
		}
		for _, b := range blocks(string(text), "json") {
			if !json.Valid([]byte(b.text)) {
				t.Errorf("%s: the block at line %d is no JSON", page, b.line)
			}
		}
	}
}
