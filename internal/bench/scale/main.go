// Scale measures how the program's cost grows with the archive: it makes the ledger
// of an archive of many closed days, or finds it from an earlier time, and runs the
// program over it, on disk and on S3. The ledger is in the page cache then: what is
// told is the program's cost and not the disk's.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"time"

	"convoso-archiver/internal/bench/measure"
)

func main() { measure.Main("bench-scale", run) }

type settings struct {
	dir       string
	program   string
	versitygw string
	disk      shape
	bucket    shape
	runs      int
}

func run(ctx context.Context, args []string) error {
	var s settings
	flags := flag.NewFlagSet("scale", flag.ContinueOnError)
	flags.StringVar(&s.dir, "dir", "/var/tmp/convoso-archiver-bench-scale", "folder for the archives; the one on disk, of 450 bytes a recording, stays there for the next time")
	flags.StringVar(&s.program, "program", "", "the program to measure (default: built from this module)")
	flags.StringVar(&s.versitygw, "versitygw", ".tools/bin/versitygw", "the S3 server")
	flags.IntVar(&s.disk.days, "days", 1000, "closed days on disk; 0 for none of it")
	flags.IntVar(&s.bucket.days, "s3-days", 100, "closed days on S3; 0 for none of it")
	flags.IntVar(&s.disk.perDay, "per-day", 10_000, "recordings of a day")
	flags.IntVar(&s.runs, "runs", 3, "runs of each")
	if err := flags.Parse(args); err != nil {
		return err
	}
	s.bucket.perDay = s.disk.perDay
	if s.runs < 1 || s.disk.perDay < 1 || min(s.disk.days, s.bucket.days) < 0 || flags.NArg() > 0 {
		return errors.New("wrong flags: --runs and --per-day are above 0, and there are no arguments")
	}
	return s.bench(ctx)
}

func (s *settings) bench(ctx context.Context) error {
	if err := os.MkdirAll(s.dir, 0o700); err != nil {
		return fmt.Errorf("make folder: %w", err)
	}
	if s.program == "" {
		dir, err := os.MkdirTemp(s.dir, "program-*")
		if err != nil {
			return fmt.Errorf("make folder: %w", err)
		}
		defer func() { _ = os.RemoveAll(dir) }() // of no use to anybody, and below a folder for such things
		if s.program, err = measure.Build(ctx, dir); err != nil {
			return err
		}
	}
	fmt.Println(measure.Machine(time.Now()))
	table := newTable(os.Stdout)
	return errors.Join(s.benchAll(ctx, table), table.flush()) // what was measured before an error is told too
}

func (s *settings) benchAll(ctx context.Context, t *table) error {
	if s.disk.days > 0 {
		if err := s.benchDisk(ctx, t); err != nil {
			return fmt.Errorf("measure on disk: %w", err)
		}
	}
	if s.bucket.days > 0 {
		if err := s.benchBucket(ctx, t); err != nil {
			return fmt.Errorf("measure on S3: %w", err)
		}
	}
	return nil
}

func (s *settings) benchDisk(ctx context.Context, t *table) (err error) {
	say("an archive of %d days of %d recordings in %s", s.disk.days, s.disk.perDay, s.dir)
	f, err := openFolder(s.dir, s.disk)
	if err != nil {
		return err
	}
	if err := errors.Join(f.prove(ctx), f.warm()); err != nil {
		return err
	}
	restore := func() error { return nil }
	defer func() { err = errors.Join(err, restore()) }()
	return s.benchPlace(ctx, f, t, func() error {
		undo, err := f.reopen()
		if err == nil {
			restore = undo
		}
		return err
	})
}

func (s *settings) benchBucket(ctx context.Context, t *table) (err error) {
	say("an archive of %d days of %d recordings on S3", s.bucket.days, s.bucket.perDay)
	place, err := openBucket(ctx, s.versitygw, s.dir, s.bucket)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, place.close()) }()
	if err := place.prove(ctx); err != nil {
		return err
	}
	return s.benchPlace(ctx, place, t, func() error { return place.reopen(ctx) })
}

// benchPlace measures all there is to measure of an archive; reopen opens its days for
// the last part.
func (s *settings) benchPlace(ctx context.Context, p place, t *table, reopen func() error) (err error) {
	b, err := newBench(ctx, s, p, t)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, b.close()) }()
	if err := b.freshDays(ctx); err != nil {
		return err
	}
	if err := b.closedDays(ctx); err != nil {
		return err
	}
	if err := reopen(); err != nil {
		return err
	}
	return b.openDays(ctx)
}

func say(format string, a ...any) { fmt.Fprintf(os.Stderr, "bench-scale: "+format+"\n", a...) }
