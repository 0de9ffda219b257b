package e2e

import (
	"bufio"
	"context"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"convoso-archiver/fetcher"
	"convoso-archiver/fetcher/convosotest"
	"convoso-archiver/manifest"
	"convoso-archiver/manifest/report"
)

// servePage starts the page of the archive, which stops with the test. It returns its address, and a function that
// returns its stderr.
func (a *archive) servePage(args ...string) (address string, said func() string) {
	a.t.Helper()
	ctx, cancel := context.WithTimeout(a.t.Context(), 2*time.Minute)
	a.t.Cleanup(cancel)
	cmd := exec.CommandContext(ctx, binary, append([]string{"serve", "--dest", a.dest, "--state-dir", a.state, "--listen", "127.0.0.1:0"}, args...)...)
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "GORACE=halt_on_error=1 atexit_sleep_ms=0"}
	talk, err := os.Create(filepath.Join(a.t.TempDir(), "stderr"))
	if err != nil {
		a.t.Fatal(err)
	}
	a.t.Cleanup(func() { _ = talk.Close() })
	said = func() string {
		text, err := os.ReadFile(talk.Name())
		if err != nil {
			a.t.Error(err)
		}
		return string(text)
	}
	cmd.Stderr = talk
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		a.t.Fatal(err)
	}
	a.t.Cleanup(func() {
		_ = cmd.Process.Signal(os.Interrupt)
		_ = cmd.Wait() // killed by a signal
	})
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		a.t.Fatalf("%v: %s", err, said())
	}
	return strings.TrimSpace(line), said
}

// TestReportForms: the text, the JSON and the page count days in the same way, and say why recordings wait, for an
// archive whose last days were never listed and have not settled.
func TestReportForms(t *testing.T) {
	t.Parallel()
	server := simulate(t, convosotest.Config{
		Seed: 92, FirstDay: daysAgo(8), Days: 9, CallsPerDay: 40, RecordedShare: 0.5, MedianSize: 3_000,
		MediaFaults: map[convosotest.Fault]int{convosotest.FaultHTML: 9, convosotest.FaultNotFound: 9},
	})
	a := onDisk(t, server)
	a.run("--start-time", daysAgo(8), "--end-time", daysAgo(6)).want(t, 3)
	a.run("--start-time", daysAgo(4), "--end-time", daysAgo(4)).want(t, 3) // the fifth and the last day are never listed
	var made report.Report
	if err := json.Unmarshal([]byte(a.report("--json").want(t, 0).stdout), &made); err != nil {
		t.Fatal(err)
	}
	total, last := made.Total, settled(time.Now(), usualSettle)
	if total.NeverListed != 1+daysBetween(daysAgo(4), today()) || total.Unsettled != daysBetween(last, today()) || total.Open == 0 || total.Closed+total.Open+total.NeverListed != total.Days {
		t.Fatalf("%+v", total)
	}
	text := a.report().want(t, 0).stdout
	counts := fmt.Sprintf("%d open, %d never listed, %s to %s not settled yet, ", total.Open, total.NeverListed, fetcher.Date(last).AddDays(1), today())
	if !strings.Contains(text, counts) {
		t.Errorf("no %q in:\n%s", counts, text)
	}

	sum := 0
	for _, n := range total.WaitingBy {
		sum += n
	}
	if causes := slices.Sorted(maps.Keys(total.WaitingBy)); sum != total.Waiting || !slices.Equal(causes, []string{"not_audio", "not_found"}) {
		t.Errorf("%d waiting: %v", total.Waiting, total.WaitingBy)
	}
	for cause, n := range total.WaitingBy {
		_, line, _ := strings.Cut(text, "\nwaiting, by cause: ")
		if line, _, _ = strings.Cut(line, "\n"); !strings.Contains(", "+line+", ", fmt.Sprintf(", %d %s, ", n, cause)) {
			t.Errorf("%d %s: %q", n, cause, line)
		}
		if rows := a.findCalls("--outcome", "rejected,pending"); n != causesIn(rows, cause) {
			t.Errorf("find: %d %s", causesIn(rows, cause), cause)
		}
	}

	address, _ := a.servePage()
	answer, err := http.Get(address + "completeness")
	if err != nil {
		t.Fatal(err)
	}
	body, err := io.ReadAll(answer.Body)
	_ = answer.Body.Close()
	if err != nil || !strings.Contains(string(body), counts) {
		t.Errorf("%v: the page lacks %q", err, counts)
	}
}

