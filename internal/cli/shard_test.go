package cli

import (
	"strings"
	"testing"

	"convoso-archiver/archiver"
)

func TestShard(t *testing.T) {
	const k8s, batch, slurm = "JOB_COMPLETION_INDEX", "AWS_BATCH_JOB_ARRAY_INDEX", "SLURM_ARRAY_TASK_ID"
	for _, c := range []struct {
		shard, shards string
		env           environment
		want          archiver.Shard
		complaint     string // part of it; "" for none
	}{
		{want: archiver.Shard{}},
		{env: environment{slurm: "3"}, want: archiver.Shard{}}, // an array job of another kind
		{shard: "0/1", want: archiver.Shard{Index: 0, Count: 1}},
		{shard: "16/17", want: archiver.Shard{Index: 16, Count: 17}},
		{shard: "2/5", env: environment{k8s: "9", batch: "x"}, want: archiver.Shard{Index: 2, Count: 5}},
		{shards: "17", env: environment{k8s: "0"}, want: archiver.Shard{Index: 0, Count: 17}},
		{shards: "17", env: environment{batch: "16"}, want: archiver.Shard{Index: 16, Count: 17}},
		{shards: "17", env: environment{slurm: "7"}, want: archiver.Shard{Index: 7, Count: 17}},
		{shards: "17", env: environment{k8s: "7", slurm: "7", batch: ""}, want: archiver.Shard{Index: 7, Count: 17}},

		{shard: "5/4", complaint: "--shard: there is no shard 5/4: shards count from 0: give 0/4 to 3/4"},
		{shard: "4/4", complaint: "there is no shard 4/4"},
		{shard: "1", complaint: `"1" is not of the form I/N`},
		{shard: "/4", complaint: "not of the form"},
		{shard: "1/", complaint: "not of the form"},
		{shard: "-1/4", complaint: "not of the form"},
		{shard: "+1/4", complaint: "not of the form"},
		{shard: "1 / 4", complaint: "not of the form"},
		{shard: "1/2/4", complaint: "not of the form"},
		{shard: "0/0", complaint: "0 is out of range"},
		{shard: "0/100001", complaint: "100001 is out of range: give from 1 to 100000 shards"},
		{shard: "0/99999999999999999999", complaint: "not of the form"},
		{shards: "0", env: environment{k8s: "0"}, complaint: "--shards: 0 is out of range"},
		{shards: "many", env: environment{k8s: "0"}, complaint: `--shards: "many" is not a whole number`},
		{shards: "4", complaint: "no variable has the index of this run: give --shard I/N, or set one of JOB_COMPLETION_INDEX"},
		{shards: "4", env: environment{k8s: ""}, complaint: "no variable has the index"},
		{shards: "4", env: environment{k8s: "one"}, complaint: `JOB_COMPLETION_INDEX: "one" is not an index`},
		{shards: "4", env: environment{batch: "-1"}, complaint: `"-1" is not an index`},
		{shards: "4", env: environment{slurm: "4"}, complaint: "SLURM_ARRAY_TASK_ID: there is no shard 4 of 4: indexes count from 0 to 3"},
		{shards: "4", env: environment{k8s: "1", slurm: "2"}, complaint: `JOB_COMPLETION_INDEX is "1" and SLURM_ARRAY_TASK_ID is "2"`},
		{shards: "4", env: environment{batch: "1", slurm: "01"}, complaint: `AWS_BATCH_JOB_ARRAY_INDEX is "1" and SLURM_ARRAY_TASK_ID is "01"`},
		{shard: "1/4", shards: "4", complaint: "use either --shard or --shards, not both"},
	} {
		settings := map[string]string{}
		if c.shard != "" {
			settings["shard"] = c.shard
		}
		if c.shards != "" {
			settings["shards"] = c.shards
		}
		r := readerOf(settings)
		got := r.shard(c.env, "")
		switch {
		case c.complaint == "" && (r.err != nil || got != c.want):
			t.Errorf("%+v: %v, %v", c, got, r.err)
		case c.complaint != "" && (r.err == nil || !strings.Contains(r.err.Error(), c.complaint) || strings.Contains(r.err.Error(), "\n")):
			t.Errorf("%+v: %v", c, r.err)
		case c.complaint != "" && judge(r.err, nil, false).code != ExitUsage:
			t.Errorf("%+v: not exit code %d", c, ExitUsage)
		}
	}
}

// TestShardNeedsS3 refuses a folder, which only one run can lock, and which differs between
// machines.
func TestShardNeedsS3(t *testing.T) {
	for _, settings := range []map[string]string{{"shard": "1/4"}, {"shards": "4"}} {
		r := readerOf(settings)
		r.shard(environment{"JOB_COMPLETION_INDEX": "1"}, "/archive")
		if r.err == nil || !strings.Contains(r.err.Error(), "s3://bucket/prefix") {
			t.Errorf("%v: %v", settings, r.err)
		}
	}
}

func TestUnshardedRunOfAnArrayIsTold(t *testing.T) {
	j := &archiveJob{}
	j.warnUnsharded(environment{"SLURM_ARRAY_TASK_ID": "0"})
	if len(j.warnings) != 1 || !strings.HasPrefix(j.warnings[0], "SLURM_ARRAY_TASK_ID is set without --shards") {
		t.Errorf("%q", j.warnings)
	}
	for _, quiet := range []*archiveJob{{config: archiver.Config{Shard: archiver.Shard{Count: 2}}}, {}} {
		env := environment{}
		if quiet.config.Shard.Count > 0 {
			env["SLURM_ARRAY_TASK_ID"] = "0"
		}
		if quiet.warnUnsharded(env); len(quiet.warnings) > 0 {
			t.Errorf("%q", quiet.warnings)
		}
	}
}
