package e2e

import (
	"encoding/csv"
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"convoso-archiver/archiver/verify"
	"convoso-archiver/evidence"
	"convoso-archiver/fetcher/convosotest"
	"convoso-archiver/manifest"
)

// expiring is an archive of three days: recordings of one campaign are past their retention, those of a second one
// are not, and all others are kept for ever.
type expiring struct {
	*archive
	bucket *bucket // nil on disk
	past   map[string]convosotest.Call
	flags  []string // retention flags of archive
}

func newExpiring(t *testing.T, where string, seed uint64) *expiring {
	t.Helper()
	server := threeDays(t, seed)
	x := &expiring{archive: onDisk(t, server), past: map[string]convosotest.Call{}}
	if where == "s3" {
		x.bucket = onS3(t, server, false)
		x.archive = x.bucket.archive
		keepVersions(t, x.bucket)
	}
	x.archive.env = append(x.archive.env, quickExit)
	byCampaign := map[string][]convosotest.Call{}
	for c := range server.Calls() {
		byCampaign[c.CampaignID] = append(byCampaign[c.CampaignID], c)
	}
	most := slices.SortedFunc(maps.Keys(byCampaign), func(a, b string) int { return len(byCampaign[b]) - len(byCampaign[a]) })
	for _, c := range byCampaign[most[0]] {
		for _, r := range c.Recordings {
			x.past[r.Ref] = c
		}
	}
	if len(most) < 3 || len(x.past) < 5 {
		t.Fatalf("%d campaigns, %d recordings of the first", len(most), len(x.past))
	}
	x.flags = []string{"--retention", "short=3d,long=10y", "--retention-campaign", most[0] + "=short", "--retention-campaign", most[1] + "=long"}
	x.days().want(t, 0)
	return x
}

// days archives the three days.
func (x *expiring) days(args ...string) result {
	x.t.Helper()
	return x.run(slices.Concat([]string{"--start-time", daysAgo(10), "--end-time", daysAgo(8)}, x.flags, args)...)
}

// expire runs erase --expired.
func (x *expiring) expire(code int, args ...string) (e evidence.Expired) {
	x.t.Helper()
	var got struct {
		Expired    *evidence.Expired `json:"expired"`
		Unfinished []string          `json:"unfinished"`
	}
	r := x.other(code, "erase", append([]string{"--json", "--state-dir", x.state}, args...)...)
	if err := json.Unmarshal([]byte(r.stdout), &got); err != nil || got.Expired == nil {
		x.t.Fatalf("%v: %s%s", err, r.stdout, r.stderr)
	}
	if code == 0 && len(got.Unfinished) > 0 && slices.Contains(args, "--yes") {
		x.t.Errorf("unfinished: %v", got.Unfinished)
	}
	return *got.Expired
}

// allPast returns all recordings past their retention.
func (x *expiring) allPast() map[string]bool {
	all := map[string]bool{}
	for ref := range x.past {
		all[ref] = true
	}
	return all
}

// one returns a recording that is past its retention, by index in the order of their ids.
func (x *expiring) one(n int) string { return slices.Sorted(maps.Keys(x.past))[n] }

// stored returns which recordings have audio, in any version.
func (x *expiring) stored() map[string]bool {
	x.t.Helper()
	found := map[string]bool{}
	bodies := map[string][]byte{}
	for c := range x.server.Calls() {
		for what, trace := range x.traces(person{number: c.PhoneNumber, refs: refsOf(c)}) {
			if ref, isAudio := strings.CutPrefix(what, "audio of "); isAudio {
				bodies[ref] = trace
			}
		}
	}
	var folders []string
	if x.bucket == nil {
		folders = []string{x.dest}
	}
	look(x.t, x.bucket, func(_ string, content []byte) {
		for ref, body := range bodies {
			found[ref] = found[ref] || strings.Contains(string(content), string(body))
		}
	}, folders...)
	return found
}

func refsOf(c convosotest.Call) (refs []string) {
	for _, r := range c.Recordings {
		refs = append(refs, r.Ref)
	}
	return refs
}

