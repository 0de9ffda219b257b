// Decides which hosts links may point to.

package fetcher

import (
	"cmp"
	"fmt"
	"net"
	"net/url"
	"strings"
)

// AllowedHosts says where links and redirects may point to. The zero value allows
// nothing.
type AllowedHosts struct {
	names    []string        // exact host names, https only
	suffixes []string        // ".convoso.com": any subdomain, https only
	origins  map[string]bool // "http://127.0.0.1:9000": exactly that origin, even with a private address
}

// ParseAllowedHosts parses the values of --allow-host: a host name, *.domain for any depth below
// it, or a whole origin with its scheme.
func ParseAllowedHosts(list []string) (AllowedHosts, error) {
	hosts := AllowedHosts{origins: map[string]bool{}}
	for _, item := range list {
		lower := strings.ToLower(strings.TrimSpace(item))
		switch {
		case strings.Contains(lower, "://"):
			u, err := url.Parse(lower)
			if err != nil || u.Host == "" || (u.Path != "" && u.Path != "/") || u.RawQuery != "" || u.User != nil ||
				(u.Scheme != "http" && u.Scheme != "https") {
				return AllowedHosts{}, fmt.Errorf("read allowed host: %q is not an origin of the form https://host:port", item)
			}
			hosts.origins[origin(u)] = true
		case strings.HasPrefix(lower, "*."):
			hosts.suffixes = append(hosts.suffixes, lower[1:])
		case lower == "" || strings.ContainsAny(lower, "*/ :@"):
			return AllowedHosts{}, fmt.Errorf("read allowed host: %q is neither a host name, nor *.domain, nor an origin of the form https://host:port", item)
		default:
			hosts.names = append(hosts.names, lower)
		}
	}
	return hosts, nil
}

// allows reports whether a recording may be requested from the address.
func (h AllowedHosts) allows(u *url.URL) bool {
	if u.User != nil {
		return false
	}
	if h.origins[origin(u)] {
		return true
	}
	if u.Scheme != "https" || (u.Port() != "" && u.Port() != "443") {
		return false
	}
	name := strings.TrimSuffix(strings.ToLower(u.Hostname()), ".")
	for _, allowed := range h.names {
		if name == allowed {
			return true
		}
	}
	for _, suffix := range h.suffixes {
		if strings.HasSuffix(name, suffix) && len(name) > len(suffix) {
			return true
		}
	}
	return false
}

// allowsDial reports whether host:port belongs to an explicitly allowed origin, and so may be a
// private address.
func (h AllowedHosts) allowsDial(address string) bool {
	address = normalAddress(address)
	return h.origins["http://"+address] || h.origins["https://"+address]
}

// origin returns scheme://host:port in lower case, always with the port.
func origin(u *url.URL) string { return strings.ToLower(u.Scheme) + "://" + hostPort(u) }

// hostPort returns the address to dial for a URL, in the form of normalAddress.
func hostPort(u *url.URL) string {
	port := u.Port()
	if port == "" {
		port = map[string]string{"http": "80", "socks5": "1080", "socks5h": "1080"}[strings.ToLower(u.Scheme)]
	}
	return normalAddress(net.JoinHostPort(u.Hostname(), cmp.Or(port, "443")))
}

// normalAddress returns host:port in lower case and without a trailing dot of the host, which are
// equivalent.
func normalAddress(address string) string {
	host, port, err := net.SplitHostPort(strings.ToLower(address))
	if err != nil {
		return address
	}
	return net.JoinHostPort(strings.TrimSuffix(host, "."), port)
}
