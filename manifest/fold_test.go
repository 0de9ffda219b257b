package manifest

import (
	"fmt"
	"math/rand/v2"
	"reflect"
	"runtime"
	"testing"
	"time"
)

// at is a line of recording x in run, so many hours after noon.
func at(hours int, run string, outcome Outcome, key, reason string) Recording {
	r := recording("x", outcome)
	r.Time, r.FirstSeen = noon.Add(time.Duration(hours)*time.Hour), noon.Add(time.Duration(hours)*time.Hour)
	r.Run, r.Key, r.Reason = run, key, reason
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

func TestRanks(t *testing.T) {
	const erased = Outcome("erased")
	for _, test := range []struct {
		name  string
		lines []Recording
		want  int // index of the deciding line
	}{
		{"later waiting line", []Recording{at(0, runA, Pending, "", ""), at(1, runA, Failed, "", "")}, 1},
		{"archived beats later waiting", []Recording{at(0, runA, Archived, "a", ""), at(1, runB, Failed, "", "")}, 0},
		{"lost beats later waiting", []Recording{at(0, runA, Lost, "", ""), at(1, runB, Pending, "", "")}, 0},
		{"later archived beats lost", []Recording{at(0, runA, Lost, "", ""), at(1, runB, Archived, "a", "")}, 1},
		{"later lost beats archived", []Recording{at(0, runA, Archived, "a", ""), at(1, runB, Lost, "", "")}, 1},
		{"damaged beats earlier archived", []Recording{at(0, runA, Archived, "a", ""), at(1, runB, Damaged, "a", "")}, 1},
		{"damaged beats waiting and lost", []Recording{at(0, runA, Damaged, "a", ""), at(1, runB, Failed, "", ""), at(2, runC, Lost, "", "")}, 0},
		{"archived with another key repairs", []Recording{at(0, runA, Archived, "a", ""), at(1, runB, Damaged, "a", ""), at(2, runC, Archived, "b", "")}, 2},
		{"archived with the same key does not", []Recording{at(0, runA, Archived, "a", ""), at(1, runB, Damaged, "a", ""), at(2, runC, Archived, "a", "")}, 1},
		{"the same key after a repair does not count", []Recording{at(0, runA, Archived, "a", ""), at(1, runB, Damaged, "a", ""), at(2, runC, Archived, "b", ""), at(3, runC, Archived, "a", "")}, 2},
		{"earlier archived with another key does not repair", []Recording{at(0, runA, Archived, "b", ""), at(1, runB, Damaged, "a", "")}, 1},
		{"damaged again", []Recording{at(1, runB, Damaged, "a", ""), at(2, runC, Archived, "b", ""), at(3, runC, Damaged, "b", "")}, 2},
		{"unknown beats all", []Recording{at(0, runA, erased, "", ""), at(1, runB, Archived, "a", ""), at(2, runC, Damaged, "a", "")}, 0},
		{"run decides within a second", []Recording{at(0, runB, Failed, "", ""), at(0, runA, Pending, "", "")}, 0},
	} {
		t.Run(test.name, func(t *testing.T) {
			want := test.lines[test.want]
			for _, order := range permutations(len(test.lines)) {
				list := make([]Recording, len(order))
				for i, j := range order {
					list[i] = test.lines[j]
				}
				got := foldOf(t, list).state(0)
				if got.Outcome != want.Outcome || got.Key != want.Key || !got.Time.Equal(want.Time) {
					t.Errorf("order %v: got %s %q at %s, want line %d", order, got.Outcome, got.Key, got.Time, test.want)
				}
				if !got.FirstSeen.Equal(foldOf(t, test.lines).state(0).FirstSeen) {
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
	if got := foldOf(t, []Recording{damaged, repaired}).state(0); got.Outcome != Archived {
		t.Errorf("repair in the same second: %s", got.Outcome)
	}
	if got := foldOf(t, []Recording{repaired, damaged}).state(0); got.Outcome != Damaged {
		t.Errorf("damage in the same second: %s", got.Outcome)
	}
	if got := foldOf(t, []Recording{at(0, runA, Pending, "", ""), at(0, runA, Failed, "", "")}).state(0); got.Outcome != Failed {
		t.Errorf("waiting in the same second: %s", got.Outcome)
	}
}

func TestFoldIsIndependentOfOrder(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	random := rand.New(rand.NewPCG(seed, 1))
	kinds := []Outcome{Pending, Failed, Rejected, Archived, Lost, Damaged, "erased"}
	for range 300 {
		var list []Recording
		for i := range 2 + random.IntN(7) {
			reason := []string{"", NotFoundReason(fmt.Sprint("l", i)), ReasonNoLink}[random.IntN(3)]
			list = append(list, at(i, runA, kinds[random.IntN(len(kinds))], string(rune('a'+random.IntN(3))), reason))
		}
		want := foldOf(t, list).state(0)
		for range 10 {
			random.Shuffle(len(list), func(i, j int) { list[i], list[j] = list[j], list[i] })
			if got := foldOf(t, list).state(0); !reflect.DeepEqual(got, want) {
				t.Fatalf("seed %d: got %+v, want %+v for %+v", seed, got, want, list)
			}
		}
	}
}

func TestNotFoundSeries(t *testing.T) {
	lines := []Recording{
		at(0, runA, Pending, "", ReasonNoLink),
		at(5, runB, Pending, "", NotFoundReason("l1")),
		at(10, runB, Failed, "", "503"),
		at(30, runC, Pending, "", NotFoundReason("l2")),
	}
	got := foldOf(t, lines).state(0)
	if want := noon.Add(5 * time.Hour); !got.NotFoundSince.Equal(want) || got.NotFoundListing != "l1" {
		t.Errorf("not found since %s in %q, want %s in l1", got.NotFoundSince, got.NotFoundListing, want)
	}
	if got.Reason != NotFoundReason("l2") {
		t.Errorf("reason %q", got.Reason)
	}
	got = foldOf(t, append(lines, at(31, runC, Archived, "a", ""))).state(0)
	if !got.NotFoundSince.IsZero() || got.NotFoundListing != "" {
		t.Errorf("archived, but not found since %s", got.NotFoundSince)
	}
}

func TestNotFoundReason(t *testing.T) {
	for _, test := range []struct {
		reason, listing string
		ok              bool
	}{
		{NotFoundReason("run/7"), "run/7", true},
		{"not_found", "", true},
		{"not_found status 410 listing=x y", "x", true},
		{"not_found_elsewhere", "", false},
		{"no_link", "", false},
		{"", "", false},
	} {
		if listing, ok := notFound(test.reason); listing != test.listing || ok != test.ok {
			t.Errorf("notFound(%q) = %q, %t", test.reason, listing, ok)
		}
	}
}

func TestFinal(t *testing.T) {
	for outcome, want := range map[Outcome]bool{
		Archived: true, Lost: true, "erased": true, Pending: false, Failed: false, Rejected: false, Damaged: false, "": false,
	} {
		if got := outcome.Final(); got != want {
			t.Errorf("%q.Final() = %t", outcome, got)
		}
	}
}

// A day of 100,000 recordings that first waited and were then archived must stay below 200 bytes each.
func TestDayMemory(t *testing.T) {
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
	for _, outcome := range []Outcome{Pending, Archived} {
		for i := range n {
			r := recording(fmt.Sprintf("%012d", i), outcome)
			r.CallID, r.Reason, r.Run = fmt.Sprintf("%010d", i), "", runA
			if outcome == Pending {
				r.Reason = NotFoundReason(runA + "/1")
			} else {
				r.Key = fmt.Sprintf("%d_%010d_5550100_20250501.mp3", i, i)
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
	t.Logf("%d bytes a recording", per)
	if per > 200 {
		t.Errorf("%d bytes a recording", per)
	}
	runtime.KeepAlive(&f)
}
