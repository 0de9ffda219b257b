package readme

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"convoso-archiver/internal/s3test"
	"convoso-archiver/internal/tsatest"
)

// TestEvidence runs each command of evidencePages from top to bottom over the demo's archive, including stock
// tools.
func TestEvidence(t *testing.T) {
	s := newShell(t)
	text := ""
	for _, page := range evidencePages() {
		one, err := os.ReadFile(inRoot(page))
		if err != nil {
			t.Fatal(err)
		}
		text += string(one)
	}
	s.run(t, "convoso-archiver demo >/dev/null 2>&1; convoso-archiver export --dest convoso-demo --to tables 2>/dev/null") // the reader may have an export
	tsa := tsatest.Start(t)
	roots, err := os.ReadFile(tsa.Roots)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(s.dir, "tsa-root.pem"), roots, 0o600); err != nil {
		t.Fatal(err)
	}
	said := ""
	for _, b := range blocks(text, "sh") {
		said += s.run(t, "set -e\n"+strings.ReplaceAll(b.text, "http://timestamp.example.com", tsa.URL))
	}
	for _, want := range []string{
		"sealed: 3 days", "unchanged since sealing: 1 seal, 3 days", "1 of 1 line sealed", "Good \"convoso-archiver.seal.v1\" signature for archive", "digests: OK", "lines: OK", ".mp3: OK",
		"would erase: 6 calls, 5 recordings", "erased: 6 calls, 5 recordings", "2 days rewritten", "unchanged since sealing: 2 seals, 3 days",
		"held: ", "2025-17   since ", "released: ", "bag written: ", "bag: OK", "Verification: OK", "stamped      ", "timestamps   ",
	} {
		if !strings.Contains(said, want) {
			t.Errorf("the commands do not say %q:\n%s", want, said)
		}
	}
}

// makeKey makes a key for seals, and the file of allowed signers.
const makeKey = `ssh-keygen -q -t ed25519 -N '' -C archive -f seal && printf 'archive namespaces="convoso-archiver.seal.v1" %s\n' "$(cat seal.pub)" > allowed_signers`

// TestSealAfterExpiry runs the commands that check a seal by stock tools after the audio of the first line has expired.
func TestSealAfterExpiry(t *testing.T) {
	check := lastBlock(t, "docs/evidence.md", func(text string) bool { return strings.Contains(text, "signed() {") })
	s := newShell(t)
	s.run(t, makeKey)
	said := s.run(t, `set -e
archive() { convoso-archiver archive --dest convoso-demo --start-time 2025-05-01 --end-time 2025-05-01 --workers 1 --quiet "$@"; }
archive
convoso-archiver seal --dest convoso-demo --key seal
first=$(cat convoso-demo/manifest/2025-05-01/2*.jsonl | jq -r 'select(.outcome == "archived") | .call_id' | head -1)
key=$(cat convoso-demo/manifest/2025-05-01/2*.jsonl | jq -r 'select(.outcome == "archived") | .key' | head -1)
campaign=$(cat convoso-demo/calls/2025-05-01/2*.jsonl | jq -r --arg call "$first" 'select(.call_id == $call) | .row.campaign_id' | head -1)
archive --retention gone=1d --retention-campaign "$campaign=gone"
convoso-archiver erase --expired --yes --dest convoso-demo
convoso-archiver seal --dest convoso-demo --key seal
[ ! -e "convoso-demo/$key" ] && echo "the audio of the first line is gone"
`+check)
	for _, want := range []string{"the audio of the first line is gone", "Good \"convoso-archiver.seal.v1\"", "digests: OK", "lines: OK", "stubs: OK", ".mp3: OK"} {
		if !strings.Contains(said, want) {
			t.Errorf("the commands do not say %q:\n%s", want, said)
		}
	}
}

// TestKnownFindings runs the commands that compare an audit with known findings: they succeed if all findings
// are known, print a new one and fail, and fail without an archive.
func TestKnownFindings(t *testing.T) {
	text, err := os.ReadFile(inRoot("docs/evidence.md"))
	if err != nil {
		t.Fatal(err)
	}
	_, section, _ := strings.Cut(string(text), "\n### Known findings\n")
	once, night, isSplit := strings.Cut(blocks(section, "sh")[0].text, "# each night")
	functions, _, isOnce := strings.Cut(once, "# once")
	if !isSplit || !isOnce {
		t.Fatal("the page has other commands")
	}
	s := newShell(t)
	s.run(t, "convoso-archiver demo >/dev/null 2>&1; "+makeKey+" && convoso-archiver seal --dest convoso-demo --key seal")
	change := func(day string) {
		s.run(t, "sed -i '0,/\"size\":/s//\"size\":9/' $(ls -d convoso-demo/manifest/2*/ | sed -n "+day+"p)2*.jsonl")
	}
	nightly := func(when, want, changed string) {
		t.Helper()
		said := s.run(t, "{ "+functions+"\n#"+night+"} 2>/dev/null && echo good || echo bad")
		if !strings.HasSuffix(said, want+"\n") || strings.Count(said, "lines_changed") != strings.Count(changed, "lines_changed") {
			t.Errorf("%s: %q, want %s", when, said, want)
		}
	}
	s.run(t, once)
	nightly("unchanged", "good", "")
	change("1")
	nightly("a new finding", "bad", "lines_changed")
	s.run(t, once)
	nightly("a known finding", "good", "")
	change("2")
	nightly("a known and a new finding", "bad", "lines_changed")
	s.run(t, "mv convoso-demo gone")
	nightly("no archive", "bad", "")
}

