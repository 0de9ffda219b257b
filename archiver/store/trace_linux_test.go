package store_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"convoso-archiver/archiver/store"
	"convoso-archiver/archiver/store/storetest"
)

// tracedDir is the variable with the folder for TestTracedPut.
const tracedDir = "STORE_TRACED_DIR"

// TestTracedPut is the process that TestPutOrder traces.
func TestTracedPut(t *testing.T) {
	dir := os.Getenv(tracedDir)
	if dir == "" {
		return
	}
	d := openDisk(t, dir, store.DiskOptions{})
	if os.Getenv("STORE_WITHOUT_LINKS") != "" {
		d.WithoutLinks()
	}
	_, _ = d.Put(t.Context(), storetest.Object("rec", storetest.Body(1, 300_000), "a/b/name.mp3"))
}

// TestPutOrder follows the system calls of storing on disk: the bytes are synced before they get
// their name, and the folders after it, also if a killed run created the name without a sync.
func TestPutOrder(t *testing.T) {
	strace, err := exec.LookPath("strace")
	if err == nil {
		err = exec.Command(strace, "-o", os.DevNull, "true").Run()
	}
	if err != nil {
		if os.Getenv("REQUIRE_STRACE") != "" {
			t.Fatalf("strace does not work here: %v", err)
		}
		t.Skipf("strace does not work here: %v", err)
	}
	const (
		write  = `pwrite64\(\d+<DIR/\.tmp/\w+\.part>, `
		sync   = `fsync\(\d+<DIR/\.tmp/\w+\.part>\) = 0`
		link   = `linkat\(\d+<DIR/\.tmp>, "\w+\.part", \d+<DIR/a/b>, "name\.mp3", `
		claim  = `openat\(\d+<DIR/a/b>, "name\.mp3", [A-Z_|]*O_CREAT\|O_EXCL`
		rename = `renameat2?\(\d+<DIR/\.tmp>, "\w+\.part", \d+<DIR/a/b>, "name\.mp3"`
		read   = `read\(\d+<DIR/a/b/name\.mp3>, `
		syncB  = `fsync\(\d+<DIR/a/b>\) = 0`
		syncA  = `fsync\(\d+<DIR/a>\) = 0`
		syncUp = `fsync\(\d+<DIR>\) = 0`
	)
	for _, c := range []struct {
		name, env string
		again     bool
		want      []string
	}{
		{"with links", "", false, []string{write, sync, link + `.* = 0`, syncB, syncA, syncUp}},
		{"the same again", "", true, []string{write, sync, link + `.* EEXIST`, read, syncB, syncA, syncUp}},
		{"without links", "STORE_WITHOUT_LINKS=1", false, []string{write, sync, claim, rename, syncB, syncA, syncUp}},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir, err := filepath.EvalSymlinks(t.TempDir())
			if err != nil {
				t.Fatal(err)
			}
			if c.again {
				put(t, openDisk(t, dir, store.DiskOptions{}), storetest.Object("rec", storetest.Body(1, 300_000), "a/b/name.mp3"))
			}
			log := filepath.Join(t.TempDir(), "trace")
			traced := exec.Command(strace, "-f", "-y", "-o", log,
				"-e", "trace=pwrite64,read,fsync,linkat,openat,?renameat,?renameat2", os.Args[0], "-test.run=^TestTracedPut$")
			traced.Env = append(os.Environ(), tracedDir+"="+dir, c.env)
			if out, err := traced.CombinedOutput(); err != nil {
				t.Fatalf("%v: %s", err, out)
			}
			trace, err := os.ReadFile(log)
			if err != nil {
				t.Fatal(err)
			}
			wantOrder(t, resumed(string(trace)), dir, c.want)
		})
	}
}

// wantOrder checks the order of calls: the last of each kind comes before the first of the next
// kind.
func wantOrder(t *testing.T, calls, dir string, want []string) {
	t.Helper()
	at := 0
	for i, pattern := range want {
		find := regexp.MustCompile(strings.ReplaceAll(pattern, "DIR", regexp.QuoteMeta(dir)))
		found := find.FindStringIndex(calls[at:])
		if found == nil {
			t.Fatalf("no %s after %q in\n%s", pattern, want[:i], calls)
		}
		at += found[1]
		if i == 0 { // the body must not be written after the sync
			all := find.FindAllStringIndex(calls, -1)
			at = all[len(all)-1][1]
		}
	}
}

// resumed joins the two lines of an interrupted call in strace's output, at the position where the
// call ended.
func resumed(trace string) string {
	started := make(map[string]string)
	columns := regexp.MustCompile(` += `) // strace aligns the results of resumed calls
	var lines []string
	for line := range strings.Lines(trace) {
		thread, call, _ := strings.Cut(line, " ")
		call = strings.TrimSpace(call)
		if begin, ok := strings.CutSuffix(call, " <unfinished ...>"); ok {
			started[thread] = begin
			continue
		}
		if _, rest, ok := strings.Cut(call, " resumed>"); ok && strings.HasPrefix(call, "<... ") {
			call = started[thread] + columns.ReplaceAllString(rest, " = ")
		}
		lines = append(lines, call)
	}
	return strings.Join(lines, "\n")
}
