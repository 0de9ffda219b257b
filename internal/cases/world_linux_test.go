package cases

import (
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"
)

// worldOfThisSystem covers cases that need Linux, and mostly root: cases 2b, 13, 34, 35, 36, 39, and parts
// of 38 and 48.
func worldOfThisSystem() []example {
	all := mounts()
	all = append(all, otherUser()...)
	all = append(all, slowSyncs()...)
	all = append(all, failingCalls()...)
	all = append(all, nat64()...)
	return append(all, namedProxies()...)
}

// needsRoot skips an example that must mount, or become another user.
func needsRoot(t testing.TB) {
	t.Helper()
	if os.Geteuid() != 0 {
		skip(t, "it needs root")
	}
}

// mount mounts a file system of a size on a folder until the example ends.
func mount(t testing.TB, folder, size string) {
	t.Helper()
	needsRoot(t)
	if err := os.MkdirAll(folder, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mount("tmpfs", folder, "tmpfs", 0, "size="+size); err != nil {
		skip(t, "mount: "+err.Error())
	}
	t.Cleanup(func() { _ = syscall.Unmount(folder, syscall.MNT_DETACH) })
}

// mounts: a folder of the destination is another file system.
func mounts() []example {
	var all []example
	for _, c := range []struct{ name, folder, template string }{
		{"a folder of the template", "sub", "sub/{{.filename}}"},
		{"above a folder of the template", "sub", "sub/{{.campaign_id}}/{{.filename}}"},
		{"a folder named by a field", "5051", "{{.campaign_id}}/{{.filename}}"},
		{"manifest", "manifest", "{{.filename}}"},
		{"calls", "calls", "{{.filename}}"},
	} {
		all = append(all, example{"13 another file system on " + c.name, func(t testing.TB) {
			v := newVendor(t)
			v.fill(ago(5), 100, 5)
			a := onDisk(t, v, ago(5), ago(5), "--path-template", c.template)
			mount(t, filepath.Join(a.dest, c.folder), "8m")
			a.run().want(0)
			a.isClosed(ago(5))
			a.holds(v.bodies()...)
			if n := len(v.requests("media")); n != 5 {
				t.Errorf("%d requests for five recordings", n)
			}
			a.verify().want(0)
		}})
	}
	trouble := func(name string, change func(t testing.TB, folder string), mend func(t testing.TB, folder string)) {
		all = append(all, example{"13 " + name, func(t testing.TB) {
			date := ago(60) // long settled when runs are made older
			v := newVendor(t)
			v.fill(date, 100, 5)
			a := onDisk(t, v, date, date, "--path-template", "sub/{{.filename}}", "--retry-for", "3s")
			folder := filepath.Join(a.dest, "sub")
			mount(t, folder, "8m")
			change(t, folder)
			a.run().want(1)
			a.age(30 * day)
			a.run("--give-up", "1s").want(1)
			a.isOpen(date)
			for id, l := range a.day(date).recordings {
				if l.final() {
					t.Errorf("recording %s is final: %+v", id, l)
				}
			}
			mend(t, folder)
			a.run().want(0)
			a.isClosed(date)
			a.holds(v.bodies()...)
		}})
	}
	remount := func(flags uintptr, data string) func(testing.TB, string) {
		return func(t testing.TB, folder string) {
			if err := syscall.Mount("tmpfs", folder, "tmpfs", syscall.MS_REMOUNT|flags, data); err != nil {
				t.Fatal(err)
			}
		}
	}
	trouble("a folder that cannot be written", remount(syscall.MS_RDONLY, "size=8m"), remount(0, "size=8m"))
	trouble("a folder that is full", func(t testing.TB, folder string) {
		if err := os.WriteFile(filepath.Join(folder, ".filler"), make([]byte, 8<<20), 0o600); err != nil {
			t.Fatal(err)
		}
	}, func(t testing.TB, folder string) {
		if err := os.Remove(filepath.Join(folder, ".filler")); err != nil {
			t.Fatal(err)
		}
	})
	return append(all, example{"48 a folder below a mount point without its mount", func(t testing.TB) {
		v := newVendor(t)
		v.fill(ago(5), 100, 5)
		a := onDisk(t, v, ago(5), ago(5))
		disk := a.dest
		a.dest = filepath.Join(disk, "recordings")
		mount(t, disk, "8m")
		a.run().want(0)
		if err := syscall.Unmount(disk, 0); err != nil {
			t.Fatal(err)
		}
		a.run().want(1, 2).says("--new-archive")
		if _, err := os.Stat(a.dest); err == nil {
			t.Error("a folder was made below the mount point")
		}
	}}, example{"48 a mount point without its mount", func(t testing.TB) {
		v := newVendor(t)
		v.fill(ago(5), 100, 5)
		a := onDisk(t, v, ago(5), ago(5))
		mount(t, a.dest, "8m")
		a.run().want(0)
		if err := syscall.Unmount(a.dest, 0); err != nil {
			t.Fatal(err)
		}
		a.run().want(1, 2).says("--new-archive")
		if n := len(a.tree()); n > 0 {
			t.Errorf("%d files were written below the mount point", n)
		}
	}})
}

// otherUser: files of root in the destination, with a program run by another user.
func otherUser() []example {
	const nobody = 65534
	begin := func(t testing.TB) (*vendor, *archive) {
		needsRoot(t)
		v := newVendor(t)
		v.fill(ago(5), 100, 3)
		a := onDisk(t, v, ago(5), ago(5))
		for dir := filepath.Dir(a.dest); dir != filepath.Clean(os.TempDir()) && dir != "/"; dir = filepath.Dir(dir) {
			if err := os.Chmod(dir, 0o755); err != nil {
				t.Fatal(err)
			}
		}
		for _, dir := range []string{a.dest, a.state} {
			if err := os.Mkdir(dir, 0o700); err != nil {
				t.Fatal(err)
			}
			if err := os.Chown(dir, nobody, nobody); err != nil {
				t.Fatal(err)
			}
		}
		if err := os.Mkdir(filepath.Join(a.dest, "lost+found"), 0o700); err != nil {
			t.Fatal(err)
		}
		a.wrap = func(cmd *exec.Cmd) {
			cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody}}
			cmd.Dir = "/"
		}
		return v, a
	}
	return []example{{"34 lost+found", func(t testing.TB) {
		v, a := begin(t)
		a.run().want(0)
		a.isClosed(ago(5))
		a.holds(v.bodies()...)
		for _, flags := range [][]string{nil, {"--quick"}, {"--strict"}, {"--repair"}} {
			a.verify(flags...).want(0).says(`lost\+found`)
		}
	}}, {"34 lost+found with something in it", func(t testing.TB) {
		v, a := begin(t)
		a.put("lost+found/#12345", []byte("an orphan"))
		a.run().want(0)
		a.remove("lost+found/#12345")
		a.holds(v.bodies()...)
		a.put("lost+found/#12345", []byte("an orphan"))
		a.verify("--strict").want(0)
	}}, {"34 lost+found that can be read", func(t testing.TB) {
		_, a := begin(t)
		a.run().want(0)
		a.put("lost+found/#12345", []byte("an orphan"))
		a.wrap = nil // as root
		a.verify("--strict").want(0).says(`lost\+found`)
	}}}
}

