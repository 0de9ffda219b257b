// Renders the help of a command as a manual page.

package cli

import (
	"fmt"
	"strings"
)

// manPage returns the manual page of one command as roff, or of the program if c has no name. It
// has the content of the help, from the same tables. b provides the date.
func manPage(c command, b build) string {
	title, usage := program, aboutProgram
	if c.name != "" {
		title, usage = program+"-"+c.name, c.usage
	}
	var m manual
	day, _, _ := strings.Cut(b.Time, "T")
	fmt.Fprintf(&m, ".TH \"%s\" \"1\" \"%s\" \"%s %s\"\n", roff(strings.ToUpper(title)), day, program, roff(b.Version))
	m.WriteString(".nh\n.ad l\n") // a hyphenated flag could not be found by searching
	m.section("NAME")
	fmt.Fprintf(&m, "%s \\- %s\n", roff(title), roff(usage))
	m.section("SYNOPSIS")
	if c.name == "" {
		m.synopsis(program + " COMMAND [flags]")
		m.program()
	} else {
		m.synopsis(c.usageLine())
		m.command(c)
	}
	m.section("SEE ALSO")
	m.references(c.name)
	return m.String()
}

// manExample is the width of an example on a page of 80 columns.
const manExample = 68

// manual builds a manual page. Its methods take text in the format of the help.
type manual struct{ strings.Builder }

func (m *manual) section(name string)    { fmt.Fprintf(m, ".SH %s\n", roff(name)) }
func (m *manual) subsection(name string) { fmt.Fprintf(m, ".SS %s\n", roff(name)) }

// synopsis writes the program and its command in bold.
func (m *manual) synopsis(line string) {
	words := strings.Fields(line)
	bold := 2
	if words[1] == "COMMAND" {
		bold = 1
	}
	fmt.Fprintf(m, ".B %s\n%s\n", roff(strings.Join(words[:bold], " ")), roff(strings.Join(words[bold:], " ")))
}

// program writes the page of the program.
func (m *manual) program() {
	m.section("COMMANDS")
	for _, c := range commands() {
		m.entry(c.name, c.usage)
	}
	m.section("OPTIONS")
	for _, s := range programSettings() {
		m.entry(s.heading(), s.usage)
	}
	m.exitStatus("")
	m.environment()
	m.section("FILES")
	for _, f := range manFiles() {
		m.entry(f.task, f.line)
	}
	m.examples(firstSteps())
}

// command writes the page of a command.
func (m *manual) command(c command) {
	if c.about != "" {
		m.section("DESCRIPTION")
		m.paragraphs(c.about)
	}
	for i, s := range append(c.settings[:len(c.settings):len(c.settings)], helpSetting()) {
		if i == 0 {
			m.section("OPTIONS")
		}
		if s.group != "" && (i == 0 || s.group != c.settings[i-1].group) {
			m.subsection(s.group)
		}
		m.entry(s.heading(), s.explained())
	}
	if c.exitCodes {
		m.exitStatus(c.name)
	}
	if c.environment {
		m.environment()
	}
	if len(c.examples) > 0 {
		m.examples(c.examples)
	}
}

// entry writes a name in bold, and its explanation.
func (m *manual) entry(name, text string) {
	fmt.Fprintf(m, ".TP\n.B %s\n%s\n", roff(name), roff(text))
}

// examples writes unchanged command lines, each under its task.
func (m *manual) examples(all []example) {
	m.section("EXAMPLES")
	for i, e := range all {
		if i > 0 {
			m.WriteString(".PP\n")
		}
		fmt.Fprintf(m, "%s\n.PP\n.RS 4\n.nf\n%s\n.fi\n.RE\n", roff(e.task), roff(foldCommand(e.line, manExample)))
	}
}

// paragraphs writes a text as filled paragraphs, except those that begin with a blank, which stay
// unchanged.
func (m *manual) paragraphs(text string) {
	for i, paragraph := range strings.Split(text, "\n\n") {
		if i > 0 {
			m.WriteString(".PP\n")
		}
		if strings.HasPrefix(paragraph, " ") {
			fmt.Fprintf(m, ".nf\n%s\n.fi\n", roff(paragraph))
			continue
		}
		m.WriteString(roff(strings.Join(strings.Fields(paragraph), " ")) + "\n")
	}
}

func (m *manual) environment() {
	m.section("ENVIRONMENT")
	m.paragraphs(environmentText)
}

// exitStatus writes the codes of a command.
func (m *manual) exitStatus(command string) {
	m.section("EXIT STATUS")
	for _, e := range exitCodesOf(command) {
		m.entry(e.code, e.meaning)
	}
	m.WriteString(".PP\n" + roff(codeOrder) + "\n")
}

// references lists the pages of the other commands.
func (m *manual) references(except string) {
	var pages []string
	if except != "" {
		pages = append(pages, program)
	}
	for _, c := range commands() {
		if c.name != except {
			pages = append(pages, program+"-"+c.name)
		}
	}
	for i, page := range pages {
		comma := " ,"
		if i == len(pages)-1 {
			comma = ""
		}
		fmt.Fprintf(m, ".BR %s (1)%s\n", roff(page), comma)
	}
}

// manFiles are the program's files other than recordings.
func manFiles() []example {
	return []example{
		{"DEST/manifest/", "the outcome of every recording, by day of the call: archive.json identifies the archive, YYYY-MM-DD/ has a line for each recording, and YYYY-MM-DD/closed.json says that a day is complete"},
		{"DEST/calls/", "the rows of the call log as they were received, by day"},
		{"$XDG_STATE_HOME/convoso-archiver/", "learned rates, temporary files and the search index, unless --state-dir names another folder. If the variable is not set: ~/.local/state/convoso-archiver/, on macOS ~/Library/Application Support/convoso-archiver/. The folder can be deleted at any time"},
	}
}

// roff escapes a text so that every character is printed literally: hyphens, which a search for a
// flag would miss, quotes, which would become curly, and a dot or quote at the start of a line,
// which would be a request.
func roff(text string) string {
	text = strings.NewReplacer(
		`\`, `\e`, "-", `\-`, "'", `\(aq`, "`", `\(ga`, "^", `\(ha`, "~", `\(ti`, `"`, `\(dq`,
	).Replace(text)
	var b strings.Builder
	for line := range strings.Lines(text) {
		if strings.HasPrefix(line, ".") {
			b.WriteString(`\&`)
		}
		for _, r := range line {
			if r > '~' {
				fmt.Fprintf(&b, `\[u%04X]`, r)
				continue
			}
			b.WriteRune(r)
		}
	}
	return b.String()
}
