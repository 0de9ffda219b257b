package measure

import (
	"os"
	"runtime"
	"strings"
	"testing"
	"time"
)

func TestSpreadOf(t *testing.T) {
	for _, c := range []struct {
		figures []float64
		want    Spread
	}{
		{nil, Spread{}},
		{[]float64{3}, Spread{3, 3, 3}},
		{[]float64{3, 1, 2}, Spread{1, 2, 3}},
		{[]float64{4, 1, 2, 3}, Spread{1, 2.5, 4}},
	} {
		if got := SpreadOf(c.figures); got != c.want {
			t.Errorf("%v: got %v, want %v", c.figures, got, c.want)
		}
	}
}

func TestWriteTable(t *testing.T) {
	series := []Series{
		{Name: "ours", Samples: []Sample{{Wall: 3 * time.Second, CPU: time.Second, Peak: 64 << 20, Connections: 16, Requests: 8000}}},
		{Name: "curl", Samples: []Sample{{Wall: 2 * time.Second, CPU: 2 * time.Second, Peak: 16 << 20, Connections: 16, Requests: 8000}}},
		{Name: "missing"},
	}
	var text strings.Builder
	if err := WriteTable(&text, series, "curl"); err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSpace(text.String()), "\n")
	if len(lines) != 3 {
		t.Fatalf("%d lines:\n%s", len(lines), text.String())
	}
	want := "ours 3.00 3.00 3.00 1.00 1.00 1.00 64 64 64 16 16 16 8000 8000 8000 1.50 0.50 4.00"
	if got := strings.Join(strings.Fields(lines[1]), " "); got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

// This test runs itself as the program to measure.
func TestRun(t *testing.T) {
	if os.Getenv("BE_MEASURED") != "" {
		block := make([]byte, 64<<20)
		for begun := time.Now(); time.Since(begun) < 200*time.Millisecond; {
			for i := range block {
				block[i]++
			}
		}
		runtime.KeepAlive(block)
		os.Exit(7)
	}
	command := Command{Args: []string{os.Args[0], "-test.run=^TestRun$"}, Env: []string{"BE_MEASURED=1"}, Home: t.TempDir(), Codes: []int{7}}
	s, err := Run(t.Context(), command, command)
	if err != nil {
		t.Fatal(err)
	}
	if s.Wall < 400*time.Millisecond || s.CPU <= 0 || s.ExitCode != 7 {
		t.Errorf("got %v of wall, %v of CPU, exit code %d", s.Wall, s.CPU, s.ExitCode)
	}
	if runtime.GOOS == "linux" && (s.Peak < 64<<20 || s.Peak > 512<<20) {
		t.Errorf("a peak of %d bytes", s.Peak)
	}
	command.Codes = nil
	if _, err := Run(t.Context(), command); err == nil || !strings.Contains(err.Error(), "exit code 7") {
		t.Errorf("an exit code that is not expected: %v", err)
	}
}
