package archiver

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"convoso-archiver/manifest"
)

const (
	hour      = time.Hour
	dayLength = 24 * time.Hour
)

// judgedAt is the time of the table's verdicts; its days ended ten days earlier.
var judgedAt = time.Date(2025, 5, 12, 9, 0, 0, 0, time.UTC)

// settledFacts are the facts of a day that closes: settled, listed whole, one recording archived.
func settledFacts() facts {
	f := facts{
		Rules: rules{Settle: 48 * hour, PurgeAfter: 155 * dayLength, GiveUp: 14 * dayLength},
		Now:   judgedAt, Trusted: true, End: judgedAt.Add(-10 * dayLength), Entire: true,
		Listing: &listing{
			ID: "run.1", At: judgedAt, Settled: true, Whole: true, Complete: true,
			Rows: 10, Total: 10, Counted: 10, Calls: 10, Recordings: 1, CallsSHA256: "all",
		},
		Known: 1, Hosts: map[string]hostFacts{},
	}
	return f
}

// stored is a recording that is archived and not listed.
func stored(id string) recordingFacts {
	return recordingFacts{ID: id, Noted: true, State: manifest.State{Outcome: manifest.Archived, Final: true, Key: id}}
}

// waiting is a recording with a cause in this run, the given time since it was first listed, and
// the given number of runs that refused it.
func waiting(id, cause string, since time.Duration, refusals int) recordingFacts {
	r := recordingFacts{
		ID: id, Noted: true, Listed: true, Refused: true, Cause: cause, Host: "media", Moment: 5,
		State: manifest.State{
			Outcome: manifest.Failed, Cause: cause, Reason: cause, FirstSeen: judgedAt.Add(-since), Time: judgedAt,
			History: manifest.History{Since: judgedAt.Add(-since), Refusals: refusals},
		},
	}
	switch cause {
	case causeNotFound:
		r.State.Outcome = manifest.Pending
		r.State.NotFounds, r.State.NotFoundSince, r.State.LastNotFound = 1, judgedAt, judgedAt
	case causeNoLink, causeNameless, causeHost, causeBadLink:
		r.State.Outcome, r.Host = manifest.Pending, ""
		r.Nameless = cause == causeNameless
	}
	return r
}

// twice is a recording that was already not found the given time ago, by the link of another
// listing.
func twice(id string, before time.Duration) recordingFacts {
	r := waiting(id, causeNotFound, before, 2)
	r.State.NotFounds, r.State.NotFoundSince = 2, judgedAt.Add(-before)
	return r
}

// earlier is a listing like that of the facts, the given time ago.
func earlier(f *facts, ago time.Duration) listing {
	e := *f.Listing
	e.At = judgedAt.Add(-ago)
	e.Settled = e.At.Sub(f.End) >= f.Rules.Settle
	return e
}

// well makes the facts say that the host delivered good audio after the refusals of the table.
var well = hostFacts{Good: 6, AnyGood: 6, Ever: true}

// expired makes the day older than the vendor keeps audio.
func expired(f *facts) { f.End = f.Now.Add(-156 * dayLength) }

// String returns the verdict in words: "close" or "open", the lines, then the needs in brackets.
func (v *verdicts) String() string {
	words := []string{"open"}
	if v.Close {
		words[0] = "close"
	}
	for _, l := range v.Lines {
		words = append(words, l.ID+"="+string(l.Outcome))
	}
	n := v.Needs
	for _, need := range []struct {
		is   bool
		name string
	}{{n.Rows, "rows"}, {n.Recorded, "recorded"}, {n.Control, "control"}, {n.Delivered, "delivered"}, {n.Elsewhere, "elsewhere"}} {
		if need.is {
			words = append(words, "["+need.name+"]")
		}
	}
	for _, host := range n.Media {
		words = append(words, "[media "+host+"]")
	}
	for _, id := range n.Search {
		words = append(words, "[search "+id+"]")
	}
	for _, fact := range []struct {
		name string
		n    int
	}{{"stray", v.Stray}, {"unlisted", v.Unlisted}, {"uncounted", v.Uncounted}, {"missing", v.Missing}} {
		if fact.n != 0 {
			words = append(words, fmt.Sprintf("%s:%d", fact.name, fact.n))
		}
	}
	for name, is := range map[string]bool{"unwitnessed": v.Unwitnessed, "unlistable": v.Unlistable, "excused": v.Excused} {
		if is {
			words = append(words, name)
		}
	}
	return strings.Join(words, " ")
}

