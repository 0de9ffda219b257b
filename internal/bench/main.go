// Bench measures the built program, only by its command line, against goals. Where possible, a goal is a
// ratio of two measurements within one run on one machine.
//
//	go run ./internal/bench disk|s3|latency|pace|memory|scale|export|search|shards|evidence [flags]
//
// docs/benchmarks.md says what each kind measures.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"syscall"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Args[1:])
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// bench is one run of one kind of benchmark, with the common flags.
type bench struct {
	dir       string
	program   string
	versitygw string
	runs      int
	check     bool

	self   string // path of this program, which also runs the baselines
	work   string // folder for everything that is written; removed at the end
	report report
}

// kind defines the flags of a kind of benchmark and returns the function that measures.
type kind func(*bench, *flag.FlagSet) func(context.Context) error

func run(ctx context.Context, args []string) error {
	kinds := map[string]kind{"disk": bulkOntoDisk, "s3": bulkIntoS3, "latency": latency, "pace": pace, "memory": memory, "scale": scale, "export": exportTables, "search": searches, "shards": shards, "evidence": proof}
	if len(args) == 0 {
		args = []string{""}
	}
	switch args[0] {
	case roleGet, rolePut, roleHead, roleSync:
		return play(ctx, args)
	}
	define, known := kinds[args[0]]
	if !known {
		return errors.New("name what to measure: disk, s3, latency, pace, memory, scale, export, search, shards or evidence")
	}
	b := &bench{}
	flags := flag.NewFlagSet(args[0], flag.ContinueOnError)
	flags.StringVar(&b.dir, "dir", "/var/tmp", "folder for everything that is written")
	flags.StringVar(&b.program, "program", "", "the program to measure (default: built from this module)")
	flags.StringVar(&b.versitygw, "versitygw", ".tools/bin/versitygw", "the S3 server, where one is needed")
	flags.IntVar(&b.runs, "runs", 3, "runs of each")
	flags.BoolVar(&b.check, "check", false, "fail when a goal is missed")
	measure := define(b, flags)
	if err := flags.Parse(args[1:]); err != nil {
		return err
	}
	if b.runs < 1 || flags.NArg() > 0 {
		return errors.New("wrong flags: --runs is at least 1, and there are no arguments")
	}
	return b.run(ctx, measure)
}

// run runs one kind and prints its table; after a failure, the part measured so far.
func (b *bench) run(ctx context.Context, measure func(context.Context) error) (err error) {
	if b.work, err = os.MkdirTemp(b.dir, "convoso-bench-"); err != nil {
		return fmt.Errorf("make folder: %w", err)
	}
	defer func() { _ = os.RemoveAll(b.work) }() // a leftover is in a temporary folder
	if b.self, err = os.Executable(); err != nil {
		return fmt.Errorf("find own program: %w", err)
	}
	if b.program == "" {
		if b.program, err = build(ctx, b.work); err != nil {
			return err
		}
	}
	b.report.note("%s", machine())
	err = measure(ctx)
	if err := b.report.write(os.Stdout); err != nil {
		return fmt.Errorf("write table: %w", err)
	}
	if err == nil && b.check && b.report.missed > 0 {
		return fmt.Errorf("goals missed: %d", b.report.missed)
	}
	return err
}

// say prints progress on stderr.
func say(format string, a ...any) { fmt.Fprintf(os.Stderr, "bench: "+format+"\n", a...) }
