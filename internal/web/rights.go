// Defines and parses the rights of users.

package web

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode"

	"convoso-archiver/search"
)

// Rights are what a user may do. The zero value allows nothing.
type Rights struct {
	Listen   bool // search calls, see them, and play recordings
	Download bool // download recordings and lists
	Numbers  bool // see complete numbers, which are masked otherwise
	Audit    bool // see the completeness of the whole archive, regardless of limits
	// Within are the campaigns and agents that the user is limited to.
	Within search.Limits
}

// ParseRights parses rights in the format of a users file: words separated by commas, then limits separated by
// semicolons: listen,download;campaigns=12,Solar West;agents=3001. The error does not repeat the text.
func ParseRights(text string) (Rights, error) {
	var r Rights
	for i, part := range strings.Split(text, ";") {
		name, values, isLimit := strings.Cut(part, "=")
		var err error
		switch {
		case i == 0 && !isLimit:
			err = r.add(part)
		case isLimit:
			err = r.limit(strings.TrimSpace(name), values)
		default:
			err = errors.New("a limit is written like campaigns=12,13 or agents=3001")
		}
		if err != nil {
			return Rights{}, err
		}
	}
	if !r.Listen && !r.Audit {
		return Rights{}, errors.New("limits without a right allow nothing; put a right before them, as in listen;campaigns=5051")
	}
	return r, nil
}

func (r *Rights) add(words string) error {
	for word := range strings.SplitSeq(words, ",") {
		switch strings.TrimSpace(word) {
		case "listen":
			r.Listen = true
		case "download":
			r.Download = true
		case "numbers":
			r.Numbers = true
		case "audit":
			r.Audit = true
		default:
			return errors.New("unknown right: give listen, download, numbers or audit")
		}
	}
	if (r.Download || r.Numbers) && !r.Listen {
		return errors.New("download and numbers need listen")
	}
	return nil
}

// limit sets a limit. An empty limit is an error, because ignoring it would allow everything.
func (r *Rights) limit(name, values string) error {
	list := map[string]*[]string{"campaigns": &r.Within.Campaigns, "agents": &r.Within.Agents}[name]
	if list == nil {
		return errors.New("unknown limit: write ;campaigns= or ;agents=, with an s, after the rights, as in listen;campaigns=5051")
	}
	if *list != nil {
		return fmt.Errorf("%s is given twice", name)
	}
	for one := range strings.SplitSeq(values, ",") {
		if one = strings.TrimSpace(one); one != "" {
			*list = append(*list, one)
		}
	}
	if *list == nil {
		return fmt.Errorf("%s has no value", name)
	}
	return nil
}

// isLimited reports whether some calls are hidden from the user.
func (r Rights) isLimited() bool { return r.Within.Campaigns != nil || r.Within.Agents != nil }

// check refuses terms with which a user who sees only the last four digits of numbers could guess the other digits one
// by one: any partial number of a length other than the visible four digits.
func (r Rights) check(q search.Query) error {
	if r.Numbers {
		return nil
	}
	for name, values := range map[string][]string{"name": {q.Name}, "comment": {q.Comment}, "first-name": q.FirstNames, "last-name": q.LastNames} {
		if slices.ContainsFunc(values, func(v string) bool { return strings.ContainsFunc(v, unicode.IsNumber) }) {
			return &search.TermError{Name: name, Problem: "you may not see numbers, so you cannot search here for digits", Try: "give words without digits"}
		}
	}
	whole := len(q.PhoneNumbers) + len(q.NumbersDialed)
	if whole > 1 || whole == 1 && q.Number != "" {
		return &search.TermError{Name: "number", Problem: "you may not see numbers, so you can search for only one at a time", Try: "give one number"}
	}
	if q.Number == "" {
		return nil
	}
	if n := len(digitsOf(q.Number)); n != shownDigits && n < wholeNumber {
		return &search.TermError{
			Name: "number", Problem: "you may not see numbers, so you cannot search for a part of one",
			Try: fmt.Sprintf("give the last %d digits, or the complete number", shownDigits),
		}
	}
	return nil
}

// user is the sender of a request.
type user struct {
	name string // empty on loopback
	from string // address of the client
	Rights
}

// may reports whether the user may see a call.
func (u *user) may(f *search.Fields) bool { return u.Listen && u.Within.Allow(f) }

// allowed returns the query with the user's limits.
func (u *user) allowed(q search.Query) search.Query {
	q.Sample = min(q.Sample, maxSample)
	q.Within = search.Limits{Campaigns: slices.Clone(u.Within.Campaigns), Agents: slices.Clone(u.Within.Agents)}
	return q
}
