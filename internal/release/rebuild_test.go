//go:build release && linux

package main

import (
	"archive/zip"
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// TestRelease makes a release of the last commit in two clones, compares them, and uses the results
// like a user. FRESH=1 compiles the second one without the cache.
func TestRelease(t *testing.T) {
	first := clone(t, filepath.Join(t.TempDir(), "a"))
	second := clone(t, filepath.Join(t.TempDir(), "another", "folder"))
	makeRelease(t, first)
	var environment []string
	if os.Getenv("FRESH") != "" {
		environment = []string{"GOCACHE=" + t.TempDir()}
	}
	makeRelease(t, second, environment...)

	dist := filepath.Join(first, "dist")
	entries, err := os.ReadDir(dist)
	if err != nil {
		t.Fatal(err)
	}
	var total int
	for _, entry := range entries {
		one, other := read(t, filepath.Join(dist, entry.Name())), read(t, filepath.Join(second, "dist", entry.Name()))
		if !bytes.Equal(one, other) {
			t.Errorf("%s differs from clone to clone", entry.Name())
		}
		total += len(one)
	}
	t.Logf("%d files, %.1f MB, are the same in both", len(entries), float64(total)/1e6)

	sums := do(t, dist, nil, "sha256sum", "--check", "--strict", "SHA256SUMS")
	if n := strings.Count(sums, ": OK\n"); n != len(entries)-1 || n != 12 {
		t.Errorf("%d of %d files have sums:\n%s", n, len(entries), sums)
	}
	revision := strings.TrimSpace(do(t, first, nil, "git", "rev-parse", "HEAD"))

	t.Run("archives", func(t *testing.T) { checkArchives(t, dist, revision) })
	t.Run("deb", func(t *testing.T) {
		root := t.TempDir()
		do(t, root, nil, "dpkg-deb", "--extract", only(t, dist, "*_amd64.deb"), ".")
		checkInstalled(t, root, revision, "usr/share/zsh/vendor-completions/_convoso-archiver")
	})
	t.Run("rpm", func(t *testing.T) {
		root := t.TempDir()
		name := only(t, dist, "*.x86_64.rpm")
		do(t, root, nil, "rpm", "--checksig", "--nosignature", name)
		// Debian's rpm warns on stderr, but works.
		if out, err := command(root, nil, "rpm", "--root", root, "--install", "--nosignature", "--nodeps", "--ignorearch", name).CombinedOutput(); err != nil {
			t.Fatalf("install: %v: %s", err, out)
		}
		checkInstalled(t, root, revision, "usr/share/zsh/site-functions/_convoso-archiver")
	})
	t.Run("bill of materials", func(t *testing.T) {
		if faults := schemaFaults(t, read(t, only(t, dist, "*.cdx.json"))); len(faults) > 0 {
			t.Error(faults)
		}
	})
	t.Run("changed tree", func(t *testing.T) {
		if err := os.WriteFile(filepath.Join(second, "main_extra.go"), []byte("package main\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		cmd := exec.CommandContext(t.Context(), "make", "release")
		cmd.Dir = second
		out, err := cmd.CombinedOutput()
		if err == nil || !strings.Contains(string(out), "not committed") {
			t.Errorf("%v: %s", err, out)
		}
	})
}

// clone clones the last commit into a folder.
func clone(t *testing.T, folder string) string {
	t.Helper()
	do(t, ".", nil, "git", "clone", "--quiet", "../..", folder)
	return folder
}

func makeRelease(t *testing.T, folder string, environment ...string) {
	t.Helper()
	began := time.Now()
	var used time.Duration
	cmd := command(folder, environment, "make", "release")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("make release: %v: %s", err, out)
	}
	used = cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()
	t.Logf("make release: %.0f s, %.0f s of processor time", time.Since(began).Seconds(), used.Seconds())
}

// checkArchives checks the archive of each platform, and runs the program of this one.
func checkArchives(t *testing.T, dist, revision string) {
	for _, on := range platforms() {
		var names []string
		if on.os == "windows" {
			z, err := zip.OpenReader(only(t, dist, "*-"+on.String()+".zip"))
			if err != nil {
				t.Fatal(err)
			}
			for _, f := range z.File {
				names = append(names, f.Name)
			}
			if err := z.Close(); err != nil {
				t.Fatal(err)
			}
		} else {
			for name := range untar(t, gunzip(t, read(t, only(t, dist, "*-"+on.String()+".tar.gz")))) {
				names = append(names, name)
			}
		}
		for _, want := range []string{on.executable(), "LICENSE", "README.md", "CHANGELOG.md", noticesName, "man/convoso-archiver.1", "man/convoso-archiver-archive.1",
			"completions/convoso-archiver.bash", "completions/convoso-archiver.fish", "completions/_convoso-archiver", "completions/convoso-archiver.ps1"} {
			if !slices.ContainsFunc(names, func(name string) bool { _, inside, _ := strings.Cut(name, "/"); return inside == want }) {
				t.Errorf("%s: no %s in %q", on, want, names)
			}
		}
	}
	folder := t.TempDir()
	do(t, folder, nil, "tar", "--extract", "--strip-components=1", "--file", only(t, dist, "*-linux-amd64.tar.gz"))
	checkVersion(t, filepath.Join(folder, program), revision)
}

// checkInstalled checks the files that a package installed below a root.
func checkInstalled(t *testing.T, root, revision, zsh string) {
	t.Helper()
	built := filepath.Join(root, "usr/bin", program)
	checkVersion(t, built, revision)
	doc := filepath.Join(root, "usr/share/doc", program)
	for name, want := range map[string]string{
		filepath.Join(doc, "copyright"): "Apache License",
		filepath.Join(doc, noticesName): "github.com/aws/smithy-go v",
		filepath.Join(doc, "README.md"): "# convoso-archiver",
		filepath.Join(root, zsh):        "#compdef convoso-archiver",
		filepath.Join(root, "usr/share/fish/vendor_completions.d", program+".fish"): "complete -c convoso-archiver",
	} {
		if !strings.Contains(string(read(t, name)), want) {
			t.Errorf("%s does not hold %q", name, want)
		}
	}
	completions := filepath.Join(root, "usr/share/bash-completion/completions", program)
	offered := do(t, root, []string{"PATH=" + filepath.Dir(built) + ":" + os.Getenv("PATH")}, "bash", "-c",
		"source "+completions+"; COMP_WORDS=("+program+" arch); COMP_CWORD=1; _convoso_archiver; echo ${COMPREPLY[@]}")
	if strings.TrimSpace(offered) != "archive" {
		t.Errorf("bash offers %q", offered)
	}

	pages, err := filepath.Glob(filepath.Join(root, "usr/share/man/man1/*.1.gz"))
	if err != nil {
		t.Fatal(err)
	}
	commands := strings.Fields(do(t, root, nil, built, "--generate-bash-completion"))
	if len(pages) != len(commands)+1 {
		t.Errorf("%d pages for %d commands", len(pages), len(commands))
	}
	for _, page := range pages {
		plain := filepath.Join(t.TempDir(), strings.TrimSuffix(filepath.Base(page), ".gz"))
		if err := os.WriteFile(plain, gunzip(t, read(t, page)), 0o600); err != nil {
			t.Fatal(err)
		}
		do(t, root, nil, "mandoc", "-T", "lint", "-W", "warning,stop", plain)
	}
	// As rendered by man.
	shown := do(t, root, []string{"MANPATH=" + filepath.Join(root, "usr/share/man"), "MANWIDTH=80", "LC_ALL=C.UTF-8"}, "man", program+"-archive")
	if !strings.Contains(shown, "--settle DURATION") || !strings.Contains(shown, "EXIT STATUS") {
		t.Errorf("man shows:\n%s", shown)
	}
}

// checkVersion: a program reports its version and its commit.
func checkVersion(t *testing.T, built, revision string) {
	t.Helper()
	c, err := readCommit(built)
	if err != nil {
		t.Fatal(err)
	}
	want := fmt.Sprintf("%s %s %s %s linux/amd64\n", program, c.version, revision[:12], c.compiler)
	if said := do(t, ".", nil, built, "version"); said != want || c.modified {
		t.Errorf("the program says %q, want %q", said, want)
	}
}

func command(folder string, environment []string, name string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(context.Background(), name, args...)
	cmd.Dir = folder
	cmd.Env = append(os.Environ(), environment...)
	return cmd
}

// do runs a program in a folder, and returns its output; any stderr is an error.
func do(t *testing.T, folder string, environment []string, name string, args ...string) string {
	t.Helper()
	cmd := command(folder, environment, name, args...)
	var complaint bytes.Buffer
	cmd.Stderr = &complaint
	out, err := cmd.Output()
	if err != nil || complaint.Len() > 0 {
		t.Fatalf("%s %s: %v: %s%s", name, strings.Join(args, " "), err, out, complaint.Bytes())
	}
	return string(out)
}

// only returns the only file that matches a pattern.
func only(t *testing.T, folder, pattern string) string {
	t.Helper()
	found, err := filepath.Glob(filepath.Join(folder, pattern))
	if err != nil || len(found) != 1 {
		t.Fatalf("%q for %s, %v", found, pattern, err)
	}
	return found[0]
}

func read(t *testing.T, name string) []byte {
	t.Helper()
	data, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return data
}