// TestReportMissing: --missing lists exactly the unarchived recordings of the listed days, as text, JSON and CSV; an
// erased one is not missing.
func TestReportMissing(t *testing.T) {
	t.Parallel()
	server := simulate(t, convosotest.Config{
		Seed: 93, FirstDay: daysAgo(8), Days: 3, CallsPerDay: 40, RecordedShare: 0.5, SeveralShare: 0.2, MedianSize: 3_000,
		MediaFaults: map[convosotest.Fault]int{convosotest.FaultHTML: 9, convosotest.FaultNotFound: 7},
	})
	a := onDisk(t, server)
	a.run("--start-time", daysAgo(8), "--end-time", daysAgo(6)).want(t, 3)
	check := func(want map[string]string) { // days by id
		t.Helper()
		var made report.Report
		if err := json.Unmarshal([]byte(a.report("--missing", "--json").want(t, 0).stdout), &made); err != nil {
			t.Fatal(err)
		}
		all, err := csv.NewReader(strings.NewReader(a.report("--missing", "--csv").want(t, 0).stdout)).ReadAll()
		table := slices.DeleteFunc(all, func(row []string) bool { return row[2] == "" }) // days that are not closed
		if err != nil || len(table) != len(want)+1 || len(made.Missing) != len(want) {
			t.Fatalf("%v: %d rows, %d in JSON, want %d", err, len(table)-1, len(made.Missing), len(want))
		}
		text := a.report("--missing").want(t, 0).stdout
		for i, m := range made.Missing {
			row := []string{m.Day, m.CallID, m.RecordingID, string(m.Outcome), strconv.FormatBool(m.Final), m.Cause, m.Reason, m.Noted.Format(time.RFC3339)}
			if want[m.RecordingID] != m.Day || m.CallID == "" || m.Reason == "" || !slices.Equal(row, table[i+1]) {
				t.Errorf("%+v, row %q", m, table[i+1])
			}
			line := regexp.MustCompile(`(?m)^  ` + m.Day + ` +` + m.CallID + ` +` + m.RecordingID + ` +.*` + string(m.Outcome) + ` .* ` + regexp.QuoteMeta(m.Reason) + `$`)
			if n := len(line.FindAllString(text, -1)); n != 1 {
				t.Errorf("%d lines of %s in:\n%s", n, m.RecordingID, text)
			}
		}
		if !strings.Contains(text, "\n  "+daysAgo(8)+" to "+daysAgo(6)+" (3 days)") && !strings.Contains(text, "\ndays that are not closed\n  "+daysAgo(8)) {
			t.Errorf("the days that are not closed are not named:\n%s", text)
		}
	}
	archived, missing, of := map[string]bool{}, map[string]string{}, map[string]string{}
	for _, c := range a.findCalls("--outcome", "archived") {
		for _, r := range c.Recordings {
			archived[r.RecordingID] = archived[r.RecordingID] || r.Outcome == manifest.Archived
		}
	}
	for r := range server.Recordings() {
		if !archived[r.ID] {
			missing[r.ID], of[r.ID] = r.Day, r.CallID
		}
	}
	if len(missing) != 16 {
		t.Fatalf("%d missing", len(missing))
	}
	check(missing)
	if plain := a.report("--json").want(t, 0).stdout; strings.Contains(plain, `"missing":`) {
		t.Errorf("without --missing: %s", plain)
	}
	one := slices.Min(slices.Collect(maps.Keys(missing)))
	a.erase(0, "--id", of[one], "--yes", "--reason", "request 4")
	for id, call := range of {
		if call == of[one] {
			delete(missing, id)
		}
	}
	check(missing)
}

