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
		"sealed: 3 days", "as sealed: 1 seal, 3 days", "1 of 1 line sealed", "Good \"convoso-archiver.seal.v1\" signature for archive", "digests: OK", "lines: OK", ".mp3: OK",
		"would erase: 6 calls, 5 recordings", "erased: 6 calls, 5 recordings", "2 days written anew", "as sealed: 2 seals, 3 days",
		"held: ", "2025-17 Smith v. Acme   since ", "released: ", "bag written: ", "bag: OK", "Verification: OK", "stamped      ", "timestamps   ",
	} {
		if !strings.Contains(said, want) {
			t.Errorf("the commands do not say %q:\n%s", want, said)
		}
	}
}
