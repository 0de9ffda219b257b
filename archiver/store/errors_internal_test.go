package store

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"
	"testing"
	"unicode/utf8"
)

func TestTroubles(t *testing.T) {
	for name, c := range map[string]struct {
		err                 error
		unusable, retriable bool
		hint                string
	}{
		"full":      {errFull, true, false, "free some space, or choose another --dest"},
		"read-only": {errReadOnly, true, false, "mount it writable, or choose another --dest"},
		"denied":    {errDenied, true, false, "let this user write there, or choose another --dest"},
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
	for _, err := range []error{nil, ErrKeyTaken, ErrBadKey, ErrUnusable, context.Canceled, errors.New("any")} {
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

// FuzzKey holds that a key that is allowed stays below the root, on its own path, and
// out of the archive's own files.
func FuzzKey(f *testing.F) {
	for _, key := range []string{
		"name.mp3", "2025-05-01/c/name.mp3", "quarantine/x", "../x", "/x", "a//b", "manifest/x", "MANIFEST ./x", "calls", ".tmp/x",
		"a/../manifest/x", "a\\b", "C:x", "\x00", "ﬁle", "a/.", "K", "manifeſt/x",
	} {
		f.Add(key)
	}
	f.Fuzz(func(t *testing.T, key string) {
		if checkKey(key) != nil {
			return
		}
		if path.Clean(key) != key || path.IsAbs(key) || !filepath.IsLocal(filepath.FromSlash(key)) && os.PathSeparator == '/' {
			t.Errorf("key %q is not a clean local path", key)
		}
		first, _, _ := strings.Cut(strings.ToLower(key), "/")
		if first == "manifest" || first == "calls" || first[0] == '.' {
			t.Errorf("key %q is reserved", key)
		}
	})
}

// FuzzMetaValue holds that metadata comes back from any server as it was sent, and
// that different ids stay different.
func FuzzMetaValue(f *testing.F) {
	for _, text := range []string{"", "12345", "a b", "a%20b", "Zoë", "\n", strings.Repeat("x", 600), strings.Repeat("é", 600), "\xff"} {
		f.Add(text, text+"x")
		f.Add(text, text)
	}
	f.Fuzz(func(t *testing.T, a, b string) {
		value := metaValue(a)
		if len(value) > longestMeta || !utf8.ValidString(value) {
			t.Errorf("metadata for %q is %q", a, value)
		}
		for _, c := range []byte(value) {
			if c <= ' ' || c > '~' {
				t.Errorf("metadata for %q is %q", a, value)
			}
		}
		if (value == metaValue(b)) != (a == b) {
			t.Errorf("metadata for %q and %q is %q and %q", a, b, value, metaValue(b))
		}
	})
}
