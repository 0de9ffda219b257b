package cli

import (
	"regexp"
	"slices"
	"strings"
	"testing"
)

// TestManPages: every command has a page with its name, flags and exit codes, and no text is
// interpreted as a roff request.
func TestManPages(t *testing.T) {
	released := build{Version: "v1.2.3", Time: "2026-11-28T07:16:58Z"}
	programPage := manPage(command{}, released)
	requests := []string{"TH", "nh", "ad", "SH", "SS", "B", "BR", "TP", "PP", "RS", "RE", "nf", "fi"}
	for _, c := range append([]command{{settings: programSettings()}}, commands()...) {
		page := manPage(c, released)
		title := program
		if c.name != "" {
			title += "-" + c.name
			has(t, programPage, ".B "+c.name+"\n"+roff(c.usage)+"\n")
			has(t, programPage, ".BR "+roff(title)+" (1)")
			has(t, page, ".BR convoso\\-archiver (1)")
		}
		has(t, page, `.TH "`+roff(strings.ToUpper(title))+`" "1" "2026-11-28" "convoso-archiver v1.2.3"`)
		has(t, page, ".SH NAME\n"+roff(title)+` \- `)
		for _, s := range append(slices.Clone(c.settings), helpSetting()) {
			has(t, page, ".TP\n.B "+roff(s.heading())+"\n"+roff(s.explained())+"\n")
		}
		for _, e := range c.examples {
			has(t, page, "\n.nf\n"+roff(foldCommand(e.line, manExample))+"\n.fi\n")
		}
		if c.exitCodes || c.name == "" {
			for _, e := range exitCodesOf(c.name) {
				has(t, page, ".TP\n.B "+e.code+"\n"+roff(e.meaning)+"\n")
			}
			has(t, page, ".PP\nIf several apply")
		}
		if c.environment || c.name == "" {
			has(t, page, ".SH ENVIRONMENT\nEach flag has a variable")
		}
		for _, request := range regexp.MustCompile(`(?m)^['.](\S*)`).FindAllStringSubmatch(page, -1) {
			if !slices.Contains(requests, request[1]) {
				t.Errorf("%s: the request %q", title, request[0])
			}
		}
	}
}

func has(t *testing.T, page, want string) {
	t.Helper()
	if !strings.Contains(page, want) {
		t.Errorf("a page lacks %q", want)
	}
}

func TestManParagraphs(t *testing.T) {
	var m manual
	m.paragraphs("One\nline.\n\n  as\n  it is\n\nThe end.")
	if want := "One line.\n.PP\n.nf\n  as\n  it is\n.fi\n.PP\nThe end.\n"; m.String() != want {
		t.Errorf("got %q, want %q", m.String(), want)
	}
}

func TestRoff(t *testing.T) {
	for text, want := range map[string]string{
		"":                      "",
		"plain":                 "plain",
		"--last 7d":             `\-\-last 7d`,
		".hidden, and a.b":      `\&.hidden, and a.b`,
		"'quoted'":              `\(aqquoted\(aq`,
		"first \\\n  .second\n": "first \\e\n  .second\n",
		"first\n.second":        "first\n\\&.second",
		`"~user^" and ` + "`x`": `\(dq\(tiuser\(ha\(dq and \(gax\(ga`,
		"1.5 × …":               `1.5 \[u00D7] \[u2026]`,
	} {
		if got := roff(text); got != want {
			t.Errorf("roff(%q) = %q, want %q", text, got, want)
		}
	}
}
