package readme

import (
	"crypto/sha256"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// TestRecipe runs the recipe "Check a seal without this program" of docs/evidence.md: before an erasure, after a sealed
// one, after an unsealed one, and on lines changed by an attacker.
func TestRecipe(t *testing.T) {
	s := newShell(t)
	recipe := sealRecipe(t)
	s.run(t, "convoso-archiver demo >/dev/null 2>&1; ssh-keygen -q -t ed25519 -N '' -C archive -f seal; ssh-keygen -q -t ed25519 -N '' -C archive -f other")
	s.run(t, `printf 'archive namespaces="convoso-archiver.seal.v1" %s\n' "$(cat seal.pub)" > allowed_signers`)
	s.run(t, "convoso-archiver seal --dest convoso-demo --key seal")
	const erase = "convoso-archiver erase --dest convoso-demo --reason 'request 2025-17' --yes --number "

	s.wantRecipe(t, recipe, true, "as it was sealed", "digests: OK", "lines: OK", "stubs: OK", ".mp3: OK")
	s.run(t, erase+"5550000343") // a customer with calls on the second and the third day
	s.wantRecipe(t, recipe, false, "a stub that no seal explains", "digests: OK", "stubs: FAILED")
	s.run(t, "cp -r convoso-demo kept; convoso-archiver seal --dest convoso-demo --key other")
	s.wantRecipe(t, recipe, false, "a stub whose erasure somebody else sealed", "stubs: FAILED")
	s.run(t, "rm -r convoso-demo; mv kept convoso-demo; convoso-archiver seal --dest convoso-demo --key seal")
	s.wantRecipe(t, recipe, true, "erased between two seals", "digests: OK", "lines: OK", "stubs: OK", ".mp3: OK")

	name := filepath.Join(s.dir, strings.TrimSpace(s.run(t, "ls convoso-demo/manifest/*/*.jsonl | sed -n 2p")))
	before, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.SplitAfter(string(before), "\n")
	at := slices.IndexFunc(lines, func(l string) bool { return strings.Contains(l, `"outcome":"archived"`) })
	for _, attack := range []struct {
		name  string
		lines []string
		wants []string
	}{
		{"a stub of an attacker", slices.Concat(lines[:at], []string{forgedStub(lines[at])}, lines[at+1:]), []string{"digests: OK", "lines: OK", "stubs: FAILED"}},
		{"a changed line", slices.Concat(lines[:at], []string{strings.Replace(lines[at], `"archived"`, `"lost"`, 1)}, lines[at+1:]), []string{"digests: FAILED"}},
		{"a line less", slices.Concat(lines[:at], lines[at+1:]), []string{"digests: FAILED"}},
		{"a line more", slices.Concat(lines, []string{"{}\n"}), []string{"digests: FAILED"}},
		{"half a line more", slices.Concat(lines, []string{"{}"}), []string{"digests: FAILED"}},
	} {
		if err := os.WriteFile(name, []byte(strings.Join(attack.lines, "")), 0o600); err != nil {
			t.Fatal(err)
		}
		s.wantRecipe(t, recipe, false, attack.name, attack.wants...)
	}
	if err := os.WriteFile(name, before, 0o600); err != nil {
		t.Fatal(err)
	}
	s.wantRecipe(t, recipe, true, "all as before", "digests: OK", "stubs: OK")
}

// forgedStub is the stub of a line without an erasure.
func forgedStub(line string) string {
	digest := sha256.Sum256([]byte(strings.TrimSuffix(line, "\n")))
	line = strings.Replace(line, `"outcome":"archived"`, `"outcome":"erased"`, 1)
	return regexp.MustCompile(`,"salt":"[^"]*"}\n$`).ReplaceAllString(line, fmt.Sprintf(`,"digest":"%x"}`+"\n", digest))
}

// sealRecipe returns the recipe, for the second day of the seal.
func sealRecipe(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("..", "..", "docs", "evidence.md"))
	if err != nil {
		t.Fatal(err)
	}
	for _, b := range blocks(string(text), "sh") {
		if strings.Contains(b.text, "../digests") {
			return strings.ReplaceAll(b.text, ".days[0]", ".days[1]")
		}
	}
	t.Fatal("there is no recipe")
	return ""
}

// wantRecipe runs the recipe, which must print OK four times, or fail.
func (s *shell) wantRecipe(t *testing.T, recipe string, good bool, when string, wants ...string) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "sh", "-c", recipe)
	cmd.Dir, cmd.Env = s.dir, s.env
	out, err := cmd.CombinedOutput()
	said := string(out)
	if isGood := err == nil && strings.Contains(said, "Good \"") && strings.Count(said, ": OK\n") == 4 && !strings.Contains(said, "FAILED"); isGood != good {
		t.Errorf("%s: good is %v, %v:\n%s", when, isGood, err, said)
	}
	for _, want := range wants {
		if !strings.Contains(said, want) {
			t.Errorf("%s: the recipe does not say %q:\n%s", when, want, said)
		}
	}
}
