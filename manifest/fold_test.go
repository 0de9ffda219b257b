package manifest

import (
	"fmt"
	"math/rand/v2"
	"reflect"
	"runtime"
	"testing"
	"time"
)

// at is a line of recording x in run, a number of hours after noon.
func at(hours int, run string, outcome Outcome, key, cause string) Recording {
	r := recording("x", outcome)
	r.Time, r.FirstSeen = noon.Add(time.Duration(hours)*time.Hour), noon.Add(time.Duration(hours)*time.Hour)
	r.Run, r.Key, r.Cause = run, key, cause
	return r
}

func restored(r Recording) Recording {
	r.Restored = true
	return r
}

func final(r Recording) Recording {
	r.Final = true
	return r
}

func again(r Recording) Recording {
	r.Again = true
	return r
}

// listing sets the listing of r's link.
func listing(r Recording, id string) Recording {
	r.Listing = id
	return r
}

func foldOf(t testing.TB, list []Recording) *fold {
	t.Helper()
	var f fold
	var v view
	for _, r := range list {
		line, err := r.line()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := parseLine(line[:len(line)-1], &v); err != nil {
			t.Fatal(err)
		}
		f.add(&v)
	}
	return &f
}

func stateIn(f *fold) State { return f.list[0].state() }

func TestRanks(t *testing.T) {
	const unknown = Outcome("mislaid")
	for _, test := range []struct {
		name  string
		lines []Recording
		want  int // index of the deciding line
	}{
		{"later waiting line", []Recording{at(0, runA, Pending, "", ""), at(1, runA, Failed, "", "")}, 1},
		{"archived beats later waiting", []Recording{at(0, runA, Archived, "a", ""), at(1, runB, Failed, "", "")}, 0},
		{"archived beats later final waiting", []Recording{at(0, runA, Archived, "a", ""), final(at(1, runB, Failed, "", ""))}, 0},
		{"lost beats later waiting", []Recording{at(0, runA, Lost, "", ""), at(1, runB, Pending, "", "")}, 0},
		{"later archived beats lost", []Recording{at(0, runA, Lost, "", ""), at(1, runB, Archived, "a", "")}, 1},
		{"archived beats later lost", []Recording{at(0, runA, Archived, "a", ""), at(1, runB, Lost, "", "")}, 0},
		{"damaged beats earlier archived", []Recording{at(0, runA, Archived, "a", ""), at(1, runB, Damaged, "a", "")}, 1},
		{"damaged beats waiting and lost", []Recording{at(0, runA, Damaged, "a", ""), at(1, runB, Failed, "", ""), at(2, runC, Lost, "", "")}, 0},
		{"archived with another key repairs", []Recording{at(0, runA, Archived, "a", ""), at(1, runB, Damaged, "a", ""), at(2, runC, Archived, "b", "")}, 2},
		{"archived with the same key does not", []Recording{at(0, runA, Archived, "a", ""), at(1, runB, Damaged, "a", ""), at(2, runC, Archived, "a", "")}, 1},
		{"restored repairs", []Recording{at(0, runA, Archived, "a", ""), at(1, runB, Damaged, "a", ""), restored(at(2, runC, Archived, "a", ""))}, 2},
		{"earlier restored does not repair", []Recording{restored(at(0, runA, Archived, "a", "")), at(1, runB, Damaged, "a", "")}, 1},
		{"damaged after it was restored", []Recording{at(1, runB, Damaged, "a", ""), restored(at(2, runC, Archived, "a", "")), at(3, runC, Damaged, "a", "")}, 2},
		{"the same key after a repair does not count", []Recording{at(0, runA, Archived, "a", ""), at(1, runB, Damaged, "a", ""), at(2, runC, Archived, "b", ""), at(3, runC, Archived, "a", "")}, 2},
		{"earlier archived with another key does not repair", []Recording{at(0, runA, Archived, "b", ""), at(1, runB, Damaged, "a", "")}, 1},
		{"damaged again", []Recording{at(1, runB, Damaged, "a", ""), at(2, runC, Archived, "b", ""), at(3, runC, Damaged, "b", "")}, 2},
		{"final damaged", []Recording{at(1, runB, Damaged, "a", ""), final(at(2, runC, Damaged, "a", ""))}, 1},
		{"unknown beats all", []Recording{at(0, runA, unknown, "", ""), at(1, runB, Archived, "a", ""), at(2, runC, Damaged, "a", ""), at(3, runC, Erased, "", "")}, 0},
		{"erased beats what comes later", []Recording{at(0, runA, Erased, "", ""), at(1, runB, Archived, "a", ""), at(2, runC, Damaged, "a", "")}, 0},
		{"expired beats what comes later", []Recording{at(0, runA, Archived, "a", ""), at(1, runB, Expired, "a", ""), at(2, runC, Damaged, "a", "")}, 1},
		{"later of erased and expired", []Recording{at(0, runA, Erased, "", ""), at(1, runB, Expired, "", "")}, 1},
		{"run decides within a second", []Recording{at(0, runB, Failed, "", ""), at(0, runA, Pending, "", "")}, 0},
		{"run decides within a second among final ones", []Recording{at(0, runB, Archived, "b", ""), at(0, runA, Archived, "a", "")}, 0},
	} {
		t.Run(test.name, func(t *testing.T) {
			want := test.lines[test.want]
			for _, order := range permutations(len(test.lines)) {
				list := make([]Recording, len(order))
				for i, j := range order {
					list[i] = test.lines[j]
				}
				got := stateIn(foldOf(t, list))
				if got.Outcome != want.Outcome || got.Key != want.Key || !got.Time.Equal(want.Time) {
					t.Errorf("order %v: got %s %q at %s, want line %d", order, got.Outcome, got.Key, got.Time, test.want)
				}
				if !got.FirstSeen.Equal(stateIn(foldOf(t, test.lines)).FirstSeen) {
					t.Errorf("order %v: first seen %s", order, got.FirstSeen)
				}
			}
		})
	}
}

