package e2e

import (
	"bufio"
	"context"
	"fmt"
	"maps"
	"net/http"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// TestAuditRefusesASpan: a chain of seals is always checked as a whole, and so is a history; a span in the file
// is for archive.
func TestAuditRefusesASpan(t *testing.T) {
	t.Parallel()
	a := onDisk(t, threeDays(t, 90))
	a.run("--start-time", daysAgo(10), "--end-time", daysAgo(8)).want(t, 0)
	key, allowed := sealKey(t)
	a.seal(key)
	for _, span := range []string{"--start-time=" + daysAgo(9), "--end-time=" + daysAgo(9), "--last=7d"} {
		name, _, _ := strings.Cut(span, "=")
		said := a.other(2, "audit", "--seals", "--allowed-signers", allowed, span)
		wantSaid(t, said.stderr, name+" is for --access-log; --seals always checks all seals, because each seal names the one before it")
		if strings.Count(said.stderr, "\n") != 1 || said.stdout != "" {
			t.Errorf("it is not one line: %s%s", said.stderr, said.stdout)
		}
		wantSaid(t, a.other(2, "audit", "1234", span).stderr, name+" is for --access-log; the history of an id always has all days")
	}
	a.env = append(a.env, "CONVOSO_ARCHIVER_LAST=7d")
	a.other(0, "audit", "--seals", "--allowed-signers", allowed)
}

// TestVerifyOfNoDay: a span without any day does not count as intact.
func TestVerifyOfNoDay(t *testing.T) {
	t.Parallel()
	a := onDisk(t, threeDays(t, 91))
	a.run("--start-time", daysAgo(10), "--end-time", daysAgo(8)).want(t, 0)
	said := a.other(3, "verify", "--start-time", "2020-05-01", "--end-time", "2020-05-31").stdout
	wantSaid(t, said, "nothing to verify: the archive has no day in this time range (2020-05-01 to 2020-05-31); report shows which days it has\n", "exit code   3   nothing was verified\n")
	wantSaid(t, a.other(3, "verify", "--json", "--last", "1d").stdout, `"exit_code":3`, `"answer":"nothing to verify: `)
	a.other(0, "verify", "--start-time", daysAgo(10), "--end-time", "2030-01-01")
}

// TestFindTheCallsOfACase: --case of find and export selects the held calls, alone and with other terms, and after
// the release.
func TestFindTheCallsOfACase(t *testing.T) {
	t.Parallel()
	a := onDisk(t, threeDays(t, 92))
	a.run("--start-time", daysAgo(10), "--end-time", daysAgo(8)).want(t, 0)
	a.other(0, "hold", "add", "Smith v. Acme", "--start-time", daysAgo(10), "--end-time", daysAgo(9))
	if got := a.findCalls("--case", "Smith v. Acme"); len(got) != 40 {
		t.Errorf("%d calls of the case", len(got))
	}
	if got := a.findCalls("--case", "Smith v. Acme", "--start-time", daysAgo(9)); len(got) != 20 {
		t.Errorf("%d calls of a day of the case", len(got))
	}
	if got := a.bag(0, filepath.Join(t.TempDir(), "bag"), "--case", "Smith v. Acme"); got.Calls != 40 || got.Stored != 40 {
		t.Errorf("the bag: %+v", got)
	}
	to := filepath.Join(t.TempDir(), "tables")
	a.other(0, "export", "--to", to, "--format", "csv", "--case", "Smith v. Acme")
	if rows := strings.Count(readText(t, to, "calls/day="+daysAgo(9)+"/part-0.csv"), "\n"); rows != 1+20 {
		t.Errorf("%d rows in the table of a day", rows)
	}
	wantSaid(t, a.find("--case", "Smith").want(t, 2).stderr, " case")
	wantSaid(t, a.find("--case", "Smith v. Acme", "--ids-from", idsFile(t, "1")).want(t, 2).stderr, "use either --case or --ids-from, not both")
	a.other(0, "hold", "release", "Smith v. Acme")
	said := a.find("--case", "Smith v. Acme", "--csv").want(t, 0)
	wantSaid(t, said.stderr, "the case was released on ")
	if rows := strings.Count(said.stdout, "\n"); rows != 1+40 {
		t.Errorf("%d rows after the release", rows)
	}
}

// TestAMonthIsNamedByItsDays: a month as a time is an error that says how to write it.
func TestAMonthIsNamedByItsDays(t *testing.T) {
	t.Parallel()
	a := onDisk(t, threeDays(t, 94))
	wantSaid(t, a.report("--last", "month").want(t, 2).stderr, "month")
	wantSaid(t, a.report("--start-time", "2028-02").want(t, 2).stderr, `"2028-02" is not a date or time that exists: for the whole month give --start-time 2028-02-01 --end-time 2028-02-29`)
}

// TestServeNotesWhoOpensACall: opened calls and refused downloads are in the access log, and audit prints them.
func TestServeNotesWhoOpensACall(t *testing.T) {
	t.Parallel()
	a := onDisk(t, threeDays(t, 95))
	a.run("--start-time", daysAgo(10), "--end-time", daysAgo(8)).want(t, 0)
	call := a.findCalls("--limit", "1")[0]
	log := filepath.Join(t.TempDir(), "log")
	ctx, cancel := context.WithCancel(t.Context())
	cmd := exec.CommandContext(ctx, binary, "serve", "--dest", a.dest, "--state-dir", a.state, "--listen", "127.0.0.1:0", "--access-log", log, "--rights", "listen")
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	address, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	address = strings.TrimSpace(address)
	status := func(path string) int {
		t.Helper()
		answer, err := http.Get(address + path)
		if err != nil {
			t.Fatal(err)
		}
		defer answer.Body.Close()
		return answer.StatusCode
	}
	recording := call.Recordings[0].RecordingID
	if got := status("call/" + call.Day + "/" + call.ID); got != http.StatusOK {
		t.Errorf("the details: status %d", got)
	}
	if got := status("audio/" + call.Day + "/" + recording + "?download=1"); got != http.StatusForbidden {
		t.Errorf("a download without the right to: status %d", got)
	}
	cancel()
	_ = cmd.Wait() // it was killed
	said := a.other(0, "audit", call.ID, "--access-log", log).stdout
	wantSaid(t, said, "TIME  ", "  details           "+call.ID+"  -  ", "  download refused  "+call.ID+"  "+recording+"  ")
	if strings.Count(said, "\n") != 3 {
		t.Errorf("not a header and two lines:\n%s", said)
	}
}

// TestFindNotTogether: terms that match calls, but not together, are named with the calls that match without them, by
// the index and by reading days.
func TestFindNotTogether(t *testing.T) {
	t.Parallel()
	a := onDisk(t, threeDays(t, 97))
	a.run("--start-time", daysAgo(10), "--end-time", daysAgo(8)).want(t, 0)
	longest, byStatus := map[string]int{}, map[string]int{}
	for _, c := range a.findCalls() {
		length, _ := strconv.Atoi(c.CallLength) // of a call in progress it is null
		longest[c.Status], byStatus[c.Status] = max(longest[c.Status], length), byStatus[c.Status]+1
	}
	status := slices.MinFunc(slices.Collect(maps.Keys(longest)), func(a, b string) int { return longest[a] - longest[b] })
	most := slices.Max(slices.Collect(maps.Values(longest)))
	if longest[status] >= most {
		t.Fatalf("all statuses have calls of the same length: %v", longest)
	}
	terms := []string{"--status", status, "--min-length", strconv.Itoa(most)}
	for _, span := range [][]string{nil, {"--start-time", daysAgo(10), "--end-time", daysAgo(8)}} {
		said := a.find(slices.Concat(terms, span)...).want(t, 0).stderr
		wantSaid(t, said, fmt.Sprintf("%d calls match without --min-length; the longest lasts %d:%02d\n", byStatus[status], longest[status]/60, longest[status]%60), " without --status\n")
		if strings.Contains(said, "no call of") {
			t.Errorf("each value exists: %s", said)
		}
	}
}
