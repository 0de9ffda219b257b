// The command serve: its flags and their checks, and the listener.

package cli

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/netip"
	"regexp"
	"runtime"
	"strings"
	"sync"
	"time"

	"convoso-archiver/archiver/store"
	"convoso-archiver/internal/web"
	"convoso-archiver/manifest/report"
	"convoso-archiver/search"
)

const (
	groupListen = "ADDRESS AND USERS"
	groupAccess = "ACCESS LOG"
)

func serveSettings() []setting {
	archive := archiveSettings()
	settings := []setting{
		{name: "listen", group: groupListen, placeholder: "ADDRESS", defaultValue: "127.0.0.1:8480", usage: "address and port; port 0 takes a free port. An address that other machines can reach needs --users or --auth-header"},
		{name: "users", group: groupListen, placeholder: "FILE", usage: "htpasswd file (bcrypt) with rights in a third field; changes apply at the next request"},
		{name: "auth-header", group: groupListen, placeholder: "NAME", usage: "header with the name of the user, set by a trusted proxy, like X-Remote-User"},
		{name: "trusted-proxy", kind: list, group: groupListen, placeholder: "CIDR", usage: "address or network of the proxy that sets --auth-header; repeatable"},
		{name: "rights", group: groupListen, placeholder: "RIGHTS", usage: "rights of users that the users file does not list: listen, download, numbers, audit; like listen;campaigns=12,13 (default: listen,download,audit; with --auth-header: listen)"},
		{name: "host", kind: list, group: groupListen, placeholder: "NAME", usage: "host name under which browsers open the page, in addition to loopback; repeatable"},
		{name: "tls-cert", group: groupListen, placeholder: "FILE", usage: "TLS certificate and chain, in PEM"},
		{name: "tls-key", group: groupListen, placeholder: "FILE", usage: "private key of --tls-cert, in PEM"},
		{name: "access-log", group: groupAccess, placeholder: "DEST", usage: "folder, or s3://bucket/prefix, for a log of every opened call, play and download; required with --users or --auth-header"},
		{name: "require-reason", kind: toggle, group: groupAccess, usage: "ask for a reason before each play and download"},
	}
	settings = append(settings, searchedSettings()...)
	for _, name := range []string{"settle", "purge-after", "give-up", "log-level", "log-format"} {
		s, _ := named(archive, name)
		if name == "log-level" {
			s.usage = "minimum level of log messages (default: info)" // serve has no --quiet
		}
		settings = append(settings, s)
	}
	return settings
}

func serveCommand() command {
	return command{
		name:  "serve",
		usage: "start a web page to search, listen, and see which days are complete",
		about: `Serves a web page over an archive: search calls, play recordings, download them
as a ZIP, and see in a calendar which days are complete. It reads only the
archive, needs no token, and may run while archive runs. Phone numbers are
masked for users without the right "numbers" (--users, --rights).

serve prints the address on stdout. Ctrl-C stops serve.`,
		examples: []example{
			{"search and listen on this machine", "convoso-archiver serve --dest /archive"},
			{"also show complete phone numbers", "convoso-archiver serve --dest /archive --rights listen,download,numbers,audit"},
			{"for a team, with logins and TLS",
				"htpasswd -B -C 10 -c /etc/convoso-archiver/users anna\n" +
					"convoso-archiver serve --dest s3://my-bucket/calls --listen 0.0.0.0:8443 --host calls.example.com \\\n" +
					"    --users /etc/convoso-archiver/users --tls-cert cert.pem --tls-key key.pem --access-log /var/log/calls"},
			{"behind a proxy that does the logins",
				"convoso-archiver serve --dest /archive --auth-header X-Remote-User --trusted-proxy 127.0.0.1 \\\n" +
					"    --host calls.example.com --access-log /var/log/calls"},
		},
		settings:    serveSettings(),
		environment: true,
		works:       true,
		run:         runServe,
	}
}

// serveJob holds the checked settings of serve.
type serveJob struct {
	search  *searchJob
	listen  string
	users   string
	tlsCert string
	tlsKey  string
	log     accessPlace
	config  web.Config // without the opened parts
	rules   report.Options
}

