package cases

import (
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"
	"sync"
	"testing"
)

// program is the program under test, built once. It is built without the race detector, which
// internal/e2e uses, because there are many short runs here.
var program string

// sideBySide is the minimum number of parallel examples, which wait more than they compute.
const sideBySide = 32

func TestMain(m *testing.M) { os.Exit(testMain(m)) }

func testMain(m *testing.M) int {
	flag.Parse()
	if n := flag.Lookup("test.parallel"); n != nil {
		if at, err := strconv.Atoi(n.Value.String()); err == nil && at < sideBySide {
			if err := n.Value.Set(strconv.Itoa(sideBySide)); err != nil {
				fmt.Fprintln(os.Stderr, err)
				return 1
			}
		}
	}
	dir, err := os.MkdirTemp("", "cases-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	if err := os.Chmod(dir, 0o755); err != nil { // some examples run the program as another user
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	program = filepath.Join(dir, "convoso-archiver")
	if out, err := exec.Command("go", "build", "-o", program, "convoso-archiver").CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "build the program: %v\n%s", err, out)
		return 1
	}
	return m.Run()
}

// example is one input with its required result.
type example struct {
	name string // starts with the number of the case; marks use this name
	run  func(t testing.TB)
}

// try runs examples in parallel. One that is marked as failing today must fail.
func try(t *testing.T, examples []example) {
	t.Parallel()
	for _, e := range examples {
		t.Run(e.name, func(t *testing.T) {
			t.Parallel()
			why, marked := marks[e.name]
			if !marked {
				e.run(t)
				return
			}
			r := &recorder{TB: t}
			r.watch(e.run)
			switch {
			case r.skipped:
				skip(t, "the example was skipped")
			case !r.failed:
				t.Errorf("case %q passes now: remove its mark", e.name)
			default:
				t.Logf("fails as known: %s\n%s", why, r.log.String())
			}
		})
	}
}

// recorder collects the failures of an example without failing the test.
type recorder struct {
	testing.TB
	mu              sync.Mutex // guards what follows: servers of an example report too
	failed, skipped bool
	log             strings.Builder
}

// watch runs an example to its end, in a separate goroutine that FailNow can end.
func (r *recorder) watch(run func(testing.TB)) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		defer func() {
			if p := recover(); p != nil {
				r.Errorf("panic: %v\n%s", p, debug.Stack())
			}
		}()
		run(r)
	}()
	<-done
}

func (r *recorder) note(failed bool, text string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.failed = r.failed || failed
	r.log.WriteString(strings.TrimSuffix(text, "\n") + "\n")
}

func (r *recorder) Log(args ...any)                   { r.note(false, fmt.Sprintln(args...)) }
func (r *recorder) Logf(format string, args ...any)   { r.note(false, fmt.Sprintf(format, args...)) }
func (r *recorder) Fail()                             { r.note(true, "failed") }
func (r *recorder) Error(args ...any)                 { r.note(true, fmt.Sprintln(args...)) }
func (r *recorder) Errorf(format string, args ...any) { r.note(true, fmt.Sprintf(format, args...)) }

func (r *recorder) FailNow() {
	r.Fail()
	runtime.Goexit()
}

func (r *recorder) Fatal(args ...any) {
	r.Error(args...)
	runtime.Goexit()
}

func (r *recorder) Fatalf(format string, args ...any) {
	r.Errorf(format, args...)
	runtime.Goexit()
}

func (r *recorder) SkipNow() { r.skip() }

func (r *recorder) skip() {
	r.mu.Lock()
	r.skipped = true
	r.mu.Unlock()
	runtime.Goexit()
}

func (r *recorder) Skip(args ...any) {
	r.Log(args...)
	r.skip()
}

func (r *recorder) Skipf(format string, args ...any) {
	r.Logf(format, args...)
	r.skip()
}

func (r *recorder) Failed() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.failed
}

func (r *recorder) Skipped() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.skipped
}
