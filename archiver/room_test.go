package archiver

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"convoso-archiver/fetcher"
	"convoso-archiver/manifest"
)

const (
	oldest = fetcher.Date("2025-05-10")
	second = fetcher.Date("2025-05-11")
	third  = fetcher.Date("2025-05-12")
)

// roomy is a room whose memory a test sets, with the oldest day and the second in it.
type roomy struct {
	*room
	recordings atomic.Int64
}

func newRoomy(recordings int64) *roomy {
	m := &roomy{}
	m.recordings.Store(recordings)
	m.room = newRoom(100, func() int { return int(m.recordings.Load()) })
	m.enter(oldest)
	m.enter(second)
	return m
}

// waiting begins a wait and reports what it led to once all goroutines of the bubble
// are blocked or done.
func waiting(wait func() error) (ended func() (error, bool)) {
	done := make(chan error, 1)
	go func() { done <- wait() }()
	return func() (error, bool) {
		synctest.Wait()
		select {
		case err := <-done:
			return err, true
		default:
			return nil, false
		}
	}
}

// TestRoom tells which day waits, and what ends the wait.
func TestRoom(t *testing.T) {
	tests := map[string]struct {
		recordings int64
		day        fetcher.Date
		end        func(m *roomy) // what ends the wait; nil where there is none
	}{
		"at the bound":              {100, second, nil},
		"the first, above it":       {101, oldest, nil},
		"memory becomes free":       {101, second, func(m *roomy) { m.recordings.Store(100); m.wake() }},
		"it becomes the first":      {101, second, func(m *roomy) { m.leave(oldest) }},
		"the third as the second":   {101, second, func(m *roomy) { m.enter(third); m.leave(oldest) }},
		"the only one, others held": {1000, second, func(m *roomy) { m.leave(oldest) }},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			for what, wait := range map[string]func(context.Context, *roomy) error{
				"another page": func(ctx context.Context, m *roomy) error { return m.wait(ctx, test.day) },
				"a ledger": func(ctx context.Context, m *roomy) error {
					return m.load(ctx, test.day, func() error { return nil })
				},
			} {
				synctest.Test(t, func(t *testing.T) {
					m := newRoomy(test.recordings)
					ended := waiting(func() error { return wait(t.Context(), m) })
					if err, done := ended(); err != nil || done != (test.end == nil) {
						t.Fatalf("%s: done %t (%v)", what, done, err)
					}
					if test.end == nil {
						return
					}
					test.end(m)
					if err, done := ended(); err != nil || !done {
						t.Fatalf("%s: it waits on (%v)", what, err)
					}
				})
			}
		})
	}
}

// TestRoomEndsWithTheRun stops a run while a day waits.
func TestRoomEndsWithTheRun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newRoomy(101)
		ctx, stop := context.WithCancelCause(t.Context())
		page := waiting(func() error { return m.wait(ctx, second) })
		loaded := false
		ledger := waiting(func() error { return m.load(ctx, second, func() error { loaded = true; return nil }) })
		synctest.Wait()
		asked, signal := time.Now(), errors.New("a signal")
		stop(signal)
		for _, ended := range []func() (error, bool){page, ledger} {
			if err, done := ended(); !done || !errors.Is(err, signal) {
				t.Errorf("done %t with %v", done, err)
			}
		}
		if loaded || time.Since(asked) > 0 {
			t.Errorf("a ledger was loaded (%t), or it took %v", loaded, time.Since(asked))
		}
	})
}

// TestLedgersAreLoadedOneByOne has three days begin at once: nobody knows yet what
// their ledgers hold. The first one waits for none.
func TestLedgersAreLoadedOneByOne(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newRoomy(0)
		m.enter(third)
		read := make(chan struct{})
		loading := atomic.Int64{}
		load := func() error {
			loading.Add(1)
			<-read
			m.recordings.Add(101)
			return nil
		}
		ofSecond := waiting(func() error { return m.load(t.Context(), second, load) })
		synctest.Wait()
		ofThird := waiting(func() error { return m.load(t.Context(), third, load) })
		ofOldest := waiting(func() error { return m.load(t.Context(), oldest, load) })
		synctest.Wait()
		if n := loading.Load(); n != 2 {
			t.Errorf("%d ledgers are being loaded, want those of the second day and the first", n)
		}
		close(read)
		for _, ended := range []func() (error, bool){ofSecond, ofOldest} {
			if err, done := ended(); !done || err != nil {
				t.Errorf("done %t (%v)", done, err)
			}
		}
		if _, done := ofThird(); done {
			t.Error("a third ledger was loaded above the bound")
		}
		m.recordings.Store(0)
		m.wake()
		if err, done := ofThird(); !done || err != nil {
			t.Errorf("with room again: done %t (%v)", done, err)
		}
	})
}

