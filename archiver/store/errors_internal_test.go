package store

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"testing"
)

func TestTroubles(t *testing.T) {
	for name, c := range map[string]struct {
		err                 error
		unusable, retriable bool
		hint                string
	}{
		"full":      {errNoSpace, true, false, "free some space, or choose another --dest"},
		"read-only": {errNoWrite, true, false, "mount it writable, or choose another --dest"},
		"denied":    {errDenied, true, false, "let this user read and write there, or choose another --dest"},
		"too many":  {errTooMany, false, true, ""},
		"busy":      {errBusy, false, true, ""},
		"missing":   {fs.ErrNotExist, false, false, ""},
		"any other": {errors.New("odd"), false, false, ""},
		"of a part": {&failure{text: "x", retriable: true}, false, true, ""},
	} {
		for wrapping, err := range map[string]error{
			"bare":   c.err,
			"path":   &fs.PathError{Op: "open", Path: "CANARY", Err: c.err},
			"link":   &os.LinkError{Op: "link", Old: "CANARY", New: "CANARY", Err: c.err},
			"joined": fmt.Errorf("x: %w", &os.LinkError{Op: "link", Old: "CANARY", New: "CANARY", Err: os.NewSyscallError("linkat", c.err)}),
		} {
			got := fileFailure("store object", atDestination, err)
			if errors.Is(got, ErrUnusable) != c.unusable || IsRetriable(got) != c.retriable {
				t.Errorf("%s, %s: %v is unusable %t, retriable %t", name, wrapping, got, errors.Is(got, ErrUnusable), IsRetriable(got))
			}
			if !strings.HasSuffix(got.Error(), c.hint) || strings.Contains(got.Error(), "CANARY") {
				t.Errorf("%s, %s: the text is %q, want it to end in %q", name, wrapping, got, c.hint)
			}
			if _, ours := errors.AsType[*failure](c.err); !ours && !errors.Is(got, c.err) {
				t.Errorf("%s, %s: %v is not its cause any more", name, wrapping, got)
			}
		}
	}
}

func TestIsRetriableElse(t *testing.T) {
	for _, err := range []error{nil, &TakenError{Same: true}, ErrBadKey, ErrUnusable, context.Canceled, errors.New("any")} {
		if IsRetriable(err) {
			t.Errorf("%v is retriable", err)
		}
	}
}

func TestPlain(t *testing.T) {
	for in, want := range map[string]string{
		"AccessDenied": "AccessDenied", "KMS.NotFoundException": "KMS.NotFoundException", "": "",
		"/bucket/15550001111.mp3": "", "Zoë": "", "a b": "", "<html>": "", strings.Repeat("x", 80): strings.Repeat("x", 80),
		strings.Repeat("x", 81): "",
	} {
		if got := plain(in); got != want {
			t.Errorf("plain(%q) is %q, want %q", in, got, want)
		}
	}
}