// TestJudge has a case for each sentence of the contract about closing days and about the outcomes
// of recordings. A case takes the facts of a day that closes and changes one of them.
func TestJudge(t *testing.T) {
	for _, test := range judgeTable() {
		t.Run(test.name, func(t *testing.T) {
			f := settledFacts()
			test.change(&f)
			v := judge(f)
			if got := v.String(); got != test.want {
				t.Errorf("got  %s\nwant %s\nreasons: %q", got, test.want, v.Reasons)
			}
			text := strings.Join(v.Reasons, "; ")
			if test.reason == "" && !v.Close && !v.Needs.any() && !f.Personal && f.Entire && f.Listing != nil {
				t.Errorf("the day stays open, and the row names no reason: %s", text)
			}
			if !strings.Contains(text, test.reason) {
				t.Errorf("reasons %q, want %q", text, test.reason)
			}
			if v.Close && len(v.Reasons) > 0 {
				t.Errorf("closed with reasons %q", v.Reasons)
			}
			sorted := slices.Clone(v.Reasons)
			slices.Sort(sorted)
			if len(slices.Compact(sorted)) != len(v.Reasons) {
				t.Errorf("a reason is told twice: %q", v.Reasons)
			}
			if text := strings.Join(v.Warnings, "; "); text != test.warning {
				t.Errorf("warnings %q, want %q", text, test.warning)
			}
		})
	}
}

type judgeRow struct {
	name   string
	change func(*facts)
	want   string
	reason string
	// warning returns all warnings of the verdict.
	warning string
}

func judgeTable() []judgeRow {
	return slices.Concat(believedRows(), emptyRows(), missingRows(), totalRows(), strayRows(), notFoundRows(), giveUpRows(), damagedRows())
}

