package search

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"convoso-archiver/manifest"
)

var testTime = time.Date(2025, 5, 2, 9, 0, 3, 0, time.UTC)

// childEnv makes the test binary act as another process that updates an index: ARCHIVE, a line feed,
// FOLDER.
const childEnv = "SEARCH_TEST_CHILD"

func TestMain(m *testing.M) {
	if job := os.Getenv(childEnv); job != "" {
		archive, folder, _ := strings.Cut(job, "\n")
		if err := childMain(context.Background(), archive, folder); err != nil {
			fmt.Println("error:", err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

func childMain(ctx context.Context, archive, folder string) error {
	root, err := os.OpenRoot(archive)
	if err != nil {
		return err
	}
	l, err := manifest.OpenDir(root, manifest.Options{ReadOnly: true})
	if err != nil {
		return err
	}
	ix, err := OpenIndex(ctx, folder, "it")
	if err != nil {
		return err
	}
	report, err := ix.Update(ctx, New(l, time.UTC), func(done, _ int) { fmt.Println("progress", done) })
	if err != nil {
		return err
	}
	fmt.Println("read", report.Read)
	return ix.Close()
}

func child(t *testing.T, archive, folder string) *exec.Cmd {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	c := exec.CommandContext(t.Context(), exe)
	c.Env = append(os.Environ(), childEnv+"="+archive+"\n"+folder)
	return c
}

// Several processes update one index: each day is read by one of them, and all see all days.
func TestProcessesUpdateOneIndex(t *testing.T) {
	m := newMade(t, 10)
	m.fill(20, 60)
	folder := t.TempDir()
	type ended struct {
		out []byte
		err error
	}
	done := make(chan ended)
	const processes = 3
	for range processes {
		c := child(t, m.dir, folder)
		go func() {
			out, err := c.CombinedOutput()
			done <- ended{out, err}
		}()
	}
	total := 0
	for range processes {
		e := <-done
		_, after, found := strings.Cut(string(e.out), "read ")
		read := 0
		if _, err := fmt.Sscan(after, &read); e.err != nil || !found || err != nil {
			t.Errorf("%v: %s", e.err, e.out)
		}
		total += read
	}
	if total != 20 {
		t.Errorf("%d days were read, of 20", total)
	}
	a, ix := m.open(), openIndex(t, folder)
	if report := update(t, ix, a); report.Read != 0 {
		t.Errorf("%+v", report)
	}
	wantSame(t, a, ix, Query{})
}

// A process killed during a build leaves an index that the next process completes.
func TestKilledWhileBuilding(t *testing.T) {
	m := newMade(t, 11)
	m.fill(40, 60)
	folder := t.TempDir()
	a := m.open()
	for kills := range 4 {
		c := child(t, m.dir, folder)
		out, err := c.StdoutPipe()
		if err == nil {
			err = c.Start()
		}
		if err != nil {
			t.Fatal(err)
		}
		line := ""
		for range 2 + kills { // the first reports that nothing was read yet
			_, _ = fmt.Fscanln(out, new(string), &line)
		}
		if err := c.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		_ = c.Wait() // it was killed
		ix := openIndex(t, folder)
		if held, _, err := ix.Coverage(t.Context()); err != nil || held == 0 {
			t.Fatalf("after %d kills %d days are held, %v", kills+1, held, err)
		}
		wantSame(t, a, ix, Query{Number: "5309"})
		if err := ix.Close(); err != nil {
			t.Fatal(err)
		}
	}
	ix := openIndex(t, folder)
	if report := update(t, ix, a); report.Rebuilt || report.Read >= 40 {
		t.Errorf("%+v", report)
	}
	wantSame(t, a, ix, Query{})
}
