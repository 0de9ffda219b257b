package e2e

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"convoso-archiver/evidence"
	"convoso-archiver/fetcher/convosotest"
)

// erasedArchive is an archive of three days with a person's calls erased: one with recordings, one without.
type erasedArchive struct {
	*archive
	recorded, bare convosotest.Call // the erased calls
	erasure        string           // its id
}

func eraseSome(t *testing.T, seed uint64) erasedArchive {
	t.Helper()
	server := simulate(t, convosotest.Config{Seed: seed, FirstDay: daysAgo(10), Days: 3, CallsPerDay: 20, RecordedShare: 0.5, MedianSize: 2_000})
	e := erasedArchive{archive: onDisk(t, server)}
	e.run("--start-time", daysAgo(10), "--end-time", daysAgo(8)).want(t, 0)
	for c := range server.Calls() {
		if c.Day == daysAgo(9) && len(c.Recordings) > 0 {
			e.recorded = c
		} else if c.Day == daysAgo(9) {
			e.bare = c
		}
	}
	e.erasure = e.erase(0, "--ids-from", idsFile(t, e.recorded.ID, e.bare.ID), "--reason", "request 2025-17", "--yes").Erased[0].Erasure
	return e
}

// wantSaid checks that the output of a command contains texts.
func wantSaid(t *testing.T, said string, wants ...string) {
	t.Helper()
	for _, want := range wants {
		if !strings.Contains(said, want) {
			t.Errorf("it does not say %q:\n%s", want, said)
		}
	}
}

// TestReportCountsErased: the sentence, the table and the CSV of report count the erased
// recordings.
func TestReportCountsErased(t *testing.T) {
	t.Parallel()
	e := eraseSome(t, 87)
	span := []string{"--start-time", daysAgo(10), "--end-time", daysAgo(8)}
	said := e.report(span...).want(t, 0)
	wantSaid(t, said.stdout, "complete: 3 days", " archived, 1 erased", "given up   erased  ")
	csv := e.report(append(span, "--csv")...).want(t, 0).stdout
	wantSaid(t, csv, ",bytes,reasons,erased,expired\n")
	erased := map[string]int{}
	for line := range strings.Lines(csv) {
		if day, _, _ := strings.Cut(line, ","); strings.HasSuffix(line, ",1,0\n") {
			erased[day]++
		}
	}
	if !maps.Equal(erased, map[string]int{daysAgo(9): 1}) {
		t.Errorf("%v:\n%s", erased, csv)
	}
}

// TestAuditOfACall: audit takes the id of a call, with and without recordings, erased or not, and says when it was
// listed, held, released, erased (by which erasure), and sealed.
func TestAuditOfACall(t *testing.T) {
	t.Parallel()
	e := eraseSome(t, 88)
	key, allowed := sealKey(t)
	for _, id := range []string{e.bare.ID, e.recorded.ID, e.recorded.Recordings[0].ID} {
		wantSaid(t, e.other(0, "audit", id).stdout, "\nerasure "+e.erasure+" is not sealed yet: the next seal signs it\n")
	}
	e.seal(key)
	other := convosotest.Call{}
	for c := range e.server.Calls() {
		if c.Day == daysAgo(8) && len(c.Recordings) == 0 {
			other = c
		}
	}
	e.other(0, "hold", "add", "case 1", "--ids-from", idsFile(t, other.ID))
	e.other(0, "hold", "release", "case 1")
	for _, c := range []struct {
		call  convosotest.Call
		wants []string
	}{
		{e.bare, []string{"call " + e.bare.ID + ", call day " + daysAgo(9) + ", without recordings\n", " listed   ", " erasure " + e.erasure, "; request 2025-17", "the erasure " + e.erasure + " is done", " sealed ", "the erasure " + e.erasure + ", by seal 1, SHA-256"}},
		{e.recorded, []string{", with 1 recording: " + e.recorded.Recordings[0].ID + " (erased)\n", " listed   ", " erasure " + e.erasure, "the erasure " + e.erasure + ", by seal 1"}},
		{other, []string{"call " + other.ID + ", call day " + daysAgo(8) + ", without recordings\n", " listed ", " held ", "for the case case 1", " released "}},
	} {
		said := e.other(0, "audit", c.call.ID, "--allowed-signers", allowed).stdout
		wantSaid(t, said, append(c.wants, " closed ", "by seal 1, SHA-256", "1 of 1 line sealed\n")...)
		var h evidence.History
		if err := json.Unmarshal([]byte(e.other(0, "audit", c.call.ID, "--json").stdout), &h); err != nil || h.Kind != evidence.OfCall || len(h.Recordings) != len(c.call.Recordings) || len(h.NotSealed) > 0 {
			t.Errorf("%v: %+v", err, h)
		}
	}
	wantSaid(t, e.other(0, "audit", e.recorded.Recordings[0].ID).stdout, "recording "+e.recorded.Recordings[0].ID+" of call "+e.recorded.ID, " erasure "+e.erasure)
	wantSaid(t, e.other(3, "audit", "no-such-id-1").stdout, "the archive has no recording and no call with this id")
}