// believedRows: can the listing be trusted?
func believedRows() []judgeRow {
	open := func(want, reason string, change func(*facts)) judgeRow {
		return judgeRow{reason + ": " + want, change, want, reason, ""}
	}
	return []judgeRow{
		{"all is well", func(*facts) {}, "close", "", ""},
		open("open", reasonUnsettled, func(f *facts) { f.End = f.Now.Add(-48*hour + time.Second) }),
		{"it has just settled", func(f *facts) { f.End = f.Now.Add(-48 * hour) }, "close", "", ""},
		open("open", reasonUnsettled, func(f *facts) { f.Cut = true }),
		open("open", "clock", func(f *facts) { f.Trusted = false }),
		{"a part of the day closes nothing", func(f *facts) { f.Entire = false }, "open", "", ""},
		{"a filtered listing closes the day for its filter", func(f *facts) { f.Filter = "campaign_id=7" }, "close", "", ""},
		{"a filtered listing that is not whole closes nothing", func(f *facts) {
			f.Filter, f.Listing.Whole, f.Listing.Total = "campaign_id=7", false, 50
		}, "open", "not proved complete", ""},
		{"a filtered listing closes nothing while what it listed waits", func(f *facts) {
			f.Filter = "campaign_id=7"
			f.Recordings = []recordingFacts{waiting("a", causeNoLink, dayLength, 1)}
		}, "open", "no link yet", ""},
		{"a filter by number or name closes nothing", func(f *facts) { f.Filter, f.Personal = "phone_number=sha256:00", true }, "open", "", ""},
		{"no listing closes nothing", func(f *facts) { f.Listing = nil }, "open", "", ""},
		open("open", "cannot be understood", func(f *facts) { f.Listing, f.Failure = nil, "the answer cannot be understood" }),
		open("open", "rows cannot be read (3 times)", func(f *facts) { f.Listing.Doubts = []doubt{{"rows cannot be read", 3}} }),
		open("open", "recordings not stored: 2", func(f *facts) { f.Unsaved = 2 }),
		open("open", "skipped in this run", func(f *facts) { f.Aside = "skipped in this run" }),
		{"a day set aside decides nothing", func(f *facts) {
			f.Aside = "skipped in this run"
			f.Recordings = []recordingFacts{twice("a", 25*hour)}
			f.Hosts["media"] = well
		}, "open", "waiting recordings: 1", ""},
		{"a recording that was not worked waits", func(f *facts) {
			f.Recordings = []recordingFacts{{ID: "a", Listed: true}}
		}, "open", "not tried yet", ""},
		{"a recording of a call in progress waits on a settled day", func(f *facts) {
			f.Recordings = []recordingFacts{waiting("a", causeNoLink, dayLength, 1)}
		}, "open", "no link yet", ""},
		{"a filtered run does not count what it did not list", func(f *facts) {
			f.Filter = "campaign_id=7"
			r := waiting("a", causeNoLink, dayLength, 1)
			r.Listed = false
			f.Recordings = []recordingFacts{r}
		}, "close", "", ""},
		{"an unfiltered run counts what waits and is not listed", func(f *facts) {
			r := waiting("a", causeNoLink, dayLength, 1)
			r.Listed, f.LookedUp = false, yes
			f.Recordings = []recordingFacts{r}
		}, "open missing:1", "waiting recordings: 1", ""},
		{"what is listed under another day waits there", func(f *facts) {
			r := waiting("a", causeNoLink, dayLength, 1)
			r.Listed, r.Elsewhere, r.Stored = false, true, no
			f.Recordings = []recordingFacts{r}
		}, "close a=pending", "", ""},
		{"each reason once, with a count", func(f *facts) {
			f.Recordings = []recordingFacts{waiting("a", causeNoLink, dayLength, 1), waiting("b", causeNoLink, dayLength, 1)}
		}, "open", "waiting recordings: 2 (no link yet)", ""},
	}
}

