package e2e

import (
	"fmt"
	"net/http"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"convoso-archiver/fetcher/convosotest"
)

// TestDoctorOfWhole: in a healthy setup every check runs and succeeds, with both kinds of
// destination, before and after the first run, without a home folder or a terminal.
func TestDoctorOfWhole(t *testing.T) {
	t.Parallel()
	onDisk := []string{"configuration", "token", "state-folder", "proxy", "api-dns", "api-connect", "api-tls", "api-answer", "call-logs", "clock", "time-zone", "media-dns", "media-connect", "media-tls", "media-audio", "destination", "archive", "lock", "free-space"}
	inS3 := append(slices.Clone(onDisk[:15]), "store-dns", "store-connect", "store-tls", "store-list", "store-write", "conditional-writes", "archive")
	for name, c := range map[string]struct {
		s3, tls bool
		names   []string
	}{"disk": {names: onDisk}, "S3": {s3: true, names: inS3}, "S3 by TLS": {s3: true, tls: true, names: inS3}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := onePatient(t, convosotest.Config{})
			if c.s3 {
				p.inBucket(c.tls)
			}
			for _, archived := range []bool{false, true} {
				if archived {
					if out, err := p.command(t.Context(), "archive", "--quiet").CombinedOutput(); err != nil {
						t.Fatalf("archive: %v\n%s", err, out)
					}
				}
				d := p.examine()
				var names []string
				for _, check := range d.Checks {
					names = append(names, check.Name)
					if check.State != "ok" || check.Saw == "" || check.Do != "" {
						t.Errorf("archived %v: %+v", archived, check)
					}
				}
				if d.code != 0 || d.stderr != "" || !slices.Equal(names, c.names) {
					t.Errorf("archived %v: exit code %d, stderr %q, checks %q", archived, d.code, d.stderr, names)
				}
			}
			d := p.examine()
			if c.s3 {
				d.want(t, "store-write", "ok", "of an earlier run was read, and nothing was written")
			}
			d.want(t, "archive", "ok", "was made with these settings")
		})
	}
}

