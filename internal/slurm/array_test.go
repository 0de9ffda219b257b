//go:build slurm && linux

package slurm

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"convoso-archiver/fetcher/convosotest"
	"convoso-archiver/internal/enginetest"
)

const (
	shards   = 7
	parallel = 6
)

// script is the output of deploy slurm, except for the state folder and the token.
const script = `#!/bin/bash
#SBATCH --ntasks=1
#SBATCH --cpus-per-task=1
#SBATCH --requeue
#SBATCH --open-mode=append
#SBATCH --output=%[1]s/%%A_%%a.log
set -u
state=$(mktemp -d "%[1]s/state.XXXXXX") || exit 1
trap 'rm -rf "$state"' EXIT

srun --ntasks=1 %[2]s --state-dir "$state"
code=$?
echo "task $SLURM_ARRAY_TASK_ID restart ${SLURM_RESTART_COUNT:-0} code $code" >>%[1]s/codes

case $code in
0 | 3) exit $code ;; # done, or done for today
2) # configuration, or the token is refused: the same for every part
	scancel "$SLURM_ARRAY_JOB_ID"
	exit 2 ;;
esac
if [ "${SLURM_RESTART_COUNT:-0}" -lt 3 ]; then
	scontrol requeue "${SLURM_ARRAY_JOB_ID}_$SLURM_ARRAY_TASK_ID"
fi
exit $code
`

// submit submits an array and returns its id.
func (c *cluster) submit(a *enginetest.Account, array string, shards int) string {
	c.t.Helper()
	command := make([]string, 0, 40)
	for _, word := range append([]string{a.Program}, append(a.Archive(), "--shards", strconv.Itoa(shards))...) {
		command = append(command, "'"+word+"'")
	}
	c.write("job.sh", fmt.Sprintf(script, c.folder, strings.Join(command, " ")), 0o755)
	for _, pair := range a.Env() {
		name, value, _ := strings.Cut(pair, "=")
		c.t.Setenv(name, value)
	}
	said, err := c.try("sbatch", "--parsable", "--array="+array, c.path("job.sh"))
	if err != nil {
		c.t.Fatalf("%v: %s", err, said)
	}
	return said
}

// hasEnded reports whether no task of an array is waiting or running.
func (c *cluster) hasEnded(job string) bool {
	said, err := c.try("squeue", "--noheader", "--array", "--job="+job, "--format=%T")
	return err == nil && said == "" || err != nil && strings.Contains(said, "Invalid job id")
}

// codes returns the lines that tasks wrote at their end.
func (c *cluster) codes() string {
	text, err := os.ReadFile(c.path("codes"))
	if err != nil && !os.IsNotExist(err) {
		c.t.Fatal(err)
	}
	return string(text)
}

// running returns the process of the program that works on an index, 0 for none.
func running(a *enginetest.Account, index int) int {
	for _, pid := range processes() {
		if a.Variable(pid, "SLURM_ARRAY_TASK_ID") == strconv.Itoa(index) {
			return pid
		}
	}
	return 0
}

// TestArray runs one array: a task is killed, a node is lost with its tasks, and a recording is
// unavailable, so its index ends with 3. Requeued tasks continue, and the array of the next day
// archives the rest.
func TestArray(t *testing.T) {
	c := startCluster(t)
	program := enginetest.Build(t, "../..")
	a := enginetest.New(t, program, 3*shards, 40, 150*time.Millisecond)
	broken := ""
	for r := range a.Recordings() {
		broken = r.Ref
	}
	if err := a.SetFault(broken, convosotest.FaultServer, 0); err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	job := c.submit(a, fmt.Sprintf("0-%d%%%d", shards-1, parallel), shards)
	c.await("half a minute of work", func() bool { noted, _ := a.Noted(t); return len(noted) > 3*shards })
	c.await("index 2", func() bool { return running(a, 2) > 0 })
	victim := running(a, 2)
	lost := 1 // a node without the killed task
	if a.Variable(victim, "SLURMD_NODENAME") == nodeName(lost) {
		lost = 0
	}
	if err := syscall.Kill(victim, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	c.killNode(lost)
	before, _ := a.Noted(t)
	t.Logf("%d recordings were noted when a task and a node were killed", len(before))
	c.await("the array", func() bool { return c.hasEnded(job) })
	t.Logf("the array ended after %v:\n%s", time.Since(began).Round(time.Second), c.codes())
	if !strings.Contains(c.codes(), "task 2 restart 0 code 137\n") || !strings.Contains(c.codes(), "task 2 restart 1 code ") {
		t.Error("the killed task was not run again")
	}
	if n := strings.Count(c.codes(), " restart 1 code "); n < 2 {
		t.Error("no task of the node that was killed was run again")
	}
	if n := strings.Count(c.codes(), " code 3\n"); n != 1 {
		t.Errorf("%d tasks ended with 3, want the one with the recording that cannot be had, once", n)
	}
	if n := strings.Count(c.codes(), " code 0\n"); n != shards-1 {
		t.Errorf("%d tasks ended with 0, want %d", n, shards-1)
	}
	a.CheckStored(t, broken)

	a.ClearFaults()
	job = c.submit(a, fmt.Sprintf("0-%d%%%d", shards-1, parallel), shards)
	c.await("the array of the next day", func() bool { return c.hasEnded(job) })
	a.CheckStored(t)
	a.CheckReport(t)
	delete(before, broken)
	t.Logf("%d recordings were asked for more than once", a.CheckRequests(t, before))
}

// TestWrongToken runs an array of 1,000 tasks with a token that the API refuses: the first task
// that sees the refusal ends all.
func TestWrongToken(t *testing.T) {
	c := startCluster(t)
	a := enginetest.New(t, enginetest.Build(t, "../.."), 1000, 1, 50*time.Millisecond)
	a.SetTokenValid(false)
	job := c.submit(a, fmt.Sprintf("0-999%%%d", parallel), 1000)
	for a.Stats().API.Requests == 0 {
		time.Sleep(20 * time.Millisecond)
	}
	began := time.Now()
	c.await("the array", func() bool { return c.hasEnded(job) })
	lasted := time.Since(began)
	t.Logf("stopped %v after the first request, %d requests:\n%s", lasted.Round(100*time.Millisecond), a.Stats().API.Requests, c.codes())
	if lasted > 10*time.Second {
		t.Errorf("the array stopped after %v", lasted)
	}
	if n := a.Stats().API.Requests; n > parallel {
		t.Errorf("%d requests of %d tasks at once", n, parallel)
	}
}