// emptyRows: no calls, or no recordings: the API witness.
func emptyRows() []judgeRow {
	empty := func(change func(*facts)) func(*facts) {
		return func(f *facts) {
			l := f.Listing
			l.Rows, l.Total, l.Counted, l.Calls, l.Recordings, l.CallsSHA256 = 0, 0, 0, 0, 0, ""
			f.Known = 0
			change(f)
		}
	}
	bare := func(change func(*facts)) func(*facts) {
		return func(f *facts) {
			f.Listing.Recordings, f.Known = 0, 0
			change(f)
		}
	}
	return []judgeRow{
		{"no calls: a witness is needed", empty(func(*facts) {}), "open [rows]", "", ""},
		{"no calls, with a witness: the total around is needed", empty(func(f *facts) { f.Rows = yes }), "open [control]", "", ""},
		{"no calls, with witness and total", empty(func(f *facts) { f.Rows, f.Control = yes, yes }), "close", "", ""},
		{"no calls, and the total disagrees", empty(func(f *facts) { f.Rows, f.Control = yes, no }), "open", "a second listing", ""},
		{"no calls, listed twice", empty(func(f *facts) {
			f.Rows, f.Earlier = yes, []listing{earlier(f, 24*hour)}
		}), "close", "", ""},
		{"no calls, listed twice within a day, and judged hours later", empty(func(f *facts) {
			f.Listing.At = f.Now.Add(-5 * hour)
			f.Rows, f.Control, f.Earlier = yes, no, []listing{earlier(f, 28*hour)}
		}), "open", "a second listing", ""},
		{"no calls, listed twice within a day", empty(func(f *facts) {
			f.Rows, f.Control, f.Earlier = yes, no, []listing{earlier(f, 24*hour-time.Second)}
		}), "open", "a second listing", ""},
		{"no calls, the first listing was of the unsettled day", empty(func(f *facts) {
			e := earlier(f, 9*dayLength)
			e.Settled, e.Cut = false, true
			f.Rows, f.Earlier = yes, []listing{e}
		}), "close", "", ""},
		{"no calls, the first listing had some", empty(func(f *facts) {
			e := earlier(f, 25*hour)
			e.Calls = 3
			f.Rows, f.Control, f.Earlier = yes, no, []listing{e}
		}), "open", "a second listing", ""},
		{"no calls, the first listing was not whole", empty(func(f *facts) {
			e := earlier(f, 25*hour)
			e.Whole = false
			f.Rows, f.Control, f.Earlier = yes, no, []listing{e}
		}), "open", "a second listing", ""},
		{"no calls, and none in a year, of a new account", empty(func(f *facts) { f.Rows = no }), "open excused", "no call for this day or any other day", ""},
		{"no calls, and none in a year, where there were some", empty(func(f *facts) { f.Rows, f.RowsEver = no, true }), "open", "no call for this day or any other day", ""},
		{"no calls, and the control query failed", empty(func(f *facts) { f.Rows = unknowable }), "open", "a request for another day", ""},
		{"no calls of a filter, which lists calls of other days", empty(func(f *facts) { f.Filter, f.Rows, f.Filtered = "campaign_id=7", yes, true }), "close", "", ""},
		{"no calls of a filter, which lists none at all", empty(func(f *facts) { f.Filter, f.Rows = "campaign_id=7", yes }), "open", "a second listing", ""},
		{"no calls of a filter, listed twice", empty(func(f *facts) {
			f.Filter, f.Rows, f.Earlier = "campaign_id=7", yes, []listing{earlier(f, 24*hour)}
		}), "close", "", ""},
		{"without a filter, its own listings of other days are not enough", empty(func(f *facts) { f.Rows, f.Filtered, f.Control = yes, true, no }), "open", "a second listing", ""},
		{"a filter lists fewer calls than before", func(f *facts) {
			f.Filter, f.Earlier = "campaign_id=7", []listing{earlier(f, 25*hour)}
			f.Listing.Calls, f.Listing.CallsSHA256 = 9, "fewer"
		}, "open", "fewer calls than before", ""},
		{"a filter lists fewer recordings than before", func(f *facts) {
			f.Filter, f.Listing.Recordings = "campaign_id=7", 2
			f.Earlier = []listing{earlier(f, 25*hour)}
			f.Listing.Recordings = 1
		}, "open", "fewer calls than before", ""},
		{"a filter lists fewer than before, twice", func(f *facts) {
			f.Filter, f.Earlier = "campaign_id=7", []listing{earlier(f, 48*hour)}
			f.Listing.Calls, f.Listing.CallsSHA256 = 9, "fewer"
			f.Earlier = append(f.Earlier, earlier(f, 24*hour))
		}, "close", "", ""},
		{"a filter lists fewer than before, twice within a day", func(f *facts) {
			f.Filter, f.Earlier = "campaign_id=7", []listing{earlier(f, 48*hour)}
			f.Listing.Calls, f.Listing.CallsSHA256 = 9, "fewer"
			f.Earlier = append(f.Earlier, earlier(f, 24*hour-time.Second))
		}, "open", "fewer calls than before", ""},
		{"a filter lists fewer than before, and other calls the second time", func(f *facts) {
			f.Filter, f.Earlier = "campaign_id=7", []listing{earlier(f, 48*hour)}
			f.Listing.Calls, f.Listing.CallsSHA256 = 9, "others"
			f.Earlier = append(f.Earlier, earlier(f, 24*hour))
			f.Listing.CallsSHA256 = "fewer"
		}, "open", "fewer calls than before", ""},
		{"no calls of a filter: a witness is needed", empty(func(f *facts) { f.Filter = "campaign_id=7" }), "open [rows]", "", ""},
		{"no calls of a day not settled: nothing is asked", empty(func(f *facts) { f.End = f.Now }), "open", reasonUnsettled, ""},
		{"no calls of a day cut by the present: nothing is asked", empty(func(f *facts) { f.Cut = true }), "open", reasonUnsettled, ""},
		{"no calls by clocks that disagree: nothing is asked", empty(func(f *facts) { f.Trusted = false }), "open", "clock", ""},
		{"no calls of a part of a day: nothing is asked", empty(func(f *facts) { f.Entire = false }), "open", "", ""},
		{"no recordings: a witness is needed", bare(func(*facts) {}), "open [recorded]", "", ""},
		{"no recordings, with a witness", bare(func(f *facts) { f.Recorded = yes }), "close", "", ""},
		{"no recordings of a filter, with a witness", bare(func(f *facts) { f.Filter, f.Recorded = "campaign_id=7", yes }), "close", "", ""},
		{"no recordings, and the control query failed", bare(func(f *facts) { f.Recorded = unknowable }), "open", "a request for another day", ""},
		{"no recordings in a year, listed on two days", bare(func(f *facts) {
			f.Recorded, f.Earlier = no, []listing{earlier(f, 24*hour), earlier(f, 25*hour)}
		}), "open", "2 of 3 listings on different days", ""},
		{"no recordings in a year, listed on three days", bare(func(f *facts) {
			f.Recorded, f.Earlier = no, []listing{earlier(f, 48*hour), earlier(f, 24*hour)}
		}), "close unwitnessed", "", ""},
		{"no recordings in a year, where the archive knows some", bare(func(f *facts) {
			f.Recorded, f.RecordedYet, f.Earlier = no, true, []listing{earlier(f, 48*hour), earlier(f, 24*hour)}
		}), "open", "the API lists calls without recordings", ""},
		{"no recordings in a year, one listing had one", bare(func(f *facts) {
			f.Recorded, f.Earlier = no, []listing{earlier(f, 48*hour), earlier(f, 24*hour)}
			f.Earlier[0].Recordings = 1
		}), "open", "2 of 3", ""},
		{"no recordings in a year, one listing was not whole", bare(func(f *facts) {
			f.Recorded, f.Earlier = no, []listing{earlier(f, 48*hour), earlier(f, 24*hour)}
			f.Earlier[0].Whole = false
		}), "open", "2 of 3", ""},
		{"no recordings in a year, one listing was of the unsettled day", bare(func(f *facts) {
			f.Recorded, f.Earlier = no, []listing{earlier(f, 48*hour), earlier(f, 24*hour)}
			f.Earlier[0].Settled = false
		}), "open", "2 of 3", ""},
		{"no recordings in a year, one listing was cut", bare(func(f *facts) {
			f.Recorded, f.Earlier = no, []listing{earlier(f, 48*hour), earlier(f, 24*hour)}
			f.Earlier[0].Cut = true
		}), "open", "2 of 3", ""},
		{"no recordings in a year, one listing had no call", bare(func(f *facts) {
			f.Recorded, f.Earlier = no, []listing{earlier(f, 48*hour), earlier(f, 24*hour)}
			f.Earlier[0].Calls = 0
		}), "open", "2 of 3", ""},
	}
}

