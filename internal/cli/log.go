// Makes the logger, and keeps secrets and progress bars apart from its lines.

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

// output says how a command talks.
type output struct {
	json     bool   // one JSON object on stdout instead of text
	quiet    bool   // warnings and errors alone
	logLevel string // debug, info, warn, error, or "" for what quiet says
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

// newLogger returns a logger for stderr: lines for a person on a terminal, JSON for
// a machine elsewhere.
func newLogger(w io.Writer, o output, env environment) *slog.Logger {
	if o.logsJSON(w) {
		return slog.New(slog.NewJSONHandler(w, &slog.HandlerOptions{Level: o.level()}))
	}
	return slog.New(tint.NewTextHandler(w, &tint.Options{
		Level: o.level(), TimeFormat: time.TimeOnly, NoColor: !colours(w, env),
	}))
}

// logsJSON reports whether the log is for a machine.
func (o output) logsJSON(w io.Writer) bool {
	return o.format == "json" || o.format == "auto" && !isTerminal(w)
}

// colours reports whether w is a terminal that shows colours. An old Windows
// console would show the codes; Windows Terminal says that it is there.
func colours(w io.Writer, env environment) bool {
	if !isTerminal(w) || env["NO_COLOR"] != "" || env["TERM"] == "dumb" {
		return false
	}
	return runtime.GOOS != "windows" || env["WT_SESSION"] != ""
}

// isTerminal reports whether w ends at a terminal.
func isTerminal(w io.Writer) bool {
	if s, ok := w.(*screen); ok {
		w = s.base
	}
	f, ok := w.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}

// screen is stderr while logs and progress bars share it: log lines go above the
// bars while there are any. It is also the second net for secrets: the first is
// that no code hands them to a log, and this one drops those it was told of from
// every line. It is safe for concurrent use.
type screen struct {
	base io.Writer

	mu      sync.Mutex
	above   io.Writer // prints above the bars, nil while there are none
	secrets []string
}

// hide drops a secret from all that is written later. One too short to be a secret
// would mangle the text.
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
		// The bars gave up, because the terminal went away or changed.
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

// reclaim takes the bars down and sends lines to the base again; none is lost or
// mixed into the bars meanwhile.
func (s *screen) reclaim(takeDown func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	takeDown()
	s.above = nil
}
