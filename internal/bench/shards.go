// Measures several runs over one archive in S3.

package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"time"

	"golang.org/x/sync/errgroup"

	"convoso-archiver/archiver"
	"convoso-archiver/fetcher"
	"convoso-archiver/fetcher/convosotest"
	"convoso-archiver/manifest"
)

// many measures several runs over one archive on S3: how much faster they are than one, how much of
// a vendor's limit they use together, and the result of a run that is killed repeatedly.
type many struct {
	*bench
	s3      *s3server
	days    int
	minute  time.Duration
	killFor time.Duration
}

// The source of the first and last part has a high latency, and each run has two workers.
const (
	farAway    = 200 * time.Millisecond
	farWorkers = 2
	perDay     = 20   // recordings
	efficiency = 0.93 // of N runs
)

func shards(b *bench, flags *flag.FlagSet) func(context.Context) error {
	k := &many{bench: b}
	flags.IntVar(&k.days, "days", 64, "days of the account, a multiple of 4")
	flags.DurationVar(&k.minute, "minute", time.Minute, "how long a minute is, under a limit")
	flags.DurationVar(&k.killFor, "kill-for", 2*time.Minute, "for how long a run is killed every 5 s")
	return k.run
}

func (k *many) run(ctx context.Context) (err error) {
	if k.s3, err = k.startS3(ctx); err != nil {
		return err
	}
	defer k.s3.close()
	k.report.note("%d days of %d recordings, %v before each answer of API and media host, %d workers a run, versitygw", k.days, perDay, farAway, farWorkers)
	perSecond, err := k.speedUp(ctx)
	if err != nil {
		return err
	}
	k.balance()
	if err := k.limits(ctx); err != nil {
		return err
	}
	return k.kills(ctx, perSecond)
}

// account starts a distant account with n days.
func (k *many) account(ctx context.Context, days int, root string) (*source, error) {
	const size = 16_000
	return startSource(ctx, convosotest.Config{Days: days, CallsPerDay: perDay, MedianSize: size, MinSize: size, MaxSize: size},
		farAway, filepath.Join(k.work, root))
}

// shard is one of several runs over an archive in a bucket, with its own state folder, like on its
// own machine.
func (k *many) shard(account *convosotest.Server, mediaURL, bucket string, index, count int, more ...string) command {
	home := filepath.Join(k.work, fmt.Sprintf("%s-%d", bucket, index))
	c := k.archive(account, mediaURL, home, append(s3Flags(k.s3.endpoint, bucket), more...)...)
	c.args = append(c.args, "--shards", strconv.Itoa(count))
	c.env = append(c.env, "JOB_COMPLETION_INDEX="+strconv.Itoa(index))
	return c
}

// bucket makes a bucket.
func (k *many) bucket(name string) (folder string, err error) {
	folder = filepath.Join(k.s3.dir, name)
	return folder, os.Mkdir(folder, 0o700)
}

// speedUp archives the account by 1, 2 and 4 runs in parallel, and returns how many recordings per
// second a single run archives.
func (k *many) speedUp(ctx context.Context) (perSecond float64, err error) {
	account, err := k.account(ctx, k.days, "far")
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, account.close()) }()
	took := map[int][]float64{}
	for run := range k.runs {
		for _, count := range []int{1, 2, 4} {
			bucket := fmt.Sprintf("far-%d-%d", run, count)
			folder, err := k.bucket(bucket)
			if err != nil {
				return 0, err
			}
			began := time.Now()
			group, ctx := errgroup.WithContext(ctx)
			for index := range count {
				group.Go(func() error {
					_, err := execute(ctx, k.shard(account.Server, account.media.url, bucket, index, count, "--media-rate", "0",
						"--workers", strconv.Itoa(farWorkers), "--start-time", firstDay, "--end-time", account.lastDay))
					return err
				})
			}
			if err := group.Wait(); err != nil {
				return 0, err
			}
			took[count] = append(took[count], time.Since(began).Seconds())
			if err := account.check(folder); err != nil {
				return 0, err
			}
			say("%d runs at once: %.1f s", count, took[count][run])
		}
	}
	k.report.add("one run: s", 1, took[1], goal{})
	for _, count := range []int{2, 4} {
		k.report.add(fmt.Sprintf("%d runs at once: times as fast", count), 2, ratios(took[1], took[count]), atLeast(efficiency*float64(count)))
	}
	return float64(len(account.links)) / spreadOf(took[1]).median, nil
}

