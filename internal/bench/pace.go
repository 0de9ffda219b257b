// Measures how much of a hidden rate limit archiving uses.

package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"path/filepath"
	"time"

	"golang.org/x/sync/errgroup"

	"convoso-archiver/fetcher/convosotest"
)

// hidden measures how much of a hidden limit archiving uses and how often it is refused: it runs
// for real minutes against media hosts that accept a fixed but undisclosed number of requests per
// second and answer the rest with 429. All limits are measured in parallel, because most of the
// time is waiting.
type hidden struct {
	*bench
	minute time.Duration
}

func pace(b *bench, flags *flag.FlagSet) func(context.Context) error {
	k := &hidden{bench: b}
	flags.DurationVar(&k.minute, "minute", time.Minute, "how long a minute is")
	return k.run
}

func (k *hidden) run(ctx context.Context) error {
	k.report.note("Retry-After 2 s, burst 2, --media-rate 100, 16 workers; the runs of all limits side by side")
	limits := []float64{2, 3, 8, 20}
	parts := make([][]part, len(limits)) // three of each run
	group, ctx := errgroup.WithContext(ctx)
	for i, limit := range limits {
		parts[i] = make([]part, 3*k.runs)
		for run := range k.runs {
			folder := filepath.Join(k.work, fmt.Sprintf("%d-%d", i, run))
			group.Go(func() error { return k.watch(ctx, limit, folder, parts[i][3*run:3*run+3]) })
		}
	}
	if err := group.Wait(); err != nil {
		return err
	}
	for i, limit := range limits {
		for number, name := range []string{"first minute", "minutes 2 and 3", "later run"} {
			var used, refused []float64
			for run := range k.runs {
				used, refused = append(used, parts[i][3*run+number].used), append(refused, parts[i][3*run+number].refused)
			}
			var wantUsed, wantRefused goal // after the rate was learned
			if number == 1 {
				wantUsed, wantRefused = atLeast(95), atMost(1)
			}
			k.report.add(fmt.Sprintf("limit %g, %s: used %%", limit, name), 1, used, wantUsed)
			k.report.add("  refused %", 2, refused, wantRefused)
		}
	}
	return nil
}

// part is the result of a part of a run, in percent of the limit and of the requests.
type part struct{ used, refused float64 }

// watch archives behind one limit, first without a known rate, then with the learned rate.
func (k *hidden) watch(ctx context.Context, limit float64, folder string, parts []part) (err error) {
	account, err := openAccount(convosotest.Config{
		CallsPerDay: int((limit + 1) * (4*k.minute + time.Minute).Seconds()), MedianSize: 14_400, MaxSize: 28_800, MediaLatency: 20 * time.Millisecond,
		MediaRate: convosotest.Rate{PerSecond: limit, Burst: 2, RetryAfter: convosotest.RetrySeconds, Wait: 2 * time.Second},
	})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, account.Close()) }()
	if err := k.archiveFor(ctx, account, limit, folder, parts[:2], k.minute, 2*k.minute); err != nil {
		return fmt.Errorf("limit %g: %w", limit, err)
	}
	if err := k.archiveFor(ctx, account, limit, folder, parts[2:], k.minute); err != nil {
		return fmt.Errorf("limit %g, later run: %w", limit, err)
	}
	return nil
}

// archiveFor starts one run and watches the host, from the first request for a recording, for the
// given intervals; the program then stops by itself.
func (k *hidden) archiveFor(ctx context.Context, account *convosotest.Server, limit float64, folder string, parts []part, lengths ...time.Duration) error {
	total := 10 * time.Second // margin for the start, and so that the run is longer than the last part
	for _, length := range lengths {
		total += length
	}
	ours := k.archive(account, account.MediaURL(), folder, "--dest", filepath.Join(folder, "dest"), "--start-time", firstDay, "--end-time", firstDay,
		"--workers", "16", "--media-rate", "100", "--max-duration", total.String())
	ours.codes = []int{3} // it was stopped before the end
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	before := account.Stats().Media
	ended := make(chan error, 1)
	go func() {
		_, err := execute(ctx, ours)
		ended <- err
	}()
	wait := func(d time.Duration) error {
		select {
		case <-time.After(d):
			return nil
		case err := <-ended:
			return errors.Join(errors.New("the program ended too early"), err)
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	for account.Stats().Media.Requests == before.Requests {
		if err := wait(5 * time.Millisecond); err != nil {
			return err
		}
	}
	end := time.Now()
	for i, length := range lengths {
		end = end.Add(length)
		if err := wait(time.Until(end)); err != nil {
			return err
		}
		now := account.Stats().Media
		requests, refused := float64(now.Requests-before.Requests), float64(now.Refused-before.Refused)
		parts[i] = part{used: 100 * (requests - refused) / (length.Seconds() * limit), refused: 100 * refused / max(requests, 1)}
		before = now
	}
	return <-ended
}
