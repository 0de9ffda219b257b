// Maps errors to exit codes and lines of text.

package cli

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"strings"
	"syscall"

	"convoso-archiver/archiver"
	"convoso-archiver/archiver/store"
	"convoso-archiver/fetcher"
	"convoso-archiver/manifest"
	"convoso-archiver/search/bag"
	"convoso-archiver/search/copier"
	"convoso-archiver/search/export"
)

// Exit codes. They are documented and never renumbered. If several apply, the precedence is:
// signal, 5, 2, 1, 4, 3, 0.
const (
	// ExitDone means that everything requested is archived or final, or waits in a day that has not
	// settled.
	ExitDone = 0
	// ExitFailed means that the run could not continue: API or store unreachable, destination not
	// writable, disk full.
	ExitFailed = 1
	// ExitUsage means that flags or configuration are wrong, that the API refuses the token or does
	// not know a campaign, list, queue or user, or that the archive belongs to another account.
	ExitUsage = 2
	// ExitIncomplete means that the run ended, but a settled day is not closed, a recording was
	// lost or became final without audio, a limit stopped the run, or something was not found.
	ExitIncomplete = 3
	// ExitDamaged means that stored recordings, or manifest lines, are missing or wrong.
	ExitDamaged = 4
	// ExitLocked means that another run holds the archive.
	ExitLocked = 5
	// ExitInterrupted means that SIGINT stopped the run cleanly.
	ExitInterrupted = 130
	// exitUnread is the code of a program ended by SIGPIPE: nobody reads stdout any more.
	exitUnread = 141
	// ExitTerminated means that SIGTERM stopped the run cleanly.
	ExitTerminated = 143
)

// SignalError is the cancellation cause of a context when a signal stops the program.
type SignalError struct{ Signal os.Signal }

// Error returns one lower-case line.
func (e *SignalError) Error() string { return "stopped by " + e.name() }

func (e *SignalError) name() string {
	switch e.Signal {
	case os.Interrupt:
		return "SIGINT"
	case syscall.SIGTERM:
		return "SIGTERM"
	}
	return e.Signal.String()
}

// ExitCode returns the code of a program that the signal stopped.
func (e *SignalError) ExitCode() int {
	if e.Signal == syscall.SIGTERM {
		return ExitTerminated
	}
	return ExitInterrupted
}

// errMaxDuration is the cancellation cause of --max-duration.
var errMaxDuration = errors.New("stopped by --max-duration")

// usageError is a mistake in flags, variables or the configuration file.
type usageError struct {
	what, try string
	alone     bool // reported alone, because others may result from it: a file that cannot be read may have the missing setting
}

// isAlone reports whether a mistake is reported alone.
func isAlone(err error) bool {
	mistake, is := errors.AsType[*usageError](err)
	return is && mistake.alone
}

func (e *usageError) Error() string {
	if e.try == "" {
		return e.what
	}
	return e.what + ": " + e.try
}

func misuse(try, format string, args ...any) error {
	return &usageError{what: fmt.Sprintf(format, args...), try: try}
}

// mistakesIn takes a joined error apart, and returns each of its errors once.
func mistakesIn(errs ...error) (all []error) {
	told := map[string]bool{}
	for len(errs) > 0 {
		err := errs[0]
		errs = errs[1:]
		if joined, ok := err.(interface{ Unwrap() []error }); ok {
			errs = append(joined.Unwrap(), errs...)
		} else if err != nil && !told[err.Error()] {
			told[err.Error()] = true
			all = append(all, err)
		}
	}
	return all
}

// mistakesText returns all mistakes in the settings, one per line.
func mistakesText(err error) string {
	var lines []string
	for _, mistake := range mistakesIn(err) {
		if usage, ok := errors.AsType[*usageError](mistake); ok {
			lines = append(lines, oneLine(usage.Error()))
		}
	}
	return strings.Join(lines, "\n")
}

