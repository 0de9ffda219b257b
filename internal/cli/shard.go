// Reads which part of the days a run works on.

package cli

import (
	"fmt"
	"strconv"
	"strings"

	"convoso-archiver/archiver"
)

// maxShards is the maximum number of indexes of a Kubernetes job.
const maxShards = 100_000

// maxRateShares prevents shares so small that a run would start with minutes of waiting.
const maxRateShares = 1000

const groupMany = "MANY MACHINES (runs share an archive on S3; see docs/many-machines.md)"

func shardSettings() []setting {
	return []setting{
		{name: "shard", group: groupMany, placeholder: "PART", usage: "archive only part I of N of the days, like 0/17: the days whose number since 1970-01-01 is I modulo N"},
		{name: "shards", group: groupMany, placeholder: "N", usage: "same as --shard I/N, with I from the variable that the engine sets: " + strings.Join(indexVariables(), ", ")},
		{name: "rate-shares", group: groupMany, placeholder: "P", defaultValue: "1", usage: "divide all request rates by this number: the maximum number of parallel runs of this account"},
	}
}

// indexVariables are the variables in which engines pass a run's index: Indexed Jobs of Kubernetes,
// array jobs of AWS Batch and Slurm.
func indexVariables() []string {
	return []string{"JOB_COMPLETION_INDEX", "AWS_BATCH_JOB_ARRAY_INDEX", "SLURM_ARRAY_TASK_ID"}
}

// shard reads the shard of a run. Only S3 can be shared by several machines: a folder is locked by
// one run at a time.
func (r *reader) shard(env environment, folder string) archiver.Shard {
	set := "shard"
	switch hasShard, hasShards := r.isSet("shard"), r.isSet("shards"); {
	case hasShard && hasShards:
		r.keep(misuse("", "use either --shard or --shards, not both%s", r.origins("shard", "shards")))
		return archiver.Shard{}
	case hasShards:
		set = "shards"
	case !hasShard:
		return archiver.Shard{}
	}
	value, origin := r.raw(set)
	var shard archiver.Shard
	if set == "shards" {
		shard = archiver.Shard{Index: r.engineIndex(env), Count: r.whole("shards", 1, maxShards)}
	} else {
		index, count, found := strings.Cut(value, "/")
		var isIndex, isCount bool
		shard.Index, isIndex = digits(index)
		shard.Count, isCount = digits(count)
		switch {
		case !found || !isIndex || !isCount:
			r.fail(origin, "write it like 0/17: the first of 17", "%q is not of the form I/N", value)
		case shard.Count < 1 || shard.Count > maxShards:
			r.fail(origin, fmt.Sprintf("give from 1 to %d shards", maxShards), "%d is out of range", shard.Count)
		case shard.Index >= shard.Count:
			r.fail(origin, fmt.Sprintf("shards count from 0: give 0/%d to %d/%d", shard.Count, shard.Count-1, shard.Count), "there is no shard %s", value)
		}
	}
	if folder != "" {
		r.fail(origin, "give --dest s3://bucket/prefix, or leave this setting out", "shards need an archive in S3, because only one run at a time may write to a folder")
	}
	return shard
}

// engineIndex returns the number that the engine gave to this run.
func (r *reader) engineIndex(env environment) int {
	from := ""
	for _, name := range indexVariables() {
		switch {
		case env[name] == "":
		case from == "":
			from = name
		case env[name] != env[from]:
			r.fail("--shards", "unset one of them, or give --shard I/N", "%s is %q and %s is %q", from, env[from], name, env[name])
			return 0
		}
	}
	if from == "" {
		r.fail("--shards", "give --shard I/N, or set one of "+strings.Join(indexVariables(), ", "), "no variable has the index of this run")
		return 0
	}
	index, ok := digits(env[from])
	value, _ := r.raw("shards")
	count, _ := digits(value) // its own reader reports errors
	switch {
	case !ok:
		r.fail(from, "it must be a number from 0", "%q is not an index", env[from])
	case count > 0 && index >= count:
		r.fail(from, fmt.Sprintf("indexes count from 0 to %d: use fewer indexes in the job, or more --shards", count-1), "there is no shard %d of %d", index, count)
	}
	return index
}

// digits reads a number without sign, blank or point.
func digits(s string) (int, bool) {
	if s == "" || strings.Trim(s, "0123456789") != "" {
		return 0, false
	}
	n, err := strconv.Atoi(s)
	return n, err == nil
}

// warnUnsharded warns about a run that has an index but works on all days.
func (j *archiveJob) warnUnsharded(env environment) {
	for _, name := range indexVariables() {
		if env[name] != "" && j.config.Shard == (archiver.Shard{}) {
			j.warn(name + " is set without --shards: this run archives all days")
			return
		}
	}
}