// TestDoctorFindsWhatIsBroken breaks one thing at a time.
func TestDoctorFindsWhatIsBroken(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		config convosotest.Config
		breaks func(p *patient)
		code   int
		bad    string   // failed checks
		words  []string // in the last of them
		check  string   // the check with the words, if it is another one
		linux  bool
	}{
		"file with three mistakes": {breaks: func(p *patient) {
			p.flags["config"] = p.file("archive.yaml", "wrokers: 3\npage-size: 900\nsettle: soon\n", 0o600)
		}, code: 2, bad: "f configuration", words: []string{`unknown key "wrokers"`, "did you mean workers?"}},
		"template that names no field": {breaks: func(p *patient) { p.flags["path-template"] = "{{.nothing}}" }, code: 2, bad: "f configuration", words: []string{"--path-template", "nothing"}},
		"API without TLS":              {breaks: func(p *patient) { p.flags["api-url"] = "http://api.example.com/v1" }, code: 2, bad: "f configuration", words: []string{"it must be https"}},
		"no token":                     {breaks: func(p *patient) { p.env["CONVOSO_AUTH_TOKEN"] = "" }, code: 2, bad: "f token", words: []string{"no API token", "CONVOSO_AUTH_TOKEN"}},
		"token in two lines":           {breaks: func(p *patient) { p.env["CONVOSO_AUTH_TOKEN"] = canaryToken + "\n" + canaryToken }, code: 2, bad: "f token", words: []string{"contains more than an API token", "must contain only the token"}},
		"token file is not there":      {breaks: func(p *patient) { p.env["CONVOSO_AUTH_TOKEN"] = ""; p.flags["auth-token-file"] = "/nonexistent/token" }, code: 2, bad: "f token", words: []string{"/nonexistent/token", "check --auth-token-file"}},
		"token file for everybody": {breaks: func(p *patient) {
			p.env["CONVOSO_AUTH_TOKEN"] = ""
			p.flags["auth-token-file"] = p.file("token", canaryToken+"\n", 0o644)
		}, bad: "w token", words: []string{"read by every user", "chmod 600"}},
		"token in a pipe that nobody writes to": {breaks: func(p *patient) {
			p.env["CONVOSO_AUTH_TOKEN"] = ""
			p.flags["auth-token-file"] = filepath.Join(p.t.TempDir(), "pipe")
			if out, err := exec.Command("mkfifo", p.flags["auth-token-file"]).CombinedOutput(); err != nil {
				p.t.Fatalf("mkfifo: %v: %s", err, out)
			}
		}, code: 2, bad: "f token", words: []string{"did not end within 10s: it may be a pipe that nobody writes to", "check --auth-token-file"}, linux: true},
		"metrics cannot be written": {breaks: func(p *patient) { p.flags["metrics-file"] = "/proc/nightly.prom" }, bad: "w metrics-file", words: []string{"no file can be made in /proc", "another --metrics-file"}, linux: true},
		"metrics can be written":    {breaks: func(p *patient) { p.flags["metrics-file"] = filepath.Join(p.t.TempDir(), "nightly.prom") }, check: "metrics-file", words: []string{"files can be made in"}},
		"nobody answers pings":      {breaks: func(p *patient) { p.flags["ping-url"] = "http://127.0.0.1:1/" + canary }, bad: "w ping", words: []string{"127.0.0.1:1", "refused", "check --ping-url"}},
		"pings to an unknown authority": {breaks: func(p *patient) { p.flags["ping-url"] = p.listener(true).URL + "/" + canary },
			bad: "w ping", words: []string{"an authority that this machine does not trust"}},
		"pings arrive": {breaks: func(p *patient) { p.flags["ping-url"] = p.listener(false).URL + "/" + canary }, check: "ping", words: []string{"connected to 127.0.0.1:", "nothing was sent"}},
		"pings by a proxy that is not there": {breaks: func(p *patient) {
			p.flags["ping-url"] = "https://hc.example.com/" + canary
			p.env["HTTPS_PROXY"] = "http://user:" + canary + "@127.0.0.1:1"
		}, bad: "w ping", words: []string{"dial tcp 127.0.0.1:1", "the proxy variables"}},
		"token refused":       {breaks: func(p *patient) { p.source.SetTokenValid(false) }, code: 2, bad: "f call-logs", words: []string{"refused the token (code 5001", "CONVOSO_AUTH_TOKEN"}},
		"token without right": {breaks: func(p *patient) { p.source.FailAPI(convosotest.API403, 0) }, code: 2, bad: "f call-logs", words: []string{"code 403", "may search call logs"}},
		"no calls": {breaks: func(p *patient) {
			p.source.SetAPIHook(nil)
			p.flags["time-zone"] = "America/Los_Angeles"
			p.hideCalls()
		}, bad: "w call-logs", words: []string{"no call of the last 60 days"}},
		"name that does not resolve":  {breaks: func(p *patient) { p.flags["api-url"] = "https://api.invalid/v1" }, code: 1, bad: "f api-dns", words: []string{"api.invalid", "--api-url"}},
		"closed port":                 {breaks: func(p *patient) { p.flags["api-url"] = "http://127.0.0.1:1/v1" }, code: 1, bad: "f api-connect", words: []string{"127.0.0.1:1", "refused", "firewall"}},
		"unknown authority":           {config: convosotest.Config{TLS: certificate(t, time.Hour, "127.0.0.1").server}, code: 1, bad: "f api-tls", words: []string{"an authority that this machine does not trust", "SSL_CERT_FILE"}},
		"a server that speaks no TLS": {breaks: func(p *patient) { p.flags["api-url"] = strings.Replace(p.source.APIURL(), "http:", "https:", 1) }, code: 1, bad: "f api-tls", words: []string{"does not speak TLS"}},
		"address of another site":     {breaks: func(p *patient) { p.flags["api-url"] = p.source.APIURL() + "/v2" }, code: 1, bad: "f api-answer", words: []string{"404", "check --api-url"}},
		"gateway's page":              {breaks: func(p *patient) { p.source.FailAPI(convosotest.APIGateway, 0) }, code: 1, bad: "f api-answer", words: []string{"504", "ask the vendor"}},
		"API that hangs":              {breaks: func(p *patient) { p.source.FailAPI(convosotest.APIHang, 0) }, code: 1, bad: "f api-answer", words: []string{"did not answer: timed out"}},
		"API that asks to wait":       {breaks: func(p *patient) { p.source.FailAPI(convosotest.APILimit, 0) }, bad: "w api-answer", words: []string{"asks to slow down", "429"}},
		"API that asks for hours":     {breaks: func(p *patient) { p.source.FailAPI(convosotest.APILimitHours, 0) }, code: 1, bad: "f api-answer", words: []string{"asks to wait for 2h"}},
		"unknown campaign":            {breaks: func(p *patient) { p.flags["campaign-id"] = "1" }, code: 2, bad: "f filters", words: []string{"6004", "check --campaign-id"}},
		"clock two hours ahead":       {config: convosotest.Config{ClockSkew: -2 * time.Hour}, code: 1, bad: "f clock", words: []string{"2h", "ahead of the API", "NTP"}},
		"clock 20 minutes behind":     {config: convosotest.Config{ClockSkew: 20 * time.Minute}, bad: "w clock", words: []string{"behind the API"}},
		"wrong time zone":             {breaks: func(p *patient) { p.flags["time-zone"] = "America/New_York" }, code: 2, bad: "f time-zone", words: []string{"3h apart in America/New_York", "give --time-zone America/Los_Angeles"}},
		"media host not allowed":      {breaks: func(p *patient) { p.flags["allow-host"] = "*.convoso.com" }, code: 2, bad: "f media-audio", words: []string{"which is not allowed", "add --allow-host http://127.0.0.1:"}},
		"media host in a private network": {config: convosotest.Config{MediaOrigin: "https://localhost"}, breaks: func(p *patient) { p.flags["allow-host"] = "localhost" },
			code: 2, bad: "f media-audio", words: []string{"localhost is in a private network"}},
		"media host leads away": {breaks: func(p *patient) { p.source.SetMediaDown(convosotest.FaultRedirectElsewhere) }, code: 2, bad: "f media-audio", words: []string{"redirects to a host that is not allowed"}},
		"media host is down":    {breaks: func(p *patient) { p.source.SetMediaDown(convosotest.FaultResetEarly) }, code: 1, bad: "f media-audio", words: []string{"did not answer"}},
		"no audio to be had":    {breaks: func(p *patient) { p.source.SetMediaDown(convosotest.FaultNotFound) }, bad: "w media-audio", words: []string{"for 3 recordings", "status 200 and no audio"}},
		"proxy that is not there": {breaks: func(p *patient) {
			p.flags["api-url"] = "https://api.example.com/v1"
			p.env["HTTPS_PROXY"] = "http://user:" + canary + "@127.0.0.1:1"
		}, code: 1, bad: "f api-connect", words: []string{"the proxy: dial tcp 127.0.0.1:1", "check HTTPS_PROXY"}},
		"proxy that is no address": {breaks: func(p *patient) {
			p.flags["api-url"] = "https://api.example.com/v1"
			p.env["HTTPS_PROXY"] = "http://user:" + canary + "@[bad"
		},
			code: 2, bad: "f proxy, f api-dns", words: []string{"a proxy variable is not an address"}, check: "proxy"},
		"destination is a file":     {breaks: func(p *patient) { p.flags["dest"] = p.file("file", "", 0o600) }, code: 2, bad: "f destination", words: []string{"is not a folder", "another --dest"}},
		"destination is read-only":  {breaks: func(p *patient) { p.lockUp("dest") }, code: 1, bad: "f destination", words: []string{"permission denied", "let this user read and write"}, linux: true},
		"state folder is read-only": {breaks: func(p *patient) { p.lockUp("state-dir") }, code: 1, bad: "f state-folder", words: []string{"permission denied", "another --state-dir"}, linux: true},
		"calls is another user's": {breaks: func(p *patient) {
			p.archive()
			p.flags["dest"] += "/calls"
			p.lockUp("dest")
			p.flags["dest"] = filepath.Dir(p.flags["dest"])
		}, code: 1, bad: "f destination", words: []string{"calls", "permission denied"}, linux: true},
		"folder that is a link":      {breaks: func(p *patient) { p.link() }, code: 2, bad: "f destination", words: []string{"links below the destination"}, linux: true},
		"mount point without mount":  {breaks: func(p *patient) { p.unmount() }, code: 2, bad: "f destination", words: []string{"contained an archive before, but not any more", "--new-archive"}},
		"no room":                    {breaks: func(p *patient) { p.mount("8m") }, code: 1, bad: "f free-space", words: []string{"8.4 MB is free", "another --dest"}, linux: true},
		"little room":                {breaks: func(p *patient) { p.mount("64m") }, bad: "w free-space", words: []string{"67.1 MB is free"}, linux: true},
		"archive of another account": {breaks: func(p *patient) { p.archive(); p.change(`"100200"`, `"900900"`) }, code: 2, bad: "f archive", words: []string{"belongs to account 900900, the token to account 100200"}},
		"archive of another zone":    {breaks: func(p *patient) { p.archive(); p.change("America/Los_Angeles", "America/Denver") }, code: 2, bad: "f archive", words: []string{"time zone America/Denver", "give --time-zone America/Denver"}},
		"archive of another API":     {breaks: func(p *patient) { p.archive(); p.change("127.0.0.1", "127.0.0.2") }, code: 2, bad: "f archive", words: []string{"127.0.0.2"}},
		"archive of a later version": {breaks: func(p *patient) { p.archive(); p.change(`"v":2`, `"v":3`) }, code: 1, bad: "f archive", words: []string{"format version 3", "a newer version"}},
		"archive that is spoiled":    {breaks: func(p *patient) { p.archive(); p.change(`{`, `[`) }, code: 1, bad: "f archive", words: []string{"archive.json"}},
		"bucket is missing":          {breaks: func(p *patient) { p.inBucket(false).flags["dest"] = "s3://no-such-bucket/calls" }, code: 1, bad: "f store-list", words: []string{"NoSuchBucket", "check the name in --dest"}},
		"wrong secret key":           {breaks: func(p *patient) { p.inBucket(false).env["AWS_SECRET_ACCESS_KEY"] = "another" }, code: 1, bad: "f store-list", words: []string{"SignatureDoesNotMatch", "AWS_SECRET_ACCESS_KEY"}},
		"no credentials":             {breaks: func(p *patient) { p.inBucket(false).env["AWS_ACCESS_KEY_ID"] = "" }, code: 1, bad: "f destination", words: []string{"no usable AWS credentials", "AWS_ACCESS_KEY_ID"}},
		"store is down":              {breaks: func(p *patient) { p.inBucket(false).flags["s3-endpoint"] = "http://127.0.0.1:1" }, code: 1, bad: "f store-connect", words: []string{"127.0.0.1:1", "check --s3-endpoint"}},
		"store of unknown authority": {breaks: func(p *patient) { p.inBucket(true).env["AWS_CA_BUNDLE"] = "" }, code: 1, bad: "f store-tls", words: []string{"does not trust", "AWS_CA_BUNDLE"}},
		"store ignores conditions":   {breaks: func(p *patient) { p.inBucket(false).ignoreConditions() }, code: 1, bad: "f conditional-writes", words: []string{"ignores If-None-Match", "--s3-no-conditional-writes"}},
		"all hosts hang": {breaks: func(p *patient) { // examine limits the time
			p.source.FailAPI(convosotest.APIHang, 0)
			p.inBucket(false).bucket.trouble(func(_ http.ResponseWriter, r *http.Request, _ int) bool {
				<-r.Context().Done()
				return true
			})
		}, code: 1, bad: "f api-answer, f store-list", words: []string{"did not answer", "--s3-endpoint"}},
		"store takes no writes": {breaks: func(p *patient) {
			p.inBucket(false).bucket.trouble(func(w http.ResponseWriter, r *http.Request, _ int) bool { return refuse(w, r, http.MethodPut) })
		}, code: 1, bad: "f store-write", words: []string{"AccessDenied", "s3:PutObject"}},
		"store lets nothing be removed": {breaks: func(p *patient) {
			p.inBucket(false).bucket.trouble(func(w http.ResponseWriter, r *http.Request, _ int) bool { return refuse(w, r, http.MethodDelete) })
		}, words: []string{"but not removed, because the credentials may not"}, check: "store-write"},
		"store lists nothing": {breaks: func(p *patient) {
			p.inBucket(false).bucket.trouble(func(w http.ResponseWriter, r *http.Request, _ int) bool {
				return r.URL.Query().Has("list-type") && refuse(w, r, http.MethodGet)
			})
		}, code: 1, bad: "f store-list", words: []string{"AccessDenied", "s3:ListBucket"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if c.linux && runtime.GOOS != "linux" {
				t.Skip("this is broken in Linux's way")
			}
			p := onePatient(t, c.config)
			if c.breaks != nil {
				c.breaks(p)
			}
			d := p.examine()
			if d.code != c.code || d.bad() != c.bad {
				t.Errorf("exit code %d, want %d; not well: %s; want %s\n%s", d.code, c.code, d.bad(), c.bad, d.stdout)
			}
			state, name := "ok", c.check
			if i := strings.LastIndexByte(c.bad, ' '); i >= 0 {
				state = map[byte]string{'f': "failed", 'w': "warning"}[c.bad[i-1]]
				if name == "" {
					name = c.bad[i+1:]
				}
			}
			d.want(t, name, state, c.words...)
		})
	}
}

