package manifest

import (
	"errors"
	"maps"
	"slices"
	"strings"
	"testing"
)

// putExpiry notes an expiry of a day, or its withdrawal.
func putExpiry(t testing.TB, l *Ledger, state, day string, ids ...string) {
	t.Helper()
	r := &ExpiryRecord{State: state, Class: "short", Ended: "2025-06-01", Recordings: ids}
	if err := l.PutExpiry(t.Context(), day, r); err != nil {
		t.Fatal(err)
	}
}

// outcomesOf returns the folded outcomes of a day.
func outcomesOf(t testing.TB, l *Ledger, day string) map[string]Outcome {
	t.Helper()
	d, err := l.Read(t.Context(), day, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	is := map[string]Outcome{}
	for id, s := range d.Recordings() {
		is[id] = s.Outcome
	}
	return is
}

// From the intent on, the state of a recording is expired, with its other fields, only on the given day. Rows and
// lines stay unchanged, days stay closed, and a withdrawal makes it archived again.
func TestExpiry(t *testing.T) {
	inPlaces(t, func(t *testing.T, p place) {
		const other = "2025-05-02"
		l := p.open(t, Options{Run: runA})
		for _, day := range []string{testDay, other} {
			d := loadDay(t, l, day)
			noteCalls(t, d, row("c1", canary))
			note(t, d, told("1", Archived), recording("2", Archived), recording("3", Damaged), recording("4", Pending))
			note(t, d, later("4", Archived, 9))
			closeDay(t, d, DayLine{Filter: "f"})
			closeDay(t, d, DayLine{Calls: 1})
		}
		before := statusOf(t, l, testDay).Lines
		closeLedger(t, l)

		l = p.open(t, Options{Run: runB})
		lines := slices.Sorted(slices.Values(p.holding(t, canary)))
		putExpiry(t, l, ErasureIntent, testDay, "1", "3", "4", "unknown")
		putExpiry(t, l, ErasureWithdrawn, testDay, "4")
		want := map[string]Outcome{"1": Expired, "2": Archived, "3": Expired, "4": Archived}
		check := func(l *Ledger) {
			t.Helper()
			if is := outcomesOf(t, l, testDay); !maps.Equal(is, want) {
				t.Errorf("%s: %v, want %v", testDay, is, want)
			}
			if is := outcomesOf(t, l, other); is["1"] != Archived {
				t.Errorf("%s: %v", other, is)
			}
			wantFaults(t, l, testDay)
			if _, err := l.ReadAll(t.Context(), testDay, func(f Fault) error { t.Errorf("%+v", f); return nil }); err != nil {
				t.Fatal(err)
			}
			scanned := map[string]Outcome{}
			err := l.Scan(t.Context(), func(e Entry) error {
				if e.Day == testDay {
					scanned[string(e.ID)] = e.Outcome
				}
				if e.Outcome == Expired && len(e.Key) == 0 {
					t.Errorf("recording %s has no key", e.ID)
				}
				return nil
			})
			if err != nil || !maps.Equal(scanned, want) {
				t.Errorf("scanned %v, want %v: %v", scanned, want, err)
			}
		}
		check(l)
		state, _ := loadDay(t, l, testDay).Recording("1")
		if state.Key != told("1", Archived).Key || state.Size == 0 || !state.Final || !strings.Contains(state.Reason, `its retention, class "short", ended on 2025-06-01`) {
			t.Errorf("%+v", state)
		}
		if err := l.Recount(t.Context(), testDay); err != nil {
			t.Fatal(err)
		}
		check(l)
		after := statusOf(t, l, testDay).Lines
		if len(after) != len(before) {
			t.Fatalf("closed for %d filters", len(after))
		}
		for i := range after {
			if after[i].Root != before[i].Root || after[i].ByOutcome[Expired] != 2 || after[i].ByOutcome[Archived] != 2 || after[i].Bytes >= before[i].Bytes {
				t.Errorf("%+v", after[i])
			}
		}
		if now := slices.Sorted(slices.Values(p.holding(t, canary))); !slices.Equal(now, lines) {
			t.Errorf("the lines stand in %v, stood in %v", now, lines)
		}
		e, err := l.Erasures(t.Context())
		if err != nil || !maps.EqualFunc(e.UnfinishedExpiries(), map[string][]string{runB: {testDay}}, slices.Equal[[]string]) {
			t.Errorf("unfinished: %v, %v", e.UnfinishedExpiries(), err)
		}
		if err := l.EndExpiry(t.Context(), runB); err != nil {
			t.Fatal(err)
		}
		if e, err := l.Erasures(t.Context()); err != nil || len(e.UnfinishedExpiries()) > 0 {
			t.Errorf("unfinished: %v, %v", e.UnfinishedExpiries(), err)
		}
		closeLedger(t, l)
		l = p.open(t, Options{ReadOnly: true})
		check(l)
	})
}

// A run that has read a day before something of it expired neither closes it with the old state, nor stores
// contradicting lines in a bucket; its stored recording is reported.
func TestExpiryMeanwhile(t *testing.T) {
	p := place{objects: newObjects()}
	l := p.open(t, Options{Run: runA})
	d := loadDay(t, l, testDay)
	noteCalls(t, d, row("c1", "555"))
	note(t, d, recording("1", Damaged), recording("2", Archived))
	if err := d.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	note(t, d, later("1", Archived, 9))
	other := p.open(t, Options{Run: runB})
	putExpiry(t, other, ErasureIntent, testDay, "1")
	closeLedger(t, other)
	if err := d.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := d.Close(t.Context(), DayLine{Calls: 1}); !errors.Is(err, ErrChanged) {
		t.Errorf("closed: %v", err)
	}
	closeLedger(t, l)
	if left := l.LeftOut(); len(left) != 1 || left[0].RecordingID != "1" {
		t.Errorf("left out: %+v", left)
	}
	reading := p.open(t, Options{ReadOnly: true})
	raw, err := reading.ReadAll(t.Context(), testDay, func(f Fault) error { t.Errorf("%+v", f); return nil })
	if err != nil {
		t.Fatal(err)
	}
	if state, _ := raw.Recording("1"); state.Outcome != Expired {
		t.Errorf("the line says %s", state.Outcome)
	}
}

// A file that is not a record of an expiry is an error: it is unknown what must not be fetched.
func TestExpiryUnreadable(t *testing.T) {
	p := place{objects: newObjects()}
	l := p.open(t, Options{Run: runA})
	note(t, loadDay(t, l, testDay), recording("1", Archived))
	closeLedger(t, l)
	for name, text := range map[string]string{
		"expire-" + testDay + "-" + runA + "-000001.jsonl": `{"v":1,"kind":"expiry"}` + "\n",
		"expire-else-000001.jsonl":                         `{}` + "\n",
	} {
		objects := p.bucket()
		if err := objects.PutFile(t.Context(), "evidence/"+name, []byte(text), ""); err != nil {
			t.Fatal(err)
		}
		_, err := p.open(t, Options{ReadOnly: true}).Read(t.Context(), testDay, nil, nil)
		if broken, ok := errors.AsType[*ErasuresError](err); !ok || !strings.Contains(broken.Error(), "not a record of an expiry") {
			t.Errorf("%s: %v", name, err)
		}
		p.objects.locked(func() { delete(p.objects.objects, "evidence/"+name) })
	}
}
