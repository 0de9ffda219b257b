// Measures how the cost of commands grows with the archive.

package main

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"runtime"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"convoso-archiver/fetcher/convosotest"
	"convoso-archiver/manifest"
)

const (
	zone      = "America/Los_Angeles"
	accountID = "100200" // the simulator's
)

// growth measures how the program's cost grows with the archive: it makes the manifest of an
// archive of many closed days, on disk and in S3, and runs the program over it. The data is still
// in the page cache, so the figures show the cost of the program and not of the disk.
type growth struct {
	*bench
	disk, bucket closedDays
	account      *convosotest.Server
	first        atomic.Int64 // time of the first request to the API, Unix time in ns
}

func scale(b *bench, flags *flag.FlagSet) func(context.Context) error {
	k := &growth{bench: b, bucket: closedDays{perDay: 100}}
	flags.IntVar(&k.disk.days, "days", 1000, "closed days on disk; 0 for none of it")
	flags.IntVar(&k.disk.perDay, "per-day", 10_000, "recordings of each, of half a kilobyte in the manifest")
	flags.IntVar(&k.bucket.days, "s3-days", 1000, "closed days in S3; 0 for none of it")
	return k.run
}

// newDay returns a settled day that is new to the archive. Each run gets another day; the first new
// day follows the archive's last day.
func (k *growth) newDay(run int) time.Time {
	return time.Now().UTC().Truncate(24*time.Hour).AddDate(0, 0, run-k.runs-5)
}

func (k *growth) run(ctx context.Context) (err error) {
	k.account, err = openAccount(convosotest.Config{
		Zone: zone, FirstDay: k.newDay(0).Format(time.DateOnly), Days: k.runs, CallsPerDay: 20, MedianSize: 14_400,
		APIHook: func(convosotest.APIRequest) convosotest.APIFault {
			k.first.CompareAndSwap(0, time.Now().UnixNano())
			return convosotest.APIOK
		},
	})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, k.account.Close()) }()
	if k.disk.days > 0 {
		dest := filepath.Join(k.work, "archive")
		if err := k.make(ctx, &k.disk, dest); err != nil {
			return err
		}
		goals := goals{first: atMost(200), all: atMost(2), report: atMost(3), memory: neverAbove(64)}
		if err := k.measure(ctx, "disk", k.disk, []string{"--dest", dest}, goals); err != nil {
			return err
		}
	}
	if k.bucket.days == 0 {
		return nil
	}
	server, err := k.startS3(ctx)
	if err != nil {
		return err
	}
	defer server.close()
	const bucket, farAway = "archive", 20 * time.Millisecond
	if err := k.make(ctx, &k.bucket, filepath.Join(server.dir, bucket)); err != nil {
		return err
	}
	proxy, err := server.startProxy(ctx, farAway)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, proxy.server.Close()) }()
	k.report.note("S3: %v before each answer", farAway)
	return k.measure(ctx, "S3", k.bucket, s3Flags(proxy.url, bucket), goals{all: atMost(2), memory: neverAbove(64)})
}

// goals are the limits for one kind of store, in ms, s, s and MiB.
type goals struct{ first, all, report, memory goal }

// measure measures each command several times. The nightly run is a dry run, because a real one
// would leave open days.
func (k *growth) measure(ctx context.Context, where string, c closedDays, to []string, g goals) error {
	k.report.note("%s: %d closed days of %d recordings", where, c.days, c.perDay)
	lines := float64(c.days * c.perDay)
	first := func(s sample) float64 {
		if k.first.Load() == 0 {
			return math.Inf(1)
		}
		return float64(k.first.Load()-s.begun.UnixNano()) / 1e6
	}
	over := func(more ...string) command {
		return k.archive(k.account, k.account.MediaURL(), filepath.Join(k.work, "home"), append(append([]string{"--media-rate", "0", "--time-zone", zone}, to...), more...)...)
	}
	report := func(more ...string) command {
		return command{args: append(append([]string{k.program, "report"}, to...), more...), env: s3Env(), home: filepath.Join(k.work, "home")}
	}
	for _, step := range []struct {
		name     string
		figure   func(sample) float64
		goal     goal
		requests goal
		command  func(run int) command
	}{
		{"archive of a new day: first request ms", first, g.first, goal{}, func(run int) command {
			day := k.newDay(run).Format(time.DateOnly)
			return over("--start-time", day, "--end-time", day)
		}},
		{"archive --last 1d --dry-run: first request ms", first, g.first, goal{}, func(int) command { return over("--last", "1d", "--dry-run") }},
		{"archive, all days closed: s", seconds, g.all, neverAbove(0), func(int) command { return over("--start-time", c.day(0), "--end-time", c.day(c.days-1)) }},
		{"report: s", seconds, g.report, neverAbove(0), func(int) command { return report() }},
		{"report --json: recordings a second", func(s sample) float64 { return lines / seconds(s) }, goal{}, neverAbove(0), func(int) command { return report("--json") }},
	} {
		say("%s: %s", where, step.name)
		var figures, requests, peak []float64
		for run := range k.runs {
			k.account.ResetStats()
			k.first.Store(0)
			one := step.command(run)
			one.codes = []int{0, 3} // days that were never listed may stay open
			cost, err := execute(ctx, one)
			if err != nil {
				return fmt.Errorf("%s: %s: %w", where, step.name, err)
			}
			stats := k.account.Stats()
			figures, peak = append(figures, step.figure(cost)), append(peak, mebibytes(cost))
			requests = append(requests, float64(stats.API.Requests+stats.Media.Requests))
		}
		k.report.add(where+": "+step.name, 2, figures, step.goal)
		k.report.add("  requests to the vendor", 0, requests, step.requests)
		k.report.add("  peak MiB", 1, peak, g.memory)
	}
	return nil
}

