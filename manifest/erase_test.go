package manifest

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

const canary = "canary"

// told is a recording whose line says what must go.
func told(id string, outcome Outcome) Recording {
	r := recording(id, outcome)
	r.Key, r.Source, r.Host, r.Reason = canary+"/"+id+".mp3", canary+"."+id, canary, canary
	return r
}

func row(id, text string) Call {
	return Call{CallID: id, Time: noon, Row: fmt.Appendf(nil, `{"id":%q,"number":%q}`, id, text)}
}

func noteCalls(t testing.TB, d *Day, calls ...Call) {
	t.Helper()
	if err := d.NoteCalls(t.Context(), calls); err != nil {
		t.Fatal(err)
	}
}

// putIntent notes that recordings and calls of a day are to be erased.
func putIntent(t testing.TB, l *Ledger, erasure, day string, recordings, calls []string) {
	t.Helper()
	r := NewErasureRecord(ErasureIntent, erasure)
	for _, id := range recordings {
		r.Recordings = append(r.Recordings, ErasedID{day, id})
	}
	for _, id := range calls {
		r.Calls = append(r.Calls, ErasedID{day, id})
	}
	if err := l.PutRecords(t.Context(), ErasureStem, r); err != nil {
		t.Fatal(err)
	}
}

func eraseLines(t testing.TB, l *Ledger, day string) []string {
	t.Helper()
	digests, err := l.EraseLines(t.Context(), day)
	if err != nil {
		t.Fatal(err)
	}
	return digests
}

// wantNone fails where a file of the archive holds a text, compressed or not.
func wantNone(t testing.TB, p place, text string) {
	t.Helper()
	for name := range p.files(t, "") {
		data, _, err := (&Ledger{objects: p.store(t)}).readLines(t.Context(), name)
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(string(data), text) {
			t.Errorf("%s holds %q", name, text)
		}
	}
}

// Stubs take the place of lines, in their order; roots hold and the day stays closed.
func TestEraseLines(t *testing.T) {
	inPlaces(t, func(t *testing.T, p place) {
		l := p.open(t, Options{Run: runA})
		d := loadDay(t, l, testDay)
		noteCalls(t, d, row("c1", canary), row("c2", "555"), row("c3", canary))
		note(t, d, told("1", Failed), recording("2", Archived), told("3", Archived))
		note(t, d, later("1", Archived, 9), later("2", Archived, 9))
		closeDay(t, d, DayLine{Filter: "f"})
		closeDay(t, d, DayLine{Calls: 3})
		before, _ := lineFor(statusOf(t, l, testDay).Lines, "")
		closeLedger(t, l)

		l = p.open(t, Options{Run: runB})
		putIntent(t, l, "E1", testDay, []string{"1"}, []string{"c1", "c3"})
		wantFaults(t, l, testDay)
		digests := eraseLines(t, l, testDay)
		if len(digests) != 5 || len(slices.Compact(slices.Sorted(slices.Values(digests)))) != 5 {
			t.Errorf("%d digests: %v", len(digests), digests)
		}
		if again := eraseLines(t, l, testDay); !slices.Equal(again, digests) {
			t.Errorf("again %v", again)
		}
		wantNone(t, p, canary)
		wantFaults(t, l, testDay)
		lines := statusOf(t, l, testDay).Lines
		if len(lines) != 2 {
			t.Fatalf("closed for %d filters", len(lines))
		}
		for _, after := range lines {
			if after.Root != before.Root || after.CallsRoot != before.CallsRoot || after.Lines != 6 || after.Recordings != 3 ||
				after.ByOutcome[Erased] != 2 || after.ByOutcome[Archived] != 1 || after.Bytes != 1000 {
				t.Errorf("%+v", after)
			}
		}
	})
}
