//go:build slurm && linux

package slurm

import (
	"bytes"
	"context"
	"crypto/rand"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

const nodes = 3

// cluster is a Slurm of one controller and three nodes on this machine, which ends with its test.
type cluster struct {
	t      *testing.T
	folder string
	node   [nodes]*exec.Cmd // slurmd of each node
}

func startCluster(t *testing.T) *cluster {
	t.Helper()
	if os.Getuid() != 0 {
		t.Fatal("the daemons of Slurm must be started by root here")
	}
	folder, err := os.MkdirTemp("", "slurm-") // a short path: a socket's has 107 bytes at most
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(folder) }) // a leftover is in a temporary folder
	if err := os.Chmod(folder, 0o755); err != nil {
		t.Fatal(err)
	}
	c := &cluster{t: t, folder: folder}
	key := make([]byte, 128)
	rand.Read(key) // never fails
	c.write("munge.key", string(key), 0o600)
	socket := filepath.Join(folder, "munge.socket")
	c.start("munged", "--foreground", "--force", "--key-file="+c.path("munge.key"), "--socket="+socket,
		"--pid-file="+c.path("munge.pid"), "--log-file="+c.path("munge.log"), "--seed-file="+c.path("munge.seed"))
	c.await("munge", func() bool { _, err := os.Stat(socket); return err == nil })

	host, err := os.Hostname()
	if err != nil {
		t.Fatal(err)
	}
	var list strings.Builder
	for i := range nodes {
		fmt.Fprintf(&list, "NodeName=n%d NodeHostname=%s NodeAddr=127.0.0.1 Port=%s CPUs=2 RealMemory=1000\n", i, host, freePort(t))
	}
	c.write("slurm.conf", fmt.Sprintf(`ClusterName=test
SlurmctldHost=%[1]s(127.0.0.1)
SlurmctldPort=%[2]s
SlurmUser=root
AuthType=auth/munge
CryptoType=crypto/munge
AuthInfo=socket=%[3]s
StateSaveLocation=%[4]s/state
SlurmdSpoolDir=%[4]s/spool.%%n
SlurmctldPidFile=%[4]s/slurmctld.pid
SlurmdPidFile=%[4]s/slurmd.%%n.pid
SlurmctldLogFile=%[4]s/slurmctld.log
SlurmdLogFile=%[4]s/slurmd.%%n.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
SwitchType=switch/none
MpiDefault=none
ReturnToService=2
SlurmdParameters=config_overrides
SlurmdTimeout=10
JobRequeue=1
SchedulerParameters=sched_min_interval=100000,batch_sched_delay=0
%[5]sPartitionName=all Nodes=ALL Default=YES MaxTime=INFINITE State=UP
`, host, freePort(t), socket, folder, list.String()), 0o644)
	for _, name := range []string{"state", "spool.n0", "spool.n1", "spool.n2"} {
		if err := os.Mkdir(c.path(name), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	c.start("slurmctld", "-D")
	for i := range nodes {
		c.node[i] = c.start("slurmd", "-D", "-N", nodeName(i))
	}
	c.await("the nodes", func() bool {
		said, _ := c.try("sinfo", "--noheader", "--Node", "--format=%T")
		return strings.Count(said, "idle") == nodes
	})
	return c
}

func (c *cluster) path(name string) string { return filepath.Join(c.folder, name) }

func (c *cluster) write(name, text string, mode os.FileMode) {
	c.t.Helper()
	if err := os.WriteFile(c.path(name), []byte(text), mode); err != nil {
		c.t.Fatal(err)
	}
}

// start starts a daemon, which ends with the test, with all of its children.
func (c *cluster) start(name string, args ...string) *exec.Cmd {
	c.t.Helper()
	var said bytes.Buffer
	cmd := exec.Command(name, args...)
	cmd.Env = append(os.Environ(), "SLURM_CONF="+c.path("slurm.conf"), nodeVariable+"="+args[len(args)-1])
	cmd.Stdout, cmd.Stderr = &said, &said
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := cmd.Start(); err != nil {
		c.t.Fatalf("start %s: %v", name, err)
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = cmd.Wait() // ended by a signal
	}()
	c.t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		select {
		case <-ended:
		case <-time.After(10 * time.Second):
			_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
			<-ended
		}
		if c.t.Failed() {
			c.t.Logf("%s said:\n%s", name, said.String())
		}
	})
	return cmd
}

// try runs a command of Slurm.
func (c *cluster) try(name string, args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Env = append(os.Environ(), "SLURM_CONF="+c.path("slurm.conf"))
	out, err := cmd.CombinedOutput()
	return strings.TrimSpace(string(out)), err
}

// await waits until a condition holds. Slurm holds a task for two minutes before it runs it again.
func (c *cluster) await(what string, isSo func() bool) {
	c.t.Helper()
	for deadline := time.Now().Add(6 * time.Minute); !isSo(); time.Sleep(200 * time.Millisecond) {
		if time.Now().After(deadline) {
			state, _ := c.try("squeue", "--array", "--long")
			log, _ := os.ReadFile(c.path("slurmctld.log"))
			c.t.Fatalf("waited too long for %s\n%s\n%s", what, state, log[max(0, len(log)-4000):])
		}
	}
}

// killNode kills a node with everything on it, like a lost machine: its daemon, the step daemons,
// and the tasks.
func (c *cluster) killNode(i int) {
	c.t.Helper()
	tasks := 0
	_ = c.node[i].Process.Kill() // first, so that it does not see the end of its tasks
	for _, variable := range []string{nodeVariable, "SLURMD_NODENAME"} {
		for _, pid := range processes() {
			environ, _ := os.ReadFile(fmt.Sprintf("/proc/%d/environ", pid))
			pairs := strings.Split(string(environ), "\x00")
			if slices.Contains(pairs, "SLURM_CONF="+c.path("slurm.conf")) && slices.Contains(pairs, variable+"="+nodeName(i)) {
				_ = syscall.Kill(pid, syscall.SIGKILL)
				tasks++
			}
		}
	}
	if tasks == 0 {
		c.t.Error("nothing ran on the node that was killed")
	}
}

// nodeVariable identifies the processes of a node. Tasks do not inherit it.
const nodeVariable = "ENGINETEST_NODE"

func nodeName(i int) string { return fmt.Sprintf("n%d", i) }

// processes returns all processes of the machine.
func processes() (pids []int) {
	entries, _ := os.ReadDir("/proc")
	for _, entry := range entries {
		var pid int
		if n, _ := fmt.Sscanf(entry.Name(), "%d", &pid); n == 1 {
			pids = append(pids, pid)
		}
	}
	return pids
}

func freePort(t *testing.T) string {
	t.Helper()
	listener, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	_, port, _ := net.SplitHostPort(listener.Addr().String())
	return port
}
