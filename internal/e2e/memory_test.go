//go:build measure && linux

package e2e

import (
	"os"
	"testing"

	"convoso-archiver/fetcher/convosotest"
	"convoso-archiver/internal/bench/measure"
)

// memoryCase is one run whose peak is measured.
type memoryCase struct {
	name   string
	config convosotest.Config
	s3     bool
}

// memoryCases have the first as the yardstick of the second, which differs in the
// number of recordings alone.
var memoryCases = []memoryCase{
	{name: "8,000 recordings, disk", config: convosotest.Config{CallsPerDay: 2000, Days: 4, RecordedShare: 1}},
	{name: "80,000 recordings, disk", config: convosotest.Config{CallsPerDay: 20000, Days: 4, RecordedShare: 1}},
	{name: "8,000 recordings, S3", config: convosotest.Config{CallsPerDay: 2000, Days: 4, RecordedShare: 1}, s3: true},
	{name: "one of 2 GiB, disk", config: convosotest.Config{CallsPerDay: 3, RecordedShare: 1, BigRecordings: []int64{2 << 30}}},
	{name: "one of 2 GiB, S3", config: convosotest.Config{CallsPerDay: 3, RecordedShare: 1, BigRecordings: []int64{2 << 30}}, s3: true},
}

// TestMemory prints the program's peak resident memory with 64 workers, built as
// users have it. It fails above the bound that the README names, and where ten times
// the recordings take a tenth more.
func TestMemory(t *testing.T) {
	const (
		bound  = 64 << 20
		growth = 1.1
	)
	plain, err := measure.Build(t.Context(), t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	peaks := map[string]int64{}
	for _, c := range memoryCases {
		t.Run(c.name, func(t *testing.T) {
			peak := c.peak(t, plain)
			peaks[c.name] = peak
			if peak > bound {
				t.Errorf("peak above %d MiB", bound>>20)
			}
		})
	}
	few, many := peaks[memoryCases[0].name], peaks[memoryCases[1].name]
	if few > 0 && float64(many) > growth*float64(few) {
		t.Errorf("ten times the recordings take %.2f times the memory", float64(many)/float64(few))
	}
}

// peak archives once and returns the peak in bytes.
func (c memoryCase) peak(t *testing.T, program string) int64 {
	c.config.FirstDay = daysAgo(10)
	source := simulate(t, c.config)
	a := onDisk(t, source)
	if c.s3 {
		a = onS3(t, source, false).archive
	}
	cmd := a.command(t.Context(), "--start-time", daysAgo(10), "--end-time", daysAgo(7), "--workers", "64", "--log-level", "warn")
	cmd.Path = program
	// Not the child's rusage: on Linux that starts with the memory of the parent.
	var watched <-chan int64
	r := a.finish(cmd, func(p *os.Process) { watched = measure.WatchPeak(p.Pid) }).want(t, 0)
	peak := <-watched
	t.Logf("%d recordings, %d bytes: peak %.1f MiB, %.1f s CPU", r.summary.Archived, r.summary.Bytes,
		float64(peak)/(1<<20), cmd.ProcessState.UserTime().Seconds()+cmd.ProcessState.SystemTime().Seconds())
	return peak
}
