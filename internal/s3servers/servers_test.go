//go:build s3servers && linux

package s3servers

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"text/tabwriter"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"

	"convoso-archiver/fetcher/convosotest"
)

// TestServers runs the store's suite and one archive on each server, or on those in SERVERS.
// PROGRAM is the program to run, by default a new build.
func TestServers(t *testing.T) {
	program := os.Getenv("PROGRAM")
	if program == "" {
		program = filepath.Join(t.TempDir(), "convoso-archiver")
		do(t, "go", "build", "-o", program, "convoso-archiver")
	}
	var table strings.Builder
	for _, s := range []struct {
		name  string
		start func(*testing.T) server
	}{{"versitygw", startVersitygw}, {"seaweedfs", startSeaweedFS}, {"ceph", startCeph}} {
		if names := strings.Fields(os.Getenv("SERVERS")); len(names) > 0 && !slices.Contains(names, s.name) {
			continue
		}
		t.Run(s.name, func(t *testing.T) {
			server := s.start(t)
			client := server.client(t)
			for _, bucket := range []string{plain, versioned} {
				makeBucket(t, client, bucket)
				suite, archive := "ok", "ok"
				refused := bucket == versioned && server.versionsIgnoreConditions
				switch {
				case refused:
					suite, archive = "ok, without conditions", "refused, as it must be"
				case bucket == versioned && server.versionsShortenKeys:
					suite = "ok, but for long keys"
				}
				if !t.Run(bucket+" suite", func(t *testing.T) { server.runSuite(t, client, bucket) }) {
					suite = "FAILED"
				}
				if !t.Run(bucket+" archive", func(t *testing.T) { server.archive(t, program, client, bucket, refused) }) {
					archive = "FAILED"
				}
				fmt.Fprintf(&table, "%s\t%s\t%s\t%s\n", s.name, bucket, suite, archive)
			}
			locks := "ok"
			if server.versionsIgnoreConditions {
				locks = "refused, as it must be"
			}
			if !t.Run("locks", server.runLocks) {
				locks = "FAILED"
			}
			proofs := "ok"
			if !t.Run("evidence", server.runEvidence) {
				proofs = "FAILED"
			}
			fmt.Fprintf(&table, "%s\tlocks\t%s\t\n%s\tevidence\t%s\t\n", s.name, locks, s.name, proofs)
		})
	}
	writer := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintf(writer, "server\tbucket\tstore suite\tarchive, again, verify\n%s", table.String())
	if err := writer.Flush(); err != nil {
		t.Error(err)
	}
}

// The buckets of each server.
const (
	plain     = "plain"
	versioned = "versioned"
)

func makeBucket(t *testing.T, client *s3.Client, name string) {
	t.Helper()
	_, err := client.CreateBucket(t.Context(), &s3.CreateBucketInput{Bucket: &name})
	if err == nil && name == versioned {
		_, err = client.PutBucketVersioning(t.Context(), &s3.PutBucketVersioningInput{
			Bucket: &name, VersioningConfiguration: &types.VersioningConfiguration{Status: types.BucketVersioningStatusEnabled},
		})
	}
	if err != nil {
		t.Fatal(err)
	}
}

// runSuite runs the suite that every store passes, below its own prefixes. It must leave objects in
// the bucket; otherwise it ran on another server.
func (s server) runSuite(t *testing.T, client *s3.Client, bucket string) {
	args := []string{"test", "-count=1", "-v", "-timeout=10m", "-run=^TestS3FromEnv$/^" + bucket + "$"}
	if bucket == versioned && s.versionsShortenKeys {
		args = append(args, "-skip=^TestS3FromEnv$/^"+bucket+"$/^keys$")
	}
	cmd := exec.CommandContext(t.Context(), "go", append(args, "convoso-archiver/archiver/store")...)
	cmd.Env = append(s.env(), "S3TEST_BUCKET="+plain, "S3TEST_VERSIONED_BUCKET="+versioned)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
	if len(stored(t, client, bucket, "")) == 0 {
		t.Error("the suite left nothing in the bucket")
	}
}

