package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"convoso-archiver/evidence"
	"convoso-archiver/fetcher/convosotest"
	"convoso-archiver/manifest/report"
)

// verifiedEvents returns the events of a recording's history about verifications.
func (a *archive) verifiedEvents(id string) (events []string) {
	a.t.Helper()
	var h evidence.History
	r := a.other(0, "audit", id, "--json")
	if err := json.Unmarshal([]byte(r.stdout), &h); err != nil {
		a.t.Fatalf("%v: %s", err, r.stdout)
	}
	for _, e := range h.Events {
		if strings.Contains(strings.ToLower(e.What), "verified") {
			events = append(events, e.What+": "+e.Detail)
		}
	}
	slices.Sort(events) // events within one second are unordered
	return events
}

// TestVerifyNotes: --note records what was checked and found. The history of a recording has exactly the verifications
// that read it.
func TestVerifyNotes(t *testing.T) {
	onEach(t, 181, func(t *testing.T, a *archive, files plainFiles) {
		a.verify().want(t, 0)
		if names := files.names("evidence/"); len(names) > 0 {
			t.Fatalf("without --note: %q", names)
		}
		calls := a.findCalls("--outcome", "archived", "--limit", "2")
		key, damaged, whole := calls[0].Recordings[0].Key, calls[0].Recordings[0].RecordingID, calls[1].Recordings[0].RecordingID
		time.Sleep(1100 * time.Millisecond) // times are in seconds, and a recording stored in the same second may not have been read
		a.verify("--note").want(t, 0)
		a.verify("--note", "--quick").want(t, 0)
		a.verify("--note", "--sample", "50%").want(t, 0)
		a.verify("--note", "--start-time", daysAgo(8)).want(t, 3) // no day
		if names := files.names("evidence/verify-"); len(names) != 4 {
			t.Errorf("noted: %q", names)
		}
		read, compared := "verified: verify read it: the SHA-256 matches", "verified: verify --quick compared its size"
		if got := a.verifiedEvents(whole); !slices.Equal(got, []string{compared, read}) {
			t.Errorf("the history has %q", got)
		}
		text := files.read(key)
		files.write(key, append(slices.Clone(text[:len(text)-1]), text[len(text)-1]+1))
		a.verify("--note").want(t, 4, "wrong_hash")
		if got := a.verifiedEvents(damaged); !slices.Equal(got, []string{"NOT VERIFIED: verify found it damaged", compared, read}) {
			t.Errorf("the history of the damaged one has %q", got)
		}
		if got := a.verifiedEvents(whole); !slices.Equal(got, []string{compared, read, read}) {
			t.Errorf("the history of the whole one has %q", got)
		}
		sealing, signers := sealKey(t)
		a.other(0, "seal", "--key", sealing)
		a.other(4, "audit", "--seals", "--allowed-signers", signers) // the audio
		a.other(0, "audit", "--seals", "--no-audio", "--allowed-signers", signers)
	})
}

// TestVerifyNotesAgainstARun: --note takes the lock of a folder, and fails with a message while a
// run holds it.
func TestVerifyNotesAgainstARun(t *testing.T) {
	t.Parallel()
	server := simulate(t, convosotest.Config{Seed: 182, FirstDay: daysAgo(10), Days: 2, CallsPerDay: 20, RecordedShare: 1, MedianSize: 3_000})
	a := onDisk(t, server)
	a.run("--start-time", daysAgo(10), "--end-time", daysAgo(10)).want(t, 0)
	held, release := holdMedia(t, server)
	a.finish(a.command(context.Background(), twoDays("--workers", "1")...), func(*os.Process) {
		defer release()
		waitFor(t, held)
		day := []string{"--start-time", daysAgo(10), "--end-time", daysAgo(10)}
		a.verify(day...).want(t, 0)
		if r := a.verify(append(day, "--note")...); r.code != 5 || r.found.Checked != 20 || !strings.Contains(r.stderr, "note the result") {
			t.Errorf("exit code %d: %s", r.code, r.stderr)
		}
	}).want(t, 0)
}

