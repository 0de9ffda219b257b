package e2e

import (
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"

	"convoso-archiver/archiver/store"
	"convoso-archiver/fetcher/convosotest"
)

// TestEraseRefuses: one clear line for each mistake, and no change.
func TestEraseRefuses(t *testing.T) {
	t.Parallel()
	server := simulate(t, convosotest.Config{Seed: 151, FirstDay: daysAgo(10), Days: 2, CallsPerDay: 60, RecordedShare: 0.9, MedianSize: 3_000})
	a, other := onDisk(t, server), onDisk(t, server)
	span := []string{"--start-time", daysAgo(10), "--end-time", daysAgo(9)}
	a.run(span...).want(t, 0)
	other.run(span...).want(t, 0)
	p := aPerson(t, server)
	foreign, none, ids := filepath.Join(t.TempDir(), "tables"), filepath.Join(t.TempDir(), "none"), filepath.Join(t.TempDir(), "ids")
	other.other(0, "export", "--to", foreign, "--format", "csv")
	writeFile(t, ids, "nothing here\n")
	before := a.files()
	yes := []string{"--yes", "--reason", "request 7"}
	for _, test := range []struct {
		args []string
		says string
	}{
		{nil, "no search terms and no list of ids are given"},
		{yes, "no search terms and no list of ids are given"},
		{[]string{"--number", p.number, "--yes"}, "--reason is missing"},
		{[]string{"--number", p.number, "--yes", "--reason", "(555) 000-0343"}, "phone number"},
		{[]string{"--number", p.number, "--resume"}, "an earlier erasure"},
		{slices.Concat([]string{"--with-recording"}, yes), "more than --max-erase 100"},
		{slices.Concat([]string{"--number", p.number, "--max-erase", "1"}, yes), "more than --max-erase 1"},
		{slices.Concat([]string{"--number", "12"}, yes), "fewer than 4 digits"},
		{slices.Concat([]string{"--ids-from", none}, yes), "--ids-from"},
		{slices.Concat([]string{"--number", p.number, "--export", none}, yes), "it contains no _archive.json"},
		{slices.Concat([]string{"--number", p.number, "--export", foreign}, yes), "another archive"},
	} {
		r := a.other(2, "erase", append([]string{"--state-dir", a.state}, test.args...)...)
		if !strings.Contains(r.stderr, test.says) || strings.Count(strings.TrimSpace(r.stderr), "\n") > 0 || strings.Contains(r.stderr, p.number) {
			t.Errorf("%v: %s", test.args, r.stderr)
		}
	}
	// Values in a configuration file or the environment are not terms.
	a.env = append(a.env, "CONVOSO_ARCHIVER_LAST=30d")
	if r := a.other(2, "erase"); !strings.Contains(r.stderr, "no search terms and no list of ids are given") {
		t.Errorf("a term of the environment: %s", r.stderr)
	}
	if got := a.erase(3, slices.Concat([]string{"--ids-from", ids}, yes)...); len(got.Missing) != 1 || len(got.Erased) > 0 {
		t.Errorf("ids that are not there: %+v", got)
	}
	// Held calls stay, and so does everything chosen with them.
	held := p.refs[0]
	writeFile(t, ids, held+"\n")
	a.other(0, "hold", "add", "case 1", "--ids-from", ids)
	for _, args := range [][]string{nil, yes} {
		got := a.erase(3, append([]string{"--number", p.number}, args...)...)
		if len(got.Kept) < 2 || got.Kept[0].Cases[0] != "case 1" || len(got.Erased) > 0 {
			t.Errorf("held: %+v", got)
		}
	}
	if r := a.other(3, "erase", slices.Concat([]string{"--number", p.number}, yes)...); !strings.Contains(r.stdout, "held: case 1") || !strings.Contains(r.stdout, held) {
		t.Errorf("held: %s", r.stdout)
	}
	if after := a.files(); len(after) != len(before)+1 { // the hold
		t.Errorf("%d files, %d before", len(after), len(before))
	}
	a.other(0, "hold", "release", "case 1")
	if got := a.erase(0, append([]string{"--ids-from", ids}, yes...)...); len(got.Erased) != 1 || got.Erased[0].Calls != 1 {
		t.Errorf("released: %+v", got)
	}
	a.other(0, "verify")
	// A list of ids has no maximum, and unreachable copies are reported.
	var all []string
	for c := range server.Calls() {
		all = append(all, c.ID)
	}
	r := a.other(0, "erase", slices.Concat([]string{"--state-dir", a.state, "--ids-from", idsFile(t, all...)}, yes)...)
	if !strings.Contains(r.stdout, "backups and replicas") || !strings.Contains(r.stdout, "exports that --export does not name") {
		t.Errorf("what is not reached is not told: %s", r.stdout)
	}
	for name := range a.files() {
		if strings.HasSuffix(name, ".mp3") {
			t.Errorf("%s is left", name)
		}
	}
	a.other(0, "verify")
}