// check fails unless exactly the audio of these recordings is removed, and every reader says so.
func (x *expiring) check(gone map[string]bool) {
	x.t.Helper()
	for ref, stands := range x.stored() {
		if stands == gone[ref] {
			x.t.Errorf("recording %s: audio %t, expired %t", ref, stands, gone[ref])
		}
	}
	for _, c := range callsOf(x.t, x.other(0, "find", "--state-dir", x.state, "--last", "30d", "--json").stdout) {
		for _, r := range c.Recordings {
			if want := wantOutcome(gone[r.RecordingID]); r.Outcome != want || want == manifest.Expired && !strings.Contains(r.Reason, `its retention, class "short", ended on `) {
				x.t.Errorf("find: recording %s is %s, %q", r.RecordingID, r.Outcome, r.Reason)
			}
		}
	}
	if v := x.verify().want(x.t, 0); v.found.Expired != len(gone) {
		x.t.Errorf("verify: %d expired, want %d", v.found.Expired, len(gone))
	}
	x.verify("--quick").want(x.t, 0)
	var report struct {
		Total struct {
			ByOutcome map[manifest.Outcome]int `json:"by_outcome"`
			Closed    int                      `json:"closed"`
		} `json:"total"`
	}
	r := x.report("--json", "--start-time", daysAgo(10), "--end-time", daysAgo(8))
	if err := json.Unmarshal([]byte(r.stdout), &report); err != nil || report.Total.ByOutcome[manifest.Expired] != len(gone) || report.Total.Closed != 3 {
		x.t.Errorf("report: %v %+v", err, report)
	}
}

func wantOutcome(gone bool) manifest.Outcome {
	if gone {
		return manifest.Expired
	}
	return manifest.Archived
}

// TestExpire removes recordings past their retention, and nothing restores them.
func TestExpire(t *testing.T) {
	for _, where := range []string{"disk", "s3"} {
		t.Run(where, func(t *testing.T) {
			t.Parallel()
			expireAll(t, newExpiring(t, where, 171))
		})
	}
}

