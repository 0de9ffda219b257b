// Bulk compares archiving with plain bulk downloads: the same recordings from the
// same web server onto the same file system, or into the same S3 server, by the
// program and by whichever other tools are installed, in turns. Every output is
// compared with the source, byte for byte, outside of the measured time.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"

	"convoso-archiver/internal/bench/internal/corpus"
	"convoso-archiver/internal/bench/internal/origin"
	"convoso-archiver/internal/bench/internal/s3server"
	"convoso-archiver/internal/bench/measure"
)

func main() { measure.Main("bench", run) }

// settings are the flags.
type settings struct {
	into      string
	runs      int
	dir       string
	program   string
	versitygw string
	rclone    string
	tools     string
	count     int
	workers   int
	size      corpus.Shape
}

func run(ctx context.Context, args []string) error {
	if done, err := playRole(ctx, args); done {
		return err
	}
	var s settings
	flags := flag.NewFlagSet("bulk", flag.ContinueOnError)
	flags.StringVar(&s.into, "into", "disk", "disk or s3")
	flags.IntVar(&s.runs, "runs", 3, "runs of each tool")
	flags.StringVar(&s.dir, "dir", "/var/tmp", "folder for everything that is written, on the file system to measure; needs about a GB for each run of each tool")
	flags.StringVar(&s.program, "program", "", "the program to measure (default: built from this module)")
	flags.StringVar(&s.versitygw, "versitygw", ".tools/bin/versitygw", "the S3 server")
	flags.StringVar(&s.rclone, "rclone", ".tools/bin/rclone", "rclone with copyurl --urls; else one on the path")
	flags.StringVar(&s.tools, "tools", "", "only these, separated by commas (default: all that are installed)")
	flags.IntVar(&s.count, "count", 8000, "recordings")
	flags.IntVar(&s.workers, "workers", 16, "downloads at a time, of every tool")
	flags.Float64Var(&s.size.Median, "median", 80_000, "median size in bytes")
	flags.Float64Var(&s.size.Mean, "mean", 118_375, "mean size in bytes, about")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if s.into != "disk" && s.into != "s3" || s.runs < 1 || flags.NArg() > 0 {
		return errors.New("wrong flags: --into is disk or s3, --runs at least 1, and there are no arguments")
	}
	return s.bench(ctx)
}

// bench makes the sources, runs all tools in turns and prints the table.
func (s settings) bench(ctx context.Context) error {
	work, err := os.MkdirTemp(s.dir, "convoso-bench-")
	if err != nil {
		return fmt.Errorf("make folder: %w", err)
	}
	defer func() { _ = os.RemoveAll(work) }() // of no use to anybody, and below a folder for such things
	b := &bench{settings: s, work: work, corpus: corpus.New(s.count, s.size)}
	defer b.close()
	if err := b.prepare(ctx); err != nil {
		return err
	}
	tools := slices.DeleteFunc(b.tools(ctx), func(t tool) bool { return !s.wants(t.name) })
	fmt.Printf("%s\n%d recordings, %d bytes, from %s, %d at a time, onto %s\n\n",
		measure.Machine(time.Now()), len(b.corpus.Files), b.corpus.Bytes, b.web.Kind, s.workers, s.into)
	series := make([]measure.Series, len(tools))
	for i, t := range tools {
		series[i].Name = t.name
	}
	// What was measured before something failed is worth seeing.
	failed := b.takeTurns(ctx, tools, series)
	return errors.Join(failed, measure.WriteTable(os.Stdout, series, b.yardstick()))
}

// takeTurns runs each tool once before any a second time, so that what else the
// machine does hits all alike.
func (b *bench) takeTurns(ctx context.Context, tools []tool, series []measure.Series) error {
	for number := range b.runs {
		for i, t := range tools {
			sample, err := b.measure(ctx, t)
			if err != nil {
				return fmt.Errorf("%s: %w", t.name, err)
			}
			series[i].Samples = append(series[i].Samples, sample)
			fmt.Fprintf(os.Stderr, "run %d of %d, %s: %.2f s\n", number+1, b.runs, t.name, sample.Wall.Seconds())
		}
	}
	return nil
}

func (s settings) wants(name string) bool {
	return s.tools == "" || slices.Contains(strings.Split(s.tools, ","), name)
}

