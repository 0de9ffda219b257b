// Says which days of a search are not listed completely, so that calls and recordings may be missing.

package cli

import (
	"cmp"
	"context"
	"fmt"
	"path"
	"slices"
	"time"

	"convoso-archiver/manifest"
	"convoso-archiver/manifest/report"
	"convoso-archiver/search"
)

// knownDays are the days within the span of a search that the archive knows, ascending.
type knownDays struct{ closed, open []string }

// knownDaysOf lists the days. It opens no file.
func knownDaysOf(ctx context.Context, archive *searched, q search.Query) (known knownDays, err error) {
	isClosed := func(f manifest.File) bool { return path.Base(f.Name) == "closed.json" }
	for day, err := range archive.opened.Ledger.Files(ctx) {
		switch {
		case err != nil:
			return known, fmt.Errorf("look at the days: %w", err)
		case !q.From.IsZero() && day.Day < q.From.Format(time.DateOnly), !q.To.IsZero() && day.Day > q.To.Format(time.DateOnly):
		case slices.ContainsFunc(day.Files, isClosed):
			known.closed = append(known.closed, day.Day)
		default:
			known.open = append(known.open, day.Day)
		}
	}
	return known, nil
}

// unlisted counts the days whose listing is unfinished, and those that were never listed although they lie between known
// days. If a listing is unfinished, as after a run that was stopped, the days up to the end of the span or today count
// too. It reads the open days. A listing with any filter of archive counts as a listing.
func (k knownDays) unlisted(ctx context.Context, archive *searched, q search.Query, now time.Time, settle time.Duration) (partly, never int, err error) {
	var facts []report.Facts
	for _, day := range k.closed {
		facts = append(facts, report.Facts{Day: day, Known: true, Closing: &manifest.DayLine{}})
	}
	for f, err := range report.ReadDays(ctx, archive.opened.Ledger, k.open, report.Options{}) {
		if err != nil {
			return 0, 0, err
		}
		if len(f.ClosedFor) > 0 {
			f.Closing = &manifest.DayLine{}
		}
		for i := range f.Windows {
			f.Windows[i].Filter = ""
		}
		facts = append(facts, f)
	}
	slices.SortFunc(facts, func(a, b report.Facts) int { return cmp.Compare(a.Day, b.Day) })
	each := func(yield func(report.Facts, error) bool) {
		for _, f := range facts {
			if !yield(f, nil) {
				return
			}
		}
	}
	o := report.Options{Now: now, Zone: archive.Zone(), Settle: settle}
	made, err := report.Build(each, o)
	if err == nil && made.Total.PartlyListed > 0 {
		if o.Until = today(now, archive.Zone()); !q.To.IsZero() {
			o.Until = min(o.Until, q.To.Format(time.DateOnly))
		}
		made, err = report.Build(each, o)
	}
	if err != nil {
		return 0, 0, err
	}
	for _, d := range made.Days {
		if d.State == report.NeverListed && d.Settled {
			never++
		}
	}
	return made.Total.PartlyListed, never, nil
}

// tellUnlisted reports the days of a search in which calls or recordings may be missing.
func (j *searchJob) tellUnlisted(ctx context.Context, tell teller, archive *searched, known knownDays) error {
	if tell.quiet {
		return nil
	}
	partly, never, err := known.unlisted(ctx, archive, j.query, j.now, j.settle)
	if err != nil && ctx.Err() == nil { // such a day can be readable enough for the answer
		tell.warn("cannot say whether every day is listed completely: "+oneLine(err.Error()), "the days cannot be read completely", "err", oneLine(err.Error()))
		return nil
	}
	if err != nil {
		return context.Cause(ctx)
	}
	if text := unlistedText(partly, never); text != "" {
		tell.note(text, "days are not listed completely", "days_partly_listed", partly, "days_never_listed", never)
	}
	return nil
}

// unlistedText says how many days are not listed completely, "" for none.
func unlistedText(partly, never int) string {
	verb := func(n int, one, many string) string {
		if n == 1 {
			return one
		}
		return many
	}
	const try = ", so calls or recordings may be missing: run archive over these days"
	unfinished := plural(partly, "day") + verb(partly, " is", " are") + " not listed completely"
	absent := verb(never, " was", " were") + " never listed"
	switch {
	case partly == 0 && never == 0:
		return ""
	case never == 0:
		return unfinished + try
	case partly == 0:
		return plural(never, "day") + absent + try
	}
	return unfinished + ", " + thousands(int64(never)) + absent + try
}
