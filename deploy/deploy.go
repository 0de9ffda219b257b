// Package deploy makes the files with which an engine runs the program: units of systemd, objects of Kubernetes, a
// script of Slurm, job definitions of AWS Batch, alerting rules of Prometheus. It turns options into texts, without
// reading or writing files.
package deploy

import (
	"bytes"
	"embed"
	"encoding/json"
	"fmt"
	"io/fs"
	"strings"
	"text/template"
	"time"
)

// Options are the values in the files. The caller must have checked them. No field contains a secret, only
// its location.
type Options struct {
	Name   string     // name of units, objects, jobs and folders
	Config string     // the settings of archive as its YAML file, with a line feed at the end
	Flags  [][]string // the same as flags, each with its value, for engines without a configuration file

	Folder string        // destination on disk; "" for one in S3
	Zone   string        // time zone of the account, and of At
	At     Clock         // time of the nightly run
	Stop   time.Duration // maximum duration of a clean stop
	Ports  []int         // TCP ports that runs connect to

	Program           string   // path of the program, for systemd and Slurm
	TokenFile         string   // file with the token, on the target machine
	S3CredentialsFile string   // credentials file of the AWS chain there; "" if the machine has its own credentials
	Writable          []string // further writable paths of a systemd unit, besides the destination and its state folder

	Image       string // of the container, for Kubernetes and AWS Batch
	TokenSecret string // name of a Secret of Kubernetes, or ARN of a secret of AWS
	Role        string // ARN of the AWS role of containers; "" for none
	JobQueue    string // of AWS Batch
	VolumeSize  string // of the claim for Folder, like 100Gi
	MemoryMiB   int    // memory limit of a run, with a reserve

	Backfill    bool // Kubernetes: a job of many parallel runs instead of a nightly one
	Parallelism int  // parallel runs
	Shards      int  // number of parts of the days

	// LockDays is the number of days of the nightly lock, for recordings that archive leaves unlocked; 0 for none.
	LockDays int
}

// LastShard returns the index of the last part: the first is 0.
func (o Options) LastShard() int { return o.Shards - 1 }

// Clock is a time of day.
type Clock struct{ Hour, Minute int }

// String returns it like 03:15.
func (c Clock) String() string { return fmt.Sprintf("%02d:%02d", c.Hour, c.Minute) }

// File is one file to print or write.
type File struct {
	Name string // path with slashes, for systemd below the root folder, otherwise below any folder
	Use  string // what it is for, and what to do with it
	Text string
	Mode fs.FileMode
}

// List returns a line for each file: its name after a prefix, and in a second column its use.
func List(files []File, prefix string) string {
	width := 0
	for _, f := range files {
		width = max(width, len(f.Name))
	}
	var b strings.Builder
	for _, f := range files {
		fmt.Fprintf(&b, "%s%-*s  %s\n", prefix, width, f.Name, f.Use)
	}
	return b.String()
}

// nextCommands is the use of a file with commands in its first lines.
const nextCommands = "its first lines list the next commands"

const (
	readable   = fs.FileMode(0o644)
	private    = fs.FileMode(0o600) // filters may name a person
	executable = fs.FileMode(0o755)
)

// ShardsFor returns the number of parts for n parallel runs: the next prime from 16 per run. Many parts
// balance days of different length; a prime prevents a part from getting the same day of each week.
func ShardsFor(parallelism int) int {
	n := 16 * parallelism
	for !isPrime(n) {
		n++
	}
	return n
}

func isPrime(n int) bool {
	for d := 2; d*d <= n; d++ {
		if n%d == 0 {
			return false
		}
	}
	return n > 1
}

//go:embed templates
var templates embed.FS

// render executes a template. It fails only for a mistake in the template.
func render(name string, data any) (string, error) {
	functions := template.FuncMap{
		"quoted": quoted,
		"indent": indent,
		"word":   func(w string) string { return shellLine(w) },
		"words":  func(w []string) string { return shellLine(w...) },
		"seconds": func(d time.Duration) int {
			return int((d + time.Second - 1) / time.Second)
		},
	}
	parsed, err := template.New(name).Funcs(functions).Option("missingkey=error").ParseFS(templates, "templates/"+name)
	if err != nil {
		return "", fmt.Errorf("parse template %s: %w", name, err)
	}
	var b bytes.Buffer
	if err := parsed.Execute(&b, data); err != nil {
		return "", fmt.Errorf("fill in template %s: %w", name, err)
	}
	return b.String(), nil
}

// quoted returns a text as a JSON scalar, which is also valid YAML.
func quoted(s string) (string, error) {
	var b strings.Builder
	encoder := json.NewEncoder(&b)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(s); err != nil {
		return "", fmt.Errorf("quote a text: %w", err)
	}
	return strings.TrimSuffix(b.String(), "\n"), nil
}

// indent indents each non-empty line by n blanks.
func indent(n int, s string) string {
	var b strings.Builder
	for line := range strings.Lines(s) {
		if line != "\n" {
			b.WriteString(strings.Repeat(" ", n))
		}
		b.WriteString(line)
	}
	return strings.TrimRight(b.String(), "\n")
}

// shellLine returns words of a command for a POSIX shell.
func shellLine(words ...string) string {
	safe := func(r rune) bool {
		return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("@%+=:,./_-", r)
	}
	var quotedWords []string
	for _, word := range words {
		if word == "" || strings.ContainsFunc(word, func(r rune) bool { return !safe(r) }) {
			word = "'" + strings.ReplaceAll(word, "'", `'\''`) + "'"
		}
		quotedWords = append(quotedWords, word)
	}
	return strings.Join(quotedWords, " ")
}