// missingRows: fewer than before.
func missingRows() []judgeRow {
	lacking := func(n, known int, change func(*facts)) func(*facts) {
		return func(f *facts) {
			f.LookedUp, f.Recorded, f.Known = yes, yes, known
			var ids []string
			for i := range n {
				id := fmt.Sprint("r", i)
				ids = append(ids, id)
				f.Recordings = append(f.Recordings, stored(id))
			}
			f.Listing.Missing, f.Listing.MissingSHA256 = n, hashOfSorted(ids)
			change(f)
		}
	}
	again := func(ago ...time.Duration) func(*facts) {
		return func(f *facts) {
			for _, a := range ago {
				f.Earlier = append(f.Earlier, earlier(f, a))
			}
		}
	}
	lost := waiting("r0", causeNoLink, dayLength, 1)
	lost.Listed, lost.Refused, lost.Stored = false, false, no
	broken := lost
	broken.State.Outcome = manifest.Damaged
	const reason = "recordings missing from this listing"
	return []judgeRow{
		{"missing: other days are looked up", lacking(1, 10, func(f *facts) { f.LookedUp = unasked }), "open [elsewhere]", "", ""},
		{"missing once", lacking(1, 10, func(*facts) {}), "open missing:1", reason, ""},
		{"missing twice", lacking(1, 10, again(24*hour)), "close unlisted:1 missing:1", "", ""},
		{"missing twice within a day", lacking(1, 10, again(24*hour-time.Second)), "open missing:1", reason, ""},
		{"missing twice within a day, and judged hours later", lacking(1, 10, func(f *facts) {
			f.Listing.At = f.Now.Add(-5 * hour)
			again(28 * hour)(f)
		}), "open missing:1", reason, ""},
		{"missing, and the API does not tell of their calls", lacking(1, 10, func(f *facts) {
			again(24 * hour)(f)
			f.LookedUp = unknowable
		}), "open", "did not say whether their calls exist: 1", ""},
		{"moved to another day before, and listed again", func(f *facts) {
			r := waiting("a", causeNoLink, dayLength, 1)
			r.State.Final, r.State.Cause, r.Refused = true, causeMoved, false
			f.Recordings = []recordingFacts{r}
		}, "open", "waiting recordings: 1", ""},
		{"moved to another day before", lacking(0, 10, func(f *facts) {
			r := waiting("a", causeNoLink, dayLength, 1)
			r.State.Final, r.State.Cause, r.Listed, r.Refused, r.Elsewhere = true, causeMoved, false, false, true
			f.Recordings = []recordingFacts{r}
		}), "close", "", ""},
		{"missing twice, of another number", lacking(1, 10, func(f *facts) {
			again(25 * hour)(f)
			f.Earlier[0].Missing = 2
		}), "open missing:1", reason, ""},
		{"missing twice, not the same", lacking(1, 10, func(f *facts) {
			again(25 * hour)(f)
			f.Earlier[0].MissingSHA256 = "others"
		}), "open missing:1", reason, ""},
		{"missing twice, the first time before it settled", lacking(1, 10, func(f *facts) {
			again(25 * hour)(f)
			f.Earlier[0].Settled = false
		}), "open missing:1", reason, ""},
		{"missing twice, without a witness", lacking(1, 10, func(f *facts) {
			again(25 * hour)(f)
			f.Recorded = unasked
		}), "open [recorded] missing:1", "", ""},
		{"missing twice, and the witness failed", lacking(1, 10, func(f *facts) {
			again(25 * hour)(f)
			f.Recorded = no
		}), "open missing:1", "missing recordings are not given up", ""},
		{"three missing of few are few", lacking(3, 10, again(24*hour)), "close unlisted:3 missing:3", "", ""},
		{"four missing of 400 are few", lacking(4, 400, again(24*hour)), "close unlisted:4 missing:4", "", ""},
		{"four missing of 399 are many", lacking(4, 399, again(24*hour, 7*dayLength-time.Second)), "open missing:4", reason, ""},
		{"four missing of 399, over seven days", lacking(4, 399, again(24*hour, 7*dayLength)), "close unlisted:4 missing:4", "", ""},
		{"four missing of 399, twice in seven days", lacking(4, 399, again(7*dayLength)), "open missing:4", reason, ""},
		{"listed under another day", lacking(1, 10, func(f *facts) { f.Recordings[0].Elsewhere = true }), "close", "", ""},
		{"lost before", lacking(1, 10, func(f *facts) { f.Recordings[0].State.Outcome = manifest.Lost }), "close", "", ""},
		{"erased before", lacking(1, 10, func(f *facts) { f.Recordings[0].State.Outcome = manifest.Erased }), "close", "", ""},
		{"not noted yet", lacking(1, 10, func(f *facts) { f.Recordings = nil }), "close", "", ""},
		{"what waits is lost", lacking(1, 10, func(f *facts) {
			again(24 * hour)(f)
			f.Recordings[0] = lost
		}), "close r0=lost unlisted:1 missing:1", "", ""},
		{"what waits is searched first", lacking(1, 10, func(f *facts) {
			again(24 * hour)(f)
			f.Recordings[0] = lost
			f.Recordings[0].Stored = unasked
		}), "open [search r0] unlisted:1 missing:1", "waiting recordings", ""},
		{"what is damaged is final", lacking(1, 10, func(f *facts) {
			again(24 * hour)(f)
			f.Recordings[0] = broken
		}), "close r0=damaged unlisted:1 missing:1", "", ""},
		{"a filtered listing shows nothing missing", lacking(1, 10, func(f *facts) { f.Filter = "campaign_id=7" }), "close", "", ""},
		{"a part of a day shows nothing missing", lacking(1, 10, func(f *facts) { f.Entire = false }), "open", "", ""},
		{"a listing that is not whole shows nothing missing", lacking(1, 10, func(f *facts) { f.Listing.Whole, f.Listing.Total = false, 50 }), "open", "not proved complete", ""},
		{"a doubtful listing shows nothing missing", lacking(1, 10, func(f *facts) { f.Listing.Doubts = []doubt{{"odd", 1}} }), "open", "odd", ""},
		{"a listing with strays shows nothing missing", lacking(1, 10, func(f *facts) { f.Listing.Stray = 1 }), "open", "calls of other days: 1", ""},
		{"a listing with the same strays as before shows what is missing", lacking(1, 10, func(f *facts) {
			f.Listing.Stray, f.Listing.StraySHA256 = 1, "one"
			f.Earlier = []listing{earlier(f, 24*hour)}
		}), "close stray:1 unlisted:1 missing:1", "", ""},
		{"a day not settled shows nothing missing", lacking(1, 10, func(f *facts) { f.End = f.Now }), "open", reasonUnsettled, ""},
		{"a cut listing shows nothing missing", lacking(1, 10, func(f *facts) { f.Cut = true }), "open", reasonUnsettled, ""},
		{"clocks that disagree show nothing missing", lacking(1, 10, func(f *facts) { f.Trusted = false }), "open", "clock", ""},
		{"no listing shows nothing missing", lacking(1, 10, func(f *facts) { f.Listing = nil }), "open", "", ""},
	}
}

