package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"

	"convoso-archiver/archiver/store"
	"convoso-archiver/evidence"
	"convoso-archiver/fetcher/convosotest"
	"convoso-archiver/internal/s3test"
)

// The tests of locks run on versitygw, and by make test-s3 on the servers named in the environment.

// lockable is an archive in a bucket with Object Lock.
type lockable struct {
	*archive
	client *s3.Client
	bucket string
}

// onLocks returns an archive in an empty bucket with Object Lock, with a default retention in days.
func onLocks(t *testing.T, source *convosotest.Server, days int32) *lockable {
	t.Helper()
	server := lockServer(t)
	return onBucket(t, source, server, server.NewLockBucket(t, newName(), days))
}

// newName returns a unique bucket name, because servers named in the environment outlive a test.
func newName() string { return fmt.Sprintf("locks-%d", time.Now().UnixNano()) }

func lockServer(t *testing.T) *s3test.Server {
	t.Helper()
	if server := s3test.FromEnv(t); server != nil {
		return server
	}
	return s3test.Start(t, false)
}

func onBucket(t *testing.T, source *convosotest.Server, server *s3test.Server, bucket string) *lockable {
	t.Helper()
	return &lockable{client: server.Client(), bucket: bucket, archive: &archive{
		t: t, server: source, dest: "s3://" + bucket + "/pre fix", state: filepath.Join(t.TempDir(), "state"), env: append(server.Env(), quickExit),
		flags: []string{"--s3-endpoint", server.Endpoint, "--s3-path-style", "--s3-region", s3test.Region},
	}}
}

// days archives the three days of the source.
func (l *lockable) days(args ...string) result {
	l.t.Helper()
	return l.run(append([]string{"--start-time", daysAgo(10), "--end-time", daysAgo(8)}, args...)...)
}

// objects returns the locks of all newest versions, by name.
func (l *lockable) objects() map[string]*s3.HeadObjectOutput {
	l.t.Helper()
	found := map[string]*s3.HeadObjectOutput{}
	pages := s3.NewListObjectsV2Paginator(l.client, &s3.ListObjectsV2Input{Bucket: &l.bucket})
	for pages.HasMorePages() {
		page, err := pages.NextPage(l.t.Context())
		if err != nil {
			l.t.Fatal(err)
		}
		for _, object := range page.Contents {
			head, err := l.client.HeadObject(l.t.Context(), &s3.HeadObjectInput{Bucket: &l.bucket, Key: object.Key})
			if err != nil && strings.HasSuffix(*object.Key, "/lock-probe") { // it exists while a run starts
				continue
			}
			if err != nil {
				l.t.Fatal(err)
			}
			found[strings.TrimPrefix(*object.Key, "pre fix/")] = head
		}
	}
	return found
}

// isOwn reports whether an object must never be locked.
func isOwn(name string) bool {
	first, _, _ := strings.Cut(name, "/")
	return slices.Contains([]string{"manifest", "calls", "evidence"}, first)
}

// checkLocks compares the locks of all recordings and seals with the expected ones, and checks that nothing else
// is locked. It returns the number of locks, and the name of one recording.
func (l *lockable) checkLocks(mode types.ObjectLockMode, from, to time.Time) (locked int, one string) {
	l.t.Helper()
	for name, head := range l.objects() {
		switch until := aws.ToTime(head.ObjectLockRetainUntilDate); {
		case name == "manifest/lock-probe": // concurrent runs may leave it until its minute is over
		case isOwn(name) && (head.ObjectLockMode != "" || !until.IsZero()):
			l.t.Errorf("%s is locked", name)
		case isOwn(name):
		case head.ObjectLockMode != mode || mode != "" && (until.Before(from) || until.After(to)):
			l.t.Errorf("%s: mode %q until %s, want %q from %s to %s", name, head.ObjectLockMode, until, mode, from, to)
		default:
			locked++
			if !strings.HasPrefix(name, "seals/") {
				one = name
			}
		}
	}
	return locked, one
}

