package origin

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"sync/atomic"
	"time"
)

// ServeFiles serves folder root on loopback until the parent lets go, and tells it
// the address. Its counts have the form of nginx's stub_status.
func ServeFiles(ctx context.Context, root string) error {
	return Serve(ctx, http.FileServer(http.Dir(root)))
}

// Serve serves a handler on loopback until the parent lets go, and tells it the
// address. The path of [Web.Counts] is answered by itself.
func Serve(ctx context.Context, handler http.Handler) error {
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return fmt.Errorf("serve: %w", err)
	}
	var connections, requests atomic.Int64
	mux := http.NewServeMux()
	mux.HandleFunc(statusPath, func(w http.ResponseWriter, _ *http.Request) {
		_, _ = fmt.Fprintf(w, "Active connections: %d\nserver accepts handled requests\n%d %d %d\n", // the client may have gone
			0, connections.Load(), connections.Load(), requests.Load())
	})
	mux.Handle("/", handler)
	server := &http.Server{
		ReadHeaderTimeout: time.Minute,
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			requests.Add(1)
			mux.ServeHTTP(w, r)
		}),
		ConnState: func(_ net.Conn, state http.ConnState) {
			if state == http.StateNew {
				connections.Add(1)
			}
		},
	}
	failed := make(chan error, 1)
	go func() { failed <- server.Serve(listener) }()
	if err := ServeUntilEOF("http://" + listener.Addr().String()); err != nil {
		return err
	}
	if err := server.Close(); err != nil {
		return fmt.Errorf("serve: %w", err)
	}
	if err := <-failed; !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serve: %w", err)
	}
	return nil
}
