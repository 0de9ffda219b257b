package cli

import (
	"os"
	"regexp"
	"slices"
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
	if got := nextAfterAudit(twice); len(got) != 3 || !strings.HasPrefix(got[0], "audio: ") {
		t.Errorf("%q", got)
	}
}

// TestNextWithoutCopy: what to do without a copy depends on which files differ, and on whether the day was sealed again.
func TestNextWithoutCopy(t *testing.T) {
	const day, segment = "2025-05-01", "2025-05-01/20250502T090000Z-00000000-000001.jsonl"
	manifest := evidence.Finding{Kind: evidence.LinesChanged, Day: day, File: "manifest/" + segment}
	calls := evidence.Finding{Kind: evidence.LinesMissing, Day: day, File: "calls/" + segment}
	hold := evidence.Finding{Kind: evidence.LinesChanged, File: "evidence/hold-20250502T090000Z-00000000-000001.jsonl"}
	closing := evidence.Finding{Kind: evidence.ClosingChanged, Day: day, File: "manifest/" + day + "/closed.json"}
	again := manifest
	again.Kind, again.Resealed = evidence.LinesMissing, true
	const restore, stays, rebuild, put, last = "changed or missing lines: restore", "without a copy: the finding stays", "without a copy of a file of manifest/", "without a copy of a file of calls/", "at the end, without a copy"
	for name, c := range map[string]struct {
		findings []evidence.Finding
		want     []string // beginnings
	}{
		"manifest":               {[]evidence.Finding{manifest}, []string{restore, rebuild, last, stays}},
		"calls":                  {[]evidence.Finding{calls}, []string{restore, put, last, stays}},
		"both: rebuild is first": {[]evidence.Finding{calls, manifest}, []string{restore, rebuild, put, last, stays}},
		"evidence":               {[]evidence.Finding{hold}, []string{restore, stays}},
		"a day line too":         {[]evidence.Finding{calls, closing}, []string{restore, put, last, stays}},
		"a day line alone":       {[]evidence.Finding{closing}, []string{"closed.json: restore it"}},
		"sealed again":           {[]evidence.Finding{again}, []string{"missing lines of a day that was sealed again"}},
		"sealed again, another":  {[]evidence.Finding{again, calls}, []string{"missing lines of a day that was sealed again", restore, put, last, stays}},
	} {
		got := nextAfterAudit(c.findings)
		if len(got) != len(c.want) {
			t.Errorf("%s: %q", name, got)
			continue
		}
		isOfAudio := strings.Contains(strings.Join(got, "\n"), "the audio of recordings with lines in such a file")
		if isOfAudio != slices.Contains(c.want, rebuild) {
			t.Errorf("%s: audio: %q", name, got)
		}
		for i := range got {
			if !strings.HasPrefix(got[i], c.want[i]) {
				t.Errorf("%s: %q", name, got)
			}
		}
	}
}
