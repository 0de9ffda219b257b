// Says in words what the totals of a report count, and what a verification checked and found.

package report

import (
	"cmp"
	"fmt"
	"slices"

	"convoso-archiver/manifest"
)

// Named is a count and what it counts, like 3 and "never listed".
type Named struct {
	N    int
	What string
}

// DayCounts returns the counts of the days by state, without zeros. If the report is complete, days that are not settled
// yet are one state, with their dates; otherwise [Report.Unsettled] names them. It is empty if all days are closed and
// none may change.
func (r *Report) DayCounts() []Named {
	t := &r.Total
	switch {
	case !r.Complete:
		return nonZero(Named{t.Closed, "closed"}, Named{t.Uncounted, "of these not fully counted"}, Named{t.Open, "open"},
			Named{t.NeverListed, "never listed" + r.beforeFirst()})
	case t.Unsettled > 0:
		return nonZero(Named{t.Closed, "closed"}, Named{t.Unsettled, "not settled yet (" + r.unsettledDays() + ")"})
	}
	return nil
}

// Unsettled says which open and never listed days may still change, if the report is not complete; empty for none.
func (r *Report) Unsettled() string {
	if r.Complete || r.Total.Unsettled == 0 {
		return ""
	}
	return r.unsettledDays() + " not settled yet"
}

// unsettledDays returns the days that may still change: the last ones of the span.
func (r *Report) unsettledDays() string {
	first, last := "", ""
	for i := range r.Days {
		if d := &r.Days[i]; d.State != Closed && !d.Settled {
			first, last = cmp.Or(first, d.Day), d.Day
		}
	}
	if first == last {
		return first
	}
	return first + " to " + last
}

// beforeFirst says how many of the never listed days are older than the archive.
func (r *Report) beforeFirst() string {
	n := 0
	for _, d := range r.Days {
		if d.State == NeverListed && d.Day < r.FirstListed {
			n++
		}
	}
	switch n {
	case 0:
		return ""
	case r.Total.NeverListed:
		return " (before " + r.FirstListed + ", the first listed day)"
	}
	return fmt.Sprintf(" (%d of them before %s, the first listed day)", n, r.FirstListed)
}

// UnarchivedCounts returns the counts of the recordings that are not archived, without zeros.
func (t *Total) UnarchivedCounts() []Named {
	return nonZero(Named{t.Waiting, "waiting"}, Named{t.ByOutcome[manifest.Lost], "lost"}, Named{t.GivenUp, "given up"},
		Named{t.ByOutcome[manifest.Erased], "erased"}, Named{t.ByOutcome[manifest.Expired], "expired"},
		Named{t.unknown(), "with an outcome that this version does not know"})
}

// unknown counts the recordings with an outcome of a later version, or of a damaged line.
func (t *Total) unknown() (n int) {
	for outcome, count := range t.ByOutcome {
		if !slices.Contains(manifest.Outcomes(), outcome) {
			n += count
		}
	}
	return n
}

// More counts the open days that may have recordings without any line, and says what to do. If it is not
// empty, the number of all recordings is unknown, so no text may show the archived ones as a part of it.
func (t *Total) More() []Named {
	what := "open days are not listed completely, so more recordings may exist: run archive over these days"
	if t.PartlyListed == 1 {
		what = "open day is not listed completely, so more recordings may exist: run archive over this day"
	}
	return nonZero(Named{t.PartlyListed, what})
}

// How returns in words what the verification read; for an unknown mode it returns the mode.
func (v *Verified) How() string {
	switch v.Mode {
	case manifest.VerifiedFull:
		return "every byte read"
	case manifest.VerifiedQuick:
		return "only sizes compared"
	case manifest.VerifiedSample:
		return "a sample read"
	}
	return v.Mode
}

// FoundCounts returns the counts of what the verification found, without zeros.
func (v *Verified) FoundCounts() []Named {
	return nonZero(Named{v.Damaged, "damaged"}, Named{v.ManifestDamaged, "damaged in the manifest"}, Named{v.NotReadable, "not readable"})
}

func nonZero(counts ...Named) []Named {
	return slices.DeleteFunc(counts, func(c Named) bool { return c.N == 0 })
}
