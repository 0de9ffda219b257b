package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"maps"
	"os"
	"os/exec"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"convoso-archiver/fetcher/convosotest"
	"convoso-archiver/manifest"
	"convoso-archiver/manifest/report"
)

// report runs the report command on the archive, without token, home and state folder.
func (a *archive) report(args ...string) result {
	a.t.Helper()
	ctx, cancel := context.WithTimeout(a.t.Context(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, binary, slices.Concat([]string{"report", "--dest", a.dest}, a.flags, args)...)
	cmd.Env = append([]string{"PATH=" + os.Getenv("PATH"), "GORACE=halt_on_error=1"}, a.env...)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err := cmd.Run()
	if cmd.ProcessState == nil {
		a.t.Fatal(err)
	}
	r := result{stdout: stdout.String(), stderr: stderr.String(), code: cmd.ProcessState.ExitCode()}
	if strings.Contains(r.stderr, "DATA RACE") {
		a.t.Fatalf("data race:\n%s", r.stderr)
	}
	a.lookForSecrets(r)
	return r
}

// TestReport makes an archive with closed, open, failed, lost, given up, partly listed and never
// listed days, and compares the report with the simulator's truth.
func TestReport(t *testing.T) {
	t.Parallel()
	for name, where := range map[string]func(*testing.T, *convosotest.Server) *archive{
		"disk": func(t *testing.T, server *convosotest.Server) *archive { return onDisk(t, server) },
		"S3":   func(t *testing.T, server *convosotest.Server) *archive { return onS3(t, server, false).archive },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := simulate(t, convosotest.Config{
				Seed: 40, FirstDay: daysAgo(10), Days: 6, CallsPerDay: 60, RecordedShare: 0.5, SeveralShare: 0.2, MedianSize: 4_000,
			})
			a := where(t, server)
			truth := makeReportable(t, a, server)
			asked := server.Stats()
			checkReport(t, a, truth)
			if stats := server.Stats(); stats.API.Requests != asked.API.Requests || stats.Media.Requests != asked.Media.Requests {
				t.Error("the report asked the vendor")
			}
		})
	}
}

// dayTruth is the expected report of a day.
type dayTruth struct {
	state  report.State
	codes  string
	counts report.Counts
	losses []report.Loss // without time and reason
}

// makeReportable archives each day in a different way, and returns the truth.
func makeReportable(t *testing.T, a *archive, server *convosotest.Server) map[string]dayTruth {
	t.Helper()
	closed, lost, failed, never, part, givenUp := daysAgo(10), daysAgo(9), daysAgo(8), daysAgo(7), daysAgo(6), daysAgo(5)
	outcomes := spoil(t, server, map[string]map[convosotest.Fault]int{
		lost:    {convosotest.FaultNotFound: 2},
		failed:  {convosotest.FaultServer: 1, convosotest.FaultHTML: 2, convosotest.Fault404: 1},
		givenUp: {convosotest.FaultHTML: 1},
	}, map[string]map[convosotest.Fault]manifest.Outcome{
		lost:    {convosotest.FaultNotFound: manifest.Lost},
		failed:  {convosotest.FaultServer: manifest.Failed, convosotest.FaultHTML: manifest.Rejected, convosotest.Fault404: manifest.Pending},
		givenUp: {convosotest.FaultHTML: manifest.Rejected},
	})
	work := func(code int, from, to string) {
		t.Helper()
		a.run("--start-time", from, "--end-time", to).want(t, code)
	}
	work(3, lost, lost)
	work(3, givenUp, givenUp)
	a.age(10 * day)
	work(3, lost, lost)
	work(3, givenUp, givenUp)
	a.age(5 * day)
	work(3, givenUp, givenUp) // refused by three runs on three days
	work(0, closed, closed)
	work(3, failed, failed)
	from, to := part+" 11:00:00", part+" 15:00:00"
	work(0, from, to)

	truth := map[string]dayTruth{
		closed: {state: report.Closed}, lost: {state: report.Closed}, givenUp: {state: report.Closed},
		failed: {state: report.Open, codes: "waiting"}, part: {state: report.Open, codes: "partial"},
		never: {state: report.NeverListed, codes: "not_listed"},
	}
	for name, d := range truth {
		d.counts.ByOutcome = map[manifest.Outcome]int{}
		truth[name] = d
	}
	for call := range server.Calls() {
		if call.Day == never || call.Day == part && (call.CallDate < from || call.CallDate > to) {
			continue
		}
		d := truth[call.Day]
		d.counts.Calls++
		for _, r := range call.Recordings {
			d.add(r, outcomes[r.Ref])
		}
		truth[call.Day] = d
	}
	return truth
}

