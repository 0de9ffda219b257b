package readme

import (
	"os"
	"path"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

var (
	linkPattern    = regexp.MustCompile(`\]\(([^)\s]+)\)`)
	headingPattern = regexp.MustCompile(`(?m)^#+ +(.+)$`)
	codePattern    = regexp.MustCompile("(?s)```.*?```|`[^`\n]*`")
	linkedPattern  = regexp.MustCompile(`\[([^\]]*)\]\([^)]*\)`)
)

// TestLinks follows each link between the pages of the project: to a file, and to a heading in it. Links to other sites
// are not followed: a test must not depend on them.
func TestLinks(t *testing.T) {
	names, err := filepath.Glob(inRoot("docs/*.md"))
	if err != nil {
		t.Fatal(err)
	}
	names = append(names, inRoot("README.md"), inRoot("CONTRIBUTING.md"), inRoot("CHANGELOG.md"))
	anchors := map[string]map[string]bool{}
	texts := map[string]string{}
	for _, name := range names {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		texts[name], anchors[name] = string(text), anchorsOf(string(text))
	}
	links := 0
	for name, text := range texts {
		for _, found := range linkPattern.FindAllStringSubmatch(codePattern.ReplaceAllString(text, ""), -1) {
			if strings.Contains(found[1], "://") {
				continue
			}
			links++
			file, anchor, _ := strings.Cut(found[1], "#")
			target := name
			if file != "" {
				target = filepath.Join(filepath.Dir(name), filepath.FromSlash(path.Clean(file)))
			}
			if _, err := os.Stat(target); err != nil {
				t.Errorf("%s: the link %s leads nowhere", name, found[1])
				continue
			}
			if anchor != "" && !anchors[target][anchor] {
				t.Errorf("%s: the link %s leads to no heading", name, found[1])
			}
		}
	}
	if links < 50 {
		t.Errorf("only %d links", links)
	}
}

// TestReadmeLinks checks that the README links to each page.
func TestReadmeLinks(t *testing.T) {
	text, err := os.ReadFile(inRoot("README.md"))
	if err != nil {
		t.Fatal(err)
	}
	for _, page := range allPages(t) {
		if page != "README.md" && !strings.Contains(string(text), "("+page+")") {
			t.Errorf("README.md has no link to %s", page)
		}
	}
}

// anchorsOf returns the names of headings in GitHub's form.
func anchorsOf(text string) map[string]bool {
	names := map[string]bool{}
	for _, found := range headingPattern.FindAllStringSubmatch(regexp.MustCompile("(?s)```.*?```").ReplaceAllString(text, ""), -1) {
		heading := linkedPattern.ReplaceAllString(found[1], "$1")
		name := strings.Map(func(r rune) rune {
			switch {
			case r == ' ':
				return '-'
			case r == '-' || r == '_' || r >= '0' && r <= '9' || r >= 'a' && r <= 'z' || r > 127:
				return r
			}
			return -1
		}, strings.ToLower(heading))
		names[name] = true
	}
	return names
}

// TestLength limits the length of the README.
func TestLength(t *testing.T) {
	text, err := os.ReadFile(inRoot("README.md"))
	if err != nil {
		t.Fatal(err)
	}
	if lines := strings.Count(string(text), "\n"); lines > 200 {
		t.Errorf("README.md has %d lines, 200 at most", lines)
	}
}