// runLocks runs the tests of locks, which make their own buckets.
func (s server) runLocks(t *testing.T) {
	args := []string{"test", "-count=1", "-timeout=20m", "-run=^(TestLock|TestRetentionTags)", "convoso-archiver/archiver/store", "convoso-archiver/internal/e2e"}
	cmd := exec.CommandContext(t.Context(), "go", args...)
	cmd.Env = s.env()
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}

// runEvidence runs the tests of seals, holds, erasures, rebuilds and bags. They make buckets of their own, too. Locks are in
// runLocks. In a bucket that ignores conditions once it keeps versions the program works without them.
//
//	a sentence of "Evidence"                         internal/e2e
//	records stand in evidence/, and reopen no day    TestRecordsOfEvidence
//	stubs, roots and closed.json                     TestEraseStubs
//	holds, and their legal holds                     TestHold, TestLegalHold, TestHoldOvertakesErase, TestEraseOvertakesHold
//	erasure, with all versions and delete markers    TestEraseLeavesNothing
//	refused where held or locked                     TestEraseLocked; evidence TestLockedIsNeverErased
//	obeyed by runs that have begun before            TestEraseDuringARun, TestEraseStoredAfterwards, TestEraseInFlightWhereLocked
//	quarantine, and what no line names               TestEraseQuarantineWithoutLine, TestEraseWhatReplacesDamaged
//	killed, and finished                             TestTortureErase, TestEraseBesideARefusal, TestEraseUnfinishedHidesNoDamage
//	seals, audit --seals, audit RECORDING, --tsa     TestSeal, TestAuditFindings, TestSealStamped
//	retention that has ended, --expired              TestExpire, TestExpireKilled, TestLifecycle
//	verifications                                    TestVerifyNotes
//	rebuild                                          TestRebuild, TestRebuildNowhere
//	all of it for archives of an older version       TestOldVersionEvidence
//	export --format bagit                            TestBag
//	locks, retention                                 TestLock…, TestRetentionTags, of runLocks
func (s server) runEvidence(t *testing.T) {
	const proofs = "TestHold|TestLegalHold|TestRecordsOfEvidence|TestEraseStubs|TestAuditFindings|TestOldVersionEvidence|TestHoldOvertakesErase|TestTortureErase|TestSeal|TestSealStamped|TestRebuild|TestRebuildNowhere|TestBag|TestExpire|TestExpireKilled|TestLifecycle|TestVerifyNotes|" +
		"TestErase(LeavesNothing|Locked|OvertakesHold|BesideARefusal|DuringARun|UnfinishedHidesNoDamage|WhatReplacesDamaged|QuarantineWithoutLine|StoredAfterwards|InFlightWhereLocked)"
	for _, args := range [][]string{
		{"-run=^(" + proofs + ")$/^s3", "convoso-archiver/internal/e2e"},
		{"-run=^TestLockedIsNeverErased$", "convoso-archiver/evidence"},
	} {
		cmd := exec.CommandContext(t.Context(), "go", append([]string{"test", "-count=1", "-timeout=20m"}, args...)...)
		cmd.Env = append(s.env(), "ROUNDS=2", "SEQUENCES=10")
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("%v\n%s", err, out)
		}
	}
}

// env returns the environment of tests on the server.
func (s server) env() []string {
	env := append(os.Environ(), "S3TEST_ENDPOINT="+s.endpoint, "S3TEST_REGION="+region, "S3TEST_ACCESS_KEY="+accessKey, "S3TEST_SECRET_KEY="+secretKey)
	if s.versionsIgnoreConditions {
		env = append(env, "S3TEST_IGNORES_CONDITIONS=1")
	}
	if s.versionsRemember {
		env = append(env, "S3TEST_REMEMBERS_REMOVED=1")
	}
	return env
}

