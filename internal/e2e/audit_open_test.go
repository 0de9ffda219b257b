package e2e

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// TestAuditTellsWhatIsOpen: after an erasure and a seal nothing is open; for days closed again, and for lines after the
// closing of a day, the audit says what to run, and that fixes it.
func TestAuditTellsWhatIsOpen(t *testing.T) {
	t.Parallel()
	a := onDisk(t, threeDays(t, 86))
	key, allowed := sealKey(t)
	days := []string{"--start-time", daysAgo(10), "--end-time", daysAgo(8)}
	a.run(days...).want(t, 0)
	a.seal(key)
	wantOpen := func(when, want string) {
		t.Helper()
		said := a.other(0, "audit", "--seals", "--allowed-signers", allowed).stdout
		open := strings.Contains(said, "not sealed ") || strings.Contains(said, "not closed ")
		if open != (want != "") || !strings.Contains(said, want) {
			t.Errorf("%s: the audit does not say %q:\n%s", when, want, said)
		}
	}
	wantOpen("sealed", "")

	id := ""
	for r := range a.server.Recordings() {
		id = r.ID
	}
	a.erase(0, "--ids-from", idsFile(t, id), "--reason", "request 1", "--yes")
	if s := a.seal(key); !s.New || s.Days != 0 {
		t.Errorf("the seal of an erasure: %+v", s)
	}
	wantOpen("erased and sealed", "")

	relist := append(slices.Clone(days), "--relist")
	a.run(relist...).want(t, 0)
	wantOpen("closed again", "not sealed   3 days closed again since the last seal: run seal\n")
	if s := a.seal(key); s.Days != 3 {
		t.Errorf("the seal of days closed again: %+v", s)
	}
	wantOpen("sealed again", "")

	// A run killed before it closed the day leaves lines, and the previous day line.
	name := filepath.Join(a.dest, "manifest", daysAgo(9), "closed.json")
	before, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	a.run("--start-time", daysAgo(9), "--end-time", daysAgo(9), "--relist").want(t, 0)
	writeFile(t, name, string(before))
	wantOpen("lines after the day was closed", "written after the day was closed: run archive --relist over these days, then seal\n")
	a.run(relist...).want(t, 0)
	a.seal(key)
	wantOpen("as the audit said", "")
}

// TestAuditCountsSealedDays: audit --seals counts the erased recordings of sealed days and says so, report those of all days.
func TestAuditCountsSealedDays(t *testing.T) {
	t.Parallel()
	a := onDisk(t, threeDays(t, 187))
	key, allowed := sealKey(t)
	a.run("--start-time", daysAgo(10), "--end-time", daysAgo(9)).want(t, 0)
	a.run("--start-time", daysAgo(8), "--end-time", daysAgo(8), "--settle", "1000h").want(t, 0)
	ofDay := map[string]string{}
	for r := range a.server.Recordings() {
		ofDay[r.Day] = r.ID
	}
	a.erase(0, "--ids-from", idsFile(t, ofDay[daysAgo(9)], ofDay[daysAgo(8)]), "--reason", "request 1", "--yes")
	a.seal(key)
	wantSaid(t, a.report("--start-time", daysAgo(10), "--end-time", daysAgo(8), "--settle", "1000h").want(t, 0).stdout, " 2 erased")
	wantSaid(t, a.other(0, "audit", "--seals", "--allowed-signers", allowed).stdout, "erased       1 recording of sealed days; report counts those of all days\n")
}
