// Builds a report from the facts of days.

package report

import (
	"cmp"
	"fmt"
	"iter"
	"math"
	"slices"
	"time"

	"convoso-archiver/manifest"
)

// AllLosses is the value of Options.Losses that means no limit.
const AllLosses = math.MaxInt

// Options configure a report.
type Options struct {
	Now        time.Time
	Zone       *time.Location // the account's
	From, To   string         // the span as 2006-01-02, both included; empty means the first and the last known day
	Until      string         // without To: count days up to this one, known or not, if an earlier one is known
	Filter     string         // judge by day lines and listings with this filter; empty means all calls
	Settle     time.Duration  // a day may change until this long after its end
	PurgeAfter time.Duration  // age at which the vendor deletes audio
	GiveUp     time.Duration  // a recording that waits longer is final
	Losses     int            // maximum number of listed losses; AllLosses where Why is given

	Why func(manifest.State) string // explains why a recording is not archived; nil to omit Report.Missing

	Verifications []manifest.Verification // known verifications, in any order
	NotRead       error                   // why verifications may be missing among them; nil if none can
}

// Build judges the facts of days and makes the report of the span; missing days were never listed. The days
// must come in ascending order. It returns the first error that comes with a day. It is a pure function.
func Build(days iter.Seq2[Facts, error], o Options) (*Report, error) {
	b := &builder{o: o, next: o.From, report: &Report{
		V: 1, Made: o.Now.UTC().Truncate(time.Second), TimeZone: o.Zone.String(), Filter: fieldsOf(o.Filter),
		Rules: Rules{
			SettleSeconds: int64(o.Settle / time.Second), PurgeAfterSeconds: int64(o.PurgeAfter / time.Second),
			GiveUpSeconds: int64(o.GiveUp / time.Second),
		},
		Total: Total{Counts: Counts{ByOutcome: map[manifest.Outcome]int{}}},
		Days:  []Day{}, Losses: []Loss{}, NeverIn: []Range{},
	}}
	if o.Why != nil {
		b.report.Missing = []MissingRecording{}
	}
	for f, err := range days {
		if err != nil {
			return nil, err
		}
		if f.LastLine.After(b.report.LastRun) {
			b.report.LastRun = f.LastLine.UTC()
		}
		if f.Known && b.report.FirstListed == "" {
			b.report.FirstListed = f.Day
		}
		if o.outside(f.Day) {
			continue
		}
		if err := b.fill(f.Day); err != nil {
			return nil, err
		}
		b.add(&f)
		b.next = after(f.Day)
	}
	if o.To == "" && b.next != "" {
		o.To = o.Until
	}
	if o.To != "" && b.next <= o.To {
		if err := b.fill(after(o.To)); err != nil {
			return nil, err
		}
	}
	return b.finish(), nil
}

// outside reports whether a day is not in the span.
func (o *Options) outside(day string) bool { return day < o.From || o.To != "" && day > o.To }

type builder struct {
	o      Options
	report *Report
	next   string // the next expected day, empty for any
}

// fill adds the days before until without facts.
func (b *builder) fill(until string) error {
	if b.next == "" {
		b.next = until
	}
	if b.next > until {
		return fmt.Errorf("build report: %s comes out of order", until)
	}
	for ; b.next < until; b.next = after(b.next) {
		b.add(&Facts{Day: b.next})
	}
	return nil
}

func (b *builder) add(f *Facts) {
	d := Day{Day: f.Day, Settled: b.o.Now.Sub(dayEnd(f.Day, b.o.Zone)) >= b.o.Settle}
	latest := f.latestListing(b.o.Filter)
	waiting := b.count(&d, f, latest)
	t := &b.report.Total
	t.Days++
	switch {
	case f.Closing != nil:
		d.State, d.Kept, d.Reasons = Closed, f.Closing.Kept, remarks(f.Closing)
		t.Closed++
		if f.Closing.Uncounted != 0 || f.Closing.Unlistable {
			t.Uncounted++
		}
	case !f.Known:
		d.State, d.Reasons = NeverListed, []Reason{{NotListed, "never listed"}}
		t.NeverListed++
		b.neverIn(d.Day)
	default:
		d.State, d.Reasons = Open, b.reasons(&d, f, latest, waiting)
		t.Open++
		if latest == nil || d.Settled && (!latest.isComplete() || b.isEarly(latest, d.Day)) {
			t.PartlyListed++
		}
	}
	if d.State != Closed && !d.Settled {
		d.Reasons = append(d.Reasons, Reason{NotSettled, "not settled yet"})
		t.Unsettled++
	}
	t.Counts.Add(d.Counts)
	b.notePurge(&d)
	b.report.Days = append(b.report.Days, d)
}

// isEarly reports whether the day could still change after the listing.
func (b *builder) isEarly(l *listing, day string) bool {
	return l.listed.Sub(dayEnd(day, b.o.Zone)) < b.o.Settle
}

