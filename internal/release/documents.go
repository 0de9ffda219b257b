// Collects the documents that a release contains.

package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

// noticesName is the file with the licences of all linked modules.
const noticesName = "THIRD-PARTY-LICENSES.txt"

// documents returns the documents of a release: licences, the README, manual pages and completions.
// The program itself prints the last two.
func (r *release) documents(ctx context.Context) ([]file, error) {
	docs := []file{{name: noticesName, mode: 0o644, body: r.notices}}
	for _, name := range []string{"LICENSE", "README.md", "CHANGELOG.md"} {
		text, err := os.ReadFile(filepath.Join(r.root, name))
		if err != nil {
			return nil, fmt.Errorf("read documents: %w", err)
		}
		docs = append(docs, file{name: name, mode: 0o644, body: text})
	}
	names, err := r.commandNames(ctx)
	if err != nil {
		return nil, err
	}
	printed := map[string][]string{
		"man/" + program + ".1":            {"help", "--man"},
		"completions/" + program + ".bash": {"completion", "bash"},
		"completions/" + program + ".fish": {"completion", "fish"},
		"completions/" + program + ".ps1":  {"completion", "powershell"},
		"completions/_" + program:          {"completion", "zsh"},
	}
	for _, name := range names {
		printed["man/"+program+"-"+name+".1"] = []string{"help", "--man", name}
	}
	for name, args := range printed {
		text, err := r.ask(ctx, args...)
		if err != nil {
			return nil, err
		}
		docs = append(docs, file{name: name, mode: 0o644, body: text})
	}
	slices.SortFunc(docs, func(a, b file) int { return strings.Compare(a.name, b.name) })
	return docs, nil
}

// commandNames asks the program for its commands, like a shell for completion.
func (r *release) commandNames(ctx context.Context) ([]string, error) {
	text, err := r.ask(ctx, "--generate-bash-completion")
	return strings.Fields(string(text)), err
}

// ask runs the program built for this machine, without the user's settings.
func (r *release) ask(ctx context.Context, args ...string) ([]byte, error) {
	cmd := exec.CommandContext(ctx, r.host, args...)
	cmd.Env = []string{}
	text, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("run %s %s: %w", program, strings.Join(args, " "), err)
	}
	if len(text) == 0 {
		return nil, fmt.Errorf("%s %s printed nothing", program, strings.Join(args, " "))
	}
	return text, nil
}