// balance divides the days of generated accounts by the program's own rule, and gives the shards to
// 16 workers as an engine does: each free worker takes the next shard.
func (k *many) balance() {
	const workers, count = 16, 257 // a prime near 16 times the workers
	k.report.note("balance: %d shards for %d workers; weekends, holidays, growth of 30 %% a year, 200 s for a weekday and 2 s for a start", count, workers)
	for _, days := range []int{155, 365, 1095, 3650} {
		wanted := atLeast(efficiency * workers)
		if days < count { // some shards have nothing to do, and the last days of the others dominate
			wanted = goal{}
		}
		k.report.add(fmt.Sprintf("16 workers, %d days: times as fast", days), 2, []float64{fasterBy(workers, count, generatedDays(days))}, wanted)
	}
}

// work is the cost of a day, in seconds.
type work map[fetcher.Date]float64

// generatedDays makes the days of an account.
func generatedDays(days int) work {
	random, all := rand.New(rand.NewPCG(1, uint64(days))), work{}
	for i := range days {
		day := fetcher.Date(firstDay).AddDays(i - days)
		at, _ := fetcher.ParseWall(string(day))
		seconds := 200.0
		switch at.Weekday() {
		case time.Saturday:
			seconds = 70
		case time.Sunday:
			seconds = 20
		}
		if slices.Contains([]string{"01-01", "07-04", "12-25"}, at.Format("01-02")) {
			seconds = 0
		}
		for range i / 365 {
			seconds *= 1.3
		}
		all[day] = seconds * (0.8 + 0.45*random.Float64())
	}
	return all
}

// fasterBy returns how much faster workers are than a single worker, which has no shards to start;
// each shard costs a start of two seconds.
func fasterBy(workers, count int, days work) float64 {
	const start = 2
	total, busy := 0.0, make([]float64, workers)
	for index := range count {
		shard, cost := archiver.Shard{Index: index, Count: count}, float64(start)
		for day, seconds := range days {
			if shard.Owns(day) {
				cost += seconds
				total += seconds
			}
		}
		first := slices.Index(busy, slices.Min(busy))
		busy[first] += cost
	}
	return total / slices.Max(busy)
}

// limits lets four runs share a media host with a limit of requests per second: the limit that they
// are told, and a lower one.
func (k *many) limits(ctx context.Context) error {
	const count = 4
	k.report.note("limits: %d runs with --rate-shares %d, burst %d, Retry-After 2 s", count, count, count)
	parts := []struct {
		name         string
		limit, given float64
		used         goal
		refused      goal
	}{
		{"limit 12, --media-rate 12", 12, 12, atLeast(90), atMost(1)},
		{"limit 8, --media-rate 20", 8, 20, goal{}, goal{}},
	}
	used, refused := make([][]float64, len(parts)), make([][]float64, len(parts))
	for run := range k.runs {
		group, ctx := errgroup.WithContext(ctx)
		for i, p := range parts {
			group.Go(func() error {
				u, r, err := k.share(ctx, fmt.Sprintf("limit-%d-%d", i, run), count, p.limit, p.given)
				used[i], refused[i] = append(used[i], u), append(refused[i], r)
				return err
			})
		}
		if err := group.Wait(); err != nil {
			return err
		}
	}
	for i, p := range parts {
		k.report.add(p.name+", second minute: used %", 1, used[i], p.used)
		k.report.add("  of all requests refused %", 2, refused[i], p.refused)
	}
	return nil
}

