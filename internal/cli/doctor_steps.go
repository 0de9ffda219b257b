// Checks for doctor the connection to a host: name, TCP and TLS.

package cli

import (
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/url"
	"slices"
	"strings"

	"convoso-archiver/internal/doctor"
)

// host is a host to connect to, and the flag or variable that set it.
type host struct {
	kind  string // api, media or store
	name  string // without the port
	plain bool   // http, not https
	flag  string
	proxy string // host:port, "" for none
}

func hostAt(kind, address, flag string, proxies []proxied) host {
	u, err := url.Parse(address)
	if err != nil {
		return host{kind: kind, flag: flag}
	}
	h := host{kind: kind, name: u.Hostname(), plain: u.Scheme == "http", flag: flag}
	if i := slices.IndexFunc(proxies, func(p proxied) bool { return p.host == h.name }); i >= 0 {
		h.proxy = proxies[i].proxy
	}
	return h
}

// way judges the connection to a host: name, TCP and TLS. It reports whether only the host's answer
// is missing.
func (h host) way(s doctor.Steps) (checks []check, free bool) {
	for _, step := range []struct {
		name  string
		judge func(string, doctor.Steps) check
	}{{"-dns", h.checkName}, {"-connect", h.checkConnection}, {"-tls", h.checkTLS}} {
		name := h.kind + step.name
		if n := len(checks); n > 0 && checks[n-1].State != stateOK {
			because := checks[n-1].Saw
			if checks[n-1].State == stateFailed {
				because = checks[n-1].Name + " failed"
			}
			checks = append(checks, skip(name, because))
			continue
		}
		checks = append(checks, step.judge(name, s))
	}
	return checks, checks[len(checks)-1].State == stateOK
}

// checkName judges the lookup of the host's name, or of its proxy's.
func (h host) checkName(name string, s doctor.Steps) check {
	do := "check " + h.flag + " and this machine's name servers"
	if h.proxy != "" {
		do = "check HTTPS_PROXY, or name the host in NO_PROXY"
	}
	switch {
	case s.Target == "":
		return broken(ExitFailed, name, "check the proxy variables and "+h.flag, "no request could be sent: %s", causeOf(s.Err))
	case s.Name == "" && s.Dialled == "" && s.Connected == "":
		return broken(ExitFailed, name, do, "no connection was started: %s", causeOf(s.Err))
	case s.Name == "":
		return fine(name, "%s is an address", cmp.Or(h.proxy, h.name))
	case s.Addresses > 0:
		noun := "addresses"
		if s.Addresses == 1 {
			noun = "address"
		}
		return fine(name, "%s has %d %s", s.Name, s.Addresses, noun)
	case s.NameErr != nil:
		return broken(ExitFailed, name, do, "%s", causeOf(s.NameErr))
	}
	return broken(ExitFailed, name, do, "no name server answered for %s in time", s.Name)
}

func (h host) checkConnection(name string, s doctor.Steps) check {
	do := "check " + h.flag + ", the firewall and the proxy variables"
	whose := ""
	if h.proxy != "" {
		do, whose = "check HTTPS_PROXY, or name the host in NO_PROXY", "the proxy: "
	}
	switch {
	case s.Connected != "":
		return fine(name, "%sconnected to %s", whose, s.Connected)
	case s.DialErr != nil:
		return broken(ExitFailed, name, do, "%s%s", whose, causeOf(s.DialErr))
	}
	return broken(ExitFailed, name, do, "%s%s did not answer in time", whose, s.Dialled)
}

func (h host) checkTLS(name string, s doctor.Steps) check {
	switch {
	case h.plain:
		return fine(name, "plain http, without TLS")
	case s.TLSErr != nil:
		saw, do := h.certificateTrouble(s.TLSErr)
		return broken(ExitFailed, name, do, "%s", saw)
	case !s.Expires.IsZero():
		return fine(name, "the certificate is trusted, and expires on %s", s.Expires.UTC().Format("2006-01-02"))
	case h.proxy != "" && !s.TLS:
		return broken(ExitFailed, name, "check HTTPS_PROXY and the proxy's rules, or name the host in NO_PROXY", "the proxy %s did not connect to %s", h.proxy, h.name)
	}
	return broken(ExitFailed, name, "check "+h.flag+" and the firewall", "%s did not answer the handshake in time", h.name)
}

// certificateTrouble says why a handshake failed, and what to do.
func (h host) certificateTrouble(err error) (saw, do string) {
	_, isUnknown := errors.AsType[x509.UnknownAuthorityError](err)
	_, isOther := errors.AsType[x509.HostnameError](err)
	_, notTLS := errors.AsType[tls.RecordHeaderError](err)
	invalid, _ := errors.AsType[x509.CertificateInvalidError](err)
	switch {
	case isUnknown && h.kind == "store":
		return h.name + " has a certificate of an authority that this machine does not trust", "set AWS_CA_BUNDLE to a file with the authority's certificate"
	case isUnknown:
		return h.name + " has a certificate of an authority that this machine does not trust",
			"install the authority's certificate, or set SSL_CERT_FILE to a file with it; a firewall that inspects TLS has its own authority"
	case isOther:
		return "the certificate is not valid for " + h.name, "check " + h.flag
	case invalid.Cert != nil && invalid.Reason == x509.Expired:
		return fmt.Sprintf("the certificate of %s is valid from %s to %s", h.name, invalid.Cert.NotBefore.UTC().Format("2006-01-02"), invalid.Cert.NotAfter.UTC().Format("2006-01-02")),
			"if this machine's clock is wrong, set it; otherwise the host must renew its certificate"
	case notTLS:
		return h.name + " does not speak TLS there", "check " + h.flag + ": http or https, and the port"
	}
	return "TLS with " + h.name + " failed: " + causeOf(err), "check " + h.flag + " and the firewall"
}

// unanswered judges a host that accepts connections but does not answer.
func (h host) unanswered(name string, free bool, s doctor.Steps) check {
	if !free {
		return skip(name, "the host cannot be reached")
	}
	return broken(ExitFailed, name, "check "+h.flag+", and run doctor again later", "%s accepted the request but did not answer: %s", h.name, causeOf(s.Err))
}

// causeOf returns the innermost cause of a network's error, which contains no request address.
func causeOf(err error) string {
	if err == nil {
		return "no reason is known"
	}
	if e, ok := errors.AsType[*net.DNSError](err); ok {
		return e.Name + ": " + e.Err
	}
	if e, ok := errors.AsType[*net.OpError](err); ok && e.Op == "dial" {
		return e.Error()
	}
	if e, ok := errors.AsType[net.Error](err); ok && e.Timeout() || errors.Is(err, context.DeadlineExceeded) {
		return "timed out"
	}
	return strings.TrimPrefix(plainly(err), "get recording: ")
}
