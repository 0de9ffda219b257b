// Measures the throughput of downloads of many sizes.

package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"

	"convoso-archiver/fetcher/convosotest"
)

// bulk downloads recordings of many sizes as fast as it can, alternating with a plain download of
// the same recordings: curl and a sync of each file and the folder on disk, a loop of GET and
// PutObject in S3. It compares every output with the source, byte for byte, outside the measured
// time.
type bulk struct {
	*bench
	intoS3 bool
	count  int

	source *source
	server *s3server // nil for disk
	number int       // of outputs so far
}

const workers = "16" // downloads in parallel, on both sides

func bulkOntoDisk(b *bench, flags *flag.FlagSet) func(context.Context) error {
	return newBulk(b, flags, false)
}
func bulkIntoS3(b *bench, flags *flag.FlagSet) func(context.Context) error {
	return newBulk(b, flags, true)
}

func newBulk(b *bench, flags *flag.FlagSet, intoS3 bool) func(context.Context) error {
	k := &bulk{bench: b, intoS3: intoS3}
	flags.IntVar(&k.count, "count", 8000, "recordings")
	return k.run
}

func (k *bulk) run(ctx context.Context) (err error) {
	const days = 4
	k.count = k.count / days * days
	k.source, err = startSource(ctx, convosotest.Config{Days: days, CallsPerDay: k.count / days, BigRecordings: k.sizes()}, 0, filepath.Join(k.work, "source"))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, k.source.close()) }()
	if k.intoS3 {
		if k.server, err = k.startS3(ctx); err != nil {
			return err
		}
		defer k.server.close()
	}
	yardstick, limit, commands := "curl and sync", below(1), k.curlAndSync
	if k.intoS3 {
		yardstick, limit, commands = "PutObject loop", atMost(1.2), k.putLoop
	}
	k.report.note("%d recordings, %d bytes, %s at a time", len(k.source.links), k.source.bytes, workers)
	var ours, plain []sample
	for turn := range k.runs {
		for _, side := range []struct {
			samples  *[]sample
			commands func(output) ([]command, error)
		}{{&ours, k.ours}, {&plain, commands}} {
			one, err := k.measure(ctx, side.commands)
			if err != nil {
				return err
			}
			*side.samples = append(*side.samples, one)
		}
		say("turn %d of %d: %.2f s, %s %.2f s", turn+1, k.runs, seconds(ours[turn]), yardstick, seconds(plain[turn]))
	}
	a, b := figuresOf(ours, seconds), figuresOf(plain, seconds)
	k.report.add("convoso-archiver: s", 2, a, goal{})
	k.report.add("  CPU s", 2, figuresOf(ours, cpu), goal{})
	k.report.add(yardstick+": s", 2, b, goal{})
	k.report.add("  CPU s", 2, figuresOf(plain, cpu), goal{})
	k.report.add("ratio of the times", 2, ratios(a, b), limit)
	return nil
}

// sizes are distributed lognormally between the sizes of the shortest and the longest call seen.
func (k *bulk) sizes() []int64 {
	const median, mean, smallest, largest = 80_000, 118_375, 13_824, 3 << 20
	spread := math.Sqrt(2 * math.Log(mean/median)) // the mean is the median times e to half the square of spread
	random := rand.New(rand.NewPCG(1, uint64(k.count)))
	sizes := make([]int64, k.count)
	for i := range sizes {
		sizes[i] = min(max(int64(median*math.Exp(spread*random.NormFloat64())), smallest), largest)
	}
	return sizes
}

// output is where one run writes.
type output struct {
	name   string
	folder string // of the files; in S3, the folder of the bucket
	home   string // for everything else
}

// measure runs one side once into a new output and compares it with the source. The output stays
// until the end: ext4 without a journal avoids inodes of files that were deleted in the last
// minutes. Checking each of them made creating a file ten times as slow for the next run
// (measured).
func (k *bulk) measure(ctx context.Context, side func(output) ([]command, error)) (sample, error) {
	k.number++
	name := fmt.Sprintf("out-%04d", k.number)
	out := output{name: name, home: filepath.Join(k.work, "home-"+name), folder: filepath.Join(k.work, name)}
	if k.server != nil {
		out.folder = filepath.Join(k.server.dir, name)
	}
	if err := errors.Join(os.Mkdir(out.home, 0o700), os.Mkdir(out.folder, 0o700)); err != nil {
		return sample{}, fmt.Errorf("make output: %w", err)
	}
	commands, err := side(out)
	if err != nil {
		return sample{}, err
	}
	// Otherwise dirty pages of earlier runs would be written during this one.
	if err := syncAll(ctx, k.work); err != nil {
		return sample{}, err
	}
	touchMemory(2*k.source.bytes + 512<<20) // the output, which an S3 server holds twice, and the memory of the program
	one, err := execute(ctx, commands...)
	if err != nil {
		return sample{}, err
	}
	return one, k.source.check(out.folder)
}

func (k *bulk) ours(o output) ([]command, error) {
	to := []string{"--dest", o.folder}
	if k.server != nil {
		to = s3Flags(k.server.endpoint, o.name)
	}
	return []command{k.archive(k.source.Server, k.source.media.url, o.home, append(to, "--media-rate", "0", "--workers", workers,
		"--start-time", firstDay, "--end-time", k.source.lastDay)...)}, nil
}

func (k *bulk) curlAndSync(o output) ([]command, error) {
	var config strings.Builder
	for number, link := range k.source.links {
		fmt.Fprintf(&config, "url = %q\noutput = %q\n", link, filepath.Join(o.folder, fileName(number)))
	}
	file := filepath.Join(o.home, "curl")
	if err := os.WriteFile(file, []byte(config.String()), 0o600); err != nil {
		return nil, fmt.Errorf("configure curl: %w", err)
	}
	return []command{
		{args: []string{"curl", "--silent", "--show-error", "--fail", "--parallel", "--parallel-max", workers, "--config", file}, home: o.home},
		{args: []string{k.self, roleSync, workers, o.folder}, home: o.home},
	}, nil
}

func (k *bulk) putLoop(o output) ([]command, error) {
	return []command{{args: []string{k.self, rolePut, workers, k.source.list, k.server.endpoint, o.name}, home: o.home}}, nil
}