// share starts n runs against a limit for two minutes. It returns which share of the limit they
// used in the second minute, and which share of all requests was refused, in percent.
func (k *many) share(ctx context.Context, bucket string, count int, limit, given float64) (used, refused float64, err error) {
	account, err := openAccount(convosotest.Config{
		Days: count, CallsPerDay: int(limit * 4 * k.minute.Seconds() / float64(count)), MedianSize: 14_400, MaxSize: 28_800, MediaLatency: 20 * time.Millisecond,
		MediaRate: convosotest.Rate{PerSecond: limit, Burst: count, RetryAfter: convosotest.RetrySeconds, Wait: 2 * time.Second},
	})
	if err != nil {
		return 0, 0, err
	}
	defer func() { err = errors.Join(err, account.Close()) }()
	if _, err := k.bucket(bucket); err != nil {
		return 0, 0, err
	}
	group, ctx := errgroup.WithContext(ctx)
	for index := range count {
		ours := k.shard(account, account.MediaURL(), bucket, index, count, "--start-time", firstDay, "--end-time", string(fetcher.Date(firstDay).AddDays(count-1)),
			"--media-rate", fmt.Sprint(given), "--rate-shares", strconv.Itoa(count), "--max-duration", (2*k.minute + 10*time.Second).String())
		ours.codes = []int{3} // it was stopped early
		group.Go(func() error {
			_, err := execute(ctx, ours)
			return err
		})
	}
	wait := func(d time.Duration) error {
		select {
		case <-time.After(d):
		case <-ctx.Done():
		}
		return ctx.Err()
	}
	for account.Stats().Media.Requests == 0 && wait(5*time.Millisecond) == nil {
	}
	if err := wait(k.minute); err == nil {
		first := account.Stats().Media
		if err := wait(k.minute); err == nil {
			last := account.Stats().Media
			good := float64(last.Requests-first.Requests) - float64(last.Refused-first.Refused)
			used = 100 * good / (limit * k.minute.Seconds())
			refused = 100 * float64(last.Refused) / float64(max(last.Requests, 1))
		}
	}
	return used, refused, group.Wait()
}

// kills starts a run that is killed every five seconds, each time without local state, and then
// lets it finish.
func (k *many) kills(ctx context.Context, perSecond float64) (err error) {
	const life = 5 * time.Second
	days := int(1.5*perSecond*k.killFor.Seconds())/perDay + 1
	account, err := k.account(ctx, days, "killed")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, account.close()) }()
	folder, err := k.bucket("killed")
	if err != nil {
		return err
	}
	ours := k.shard(account.Server, account.media.url, "killed", 0, 1, "--media-rate", "0", "--workers", strconv.Itoa(farWorkers),
		"--start-time", firstDay, "--end-time", account.lastDay)
	lives := int(k.killFor / life)
	for range lives {
		living, kill := context.WithTimeout(ctx, life)
		_, err := execute(living, ours) // an error: it was killed
		kill()
		if err == nil {
			return errors.New("the run ended before it was killed often enough")
		}
		if err := os.RemoveAll(ours.home); err != nil {
			return err
		}
	}
	noted, err := notedIn(ctx, folder)
	if err != nil {
		return err
	}
	if _, err := execute(ctx, ours); err != nil {
		return err
	}
	k.report.note("kills: a run killed %d times, every %v, without its state folder", lives, life)
	k.report.add("killed every 5 s: noted, % of what an unkilled run does", 1, []float64{100 * float64(noted) / (perSecond * k.killFor.Seconds())}, atLeast(50))
	k.report.add("  requests for each recording, in the end", 2, []float64{float64(account.media.requests()) / float64(len(account.links))}, goal{})
	return account.check(folder) // nothing is missing, and nothing is stored twice
}

// notedIn counts the recordings in an archive's manifest. The server's bucket is a folder with the
// layout of an archive on disk.
func notedIn(ctx context.Context, folder string) (noted int, err error) {
	root, err := os.OpenRoot(folder)
	if err != nil {
		return 0, err
	}
	defer root.Close()
	ledger, err := manifest.OpenDir(root, manifest.Options{ReadOnly: true})
	if err != nil {
		return 0, err
	}
	seen := map[string]bool{}
	err = ledger.Scan(ctx, func(e manifest.Entry) error {
		if e.Outcome == manifest.Archived {
			seen[string(e.ID)] = true
		}
		return nil
	})
	return len(seen), err
}
