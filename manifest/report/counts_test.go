package report

import (
	"fmt"
	"testing"
)

// The text and the page describe a verification in these words.
func TestVerifiedWords(t *testing.T) {
	for want, v := range map[string]Verified{
		"every byte read: []":                                           {Mode: "full", Complete: true},
		"only sizes compared: [{2 damaged}]":                            {Mode: "quick", Damaged: 2},
		"a sample read: [{1 damaged in the manifest} {3 not readable}]": {Mode: "sample", ManifestDamaged: 1, NotReadable: 3},
		"later: []": {Mode: "later"},
	} {
		if got := fmt.Sprintf("%s: %v", v.How(), v.FoundCounts()); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}
