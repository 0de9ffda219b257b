// Checks keys before a store uses them.

package store

import (
	"errors"
	"io/fs"
	"strings"
	"unicode"
	"unicode/utf8"
)

// ErrBadKey is returned for a key that leaves the destination, is not clean, or collides with the
// archive's own files. Keys are cleaned when they are made; this is a second check.
var ErrBadKey = errors.New("the key is not allowed")

// checkNewKey accepts the keys for new recordings.
func checkNewKey(key string) error {
	if err := checkKey(key); err != nil {
		return err
	}
	switch first := firstFolder(key); {
	case strings.EqualFold(first, "evidence"), strings.EqualFold(first, "seals"), strings.EqualFold(first, "access"):
		return ErrBadKey
	}
	return nil
}

// checkKey accepts the keys of existing recordings. Older versions used some that checkNewKey
// refuses.
func checkKey(key string) error {
	if err := checkPath(key); err != nil {
		return err
	}
	if isOwn(key) || isBeside(key) {
		return ErrBadKey
	}
	return nil
}

// checkPath accepts any path that stays below the root. Control characters are refused because XML,
// the format of S3 listings, cannot contain them.
func checkPath(key string) error {
	if key == "." || !utf8.ValidString(key) || !fs.ValidPath(key) || strings.ContainsFunc(key, unicode.IsControl) {
		return ErrBadKey
	}
	return nil
}

// isOwn reports whether a key belongs to the archive itself.
func isOwn(key string) bool {
	first := firstFolder(key)
	return strings.HasPrefix(key, ".") || strings.EqualFold(first, "manifest") || strings.EqualFold(first, "calls")
}

// firstFolder returns the first part of a key without dots and spaces at its end,
// which some file systems ignore.
func firstFolder(key string) string {
	first, _, _ := strings.Cut(key, "/")
	return strings.TrimRight(first, ". ")
}