// under runs the program with system calls modified by strace, on the given folders or everywhere.
func under(t testing.TB, a *archive, inject string, folders ...string) {
	t.Helper()
	strace, err := exec.LookPath("strace")
	if err == nil {
		err = exec.Command(strace, "-o", os.DevNull, "true").Run()
	}
	if err != nil {
		if os.Getenv("REQUIRE_STRACE") != "" {
			t.Fatalf("strace: %v", err)
		}
		skip(t, "strace: "+err.Error())
	}
	a.wrap = func(cmd *exec.Cmd) {
		calls, _, _ := strings.Cut(inject, ":")
		args := []string{"strace", "-f", "-qq", "-o", os.DevNull, "-e", "trace=" + calls, "-e", "inject=" + inject}
		for _, folder := range folders {
			args = append(args, "-P", folder)
		}
		cmd.Args = append(append(args, program), cmd.Args[1:]...)
		cmd.Path = strace
	}
}

// slowSyncs: the same leads on two days, with the older day's recordings missing at the source, and a
// template that names files by lead. A slow disk leaves time between the file of a later recording and
// its line. No missing recording gets that file.
func slowSyncs() []example {
	old := now.AddDate(0, 0, -8).Format(time.DateTime)
	young := now.AddDate(0, 0, -7).Add(5 * time.Minute).Format(time.DateTime)
	return []example{{"2b the same leads on two days", func(t testing.TB) {
		const n = 16
		v := newVendor(t)
		a := onDisk(t, v, old[:10], young[:10], "--path-template", "leads/{{.lead_id}}.mp3", "--order", "asc", "--purge-after", "7d", "--workers", "100")
		for i := range n {
			lead := fmt.Sprint(i)
			v.call(10000+i, old, v.recording(10000+i)).with("lead_id", lead)
			v.Bodies[tokenOf(10000+i)] = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				// The answer comes as soon as the other one's file exists, before it may be noted.
				for end := time.Now().Add(5 * time.Second); time.Now().Before(end); time.Sleep(200 * time.Microsecond) {
					if _, err := os.Stat(filepath.Join(a.dest, "leads", lead+".mp3")); err == nil {
						break
					}
				}
				reply(404, "text/plain", "gone")(w, r)
			})
			v.call(20000+i, young, v.recording(20000+i)).with("lead_id", lead)
		}
		under(t, a, "fsync,fdatasync:delay_enter=400000")
		a.run().want(3) // they are lost
		a.holds(v.bodies()...)
		a.isClosed(old[:10], young[:10])
		if got := a.day(old[:10]).outcomes(); got["lost"] != n {
			t.Errorf("noted are %v", got)
		}
	}}}
}

