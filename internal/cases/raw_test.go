package cases

import (
	"bufio"
	"fmt"
	"net"
	"net/http"
	"strings"
	"testing"
)

// lineServer answers every request with audio and returns its origin and the request lines, byte for
// byte: net/http would refuse some.
func lineServer(t testing.TB, body []byte) (origin string, requested <-chan string) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = listener.Close() })
	lines := make(chan string, 100)
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			go func() {
				defer conn.Close()
				reader := bufio.NewReader(conn)
				line, err := reader.ReadString('\n')
				if err != nil {
					return
				}
				for { // the header
					field, err := reader.ReadString('\n')
					if err != nil {
						return
					}
					if strings.TrimSpace(field) == "" {
						break
					}
				}
				lines <- strings.TrimRight(line, "\r\n")
				_, _ = fmt.Fprintf(conn, "HTTP/1.1 %d OK\r\nContent-Type: audio/mpeg\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%s", http.StatusOK, len(body), body)
			}()
		}
	}()
	return "http://" + listener.Addr().String(), lines
}
