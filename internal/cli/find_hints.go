// Explains a search without a match: names the term that matches nothing, and the nearest value.

package cli

import (
	"fmt"
	"slices"
	"strings"

	"convoso-archiver/search"
)

// hints find out why nothing was found: a value that no call has, and what may have been meant.
type hints struct{ terms []*hintTerm }

// hintTerm is one value that was asked for.
type hintTerm struct {
	name, value string
	alone       search.Query                  // asks for nothing else
	of          func(*search.Fields) []string // the values of a call that may have been meant
	matched     bool
	seen        map[string]int // calls by value
}

// hint is what may have been meant.
type hint struct {
	term, nearest, line string
	count               int
}

// newHints looks at the terms whose values say nothing about a customer.
func newHints(q search.Query) *hints {
	h := &hints{}
	add := func(name string, values []string, alone func(string) search.Query, of func(*search.Fields) []string) {
		for _, value := range values {
			if value != "" {
				h.terms = append(h.terms, &hintTerm{name: name, value: value, alone: alone(value), of: of, seen: map[string]int{}})
			}
		}
	}
	add("agent", []string{q.Agent}, func(v string) search.Query { return search.Query{Agent: v} }, func(f *search.Fields) []string { return []string{f.User, f.UserID} })
	add("campaign", []string{q.Campaign}, func(v string) search.Query { return search.Query{Campaign: v} }, func(f *search.Fields) []string { return []string{f.Campaign, f.CampaignID} })
	add("status", q.Statuses, func(v string) search.Query { return search.Query{Statuses: []string{v}} }, func(f *search.Fields) []string { return []string{f.Status} })
	add("user-id", q.UserIDs, func(v string) search.Query { return search.Query{UserIDs: []string{v}} }, func(f *search.Fields) []string { return []string{f.UserID} })
	add("campaign-id", q.CampaignIDs, func(v string) search.Query { return search.Query{CampaignIDs: []string{v}} }, func(f *search.Fields) []string { return []string{f.CampaignID} })
	return h
}

// watch returns what looks at every call that is read, nil where there is nothing to look for.
func (h *hints) watch() func(*search.Call) {
	if len(h.terms) == 0 {
		return nil
	}
	return func(c *search.Call) {
		for _, t := range h.terms {
			if t.matched {
				continue
			}
			if t.matched = t.alone.Matches(c); t.matched {
				t.seen = nil
				continue
			}
			for _, value := range t.of(&c.Fields) {
				if value != "" {
					t.seen[value]++
				}
			}
		}
	}
}

// look takes in the names that an index knows, in place of calls that were read.
func (h *hints) look(names search.Names) {
	watch := h.watch()
	if watch == nil {
		return
	}
	for _, kind := range []struct {
		names []search.Name
		call  func(search.Name) search.Fields
	}{
		{names.Agents, func(n search.Name) search.Fields { return search.Fields{UserID: n.ID, User: n.Name} }},
		{names.Campaigns, func(n search.Name) search.Fields { return search.Fields{CampaignID: n.ID, Campaign: n.Name} }},
		{names.Statuses, func(n search.Name) search.Fields { return search.Fields{Status: n.ID, StatusName: n.Name} }},
	} {
		for _, n := range kind.names {
			watch(&search.Call{Position: 1, Fields: kind.call(n)})
			h.weigh(n, kind.call(n))
		}
	}
}

// weigh counts all calls of a name, of which watch has counted one.
func (h *hints) weigh(n search.Name, f search.Fields) {
	for _, t := range h.terms {
		for _, value := range t.of(&f) {
			if value != "" && t.seen != nil {
				t.seen[value] += n.Calls - 1
			}
		}
	}
}

// hints returns those for the values that no call has.
func (h *hints) hints() []hint {
	var all []hint
	for _, t := range h.terms {
		if t.matched || len(t.seen) == 0 {
			continue
		}
		made := hint{term: t.name, line: fmt.Sprintf("no call has %s %q", t.name, t.value)}
		if longNumber.MatchString(t.value) { // it may be the number of a person, at the wrong place
			made.line = "no call has this " + t.name
		}
		if made.nearest = nearestSeen(t.value, t.seen); made.nearest != "" {
			made.count = t.seen[made.nearest]
			made.line += fmt.Sprintf(": nearest seen %q (%s)", made.nearest, thousands(int64(made.count)))
		}
		all = append(all, made)
	}
	return all
}

// nearestSeen returns the value that was most likely meant: of those that hold what was given, as words rather than
// within one, the one that most calls have, else one that differs by a slip; "" for none.
func nearestSeen(given string, seen map[string]int) string {
	given = strings.ToLower(given)
	best, folded := "", map[string]string{}
	bestRank := 0
	var candidates []string
	for value, n := range seen {
		lower := strings.ToLower(value)
		if n > seen[folded[lower]] {
			folded[lower] = value
		}
		candidates = append(candidates, lower)
		rank := holds(lower, given)
		if rank > bestRank || rank > 0 && rank == bestRank && (n > seen[best] || n == seen[best] && value < best) {
			best, bestRank = value, rank
		}
	}
	if best != "" {
		return best
	}
	slices.Sort(candidates)
	return folded[nearest(given, slices.Compact(candidates))]
}

// holds tells whether a text holds another: 2 as words of its own, 1 within words, 0 not at all.
func holds(text, part string) int {
	const leastWithin = 3 // letters: fewer are in everything
	at := strings.Index(text, part)
	isEdge := func(i int) bool { return i < 0 || i >= len(text) || strings.ContainsRune(" -_/.,()", rune(text[i])) }
	switch {
	case at < 0 || part == "":
		return 0
	case isEdge(at-1) && isEdge(at+len(part)):
		return 2
	case len(part) >= leastWithin:
		return 1
	}
	return 0
}
