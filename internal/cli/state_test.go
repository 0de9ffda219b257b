package cli

import (
	"bytes"
	"errors"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"convoso-archiver/fetcher"
)

func TestStateDir(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("the paths are those of other systems")
	}
	for name, c := range map[string]struct {
		goos string
		env  environment
		want string
	}{
		"home":               {"linux", environment{"HOME": "/home/a"}, "/home/a/.local/state/convoso-archiver"},
		"xdg":                {"linux", environment{"HOME": "/home/a", "XDG_STATE_HOME": "/state"}, "/state/convoso-archiver"},
		"xdg alone":          {"freebsd", environment{"XDG_STATE_HOME": "/state"}, "/state/convoso-archiver"},
		"relative xdg":       {"linux", environment{"HOME": "/home/a", "XDG_STATE_HOME": "state"}, "/home/a/.local/state/convoso-archiver"},
		"mac":                {"darwin", environment{"HOME": "/Users/a", "XDG_STATE_HOME": "/state"}, "/Users/a/Library/Application Support/convoso-archiver"},
		"windows":            {"windows", environment{"LOCALAPPDATA": "/c/local", "HOME": "/home/a"}, "/c/local/convoso-archiver"},
		"no home":            {"linux", environment{}, ""},
		"relative home":      {"linux", environment{"HOME": "home"}, ""},
		"no home on mac":     {"darwin", environment{}, ""},
		"nothing on windows": {"windows", environment{"HOME": "/home/a"}, ""},
	} {
		got, err := stateDir(c.goos, c.env)
		if got != c.want || (err == nil) != (c.want != "") {
			t.Errorf("%s: got %q, %v", name, got, err)
		}
		if err != nil && !strings.Contains(err.Error(), "--state-dir") {
			t.Errorf("%s: the error does not name the flag: %v", name, err)
		}
	}
}

func TestOpenStateDir(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "a", "b")
	if err := openStateDir(dir); err != nil {
		t.Fatal(err)
	}
	if entries, err := os.ReadDir(dir); err != nil || len(entries) != 0 {
		t.Errorf("left %v, %v", entries, err)
	}
	if info, err := os.Stat(dir); err != nil || runtime.GOOS != "windows" && info.Mode().Perm() != 0o700 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := openStateDir(filepath.Join(file, "c")); err == nil || !strings.Contains(err.Error(), "--state-dir") {
		t.Errorf("got %v", err)
	}
}

func TestDestinationState(t *testing.T) {
	base := destinationState("d", "", "bucket", "a")
	for _, other := range []string{
		destinationState("d", "", "bucket", "b"), destinationState("d", "", "bucket2", "a"),
		destinationState("d", "https://s3.example.com", "bucket", "a"), destinationState("e", "", "bucket", "a"),
	} {
		if other == base {
			t.Errorf("two destinations share %s", base)
		}
	}
}

func TestRates(t *testing.T) {
	dir := t.TempDir()
	var log bytes.Buffer
	logger := slog.New(slog.NewTextHandler(&log, nil))
	if got := loadRates(dir, logger); len(got) != 0 || log.Len() != 0 {
		t.Errorf("without a file: %v, %s", got, log.String())
	}
	first := fetcher.Rates{"api api.convoso.com": 4.5, "media a.convoso.com": 7}
	if err := saveRates(dir, fetcher.Rates{}, first); err != nil {
		t.Fatal(err)
	}
	if got := loadRates(dir, logger); !maps.Equal(got, first) {
		t.Errorf("got %v", got)
	}
	// A later run updates the rates that it used, and keeps the others.
	if err := saveRates(dir, first, fetcher.Rates{"api api.convoso.com": 3}); err != nil {
		t.Fatal(err)
	}
	if got, want := loadRates(dir, logger), (fetcher.Rates{"api api.convoso.com": 3, "media a.convoso.com": 7}); !maps.Equal(got, want) {
		t.Errorf("got %v", got)
	}
	// A run that learned nothing leaves the file alone.
	if err := saveRates(filepath.Join(dir, "missing"), first, nil); err != nil {
		t.Error(err)
	}
	if entries, err := os.ReadDir(dir); err != nil || len(entries) != 1 {
		t.Errorf("left %v, %v", entries, err)
	}
}

func TestDamagedRates(t *testing.T) {
	for name, c := range map[string]struct {
		content string
		want    fetcher.Rates
		warns   bool
	}{
		"empty":           {"", fetcher.Rates{}, true},
		"cut":             {`{"v":1,"rates":{"api a":`, fetcher.Rates{}, true},
		"not an object":   {`[1]`, fetcher.Rates{}, true},
		"a later version": {`{"v":2,"rates":{"api a":1}}`, fetcher.Rates{}, true},
		"bad values":      {`{"v":1,"rates":{"api a":-1,"api b":0,"api c":2}}`, fetcher.Rates{"api c": 2}, false},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			if err := os.WriteFile(filepath.Join(dir, ratesFile), []byte(c.content), 0o600); err != nil {
				t.Fatal(err)
			}
			var log bytes.Buffer
			got := loadRates(dir, slog.New(slog.NewTextHandler(&log, nil)))
			if !maps.Equal(got, c.want) || (log.Len() > 0) != c.warns {
				t.Errorf("got %v, log %q", got, log.String())
			}
		})
	}
}