func expireAll(t *testing.T, x *expiring) {
	t.Helper()
	key, allowed := sealKey(t)
	x.seal(key)
	n := len(x.past)
	shown := x.expire(0, "--expired")
	if shown.Recordings != n || shown.Bytes == 0 || len(shown.Classes) != 1 || shown.Classes[0].Class != "short" || shown.Classes[0].Recordings != n ||
		shown.FirstDay != daysAgo(10) || shown.LastDay != daysAgo(8) || shown.Removed != 0 {
		t.Fatalf("shown: %+v of %d", shown, n)
	}
	x.check(nil)
	if r := x.other(0, "erase", "--expired", "--state-dir", x.state); !strings.Contains(r.stdout, "nothing was removed") || !strings.Contains(r.stdout, "short") {
		t.Errorf("shown: %s", r.stdout)
	}
	x.checkShown()

	ids := x.fileOfFirst()
	x.hold(0, []string{"add", "case 1"}, "--ids-from", ids)
	x.checkDue(1)
	tables := filepath.Join(t.TempDir(), "tables")
	x.other(0, "export", "--to", tables, "--format", "csv")
	done := x.expire(0, "--expired", "--yes")
	if done.Removed != n-1 || done.Held != 1 || done.Stays != 0 || len(done.Kept) != 1 || done.Kept[0].Recording != x.one(0) || done.Audio != n-1 || len(done.Expiries) != 1 {
		t.Errorf("removed: %+v of %d", done, n)
	}
	gone := map[string]bool{}
	for ref := range x.past {
		gone[ref] = ref != x.one(0)
	}
	delete(gone, x.one(0))
	x.check(gone)
	if again := x.expire(0, "--expired", "--yes"); again.Recordings != 1 || again.Removed != 0 || again.Held != 1 || len(again.Expiries) != 0 {
		t.Errorf("again: %+v", again)
	}

	var listed struct {
		Expiries []evidence.Expiry `json:"expiries"`
	}
	if err := json.Unmarshal([]byte(x.other(0, "erase", "list", "--json").stdout), &listed); err != nil {
		t.Fatal(err)
	}
	count := 0
	for _, e := range listed.Expiries {
		if count += e.Recordings; e.ID != done.Expiries[0] || e.State != evidence.ErasureDone || e.Class != "short" || e.Outcome != manifest.Expired || e.Ended == "" {
			t.Errorf("listed: %+v", e)
		}
	}
	if count != n-1 || len(listed.Expiries) < 2 {
		t.Errorf("%d recordings are listed as expired, want %d: %+v", count, n-1, listed)
	}
	wantSaid(t, x.other(0, "erase", "list").stdout, "EXPIRY ", done.Expiries[0]+"   "+daysAgo(10)+"   done ", " expired   short\n")

	// The removal of audio is not signed until the next seal.
	wantSaid(t, x.other(0, "audit", x.one(1)).stdout, "\nexpiry ", " is not sealed yet: the next seal signs it\n")
	if got := x.audit(4, "--allowed-signers", allowed); got.Found != n-1 || got.Findings[0].Kind != evidence.ErasureUnsealed {
		t.Errorf("the audit before the seal: %+v", got.Findings)
	}
	x.seal(key)
	wantSaid(t, x.other(0, "audit", x.one(1), "--allowed-signers", allowed).stdout, "the expiry ", ", by seal 2, SHA-256", ", signed by archive\n")
	wantSaid(t, x.other(0, "audit", x.one(0)).stdout, "the audio was not read: verify --start-time "+x.past[x.one(0)].Day+" --end-time "+x.past[x.one(0)].Day+" reads ")
	if got := x.audit(0, "--allowed-signers", allowed); got.Expired != n-1 {
		t.Errorf("the audit knows %d expired recordings, not %d", got.Expired, n-1)
	}
	wantSaid(t, x.other(0, "audit", x.past[x.one(1)].ID, "--allowed-signers", allowed).stdout, x.one(1)+" (expired)",
		"recording "+x.one(1)+": the audio was removed", "the expiry ", ", by seal 2, SHA-256")
	wantSaid(t, x.other(0, "audit", x.past[x.one(0)].ID).stdout, x.one(0)+" (archived)")
	history := x.other(0, "audit", x.one(1)).stdout
	if strings.Contains(history, "the audio was not read") || !strings.Contains(history, " archived ") || strings.Count(history, " expired ") != 1 || !strings.Contains(history, `its retention, class "short", ended on`) {
		t.Errorf("the history: %s", history)
	}

	x.verify("--repair").want(t, 0)
	closed := x.closed(x.bucket)
	for _, args := range [][]string{nil, {"--relist"}, {"--retry", "damaged"}} {
		if r := x.days(args...).want(t, 0); r.summary.MediaRequests != 0 {
			t.Errorf("%v: %d downloads", args, r.summary.MediaRequests)
		}
	}
	x.check(gone)
	x.other(0, "export", "--to", tables, "--format", "csv")
	if n := countIn(t, tables, ",expired,"); n != len(gone) {
		t.Errorf("the export knows %d expired recordings, not %d", n, len(gone))
	}
	copies := filepath.Join(t.TempDir(), "copies")
	x.other(0, "find", "--last", "30d", "--state-dir", x.state, "--copy-to", copies)
	writeFile(t, ids, x.past[x.one(1)].ID+"\n99001\n")
	bag := filepath.Join(t.TempDir(), "bag")
	count = len(x.past[x.one(1)].Recordings)
	wantSaid(t, x.other(3, "export", "--format", "bagit", "--ids-from", ids, "--to", bag).stdout,
		fmt.Sprintf("no audio     %d (%d expired)\n", count, count), "NOT FOUND    1 of 2 ids not found: 99001\n")
	wantSaid(t, readText(t, bag, "bag-info.txt"), fmt.Sprintf("\nRecordings-Without-Audio: %d (%d expired)\n", count, count))
	wantSaid(t, readText(t, bag, "README.txt"), fmt.Sprintf("Recordings without audio in the archive: %d (%d expired).", count, count))
	x.other(0, "hold", "add", "case 2", "--id", x.past[x.one(1)].ID)

	// A person whose audio has expired is erased like any other.
	x.other(0, "hold", "release", "case 2")
	if got := x.archive.erase(0, "--id", x.past[x.one(2)].ID, "--yes", "--reason", "request 7"); len(got.Erased) != 1 || got.Erased[0].Audio != 0 {
		t.Errorf("erased: %+v", got)
	}
	for _, ref := range refsOf(x.past[x.one(2)]) {
		delete(gone, ref)
	}
	x.seal(key)
	if got := x.audit(0, "--allowed-signers", allowed); got.Expired != len(gone) || got.Erased == 0 {
		t.Errorf("the audit knows %d expired recordings, not %d", got.Expired, len(gone))
	}

	// A lost manifest does not restore it.
	x.loseManifest(t)
	if made := x.rebuild(0); made.Expired != len(gone) || made.Missing != 0 {
		t.Errorf("rebuilt: %+v", made)
	}
	if r := x.days().want(t, 0); r.summary.MediaRequests != 0 {
		t.Errorf("%d downloads after the rebuild", r.summary.MediaRequests)
	}
	if after := x.closed(x.bucket); !slices.Equal(after, closed) {
		t.Errorf("after the rebuild closed are %v, were %v", after, closed)
	}
	if v := x.verify().want(t, 0); v.found.Expired != len(gone) {
		t.Errorf("verify after the rebuild: %d expired, want %d", v.found.Expired, len(gone))
	}
	x.hold(0, []string{"release", "case 1"})
	if last := x.expire(0, "--expired", "--yes"); last.Removed != 1 || last.Held != 0 {
		t.Errorf("after the release: %+v", last)
	}
	x.verify().want(t, 0)
}

