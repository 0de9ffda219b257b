// Checks that a test runs every block of every page, or that a reason says why none does.
package readme

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// way is a test that runs commands of the pages, and its selection of commands.
type way struct {
	test      string
	page      string   // "" for each of pages
	languages []string // of blocks
	command   *regexp.Regexp
}

// ways returns the tests that run commands.
func ways() []way {
	every := regexp.MustCompile(``)
	return []way{
		{"TestTranscripts", "", []string{"console"}, every},
		{"TestErrors", errorsPage, []string{"console"}, every},
		{"TestEvidence", "docs/evidence.md", []string{"sh"}, every},
		{"TestEvidence", "docs/erase.md", []string{"sh"}, every},
		{"TestEvidence", "docs/rebuild.md", []string{"sh"}, every},
		{"TestCompliance", "docs/compliance.md", []string{"sh"}, every},
		{"TestLockCommands", retentionPage, []string{"bash"}, every},
		{"TestLockCommands", "docs/compliance.md", []string{"bash"}, every},
		{"TestJQ", "docs/report.md", []string{"sh"}, jqPattern},
		{"TestJQ", "docs/manifest.md", []string{"sh"}, every},
		{"TestCommands", "", []string{"sh", "powershell", "cron"}, archivePattern},
		{"TestCron", "", []string{"cron"}, every},
		{"TestReading", "", []string{"sh"}, readingPattern},
		{"TestDeploy", "", []string{"sh"}, deployPattern},
		{"TestServe", "", []string{"sh"}, servePattern},
		{"TestLogins", "docs/serve.md", []string{"sh"}, regexp.MustCompile(`^htpasswd `)},
		{"TestCertificate", "docs/serve.md", []string{"sh"}, regexp.MustCompile(`^openssl |^curl --cacert `)},
		{"TestMetricsFolder", "docs/operate.md", []string{"sh"}, regexp.MustCompile(`^setfacl `)},
		{"TestClone", "README.md", []string{"sh"}, regexp.MustCompile(`^git clone |^make build$|^\./bin/convoso-archiver demo$`)},
		{"TestTargets", "CONTRIBUTING.md", []string{"sh"}, regexp.MustCompile(`^make\b`)},
		{"internal/container TestPage", "docs/release.md", []string{"sh"}, regexp.MustCompile(`^podman `)},
	}
}

// exception is a command that no test of this package runs.
type exception struct {
	command, reason string
}

// exceptions returns the commands that are not run here, each with the reason.
func exceptions() []exception {
	const release = "takes minutes; make test-release makes two releases of one commit, compares them and checks their sums"
	return []exception{
		{`^git tag `, release},
		{`^make release\b`, release},
		{`^make test-release$`, release},
		{`^sha256sum --check --ignore-missing SHA256SUMS$`, release},
		{`^git clone REPOSITORY convoso-archiver && cd convoso-archiver && git checkout v`, release},
		{`^docker load `, "Docker is not part of Debian's archive for tests; make test-image loads the same file by podman"},
		{`^skopeo copy `, "copies to Docker or to a registry, and there is neither"},
		{`^ctr `, "needs containerd as a service of the system"},
		{`^aws s3api create-bucket `, "Amazon's client takes 100 MB; internal/s3test sends the same request by Amazon's SDK"},
		{`^aws s3api (put|get)-bucket-versioning `, "Amazon's client, as above; internal/e2e TestLocksRefused sends the same request by Amazon's SDK"},
		{`^aws s3api list-object-versions |^while IFS=.* aws s3api delete-object `, "Amazon's client, as above; TestHiddenManifest sends the same requests by Amazon's SDK"},
		{`^rm -r ~/`, "removes what the reader has at home; TestIndexPlace removes the same folder of a home of its own"},
		{`^\[Service\]$|^LoadCredential=seal:|^ExecStart=/usr/local/bin/convoso-archiver seal `, "a drop-in of systemd; TestCron runs the same command as a line of cron"},
		{`^cd /tables$|^duckdb `, "DuckDB is no package of Debian; make test-duckdb runs the views over an export and over an archive"},
		{`^export CONVOSO_AUTH_TOKEN=`, "a placeholder for a secret; the tests set the token of the simulated account"},
		{`^\$env:CONVOSO_AUTH_TOKEN = `, "PowerShell, and a placeholder for a secret"},
	}
}

