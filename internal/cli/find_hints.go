// Explains a search without a match: names the term that matches nothing, and the nearest value.

package cli

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"

	"convoso-archiver/internal/web"
	"convoso-archiver/search"
)

const (
	maxHinted   = 3    // maximum suggestions for a value without calls
	newestCalls = 2000 // searched for values that the index does not list
)

// hints explain why nothing was found: a value that no call has, and similar values.
type hints struct {
	terms   []*hintTerm
	query   search.Query
	without []*without // searches without one term each
	found   bool       // a call matches all terms
}

// hintTerm is one requested value.
type hintTerm struct {
	name, value string
	alone       search.Query                     // query with only this value
	of          func(*search.Fields) []seenValue // the values of a call to suggest
	listed      func(search.Names) []search.Name // the values in an index, nil if it has none
	call        func(search.Name) search.Fields  // makes a call with a listed value
	several     bool                             // one of several values of the term
	matched     bool
	seen        map[string]*seenValue // by value, ignoring case
}

// seenValue is a value of calls in the archive.
type seenValue struct {
	value, about string // about is the name if the value is an id
	calls        int
}

// hint is a value that no call has, with similar values, the nearest first.
type hint struct {
	term, value string
	alike       bool // false if nothing is similar, then the most frequent values are listed
	nearest     []seenValue
}

// newHints makes hints for the terms without personal data.
func newHints(q search.Query) *hints {
	h := &hints{query: q, without: withoutEach(q)}
	add := func(t hintTerm, values []string, alone func(*search.Query, string)) {
		for _, value := range values {
			if value == "" {
				continue
			}
			one := t
			alone(&one.alone, value)
			one.value, one.seen, one.several = value, map[string]*seenValue{}, len(values) > 1
			h.terms = append(h.terms, &one)
		}
	}
	agents := func(n search.Names) []search.Name { return n.Agents }
	agent := func(n search.Name) search.Fields { return search.Fields{UserID: n.ID, User: n.Name} }
	campaigns := func(n search.Names) []search.Name { return n.Campaigns }
	campaign := func(n search.Name) search.Fields { return search.Fields{CampaignID: n.ID, Campaign: n.Name} }
	userID := func(f *search.Fields) []seenValue { return []seenValue{{value: f.UserID, about: f.User}} }
	campaignID := func(f *search.Fields) []seenValue { return []seenValue{{value: f.CampaignID, about: f.Campaign}} }
	add(hintTerm{name: "agent", listed: agents, call: agent, of: func(f *search.Fields) []seenValue {
		return append(userID(f), seenValue{value: f.User, about: f.User})
	}}, []string{q.Agent}, func(q *search.Query, v string) { q.Agent = v })
	add(hintTerm{name: "campaign", listed: campaigns, call: campaign, of: func(f *search.Fields) []seenValue {
		return append(campaignID(f), seenValue{value: f.Campaign, about: f.Campaign})
	}}, []string{q.Campaign}, func(q *search.Query, v string) { q.Campaign = v })
	add(hintTerm{name: "status", listed: func(n search.Names) []search.Name { return n.Statuses },
		call: func(n search.Name) search.Fields { return search.Fields{Status: n.ID, StatusName: n.Name} },
		of:   func(f *search.Fields) []seenValue { return []seenValue{{value: f.Status, about: f.StatusName}} },
	}, q.Statuses, func(q *search.Query, v string) { q.Statuses = []string{v} })
	add(hintTerm{name: "user-id", listed: agents, call: agent, of: userID}, q.UserIDs, func(q *search.Query, v string) { q.UserIDs = []string{v} })
	add(hintTerm{name: "campaign-id", listed: campaigns, call: campaign, of: campaignID}, q.CampaignIDs, func(q *search.Query, v string) { q.CampaignIDs = []string{v} })
	add(hintTerm{name: "queue-id", of: func(f *search.Fields) []seenValue { return []seenValue{{value: f.QueueID}} }},
		q.QueueIDs, func(q *search.Query, v string) { q.QueueIDs = []string{v} })
	add(hintTerm{name: "list-id", of: func(f *search.Fields) []seenValue { return []seenValue{{value: f.ListID}} }},
		q.ListIDs, func(q *search.Query, v string) { q.ListIDs = []string{v} })
	add(hintTerm{name: "call-type", of: func(f *search.Fields) []seenValue { return []seenValue{{value: f.CallType}} }},
		q.CallTypes, func(q *search.Query, v string) { q.CallTypes = []string{v} })
	return h
}

// watch returns a function to call with every read call, nil if there are no terms.
func (h *hints) watch() func(*search.Call) {
	if len(h.terms) == 0 && len(h.without) == 0 {
		return nil
	}
	return func(c *search.Call) {
		for _, t := range h.terms {
			if t.several {
				t.look(c)
			}
		}
		if len(h.without) > 0 && (h.found || h.query.Matches(c)) {
			h.found = true // nothing needs to be explained
			return
		}
		for _, w := range h.without {
			w.see(c)
		}
		for _, t := range h.terms {
			if !t.several {
				t.look(c)
			}
		}
	}
}