// TestReportSaysWhenVerified: report prints the last noted verification of each mode, and verify hints at
// --note.
func TestReportSaysWhenVerified(t *testing.T) {
	onEach(t, 184, func(t *testing.T, a *archive, files plainFiles) {
		const hint, none = "this result was not noted: add --note,", "no verification of these days is noted: run verify --note"
		says := func(want string, args ...string) {
			t.Helper()
			if r := a.report(args...); r.code != 0 || !strings.Contains(r.stdout, want) {
				t.Errorf("exit code %d, report does not say %q: %s", r.code, want, r.stdout)
			}
		}
		if r := a.other(0, "verify"); !strings.HasSuffix(strings.TrimSpace(r.stdout), "report, audit and serve can show it") || !strings.Contains(r.stdout, hint) {
			t.Errorf("no hint: %s", r.stdout)
		}
		says(none)
		if r := a.other(0, "verify", "--note"); strings.Contains(r.stdout, hint) {
			t.Errorf("a hint: %s", r.stdout)
		}
		found := a.verify("--note", "--quick", "--start-time", daysAgo(10), "--end-time", daysAgo(10)).want(t, 0).found
		span := []string{"--start-time", daysAgo(10), "--end-time", daysAgo(9)}
		says(": every byte read, in 2 of 2 listed days; ", span...)
		says(fmt.Sprintf(": only sizes compared, in 1 of 2 listed days; %d recordings checked, nothing damaged\n", found.Checked), span...)

		key := a.findCalls("--outcome", "archived", "--limit", "1")[0].Recordings[0].Key
		text := files.read(key)
		files.write(key, text[:len(text)-1])
		time.Sleep(1100 * time.Millisecond) // the latest one is printed, and verifications have times in seconds
		a.verify("--note").want(t, 4, "wrong_size")
		says(", 1 damaged", span...)
		var made report.Report
		r := a.report(append(span, "--json")...)
		if err := json.Unmarshal([]byte(r.stdout), &made); err != nil || len(made.Verified) != 2 {
			t.Fatalf("%v: %s", err, r.stdout)
		}
		full, quick := made.Verified[0], made.Verified[1]
		if full.Damaged != 1 || full.Days != 2 || !full.Complete || full.From != "" || time.Since(full.Started) > time.Hour ||
			quick.Damaged != 0 || quick.Days != 1 || quick.From != daysAgo(10) || quick.To != daysAgo(10) || quick.Checked != found.Checked {
			t.Errorf("full %+v, quick %+v", full, quick)
		}

		const bad = "evidence/verify-20260301T000000Z-00000000-000001.jsonl"
		files.write(bad, []byte("{\n"))
		says("it is not known when these days were verified: "+bad+" cannot be read; restore it from a copy\n", span...)
	})
}

// TestServeSaysWhenVerified: the page Completeness says when the archive was verified last.
func TestServeSaysWhenVerified(t *testing.T) {
	t.Parallel()
	a := onDisk(t, threeDays(t, 183))
	a.env = append(a.env, quickExit)
	a.run("--start-time", daysAgo(10), "--end-time", daysAgo(8)).want(t, 0)
	for _, step := range []struct {
		verify []string
		want   string
	}{
		{nil, "No verification is noted. Run verify --note to note one."},
		{[]string{"--note"}, ": every byte read, nothing damaged."},
	} {
		if step.verify != nil {
			a.verify(step.verify...).want(t, 0)
		}
		address, _ := a.servePage()
		answer, err := http.Get(address + "completeness")
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(answer.Body)
		_ = answer.Body.Close()
		if err != nil || !strings.Contains(string(text), step.want) {
			t.Errorf("%v, the page does not say %q", err, step.want)
		}
	}
}