// failingCalls: system calls that some file systems do not support. strace makes them fail.
func failingCalls() []example {
	var all []example
	for _, errno := range []string{"ENOENT", "ENOTTY", "EINVAL", "ENOSYS", "EOPNOTSUPP"} {
		all = append(all, example{"35 fsync of a folder answers " + errno, func(t testing.TB) {
			v := newVendor(t)
			v.fill(ago(5), 100, 5)
			a := onDisk(t, v, ago(5), ago(5), "--path-template", "sub/{{.filename}}")
			var folders []string
			for _, folder := range []string{"", "sub", "manifest", "manifest/" + ago(5), "calls", "calls/" + ago(5), ".tmp"} {
				folder = filepath.Join(a.dest, folder)
				if err := os.MkdirAll(folder, 0o700); err != nil { // strace needs existing paths
					t.Fatal(err)
				}
				folders = append(folders, folder)
			}
			under(t, a, "fsync:error="+errno, append(folders, filepath.Dir(a.dest))...)
			a.run().want(0)
			a.isClosed(ago(5))
			a.holds(v.bodies()...)
		}})
	}
	for _, errno := range []string{"ENOLCK", "ENOSYS", "EOPNOTSUPP", "EIO"} {
		all = append(all, example{"36 flock answers " + errno, func(t testing.TB) {
			v := newVendor(t)
			v.fill(ago(5), 100, 5)
			a := onDisk(t, v, ago(5), ago(5))
			under(t, a, "flock:error="+errno)
			a.run().want(1, 2).says("lock").says("file system|filesystem").saysNot("panic")
			if n := len(v.requests("api")) + len(v.requests("media")); n > 0 {
				t.Errorf("%d requests", n)
			}
		}})
	}
	return all
}

// apart runs a function on a thread in its own mount namespace, with its own hosts file and no other
// names, and optionally in a network namespace. Its processes and listeners are in them; the thread ends
// with it.
func apart(t testing.TB, network bool, hosts string, run func()) {
	t.Helper()
	needsRoot(t)
	dir := t.TempDir()
	files := map[string]string{"hosts": "127.0.0.1 localhost\n" + hosts + "\n", "resolv.conf": ""}
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	spaces := syscall.CLONE_FS | syscall.CLONE_NEWNS
	if network {
		spaces |= syscall.CLONE_NEWNET
	}
	enter := func() error {
		if err := syscall.Unshare(spaces); err != nil {
			return fmt.Errorf("unshare: %w", err)
		}
		if err := syscall.Mount("", "/", "", syscall.MS_PRIVATE|syscall.MS_REC, ""); err != nil {
			return fmt.Errorf("make mounts private: %w", err)
		}
		for name := range files {
			if err := syscall.Mount(filepath.Join(dir, name), "/etc/"+name, "", syscall.MS_BIND, ""); err != nil {
				return fmt.Errorf("mount over /etc/%s: %w", name, err)
			}
		}
		return nil
	}
	done := make(chan error, 1)
	go func() {
		defer close(done)
		runtime.LockOSThread() // and never unlocked: nothing else must run on this thread
		if err := enter(); err != nil {
			done <- err
			return
		}
		run()
	}()
	if err := <-done; err != nil {
		skip(t, err.Error())
	}
}