// outcome is the result of a command: the exit code and a text for people, mostly one line, empty if there is nothing
// to explain.
type outcome struct {
	code   int
	line   string
	failed bool // an error occurred, apart from the stop

	unwritten error // error of writing the result to stdout
	counts    []any // of an attempted run, for the last line of the log; nil for other commands
}

// judge maps the error of a run, the cause of its context, and whether work was left undone, to an
// outcome. Exit codes are decided only here.
func judge(err, cause error, incomplete bool) outcome {
	signal, stopped := errors.AsType[*SignalError](cause)
	if cause != nil && (errors.Is(err, cause) || errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded)) {
		err = nil // the cause says better that the run was stopped
	}
	o := outcome{code: ExitDone}
	switch {
	case err != nil:
		o.failed = true
		o.code, o.line = failure(err)
	case incomplete || errors.Is(cause, errMaxDuration):
		o.code = ExitIncomplete
	}
	if stopped {
		o.code = signal.ExitCode()
		if o.line == "" {
			o.line = signal.Error() + ": run the same command again to resume"
		}
	}
	if o.line == "" && errors.Is(cause, errMaxDuration) {
		o.line = errMaxDuration.Error() + ": run the same command again to resume"
	}
	return o
}

// level returns the log level of the outcome.
func (o outcome) level() slog.Level {
	switch {
	case o.failed:
		return slog.LevelError
	case o.code != ExitDone:
		return slog.LevelWarn
	}
	return slog.LevelInfo
}

// failure returns the code of an error and one line that says what failed and what to try, or a line for each mistake
// in the settings.
func failure(err error) (code int, line string) {
	code, try := ExitFailed, ""
	_, isUsage := errors.AsType[*usageError](err)
	apiError, isAPI := errors.AsType[*fetcher.APIError](err)
	refused, isRefused := errors.AsType[*refusedTokenError](err)
	_, isVersion := errors.AsType[*manifest.VersionError](err)
	_, isIgnored := errors.AsType[*fetcher.IgnoredParameterError](err)
	_, isLater := errors.AsType[*fetcher.RetryLaterError](err)
	other, isOther := errors.AsType[*archiver.OtherArchiveError](err)
	folder, isFolder := errors.AsType[*copier.FolderError](err)
	bagFolder, isBag := errors.AsType[*bag.FolderError](err)
	_, isTarget := errors.AsType[*export.TargetError](err)
	_, isLaterExport := errors.AsType[*export.LaterError](err)
	switch { // several may apply: 5 precedes 2, and 2 precedes 1
	case errors.Is(err, copier.ErrBusy), errors.Is(err, bag.ErrBusy):
		code, try = ExitLocked, "wait until the other command has ended"
	case errors.Is(err, manifest.ErrLocked):
		code, try = ExitLocked, "wait until the other run has ended"
	case isUsage:
		return ExitUsage, mistakesText(err)
	case isOther:
		return ExitUsage, otherArchive(other)
	case isRefused:
		return ExitUsage, refusedToken(refused.APIError, refused.from)
	case isAPI && apiError.Unknown() != "":
		code, try = ExitUsage, "check --"+apiError.Unknown()+"-id"
	case isAPI && apiError.Refused():
		return ExitUsage, refusedToken(apiError, tokenVariable)
	case errors.Is(err, store.ErrLinkedFolder):
		code = ExitUsage // its text says what to try
	case isBag:
		try = orElse(store.Hint(bagFolder, "--to"), "check --to")
	case isFolder:
		try = orElse(store.Hint(folder, "--copy-to"), "check --copy-to")
	case isVersion, isLaterExport, errors.Is(err, store.ErrUnusable):
		// Their texts say what to try.
	case isTarget && store.Hint(err, "") != "":
		try = store.Hint(err, "--to")
	case store.Hint(err, "") != "": // an error of the manifest's file system, not from package store
		try = store.Hint(err, "--dest or --state-dir")
	case store.IsRetriable(err):
		err = fmt.Errorf("no usable answer from %s: %w", storeOf(err), storeTrouble(err))
		try = "check --s3-endpoint, the network and the proxy variables, or run the same command again later"
	case isIgnored:
		try = "check --api-url and --time-zone; nothing was stored"
	case isLater:
		try = "run the same command again after that time"
	case errors.Is(err, archiver.ErrOutage):
		try = "nothing was marked as lost; play one recording in the vendor's web page to see whether it still exists, or run again later"
	case errors.Is(err, archiver.ErrSilent):
		try = "check the network and the proxy variables, or run the same command again later"
	case errors.Is(err, fetcher.ErrUnreachable):
		try = "check --api-url, the network and the proxy variables, or run the same command again later"
	case isAPI:
		try = "run again later; if the answer stays the same, ask the vendor about it"
	}
	line = withoutRepeats(oneLine(err.Error()))
	if try != "" {
		line += ": " + try
	}
	return code, line
}

