package archiver

import (
	"context"
	"errors"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// named makes a job with a name.
func named(id string) *job { return &job{identity: id} }

// taker takes jobs one after another and remembers which, and when.
type taker struct {
	mu    sync.Mutex
	took  []string
	after []time.Duration
	ended bool
}

func (q *queue) takeAll(began time.Time) *taker {
	k := &taker{}
	go func() {
		for {
			j, ok := q.take()
			k.mu.Lock()
			if !ok {
				k.ended = true
				k.mu.Unlock()
				return
			}
			k.took, k.after = append(k.took, j.identity), append(k.after, time.Since(began))
			k.mu.Unlock()
		}
	}()
	return k
}

func (k *taker) seen() ([]string, bool) {
	synctest.Wait()
	k.mu.Lock()
	defer k.mu.Unlock()
	return slices.Clone(k.took), k.ended
}

// TestQueueOrder checks that new recordings come in order, and due retries before them, the
// earliest first and none too early.
func TestQueueOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q, began := newQueue(), time.Now()
		q.later(named("30 s"), 30*time.Second)
		q.later(named("10 s"), 10*time.Second)
		q.later(named("20 s"), 20*time.Second)
		for _, id := range []string{"a", "b"} {
			if err := q.put(t.Context(), named(id)); err != nil {
				t.Fatal(err)
			}
		}
		if q.waiting() != 5 {
			t.Errorf("%d wait", q.waiting())
		}
		time.Sleep(15 * time.Second) // nobody takes any meanwhile
		k := q.takeAll(began)
		if took, _ := k.seen(); !slices.Equal(took, []string{"10 s", "a", "b"}) {
			t.Errorf("took %q", took)
		}
		q.close()
		time.Sleep(time.Hour)
		took, ended := k.seen()
		if !slices.Equal(took, []string{"10 s", "a", "b", "20 s", "30 s"}) || !ended {
			t.Errorf("took %q, ended %v", took, ended)
		}
		if k.after[3] != 20*time.Second || k.after[4] != 30*time.Second {
			t.Errorf("due after 20 and 30 s, taken after %v", k.after[3:])
		}
	})
}

// TestQueueIsFull checks what blocks: adding recordings when many wait for a worker, and taking new
// ones when many wait for their next attempt.
func TestQueueIsFull(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := newQueue()
		ctx, cancel := context.WithCancelCause(t.Context())
		for range maxQueued {
			if err := q.put(ctx, named("new")); err != nil {
				t.Fatal(err)
			}
		}
		var errs [2]error
		var ended atomic.Int32
		for i := range errs {
			go func() {
				errs[i] = q.put(ctx, named("one more"))
				ended.Add(1)
			}()
		}
		synctest.Wait()
		if ended.Load() != 0 {
			t.Fatal("it takes more than there is room for")
		}
		if _, ok := q.take(); !ok {
			t.Fatal("nothing to take")
		}
		synctest.Wait()
		if ended.Load() != 1 {
			t.Fatalf("room for one, and %d came in", ended.Load())
		}
		why := errors.New("a signal")
		cancel(why)
		synctest.Wait()
		if ended.Load() != 2 || !errors.Is(errors.Join(errs[0], errs[1]), why) {
			t.Errorf("a stop ends no wait: %v", errs)
		}

		for range maxQueued {
			q.later(named("delayed"), time.Minute)
		}
		k := q.takeAll(time.Now())
		if took, _ := k.seen(); len(took) != 0 {
			t.Errorf("%d new ones are taken on while %d wait for their next attempt", len(took), maxQueued)
		}
		time.Sleep(time.Minute)
		if took, _ := k.seen(); len(took) != 2*maxQueued {
			t.Errorf("%d taken", len(took))
		}
		q.close()
	})
}

// TestQueueHurries stops a run: no job waits for its time.
func TestQueueHurries(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q, began := newQueue(), time.Now()
		for range maxQueued + 5 {
			q.later(named("delayed"), time.Hour)
		}
		if err := q.put(t.Context(), named("new")); err != nil {
			t.Fatal(err)
		}
		k := q.takeAll(began)
		if took, _ := k.seen(); len(took) != 0 {
			t.Errorf("took %d too early", len(took))
		}
		q.hurry()
		q.close()
		took, ended := k.seen()
		if len(took) != maxQueued+6 || !ended || time.Since(began) != 0 {
			t.Errorf("took %d, ended %v, after %v", len(took), ended, time.Since(began))
		}
		q.later(named("late"), time.Hour) // by a worker that is still busy
		if j, ok := q.take(); !ok || j.identity != "late" {
			t.Error("a job that a worker gave back is left")
		}
	})
}

// TestQueueCloses ends a worker only when no job is left.
func TestQueueCloses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := newQueue()
		idle := q.takeAll(time.Now())
		q.later(named("a"), time.Minute)
		q.close()
		if _, ended := idle.seen(); ended {
			t.Error("a worker left while a recording waited for its next attempt")
		}
		time.Sleep(time.Minute)
		if took, ended := idle.seen(); !ended || len(took) != 1 {
			t.Errorf("took %q, ended %v", took, ended)
		}
	})
}

// TestDelays checks the delays: they double each time, with a jitter of one half, and never exceed
// one and a half times the maximum.
func TestDelays(t *testing.T) {
	for attempts, mean := range map[int]time.Duration{
		1: firstDelay, 2: 2 * firstDelay, 5: 16 * firstDelay, 7: maxDelay, 1000: maxDelay,
	} {
		for range 100 {
			if d := delayAfter(attempts); d < mean/2 || d > mean*3/2 {
				t.Fatalf("%v after %d attempts", d, attempts)
			}
		}
	}
}

func TestLimiterArchivesExactlySoMany(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const limit, workers = 10, 8
		l := newLimiter(limit, 0)
		var archived, begun, ended atomic.Int64
		var group sync.WaitGroup
		for range workers {
			group.Go(func() {
				for {
					if err := l.reserve(t.Context()); err != nil {
						if !errors.Is(err, maxRecordings) {
							t.Error(err)
						}
						ended.Add(1)
						return
					}
					time.Sleep(time.Second) // all of them at once
					good := begun.Add(1)%3 == 0
					if good {
						archived.Add(1)
					}
					l.release(good, 1)
				}
			})
		}
		group.Wait()
		if archived.Load() != limit || ended.Load() != workers {
			t.Errorf("%d archived, %d workers ended", archived.Load(), ended.Load())
		}
	})
}

func TestLimiterEndsWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLimiter(1, 0)
		if err := l.reserve(t.Context()); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- l.reserve(ctx) }()
		synctest.Wait()
		if len(ended) > 0 {
			t.Fatal("more are begun than may be archived")
		}
		cancel()
		if err := <-ended; !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
	})
}

func TestWithoutALimit(t *testing.T) {
	l := newLimiter(0, 0)
	for range 1000 {
		if err := l.reserve(t.Context()); err != nil {
			t.Fatal(err)
		}
		l.release(true, 1<<40)
	}
}