// look compares a call with the value, or counts the values of a call to suggest.
func (t *hintTerm) look(c *search.Call) {
	if t.matched = t.matched || t.alone.Matches(c); !t.matched {
		t.see(&c.Fields, 1)
	}
}

// see counts the values of calls. It omits names that may contain a telephone number.
func (t *hintTerm) see(f *search.Fields, calls int) {
	for _, v := range t.of(f) {
		isName := v.about == v.value
		if longNumber.MatchString(v.about) {
			v.about = ""
		}
		if v.value == "" || isName && v.about == "" {
			continue
		}
		key := strings.ToLower(v.value)
		if t.seen[key] == nil {
			t.seen[key] = &v
		}
		t.seen[key].calls += calls
	}
}

// ask queries the index for calls with each value, and for the existing values. Values that the index does not list are
// collected from the newest calls.
func (h *hints) ask(ctx context.Context, archive *searched) error {
	newest := search.Query{Limit: newestCalls}
	var listed, others []*hintTerm
	for _, t := range h.terms {
		alone := t.alone
		alone.Limit = 1
		for _, err := range archive.Search(ctx, alone) {
			if t.matched = t.matched || err == nil; passing(err) != nil {
				return err
			}
		}
		switch {
		case t.matched:
		case t.listed != nil:
			listed = append(listed, t)
		default:
			others = append(others, t)
		}
	}
	if len(listed) > 0 {
		names, err := archive.Names(ctx)
		if passing(err) != nil {
			return err
		}
		for _, t := range listed {
			for _, n := range t.listed(names) {
				f := t.call(n)
				t.see(&f, n.Calls)
			}
		}
	}
	if len(others) == 0 {
		return nil
	}
	for c, err := range search.New(archive.opened.Ledger, archive.Zone()).Search(ctx, newest) {
		if passing(err) != nil {
			return err
		}
		for _, t := range others {
			t.see(&c.Fields, 1)
		}
	}
	return nil
}

// passing returns an error unless it concerns only one day.
func passing(err error) error {
	if _, ofDay := errors.AsType[*search.DayError](err); ofDay {
		return nil
	}
	return err
}

// hints returns the hints for values that no call has.
func (h *hints) hints() []hint {
	var all []hint
	for _, t := range h.terms {
		if t.matched || len(t.seen) == 0 {
			continue
		}
		made := hint{term: t.name, value: t.value}
		made.nearest, made.alike = nearestSeen(t.value, t.seen)
		all = append(all, made)
	}
	return all
}

// line renders the hint for people. where is the searched part of the archive.
func (h hint) line(where string) string {
	line := fmt.Sprintf("no call of %s has %s %q", where, h.term, h.value)
	if longNumber.MatchString(h.value) { // it may be a misplaced telephone number
		line = "no call of " + where + " has this " + h.term
	}
	var names []string
	for _, v := range h.nearest {
		about := plural(v.calls, "call")
		if v.about != "" && v.about != v.value {
			about = v.about + ", " + about
		}
		names = append(names, fmt.Sprintf("%q (%s)", v.value, about))
	}
	if h.alike {
		return line + "; nearest: " + strings.Join(names, ", ")
	}
	return line + "; most frequent: " + strings.Join(names, ", ")
}

// severalText says how to search for several campaigns or agents, if the value looks like a list; else "".
func (h hint) severalText() string {
	ids := map[string]string{"agent": "user-id", "campaign": "campaign-id"}[h.term]
	if h.alike || ids == "" || !strings.Contains(h.value, ",") {
		return ""
	}
	if strings.Trim(h.value, "0123456789,") != "" || longNumber.MatchString(h.value) {
		return "; for several, give their ids to --" + ids
	}
	return "; for several, give --" + ids + " " + h.value
}

// nearestSeen returns the most similar values: first those that contain the given text as whole words, then those that
// contain it within a word, then those with a typo; within a rank by number of calls. If none is similar, it returns
// the most frequent values.
func nearestSeen(given string, seen map[string]*seenValue) (nearest []seenValue, alike bool) {
	given = strings.ToLower(given)
	rank := map[string]int{}
	for key, v := range seen {
		about := strings.ToLower(v.about)
		byValue, byName := likeness(given, key), likeness(given, about)
		if best := min(2*byValue, 2*byName+1); best < 2*unlike { // a match by name ranks below a match by value
			rank[v.value] = best
		}
	}
	for _, v := range seen {
		if _, ok := rank[v.value]; ok || len(rank) == 0 {
			nearest = append(nearest, *v)
		}
	}
	slices.SortFunc(nearest, func(a, b seenValue) int {
		return cmp.Or(cmp.Compare(rank[a.value], rank[b.value]), cmp.Compare(b.calls, a.calls), cmp.Compare(a.value, b.value))
	})
	named := map[string]bool{}
	nearest = slices.DeleteFunc(nearest, func(v seenValue) bool { // an id and its name count once
		told := named[v.value] || named[v.about] && v.about != ""
		named[v.value], named[v.about] = true, true
		return told
	})
	return nearest[:min(len(nearest), maxHinted)], len(rank) > 0
}

const unlike = 1000

