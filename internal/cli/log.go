// Makes the logger, and keeps its lines free of secrets and progress bars.

package cli

import (
	"bytes"
	"io"
	"log/slog"
	"net/url"
	"os"
	"runtime"
	"strings"
	"sync"
	"time"

	"github.com/lmittmann/tint"
	"golang.org/x/term"
)

// output holds the output settings of a command.
type output struct {
	json     bool   // one JSON object on stdout instead of text
	quiet    bool   // only warnings and errors
	logLevel string // debug, info, warn, error, or "" to let quiet decide
	format   string // auto, text or json
}

func (r *reader) output() output {
	return output{
		json:     r.toggle("json"),
		quiet:    r.toggle("quiet"),
		logLevel: r.choice("log-level"),
		format:   r.choice("log-format"),
	}
}

func (o output) level() slog.Level {
	switch o.logLevel {
	case "debug":
		return slog.LevelDebug
	case "info":
		return slog.LevelInfo
	case "warn":
		return slog.LevelWarn
	case "error":
		return slog.LevelError
	}
	if o.quiet {
		return slog.LevelWarn
	}
	return slog.LevelInfo
}

// newLogger returns a logger for stderr: text on a terminal, JSON elsewhere.
func newLogger(w io.Writer, o output, env environment) *slog.Logger {
	if o.logsJSON(w) {
		return slog.New(slog.NewJSONHandler(w, &slog.HandlerOptions{Level: o.level()}))
	}
	return slog.New(tint.NewTextHandler(w, &tint.Options{
		Level: o.level(), TimeFormat: time.TimeOnly, NoColor: !colours(w, env),
		ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr { // a list prints without separators
			if items, ok := a.Value.Any().([]string); ok {
				return slog.String(a.Key, strings.Join(items, "; "))
			}
			return a
		},
	}))
}

// logsJSON reports whether the log is JSON.
func (o output) logsJSON(w io.Writer) bool {
	return o.format == "json" || o.format == "auto" && !isTerminal(w)
}

// colours reports whether w is a terminal with colours. An old Windows console would print the
// codes; Windows Terminal sets a variable.
func colours(w io.Writer, env environment) bool {
	if !isTerminal(w) || env["NO_COLOR"] != "" || env["TERM"] == "dumb" {
		return false
	}
	return runtime.GOOS != "windows" || env["WT_SESSION"] != ""
}

// isTerminal reports whether w is a terminal.
func isTerminal(w io.Writer) bool {
	if s, ok := w.(*screen); ok {
		w = s.base
	}
	f, ok := w.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}

// screen is stderr, shared by logs and progress bars: log lines go above the bars. It is also the
// second protection of secrets: code never passes them to a log, and this removes the known ones
// from every line. It is safe for concurrent use.
type screen struct {
	base io.Writer

	mu      sync.Mutex
	above   io.Writer // prints above the bars, nil without bars
	secrets []string
}

// hide removes a secret from all later output. It ignores texts too short to be a secret, which
// would mangle the output.
func (s *screen) hide(secret string) {
	if len(secret) < 8 {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.secrets = append(s.secrets, secret, url.QueryEscape(secret))
}

// hidden returns the text without the secrets.
func (s *screen) hidden(said string) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, secret := range s.secrets {
		said = strings.ReplaceAll(said, secret, "[redacted]")
	}
	return said
}

// Write writes whole lines.
func (s *screen) Write(line []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	shown := line
	for _, secret := range s.secrets {
		shown = bytes.ReplaceAll(shown, []byte(secret), []byte("[redacted]"))
	}
	if s.above != nil {
		if _, err := s.above.Write(shown); err == nil {
			return len(line), nil
		}
		// The bars gave up, because the terminal disappeared or changed.
	}
	if _, err := s.base.Write(shown); err != nil {
		return 0, err
	}
	return len(line), nil
}

// share sends lines above the bars from now on.
func (s *screen) share(above io.Writer) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.above = above
}

// reclaim removes the bars and sends lines to the base again, without losing lines or mixing them
// into the bars.
func (s *screen) reclaim(takeDown func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	takeDown()
	s.above = nil
}
