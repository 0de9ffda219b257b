package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"convoso-archiver/internal/bench/measure"
)

// place is an archive to measure.
type place interface {
	flags() []string // that name it
	env() []string   // of a program that is to use it
	facts() facts
	belongTo(ctx context.Context, apiURL string) error
	// forget removes what runs over new days have left, as far as that can be done.
	forget(days []string) error
}

// facts is what a place is.
type facts struct {
	shape
	name  string
	bytes int64 // of all lines
}

// bench runs the program over one archive.
type bench struct {
	facts
	place   place
	account *account
	program measure.Command // without arguments
	path    string
	table   *table
	runs    int
	state   string // folder for the program's state
}

// newBench starts an account that has calls on the days after the archive's last, one for each run: what a
// run over one of them has left in a bucket cannot be taken away again.
func newBench(ctx context.Context, s *settings, p place, t *table) (*bench, error) {
	b := &bench{facts: p.facts(), place: p, table: t, runs: s.runs, path: s.program}
	var err error
	if b.state, err = os.MkdirTemp(s.dir, "state-*"); err != nil {
		return nil, fmt.Errorf("make state folder: %w", err)
	}
	if b.account, err = openAccount(b.newDay(0), b.runs, b.perDay); err != nil {
		return nil, errors.Join(err, b.close())
	}
	const incomplete = 3 // a day that has not settled
	b.program = measure.Command{
		Env: append([]string{"CONVOSO_AUTH_TOKEN=" + b.account.Token()}, p.env()...), Home: b.state, Codes: []int{0, incomplete},
	}
	if err := p.belongTo(ctx, b.account.APIURL()); err != nil {
		return nil, errors.Join(fmt.Errorf("mark archive: %w", err), b.close())
	}
	return b, nil
}

func (b *bench) close() error {
	var err error
	if b.account != nil {
		err = b.account.Close()
	}
	return errors.Join(err, os.RemoveAll(b.state))
}

// newDay returns a day that is new to the archive.
func (b *bench) newDay(run int) string { return b.day(b.days + run) }

func (b *bench) newDays() (days []string) {
	for run := range b.runs {
		days = append(days, b.newDay(run))
	}
	return days
}

// freshDays measures runs over days that are new to the archive.
func (b *bench) freshDays(ctx context.Context) error {
	err := b.measure(ctx, "archive, one new day", b.wantArchived, func(run int) []string {
		return b.archive("--start-time", b.newDay(run), "--end-time", b.newDay(run))
	})
	return errors.Join(err, b.place.forget(b.newDays()))
}

// closedDays measures what is done with days that are closed, none of which writes anything. The nightly run
// looks at every day before its first request; it is a dry one, for it would leave open days of its own.
func (b *bench) closedDays(ctx context.Context) error {
	for _, step := range []struct {
		name string
		args []string
		check
	}{
		{"archive --last 1d --dry-run", b.archive("--last", "1d", "--dry-run"), nil},
		{"archive, all days", b.archive("--start-time", b.day(0), "--end-time", b.day(b.days-1)), wantNoRequest},
		{"report --csv, day lines alone", b.report("--csv"), nil},
		{"report, and 20 losses", b.report(), nil},
		{"report --json, all losses", b.report("--json"), b.rate},
	} {
		if err := b.measure(ctx, step.name, step.check, always(step.args)); err != nil {
			return err
		}
	}
	return nil
}

// openDays measures what must read every line.
func (b *bench) openDays(ctx context.Context) error {
	return b.measure(ctx, "report, all days open", b.rate, always(b.report()))
}

// always gives the same arguments to every run.
func always(args []string) func(int) []string {
	return func(int) []string { return args }
}

func (b *bench) archive(args ...string) []string {
	args = append(append([]string{"archive"}, b.place.flags()...), args...)
	return append(args, "--api-url", b.account.APIURL(), "--allow-host", b.account.MediaURL(), "--state-dir", filepath.Join(b.state, "state"),
		"--time-zone", zone, "--path-template", newFolder+"/{{.filename}}", "--api-rate", "0", "--media-rate", "0", "--json", "--quiet")
}

func (b *bench) report(args ...string) []string {
	return append(append([]string{"report"}, b.place.flags()...), args...)
}

// check judges one run, or completes its figures.
type check func(*sample) error

func (b *bench) wantArchived(s *sample) error {
	var summary struct {
		Archived int `json:"archived"`
	}
	if err := json.Unmarshal(s.Stdout, &summary); err != nil {
		return fmt.Errorf("read summary: %w", err)
	}
	if summary.Archived != b.perDay {
		return fmt.Errorf("%d recordings archived, want %d", summary.Archived, b.perDay)
	}
	return nil
}

func wantNoRequest(s *sample) error {
	if s.Requests != 0 {
		return fmt.Errorf("%d requests, want none", s.Requests)
	}
	return nil
}

// rate is for what reads every line.
func (b *bench) rate(s *sample) error {
	s.rate = float64(b.bytes) / 1e6 / s.Wall.Seconds()
	return nil
}

// measure runs the program several times and puts one row into the table.
func (b *bench) measure(ctx context.Context, name string, judge check, args func(run int) []string) error {
	say("%s: %s", b.name, name)
	var samples []sample
	for run := range b.runs {
		s, err := b.once(ctx, args(run))
		if err == nil && judge != nil {
			err = judge(&s)
		}
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		s.Stdout = nil
		samples = append(samples, s)
	}
	b.table.add(b.facts, name, samples)
	return nil
}

func (b *bench) once(ctx context.Context, args []string) (sample, error) {
	b.account.forget()
	command := b.program
	command.Args = append([]string{b.path}, args...)
	started := time.Now()
	cost, err := measure.Run(ctx, command)
	if err != nil {
		return sample{}, err
	}
	s := sample{Sample: cost, first: b.account.firstSince(started)}
	s.Requests = b.account.requests()
	return s, nil
}