// bench is one comparison.
type bench struct {
	settings
	work    string // everything is below it
	self    string // this program
	corpus  *corpus.Corpus
	web     *origin.Web
	account *origin.Child // serves the API
	s3      *s3server.Server
	number  int // of outputs so far
}

// prepare writes the sources and starts what serves them.
func (b *bench) prepare(ctx context.Context) error {
	var err error
	if b.self, err = os.Executable(); err != nil {
		return fmt.Errorf("find own program: %w", err)
	}
	if b.program, err = measure.Program(ctx, b.program, b.work); err != nil {
		return err
	}
	root := filepath.Join(b.work, "source")
	if err := b.corpus.Write(root); err != nil {
		return err
	}
	if b.web, err = origin.StartWeb(ctx, root, filepath.Join(b.work, "web"), roleFiles); err != nil {
		return err
	}
	b.account, err = origin.StartSelf(ctx, roleAccount, fmt.Sprint(b.count), fmt.Sprint(b.size.Median), fmt.Sprint(b.size.Mean), b.web.URL)
	if err != nil {
		return err
	}
	if b.into == "s3" {
		b.s3, err = s3server.Start(ctx, b.versitygw, filepath.Join(b.work, "s3"))
	}
	return err
}

// close ends what prepare started. It is about to be deleted all the same, so that
// only what is left running would matter.
func (b *bench) close() {
	if b.s3 != nil {
		b.s3.Close()
	}
	if b.account != nil {
		_ = b.account.Close()
	}
	if b.web != nil {
		_ = b.web.Close()
	}
}

// measure runs a tool once into a new output and compares this with the source. The
// output stays until the end: ext4 without a journal takes care not to use again the
// inodes of files that were deleted in the last minutes, and looking at each of them
// made creating a file ten times as slow for whoever came next (measured).
func (b *bench) measure(ctx context.Context, t tool) (measure.Sample, error) {
	b.number++
	out := output{name: fmt.Sprintf("%04d", b.number), home: filepath.Join(b.work, fmt.Sprintf("home-%04d", b.number))}
	if err := os.Mkdir(out.home, 0o700); err != nil {
		return measure.Sample{}, fmt.Errorf("make folder: %w", err)
	}
	out.folder = filepath.Join(b.work, "out-"+out.name)
	var err error
	if b.s3 != nil {
		out.name = "bench-" + out.name
		out.folder, err = b.s3.Bucket(out.name)
	} else if !t.makesFolder {
		err = os.Mkdir(out.folder, 0o700)
	}
	if err != nil {
		return measure.Sample{}, fmt.Errorf("make output: %w", err)
	}
	commands, err := t.commands(out)
	if err != nil {
		return measure.Sample{}, err
	}
	// What earlier runs left to be written would else be written during this one.
	if err := syncAll(ctx, b.work); err != nil {
		return measure.Sample{}, err
	}
	measure.TouchMemory(2*b.corpus.Bytes + 512<<20) // what is written, twice with an S3 server, and the tool's own
	before, err := b.web.Counts(ctx)
	if err != nil {
		return measure.Sample{}, err
	}
	sample, err := measure.Run(ctx, commands...)
	if err != nil {
		return measure.Sample{}, err
	}
	after, err := b.web.Counts(ctx)
	if err != nil {
		return measure.Sample{}, err
	}
	seen := after.Since(before)
	sample.Connections, sample.Requests = seen.Connections, seen.Requests
	if err := b.corpus.Check(out.folder, "manifest", "calls", ".tmp"); err != nil {
		return measure.Sample{}, err
	}
	if t.verify != nil {
		if _, err := measure.Run(ctx, t.verify(out)); err != nil {
			return measure.Sample{}, err
		}
	}
	return sample, nil
}

// syncAll writes out what waits to be written on the file system of a folder; on
// systems other than Linux, on all of them.
func syncAll(ctx context.Context, folder string) error {
	args := []string{"-f", folder}
	if runtime.GOOS != "linux" {
		args = nil
	}
	if err := exec.CommandContext(ctx, "sync", args...).Run(); err != nil {
		return fmt.Errorf("sync file system: %w", err)
	}
	return nil
}
