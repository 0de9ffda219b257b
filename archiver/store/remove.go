// Checks which keys may be removed.

package store

import (
	"path"
	"strings"
)

const opRemove = "remove object"

// checkRemoval accepts only keys of audio: not the archive's own files or those of seal and related commands, even if
// a line contains one.
func checkRemoval(key string) error {
	if err := checkKey(key); err != nil {
		return err
	}
	switch ext := path.Ext(key); {
	case checkNewKey(key) == nil:
		return nil
	case ext == ".json", ext == ".jsonl", ext == ".sig", ext == ".tsr":
		return ErrBadKey
	}
	return nil
}

// checkAside accepts the names of copies that were moved aside, and of partly written files of a killed run, in the
// ledger's day folders.
func checkAside(name string) error {
	tree, rest, _ := strings.Cut(name, "/")
	if checkPath(name) != nil || tree != "manifest" && tree != "calls" || !IsAside(rest) {
		return ErrBadKey
	}
	return nil
}

// IsAside reports whether a file in a day's folder is a copy that was moved aside, or a partly written file.
func IsAside(name string) bool {
	base := path.Base(name)
	_, copied, isSegment := strings.Cut(base, ".json")
	copied = strings.TrimPrefix(strings.TrimPrefix(copied, "l"), ".gz")
	return isSegment && (strings.HasPrefix(copied, ".torn") || strings.HasPrefix(copied, ".bad-") || strings.HasSuffix(copied, partSuffix))
}
