package deploy

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
)

// TestSlurmScript runs the script by bash, with fake Slurm commands that record their calls, and a program
// that returns each exit code.
func TestSlurmScript(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("the script is for bash")
	}
	bash, err := exec.LookPath("bash")
	if err != nil {
		t.Fatal(err)
	}
	const requeued, cancelled = "scontrol requeue 12_3\n", "scancel 12\n"
	for name, c := range map[string]struct {
		exit, restarts string
		code           int
		called         string
	}{
		"done":                  {"0", "", 0, ""},
		"done for today":        {"3", "", 3, ""},
		"configuration":         {"2", "", 2, cancelled},
		"failed":                {"1", "", 1, requeued},
		"killed":                {"137", "0", 137, requeued},
		"stopped, third time":   {"143", "2", 143, requeued},
		"failed too often":      {"1", "3", 1, ""},
		"configuration, second": {"2", "1", 2, cancelled},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			write := func(name, text string) {
				if err := os.WriteFile(filepath.Join(dir, name), []byte("#!/bin/sh\n"+text), 0o700); err != nil {
					t.Fatal(err)
				}
			}
			write("srun", "shift\nexec \"$@\"\n")
			write("scontrol", `echo "scontrol $*" >>"$CALLED"`)
			write("scancel", `echo "scancel $*" >>"$CALLED"`)
			write("program", `for word; do echo "$word"; done >"$ARGUMENTS"
while [ "$1" != --state-dir ]; do shift; done
[ -d "$2" ] && touch "$2/rates.json" || exit 99
exit `+c.exit)
			o := backfill()
			o.Program = filepath.Join(dir, "program")
			files, err := Slurm(o)
			if err != nil {
				t.Fatal(err)
			}
			scratch := filepath.Join(dir, "scratch")
			if err := os.Mkdir(scratch, 0o700); err != nil {
				t.Fatal(err)
			}
			cmd := exec.CommandContext(t.Context(), bash, "-s")
			cmd.Stdin = strings.NewReader(files[0].Text)
			cmd.Env = []string{
				"PATH=" + dir + ":" + os.Getenv("PATH"), "TMPDIR=" + scratch, "CALLED=" + filepath.Join(dir, "called"), "ARGUMENTS=" + filepath.Join(dir, "arguments"),
				"SLURM_ARRAY_JOB_ID=12", "SLURM_ARRAY_TASK_ID=3", "SLURM_RESTART_COUNT=" + c.restarts,
			}
			out, err := cmd.CombinedOutput()
			if _, ok := errors.AsType[*exec.ExitError](err); err != nil && !ok || len(out) > 0 {
				t.Fatalf("%v\n%s", err, out)
			}
			if code := cmd.ProcessState.ExitCode(); code != c.code {
				t.Errorf("exit code %d, want %d", code, c.code)
			}
			if called, _ := os.ReadFile(filepath.Join(dir, "called")); string(called) != c.called {
				t.Errorf("called %q, want %q", called, c.called)
			}
			if left, err := os.ReadDir(scratch); err != nil || len(left) > 0 {
				t.Errorf("the state folder is left: %v, %v", left, err)
			}
			arguments, err := os.ReadFile(filepath.Join(dir, "arguments"))
			if err != nil {
				t.Fatal(err)
			}
			const want = "archive\n--last\n7d\n--dest\ns3://my-bucket/calls\n--last-name\nO'Neil\n--strict\n--auth-token-file\n/home/me/token\n--state-dir\n"
			if got := string(arguments); !strings.HasPrefix(got, want) || !strings.HasSuffix(got, "\n--json\n--shards\n67\n--rate-shares\n4\n") {
				t.Errorf("arguments %q", got)
			}
		})
	}
}
