// Declares the search terms, for both flags and the page.

package search

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"convoso-archiver/fetcher"
	"convoso-archiver/manifest"
)

// Term is a search term; its name is used as a flag and in the address of a page.
type Term struct {
	Name        string
	Placeholder string // of the value; empty for a toggle
	Usage       string
	Many        bool // several values, or a comma list; one of them must match
	Personal    bool // its values are personal data
}

// TermError says what is wrong with the value of a term, without repeating it.
type TermError struct {
	Name    string
	Problem string
	Try     string // what to do
}

// Error implements error.
func (e *TermError) Error() string { return e.Name + ": " + e.Problem + ": " + e.Try }

// term is a Term with its setter.
type term struct {
	Term
	set func(q *Query, values []string) *TermError
}

// Terms returns all terms except the span, which is start-time and end-time; see [Query.SetSpan].
func Terms() []Term {
	var all []Term
	for _, t := range terms() {
		all = append(all, t.Term)
	}
	return all
}

// Set sets a term. The error is a [*TermError].
func (q *Query) Set(name string, values ...string) error {
	for _, t := range terms() {
		if t.Name != name {
			continue
		}
		if err := t.check(values); err != nil {
			return err
		}
		if t.Many {
			values = splitCommas(values)
		}
		if err := t.set(q, values); err != nil {
			err.Name = name
			return err
		}
		return nil
	}
	return &TermError{Name: name, Problem: "there is no such search term", Try: "see the list of search terms"}
}

func (t term) check(values []string) error {
	if len(values) == 0 || slices.ContainsFunc(values, func(v string) bool { return strings.TrimSpace(v) == "" }) {
		return &TermError{Name: t.Name, Problem: "the value is empty", Try: "give it a value, or leave it out"}
	}
	if !t.Many && len(values) > 1 {
		return &TermError{Name: t.Name, Problem: "it is given more than once", Try: "give it once" + severalBy(t.Name)}
	}
	return nil
}

// severalBy names the term that takes several ids of what a term with one value names.
func severalBy(name string) string {
	switch name {
	case "agent":
		return ", or several ids as user-id"
	case "campaign":
		return ", or several ids as campaign-id"
	}
	return ""
}

func splitCommas(values []string) []string {
	var all []string
	for _, value := range values {
		for one := range strings.SplitSeq(value, ",") {
			if one = strings.TrimSpace(one); one != "" {
				all = append(all, one)
			}
		}
	}
	return all
}