// versions returns how many versions and delete markers an object has.
func (l *lockable) versions(name string) int {
	l.t.Helper()
	out, err := l.client.ListObjectVersions(l.t.Context(), &s3.ListObjectVersionsInput{Bucket: &l.bucket, Prefix: aws.String("pre fix/" + name)})
	if err != nil {
		l.t.Fatal(err)
	}
	return len(out.Versions) + len(out.DeleteMarkers)
}

// replace stores the same bytes again with another lock, like someone who wants to get rid of the lock.
func (l *lockable) replace(name string, change func(*s3.PutObjectInput)) {
	l.t.Helper()
	key := aws.String("pre fix/" + name)
	old, err := l.client.GetObject(l.t.Context(), &s3.GetObjectInput{Bucket: &l.bucket, Key: key})
	if err != nil {
		l.t.Fatal(err)
	}
	body, err := io.ReadAll(old.Body)
	if err != nil {
		l.t.Fatal(err)
	}
	in := &s3.PutObjectInput{Bucket: &l.bucket, Key: key, Body: bytes.NewReader(body), Metadata: old.Metadata, ContentType: old.ContentType}
	change(in)
	if _, err := l.client.PutObject(l.t.Context(), in); err != nil {
		l.t.Fatal(err)
	}
}

type lockedResult struct {
	ExitCode int    `json:"exit_code"`
	Error    string `json:"error"`
	evidence.LockSettings
	evidence.Locked
}

func (l *lockable) lock(code int, args ...string) (found lockedResult) {
	l.t.Helper()
	r := l.other(code, "lock", append([]string{"--json"}, args...)...)
	if err := json.Unmarshal([]byte(r.stdout), &found); err != nil {
		l.t.Fatalf("read what was locked: %v\n%s", err, r.stdout)
	}
	return found
}

// ignoresConditions reports whether the server of the environment must be refused, because its
// locking buckets ignore conditions.
func ignoresConditions(t *testing.T) bool {
	t.Helper()
	server := s3test.FromEnv(t)
	return server != nil && server.IgnoresConditions
}

const recordings = 18 // of fewCalls

// fewCalls is an account with three days of calls, all of them recorded.
func fewCalls(t *testing.T, seed uint64) *convosotest.Server {
	t.Helper()
	return simulate(t, convosotest.Config{Seed: seed, FirstDay: daysAgo(10), Days: 3, CallsPerDay: recordings / 3, RecordedShare: 1, MedianSize: 6_000})
}

