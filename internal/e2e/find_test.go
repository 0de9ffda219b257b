package e2e

import (
	"bufio"
	"bytes"
	"context"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"convoso-archiver/fetcher/convosotest"
	"convoso-archiver/manifest"
)

// findCommand returns a search of the archive not started yet, without token and home.
func (a *archive) findCommand(args ...string) *exec.Cmd {
	a.t.Helper()
	ctx, cancel := context.WithTimeout(a.t.Context(), 2*time.Minute)
	a.t.Cleanup(cancel)
	cmd := exec.CommandContext(ctx, binary, slices.Concat([]string{"find", "--dest", a.dest, "--state-dir", a.state}, a.s3Flags(), args)...)
	cmd.Env = append([]string{"PATH=" + os.Getenv("PATH"), "GORACE=halt_on_error=1 atexit_sleep_ms=0", "TMPDIR=" + os.TempDir()}, a.env...)
	return cmd
}

// s3Flags returns the flags that locate the archive in S3.
func (a *archive) s3Flags() []string {
	if !strings.HasPrefix(a.dest, "s3://") {
		return nil
	}
	return a.flags[:5]
}

func (a *archive) find(args ...string) result {
	a.t.Helper()
	return a.finishFind(a.findCommand(args...), nil)
}

func (a *archive) finishFind(cmd *exec.Cmd, during func(*os.Process)) result {
	a.t.Helper()
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Start(); err != nil {
		a.t.Fatal(err)
	}
	if during != nil {
		during(cmd.Process)
	}
	_ = cmd.Wait() // the exit code is checked
	r := result{stdout: stdout.String(), stderr: stderr.String(), code: cmd.ProcessState.ExitCode()}
	if strings.Contains(r.stderr, "DATA RACE") {
		a.t.Fatalf("data race:\n%s", r.stderr)
	}
	a.lookForSecrets(r)
	return r
}

// foundCall is a line of find --json.
type foundCall struct {
	ID, Day, Campaign, User, Status string
	CampaignID                      string          `json:"campaign_id"`
	UserID                          string          `json:"user_id"`
	PhoneNumber                     string          `json:"phone_number"`
	NumberDialed                    string          `json:"number_dialed"`
	FirstName                       string          `json:"first_name"`
	LastName                        string          `json:"last_name"`
	LeadID                          string          `json:"lead_id"`
	ListID                          string          `json:"list_id"`
	QueueID                         *string         `json:"queue_id"`
	CalledCount                     string          `json:"called_count"`
	CallType                        string          `json:"call_type"`
	CallLength                      string          `json:"call_length"`
	CallDate                        string          `json:"call_date"`
	CallTime                        time.Time       `json:"call_time"`
	Comment                         string          `json:"agent_comment"`
	Recording                       json.RawMessage `json:"recording"`
	Recordings                      []struct {
		manifest.Recording
		CallID *string `json:"call_id"` // replaces that of the row
	}
}

// findCalls searches, and returns the calls.
func (a *archive) findCalls(args ...string) []foundCall {
	a.t.Helper()
	return callsOf(a.t, a.find(append(args, "--json")...).want(a.t, 0).stdout)
}

func callsOf(t *testing.T, lines string) []foundCall {
	t.Helper()
	var calls []foundCall
	in := bufio.NewScanner(strings.NewReader(lines))
	in.Buffer(nil, 1<<20)
	for in.Scan() {
		var c foundCall
		if err := json.Unmarshal(in.Bytes(), &c); err != nil {
			t.Fatalf("%v\n%s", err, in.Text())
		}
		calls = append(calls, c)
	}
	return calls
}

func idsOf(calls []foundCall) []string {
	var ids []string
	for _, c := range calls {
		ids = append(ids, c.ID)
	}
	slices.Sort(ids)
	return ids
}

// searchable archives three days, with some missing recordings, and returns their outcomes by Ref.
func searchable(t *testing.T, a *archive, server *convosotest.Server, calls string) map[string]manifest.Outcome {
	t.Helper()
	day := daysAgo(7)
	becomes := map[convosotest.Fault]manifest.Outcome{convosotest.FaultServer: manifest.Failed, convosotest.FaultHTML: manifest.Rejected, convosotest.Fault404: manifest.Pending}
	outcomes := spoil(t, server, map[string]map[convosotest.Fault]int{day: {convosotest.FaultServer: 1, convosotest.FaultHTML: 2, convosotest.Fault404: 3}},
		map[string]map[convosotest.Fault]manifest.Outcome{day: becomes})
	a.run("--calls", calls, "--start-time", daysAgo(8), "--end-time", daysAgo(6)).want(t, 3)
	return outcomes
}

