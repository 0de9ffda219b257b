// Describes outcomes of recordings in words.

package search

import (
	"fmt"
	"strings"

	"convoso-archiver/manifest"
)

// Words returns the outcome of a recording in words.
func (r Recording) Words() string {
	wait := "waiting: "
	if r.Final {
		wait = "given up: "
	}
	switch r.Outcome {
	case manifest.Archived:
		return "archived"
	case manifest.Pending:
		return wait + "no audio yet"
	case manifest.Failed:
		return wait + "download failed"
	case manifest.Rejected:
		return wait + "not audio"
	case manifest.Lost:
		return "lost at the vendor"
	}
	return string(r.Outcome)
}

// RecordingWords returns the outcomes of a call's recordings in words: "archived", "2 archived", "1 archived, 1 lost
// at the source", or "none".
func (c *Call) RecordingWords() string {
	if len(c.Recordings) == 0 {
		return "none"
	}
	counts, order := map[string]int{}, []string(nil)
	for _, r := range c.Recordings {
		words := r.Words()
		if counts[words]++; counts[words] == 1 {
			order = append(order, words)
		}
	}
	if len(c.Recordings) == 1 {
		return order[0]
	}
	for i, words := range order {
		order[i] = fmt.Sprintf("%d %s", counts[words], words)
	}
	return strings.Join(order, ", ")
}
