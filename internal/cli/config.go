// Collects settings from flags, variables and the configuration file, and decides which one wins.

package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"
)

// source is where a value was set; later ones override earlier ones.
type source int

const (
	inFile source = iota
	inEnvironment
	onCommandLine
)

// given is a value that was set, and its origin for errors.
type given struct {
	items  []string // one item unless the setting is a list
	origin string   // "--workers", or "CONVOSO_ARCHIVER_WORKERS", or "workers (archive.yaml, line 3)"
	source source
}

func (g given) byFlag() bool { return g.source == onCommandLine }

// values holds the values that were set, by the setting's name, without defaults.
type values map[string]given

// environment holds the environment variables by name.
type environment map[string]string

func parseEnvironment(environ []string) environment {
	e := environment{}
	for _, pair := range environ {
		// Windows has variables like "=C:": the name's first byte is never a separator.
		i := strings.IndexByte(pair[min(1, len(pair)):], '=')
		if i < 0 {
			continue
		}
		name, value := pair[:i+1], pair[i+2:]
		if runtime.GOOS == "windows" {
			name = strings.ToUpper(name) // names ignore case there
		}
		e[name] = value
	}
	return e
}

// gather returns the values that were set: a flag overrides the environment, which overrides the
// configuration file. An empty variable counts as unset, because some shells and service files
// cannot unset one. The error joins all mistakes; the readable values are returned with it.
func gather(ctx context.Context, settings []setting, flags values, env environment) (values, error) {
	merged := values{}
	for _, s := range settings {
		if value := env[s.variable()]; value != "" && !s.flagOnly {
			merged[s.name] = given{items: splitItems(s, []string{value}), origin: s.variable(), source: inEnvironment}
		}
		if value, ok := flags[s.name]; ok {
			merged[s.name] = value
		}
	}
	errs := []error{merged.expandHome(settings, env)}
	if file, ok := merged["config"]; ok && !isInHome(file.items[0]) {
		fromFile, err := readConfig(ctx, file.items[0], settings)
		maps.DeleteFunc(fromFile, func(name string, _ given) bool { _, beaten := merged[name]; return beaten })
		errs = append(errs, err, fromFile.expandHome(settings, env))
		maps.Copy(merged, fromFile)
	}
	merged.dropBeatenSpan()
	return merged, errors.Join(errs...)
}

// isInHome reports whether a path begins with a ~ for the home folder. The home folder of
// another user is left to the shell.
func isInHome(path string) bool {
	rest, found := strings.CutPrefix(path, "~")
	return found && (rest == "" || os.IsPathSeparator(rest[0]))
}

// expandHome replaces a ~ at the start of a path with the home folder. A shell does so only at the start of a word: not in
// --dest=~/rec, a variable of a service or a line of the file.
func (v values) expandHome(settings []setting, env environment) error {
	var errs []error
	for _, s := range settings {
		g, ok := v[s.name]
		if !ok || !s.isPath() || !isInHome(g.items[0]) {
			continue
		}
		home := homeFolder(runtime.GOOS, env)
		if home == "" {
			errs = append(errs, misuse("write the whole path", "%s: ~ means the home folder, and this user has none", g.origin))
			continue
		}
		g.items = []string{filepath.Join(home, g.items[0][1:])}
		v[s.name] = g
	}
	return errors.Join(errs...)
}

func homeFolder(goos string, env environment) string {
	if goos == "windows" {
		return env["USERPROFILE"]
	}
	return env["HOME"]
}

// dropBeatenSpan lets a span override a span of the other form from a weaker source: --last on the
// command line overrides start-time in the file, and vice versa. Both forms from one source stay,
// and the reader refuses them.
func (v values) dropBeatenSpan() {
	last, isSet := v["last"]
	for _, name := range []string{"start-time", "end-time"} {
		edge, ok := v[name]
		switch {
		case !ok || !isSet || edge.source == last.source:
		case edge.source > last.source:
			delete(v, "last")
		default:
			delete(v, name)
		}
	}
}

// unknownVariables returns the names of variables that look like settings but are not, with the
// nearest setting. They are not an error, because a Kubernetes service with the name of the program
// defines such variables.
func unknownVariables(settings []setting, env environment) []string {
	var known, notes []string
	for _, s := range settings {
		known = append(known, strings.TrimPrefix(s.variable(), EnvPrefix))
	}
	for name := range env {
		rest, ours := strings.CutPrefix(name, EnvPrefix)
		if !ours || slices.Contains(known, rest) {
			continue
		}
		if meant := nearest(rest, known); meant != "" {
			notes = append(notes, name+" has no effect, did you mean "+EnvPrefix+meant+"?")
		}
	}
	slices.Sort(notes)
	return notes
}

// splitItems splits the values of a list at commas, which list items cannot contain, so a variable
// can hold several.
func splitItems(s setting, raw []string) []string {
	if s.kind != list {
		return raw
	}
	var items []string
	for _, value := range raw {
		for item := range strings.SplitSeq(value, ",") {
			items = append(items, strings.TrimSpace(item))
		}
	}
	return items
}

const maxConfigBytes = 1 << 20 // bytes; a real one is a page of text

