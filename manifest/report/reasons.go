// Finds the reasons why a day is open, and remarks about a closed day.

package report

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"convoso-archiver/manifest"
)

// reasonList is a list of reasons that grows.
type reasonList []Reason

func (l *reasonList) add(code Code, format string, a ...any) {
	*l = append(*l, Reason{Code: code, Text: fmt.Sprintf(format, a...)})
}

// remarks returns the faults of a closed day.
func remarks(line *manifest.DayLine) []Reason {
	list := reasonList{}
	if n := line.Uncounted; n != 0 {
		list.add(Uncounted, "%s listed; the API's total differs by %d in every listing", counted(line.Calls, "call", "calls"), max(n, -n))
	}
	if line.Unlistable {
		list.add(Unlistable, "the API cannot list the whole day: calls may be missing")
	}
	if n := line.Unlisted; n > 0 {
		list.add(Unlisted, "%s no longer listed", counted(n, "known recording", "known recordings"))
	}
	if line.Unwitnessed {
		list.add(Unwitnessed, "unwitnessed: no recordings were listed, and no other day has shown that the API lists recordings")
	}
	if n := line.Stray; n > 0 {
		list.add(Stray, "%s of another day in the listing, archived under that day", counted(n, "row", "rows"))
	}
	return list
}

// reasons returns why a day that a run worked on is not closed.
func (b *builder) reasons(d *Day, f *Facts, latest *listing, waiting map[manifest.Outcome]int) []Reason {
	list := reasonList{}
	if f.Bad != nil {
		list.add(BadLine, "line %d of %s cannot be read (%s): run verify, which says what to do", f.Bad.Line, f.Bad.File, f.Bad.Reason)
	}
	if f.Reopened {
		list.add(Reopened, "the day was closed, but its lines have changed since")
	}
	if latest == nil {
		f.unlisted(&list)
	} else {
		latest.reasons(&list)
	}
	if len(waiting) > 0 {
		var parts []string
		for _, outcome := range slices.Sorted(maps.Keys(waiting)) {
			parts = append(parts, fmt.Sprintf("%d %s", waiting[outcome], outcome))
		}
		list.add(Waiting, "%s (%s)", counted(d.Waiting, "recording waits", "recordings wait"), strings.Join(parts, ", "))
	}
	switch {
	case len(list) > 0 || !d.Settled: // these reasons are enough
	case b.isEarly(latest, d.Day):
		list.add(ListedEarly, "not listed since the day settled; last listed on %s", latest.listed.In(b.o.Zone).Format(time.DateOnly))
	case latest.calls == 0:
		list.add(Empty, "no calls were listed, and no second answer has confirmed that yet")
	case latest.recordings == 0:
		list.add(Empty, "no recordings were listed, and no second answer has confirmed that yet")
	default:
		list.add(LeftOpen, "no run has closed it since it was listed")
	}
	if n := f.CallsDropped; n > 0 {
		list.add(CallsRepaired, "verify --repair left out %s of calls/: archive lists the day again", counted(n, "unreadable line", "unreadable lines"))
	}
	return list
}

// reasons adds the reasons from a listing.
func (l *listing) reasons(list *reasonList) {
	switch {
	case !l.coversTheDay:
		list.add(Partial, "listed only from %s to %s", l.from, l.to)
	case len(l.doubts) > 0:
		list.add(NotWhole, "the listing is not proved complete: %s", strings.Join(inWords(l.doubts), "; "))
	case !l.whole:
		list.add(NotWhole, "the listing is not proved complete: %s listed, the API counts %d", counted(l.rows, "row", "rows"), l.total)
	case l.stray > 0:
		list.add(Stray, "%s of another day in the listing: a second listing must confirm that", counted(l.stray, "row", "rows"))
	}
	if l.missing > 0 {
		list.add(Missing, "%s no longer listed: another listing must confirm that", counted(l.missing, "known recording", "known recordings"))
	}
}

// inWords describes the doubts of window lines. Lines of older versions contain sentences, which stay.
func inWords(doubts []string) []string {
	texts := map[string]string{
		"total":                 "the API's total differs from the received calls, or changed meanwhile",
		"no_total":              "the API sent no total",
		"unlistable":            "there are more calls than the API can page through: archive the day by campaign",
		"unreadable_rows":       "rows cannot be read",
		"unreadable_recordings": "the recording field of calls cannot be read",
		"no_recording_field":    "no row has a recording field: the API may have ignored include_recordings",
		"contradicted":          "calls do not match the filter",
		"ignored":               "the API ignored the requested times or filters, and the answer was not used",
		"unanswered":            "the API gave no readable answer",
	}
	list := make([]string, 0, len(doubts))
	for _, doubt := range doubts {
		word, count, _ := strings.Cut(doubt, " ")
		switch text, known := texts[word]; {
		case !known:
			list = append(list, doubt)
		case count == "1" || count == "":
			list = append(list, text)
		default:
			list = append(list, text+" ("+count+" times)")
		}
	}
	return list
}

// unlisted says that a day was not listed with the filter, and for which other filters it is closed or was listed. It
// names the fields of filters, but not their values, which may be personal data.
func (f *Facts) unlisted(list *reasonList) {
	done, filters := "closed", f.ClosedFor
	if len(filters) == 0 {
		done = "listed"
		for _, w := range f.Windows {
			filters = append(filters, w.Filter)
		}
	}
	var names []string
	for _, filter := range filters {
		names = append(names, strings.Join(fieldsOf(filter), ", "))
	}
	slices.Sort(names)
	if names = slices.Compact(names); len(names) == 0 {
		list.add(NotListed, "no listing of the day was finished: more recordings may exist")
		return
	}
	list.add(Filtered, "%s only for a filter on %s", done, strings.Join(names, "; on "))
}

// fieldsOf names the fields of a filter.
func fieldsOf(filter string) []string {
	fields := []string{}
	for part := range strings.SplitSeq(filter, "&") {
		if name, _, ok := strings.Cut(part, "="); ok {
			fields = append(fields, name)
		}
	}
	return fields
}

func counted(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, many)
}