func terms() []term {
	list := func(name, usage string, field func(q *Query) *[]string) term {
		return term{Term{Name: name, Placeholder: "VALUE,...", Usage: usage, Many: true}, func(q *Query, values []string) *TermError {
			*field(q) = values
			return nil
		}}
	}
	numbers := func(name, usage string, field func(q *Query) *[]string) term {
		return term{Term{Name: name, Placeholder: "NUMBER,...", Usage: usage, Many: true, Personal: true}, func(q *Query, values []string) *TermError {
			const shortest = 7 // digits of a complete number
			if slices.ContainsFunc(values, func(v string) bool { return len(digits(v)) < shortest }) {
				return &TermError{Problem: "it is too short to be a complete number", Try: "search by number for the last digits"}
			}
			*field(q) = values
			return nil
		}}
	}
	person := func(t term) term {
		t.Personal = true
		return t
	}
	return []term{
		person(term{Term{Name: "number", Placeholder: "NUMBER", Usage: "one of the two phone numbers ends in these digits (at least 4)"}, setNumber}),
		{Term{Name: "agent", Placeholder: "AGENT", Usage: "id or name of the agent"}, one(func(q *Query) *string { return &q.Agent })},
		{Term{Name: "campaign", Placeholder: "CAMPAIGN", Usage: "id or name of the campaign"}, one(func(q *Query) *string { return &q.Campaign })},
		person(term{Term{Name: "name", Placeholder: "WORDS", Usage: "words of the lead's name; the first letters of a word are enough"}, someWords(func(q *Query) *string { return &q.Name })}),
		person(term{Term{Name: "comment", Placeholder: "WORDS", Usage: "the agent's comment contains each of these words"}, someWords(func(q *Query) *string { return &q.Comment })}),
		{Term{Name: "min-length", Placeholder: "LENGTH", Usage: "minimum length of the call: seconds, 3m or 1h30m; its recordings can be shorter"}, length(func(q *Query) *int { return &q.MinLength })},
		{Term{Name: "max-length", Placeholder: "LENGTH", Usage: "maximum length of the call"}, length(func(q *Query) *int { return &q.MaxLength })},
		{Term{Name: "outcome", Placeholder: "OUTCOME,...", Usage: "outcome of a recording: archived, pending, failed, rejected, lost, damaged, erased or expired", Many: true}, setOutcomes},
		{Term{Name: "with-recording", Usage: "only calls with a recording"}, toggled(func(q *Query) *bool { return &q.WithRecording })},

		list("id", "id of the call", func(q *Query) *[]string { return &q.IDs }),
		list("lead-id", "id of the lead", func(q *Query) *[]string { return &q.LeadIDs }),
		list("campaign-id", "id of the campaign", func(q *Query) *[]string { return &q.CampaignIDs }),
		list("queue-id", "id of the queue", func(q *Query) *[]string { return &q.QueueIDs }),
		list("list-id", "id of the list", func(q *Query) *[]string { return &q.ListIDs }),
		list("user-id", "id of the agent", func(q *Query) *[]string { return &q.UserIDs }),
		list("status", "code of the status, like SALE", func(q *Query) *[]string { return &q.Statuses }),
		numbers("phone-number", "the lead's complete phone number", func(q *Query) *[]string { return &q.PhoneNumbers }),
		numbers("number-dialed", "the complete number dialed", func(q *Query) *[]string { return &q.NumbersDialed }),
		person(list("first-name", "the lead's first name", func(q *Query) *[]string { return &q.FirstNames })),
		person(list("last-name", "the lead's last name", func(q *Query) *[]string { return &q.LastNames })),
		list("call-type", "OUTBOUND, INBOUND, MANUAL or 3WAY", func(q *Query) *[]string { return &q.CallTypes }),
		list("called-count", "how often the lead was called", func(q *Query) *[]string { return &q.CalledCounts }),

		{Term{Name: "sample", Placeholder: "N", Usage: "this many random calls"}, whole(func(q *Query, n uint64) { q.Sample = int(n) }, 1, 1e6)},
		{Term{Name: "seed", Placeholder: "N", Usage: "number that selects the same random sample again, if the span and the other terms are the same too"}, whole(func(q *Query, n uint64) { q.Seed = n }, 0, 1<<63)},
		{Term{Name: "sort", Placeholder: "ORDER", Usage: "time, -time, length or -length; - means descending (default: -time)"}, setSort},
		{Term{Name: "limit", Placeholder: "N", Usage: "at most this many calls"}, whole(func(q *Query, n uint64) { q.Limit = int(n) }, 1, 1e9)},
	}
}

func one(field func(q *Query) *string) func(*Query, []string) *TermError {
	return func(q *Query, values []string) *TermError {
		*field(q) = strings.TrimSpace(values[0])
		return nil
	}
}

func someWords(field func(q *Query) *string) func(*Query, []string) *TermError {
	return func(q *Query, values []string) *TermError {
		if len(words(values[0])) == 0 {
			return &TermError{Problem: "it contains no word", Try: "give words of letters or digits"}
		}
		*field(q) = values[0]
		return nil
	}
}

func toggled(field func(q *Query) *bool) func(*Query, []string) *TermError {
	return func(q *Query, values []string) *TermError {
		on, err := strconv.ParseBool(values[0])
		if err != nil {
			return &TermError{Problem: "it is neither true nor false", Try: "give true, or leave it out"}
		}
		*field(q) = on
		return nil
	}
}

func whole(set func(q *Query, n uint64), least, most uint64) func(*Query, []string) *TermError {
	return func(q *Query, values []string) *TermError {
		n, err := strconv.ParseUint(values[0], 10, 64)
		if err != nil || n < least || n > most {
			return &TermError{Problem: "it is not a whole number, or out of range", Try: fmt.Sprintf("give a number from %d to %d", least, most)}
		}
		set(q, n)
		return nil
	}
}