// checkShown checks that erase --expired prints the retention with its source, and the next expiry.
func (x *expiring) checkShown() {
	x.t.Helper()
	short, _, _ := strings.Cut(x.flags[3], "=")
	long, _, _ := strings.Cut(x.flags[5], "=")
	byDay, of, all := map[string]int{}, map[string]int{}, 0
	for c := range x.server.Calls() {
		of[c.CampaignID] += len(c.Recordings)
		all += len(c.Recordings)
		if c.CampaignID == long && len(c.Recordings) > 0 {
			byDay[c.Day] += len(c.Recordings)
		}
	}
	first := slices.Min(slices.Collect(maps.Keys(byDay)))
	at, err := time.Parse(time.DateOnly, first)
	if err != nil {
		x.t.Fatal(err)
	}
	ends := at.AddDate(10, 0, 0).Format(time.DateOnly)
	var got struct {
		Retention  evidence.NotedRetention
		NextExpiry evidence.NextExpiry `json:"next_expiry"`
	}
	r := x.other(0, "erase", "--expired", "--json", "--state-dir", x.state)
	if err := json.Unmarshal([]byte(r.stdout), &got); err != nil {
		x.t.Fatalf("%v: %s", err, r.stdout)
	}
	n, noted := got.NextExpiry, got.Retention
	if n.Day != ends || n.Recordings != byDay[first] || n.FirstDay != first || n.LastDay != first || n.Bytes == 0 {
		x.t.Errorf("next to expire: %+v, want %d of %s on %s", n, byDay[first], first, ends)
	}
	if noted.Classes["short"].String() != "3d" || noted.Campaigns[long] != "long" || noted.Default != "" || time.Since(noted.Noted) > time.Hour {
		x.t.Errorf("retention: %+v", noted)
	}
	if x.bucket == nil {
		if _, err := os.Stat(filepath.Join(x.dest, noted.File)); err != nil {
			x.t.Errorf("where it is noted: %v", err)
		}
	}
	text := x.other(0, "erase", "--expired", "--state-dir", x.state).stdout
	for _, want := range []string{
		"next to expire, on " + ends + ": ", "retention, as archive noted it on ", " in " + noted.File + "\n",
		fmt.Sprintf("short   3d         %-12d %s\n", of[short], short), fmt.Sprintf("long    10y        %-12d %s\n", of[long], long),
		fmt.Sprintf("-       for ever   %-12d all others\n", all-of[short]-of[long]),
	} {
		if !strings.Contains(text, want) {
			x.t.Errorf("it does not say %q: %s", want, text)
		}
	}
}

// countIn counts a text in all files below a folder.
func countIn(t *testing.T, folder, text string) (n int) {
	t.Helper()
	for _, content := range filesBelow(t, folder) {
		n += strings.Count(string(content), text)
	}
	return n
}

// TestExpireKilled kills the program at random moments: nothing is reported as damage meanwhile, and in the end
// everything is removed.
func TestExpireKilled(t *testing.T) {
	for _, where := range []string{"disk", "s3"} {
		t.Run(where, func(t *testing.T) {
			t.Parallel()
			x := newExpiring(t, where, 173)
			random := rand.New(rand.NewPCG(tortureSeed(t), 0))
			kills := x.killErasing(t, random, func() { x.verify().want(t, 0) }, "--expired", "--yes")
			gone := map[string]bool{}
			for ref := range x.past {
				gone[ref] = true
			}
			x.check(gone)
			if left := x.expire(0, "--expired"); left.Recordings != 0 || len(left.Unfinished) > 0 {
				t.Errorf("left: %+v", left)
			}
			t.Logf("%d kills", kills)
		})
	}
}

// TestExpireResumes stops an expiry with a bucket that refuses to delete: the recordings count as expired, and hold add
// says that it comes too late. erase --resume finishes it.
func TestExpireResumes(t *testing.T) {
	t.Parallel()
	x := newExpiring(t, "s3", 174)
	call := x.past[x.one(0)]
	x.bucket.trouble(func(w http.ResponseWriter, r *http.Request, _ int) bool {
		return strings.Contains(r.URL.Path, call.Recordings[0].Filename) && refuseDelete(w, r, 0)
	})
	if got := x.expire(3, "--expired", "--yes"); len(got.Unfinished) != 1 {
		t.Errorf("refused: %+v", got)
	}
	if r := x.other(0, "erase", "--expired", "--state-dir", x.state); !strings.Contains(r.stdout, "UNFINISHED") {
		t.Errorf("what is unfinished is not told: %s", r.stdout)
	}
	wantSaid(t, x.other(3, "erase", "list").stdout, " unfinished ", "erase --resume finishes 1 expiry\n")
	if v := x.verify().want(t, 0); v.found.Expired != len(x.past) {
		t.Errorf("%d are told as expired, want %d", v.found.Expired, len(x.past))
	}
	if r := x.other(0, "audit", x.one(0)); !strings.Contains(r.stdout, "may be incomplete") {
		t.Errorf("the history: %s", r.stdout)
	}
	if r := x.days("--relist").want(t, 0); r.summary.MediaRequests != 0 {
		t.Errorf("%d downloads", r.summary.MediaRequests)
	}
	x.bucket.trouble(nil)
	if got := x.expire(0, "--resume"); len(got.Expiries) != 1 || got.Removed != len(x.past) {
		t.Errorf("resumed: %+v", got)
	}
	x.check(x.allPast())
}

