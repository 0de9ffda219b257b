//go:build podman && linux

package container

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"convoso-archiver/fetcher/convosotest"
)

// TestPage runs the commands of podman in docs/release.md unchanged: the store, the network and the address of the
// API are in podman's configuration files.
func TestPage(t *testing.T) {
	text, err := os.ReadFile("../../docs/release.md")
	if err != nil {
		t.Fatal(err)
	}
	commands := regexp.MustCompile(`(?m)^podman (?:.*\\\n)*.*$`).FindAllString(string(text), -1)
	if len(commands) != 2 || !strings.HasPrefix(commands[0], "podman load ") || !strings.HasPrefix(commands[1], "podman run ") {
		t.Fatalf("the page has the commands %q", commands)
	}
	server, err := convosotest.New(convosotest.Config{Seed: 1, Days: 1, CallsPerDay: 20, RecordedShare: 0.5, MedianSize: 4_000, MaxSize: 20_000})
	if err != nil {
		t.Fatal(err)
	}
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = server.Close() })

	e := start(t) // also cleans up
	archive, err := filepath.Abs(archivePath)
	if err != nil {
		t.Fatal(err)
	}
	dir, calls := t.TempDir(), t.TempDir()
	if err := os.Chown(calls, 65532, 65532); err != nil {
		t.Fatal(err)
	}
	for parent := calls; parent != os.TempDir(); parent = filepath.Dir(parent) {
		if err := os.Chmod(parent, 0o755); err != nil { // for the user in the container
			t.Fatal(err)
		}
	}
	for name, text := range map[string]string{
		"storage.conf": "[storage]\ndriver = \"vfs\"\ngraphroot = \"" + e.root + "/store\"\nrunroot = \"" + e.root + "/run\"\n",
		"containers.conf": "[containers]\nnetns = \"host\"\nlog_driver = \"k8s-file\"\ndefault_ulimits = [\"nofile=1024:1024\", \"nproc=1000:1000\"]\n" +
			"env = [\"CONVOSO_ARCHIVER_API_URL=" + server.APIURL() + "\", \"CONVOSO_ARCHIVER_ALLOW_HOST=" + server.MediaURL() + "\"]\n" +
			"[engine]\ncgroup_manager = \"cgroupfs\"\nevents_logger = \"none\"\nruntime = \"runc\"\ntmp_dir = \"" + e.root + "/tmp\"\n",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	here := strings.NewReplacer("convoso-archiver.oci.tar", archive, "convoso-archiver:VERSION", e.image, "/srv/calls", calls,
		"--last 7d", "--start-time 2025-05-01 --end-time 2025-05-01")
	for _, command := range commands {
		command, _, _ = strings.Cut(here.Replace(command), "  #")
		cmd := exec.CommandContext(t.Context(), "sh", "-c", command)
		cmd.Dir = dir
		cmd.Env = append(os.Environ(), "CONTAINERS_CONF="+dir+"/containers.conf", "CONTAINERS_STORAGE_CONF="+dir+"/storage.conf", "CONVOSO_AUTH_TOKEN="+server.Token())
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("%s: %v\n%s", command, err, out)
		}
	}
	if stored, err := filepath.Glob(filepath.Join(calls, "*.mp3")); err != nil || len(stored) == 0 {
		t.Errorf("%d recordings are stored, %v", len(stored), err)
	}
}