func TestReadToken(t *testing.T) {
	dir := t.TempDir()
	write := func(name, content string, mode os.FileMode) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(content), mode); err != nil {
			t.Fatal(err)
		}
		return path
	}
	private := write("private", "  file-token \nsecond line\n", 0o600)
	open := write("open", "file-token\n", 0o644)
	empty := write("empty", "\nfile-token", 0o600)
	utf8 := write("utf8", "\xef\xbb\xbffile-token\r\n", 0o600)
	little := write("little", "\xff\xfef\x00i\x00l\x00e\x00-\x00t\x00o\x00k\x00e\x00n\x00\r\x00\n\x00", 0o600)
	big := write("big", "\xfe\xff\x00f\x00i\x00l\x00e\x00-\x00t\x00o\x00k\x00e\x00n", 0o600)
	markAlone := write("mark", "\xff\xfe", 0o600)
	large := write("large", strings.Repeat("x", maxTokenBytes+1), 0o600)
	file := func(path string, source source) values {
		return values{"auth-token-file": {items: []string{path}, source: source}}
	}
	for name, c := range map[string]struct {
		values values
		env    environment
		want   string // "" for an error
		warns  bool
	}{
		"variable":                  {nil, environment{tokenVariable: "env-token\n"}, "env-token", false},
		"file":                      {file(private, onCommandLine), nil, "file-token", false},
		"flag beats variable":       {file(private, onCommandLine), environment{tokenVariable: "env-token"}, "file-token", false},
		"variable beats the rest":   {file(private, inFile), environment{tokenVariable: "env-token"}, "env-token", false},
		"file from a configuration": {file(private, inFile), nil, "file-token", false},
		"readable by others":        {file(open, onCommandLine), nil, "file-token", runtime.GOOS != "windows"},
		"UTF-8 behind a mark":       {file(utf8, inFile), nil, "file-token", false},
		"UTF-16":                    {file(little, inFile), nil, "file-token", false},
		"UTF-16, big-endian":        {file(big, inFile), nil, "file-token", false},
		"a mark alone":              {file(markAlone, inFile), nil, "", false},
		"first line empty":          {file(empty, onCommandLine), nil, "", false},
		"too large":                 {file(large, onCommandLine), nil, "", false},
		"a folder":                  {file(dir, onCommandLine), nil, "", false},
		"blank variable":            {nil, environment{tokenVariable: "  "}, "", false},
		"two words":                 {nil, environment{tokenVariable: "canary word"}, "", false},
		"nothing":                   {nil, nil, "", false},
	} {
		t.Run(name, func(t *testing.T) {
			warned := false
			got, err := readToken(t.Context(), c.values, c.env, func(string) { warned = true })
			if got.Reveal() != c.want || (err == nil) != (c.want != "") || warned != c.warns {
				t.Errorf("got %q, %v, warned %v", got.Reveal(), err, warned)
			}
			if err != nil && strings.Contains(err.Error(), "canary") {
				t.Errorf("the error repeats the token: %v", err)
			}
		})
	}
}

// TestTempDependsOnTheEndpoint reads the address of a store from the environment like the AWS
// chain: runs with two servers must not share temporary files.
func TestTempDependsOnTheEndpoint(t *testing.T) {
	const ours, theirs = "https://s3.example.com", "https://s3.example.org"
	folder := func(env environment, flags ...string) string {
		settings := map[string]string{"dest": "s3://bucket/prefix", "last": "7d", "state-dir": "d"}
		for _, endpoint := range flags {
			settings["s3-endpoint"] = endpoint
		}
		read := readerOf(settings)
		job := read.archiveJob(time.Now(), env, "linux")
		if read.err != nil {
			t.Fatal(read.err)
		}
		return job.location().S3.TempDir
	}
	plain, flag := folder(nil), folder(nil, ours)
	for name, c := range map[string]struct {
		env   environment
		flags []string
		want  string
	}{
		"none":                            {environment{}, nil, plain},
		"for all services":                {environment{"AWS_ENDPOINT_URL": ours}, nil, flag},
		"for S3":                          {environment{"AWS_ENDPOINT_URL_S3": ours}, nil, flag},
		"for S3 beats for all services":   {environment{"AWS_ENDPOINT_URL_S3": ours, "AWS_ENDPOINT_URL": theirs}, nil, flag},
		"the flag beats the environment":  {environment{"AWS_ENDPOINT_URL_S3": theirs, "AWS_ENDPOINT_URL": theirs}, []string{ours}, flag},
		"another service's is not for S3": {environment{"AWS_ENDPOINT_URL_STS": theirs}, nil, plain},
	} {
		if got := folder(c.env, c.flags...); got != c.want {
			t.Errorf("%s: the folder is that of another destination", name)
		}
	}
	if plain == "" || plain == flag || flag == folder(environment{"AWS_ENDPOINT_URL": theirs}) {
		t.Error("two servers share a folder")
	}
}

// TestLostManifest: calls without a manifest do not start a new archive, and readers report them.
func TestLostManifest(t *testing.T) {
	folder := t.TempDir()
	if err := os.MkdirAll(filepath.Join(folder, "calls"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := checkFolder(t.TempDir(), folder, false); err != nil {
		t.Errorf("an empty folder of calls: %v", err)
	}
	day := filepath.Join(folder, "calls", "2025-05-01")
	if err := errors.Join(os.MkdirAll(day, 0o700), os.WriteFile(filepath.Join(day, "run-000001.jsonl"), []byte("{}\n"), 0o600)); err != nil {
		t.Fatal(err)
	}
	if err := checkFolder(t.TempDir(), folder, false); err == nil || !strings.Contains(err.Error(), "run rebuild") {
		t.Errorf("calls without a manifest: %v", err)
	}
	if err := checkFolder(t.TempDir(), folder, true); err != nil {
		t.Errorf("with --new-archive: %v", err)
	}
}
