package cases

import (
	"runtime"
	"testing"
)

// The slow ones come first, so that the others run in parallel.
func TestPace(t *testing.T)     { try(t, pace()) }
func TestWaiting(t *testing.T)  { try(t, waiting()) }
func TestAnswers(t *testing.T)  { try(t, answers()) }
func TestClosing(t *testing.T)  { try(t, closing()) }
func TestIdentity(t *testing.T) { try(t, identity()) }
func TestLedger(t *testing.T)   { try(t, ledger()) }
func TestListing(t *testing.T)  { try(t, listing()) }
func TestMedia(t *testing.T)    { try(t, media()) }
func TestStore(t *testing.T)    { try(t, store()) }
func TestWorld(t *testing.T)    { try(t, world()) }

// allExamples returns all examples of the package.
func allExamples() []example {
	var all []example
	for _, examples := range [][]example{pace(), waiting(), answers(), closing(), identity(), ledger(), listing(), media(), store(), world()} {
		all = append(all, examples...)
	}
	return all
}

// TestMarks checks the marks against the examples: a mark of a removed example would mislead, and
// examples with the same name could not be marked separately.
func TestMarks(t *testing.T) {
	known := map[string]bool{}
	for _, e := range allExamples() {
		if known[e.name] {
			t.Errorf("two examples have the name %q", e.name)
		}
		known[e.name] = true
	}
	for name := range marks {
		if !known[name] {
			t.Errorf("mark %q belongs to no example", name)
		}
	}
}

// skip skips an example that cannot run on this system.
func skip(t testing.TB, why string) {
	t.Helper()
	t.Skipf("on %s as it is here: %s", runtime.GOOS, why)
}