// TestLocks archives with a lock, detects every kind of missing lock, repairs it, makes locks longer and stronger, and
// seals.
func TestLocks(t *testing.T) {
	t.Parallel()
	if ignoresConditions(t) {
		return // TestLocksRefused
	}
	l := onLocks(t, fewCalls(t, 91), 0)
	began := time.Now()
	l.days("--s3-lock-mode", "governance", "--s3-lock-for", "10d").want(t, 0)
	const day = 24 * time.Hour
	until := func(d int) (from, to time.Time) {
		return began.Add(time.Duration(d)*day - time.Minute), time.Now().Add(time.Duration(d)*day + time.Minute)
	}
	from, to := until(10)
	locked, one := l.checkLocks(types.ObjectLockModeGovernance, from, to)
	if locked != recordings {
		t.Errorf("%d recordings are locked, want %d", locked, recordings)
	}
	if n := l.versions("manifest/lock-probe"); n != 0 {
		t.Errorf("%d versions of the probe are left", n)
	}
	if v := l.verify().want(t, 0); !v.found.LocksChecked || v.found.Unlocked != 0 {
		t.Errorf("found %s", v.stdout)
	}
	if got := l.lock(0); got.Good != recordings || got.New+got.Extended+got.Failed+got.Early > 0 || got.Mode != store.Governance {
		t.Errorf("locked again: %+v", got)
	}

	// The seals are locked with the recordings, without a delay.
	key, _ := sealKey(t)
	l.seal(key)
	if locked, _ := l.checkLocks(types.ObjectLockModeGovernance, from, to); locked != recordings+2 {
		t.Errorf("%d objects are locked after sealing, want %d", locked, recordings+2)
	}

	// A later run without lock flags uses the same locks.
	for _, c := range []struct {
		name   string
		kind   evidence.LockFault
		change func(*s3.PutObjectInput)
	}{
		{one, evidence.LockMissing, func(*s3.PutObjectInput) {}},
		{one, evidence.LockShort, func(in *s3.PutObjectInput) {
			in.ObjectLockMode, in.ObjectLockRetainUntilDate = types.ObjectLockModeCompliance, aws.Time(time.Now().Add(time.Hour))
		}},
		{"seals/000001.json", evidence.LockMissing, func(*s3.PutObjectInput) {}},
	} {
		l.replace(c.name, c.change)
		if v := l.verify(); v.code != 4 || v.found.Unlocked != 1 || v.found.Damaged+v.found.ManifestDamaged > 0 || len(v.found.Findings) != 1 || string(v.found.Findings[0].Kind) != string(c.kind) {
			t.Errorf("%s of %s: exit code %d, %s", c.kind, c.name, v.code, v.stdout)
		}
		if got := l.lock(0); got.New+got.Extended != 1 || got.Failed > 0 {
			t.Errorf("%s of %s: mended %+v", c.kind, c.name, got)
		}
		l.verify().want(t, 0)
	}

	// Locks can be extended, but not shortened.
	if got := l.lock(0, "--s3-lock-for", "20d"); got.Extended != recordings+2 || got.For.String() != "20d" {
		t.Errorf("made longer: %+v", got)
	}
	if got := l.lock(0, "--s3-lock-for", "5d"); got.Good != recordings+2 || got.Extended > 0 {
		t.Errorf("made shorter: %+v", got)
	}
	objects := l.objects()
	if from, _ := until(20); aws.ToTime(objects[one].ObjectLockRetainUntilDate).Before(from) {
		t.Errorf("a lock of 20 days ends at %s", aws.ToTime(objects[one].ObjectLockRetainUntilDate))
	}
	l.verify().want(t, 0)

	// A stronger mode needs confirmation.
	refused := l.lock(2, "--s3-lock-mode", "compliance", "--s3-lock-for", "20d")
	id := archiveID(t, refused.Error)
	if l.lock(2, "--s3-lock-mode", "compliance", "--confirm-compliance", strings.Repeat("a", 26)); l.objects()["seals/000001.sig"].ObjectLockMode == types.ObjectLockModeCompliance {
		t.Error("locked in compliance mode without confirmation")
	}
	if got := l.lock(0, "--s3-lock-mode", "compliance", "--s3-lock-for", "20d", "--confirm-compliance", id); got.Extended+got.Good != recordings+2 || !got.Confirmed {
		t.Errorf("made stronger: %+v", got)
	}
	l.checkLocks(types.ObjectLockModeCompliance, began.Add(10*day), time.Now().Add(21*day))
	l.replace(one, func(in *s3.PutObjectInput) {
		in.ObjectLockMode, in.ObjectLockRetainUntilDate = types.ObjectLockModeGovernance, aws.Time(time.Now().Add(30*day))
	})
	l.verify().want(t, 4, "lock_mode")
	if got := l.lock(0); got.Extended != 1 {
		t.Errorf("confirmed before: %+v", got)
	}
	l.verify().want(t, 0)
}

// archiveID extracts from a refusal the id that confirms compliance locks.
func archiveID(t *testing.T, refusal string) string {
	t.Helper()
	_, rest, found := strings.Cut(refusal, "--confirm-compliance ")
	id, _, _ := strings.Cut(rest, " ")
	if !found || len(id) != 26 {
		t.Fatalf("the refusal names no archive id: %q", refusal)
	}
	return id
}

