package fetcher

import (
	"log/slog"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// FuzzRetryAfter parses any header: the result is never negative, equal for seconds and a date, and
// a pacer never pauses longer than a run waits.
func FuzzRetryAfter(f *testing.F) {
	for _, value := range []string{
		"", "2", "-1", "0", "3600", "3601", "1.5", "1e400", "-1e400", "Inf", "NaN", "0x1p4", "9223372036854775807", strings.Repeat("9", 400),
		"Thu, 01 May 2025 12:00:30 GMT", "Thu, 01 May 2025 11:00:00 GMT", "Thursday, 01-May-25 12:00:30 GMT", "Thu May  1 12:00:30 2025", "Fri, 31 Dec 9999 23:59:59 GMT",
	} {
		f.Add(value, "Thu, 01 May 2025 12:00:00 GMT", uint16(30))
		f.Add(value, value, uint16(0))
	}
	f.Fuzz(func(t *testing.T, value, date string, seconds uint16) {
		now := time.Date(2025, 5, 1, 12, 0, 0, 0, time.UTC)
		got := retryAfter(http.Header{"Retry-After": {value}}, now)
		if got < 0 {
			t.Fatalf("%q: %v", value, got)
		}
		if isDigits(value) {
			n, err := strconv.ParseInt(value, 10, 32)
			if err == nil && got != time.Duration(n)*time.Second || err != nil && got <= MaxRetryAfter {
				t.Errorf("%q: %v", value, got)
			}
		}
		// One moment, in seconds and as a date, by the machine's clock and by the answer's.
		wait := time.Duration(seconds) * time.Second
		plain := retryAfter(http.Header{"Retry-After": {strconv.Itoa(int(seconds))}}, now)
		dated := retryAfter(http.Header{"Retry-After": {now.Add(wait).Format(http.TimeFormat)}}, now)
		if plain != wait || dated != wait {
			t.Errorf("%d s: %v in seconds, %v as a date", seconds, plain, dated)
		}
		header := http.Header{"Retry-After": {value}, "Date": {date}}
		if there, err := http.ParseTime(date); err == nil {
			header.Set("Retry-After", there.Add(wait).UTC().Format(http.TimeFormat))
			if there.Add(wait).UTC().Year() <= 9999 && there.UTC().Year() >= 1 && retryAfter(header, now) != wait {
				t.Errorf("%s after %s: %v", header.Get("Retry-After"), date, retryAfter(header, now))
			}
		} else if again := retryAfter(header, now); again != got {
			t.Errorf("%q became %v beside the date %q, %v without", value, again, date, got)
		}
		checkPause(t, got)
	})
}

func isDigits(s string) bool { return s != "" && strings.Trim(s, "0123456789") == "" }

// checkPause lets a host ask to wait, and again during the wait.
func checkPause(t *testing.T, after time.Duration) {
	t.Helper()
	p := newPacer("h", 5, 0, 1, 1, slog.New(slog.DiscardHandler), ungoverned())
	for range 2 {
		before := time.Now()
		err := p.refused(ticket{at: before, rate: 3}, refusal{after: after})
		pause := p.snapshot().PausedUntil.Sub(before)
		switch {
		case (err != nil) != (after > MaxRetryAfter):
			t.Fatalf("%v: error %v", after, err)
		case err == nil && pause <= 0, pause > MaxRetryAfter+time.Since(before), err == nil && after > 0 && pause < after:
			t.Fatalf("asked to wait %v, pauses %v", after, pause)
		}
	}
}

// FuzzSplit splits windows, and the day in which each begins, around one busy second and around
// clock changes. The parts must cover every second, share two seconds around their boundary, be at
// least two seconds long, and never begin in a clock change. A window may stay unsplit only if no
// boundary is possible.
func FuzzSplit(f *testing.F) {
	f.Add(int64(1762066799), int32(90000), uint8(0), uint16(40000))
	f.Add(int64(1741510800), int32(7200), uint8(0), uint16(1))
	f.Add(int64(1743897600), int32(5400), uint8(1), uint16(65535))
	f.Add(int64(1735689600), int32(3), uint8(2), uint16(0))
	zones := []string{
		"America/Los_Angeles", "Australia/Lord_Howe", "America/Havana", "Asia/Kathmandu", "Africa/Casablanca",
		"Pacific/Apia", "Antarctica/Troll", "Africa/Monrovia", "Europe/Dublin", "America/Phoenix",
	}
	f.Fuzz(func(t *testing.T, from int64, seconds int32, zoneIndex uint8, busy uint16) {
		if seconds < 0 || seconds > 3*86400 || from < 0 || from > 1<<33 {
			t.Skip()
		}
		location := zone(t, zones[int(zoneIndex)%len(zones)])
		start := time.Unix(from, 0).UTC()
		day := DateOf(start).Window()
		if first := day.From.Add(time.Second); first.Format(WallLayout) != string(DateOf(start))+" 00:00:00" || day.To.Sub(first) != 24*time.Hour {
			t.Fatalf("the day of %v is %v", start, day)
		}
		splitAll(t, day, start, location)
		after := func(seconds int64) time.Time { return start.Add(time.Duration(seconds) * time.Second) }
		splitAll(t, Window{start, after(int64(seconds))}, after(int64(seconds)*int64(busy)/(1<<16-1)), location)
	})
}

func splitAll(t *testing.T, whole Window, busy time.Time, location *time.Location) {
	t.Helper()
	const longest = time.Hour // of a window that is not busy
	changes, judge := clockChanges(whole, location), judgeOf(whole, location)
	pending, next := []Window{whole}, whole.From // where the next window begins
	for len(pending) > 0 {
		w := pending[len(pending)-1]
		pending = pending[:len(pending)-1]
		tooMany := w.To.Sub(w.From) > longest || w.contains(busy)
		for _, change := range changes {
			tooMany = tooMany || !w.From.After(change.To) && !w.To.Before(change.From)
		}
		if tooMany {
			early, late, ok := w.split(changes)
			if ok {
				checkSplit(t, judge, w, early, late)
				pending = append(pending, late, early)
				continue
			}
			if at, possible := judge.boundaryIn(w); possible {
				t.Fatalf("%v is not split, though it could be at %v", w, at)
			}
		}
		if !w.From.Equal(next) {
			t.Fatalf("%v does not overlap the one before, which ends at %v", w, next.Add(2*time.Second))
		}
		next = w.To.Add(-2 * time.Second)
		checkWidened(t, judge, w, w.widened(changes))
	}
	if next = next.Add(2 * time.Second); !next.Equal(whole.To) {
		t.Fatalf("ends at %v, not %v", next, whole.To)
	}
}

func checkSplit(t *testing.T, judge judge, w, early, late Window) {
	t.Helper()
	switch {
	case !early.From.Equal(w.From) || !late.To.Equal(w.To) || early.To.Sub(late.From) != 2*time.Second:
		t.Fatalf("%v became %v and %v", w, early, late)
	case early.To.Sub(early.From) < 2*time.Second || late.To.Sub(late.From) < 2*time.Second:
		t.Fatalf("%v is too short, or %v is", early, late)
	case !early.To.Before(w.To) || !late.From.After(w.From):
		t.Fatalf("%v is not shorter than %v, or %v is not", early, w, late)
	case early.To.Nanosecond() != 0:
		t.Fatalf("boundary %v is no whole second", early.To)
	case !judge.plain(early.To) || !judge.plain(late.From):
		t.Fatalf("%v ends in a clock change, or %v begins in one", early, late)
	}
}

// checkWidened expects a widened window to contain the window, and to end at an unambiguous time,
// or at the start or end of a change.
func checkWidened(t *testing.T, judge judge, w, wide Window) {
	t.Helper()
	if wide.From.After(w.From) || wide.To.Before(w.To) {
		t.Fatalf("%v widened is %v", w, wide)
	}
	if before := wide.From.Add(-time.Second); !judge.plain(wide.From) && !judge.plain(before) {
		t.Fatalf("%v widened is %v, which begins inside a clock change", w, wide)
	}
	if !judge.plain(wide.To) {
		t.Fatalf("%v widened is %v, which ends inside a clock change", w, wide)
	}
}

// judge determines what a wall clock shows independently of clockChanges: it checks the zone at
// every possible instant.
type judge struct {
	zone    *time.Location
	offsets []time.Duration // all offsets of the zone around a window
}

func judgeOf(w Window, zone *time.Location) judge {
	j := judge{zone: zone}
	const step, far = 15 * time.Minute, 48 * time.Hour
	for at := w.From.Add(-far); at.Before(w.To.Add(far)); at = at.Add(step) {
		if offset := j.offsetAt(at); !slices.Contains(j.offsets, offset) {
			j.offsets = append(j.offsets, offset)
		}
	}
	return j
}

func (j judge) offsetAt(instant time.Time) time.Duration {
	_, seconds := instant.In(j.zone).Zone()
	return time.Duration(seconds) * time.Second
}

// plain reports whether the clock shows a time exactly once: not in a skipped hour, and not twice
// in a repeated one.
func (j judge) plain(wall time.Time) bool {
	instants := 0
	for _, offset := range j.offsets {
		if j.offsetAt(wall.Add(-offset)) == offset {
			instants++
		}
	}
	return instants == 1
}

// boundaryIn searches the window for a second where it can be split.
func (j judge) boundaryIn(w Window) (at time.Time, possible bool) {
	const shortest = 2 * time.Second
	for at = w.From.Add(shortest); !at.After(w.To.Add(-shortest)); at = at.Add(time.Second) {
		if j.plain(at.Add(-time.Second)) && j.plain(at) && j.plain(at.Add(time.Second)) {
			return at, true
		}
	}
	return at, false
}
