package readme

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"convoso-archiver/internal/s3test"
)

const configFolder = "/etc/convoso-archiver/"

var archivePattern = regexp.MustCompile(`convoso-archiver(?:\.exe)? (archive\b.*)`)

// TestCommands tries each other command line of the pages, also those in cron tables, as a dry run
// against a simulated account and a real store.
func TestCommands(t *testing.T) {
	s := newShell(t)
	store := s3test.Start(t, false)
	if err := os.Mkdir(filepath.Join(store.Dir, "my-bucket"), 0o700); err != nil {
		t.Fatal(err)
	}
	s.env = append(append(s.env, store.Env()...), "AWS_ENDPOINT_URL_S3="+store.Endpoint, "CONVOSO_ARCHIVER_DRY_RUN=true")

	text := readPage(t)
	if err := os.WriteFile(filepath.Join(s.dir, "token"), []byte(tokenOf(s)+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	var lines []string
	for _, b := range blocks(text, "sh", "powershell", "cron") {
		for _, found := range archivePattern.FindAllStringSubmatch(b.text, -1) {
			line, _, _ := strings.Cut(found[1], " >>")
			lines = append(lines, line)
		}
	}
	if len(lines) < 5 {
		t.Fatalf("only %d commands: %q", len(lines), lines)
	}
	if err := os.WriteFile(filepath.Join(s.dir, "backfill.yaml"), []byte(backfillOf(text)), 0o600); err != nil {
		t.Fatal(err)
	}
	configurations := 0
	for _, b := range blocks(text, "yaml") {
		if !strings.HasPrefix(b.text, "# "+configFolder+"nightly.yaml") {
			continue
		}
		configurations++
		if err := os.WriteFile(filepath.Join(s.dir, "nightly.yaml"), []byte(b.text), 0o600); err != nil {
			t.Fatal(err)
		}
		for _, line := range lines {
			s.run(t, "convoso-archiver "+strings.NewReplacer(configFolder, "./", "/var/lib/convoso-archiver", "./state").Replace(line))
		}
	}
	if configurations == 0 {
		t.Error("no configuration")
	}
}

// backfillOf returns the configuration of a backfill in the pages.
func backfillOf(text string) string {
	for _, b := range blocks(text, "yaml") {
		if strings.HasPrefix(b.text, "# "+configFolder+"backfill.yaml") {
			return b.text
		}
	}
	return ""
}

// TestTemplates tries each template inside a sentence of the pages.
func TestTemplates(t *testing.T) {
	s := newShell(t)
	s.env = append(s.env, "CONVOSO_ARCHIVER_DRY_RUN=true")
	inline := regexp.MustCompile("`((?:--path-template )?'?)([^`']*\\{\\{[^`']*)'?`").FindAllStringSubmatch(readPage(t), -1)
	if len(inline) < 4 {
		t.Fatalf("only %d templates", len(inline))
	}
	for _, found := range inline {
		template := strings.ReplaceAll(found[2], `\|`, "|") // as a table writes it
		s.run(t, "convoso-archiver archive --dest templates --start-time 2025-05-01 --end-time 2025-05-01 --path-template '"+template+"'")
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
