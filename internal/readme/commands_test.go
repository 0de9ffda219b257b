package readme

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"

	"convoso-archiver/internal/s3test"
)

const configFolder = "/etc/convoso-archiver/"

var archivePattern = regexp.MustCompile(`convoso-archiver(?:\.exe)? (archive\b.*)`)

// TestCommands tries each other command line of the page, also those in units, cron
// tables and manifests, as a dry run against a simulated account and a real store.
func TestCommands(t *testing.T) {
	s := newShell(t)
	store := s3test.Start(t, false)
	if err := os.Mkdir(filepath.Join(store.Dir, "my-bucket"), 0o700); err != nil {
		t.Fatal(err)
	}
	s.env = append(append(s.env, store.Env()...), "AWS_ENDPOINT_URL_S3="+store.Endpoint, "CONVOSO_ARCHIVER_DRY_RUN=true")

	text := readPage(t)
	config, container := yamlOf(t, text)
	if err := os.WriteFile(filepath.Join(s.dir, "token"), []byte(tokenOf(s)+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	var lines []string
	for _, b := range blocks(text, "sh", "powershell", "cron", "ini") {
		for _, found := range archivePattern.FindAllStringSubmatch(b.text, -1) {
			line, _, _ := strings.Cut(found[1], " >>")
			lines = append(lines, line)
		}
	}
	lines = append(lines, strings.Join(container, " "))
	if len(lines) < 5 {
		t.Fatalf("only %d commands: %q", len(lines), lines)
	}
	for _, nightly := range config {
		if err := os.WriteFile(filepath.Join(s.dir, "nightly.yaml"), []byte(nightly), 0o600); err != nil {
			t.Fatal(err)
		}
		for _, line := range lines {
			s.run(t, "convoso-archiver "+strings.ReplaceAll(line, configFolder, "./"))
		}
	}
}

// TestTemplates tries each template that stands within a sentence of the page.
func TestTemplates(t *testing.T) {
	s := newShell(t)
	s.env = append(s.env, "CONVOSO_ARCHIVER_DRY_RUN=true")
	inline := regexp.MustCompile("`((?:--path-template )?'?)([^`']*\\{\\{[^`']*)'?`").FindAllStringSubmatch(readPage(t), -1)
	if len(inline) < 4 {
		t.Fatalf("only %d templates", len(inline))
	}
	for _, found := range inline {
		s.run(t, "convoso-archiver archive --dest templates --start-time 2025-05-01 --end-time 2025-05-01 --path-template '"+found[2]+"'")
	}
}

func tokenOf(s *shell) string {
	for _, pair := range s.env {
		if token, ok := strings.CutPrefix(pair, "CONVOSO_AUTH_TOKEN="); ok {
			return token
		}
	}
	return ""
}

// yamlOf returns the configurations on the page, and the arguments of its container.
func yamlOf(t *testing.T, text string) (config []string, container []string) {
	t.Helper()
	for _, b := range blocks(text, "yaml") {
		if strings.HasPrefix(b.text, "# "+configFolder) {
			config = append(config, b.text)
			continue
		}
		for decoder := yaml.NewDecoder(strings.NewReader(b.text)); ; {
			var object struct {
				Data map[string]string
				Spec struct {
					JobTemplate struct {
						Spec struct {
							Template struct {
								Spec struct{ Containers []struct{ Args []string } }
							}
						}
					} `yaml:"jobTemplate"`
				}
			}
			err := decoder.Decode(&object)
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				t.Fatalf("README.md, block at line %d: %v", b.line, err)
			}
			for _, file := range object.Data {
				config = append(config, file)
			}
			for _, c := range object.Spec.JobTemplate.Spec.Template.Spec.Containers {
				container = append(container, c.Args...)
			}
		}
	}
	if len(config) != 2 || len(container) == 0 {
		t.Fatalf("%d configurations, container arguments %q", len(config), container)
	}
	return config, container
}