// closedDays are closed days in a row. Only their manifest is made, as a run writes it, because
// nothing measured here reads a recording.
type closedDays struct {
	first  time.Time
	days   int
	perDay int // recordings
}

func (c closedDays) day(i int) string { return c.first.AddDate(0, 0, i).Format(time.DateOnly) }

// make makes the archive in a folder, which may be a bucket: both have the same layout.
func (k *growth) make(ctx context.Context, c *closedDays, folder string) (err error) {
	say("make %d days of %d recordings in %s", c.days, c.perDay, folder)
	c.first = k.newDay(-c.days)
	err = makeArchive(ctx, folder, k.account.APIURL(), c.days, c.makeDay)
	return errors.Join(err, syncAll(ctx, k.work))
}

// makeArchive makes an archive in a folder, day by day.
func makeArchive(ctx context.Context, folder, apiURL string, days int, makeDay func(ctx context.Context, ledger *manifest.Ledger, i int) error) (err error) {
	if err := os.MkdirAll(folder, 0o700); err != nil {
		return fmt.Errorf("make archive: %w", err)
	}
	root, err := os.OpenRoot(folder)
	if err != nil {
		return fmt.Errorf("make archive: %w", err)
	}
	defer root.Close()
	ledger, err := manifest.OpenDir(root, manifest.Options{})
	if err != nil {
		return fmt.Errorf("make archive: %w", err)
	}
	defer func() { err = errors.Join(err, ledger.Close(ctx)) }()
	if err := ledger.SaveArchive(ctx, manifest.Archive{AccountID: accountID, APIURL: apiURL, TimeZone: zone}); err != nil {
		return fmt.Errorf("make archive: %w", err)
	}
	group, groupCtx := errgroup.WithContext(ctx)
	group.SetLimit(runtime.NumCPU())
	for i := range days {
		group.Go(func() error {
			if err := makeDay(groupCtx, ledger, i); err != nil {
				return fmt.Errorf("make day: %w", err)
			}
			return nil
		})
	}
	return group.Wait()
}

// makeDay writes and closes one day. It has a single call row, because nothing here reads rows.
func (c closedDays) makeDay(ctx context.Context, ledger *manifest.Ledger, i int) error {
	day, err := ledger.Load(ctx, c.day(i))
	if err != nil {
		return err
	}
	start := c.first.AddDate(0, 0, i)
	noted := start.Add(80 * time.Hour)
	recordings := make([]manifest.Recording, c.perDay)
	for n := range recordings {
		recordings[n] = c.recording(i, n, start, noted, ledger.Run()+"/1")
	}
	window := manifest.Window{
		From: start.Add(-time.Second).Format(time.DateTime), To: start.AddDate(0, 0, 1).Format(time.DateTime), Listing: ledger.Run() + "/1",
		Rows: 3 * c.perDay, Total: 3 * c.perDay, Calls: 3 * c.perDay, Recordings: c.perDay, Whole: true, ListedAt: noted, Time: noted,
	}
	if err := day.NoteCalls(ctx, []manifest.Call{{CallID: "1", Time: noted, Row: json.RawMessage(`{"id":"1"}`)}}); err != nil {
		return err
	}
	if err := day.Note(ctx, recordings...); err != nil {
		return err
	}
	if err := day.NoteWindows(ctx, window); err != nil {
		return err
	}
	return day.Close(ctx, manifest.DayLine{Kept: []string{"calls", "recordings"}, ListedAt: noted, Calls: 3 * c.perDay, Time: noted})
}

// recording makes recording n of day i; one in 5,000 is lost.
func (c closedDays) recording(i, n int, start, noted time.Time, listing string) manifest.Recording {
	serial := i*c.perDay + n
	id := 4_711_000_000 + serial
	r := manifest.Recording{
		RecordingID: fmt.Sprint(id), Outcome: manifest.Archived, Time: noted, CallID: fmt.Sprint(id + 88_000_000), FirstSeen: noted,
		Attempts: 1, Host: "admin-dt.convoso.com",
	}
	if n%5000 == 4999 {
		r.Outcome, r.Final, r.Cause, r.Listing = manifest.Lost, true, "not_found", listing
		return r
	}
	r.SHA256 = fmt.Sprintf("%x", sha256.Sum256(fmt.Append(nil, id)))
	r.Size, r.ContentType, r.ETag = int64(13_824+serial%100*1152), "audio/mpeg", r.SHA256[:32]
	r.Key = fmt.Sprintf("%s_%d_5550%07d_%s.mp3", accountID, start.Unix()+int64(n%86_400), serial%10_000_000, r.ETag[:8])
	return r
}
