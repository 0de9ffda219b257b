// Estimates the cost of archiving from the counts of a dry run.

package archiver

import (
	"maps"
	"slices"
	"time"

	"convoso-archiver/fetcher"
)

// Estimate holds the counts of a dry run, and what archiving would take. If the run did not count
// everything, it covers only what was counted.
type Estimate struct {
	Months []MonthCount `json:"months"` // that were counted, ascending
	// FirstCall is the oldest listed day with calls, "" for none.
	FirstCall fetcher.Date `json:"first_call"`
	// DaysBefore is the number of days before the first call, of which the dry run knows only the total. They count as
	// listed, and not in the requests and hours.
	DaysBefore int `json:"days_before_first_call"`
	// PastPurgeDays have recordings to fetch and are older than --purge-after.
	PastPurgeDays int `json:"past_purge_days"`
	// HoursAt3 and HoursAt10 are the hours for the requests for all recordings at 3 and 10 per second, but at least
	// HoursListing.
	HoursAt3     float64 `json:"hours_at_3_per_second"`
	HoursAt10    float64 `json:"hours_at_10_per_second"`
	HoursListing float64 `json:"hours_listing"` // for the pages, at the maximum rate; 0 without a maximum

	APIRequests   int64       `json:"api_requests"`   // set by CountPages
	MediaRequests int64       `json:"media_requests"` // one for each recording to fetch
	S3            *S3Requests `json:"s3,omitempty"`   // of an archive in S3
}

// MonthCount counts the days of one month.
type MonthCount struct {
	Month      string `json:"month"` // 2025-05
	Days       int    `json:"days"`  // listed
	Calls      int    `json:"calls"`
	Recordings int    `json:"recordings"`
	ToFetch    int    `json:"to_fetch"`
	Bytes      int64  `json:"bytes"`      // of recordings to fetch, by the length of their calls
	PastPurge  int    `json:"past_purge"` // recordings to fetch on days older than --purge-after, which the vendor has probably deleted
}

// S3Requests counts requests to S3 by kind. They are rough estimates.
type S3Requests struct {
	Puts  int64 `json:"puts"`
	Lists int64 `json:"lists"`
	Gets  int64 `json:"gets"` // including HEAD, which costs the same
}

// CountPages sets the number of API requests that the dry run made, and the maximum rate per second, 0 for none. A run
// makes the same number again, in parallel with the downloads, so the longer of the two times counts.
func (e *Estimate) CountPages(requests int64, perSecond float64) {
	e.APIRequests = requests
	if perSecond <= 0 {
		return
	}
	e.HoursListing = float64(requests) / perSecond / 3600
	e.HoursAt3, e.HoursAt10 = max(e.HoursAt3, e.HoursListing), max(e.HoursAt10, e.HoursListing)
}

// Total returns the sum of the months, without a month name.
func (e *Estimate) Total() (total MonthCount) {
	for _, m := range e.Months {
		total.Days += m.Days
		total.Calls += m.Calls
		total.Recordings += m.Recordings
		total.ToFetch += m.ToFetch
		total.Bytes += m.Bytes
		total.PastPurge += m.PastPurge
	}
	return total
}

// counted is what a dry run counts, by month. The caller must hold a lock.
type counted struct {
	months        map[string]*MonthCount
	firstCall     fetcher.Date
	pastPurgeDays int
	daysBefore    int
}

func (c *counted) month(day fetcher.Date) *MonthCount {
	name := string(day)[:len("2006-01")]
	if c.months == nil {
		c.months = map[string]*MonthCount{}
	}
	if c.months[name] == nil {
		c.months[name] = &MonthCount{Month: name}
	}
	return c.months[name]
}

// countListed counts a completely listed day.
func (t *tally) countListed(date fetcher.Date, calls int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.summary.DaysListed++
	t.summary.Calls += calls
	if t.summary.DryRun {
		m := t.counted.month(date)
		m.Days++
		m.Calls += calls
		if first := t.counted.firstCall; calls > 0 && (first == "" || date < first) {
			t.counted.firstCall = date
		}
	}
}

// countBefore counts a day before the first call, which is not listed.
func (t *tally) countBefore(date fetcher.Date) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.summary.DaysListed++
	t.counted.month(date).Days++
	t.counted.daysBefore++
	t.left--
}

func (t *tally) countRecording(date fetcher.Date) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.summary.Recordings++
	if t.summary.DryRun {
		t.counted.month(date).Recordings++
	}
}

// countToFetch counts a recording of a dry run that would be fetched.
func (t *tally) countToFetch(d *day, bytes int64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.summary.ToFetch++
	t.summary.EstimatedBytes += bytes
	m := t.counted.month(d.date)
	m.ToFetch++
	m.Bytes += bytes
	if !d.expired {
		return
	}
	m.PastPurge++
	if !d.pastPurge {
		d.pastPurge = true
		t.counted.pastPurgeDays++
	}
}

// The requests to S3 for each day that is listed and closed, counted on a real server, and for lines.
const (
	putsOfDay  = 3 // calls, lines, closed.json
	listsOfDay = 5
	getsOfDay  = 5

	callsOfSegment      = 1000 // rows of 1 kB in a segment of 1 MiB
	recordingsOfSegment = 2500
	segmentEvery        = 15 * time.Second // at the latest, while recordings arrive
)

// estimate returns what it would take to archive what was counted.
func (c *counted) estimate(toS3 bool) *Estimate {
	e := &Estimate{Months: []MonthCount{}, FirstCall: c.firstCall, PastPurgeDays: c.pastPurgeDays, DaysBefore: c.daysBefore}
	for _, name := range slices.Sorted(maps.Keys(c.months)) {
		e.Months = append(e.Months, *c.months[name])
	}
	total := e.Total()
	e.MediaRequests = int64(total.ToFetch)
	e.HoursAt3, e.HoursAt10 = float64(total.ToFetch)/3/3600, float64(total.ToFetch)/10/3600
	if toS3 {
		days := int64(total.Days - c.daysBefore)
		segments := int64(total.Calls/callsOfSegment + total.Recordings/recordingsOfSegment)
		inTime := int64(time.Duration(e.HoursAt3*float64(time.Hour)) / segmentEvery)
		e.S3 = &S3Requests{
			Puts:  int64(total.ToFetch) + putsOfDay*days + segments + inTime,
			Lists: listsOfDay * days,
			Gets:  getsOfDay*days + segments + inTime,
		}
	}
	return e
}
