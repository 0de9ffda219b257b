// Builds the program for each platform.

package main

import (
	"bytes"
	"context"
	"debug/buildinfo"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"time"
)

// platform is a target system; the zero value is this machine.
type platform struct{ os, arch string }

func (p platform) String() string { return p.os + "-" + p.arch }

func (p platform) executable() string {
	if p.os == "windows" {
		return program + ".exe"
	}
	return program
}

func platforms() []platform {
	return []platform{
		{"linux", "amd64"}, {"linux", "arm64"}, {"darwin", "amd64"},
		{"darwin", "arm64"}, {"windows", "amd64"}, {"windows", "arm64"},
	}
}

// build builds the program, and returns the file. Traces of the build machine are removed or fixed:
// paths by -trimpath, the rest in goEnvironment.
func (r *release) build(ctx context.Context, on platform) (string, error) {
	path := filepath.Join(r.work, "program-"+on.String())
	_, err := r.goTool(ctx, on, "build", "-trimpath", "-buildvcs=true", "-ldflags=-s -w", "-o", path, ".")
	return path, err
}

// goTool runs the Go tool in the program's module, and returns its output.
func (r *release) goTool(ctx context.Context, on platform, args ...string) ([]byte, error) {
	environment, err := goEnvironment(r.root, on)
	if err != nil {
		return nil, err
	}
	cmd := exec.CommandContext(ctx, "go", args...)
	cmd.Dir = r.root
	cmd.Env = append(os.Environ(), environment...)
	var complaint bytes.Buffer
	cmd.Stderr = &complaint
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("go %s: %w: %s", args[0], err, strings.TrimSpace(complaint.String()))
	}
	return out, nil
}

// goEnvironment returns the variables that determine the bytes of a binary, besides its source. The
// toolchain is exactly the one in go.mod, which the Go tool downloads if another is installed,
// because another one produces other bytes.
func goEnvironment(root string, on platform) ([]string, error) {
	text, err := os.ReadFile(filepath.Join(root, "go.mod"))
	if err != nil {
		return nil, fmt.Errorf("read the program's module: %w", err)
	}
	version := regexp.MustCompile(`(?m)^go (\S+)$`).FindSubmatch(text)
	if version == nil {
		return nil, fmt.Errorf("go.mod names no version of Go")
	}
	return []string{
		"GOTOOLCHAIN=go" + string(version[1]), "GOFLAGS=-mod=readonly", "GOWORK=off", "CGO_ENABLED=0",
		"GOOS=" + on.os, "GOARCH=" + on.arch, "GOAMD64=v1", "GOARM64=v8.0",
	}, nil
}

// commit is the Go tool's record of the commit of a program.
type commit struct {
	version  string // the tag, or a pseudo-version that ends in the revision
	revision string
	time     time.Time // of the commit; used for all dates
	modified bool      // the tree had uncommitted changes
	compiler string    // go1.26.8
}

// readCommit reads the commit from a built program.
func readCommit(path string) (commit, error) {
	info, err := buildinfo.ReadFile(path)
	if err != nil {
		return commit{}, fmt.Errorf("read build information: %w", err)
	}
	c := commit{version: info.Main.Version, compiler: info.GoVersion}
	for _, s := range info.Settings {
		switch s.Key {
		case "vcs.revision":
			c.revision = s.Value
		case "vcs.modified":
			c.modified = s.Value == "true"
		case "vcs.time":
			if c.time, err = time.Parse(time.RFC3339, s.Value); err != nil {
				return commit{}, fmt.Errorf("read build information: %w", err)
			}
		}
	}
	if c.version == "" || c.revision == "" || c.time.IsZero() {
		return commit{}, fmt.Errorf("the build noted no commit: run it in a clone, with git (Go reads no linked worktree)")
	}
	return c, nil
}

// packageVersion returns the version in the form of packages. A tilde sorts before the end, so a
// pre-release sorts before its release.
func packageVersion(version string) string {
	version, _, _ = strings.Cut(strings.TrimPrefix(version, "v"), "+")
	release, pre, isPre := strings.Cut(version, "-")
	if !isPre {
		return release
	}
	return release + "~" + strings.ReplaceAll(pre, "-", ".")
}
