// Prints the help of the program and of its commands.

package cli

import (
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"
)

const aboutProgram = "save every call recording of a Convoso account, and prove that none is missing"

// helpTemplate makes the library print our text unchanged.
const helpTemplate = "{{.Description}}"

const (
	flagIndent   = 2
	textColumn   = 30
	narrowColumn = 6  // indentation of explanations in a single column
	twoColumns   = 72 // minimum width for two columns
)

// example is a command line for a task.
type example struct{ task, line string }

const environmentTitle = "ENVIRONMENT AND FILE"

const environmentText = `Each flag has a variable (for --workers: CONVOSO_ARCHIVER_WORKERS) and a key in the YAML file of
--config (workers), unless this help says that it counts only as a flag. A flag overrides its variable, a variable overrides the file. An empty
variable counts as not set; an unknown key in the file is an error. Repeatable flags also
accept a comma-separated list. The token is in CONVOSO_AUTH_TOKEN; credentials for
S3 and proxies are in their usual variables.`

// helpWidth returns the width of the help.
func (p *process) helpWidth() int {
	if p.stdout.width > 0 {
		return p.stdout.width
	}
	return helpInPipe
}

// helpPage builds a help text for a width.
type helpPage struct {
	strings.Builder
	width int
}

// programHelp returns the help of the program.
func programHelp(width int) string {
	h := &helpPage{width: width}
	h.title(program + ": " + aboutProgram)
	h.section("USAGE")
	h.usage(program + " COMMAND [flags]")
	h.section("COMMANDS")
	for _, c := range commands() {
		h.entry(textColumn, c.name, c.usage)
	}
	h.section("FLAGS")
	for _, s := range programSettings() {
		h.entry(textColumn, s.heading(), s.usage)
	}
	h.examples("START HERE", firstSteps())
	h.exitCodes("")
	return h.String()
}

func firstSteps() []example {
	return []example{
		{"archives a simulated account into a folder; needs no account and no settings", program + " demo"},
		{"archives the last seven days", "CONVOSO_AUTH_TOKEN=... " + program + " archive --dest recordings --last 7d"},
		{"shows the flags of a command, with examples", program + " COMMAND --help"},
	}
}

// helpText returns the help of one command, from the same table as its parser.
func (c command) helpText(width int) string {
	h := &helpPage{width: width}
	h.title(program + " " + c.name + ": " + c.usage)
	h.section("USAGE")
	h.usage(c.usageLine())
	if c.about != "" {
		h.WriteString("\n" + paragraphs(c.about, width, "") + "\n")
	}
	if len(c.examples) > 0 {
		h.examples("EXAMPLES", c.examples)
	}
	group := ""
	for i, s := range c.settings {
		if s.group != group || i == 0 {
			group = s.group
			h.section(orElse(group, "FLAGS"))
		}
		h.entry(textColumn, s.heading(), s.explained())
	}
	if c.environment {
		h.section(environmentTitle)
		h.WriteString(paragraphs(environmentText, width, "  ") + "\n")
	}
	if c.exitCodes {
		h.exitCodes(c.name)
	}
	return h.String()
}

func (h *helpPage) title(text string) { h.WriteString(fitLine(text, h.width) + "\n") }

func (h *helpPage) section(name string) {
	h.WriteString("\n" + strings.Join(wrap(name, h.width), "\n") + "\n")
}

func (h *helpPage) examples(title string, all []example) {
	h.section(title)
	for _, e := range all {
		h.WriteString("  # " + strings.Join(wrap(e.task, h.width-4), "\n  # ") + "\n")
		h.command(e.line)
	}
}

func (h *helpPage) usage(line string) { h.WriteString(fitLine("  "+line, h.width) + "\n") }

func (h *helpPage) command(line string) {
	h.WriteString("  " + strings.ReplaceAll(foldCommand(line, h.width-2), "\n", "\n  ") + "\n")
}

// entry writes a name and its explanation in two columns, or below each other on a narrow page.
func (h *helpPage) entry(column int, name, text string) {
	if h.width < twoColumns {
		column = min(column, narrowColumn)
	}
	line := strings.Repeat(" ", flagIndent) + name
	if utf8.RuneCountInString(line) > column-2 {
		h.WriteString(line + "\n")
		line = ""
	}
	for _, part := range wrap(text, h.width-column) {
		fmt.Fprintf(h, "%-*s%s\n", column, line, part)
		line = ""
	}
}

func (h *helpPage) exitCodes(command string) {
	h.section("EXIT CODES")
	for _, e := range exitCodesOf(command) {
		h.entry(codesColumn, e.code, e.meaning)
	}
	h.WriteString(paragraphs(codeOrder, h.width, "  ") + "\n")
}

func (c command) usageLine() string {
	line := program + " " + c.name
	if c.leads > 0 {
		return line + " " + c.arguments + " [flags]"
	}
	if len(c.settings) > 0 {
		line += " [flags]"
	}
	if c.arguments != "" {
		line += " " + c.arguments
	}
	return line
}

func (s setting) heading() string {
	heading := "--" + s.name
	if s.placeholder != "" {
		heading += " " + s.placeholder
	}
	return heading
}

func (s setting) explained() string {
	text := s.usage
	if len(s.choices) > 0 {
		text += " [" + strings.Join(s.choices, ", ") + "]"
	}
	if s.defaultValue != "" {
		text += " (default: " + s.defaultValue + ")"
	}
	return text
}

// helpOn returns the help requested from the help command, or the manual page.
func helpOn(args []string, man bool, width int) (string, error) {
	var about command // without a name: the program
	switch len(args) {
	case 0:
	case 1:
		i := slices.IndexFunc(commands(), func(c command) bool { return c.name == args[0] })
		if i < 0 {
			return "", unknownCommand(args)
		}
		about = commands()[i]
	default:
		return "", misuse("name one command", "there are %d arguments", len(args))
	}
	switch {
	case man:
		return manPage(about, thisBuild()), nil
	case about.name == "":
		return programHelp(width), nil
	}
	return about.helpText(width), nil
}

func orElse(s, other string) string {
	if s == "" {
		return other
	}
	return s
}
