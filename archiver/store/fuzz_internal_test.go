package store

import (
	"io/fs"
	"net/url"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"convoso-archiver/archiver/key"
)

// FuzzKey checks that an allowed key stays below the root, on its own path, and outside of the
// archive's own files, and that every key that package key makes from the same text is allowed.
func FuzzKey(f *testing.F) {
	for _, text := range []string{
		"name.mp3", "2025-05-01/c/name.mp3", "quarantine/x", "../x", "/x", "a//b", "manifest/x", "MANIFEST ./x", "calls", ".tmp/x",
		"a/../manifest/x", "a\\b", "C:x", "\x00", "ﬁle", "a/.", "K", "manifeſt/x",
	} {
		f.Add(text)
	}
	template, err := key.Parse("{{.campaign}}/{{.filename}}")
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if checkNewKey(text) == nil {
			checkAllowed(t, text)
		}
		names, err := template.Key(map[string]string{"campaign": text, "filename": text}, time.Time{}, key.Options{RecordingID: text})
		if err != nil {
			t.Fatal(err)
		}
		for _, made := range names.For(text, [32]byte{}) {
			if checkKey(made) != nil {
				t.Errorf("key %q, made of %q, is not allowed", made, text)
			}
		}
		for _, made := range key.Quarantine(text, text, [32]byte{}) {
			if checkKey(made) != nil {
				t.Errorf("key %q, made of %q, is not allowed", made, text)
			}
		}
	})
}

// checkAllowed checks an allowed key by independent rules.
func checkAllowed(t *testing.T, allowed string) {
	t.Helper()
	isLocal := filepath.IsLocal(allowed) || filepath.Separator != '/'
	if path.Clean(allowed) != allowed || path.IsAbs(allowed) || !fs.ValidPath(allowed) || !isLocal || !utf8.ValidString(allowed) {
		t.Errorf("key %q is not a clean local path", allowed)
	}
	for _, c := range []byte(allowed) {
		if c < ' ' || c == 0x7F {
			t.Errorf("key %q has a control character", allowed)
		}
	}
	first, _, _ := strings.Cut(allowed, "/")
	first = strings.ToLower(strings.ToUpper(strings.TrimRight(first, " .")))
	if slices.Contains([]string{"manifest", "calls", "evidence", "seals", "access"}, first) || allowed[0] == '.' {
		t.Errorf("key %q is reserved", allowed)
	}
}

// FuzzMetaValue checks that metadata survives any server, that a value that fits is not truncated,
// and that different ids stay different, even from a truncated one.
func FuzzMetaValue(f *testing.F) {
	for _, text := range []string{"", "12345", "a b", "a%20b", "Zoë", "\n", strings.Repeat("x", 600), strings.Repeat("é", 600), "\xff"} {
		f.Add(text, text+"x")
		f.Add(text, text)
	}
	f.Fuzz(func(t *testing.T, a, b string) {
		value := metaValue(a)
		if len(value) > maxMeta || strings.ContainsFunc(value, func(r rune) bool { return r <= ' ' || r > '~' }) {
			t.Errorf("metadata for %q is %q", a, value)
		}
		if back, err := url.PathUnescape(value); len(value) < maxMeta && (err != nil || back != a) {
			t.Errorf("metadata for %q is %q, which reads %q", a, value, back)
		}
		for _, other := range []string{b, value, value + b} {
			if (value == metaValue(other)) != (a == other) {
				t.Errorf("metadata for %q and %q is %q and %q", a, other, value, metaValue(other))
			}
		}
	})
}