// totalRows: a total that stays wrong, and a window that cannot be listed.
func totalRows() []judgeRow {
	wrong := func(counted, total int, change func(*facts)) func(*facts) {
		return func(f *facts) {
			f.End = f.Now.Add(-30 * dayLength)
			l := f.Listing
			l.Whole, l.Complete, l.Counted, l.Rows, l.Total = false, false, counted, counted, total
			l.Shortfalls = []doubt{{"the calls that came are not those that the API counts", 1}}
			f.Earlier = []listing{earlier(f, 14*dayLength), earlier(f, 13*dayLength)}
			change(f)
		}
	}
	const reason = "not those that the API counts"
	return []judgeRow{
		{"one too few for two weeks", wrong(9, 10, func(*facts) {}), "close uncounted:-1", "", ""},
		{"one too many for two weeks", wrong(11, 10, func(*facts) {}), "close uncounted:1", "", ""},
		{"one too few, listed once", wrong(9, 10, func(f *facts) { f.Earlier = nil }), "open", reason, ""},
		{"one too few, listed twice", wrong(9, 10, func(f *facts) { f.Earlier = f.Earlier[:1] }), "open", reason, ""},
		{"one too few, three times on two days", wrong(9, 10, func(f *facts) {
			f.Earlier[1].At = f.Earlier[0].At.Add(time.Minute)
		}), "open", reason, ""},
		{"one too few, not for long enough", wrong(9, 10, func(f *facts) { f.Earlier[0].At = f.Earlier[0].At.Add(time.Second) }), "open", reason, ""},
		{"one too few, of other calls", wrong(9, 10, func(f *facts) { f.Earlier[0].CallsSHA256 = "others" }), "open", reason, ""},
		{"one too few, and the total was another", wrong(9, 10, func(f *facts) { f.Earlier[0].Total = 11 }), "open", reason, ""},
		{"one too few, whole before", wrong(9, 10, func(f *facts) { f.Earlier[0].Whole = true }), "open", reason, ""},
		{"one too few, cut by the present before", wrong(9, 10, func(f *facts) { f.Earlier[0].Cut = true }), "open", reason, ""},
		{"one too few, splitting helped before", wrong(9, 10, func(f *facts) { f.Earlier[0].Unlistable = true }), "open", reason, ""},
		{"one too few, of a day not settled", wrong(9, 10, func(f *facts) { f.End = f.Now }), "open", reasonUnsettled, ""},
		{"one too few, with rows that cannot be read", wrong(9, 10, func(f *facts) { f.Listing.Doubts = []doubt{{"odd", 1}} }), "open", "odd", ""},
		{"three too few of ten", wrong(7, 10, func(*facts) {}), "close uncounted:-3", "", ""},
		{"four too few of ten", wrong(6, 10, func(*facts) {}), "open", reason, ""},
		{"four too few of 400", wrong(396, 400, func(*facts) {}), "close uncounted:-4", "", ""},
		{"four too few of 399", wrong(395, 399, func(*facts) {}), "open", reason, ""},
		{"many too many, paged to the end", wrong(13000, 10000, func(f *facts) { f.Listing.Complete = true }), "close uncounted:3000", "", ""},
		{"many too many, not paged to the end", wrong(13000, 10000, func(*facts) {}), "open", reason, ""},
		{"many too few, paged to the end", wrong(10, 500, func(f *facts) { f.Listing.Complete = true }), "open", reason, ""},
		{"as many rows as the total, of fewer calls", wrong(20, 30, func(f *facts) { f.Listing.Complete, f.Listing.Rows = true, 30 }), "close uncounted:-10", "", ""},
		{"a window that cannot be listed", wrong(40000, 90000, func(f *facts) {
			f.Listing.Unlistable = true
			f.Earlier = []listing{earlier(f, 14*dayLength), earlier(f, 13*dayLength)}
		}), "close uncounted:-50000 unlistable", "", ""},
		{"a window that cannot be listed, not for long enough", wrong(40000, 90000, func(f *facts) {
			f.Listing.Unlistable = true
			f.Earlier = []listing{earlier(f, 14*dayLength-time.Second), earlier(f, 13*dayLength)}
		}), "open", reason, ""},
		{"one too few for two weeks when it is judged, not when it was listed", wrong(9, 10, func(f *facts) {
			f.Listing.At = f.Now.Add(-hour)
		}), "open", reason, ""},
		{"a window that cannot be listed, once", wrong(40000, 90000, func(f *facts) { f.Listing.Unlistable, f.Earlier = true, nil }), "open", reason, ""},
		{"a total that differs without a doubt of its own", wrong(6, 10, func(f *facts) { f.Listing.Shortfalls = nil }), "open", "6 calls listed, the API counts 10", ""},
		{"what is missing of a day closed by its wrong total", wrong(9, 10, func(f *facts) {
			f.Recordings = []recordingFacts{stored("a")}
		}), "open [elsewhere] uncounted:-1", "", ""},
	}
}