// TestReportMissingOfAnInterruptedRun: while days are not closed, no form of --missing looks as if nothing were missing, and
// --strict exits with 3; when all are closed, every form says that nothing is missing.
func TestReportMissingOfAnInterruptedRun(t *testing.T) {
	t.Parallel()
	a := onDisk(t, simulate(t, convosotest.Config{
		Seed: 94, FirstDay: daysAgo(8), Days: 4, CallsPerDay: 30, RecordedShare: 0.5, MedianSize: 3_000,
	}))
	span := []string{"--start-time", daysAgo(8), "--end-time", daysAgo(5)}
	report := func(code int, args ...string) string {
		t.Helper()
		return a.report(append(append([]string{"--missing"}, span...), args...)...).want(t, code).stdout
	}
	table := func(code int, args ...string) (open [][]string) {
		t.Helper()
		rows, err := csv.NewReader(strings.NewReader(report(code, append(args, "--csv")...))).ReadAll()
		if err != nil {
			t.Fatal(err)
		}
		for _, row := range rows[1:] {
			if row[1]+row[2]+row[3]+row[7] == "" && row[4] == "false" && strings.HasPrefix(row[6], "the day is not closed: ") {
				open = append(open, row)
			}
		}
		return open
	}

	a.run(append(span, "--max-recordings", "3")...).want(t, 3)
	var made struct {
		Missing []any `json:"missing"`
		Days    []struct {
			Day, State string
		} `json:"days"`
	}
	if err := json.Unmarshal([]byte(report(3, "--json", "--strict")), &made); err != nil {
		t.Fatal(err)
	}
	open := table(0)
	text := report(0)
	if len(open) != 4 || len(made.Days) != 4 || strings.Contains(text, "is missing") || !strings.Contains(text, "\ndays that are not closed\n") {
		t.Fatalf("%q, %+v\n%s", open, made, text)
	}
	for i, day := range made.Days {
		if state := open[i][5]; open[i][0] != day.Day || state != day.State || state != "open" && state != "never_listed" {
			t.Errorf("row %q, JSON %+v", open[i], day)
		}
	}
	if len(made.Missing) == 0 && !strings.Contains(text, "\nnot known yet which recordings are missing: 4 days not closed\n") {
		t.Error(text)
	}
	table(3, "--strict")
	more := regexp.MustCompile(`, 3 recordings archived; ([0-9]+ open days are|1 open day is) not listed completely, so more recordings may exist: run archive `)
	if first, _, _ := strings.Cut(text, "\n"); !more.MatchString(first) {
		t.Errorf("the first line is %q", first)
	}

	a.run(span...).want(t, 0)
	if text := report(0, "--strict"); !strings.Contains(text, "\nno known recording is missing\n") || len(table(0, "--strict")) > 0 {
		t.Error(text)
	}
}

// TestFindTellsTheCause: find gives the reason that report --missing gives, with an index and without.
func TestFindTellsTheCause(t *testing.T) {
	t.Parallel()
	a := onDisk(t, simulate(t, convosotest.Config{
		Seed: 95, FirstDay: daysAgo(12), Days: 10, CallsPerDay: 6, RecordedShare: 1, MedianSize: 3_000,
	}))
	cmd := a.command(t.Context(), "--start-time", daysAgo(12), "--end-time", daysAgo(3))
	cmd.Args[slices.Index(cmd.Args, "--allow-host")+1] = "*.convoso.com"
	a.finish(cmd, nil).want(t, 3)
	host := a.server.MediaURL()
	why := "links to " + strings.TrimPrefix(host, "http://") + ": add --allow-host " + host
	missing := strings.Count(a.report("--missing").want(t, 0).stdout, why+"\n")
	all := strings.Count(a.find().want(t, 0).stdout, "  waiting: "+why+"\n")
	if indexed, err := filepath.Glob(filepath.Join(a.state, "index", "*.sqlite")); err != nil || len(indexed) != 1 {
		t.Fatalf("no index was made: %v, %v", indexed, err)
	}
	day := strings.Count(a.find("--start-time", daysAgo(8), "--end-time", daysAgo(8)).want(t, 0).stdout, "  waiting: "+why+"\n")
	if missing != 60 || all != missing || day != 6 {
		t.Errorf("report: %d, find: %d, of a day: %d", missing, all, day)
	}
}

// TestReportEndsToday: an end in the future means today, as for archive and find, with a start and without.
func TestReportEndsToday(t *testing.T) {
	t.Parallel()
	a := onDisk(t, simulate(t, convosotest.Config{Seed: 96, FirstDay: daysAgo(8), CallsPerDay: 10, RecordedShare: 0.5, MedianSize: 3_000}))
	a.run("--start-time", daysAgo(8), "--end-time", daysAgo(8)).want(t, 0)
	for _, args := range [][]string{{"--end-time", daysAgo(-90)}, {"--start-time", daysAgo(8), "--end-time", daysAgo(-90)}} {
		var made report.Report
		if err := json.Unmarshal([]byte(a.report(append(args, "--json")...).want(t, 0).stdout), &made); err != nil {
			t.Fatal(err)
		}
		if made.To > daysAgo(-1) || made.Total.Days < 8 || made.Total.Days > 10 {
			t.Errorf("%q: up to %s, %d days", args, made.To, made.Total.Days)
		}
	}
}

// causesIn counts the recordings of calls that wait with a cause.
func causesIn(calls []foundCall, cause string) (n int) {
	for _, c := range calls {
		for _, r := range c.Recordings {
			if r.Cause == cause {
				n++
			}
		}
	}
	return n
}
