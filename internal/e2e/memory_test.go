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

// memoryCases have the first as the yardstick of the next two, which have ten times the
// recordings: in days of the same size, and in larger ones.
var memoryCases = []memoryCase{
	{name: "8,000 recordings, disk", config: convosotest.Config{CallsPerDay: 2000, Days: 4, RecordedShare: 1}},
	{name: "80,000 recordings in 40 days, disk", config: convosotest.Config{CallsPerDay: 2000, Days: 40, RecordedShare: 1}},
	{name: "80,000 recordings in 4 days, disk", config: convosotest.Config{CallsPerDay: 20000, Days: 4, RecordedShare: 1}},
	{name: "8,000 recordings, S3", config: convosotest.Config{CallsPerDay: 2000, Days: 4, RecordedShare: 1}, s3: true},
	{name: "one of 2 GiB, disk", config: convosotest.Config{CallsPerDay: 3, Days: 1, RecordedShare: 1, BigRecordings: []int64{2 << 30}}},
	{name: "one of 2 GiB, S3", config: convosotest.Config{CallsPerDay: 3, Days: 1, RecordedShare: 1, BigRecordings: []int64{2 << 30}}, s3: true},
}

// TestMemory prints the program's peak resident memory with 64 workers, built as
// users have it, and how it grows with the recordings. It fails above the bound.
func TestMemory(t *testing.T) {
	const bound = 64 << 20
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
	for _, c := range memoryCases[1:3] {
		if few, many := peaks[memoryCases[0].name], peaks[c.name]; few > 0 && many > 0 {
			t.Logf("%s: %.2f times the memory of a tenth of them", c.name, float64(many)/float64(few))
		}
	}
}

// peak archives once and returns the peak in bytes.
func (c memoryCase) peak(t *testing.T, program string) int64 {
	const first = 50
	c.config.FirstDay = daysAgo(first)
	source := simulate(t, c.config)
	a := onDisk(t, source)
	if c.s3 {
		a = onS3(t, source, false).archive
	}
	cmd := a.command(t.Context(), "--start-time", daysAgo(first), "--end-time", daysAgo(first+1-c.config.Days), "--workers", "64", "--log-level", "warn")
	cmd.Path = program
	// Not the child's rusage: on Linux that starts with the memory of the parent.
	var watched <-chan int64
	r := a.finish(cmd, func(p *os.Process) { watched = measure.WatchPeak(p.Pid) }).want(t, 0)
	peak := <-watched
	t.Logf("%d recordings, %d bytes: peak %.1f MiB, %.1f s CPU", r.summary.Archived, r.summary.Bytes,
		float64(peak)/(1<<20), cmd.ProcessState.UserTime().Seconds()+cmd.ProcessState.SystemTime().Seconds())
	return peak
}