func permutations(n int) [][]int {
	if n == 0 {
		return [][]int{{}}
	}
	var list [][]int
	for _, p := range permutations(n - 1) {
		for i := 0; i <= len(p); i++ {
			q := append(append(append([]int{}, p[:i]...), n-1), p[i:]...)
			list = append(list, q)
		}
	}
	return list
}

func TestSequenceDecidesWithinASecondOfARun(t *testing.T) {
	damaged, repaired := at(0, runA, Damaged, "a", ""), at(0, runA, Archived, "b", "")
	if got := stateIn(foldOf(t, []Recording{damaged, repaired})); got.Outcome != Archived {
		t.Errorf("repair in the same second: %s", got.Outcome)
	}
	if got := stateIn(foldOf(t, []Recording{repaired, damaged})); got.Outcome != Damaged {
		t.Errorf("damage in the same second: %s", got.Outcome)
	}
	if got := stateIn(foldOf(t, []Recording{at(0, runA, Pending, "", ""), at(0, runA, Failed, "", "")})); got.Outcome != Failed {
		t.Errorf("waiting in the same second: %s", got.Outcome)
	}
}

func TestFoldIsIndependentOfOrder(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	random := rand.New(rand.NewPCG(seed, 1))
	kinds := []Outcome{Pending, Failed, Rejected, Archived, Lost, Damaged, Erased, "mislaid"}
	for range 300 {
		var list []Recording
		for i := range 2 + random.IntN(7) {
			r := at(9*i, runA[:len(runA)-1]+fmt.Sprint(random.IntN(3)), kinds[random.IntN(len(kinds))],
				string(rune('a'+random.IntN(3))), []string{"", CauseNotFound, "no_link"}[random.IntN(3)])
			r.Listing, r.Restored, r.Again = fmt.Sprint("l", random.IntN(3)), random.IntN(4) == 0, random.IntN(8) == 0
			list = append(list, r)
		}
		want := stateIn(foldOf(t, list))
		for range 10 {
			random.Shuffle(len(list), func(i, j int) { list[i], list[j] = list[j], list[i] })
			if got := stateIn(foldOf(t, list)); !reflect.DeepEqual(got, want) {
				t.Fatalf("seed %d: got %+v, want %+v for %+v", seed, got, want, list)
			}
		}
	}
}