// likeness is the distance of a text from the given one: 0 if it contains that as whole words, 1 within a word,
// more for typos.
func likeness(given, text string) int {
	if n := holds(text, given); n > 0 {
		return 2 - n
	}
	if n := editDistance(given, text); n <= maxSlips(given) && n < len(given) {
		return 1 + n
	}
	return unlike
}

// holds says how a text contains another: 2 as whole words, 1 within words, 0 not at all.
func holds(text, part string) int {
	const leastWithin = 3 // letters: shorter texts match almost everything
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

// limitHints returns hints for the campaigns and agents in limits that match no call.
func limitHints(limits search.Limits, names search.Names) []hint {
	h := &hints{}
	add := func(values []string, query func(string) search.Query, limit func([]string) search.Limits) {
		for _, value := range values {
			for _, t := range newHints(query(value)).terms {
				for _, n := range t.listed(names) {
					f := t.call(n)
					t.matched = t.matched || limit([]string{value}).Allow(&f)
					t.see(&f, n.Calls)
				}
				h.terms = append(h.terms, t)
			}
		}
	}
	add(limits.Campaigns, func(v string) search.Query { return search.Query{Campaign: v} }, func(v []string) search.Limits { return search.Limits{Campaigns: v} })
	add(limits.Agents, func(v string) search.Query { return search.Query{Agent: v} }, func(v []string) search.Limits { return search.Limits{Agents: v} })
	return h.hints()
}

// limitChecks returns a function that warns of campaigns and agents in --rights, and of campaigns in the users file, that
// match no call: once, and again if the file names other campaigns. users may be nil. The names of agents in the file are
// those of people, so they are not logged.
func limitChecks(archive *search.Archive, rights search.Limits, users *web.Users, logger *slog.Logger) func(context.Context) {
	told := false
	var last []string
	return func(ctx context.Context) {
		if !told {
			warnOfLimits(ctx, archive, "--rights", rights, logger)
			told = true
		}
		if users == nil {
			return
		}
		if campaigns := users.Campaigns(); !slices.Equal(campaigns, last) {
			warnOfLimits(ctx, archive, "the users file", search.Limits{Campaigns: campaigns}, logger)
			last = campaigns
		}
	}
}

// warnOfLimits warns of campaigns and agents in limits that match no call.
func warnOfLimits(ctx context.Context, archive *search.Archive, where string, limits search.Limits, logger *slog.Logger) {
	if len(limits.Campaigns)+len(limits.Agents) == 0 {
		return
	}
	names, err := archive.Names(ctx)
	if passing(err) != nil {
		return // each search reports it
	}
	for _, one := range limitHints(limits, names) {
		logger.Warn("check " + where + ": " + one.line("the archive"))
	}
}

// tellNothing reports that nothing was found, and why.
func (h *hints) tellNothing(ctx context.Context, tell teller, archive *searched, q search.Query, attrs []any) error {
	tell.note("nothing found", "nothing found", attrs...)
	isSpan := !q.From.IsZero() || !q.To.IsZero()
	if isSpan {
		told, err := tellOtherDays(ctx, tell, archive, q)
		if told || err != nil {
			return err
		}
	}
	where := "the archive"
	if archive.index != nil {
		if err := h.ask(ctx, archive); err != nil {
			return err
		}
	} else if isSpan {
		where = "these days"
	}
	unseen := h.hints()
	if len(unseen) == 0 {
		return h.tellWithout(ctx, tell, archive)
	}
	tell.unseen(unseen, where)
	return nil
}

// unseen reports values that no call has.
func (t teller) unseen(hints []hint, where string) {
	for _, one := range hints {
		t.note(one.line(where)+one.severalText(), "no call has this value", "term", one.term, "nearest", one.nearest[0].value, "calls", one.nearest[0].calls)
	}
}

// tellOthers reports, although calls were found, the values of a list that no call has. Without an index, all days of
// the search must have been read.
func (h *hints) tellOthers(ctx context.Context, tell teller, archive *searched, q search.Query) error {
	h.terms = slices.DeleteFunc(h.terms, func(t *hintTerm) bool { return !t.several })
	if len(h.terms) == 0 || tell.quiet {
		return nil
	}
	where := "the archive"
	switch {
	case archive.index != nil:
		if err := h.ask(ctx, archive); err != nil {
			return err
		}
	case q.Limit > 0:
		return nil
	case !q.From.IsZero() || !q.To.IsZero():
		where = "these days"
	}
	tell.unseen(h.hints(), where)
	return nil
}

// tellOtherDays reports the first and the last day of an archive without any day in the requested span.
func tellOtherDays(ctx context.Context, tell teller, archive *searched, q search.Query) (told bool, err error) {
	days, err := archive.Days(ctx, search.Query{From: q.From, To: q.To})
	if err != nil || len(days) > 0 {
		return false, err
	}
	all, err := archive.Days(ctx, search.Query{})
	if err != nil || len(all) == 0 {
		return false, err
	}
	first, last := all[0], all[len(all)-1]
	tell.note("the archive has no day in this time range; it has days from "+first+" to "+last, "no day in the time range", "first", first, "last", last)
	return true, nil
}
