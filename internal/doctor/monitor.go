// Examines the metrics folder and the ping service.

package doctor

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/http"
	"net/url"
	"os"
)

// LookAtMetrics creates a file in the metrics folder, like each run, and removes it.
func LookAtMetrics(ctx context.Context, folder string) error {
	failed, err := within(ctx, folderTime, func() error {
		file, err := os.CreateTemp(folder, ".probe-*.tmp") // a name that node_exporter ignores
		if err != nil {
			return err
		}
		return errors.Join(file.Close(), os.Remove(file.Name()))
	})
	return cmp.Or(err, failed)
}

// Ping has the facts about the ping service.
type Ping struct {
	Proxied   bool   // it is reached through a proxy
	Connected string // the address, "" for none
	DialErr   error
	TLSErr    error
}

// LookAtPing connects to the service, or to its proxy from the environment, and sends nothing. It tests TLS only
// without a proxy, which would need a request.
func LookAtPing(ctx context.Context, service *url.URL) (seen Ping) {
	ctx, cancel := context.WithTimeout(ctx, pingTime)
	defer cancel()
	proxy, err := http.ProxyFromEnvironment(&http.Request{URL: service})
	if err != nil {
		seen.DialErr = errors.New("a proxy variable is not an address")
		return seen
	}
	to := service
	if seen.Proxied = proxy != nil; seen.Proxied {
		to = proxy
	}
	port := cmp.Or(to.Port(), map[string]string{"http": "80", "socks5": "1080"}[to.Scheme], "443")
	conn, err := new(net.Dialer).DialContext(ctx, "tcp", net.JoinHostPort(to.Hostname(), port))
	if err != nil {
		seen.DialErr = err
		return seen
	}
	defer conn.Close() // nothing was sent
	seen.Connected = conn.RemoteAddr().String()
	if !seen.Proxied && service.Scheme == "https" {
		seen.TLSErr = tls.Client(conn, &tls.Config{ServerName: service.Hostname(), MinVersion: tls.VersionTLS12}).HandshakeContext(ctx)
	}
	return seen
}
