//go:build podman && linux

package container

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"convoso-archiver/fetcher/convosotest"
)

// engine is a podman with its own store.
type engine struct {
	t     *testing.T
	root  string
	image string
	label map[string]string // of the image
}

// archivePath is the file of make image.
const archivePath = "../../bin/convoso-archiver.oci.tar"

// confined removes all removable rights from a container. The user's limits are those that a
// virtual machine without CAP_SYS_RESOURCE can set, because podman always sets some.
var confined = []string{"--network=host", "--read-only", "--cap-drop=all", "--security-opt=no-new-privileges",
	"--ulimit=nofile=1024:1024", "--ulimit=nproc=1000:1000", "--log-driver=k8s-file"}

func start(t *testing.T) *engine {
	t.Helper()
	e := &engine{t: t, root: t.TempDir()}
	t.Cleanup(func() { // podman's mounts would prevent the removal of the folder
		if out, err := e.command("system", "reset", "--force").CombinedOutput(); err != nil {
			t.Errorf("remove containers: %v: %s", err, out)
		}
	})
	loaded := e.must("load", "--quiet", "--input", archivePath)
	e.image = strings.TrimSpace(strings.TrimPrefix(loaded, "Loaded image: "))
	if err := json.Unmarshal([]byte(e.must("image", "inspect", "--format", "{{json .Labels}}", e.image)), &e.label); err != nil {
		t.Fatal(err)
	}
	return e
}

// command returns a podman command that outlives the test's context, for cleanup. The storage
// driver copies, the events go nowhere and the control groups are made by hand, so that it needs
// neither overlayfs nor systemd.
func (e *engine) command(args ...string) *exec.Cmd {
	args = append([]string{"--root", e.root + "/store", "--runroot", e.root + "/run", "--tmpdir", e.root + "/tmp",
		"--storage-driver=vfs", "--cgroup-manager=cgroupfs", "--events-backend=none", "--runtime=runc"}, args...)
	return exec.CommandContext(context.Background(), "podman", args...)
}

// must runs podman and returns its stdout.
func (e *engine) must(args ...string) string {
	e.t.Helper()
	var stderr bytes.Buffer
	cmd := e.command(args...)
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		e.t.Fatalf("podman %s: %v: %s%s", strings.Join(args, " "), err, out, stderr.Bytes())
	}
	return string(out)
}

// run runs the program in a container, with flags of podman before its arguments.
func (e *engine) run(flags []string, args ...string) (code int, stdout, stderr string) {
	e.t.Helper()
	var out, complaint bytes.Buffer
	cmd := e.command(slices.Concat([]string{"run", "--rm"}, confined, flags, []string{e.image}, args)...)
	cmd.Stdout, cmd.Stderr = &out, &complaint
	var exit *exec.ExitError
	if err := cmd.Run(); err != nil && !errors.As(err, &exit) {
		e.t.Fatal(err)
	}
	return cmd.ProcessState.ExitCode(), out.String(), complaint.String()
}

func TestImage(t *testing.T) {
	e := start(t)

	t.Run("version", func(t *testing.T) {
		code, stdout, stderr := e.run(nil, "version", "--json")
		var said struct{ Version, Revision, Time string }
		if err := json.Unmarshal([]byte(stdout), &said); err != nil || code != 0 {
			t.Fatalf("exit %d, %v: %s%s", code, err, stdout, stderr)
		}
		const prefix = "org.opencontainers.image."
		if said.Version != e.label[prefix+"version"] || said.Revision != e.label[prefix+"revision"] || said.Time != e.label[prefix+"created"] {
			t.Errorf("the program says %+v, the labels %v", said, e.label)
		}
		t.Logf("%s %s", said.Version, said.Revision)
	})

	t.Run("demo", func(t *testing.T) {
		code, stdout, stderr := e.run(nil, "demo", "--dest", "/tmp/demo")
		if code != 0 || !strings.Contains(stdout, "101 of 101 recordings on disk have the same SHA-256 as in the simulator") {
			t.Errorf("exit %d: %s%s", code, stdout, stderr)
		}
	})

	t.Run("relative folder", func(t *testing.T) { // it would disappear with the container
		code, stdout, stderr := e.run(nil, "demo")
		if code == 0 || !strings.Contains(stderr, "read-only file system") {
			t.Errorf("exit %d: %s%s", code, stdout, stderr)
		}
	})

	t.Run("nothing to write to", func(t *testing.T) {
		code, stdout, stderr := e.run([]string{"--read-only-tmpfs=false", "--env=CONVOSO_AUTH_TOKEN=x"}, "archive", "--dest", "s3://bucket/calls", "--last", "1d")
		if code != 2 || !strings.Contains(stderr, "--state-dir") {
			t.Errorf("exit %d: %s%s", code, stdout, stderr)
		}
	})
}