// TestEraseLocked: objects locked in S3 stay: by retention, by a legal hold or by the bucket.
func TestEraseLocked(t *testing.T) {
	t.Parallel()
	server := simulate(t, convosotest.Config{Seed: 152, FirstDay: daysAgo(10), Days: 2, CallsPerDay: 30, RecordedShare: 0.8, MedianSize: 3_000})
	p := aPerson(t, server)
	b := onS3(t, server, false)
	erases := func(b *bucket, until time.Time, legalHold, byDefault bool) {
		t.Helper()
		for _, yes := range [][]string{nil, {"--yes", "--reason", "request 7"}} {
			got := b.erase(3, append([]string{"--number", p.number}, yes...)...)
			if len(got.Kept) != 1 || len(got.Erased) > 0 || !got.Kept[0].Until.Equal(until) || got.Kept[0].LegalHold != legalHold || got.Kept[0].Bucket != byDefault {
				t.Fatalf("%+v", got.Kept)
			}
		}
		b.other(0, "verify")
	}
	span := []string{"--start-time", daysAgo(10), "--end-time", daysAgo(9)}
	in := func(name string, days int32) (*bucket, *store.S3) {
		t.Helper()
		copied := *b.archive
		copied.state = filepath.Join(t.TempDir(), "state")
		made := &bucket{archive: &copied, server: b.server, endpoint: b.endpoint}
		copied.bucket = made
		made.in(b.server.NewLockBucket(t, name, days))
		made.keepsVersions()
		objects := made.store()
		t.Cleanup(func() { _ = objects.Close() })
		return made, objects
	}
	locked, objects := in("locking", 0)
	locked.run(span...).want(t, 0)
	key := locked.readBucket().outcome(p.refs[0]).Key
	if err := objects.SetLegalHold(t.Context(), key, true); err != nil {
		t.Fatal(err)
	}
	erases(locked, time.Time{}, true, false)
	if err := objects.SetLegalHold(t.Context(), key, false); err != nil {
		t.Fatal(err)
	}
	until := time.Now().Add(time.Hour).UTC().Truncate(time.Second)
	if err := objects.SetLock(t.Context(), key, store.Governance, until); err != nil {
		t.Fatal(err)
	}
	erases(locked, until, false, false)
	locked.unlock(key)
	if got := locked.erase(0, "--number", p.number, "--yes", "--reason", "request 7"); len(got.Erased) != 1 || got.Erased[0].Audio != len(p.refs) {
		t.Errorf("%+v", got)
	}
	traces := locked.traces(p)
	for _, named := range []string{"first name", "last name", "comment"} {
		delete(traces, named) // the API did not send them
	}
	wantTraces(t, locked, traces, false)
	locked.other(0, "verify")

	byDefault, _ := in("default", 1)
	byDefault.run(span...).want(t, 0)
	erases(byDefault, time.Time{}, false, true)
	if len(byDefault.files()) < len(p.refs) {
		t.Error("what the bucket locks is gone")
	}
}

// unlock ends the retention of an object, like a user who may bypass it.
func (b *bucket) unlock(key string) {
	b.t.Helper()
	until := time.Now().Add(2 * time.Second)
	_, err := b.server.Client().PutObjectRetention(b.t.Context(), &s3.PutObjectRetentionInput{
		Bucket: &b.server.Bucket, Key: aws.String("pre fix/" + key), BypassGovernanceRetention: aws.Bool(true),
		Retention: &types.ObjectLockRetention{Mode: types.ObjectLockRetentionModeGovernance, RetainUntilDate: &until},
	})
	if err != nil {
		b.t.Fatal(err)
	}
	time.Sleep(time.Until(until) + time.Second)
}
