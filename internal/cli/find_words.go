// Says in words what became of the recordings of a found call.

package cli

import (
	"fmt"
	"strings"

	"convoso-archiver/manifest"
	"convoso-archiver/search"
)

// audioText counts recordings and says how many of them have audio in the archive or bag.
func audioText(recordings, withAudio int) string {
	how := thousands(int64(withAudio)) + " with audio"
	switch {
	case recordings == 0:
		return plural(0, "recording")
	case recordings == 1 && withAudio == 1:
		how = "with audio"
	case recordings == 1:
		how = "without audio"
	case withAudio == recordings:
		how = "all " + how
	case withAudio == 0:
		how = "none with audio"
	}
	return plural(recordings, "recording") + " (" + how + ")"
}

// needsCause reports whether the words about a call need the noted state of a recording, which an index does not have.
func needsCause(c *search.Call) bool {
	for _, r := range c.Recordings {
		if unsettled(r.Outcome) && r.State == nil {
			return true
		}
	}
	return false
}

// unsettled reports whether recordings with this outcome wait, or waited until they were given up.
func unsettled(o manifest.Outcome) bool {
	return o == manifest.Pending || o == manifest.Failed || o == manifest.Rejected
}

// recordingWord returns the outcome of a recording in words, with the cause as report --missing has it.
func recordingWord(r search.Recording) string {
	switch {
	case r.Outcome == manifest.Lost:
		return "lost at the vendor"
	case !unsettled(r.Outcome):
		return string(r.Outcome)
	}
	why := "no audio yet" // lines of older versions have no cause, and days that cannot be read have no lines
	if r.State != nil {
		if told := whyMissing(*r.State); told != string(r.Outcome) {
			why = told
		}
	}
	if r.Final {
		return "given up: " + why
	}
	return "waiting: " + why
}

// recordingWords returns the outcomes of a call's recordings in words: "archived", "2 archived", "1 archived, 1 lost
// at the vendor", or "none". Recordings that only the row names are "listed only".
func recordingWords(c *search.Call) string {
	listed := c.ListedOnly()
	if len(c.Recordings)+listed == 0 {
		return "none"
	}
	counts, order := map[string]int{}, []string(nil)
	for _, r := range c.Recordings {
		word := recordingWord(r)
		if counts[word]++; counts[word] == 1 {
			order = append(order, word)
		}
	}
	if listed > 0 {
		const word = "listed only"
		counts[word], order = listed, append(order, word)
	}
	if len(c.Recordings)+listed == 1 {
		return order[0]
	}
	for i, word := range order {
		order[i] = fmt.Sprintf("%d %s", counts[word], word)
	}
	return strings.Join(order, ", ")
}