// TestDoctorFindsFiveAtOnce: one run reports all problems.
func TestDoctorFindsFiveAtOnce(t *testing.T) {
	t.Parallel()
	p := onePatient(t, convosotest.Config{ClockSkew: -2 * time.Hour})
	p.flags["config"] = p.file("archive.yaml", "wrokers: 3\npage-size: 900\n", 0o600)
	p.env["CONVOSO_AUTH_TOKEN"] = ""
	p.flags["auth-token-file"] = p.file("token", canaryToken, 0o644)
	p.flags["time-zone"], p.flags["allow-host"] = "America/New_York", "*.convoso.com"
	p.flags["state-dir"] = filepath.Join(p.file("file", "", 0o600), "state")
	p.inBucket(false).ignoreConditions()
	d := p.examine()
	if want := "f configuration, w token, f state-folder, f clock, f time-zone, f media-audio, f conditional-writes"; d.code != 2 || d.bad() != want {
		t.Errorf("exit code %d, not well: %s; want %s\n%s", d.code, d.bad(), want, d.stdout)
	}
	d.want(t, "configuration", "failed", `"wrokers"`)
	d.want(t, "configuration", "failed", "900 is out of range")
	if want := `"failed: configuration, state-folder, clock, time-zone, media-audio, conditional-writes"`; strings.Count(d.stderr, "\n") != 1 || !strings.Contains(d.stderr, want) {
		t.Errorf("stderr %q, want one line with %s", d.stderr, want)
	}
}

