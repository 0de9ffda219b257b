package cli

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"convoso-archiver/archiver"
	"convoso-archiver/archiver/store"
	"convoso-archiver/fetcher"
	"convoso-archiver/manifest"
)

func TestJudge(t *testing.T) {
	interrupted := &SignalError{Signal: os.Interrupt}
	terminated := &SignalError{Signal: syscall.SIGTERM}
	for name, c := range map[string]struct {
		err, cause error
		incomplete bool
		code       int
		line       string // part of it, "" for no line
	}{
		"all done":              {code: 0},
		"incomplete":            {incomplete: true, code: 3},
		"wrong flag":            {err: misuse("try", "what"), code: 2, line: "what: try"},
		"refused token":         {err: fmt.Errorf("list: %w", &fetcher.APIError{Op: "list calls", Status: 200, Code: 5001, Text: "Auth token is invalid"}), code: 2, line: `the API refused the token (code 5001, "Auth token is invalid"): check CONVOSO_AUTH_TOKEN and that the token may search call logs`},
		"refused by a gateway":  {err: &fetcher.APIError{Op: "list calls", Status: 403}, code: 1, line: "the API answered 403"},
		"unknown campaign":      {err: &fetcher.APIError{Op: "list calls", Status: 200, Code: 6004}, code: 2, line: "check --campaign-id"},
		"unknown queue":         {err: &fetcher.APIError{Op: "list calls", Status: 200, Code: 6030}, code: 2, line: "check --queue-id"},
		"other answer":          {err: &fetcher.APIError{Op: "list calls", Status: 400}, code: 1, line: "the API answered 400"},
		"unreachable":           {err: fmt.Errorf("%w: dial", fetcher.ErrUnreachable), code: 1, line: "check --api-url, the network"},
		"unreachable gateway":   {err: fmt.Errorf("%w: %w", fetcher.ErrUnreachable, &fetcher.APIError{Op: "list calls", Status: 504}), code: 1, line: "check --api-url"},
		"ignored parameter":     {err: &fetcher.IgnoredParameterError{Parameter: "start_time"}, code: 1, line: "nothing was stored"},
		"later":                 {err: &fetcher.RetryLaterError{Host: "api.convoso.com", After: 2 * time.Hour}, code: 1, line: "api.convoso.com asks to wait for 2h0m0s: run the same command again after that time"},
		"outage":                {err: fmt.Errorf("%w: 50", archiver.ErrOutage), code: 1, line: "nothing was marked as lost"},
		"locked":                {err: fmt.Errorf("open: %w", manifest.ErrLocked), code: 5, line: "wait until the other run has ended"},
		"other zone":            {err: fmt.Errorf("x: %w", &archiver.OtherArchiveError{Of: archiver.OfZone, Archive: "Asia/Tokyo", Run: "UTC"}), code: 2, line: "the archive was made with the time zone Asia/Tokyo, this run has UTC: give --time-zone Asia/Tokyo, or another --dest"},
		"other API":             {err: &archiver.OtherArchiveError{Of: archiver.OfAPI, Archive: "https://a", Run: "https://b"}, code: 2, line: "the archive was made with the API address https://a, this run has https://b: give --api-url https://a, or another --dest"},
		"other account":         {err: &archiver.OtherArchiveError{Of: archiver.OfAccount, Archive: "1", Run: "2"}, code: 2, line: "the archive belongs to account 1, the token to account 2: use a token of that account, or another --dest"},
		"notes do not fit":      {err: fmt.Errorf("note calls: %w", fmt.Errorf("note calls: %w", &fs.PathError{Op: "write", Path: "calls/2025-05-01.jsonl", Err: noSpace()})), code: 1, line: ": free some space, or choose another --dest or --state-dir"},
		"said twice":            {err: errors.New("note calls: note calls: append: cause"), code: 1, line: "note calls: append: cause"},
		"later format":          {err: &manifest.VersionError{File: "manifest/2025-05-01.jsonl", V: 2}, code: 1, line: "use a newer version of the program"},
		"disk full":             {err: fmt.Errorf("store: %w", store.ErrUnusable), code: 1, line: "store: "},
		"several lines":         {err: errors.Join(errors.New("one"), errors.New("two")), code: 1, line: "one; two"},
		"interrupted":           {err: interrupted, cause: interrupted, code: 130, line: "stopped by SIGINT: run the same command again"},
		"terminated":            {err: context.Canceled, cause: terminated, incomplete: true, code: 143, line: "stopped by SIGTERM"},
		"terminated, then full": {err: fmt.Errorf("store: %w", store.ErrUnusable), cause: terminated, code: 143, line: "store: "},
		"interrupted, finished": {cause: interrupted, code: 130, line: "stopped by SIGINT"},
		"max-duration":          {err: errMaxDuration, cause: errMaxDuration, incomplete: true, code: 3, line: "stopped by --max-duration"},
		"max-duration at start": {err: fmt.Errorf("open: %w", context.DeadlineExceeded), cause: errMaxDuration, code: 3, line: "stopped by --max-duration"},
		"max-duration, then 1":  {err: fmt.Errorf("store: %w", store.ErrUnusable), cause: errMaxDuration, incomplete: true, code: 1, line: "store: "},
		"locked and wrong flag": {err: errors.Join(misuse("", "wrong"), manifest.ErrLocked), code: 5, line: "another run"},
		"wrong flag, disk full": {err: errors.Join(store.ErrUnusable, misuse("", "wrong")), code: 2, line: "wrong"},
		"locked, interrupted":   {err: manifest.ErrLocked, cause: interrupted, code: 130, line: "another run"},
		"locked and incomplete": {err: manifest.ErrLocked, incomplete: true, code: 5, line: "another run"},
	} {
		t.Run(name, func(t *testing.T) {
			got := judge(c.err, c.cause, c.incomplete)
			if got.code != c.code || !strings.Contains(got.line, c.line) || (c.line == "") != (got.line == "") {
				t.Errorf("got %d %q", got.code, got.line)
			}
			if stopped := strings.HasPrefix(got.line, "stopped by"); got.failed != (got.line != "" && !stopped) {
				t.Errorf("failed is %v with %q", got.failed, got.line)
			}
			if strings.Contains(got.line, "note calls: note calls") {
				t.Errorf("said twice: %q", got.line)
			}
			if strings.Contains(got.line, "\n") {
				t.Errorf("more than one line: %q", got.line)
			}
		})
	}
}

// TestExitOrder: damage ranks below errors that stopped the run, and above incomplete results.
func TestExitOrder(t *testing.T) {
	for code, want := range map[int]int{130: 130, 143: 143, 5: 5, 2: 2, 1: 1, 3: 4, 0: 4} {
		if got := withDamage(outcome{code: code}, true).code; got != want {
			t.Errorf("damage beside %d ends with %d, want %d", code, got, want)
		}
		if got := withDamage(outcome{code: code}, false).code; got != code {
			t.Errorf("%d became %d", code, got)
		}
	}
}

// The codes are part of the program's contract.
func TestExitCodes(t *testing.T) {
	codes := []int{ExitDone, ExitFailed, ExitUsage, ExitIncomplete, ExitDamaged, ExitLocked, ExitInterrupted, ExitTerminated}
	for i, want := range []int{0, 1, 2, 3, 4, 5, 130, 143} {
		if codes[i] != want {
			t.Errorf("code %d was renumbered to %d", want, codes[i])
		}
	}
}
