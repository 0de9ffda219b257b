package e2e

import (
	"context"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"

	"convoso-archiver/fetcher/convosotest"
)

// eraseBase is a sealed archive. Each round erases a person from a copy of it.
type eraseBase struct {
	*archive
	bucket       *bucket // nil on disk
	person       person
	traces       map[string][]byte
	closed       []string
	key, allowed string
}

func newEraseBase(t *testing.T, inBucket bool) *eraseBase {
	t.Helper()
	server := simulate(t, convosotest.Config{
		Seed: 141, FirstDay: daysAgo(10), Days: 2, CallsPerDay: 30, RecordedShare: 0.7, SeveralShare: 0.2, MedianSize: 4_000,
	})
	base := &eraseBase{archive: onDisk(t, server), person: aPerson(t, server)}
	if inBucket {
		base.bucket = onS3(t, server, false)
		base.archive = base.bucket.archive
		keepVersions(t, base.bucket)
	}
	base.env = append(base.env, quickExit)
	base.run("--start-time", daysAgo(10), "--end-time", daysAgo(9)).want(t, 0)
	base.key, base.allowed = sealKey(t)
	base.seal(base.key)
	base.traces = base.archive.traces(base.person)
	for _, named := range []string{"first name", "last name", "comment"} {
		delete(base.traces, named) // the API did not send them
	}
	base.closed = base.archive.closed(base.bucket)
	return base
}

func keepVersions(t *testing.T, b *bucket) {
	t.Helper()
	b.keepsVersions()
	_, err := b.server.Client().PutBucketVersioning(t.Context(), &s3.PutBucketVersioningInput{
		Bucket: &b.server.Bucket, VersioningConfiguration: &types.VersioningConfiguration{Status: types.BucketVersioningStatusEnabled},
	})
	if err != nil {
		t.Fatal(err)
	}
}

// copy returns a copy of the archive, and of its bucket.
func (e *eraseBase) copy(t *testing.T) (*archive, *bucket) {
	t.Helper()
	if e.bucket != nil {
		b := e.bucket.copied("")
		b.state = filepath.Join(t.TempDir(), "state")
		return b.archive, b
	}
	a := *e.archive
	a.dest, a.state = filepath.Join(t.TempDir(), "dest"), filepath.Join(t.TempDir(), "state")
	a.folder = a.dest
	if err := os.CopyFS(a.dest, os.DirFS(e.dest)); err != nil {
		t.Fatal(err)
	}
	return &a, nil
}

// killErasing runs an erasure, or resumes it, and kills the program at random and increasingly late moments, until a
// run ends by itself. After each kill it calls look. It returns the number of kills.
func (a *archive) killErasing(t *testing.T, random *rand.Rand, look func(), named ...string) (killed int) {
	t.Helper()
	for span := 60 * time.Millisecond; ; span += span / 4 {
		what := named
		resumes := killed > 0 && random.IntN(2) == 0
		if resumes {
			what = []string{"--resume"}
		}
		args := slices.Concat([]string{"erase", "--dest", a.dest, "--state-dir", a.state}, a.flags, what)
		cmd := exec.CommandContext(context.WithoutCancel(t.Context()), binary, args...)
		cmd.Env = append([]string{"PATH=" + os.Getenv("PATH"), quickExit}, a.env...)
		var said strings.Builder
		cmd.Stdout, cmd.Stderr = &said, &said
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		timer := time.AfterFunc(time.Duration(random.Int64N(int64(span))), func() { _ = cmd.Process.Kill() })
		_ = cmd.Wait()
		timer.Stop()
		switch code := cmd.ProcessState.ExitCode(); code {
		case 0:
			if !resumes { // the intent may not have been noted
				return killed
			}
		case -1:
			killed++
			look()
		default:
			t.Fatalf("exit code %d: %s", code, said.String())
		}
	}
}

// TestTortureErase kills erasures until one ends by itself. In the end no data of the person and no partial removal is
// left, and every seal is valid.
func TestTortureErase(t *testing.T) {
	for name, inBucket := range map[string]bool{"disk": false, "s3": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			base := newEraseBase(t, inBucket)
			kills, rounds := 0, tortureRounds(t, 6)
			torture(t, rounds, 7, func(t *testing.T, random *rand.Rand, _ int) {
				a, b := base.copy(t)
				a.t = t
				if b != nil {
					b.t = t
				}
				kills += a.killErasing(t, random, func() {}, "--number", base.person.number, "--reason", "request 7", "--yes")
				base.check(t, a, b)
			})
			t.Logf("%d rounds, %d kills", rounds, kills)
		})
	}
}

func (e *eraseBase) check(t *testing.T, a *archive, b *bucket) {
	t.Helper()
	folders := []string{a.state}
	if b == nil {
		folders = append(folders, a.dest)
	}
	if _, err := os.Stat(a.state); err != nil {
		folders = folders[1:] // nothing is left there
	}
	wantTraces(t, b, e.traces, false, folders...)
	left := a.erase(0, "--number", e.person.number)
	if len(left.Chosen)+len(left.Unfinished) > 0 {
		t.Errorf("left: %+v", left)
	}
	a.seal(e.key)
	if got := a.audit(0, "--allowed-signers", e.allowed); got.Erased != len(e.person.refs) {
		t.Errorf("the audit knows %d erased recordings, not %d", got.Erased, len(e.person.refs))
	}
	if after := a.closed(b); !slices.Equal(after, e.closed) {
		t.Errorf("closed are %v, were %v", after, e.closed)
	}
	a.other(0, "verify")
}