// checkDue: the list of a dry run has each recording past its retention except the first ones, which a case holds, and no
// number; --ids-from reads it.
func (x *expiring) checkDue(held int) {
	x.t.Helper()
	r := x.other(0, "erase", "--expired", "--csv", "--log-format", "text", "--state-dir", x.state)
	rows, err := csv.NewReader(strings.NewReader(r.stdout)).ReadAll()
	if err != nil || len(rows) != 1+len(x.past)-held || strings.Join(rows[0], ",") != "recording_id,call_id,day,campaign_id,class,size,ended" {
		x.t.Fatalf("%v: %d rows: %s", err, len(rows), r.stdout)
	}
	sure, seen := slices.Sorted(maps.Keys(x.past))[:held], map[string]bool{}
	for _, row := range rows[1:] {
		c, isPast := x.past[row[0]]
		start, err := time.Parse(time.DateOnly, row[2])
		if want := []string{row[0], c.ID, c.Day, c.CampaignID, "short", row[5], start.AddDate(0, 0, 3).Format(time.DateOnly)}; err != nil || !isPast || seen[row[0]] ||
			slices.Contains(sure, row[0]) || !slices.Equal(row, want) || row[5] == "0" {
			x.t.Errorf("row %q, want %q", row, want)
		}
		if seen[row[0]] = true; strings.Contains(r.stdout, c.PhoneNumber) {
			x.t.Errorf("the list has a number: %s", r.stdout)
		}
	}
	wantSaid(x.t, r.stderr, fmt.Sprintf("%d recordings (", len(x.past)-held), "; nothing was removed; left out: 1 recording that must stay; without --csv the command says why")
	list := filepath.Join(x.t.TempDir(), "due.csv")
	if err := os.WriteFile(list, []byte(r.stdout), 0o600); err != nil {
		x.t.Fatal(err)
	}
	if said := x.find("--ids-from", list).want(x.t, 0).stderr; strings.Contains(said, "not found") {
		x.t.Error(said)
	}
	for _, args := range [][]string{{"--expired", "--csv", "--yes"}, {"--expired", "--csv", "--json"}, {"--csv", "--id", "1"}} {
		x.other(2, "erase", args...)
	}
}

// fileOfFirst returns a file with the id of the first recording, for --ids-from.
func (x *expiring) fileOfFirst() string {
	x.t.Helper()
	ids := filepath.Join(x.t.TempDir(), "ids")
	writeFile(x.t, ids, x.one(0)+"\n")
	return ids
}

// expireButFirst removes all recordings past their retention except the first, which a case holds.
func (x *expiring) expireButFirst() {
	x.t.Helper()
	if got := x.expire(0, "--expired", "--yes"); got.Removed != len(x.past)-1 || got.Held != 1 || len(got.Expiries) != 1 {
		x.t.Errorf("expired: %+v", got)
	}
}

// checkButFirst checks that all recordings past their retention are gone, except the first.
func (x *expiring) checkButFirst() {
	x.t.Helper()
	gone := x.allPast()
	delete(gone, x.one(0))
	x.check(gone)
}

// TestHoldOvertakesExpiry: a recording is held between the check for holds and the intent. The expiry withdraws this
// one, and removes the others.
func TestHoldOvertakesExpiry(t *testing.T) {
	t.Parallel()
	x := newExpiring(t, "s3", 175)
	ids := x.fileOfFirst()
	var once sync.Once
	x.bucket.trouble(func(_ http.ResponseWriter, r *http.Request, _ int) bool {
		if r.Method == http.MethodPut && strings.Contains(r.URL.Path, "/evidence/expire-") {
			once.Do(func() {
				x.bucket.trouble(nil)
				x.hold(0, []string{"add", "case 1"}, "--ids-from", ids)
			})
		}
		return false
	})
	x.expireButFirst()
	x.checkButFirst()
}

