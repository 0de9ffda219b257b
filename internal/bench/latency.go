// Measures how well archiving hides slow answers.

package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"convoso-archiver/fetcher/convosotest"
)

// slow measures how well archiving hides the latency of API and media host: recordings of one size,
// each after the same delay, stored on a file system in memory. It alternates with a bare loop of
// net/http with the same number of workers. The second half has many rows without a recording, so
// listing must run ahead.
type slow struct {
	*bench
	memory  string
	seconds int
}

const answerAfter = 50 * time.Millisecond

func latency(b *bench, flags *flag.FlagSet) func(context.Context) error {
	k := &slow{bench: b}
	flags.StringVar(&k.memory, "memory", "/dev/shm", "folder for the downloads: in memory, so that only waiting counts")
	flags.IntVar(&k.seconds, "seconds", 8, "how long a run is to take")
	return k.run
}

func (k *slow) run(ctx context.Context) error {
	k.report.note("%v before each answer of API and media host, %d s a run", answerAfter, k.seconds)
	for _, part := range []struct {
		name    string
		share   float64
		workers []int
	}{{"every row", 1, []int{1, 4, 16, 64}}, {"1 row in 50", 0.02, []int{1, 4, 16}}} {
		for _, workers := range part.workers {
			if err := k.compare(ctx, fmt.Sprintf("%s recorded, workers %d", part.name, workers), workers, part.share); err != nil {
				return err
			}
		}
	}
	return nil
}

// compare runs both sides alternately and adds their lines to the table.
func (k *slow) compare(ctx context.Context, name string, workers int, share float64) (err error) {
	folder, err := os.MkdirTemp(k.memory, "convoso-bench-")
	if err != nil {
		return fmt.Errorf("make folder: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(folder)) }()
	const maxOfDay, size = 20_000, 54_000
	rows := int(float64(k.seconds) / answerAfter.Seconds() * float64(workers) / share)
	days := (rows + maxOfDay - 1) / maxOfDay
	source, err := startSource(ctx, convosotest.Config{
		Days: days, CallsPerDay: rows / days, RecordedShare: share, MedianSize: size, MinSize: size, MaxSize: size,
	}, answerAfter, filepath.Join(folder, "source"))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, source.close()) }()
	home, out := filepath.Join(folder, "run"), filepath.Join(folder, "run", "out")
	sides := []command{
		k.archive(source.Server, source.media.url, home, "--dest", out, "--media-rate", "0", "--workers", strconv.Itoa(workers),
			"--start-time", firstDay, "--end-time", source.lastDay),
		{args: []string{k.self, roleGet, strconv.Itoa(workers), source.list, out}, home: home},
	}
	var perSecond [2][]float64
	var connections []float64
	for range k.runs {
		for i, side := range sides {
			rate, maxOpen, err := measureRate(ctx, source, side, out)
			if err != nil {
				return err
			}
			perSecond[i] = append(perSecond[i], rate)
			if i == 0 {
				connections = append(connections, maxOpen)
			}
		}
	}
	say("%s: done", name)
	k.report.add(name+": a second", 1, perSecond[0], goal{})
	k.report.add("  bare loop: a second", 1, perSecond[1], goal{})
	k.report.add("  ratio", 3, ratios(perSecond[0], perSecond[1]), atLeast(0.95))
	k.report.add("  max connections", 0, connections, neverAbove(float64(workers)))
	return nil
}

// measureRate runs one side once, checks its output, and removes its output.
func measureRate(ctx context.Context, s *source, side command, out string) (perSecond, maxOpen float64, err error) {
	defer func() { err = errors.Join(err, os.RemoveAll(side.home)) }()
	cost, err := execute(ctx, side)
	if err != nil {
		return 0, 0, err
	}
	seen, err := s.media.look(ctx)
	if err != nil {
		return 0, 0, err
	}
	if seen.requests != len(s.links) {
		return 0, 0, fmt.Errorf("%d requests for %d recordings", seen.requests, len(s.links))
	}
	return float64(len(s.links)) / seconds(cost), float64(seen.maxOpen), s.check(out)
}
