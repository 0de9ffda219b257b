package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"convoso-archiver/archiver"
	"convoso-archiver/fetcher"
	"convoso-archiver/fetcher/convosotest"
	"convoso-archiver/manifest"
	"convoso-archiver/manifest/report"
)

// sharded is an archive in S3 and the flags of every run over it.
type sharded struct {
	*bucket
	span []string
}

// run runs one index of a job with n shards like an engine: on its own machine, with an empty state
// folder.
func (s *sharded) run(shards, index int, more ...string) result {
	return s.runUntil(shards, index, nil, more...)
}

func (s *sharded) runUntil(shards, index int, during func(*os.Process), more ...string) result {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(s.t.Context(), 4*time.Minute)
	defer cancel()
	alone := *s.archive
	alone.state = s.t.TempDir()
	args := append([]string{"--shards", strconv.Itoa(shards), "--workers", "2"}, append(slices.Clone(s.span), more...)...)
	cmd := alone.command(ctx, args...)
	cmd.Env = append(cmd.Env, "JOB_COMPLETION_INDEX="+strconv.Itoa(index))
	return alone.finish(cmd, during)
}

// TestShards archives with several parallel runs, like an engine: one is killed, one is run by two
// pods, and the job is then repeated with another number of shards. Everything is stored once,
// noted and closed, and no noted recording is requested again.
func TestShards(t *testing.T) {
	t.Parallel()
	const shards, killed, twice = 5, 2, 1
	source := simulate(t, convosotest.Config{ // the span begins with days without calls
		Seed: 90, FirstDay: daysAgo(26), Days: 20, CallsPerDay: 24, RecordedShare: 1, SeveralShare: 0.2, MedianSize: 4_000,
		MediaLatency: 40 * time.Millisecond,
	})
	s := &sharded{bucket: onS3(t, source, false), span: []string{"--start-time", daysAgo(29), "--end-time", daysAgo(7)}}
	of := func(index int) func(day string) bool {
		return func(day string) bool { return archiver.Shard{Index: index, Count: shards}.Owns(fetcher.Date(day)) }
	}

	var noted contents // at the kill
	var group sync.WaitGroup
	for index := range shards {
		group.Go(func() {
			if index != killed {
				if r := s.run(shards, index); r.code != 0 || r.summary.Shard != fmt.Sprintf("%d/%d", index, shards) {
					t.Errorf("shard %s %d: exit code %d: %s", r.summary.Shard, index, r.code, tail(r.stderr))
				}
				return
			}
			r := s.runUntil(shards, index, func(p *os.Process) {
				for len(s.notedOf(of(killed))) == 0 && t.Context().Err() == nil {
					time.Sleep(50 * time.Millisecond)
				}
				_ = p.Kill()
			})
			if r.code != -1 {
				t.Errorf("the run to be killed ended before, with exit code %d", r.code)
			}
			noted = s.readBucket()
		})
		if index == twice {
			group.Go(func() { s.run(shards, index).want(t, 0) })
		}
	}
	group.Wait()

	const others = 3 // shards of the second job
	for index := range others {
		group.Go(func() { s.run(others, index).want(t, 0) })
	}
	group.Wait()

	for ref, stats := range source.Stats().Recordings {
		r, _ := source.Recording(ref)
		most := int64(1)
		switch wasNoted := noted.outcome(ref).Outcome == manifest.Archived; {
		case of(twice)(r.Day), of(killed)(r.Day) && !wasNoted: // in two parallel runs, or in flight at the kill
			most = 2
		}
		if int64(stats.Requests) > most {
			t.Errorf("recording %s of %s was asked for %d times", ref, r.Day, stats.Requests)
		}
	}
	s.checkComplete(23)

	source.ResetStats()
	for index := range others { // like an engine that repeats a job
		s.run(others, index).want(t, 0)
	}
	const many = 10_000 // more than there are days: most shards have none
	if r := s.run(many, (fetcher.Date(daysAgo(7)).Ordinal()+1)%many).want(t, 0); r.summary.DaysAsked > 0 {
		t.Errorf("a shard without days asks for %d", r.summary.DaysAsked)
	}
	if stats := source.Stats(); stats.API.Requests+stats.Media.Requests > 0 {
		t.Errorf("a finished shard costs %d requests to the API and %d for recordings", stats.API.Requests, stats.Media.Requests)
	}
}

