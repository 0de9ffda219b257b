package readme

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"go.yaml.in/yaml/v3"

	"convoso-archiver/fetcher/convosotest"
	"convoso-archiver/internal/s3test"
)

var deployPattern = regexp.MustCompile(`(?m)^convoso-archiver (deploy (?:.*\\\n)*.*)$`)

// TestDeploy runs each deploy of all pages, and tries the resulting settings as a dry run against a simulated
// account and a real store.
func TestDeploy(t *testing.T) {
	s := newShell(t)
	store := s3test.Start(t, false)
	if err := os.Mkdir(filepath.Join(store.Dir, "my-bucket"), 0o700); err != nil {
		t.Fatal(err)
	}
	s.env = append(append(s.env, store.Env()...), "AWS_ENDPOINT_URL_S3="+store.Endpoint)
	for _, b := range blocks(readPage(t), "yaml") {
		if !strings.HasPrefix(b.text, "# nightly.yaml\n") {
			continue
		}
		if err := os.WriteFile(filepath.Join(s.dir, "nightly.yaml"), []byte(b.text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	tested := map[string]int{}
	for _, b := range blocks(readPage(t), "sh") {
		for _, found := range deployPattern.FindAllStringSubmatch(b.text, -1) {
			line := strings.ReplaceAll(found[1], "\\\n", " ")
			line, _, _ = strings.Cut(line, " > ")
			line = strings.TrimSuffix(line, " --to /")
			out := t.TempDir()
			s.run(t, "convoso-archiver "+line+" --to "+out)
			engine := strings.Fields(line)[1]
			for _, flags := range flagsOf(t, engine, out) {
				s.run(t, "CONVOSO_ARCHIVER_DRY_RUN=true convoso-archiver archive "+flags)
				tested[engine]++
			}
		}
	}
	for engine, least := range map[string]int{"systemd": 2, "kubernetes": 3, "slurm": 1, "aws-batch": 1} {
		if tested[engine] < least {
			t.Errorf("%s: %d commands, want %d", engine, tested[engine], least)
		}
	}
}

// flagsOf returns the flags with which the files of an engine run archive, for a shell. A file's settings become
// those of --config.
func flagsOf(t *testing.T, engine, folder string) (flags []string) {
	t.Helper()
	read := func(pattern string) string {
		found, err := filepath.Glob(filepath.Join(folder, filepath.FromSlash(pattern)))
		if err != nil || len(found) != 1 {
			t.Fatalf("%s: %v, %v", pattern, found, err)
		}
		text, err := os.ReadFile(found[0])
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	config := func(text string) string {
		path := filepath.Join(t.TempDir(), "archive.yaml")
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return "--config " + path
	}
	switch engine {
	case "systemd":
		return []string{config(read("etc/*/archive.yaml"))}
	case "kubernetes":
		for document := range strings.SplitSeq(read("*.yaml"), "\n---\n") {
			var object struct {
				Kind string
				Data map[string]string
			}
			if err := yaml.Unmarshal([]byte(document), &object); err != nil {
				t.Fatal(err)
			}
			if object.Kind == "ConfigMap" {
				flags = append(flags, config(object.Data["archive.yaml"]))
			}
		}
	case "slurm":
		_, script, _ := strings.Cut(read("*.sh"), " archive \\\n")
		script, _, _ = strings.Cut(script, "  --auth-token-file ")
		return []string{strings.ReplaceAll(script, "\\\n", " ")}
	case "aws-batch":
		var definition struct {
			ContainerProperties struct{ Command []string }
		}
		if err := json.Unmarshal([]byte(read("job-definition.json")), &definition); err != nil {
			t.Fatal(err)
		}
		command := definition.ContainerProperties.Command
		return []string{"'" + strings.Join(command[1:slices.Index(command, "--state-dir")], "' '") + "'"}
	}
	return flags
}

// TestCron runs the line of the cron table like cron for a user without a home folder: with only the variables of
// the table, and credentials from files.
func TestCron(t *testing.T) {
	s := newShell(t)
	server, err := convosotest.New(convosotest.Config{
		Seed: 2, FirstDay: time.Now().AddDate(0, 0, -7).Format(time.DateOnly), Days: 4, CallsPerDay: 20, RecordedShare: 0.5, MedianSize: 4000, MaxSize: 20_000,
	})
	if err == nil {
		err = server.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = server.Close() })
	store := s3test.Start(t, false)
	store.NewLockBucket(t, "my-bucket", 0)
	text := readPage(t)
	var nightly string
	for _, b := range blocks(text, "yaml") {
		if strings.HasPrefix(b.text, "# "+configFolder+"nightly.yaml\n") {
			nightly = b.text
		}
	}
	here := strings.NewReplacer(configFolder, s.dir+"/", "/var/log/convoso-archiver/", s.dir+"/", "/var/lib/convoso-archiver", s.dir+"/state",
		"/usr/local/bin", folder)
	for name, text := range map[string]string{
		"token":           server.Token() + "\n",
		"aws-credentials": "[default]\naws_access_key_id = " + s3test.AccessKey + "\naws_secret_access_key = " + s3test.SecretKey + "\n",
		"nightly.yaml": nightly + fmt.Sprintf("api-url: %s\nallow-host: %s\ns3-endpoint: %s\ns3-path-style: true\nmedia-rate: 0\n"+
			"s3-lock-mode: governance\ns3-lock-for: 1y\ns3-lock-after: 30d\n",
			server.APIURL(), server.MediaURL(), store.Endpoint),
	} {
		if err := os.WriteFile(filepath.Join(s.dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	tables := blocks(text, "cron")
	if nightly == "" || len(tables) != 2 {
		t.Fatalf("a configuration %q, %d cron tables", nightly, len(tables))
	}
	env := []string{"PATH=/usr/bin:/bin"} // like cron; no HOME
	var commands []string
	for line := range strings.Lines(tables[0].text + tables[1].text) {
		switch fields := strings.Fields(line); {
		case strings.HasPrefix(line, "#"):
		case len(fields) == 1:
			env = append(env, here.Replace(fields[0]))
		default:
			commands = append(commands, here.Replace(strings.Join(fields[6:], " "))) // behind the time and the user
		}
	}
	if out, err := exec.CommandContext(t.Context(), "ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", filepath.Join(s.dir, "seal")).CombinedOutput(); err != nil {
		t.Fatalf("ssh-keygen: %v\n%s", err, out)
	}
	for _, command := range commands {
		cmd := exec.CommandContext(t.Context(), "sh", "-c", command)
		cmd.Dir, cmd.Env = "/", env
		out, err := cmd.CombinedOutput()
		if err != nil || len(out) > 0 {
			log, _ := os.ReadFile(filepath.Join(s.dir, "log.jsonl"))
			t.Fatalf("%s: %v\n%s\n%s", command, err, out, log)
		}
	}
	runs, err := os.ReadFile(filepath.Join(s.dir, "runs.jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	var summary struct{ Recordings, Archived int }
	if err := json.Unmarshal(runs, &summary); err != nil || summary.Archived == 0 || summary.Archived != summary.Recordings {
		t.Errorf("%v: %s", err, runs)
	}
}
