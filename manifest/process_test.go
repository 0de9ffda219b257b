package manifest

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
)

// childEnv makes the test binary act as another process that works on the archive in it.
const childEnv = "MANIFEST_TEST_CHILD"

func TestMain(m *testing.M) {
	if dir := os.Getenv(childEnv); dir != "" {
		if err := childMain(dir); err != nil {
			fmt.Println("error:", err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

// childMain notes recordings from several goroutines, prints the id of each when it is durable, and continues
// until it is killed.
func childMain(dir string) error {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return err
	}
	l, err := OpenDir(root, Options{})
	if err != nil {
		return err
	}
	var days []*Day
	for _, day := range []string{testDay, "2025-05-02"} {
		d, err := l.Load(context.Background(), day)
		if err != nil {
			return err
		}
		days = append(days, d)
	}
	fmt.Println("locked")
	var group sync.WaitGroup
	for w := range 4 {
		group.Go(func() {
			for i := 0; ; i++ {
				if err := childNote(days[i%2], fmt.Sprintf("%s-%d-%d", l.Run()[17:], w, i)); err != nil {
					fmt.Println("error:", err)
					return
				}
			}
		})
	}
	group.Wait()
	return nil
}

func childNote(d *Day, id string) error {
	ctx := context.Background()
	if err := d.NoteCalls(ctx, []Call{{CallID: "c" + id, Row: []byte(`{"phone_number":"5550100"}`)}}); err != nil {
		return err
	}
	if err := d.Note(ctx, recording(id, Archived)); err != nil {
		return err
	}
	fmt.Println("noted", d.Name(), id)
	return nil
}

// A second process gets the holder of the archive; when the holder is killed the lock is free, and
// every line reported as durable exists.
func TestKilledProcess(t *testing.T) {
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	noted := map[string]bool{}
	for round := range 3 {
		child := exec.Command(exe)
		child.Env = append(os.Environ(), childEnv+"="+dir)
		out, err := child.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := child.Start(); err != nil {
			t.Fatal(err)
		}
		lines := bufio.NewScanner(out)
		if !lines.Scan() || lines.Text() != "locked" {
			t.Fatalf("child says %q", lines.Text())
		}
		_, err = OpenDir(openRoot(t, dir), Options{})
		if !errors.Is(err, ErrLocked) || !strings.Contains(err.Error(), fmt.Sprintf("process %d, started 2", child.Process.Pid)) {
			t.Errorf("while the child lives: %v", err)
		}
		for n := 0; n < 300+100*round && lines.Scan(); n++ {
			noted[lines.Text()] = true
		}
		if err := child.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		for lines.Scan() {
			if strings.Count(lines.Text(), " ") == 2 {
				noted[lines.Text()] = true
			}
		}
		if _, err := io.Copy(io.Discard, out); err != nil && !errors.Is(err, os.ErrClosed) {
			t.Fatal(err)
		}
		_ = child.Wait() // it was killed

		l := openDir(t, dir, Options{})
		days := map[string]*Day{testDay: loadDay(t, l, testDay), "2025-05-02": loadDay(t, l, "2025-05-02")}
		for line := range noted {
			word := strings.Fields(line)
			if word[0] != "noted" {
				t.Fatalf("child says %q", line)
			}
			if s, ok := days[word[1]].Recording(word[2]); !ok || s.Outcome != Archived {
				t.Fatalf("%q was told to be durable and is not there", line)
			}
		}
		for day, d := range days {
			known := map[string]bool{}
			if err := l.Calls(t.Context(), day, func(c Call) error { known[c.CallID] = true; return nil }); err != nil {
				t.Fatal(err)
			}
			for id, s := range d.Recordings() {
				if !known[s.CallID] {
					t.Errorf("recording %s of %s has no call row", id, day)
				}
			}
			if round == 2 {
				closeDay(t, d, DayLine{})
				wantFaults(t, l, day)
			}
		}
		closeLedger(t, l)
	}
	t.Logf("%d lines", len(noted))
}
