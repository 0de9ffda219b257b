package e2e

import (
	"bytes"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"convoso-archiver/fetcher/convosotest"
)

// unnotedServer has three days of calls with one recording each.
func unnotedServer(t *testing.T) *convosotest.Server {
	return simulate(t, convosotest.Config{Seed: 131, FirstDay: daysAgo(10), Days: 3, CallsPerDay: 20, RecordedShare: 1, SeveralShare: 0, MedianSize: 3_000})
}

func unnotedDays(more ...string) []string {
	return append([]string{"--start-time", daysAgo(10), "--end-time", daysAgo(8)}, more...)
}

// firstCalls are calls of two people on the first day.
func firstCalls(t *testing.T, server *convosotest.Server) (person, other convosotest.Call) {
	t.Helper()
	var list []convosotest.Call
	for c := range server.Calls() {
		if len(c.Recordings) == 1 && c.Day == daysAgo(10) && (len(list) == 0 || list[0].PhoneNumber != c.PhoneNumber) {
			list = append(list, c)
		}
	}
	if len(list) < 2 {
		t.Fatal("no two calls on the first day")
	}
	return list[0], list[1]
}

// filesWith returns the files below a folder that contain a part of the audio of a recording.
func (a *archive) filesWith(folder, ref string) []string {
	a.t.Helper()
	return namesWith(a.part(ref), func(visit func(string, []byte)) { look(a.t, nil, visit, folder) })
}

// versionsWith returns the versions of objects that contain a part of the audio of a recording.
func (b *bucket) versionsWith(ref string) []string {
	b.t.Helper()
	return namesWith(b.part(ref), func(visit func(string, []byte)) { look(b.t, b, visit) })
}

// part returns a part of the audio of a recording.
func (a *archive) part(ref string) []byte {
	a.t.Helper()
	r, ok := a.server.Recording(ref)
	if !ok {
		a.t.Fatal(ref)
	}
	body, err := io.ReadAll(r.Body())
	if err != nil {
		a.t.Fatal(err)
	}
	return body[len(body)/2:][:min(512, len(body)/2)]
}

func namesWith(part []byte, look func(visit func(name string, content []byte))) (names []string) {
	look(func(name string, content []byte) {
		if bytes.Contains(content, part) {
			names = append(names, name)
		}
	})
	return names
}

// killOnce kills a run as soon as stored returns true.
func (a *archive) killOnce(stored func() bool, args ...string) {
	a.t.Helper()
	a.finish(a.command(a.t.Context(), args...), func(run *os.Process) {
		waitFor(a.t, stored)
		_ = run.Kill()
	})
}

// isOf matches requests that store a recording.
func isOf(id string) func(*http.Request) bool {
	return func(r *http.Request) bool { return r.Header.Get("X-Amz-Meta-Recording-Id") == id }
}

// refuseLines refuses lines of days once stored is closed.
func refuseLines(stored <-chan struct{}, w http.ResponseWriter, r *http.Request) bool {
	if r.Method != http.MethodPut || !strings.Contains(r.URL.Path, "/manifest/2") {
		return false
	}
	select {
	case <-stored:
		w.WriteHeader(http.StatusServiceUnavailable)
		return true
	default:
		return false
	}
}

func refuseDelete(w http.ResponseWriter, r *http.Request, _ int) bool {
	if r.Method != http.MethodDelete || strings.Contains(r.URL.Path, "probe") {
		return false
	}
	w.Header().Set("Content-Type", "application/xml")
	w.WriteHeader(http.StatusForbidden)
	_, _ = io.WriteString(w, "<Error><Code>AccessDenied</Code></Error>")
	return true
}