func TestStateFields(t *testing.T) {
	r := recording("101", Archived)
	r.Run, r.Reason, r.Cause, r.Attempts, r.Restored = runA, "a remark", "odd", 70_000, true
	r.Time = noon.Add(time.Hour)
	got := stateIn(foldOf(t, []Recording{r}))
	want := State{
		Outcome: Archived, Final: true, Restored: true, Key: r.Key, Size: 1000, ContentType: "audio/mpeg", ETag: `"101"`,
		Host: "media.convoso.com", Source: "ab.101", CallID: "c101", Reason: "a remark", Cause: "odd", Attempts: 65535,
		Time: r.Time, FirstSeen: noon, History: History{Since: noon},
	}
	want.SHA256 = got.SHA256
	if got != want || fmt.Sprintf("%x", got.SHA256) != r.SHA256 {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
}

func TestFinal(t *testing.T) {
	for outcome, want := range map[Outcome]bool{
		Archived: true, Erased: true, Expired: true, "mislaid": true,
		Lost: false, Pending: false, Failed: false, Rejected: false, Damaged: false, "": false,
	} {
		if got := outcome.Final(); got != want {
			t.Errorf("%q.Final() = %t", outcome, got)
		}
		if outcome == "" {
			continue
		}
		r := recording("1", outcome)
		if got := stateIn(foldOf(t, []Recording{r})).Final; got != want {
			t.Errorf("%s without a word: final %t", outcome, got)
		}
		if !stateIn(foldOf(t, []Recording{final(r)})).Final {
			t.Errorf("%s that its line calls final is not", outcome)
		}
	}
	taken := []Recording{final(at(0, runA, Failed, "", "")), again(at(1, runB, Failed, "", ""))}
	if stateIn(foldOf(t, taken)).Final {
		t.Error("a recording that was asked for again in vain is final")
	}
}

func TestHistory(t *testing.T) {
	const day = 24
	hour := func(n int) time.Time { return noon.Add(time.Duration(n) * time.Hour) }
	for _, test := range []struct {
		name  string
		lines []Recording
		want  History
	}{
		{"archived at once", []Recording{at(3, runA, Archived, "a", "")}, History{Since: hour(3)}},
		{
			"two answers of two listings, another failure between them",
			[]Recording{
				at(0, runA, Pending, "", "no_link"), listing(at(5, runB, Pending, "", CauseNotFound), "l1"),
				at(10, runB, Failed, "", "http_503"), listing(at(30, runC, Pending, "", CauseNotFound), "l2"),
			},
			History{Since: hour(0), NotFoundSince: hour(5), NotFoundListing: "l1", LastNotFound: hour(30), NotFounds: 2, Refusals: 2},
		},
		{
			"two answers of one listing",
			[]Recording{listing(at(5, runB, Pending, "", CauseNotFound), "l1"), listing(at(6, runB, Pending, "", CauseNotFound), "l1")},
			History{Since: hour(5), NotFoundSince: hour(5), NotFoundListing: "l1", LastNotFound: hour(6), NotFounds: 1, Refusals: 1},
		},
		{
			"three runs on three days",
			[]Recording{at(0, runA, Failed, "", ""), at(day, runB, Rejected, "", ""), at(2*day, runC, Pending, "", "")},
			History{Since: hour(0), Refusals: 3},
		},
		{
			"three runs on two days",
			[]Recording{at(0, runA, Failed, "", ""), at(1, runB, Failed, "", ""), at(2*day, runC, Failed, "", "")},
			History{Since: hour(0), Refusals: 2},
		},
		{
			"one run on three days",
			[]Recording{at(0, runA, Failed, "", ""), at(day, runA, Failed, "", ""), at(2*day, runA, Failed, "", "")},
			History{Since: hour(0), Refusals: 1},
		},
		{
			"damage begins anew, and hides what follows",
			[]Recording{
				listing(at(0, runA, Pending, "", CauseNotFound), "l1"), at(1, runA, Archived, "a", ""), at(day, runB, Damaged, "a", ""),
				listing(at(2*day, runC, Pending, "", CauseNotFound), "l3"),
			},
			History{Since: hour(day), NotFoundSince: hour(2 * day), NotFoundListing: "l3", LastNotFound: hour(2 * day), NotFounds: 1, Refusals: 1},
		},
		{
			"asked again begins anew, with its own answer",
			[]Recording{
				listing(at(0, runA, Pending, "", CauseNotFound), "l1"), final(at(day, runB, Failed, "", "")),
				listing(again(at(3*day, runC, Pending, "", CauseNotFound)), "l4"),
			},
			History{Since: hour(3 * day), NotFoundSince: hour(3 * day), NotFoundListing: "l4", LastNotFound: hour(3 * day), NotFounds: 1, Refusals: 1},
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			for _, order := range permutations(len(test.lines)) {
				var list []Recording
				for _, j := range order {
					list = append(list, test.lines[j])
				}
				if got := stateIn(foldOf(t, list)).History; got != test.want {
					t.Errorf("order %v:\ngot  %+v\nwant %+v", order, got, test.want)
				}
			}
		})
	}
}

