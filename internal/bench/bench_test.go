package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"convoso-archiver/fetcher/convosotest"
	"convoso-archiver/internal/s3test"
)

func TestReport(t *testing.T) {
	var r report
	r.add("odd", 1, []float64{3, 1, 2}, below(2))
	r.add("even", 1, []float64{4, 1, 2, 3}, atMost(2.5))
	r.add("worst", 0, []float64{1, 5}, neverAbove(4))
	r.add("least", 2, []float64{0.96}, atLeast(0.95))
	var text strings.Builder
	if err := r.write(&text); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"odd 1.0 2.0 3.0 below 2: MISSED", "even 1.0 2.5 4.0 at most 2.5: met",
		"worst 1 3 5 never above 4: MISSED", "least 0.96 0.96 0.96 at least 0.95: met"} {
		if !strings.Contains(strings.Join(strings.Fields(text.String()), " "), want) {
			t.Errorf("no %q in\n%s", want, text.String())
		}
	}
	if r.missed != 2 {
		t.Errorf("%d goals missed, want 2", r.missed)
	}
}

// TestCheck: check must detect every way in which an output can be wrong. Otherwise the table could
// favor a tool that skips work.
func TestCheck(t *testing.T) {
	for name, c := range map[string]struct {
		spoil func(folder string) error
		good  bool
	}{
		"all is well":    {func(string) error { return nil }, true},
		"other names":    {func(f string) error { return os.Rename(f+"/1", f+"/x") }, true},
		"its own things": {func(f string) error { return os.Mkdir(f+"/manifest", 0o700) }, true},
		"one missing":    {func(f string) error { return os.Remove(f + "/1") }, false},
		"one cut short":  {func(f string) error { return os.Truncate(f+"/1", 576) }, false},
		"one too many":   {func(f string) error { return os.WriteFile(f+"/x", []byte("x"), 0o600) }, false},
		"one twice":      {func(f string) error { return os.Link(f+"/1", f+"/x") }, false},
	} {
		t.Run(name, func(t *testing.T) {
			s, err := startSource(t.Context(), convosotest.Config{CallsPerDay: 3}, 0, filepath.Join(t.TempDir(), "source"))
			if err != nil {
				t.Fatal(err)
			}
			defer s.close()
			folder, n := t.TempDir(), 0
			for r := range s.Recordings() {
				if _, err := saveBody(filepath.Join(folder, strconv.Itoa(n)), r.Body()); err != nil {
					t.Fatal(err)
				}
				n++
			}
			if err := c.spoil(folder); err != nil {
				t.Fatal(err)
			}
			if err := s.check(folder); c.good != (err == nil) {
				t.Errorf("got %v", err)
			}
		})
	}
}

// TestMain runs the baselines that a benchmark starts as processes of this program.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == roleHead {
		if err := play(context.Background(), os.Args[1:]); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

// TestEvidence runs the benchmark over small archives. They must be sealed, audited and rebuilt, and the rebuilt
// archive in S3 must cause no download. The test ignores the times.
func TestEvidence(t *testing.T) {
	server := s3test.Program(t)
	t.Chdir("../..") // where the program is built
	b := &bench{dir: t.TempDir(), versitygw: server, runs: 1}
	flags := flag.NewFlagSet("evidence", flag.ContinueOnError)
	measure := proof(b, flags)
	if err := flags.Parse([]string{"--days", "3", "--per-day", "20", "--recordings", "40", "--s3-recordings", "30"}); err != nil {
		t.Fatal(err)
	}
	if err := b.run(t.Context(), measure); err != nil {
		t.Fatal(err)
	}
	table := strings.Join(b.report.rows, "\n")
	for _, want := range []string{"seal of all days: s", "audit --seals: s", "rebuild on disk: s", "rebuild in S3: s", "downloads from the vendor\t0\t0\t0\tnever above 0: met"} {
		if !strings.Contains(table, want) {
			t.Errorf("no %q in\n%s", want, table)
		}
	}
}
