package cli

import (
	"os"
	"regexp"
	"strings"
	"testing"

	"convoso-archiver/evidence"
)

// TestNextAfterAudit: each kind of finding has a next step and a row in the docs; only faults of the chain share the
// last step.
func TestNextAfterAudit(t *testing.T) {
	code, err := os.ReadFile("../../evidence/finding.go")
	if err != nil {
		t.Fatal(err)
	}
	page, err := os.ReadFile("../../docs/evidence.md")
	if err != nil {
		t.Fatal(err)
	}
	chain := " seal_missing seal_unreadable seal_changed seals_cut bad_signature other_archive foreign_file "
	kinds := regexp.MustCompile(`FindingKind = "([a-z_]+)"`).FindAllStringSubmatch(string(code), -1)
	if len(kinds) < 20 {
		t.Fatalf("%d kinds", len(kinds))
	}
	for _, found := range kinds {
		kind := found[1]
		if isChain := strings.HasPrefix(nextAfter(evidence.FindingKind(kind)), "seals: "); isChain != strings.Contains(chain, " "+kind+" ") {
			t.Errorf("%s: %s", kind, nextAfter(evidence.FindingKind(kind)))
		}
		if !regexp.MustCompile(`(?m)^\| [^|]*` + "`" + kind + "`").Match(page) {
			t.Errorf("docs/evidence.md has no row for %s", kind)
		}
	}
	twice := []evidence.Finding{{Kind: evidence.AudioChanged}, {Kind: evidence.LinesChanged}, {Kind: evidence.AudioMissing}}
	if got := nextAfterAudit(twice); len(got) != 2 || !strings.HasPrefix(got[0], "audio: ") {
		t.Errorf("%q", got)
	}
}