// accessPlace is the location of the access log; the zero value means none.
type accessPlace struct {
	folder string
	bucket store.S3Options
}

func (a accessPlace) isSet() bool { return a.folder != "" || a.bucket.Bucket != "" }

func runServe(ctx context.Context, p *process, in input) outcome {
	known := withArchiveKeys(serveSettings())
	merged, err := gather(ctx, known, in.flags, p.env)
	read := newReader(known, merged, in, err)
	talk := output{logLevel: read.choice("log-level"), format: read.choice("log-format")}
	p.openLog(talk)
	job := read.serveJob(time.Now(), p.env)
	if read.err != nil {
		return judge(read.err, nil, false)
	}
	return served(p.serve(ctx, job), context.Cause(ctx))
}

// served returns the outcome of serve. A stop is its normal end, so no advice to run it again is
// printed.
func served(err, cause error) outcome {
	o := judge(err, cause, false)
	if signal, stopped := errors.AsType[*SignalError](cause); stopped && !o.failed {
		o.line = signal.Error()
	}
	o.counts = []any{} // its end is logged like that of a run
	return o
}

func (r *reader) serveJob(now time.Time, env environment) *serveJob {
	j := &serveJob{
		search: r.searchJob(now, env, runtime.GOOS), listen: r.text("listen"), users: r.text("users"),
		tlsCert: r.text("tls-cert"), tlsKey: r.text("tls-key"),
	}
	j.rules = report.Options{
		Settle: r.duration("settle", 0), PurgeAfter: r.duration("purge-after", time.Second), GiveUp: r.duration("give-up", time.Second),
	}
	j.config = web.Config{
		AuthHeader: r.header("auth-header"), TrustedProxies: r.networks("trusted-proxy"), Hosts: r.hosts("host"),
		RequireReason: r.toggle("require-reason"), Rules: j.rules,
	}
	j.config.Everybody = r.rights(j)
	j.log = r.accessPlace(env)
	r.checkServe(j)
	return j
}

var headerPattern = regexp.MustCompile(`^[A-Za-z0-9-]{1,64}$`)

func (r *reader) header(name string) string {
	value := r.text(name)
	if value != "" && !headerPattern.MatchString(value) {
		r.fail(r.values[name].origin, "write it like X-Remote-User", "it is not the name of a header")
	}
	return value
}

func (r *reader) networks(name string) []netip.Prefix {
	var networks []netip.Prefix
	for _, text := range r.list(name) {
		prefix, err := netip.ParsePrefix(text)
		if address, errOne := netip.ParseAddr(text); err != nil && errOne == nil && address.Zone() == "" {
			address = address.Unmap()
			prefix, err = address.Prefix(address.BitLen())
		}
		if err != nil {
			r.fail(r.values[name].origin, "write it like 10.0.0.0/8 or 127.0.0.1", "it is not an address or a network")
			continue
		}
		if prefix.Bits() == 0 {
			r.fail(r.values[name].origin, "name the proxy's own address", "it includes every address")
		}
		networks = append(networks, prefix.Masked())
	}
	return networks
}

var hostPattern = regexp.MustCompile(`^[A-Za-z0-9:]([A-Za-z0-9.:_-]{0,251}[A-Za-z0-9])?$`)

func (r *reader) hosts(name string) []string {
	hosts := r.list(name)
	for _, host := range hosts {
		if _, _, err := net.SplitHostPort(host); err == nil || !hostPattern.MatchString(host) {
			r.fail(r.values[name].origin, "write it like calls.example.com, without a port", "it is not a host name")
		}
	}
	return hosts
}

// rights reads the default rights. With a users file, other users have none, unless --rights is
// set.
func (r *reader) rights(j *serveJob) web.Rights {
	text := r.text("rights")
	switch {
	case text != "":
	case j.users != "":
		return web.Rights{}
	case j.config.AuthHeader != "":
		text = "listen"
	default:
		text = "listen,download,audit"
	}
	rights, err := web.ParseRights(text)
	if err != nil {
		r.fail(r.values["rights"].origin, "write it like listen,download;campaigns=12", "%v", err)
	}
	return rights
}