// TestExpiryOvertakesHold: a hold searches the calls, an expiry notes its intent and looks for holds, and then the hold
// is noted and reports that it came too late.
func TestExpiryOvertakesHold(t *testing.T) {
	t.Parallel()
	x := newExpiring(t, "s3", 176)
	ids := x.fileOfFirst()
	var once sync.Once
	x.bucket.trouble(func(_ http.ResponseWriter, r *http.Request, _ int) bool {
		if r.Method == http.MethodPut && strings.Contains(r.URL.Path, "/evidence/hold-") {
			once.Do(func() { x.expire(0, "--expired", "--yes") })
		}
		return false
	})
	got := x.hold(3, []string{"add", "case 1"}, "--ids-from", ids)
	if len(got.NotHeld) != 1 || got.NotHeld[0].Recording != x.one(0) {
		t.Errorf("held: %+v", got)
	}
}

// TestHoldBeforeExpiry: a hold searches the calls, an expiry notes its intent and looks for holds, and then
// the hold is noted: before the expiry looks for claims, or after that. The expiry has removed nothing yet,
// so the hold wins and says so, and the expiry removes the other recordings.
func TestHoldBeforeExpiry(t *testing.T) {
	t.Parallel()
	for method, seed := range map[string]uint64{http.MethodPut: 181, http.MethodGet: 182} {
		x := newExpiring(t, "s3", seed)
		ids := x.fileOfFirst()
		holdWaits, expiryWaits, holdDone := make(chan struct{}), make(chan struct{}), make(chan struct{})
		var onHold sync.Once
		var onExpiry atomic.Bool
		x.bucket.trouble(func(_ http.ResponseWriter, r *http.Request, _ int) bool {
			if r.Method == http.MethodPut && strings.Contains(r.URL.Path, "/evidence/hold-") {
				onHold.Do(func() { close(holdWaits); <-expiryWaits })
			}
			if r.Method == method && strings.Contains(r.URL.Path, "-claim-") && !onExpiry.Swap(true) {
				close(expiryWaits)
				<-holdDone
			}
			return false
		})
		var won held
		go func() {
			defer close(holdDone)
			won = x.hold(0, []string{"add", "case 1"}, "--ids-from", ids)
		}()
		<-holdWaits
		x.expireButFirst()
		<-holdDone
		if won.Recordings != 1 || len(won.NotHeld) > 0 || len(won.Hidden) != 1 {
			t.Errorf("%s: held: %+v", method, won)
		}
		x.checkButFirst()
	}
}

// TestHoldSeenByExpiry: a hold is noted after an expiry has noted its intent, finds that intent, and claims
// after the expiry. The expiry has seen the hold and left out the held recordings, so the hold says that it
// holds them.
func TestHoldSeenByExpiry(t *testing.T) {
	t.Parallel()
	x := newExpiring(t, "s3", 183)
	ids := x.fileOfFirst()
	holdWaits, noted, contested, expired, holdDone := make(chan struct{}), make(chan struct{}), make(chan struct{}), make(chan struct{}), make(chan struct{})
	var onHold sync.Once
	var isClaimed atomic.Bool
	var intents atomic.Int32
	x.bucket.trouble(func(_ http.ResponseWriter, r *http.Request, _ int) bool {
		switch {
		case r.Method != http.MethodPut:
		case strings.Contains(r.URL.Path, "/evidence/hold-"):
			onHold.Do(func() { close(holdWaits); <-noted })
		case strings.Contains(r.URL.Path, "-claim-"):
			if !isClaimed.Swap(true) { // it is the hold's
				close(contested)
				<-expired
			}
		case strings.Contains(r.URL.Path, "/evidence/expire-") && intents.Add(1) == 2: // that of the first day is noted
			close(noted)
			<-contested
		}
		return false
	})
	var won held
	go func() {
		defer close(holdDone)
		won = x.hold(0, []string{"add", "case 1"}, "--ids-from", ids)
	}()
	<-holdWaits
	x.expireButFirst()
	close(expired)
	<-holdDone
	if won.Recordings != 1 || len(won.NotHeld) > 0 {
		t.Errorf("held: %+v", won)
	}
	x.checkButFirst()
}

