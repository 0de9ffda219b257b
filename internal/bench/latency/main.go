// Latency measures how well archiving hides the time that a source takes to answer:
// recordings of one size, each after the same wait, onto a file system in memory,
// beside a bare loop of net/http with as many workers in the same run. The second
// half lists many rows without a recording, so that listing must run ahead.
package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"convoso-archiver/internal/bench/internal/origin"
	"convoso-archiver/internal/bench/measure"
)

func main() { measure.Main("bench-latency", run) }

type settings struct {
	dir     string
	program string
	workers string
	sparse  string
	runs    int
	seconds int
	latency time.Duration
	size    int64
}

func run(ctx context.Context, args []string) error {
	if done, err := playRole(ctx, args); done {
		return err
	}
	var s settings
	flags := flag.NewFlagSet("latency", flag.ContinueOnError)
	flags.StringVar(&s.dir, "dir", "/dev/shm", "folder for everything that is written: in memory, so that only waiting counts")
	flags.StringVar(&s.program, "program", "", "the program to measure (default: built from this module)")
	flags.StringVar(&s.workers, "workers", "1,4,16,64", "numbers of workers, each row with a recording")
	flags.StringVar(&s.sparse, "sparse", "1,4,16", "numbers of workers, one row in fifty with a recording")
	flags.IntVar(&s.runs, "runs", 3, "runs of each")
	flags.IntVar(&s.seconds, "seconds", 8, "how long a run is to take")
	flags.DurationVar(&s.latency, "latency", 50*time.Millisecond, "before each answer")
	flags.Int64Var(&s.size, "size", 200_000, "of each recording, in bytes")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if s.runs < 1 || s.seconds < 1 || s.latency <= 0 || flags.NArg() > 0 {
		return errors.New("wrong flags: --runs, --seconds and --latency are above 0, and there are no arguments")
	}
	return s.bench(ctx)
}

func (s settings) bench(ctx context.Context) error {
	work, err := os.MkdirTemp(s.dir, "convoso-bench-")
	if err != nil {
		return fmt.Errorf("make folder: %w", err)
	}
	defer func() { _ = os.RemoveAll(work) }() // of no use to anybody, and below a folder for such things
	if s.program, err = measure.Program(ctx, s.program, work); err != nil {
		return err
	}
	fmt.Printf("%s\n%d bytes each, %v before each answer, API and media\n\n", measure.Machine(time.Now()), s.size, s.latency)
	table := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "rows with a recording\tworkers\trecordings\tours, a second (min med max)\tbare loop, a second\tours/loop\tmost connections, ours\tloop")
	for _, part := range []struct {
		name    string
		share   float64
		workers string
	}{{"all", 1, s.workers}, {"1 in 50", 0.02, s.sparse}} {
		for _, field := range strings.FieldsFunc(part.workers, func(r rune) bool { return r == ',' }) {
			workers, err := strconv.Atoi(field)
			if err != nil || workers < 1 {
				return fmt.Errorf("wrong number of workers %q", field)
			}
			row, err := s.compare(ctx, work, workers, part.share)
			if err != nil {
				return err
			}
			fmt.Fprintf(table, "%s\t%s\n", part.name, row)
		}
	}
	return table.Flush()
}

// side is one of the two that are compared.
type side struct {
	perSecond []float64
	most      int // connections open at a time
}

// compare runs the program and the bare loop in turns and returns their row.
func (s settings) compare(ctx context.Context, work string, workers int, share float64) (string, error) {
	perWorker := int(time.Duration(s.seconds) * time.Second / s.latency)
	count := workers * perWorker
	source, err := startSource(ctx, s, count, share)
	if err != nil {
		return "", err
	}
	defer source.child.Close()
	var ours, loop side
	for range s.runs {
		for _, one := range []struct {
			to      *side
			command func(folder string) measure.Command
		}{
			{&ours, func(folder string) measure.Command { return s.archive(source, folder, workers) }},
			{&loop, func(folder string) measure.Command { return source.loop(folder, workers) }},
		} {
			if err := one.to.run(ctx, source, work, one.command); err != nil {
				return "", err
			}
		}
	}
	fmt.Fprintf(os.Stderr, "%d workers, %g of rows: done\n", workers, share)
	a, b := measure.SpreadOf(ours.perSecond), measure.SpreadOf(loop.perSecond)
	return fmt.Sprintf("%d\t%d\t%s\t%s\t%s\t%d\t%d", workers, source.Recordings, a.Text(1), b.Text(1),
		measure.Percent(a.Median/b.Median), ours.most, loop.most), nil
}

// run runs one side once, into a folder of its own that is removed.
func (d *side) run(ctx context.Context, source *source, work string, command func(folder string) measure.Command) error {
	folder := filepath.Join(work, "out")
	if err := os.Mkdir(folder, 0o700); err != nil {
		return fmt.Errorf("make folder: %w", err)
	}
	if _, err := source.seen(ctx); err != nil { // begin to count
		return err
	}
	sample, err := measure.Run(ctx, command(folder))
	if err != nil {
		return err
	}
	seen, err := source.seen(ctx)
	if err != nil {
		return err
	}
	if seen.Requests != source.Recordings {
		return fmt.Errorf("%d requests for %d recordings", seen.Requests, source.Recordings)
	}
	if err := source.check(folder); err != nil {
		return err
	}
	d.perSecond = append(d.perSecond, float64(source.Recordings)/sample.Wall.Seconds())
	d.most = max(d.most, seen.MostOpen)
	return os.RemoveAll(folder)
}

func (s settings) archive(source *source, folder string, workers int) measure.Command {
	return measure.Command{
		Args: []string{s.program, "archive", "--json", "--start-time", source.First, "--end-time", source.Last,
			"--dest", filepath.Join(folder, "calls"), "--state-dir", filepath.Join(folder, "state"),
			"--api-url", source.API, "--allow-host", source.Media, "--workers", strconv.Itoa(workers),
			"--api-rate", "0", "--media-rate", "0", "--log-level", "warn"},
		Env: []string{"CONVOSO_AUTH_TOKEN=" + source.Token}, Home: folder,
	}
}

// source is the child process that both sides download from, and what it said.
type source struct {
	API, Media, Token string
	First, Last       string // days
	Recordings        int
	Size              int64

	child *origin.Child
	self  string
}

func startSource(ctx context.Context, s settings, count int, share float64) (*source, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("find own program: %w", err)
	}
	child, err := origin.StartSelf(ctx, roleSource, strconv.Itoa(count), fmt.Sprint(share), s.latency.String(), strconv.FormatInt(s.size, 10))
	if err != nil {
		return nil, err
	}
	source := &source{child: child, self: self}
	if err := json.NewDecoder(bytes.NewBufferString(child.Line)).Decode(source); err != nil {
		return nil, errors.Join(fmt.Errorf("read what the source said: %w", err), child.Close())
	}
	return source, nil
}

// check fails unless a file of the right size is there for each recording.
func (s *source) check(folder string) error {
	count := 0
	err := filepath.WalkDir(folder, func(_ string, entry os.DirEntry, err error) error {
		if err != nil || entry.IsDir() || !strings.HasSuffix(entry.Name(), ".mp3") {
			return err
		}
		info, err := entry.Info()
		if err == nil && info.Size() == s.Size {
			count++
		}
		return err
	})
	if err == nil && count != s.Recordings {
		err = fmt.Errorf("%d of %d recordings are there", count, s.Recordings)
	}
	return err
}
