package readme

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"convoso-archiver/internal/tsatest"
)

// TestEvidence runs each command of docs/evidence.md from top to bottom over the demo's archive, with stock tools too.
func TestEvidence(t *testing.T) {
	s := newShell(t)
	text, err := os.ReadFile(filepath.Join("..", "..", "docs", "evidence.md"))
	if err != nil {
		t.Fatal(err)
	}
	s.run(t, "convoso-archiver demo >/dev/null 2>&1")
	tsa := tsatest.Start(t)
	roots, err := os.ReadFile(tsa.Roots)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(s.dir, "tsa-root.pem"), roots, 0o600); err != nil {
		t.Fatal(err)
	}
	said := ""
	for _, b := range blocks(string(text), "sh") {
		said += s.run(t, "set -e\n"+strings.ReplaceAll(b.text, "http://timestamp.example.com", tsa.URL))
	}
	for _, want := range []string{
		"sealed: 3 days", "unchanged since sealing: 1 seal, 3 days", "1 of 1 line sealed", "Good \"convoso-archiver.seal.v1\" signature for archive", "digests: OK", "lines: OK", ".mp3: OK",
		"would erase: 6 calls, 5 recordings", "erased: 6 calls, 5 recordings", "2 days rewritten", "unchanged since sealing: 2 seals, 3 days",
		"held: ", "2025-17 Smith v. Acme   since ", "released: ", "bag written: ", "bag: OK", "Verification: OK", "stamped      ", "timestamps   ",
	} {
		if !strings.Contains(said, want) {
			t.Errorf("the commands do not say %q:\n%s", want, said)
		}
	}
}

// TestCompliance runs the commands of docs/compliance.md over the demo's archive, once its days are sealed.
func TestCompliance(t *testing.T) {
	s := newShell(t)
	text, err := os.ReadFile(filepath.Join("..", "..", "docs", "compliance.md"))
	if err != nil {
		t.Fatal(err)
	}
	s.run(t, "convoso-archiver demo >/dev/null 2>&1; ssh-keygen -q -t ed25519 -N '' -C archive -f seal")
	s.run(t, `printf 'archive namespaces="convoso-archiver.seal.v1" %s\n' "$(cat seal.pub)" > allowed_signers`)
	const month = "first=2025-05-01 last=2025-05-31"
	if !strings.Contains(string(text), month) {
		t.Fatalf("the page does not say %q", month)
	}
	days := "first=$(ls convoso-demo/calls | head -1) last=$(ls convoso-demo/calls | tail -1)"
	said := ""
	for _, b := range blocks(string(text), "sh") {
		said += s.run(t, "set -e\n"+strings.ReplaceAll(b.text, month, days))
	}
	for _, want := range []string{"complete: 3 days", "every byte read", "unchanged since sealing: 1 seal, 3 days", "1 of 1 line sealed"} {
		if !strings.Contains(said, want) {
			t.Errorf("the commands do not say %q:\n%s", want, said)
		}
	}
}