// TestArchive stops a run over a simulated account, and continues in another container.
func TestArchive(t *testing.T) {
	e := start(t)
	server, err := convosotest.New(convosotest.Config{Seed: 1, Days: 2, CallsPerDay: 60, RecordedShare: 0.5, MedianSize: 20_000, MaxSize: 60_000, MediaLatency: 300 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = server.Close() })
	folder := t.TempDir()
	if err := os.Chown(folder, 65532, 65532); err != nil {
		t.Fatal(err)
	}
	for parent := filepath.Dir(folder); parent != os.TempDir(); parent = filepath.Dir(parent) {
		if err := os.Chmod(parent, 0o755); err != nil { // for the user in the container
			t.Fatal(err)
		}
	}
	flags := []string{"--env=CONVOSO_AUTH_TOKEN=" + server.Token(), "--volume=" + folder + ":/archive"}
	args := []string{"archive", "--dest", "/archive", "--start-time", "2025-05-01", "--end-time", "2025-05-02", "--json",
		"--workers", "2", "--api-rate", "0", "--media-rate", "0", "--api-url", server.APIURL(), "--allow-host", server.MediaURL()}

	e.must(slices.Concat([]string{"run", "--detach", "--name=stopped"}, confined, flags, []string{e.image}, args)...)
	for deadline := time.Now().Add(time.Minute); server.Stats().Media.Requests < 4; time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("nothing is downloaded: %s", e.must("logs", "stopped"))
		}
	}
	e.must("stop", "--time", "60", "stopped")
	if code := strings.TrimSpace(e.must("inspect", "--format", "{{.State.ExitCode}}", "stopped")); code != "143" {
		t.Errorf("stopped with %s", code)
	}
	logs, err := e.command("logs", "stopped").CombinedOutput() // both streams
	if err != nil || !strings.Contains(string(logs), "SIGTERM, stopping cleanly") || !strings.Contains(string(logs), `"exit_code":143`) {
		t.Errorf("%v: %s", err, logs)
	}
	archived := server.Stats().Media.Requests

	code, stdout, stderr := e.run(flags, args...)
	if code != 0 {
		t.Fatalf("exit %d: %s%s", code, stdout, stderr)
	}
	recordings := 0
	for range server.Recordings() {
		recordings++
	}
	stored := 0
	err = filepath.WalkDir(folder, func(name string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := entry.Info()
		if err != nil {
			return err
		}
		if owner := info.Sys().(*syscall.Stat_t).Uid; owner != 65532 {
			t.Errorf("%s belongs to %d", name, owner)
		}
		if filepath.Ext(name) == ".mp3" {
			stored++
		}
		return nil
	})
	if err != nil || stored != recordings || archived >= recordings {
		t.Errorf("%d of %d recordings are stored, %d requests before the stop, %v", stored, recordings, archived, err)
	}
	code, stdout, stderr = e.run(flags, "verify", "--dest", "/archive")
	if code != 0 || !strings.Contains(stdout, "intact") {
		t.Errorf("verify: exit %d: %s%s", code, stdout, stderr)
	}
}

// TestStart only measures, because the machine may be busy. A run also creates the container, for
// which this storage driver copies the whole image.
func TestStart(t *testing.T) {
	e := start(t)
	e.must(slices.Concat([]string{"create", "--name=made"}, confined, []string{e.image, "version"})...)
	for _, of := range []struct {
		what string
		args []string
	}{
		{"start of a container that is made", []string{"start", "--attach", "made"}},
		{"run --rm", slices.Concat([]string{"run", "--rm"}, confined, []string{e.image, "version"})},
	} {
		var took []time.Duration
		for range 7 {
			began := time.Now()
			e.must(of.args...)
			took = append(took, time.Since(began).Round(time.Millisecond))
		}
		slices.Sort(took)
		t.Logf("podman %s, until the program has printed its version and ended: min %v, median %v (goal 300ms)", of.what, took[0], took[len(took)/2])
	}
}
