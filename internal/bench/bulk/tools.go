package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"

	"convoso-archiver/internal/bench/internal/corpus"
	"convoso-archiver/internal/bench/internal/s3server"
	"convoso-archiver/internal/bench/measure"
)

const (
	ours    = "convoso-archiver"
	curl    = "curl"
	putLoop = "PutObject loop"
	token   = "simulator-token"
)

// tool is one way to download everything.
type tool struct {
	name        string
	makesFolder bool // the output folder must not be there
	// commands are run one after the other, and measured.
	commands func(output) ([]measure.Command, error)
	verify   func(output) measure.Command // a check of its own, not measured; may be nil
}

// output is where one run of a tool writes to.
type output struct {
	name   string // of the bucket, for S3
	folder string // of the files, or of the bucket's
	home   string // for lists and everything else
}

// yardstick is the tool that the others are compared with.
func (b *bench) yardstick() string {
	if b.s3 != nil {
		return putLoop
	}
	return curl
}

// tools returns those that are installed, ours first.
func (b *bench) tools(ctx context.Context) []tool {
	tools := []tool{{name: ours, makesFolder: true, commands: b.archive, verify: b.verify}}
	if b.s3 != nil {
		tools = append(tools, tool{name: putLoop, commands: b.putLoop})
		if rclone := b.findRclone(ctx); rclone != "" {
			tools = append(tools, tool{name: "rclone", commands: func(o output) ([]measure.Command, error) { return b.rcloneTo(rclone, o) }})
		}
		return tools
	}
	add := func(name, program string, commands func(program string, o output) ([]measure.Command, error)) {
		path, err := exec.LookPath(program)
		if err != nil {
			fmt.Fprintf(os.Stderr, "%s is not installed: left out\n", program)
			return
		}
		tools = append(tools, tool{name: name, commands: func(o output) ([]measure.Command, error) { return commands(path, o) }})
	}
	add(curl, "curl", b.curl)
	add("curl+sync", "curl", b.curlSynced)
	add("wget2", "wget2", b.wget2)
	add("aria2", "aria2c", b.aria2)
	if rclone := b.findRclone(ctx); rclone != "" {
		tools = append(tools, tool{name: "rclone", commands: func(o output) ([]measure.Command, error) { return b.rcloneTo(rclone, o) }})
	}
	return tools
}

// findRclone returns an rclone that takes a list of addresses, "" for none: the
// option is younger than what most systems have.
func (b *bench) findRclone(ctx context.Context) string {
	for _, program := range []string{b.settings.rclone, "rclone"} {
		path, err := exec.LookPath(program)
		if err != nil {
			continue
		}
		help, err := exec.CommandContext(ctx, path, "copyurl", "--help").Output()
		if err == nil && strings.Contains(string(help), "--urls") {
			return path
		}
	}
	fmt.Fprintln(os.Stderr, "an rclone with copyurl --urls is not installed: left out")
	return ""
}

// destination is where the program archives to, and how.
func (b *bench) destination(o output) (flags, env []string) {
	if b.s3 == nil {
		return []string{"--dest", o.folder, "--state-dir", filepath.Join(o.home, "state")}, nil
	}
	flags = []string{"--dest", "s3://" + o.name, "--state-dir", filepath.Join(o.home, "state"),
		"--s3-endpoint", b.s3.Endpoint, "--s3-region", s3server.Region, "--s3-path-style"}
	return flags, b.s3.Env()
}

func (b *bench) archive(o output) ([]measure.Command, error) {
	first, last := corpus.Days()
	flags, env := b.destination(o)
	args := append([]string{b.program, "archive", "--json", "--start-time", first, "--end-time", last,
		"--api-url", b.account.Line, "--allow-host", b.web.URL, "--workers", strconv.Itoa(b.workers),
		"--api-rate", "0", "--media-rate", "0", "--log-level", "warn"}, flags...)
	return []measure.Command{{Args: args, Env: append(env, "CONVOSO_AUTH_TOKEN="+token), Home: o.home}}, nil
}