// Older versions had neither cause nor listing.
func TestOldNotFoundReason(t *testing.T) {
	old := at(0, runA, Pending, "", "")
	old.Reason = "not_found listing=l1 status 404"
	got := stateIn(foldOf(t, []Recording{old}))
	if got.Cause != CauseNotFound || got.NotFoundListing != "l1" || got.NotFounds != 1 || got.Reason != old.Reason {
		t.Errorf("%+v", got)
	}
	for _, test := range []struct {
		reason, listing string
		ok              bool
	}{
		{"not_found listing=run/7", "run/7", true},
		{"not_found", "", true},
		{"not_found status 410 listing=x y", "x", true},
		{"not_found_elsewhere", "", false},
		{"no_link", "", false},
		{"", "", false},
	} {
		if listing, ok := notFoundReason(test.reason); listing != test.listing || ok != test.ok {
			t.Errorf("notFoundReason(%q) = %q, %t", test.reason, listing, ok)
		}
	}
}

// A day of 100,000 recordings must stay below 350 bytes each, archived at once or after waiting.
func TestDayMemory(t *testing.T) {
	for name, kinds := range map[string][]Outcome{"archived": {Archived}, "waited": {Pending}} {
		t.Run(name, func(t *testing.T) {
			if per := memoryOf(t, kinds); per > 350 {
				t.Errorf("%d bytes a recording", per)
			} else {
				t.Logf("%d bytes a recording", per)
			}
		})
	}
}

func memoryOf(t *testing.T, kinds []Outcome) uint64 {
	const n = 100_000
	measure := func() uint64 {
		runtime.GC()
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	before := measure()
	var f fold
	var v view
	for _, outcome := range kinds {
		for i := range n {
			r := recording(fmt.Sprintf("%012d", i), outcome)
			r.CallID, r.Run, r.Source = fmt.Sprintf("%010d", i), runA, fmt.Sprintf("%016x.%016x", i, i)
			if outcome == Pending {
				r.Cause, r.Listing = CauseNotFound, runA+"/1"
			} else {
				r.Key = fmt.Sprintf("%d_%010d_5550100_20250501.mp3", i, i)
				r.ETag = ""
			}
			line, err := r.line()
			if err != nil {
				t.Fatal(err)
			}
			if !scanRecording(line[:len(line)-1], &v) {
				t.Fatal("our own line is not scanned")
			}
			f.add(&v)
		}
	}
	per := (measure() - before) / n
	runtime.KeepAlive(&f)
	return per
}
