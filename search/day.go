// Reads the calls of one day.

package search

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"convoso-archiver/fetcher"
	"convoso-archiver/manifest"
)

// DayError means that a day could not be read completely. Other days are not affected.
type DayError struct {
	Day string
	Err error
}

// Error implements error. It does not quote the day's lines.
func (e *DayError) Error() string { return fmt.Sprintf("read day %s: %v", e.Day, e.Err) }

// Unwrap returns the cause.
func (e *DayError) Unwrap() error { return e.Err }

// Day returns every call of a day in chronological order, with rows and the ledger's complete state. Memory grows with
// the day. An error may come with the readable calls. The error is a [*DayError], or the end of ctx.
func (a *Archive) Day(ctx context.Context, day string) ([]Call, error) { return a.day(ctx, day, true) }

// day implements Day, optionally without rows, which take most of the memory.
func (a *Archive) day(ctx context.Context, day string, withRows bool) ([]Call, error) {
	var faults []error
	note := func(f manifest.Fault) {
		if f.Kind == manifest.FaultBadLine && len(faults) < maxFaults {
			faults = append(faults, fmt.Errorf("%s, line %d: %s", f.File, f.Line, f.Reason))
		}
	}
	calls, place, err := a.readCalls(ctx, day, withRows, note)
	if err != nil {
		return nil, a.dayError(ctx, day, err)
	}
	folded, err := a.ledger.Read(ctx, day, nil, func(f manifest.Fault) error {
		note(f)
		return nil
	})
	if err != nil {
		return nil, a.dayError(ctx, day, err)
	}
	unnamed := unnamedRows(calls, withRows)
	for id, state := range folded.Recordings() {
		i, known := place[state.CallID]
		if state.CallID == "" {
			i, known = unnamed.of(id, state.Source)
		}
		if !known {
			i = len(calls)
			calls = append(calls, orphan(day, state.CallID, a.zone))
			if state.CallID != "" { // recordings without an id do not belong to one call
				place[state.CallID] = i
			}
		}
		calls[i].Recordings = append(calls[i].Recordings, Recording{
			ID: id, Outcome: state.Outcome, Final: state.Final, Key: state.Key, Size: state.Size, State: &state,
		})
	}
	arrange(calls)
	if len(faults) > 0 {
		return calls, &DayError{Day: day, Err: errors.Join(faults...)}
	}
	return calls, nil
}

// maxFaults is how many faults of a day an error lists.
const maxFaults = 3

func (a *Archive) dayError(ctx context.Context, day string, err error) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return &DayError{Day: day, Err: err}
}

// readCalls returns the last row of each call, and the index of each call. It keeps rows without an id,
// because recordings are joined to them.
func (a *Archive) readCalls(ctx context.Context, day string, withRows bool, fault func(manifest.Fault)) (calls []Call, place map[string]int, err error) {
	place = map[string]int{}
	err = a.ledger.ReadCalls(ctx, day, func(c manifest.Call) error {
		call := readRow(day, c.CallID, c.Row, a.zone)
		if !withRows && !isUnnamed(c.CallID) {
			call.Row = nil
		}
		if i, known := place[c.CallID]; known {
			calls[i] = call
			return nil
		}
		place[c.CallID] = len(calls)
		calls = append(calls, call)
		return nil
	}, fault)
	return calls, place, err
}

// isUnnamed reports whether a row is noted under a generated name, because it has no id.
func isUnnamed(callID string) bool { return strings.HasPrefix(callID, "row-") }

// unnamed are the recordings that rows without an id list, by index of the row.
type unnamed map[int][]fetcher.Recording

// unnamedRows reads the rows without an id, and drops the rows if they are not requested.
func unnamedRows(calls []Call, withRows bool) unnamed {
	rows := unnamed{}
	for i := range calls {
		if !isUnnamed(calls[i].ID) {
			continue
		}
		if row, err := fetcher.ParseCall(calls[i].Row); err == nil && row.ID == "" {
			rows[i] = row.Recordings
		}
		if !withRows {
			calls[i].Row = nil
		}
	}
	return rows
}

// of returns the only row that lists a recording, or none if it is ambiguous.
func (u unnamed) of(id, source string) (place int, found bool) {
	for i, recordings := range u {
		fits := slices.ContainsFunc(recordings, func(r fetcher.Recording) bool {
			return r.MayBe(id, source)
		})
		if fits && found {
			return 0, false
		}
		if fits {
			place, found = i, true
		}
	}
	return place, found
}

// orphan makes a call that is only in the ledger.
func orphan(day, callID string, zone *time.Location) Call {
	c := Call{Day: day, NoRow: true, Fields: Fields{ID: callID, Length: -1}}
	c.setTime("", zone)
	return c
}

// arrange sorts the calls of a day by time, and assigns positions.
func arrange(calls []Call) {
	for _, c := range calls {
		slices.SortFunc(c.Recordings, func(a, b Recording) int { return cmp.Compare(a.ID, b.ID) })
	}
	slices.SortFunc(calls, func(a, b Call) int {
		return cmp.Or(a.Wall.Compare(b.Wall), cmp.Compare(a.ID, b.ID), cmp.Compare(a.first(), b.first()))
	})
	n := 0
	for i := range calls {
		c := &calls[i]
		if n++; i == 0 || !c.Wall.Equal(calls[i-1].Wall) {
			n = 0
		}
		c.Position = positionAt(c.Wall, n)
	}
}

// first returns the id of the first recording, by which calls without an id are distinguished.
func (c *Call) first() string {
	if len(c.Recordings) == 0 {
		return ""
	}
	return c.Recordings[0].ID
}

// DaySpans combines ascending days to spans: "2025-05-01 to 2025-05-03", or a single day.
func DaySpans(days []string) (spans []string) {
	first, last := "", ""
	end := func() {
		switch {
		case first == "":
		case first == last:
			spans = append(spans, first)
		default:
			spans = append(spans, first+" to "+last)
		}
	}
	for _, day := range days {
		if t, err := time.Parse(time.DateOnly, last); err != nil || t.AddDate(0, 0, 1).Format(time.DateOnly) != day {
			end()
			first = day
		}
		last = day
	}
	end()
	return spans
}