// TestLocksLater: with --s3-lock-after nothing is locked until it is due, and then only by the command lock. The
// settings apply to a run without lock flags. Two concurrent runs are safe.
func TestLocksLater(t *testing.T) {
	t.Parallel()
	if ignoresConditions(t) {
		return
	}
	l := onLocks(t, fewCalls(t, 92), 0)
	l.run("--start-time", daysAgo(10), "--end-time", daysAgo(9), "--s3-lock-mode", "governance", "--s3-lock-for", "1d", "--s3-lock-after", "36h").want(t, 2)
	l.run("--start-time", daysAgo(10), "--end-time", daysAgo(9), "--s3-lock-mode", "governance", "--s3-lock-for", "10d", "--s3-lock-after", "3d").want(t, 0)
	l.days().want(t, 0)
	if locked, _ := l.checkLocks("", time.Time{}, time.Time{}); locked != recordings {
		t.Errorf("%d recordings, want %d", locked, recordings)
	}
	l.verify().want(t, 0)
	if got := l.lock(0); got.Early != recordings || got.New > 0 {
		t.Errorf("locked too early: %+v", got)
	} else if due := got.FirstDue; due == nil || due.Before(time.Now().Add(71*time.Hour)) || due.After(time.Now().Add(72*time.Hour)) {
		t.Errorf("the first is due at %v, which is not three days after it was stored", due)
	} else if r := l.other(0, "lock"); !strings.Contains(r.stdout, "are locked later, the first on "+due.Format(time.DateOnly)) {
		t.Errorf("lock does not tell when: %s", r.stdout)
	}
	// Due at once: two runs lock in parallel, and both finish.
	results := make(chan lockedResult, 2)
	for range 2 {
		go func() {
			var r lockedResult
			defer func() { results <- r }()
			r = l.lock(0, "--s3-lock-after", "0s")
		}()
	}
	first, second := <-results, <-results
	if first.Failed+second.Failed > 0 || first.New+first.Good != recordings || second.New+second.Good != recordings || first.New+second.New < recordings {
		t.Errorf("two at once: %+v and %+v", first, second)
	}
	l.checkLocks(types.ObjectLockModeGovernance, time.Now().Add(9*24*time.Hour), time.Now().Add(11*24*time.Hour))
	l.verify().want(t, 0)

	// Locks that are no longer required are not reported as missing.
	l.days("--s3-lock-mode", "none").want(t, 0)
	if got := l.other(2, "lock", "--json"); !strings.Contains(got.stdout, "--s3-lock-mode") {
		t.Errorf("lock without settings: %s", got.stdout)
	}
	l.verify().want(t, 0)

	// An unreadable note may require locks.
	_, err := l.client.PutObject(t.Context(), &s3.PutObjectInput{
		Bucket: &l.bucket, Key: aws.String("pre fix/evidence/lock-20250101T000000Z-00000000-000001.jsonl"), Body: strings.NewReader("{\"v\":1,\"kind\":\"lo\n"),
	})
	if err != nil {
		t.Fatal(err)
	}
	l.verify().want(t, 4, "bad_line")
	l.days("--relist").want(t, 1)
}

