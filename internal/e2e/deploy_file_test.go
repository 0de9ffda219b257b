package e2e

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestDeploySystemdPrints: the units keep a zone that the file gives, although it is the default; they say where to put
// the credentials; and a timer locks all days each month. The help of an engine has only its own flags.
func TestDeploySystemdPrints(t *testing.T) {
	t.Parallel()
	config := filepath.Join(t.TempDir(), "nightly.yaml")
	const settings = "dest: s3://my-bucket/calls\nlast: 7d\ntime-zone: America/Los_Angeles\ns3-lock-mode: governance\ns3-lock-for: 7y\ns3-lock-after: 30d\n"
	if err := os.WriteFile(config, []byte(settings), 0o600); err != nil {
		t.Fatal(err)
	}
	deploy := func(args ...string) string {
		t.Helper()
		out, err := exec.CommandContext(t.Context(), binary, append([]string{"deploy", "systemd"}, args...)...).CombinedOutput()
		if err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		return string(out)
	}
	printed := deploy("--config", config, "--s3-credentials-file", "/etc/convoso-archiver/aws-credentials")
	for _, want := range []string{
		"\ntime-zone: America/Los_Angeles\n",
		"\n#   install -m 600 aws-credentials /etc/convoso-archiver/aws-credentials ",
		"\n#   systemctl enable --now convoso-archiver.timer convoso-archiver-lock-all.timer\n",
		"\nExecStart=/usr/local/bin/convoso-archiver lock --config %d/archive.yaml --last 61d --json\n",
		"\nExecStart=/usr/local/bin/convoso-archiver lock --config %d/archive.yaml --json\n",
		"\nOnCalendar=*-*-01 03:15:00 America/Los_Angeles\n",
	} {
		if !strings.Contains(printed, want) {
			t.Errorf("the files lack %q", want)
		}
	}
	if n := strings.Count(printed, "\nLoadCredential=aws-credentials:/etc/convoso-archiver/aws-credentials\n"); n != 3 {
		t.Errorf("%d of 3 services have the credentials", n)
	}
	help := deploy("--help")
	if strings.Contains(help, "(required") || strings.Contains(help, "  --image IMAGE") || !strings.Contains(help, "  --program PATH") || !strings.Contains(help, "These are the flags for systemd") {
		t.Errorf("the help of systemd says: %s", help)
	}
}
