// Routes requests and starts the server.

package web

import (
	"context"
	"crypto/tls"
	"embed"
	"errors"
	"html/template"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"time"

	"convoso-archiver/internal/metrics"
	"convoso-archiver/manifest"
	"convoso-archiver/manifest/report"
	"convoso-archiver/search"
)

//go:embed templates assets
var files embed.FS

// Audio is the store of recordings.
type Audio interface {
	// OpenRange opens a part of an object. The error for a missing object is fs.ErrNotExist.
	OpenRange(ctx context.Context, key string, offset, length int64) (io.ReadCloser, error)
}

// Config says what to serve, and to whom.
type Config struct {
	Archive *search.Archive
	Ledger  *manifest.Ledger
	Audio   Audio
	About   manifest.Archive
	Rules   report.Options // Settle, PurgeAfter and GiveUp

	Users          *Users         // nil for none
	AuthHeader     string         // in which a trusted proxy sends the user name; empty for none
	TrustedProxies []netip.Prefix // whose headers are trusted
	Everybody      Rights         // of users who are not in the users file
	Hosts          []string       // host names in addition to loopback

	Log           *AccessLog // nil for none
	RequireReason bool       // for every playback and download
	Logger        *slog.Logger
	Build         metrics.Build

	// Hint returns lines that explain an empty result: values that no call of the archive has, and similar ones. nil
	// for none. It is not called for users with limits.
	Hint func(ctx context.Context, q search.Query) []string
}

// Server serves one archive.
type Server struct {
	Config
	origin    string // host and port that it listens on
	pages     *template.Template
	catalog   *catalog
	reports   *reports
	failures  failures
	plays     plays
	handovers places
	searches  chan struct{} // one slot for each search, which may hold a day in memory
	decodings chan struct{} // one slot for each recording being decoded
}

// Limits of time, size and number.
const (
	headerTime     = 10 * time.Second
	idleTime       = 60 * time.Second
	formTime       = 30 * time.Second // to read a form, and to write a page
	writeTime      = time.Minute      // for each piece of a recording
	longestAnswer  = 12 * time.Hour
	stopTime       = 3 * time.Second
	maxHeaderBytes = 32 << 10
	maxFormBytes   = 1 << 20
	maxConnections = 4096
	searchesAt     = 4 // in parallel; others wait
	decodingsAt    = 8 // each holds a recording in memory
)

// New makes a server that listens at an address, as given by [net.Listener]. It does not read the
// archive yet.
func New(c Config, listens net.Addr) (*Server, error) {
	s := &Server{Config: c, origin: listens.String(), searches: make(chan struct{}, searchesAt), decodings: make(chan struct{}, decodingsAt)}
	pages, err := template.New("").Funcs(s.words()).ParseFS(files, "templates/*.html")
	if err != nil {
		return nil, err
	}
	s.pages = pages
	s.catalog = newCatalog(c.Archive)
	s.reports = &reports{server: s, serving: context.Background()}
	return s, nil
}

// Handler returns the handler of all pages, with all protections.
func (s *Server) Handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", s.calls)
	mux.HandleFunc("GET /calls", s.calls)
	mux.HandleFunc("GET /call/{day}/{id}", s.ownSite(s.call))
	mux.HandleFunc("GET /audio/{day}/{id}", s.ownSite(s.audio))
	mux.HandleFunc("POST /listen", s.listen)
	mux.HandleFunc("POST /zip", s.zip)
	mux.HandleFunc("POST /csv", s.csv)
	mux.HandleFunc("GET /completeness", s.completeness)
	mux.HandleFunc("GET /metrics", s.metrics)
	mux.HandleFunc("GET /assets/{name}", s.asset)
	mux.HandleFunc("GET /favicon.ico", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) })
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		s.refuse(w, r, http.StatusNotFound, "There is no such page.", "Start from the list of calls.")
	})
	forgery := http.NewCrossOriginProtection()
	forgery.SetDenyHandler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.refuseElsewhere(w, r)
	}))
	inner := s.knownHost(forgery.Handler(s.identify(s.limitTime(mux))))
	return secured(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/healthz" { // health checks need no login and reveal nothing else
			_, _ = io.WriteString(w, "ok\n")
			return
		}
		inner.ServeHTTP(w, r)
	}))
}

// Serve serves until ctx ends, then waits a few seconds for answers in progress. A nil configuration is plain
// HTTP.
func (s *Server) Serve(ctx context.Context, listener net.Listener, secure *tls.Config) error {
	conns := &connections{max: maxConnections}
	serving, stop := context.WithCancel(context.WithoutCancel(ctx))
	s.reports.serving = serving
	defer s.reports.running.Wait() // after stop
	defer stop()
	server := &http.Server{
		Handler:           s.Handler(),
		TLSConfig:         secure,
		ReadHeaderTimeout: headerTime,
		IdleTimeout:       idleTime,
		MaxHeaderBytes:    maxHeaderBytes,
		ConnState:         conns.changed,
		ErrorLog:          slog.NewLogLogger(s.Logger.Handler(), slog.LevelDebug),
		BaseContext:       func(net.Listener) context.Context { return serving },
	}
	go s.reports.first(serving)
	ended := make(chan error, 1)
	go func() {
		if secure != nil {
			ended <- server.ServeTLS(listener, "", "")
		} else {
			ended <- server.Serve(listener)
		}
	}()
	select {
	case err := <-ended:
		return err
	case <-ctx.Done():
	}
	waiting, cancel := context.WithTimeout(serving, stopTime)
	defer cancel()
	if err := server.Shutdown(waiting); err != nil {
		stop() // ends reads from the store
		return errors.Join(server.Close(), context.Cause(ctx))
	}
	return context.Cause(ctx)
}

// limitTime limits the time to read and answer a request. Handlers that send recordings extend the deadline. A read
// deadline that passes during the answer would abort it, so readForm removes it.
func (s *Server) limitTime(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		control := http.NewResponseController(w)
		_ = control.SetWriteDeadline(time.Now().Add(formTime)) // tests have no deadlines
		if r.ContentLength != 0 {
			_ = control.SetReadDeadline(time.Now().Add(formTime))
			if r.Method != http.MethodPost {
				w.Header().Set("Connection", "close")
				s.refuse(w, r, http.StatusBadRequest, "This request must not have a body.", "Use a browser.")
				return
			}
		}
		next.ServeHTTP(w, r)
	})
}

// readForm reads a form of bounded size. On failure it has answered the request.
func (s *Server) readForm(w http.ResponseWriter, r *http.Request) bool {
	r.Body = http.MaxBytesReader(w, r.Body, maxFormBytes)
	if err := r.ParseForm(); err != nil {
		if _, tooLarge := errors.AsType[*http.MaxBytesError](err); tooLarge {
			s.refuse(w, r, http.StatusRequestEntityTooLarge, "The form is too large.", "Select fewer calls.")
		} else {
			s.refuse(w, r, http.StatusBadRequest, "The form cannot be read.", "Load the page again and try once more.")
		}
		return false
	}
	_ = http.NewResponseController(w).SetReadDeadline(time.Time{})
	return true
}
