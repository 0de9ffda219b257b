// Starts and stops the simulator.

package convosotest

import (
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"
)

// Server is a simulated account with its API and its media host. Its methods are safe for
// concurrent use, before, while and after it listens.
type Server struct {
	config Config // immutable
	zone   *time.Location

	api, media host
	skew       atomic.Int64 // of the hosts' clocks, nanoseconds

	mu           sync.Mutex // guards the fields below, and the state of calls and recordings
	calls        []call
	recordings   []recording
	order        []int32 // listed calls in order
	windows      map[string]*windowState
	listing      Listing          // current faults of listings
	tieShuffle   int              // likewise
	edited       map[int32]string // edited status of calls
	generation   uint32           // of links
	apiRequests  int
	windowsSeen  []WindowRequest
	revoked      bool
	tokenLeft    int // requests until the token is revoked; negative for never
	apiDown      bool
	apiDownUntil time.Time
	mediaDown    Fault
	apiRules     []*ruleState
	apiHook      func(APIRequest) APIFault
	mediaHook    func(MediaRequest) Fault

	// Counted under the lock of the receiving host.
	tokenInURL                      int
	hops, badLinks, leaks, referers int

	closing   chan struct{}
	closeOnce sync.Once
	serving   sync.WaitGroup
	serveErrs chan error
	servers   []*http.Server
	apiAddr   string
	mediaAddr string
}

// New generates the data of the configuration. It does not listen yet.
func New(config Config) (*Server, error) {
	config, err := config.withDefaults()
	if err != nil {
		return nil, err
	}
	zone, err := time.LoadLocation(config.Zone)
	if err != nil {
		return nil, fmt.Errorf("configure simulator: load zone: %w", err)
	}
	s := &Server{
		config: config, zone: zone,
		windows: map[string]*windowState{}, edited: map[int32]string{},
		listing: config.Listing, tieShuffle: config.Oddities.TieShuffle,
		apiHook: config.APIHook, mediaHook: config.MediaHook, mediaDown: config.MediaDown,
		closing: make(chan struct{}), serveErrs: make(chan error, 2),
	}
	s.skew.Store(int64(config.ClockSkew))
	s.tokenLeft = timesLeft(config.TokenRequests)
	s.AddAPIRules(config.APIRules...)
	s.api.bucket.set(config.APIRate)
	s.media.bucket.set(config.MediaRate)
	s.makeCalls()
	if err := s.spreadFaults(); err != nil {
		return nil, err
	}
	return s, nil
}

// Start listens on two free ports of 127.0.0.1, one for each host, and serves until Close.
func (s *Server) Start() error {
	apiAddr, err := s.serve(&s.api, s.APIHandler())
	if err != nil {
		return fmt.Errorf("start simulated API: %w", err)
	}
	mediaAddr, err := s.serve(&s.media, s.MediaHandler())
	if err != nil {
		return errors.Join(fmt.Errorf("start simulated media host: %w", err), s.Close())
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.apiAddr, s.mediaAddr = apiAddr, mediaAddr
	return nil
}

func (s *Server) serve(h *host, handler http.Handler) (string, error) {
	listener, err := listen()
	if err != nil {
		return "", err
	}
	addr := listener.Addr().String()
	server := &http.Server{
		Handler:           handler,
		ReadHeaderTimeout: 30 * time.Second,
		ErrorLog:          slog.NewLogLogger(s.config.Logger.Handler(), slog.LevelError),
	}
	server.Protocols = new(http.Protocols)
	server.Protocols.SetHTTP1(true)
	var counting net.Listener = &countingListener{Listener: listener, host: h}
	if s.config.TLS != nil {
		secured := s.config.TLS.Clone()
		secured.NextProtos = []string{"http/1.1"} // faults take over the connection, which HTTP/2 does not allow
		counting = tls.NewListener(counting, secured)
	}
	s.mu.Lock()
	s.servers = append(s.servers, server)
	s.mu.Unlock()
	s.serving.Go(func() { s.serveErrs <- ignoreClosed(server.Serve(counting)) })
	return addr, nil
}

// Close stops listening, ends every connection and request, and waits for both
// hosts to stop. It may be called more than once.
func (s *Server) Close() error {
	var err error
	s.closeOnce.Do(func() {
		close(s.closing)
		for _, server := range s.servers {
			err = errors.Join(err, server.Close())
		}
		s.serving.Wait()
		s.api.stop()
		s.media.stop()
		close(s.serveErrs)
		for serveErr := range s.serveErrs {
			err = errors.Join(err, serveErr)
		}
	})
	if err != nil {
		return fmt.Errorf("close simulator: %w", err)
	}
	return nil
}

// APIURL returns the base address of the API, which ends in /v1; "" before Start.
func (s *Server) APIURL() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.apiAddr == "" {
		return ""
	}
	return s.scheme() + s.apiAddr + "/v1"
}

// MediaURL returns the origin of the media host; "" before Start.
func (s *Server) MediaURL() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.mediaURL()
}

func (s *Server) mediaURL() string {
	if s.mediaAddr == "" {
		return ""
	}
	return s.scheme() + s.mediaAddr
}

func (s *Server) scheme() string {
	if s.config.TLS != nil {
		return "https://"
	}
	return "http://"
}

// mediaOrigin returns the origin of links. The caller must hold the lock.
func (s *Server) mediaOrigin() string {
	if s.config.MediaOrigin != "" {
		return s.config.MediaOrigin
	}
	return s.mediaURL()
}

// Token returns the API token.
func (s *Server) Token() string { return s.config.Token }

// Zone returns the account's time zone.
func (s *Server) Zone() *time.Location { return s.zone }