// TestExpireDuringARun: a damaged recording expires while a run downloads it again. What the run stores is
// removed too.
func TestExpireDuringARun(t *testing.T) {
	t.Parallel()
	x := newExpiring(t, "s3", 177)
	x.spoil(t, x.bucket, x.one(0))
	x.other(4, "verify", "--repair")
	var once sync.Once
	x.server.SetMediaHook(func(convosotest.MediaRequest) convosotest.Fault {
		once.Do(func() { x.expire(0, "--expired", "--yes") })
		return convosotest.FaultNone
	})
	if r := x.days(); r.summary.MediaRequests == 0 {
		t.Errorf("nothing was in flight: %s", r.stdout)
	}
	x.server.SetMediaHook(nil)
	x.days().want(t, 0)
	x.check(x.allPast())
}

// TestExpireLocked: locked recordings stay, with their date, and all others are removed.
func TestExpireLocked(t *testing.T) {
	t.Parallel()
	if ignoresConditions(t) {
		return
	}
	source := fewCalls(t, 178)
	l := onLocks(t, source, 0)
	l.days("--retention", "short=3d", "--retention-default", "short", "--s3-lock-mode", "governance", "--s3-lock-for", "1d").want(t, 0)
	x := &expiring{archive: l.archive}
	for _, yes := range [][]string{nil, {"--yes"}} {
		got := x.expire(3, append([]string{"--expired"}, yes...)...)
		if got.Stays != recordings || got.Recordings != recordings || got.Removed != 0 || len(got.Kept) != recordings || time.Until(got.Kept[0].Until) < 23*time.Hour || len(got.Expiries) > 0 {
			t.Errorf("locked: %+v", got)
		}
	}
	l.verify().want(t, 0)
	if r := l.other(3, "erase", "--expired", "--yes"); !strings.Contains(r.stdout, "locked until") || !strings.Contains(r.stdout, "KEPT") {
		t.Errorf("it says: %s", r.stdout)
	}
}

// TestLifecycle: audio that a lifecycle rule of the bucket removed after its retention is not damage; other missing
// audio is. The next erase --expired notes it.
func TestLifecycle(t *testing.T) {
	for _, where := range []string{"disk", "s3"} {
		t.Run(where, func(t *testing.T) {
			t.Parallel()
			x := newExpiring(t, where, 179)
			later := ""
			for c := range x.server.Calls() {
				if _, past := x.past[c.Recordings[0].Ref]; !past {
					later = c.Recordings[0].Ref
				}
			}
			ids := filepath.Join(t.TempDir(), "ids")
			writeFile(t, ids, x.one(1)+"\n")
			x.hold(0, []string{"add", "case 1"}, "--ids-from", ids)
			remove := func(ref string) {
				t.Helper()
				if x.bucket == nil {
					if err := os.Remove(filepath.Join(x.dest, filepath.FromSlash(x.read().outcome(ref).Key))); err != nil {
						t.Fatal(err)
					}
					return
				}
				x.bucket.remove("pre fix/" + x.bucket.readBucket().outcome(ref).Key)
			}
			key, allowed := sealKey(t)
			x.seal(key)
			remove(x.one(0))
			if a := x.audit(0, "--allowed-signers", allowed); a.Absent != 1 {
				t.Errorf("%d are told as expired by the audit, want 1", a.Absent)
			}
			if r := x.other(0, "audit", "--seals", "--allowed-signers", allowed); !strings.Contains(r.stdout, "expired      1 recording not in the store") ||
				!strings.Contains(r.stdout, "erase --expired --yes") {
				t.Errorf("the audit says: %s", r.stdout)
			}
			if v := x.verify("--repair").want(t, 0); v.found.Expired != 1 {
				t.Errorf("%d are told as expired, want 1", v.found.Expired)
			}
			x.verify("--quick").want(t, 0)
			if r := x.days("--relist").want(t, 0); r.summary.MediaRequests != 0 {
				t.Errorf("%d downloads", r.summary.MediaRequests)
			}
			for _, ref := range []string{x.one(1), later} { // one is held, the other one's retention has not ended
				remove(ref)
			}
			v := x.verify().want(t, 4, verify.Missing)
			for _, f := range v.found.Findings {
				if f.RecordingID != x.one(1) && f.RecordingID != later {
					t.Errorf("recording %s is told as missing", f.RecordingID)
				}
			}
			if a := x.audit(4, "--allowed-signers", allowed); a.Absent != 1 || a.Found != 2 {
				t.Errorf("the audit found: %+v", a)
			}
			if v.found.Damaged != 2 || v.found.Expired != 1 {
				t.Errorf("found: %+v", v.found)
			}
			// After the loss of the manifest rebuild still separates expired from missing audio, and only
			// these two recordings are fetched again.
			x.loseManifest(t)
			if made := x.rebuild(3); made.Expired != 1 || made.Missing != 2 {
				t.Errorf("rebuilt: %+v", made)
			}
			if r := x.other(0, "audit", x.one(0)); !strings.Contains(r.stdout, `its retention, class "short", ended on`) {
				t.Errorf("the history: %s", r.stdout)
			}
			if r := x.days().want(t, 0); r.summary.MediaRequests != 2 {
				t.Errorf("%d downloads after the rebuild, want 2", r.summary.MediaRequests)
			}
			if got := x.expire(0, "--expired", "--yes"); got.Removed != len(x.past)-2 || got.Audio != len(x.past)-2 || got.Held != 1 {
				t.Errorf("expired: %+v", got)
			}
			if v := x.verify().want(t, 0); v.found.Expired != len(x.past)-1 {
				t.Errorf("%d are told as expired, want %d", v.found.Expired, len(x.past)-1)
			}
		})
	}
}