// TestDoctorStoresNothing compares everything in the destination before and after, and the state
// folder: names, bytes, and modification times.
func TestDoctorStoresNothing(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ s3, archived bool }{
		"nothing on disk": {}, "an archive on disk": {archived: true}, "an empty bucket": {s3: true}, "an archive in a bucket": {s3: true, archived: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := onePatient(t, convosotest.Config{})
			dest := p.flags["dest"]
			if c.s3 {
				p.inBucket(false)
				dest = p.bucket.server.Dir
			}
			if c.archived {
				p.archive()
			}
			before := treeOf(t, dest) + treeOf(t, filepath.Dir(p.flags["state-dir"]))
			for range 2 {
				if d := p.examine(); d.code != 0 {
					t.Errorf("exit code %d: %s", d.code, d.stdout)
				}
			}
			if after := treeOf(t, dest) + treeOf(t, filepath.Dir(p.flags["state-dir"])); after != before {
				t.Errorf("before:\n%s\nafter:\n%s", before, after)
			}
		})
	}
}

// TestDoctorAsText: a line for each check, without successful ones if --quiet, and one line on
// stderr with the failed ones.
func TestDoctorAsText(t *testing.T) {
	t.Parallel()
	p := onePatient(t, convosotest.Config{ClockSkew: -2 * time.Hour})
	out, err := p.command(t.Context(), "doctor").Output()
	if lines := strings.Count(string(out), "\n"); err == nil || lines != 19 || !strings.Contains(string(out), "\nfailed   clock               this machine's clock is 2h") {
		t.Errorf("%v, %d lines:\n%s", err, lines, out)
	}
	cmd := p.command(t.Context(), "doctor", "--quiet", "--log-format", "text")
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, _ = cmd.Output()
	if strings.Count(string(out), "\n") != 1 || !strings.HasPrefix(string(out), "failed   clock ") || stderr.String() != "doctor: failed: clock\n" {
		t.Errorf("with --quiet:\n%s\nstderr: %s", out, &stderr)
	}
}