// verify reads every stored recording back, by the manifest alone.
func (b *bench) verify(o output) measure.Command {
	flags, env := b.destination(o)
	return measure.Command{Args: append([]string{b.program, "verify", "--json", "--log-level", "warn"}, flags...), Env: env, Home: o.home}
}

// list writes a file with one entry for each recording.
func (b *bench) list(o output, entry func(f corpus.File, url string) string) (string, error) {
	var text strings.Builder
	for _, f := range b.corpus.Files {
		text.WriteString(entry(f, f.URL(b.web.URL)))
	}
	name := filepath.Join(o.home, "list")
	if err := os.WriteFile(name, []byte(text.String()), 0o600); err != nil {
		return "", fmt.Errorf("write list: %w", err)
	}
	return name, nil
}

func (b *bench) curl(program string, o output) ([]measure.Command, error) {
	list, err := b.list(o, func(f corpus.File, url string) string {
		return fmt.Sprintf("url = %q\noutput = %q\n", url, filepath.Join(o.folder, f.Name))
	})
	args := []string{program, "--silent", "--show-error", "--fail", "--parallel", "--parallel-max", strconv.Itoa(b.workers), "--config", list}
	return []measure.Command{{Args: args, Home: o.home}}, err
}

func (b *bench) curlSynced(program string, o output) ([]measure.Command, error) {
	commands, err := b.curl(program, o)
	sync := measure.Command{Args: []string{b.self, roleSync, strconv.Itoa(b.workers), o.folder}, Home: o.home}
	return append(commands, sync), err
}

func (b *bench) wget2(program string, o output) ([]measure.Command, error) {
	list, err := b.list(o, func(_ corpus.File, url string) string { return url + "\n" })
	args := []string{program, "--quiet", "--max-threads=" + strconv.Itoa(b.workers), "--directory-prefix=" + o.folder, "--input-file=" + list}
	return []measure.Command{{Args: args, Home: o.home}}, err
}

func (b *bench) aria2(program string, o output) ([]measure.Command, error) {
	list, err := b.list(o, func(f corpus.File, url string) string { return url + "\n out=" + f.Name + "\n" })
	args := []string{program, "--quiet", "-j" + strconv.Itoa(b.workers), "-d", o.folder, "-i", list}
	return []measure.Command{{Args: args, Home: o.home}}, err
}

// rcloneTo copies to a folder or, where there is an S3 server, to a bucket.
func (b *bench) rcloneTo(program string, o output) ([]measure.Command, error) {
	list, err := b.list(o, func(f corpus.File, url string) string { return url + "," + f.Name + "\n" })
	to, env := o.folder, []string{"RCLONE_CONFIG=" + os.DevNull}
	if b.s3 != nil {
		to = "bench:" + o.name
		env = append(b.s3.Env(), append(env, "RCLONE_CONFIG_BENCH_TYPE=s3", "RCLONE_CONFIG_BENCH_PROVIDER=Other",
			"RCLONE_CONFIG_BENCH_ENV_AUTH=true", "RCLONE_CONFIG_BENCH_ENDPOINT="+b.s3.Endpoint, "RCLONE_CONFIG_BENCH_REGION="+s3server.Region,
			"RCLONE_CONFIG_BENCH_NO_CHECK_BUCKET=true")...) // it would make the bucket that is there, and wait for minutes
	}
	args := []string{program, "copyurl", "--urls", list, to, "--transfers", strconv.Itoa(b.workers), "--quiet"}
	return []measure.Command{{Args: args, Env: env, Home: o.home}}, err
}

func (b *bench) putLoop(o output) ([]measure.Command, error) {
	list, err := b.list(o, func(_ corpus.File, url string) string { return url + "\n" })
	args := []string{b.self, rolePut, strconv.Itoa(b.workers), b.s3.Endpoint, o.name, list}
	return []measure.Command{{Args: args, Env: b.s3.Env(), Home: o.home}}, err
}
