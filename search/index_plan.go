// Plans which keys of the index answer a query.

package search

import (
	"cmp"
	"slices"
)

// plan describes how an index answers a query: a matching call has one of the alternatives of each
// term.
type plan struct {
	terms []alternatives // most selective first
	// exact: all calls with all terms, and within the query's length and span, match.
	exact bool
	// none: no call matches.
	none bool
}

// alternatives are the keys of one term.
type alternatives struct {
	ranges []keyRange
	rank   int
}

// The ranks of terms: roughly how many calls have a value.
const (
	ofOne = iota
	ofFew
	ofSome
	ofMany
	ofMost
)

// maxRanges is the maximum number of keys of a term that are searched individually. For more, all keys of their fields
// are read.
const maxRanges = 8

// plan returns how an index answers the query.
func (q Query) plan() plan {
	p := plan{exact: true}
	p.addWhole(byCall, ofOne, q.IDs)
	p.addWhole(byLead, ofFew, q.LeadIDs)
	p.addWhole(byUserID, ofSome, q.UserIDs)
	p.addWhole(byList, ofMany, q.ListIDs)
	p.addWhole(byQueue, ofMany, q.QueueIDs)
	p.addWhole(byCampaignID, ofMany, q.CampaignIDs)
	p.addWhole(byStatus, ofMany, q.Statuses)
	p.addWhole(byCallType, ofMost, q.CallTypes)
	p.addWhole(byCalledCount, ofMost, q.CalledCounts)
	p.addNumbers(q.PhoneNumbers)
	p.addNumbers(q.NumbersDialed)
	p.addNames(q.FirstNames)
	p.addNames(q.LastNames)
	if q.Number != "" {
		p.add(ofFew, beginning(byNumber, reversedDigits(q.Number)))
	}
	if q.Agent != "" {
		p.add(ofSome, named(byUserID, byUser, q.Agent)...)
	}
	if q.Campaign != "" {
		p.add(ofMany, named(byCampaignID, byCampaign, q.Campaign)...)
	}
	p.addWords(q.Name, byNameWord, beginning)
	p.addWords(q.Comment, byCommentWord, equal)
	p.addRecordings(q)
	p.addListed(q.Listed)
	p.addLimit(q.Within.Agents, byUserID, byUser)
	p.addLimit(q.Within.Campaigns, byCampaignID, byCampaign)
	slices.SortStableFunc(p.terms, func(a, b alternatives) int { return cmp.Compare(a.rank, b.rank) })
	return p
}

// add adds a term. Without ranges the term is left to Query.Matches.
func (p *plan) add(rank int, ranges ...keyRange) {
	for _, r := range ranges {
		p.exact = p.exact && !r.loose
		if r.lo == "" && r.hi == "" {
			return
		}
	}
	p.terms = append(p.terms, alternatives{together(ranges), rank})
}

// together combines many keys of a field into one range.
func together(ranges []keyRange) []keyRange {
	if len(ranges) <= maxRanges {
		return ranges
	}
	only := map[field]map[string]bool{}
	for _, r := range ranges {
		if only[r.field] == nil {
			only[r.field] = map[string]bool{}
		}
		only[r.field][r.lo] = true
	}
	ranges = nil
	for f, keys := range only {
		ranges = append(ranges, keyRange{field: f, only: keys})
	}
	return ranges
}

// equal returns the single key of a value. An empty value has none.
func equal(f field, value string) keyRange {
	if value == "" {
		return keyRange{field: f, loose: true}
	}
	key, whole := cutKey(value)
	return keyRange{field: f, lo: key, hi: key + "\x00", loose: !whole}
}

// beginning returns the range of keys with a prefix of digits or letters.
func beginning(f field, text string) keyRange {
	r := equal(f, text)
	if text != "" {
		r.hi = r.lo + "\xff"
	}
	return r
}

// named returns the keys of everything that matches by isNamed.
func named(ids, names field, wanted string) []keyRange {
	name, whole := cutKey(nameKey(wanted)) // empty for names without a word
	return []keyRange{equal(ids, foldCase(wanted)), {field: names, lo: name, hi: name + "\x00", loose: !whole}}
}

func (p *plan) addWhole(f field, rank int, values []string) {
	if values == nil {
		return
	}
	p.none = p.none || len(values) == 0
	var ranges []keyRange
	for _, value := range values {
		ranges = append(ranges, equal(f, foldCase(value)))
	}
	p.add(rank, ranges...)
}

// addNumbers adds numbers that must equal one specific number of a call; the index also finds them under the
// other one.
func (p *plan) addNumbers(values []string) {
	if values == nil {
		return
	}
	p.none = p.none || len(values) == 0
	var ranges []keyRange
	for _, value := range values {
		r := equal(byNumber, reversedDigits(value))
		r.loose = true
		ranges = append(ranges, r)
	}
	p.add(ofFew, ranges...)
}

// addNames adds first or last names by their longest words.
func (p *plan) addNames(values []string) {
	if values == nil {
		return
	}
	p.none = p.none || len(values) == 0
	var ranges []keyRange
	for _, value := range values {
		longest := ""
		for _, word := range words(value) {
			if len(word) > len(longest) {
				longest = word
			}
		}
		r := equal(byNameWord, longest)
		r.loose = true
		ranges = append(ranges, r)
	}
	p.add(ofSome, ranges...)
}

func (p *plan) addWords(text string, f field, keys func(field, string) keyRange) {
	all := words(text)
	p.none = p.none || text != "" && len(all) == 0
	for _, word := range all {
		p.add(ofSome, keys(f, word))
	}
}

func (p *plan) addRecordings(q Query) {
	if q.WithRecording {
		p.add(ofMost, keyRange{field: byOutcome, lo: hasRecording, hi: hasRecording + "\x00"})
	}
	if q.Outcomes == nil {
		return
	}
	p.none = p.none || len(q.Outcomes) == 0
	var ranges []keyRange
	for _, outcome := range q.Outcomes {
		ranges = append(ranges, equal(byOutcome, string(outcome)))
	}
	p.add(ofMost, ranges...)
}

// addListed adds a list of ids, which must match in case, unlike keys.
func (p *plan) addListed(ids []string) {
	if ids == nil {
		return
	}
	p.none = p.none || len(ids) == 0
	p.exact = false
	var ranges []keyRange
	for _, id := range ids {
		ranges = append(ranges, equal(byCall, foldCase(id)), equal(byRecording, id))
	}
	p.add(ofOne, ranges...)
}

func (p *plan) addLimit(wanted []string, ids, names field) {
	if wanted == nil {
		return
	}
	p.none = p.none || len(wanted) == 0
	p.exact = false // names are indexed by words
	var ranges []keyRange
	for _, one := range wanted {
		ranges = append(ranges, named(ids, names, one)...)
	}
	p.add(ofSome, ranges...)
}
