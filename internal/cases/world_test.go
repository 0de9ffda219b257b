package cases

import (
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf16"
)

// world covers the environment of the program: cases 33, 38, 46, 47, 48, 49 and 50, and those of
// one system only.
func world() []example {
	all := tokenFiles()
	all = append(all, proxies()...)
	all = append(all, symbolicLinks()...)
	all = append(all, homes()...)
	all = append(all, unmounted()...)
	all = append(all, fewFiles()...)
	all = append(all, cases()...)
	return append(all, worldOfThisSystem()...)
}

// tokenFiles: editors and shells add bytes to a token file.
func tokenFiles() []example {
	wide := func(order func(uint16) []byte, text string) string {
		var b []byte
		for _, unit := range utf16.Encode([]rune(text)) {
			b = append(b, order(unit)...)
		}
		return string(b)
	}
	little := func(u uint16) []byte { return []byte{byte(u), byte(u >> 8)} }
	big := func(u uint16) []byte { return []byte{byte(u >> 8), byte(u)} }
	var all []example
	for _, c := range []struct {
		name, text string
		orRefused  bool // an invalid file gets one clear line
	}{
		{"a byte-order mark", "\ufeff" + token, false},
		{"a byte-order mark and CR LF", "\ufeff" + token + "\r\n", false},
		{"CR LF", token + "\r\n", false},
		{"blanks around", "  " + token + " \t\n", false},
		{"blank lines behind", token + "\n\n\n", false},
		{"UTF-16 of PowerShell", wide(little, "\ufeff"+token+"\r\n"), true},
		{"UTF-16, big end first", wide(big, "\ufeff"+token+"\r\n"), true},
		{"a no-break space behind", token + "\u00a0\n", true},
		{"a zero-width space before", "\u200b" + token + "\n", true},
	} {
		all = append(all, example{"33 " + c.name, func(t testing.TB) {
			v := newVendor(t)
			v.fill(ago(5), 100, 3)
			a := onDisk(t, v, ago(5), ago(5))
			file := filepath.Join(t.TempDir(), "token")
			if err := os.WriteFile(file, []byte(c.text), 0o600); err != nil {
				t.Fatal(err)
			}
			a.env = append(a.env, "CONVOSO_AUTH_TOKEN=")
			r := a.run("--auth-token-file", file)
			if c.orRefused && r.code == 2 {
				r.says("token").saysNot(token)
				if n := len(v.requests("api")); n > 0 {
					t.Errorf("%d requests before", n)
				}
				return
			}
			r.want(0)
			a.holds(v.bodies()...)
			for _, r := range v.requests("api") {
				if r.token != token {
					t.Fatalf("sent %q as the token", r.token)
				}
			}
		}})
	}
	return all
}

// proxies: the address of a proxy is a name like any other.
func proxies() []example {
	var all []example
	for _, c := range []struct{ name, address string }{
		{"in capitals", "http://LOCALHOST:PORT"},
		{"without a scheme", "LOCALHOST:PORT"},
		{"with a name and a password", "http://user:p%40ss@LOCALHOST:PORT"},
		{"with a slash behind", "http://LOCALHOST:PORT/"},
		{"as an address", "http://127.0.0.1:PORT"},
	} {
		all = append(all, example{"38 proxy " + c.name, func(t testing.TB) {
			v, a, proxy, tunnels := behindProxy(t, "127.0.0.1:0")
			_, port, _ := strings.Cut(proxy, ":")
			a.env = append(a.env, "HTTPS_PROXY="+strings.Replace(c.address, "PORT", port, 1))
			a.run().want(0).saysNot("p%40ss|p@ss")
			a.isClosed(ago(5))
			a.holds(v.bodies()...)
			if tunnels.Load() == 0 {
				t.Error("the proxy was not asked")
			}
		}})
	}
	return all
}

