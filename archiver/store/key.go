package store

import (
	"errors"
	"io/fs"
	"strings"
	"unicode"
	"unicode/utf8"
)

// ErrBadKey is returned for a key that leaves the destination, is not clean, or
// stands where the archive keeps its own notes. Whoever makes keys cleans them;
// this is the second line of defence.
var ErrBadKey = errors.New("the key is not allowed")

func checkKeys(keys []string) error {
	for _, key := range keys {
		if err := checkKey(key); err != nil {
			return err
		}
	}
	return nil
}

// checkKey allows the keys that recordings may have.
func checkKey(key string) error {
	if err := checkPath(key); err != nil {
		return err
	}
	if reserved(key) {
		return ErrBadKey
	}
	return nil
}

// checkPath allows any path that stays below the root. Control characters are
// refused because XML, in which S3 lists keys, cannot hold them.
func checkPath(key string) error {
	if key == "." || !utf8.ValidString(key) || !fs.ValidPath(key) || strings.ContainsFunc(key, unicode.IsControl) {
		return ErrBadKey
	}
	return nil
}

// reserved reports whether a key belongs to the archive itself. Case, and dots and
// spaces at the end, do not count, for some file systems do not tell such names
// apart.
func reserved(key string) bool {
	first, _, _ := strings.Cut(key, "/")
	if strings.HasPrefix(first, ".") {
		return true
	}
	first = strings.TrimRight(first, ". ")
	return strings.EqualFold(first, "manifest") || strings.EqualFold(first, "calls")
}
