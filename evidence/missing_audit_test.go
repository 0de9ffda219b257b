package evidence

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"convoso-archiver/archiver/store"
	"convoso-archiver/manifest"
)

// TestAuditOfMissingAudio removes audio like a lifecycle rule. Unless all records, and the sealed ones alone,
// say that its retention has ended, this is a finding.
func TestAuditOfMissingAudio(t *testing.T) {
	first := erasedDay + "-0"
	retention := func(period string) Retention {
		p, err := store.ParsePeriod(period)
		if err != nil {
			t.Fatal(err)
		}
		return Retention{Classes: map[string]store.Period{"a": p, "long": {Years: 20}}, Campaigns: map[string]string{"7": "a", "8": "long"}}
	}
	note := func(r Retention) func(*world, *manifest.Ledger) {
		return func(w *world, l *manifest.Ledger) { w.must(NoteRetention(t.Context(), l, r)) }
	}
	hold := func(w *world, l *manifest.Ledger) {
		note(retention("3d"))(w, l)
		_, err := AddHold(t.Context(), l, "A", []HeldID{{Day: erasedDay, Call: "c" + first, Recording: first}})
		w.must(err)
	}
	for name, c := range map[string]struct {
		sealed, unsealed func(*world, *manifest.Ledger)
		expired          bool
		hint             bool
	}{
		"its retention has ended":     {sealed: note(retention("3d")), expired: true},
		"its retention has not ended": {sealed: note(retention("30y"))},
		"there is no retention":       {},
		"a retention not sealed":      {unsealed: note(retention("3d")), hint: true},
		"a shorter one not sealed":    {sealed: note(retention("30y")), unsealed: note(retention("3d")), hint: true},
		"a longer one not sealed":     {sealed: note(retention("3d")), unsealed: note(retention("30y"))},
		"a case holds it":             {sealed: hold},
		"a release not sealed": {sealed: hold, unsealed: func(w *world, l *manifest.Ledger) {
			_, err := ReleaseHold(t.Context(), l, "A")
			w.must(err)
		}, hint: true},
		"a row not sealed": {sealed: note(retention("3d")), unsealed: func(w *world, l *manifest.Ledger) {
			d, err := l.Load(t.Context(), erasedDay)
			w.must(err)
			w.must(d.NoteCalls(t.Context(), []manifest.Call{{CallID: "c" + first, Time: w.now, Row: json.RawMessage(`{"id":"c` + first + `","campaign_id":"7","x":1}`)}}))
		}, hint: true},
		"a hold that cannot be read": {sealed: note(retention("3d")), unsealed: func(w *world, _ *manifest.Ledger) {
			w.must(os.WriteFile(filepath.Join(w.dir, "evidence", "hold-20260301T000000Z-00000000-000001.jsonl"), []byte("{\n"), 0o600))
		}},
	} {
		w := newWorld(t)
		w.campaigns = []string{"7"}
		w.keepDay(erasedDay, 1)
		if c.sealed != nil {
			w.write(func(l *manifest.Ledger) { c.sealed(w, l) })
		}
		w.seal()
		if c.unsealed != nil {
			w.write(func(l *manifest.Ledger) { c.unsealed(w, l) })
		}
		w.must(os.Remove(w.audio(first)))
		w.now = time.Now()
		made := w.audit(w.dir)
		missing := 0
		hinted := false
		for _, f := range made.Findings {
			if f.Kind == AudioMissing {
				missing++
				hinted = strings.Contains(f.Detail, "erase --expired --yes")
			}
		}
		if (made.Absent == 1) != c.expired || (missing == 0) != c.expired || hinted != c.hint {
			t.Errorf("%s: %d expired, findings %+v", name, made.Absent, made.Findings)
		}
	}
}

// TestAuditOfGrownEvidence adds an expiry to a sealed file of evidence/: it is not sealed.
func TestAuditOfGrownEvidence(t *testing.T) {
	w := newWorld(t)
	w.keepDay(erasedDay, 2)
	expiry := func(id string) *manifest.ExpiryRecord {
		return &manifest.ExpiryRecord{State: manifest.ErasureIntent, Class: "a", Ended: erasedDay, Recordings: []string{id}}
	}
	w.write(func(l *manifest.Ledger) { w.must(l.PutExpiry(t.Context(), erasedDay, expiry(erasedDay+"-0"))) })
	w.seal()
	files, err := filepath.Glob(filepath.Join(w.dir, "evidence", "expire-*"))
	if err != nil || len(files) != 1 {
		t.Fatalf("%q, %v", files, err)
	}
	text, err := os.ReadFile(files[0])
	w.must(err)
	w.must(os.WriteFile(files[0], append(text, []byte(strings.ReplaceAll(string(text), erasedDay+"-0", erasedDay+"-1"))...), 0o600))
	if made := w.audit(w.dir); made.Found == 0 || made.Findings[0].Kind != ErasureUnsealed {
		t.Errorf("%+v", made)
	}
}
