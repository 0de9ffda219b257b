// Checks for doctor the metrics file and the ping service.

package cli

import (
	"context"
	"errors"
	"io/fs"
	"net/url"
	"path/filepath"

	"convoso-archiver/internal/doctor"
)

// watched holds the facts about the metrics file and the ping service.
type watched struct {
	metrics    string // folder, "" for none
	metricsErr error
	pingURL    *url.URL // nil for none
	ping       doctor.Ping
}

func (w *watched) lookAtMetrics(ctx context.Context, file string) {
	w.metrics = filepath.Dir(file)
	w.metricsErr = doctor.LookAtMetrics(ctx, w.metrics)
}

// check judges both. Problems never fail a run, so they are warnings.
func (w *watched) check() (checks []check) {
	const metrics, ping = "metrics-file", "ping"
	const others = "; runs work, but nothing reports them"
	if w.metrics != "" {
		err := w.metricsErr
		if path, ok := errors.AsType[*fs.PathError](err); ok {
			err = path.Err
		}
		if err != nil {
			checks = append(checks, warning(metrics, "let this user write to the folder, or give another --metrics-file"+others, "no file can be made in %s: %v", w.metrics, err))
		} else {
			checks = append(checks, fine(metrics, "files can be made in %s", w.metrics))
		}
	}
	if w.pingURL == nil {
		return checks
	}
	h := host{kind: "ping", name: w.pingURL.Hostname(), flag: "--ping-url"}
	switch {
	case w.ping.DialErr != nil:
		checks = append(checks, warning(ping, "check --ping-url, the firewall and the proxy variables"+others, "%s", causeOf(w.ping.DialErr)))
	case w.ping.TLSErr != nil:
		saw, do := h.certificateTrouble(w.ping.TLSErr)
		checks = append(checks, warning(ping, do+others, "%s", saw))
	case w.ping.Proxied:
		checks = append(checks, fine(ping, "connected to the proxy %s, and nothing was sent", w.ping.Connected))
	default:
		checks = append(checks, fine(ping, "connected to %s, and nothing was sent", w.ping.Connected))
	}
	return checks
}