// nat64: on an IPv6-only network, IPv4 addresses are embedded after a prefix. The embedded address
// decides.
func nat64() []example {
	var all []example
	for _, c := range []struct {
		name, address string
		allowed       bool
	}{
		{"a public address", "64:ff9b::808:808", true},
		{"another public address", "64:ff9b::5db8:d822", true},
		{"a private address", "64:ff9b::a00:1", false},
		{"a loopback address", "64:ff9b::7f00:1", false},
		{"the address of a cloud's metadata", "64:ff9b::a9fe:a9fe", false},
	} {
		all = append(all, example{"39 " + c.name, func(t testing.TB) {
			needsRoot(t)
			if _, err := exec.LookPath("ip"); err != nil {
				skip(t, "ip: "+err.Error())
			}
			v := newVendor(t)
			v.Origin = "https://media.example.com"
			v.fill(ago(5), 100, 3)
			a := onDisk(t, v, ago(5), ago(5), "--allow-host", "*.example.com")
			apart(t, true, c.address+" media.example.com", func() {
				for _, args := range [][]string{{"link", "set", "lo", "up"}, {"-6", "addr", "add", c.address + "/128", "dev", "lo", "nodad"}} {
					if out, err := exec.Command("ip", args...).CombinedOutput(); err != nil {
						t.Errorf("ip: %v: %s", err, out)
						return
					}
				}
				api, err := net.Listen("tcp", "127.0.0.1:0")
				if err != nil {
					t.Error(err)
					return
				}
				media, err := net.Listen("tcp", "["+c.address+"]:443")
				if err != nil {
					t.Error(err)
					return
				}
				v.api = &httptest.Server{Listener: api, Config: &http.Server{Handler: http.HandlerFunc(v.serveAPI)}}
				v.api.Start()
				defer v.api.Close()
				v.media = &httptest.Server{Listener: media, Config: &http.Server{Handler: http.HandlerFunc(v.serveMedia)}}
				v.media.StartTLS()
				defer v.media.Close()
				a.env = append(a.env, "SSL_CERT_FILE="+writePEM(t, v.media))
				if c.allowed {
					a.run().want(0)
					a.holds(v.bodies()...)
					return
				}
				a.run().want(3)
				a.isOpen(ago(5))
				if n := len(v.requests("media")); n > 0 {
					t.Errorf("%d requests to a private address", n)
				}
			})
		}})
	}
	return all
}

// namedProxies: the names of hosts ignore case and may end in a dot, and the port of SOCKS has a default.
func namedProxies() []example {
	var all []example
	for _, c := range []struct{ name, listen, address string }{
		{"PROXY.CORP.TEST", "127.0.0.1:0", "http://PROXY.CORP.TEST:PORT"},
		{"proxy.corp.test.", "127.0.0.1:0", "http://proxy.corp.test.:PORT"},
		{"Proxy.Corp.Test. without a scheme", "127.0.0.1:0", "Proxy.Corp.Test.:PORT"},
		{"socks5 without a port", "127.38.1.1:1080", "socks5://127.38.1.1"},
		{"socks5h without a port", "127.38.1.2:1080", "socks5h://127.38.1.2"},
		{"socks5 with a name and no port", "127.38.1.3:1080", "socks5://SOCKS.corp.test"},
	} {
		all = append(all, example{"38 proxy " + c.name, func(t testing.TB) {
			needsRoot(t)
			v, a, proxy, tunnels := behindProxy(t, c.listen)
			_, port, _ := strings.Cut(proxy, ":")
			a.env = append(a.env, "HTTPS_PROXY="+strings.Replace(c.address, "PORT", port, 1))
			apart(t, false, "127.0.0.1 proxy.corp.test\n127.38.1.3 socks.corp.test", func() { a.run().want(0) })
			a.isClosed(ago(5))
			a.holds(v.bodies()...)
			if tunnels.Load() == 0 {
				t.Error("the proxy was not asked")
			}
		}})
	}
	return all
}