// readConfig reads the configuration file. It does not use the flag library, whose loader ignores
// misspelt keys. The error joins the mistakes in its lines; the other values are returned.
func readConfig(ctx context.Context, path string, settings []setting) (values, error) {
	data, err := readSmallFile(ctx, path, maxConfigBytes)
	if err != nil {
		return nil, misreading("check --config", "read configuration: %v", err)
	}
	var document yaml.Node
	if err := yaml.Unmarshal(data, &document); err != nil {
		return nil, misreading("write each line as a flag's name, a colon, a space and its value",
			"read configuration %s: not YAML%s", path, yamlLine(err))
	}
	if document.Kind == 0 {
		return values{}, nil // empty, or only comments
	}
	root := document.Content[0]
	if root.Kind == yaml.ScalarNode && root.Tag == "!!null" {
		return values{}, nil
	}
	if root.Kind != yaml.MappingNode {
		return nil, misreading("write each line as a flag's name, a colon, a space and its value",
			"read configuration %s: line %d: not a setting", path, root.Line)
	}
	read := values{}
	var errs []error
	for i := 0; i+1 < len(root.Content); i += 2 { // also after a mistake, because later keys may say how to report it
		errs = append(errs, read.readKey(path, root.Content[i], root.Content[i+1], settings))
	}
	return read, errors.Join(errs...)
}

// misreading is like misuse, for a file without any readable setting.
func misreading(try, format string, args ...any) error {
	return &usageError{what: fmt.Sprintf(format, args...), try: try, alone: true}
}

// readKey adds one key of the file.
func (v values) readKey(path string, key, value *yaml.Node, settings []setting) error {
	s, err := configKey(path, key, settings)
	if err != nil {
		return err
	}
	if _, twice := v[s.name]; twice {
		return misuse("keep one of them", "read configuration %s: line %d: %s is set twice", path, key.Line, s.name)
	}
	items, err := configItems(s, value)
	if err != nil {
		return misuse(err.Error(), "read configuration %s: line %d: %s has no usable value", path, value.Line, s.name)
	}
	v[s.name] = given{items: splitItems(s, items), origin: fmt.Sprintf("%s (%s, line %d)", s.name, path, key.Line)}
	return nil
}

var yamlLinePattern = regexp.MustCompile(`line \d+`)

// yamlLine returns only the line number of a parser's error, because the rest may quote the file.
func yamlLine(err error) string {
	if line := yamlLinePattern.FindString(err.Error()); line != "" {
		return ", " + line
	}
	return ""
}

func configKey(path string, key *yaml.Node, settings []setting) (setting, error) {
	s, ok := named(settings, key.Value)
	if ok && s.key() {
		return s, nil
	}
	var candidates []string
	for _, s := range settings {
		if s.key() {
			candidates = append(candidates, s.name)
		}
	}
	try := didYouMean(key.Value, candidates, "")
	if isTokenName(key.Value) {
		try = "the token is set by CONVOSO_AUTH_TOKEN or auth-token-file"
	}
	if try == "" {
		try = "the keys are the names of the flags, see --help"
	}
	return setting{}, misuse(try, "read configuration %s: line %d: unknown key %q", path, key.Line, key.Value)
}

// isTokenName recognises attempts to set the token itself.
func isTokenName(name string) bool {
	switch strings.NewReplacer("-", "", "_", "").Replace(strings.ToLower(name)) {
	case "authtoken", "token", "apitoken", "apikey", "convosoauthtoken":
		return true
	}
	return false
}

// configItems returns a value as written, so that 007 and dates stay unchanged.
func configItems(s setting, value *yaml.Node) ([]string, error) {
	if value.Kind == yaml.AliasNode {
		value = value.Alias
	}
	switch {
	case value.Kind == yaml.ScalarNode && value.Tag == "!!null":
		return nil, errors.New("give it a value, or remove the line")
	case value.Kind == yaml.ScalarNode:
		return []string{value.Value}, nil
	case value.Kind == yaml.SequenceNode && s.kind == list:
		var items []string
		for _, item := range value.Content {
			if item.Kind != yaml.ScalarNode || item.Tag == "!!null" {
				return nil, errors.New("each item must be one value")
			}
			items = append(items, item.Value)
		}
		if len(items) == 0 {
			return nil, errors.New("the list is empty: give it an item, or remove the line")
		}
		return items, nil
	case s.kind == list:
		return nil, errors.New("it must be one value or a list")
	}
	return nil, errors.New("it must be one value")
}

// pipeTime is the time limit for a small file, which may be a pipe like <(pass show token).
const pipeTime = 10 * time.Second

// readSmallFile reads a file that is expected to be small, and not a directory or an endless device. It gives up on a
// pipe without a writer after pipeTime, or when ctx ends.
func readSmallFile(ctx context.Context, path string, maxBytes int64) ([]byte, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, pipeTime, fmt.Errorf("%s did not end within %s: it may be a pipe that nobody writes to", path, pipeTime))
	defer cancel()
	return readWhole(ctx, path, maxBytes)
}

// readWhole is like readSmallFile, but without the time limit. When ctx ends, a pending open or read stays until the
// program ends, because neither can be cancelled.
func readWhole(ctx context.Context, path string, maxBytes int64) ([]byte, error) {
	var data []byte
	done := make(chan error, 1)
	go func() {
		f, err := os.Open(path)
		if err == nil {
			data, err = io.ReadAll(io.LimitReader(f, maxBytes+1))
			_ = f.Close() // read only: closing cannot lose data
		}
		done <- err
	}()
	select {
	case err := <-done:
		if err != nil {
			return nil, err
		}
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
	if int64(len(data)) > maxBytes {
		return nil, fmt.Errorf("%s is larger than %d bytes", path, maxBytes)
	}
	return data, nil
}