// storeOf names the store that failed.
func storeOf(err error) string {
	if b, ok := errors.AsType[*bucketError](err); ok {
		return b.bucket
	}
	return "the store"
}

// storeTrouble returns the store's own message for its failure. It drops the failed operation,
// which does not help someone without a network.
func storeTrouble(err error) error {
	for inner := errors.Unwrap(err); inner != nil && store.IsRetriable(inner); inner = errors.Unwrap(inner) {
		err = inner
	}
	return err
}

// otherArchive says which setting differs, and its correct value.
func otherArchive(e *archiver.OtherArchiveError) string {
	return oneLine(e.Error() + ": " + otherArchiveTry(e))
}

func otherArchiveTry(e *archiver.OtherArchiveError) string {
	if e.Of == archiver.OfAccount {
		return "use a token of that account, or another --dest"
	}
	try := "give " + settingOf(e) + " " + e.Archive + ", or another --dest"
	if e.Unproved {
		try += "; if the archive's is wrong, run rebuild with the right " + settingOf(e)
	}
	return try
}

// settingOf names the flag whose value differs from the archive.
func settingOf(e *archiver.OtherArchiveError) string {
	if e.Of == archiver.OfZone {
		return "--time-zone"
	}
	return "--api-url"
}

// withoutRepeats drops from "verb noun: verb noun: cause" repeated parts: each package adds its
// operation, and two may add the same.
func withoutRepeats(line string) string {
	var kept []string
	for part := range strings.SplitSeq(line, ": ") {
		if !slices.Contains(kept, part) {
			kept = append(kept, part)
		}
	}
	return strings.Join(kept, ": ")
}

// refusedToken puts the vendor's message in brackets, so that it does not hide what to do.
func refusedToken(e *fetcher.APIError, from string) string {
	return oneLine(refusedTokenSaid(e) + ": " + tryToken(from))
}

// refusedTokenError is the API's refusal of a token, with the source of the token.
type refusedTokenError struct {
	*fetcher.APIError
	from string
}

// Unwrap returns the API's error.
func (e *refusedTokenError) Unwrap() error { return e.APIError }

// tryToken says what to do about a token that the API refuses. from is the variable, or the path of the file.
func tryToken(from string) string {
	return "check " + from + " and that the token may search call logs"
}

func refusedTokenSaid(e *fetcher.APIError) string {
	said := fmt.Sprintf("HTTP status %d", e.Status)
	if e.Code != 0 {
		said = fmt.Sprintf("code %d", e.Code)
	}
	if e.Text != "" {
		said += fmt.Sprintf(", %q", e.Text)
	}
	return "the API refused the token (" + said + ")"
}

// oneLine joins the lines of a joined error.
func oneLine(s string) string {
	return strings.Join(strings.FieldsFunc(s, func(r rune) bool { return r == '\n' || r == '\r' }), "; ")
}

// complain prints the lines of an error. If stderr is closed, only the exit code remains.
func complain(s *screen, command, line string) {
	width := widthOf(s.base, nil)
	for one := range strings.SplitSeq(line, "\n") {
		_, _ = fmt.Fprintln(s, fitLine(command+": "+one, width))
	}
}
