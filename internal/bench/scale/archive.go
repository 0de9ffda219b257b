package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"convoso-archiver/manifest"
)

const (
	firstDay  = "2022-01-01"
	zone      = "America/Los_Angeles"
	accountID = "100200" // the simulator's
	runID     = "20250101T090000Z-0a1b2c3d"
	lostEach  = 5000 // of so many recordings one is lost, as in a real account few are
	segments  = 3    // of a day in a bucket: a night's run uploads each minute
)

// shape is the size of an archive.
type shape struct {
	days, perDay int // closed days, recordings of each
}

// day returns a day of the archive by number; the one after the last is new to it.
func (s shape) day(i int) string {
	t, _ := time.Parse(time.DateOnly, firstDay) // a constant date
	return t.AddDate(0, 0, i).Format(time.DateOnly)
}

// closedDay is the ledger of one closed day.
type closedDay struct {
	day     string
	lines   []byte // without the day line
	ends    []int  // where the segments end in lines
	closing manifest.DayLine
}

// makeDay makes the lines of one closed day. They differ from day to day and are the same in every call.
func (s shape) makeDay(i int) (*closedDay, error) {
	d := &closedDay{day: s.day(i), closing: manifest.DayLine{
		Day: s.day(i), Closed: true, Kept: []string{"recordings"}, Calls: 3 * s.perDay, Recordings: s.perDay,
		ByOutcome: map[manifest.Outcome]int{}, Run: runID,
	}}
	start, err := time.Parse(time.DateOnly, d.day)
	if err != nil {
		return nil, fmt.Errorf("make day: %w", err)
	}
	noted := start.Add(80 * time.Hour)
	d.closing.ListedAt, d.closing.Time = noted, noted
	for n := range s.perDay {
		r := s.recording(i, n, start, noted)
		d.closing.ByOutcome[r.Outcome]++
		d.closing.Bytes += r.Size
		if d.lines, err = appendLine(d.lines, "recording", r); err != nil {
			return nil, err
		}
		if (n+1)%(s.perDay/segments+1) == 0 {
			d.ends = append(d.ends, len(d.lines))
		}
	}
	d.lines, err = appendLine(d.lines, "window", manifest.Window{
		From: start.Add(-time.Second).Format(time.DateTime), To: start.Add(24 * time.Hour).Format(time.DateTime),
		Listing: runID + "/1", Rows: 3 * s.perDay, Total: 3 * s.perDay, Calls: 3 * s.perDay, Recordings: s.perDay,
		ListedAt: noted, Time: noted, Run: runID,
	})
	if err != nil {
		return nil, err
	}
	d.ends = append(d.ends, len(d.lines))
	sum := sha256.Sum256(d.lines)
	d.closing.Lines, d.closing.SHA256 = int64(s.perDay+1), hex.EncodeToString(sum[:])
	return d, nil
}

// recording makes recording n of day i: a line of 400 to 450 bytes, as a run writes it.
func (s shape) recording(i, n int, start, noted time.Time) manifest.Recording {
	serial := i*s.perDay + n
	id := 4_711_000_000 + serial
	called := start.Add(time.Duration(n%86400) * time.Second)
	r := manifest.Recording{
		RecordingID: fmt.Sprint(id), Outcome: manifest.Archived, Time: noted, Run: runID, CallID: fmt.Sprint(id + 88_000_000),
		FirstSeen: noted, Attempts: 1, ContentType: "audio/mpeg",
		Key: fmt.Sprintf("%s/%s_%d_5550%07d_%s.mp3", start.Format("2006/01/02"), accountID, called.Unix(), serial%10_000_000, r32(serial)),
	}
	if n%lostEach == lostEach-1 {
		r.Outcome, r.Key, r.ContentType, r.Reason = manifest.Lost, "", "", "not_found listing="+runID+"/1"
		return r
	}
	sum := sha256.Sum256([]byte(r.RecordingID))
	r.Size, r.SHA256 = int64(13_824+serial%100*1152), hex.EncodeToString(sum[:])
	r.ETag = `"` + r.SHA256[:32] + `"`
	return r
}

// r32 spells a number that looks random, for names of one length.
func r32(n int) string { return fmt.Sprintf("%08x", uint32(n)*2654435761) }

// appendLine appends v as the line of a kind, in the order of its fields, as package manifest writes it.
func appendLine(to []byte, kind string, v any) ([]byte, error) {
	fields, err := json.Marshal(v) // none of the values holds what HTML escapes
	if err != nil {
		return nil, fmt.Errorf("make %s line: %w", kind, err)
	}
	to = append(append(append(to, `{"v":1,"kind":"`...), kind...), `",`...)
	return append(append(to, fields[1:]...), '\n'), nil
}

// closingLine returns the day line with its line feed.
func (d *closedDay) closingLine() ([]byte, error) { return appendLine(nil, "day", d.closing) }

// each calls do with every day's number, a few at once, and joins the errors.
func (s shape) each(do func(i int) error) error {
	var next atomic.Int64
	errs := make([]error, runtime.GOMAXPROCS(0))
	var group sync.WaitGroup
	for w := range errs {
		group.Go(func() {
			for errs[w] == nil {
				i := int(next.Add(1)) - 1
				if i >= s.days {
					return
				}
				errs[w] = do(i)
			}
		})
	}
	group.Wait()
	return errors.Join(errs...)
}

// waitingLine makes the line of a recording that waits, which opens the day that it is added to.
func waitingLine(now time.Time) ([]byte, error) {
	now = now.UTC().Truncate(time.Second)
	return appendLine(nil, "recording", manifest.Recording{
		RecordingID: "1", Outcome: manifest.Pending, Time: now, Run: runID, CallID: "1", FirstSeen: now, Reason: "no_link",
	})
}

// proveDays reads a few days of the archive that was made: if the ledger did not take them for closed,
// every figure would be one of something else.
func (s shape) proveDays(ctx context.Context, ledger *manifest.Ledger) error {
	for _, i := range []int{0, s.days / 2, s.days - 1} {
		day, err := ledger.Day(ctx, s.day(i))
		if err != nil {
			return err
		}
		closing, closed := day.Closed()
		day.Release()
		if !closed || closing.Recordings != s.perDay {
			return fmt.Errorf("%s is not closed with its %d recordings", s.day(i), s.perDay)
		}
	}
	return nil
}
