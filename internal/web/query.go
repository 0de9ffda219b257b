// Reads the search from the address of a page.

package web

import (
	"cmp"
	"errors"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"convoso-archiver/fetcher"
	"convoso-archiver/search"
)

const (
	pageCalls    = 50
	maxPageCalls = 500
	maxValue     = 1000 // bytes of a value
	maxValues    = 100  // of a term
)

// asked is the parsed address of the list.
type asked struct {
	query   search.Query
	day, id string // of the open call; empty for none
	second  int    // position of the player
	wrong   []*search.TermError
}

// pageParameters are the parameters that are not search terms.
func pageParameters() []string {
	return []string{"start-time", "end-time", "last", "after", "call", "t"}
}

// parseQuery reads the parameters of an address. It keeps errors for the page to show; then the query must not be run.
// It ignores empty values, which come from empty form fields.
func parseQuery(values url.Values, now time.Time, zone *time.Location) asked {
	var a asked
	known := map[string]bool{}
	for _, t := range search.Terms() {
		known[t.Name] = true
		if list := filled(values[t.Name]); len(list) > 0 {
			a.keep(t.Name, bounded(t.Name, list))
			if len(a.wrong) == 0 || a.wrong[len(a.wrong)-1].Name != t.Name {
				a.keep(t.Name, a.query.Set(t.Name, list...))
			}
		}
	}
	for _, name := range pageParameters() {
		known[name] = true
		if list := filled(values[name]); len(list) > 1 {
			a.keep(name, &search.TermError{Name: name, Problem: "it is given more than once", Try: "give it once"})
		} else if len(list) == 1 {
			a.keep(name, bounded(name, list))
		}
	}
	for name := range values {
		if !known[name] {
			a.wrong = append(a.wrong, &search.TermError{Name: "address", Problem: "it contains an unknown search term", Try: "use the form"})
			break
		}
	}
	if len(a.wrong) > 0 {
		return a
	}
	a.span(values, now, zone)
	a.keep("after", a.after(one(values, "after")))
	a.keep("", a.query.Check())
	a.open(one(values, "call"), one(values, "t"))
	return a
}

func filled(values []string) []string {
	return slices.DeleteFunc(slices.Clone(values), func(v string) bool { return strings.TrimSpace(v) == "" })
}

func one(values url.Values, name string) string {
	if list := filled(values[name]); len(list) > 0 {
		return strings.TrimSpace(list[0])
	}
	return ""
}

func bounded(name string, values []string) error {
	if len(values) > maxValues || slices.ContainsFunc(values, func(v string) bool { return len(v) > maxValue }) {
		return &search.TermError{Name: name, Problem: "it is too long", Try: "search for fewer values at once"}
	}
	return nil
}

func (a *asked) keep(name string, err error) {
	if wrong, ok := errors.AsType[*search.TermError](err); ok && wrong != nil {
		wrong.Name = cmp.Or(wrong.Name, name)
		a.wrong = append(a.wrong, wrong)
	}
}

// span reads the range of days. Relative ranges end today.
func (a *asked) span(values url.Values, now time.Time, zone *time.Location) {
	start, end, last := one(values, "start-time"), one(values, "end-time"), one(values, "last")
	if last == "" {
		err := a.query.SetSpan(clock(start), clock(end))
		if err == nil && a.query.From.After(fetcher.Wall(now, zone)) {
			err = &search.TermError{Name: "start-time", Problem: "it is in the future", Try: "check the date"}
		}
		a.keep("start-time", err)
		return
	}
	days, ok := daysIn(last)
	switch {
	case !ok:
		a.keep("last", &search.TermError{Name: "last", Problem: "it is not a number of days or weeks", Try: "write it like 7d or 2w"})
	case start != "" || end != "":
		a.keep("last", &search.TermError{Name: "last", Problem: "it cannot be used together with From and To", Try: "use one of them"})
	default:
		wall := fetcher.Wall(now, zone)
		a.query.From = time.Date(wall.Year(), wall.Month(), wall.Day()-days, 0, 0, 0, 0, time.UTC)
	}
}

// clock parses the value of a browser's time field.
func clock(text string) string {
	if len(text) == len("2006-01-02T15:04") && text[10] == 'T' {
		return text + ":00"
	}
	return text
}

func daysIn(text string) (days int, ok bool) {
	m := regexp.MustCompile(`^([0-9]{1,4})([dw])$`).FindStringSubmatch(text)
	if m == nil {
		return 0, false
	}
	n, err := strconv.Atoi(m[1])
	if m[2] == "w" {
		n *= 7
	}
	return n, err == nil && n > 0
}

func (a *asked) after(text string) error {
	if text == "" {
		return nil
	}
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil || n <= 0 {
		return &search.TermError{Name: "after", Problem: "it is not a place in the list", Try: "start at the first page"}
	}
	a.query.After = search.Position(n)
	return nil
}

// open reads which call is open. An invalid value opens none.
func (a *asked) open(call, second string) {
	day, id, found := strings.Cut(call, "/")
	if !found || !isDay(day) || id == "" {
		return
	}
	a.day, a.id = day, id
	const longest = 1_000_000
	if n, err := strconv.Atoi(second); err == nil && n > 0 && n < longest {
		a.second = n
	}
}

// size is the number of calls per page.
func (a *asked) size() int {
	switch {
	case a.query.Sample > 0:
		return min(a.query.Sample, maxPageCalls)
	case a.query.Limit > 0:
		return min(a.query.Limit, maxPageCalls)
	}
	return pageCalls
}

// isByTime reports whether the list is sorted by time and so can be paged.
func (a *asked) isByTime() bool {
	q := a.query
	return q.Sample == 0 && q.Sort != search.LongestFirst && q.Sort != search.ShortestFirst
}

// with returns the address of the list with changed values; "" removes one.
func with(values url.Values, pairs ...string) string {
	changed := url.Values{}
	for name, list := range values {
		if list = filled(list); len(list) > 0 {
			changed[name] = list
		}
	}
	for i := 0; i+1 < len(pairs); i += 2 {
		changed.Del(pairs[i])
		if pairs[i+1] != "" {
			changed.Set(pairs[i], pairs[i+1])
		}
	}
	if len(changed) == 0 {
		return "/calls"
	}
	return "/calls?" + changed.Encode()
}