// notedOf returns the recordings of some days noted as archived.
func (s *sharded) notedOf(wanted func(day string) bool) (ids []string) {
	objects := s.store()
	defer objects.Close()
	ledger, err := manifest.OpenBucket(objects, manifest.Options{ReadOnly: true})
	if err != nil {
		s.t.Error(err)
		return nil
	}
	err = ledger.Scan(s.t.Context(), func(e manifest.Entry) error {
		if e.Outcome == manifest.Archived && wanted(e.Day) {
			ids = append(ids, string(e.ID))
		}
		return nil
	})
	if err != nil {
		s.t.Error(err)
	}
	return ids
}

// checkComplete fails unless everything is stored once, noted, and closed, and report and
// verify say so.
func (s *sharded) checkComplete(days int) {
	t := s.t
	t.Helper()
	c := s.check(nil)
	if len(c.closed) != days {
		t.Errorf("%d days are closed, want %d", len(c.closed), days)
	}
	archived := map[string]string{} // day, by recording
	for key, r := range c.states {
		if r.Outcome != manifest.Archived {
			t.Errorf("%s is %s", key, r.Outcome)
		}
		id, day := r.RecordingID, key[len(r.RecordingID)+1:]
		if other, twice := archived[id]; twice {
			t.Errorf("recording %s is archived under %s and %s", id, other, day)
		}
		archived[id] = day
	}
	said := s.report("--json", "--strict", s.span[0], s.span[1], s.span[2], s.span[3]).want(t, 0)
	var told report.Report
	if err := json.Unmarshal([]byte(said.stdout), &told); err != nil {
		t.Fatal(err)
	}
	if !told.Complete || told.Total.Closed != days || told.Total.ByOutcome[manifest.Archived] != len(archived) {
		t.Errorf("the report says %+v of %d recordings in %d days", told.Total, len(archived), days)
	}
	s.verify().want(t, 0)
}

// TestShardsMeetAMovedCall moves a call from a day of one shard to a day of the other. Both list
// again in parallel: the first to find the call archives it under its new day, and the bytes are
// stored once.
func TestShardsMeetAMovedCall(t *testing.T) {
	t.Parallel()
	source, moving := movedDays(t, 91, convosotest.Listing{})
	s := &sharded{bucket: onS3(t, source, false), span: []string{"--start-time", daysAgo(7), "--end-time", daysAgo(6)}}
	both := func(more ...string) {
		var group sync.WaitGroup
		for index := range 2 {
			group.Go(func() {
				if r := s.run(2, index, more...); r.code != 0 {
					t.Errorf("shard %d: exit code %d: %s", index, r.code, tail(r.stderr))
				}
			})
		}
		group.Wait()
	}
	both()
	if err := source.MoveCall(moving.ID); err != nil {
		t.Fatal(err)
	}
	both("--relist")
	c := s.check(nil)
	if len(c.closed) != 2 {
		t.Errorf("%d days are closed", len(c.closed))
	}
	for _, r := range moving.Recordings {
		now, known := c.states[r.Ref+" "+daysAgo(6)]
		if !known || now.Outcome != manifest.Archived || now.Key != c.states[r.Ref+" "+daysAgo(7)].Key {
			t.Errorf("%s: %+v", r.Ref, now)
		}
	}
	s.verify().want(t, 0)
}

// TestShardsRefused expects one line and exit code 2 for each mistake, without any request.
func TestShardsRefused(t *testing.T) {
	t.Parallel()
	source := simulate(t, convosotest.Config{Seed: 92, FirstDay: daysAgo(7)})
	const s3 = "s3://no-such-bucket/x"
	for _, c := range []struct {
		dest, env string
		args      []string
	}{
		{s3, "", []string{"--shard", "5/4"}},
		{s3, "", []string{"--shard", "one"}},
		{s3, "", []string{"--shards", "4"}},
		{s3, "SLURM_ARRAY_TASK_ID=x", []string{"--shards", "4"}},
		{s3, "AWS_BATCH_JOB_ARRAY_INDEX=4", []string{"--shards", "4"}},
		{s3, "JOB_COMPLETION_INDEX=0", []string{"--shards", "4", "--shard", "0/4"}},
		{s3, "", []string{"--rate-shares", "0"}},
		{t.TempDir(), "", []string{"--shard", "0/4"}},
	} {
		a := onDisk(t, source, append(c.args, "--last", "7d")...)
		a.dest = c.dest
		a.env = []string{c.env, "AWS_REGION=us-east-1", "AWS_ENDPOINT_URL_S3=http://127.0.0.1:9"}
		r := a.run().want(t, 2)
		if lines := strings.Count(r.stderr, "\n"); lines != 1 {
			t.Errorf("%v: %d lines: %s", c.args, lines, r.stderr)
		}
	}
	if n := source.Stats().API.Requests; n > 0 {
		t.Errorf("%d requests", n)
	}
}