// strayRows: rows outside their window.
func strayRows() []judgeRow {
	strays := func(change func(*facts)) func(*facts) {
		return func(f *facts) {
			f.Listing.Stray, f.Listing.StraySHA256 = 2, "two"
			change(f)
		}
	}
	const reason = "calls of other days: 2"
	return []judgeRow{
		{"strays once", strays(func(*facts) {}), "open", reason, ""},
		{"the same strays a day later", strays(func(f *facts) { f.Earlier = []listing{earlier(f, 24*hour)} }), "close stray:2", "", ""},
		{"the same strays within a day, and judged hours later", strays(func(f *facts) {
			f.Listing.At = f.Now.Add(-5 * hour)
			f.Earlier = []listing{earlier(f, 28*hour)}
		}), "open", reason, ""},
		{"the same strays within a day", strays(func(f *facts) { f.Earlier = []listing{earlier(f, 23*hour)} }), "open", reason, ""},
		{"other strays", strays(func(f *facts) {
			f.Earlier = []listing{earlier(f, 25*hour)}
			f.Earlier[0].StraySHA256 = "others"
		}), "open", reason, ""},
		{"fewer strays", strays(func(f *facts) {
			f.Earlier = []listing{earlier(f, 25*hour)}
			f.Earlier[0].Stray = 1
		}), "open", reason, ""},
	}
}