// TestLocksOfOlderArchive: an archive that was stored without locks is locked by the command lock, and verify requires
// locks only from then on.
func TestLocksOfOlderArchive(t *testing.T) {
	t.Parallel()
	if ignoresConditions(t) {
		return
	}
	l := onLocks(t, fewCalls(t, 93), 0)
	l.days().want(t, 0)
	if v := l.verify().want(t, 0); v.found.LocksChecked {
		t.Error("locks were looked at that nobody asked for")
	}
	time.Sleep(1100 * time.Millisecond) // stores keep the time of an object in seconds
	l.days("--s3-lock-mode", "governance", "--s3-lock-for", "10d", "--relist").want(t, 0)
	l.verify().want(t, 0)
	one := l.lock(0, "--start-time", daysAgo(10), "--end-time", daysAgo(10))
	if one.Days != 1 || one.New != one.Recordings || one.New == 0 {
		t.Errorf("a day alone: %+v", one)
	}
	l.verify().want(t, 0)
	if got := l.lock(0); got.New != recordings-one.New || got.Good != one.New || got.Failed > 0 {
		t.Errorf("locked %+v", got)
	}
	_, name := l.checkLocks(types.ObjectLockModeGovernance, time.Now().Add(9*24*time.Hour), time.Now().Add(11*24*time.Hour))
	l.verify().want(t, 0)
	l.replace(name, func(*s3.PutObjectInput) {})
	l.verify().want(t, 4, "lock_missing")
	if v := l.verify("--quick"); v.code != 0 || v.found.LocksChecked {
		t.Errorf("--quick: exit code %d, %s", v.code, v.stdout)
	}
	// A missing object is reported, and the others are locked.
	if _, err := l.client.DeleteObject(t.Context(), &s3.DeleteObjectInput{Bucket: &l.bucket, Key: aws.String("pre fix/" + name)}); err != nil {
		t.Fatal(err)
	}
	if got := l.lock(3); got.Failed != 1 || got.Failures[0].RecordingID == "" || got.Good != recordings-1 {
		t.Errorf("with one missing: %+v", got)
	}
}

// TestLocksConfirmedForNewArchive: compliance mode for a new archive: nothing is written before the confirmation.
func TestLocksConfirmedForNewArchive(t *testing.T) {
	t.Parallel()
	if ignoresConditions(t) {
		return
	}
	l := onLocks(t, fewCalls(t, 94), 0)
	compliance := []string{"--s3-lock-mode", "compliance", "--s3-lock-for", "120s"}
	refused := l.days(compliance...).want(t, 2)
	id := archiveID(t, refused.summary.Error)
	if again := archiveID(t, l.days(compliance...).want(t, 2).summary.Error); again != id {
		t.Errorf("the refusal names %s, then %s", id, again)
	}
	l.days(append(compliance, "--confirm-compliance", strings.Repeat("a", 26))...).want(t, 2)
	if n := len(l.objects()); n > 0 {
		t.Errorf("%d objects were written by a run that was refused", n)
	}
	confirmed := append(compliance, "--confirm-compliance", id)
	l.days(confirmed...).want(t, 0)
	l.checkLocks(types.ObjectLockModeCompliance, time.Now(), time.Now().Add(3*time.Minute))
	l.days(append(compliance, "--relist")...).want(t, 0) // once is enough
}

// TestRetentionTags: each recording has the class of its campaign as a tag; on disk there are no tags, but the
// settings are noted.
func TestRetentionTags(t *testing.T) {
	t.Parallel()
	source, server := fewCalls(t, 95), lockServer(t)
	l := onBucket(t, source, server, server.NewBucket(t, "tags"))
	byCampaign := map[string]int{}
	for call := range source.Calls() {
		byCampaign[call.CampaignID] += len(call.Recordings)
	}
	ids := slices.Sorted(maps.Keys(byCampaign))
	flags := []string{"--retention", "medicare=10y,short=90d", "--retention-campaign", ids[0] + "=medicare", "--retention-default", "short"}
	l.days(flags...).want(t, 0)
	seen := map[string]int{}
	for name := range l.objects() {
		if isOwn(name) {
			continue
		}
		out, err := l.client.GetObjectTagging(t.Context(), &s3.GetObjectTaggingInput{Bucket: &l.bucket, Key: aws.String("pre fix/" + name)})
		if err != nil || len(out.TagSet) != 1 || *out.TagSet[0].Key != "retention" {
			t.Fatalf("tags of %s: %v, %v", name, out, err)
		}
		seen[*out.TagSet[0].Value]++
	}
	want := map[string]int{"medicare": byCampaign[ids[0]], "short": recordings - byCampaign[ids[0]]}
	if !maps.Equal(seen, want) || want["short"] == 0 || want["medicare"] == 0 {
		t.Errorf("recordings by class: %v, want %v", seen, want)
	}
}

