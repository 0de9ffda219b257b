// Measures the peak memory of the program.

package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"

	"convoso-archiver/fetcher/convosotest"
)

// peaks measures the program's peak resident memory: with the defaults and with 64 workers, onto
// disk and into S3, over few and over many recordings, and over one recording that is larger than
// memory use may ever be.
type peaks struct {
	*bench
	count int
	big   int64
}

func memory(b *bench, flags *flag.FlagSet) func(context.Context) error {
	k := &peaks{bench: b}
	flags.IntVar(&k.count, "count", 8000, "recordings of the small archive; the large ones have ten times as many")
	flags.Int64Var(&k.big, "big", 2<<30, "bytes of the large recording")
	return k.run
}

// flatGrowth is the permitted growth of memory for ten times the recordings, or for one that is
// larger than all of them.
const flatGrowth = 1.25

func (k *peaks) run(ctx context.Context) error {
	server, err := k.startS3(ctx)
	if err != nil {
		return err
	}
	defer server.close()
	perDay := k.count / 4
	cases := []struct {
		name   string
		config convosotest.Config
		flat   bool // must not take more memory than the first case
	}{
		{fmt.Sprintf("%d in 4 days", 4*perDay), convosotest.Config{Days: 4, CallsPerDay: perDay}, false},
		{fmt.Sprintf("%d in 40 days", 40*perDay), convosotest.Config{Days: 40, CallsPerDay: perDay}, true},
		{fmt.Sprintf("%d in 4 days", 40*perDay), convosotest.Config{Days: 4, CallsPerDay: 10 * perDay}, false},
		{fmt.Sprintf("one of %d MiB", k.big>>20), convosotest.Config{CallsPerDay: 3, BigRecordings: []int64{k.big}}, true},
	}
	for _, workers := range []struct {
		name  string
		flags []string
		bound float64 // MiB
	}{{"default workers", nil, 64}, {"64 workers", []string{"--workers", "64"}, 96}} {
		for _, into := range []string{"disk", "S3"} {
			var small []float64
			for i, c := range cases {
				var figures []float64
				for range k.runs {
					peak, err := k.peak(ctx, c.config, server, into == "S3", workers.flags)
					if err != nil {
						return err
					}
					figures = append(figures, peak)
				}
				name := fmt.Sprintf("%s, %s, %s", into, workers.name, c.name)
				say("%s: %.1f MiB", name, spreadOf(figures).median)
				k.report.add(name+": peak MiB", 1, figures, neverAbove(workers.bound))
				if i == 0 {
					small = figures
				}
				if c.flat {
					k.report.add("  times the first case's", 2, ratios(figures, small), atMost(flatGrowth))
				}
			}
		}
	}
	return nil
}

// peak archives once and returns the peak in MiB.
func (k *peaks) peak(ctx context.Context, config convosotest.Config, server *s3server, intoS3 bool, flags []string) (mib float64, err error) {
	account, err := openAccount(config)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, account.Close()) }()
	folder, err := os.MkdirTemp(server.dir, "bucket-") // some cases use it as a bucket
	if err != nil {
		return 0, fmt.Errorf("make folder: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(folder)) }()
	to := []string{"--dest", folder}
	if intoS3 {
		to = s3Flags(server.endpoint, filepath.Base(folder))
	}
	var last string
	for r := range account.Recordings() {
		last = r.Day
	}
	ours := k.archive(account, account.MediaURL(), filepath.Join(k.work, "home-"+filepath.Base(folder)), append(append(to, "--media-rate", "0", "--start-time", firstDay, "--end-time", last), flags...)...)
	one, err := execute(ctx, ours)
	if err != nil {
		return 0, err
	}
	if one.peak == 0 {
		return 0, errors.New("this system does not tell the peak of a process: measure on Linux")
	}
	return mebibytes(one), nil
}
