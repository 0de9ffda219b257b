// Package deploy makes the files with which an engine runs the program: units of systemd, objects of
// Kubernetes, a script of Slurm, job definitions of AWS Batch, alerting rules of Prometheus. Options go in and texts come out; it reads
// nothing and writes nothing.
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

// Options are the values in the files. The caller has checked them. No field holds a secret, only its place.
type Options struct {
	Name   string     // of units, objects, jobs and folders
	Config string     // the settings of archive as its YAML file, with a line feed at the end
	Flags  [][]string // the same as flags, each with its value, for engines without a file beside the program

	Folder string        // destination on disk; "" for one in S3
	Zone   string        // of the account, and of At
	At     Clock         // when it runs each night
	Stop   time.Duration // how long a clean stop may take
	Ports  []int         // TCP ports that runs connect to

	Program           string   // path of the program, for systemd and Slurm
	TokenFile         string   // file with the token, where the files are used
	S3CredentialsFile string   // credentials file of the AWS chain there; "" where the machine has its own
	Writable          []string // what a unit of systemd may write, beside the destination and its state folder

	Image       string // of the container, for Kubernetes and AWS Batch
	TokenSecret string // name of a Secret of Kubernetes, or ARN of a secret of AWS
	Role        string // ARN of the role of AWS that containers have; "" for none
	JobQueue    string // of AWS Batch
	VolumeSize  string // of the claim for Folder, like 100Gi
	MemoryMiB   int    // what a run may take, with a reserve

	Backfill    bool // Kubernetes: a job of many runs at once, in place of a nightly one
	Parallelism int  // runs at once
	Shards      int  // parts that the days are divided into

	// LockDays is how many days the nightly lock goes over, for recordings that archive leaves unlocked; 0 for none.
	LockDays int
}

// LastShard returns the index of the last part: the first is 0.
func (o Options) LastShard() int { return o.Shards - 1 }

// Clock is a time of day.
type Clock struct{ Hour, Minute int }

// String returns it as 03:15.
func (c Clock) String() string { return fmt.Sprintf("%02d:%02d", c.Hour, c.Minute) }

// File is one file to print or write.
type File struct {
	Name string // path with slashes, from / for systemd, else from any folder
	Text string
	Mode fs.FileMode
}

const (
	readable   = fs.FileMode(0o644)
	private    = fs.FileMode(0o600) // filters may name a person
	executable = fs.FileMode(0o755)
)

// ShardsFor returns how many parts so many runs at once should divide the days into: the next prime from
// 16 for each. Many parts even out days of different length; a prime keeps a part from getting the same day of
// each week.
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

// render fills one template in. It fails only for a mistake in the template.
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

// quoted returns a text as a scalar of JSON, which is one of YAML too.
func quoted(s string) (string, error) {
	var b strings.Builder
	encoder := json.NewEncoder(&b)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(s); err != nil {
		return "", fmt.Errorf("quote a text: %w", err)
	}
	return strings.TrimSuffix(b.String(), "\n"), nil
}

// indent puts so many blanks before each line that is not empty.
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
