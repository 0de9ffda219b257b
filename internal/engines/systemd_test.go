package engines

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// TestSystemd checks the units with systemd: verify must print nothing, because it reports unknown keys with
// exit code 0, and security must rate the service below 2.
func TestSystemd(t *testing.T) {
	analyze := need(t, "systemd-analyze", "systemd")
	for name, c := range map[string]struct {
		arguments []string
		files     int
	}{
		"bucket": {[]string{"--dest", "s3://my-bucket/calls", "--last", "7d"}, 4},
		"folder": {[]string{"--dest", "/archive", "--last", "7d"}, 6},
		"home":   {[]string{"--dest", "/home/archive", "--last", "7d"}, 6},
		"locks and metrics": {[]string{
			"--dest", "s3://my-bucket/calls", "--last", "7d", "--s3-lock-mode", "governance", "--s3-lock-for", "7y", "--s3-lock-after", "30d",
			"--metrics-file", "/var/lib/prometheus/node-exporter/nightly.prom",
		}, 9},
		"all": {slices.Concat(awkward(), []string{
			"--dest", "s3://my-bucket/calls", "--last", "7d", "--name", "second-archive", "--at", "23:59", "--time-zone", "Europe/Berlin",
			"--s3-credentials-file", "/etc/second-archive/aws-credentials", "--auth-token-file", "/etc/second-archive/token",
		}), 4},
	} {
		t.Run(name, func(t *testing.T) {
			files := deploy(t, append([]string{"systemd", "--program", binary}, c.arguments...)...)
			if len(files) != c.files {
				t.Errorf("%d files", len(files))
			}
			dir := t.TempDir()
			var units, services []string
			for file, text := range files {
				path := filepath.Join(dir, filepath.Base(file))
				if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
					t.Fatal(err)
				}
				if strings.HasPrefix(file, "etc/systemd/") {
					units = append(units, path)
				}
				if strings.HasSuffix(file, "-lock.service") || strings.HasSuffix(file, "-lock-all.service") || strings.HasSuffix(file, "archiver.service") || strings.HasSuffix(file, "archive.service") {
					services = append(services, path)
				}
			}
			if said := verify(t, analyze, dir, units...); said != "" {
				t.Errorf("systemd-analyze verify: %s", said)
			}
			if timers := len(services)/3 + 1; len(units) != 1+timers+len(services) || len(services) == 0 {
				t.Fatalf("units %q, services %q", units, services)
			}
			for _, service := range services {
				if exposure := exposureOf(t, analyze, service); exposure >= 2 {
					t.Errorf("exposure of %s: %.1f", filepath.Base(service), exposure)
				}
			}
		})
	}
}

// TestMetricsFolder: what deploy prints lets the unit's user make files in the folder of metrics, which another user
// owns. The unit's user exists on every machine.
func TestMetricsFolder(t *testing.T) {
	tmpfiles := need(t, "systemd-tmpfiles", "systemd")
	root := t.TempDir()
	folder := filepath.Join(root, "var/lib/prometheus/node-exporter")
	conf := filepath.Join(root, "etc/tmpfiles.d/nobody.conf")
	files := deploy(t, "systemd", "--name", "nobody", "--dest", "s3://my-bucket/calls", "--last", "7d", "--metrics-file", "/var/lib/prometheus/node-exporter/nightly.prom")
	if !strings.Contains(files["etc/systemd/system/nobody.service"], "\nUser=nobody\n") {
		t.Error("the unit has another user")
	}
	for _, path := range []string{folder, filepath.Dir(conf)} {
		if err := os.MkdirAll(path, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(conf, []byte(files["etc/tmpfiles.d/nobody.conf"]), 0o600); err != nil {
		t.Fatal(err)
	}
	out, err := exec.CommandContext(t.Context(), tmpfiles, "--root="+root, "--create", conf).CombinedOutput()
	listed, listErr := exec.CommandContext(t.Context(), "ls", "-ld", folder).Output()
	if mode, _, _ := strings.Cut(string(listed), " "); err != nil || listErr != nil || !strings.HasSuffix(mode, "+") {
		t.Errorf("the folder has no ACL: %s%v, %v, %s", listed, err, listErr, out)
	}
}

// TestVerifyFindsMistakes: verify reports an unknown key, a bad time and a missing unit.
func TestVerifyFindsMistakes(t *testing.T) {
	analyze := need(t, "systemd-analyze", "systemd")
	files := deploy(t, "systemd", "--program", binary, "--dest", "s3://my-bucket/calls", "--last", "7d")
	for _, c := range []struct{ file, old, broken, finding string }{
		{"convoso-archiver.service", "ProtectClock=yes", "ProtectTime=yes", "Unknown key 'ProtectTime'"},
		{"convoso-archiver.service", "StateDirectory=convoso-archiver", "StateDirectory=/x", "StateDirectory= path"},
		{"convoso-archiver.service", "Type=oneshot", "Type=oneshot\nRestart=always", "Restart= set to"},
		{"convoso-archiver.timer", "03:15:00", "03:75:00", "Failed to parse calendar specification"},
	} {
		dir := t.TempDir()
		text := files["etc/systemd/system/"+c.file]
		if !strings.Contains(text, c.old) {
			t.Errorf("%s does not hold %q", c.file, c.old)
		}
		path := filepath.Join(dir, c.file)
		if err := os.WriteFile(path, []byte(strings.Replace(text, c.old, c.broken, 1)), 0o600); err != nil {
			t.Fatal(err)
		}
		if said := verify(t, analyze, dir, path); !strings.Contains(said, c.finding) {
			t.Errorf("%s: verify says %q", c.broken, said)
		}
	}
}

// verify returns the output of systemd-analyze about units.
func verify(t *testing.T, analyze, dir string, units ...string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), analyze, append([]string{"verify", "--man=no"}, units...)...)
	cmd.Env = append(os.Environ(), "SYSTEMD_UNIT_PATH="+dir+":", "LC_ALL=C") // the colon adds the system's folders
	out, _ := cmd.CombinedOutput()                                           // problems are in the output
	return string(out)
}

// exposureOf returns the rating of a service, from 0 to 10.
func exposureOf(t *testing.T, analyze, service string) float64 {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), analyze, "security", "--offline=true", "--no-pager", service)
	cmd.Env = append(os.Environ(), "LC_ALL=C")
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("systemd-analyze security: %v\n%s", err, out)
	}
	found := regexp.MustCompile(`Overall exposure level for \S+: (\d+\.\d+)`).FindSubmatch(out)
	if found == nil {
		t.Fatalf("systemd-analyze security says no level:\n%s", out)
	}
	exposure, err := strconv.ParseFloat(string(found[1]), 64)
	if err != nil {
		t.Fatal(err)
	}
	return exposure
}

// need returns the path of a program of the system. Without it the test is skipped, or fails in CI.
func need(t *testing.T, name, debianPackage string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	if err == nil {
		return path
	}
	if os.Getenv("REQUIRE_ENGINES") != "" || os.Getenv("CI") != "" {
		t.Fatalf("%s is missing: apt-get install %s", name, debianPackage)
	}
	t.Skipf("%s is missing, so that what deploy prints for it is not tested: apt-get install %s", name, debianPackage)
	return ""
}
