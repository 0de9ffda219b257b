package e2e

import (
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"convoso-archiver/fetcher/convosotest"
)

// eraseBucket is an archive in a bucket without locks, and calls of it with a recording each.
func eraseBucket(t *testing.T) (*bucket, []convosotest.Call) {
	t.Helper()
	server := simulate(t, convosotest.Config{Seed: 131, FirstDay: daysAgo(10), Days: 1, CallsPerDay: 20, RecordedShare: 1, MedianSize: 3_000})
	var calls []convosotest.Call
	for c := range server.Calls() {
		if len(c.Recordings) == 1 {
			calls = append(calls, c)
		}
	}
	b := onS3(t, server, false)
	b.run("--start-time", daysAgo(10), "--end-time", daysAgo(10)).want(t, 0)
	return b, calls
}

func holdIDs(t *testing.T, call convosotest.Call) []string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "ids")
	writeFile(t, name, call.Recordings[0].Ref+"\n")
	return []string{"--ids-from", name}
}

func eraseNow(call convosotest.Call) []string {
	return []string{"--id", call.ID, "--yes", "--reason", "request 7"}
}

func isStored(b *bucket, call convosotest.Call) bool {
	return slices.ContainsFunc(b.names(""), func(name string) bool { return strings.Contains(name, call.Recordings[0].Filename) })
}

// TestEraseOvertakesHold: a hold searches the calls, an erasure begins, and then the hold is noted. The erasure has
// already looked for holds, so the hold reports that it came too late.
func TestEraseOvertakesHold(t *testing.T) {
	t.Parallel()
	b, calls := eraseBucket(t)
	p := calls[0]
	holdWaits, eraseWaits, holdDone := make(chan struct{}), make(chan struct{}), make(chan struct{})
	var onHold, onErase sync.Once
	b.trouble(func(_ http.ResponseWriter, r *http.Request, _ int) bool {
		if r.Method == http.MethodPut && strings.Contains(r.URL.Path, "/evidence/hold-") {
			onHold.Do(func() { close(holdWaits); <-eraseWaits })
		}
		if r.Method == http.MethodDelete && strings.Contains(r.URL.Path, p.Recordings[0].Filename) {
			onErase.Do(func() { close(eraseWaits); <-holdDone })
		}
		return false
	})
	ids := holdIDs(t, p)
	var held held
	go func() {
		defer close(holdDone)
		held = b.hold(3, []string{"add", "case 1"}, ids...)
	}()
	<-holdWaits
	if got := b.erase(0, eraseNow(p)...); len(got.Erased) != 1 || isStored(b, p) {
		t.Errorf("erased: %+v", got)
	}
	<-holdDone
	if held.Calls != 0 || len(held.NotHeld) != 1 || held.NotHeld[0].Call != p.ID {
		t.Errorf("held: %+v", held)
	}
	b.trouble(nil)
	if r := b.other(3, "hold", "add", "case 1"); !strings.Contains(r.stdout, "NOT HELD     1 call, 1 recording: too late") {
		t.Errorf("held again: %s", r.stdout)
	}
}