// During and after an unfinished erasure, damage to other lines of its days is reported as usual.
func TestEraseUnfinishedHidesNoDamage(t *testing.T) {
	server := unnotedServer(t)
	b := onS3(t, server, false)
	keepVersions(t, b)
	person, other := firstCalls(t, server)
	b.run(unnotedDays()...).want(t, 0)
	b.trouble(refuseDelete)
	b.erase(3, "--id", person.ID, "--yes", "--reason", "request 7")
	b.trouble(nil)
	b.other(0, "verify")
	cut := 0
	for _, name := range b.names("manifest/" + daysAgo(10) + "/") {
		var kept []byte
		for line := range bytes.Lines(b.content(name)) {
			if bytes.Contains(line, []byte(`"recording_id":"`+other.Recordings[0].Ref+`"`)) {
				cut++
				continue
			}
			kept = append(kept, line...)
		}
		b.overwrite(name, kept)
	}
	if cut == 0 {
		t.Fatal("no line was cut out")
	}
	b.other(4, "verify")
	b.erase(0, "--resume")
	b.other(4, "verify")
	b.run(unnotedDays()...).want(t, 0)
	if got := b.readBucket().outcome(other.Recordings[0].Ref).Outcome; got != "archived" {
		t.Errorf("the recording whose line was cut out is %q after a run", got)
	}
}

func personOf(c convosotest.Call) person { return person{number: c.PhoneNumber} }

// Recordings wait for the same key, and a file without an owner has it: no erasure may remove it.
func TestEraseRefusesWhereAnotherWaits(t *testing.T) {
	server := unnotedServer(t)
	a := onDisk(t, server)
	person, other := firstCalls(t, server)
	two := a.naming(personOf(person), personOf(other))
	args := unnotedDays("--api-url", two, "--path-template", "{{.last_name}}")
	id, otherID := person.Recordings[0].Ref, other.Recordings[0].Ref
	for c := range server.Calls() {
		if len(c.Recordings) != 1 || c.PhoneNumber != person.PhoneNumber && c.PhoneNumber != other.PhoneNumber {
			continue
		}
		if err := server.SetFault(c.Recordings[0].Ref, convosotest.FaultNotFound, -1); err != nil {
			t.Fatal(err)
		}
	}
	a.run(args...).want(t, 3)
	name := a.read().outcome(id).Key
	if name == "" || name != a.read().outcome(otherID).Key {
		t.Fatalf("they wait for %q and %q", name, a.read().outcome(otherID).Key)
	}
	r, _ := server.Recording(id)
	body, err := io.ReadAll(r.Body())
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(a.dest, filepath.FromSlash(name))
	if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
		t.Fatal(err)
	}
	writeFile(t, file, string(body)) // like a run that was killed before it noted the file
	erase := []string{"--id", person.ID, "--yes", "--reason", "request 7", "--path-template", "{{.last_name}}"}
	got := a.erase(3, erase...)
	if len(got.Kept) != 1 || got.Kept[0].Recording != id || got.Kept[0].Shared == "" || len(got.Erased) > 0 {
		t.Errorf("%+v", got)
	}
	if left := a.filesWith(a.dest, id); len(left) != 1 {
		t.Errorf("the audio stands in %v", left)
	}
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	if got := a.erase(0, erase...); len(got.Erased) != 1 {
		t.Errorf("%+v", got)
	}
}

// A damaged recording is downloaded again, and the run is killed after storing the new bytes and before noting
// them.
func TestEraseWhatReplacesDamaged(t *testing.T) {
	server := unnotedServer(t)
	b := onS3(t, server, false)
	keepVersions(t, b)
	person, _ := firstCalls(t, server)
	id := person.Recordings[0].Ref
	b.run(unnotedDays()...).want(t, 0)
	b.spoil(t, b, id)
	b.other(4, "verify", "--repair")
	before := len(b.versionsWith(id))
	arrived := make(chan struct{})
	var once sync.Once
	b.trouble(func(w http.ResponseWriter, r *http.Request, _ int) bool {
		if refuseLines(arrived, w, r) {
			return true
		}
		if r.Method == http.MethodPut && isOf(id)(r) {
			once.Do(func() { close(arrived) })
		}
		return false
	})
	b.killOnce(b.hasPut(isOf(id)), unnotedDays()...)
	b.trouble(nil)
	if again := len(b.versionsWith(id)); again <= before {
		t.Fatalf("%d files with the audio, and %d before", again, before)
	}
	if got := b.erase(0, "--id", person.ID, "--yes", "--reason", "request 7"); len(got.Erased) != 1 {
		t.Errorf("%+v", got)
	}
	if left := b.versionsWith(id); len(left) > 0 {
		t.Errorf("left is %v", left)
	}
	b.run(unnotedDays("--relist")...).want(t, 0)
	if left := b.versionsWith(id); len(left) > 0 {
		t.Errorf("after a run left is %v", left)
	}
}