// largeDays are four days of so many recordings each, to be listed by small pages.
const (
	largeDay      = 60
	largeDayPage  = 5
	largeDayBound = 40
)

// manyLarge begins a run over four large days with a small bound. The function that it
// returns tells the most recordings that were in memory whenever one was asked for.
func manyLarge(t *testing.T, dry bool) (v *vendor, r *run, most func() int) {
	t.Helper()
	v = newVendor(t)
	for d := range daysInFlight {
		day := oldest.AddDays(d)
		for i := range largeDay {
			id := strconv.Itoa(1000*d + i)
			v.rows[day] = append(v.rows[day], callAt(id, day, noon, v.recording(id)))
		}
	}
	a := v.archive(t)
	a.pageSize = largeDayPage
	s := a.open()
	s.Config.Span, s.Config.DryRun = spanOf(t, oldest, oldest.AddDays(daysInFlight-1)), dry
	r = s.prepare(t.Context())
	t.Cleanup(r.kill)
	r.room.most = largeDayBound
	r.jobs = make(chan *job, 2) // less than a day has, as with real days
	var mu sync.Mutex
	seen := 0
	v.onAudio = func(string) {
		n := r.inMemory()
		mu.Lock()
		defer mu.Unlock()
		seen = max(seen, n)
	}
	return v, r, func() int {
		mu.Lock()
		defer mu.Unlock()
		return seen
	}
}

// endsInTime works all days. A wait that nothing ends shall fail the test, not hang it.
func endsInTime(t *testing.T, r *run) {
	t.Helper()
	stuck := time.AfterFunc(30*time.Second, func() {
		t.Error("the days wait for each other")
		r.stop(errors.New("the test's time is up"))
	})
	defer stuck.Stop()
	if err := r.workAll(); err != nil {
		t.Error(err)
	}
}

// TestLargeDaysDoNotPileUp works four large days side by side.
func TestLargeDaysDoNotPileUp(t *testing.T) {
	for _, dry := range []bool{false, true} {
		t.Run("dry run "+strconv.FormatBool(dry), func(t *testing.T) {
			v, r, most := manyLarge(t, dry)
			v.onPage = func(fetcher.Date, int) { v.onAudio("") }
			endsInTime(t, r)
			s := r.Archiver.Summary()
			if want := daysInFlight * largeDay; s.Recordings != want || dry && s.ToFetch != want || !dry && s.Archived != want {
				t.Errorf("%d recordings, %d archived, %d to fetch", s.Recordings, s.Archived, s.ToFetch)
			}
			if !dry && s.DaysClosed != daysInFlight {
				t.Errorf("%d days closed", s.DaysClosed)
			}
			// Beside the first day, one whose last recordings are fetched; and a page more of
			// each day that had asked for it before the bound was reached.
			if bound := largeDayBound + 2*largeDay + daysInFlight*largeDayPage; most() > bound {
				t.Errorf("%d recordings in memory, more than %d", most(), bound)
			}
			if n := r.inMemory(); n != 0 {
				t.Errorf("%d recordings in memory at the end", n)
			}
		})
	}
}

// TestListedDayWaitsForNone has the first day end with a download that takes long. A
// day that was listed meanwhile is closed, and a large one is listed to its end.
func TestListedDayWaitsForNone(t *testing.T) {
	v, r, _ := manyLarge(t, false)
	r.jobs = make(chan *job, 4*largeDay)
	v.rows[second] = v.rows[second][:3]
	slow := make(chan struct{})
	quicken := sync.OnceFunc(func() { close(slow) })
	v.onAudio = func(id string) {
		if id == strconv.Itoa(largeDay-1) {
			<-slow
		}
	}
	r.Logger = slog.New(slog.NewTextHandler(writerFunc(func(string) {
		if s := r.Archiver.Summary(); s.DaysClosed == daysInFlight-1 && s.Archived == (daysInFlight-1)*largeDay+2 {
			quicken()
		}
	}), &slog.HandlerOptions{Level: slog.LevelDebug}))
	endsInTime(t, r)
	if s := r.Archiver.Summary(); s.DaysClosed != daysInFlight {
		t.Errorf("%d days closed", s.DaysClosed)
	}
}

