package e2e

import (
	"bytes"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"convoso-archiver/fetcher/convosotest"
)

// TestWriteOrder follows the system calls of runs into one folder, and checks that nothing is
// relied on before it is durable: a recording is synced, named, and its folder synced before its
// line is written; call rows are durable before recordings, these before their window, and all of
// them before closed.json, which is synced before it gets its name; and nothing is reported before
// that. The second run finds a truncated line, and a repair a bad one.
func TestWriteOrder(t *testing.T) {
	strace := needStrace(t)
	t.Parallel()
	source := simulate(t, convosotest.Config{
		Seed: 70, FirstDay: daysAgo(6), Days: 2, CallsPerDay: 24, RecordedShare: 1, SeveralShare: 0.2,
		MedianSize: 15_000, MaxSize: 60_000, BigRecordings: []int64{1_300_032},
	})
	w := newWriteOrder(t, strace, source)
	w.run(3, "archive", append(wholeSpan(), "--max-recordings", "20")...)
	if c := w.archive.read(); len(c.archived) != 20 {
		t.Fatalf("%d recordings archived", len(c.archived))
	}
	segments := func(day string) []string {
		found, err := filepath.Glob(filepath.Join(w.archive.folder, "manifest", day, "*.jsonl"))
		if err != nil || len(found) == 0 {
			t.Fatalf("no segment of %s: %v", day, err)
		}
		return found
	}
	edit(t, segments("*")[0], func(data []byte) []byte { return append(data, `{"v":1,"kind":"rec`...) })
	w.settle()
	w.run(0, "archive", wholeSpan()...)
	if c := w.archive.checkFiles(nil); len(c.closed) != 2 {
		t.Errorf("%d days are closed", len(c.closed))
	}
	if torn, err := filepath.Glob(filepath.Join(w.archive.folder, "manifest", "*", "*.torn")); err != nil || len(torn) != 1 {
		t.Errorf("moved aside: %v, %v", torn, err)
	}
	edit(t, segments(daysAgo(5))[0], func(data []byte) []byte {
		return slices.Insert(data, bytes.IndexByte(data, '\n')+1, []byte("{]\n")...)
	})
	w.settle()
	w.run(4, "verify", "--repair")
	w.run(0, "archive", wholeSpan()...)
	w.archive.verify().want(t, 0)
	t.Logf("checked: %v", w.order.checked)
	for _, rule := range []string{
		"archive.json before any line", "call row before recording", "stored before it was noted", "the bytes noted", "synced before it was named",
		"recordings before window", "segments before closed.json", "noted before it was told", "closed before it was told",
		"saved before it was cut off", "durable at the end",
	} {
		if w.order.checked[rule] == 0 {
			t.Errorf("there was nothing to check for %q: %v", rule, slices.Sorted(maps.Keys(w.order.checked)))
		}
	}
}

// TestWriteOrderAfterKill kills a run at one of its first 45 syncs, a different one each round: the
// next run relies only on durable data of the killed run.
func TestWriteOrderAfterKill(t *testing.T) {
	strace := needStrace(t)
	t.Parallel()
	seed := tortureSeed(t)
	for round := range tortureRounds(t, 9) {
		nth := 1 + round*7%45
		t.Run(fmt.Sprintf("at sync %d of a thread", nth), func(t *testing.T) {
			random := rand.New(rand.NewPCG(seed, uint64(round)))
			source := simulate(t, convosotest.Config{
				Seed: random.Uint64(), FirstDay: daysAgo(6), Days: 2, CallsPerDay: 3, RecordedShare: 1, MedianSize: 15_000, MaxSize: 60_000,
			})
			w := newWriteOrder(t, strace, source)
			w.archive.env = append(w.archive.env, "GOMAXPROCS=1") // most calls come from one thread, in a similar order
			killed := w.runKilled(nth)
			w.run(0, "archive", wholeSpan()...)
			w.archive.checkFiles(nil)
			t.Logf("killed: %t", killed)
		})
	}
}

// dest is the archive's folder below the followed one.
const dest = "dest"

// wholeSpan returns the flags of a run that archives everything, into folders made on demand.
func wholeSpan() []string {
	return []string{
		"--start-time", daysAgo(6), "--end-time", daysAgo(5), "--workers", "6",
		"--path-template", `{{.campaign_id}}/{{.call_date.Format "2006-01-02"}}/{{.filename}}`,
	}
}

// writeOrder is an archive that is filled under strace.
type writeOrder struct {
	t       *testing.T
	strace  string
	archive *archive
	order   *order
	end     int // position in the trace
}

func newWriteOrder(t *testing.T, strace string, source *convosotest.Server) *writeOrder {
	t.Helper()
	base, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	w := &writeOrder{t: t, strace: strace, archive: onDisk(t, source)}
	w.archive.dest = filepath.Join(base, dest)
	w.archive.folder = w.archive.dest
	perDay := map[string]int{}
	for r := range source.Recordings() {
		perDay[r.Day]++
	}
	w.order = newOrder(base, perDay)
	return w
}

// run runs the program to its end and checks the order of its writes.
func (w *writeOrder) run(code int, command string, args ...string) {
	w.t.Helper()
	w.runWith([]string{w.strace, "--seccomp-bpf"}, command, args...).want(w.t, code)
	w.order.finish(w.t, w.end, false)
}

// runKilled runs the program, which strace kills at the nth fsync of a thread. It reports whether
// that happened before the end. (With --seccomp-bpf strace 6.1 injects nothing.)
func (w *writeOrder) runKilled(nth int) (killed bool) {
	w.t.Helper()
	kill := fmt.Sprintf("inject=fsync:signal=KILL:when=%d", nth)
	killed = w.runWith([]string{w.strace, "-e", kill}, "archive", wholeSpan()...).code == -1
	if _, err := os.Stat(w.archive.folder); err == nil {
		w.order.finish(w.t, w.end, killed)
	}
	return killed
}

func (w *writeOrder) runWith(strace []string, command string, args ...string) result {
	w.t.Helper()
	r, calls := w.archive.runTraced(strace, w.end+10, command, args...)
	if err := w.order.follow(calls); err != nil {
		w.t.Fatal(err)
	}
	w.end += 10
	if len(calls) > 0 {
		w.end = calls[len(calls)-1].exit + 10
	}
	return r
}

// settle treats all data on disk as durable.
func (w *writeOrder) settle() {
	w.t.Helper()
	w.order.settle(w.t, w.end)
	w.end += 10
}
