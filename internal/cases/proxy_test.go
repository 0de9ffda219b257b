package cases

import (
	"bufio"
	"encoding/pem"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
)

// tunnel starts a proxy that connects every CONNECT or, for SOCKS clients, every connection to one
// address. It returns its own address and counts connections.
func tunnel(t testing.TB, at, to string) (address string, carried *atomic.Int32) {
	t.Helper()
	listener, err := net.Listen("tcp", at)
	if err != nil {
		skip(t, "no proxy can listen on "+at)
	}
	t.Cleanup(func() { _ = listener.Close() })
	carried = new(atomic.Int32)
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			go func() {
				defer conn.Close()
				reader := bufio.NewReader(conn)
				if !greet(conn, reader) {
					return
				}
				target, err := net.Dial("tcp", to)
				if err != nil {
					return
				}
				defer target.Close()
				carried.Add(1)
				go func() {
					_, _ = io.Copy(target, reader)
					_ = target.Close()
				}()
				_, _ = io.Copy(conn, target)
			}()
		}
	}()
	return listener.Addr().String(), carried
}

// behindProxy returns a vendor whose recordings are only available through a proxy at an address, and
// an archive without the proxy setting.
func behindProxy(t testing.TB, at string) (v *vendor, a *archive, address string, carried *atomic.Int32) {
	t.Helper()
	v = newVendor(t)
	secure := httptest.NewTLSServer(http.HandlerFunc(v.serveMedia))
	t.Cleanup(secure.Close)
	address, carried = tunnel(t, at, secure.Listener.Addr().String())
	v.Origin = "https://example.com"
	v.fill(ago(5), 100, 3)
	a = onDisk(t, v, ago(5), ago(5), "--allow-host", "example.com")
	a.env = append(a.env, "SSL_CERT_FILE="+writePEM(t, secure))
	return v, a, address, carried
}

// greet reads a client's request to a proxy and accepts it.
func greet(conn net.Conn, reader *bufio.Reader) bool {
	first, err := reader.Peek(1)
	if err != nil {
		return false
	}
	if first[0] != 5 {
		request, err := http.ReadRequest(reader)
		if err != nil || request.Method != http.MethodConnect {
			return false
		}
		_, err = io.WriteString(conn, "HTTP/1.1 200 OK\r\n\r\n")
		return err == nil
	}
	// SOCKS 5: version, number of methods, methods; then version, command, 0, kind of address, address, port.
	head := make([]byte, 2)
	if _, err := io.ReadFull(reader, head); err != nil {
		return false
	}
	if _, err := io.CopyN(io.Discard, reader, int64(head[1])); err != nil {
		return false
	}
	if _, err := conn.Write([]byte{5, 0}); err != nil {
		return false
	}
	asked := make([]byte, 5)
	if _, err := io.ReadFull(reader, asked); err != nil {
		return false
	}
	rest := map[byte]int{1: 4 - 1 + 2, 3: int(asked[4]) + 2, 4: 16 - 1 + 2}[asked[3]]
	if _, err := io.CopyN(io.Discard, reader, int64(rest)); err != nil {
		return false
	}
	_, err = conn.Write([]byte{5, 0, 0, 1, 0, 0, 0, 0, 0, 0})
	return err == nil
}

// writePEM writes the certificate of a server into a file, for SSL_CERT_FILE.
func writePEM(t testing.TB, server *httptest.Server) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "ca.pem")
	text := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})
	if err := os.WriteFile(file, text, 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}
