// Package engines checks what deploy prints against the engines' own rules: the validation of the API server
// of Kubernetes, the client of AWS Batch, systemd-analyze, bash. It is a separate module, so that the
// program does not depend on any of them.
package engines

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// binary is the program under test.
var binary string

func TestMain(m *testing.M) {
	os.Exit(func() int {
		dir, err := os.MkdirTemp("", "engines-")
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		defer os.RemoveAll(dir)
		binary = filepath.Join(dir, "convoso-archiver")
		build := exec.Command("go", "build", "-trimpath", "-ldflags=-s -w", "-o", binary, ".") // like make build, to use its cache
		build.Dir, build.Env = filepath.Join("..", ".."), append(os.Environ(), "CGO_ENABLED=0")
		if out, err := build.CombinedOutput(); err != nil {
			fmt.Fprintf(os.Stderr, "build the program: %v\n%s", err, out)
			return 1
		}
		return m.Run()
	}())
}

// canary is the token in the environment of deploy.
const canary = "canary-token-7Hq2"

// deploy runs the command, and returns the files that it wrote, by name.
func deploy(t *testing.T, arguments ...string) map[string]string {
	t.Helper()
	dir := t.TempDir()
	cmd := exec.CommandContext(t.Context(), binary, append(append([]string{"deploy"}, arguments...), "--to", dir)...)
	cmd.Env = []string{"CONVOSO_AUTH_TOKEN=" + canary}
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("deploy %q: %v\n%s", arguments, err, out)
	}
	files := map[string]string{}
	err := filepath.Walk(dir, func(path string, info os.FileInfo, err error) error {
		if err != nil || info.IsDir() {
			return err
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		if strings.Contains(string(text), canary) {
			t.Errorf("%s holds the token", path)
		}
		name, err := filepath.Rel(dir, path)
		files[filepath.ToSlash(name)] = string(text)
		return err
	})
	if err != nil || len(files) == 0 {
		t.Fatalf("deploy %q wrote %d files, %v", arguments, len(files), err)
	}
	return files
}

// awkward are settings that a careless template would break on.
func awkward() []string {
	return []string{
		"--status", "SALE,CB", "--list-id", "007", "--last-name", `O'Neil "x": #1 %i $HOME {{`,
		"--path-template", `{{.campaign}}/{{.call_date.Format "2006-01-02 15h04"}} {{.filename}}`,
		"--allow-host", "*.convoso.com", "--allow-host", "https://media.example.com:8443",
		"--workers", "64", "--grace", "90s",
	}
}
