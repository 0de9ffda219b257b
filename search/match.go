// Decides whether a call matches a query.

package search

import (
	"slices"
	"strings"
)

// Matches reports whether a call fulfils every term of the query, except Limit, Sample and After. It also checks
// answers of an index.
func (q Query) Matches(c *Call) bool {
	first, last := q.Positions()
	return c.Position >= first && c.Position <= last &&
		q.matchesFields(&c.Fields) && q.Within.Allow(&c.Fields) && q.matchesRecordings(c) && q.matchesListed(c)
}

func (q Query) matchesFields(f *Fields) bool {
	for _, term := range []struct {
		wanted []string
		have   string
	}{
		{q.IDs, f.ID},
		{q.LeadIDs, f.LeadID},
		{q.CampaignIDs, f.CampaignID},
		{q.QueueIDs, f.QueueID},
		{q.ListIDs, f.ListID},
		{q.UserIDs, f.UserID},
		{q.Statuses, f.Status},
		{q.CallTypes, f.CallType},
		{q.CalledCounts, f.CalledCount},
	} {
		if !anyEqual(term.wanted, term.have, strings.EqualFold) {
			return false
		}
	}
	return anyEqual(q.PhoneNumbers, f.PhoneNumber, sameDigits) && anyEqual(q.NumbersDialed, f.NumberDialed, sameDigits) &&
		anyEqual(q.FirstNames, f.FirstName, sameWords) && anyEqual(q.LastNames, f.LastName, sameWords) &&
		(q.Number == "" || endsIn(f.PhoneNumber, q.Number) || endsIn(f.NumberDialed, q.Number)) &&
		(q.Agent == "" || isNamed(q.Agent, f.UserID, f.User)) &&
		(q.Campaign == "" || isNamed(q.Campaign, f.CampaignID, f.Campaign)) &&
		(q.Name == "" || beginWords(words(q.Name), append(words(f.FirstName), words(f.LastName)...))) &&
		(q.Comment == "" || containWords(words(q.Comment), words(f.Comment))) &&
		q.matchesLength(f.Length)
}

func (q Query) matchesLength(length int) bool {
	return (q.MinLength == 0 || length >= q.MinLength) && (q.MaxLength == 0 || length >= 0 && length <= q.MaxLength)
}

func (q Query) matchesRecordings(c *Call) bool {
	if q.WithRecording && len(c.Recordings) == 0 {
		return false
	}
	return q.Outcomes == nil || slices.ContainsFunc(c.Recordings, func(r Recording) bool { return slices.Contains(q.Outcomes, r.Outcome) })
}

func (q Query) matchesListed(c *Call) bool {
	if q.Listed == nil {
		return true
	}
	isListed := func(id string) bool { return q.listed[id] }
	if q.listed == nil {
		isListed = func(id string) bool { return slices.Contains(q.Listed, id) }
	}
	return isListed(c.ID) || slices.ContainsFunc(c.Recordings, func(r Recording) bool { return isListed(r.ID) })
}

func setOf(list []string) map[string]bool {
	if list == nil {
		return nil
	}
	set := make(map[string]bool, len(list))
	for _, one := range list {
		set[one] = true
	}
	return set
}

// Allow reports whether a user with these limits may see a call. Unlike a search, a limit compares complete names,
// ignoring case: "Team A+" is not "Team A-".
func (l Limits) Allow(f *Fields) bool {
	named := func(list []string, id, name string) bool {
		return list == nil || slices.ContainsFunc(list, func(one string) bool {
			return strings.EqualFold(one, id) || name != "" && strings.EqualFold(one, strings.TrimSpace(name))
		})
	}
	return named(l.Campaigns, f.CampaignID, f.Campaign) && named(l.Agents, f.UserID, f.User)
}

// anyEqual reports whether a value is among the wanted ones; true if none is wanted.
func anyEqual(wanted []string, have string, equal func(a, b string) bool) bool {
	return wanted == nil || slices.ContainsFunc(wanted, func(one string) bool { return equal(one, have) })
}

func sameDigits(a, b string) bool { return digits(a) == digits(b) }

func sameWords(a, b string) bool { return slices.Equal(words(a), words(b)) }

func endsIn(number, suffix string) bool { return strings.HasSuffix(digits(number), digits(suffix)) }

// isNamed reports whether an agent or campaign has this id or name.
func isNamed(wanted, id, name string) bool {
	return strings.EqualFold(wanted, id) || name != "" && sameWords(wanted, name)
}

// beginWords reports whether each prefix begins a word.
func beginWords(beginnings, words []string) bool {
	for _, b := range beginnings {
		if !slices.ContainsFunc(words, func(w string) bool { return strings.HasPrefix(w, b) }) {
			return false
		}
	}
	return len(beginnings) > 0
}

// containWords reports whether all wanted words are present.
func containWords(wanted, words []string) bool {
	for _, w := range wanted {
		if !slices.Contains(words, w) {
			return false
		}
	}
	return len(wanted) > 0
}