// termTest is a search with the expected answer.
type termTest struct {
	args []string
	want func(c convosotest.Call) bool
}

func termTests(any convosotest.Call) []termTest {
	number := any.PhoneNumber
	return []termTest{
		{nil, func(convosotest.Call) bool { return true }},
		{[]string{"--number", number[len(number)-5:]}, func(c convosotest.Call) bool {
			return strings.HasSuffix(c.PhoneNumber, number[len(number)-5:]) || strings.HasSuffix(c.NumberDialed, number[len(number)-5:])
		}},
		{[]string{"--number", "(" + number[:3] + ") " + number[3:]}, func(c convosotest.Call) bool { return c.PhoneNumber == number || c.NumberDialed == number }},
		{[]string{"--phone-number", number}, func(c convosotest.Call) bool { return c.PhoneNumber == number }},
		{[]string{"--number-dialed", any.NumberDialed}, func(c convosotest.Call) bool { return c.NumberDialed == any.NumberDialed }},
		{[]string{"--id", any.ID}, func(c convosotest.Call) bool { return c.ID == any.ID }},
		{[]string{"--lead-id", any.LeadID}, func(c convosotest.Call) bool { return c.LeadID == any.LeadID }},
		{[]string{"--list-id", any.ListID}, func(c convosotest.Call) bool { return c.ListID == any.ListID }},
		{[]string{"--queue-id", "7101,7102"}, func(c convosotest.Call) bool { return c.QueueID == "7101" || c.QueueID == "7102" }},
		{[]string{"--campaign-id", any.CampaignID}, func(c convosotest.Call) bool { return c.CampaignID == any.CampaignID }},
		{[]string{"--campaign", any.CampaignID}, func(c convosotest.Call) bool { return c.CampaignID == any.CampaignID }},
		{[]string{"--campaign", "campaign " + any.CampaignID}, func(c convosotest.Call) bool { return c.CampaignID == any.CampaignID }},
		{[]string{"--agent", any.UserID}, func(c convosotest.Call) bool { return c.UserID == any.UserID }},
		{[]string{"--user-id", any.UserID}, func(c convosotest.Call) bool { return c.UserID == any.UserID }},
		{[]string{"--status", "sale,CB"}, func(c convosotest.Call) bool { return c.Status == "SALE" || c.Status == "CB" }},
		{[]string{"--call-type", "INBOUND"}, func(c convosotest.Call) bool { return c.CallType == "INBOUND" }},
		{[]string{"--called-count", any.CalledCount}, func(c convosotest.Call) bool { return c.CalledCount == any.CalledCount }},
		{[]string{"--first-name", any.FirstName, "--last-name", any.LastName}, func(c convosotest.Call) bool {
			return c.FirstName == any.FirstName && c.LastName == any.LastName
		}},
		{[]string{"--name", strings.ToLower(any.FirstName[:2])}, func(c convosotest.Call) bool {
			return begins(c.FirstName, any.FirstName[:2]) || begins(c.LastName, any.FirstName[:2])
		}},
		{[]string{"--start-time", any.Day, "--end-time", any.Day}, func(c convosotest.Call) bool { return c.Day == any.Day }},
		{[]string{"--start-time", any.CallDate, "--end-time", any.Day + " 23:00:00"}, func(c convosotest.Call) bool {
			return c.CallDate >= any.CallDate && c.CallDate <= any.Day+" 23:00:00"
		}},
		{[]string{"--with-recording"}, func(c convosotest.Call) bool { return len(c.Recordings) > 0 }},
		{[]string{"--with-recording", "--status", "HU", "--campaign-id", any.CampaignID}, func(c convosotest.Call) bool {
			return len(c.Recordings) > 0 && c.Status == "HU" && c.CampaignID == any.CampaignID
		}},
	}
}

// begins reports whether a word of a name has a prefix, ignoring case.
func begins(name, part string) bool {
	for word := range strings.FieldsFuncSeq(strings.ToLower(name), func(r rune) bool { return r == ' ' || r == '\'' || r == '-' }) {
		if strings.HasPrefix(word, strings.ToLower(part)) {
			return true
		}
	}
	return false
}

