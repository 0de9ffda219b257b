package deploy

import (
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.yaml.in/yaml/v3"
)

var update = flag.Bool("update", false, "write the golden files")

// inBucket is a nightly run into S3.
func inBucket() Options {
	return Options{
		Name: "convoso-archiver", Config: "last: 7d\ndest: s3://my-bucket/calls\n",
		Flags: [][]string{{"--last", "7d"}, {"--dest", "s3://my-bucket/calls"}, {"--last-name", "O'Neil"}, {"--strict"}},
		Zone:  "America/Los_Angeles", At: Clock{3, 15}, Stop: 90 * time.Second, Ports: []int{443, 9000},
		Program: "/usr/local/bin/convoso-archiver", TokenFile: "/etc/convoso-archiver/token",
		Image: "registry.example.com/convoso-archiver:1.0.0", TokenSecret: "convoso-archiver", MemoryMiB: 128,
		Parallelism: 4, Shards: 67,
	}
}

// locking is a run into S3 with later locks and metrics.
func locking() Options {
	o := inBucket()
	o.LockDays, o.Writable = 61, []string{"/var/lib/node_exporter"}
	return o
}

// onDisk is a run into a folder.
func onDisk() Options {
	o := inBucket()
	o.Config, o.Flags = "last: 7d\ndest: /archive\n", nil
	o.Folder, o.VolumeSize, o.Writable = "/archive", "2Ti", []string{"/var/lib/node_exporter"}
	return o
}

// backfill is many parallel runs with all options.
func backfill() Options {
	o := inBucket()
	o.Backfill = true
	o.TokenFile, o.S3CredentialsFile = "/home/me/token", "/home/me/aws credentials"
	o.Role, o.JobQueue = "arn:aws:iam::123456789012:role/archiver", "backfill"
	return o
}

func TestGolden(t *testing.T) {
	for name, made := range map[string]func() ([]File, error){
		"kubernetes-bucket":   func() ([]File, error) { return Kubernetes(inBucket()) },
		"kubernetes-folder":   func() ([]File, error) { return Kubernetes(onDisk()) },
		"kubernetes-backfill": func() ([]File, error) { return Kubernetes(backfill()) },
		"systemd-bucket":      func() ([]File, error) { return Systemd(inBucket()) },
		"systemd-locks":       func() ([]File, error) { return Systemd(locking()) },
		"kubernetes-locks":    func() ([]File, error) { return Kubernetes(locking()) },
		"systemd-folder":      func() ([]File, error) { return Systemd(onDisk()) },
		"slurm":               func() ([]File, error) { return Slurm(backfill()) },
		"aws-batch":           func() ([]File, error) { return AWSBatch(backfill()) },
	} {
		t.Run(name, func(t *testing.T) {
			files, err := made()
			if err != nil {
				t.Fatal(err)
			}
			var b strings.Builder
			for _, f := range files {
				if f.Use == "" {
					t.Errorf("%s: nothing says what to do with it", f.Name)
				}
				if service := files[min(1, len(files)-1)].Text; strings.HasPrefix(name, "systemd") && !strings.Contains(service, "\n#   /"+f.Name+" ") {
					t.Errorf("the top of the service does not list %s", f.Name)
				}
				b.WriteString("== " + f.Name + " " + f.Mode.String() + "\n" + f.Text)
				if !strings.HasSuffix(f.Text, "\n") || strings.HasSuffix(f.Text, "\n\n") {
					t.Errorf("%s does not end in one line feed", f.Name)
				}
				for i, line := range strings.Split(f.Text, "\n") {
					if strings.TrimRight(line, " ") != line {
						t.Errorf("%s: line %d ends in blanks", f.Name, i+1)
					}
				}
			}
			golden := filepath.Join("testdata", name+".golden")
			if *update {
				if err := os.WriteFile(golden, []byte(b.String()), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			if b.String() != string(want) {
				t.Errorf("%s differs; look at it with go test ./deploy -update && git diff:\n%s", golden, b.String())
			}
		})
	}
}

func TestShardsFor(t *testing.T) {
	for parallelism, want := range map[int]int{1: 17, 2: 37, 4: 67, 8: 131, 16: 257, 64: 1031, 600: 9601} {
		if got := ShardsFor(parallelism); got != want {
			t.Errorf("%d at once: %d parts, want %d", parallelism, got, want)
		}
	}
}

func TestClock(t *testing.T) {
	if got := (Clock{0, 7}).String(); got != "00:07" {
		t.Error(got)
	}
}

func TestShellLine(t *testing.T) {
	for want, words := range map[string][]string{
		"archive --last 7d":                 {"archive", "--last", "7d"},
		"s3://b/p_a-t.h,@%+=:":              {"s3://b/p_a-t.h,@%+=:"},
		"''":                                {""},
		"'a b' '$HOME' '`x`' 'a;b' '*'":     {"a b", "$HOME", "`x`", "a;b", "*"},
		`'O'\''Neil'`:                       {"O'Neil"},
		"'{{.campaign}}/{{.filename}}' '~'": {"{{.campaign}}/{{.filename}}", "~"},
		"'é'":                               {"é"},
	} {
		if got := shellLine(words...); got != want {
			t.Errorf("%q: %s, want %s", words, got, want)
		}
	}
}

func TestIndent(t *testing.T) {
	if got, want := indent(2, "a\n\n b\n"), "  a\n\n   b"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
}

// YAML reads the output of quoted unchanged.
func TestQuoted(t *testing.T) {
	for _, text := range []string{"", "a: b", `"`, `\n`, "<&>", "#", "é\u2028", "- x"} {
		scalar, err := quoted(text)
		if err != nil {
			t.Fatal(err)
		}
		var back string
		if err := yaml.Unmarshal([]byte(scalar), &back); err != nil || back != text {
			t.Errorf("%q: %s is read as %q, %v", text, scalar, back, err)
		}
	}
}