// TestDoctorOfWrongFlags reports only the flags, because it is unknown what to check.
func TestDoctorOfWrongFlags(t *testing.T) {
	t.Parallel()
	p := onePatient(t, convosotest.Config{})
	for _, args := range [][]string{{"--wrokers", "3"}, {"stray"}, {"--dest"}} {
		if d := p.examine(args...); d.code != 2 || len(d.Checks) != 1 || d.bad() != "f configuration" {
			t.Errorf("%q: exit code %d, %+v", args, d.code, d.Checks)
		}
	}
	if n := p.source.Stats().API.Requests; n != 0 {
		t.Errorf("%d requests", n)
	}
}

// TestDoctorSeesRun: a run in progress is not a failure, and is not disturbed.
func TestDoctorSeesRun(t *testing.T) {
	t.Parallel()
	p := onePatient(t, convosotest.Config{})
	held, release := holdMedia(t, p.source)
	run := p.command(t.Context(), "archive", "--quiet", "--workers", "1")
	if err := run.Start(); err != nil {
		t.Fatal(err)
	}
	waitFor(t, held)
	d := p.examine()
	release()
	d.want(t, "lock", "ok", fmt.Sprintf("another run (process %d, started", run.Process.Pid), "is in progress")
	if err := run.Wait(); d.code != 0 || err != nil {
		t.Errorf("exit code %d; the run: %v\n%s", d.code, err, d.stdout)
	}
}