// TestLargeDayPutOffStopsNoOther has a day put off to the end of the run that is alone
// above the bound: the others are listed all the same, for none of them waits when it is
// the first.
func TestLargeDayPutOffStopsNoOther(t *testing.T) {
	v, r, _ := manyLarge(t, false)
	now := instant(t, "2025-06-01"+noon)
	r.now = func() time.Time { return now }
	v.rows[oldest] = []row{callAt("1", oldest, noon, v.recording("gone"))}
	v.status["gone"] = http.StatusNotFound
	day, err := r.Ledger.Day(t.Context(), string(oldest))
	if err != nil {
		t.Fatal(err)
	}
	lines := []manifest.Recording{{
		RecordingID: "gone", Outcome: manifest.Pending, Time: now.Add(-2 * oneDay), Reason: manifest.NotFoundReason("another"),
	}}
	for i := range 2 * largeDayBound {
		lines = append(lines, manifest.Recording{RecordingID: strconv.Itoa(i), Outcome: manifest.Lost, Time: now.Add(-2 * oneDay)})
	}
	for _, line := range lines {
		if err := day.Note(t.Context(), line); err != nil {
			t.Fatal(err)
		}
	}
	day.Release()
	for d := 1; d < daysInFlight; d++ { // no answer of theirs proves that the host is in order
		for _, call := range v.rows[oldest.AddDays(d)] {
			call.Found[0].Link = nil
		}
	}
	endsInTime(t, r)
	s := r.Archiver.Summary()
	if s.Recordings != 1+(daysInFlight-1)*largeDay || s.DaysListed != daysInFlight || s.Lost != 1 {
		t.Errorf("%d recordings, %d days listed, %d lost", s.Recordings, s.DaysListed, s.Lost)
	}
}

// TestStopEndsTheWaitOfLargeDays stops a run while the first day has its downloads in
// flight and the others wait for it: these end before it does.
func TestStopEndsTheWaitOfLargeDays(t *testing.T) {
	v, r, _ := manyLarge(t, false)
	r.Archiver.Config.Grace = 10 * time.Second
	r.jobs = make(chan *job, daysInFlight*largeDay)
	v.onPage = func(day fetcher.Date, offset int) {
		if day == oldest && offset >= largeDay-largeDayPage { // it stays the first
			<-r.soft.Done()
		}
	}
	ended := make(chan struct{}) // closed when all days but one are done with
	v.onAudio = func(string) {
		select {
		case <-ended:
		case <-r.hard.Done():
		}
	}
	others := new(atomic.Int64)
	r.Logger = slog.New(slog.NewTextHandler(writerFunc(func(line string) {
		if strings.Contains(line, "day stays open") && others.Add(1) == daysInFlight-1 {
			close(ended)
		}
	}), nil))
	inMemory := r.room.held
	waits := new(atomic.Int64)
	r.room.held = func() int {
		n := inMemory()
		if n > r.room.most && waits.Add(1) == daysInFlight-1 { // it is asked for days behind the first alone
			r.stop(context.Canceled)
		}
		return n
	}
	endsInTime(t, r)
	select {
	case <-ended:
	case <-r.hard.Done():
		t.Error("the days that waited did not end when the run was asked to stop")
	}
	if s := r.Archiver.Summary(); len(s.OpenDays) != daysInFlight || s.DaysClosed > 0 {
		t.Errorf("open days %+v", s.OpenDays)
	}
}

// writerFunc is told every line of a log.
type writerFunc func(line string)

func (f writerFunc) Write(line []byte) (int, error) {
	f(string(line))
	return len(line), nil
}

// TestLedgerThatGoesMakesRoom has a day wait that is woken by nothing else.
func TestLedgerThatGoesMakesRoom(t *testing.T) {
	_, r, _ := manyLarge(t, false)
	r.room.most = 0
	day, err := r.acquire(oldest)
	if err != nil {
		t.Fatal(err)
	}
	if !day.take("111") {
		t.Fatal("an identity is not new")
	}
	day.repay(false)
	r.room.enter(oldest)
	r.room.enter(second)
	looked := make(chan struct{}, 2)
	inMemory := r.room.held
	r.room.held = func() int {
		n := inMemory()
		looked <- struct{}{}
		return n
	}
	waited := make(chan error, 1)
	go func() { waited <- r.room.wait(t.Context(), second) }()
	<-looked
	r.release(day)
	select {
	case err := <-waited:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(30 * time.Second):
		t.Error("a ledger has gone, and a day waits on")
	}
}
