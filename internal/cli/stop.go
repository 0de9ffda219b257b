// Confirms at once on stderr that a signal arrived.

package cli

import (
	"context"
	"errors"
	"os"
	"strings"
	"time"
)

// announceStop reports on stderr that ctx has ended, as soon as it does: a clean stop takes a
// while, in which nothing else shows that the signal arrived. The returned function must be called
// once, when the work is done; nothing is printed after it. With a JSON log, it is a log line.
func (p *process) announceStop(ctx context.Context, command string, talk output, ending string) (done func()) {
	told := make(chan struct{})
	forget := context.AfterFunc(ctx, func() {
		defer close(told)
		line := stopText(context.Cause(ctx), ending)
		switch {
		case line == "":
		case talk.logsJSON(p.screen):
			newLogger(p.screen, talk, p.env).Warn("stopping", "note", line)
		default:
			complain(p.screen, command, line)
		}
	})
	return func() {
		if !forget() {
			<-told
		}
	}
}

// stopText is empty if no signal asked the command to stop.
func stopText(cause error, ending string) string {
	signal, isSignal := errors.AsType[*SignalError](cause)
	switch {
	case isSignal && signal.Signal == os.Interrupt:
		return "SIGINT, stopping cleanly: " + ending + "; press Ctrl-C again to stop at once"
	case isSignal:
		return signal.name() + ", stopping cleanly: " + ending + "; a second signal stops at once"
	case errors.Is(cause, errMaxDuration):
		return "--max-duration is over, stopping cleanly: " + ending + "; Ctrl-C stops at once"
	}
	return ""
}

// endingText says what a run does when it is stopped, and how long that may take.
func (j *archiveJob) endingText() string {
	text := "downloads in progress have up to " + durationWritten(j.config.Grace) + " (--grace)"
	if j.config.Grace == 0 {
		text = "downloads in progress are dropped (--grace 0s)"
	}
	if j.folder == "" && !j.config.DryRun {
		text += ", then the manifest has up to " + durationWritten(closeTime) + " to reach the store"
	}
	return text
}

// durationWritten formats a duration as in a flag: 20s, 3h, 1h30m.
func durationWritten(d time.Duration) string {
	text := d.String()
	if strings.HasSuffix(text, "m0s") {
		text = strings.TrimSuffix(text, "0s")
	}
	if strings.HasSuffix(text, "h0m") {
		text = strings.TrimSuffix(text, "0m")
	}
	return text
}
