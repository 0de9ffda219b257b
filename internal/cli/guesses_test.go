package cli

import (
	"slices"
	"strings"
	"testing"
)

// TestGuessedFlags: a guessed flag gets a suggestion on every command that has a candidate.
func TestGuessedFlags(t *testing.T) {
	known := map[string]bool{}
	for _, c := range commands() {
		var names []string
		for _, s := range c.settings {
			names = append(names, s.name)
			known[s.name] = true
		}
		for guess, meant := range guessedFlags() {
			at := slices.IndexFunc(meant, func(name string) bool { return slices.Contains(names, name) })
			if at < 0 || slices.Contains(names, guess) {
				continue
			}
			want := "unknown flag --" + guess + ": use --" + meant[at]
			if meant[at] == "dest" && goesToStdout(guess, names) {
				want = "unknown flag --" + guess + ": the result goes to stdout: add > FILE to write it to a file"
			}
			if got := unknownFlag(guess, c.settings).Error(); got != want {
				t.Errorf("%s: got %q, want %q", c.name, got, want)
			}
		}
	}
	for guess, meant := range guessedFlags() {
		for _, name := range meant {
			if !known[name] {
				t.Errorf("--%s leads to --%s, which no command has", guess, name)
			}
		}
	}
	for line, want := range map[string]string{
		"find --phone": "number", "export --phone": "number", "archive --phone": "phone-number", "report --phone": "phone-number",
		"archive --campaign": "campaign-id", "report --campaign": "campaign-id", "archive --user": "user-id", "find --user": "agent", "serve --user": "users",
		"archive --from": "start-time", "verify --from": "start-time", "find --from": "start-time", "export --from": "start-time", "audit --since": "start-time",
		"archive --to": "end-time", "find --to": "end-time", "report --until": "end-time", "verify --to": "end-time",
		"archive --output": "dest", "find --output": "copy-to", "export --output": "to", "deploy --output": "to", "doctor --output": "dest", "demo --output": "dest",
		"archive --bucket": "dest", "export --bucket": "dest", "seal --bucket": "dest", "rebuild --bucket": "dest", "doctor --bucket": "dest", "serve --bucket": "dest",
		"archive --dry": "dry-run", "deploy --dry": "dry-run", "archive --key": "auth-token-file", "serve --key": "tls-key", "audit --key": "allowed-signers",
		"verify --output": "stdout", "report --out": "stdout", "erase --o": "stdout",
		"archive --token": "", "doctor --token": "", "deploy --api-key": "",
	} {
		of, flag, _ := strings.Cut(line, " --")
		i := slices.IndexFunc(commands(), func(c command) bool { return c.name == of })
		got := unknownFlag(flag, commands()[i].settings).Error()
		if want == "stdout" {
			if !strings.Contains(got, "goes to stdout") {
				t.Errorf("%s: %q", line, got)
			}
			continue
		}
		if want == "" && !strings.Contains(got, "no flag takes the token") || want != "" && got != "unknown flag --"+flag+": use --"+want {
			t.Errorf("%s: %q", line, got)
		}
	}
}

// TestExamples: every command has at least three examples, with only known flags.
func TestExamples(t *testing.T) {
	for _, c := range commands() {
		if len(c.examples) < 3 {
			t.Errorf("%s has %d examples", c.name, len(c.examples))
		}
		for _, e := range c.examples {
			for line := range strings.SplitSeq(continued.ReplaceAllString(e.line, " "), "\n") {
				for part := range strings.SplitSeq(line, " | ") {
					_, own, ok := strings.Cut(part, program+" ")
					name, rest, _ := strings.Cut(own, " ")
					i := slices.IndexFunc(commands(), func(c command) bool { return c.name == name })
					if !ok || i < 0 {
						continue
					}
					rest, _, _ = strings.Cut(rest, " && ")
					for _, word := range strings.Fields(rest) {
						flag, isFlag := strings.CutPrefix(word, "--")
						if _, known := named(commands()[i].settings, flag); isFlag && !known {
							t.Errorf("%s: %s: there is no --%s", c.name, e.line, flag)
						}
					}
				}
			}
		}
	}
}