// accessPlace reads the location of the access log. A bucket uses the S3 settings of the archive.
func (r *reader) accessPlace(env environment) accessPlace {
	value := r.text("access-log")
	rest, isS3 := strings.CutPrefix(value, "s3://")
	if !isS3 {
		if schemePattern.MatchString(value) {
			r.fail(r.values["access-log"].origin, "give a folder, or s3://bucket/prefix", "only folders and s3:// are supported")
		}
		return accessPlace{folder: value}
	}
	bucket := r.s3Options(env)
	bucket.Bucket, bucket.Prefix, _ = strings.Cut(rest, "/")
	bucket.Prefix = strings.TrimSuffix(bucket.Prefix, "/")
	if problem := badBucket(bucket.Bucket, bucket.Prefix); problem != "" {
		r.fail(r.values["access-log"].origin, "write it like s3://bucket/prefix", "%s", problem)
	}
	return accessPlace{bucket: bucket}
}

// checkServe refuses settings that would show the archive to unknown users.
func (r *reader) checkServe(j *serveJob) {
	host, _, err := net.SplitHostPort(j.listen)
	_, origin := r.raw("listen")
	if err != nil {
		r.fail(origin, "write it like 127.0.0.1:8480", "it is not an address with a port")
		return
	}
	named := j.users != "" || j.config.AuthHeader != ""
	local := isLoopback(host)
	if (j.tlsCert == "") != (j.tlsKey == "") {
		r.keep(misuse("give both", "--tls-cert and --tls-key go together"))
	}
	if j.config.AuthHeader != "" && len(j.config.TrustedProxies) == 0 {
		r.keep(misuse("give the proxy's address with --trusted-proxy", "--auth-header: anybody could send that header"))
	}
	if named && !j.log.isSet() {
		r.keep(misuse("give a folder, or s3://bucket/prefix", "--access-log is required with --users and --auth-header"))
	}
	switch {
	case !local && !named:
		r.fail(origin, "give --users, or --auth-header with --trusted-proxy, or listen at 127.0.0.1", "without a login anybody who reaches this address could hear the recordings")
	case !local && j.users != "" && j.tlsCert == "" && len(j.config.TrustedProxies) == 0:
		r.fail(origin, "give --tls-cert and --tls-key, or the address of a proxy that speaks TLS with --trusted-proxy", "passwords would be sent unencrypted")
	}
}

// isLoopback reports whether an address is reachable only from this machine.
func isLoopback(host string) bool {
	if strings.EqualFold(host, "localhost") {
		return true
	}
	address, err := netip.ParseAddr(host)
	return err == nil && address.IsLoopback()
}

// serve opens everything, prints the page's address, and serves until ctx ends.
func (p *process) serve(ctx context.Context, j *serveJob) (err error) {
	logger := p.logger
	j.config.Logger, j.config.Build = logger, metricsBuild()
	if j.users != "" {
		if j.config.Users, err = web.OpenUsers(j.users, logger); err != nil {
			try := "docs/serve.md describes the format"
			if errors.Is(err, fs.ErrNotExist) {
				try = "check the path, or make the file with htpasswd -B; " + try
			}
			return misuse(try, "--users: %v", err)
		}
	}
	secure, err := j.certificate(ctx)
	if err != nil {
		return err
	}
	archive, err := j.search.open(ctx, logger)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, archive.Close(ctx)) }()
	if j.log.isSet() {
		if j.config.Log, err = j.log.open(ctx, archive.opened.Ledger.Run()); err != nil {
			return err
		}
		defer func() { err = errors.Join(err, j.config.Log.Close()) }()
	}
	if err := j.search.openIndex(ctx, archive); err != nil && ctx.Err() == nil {
		logger.Warn("searching without an index, which takes longer", "err", err)
	}
	if archive.index != nil {
		plain := *archive
		fresh, every := &freshness{}, refreshFolder
		if j.search.folder == "" {
			every = refreshBucket
		}
		archive.Archive = archive.WithIndexWhile(archive.index, fresh.holds)
		refresh, stop := context.WithCancel(ctx)
		var refreshing sync.WaitGroup
		checkLimits := limitChecks(archive.Archive, j.config.Everybody.Within, j.config.Users, logger)
		refreshing.Go(func() { keepIndex(refresh, &plain, every, fresh, logger, checkLimits) })
		defer refreshing.Wait()
		defer stop()
	}
	j.config.Hint = hintsFor(archive)
	j.config.Archive, j.config.Ledger, j.config.Audio, j.config.About = archive.Archive, archive.opened.Ledger, archive.opened.Store, archive.about
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", j.listen)
	if err != nil {
		return misuse("choose another --listen; port 0 takes a free one", "listen on %s: %v", j.listen, listenProblem(err))
	}
	server, err := web.New(j.config, listener.Addr())
	if err != nil {
		return errors.Join(err, listener.Close())
	}
	address, isUnnamed := j.address(listener.Addr().String(), secure != nil)
	if _, err := fmt.Fprintln(p.stdout, address); err != nil {
		return errors.Join(err, listener.Close())
	}
	if isUnnamed {
		logger.Warn("only browsers on this machine can open the page: give --host, the name or address that other browsers open")
	}
	logger.Info("serving", "address", listener.Addr().String(), "tls", secure != nil, "users", j.config.Users != nil, "auth_header", j.config.AuthHeader != "")
	return server.Serve(ctx, listener, secure)
}

