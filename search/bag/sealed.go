// Determines which days of a bag are proved by its seals.

package bag

import (
	"encoding/json"
	"fmt"
	"strings"

	"convoso-archiver/manifest"
	"convoso-archiver/search"
)

// bagDay is a day with calls in the bag.
type bagDay struct {
	day   string
	calls int
	roots map[string]string // of the archive's line files with lines in the bag, by lineFile
}

// lineFile returns the name of a line file, independent of compression.
func lineFile(tree manifest.Tree, day, name string) string {
	return fmt.Sprintf("%s/%s/%s", tree, day, strings.TrimSuffix(strings.TrimSuffix(name, ".gz"), ".jsonl"))
}

// sealedDays has the needed fields of a seal.
type sealedDays struct {
	Days []struct {
		Day           string        `json:"day"`
		Segments      []sealedLines `json:"segments"`
		CallsSegments []sealedLines `json:"calls_segments"`
	} `json:"days"`
}

type sealedLines struct {
	Name string `json:"name"`
	Root string `json:"root"`
}

// compare counts the calls on days that match a signed seal, and on the others. A day with a file added or changed
// since is one of the others.
func (w *writing) compare() {
	sealed := map[[2]string]bool{} // lineFile and root
	for _, text := range w.signed {
		var seal sealedDays
		if err := json.Unmarshal(text, &seal); err != nil {
			continue // it proves nothing; audit --seals reports it
		}
		for _, d := range seal.Days {
			for _, s := range d.Segments {
				sealed[[2]string{lineFile(manifest.TreeManifest, d.Day, s.Name), s.Root}] = true
			}
			for _, s := range d.CallsSegments {
				sealed[[2]string{lineFile(manifest.TreeCalls, d.Day, s.Name), s.Root}] = true
			}
		}
	}
	w.sum.UnsealedDays = []string{}
	for _, d := range w.days {
		isSealed := len(d.roots) > 0
		for name, root := range d.roots {
			isSealed = isSealed && sealed[[2]string{name, root}]
		}
		if isSealed {
			w.sum.SealedDays++
			w.sum.SealedCalls += d.calls
		} else {
			w.sum.UnsealedDays = append(w.sum.UnsealedDays, d.day)
			w.sum.UnsealedCalls += d.calls
		}
	}
}

// UnsealedSpans returns the unsealed days, with consecutive days as one text.
func (s Summary) UnsealedSpans() []string {
	return search.DaySpans(s.UnsealedDays)
}

// proved returns the text of README.txt about what the seals prove.
func proved(s Summary) string {
	count := func(n int, what string) string {
		if n == 1 {
			return "1 " + what
		}
		return fmt.Sprintf("%d %ss", n, what)
	}
	if s.Seals == 0 {
		return "There is no seal in this bag: leave out steps 2 and 3. Only checksums, which anybody can make anew, protect it.\n"
	}
	text := fmt.Sprintf("What the seals prove: %s on %s, sealed by the seals in this bag.\n", count(s.SealedCalls, "call"), count(s.SealedDays, "day"))
	if len(s.UnsealedDays) > 0 {
		text += fmt.Sprintf("No seal proves %s on %s. Only the checksums of this bag, which anybody can make anew, protect these days:\n\n", count(s.UnsealedCalls, "call"), count(len(s.UnsealedDays), "day"))
		for _, days := range s.UnsealedSpans() {
			text += "  " + days + "\n"
		}
		text += "\nThe second command of step 3 prints the ids of these calls.\n"
	}
	return text
}