// archive archives a simulated account, archives it again without any request, verifies it, and
// compares the server's objects with the source. If the server ignores conditions, the program must
// refuse before it requests a recording.
func (s server) archive(t *testing.T, program string, client *s3.Client, bucket string, refused bool) {
	day := func(ago int) string { return time.Now().UTC().AddDate(0, 0, -ago).Format(time.DateOnly) }
	source, err := convosotest.New(convosotest.Config{
		Seed: 1, FirstDay: day(8), Days: 3, CallsPerDay: 60, RecordedShare: 1, MedianSize: 16_000, BigRecordings: []int64{12 << 20},
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := source.Start(); err != nil {
		t.Fatal(err)
	}
	defer source.Close()
	to := []string{"--dest", "s3://" + bucket + "/calls of 2025", "--s3-endpoint", s.endpoint, "--s3-region", region, "--s3-path-style"}
	execute := func(code int, args ...string) (stdout []byte, stderr string) {
		t.Helper()
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
		defer cancel()
		var out, log bytes.Buffer
		cmd := exec.CommandContext(ctx, program, slices.Concat(args, to)...)
		cmd.Env = []string{
			"PATH=" + os.Getenv("PATH"), "HOME=" + t.TempDir(), "CONVOSO_AUTH_TOKEN=" + source.Token(), "AWS_ACCESS_KEY_ID=" + accessKey,
			"AWS_SECRET_ACCESS_KEY=" + secretKey, "AWS_EC2_METADATA_DISABLED=true",
		}
		cmd.Stdout, cmd.Stderr = &out, &log
		_ = cmd.Run() // the exit code is checked
		if got := cmd.ProcessState.ExitCode(); got != code {
			t.Fatalf("%s: exit code %d, want %d\n%s", args[0], got, code, log.String())
		}
		return out.Bytes(), log.String()
	}
	archive := []string{"archive", "--json", "--api-url", source.APIURL(), "--allow-host", source.MediaURL(), "--api-rate", "0", "--media-rate", "0",
		"--start-time", day(8), "--end-time", day(6), "--log-level", "warn"}
	if refused {
		const cannotGoOn = 1
		_, log := execute(cannotGoOn, archive...)
		if !strings.Contains(log, "ignores If-None-Match") {
			t.Errorf("the refusal does not say why:\n%s", log)
		}
		if n := source.Stats().Media.Requests; n > 0 {
			t.Errorf("%d recordings were asked for before the refusal", n)
		}
		return
	}
	truth := map[string]bool{}
	for r := range source.Recordings() {
		truth[r.SHA256()] = true
	}
	if stdout, _ := execute(0, archive...); archived(t, stdout) != len(truth) {
		t.Errorf("%d recordings archived, want %d", archived(t, stdout), len(truth))
	}
	source.ResetStats()
	execute(0, archive...)
	if stats := source.Stats(); stats.API.Requests+stats.Media.Requests > 0 {
		t.Errorf("archived again with %d requests to the API and %d for recordings", stats.API.Requests, stats.Media.Requests)
	}
	execute(0, "verify")
	for sum, key := range stored(t, client, bucket, "calls of 2025/") {
		if !truth[sum] {
			t.Errorf("%s is none of the source's recordings", key)
		}
		delete(truth, sum)
	}
	if len(truth) > 0 {
		t.Errorf("%d recordings are not in the bucket", len(truth))
	}
}

func archived(t *testing.T, stdout []byte) int {
	t.Helper()
	var summary struct {
		Archived int `json:"archived"`
	}
	if err := json.Unmarshal(stdout, &summary); err != nil {
		t.Fatalf("read summary: %v", err)
	}
	return summary.Archived
}

// stored returns the keys of all objects below a prefix except the archive's own, by the SHA-256 of
// their bytes.
func stored(t *testing.T, client *s3.Client, bucket, prefix string) map[string]string {
	t.Helper()
	keys := map[string]string{}
	pages := s3.NewListObjectsV2Paginator(client, &s3.ListObjectsV2Input{Bucket: &bucket, Prefix: &prefix})
	for pages.HasMorePages() {
		page, err := pages.NextPage(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, object := range page.Contents {
			name := strings.TrimPrefix(*object.Key, prefix)
			if first, _, _ := strings.Cut(name, "/"); first == "manifest" || first == "calls" {
				continue
			}
			answer, err := client.GetObject(t.Context(), &s3.GetObjectInput{Bucket: &bucket, Key: object.Key})
			if err != nil {
				t.Fatal(err)
			}
			hash := sha256.New()
			_, err = io.Copy(hash, answer.Body)
			_ = answer.Body.Close() // read to its end, or failed
			if err != nil {
				t.Fatal(err)
			}
			keys[hex.EncodeToString(hash.Sum(nil))] = name
		}
	}
	return keys
}

// TestMoto: moto requires Content-MD5 for locked objects, and does not accept another checksum. The refusal says what
// to do, and that works.
func TestMoto(t *testing.T) {
	program, err := exec.LookPath("moto_server")
	if err != nil {
		const missing = "moto_server is not on the PATH: pip install 'moto[server]'"
		if os.Getenv("REQUIRE_S3") != "" {
			t.Fatal(missing)
		}
		t.Skip(missing)
	}
	address := freeAddress(t)
	host, port, _ := net.SplitHostPort(address)
	run(t, nil, program, "-H", host, "-p", port)
	s := server{endpoint: "http://" + address}
	client := s.client(t)
	bucket := "with-locks"
	if _, err := client.CreateBucket(t.Context(), &s3.CreateBucketInput{Bucket: &bucket, ObjectLockEnabledForBucket: aws.Bool(true)}); err != nil {
		t.Fatal(err)
	}
	binary := filepath.Join(t.TempDir(), "convoso-archiver")
	do(t, "go", "build", "-o", binary, "convoso-archiver")
	day := time.Now().UTC().AddDate(0, 0, -8).Format(time.DateOnly)
	source, err := convosotest.New(convosotest.Config{Seed: 1, FirstDay: day, Days: 1, CallsPerDay: 5, RecordedShare: 1, MedianSize: 6_000})
	if err == nil {
		err = source.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	defer source.Close()
	execute := func(code int, args ...string) string {
		t.Helper()
		cmd := exec.CommandContext(t.Context(), binary, append(args, "--dest", "s3://"+bucket, "--s3-endpoint", s.endpoint, "--s3-region", region)...)
		cmd.Env = []string{
			"PATH=" + os.Getenv("PATH"), "HOME=" + t.TempDir(), "CONVOSO_AUTH_TOKEN=" + source.Token(), "AWS_ACCESS_KEY_ID=" + accessKey,
			"AWS_SECRET_ACCESS_KEY=" + secretKey, "AWS_EC2_METADATA_DISABLED=true",
		}
		out, _ := cmd.CombinedOutput() // the exit code is checked
		if got := cmd.ProcessState.ExitCode(); got != code {
			t.Fatalf("%s: exit code %d, want %d\n%s", args[0], got, code, out)
		}
		return string(out)
	}
	archive := []string{"archive", "--api-url", source.APIURL(), "--allow-host", source.MediaURL(), "--start-time", day, "--end-time", day,
		"--s3-lock-mode", "governance", "--s3-lock-for", "10d"}
	const wrongSettings = 2
	if out := execute(wrongSettings, archive...); !strings.Contains(out, "--s3-checksum md5") {
		t.Errorf("the refusal does not say what to do:\n%s", out)
	}
	if n := len(stored(t, client, bucket, "")); n > 0 {
		t.Errorf("%d recordings were stored before the refusal", n)
	}
	execute(0, append(archive, "--s3-checksum", "md5")...)
	for _, name := range stored(t, client, bucket, "") {
		head, err := client.HeadObject(t.Context(), &s3.HeadObjectInput{Bucket: &bucket, Key: &name})
		if err == nil && !strings.HasPrefix(name, "evidence/") && head.ObjectLockMode != types.ObjectLockModeGovernance {
			t.Errorf("%s is not locked", name)
		}
	}
	execute(0, "lock", "--s3-checksum", "md5")
	execute(0, "verify", "--s3-checksum", "md5")
}
