// Orders the recordings that wait for a worker.

package archiver

import (
	"container/heap"
	"context"
	"math/rand/v2"
	"slices"
	"sync"
	"time"
)

// maxQueued is the maximum number of recordings that wait for a worker, and of those that wait for
// their next attempt.
const maxQueued = 1000

// queue holds the recordings that wait for a worker: new ones in the order in which they were listed, and before them
// those whose next attempt is due. A recording that failed waits here and not in a worker, so it does not delay
// others. It is safe for concurrent use.
type queue struct {
	mu      sync.Mutex
	changed *sync.Cond
	listing []*day // in the order in which their listings began
	fresh   []*job
	delayed delayedJobs
	hurried bool // the run is ending: no job waits for its time
	scatter bool // the next new recording is chosen at random
	closed  bool
}

func newQueue() *queue {
	q := &queue{}
	q.changed = sync.NewCond(&q.mu)
	return q
}

// put adds a new recording once there is space. It fails with the cause of ctx.
func (q *queue) put(ctx context.Context, j *job) error {
	defer context.AfterFunc(ctx, q.wake)()
	q.mu.Lock()
	defer q.mu.Unlock()
	for len(q.fresh) >= maxQueued && ctx.Err() == nil {
		q.changed.Wait()
	}
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	q.fresh = append(q.fresh, j)
	q.changed.Broadcast()
	return nil
}

// list notes the start of a day's listing. The returned function notes its end.
func (q *queue) list(d *day) (end func()) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.listing = append(q.listing, d)
	return func() {
		q.mu.Lock()
		defer q.mu.Unlock()
		q.listing = slices.DeleteFunc(q.listing, func(other *day) bool { return other == d })
		q.changed.Broadcast()
	}
}

// turn waits until a day may request its next page: the day whose listing began first always may, the others while half
// of the queue is free. So a large day is listed completely before the next ones, because each day in work is held in
// memory. It fails with the cause of ctx.
func (q *queue) turn(ctx context.Context, d *day) error {
	defer context.AfterFunc(ctx, q.wake)()
	q.mu.Lock()
	defer q.mu.Unlock()
	for len(q.fresh) >= maxQueued/2 && q.listing[0] != d && ctx.Err() == nil {
		q.changed.Wait()
	}
	return context.Cause(ctx)
}

// later adds a recording whose next attempt is due after the delay.
func (q *queue) later(j *job, delay time.Duration) {
	q.mu.Lock()
	defer q.mu.Unlock()
	heap.Push(&q.delayed, delayedJob{j, time.Now().Add(delay)})
	time.AfterFunc(delay, q.wake)
}

// take waits for a recording to work on. It reports false when the queue is closed and empty.
func (q *queue) take() (*job, bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for {
		switch {
		case len(q.delayed) > 0 && (q.hurried || !time.Now().Before(q.delayed[0].due)):
			return heap.Pop(&q.delayed).(delayedJob).job, true
		case len(q.fresh) > 0 && (q.hurried || len(q.delayed) < maxQueued):
			q.changed.Broadcast() // there is space
			return q.takeFresh(), true
		case q.closed && len(q.delayed) == 0:
			return nil, false
		}
		q.changed.Wait()
	}
}

// takeFresh takes the first new recording, or a random one after a refusal.
func (q *queue) takeFresh() *job {
	if q.scatter {
		i := rand.IntN(len(q.fresh))
		q.fresh[0], q.fresh[i] = q.fresh[i], q.fresh[0]
		q.scatter = false
	}
	j := q.fresh[0]
	q.fresh[0] = nil
	q.fresh = q.fresh[1:]
	return j
}

// refused adds a recording that its host refused. The next new one is taken at random: if only a few recordings that
// were listed together fail, this shows that the host works.
func (q *queue) refused(j *job, delay time.Duration) {
	q.mu.Lock()
	q.scatter = true
	q.mu.Unlock()
	q.later(j, delay)
}

// hurry makes every recording due at once, because the run is stopping.
func (q *queue) hurry() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.hurried = true
	q.changed.Broadcast()
}

// close lets workers end once the queue is empty.
func (q *queue) close() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.closed = true
	q.changed.Broadcast()
}

func (q *queue) wake() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.changed.Broadcast()
}

// waiting returns the number of queued recordings.
func (q *queue) waiting() int {
	q.mu.Lock()
	defer q.mu.Unlock()
	return len(q.fresh) + len(q.delayed)
}

type delayedJob struct {
	job *job
	due time.Time
}

// delayedJobs is a heap, the next one due first.
type delayedJobs []delayedJob

func (d delayedJobs) Len() int           { return len(d) }
func (d delayedJobs) Less(i, k int) bool { return d[i].due.Before(d[k].due) }
func (d delayedJobs) Swap(i, k int)      { d[i], d[k] = d[k], d[i] }

// Push implements heap.Interface.
func (d *delayedJobs) Push(j any) { *d = append(*d, j.(delayedJob)) }

// Pop implements heap.Interface.
func (d *delayedJobs) Pop() any {
	last := len(*d) - 1
	j := (*d)[last]
	(*d)[last] = delayedJob{}
	*d = (*d)[:last]
	return j
}