// blockTests returns the tests of blocks without commands, by language and beginning.
func blockTests() map[string]string {
	return map[string]string{
		"yaml # nightly.yaml":                      "TestDeploy",
		"yaml # " + configFolder + "nightly.yaml":  "TestCommands",
		"yaml # " + configFolder + "backfill.yaml": "TestCommands",
		"yaml # prometheus.yml":                    "TestScrapeConfiguration",
		"yaml retention:":                          "TestRetention",
		"json {":                                   "TestJSON",
		"nginx location / {":                       "TestProxyConfiguration",
		"text # name:hash:rights":                  "TestServe",
		"mermaid flowchart":                        "a drawing",
	}
}

// allPages returns the pages of the project.
func allPages(t *testing.T) []string {
	t.Helper()
	found, err := filepath.Glob(inRoot("docs/*.md"))
	if err != nil || len(found) < 20 {
		t.Fatalf("%d pages, %v", len(found), err)
	}
	names := []string{"README.md", "CONTRIBUTING.md", "CHANGELOG.md"}
	for _, name := range found {
		names = append(names, "docs/"+filepath.Base(name))
	}
	return names
}

// commandsIn returns the commands of a block, each in one line.
func commandsIn(b block) []string {
	var found []string
	for line := range strings.SplitSeq(strings.ReplaceAll(b.text, "\\\n", ""), "\n") {
		command, isCommand := strings.CutPrefix(line, "$ ")
		if b.language == "console" && !isCommand || command == "" || command[0] == '#' {
			continue
		}
		if of, _, found := strings.Cut(command, "  #"); found { // a remark
			command = strings.TrimRight(of, " ")
		}
		found = append(found, command)
	}
	return found
}

// TestEveryBlock finds the test that runs each command of each page, and the one that reads each other block.
func TestEveryBlock(t *testing.T) {
	used := map[string]bool{}
	for _, page := range allPages(t) {
		text, err := os.ReadFile(inRoot(page))
		if err != nil {
			t.Fatal(err)
		}
		for _, b := range blocks(string(text), allLanguages(string(text))...) {
			if test := testOf(b); test != "" {
				used[test] = true
				continue
			}
			for _, command := range commandsIn(b) {
				by := runnerOf(page, b.language, command)
				if by == "" {
					t.Errorf("%s, block at line %d: no test runs %q: let one run it, or give a reason in exceptions", page, b.line, command)
				}
				used[by] = true
			}
		}
	}
	for _, w := range ways() {
		if !used[w.test] {
			t.Errorf("no page has a command for %s", w.test)
		}
	}
	for _, e := range exceptions() {
		if !used[e.command] {
			t.Errorf("no page has a command of the exception %s", e.command)
		}
	}
}

// allLanguages returns the languages of the blocks of a page.
func allLanguages(text string) []string {
	var found []string
	for _, fence := range regexp.MustCompile("(?m)^```(.*)$").FindAllStringSubmatch(text, -1) {
		found = append(found, fence[1])
	}
	slices.Sort(found)
	return slices.Compact(found)
}

// testOf returns the test of a block without commands, or "".
func testOf(b block) string {
	for beginning, test := range blockTests() {
		if strings.HasPrefix(b.language+" "+b.text, beginning) {
			return test
		}
	}
	return ""
}

// runnerOf returns the test that runs a command, the pattern of its exception, or "".
func runnerOf(page, language, command string) string {
	for _, e := range exceptions() {
		if regexp.MustCompile(e.command).MatchString(command) {
			return e.command
		}
	}
	for _, w := range ways() {
		ofPage := w.page == page
		if w.page == "" {
			ofPage = slices.Contains(pages(), page)
		}
		if ofPage && slices.Contains(w.languages, language) && w.command.MatchString(command) {
			return w.test
		}
	}
	return ""
}