// TestFindTerms compares every term with the simulator's truth.
func TestFindTerms(t *testing.T) {
	t.Parallel()
	disk := func(t *testing.T, server *convosotest.Server) *archive { return onDisk(t, server) }
	for _, test := range []struct {
		name, calls string
		where       func(*testing.T, *convosotest.Server) *archive
		every       int // run only every n-th search
	}{
		{"disk", "all", disk, 1},
		{"recorded calls only", "recorded", disk, 1},
		{"S3", "all", func(t *testing.T, server *convosotest.Server) *archive { return onS3(t, server, false).archive }, 3},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			server := simulate(t, convosotest.Config{
				Seed: 71, FirstDay: daysAgo(8), Days: 3, CallsPerDay: 90, RecordedShare: 0.3, SeveralShare: 0.3, MedianSize: 3_000,
			})
			a := test.where(t, server)
			outcomes := searchable(t, a, server, test.calls)
			var kept []convosotest.Call
			for c := range server.Calls() {
				if test.calls == "all" || len(c.Recordings) > 0 {
					kept = append(kept, c)
				}
			}
			some := kept[slices.IndexFunc(kept, func(c convosotest.Call) bool { return len(c.Recordings) > 0 && c.Day == daysAgo(7) })]
			for i, search := range termTests(some) {
				if i%test.every > 0 {
					continue
				}
				var want []string
				for _, c := range kept {
					if search.want(c) {
						want = append(want, c.ID)
					}
				}
				slices.Sort(want)
				if got := idsOf(a.findCalls(search.args...)); !slices.Equal(got, want) || len(want) == 0 {
					t.Errorf("find %q: %d calls, want %d", search.args, len(got), len(want))
				}
			}
			checkDerived(t, a)
			checkOutcomes(t, a, kept, outcomes)
		})
	}
}

// checkDerived compares terms without a truth of their own in the simulator with the rows.
func checkDerived(t *testing.T, a *archive) {
	t.Helper()
	all := a.findCalls()
	for _, search := range []struct {
		args []string
		want func(c foundCall) bool
	}{
		{[]string{"--agent", all[0].User}, func(c foundCall) bool { return c.User == all[0].User }},
		{[]string{"--min-length", "3s"}, func(c foundCall) bool { return seconds(c) >= 3 }},
		{[]string{"--min-length", "2", "--max-length", "4"}, func(c foundCall) bool { return seconds(c) >= 2 && seconds(c) <= 4 }},
	} {
		var want []string
		for _, c := range all {
			if search.want(c) {
				want = append(want, c.ID)
			}
		}
		slices.Sort(want)
		if got := idsOf(a.findCalls(search.args...)); !slices.Equal(got, want) || len(want) == 0 {
			t.Errorf("find %q: %d calls, want %d", search.args, len(got), len(want))
		}
	}
}

func seconds(c foundCall) int {
	n, err := strconv.Atoi(c.CallLength)
	if err != nil {
		return -1
	}
	return n
}

// checkOutcomes compares fields, recordings and outcomes with the truth, and the other forms of the answer with the JSON.
func checkOutcomes(t *testing.T, a *archive, kept []convosotest.Call, outcomes map[string]manifest.Outcome) {
	t.Helper()
	truth := map[string]convosotest.Call{}
	for _, c := range kept {
		truth[c.ID] = c
	}
	zone := started.Location()
	all := a.findCalls("--sort", "time")
	byOutcome := map[manifest.Outcome][]string{}
	last := ""
	for _, c := range all {
		want := truth[c.ID]
		if c.CallDate != want.CallDate || c.Day != want.Day || c.PhoneNumber != want.PhoneNumber || c.Status != want.Status || c.LeadID != want.LeadID || len(c.Recording) < 2 {
			t.Errorf("call %s: %+v, want %+v", c.ID, c, want)
		}
		if local := c.CallTime.In(zone).Format(time.DateTime); local != c.CallDate || c.CallTime.Location() != time.UTC {
			t.Errorf("call %s of %s is at %v", c.ID, c.CallDate, c.CallTime)
		}
		if c.CallDate < last {
			t.Errorf("%s comes after %s", c.CallDate, last)
		}
		last = c.CallDate
		if len(c.Recordings) != len(want.Recordings) {
			t.Fatalf("call %s: %d recordings, want %d", c.ID, len(c.Recordings), len(want.Recordings))
		}
		for _, r := range c.Recordings {
			i := slices.IndexFunc(want.Recordings, func(w convosotest.Recording) bool { return w.Ref == r.RecordingID })
			if i < 0 {
				t.Fatalf("call %s has no recording %s", c.ID, r.RecordingID)
			}
			outcome, spoilt := outcomes[r.RecordingID]
			if !spoilt {
				outcome = manifest.Archived
			}
			if r.Outcome != outcome || r.FirstSeen.IsZero() || r.Time.IsZero() || r.CallID != nil ||
				!spoilt && (r.SHA256 != want.Recordings[i].SHA256() || r.Size != want.Recordings[i].Size || r.Host == "" || r.ContentType == "" || r.Attempts != 1) {
				t.Errorf("recording %+v, want %+v, %s", r, want.Recordings[i], outcome)
			}
			if len(byOutcome[outcome]) == 0 || !slices.Contains(byOutcome[outcome], c.ID) {
				byOutcome[outcome] = append(byOutcome[outcome], c.ID)
			}
		}
	}
	if len(byOutcome) != 4 {
		t.Errorf("outcomes %v", slices.Collect(maps.Keys(byOutcome)))
	}
	for outcome, want := range byOutcome {
		slices.Sort(want)
		if got := idsOf(a.findCalls("--outcome", string(outcome))); !slices.Equal(got, want) {
			t.Errorf("find --outcome %s: %d calls, want %d", outcome, len(got), len(want))
		}
	}
	checkCSV(t, a, all)
	checkPaths(t, a, all)
	checkTable(t, a, all)
}