// count counts the day and lists its losses. It returns the recordings that wait. In a closed day, a recording whose
// outcome is not final by itself was given up.
func (b *builder) count(d *Day, f *Facts, latest *listing) (waiting map[manifest.Outcome]int) {
	d.Counts = Counts{ByOutcome: map[manifest.Outcome]int{}, Bytes: f.Bytes}
	byOutcome := f.ByOutcome
	if f.Closing != nil {
		d.Calls, d.Bytes, byOutcome = f.Closing.Calls, f.Closing.Bytes, f.Closing.ByOutcome
	} else if latest != nil {
		d.Calls = latest.calls
	}
	for outcome, n := range byOutcome {
		d.ByOutcome[outcome] = n
		d.Recordings += n
		if !outcome.Final() && outcome != manifest.Lost {
			d.GivenUp += n
		}
	}
	waiting = map[manifest.Outcome]int{}
	for i := range f.Unarchived {
		u := &f.Unarchived[i]
		b.missing(f, u)
		switch {
		case f.Closing == nil && !u.final(b.o.GiveUp):
			waiting[u.Outcome]++
			d.Waiting++
			d.addWaiting(cmp.Or(u.Cause, string(u.Outcome)), 1)
			d.GivenUp--
		case len(b.report.Losses) < b.o.Losses:
			b.report.Losses = append(b.report.Losses, Loss{
				Day: f.Day, CallID: u.CallID, RecordingID: u.ID, Outcome: u.Outcome, Noted: u.Time.UTC(), Reason: cmp.Or(u.Reason, u.Cause),
			})
		}
	}
	return waiting
}

// missing lists an unarchived recording, if requested.
func (b *builder) missing(f *Facts, u *Unarchived) {
	if b.o.Why == nil {
		return
	}
	b.report.Missing = append(b.report.Missing, MissingRecording{
		Day: f.Day, CallID: u.CallID, RecordingID: u.ID, Outcome: u.Outcome, Final: f.Closing != nil || u.final(b.o.GiveUp),
		Cause: u.Cause, Reason: b.o.Why(u.State), Noted: u.Time.UTC(),
	})
}

// Add adds the figures of other to c, whose map must not be nil.
func (c *Counts) Add(other Counts) {
	c.Calls += other.Calls
	c.Recordings += other.Recordings
	for outcome, n := range other.ByOutcome {
		c.ByOutcome[outcome] += n
	}
	c.Waiting += other.Waiting
	for cause, n := range other.WaitingBy {
		c.addWaiting(cause, n)
	}
	c.GivenUp += other.GivenUp
	c.Bytes += other.Bytes
}

func (c *Counts) addWaiting(cause string, n int) {
	if c.WaitingBy == nil {
		c.WaitingBy = map[string]int{}
	}
	c.WaitingBy[cause] += n
}

// notePurge counts a day that has, or may have, unarchived recordings that the vendor still has.
func (b *builder) notePurge(d *Day) {
	mayMiss := []Code{NotListed, Filtered, Partial, NotWhole, ListedEarly, Empty, Waiting, Reopened, BadLine}
	if !slices.ContainsFunc(d.Reasons, func(r Reason) bool { return slices.Contains(mayMiss, r.Code) }) {
		return
	}
	// The day's first calls are deleted first.
	left := dayStart(d.Day, b.o.Zone).Add(b.o.PurgeAfter).Sub(b.o.Now)
	days := int(math.Floor(left.Hours() / 24))
	if b.report.Purge == nil {
		b.report.Purge = &Purge{Oldest: d.Day, DaysLeft: days}
	}
	p := b.report.Purge
	switch {
	case left <= 0:
		p.Past++
	case p.Next == "":
		p.Next, p.NextDaysLeft = d.Day, days
	}
}

func (b *builder) finish() *Report {
	r := b.report
	r.From, r.To = b.o.From, b.o.To
	if len(r.Days) > 0 {
		r.From, r.To = r.Days[0].Day, r.Days[len(r.Days)-1].Day
	}
	r.Verified = verified(b.o.Verifications, r.Days, b.o.Zone)
	if b.o.NotRead != nil {
		r.VerifiedUnreadable = unreadable(b.o.NotRead)
	}
	lost := r.Total.ByOutcome[manifest.Lost]
	r.Omitted = max(0, lost+r.Total.GivenUp-len(r.Losses))
	isDone := r.Total.Closed+r.Total.Unsettled == r.Total.Days
	r.Complete = isDone && len(r.Days) > 0 && lost+r.Total.GivenUp+r.Total.Uncounted == 0
	return r
}

func (b *builder) neverIn(day string) {
	runs := b.report.NeverIn
	if n := len(runs); n > 0 && after(runs[n-1].To) == day {
		runs[n-1].To = day
	} else {
		b.report.NeverIn = append(runs, Range{From: day, To: day})
	}
}

// after returns the day after a day.
func after(day string) string {
	t, _ := time.Parse(time.DateOnly, day) // days of ledger and span are valid dates
	return t.AddDate(0, 0, 1).Format(time.DateOnly)
}

func dayStart(day string, zone *time.Location) time.Time {
	t, _ := time.ParseInLocation(time.DateOnly, day, zone) // likewise
	return t
}

func dayEnd(day string, zone *time.Location) time.Time { return dayStart(after(day), zone) }