// length parses seconds, or a duration like 3m.
func length(field func(q *Query) *int) func(*Query, []string) *TermError {
	return func(q *Query, values []string) *TermError {
		text := strings.TrimSpace(values[0])
		if minutes, seconds, ok := strings.Cut(text, ":"); ok && len(seconds) == 2 { // like displayed lengths
			text = minutes + "m" + seconds + "s"
		}
		if _, err := strconv.Atoi(text); err == nil {
			text += "s"
		}
		d, err := time.ParseDuration(text)
		if err != nil || d < time.Second || d > 1e6*time.Second {
			return &TermError{Problem: "it is not a length", Try: "give seconds like 180, or 3m, or 3:00"}
		}
		*field(q) = int(d / time.Second)
		return nil
	}
}

func setNumber(q *Query, values []string) *TermError {
	isNumber := func(part string) bool { return len(digits(part)) >= MinNumberDigits }
	if parts := strings.FieldsFunc(values[0], func(r rune) bool { return r == ',' || r == ';' }); len(parts) > 1 && !slices.ContainsFunc(parts, func(p string) bool { return !isNumber(p) }) {
		return &TermError{Problem: "it has several numbers", Try: "give one, or several complete numbers as phone-number or number-dialed"}
	}
	if len(digits(values[0])) < MinNumberDigits {
		return &TermError{Problem: "it has fewer than 4 digits, which match too many calls", Try: "give the number, or its last digits"}
	}
	q.Number = values[0]
	if national, ok := strings.CutPrefix(strings.TrimPrefix(digits(values[0]), "00"), "1"); ok && len(national) == 10 {
		q.Number = national // rows have numbers with and without the code of North America
	}
	return nil
}

func setOutcomes(q *Query, values []string) *TermError {
	for _, value := range values {
		outcome := manifest.Outcome(strings.ToLower(value))
		if !slices.Contains(manifest.Outcomes(), outcome) {
			try := fmt.Sprintf("give one of %v", manifest.Outcomes())
			if outcome == "missing" || outcome == "waiting" {
				try = "report --missing lists all recordings without audio; for their calls give lost,pending,failed,rejected,damaged"
			}
			return &TermError{Problem: "there is no such outcome", Try: try}
		}
		q.Outcomes = append(q.Outcomes, outcome)
	}
	return nil
}

func setSort(q *Query, values []string) *TermError {
	sort := Sort(values[0])
	if !slices.Contains([]Sort{NewestFirst, OldestFirst, LongestFirst, ShortestFirst}, sort) {
		return &TermError{Problem: "there is no such order", Try: "give time, -time, length or -length"}
	}
	q.Sort = sort
	return nil
}

// SetSpan sets the span from dates or wall-clock times like 2025-05-01 or "2025-05-01 13:00:00"; a date as end
// includes the whole day, and an empty text means no bound. The error is a [*TermError].
func (q *Query) SetSpan(start, end string) error {
	for _, bound := range []struct {
		name, text string
		to         *time.Time
	}{{"start-time", start, &q.From}, {"end-time", end, &q.To}} {
		if bound.text == "" {
			continue
		}
		wall, err := fetcher.ParseWall(bound.text)
		if err != nil {
			return &TermError{Name: bound.name, Problem: "it is not a date or time that exists", Try: "write it like 2025-05-01"}
		}
		if _, err := fetcher.ParseDate(bound.text); err == nil && bound.name == "end-time" {
			wall = wall.AddDate(0, 0, 1).Add(-time.Second)
		}
		*bound.to = wall
	}
	if !q.From.IsZero() && !q.To.IsZero() && q.From.After(q.To) {
		return &TermError{Name: "start-time", Problem: "it is after end-time", Try: "swap them, or check the dates"}
	}
	return nil
}

// Check checks the combination of terms. The error is a [*TermError].
func (q *Query) Check() error {
	switch {
	case q.MaxLength > 0 && q.MinLength > q.MaxLength:
		return &TermError{Name: "min-length", Problem: "it is more than max-length", Try: "swap them"}
	case q.Seed > 0 && q.Sample == 0:
		return &TermError{Name: "seed", Problem: "it needs a sample", Try: "give a sample too, or no seed"}
	case q.Sample > 0 && q.Limit > 0:
		return &TermError{Name: "sample", Problem: "it cannot be used together with limit", Try: "use one of them"}
	case q.After != 0 && (q.Sample > 0 || q.Sort == LongestFirst || q.Sort == ShortestFirst):
		return &TermError{Name: "after", Problem: "pages need an order by time", Try: "leave out sort and sample"}
	}
	return nil
}
