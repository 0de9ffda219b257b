package cli

import (
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"
)

const aboutProgram = "save every call recording of a Convoso account, and prove that none is missing"

// helpTemplate makes the library print our text as it stands.
const helpTemplate = "{{.Description}}"

const (
	helpWidth  = 100
	flagIndent = 2
	textColumn = 30
)

// example is a command line for a task.
type example struct{ task, line string }

const environmentText = `ENVIRONMENT AND FILE
  Each flag has a variable, --workers CONVOSO_ARCHIVER_WORKERS, and a key in the YAML file of
  --config, workers. A flag beats its variable, that beats the file, that beats the default. An
  empty variable counts as not set; an unknown key in the file is an error. Flags that may be
  repeated take a comma list too. The token is in CONVOSO_AUTH_TOKEN; credentials for S3 and
  proxies are in their usual variables.
`

// programHelp is the help of the program as a whole.
func programHelp() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s: %s\n\n", program, aboutProgram)
	fmt.Fprintf(&b, "USAGE\n  %s COMMAND [flags]\n\nCOMMANDS\n", program)
	for _, c := range commands() {
		writeEntry(&b, c.name, c.usage)
	}
	b.WriteString("\nFLAGS\n")
	for _, s := range programSettings() {
		writeEntry(&b, s.heading(), s.usage)
	}
	b.WriteString("\nSTART HERE\n")
	for _, e := range firstSteps() {
		fmt.Fprintf(&b, "  %s\n      %s\n", e.line, e.task)
	}
	b.WriteString("\n")
	writeExitCodes(&b, "")
	return b.String()
}

func firstSteps() []example {
	return []example{
		{"archives a simulated account into a folder; needs no account and no settings", program + " demo"},
		{"archives the last seven days", "CONVOSO_AUTH_TOKEN=... " + program + " archive --dest recordings --last 7d"},
		{"shows the flags of a command, with examples", program + " COMMAND --help"},
	}
}

// helpText is the help of one command, written from the same table that it is
// parsed by.
func (c command) helpText() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s %s: %s\n\nUSAGE\n  %s\n", program, c.name, c.usage, c.usageLine())
	if c.about != "" {
		b.WriteString("\n" + c.about + "\n")
	}
	if len(c.examples) > 0 {
		b.WriteString("\nEXAMPLES\n")
		for _, e := range c.examples {
			fmt.Fprintf(&b, "  # %s\n  %s\n", e.task, strings.ReplaceAll(e.line, "\n", "\n  "))
		}
	}
	group := ""
	for i, s := range c.settings {
		if s.group != group || i == 0 {
			group = s.group
			fmt.Fprintf(&b, "\n%s\n", orElse(group, "FLAGS"))
		}
		writeEntry(&b, s.heading(), s.explained())
	}
	if c.environment {
		b.WriteString("\n" + environmentText)
	}
	if c.exitCodes {
		b.WriteString("\n")
		writeExitCodes(&b, c.name)
	}
	return b.String()
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

// writeEntry writes a name and its explanation in two columns.
func writeEntry(b *strings.Builder, name, text string) {
	line := strings.Repeat(" ", flagIndent) + name
	if utf8.RuneCountInString(line) > textColumn-2 {
		b.WriteString(line + "\n")
		line = ""
	}
	for _, part := range wrap(text, helpWidth-textColumn) {
		fmt.Fprintf(b, "%-*s%s\n", textColumn, line, part)
		line = ""
	}
}

// wrap breaks a text at blanks into lines of at most width, where its words allow.
func wrap(text string, width int) []string {
	var lines []string
	line := ""
	for _, word := range strings.Fields(text) {
		switch {
		case line == "":
			line = word
		case utf8.RuneCountInString(line)+1+utf8.RuneCountInString(word) > width:
			lines = append(lines, line)
			line = word
		default:
			line += " " + word
		}
	}
	return append(lines, line)
}

// helpOn returns the help that the help command was asked for, or the manual page.
func helpOn(args []string, man bool) (string, error) {
	var about command // of no name: the program
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
		return programHelp(), nil
	}
	return about.helpText(), nil
}

func orElse(s, other string) string {
	if s == "" {
		return other
	}
	return s
}
