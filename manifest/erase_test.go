package manifest

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
)

const canary = "canary"

// told is a recording whose line contains the data to erase.
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

// putIntent notes an intent to erase recordings and calls of a day.
func putIntent(t testing.TB, l *Ledger, erasure, day string, recordings, calls []string) {
	t.Helper()
	r := NewErasureRecord(ErasureIntent, erasure)
	for _, id := range recordings {
		r.Recordings = append(r.Recordings, ErasedID{Day: day, ID: id})
	}
	for _, id := range calls {
		r.Calls = append(r.Calls, ErasedID{Day: day, ID: id})
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

// wantNone fails if a file of the archive holds a text, compressed or not.
func wantNone(t testing.TB, p place, text string) {
	t.Helper()
	if names := p.holding(t, text); len(names) > 0 {
		t.Errorf("%q stands in %v", text, names)
	}
}

// Stubs replace lines in place; roots stay valid and the day stays closed.
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

// From the intent on, before any line is changed, readers show only ids and writers write no erased data. The erased
// recordings still count, and an open day closes.
func TestIntentIsObeyed(t *testing.T) {
	inPlaces(t, func(t *testing.T, p place) {
		l := p.open(t, Options{Run: runA})
		d := loadDay(t, l, testDay)
		noteCalls(t, d, row("c1", canary), row("c2", "555"), row("c3", canary))
		note(t, d, told("1", Failed), recording("2", Archived), told("3", Archived))
		closeLedger(t, l)

		l = p.open(t, Options{Run: runB})
		if e, err := l.Erasures(t.Context()); err != nil || !e.isEmpty() {
			t.Errorf("%+v, %v", e, err)
		}
		if err := l.PutRecords(t.Context(), ErasureStem, intentOf(testDay)); err != nil {
			t.Fatal(err)
		}
		wantHidden(t, l, testDay)
		wantFaults(t, l, testDay)
		d = loadDay(t, l, testDay)
		one, _ := d.Recording("1")
		if want := (State{Outcome: Erased, Final: true, CallID: "c1", Reason: "E1", Time: unixTime(zeroUnix), FirstSeen: unixTime(zeroUnix), History: History{Since: unixTime(zeroUnix)}}); one != want {
			t.Errorf("%+v, want %+v", one, want)
		}
		if three, _ := d.Recording("3"); three.Outcome != Erased || d.Count() != 3 {
			t.Errorf("a recording of an erased call: %+v, of %d", three, d.Count())
		}
		if !d.IsErased("1", "") || !d.IsErased("new", "c3") || d.IsErased("2", "c2") || d.IsErased("", "") {
			t.Error("what is erased is not known by recording and by call")
		}
		note(t, d, later("1", Archived, 99), recording("4", Archived), func() Recording { r := told("new", Failed); r.CallID = "c3"; return r }())
		noteCalls(t, d, row("c1", canary), row("c4", "555"))
		note(t, d, func() Recording { r := recording("5", Archived); r.CallID = "c1"; return r }())
		closeDay(t, d, DayLine{})
		if line, _ := lineFor(d.Lines(), ""); line.ByOutcome[Erased] != 4 || line.ByOutcome[Archived] != 2 || line.Recordings != 6 || line.Lines != 4+3 {
			t.Errorf("%+v", line)
		}
		if got := outcomes(d); got["5"] != Erased || got["new"] != Erased {
			t.Errorf("recordings of erased calls: %v", got)
		}
		rows := map[string]string{}
		if err := l.Calls(t.Context(), testDay, func(c Call) error { rows[c.CallID] = string(c.Row); return nil }); err != nil {
			t.Fatal(err)
		}
		if rows["c1"] != "{}" || rows["c3"] != "{}" || len(rows) != 4 || rows["c4"] == "{}" {
			t.Errorf("rows %v", rows)
		}
		for _, name := range p.holding(t, canary) {
			if strings.Contains(name, runB) {
				t.Errorf("%s tells of what is erased", name)
			}
		}
		wantHidden(t, l, testDay)
		wantFaults(t, l, testDay)
		eraseLines(t, l, testDay)
		wantNone(t, p, canary)
		wantFaults(t, l, testDay)
		if len(statusOf(t, l, testDay).Lines) != 1 {
			t.Error("the day is open")
		}
	})
}

// An id is erased on every day, including days that are not in the intent and were not rewritten.
func TestErasedOnEveryDay(t *testing.T) {
	inPlaces(t, func(t *testing.T, p place) {
		makeErasable(t, p)
		l := p.open(t, Options{Run: runC})
		putIntent(t, l, "E1", "2025-04-01", []string{"1", "3"}, []string{"c1", "c3"})
		if err := l.PutRecords(t.Context(), ErasureStem, NewErasureRecord(ErasureDone, "E1")); err != nil {
			t.Fatal(err)
		}
		wantHidden(t, l, testDay)
		wantFaults(t, l, testDay)
		if len(statusOf(t, l, testDay).Lines) != 2 {
			t.Error("the day is open")
		}
	})
}

// Buffered lines of a run are not stored if another process erases them, and the run closes the day after reading it
// again.
func TestErasedWhileHeldInMemory(t *testing.T) {
	p := place{name: "bucket", objects: newObjects()}
	l := p.open(t, Options{Run: runA})
	d := loadDay(t, l, testDay)
	noteCalls(t, d, row("c1", canary), row("c2", "555"))
	note(t, d, told("1", Archived), recording("2", Archived))
	if err := p.open(t, Options{Run: runB}).PutRecords(t.Context(), ErasureStem, intentOf(testDay)); err != nil {
		t.Fatal(err)
	}
	lists := p.objects.lists
	if err := d.Close(t.Context(), DayLine{}); !errors.Is(err, ErrChanged) {
		t.Errorf("closed with what is erased: %v", err)
	}
	if n := p.objects.lists - lists; n != 3 { // two of erasures, for two segments, and one of the day
		t.Errorf("%d listings", n)
	}
	wantNone(t, p, canary)
	d = loadDay(t, l, testDay)
	closeDay(t, d, DayLine{})
	if line, _ := lineFor(d.Lines(), ""); line.Recordings != 2 || line.ByOutcome[Archived] != 1 || line.ByOutcome[Erased] != 1 {
		t.Errorf("%+v", line)
	}
	wantFaults(t, l, testDay)
	if digests := eraseLines(t, l, testDay); len(digests) != 0 {
		t.Errorf("stubs for lines that were never stored: %v", digests)
	}
	// If the erasures cannot be read, no line is stored, and none is lost.
	note(t, d, recording("4", Archived))
	p.write(t, "evidence/erase-broken.jsonl", []byte("{}\n"))
	var broken *ErasuresError
	if err := d.Flush(t.Context()); !errors.As(err, &broken) {
		t.Errorf("put without knowing what is erased: %v", err)
	}
	if _, err := p.open(t, Options{ReadOnly: true}).Read(t.Context(), testDay, nil, nil); !errors.As(err, &broken) {
		t.Errorf("read without knowing what is erased: %v", err)
	}
	p.remove(t, "evidence/erase-broken.jsonl")
	if err := d.Flush(t.Context()); err != nil || loadDay(t, l, testDay).Count() != 3 {
		t.Errorf("%v", err)
	}
}

// A long-lived reader sees new erasures on each pass over the archive, and the days that they change.
func TestReadersLearnOfErasures(t *testing.T) {
	for name, learn := range map[string]func(t *testing.T, l *Ledger){
		"days":  func(t *testing.T, l *Ledger) { collect(t, l.Days(t.Context())) },
		"files": func(t *testing.T, l *Ledger) { collect(t, l.Files(t.Context())) },
		"scan": func(t *testing.T, l *Ledger) {
			if err := l.Scan(t.Context(), func(Entry) error { return nil }); err != nil {
				t.Fatal(err)
			}
		},
	} {
		for _, p := range places(t) {
			t.Run(name+" on "+p.name, func(t *testing.T) {
				makeErasable(t, p)
				l := p.open(t, Options{ReadOnly: true})
				before := collect(t, l.Files(t.Context()))
				putIntent(t, p.open(t, Options{Run: runC}), "E1", testDay, []string{"1"}, []string{"c1", "c3"})
				learn(t, l)
				wantHidden(t, l, testDay)
				after := collect(t, l.Files(t.Context()))
				if len(before) != 1 || len(after) != 1 || len(after[0].Files) != len(before[0].Files)+1 {
					t.Errorf("files %v, then %v", before, after)
				}
			})
		}
	}
}

// Other runs may write to a bucket while lines are erased: their lines are erased too.
func TestErasedWhileOthersWrite(t *testing.T) {
	p := place{name: "bucket", objects: newObjects()}
	makeErasable(t, p)
	l := p.open(t, Options{Run: runNew})
	putIntent(t, l, "E1", testDay, []string{"1"}, []string{"c1", "c3"})
	stale := p.open(t, Options{Run: runNewer}) // started before
	raw := linesOf(t, told("1", Archived))
	writes := 0
	p.objects.put = func(name string) error {
		if writes++; strings.HasPrefix(name, "evidence/") || writes > 3 {
			return nil
		}
		late := segmentFile(treeManifest, testDay, stale.Run(), writes, extPlain)
		p.objects.set(late, raw)
		if old, ok := p.objects.objects[name]; ok && writes == 2 { // and another process replaces the same segment
			p.objects.set(name, old.data)
		}
		return nil
	}
	digests := eraseLines(t, l, testDay)
	p.objects.locked(func() { p.objects.put = nil })
	wantNone(t, p, canary)
	wantFaults(t, l, testDay)
	if len(digests) != 13 || writes < 5 {
		t.Errorf("%d digests, %d writes", len(digests), writes)
	}
	if len(statusOf(t, l, testDay).Lines) != 2 {
		t.Error("the day is open")
	}
}

// Older versions noted numbers and names in filters as hashes, which can be guessed. Lines and day lines with such a
// hash are removed; the digests that an audit accepts are noted first.
func TestHashesOfPersonsGo(t *testing.T) {
	const filter = "campaign_id=7&phone_number=sha256:0123456789abcdef"
	inPlaces(t, func(t *testing.T, p place) {
		makeErasable(t, p)
		l := p.open(t, Options{Run: runNew})
		d := loadDay(t, l, testDay)
		if err := d.NoteWindows(t.Context(), Window{Filter: filter}, Window{Filter: "campaign_id=7"}); err != nil {
			t.Fatal(err)
		}
		closeDay(t, d, DayLine{Filter: filter})
		closeLedger(t, l)
		before := closedLines(t, l, testDay)
		for n, died := 0, true; died; n++ {
			died = killed(t, p, n, func(l *Ledger) error {
				if err := l.PutRecords(t.Context(), ErasureStem, intentOf(testDay)); err != nil {
					return err
				}
				_, err := l.EraseLines(t.Context(), testDay)
				return err
			})
		}
		wantNone(t, p, "sha256:0123")
		l = p.open(t, Options{ReadOnly: true})
		delete(before, filter)
		if after := closedLines(t, l, testDay); !maps.Equal(after, before) {
			t.Errorf("closed %v, want %v", after, before)
		}
		wantFaults(t, l, testDay)
		if windows := loadDay(t, l, testDay).Windows(); len(windows) != 1 || windows[0].Filter != "campaign_id=7" {
			t.Errorf("%+v", windows)
		}
		noted, stubs := map[string]bool{}, 0
		e := ErasureRecord{}
		err := l.Records(t.Context(), ErasureStem, func(_ string, raw []byte) error {
			err := json.Unmarshal(raw, &e)
			for _, digest := range e.Digests {
				noted[digest] = noted[digest] || e.State == ErasureLines
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		for _, file := range p.files(t, "manifest/"+testDay) {
			for line := range strings.Lines(string(file)) {
				if digest, ok := stubDigest([]byte(strings.TrimSuffix(line, "\n"))); ok && strings.Contains(line, `"kind":"erased"`) {
					if stubs++; !noted[string(digest)] {
						t.Errorf("no record names the digest of %s", line)
					}
				}
			}
		}
		if stubs != 1 {
			t.Errorf("%d stubs of windows", stubs)
		}
	})
}

// The owner of an unreadable row is unknown; an unreadable manifest line must be repaired.
func TestErasingBesideBadLines(t *testing.T) {
	inPlaces(t, func(t *testing.T, p place) {
		makeErasable(t, p)
		name := segmentFile(treeCalls, testDay, runNew, 1, extPlain)
		p.write(t, name, []byte(`{"v":1,"kind":"call","row":{"number":"`+canary+"\n"))
		l := p.open(t, Options{Run: runNewer})
		putIntent(t, l, "E1", testDay, []string{"1"}, []string{"c1", "c3"})
		eraseLines(t, l, testDay)
		wantNone(t, p, canary)
		p.write(t, segmentFile(treeManifest, testDay, runNew, 1, extPlain), []byte(canary+"\n"))
		var bad *BadLineError
		if _, err := l.EraseLines(t.Context(), testDay); !errors.As(err, &bad) {
			t.Errorf("with a bad line: %v", err)
		}
		if _, err := l.Mend(t.Context(), testDay, "a test"); err != nil {
			t.Fatal(err)
		}
		eraseLines(t, l, testDay)
		for info, err := range l.objects.ListFiles(t.Context(), treeManifest+"/") {
			if err != nil {
				t.Fatal(err)
			}
			if strings.HasSuffix(info.Name(), ".bad-"+runNewer) { // only the caller removes it
				p.remove(t, info.Name())
			}
		}
		wantNone(t, p, canary)
	})
}

// A read-only ledger obeys erasures, but cannot erase.
func TestReadersDoNotErase(t *testing.T) {
	inPlaces(t, func(t *testing.T, p place) {
		makeErasable(t, p)
		l := p.open(t, Options{ReadOnly: true})
		if _, err := l.EraseLines(t.Context(), testDay); !errors.Is(err, ErrReadOnly) {
			t.Errorf("%v", err)
		}
		if err := l.SaltDay(t.Context(), testDay); !errors.Is(err, ErrReadOnly) {
			t.Errorf("%v", err)
		}
	})
}

// holding returns the files that contain a text, compressed or not.
func (p place) holding(t testing.TB, text string) (names []string) {
	t.Helper()
	for name, file := range p.files(t, "") {
		data, err := unpacked(name, file)
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(string(data), text) {
			names = append(names, name)
		}
	}
	return names
}

// Stubs are the documented lines, byte for byte, and are parsed correctly.
func TestStubs(t *testing.T) {
	e := ErasuresOf([]ErasureRecord{*intentOf(testDay)})
	digest := strings.Repeat("0123456789abcdef", 4)
	recording := `{"v":1,"kind":"recording","recording_id":"1","outcome":"erased","key":"","size":0,"sha256":"","time":"0001-01-01T00:00:00Z","run":"",` +
		`"call_id":"c1","first_seen":"0001-01-01T00:00:00Z","attempts":0,"content_type":"","etag":"","host":"","reason":"E1","digest":"` + digest + `"}`
	call := `{"v":1,"kind":"call","call_id":"c1","time":"0001-01-01T00:00:00Z","run":"","row":{},"reason":"E1","digest":"` + digest + `"}`
	window := `{"v":1,"kind":"erased","digest":"` + digest + `"}`
	for _, test := range []struct {
		line, want string
		tree       Tree
	}{
		{strings.TrimSuffix(string(linesOf(t, told("1", Archived))), "\n"), recording, TreeManifest},
		{recording, recording, TreeManifest},
		{strings.Replace(recording, `"key":""`, `"key":"left"`, 1), recording, TreeManifest},
		{`{"v":1,"kind":"call","call_id":"c1","time":"2025-05-02T12:00:00Z","run":"r","row":{"a":1},"salt":"00112233445566778899aabbccddeeff"}`, call, TreeCalls},
		{call, call, TreeCalls},
		{`{"v":1,"kind":"window","filter":"number_dialed=sha256:00","salt":"00"}`, window, TreeManifest},
		{window, window, TreeManifest},
		{`{"v":1,"kind":"day","closed":true,"filter":"first_name=sha256:00","lines":1,"sha256":"00","old":true}`, window, TreeManifest},
		{`{"v":1,"kind":"of a later version","recording_id":"1"}`, "", TreeManifest},
		{strings.TrimSuffix(string(linesOf(t, recordingOf("2"))), "\n"), "", TreeManifest},
	} {
		want := test.want
		if sum := fmt.Sprint(hexSum([]byte(test.line))); !strings.Contains(test.line, digest) {
			want = strings.ReplaceAll(want, digest, sum)
		}
		if want == "" {
			want = test.line
		}
		got, _, err := e.stubOf([]byte(test.line), test.tree, testDay)
		if err != nil || string(got) != want {
			t.Errorf("%s\nbecomes %s, %v\nwant    %s", test.line, got, err, want)
		}
	}
	var v view
	if !scanRecording([]byte(recording), &v) || !v.isBare() || !v.salted || string(v.callID) != "c1" {
		t.Errorf("a stub is read as %+v", v.recording())
	}
	if c, err := parseCall([]byte(call)); err != nil || c.CallID != "c1" || string(c.Row) != "{}" {
		t.Errorf("%+v, %v", c, err)
	}
}

func recordingOf(id string) Recording { return recording(id, Archived) }

// A withdrawn intent has no effect, in any order of the records, and another intent for the same ids still counts. Days
// read before the withdrawal are read again.
func TestWithdrawn(t *testing.T) {
	intent := func(erasure, recording string) ErasureRecord {
		r := NewErasureRecord(ErasureIntent, erasure)
		r.Recordings, r.Calls = []ErasedID{{Day: testDay, ID: recording}}, []ErasedID{{Day: testDay, ID: "c"}}
		return *r
	}
	records := []ErasureRecord{intent("E1", "1"), intent("E1", "2"), *NewErasureRecord(ErasureWithdrawn, "E1"), intent("E2", "2")}
	for i := range records {
		for j := range records {
			mixed := slices.Clone(records)
			mixed[i], mixed[j] = mixed[j], mixed[i]
			e := ErasuresOf(mixed)
			_, first := e.Recording("1")
			second, _ := e.Recording("2")
			call, _ := e.Call("c")
			left := e.Unfinished()
			if first || second != "E2" || call != "E2" || len(left) != 1 || left[0].Erasure != "E2" || !e.isOpen(testDay) {
				t.Errorf("%d and %d changed places: %+v", i, j, e)
			}
		}
	}
	inPlaces(t, func(t *testing.T, p place) {
		l := p.open(t, Options{Run: runA})
		d := loadDay(t, l, testDay)
		noteCalls(t, d, row("c1", canary))
		note(t, d, told("1", Archived))
		closeDay(t, d, DayLine{Calls: 1})
		want := func(outcome Outcome) {
			t.Helper()
			if s, _ := loadDay(t, l, testDay).Recording("1"); s.Outcome != outcome {
				t.Errorf("it is %s, want %s", s.Outcome, outcome)
			}
			wantFaults(t, l, testDay)
		}
		files := func() (list []File) {
			t.Helper()
			for of, err := range l.Files(t.Context()) {
				if err != nil {
					t.Fatal(err)
				}
				list = append(list, of.Files...)
			}
			return list
		}
		before := files()
		putIntent(t, l, "E1", testDay, []string{"1"}, []string{"c1"})
		if slices.Equal(files(), before) {
			t.Error("the day looks the same after the intent")
		}
		want(Erased)
		if err := l.PutRecords(t.Context(), ErasureStem, NewErasureRecord(ErasureWithdrawn, "E1")); err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(files(), before) {
			t.Error("the day does not look as before after the erasure was withdrawn")
		}
		want(Archived)
		if digests := eraseLines(t, l, testDay); len(digests) > 0 {
			t.Errorf("stubs %v", digests)
		}
		want(Archived)
		closeLedger(t, l)
	})
}

// Lines that another unfinished erasure still needs stay, because they locate its audio.
func TestEraseLinesOfOne(t *testing.T) {
	inPlaces(t, func(t *testing.T, p place) {
		l := p.open(t, Options{Run: runA})
		d := loadDay(t, l, testDay)
		note(t, d, told("1", Archived), told("2", Archived))
		closeDay(t, d, DayLine{})
		closeLedger(t, l)
		l = p.open(t, Options{Run: runB})
		putIntent(t, l, "E1", testDay, []string{"1"}, nil)
		putIntent(t, l, "E2", testDay, []string{"2"}, nil)
		for n, erasure := range []string{"E2", "E1"} {
			digests, err := l.EraseLines(t.Context(), testDay, erasure)
			if err != nil || len(digests) != n+1 {
				t.Errorf("%s: %v, %v", erasure, digests, err)
			}
			if isThere := len(p.holding(t, canary+"/1.mp3")) > 0; isThere != (erasure == "E2") {
				t.Errorf("after %s the line of 1 is there: %v", erasure, isThere)
			}
			if err := l.PutRecords(t.Context(), ErasureStem, NewErasureRecord(ErasureDone, erasure)); err != nil {
				t.Fatal(err)
			}
			wantFaults(t, l, testDay)
		}
		wantNone(t, p, canary)
		closeLedger(t, l)
	})
}