// hintTime is the time limit of a page for hints after an empty result.
const hintTime = time.Second

// hintsFor returns a function that explains an empty result, using the index.
func hintsFor(archive *searched) func(context.Context, search.Query) []string {
	return func(ctx context.Context, q search.Query) (lines []string) {
		if archive.index == nil {
			return nil
		}
		ctx, cancel := context.WithTimeout(ctx, hintTime)
		defer cancel()
		h := newHints(q)
		if err := h.ask(ctx, archive); err != nil {
			return nil // the page already says that nothing was found
		}
		for _, one := range h.hints() {
			lines = append(lines, one.line("the archive"))
		}
		return lines
	}
}

// address returns the URL of the page. A server that listens on all addresses uses its host name, or HOST if it has none;
// then only this machine can open the page, and isUnnamed is true.
func (j *serveJob) address(listens string, isTLS bool) (url string, isUnnamed bool) {
	scheme := "http"
	if isTLS {
		scheme = "https"
	}
	host, port, err := net.SplitHostPort(listens)
	if address, errHost := netip.ParseAddr(host); err == nil && errHost == nil && address.IsUnspecified() {
		name := "HOST"
		if isUnnamed = len(j.config.Hosts) == 0; !isUnnamed {
			name = j.config.Hosts[0]
		}
		listens = net.JoinHostPort(name, port)
	}
	return scheme + "://" + listens + "/", isUnnamed
}

// listenProblem returns only the cause, because the user knows the address.
func listenProblem(err error) error {
	if op, ok := errors.AsType[*net.OpError](err); ok {
		return op.Err
	}
	return err
}

func (j *serveJob) certificate(ctx context.Context) (*tls.Config, error) {
	if j.tlsCert == "" {
		return nil, nil
	}
	cert, err := readSmallFile(ctx, j.tlsCert, maxConfigBytes)
	if err != nil {
		return nil, misuse("check --tls-cert", "read the certificate: %v", err)
	}
	key, err := readSmallFile(ctx, j.tlsKey, maxConfigBytes)
	if err != nil {
		return nil, misuse("check --tls-key", "read the key: %v", err)
	}
	pair, err := tls.X509KeyPair(cert, key)
	if err != nil {
		return nil, misuse("check --tls-cert and --tls-key", "read the certificate: %v", err)
	}
	return &tls.Config{MinVersion: tls.VersionTLS12, Certificates: []tls.Certificate{pair}, NextProtos: []string{"h2", "http/1.1"}}, nil
}

// open opens the access log, and checks that it is writable where that costs nothing.
func (a accessPlace) open(ctx context.Context, run string) (*web.AccessLog, error) {
	if a.folder != "" {
		folder, err := web.OpenFolder(a.folder, run)
		if err != nil {
			return nil, err
		}
		return web.OpenAccessLog(folder), nil
	}
	bucket := a.bucket
	bucket.Workers = 2
	objects, err := store.OpenS3(ctx, bucket)
	if err != nil {
		return nil, err
	}
	return web.OpenAccessLog(web.NewBucket(objects, run)), nil
}
