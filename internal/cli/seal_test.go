package cli

import (
	"fmt"
	"strings"
	"testing"

	"convoso-archiver/evidence"
)

// TestSealCountsEvidence: after an expiry seal signs many files of evidence/, and prints one line about them.
func TestSealCountsEvidence(t *testing.T) {
	var made sealResult
	made.Sealed = evidence.Sealed{New: true, Number: 7, Days: 1, Lines: 3, Evidence: []string{"verify-20250502T090000Z-00000000-000001.jsonl", "hold-20250502T090000Z-00000000-000001.jsonl"}}
	for i := range 1200 {
		made.Evidence = append(made.Evidence, fmt.Sprintf("expire-2025-05-01-20250502T090000Z-00000000-%06d.jsonl", i))
	}
	var b strings.Builder
	if err := made.write(&b, false); err != nil {
		t.Fatal(err)
	}
	const want = "sealed: 1 day with 3 lines and 1,202 files of evidence, seal 7\n" +
		"evidence     1,200 expire, 1 hold, 1 verify; --json names the files\n"
	if said, _, _ := strings.Cut(b.String(), "\nnext\n"); said != want {
		t.Errorf("%s", said)
	}
}
