package readme

import (
	"flag"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write the tables of flags into docs/flags.md")

const (
	tablesBegin = "<!-- flags: written by go test ./internal/readme -update -->\n"
	tablesEnd   = "<!-- end of flags -->"
)

// TestFlags compares the page's tables with the help of each command, and every flag on the page
// with the existing ones.
func TestFlags(t *testing.T) {
	text := readPage(t)
	var commands []commandFlags
	known := map[string]bool{}
	for _, e := range parseHelp(help(t)) {
		known[e.flag()] = true
	}
	for _, name := range commandsOf(help(t)) {
		flags := parseHelp(help(t, name))
		commands = append(commands, commandFlags{name, flags})
		for _, e := range flags {
			known[e.flag()] = true
		}
	}
	tables := tablesOf(commands)
	written, err := os.ReadFile(inRoot(flagsPage))
	if err != nil {
		t.Fatal(err)
	}
	before, rest, begins := strings.Cut(string(written), tablesBegin)
	old, after, ends := strings.Cut(rest, tablesEnd)
	if !begins || !ends {
		t.Fatal("the tables of flags have lost their marks")
	}
	if *update && old != tables {
		if err := os.WriteFile(inRoot(flagsPage), []byte(before+tablesBegin+tables+tablesEnd+after), 0o644); err != nil {
			t.Fatal(err)
		}
	} else if old != tables {
		t.Error("the tables of flags are not what --help says: run go test ./internal/readme -update")
	}

	ofOthers := []string{"--now", "--array", "--check", "--force", "--partition", "--time", "--signal", "--collector", "--create", "--versioning-dir", "--versioning-configuration", "--system", "--man", "--bucket", "--object-lock-enabled-for-bucket", "--prefix", "--query", "--output", "--key", "--version-id", "--endpoint-url", "--cacert"} // of other programs on the pages
	named := regexp.MustCompile(`--[a-z][a-z0-9-]*`).FindAllString(text, -1)
	for _, name := range named {
		if !known[name] && !slices.Contains(ofOthers, name) {
			t.Errorf("a page names %s, which no command has", name)
		}
	}
	for name := range known {
		if !slices.Contains(named, name) {
			t.Errorf("no page names %s", name)
		}
	}
}

// TestExitCodes: the page explains each exit code of the help.
func TestExitCodes(t *testing.T) {
	text := readPage(t)
	_, listed, _ := strings.Cut(help(t), "EXIT CODES\n")
	codes := regexp.MustCompile(`(?m)^  (\d+(?: \d+)?) +`).FindAllStringSubmatch(listed, -1)
	if len(codes) < 5 {
		t.Fatalf("%d exit codes in the help", len(codes))
	}
	for _, code := range codes {
		if row := "\n| " + strings.ReplaceAll(code[1], " ", ", ") + " | "; !strings.Contains(text, row) {
			t.Errorf("no page has a row for exit code %s", code[1])
		}
	}
}

func help(t *testing.T, command ...string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), filepath.Join(folder, "convoso-archiver"), append(command, "--help")...)
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("help on %q: %v", command, err)
	}
	return string(out)
}

// commandsOf returns the names under COMMANDS in the program's help.
func commandsOf(text string) []string {
	_, text, _ = strings.Cut(text, "\nCOMMANDS\n")
	text, _, _ = strings.Cut(text, "\n\n")
	var names []string
	for line := range strings.Lines(text) {
		// "help help" describes the program's own help.
		if name := strings.Fields(line)[0]; strings.HasPrefix(line, "  "+name) && name != "help" {
			names = append(names, name)
		}
	}
	return names
}

// entry is one flag of a help text.
type entry struct{ group, heading, text string }

func (e entry) flag() string {
	name, _, _ := strings.Cut(e.heading, " ")
	return name
}

// saysAs reports whether two commands explain a flag in the same words.
func (e entry) saysAs(other entry) bool {
	return e.heading == other.heading && e.text == other.text
}

var entryPattern = regexp.MustCompile(`^  (--[a-z0-9-]+(?: [A-Z:=,.-]+)?)(?:  +(.*))?$`)

// parseHelp returns the flags of a help text with their explanations.
func parseHelp(text string) []entry {
	var entries []entry
	group := ""
	for line := range strings.Lines(text) {
		line = strings.TrimSuffix(line, "\n")
		found := entryPattern.FindStringSubmatch(line)
		switch {
		case found != nil:
			entries = append(entries, entry{group, found[1], found[2]})
		case line != "" && line[0] != ' ':
			group = line
		case strings.HasPrefix(line, strings.Repeat(" ", 20)) && len(entries) > 0 && entries[len(entries)-1].group == group:
			last := &entries[len(entries)-1]
			last.text = strings.TrimSpace(last.text + " " + strings.TrimSpace(line))
		}
	}
	return entries
}

// commandFlags are the flags of a command.
type commandFlags struct {
	name  string
	flags []entry
}

// tablesOf renders a table for each command with its own flags. Flags that archive, the first
// command, explains in the same words are not repeated.
func tablesOf(commands []commandFlags) string {
	var b strings.Builder
	for i, c := range commands {
		own := c.flags
		if i > 0 {
			own = slices.DeleteFunc(slices.Clone(own), func(e entry) bool {
				return e.flag() == "--help" || slices.ContainsFunc(commands[0].flags, e.saysAs)
			})
		}
		if len(own) == 0 {
			continue
		}
		b.WriteString("\n**" + c.name + "**")
		if len(own) < len(c.flags) {
			b.WriteString(", beside flags of archive")
		}
		b.WriteString("\n\n" + tableOf(own))
	}
	return b.String() + "\n"
}

var defaultPattern = regexp.MustCompile(`^(.*) \(default:? ([^()]*)\)( \[.*\])?$`)

// tableOf renders flags as a table.
func tableOf(entries []entry) string {
	var b strings.Builder
	b.WriteString("| flag | meaning | default |\n|---|---|---|\n")
	group := "FLAGS" // of a command without groups
	for _, e := range entries {
		if e.group != group {
			group = e.group
			b.WriteString("| **" + group + "** | | |\n")
		}
		meaning, standard := e.text, ""
		if found := defaultPattern.FindStringSubmatch(e.text); found != nil {
			meaning, standard = found[1]+found[3], found[2]
		}
		b.WriteString("| `" + e.heading + "` | " + plain(meaning) + " | " + plain(standard) + " |\n")
	}
	return b.String()
}

// plain escapes the special characters of Markdown.
func plain(text string) string {
	return strings.NewReplacer("|", `\|`, "*", `\*`, "[", `\[`, "<", `\<`, "_", `\_`).Replace(text)
}
