// Describes a setting, which is a flag with its variable and its key in the file.

package cli

import (
	"cmp"
	"slices"
	"strings"
)

// EnvPrefix starts the name of every environment variable for a flag.
const EnvPrefix = "CONVOSO_ARCHIVER_"

// kind says how often a setting may be given, and whether it takes a value.
type kind int

const (
	text   kind = iota // one value
	list               // several values: the flag repeated, a comma list, or a YAML list
	toggle             // on or off; the flag alone means on
	once               // like text, but repeating the flag is an error, because both values may be meant
)

// setting describes one flag, with its environment variable and its key in the configuration file.
// Parsing, help, completion and the file all use the same table of settings, so they cannot
// disagree.
type setting struct {
	name         string
	kind         kind
	group        string // heading in the help
	placeholder  string // of the value, in the help
	usage        string
	defaultValue string   // as written in the help
	choices      []string // for completion and the help; checked by the reader
	suggested    []string // only for completion
	flagOnly     bool     // has neither a variable nor a key
}

// variable returns the name of the environment variable.
func (s setting) variable() string {
	return EnvPrefix + strings.ToUpper(strings.ReplaceAll(s.name, "-", "_"))
}

// key reports whether the setting may be in the configuration file.
func (s setting) key() bool { return !s.flagOnly && s.name != "config" }

// isPath reports whether the value names a file or a folder.
func (s setting) isPath() bool {
	return s.placeholder == "FILE" || s.placeholder == "FOLDER" || s.placeholder == "DEST"
}

func named(settings []setting, name string) (setting, bool) {
	i := slices.IndexFunc(settings, func(s setting) bool { return s.name == name })
	if i < 0 {
		return setting{}, false
	}
	return settings[i], true
}

// inGroup returns a copy of a setting in another group.
func inGroup(settings []setting, name, group string) setting {
	s, _ := named(settings, name)
	s.group = group
	return s
}

// grouped sorts the settings by group, in the order in which the groups first appear.
func grouped(settings []setting) []setting {
	first := map[string]int{}
	for i, s := range settings {
		if _, seen := first[s.group]; !seen {
			first[s.group] = i
		}
	}
	slices.SortStableFunc(settings, func(a, b setting) int { return cmp.Compare(first[a.group], first[b.group]) })
	return settings
}

// maxSlips is the maximum number of typos in a recognised text.
func maxSlips(given string) int { return max(2, len(given)/3) }

// nearest returns the most similar candidate, or "" if none is similar.
func nearest(given string, candidates []string) string {
	best, distance := "", maxSlips(given)+1
	for _, candidate := range candidates {
		if d := editDistance(given, candidate); d < distance {
			best, distance = candidate, d
		}
	}
	return best
}

// editDistance counts the bytes to insert, delete, replace or swap with the next one to turn a into
// b (optimal string alignment).
func editDistance(a, b string) int {
	before, last := make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range last {
		last[j] = j
	}
	for i := range len(a) {
		row := make([]int, len(b)+1)
		row[0] = i + 1
		for j := range len(b) {
			replace := last[j]
			if a[i] != b[j] {
				replace++
			}
			row[j+1] = min(replace, last[j+1]+1, row[j]+1)
			if i > 0 && j > 0 && a[i] == b[j-1] && a[i-1] == b[j] {
				row[j+1] = min(row[j+1], before[j-1]+1)
			}
		}
		before, last = last, row
	}
	return last[len(b)]
}

func didYouMean(given string, candidates []string, prefix string) string {
	if meant := nearest(given, candidates); meant != "" {
		return "did you mean " + prefix + meant + "?"
	}
	return ""
}