// TestHoldOvertakesErase: a call is held after an erasure has looked for holds, and before its intent. The erasure
// withdraws the intent: the call stays visible, others are erased, and it stays after the release.
func TestHoldOvertakesErase(t *testing.T) {
	t.Parallel()
	b, calls := eraseBucket(t)
	p, other := calls[0], calls[1]
	ids := holdIDs(t, p)
	var once sync.Once
	b.trouble(func(_ http.ResponseWriter, r *http.Request, _ int) bool {
		if r.Method == http.MethodPut && strings.Contains(r.URL.Path, "/evidence/erase-") {
			once.Do(func() {
				b.trouble(nil)
				b.hold(0, []string{"add", "case 1"}, ids...)
			})
		}
		return false
	})
	if got := b.erase(3, eraseNow(p)...); len(got.Kept) == 0 || len(got.Erased)+len(got.Unfinished) > 0 {
		t.Errorf("erased: %+v", got)
	}
	shown := func() {
		t.Helper()
		f := b.other(0, "find", "--last", "30d", "--state-dir", b.state, "--id", p.ID, "--json")
		if !strings.Contains(f.stdout, p.PhoneNumber) || !isStored(b, p) {
			t.Errorf("the held call is not shown: %s", f.stdout)
		}
	}
	shown()
	b.other(0, "export", "--format", "bagit", "--id", p.ID, "--to", filepath.Join(t.TempDir(), "bag"))
	if got := b.erase(0, eraseNow(other)...); len(got.Erased) != 1 || isStored(b, other) {
		t.Errorf("erased another: %+v", got)
	}
	b.hold(0, []string{"release", "case 1"})
	if got := b.erase(0, "--resume"); len(got.Erased)+len(got.Unfinished) > 0 {
		t.Errorf("resumed: %+v", got)
	}
	shown()
	b.other(0, "verify")
}

// TestHoldBeforeRemoval: a hold searches the calls, an erasure notes its intent and looks for holds, and then
// the hold is noted. The erasure has removed nothing yet, so the hold wins and says so. Before the erasure
// ends, a hold that adds nothing says so too, and a hold that no longer sees the call says that the call is
// not held.
func TestHoldBeforeRemoval(t *testing.T) {
	t.Parallel()
	b, calls := eraseBucket(t)
	p := calls[0]
	holdWaits, eraseWaits, holdDone := make(chan struct{}), make(chan struct{}), make(chan struct{})
	var onHold sync.Once
	var onErase atomic.Bool
	b.trouble(func(_ http.ResponseWriter, r *http.Request, _ int) bool {
		if r.Method == http.MethodPut && strings.Contains(r.URL.Path, "/evidence/hold-") {
			onHold.Do(func() { close(holdWaits); <-eraseWaits })
		}
		if r.Method == http.MethodPut && strings.Contains(r.URL.Path, "-claim-") && !onErase.Swap(true) {
			close(eraseWaits)
			<-holdDone
		}
		return false
	})
	ids := holdIDs(t, p)
	var won, again, late held
	go func() {
		defer close(holdDone)
		won = b.hold(0, []string{"add", "case 1"}, ids...)
		again = b.hold(0, []string{"add", "case 1"})
		late = b.hold(3, []string{"add", "case 2"}, ids...)
	}()
	<-holdWaits
	if got := b.erase(3, eraseNow(p)...); len(got.Kept) == 0 || len(got.Erased)+len(got.Unfinished) > 0 || !isStored(b, p) {
		t.Errorf("erased: %+v", got)
	}
	<-holdDone
	for name, got := range map[string]held{"the hold": won, "again": again} {
		if got.Calls != 1 || got.Recordings != 1 || len(got.NotHeld) > 0 || len(got.Hidden) != 1 {
			t.Errorf("%s: %+v", name, got)
		}
	}
	if late.Calls != 0 || late.Erasing != 1 || late.Erased != 0 {
		t.Errorf("after the intent: %+v", late)
	}
	b.trouble(nil)
	if got := b.hold(0, []string{"add", "case 2"}, ids...); got.Calls != 1 || len(got.NotHeld)+len(got.Hidden) > 0 {
		t.Errorf("held by another case: %+v", got)
	}
	if r := b.other(0, "erase", "list", "--json"); !strings.Contains(r.stdout, `"state":"withdrawn"`) {
		t.Errorf("listed: %s", r.stdout)
	}
	b.other(0, "verify")
}