// add counts a recording, with outcome "" if it was archived.
func (d *dayTruth) add(r convosotest.Recording, outcome manifest.Outcome) {
	d.counts.Recordings++
	if outcome == "" {
		d.counts.ByOutcome[manifest.Archived]++
		d.counts.Bytes += r.Size
		return
	}
	d.counts.ByOutcome[outcome]++
	if d.state != report.Closed {
		d.counts.Waiting++
		return
	}
	if outcome != manifest.Lost {
		d.counts.GivenUp++
	}
	d.losses = append(d.losses, report.Loss{Day: r.Day, CallID: r.CallID, RecordingID: r.ID, Outcome: outcome})
}

// spoil gives faults to recordings of each day, and returns their expected outcomes.
func spoil(t *testing.T, server *convosotest.Server, faults map[string]map[convosotest.Fault]int, becomes map[string]map[convosotest.Fault]manifest.Outcome) map[string]manifest.Outcome {
	t.Helper()
	outcomes := map[string]manifest.Outcome{}
	for r := range server.Recordings() {
		for _, fault := range slices.Sorted(maps.Keys(faults[r.Day])) {
			if faults[r.Day][fault] == 0 {
				continue
			}
			faults[r.Day][fault]--
			outcomes[r.Ref] = becomes[r.Day][fault]
			if err := server.SetFault(r.Ref, fault, 0); err != nil {
				t.Fatal(err)
			}
			break
		}
	}
	return outcomes
}

func checkReport(t *testing.T, a *archive, truth map[string]dayTruth) {
	t.Helper()
	r := a.report("--json", "--start-time", daysAgo(11), "--end-time", daysAgo(5)).want(t, 0)
	var got report.Report
	decoder := json.NewDecoder(strings.NewReader(r.stdout))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&got); err != nil || r.stderr != "" {
		t.Fatalf("%v\n%s", err, r.stderr)
	}
	truth[daysAgo(11)] = dayTruth{state: report.NeverListed, codes: "not_listed", counts: report.Counts{ByOutcome: map[manifest.Outcome]int{}}}
	want := report.Total{Days: 7, Closed: 3, Open: 2, NeverListed: 2, PartlyListed: 1, Counts: report.Counts{ByOutcome: map[manifest.Outcome]int{}}}
	var losses []report.Loss
	for i, name := range slices.Sorted(maps.Keys(truth)) {
		d := truth[name]
		want.Add(d.counts)
		losses = append(losses, d.losses...)
		if i >= len(got.Days) {
			t.Fatalf("%d days", len(got.Days))
		}
		g := got.Days[i]
		var codes []string
		for _, reason := range g.Reasons {
			codes = append(codes, string(reason.Code))
		}
		if g.Day != name || g.State != d.state || strings.Join(codes, " ") != d.codes || !g.Settled {
			t.Errorf("%s: %+v", name, g)
		}
		g.WaitingBy = nil // TestReportForms checks it
		if !reflect.DeepEqual(g.Counts, d.counts) {
			t.Errorf("%s:\ngot  %+v\nwant %+v", name, g.Counts, d.counts)
		}
	}
	got.Total.WaitingBy = nil
	if !reflect.DeepEqual(got.Total, want) || got.Complete {
		t.Errorf("got  %+v\nwant %+v", got.Total, want)
	}
	for i := range got.Losses {
		if l := &got.Losses[i]; l.Reason == "" || l.Noted.IsZero() {
			t.Errorf("loss without reason or time: %+v", l)
		}
		got.Losses[i].Noted, got.Losses[i].Reason = time.Time{}, ""
	}
	byID := func(a, b report.Loss) int { return strings.Compare(a.Day+a.RecordingID, b.Day+b.RecordingID) }
	slices.SortFunc(losses, byID)
	slices.SortFunc(got.Losses, byID)
	if !reflect.DeepEqual(got.Losses, losses) || len(losses) != 3 || got.Omitted != 0 {
		t.Errorf("losses\ngot  %+v\nwant %+v", got.Losses, losses)
	}
	if want := []report.Range{{From: daysAgo(11), To: daysAgo(11)}, {From: daysAgo(7), To: daysAgo(7)}}; !reflect.DeepEqual(got.NeverIn, want) {
		t.Errorf("never listed %v", got.NeverIn)
	}
	if got.Purge == nil || got.Purge.Oldest != daysAgo(11) || got.Purge.DaysLeft < 142 || got.Purge.DaysLeft > 144 {
		t.Errorf("purge %+v", got.Purge)
	}
	if text := a.report("--strict", "--end-time", daysAgo(5)).want(t, 3); !strings.HasPrefix(text.stdout, "not complete: 6 days from "+daysAgo(10)) {
		t.Errorf("text:\n%s", text.stdout)
	}
	closed := a.report("--strict", "--csv", "--start-time", daysAgo(10), "--end-time", daysAgo(10)).want(t, 0)
	if lines := strings.Count(closed.stdout, "\n"); lines != 2 || !strings.Contains(closed.stdout, "\n"+daysAgo(10)+",closed,true,60,") {
		t.Errorf("CSV:\n%s", closed.stdout)
	}
}
