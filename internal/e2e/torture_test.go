package e2e

import (
	"context"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"convoso-archiver/fetcher/convosotest"
)

// tortureRounds is how many archives are built by runs that are killed: few in the
// ordinary tests, more with ROUNDS (make torture ROUNDS=200).
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

// tortureSeed is what the rounds draw from; SEED repeats an earlier test.
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
		Seed: random.Uint64(), FirstDay: daysAgo(6), Days: 2, CallsPerDay: 45, RecordedShare: 1, SeveralShare: 0.2, MedianSize: 20_000,
		Oddities: oddities, MediaLatency: time.Duration(random.IntN(8)) * time.Millisecond,
		MediaFaults: map[convosotest.Fault]int{convosotest.FaultShort: 2, convosotest.FaultReset: 2},
		FaultTimes:  map[convosotest.Fault]int{convosotest.FaultShort: 1, convosotest.FaultReset: 1},
	})
}

// killUntilDone runs the program again and again and kills it at a random moment,
// later and later, until a run ends by itself. It returns how many were killed.
func (a *archive) killUntilDone(random *rand.Rand, after func()) (killed int) {
	t := a.t
	t.Helper()
	span := 60 * time.Millisecond
	for {
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
		delay := time.Duration(random.Int64N(int64(span)))
		r := a.finish(a.command(ctx, "--start-time", daysAgo(6), "--end-time", daysAgo(5), "--workers", "6", "--grace", "1s"), func(p *os.Process) {
			timer := time.AfterFunc(delay, func() { _ = p.Kill() })
			context.AfterFunc(ctx, func() { timer.Stop() })
		})
		cancel()
		if r.code == 0 {
			return killed
		}
		if r.code != -1 {
			t.Fatalf("exit code %d after %v: %s", r.code, delay, tail(r.stderr))
		}
		killed++
		after()
		span += span / 4
	}
}

// TestTortureDisk kills runs into one folder until everything is archived. After
// each kill no closed day may lack anything, and in the end every file and every
// line must be right.
func TestTortureDisk(t *testing.T) {
	t.Parallel()
	kills, rounds := 0, tortureRounds(t, 20)
	torture(t, rounds, 0, func(t *testing.T, random *rand.Rand, _ int) {
		a := onDisk(t, tortured(t, random))
		kills += a.killUntilDone(random, func() {
			if _, err := os.Stat(filepath.Join(a.dest, "manifest")); err == nil {
				a.checkClosedDays(a.read())
			}
		})
		if c := a.checkFiles(nil); len(c.closed) != 2 {
			t.Errorf("%d days closed", len(c.closed))
		}
	})
	t.Logf("%d rounds, %d kills", rounds, kills)
}

// torture plays rounds, each with numbers of its own, until one fails.
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

// checkClosedDays fails when a day is closed that lacks a recording.
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

// TestTortureS3 does the same into a bucket, in turn with the state folder kept and
// thrown away.
func TestTortureS3(t *testing.T) {
	t.Parallel()
	kills, rounds := 0, tortureRounds(t, 20)
	torture(t, rounds, 1, func(t *testing.T, random *rand.Rand, number int) {
		b := onS3(t, tortured(t, random), false)
		kills += b.killUntilDone(random, func() {
			b.checkClosedDays(b.readBucket())
			if number%2 == 1 {
				_ = os.RemoveAll(b.state)
			}
		})
		if c := b.check(nil); len(c.closed) != 2 {
			t.Errorf("%d days closed", len(c.closed))
		}
	})
	t.Logf("%d rounds, %d kills", rounds, kills)
}