// TestHoldAfterAKill: an erasure was killed after its intent. A hold that was noted meanwhile wins, says what hides the
// call, and erase --resume withdraws the erasure.
func TestHoldAfterAKill(t *testing.T) {
	t.Parallel()
	b, calls := eraseBucket(t)
	p := calls[0]
	ids := holdIDs(t, p)
	refuse := func(w http.ResponseWriter, r *http.Request, _ int) bool {
		if r.Method != http.MethodPut || !strings.Contains(r.URL.Path, "-claim-") {
			return false
		}
		w.Header().Set("Content-Type", "application/xml")
		w.WriteHeader(http.StatusForbidden)
		_, _ = w.Write([]byte("<Error><Code>AccessDenied</Code></Error>"))
		return true
	}
	var once sync.Once
	b.trouble(func(w http.ResponseWriter, r *http.Request, n int) bool {
		if r.Method == http.MethodPut && strings.Contains(r.URL.Path, "/evidence/hold-") {
			once.Do(func() {
				b.trouble(refuse)
				b.other(1, "erase", append([]string{"--state-dir", b.state}, eraseNow(p)...)...)
				b.trouble(nil)
			})
		}
		return false
	})
	if r := b.other(0, "hold", append([]string{"add", "case 1"}, ids...)...); !strings.Contains(r.stdout, "HELD         1 call, 1 recording: the hold came before the removal") ||
		!strings.Contains(r.stdout, "erase --resume") {
		t.Errorf("held: %s", r.stdout)
	}
	if r := b.other(3, "erase", "list"); !strings.Contains(r.stdout, "unfinished") {
		t.Errorf("listed: %s", r.stdout)
	}
	if got := b.erase(3, "--resume"); len(got.Kept) == 0 || len(got.Unfinished) > 0 || !isStored(b, p) {
		t.Errorf("resumed: %+v", got)
	}
	if r := b.other(0, "erase", "list"); !strings.Contains(r.stdout, "withdrawn") {
		t.Errorf("listed after the withdrawal: %s", r.stdout)
	}
	f := b.other(0, "find", "--last", "30d", "--state-dir", b.state, "--id", p.ID, "--json")
	if !strings.Contains(f.stdout, p.PhoneNumber) {
		t.Errorf("the held call is not shown: %s", f.stdout)
	}
}

// TestEraseBesideARefusal: an object that cannot be removed blocks only its own erasure.
func TestEraseBesideARefusal(t *testing.T) {
	t.Parallel()
	b, calls := eraseBucket(t)
	p, other := calls[0], calls[1]
	b.trouble(func(w http.ResponseWriter, r *http.Request, _ int) bool {
		if r.Method != http.MethodDelete || !strings.Contains(r.URL.Path, p.Recordings[0].Filename) {
			return false
		}
		w.Header().Set("Content-Type", "application/xml")
		w.WriteHeader(http.StatusForbidden)
		_, _ = w.Write([]byte("<Error><Code>AccessDenied</Code></Error>"))
		return true
	})
	refused := func(r result) {
		t.Helper()
		if !strings.Contains(r.stdout, "UNFINISHED") || !strings.Contains(r.stdout, "erase --resume") || strings.Contains(r.stdout, "would erase") ||
			strings.Contains(r.stdout, "nothing was erased") {
			t.Errorf("it says: %s", r.stdout)
		}
	}
	refused(b.other(3, "erase", append([]string{"--state-dir", b.state}, eraseNow(p)...)...))
	r := b.other(3, "erase", append([]string{"--state-dir", b.state}, eraseNow(other)...)...)
	refused(r)
	if !strings.Contains(r.stdout, "erased: 1 call") || isStored(b, other) || !isStored(b, p) {
		t.Errorf("beside the refusal: %s", r.stdout)
	}
	if got := b.erase(3, "--resume"); len(got.Unfinished) != 1 || len(got.Problems) != 1 {
		t.Errorf("resumed: %+v", got)
	}
	b.trouble(nil)
	if got := b.erase(0, "--resume"); len(got.Erased) != 1 || len(got.Unfinished) > 0 || isStored(b, p) {
		t.Errorf("resumed in peace: %+v", got)
	}
}
