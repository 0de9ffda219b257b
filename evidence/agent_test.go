package evidence

import (
	"net"
	"path/filepath"
	"testing"

	"golang.org/x/crypto/ssh/agent"
)

// serveAgent serves a key ring at a socket until the test ends.
func serveAgent(t *testing.T, dir string, ring agent.Agent) string {
	t.Helper()
	socket := filepath.Join(dir, "s")
	listener, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = listener.Close() })
	go func() {
		for {
			connection, err := listener.Accept()
			if err != nil {
				return
			}
			go func() { _ = agent.ServeAgent(ring, connection) }() // ends with the client
		}
	}()
	return socket
}