// TestLocksRefused: an unsuitable bucket is refused with the reason, before anything is stored, and so are
// contradictory settings.
func TestLocksRefused(t *testing.T) {
	t.Parallel()
	source := fewCalls(t, 96)
	server := lockServer(t)
	governance := []string{"--s3-lock-mode", "governance", "--s3-lock-for", "10d"}
	makeBucket := func(versioned bool) string {
		name := newName()
		_, err := server.Client().CreateBucket(t.Context(), &s3.CreateBucketInput{Bucket: &name})
		if err == nil && versioned {
			_, err = server.Client().PutBucketVersioning(t.Context(), &s3.PutBucketVersioningInput{
				Bucket: &name, VersioningConfiguration: &types.VersioningConfiguration{Status: types.BucketVersioningStatusEnabled},
			})
		}
		if err != nil {
			t.Fatal(err)
		}
		return name
	}
	refuse := func(name, bucket string, code int, reason string, args ...string) *lockable {
		t.Helper()
		l := onBucket(t, source, server, bucket)
		r := l.days(args...)
		if r.code != code || !strings.Contains(r.summary.Error+r.stderr, reason) || strings.Count(r.summary.Error, "\n") > 0 {
			t.Errorf("%s: exit code %d, %q; want %d, %q", name, r.code, r.summary.Error, code, reason)
		}
		for object := range l.objects() {
			t.Errorf("%s: %s was written", name, object)
		}
		return l
	}
	refuse("no versions", makeBucket(false), 1, "no versioning", governance...)
	refuse("no Object Lock", makeBucket(true), 1, "Object Lock is not enabled", governance...)
	plain := server.NewLockBucket(t, newName(), 0)
	if ignoresConditions(t) {
		for _, more := range []string{"--s3-lock-mode=governance", "--s3-no-conditional-writes"} {
			refuse("conditions", plain, 1, "ignores If-None-Match", append(governance, more)...)
		}
		return
	}
	for name, c := range map[string]struct {
		reason string
		args   []string
	}{
		"no mode":        {"lock mode is missing", []string{"--s3-lock-for", "10d"}},
		"no time":        {"lock period is missing", []string{"--s3-lock-mode", "governance"}},
		"a second":       {"shorter than a minute", []string{"--s3-lock-mode", "governance", "--s3-lock-for", "59s"}},
		"101 years":      {"longer than 100 years", []string{"--s3-lock-mode", "governance", "--s3-lock-for", "101y"}},
		"months?":        {"m may mean minutes or months", []string{"--s3-lock-mode", "governance", "--s3-lock-for", "6m"}},
		"other mode":     {"not known", []string{"--s3-lock-mode", "worm", "--s3-lock-for", "1y"}},
		"no checksum":    {"checksum", append([]string{"--s3-checksum", "none"}, governance...)},
		"after too long": {"not shorter", append([]string{"--s3-lock-after", "10d"}, governance...)},
		"class unknown":  {"has no retention", []string{"--retention", "a=1y", "--retention-default", "b"}},
		"class alone":    {"without a retention", []string{"--retention-default", "b"}},
		"class twice":    {"given twice", []string{"--retention", "a=1y,a=2y"}},
		"class odd":      {"not a valid name of a class", []string{"--retention", "a b=1y"}},
		"campaign name":  {"not an id", []string{"--retention", "a=1y", "--retention-campaign", "Sales=a"}},
		"campaign twice": {"two classes", []string{"--retention", "a=1y,b=2y", "--retention-campaign", "7=a,7=b"}},
	} {
		refuse(name, plain, 2, c.reason, c.args...)
	}
	nowhere := onBucket(t, source, server, plain)
	if r := nowhere.other(2, "lock", governance...); !strings.Contains(r.stderr, "archive") || len(nowhere.objects()) > 0 {
		t.Errorf("lock without an archive: %s", r.stderr)
	}
	refuse("default retention", server.NewLockBucket(t, newName(), 1), 1, "default retention", governance...)

	disk := onDisk(t, source)
	for _, setting := range [][]string{{"--s3-lock-mode", "governance"}, {"--s3-lock-for", "1y"}} {
		r := disk.run(append([]string{"--start-time", daysAgo(10), "--end-time", daysAgo(8)}, setting...)...).want(t, 2)
		if !strings.Contains(r.summary.Error, "a folder cannot be locked") {
			t.Errorf("a folder with %s: %q", setting[0], r.summary.Error)
		}
	}
	if _, err := os.Stat(disk.dest); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a refused run left a folder: %v", err)
	}
	if r := disk.other(2, "lock"); !strings.Contains(r.stderr, "folder") {
		t.Errorf("lock of a folder: %s", r.stderr)
	}
	if n := source.Stats().Media.Requests; n > 0 {
		t.Errorf("%d recordings were asked for", n)
	}
}