// A body that is not audio went into quarantine, and the run was killed before it stored the recording's line.
func TestEraseQuarantineWithoutLine(t *testing.T) {
	server := unnotedServer(t)
	b := onS3(t, server, false)
	keepVersions(t, b)
	person, _ := firstCalls(t, server)
	if err := server.SetFault(person.Recordings[0].Ref, convosotest.FaultUnknown, -1); err != nil {
		t.Fatal(err)
	}
	from := make(chan struct{})
	close(from)
	b.trouble(func(w http.ResponseWriter, r *http.Request, _ int) bool { return refuseLines(from, w, r) })
	b.killOnce(func() bool { return len(b.names("quarantine/")) > 0 && len(b.names("calls/"+person.Day)) > 0 }, unnotedDays()...)
	b.trouble(nil)
	if n := len(b.names("quarantine/")); n != 1 {
		t.Fatalf("%d copies under quarantine", n)
	}
	if got := b.erase(0, "--number", person.PhoneNumber, "--yes", "--reason", "request 7"); len(got.Erased) != 1 || got.Erased[0].Quarantine != 1 {
		t.Errorf("%+v", got)
	}
	if left := b.names("quarantine/"); len(left) > 0 {
		t.Errorf("left is %v", left)
	}
}

// A run is killed after storing a recording without a line, which was erased meanwhile: the next run that lists it
// removes it.
func TestEraseStoredAfterwards(t *testing.T) {
	server := unnotedServer(t)
	b := onS3(t, server, false)
	keepVersions(t, b)
	person, _ := firstCalls(t, server)
	id := person.Recordings[0].Ref
	if err := server.SetFault(id, convosotest.FaultNotFound, 1); err != nil {
		t.Fatal(err)
	}
	b.run(unnotedDays()...).want(t, 3)
	done := make(chan struct{})
	var once sync.Once
	b.trouble(func(w http.ResponseWriter, r *http.Request, _ int) bool {
		if r.Method == http.MethodPut && isOf(id)(r) {
			once.Do(func() {
				b.erase(0, "--id", person.ID, "--yes", "--reason", "request 7")
				close(done)
			})
		}
		return refuseLines(done, w, r) // the erasure writes lines too
	})
	b.killOnce(b.hasPut(isOf(id)), unnotedDays("--workers", "1")...)
	b.trouble(nil)
	if n := len(b.versionsWith(id)); n == 0 {
		t.Fatal("the run has not stored it")
	}
	b.run(unnotedDays("--relist")...).want(t, 0)
	if left := b.versionsWith(id); len(left) > 0 {
		t.Errorf("left is %v", left)
	}
}

// A run with locks does not store a recording that is erased during its download.
func TestEraseInFlightWhereLocked(t *testing.T) {
	if ignoresConditions(t) {
		return
	}
	server := unnotedServer(t)
	b := onS3(t, server, false)
	b.in(b.server.NewLockBucket(t, "inflight", 0))
	person, _ := firstCalls(t, server)
	if err := server.SetFault(person.Recordings[0].Ref, convosotest.FaultNotFound, 1); err != nil {
		t.Fatal(err)
	}
	b.run(unnotedDays()...).want(t, 3)
	var once sync.Once
	server.SetMediaHook(func(convosotest.MediaRequest) convosotest.Fault {
		once.Do(func() { b.erase(0, "--id", person.ID, "--yes", "--reason", "request 7") })
		return convosotest.FaultNone
	})
	b.run(unnotedDays("--s3-lock-mode", "governance", "--s3-lock-for", "1y")...).want(t, 3) // the day has changed meanwhile
	for _, name := range b.names("") {
		if strings.Contains(name, person.Recordings[0].Filename) {
			t.Error("the recording is stored, and locked")
		}
	}
	b.run(unnotedDays("--relist")...).want(t, 0)
}
