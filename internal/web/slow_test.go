package web

import (
	"bytes"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"testing/iotest"
	"testing/synctest"
	"time"
)

// slow is a client that takes some time for each piece, and records the deadlines of an answer.
type slow struct {
	http.ResponseWriter
	pause    time.Duration
	deadline time.Time
	body     bytes.Buffer
}

func (s *slow) Unwrap() http.ResponseWriter { return nil }

func (s *slow) SetWriteDeadline(t time.Time) error {
	s.deadline = t
	return nil
}

func (s *slow) Write(p []byte) (int, error) {
	time.Sleep(s.pause)
	if time.Now().After(s.deadline) {
		return 0, errors.New("timeout")
	}
	return s.body.Write(p)
}

// TestSlowListener accepts a slow client, but not an idle one, and not without end.
func TestSlowListener(t *testing.T) {
	body := bytes.Repeat([]byte("audio"), 100_000)
	for _, test := range []struct {
		pause time.Duration
		size  int
		whole bool
	}{
		{time.Second, len(body), true},
		{writeTime - time.Second, len(body), true},
		{writeTime + time.Second, len(body), false},
		{writeTime - time.Second, 1 << 30, false}, // would take longer than the maximum for an answer
	} {
		synctest.Test(t, func(t *testing.T) {
			client := &slow{pause: test.pause}
			began := time.Now()
			source := io.LimitReader(zeros{}, int64(test.size))
			if test.size == len(body) {
				source = bytes.NewReader(body)
			}
			err := copySlowly(client, source, int64(test.size))
			if (err == nil) != test.whole || test.whole && !bytes.Equal(client.body.Bytes(), body) {
				t.Errorf("%s a piece: %v, %d bytes", test.pause, err, client.body.Len())
			}
			if took := time.Since(began); took > longestAnswer+writeTime {
				t.Errorf("it took %s", took)
			}
		})
	}
	if err := copySlowly(httptest.NewRecorder(), bytes.NewReader(body), int64(len(body))+1); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("a body that is cut: %v", err)
	}
	if err := copySlowly(httptest.NewRecorder(), iotest.ErrReader(errors.New("gone")), 5); err == nil {
		t.Error("an error of the store is not told")
	}
}

// zeros is an endless body.
type zeros struct{}

func (zeros) Read(p []byte) (int, error) { return len(p), nil }

// TestManyListeners plays to 200 clients in parallel.
func TestManyListeners(t *testing.T) {
	s := serve(t, nil)
	r := stored(shared.world, "12")
	const listeners = 200
	var wait sync.WaitGroup
	failed := make(chan error, listeners)
	for i := range listeners {
		wait.Go(func() {
			request, err := http.NewRequestWithContext(t.Context(), "GET", s.url+audioPath(r), nil)
			if err == nil {
				request.Header.Set("Range", fmt.Sprintf("bytes=%d-", i))
				var got *http.Response
				if got, err = s.client.Do(request); err == nil {
					var body []byte
					body, err = io.ReadAll(got.Body)
					_ = got.Body.Close()
					if err == nil && !bytes.Equal(body, r.Body[i:]) {
						err = fmt.Errorf("status %d, %d bytes", got.StatusCode, len(body))
					}
				}
			}
			if err != nil {
				failed <- err
			}
		})
	}
	wait.Wait()
	close(failed)
	for err := range failed {
		t.Error(err)
	}
}

// TestTLS serves over TLS, with both versions of HTTP, for longer than the deadline of a page.
func TestTLS(t *testing.T) {
	s := serve(t, nil)
	borrowed := httptest.NewTLSServer(nil) // for its certificate
	defer borrowed.Close()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server, err := New(s.server.Config, listener.Addr())
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() {
		ended <- server.Serve(t.Context(), listener, &tls.Config{Certificates: borrowed.TLS.Certificates, NextProtos: []string{"h2", "http/1.1"}, MinVersion: tls.VersionTLS12})
	}()
	client := borrowed.Client()
	for _, two := range []bool{false, true} {
		transport := client.Transport.(*http.Transport).Clone()
		transport.ForceAttemptHTTP2 = two
		got, err := (&http.Client{Transport: transport}).Get("https://" + listener.Addr().String() + audioPath(stored(shared.world, "12")))
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(got.Body)
		_ = got.Body.Close()
		transport.CloseIdleConnections()
		if err != nil || got.StatusCode != 200 || len(body) != len(stored(shared.world, "12").Body) {
			t.Errorf("HTTP/2 %v: status %d, %d bytes, %v", two, got.StatusCode, len(body), err)
		}
	}
}