func checkCSV(t *testing.T, a *archive, all []foundCall) {
	t.Helper()
	out := a.find("--csv", "--sort", "time").want(t, 0).stdout
	if strings.Count(out, "\r\n") != len(all)+1 {
		t.Errorf("%d lines for %d calls", strings.Count(out, "\r\n"), len(all))
	}
	rows, err := csv.NewReader(strings.NewReader(out)).ReadAll()
	if err != nil || len(rows) != len(all)+1 {
		t.Fatalf("%d rows for %d calls: %v", len(rows), len(all), err)
	}
	column := map[string]int{}
	for i, name := range rows[0] {
		column[name] = i
	}
	for i, c := range all {
		row := rows[i+1]
		var ids, sums, causes []string
		for _, r := range c.Recordings {
			ids, sums, causes = append(ids, r.RecordingID), append(sums, r.SHA256), append(causes, r.Cause)
		}
		for name, want := range map[string]string{
			"id": c.ID, "day": c.Day, "call_date": c.CallDate, "call_time": c.CallTime.Format(time.RFC3339), "phone_number": c.PhoneNumber,
			"last_name": c.LastName, "recording_id": strings.Join(ids, ";"), "sha256": strings.Join(sums, ";"), "cause": strings.Join(causes, ";"),
		} {
			if got := row[column[name]]; got != want {
				t.Errorf("call %s: %s is %q, want %q", c.ID, name, got, want)
			}
		}
	}
}

func checkPaths(t *testing.T, a *archive, all []foundCall) {
	t.Helper()
	var want []string
	for _, c := range all {
		for _, r := range c.Recordings {
			if r.Outcome == manifest.Archived {
				want = append(want, r.Key)
			}
		}
	}
	paths := strings.Split(a.find("--paths", "-0", "--sort", "time").want(t, 0).stdout, "\x00")
	if len(paths) != len(want)+1 || paths[len(want)] != "" {
		t.Fatalf("%d paths, want %d", len(paths)-1, len(want))
	}
	lines := a.find("--paths", "--sort", "time").want(t, 0).stdout
	if lines != strings.Join(paths, "\n") {
		t.Error("lines and zero bytes end different paths")
	}
	for i, key := range want {
		if paths[i] != a.dest+"/"+key && paths[i] != filepath.Join(a.dest, key) {
			t.Errorf("path %q of key %q", paths[i], key)
		}
		local := paths[i]
		if strings.HasPrefix(a.dest, "s3://") {
			local = filepath.Join(a.folder, strings.TrimPrefix(paths[i], a.dest))
		}
		if _, err := os.Stat(local); err != nil {
			t.Error(err)
		}
	}
}

func checkTable(t *testing.T, a *archive, all []foundCall) {
	t.Helper()
	r := a.find("--sort", "time").want(t, 0)
	lines := strings.Split(strings.TrimSuffix(r.stdout, "\n"), "\n")
	if len(lines) != len(all)+1 || !strings.HasPrefix(lines[0], "time in America/Los_Angeles  agent") {
		t.Fatalf("%d lines: %q", len(lines), lines[0])
	}
	recordings := 0
	for i, c := range all {
		recordings += len(c.Recordings)
		if line := lines[i+1]; !strings.HasPrefix(line, c.CallDate) || !strings.Contains(line, c.PhoneNumber) || !strings.Contains(line, c.Status) ||
			len(c.Recordings) == 0 && !strings.HasSuffix(line, "  none") {
			t.Errorf("call %s: %q", c.ID, line)
		}
	}
	if want := fmt.Sprintf("%d calls, %d recordings (%d with audio)\n", len(all), recordings, recordings-6); r.stderr != want {
		t.Errorf("stderr %q, want %q", r.stderr, want)
	}
}