// loseManifest removes the manifest; of a bucket it makes a copy without it.
func (x *expiring) loseManifest(t *testing.T) {
	t.Helper()
	if x.bucket != nil {
		x.bucket = x.bucket.copied("pre fix/manifest/")
		x.archive = x.bucket.archive
	} else if err := os.RemoveAll(filepath.Join(x.dest, "manifest")); err != nil {
		t.Fatal(err)
	}
}

// TestExpireUnseen: erase --expired warns of a campaign that no call has, and removes nothing if a campaign is noted by
// its name, as older versions did.
func TestExpireUnseen(t *testing.T) {
	t.Parallel()
	x := newExpiring(t, "disk", 181)
	if r := x.other(0, "erase", "--expired", "--state-dir", x.state); strings.Contains(r.stderr, "check a campaign") {
		t.Errorf("a warning about campaigns that have calls: %s", r.stderr)
	}
	x.flags = append(x.flags, "--retention-campaign", "999999=long")
	wantSaid(t, x.days().want(t, 0).stderr, "changed the retention", "short=3d", "\"campaigns\":3")
	if r := x.days().want(t, 0); strings.Contains(r.stderr, "changed the retention") {
		t.Errorf("the retention did not change: %s", r.stderr)
	}
	wantSaid(t, x.other(0, "erase", "--expired", "--state-dir", x.state).stderr, "class\":\"long\"", "no call of the archive has campaign 999999")
	files, err := filepath.Glob(filepath.Join(x.dest, "evidence", "retention-*"))
	if err != nil || len(files) != 2 {
		t.Fatalf("%q, %v", files, err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		writeFile(t, file, strings.ReplaceAll(string(text), `"999999"`, `"Campaign 5053"`))
	}
	wantSaid(t, x.other(0, "erase", "--expired", "--state-dir", x.state).stderr, "class\":\"long\"", "it is not an id")
	wantSaid(t, x.other(2, "erase", "--expired", "--yes", "--state-dir", x.state).stderr, "nothing was removed", "class long", "--retention-campaign")
	x.check(nil)
	x.flags = x.flags[:len(x.flags)-2]
	x.days().want(t, 0)
	if got := x.expire(0, "--expired", "--yes"); got.Removed != len(x.past) {
		t.Errorf("removed %d, want %d", got.Removed, len(x.past))
	}
}

// TestExpireRefused: without a retention nothing expires, and terms or a clock that is behind are refused.
func TestExpireRefused(t *testing.T) {
	t.Parallel()
	a := onDisk(t, threeDays(t, 180))
	a.run("--start-time", daysAgo(10), "--end-time", daysAgo(8)).want(t, 0)
	for name, c := range map[string]struct {
		code int
		says string
		args []string
	}{
		"no retention":  {2, "no retention", []string{"--yes"}},
		"with a term":   {2, "--expired selects recordings by retention alone", []string{"--number", "4155550142"}},
		"with a reason": {2, "--expired selects recordings by retention alone", []string{"--reason", "request 7", "--yes"}},
		"resumed":       {2, "--expired selects recordings by retention alone", []string{"--resume"}},
	} {
		if r := a.other(c.code, "erase", append([]string{"--expired", "--state-dir", a.state}, c.args...)...); !strings.Contains(r.stderr, c.says) {
			t.Errorf("%s: %s", name, r.stderr)
		}
	}
	a.run("--start-time", daysAgo(10), "--end-time", daysAgo(8), "--retention", "short=3d", "--retention-default", "short").want(t, 0)
	file, future := a.dayFile(), time.Now().Add(time.Hour)
	if err := os.Chtimes(file, future, future); err != nil {
		t.Fatal(err)
	}
	if r := a.other(1, "erase", "--expired", "--yes", "--state-dir", a.state); !strings.Contains(r.stderr, "correct the clock") {
		t.Errorf("a clock that is behind: %s", r.stderr)
	}
	a.verify().want(t, 0)
}
