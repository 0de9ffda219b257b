package e2e

import (
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"convoso-archiver/fetcher/convosotest"
	"convoso-archiver/manifest"
)

// tortureRounds is the number of archives built by killed runs: few in the ordinary tests, more
// with ROUNDS (make torture ROUNDS=200).
func tortureRounds(t *testing.T, usual int) int {
	t.Helper()
	text := os.Getenv("ROUNDS")
	if text == "" {
		return usual
	}
	rounds, err := strconv.Atoi(text)
	if err != nil || rounds < 1 {
		t.Fatalf("ROUNDS is %q, not a number of rounds", text)
	}
	return rounds
}

// tortureSeed is the seed of the rounds; SEED repeats an earlier test.
func tortureSeed(t *testing.T) uint64 {
	t.Helper()
	seed := uint64(time.Now().UnixNano())
	if text := os.Getenv("SEED"); text != "" {
		var err error
		if seed, err = strconv.ParseUint(text, 10, 64); err != nil {
			t.Fatalf("SEED is %q, not a number", text)
		}
	}
	t.Logf("SEED=%d", seed)
	return seed
}

// tortured returns the source of one round: two settled days with many oddities,
// and a few recordings that fail at first.
func tortured(t *testing.T, random *rand.Rand) *convosotest.Server {
	t.Helper()
	oddities := convosotest.AllBenign()
	oddities.LiveCalls = 0
	return simulate(t, convosotest.Config{
		Seed: random.Uint64(), FirstDay: daysAgo(6), Days: 2, CallsPerDay: 45, RecordedShare: 1, SeveralShare: 0.2, MedianSize: 8_000,
		Oddities: oddities, MediaLatency: time.Duration(random.IntN(8)) * time.Millisecond,
		MediaFaults: map[convosotest.Fault]int{convosotest.FaultShort: 2, convosotest.FaultReset: 2},
		FaultTimes:  map[convosotest.Fault]int{convosotest.FaultShort: 1, convosotest.FaultReset: 1},
	})
}

// killUntilDone runs the program repeatedly and kills it at random and increasingly late moments,
// until a run ends by itself. After each kill, closed days must be complete, no file may be
// truncated, and noted recordings must cost no further request. With forget, each run starts with
// an empty state folder. It returns the number of kills.
func (a *archive) killUntilDone(random *rand.Rand, read func() contents, forget bool) (killed int) {
	t := a.t
	t.Helper()
	span := 100 * time.Millisecond
	for noted := (contents{}); ; {
		a.server.ResetStats()
		delay := time.Duration(random.Int64N(int64(span)))
		r := a.finish(a.command(t.Context(), "--start-time", daysAgo(6), "--end-time", daysAgo(5), "--workers", "6", "--grace", "1s"), func(p *os.Process) {
			timer := time.AfterFunc(delay, func() { _ = p.Kill() })
			t.Cleanup(func() { timer.Stop() })
		})
		for ref := range a.server.Stats().Recordings {
			if noted.outcome(ref).Outcome == manifest.Archived {
				t.Errorf("recording %s had its line and is asked for again", ref)
			}
		}
		if r.code == 0 {
			return killed
		}
		if r.code != -1 {
			t.Fatalf("exit code %d after %v: %s", r.code, delay, tail(r.stderr))
		}
		killed++
		if _, err := os.Stat(filepath.Join(a.folder, "manifest")); err == nil {
			noted = read()
			a.checkSound(noted)
			a.checkClosedDays(noted)
		}
		if forget {
			if err := os.RemoveAll(a.state); err != nil {
				t.Fatal(err)
			}
		}
		span += span / 3
	}
}

// TestTortureDisk kills runs into one folder until everything is archived, alternately with the
// state folder kept and removed. In the end every file and every line must be right.
func TestTortureDisk(t *testing.T) {
	t.Parallel()
	kills, rounds := 0, tortureRounds(t, 4)
	torture(t, rounds, 0, func(t *testing.T, random *rand.Rand, number int) {
		a := onDisk(t, tortured(t, random))
		kills += a.killUntilDone(random, a.read, number%2 == 1)
		if c := a.checkFiles(nil); len(c.closed) != 2 {
			t.Errorf("%d days closed", len(c.closed))
		}
		a.verify().want(t, 0)
	})
	t.Logf("%d rounds, %d kills", rounds, kills)
}

// TestTortureS3 does the same into a bucket. A recording that a killed run stored without a line is
// downloaded again, and found in the store.
func TestTortureS3(t *testing.T) {
	t.Parallel()
	kills, rounds := 0, tortureRounds(t, 4)
	torture(t, rounds, 1, func(t *testing.T, random *rand.Rand, number int) {
		b := onS3(t, tortured(t, random), false)
		kills += b.killUntilDone(random, b.readBucket, number%2 == 1)
		if c := b.check(nil); len(c.closed) != 2 {
			t.Errorf("%d days closed", len(c.closed))
		}
		b.verify().want(t, 0)
	})
	t.Logf("%d rounds, %d kills", rounds, kills)
}

// torture plays rounds, each with its own random numbers, until one fails.
func torture(t *testing.T, rounds int, stream uint64, round func(t *testing.T, random *rand.Rand, number int)) {
	t.Helper()
	seed := tortureSeed(t)
	for number := range rounds {
		ok := t.Run(strconv.Itoa(number), func(t *testing.T) {
			round(t, rand.New(rand.NewPCG(seed, stream<<32|uint64(number))), number)
		})
		if !ok {
			t.Fatalf("round %d of SEED=%d", number, seed)
		}
	}
}

// checkClosedDays fails if a closed day lacks a recording.
func (a *archive) checkClosedDays(c contents) {
	a.t.Helper()
	perDay := map[string]int{}
	for r := range a.server.Recordings() {
		perDay[r.Day]++
	}
	for day, line := range c.closed {
		if line.Recordings != perDay[day] || line.ByOutcome["archived"] != perDay[day] {
			a.t.Errorf("%s is closed with %v of %d recordings", day, line.ByOutcome, perDay[day])
		}
	}
}
