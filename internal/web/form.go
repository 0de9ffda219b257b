// Builds the search form.

package web

import (
	"crypto/sha256"
	"encoding/hex"
	"net/url"
	"strings"

	"convoso-archiver/manifest"
	"convoso-archiver/search"
)

// form is the form of the search: a few visible fields, and the others in a collapsed section.
type form struct {
	Main, More []field
	IsOpen     bool // a field of the collapsed section has a value
	Wrong      []string
}

// field is a term of the form.
type field struct {
	Name, Label, Help, Value, Wrong string
	Kind                            string // text, number, date, toggle or choice
	Empty                           string // the choice of no value
	Choices                         []choice
}

type choice struct {
	Value, Label string
	Chosen       bool
}

// mainTerms are the visible fields.
func mainTerms() []string {
	return []string{"start-time", "end-time", "number", "agent", "campaign", "status", "min-length", "with-recording"}
}

// newForm fills the form in with the values of an address.
func newForm(values url.Values, wrong []*search.TermError) form {
	all := map[string]field{
		"start-time": {Name: "start-time", Label: "From", Help: "first day, like 2025-05-01, or a time"},
		"end-time":   {Name: "end-time", Label: "To", Help: "last day, or a time"},
		"last":       {Name: "last", Label: "Last", Help: "instead of From and To: 7d means the last seven days and today"},
	}
	order := []string{"last"}
	for _, t := range search.Terms() {
		f := field{Name: t.Name, Label: label(t.Name), Help: t.Usage, Empty: "Any"}
		switch t.Name {
		case "outcome":
			for _, o := range manifest.Outcomes() {
				f.Choices = append(f.Choices, choice{Value: string(o), Label: sentenceWord(string(o))})
			}
		case "sort":
			f.Empty = "Newest first"
			f.Choices = []choice{
				{Value: string(search.OldestFirst), Label: "Oldest first"},
				{Value: string(search.LongestFirst), Label: "Longest first"}, {Value: string(search.ShortestFirst), Label: "Shortest first"},
			}
		case "limit":
			f.Help = "calls on a page, at most 500"
		}
		if t.Placeholder == "" {
			f.Kind = "toggle"
		}
		all[t.Name] = f
		order = append(order, t.Name)
	}
	var fm form
	for _, w := range wrong {
		text := label(w.Name) + ": " + w.Problem + ". " + sentence(w.Try)
		fm.Wrong = append(fm.Wrong, text)
		if f, ok := all[w.Name]; ok {
			f.Wrong = sentence(w.Problem) + " " + sentence(w.Try)
			all[w.Name] = f
		}
	}
	place := func(name string) field {
		f := all[name]
		delete(all, name)
		f.Value = strings.Join(filled(values[name]), ", ")
		if len(f.Value) > maxValue {
			f.Value = ""
		}
		for i := range f.Choices {
			f.Choices[i].Chosen = f.Choices[i].Value == f.Value
		}
		return f
	}
	for _, name := range mainTerms() {
		fm.Main = append(fm.Main, place(name))
	}
	for _, name := range order {
		if _, left := all[name]; left {
			f := place(name)
			fm.IsOpen = fm.IsOpen || f.Value != ""
			fm.More = append(fm.More, f)
		}
	}
	return fm
}

// label is the name of a term in words.
func label(name string) string {
	if words, ok := map[string]string{
		"start-time": "From", "end-time": "To", "min-length": "Shortest", "max-length": "Longest", "with-recording": "With a recording",
		"id": "Call id", "lead-id": "Lead id", "campaign-id": "Campaign id", "queue-id": "Queue id", "list-id": "List id",
		"user-id": "Agent id", "phone-number": "Complete phone number", "number-dialed": "Complete number dialed", "limit": "Calls on a page",
		"sample": "Random sample", "seed": "Seed of the sample", "sort": "Order", "name": "Name of the lead", "comment": "Words in the comment",
		"outcome": "State of a recording", "called-count": "Number of calls to the lead",
	}[name]; ok {
		return words
	}
	return sentenceWord(strings.ReplaceAll(name, "-", " "))
}

func shortSum(body []byte) string {
	sum := sha256.Sum256(body)
	return hex.EncodeToString(sum[:8])
}
