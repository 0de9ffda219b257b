// Pace measures how much of a hidden limit archiving uses and how often it is
// refused: real minutes against media hosts that allow so many request starts a
// second, tell nobody how many, and answer more with 429. All limits are tried side
// by side, as the time passes with waiting.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"golang.org/x/sync/errgroup"

	"convoso-archiver/fetcher/convosotest"
	"convoso-archiver/internal/bench/measure"
)

func main() { measure.Main("bench-pace", run) }

type settings struct {
	dir        string
	program    string
	limits     string
	minutes    int
	later      int
	runs       int
	burst      int
	retryAfter time.Duration
	workers    int
}

func run(ctx context.Context, args []string) error {
	var s settings
	flags := flag.NewFlagSet("pace", flag.ContinueOnError)
	flags.StringVar(&s.dir, "dir", os.TempDir(), "folder for everything that is written")
	flags.StringVar(&s.program, "program", "", "the program to measure (default: built from this module)")
	flags.StringVar(&s.limits, "limits", "2,3,8,20", "request starts a second that the hosts allow")
	flags.IntVar(&s.minutes, "minutes", 3, "of the first run, which knows nothing")
	flags.IntVar(&s.later, "later", 1, "minutes of a later run, which knows the rate learned; 0 for none")
	flags.IntVar(&s.runs, "runs", 1, "of each limit, side by side")
	flags.IntVar(&s.burst, "burst", 2, "requests that the hosts let through at once")
	flags.DurationVar(&s.retryAfter, "retry-after", 2*time.Second, "what a refusal says; 0 for no header")
	flags.IntVar(&s.workers, "workers", 16, "downloads at a time")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if s.minutes < 1 || s.later < 0 || s.runs < 1 || flags.NArg() > 0 {
		return errors.New("wrong flags: --minutes and --runs are at least 1, and there are no arguments")
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
	limits, err := parseLimits(s.limits)
	if err != nil {
		return err
	}
	fmt.Printf("%s\nRetry-After %v, burst %d, --media-rate 100, %d workers; the spread is of %d runs side by side\n\n",
		measure.Machine(time.Now()), s.retryAfter, s.burst, s.workers, s.runs)
	hosts := make([][]*host, len(limits))
	group, ctx := errgroup.WithContext(ctx)
	for i, limit := range limits {
		hosts[i] = make([]*host, s.runs)
		for j := range hosts[i] {
			h := &host{settings: s, limit: limit, folder: filepath.Join(work, fmt.Sprintf("%d-%d", i, j))}
			hosts[i][j] = h
			group.Go(func() error { return h.run(ctx) })
		}
	}
	if err := group.Wait(); err != nil {
		return err
	}
	return s.report(limits, hosts)
}

func parseLimits(text string) ([]float64, error) {
	var limits []float64
	for _, field := range strings.Split(text, ",") {
		limit, err := strconv.ParseFloat(field, 64)
		if err != nil || limit <= 0 {
			return nil, fmt.Errorf("wrong limit %q", field)
		}
		limits = append(limits, limit)
	}
	return limits, nil
}

// report prints a row for each minute of each limit.
func (s settings) report(limits []float64, hosts [][]*host) error {
	table := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "limit a second\tminute\tused % (min med max)\trefused % (min med max)")
	for i, limit := range limits {
		for m := range s.minutes + s.later {
			var used, refused []float64
			for _, h := range hosts[i] {
				used = append(used, 100*h.seen[m].used)
				refused = append(refused, 100*h.seen[m].refused)
			}
			name := strconv.Itoa(m + 1)
			if m >= s.minutes {
				name = fmt.Sprintf("%d of the later run", m+1-s.minutes)
			}
			fmt.Fprintf(table, "%g\t%s\t%s\t%s\n", limit, name, measure.SpreadOf(used).Text(1), measure.SpreadOf(refused).Text(2))
		}
	}
	return table.Flush()
}

// host is one limit with the archive that is filled from behind it.
type host struct {
	settings
	limit  float64
	folder string
	seen   []minute
}

// minute is what one minute came to, as shares.
type minute struct{ used, refused float64 }

const day = "2025-05-01"

// run archives for the minutes of the first run, and then, from the rate that it
// learned, for those of the later one.
func (h *host) run(ctx context.Context) error {
	seconds := 60 * (h.minutes + h.later + 2)
	form := convosotest.RetrySeconds
	if h.retryAfter == 0 {
		form = convosotest.RetryNone
	}
	account, err := convosotest.New(convosotest.Config{
		Seed: 1, FirstDay: day, CallsPerDay: int(h.limit)*seconds + seconds, RecordedShare: 1, MedianSize: 14_400, MaxSize: 28_800,
		MediaLatency: 20 * time.Millisecond,
		MediaRate:    convosotest.Rate{PerSecond: h.limit, Burst: h.burst, RetryAfter: form, Wait: h.retryAfter},
	})
	if err != nil {
		return err
	}
	if err := account.Start(); err != nil {
		return err
	}
	defer account.Close()
	for _, minutes := range []int{h.minutes, h.later} {
		if minutes == 0 {
			continue
		}
		if err := h.archive(ctx, account, minutes); err != nil {
			return fmt.Errorf("limit %g: %w", h.limit, err)
		}
	}
	return nil
}

// archive starts one run and watches the host from the first request for a
// recording until the minutes are over; the program then stops by itself.
func (h *host) archive(ctx context.Context, account *convosotest.Server, minutes int) error {
	length := time.Duration(minutes) * time.Minute
	before := account.Stats().Media
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	ended := make(chan error, 1)
	go func() {
		const incomplete = 3 // it was stopped before the end
		_, err := measure.Run(ctx, measure.Command{
			Args: []string{h.program, "archive", "--json", "--dest", filepath.Join(h.folder, "dest"), "--state-dir", filepath.Join(h.folder, "state"),
				"--start-time", day, "--end-time", day, "--api-url", account.APIURL(), "--allow-host", account.MediaURL(),
				"--workers", strconv.Itoa(h.workers), "--api-rate", "0", "--media-rate", "100", "--log-level", "error",
				"--max-duration", (length + 10*time.Second).String()},
			Env: []string{"CONVOSO_AUTH_TOKEN=" + account.Token()}, Home: h.folder, Codes: []int{incomplete},
		})
		ended <- err
	}()
	if err := h.watch(ctx, account, before, minutes, ended); err != nil {
		return err
	}
	return <-ended
}

// watch notes each minute.
func (h *host) watch(ctx context.Context, account *convosotest.Server, before convosotest.HostStats, minutes int, ended chan error) error {
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for account.Stats().Media.Requests == before.Requests {
		select {
		case <-tick.C:
		case err := <-ended:
			return errors.Join(errors.New("the program ended before it asked for a recording"), err)
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	begun := time.Now()
	for m := range minutes {
		select {
		case <-time.After(time.Until(begun.Add(time.Duration(m+1) * time.Minute))):
		case err := <-ended:
			return errors.Join(errors.New("the program ended too early"), err)
		case <-ctx.Done():
			return ctx.Err()
		}
		now := account.Stats().Media
		requests, refused := float64(now.Requests-before.Requests), float64(now.Refused-before.Refused)
		h.seen = append(h.seen, minute{used: (requests - refused) / (60 * h.limit), refused: refused / max(requests, 1)})
		before = now
	}
	return nil
}