// TestEraseList lists finished erasures, and a stopped one.
func TestEraseList(t *testing.T) {
	t.Parallel()
	e := eraseSome(t, 89)
	wantSaid(t, e.other(0, "erase", "list").stdout, "ERASURE ", "REASON\n"+e.erasure, " done    2       1            request 2025-17\n")
	wantSaid(t, e.other(2, "erase", "list", "--number", "5550000").stderr, "--number is not for erase list")
	wantSaid(t, e.other(2, "erase", "lists").stderr, "write: erase list")

	// An erasure killed after its intent leaves only the record of the intent.
	files, err := filepath.Glob(filepath.Join(e.dest, "evidence", "erase-"+e.erasure+"-0*.jsonl"))
	if err != nil || len(files) != 2 {
		t.Fatalf("%v, %q", err, files)
	}
	if err := os.Remove(files[1]); err != nil {
		t.Fatal(err)
	}
	wantSaid(t, e.other(3, "erase", "list").stdout, " unfinished   2       1            request 2025-17\n", "erase --resume finishes 1 erasure")
	e.other(0, "erase", "--resume", "--state-dir", e.state)
	var list struct {
		Erasures []evidence.Erasure `json:"erasures"`
	}
	if err := json.Unmarshal([]byte(e.other(0, "erase", "list", "--json").stdout), &list); err != nil {
		t.Fatal(err)
	}
	if got := list.Erasures; len(got) != 1 || got[0].State != evidence.ErasureDone || got[0].Ended == nil || got[0].Calls != 2 || got[0].Recordings != 1 {
		t.Errorf("%+v", got)
	}
}

// TestEraseSaysWhatToDo: without --yes it names find, and a refusal counts calls and recordings apart, says what to do, and
// comes first.
func TestEraseSaysWhatToDo(t *testing.T) {
	t.Parallel()
	e := eraseSome(t, 93)
	day := daysAgo(8)
	calls, recordings, held, heldRecordings := 0, 0, []string{}, 0
	for c := range e.server.Calls() {
		if c.Day != day {
			continue
		}
		calls++
		recordings += len(c.Recordings)
		if len(held) < 5 {
			held = append(held, c.ID)
			heldRecordings += len(c.Recordings)
		}
	}
	e.find("--last", "30d", "--state-dir", e.state).want(t, 0) // this makes an index
	terms := []string{"--start-time", day, "--end-time", day, "--state-dir", e.state}
	wantSaid(t, e.other(0, "erase", terms...).stdout, "would erase: ", "find with the same terms shows these calls, with numbers, names and times\n")
	e.other(0, "hold", "add", "case 1", "--ids-from", idsFile(t, held...))
	said := e.other(3, "erase", append(terms, "--yes", "--reason", "request 3")...).stdout
	wantSaid(t, said, "\nnext\n", "held: if the case is closed, end the hold with hold release CASE", "or erase only the other calls: give their ids to --ids-from\n")
	want := fmt.Sprintf("nothing was erased: 5 of %d calls and %d of %d recordings must stay\n", calls, heldRecordings, recordings)
	if !strings.HasPrefix(said, want) {
		t.Errorf("it does not begin with %q:\n%s", want, said)
	}
	ids := idsFile(t, held...)
	if said := e.other(3, "erase", "--ids-from", ids, "--state-dir", e.state, "--yes", "--reason", "request 4").stdout; !strings.Contains(said, "held: if the case is closed, end the hold") || strings.Contains(said, "only the other calls") {
		t.Errorf("there are no other calls:\n%s", said)
	}
	if at := strings.Index(said, "index        up to date"); at >= 0 && at < strings.Index(said, "held: case 1") {
		t.Errorf("the refusal comes after the index:\n%s", said)
	}
}
