// Checks keys before a store uses them.

package store

import (
	"errors"
	"io/fs"
	"strings"
	"unicode"
	"unicode/utf8"
)

// ErrBadKey is returned for a key that leaves the destination, is not clean, or
// is where the archive keeps its own notes. Keys are cleaned where they are made;
// this is the second line of defence.
var ErrBadKey = errors.New("the key is not allowed")

// checkNewKey allows the keys that recordings may be given.
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

// checkKey allows the keys that recordings may have. Older versions gave out some that
// checkNewKey refuses.
func checkKey(key string) error {
	if err := checkPath(key); err != nil {
		return err
	}
	if isOwn(key) || isBeside(key) {
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