// TestLocksByDefault: a bucket with a default lock is used if that is accepted. Locks that the server does not show are
// reported as unknown, not as damage.
func TestLocksByDefault(t *testing.T) {
	t.Parallel()
	if ignoresConditions(t) {
		return
	}
	l := onLocks(t, fewCalls(t, 97), 1)
	l.days("--s3-lock-mode", "governance", "--s3-lock-for", "10d", "--accept-default-retention").want(t, 0)
	one := ""
	for name, head := range l.objects() {
		if !isOwn(name) {
			if one = name; head.ObjectLockMode != types.ObjectLockModeGovernance || time.Until(aws.ToTime(head.ObjectLockRetainUntilDate)) < 9*24*time.Hour {
				t.Errorf("%s has the bucket's lock: %s", name, aws.ToTime(head.ObjectLockRetainUntilDate))
			}
		}
	}
	l.verify().want(t, 0)
	l.replace(one, func(in *s3.PutObjectInput) { in.ChecksumAlgorithm = types.ChecksumAlgorithmSha256 })
	head, err := l.client.HeadObject(t.Context(), &s3.HeadObjectInput{Bucket: &l.bucket, Key: aws.String("pre fix/" + one)})
	if err != nil {
		t.Fatal(err)
	}
	v := l.verify()
	switch {
	case head.ObjectLockMode == "" && (v.code != 0 || v.found.LocksUnknown != 1 || v.found.Unlocked > 0): // versitygw
		t.Errorf("a lock that is not shown: exit code %d, %s", v.code, v.stdout)
	case head.ObjectLockMode != "" && (v.code != 4 || v.found.Unlocked != 1):
		t.Errorf("a lock of a day: exit code %d, %s", v.code, v.stdout)
	}
}

// TestLockKilled: lock may be killed at any moment, and the next run continues.
func TestLockKilled(t *testing.T) {
	t.Parallel()
	if ignoresConditions(t) {
		return
	}
	l := onLocks(t, fewCalls(t, 98), 0)
	l.days("--s3-lock-mode", "governance", "--s3-lock-for", "10d", "--s3-lock-after", "3d").want(t, 0)
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	cmd := l.command(ctx)
	cmd.Args = append([]string{cmd.Path, "lock", "--json", "--dest", l.dest, "--s3-lock-after", "0s", "--workers", "1"}, l.flags...)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	deadline := time.Now().Add(time.Minute)
	for l.countLocked() == 0 && time.Now().Before(deadline) {
	}
	stop()
	_ = cmd.Wait() // killed, or already done
	if got := l.lock(0); got.New+got.Good != recordings || got.Failed > 0 {
		t.Errorf("after a kill: %+v", got)
	}
	l.verify().want(t, 0)
}

func (l *lockable) countLocked() (n int) {
	for name, head := range l.objects() {
		if !isOwn(name) && head.ObjectLockMode != "" {
			n++
		}
	}
	return n
}