// TestDoctorStops: SIGTERM ends it at once, no matter what hangs.
func TestDoctorStops(t *testing.T) {
	t.Parallel()
	if runtime.GOOS == "windows" {
		t.Skip("Windows has no SIGTERM")
	}
	p := onePatient(t, convosotest.Config{})
	p.source.FailAPI(convosotest.APIHang, 0)
	p.inBucket(false).bucket.trouble(func(_ http.ResponseWriter, r *http.Request, _ int) bool {
		<-r.Context().Done()
		return true
	})
	cmd := p.command(t.Context(), "doctor")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	waitFor(t, func() bool { return p.source.Stats().API.Requests > 0 })
	began := time.Now()
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait()
	if took := time.Since(began); cmd.ProcessState.ExitCode() != 143 || took > 8*time.Second {
		t.Errorf("exit code %d after %s", cmd.ProcessState.ExitCode(), took)
	}
}

// TestDoctorTellsCertificates: an expired certificate, and one for another host.
func TestDoctorTellsCertificates(t *testing.T) {
	t.Parallel()
	if runtime.GOOS != "linux" {
		t.Skip("SSL_CERT_FILE is for Linux")
	}
	for name, c := range map[string]struct {
		ends    time.Duration
		address string
		state   string
		says    string
	}{
		"good":            {time.Hour, "127.0.0.1", "ok", "is trusted, and expires on 20"},
		"ended":           {-time.Hour, "127.0.0.1", "failed", "this machine's clock is wrong"},
		"of another host": {time.Hour, "127.0.0.2", "failed", "the certificate is not valid for 127.0.0.1"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			made := certificate(t, c.ends, c.address)
			p := onePatient(t, convosotest.Config{TLS: made.server})
			p.env["SSL_CERT_FILE"] = writeCertificate(t, made.x509)
			d := p.examine()
			if (d.code == 0) != (c.state == "ok") {
				t.Errorf("exit code %d\n%s", d.code, d.stdout)
			}
			d.want(t, "api-tls", c.state, c.says)
		})
	}
}

// TestDoctorsAtOnce: init containers of a parallel job check one new bucket in parallel, while a run starts there.
// None misjudges the server.
func TestDoctorsAtOnce(t *testing.T) {
	t.Parallel()
	p := onePatient(t, convosotest.Config{}).inBucket(false)
	dest := p.flags["dest"]
	for round := range 4 {
		p.flags["dest"] = fmt.Sprintf("%s/round%d", dest, round)
		var looks sync.WaitGroup
		for i := range 4 {
			looks.Go(func() {
				out, err := p.command(t.Context(), "doctor", "--quiet", "--state-dir", filepath.Join(p.t.TempDir(), "state")).CombinedOutput()
				if err != nil {
					t.Errorf("round %d, doctor %d: %v\n%s", round, i, err, out)
				}
			})
		}
		looks.Go(func() {
			out, err := p.command(t.Context(), "archive", "--quiet", "--state-dir", filepath.Join(p.t.TempDir(), "state")).CombinedOutput()
			if err != nil {
				t.Errorf("round %d, archive: %v\n%s", round, err, out)
			}
		})
		looks.Wait()
	}
}
