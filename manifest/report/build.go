package report

import (
	"fmt"
	"iter"
	"maps"
	"math"
	"slices"
	"strings"
	"time"

	"convoso-archiver/manifest"
)

// AllLosses is the value of Options.Losses for no limit.
const AllLosses = math.MaxInt

// Options say how to judge.
type Options struct {
	Now        time.Time
	Zone       *time.Location // the account's
	From, To   string         // the span as 2006-01-02, both included; empty: from the first, to the last day known
	Settle     time.Duration  // a day may change until this long after its end
	PurgeAfter time.Duration  // age at which the vendor deletes audio
	GiveUp     time.Duration  // a recording that waits longer is final as it is
	Losses     int            // most losses to list
}

// Build judges the facts of days and makes the report of the span; days that are missing among them were
// never listed. The days must come in ascending order. It returns the first error that comes with a day. It
// does nothing but compute.
func Build(days iter.Seq2[Facts, error], o Options) (*Report, error) {
	b := newBuilder(o)
	for f, err := range days {
		if err != nil {
			return nil, err
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
	if o.To != "" {
		if err := b.fill(after(o.To)); err != nil {
			return nil, err
		}
	}
	return b.finish(), nil
}

// outside reports whether a day is not in the span.
func (o *Options) outside(day string) bool {
	return o.From != "" && day < o.From || o.To != "" && day > o.To
}

type builder struct {
	o      Options
	report *Report
	next   string // the day that is due, empty when any may come
}

func newBuilder(o Options) *builder {
	return &builder{o: o, next: o.From, report: &Report{
		V: 1, Made: o.Now.UTC().Truncate(time.Second), TimeZone: o.Zone.String(),
		Rules: Rules{
			SettleSeconds: int64(o.Settle / time.Second), PurgeAfterSeconds: int64(o.PurgeAfter / time.Second),
			GiveUpSeconds: int64(o.GiveUp / time.Second),
		},
		Total: Total{Counts: Counts{ByOutcome: map[manifest.Outcome]int{}}},
		Days:  []Day{}, Losses: []Loss{}, NeverIn: []Range{},
	}}
}

// fill adds the days before until that no facts came for.
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
	d := Day{Day: f.Day, Settled: b.o.Now.Sub(dayEnd(f.Day, b.o.Zone)) >= b.o.Settle, Reasons: []Reason{}}
	switch {
	case f.closed():
		d.State = Closed
		d.countClosed(f.Closing)
	case !f.Noted:
		d.State = NeverListed
		d.Counts.ByOutcome = map[manifest.Outcome]int{}
	default:
		d.State = Open
		b.countOpen(&d, f)
	}
	if d.State != Closed {
		d.Reasons = b.reasons(&d, f)
	}
	b.listLosses(f)
	b.sum(&d)
	b.notePurge(&d)
	b.report.Days = append(b.report.Days, d)
}

// countClosed takes the counts of the day line. What is not final in a closed day was given up.
func (d *Day) countClosed(line *manifest.DayLine) {
	d.Counts = Counts{Calls: line.Calls, Recordings: line.Recordings, ByOutcome: maps.Clone(line.ByOutcome), Bytes: line.Bytes}
	if d.ByOutcome == nil {
		d.ByOutcome = map[manifest.Outcome]int{}
	}
	for outcome, n := range line.ByOutcome {
		if !outcome.Final() {
			d.GivenUp += n
		}
	}
}

func (b *builder) countOpen(d *Day, f *Facts) {
	d.Counts = Counts{ByOutcome: maps.Clone(f.ByOutcome), Bytes: f.Bytes}
	if d.ByOutcome == nil {
		d.ByOutcome = map[manifest.Outcome]int{}
	}
	for _, n := range f.ByOutcome {
		d.Recordings += n
	}
	for i := range f.Unarchived {
		u := &f.Unarchived[i]
		switch {
		case !u.final(b.o.GiveUp):
			d.Waiting++
		case u.Outcome != manifest.Lost:
			d.GivenUp++
		}
	}
	if latest, found := f.latestListing(); found {
		d.Calls = latest.calls
	}
}

// listLosses lists the recordings of the day that are final without being archived.
func (b *builder) listLosses(f *Facts) {
	for i := range f.Unarchived {
		u := &f.Unarchived[i]
		if !f.closed() && !u.final(b.o.GiveUp) {
			continue
		}
		if len(b.report.Losses) >= b.o.Losses {
			return
		}
		b.report.Losses = append(b.report.Losses, Loss{
			Day: f.Day, CallID: u.CallID, RecordingID: u.RecordingID, Outcome: u.Outcome, Noted: u.Time.UTC(), Reason: u.Reason,
		})
	}
}

func (b *builder) sum(d *Day) {
	t := &b.report.Total
	t.Days++
	switch d.State {
	case Closed:
		t.Closed++
	case Open:
		t.Open++
	case NeverListed:
		t.NeverListed++
		b.report.NeverIn = appendDay(b.report.NeverIn, d.Day)
	}
	if d.State != Closed && !d.Settled {
		t.Unsettled++
	}
	t.Counts.Add(d.Counts)
}

// Add adds the figures of other to c, whose map must not be nil.
func (c *Counts) Add(other Counts) {
	c.Calls += other.Calls
	c.Recordings += other.Recordings
	for outcome, n := range other.ByOutcome {
		c.ByOutcome[outcome] += n
	}
	c.Waiting += other.Waiting
	c.GivenUp += other.GivenUp
	c.Bytes += other.Bytes
}

// notePurge takes the day into account where recordings are, or may be, not archived and still to be had.
func (b *builder) notePurge(d *Day) {
	if !slices.ContainsFunc(d.Reasons, func(r Reason) bool { return r.Code.mayMiss() }) {
		return
	}
	// The day's first calls are the first to go.
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

// mayMiss reports whether a day with this reason may hold recordings that are not archived.
func (c Code) mayMiss() bool {
	switch c {
	case NotListed, Filtered, Partial, NotWhole, Waiting, Contradicted, BadLine:
		return true
	}
	return false
}

func (b *builder) finish() *Report {
	r := b.report
	r.From, r.To = b.o.From, b.o.To
	if len(r.Days) > 0 {
		r.From, r.To = r.Days[0].Day, r.Days[len(r.Days)-1].Day
	}
	lost := r.Total.ByOutcome[manifest.Lost]
	r.Omitted = max(0, lost+r.Total.GivenUp-len(r.Losses))
	undone := slices.ContainsFunc(r.Days, func(d Day) bool { return d.State != Closed && d.Settled })
	r.Complete = len(r.Days) > 0 && !undone && lost+r.Total.GivenUp == 0
	return r
}

// reasons returns why a day is not closed.
func (b *builder) reasons(d *Day, f *Facts) []Reason {
	list := []Reason{}
	add := func(code Code, format string, a ...any) {
		list = append(list, Reason{Code: code, Text: fmt.Sprintf(format, a...)})
	}
	if d.State == NeverListed {
		add(NotListed, "never listed")
	}
	if !d.Settled {
		add(NotSettled, "it may still change")
	}
	if d.State == NeverListed {
		return list
	}
	if f.Bad != nil {
		add(BadLine, "line %d of %s cannot be read (%s): run verify --repair", f.Bad.Line, f.Bad.File, f.Bad.Reason)
	}
	if f.Reopened {
		add(Reopened, "lines were added after it was closed")
	}
	if f.Contradicted {
		add(Contradicted, "its day line does not agree with the lines before it: run verify")
	}
	latest, found := f.latestListing()
	switch {
	case !found && f.filter() != "":
		add(Filtered, "%s", f.filterText())
	case !found:
		add(NotListed, "no listing of it was finished")
	case !latest.coversTheDay:
		add(Partial, "listed only from %s to %s", latest.from, latest.to)
	case !latest.whole:
		add(NotWhole, "the listing is not whole: %d rows, and the API named %d", latest.rows, latest.total)
	}
	if d.Waiting > 0 {
		add(Waiting, "%s", b.waitingText(d, f))
	}
	if len(list) == 0 {
		add(LeftOpen, "all that is known of it is final, and no run has closed it since")
	}
	return list
}

// filter returns the filter that the day was closed or listed for, empty for none.
func (f *Facts) filter() string {
	if f.Closing != nil {
		return f.Closing.Filter
	}
	for _, w := range slices.Backward(f.Windows) {
		if w.Filter != "" {
			return w.Filter
		}
	}
	return ""
}

// filterText names the fields of the filter, not their values, which may be a person's.
func (f *Facts) filterText() string {
	var fields []string
	for part := range strings.SplitSeq(f.filter(), "&") {
		name, _, _ := strings.Cut(part, "=")
		fields = append(fields, name)
	}
	done := "listed"
	if f.Closing != nil {
		done = "closed"
	}
	return done + " only for a filter on " + strings.Join(fields, ", ")
}

// waitingText counts the recordings that wait by outcome.
func (b *builder) waitingText(d *Day, f *Facts) string {
	counts := map[manifest.Outcome]int{}
	for i := range f.Unarchived {
		if u := &f.Unarchived[i]; !u.final(b.o.GiveUp) {
			counts[u.Outcome]++
		}
	}
	var parts []string
	for _, outcome := range slices.Sorted(maps.Keys(counts)) {
		parts = append(parts, fmt.Sprintf("%d %s", counts[outcome], outcome))
	}
	verb := "recordings wait"
	if d.Waiting == 1 {
		verb = "recording waits"
	}
	return fmt.Sprintf("%d %s (%s)", d.Waiting, verb, strings.Join(parts, ", "))
}

// appendDay adds a day to runs of days.
func appendDay(runs []Range, day string) []Range {
	if n := len(runs); n > 0 && after(runs[n-1].To) == day {
		runs[n-1].To = day
		return runs
	}
	return append(runs, Range{From: day, To: day})
}

// after returns the day after a day.
func after(day string) string {
	t, _ := time.Parse(time.DateOnly, day) // days of ledger and span are dates
	return t.AddDate(0, 0, 1).Format(time.DateOnly)
}

func dayStart(day string, zone *time.Location) time.Time {
	t, _ := time.ParseInLocation(time.DateOnly, day, zone) // likewise
	return t
}

func dayEnd(day string, zone *time.Location) time.Time { return dayStart(after(day), zone) }