// symbolicLinks: a link below the destination is not followed, which is reported before any
// download.
func symbolicLinks() []example {
	if runtime.GOOS == "windows" { // links need a privilege there
		return nil
	}
	var all []example
	for _, c := range []struct {
		name, link, template string
		dangling             bool
	}{
		{"a folder of the template", "sub", "sub/{{.filename}}", false},
		{"a folder below one of the template", "a/sub", "a/sub/{{.filename}}", false},
		{"a folder named by a field", "5051", "{{.campaign_id}}/{{.filename}}", false},
		{"a link to nowhere", "sub", "sub/{{.filename}}", true},
		{"manifest", "manifest", "{{.filename}}", false},
		{"calls", "calls", "{{.filename}}", false},
	} {
		all = append(all, example{"46 " + c.name, func(t testing.TB) {
			v := newVendor(t)
			v.fill(ago(5), 100, 3)
			a := onDisk(t, v, ago(5), ago(5), "--path-template", c.template)
			other := filepath.Join(t.TempDir(), "other disk")
			link := filepath.Join(a.dest, c.link)
			if err := os.MkdirAll(filepath.Dir(link), 0o700); err != nil {
				t.Fatal(err)
			}
			if !c.dangling {
				if err := os.Mkdir(other, 0o700); err != nil {
					t.Fatal(err)
				}
			}
			if err := os.Symlink(other, link); err != nil {
				t.Fatal(err)
			}
			a.run().want(2).says("symbolic link|symlink")
			if n := len(v.requests("media")); n > 0 {
				t.Errorf("%d recordings were downloaded before", n)
			}
			if entries, _ := os.ReadDir(other); len(entries) > 0 {
				t.Errorf("written beyond the link: %v", entries)
			}
		}})
	}
	return append(all, example{"46 the destination itself", func(t testing.TB) {
		v := newVendor(t)
		v.fill(ago(5), 100, 3)
		a := onDisk(t, v, ago(5), ago(5))
		real := filepath.Join(t.TempDir(), "real")
		if err := os.Mkdir(real, 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink(real, a.dest); err != nil {
			t.Fatal(err)
		}
		a.run().want(0) // the destination itself may be a link
		a.dest = real
		a.holds(v.bodies()...)
	}})
}

// homes: ~ is the user's folder, where no shell has expanded it.
func homes() []example {
	var all []example
	for _, c := range []struct {
		name, yaml string
		flags, env []string
	}{
		{"in the YAML file", "dest: ~/rec\n", nil, nil},
		{"in the YAML file, quoted, with a folder", "dest: \"~/rec\"\nstate-dir: ~/elsewhere\n", nil, nil},
		{"behind an equals sign", "", []string{"--dest=~/rec"}, nil},
		{"in the environment", "", nil, []string{"CONVOSO_ARCHIVER_DEST=~/rec"}},
		{"of the token file", "dest: ~/rec\nauth-token-file: ~/token\n", nil, []string{"CONVOSO_AUTH_TOKEN="}},
	} {
		all = append(all, example{"47 " + c.name, func(t testing.TB) {
			v := newVendor(t)
			v.fill(ago(5), 100, 3)
			a := onDisk(t, v, ago(5), ago(5), c.flags...)
			home, here := filepath.Dir(a.state), t.TempDir()
			a.dest, a.env = "", c.env
			a.wrap = func(cmd *exec.Cmd) {
				cmd.Dir = here
				if strings.Contains(c.yaml, "state-dir") {
					at := slices.Index(cmd.Args, "--state-dir")
					cmd.Args = slices.Delete(cmd.Args, at, at+2)
				}
			}
			if err := os.WriteFile(filepath.Join(home, "token"), []byte(token+"\n"), 0o600); err != nil {
				t.Fatal(err)
			}
			var flags []string
			if c.yaml != "" {
				config := filepath.Join(here, "config.yaml")
				if err := os.WriteFile(config, []byte(c.yaml), 0o600); err != nil {
					t.Fatal(err)
				}
				flags = []string{"--config", config}
			}
			r := a.run(flags...).want(0)
			if _, err := os.Stat(filepath.Join(here, "~")); err == nil {
				t.Error("a folder with the name ~ was made")
			}
			a.dest = filepath.Join(home, "rec")
			a.lookForSecrets(r)
			a.holds(v.bodies()...)
			if strings.Contains(c.yaml, "elsewhere") {
				if _, err := os.Stat(filepath.Join(home, "elsewhere")); err != nil {
					t.Error(err)
				}
			}
		}})
	}
	return all
}

// unmounted: the state folder remembers an archive here, but the folder is empty, as if its disk was
// not mounted.
func unmounted() []example {
	begin := func(t testing.TB) (*vendor, *archive, string) {
		v := newVendor(t)
		v.fill(ago(5), 100, 3)
		a := onDisk(t, v, ago(5), ago(5))
		a.run().want(0)
		away := a.dest + " of the disk"
		if err := os.Rename(a.dest, away); err != nil {
			t.Fatal(err)
		}
		if err := os.Mkdir(a.dest, 0o700); err != nil {
			t.Fatal(err)
		}
		v.forget()
		return v, a, away
	}
	refused := func(t testing.TB, v *vendor, a *archive) {
		t.Helper()
		a.run().want(1, 2).says("--new-archive")
		if n := len(v.requests("api")) + len(v.requests("media")); n > 0 {
			t.Errorf("%d requests", n)
		}
		if n := len(a.tree()); n > 0 {
			t.Errorf("%d files were written", n)
		}
	}
	return []example{{"48 an empty folder", func(t testing.TB) {
		v, a, away := begin(t)
		refused(t, v, a)
		if err := os.RemoveAll(a.dest); err != nil { // and then it is mounted again
			t.Fatal(err)
		}
		if err := os.Rename(away, a.dest); err != nil {
			t.Fatal(err)
		}
		a.run().want(0)
	}}, {"48 an empty folder with --new-archive", func(t testing.TB) {
		v, a, _ := begin(t)
		a.run("--new-archive").want(0)
		a.isClosed(ago(5))
		a.holds(v.bodies()...)
		a.run().want(0)
	}}, {"48 a folder of lost+found alone", func(t testing.TB) {
		v, a, _ := begin(t)
		if err := os.Mkdir(filepath.Join(a.dest, "lost+found"), 0o700); err != nil {
			t.Fatal(err)
		}
		refused(t, v, a)
	}}, {"48 another folder with the same state", func(t testing.TB) {
		v, a, _ := begin(t)
		a.dest = filepath.Join(t.TempDir(), "another")
		a.run().want(0)
		a.holds(v.bodies()...)
	}}}
}

// fewFiles: a process with a low limit of open files is only slower.
func fewFiles() []example {
	if runtime.GOOS == "windows" {
		return nil
	}
	var all []example
	for _, c := range []struct {
		files, workers int
		s3             bool
	}{{64, 8, false}, {64, 64, false}, {128, 128, false}, {256, 256, false}, {96, 96, true}} {
		name := fmt.Sprintf("49 %d files and %d workers", c.files, c.workers)
		if c.s3 {
			name += " into S3"
		}
		all = append(all, example{name, func(t testing.TB) {
			v := newVendor(t)
			v.fill(ago(5), 100, 250)
			v.Media = func(http.ResponseWriter, *http.Request) { time.Sleep(100 * time.Millisecond) }
			a := onDisk(t, v, ago(5), ago(5), "--workers", fmt.Sprint(c.workers))
			if c.s3 {
				a = onS3(t, v, newS3(t, honour), ago(5), ago(5), "--workers", fmt.Sprint(c.workers))
			}
			a.wrap = func(cmd *exec.Cmd) {
				cmd.Args = append([]string{"sh", "-c", fmt.Sprintf(`ulimit -n %d && exec "$@"`, c.files), "sh", program}, cmd.Args[1:]...)
				cmd.Path = "/bin/sh"
			}
			a.run().want(0).saysNot("too many open files")
			a.isClosed(ago(5))
			a.holds(v.bodies()...)
		}})
	}
	return all
}

// cases: names that differ only in case, in a folder that ignores case. It is rare on Linux:
// CASES_FOLDING may name one.
func cases() []example {
	folder := func(t testing.TB) string {
		dir := t.TempDir()
		if named := os.Getenv("CASES_FOLDING"); named != "" {
			made, err := os.MkdirTemp(named, "cases")
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = os.RemoveAll(made) })
			dir = made
		}
		if err := os.Mkdir(filepath.Join(dir, "a"), 0o700); err != nil {
			t.Fatal(err)
		}
		if _, err := os.Stat(filepath.Join(dir, "A")); err != nil {
			skip(t, "file names are told apart by the case of their letters")
		}
		return dir
	}
	var all []example
	for _, c := range []struct {
		name     string
		template string
		files    []string
	}{
		{"two files", "{{.filename}}", []string{"Call.mp3", "CALL.mp3"}},
		{"three files", "{{.filename}}", []string{"call.mp3", "Call.MP3", "CALL.mp3"}},
		{"two folders", "{{.user}}/{{.filename}}", []string{"a.mp3", "A.mp3"}},
		{"letters beyond ASCII", "{{.filename}}", []string{"Ärger.mp3", "ärger.mp3"}},
	} {
		all = append(all, example{"50 " + c.name, func(t testing.TB) {
			v := newVendor(t)
			for i, file := range c.files {
				v.call(100+i, fmt.Sprintf("%s 09:0%d:00", ago(5), i), v.recording(100+i).with("filename", file)).with("user", []string{"Ann", "ANN", "ann"}[i])
			}
			a := onDisk(t, v, ago(5), ago(5), "--path-template", c.template)
			a.dest = filepath.Join(folder(t), "dest")
			a.run().want(0)
			a.isClosed(ago(5))
			stored := 0
			for _, l := range a.day(ago(5)).recordings {
				if body, err := os.ReadFile(filepath.Join(a.dest, l.Key)); err == nil && sum(body) == l.SHA256 {
					stored++
				}
			}
			if stored != len(c.files) || len(a.audio()) != len(c.files) {
				t.Errorf("%d of %d recordings are stored, in %d files", stored, len(c.files), len(a.audio()))
			}
			a.verify().want(0)
		}})
	}
	return all
}