// TestCompliance runs the sh commands of docs/compliance.md over the demo's archive; the first one seals its
// days.
func TestCompliance(t *testing.T) {
	s := newShell(t)
	text, err := os.ReadFile(filepath.Join("..", "..", "docs", "compliance.md"))
	if err != nil {
		t.Fatal(err)
	}
	s.run(t, "convoso-archiver demo >/dev/null 2>&1")
	s.run(t, makeKey)
	const month = "first=2025-05-01 last=2025-05-31"
	if !strings.Contains(string(text), month) {
		t.Fatalf("the page does not say %q", month)
	}
	days := "first=$(ls convoso-demo/calls | head -1) last=$(ls convoso-demo/calls | tail -1)"
	said := ""
	for _, b := range blocks(string(text), "sh") {
		said += s.run(t, "set -e\n"+strings.ReplaceAll(b.text, month, days))
	}
	for _, want := range []string{"complete: 3 days", "every byte read", "unchanged since sealing: 1 seal, 3 days", "1 of 1 line sealed"} {
		if !strings.Contains(said, want) {
			t.Errorf("the commands do not say %q:\n%s", want, said)
		}
	}
}

// TestLockCommands runs the commands of both pages with locks, over three days of a bucket with Object Lock.
func TestLockCommands(t *testing.T) {
	for page, want := range map[string][]string{
		retentionPage:        {"GOVERNANCE locks for 7y, after 30d of 3 days"},
		"docs/compliance.md": {"GOVERNANCE locks for 7y, after 30d of 3 days", "sealed: 3 days", "every byte read"},
	} {
		t.Run(page, func(t *testing.T) {
			text, err := os.ReadFile(inRoot(page))
			if err != nil {
				t.Fatal(err)
			}
			s := newShell(t)
			store := s3test.Start(t, false)
			store.NewLockBucket(t, "my-bucket", 0)
			s.env = append(append(s.env, store.Env()...), "AWS_ENDPOINT_URL_S3="+store.Endpoint)
			s.run(t, `mkdir -m 700 "$HOME/.ssh" && ssh-keygen -q -t ed25519 -N '' -C archive -f "$HOME/.ssh/seal" && cp "$HOME/.ssh/seal" seal`)
			days := regexp.MustCompile(`--last \d+d`)
			said := ""
			for _, b := range blocks(string(text), "bash") {
				commands := "ssh-add -q ~/.ssh/seal\n" + days.ReplaceAllString(b.text, "--start-time 2025-05-01 --end-time 2025-05-03")
				if err := os.WriteFile(filepath.Join(s.dir, "commands"), []byte(commands), 0o600); err != nil {
					t.Fatal(err)
				}
				said += s.run(t, "ssh-agent sh -e commands") // the public half of a key needs an agent
			}
			s.run(t, "convoso-archiver verify --dest s3://my-bucket/calls") // fails if a lock is missing
			for _, want := range want {
				if !strings.Contains(said, want) {
					t.Errorf("the commands do not say %q:\n%s", want, said)
				}
			}
		})
	}
}

// TestRetention archives with the settings of the page, as a dry run.
func TestRetention(t *testing.T) {
	s := newShell(t)
	text, err := os.ReadFile(inRoot(retentionPage))
	if err != nil {
		t.Fatal(err)
	}
	settings := blocks(string(text), "yaml")
	if len(settings) != 1 {
		t.Fatalf("%d blocks of settings", len(settings))
	}
	if err := os.WriteFile(filepath.Join(s.dir, "archive.yaml"), []byte("dest: archive\n"+settings[0].text), 0o600); err != nil {
		t.Fatal(err)
	}
	s.run(t, "convoso-archiver archive --config archive.yaml --start-time 2025-05-01 --end-time 2025-05-01 --dry-run 2>/dev/null")
}
