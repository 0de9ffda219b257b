// Checks which keys may be removed.

package store

import (
	"path"
	"strings"
)

const opRemove = "remove object"

// checkRemoval allows the keys that hold audio: not the archive's own files, nor what seal and the commands beside it
// have written, whatever a line says.
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

// checkAside allows the names of copies that were moved aside, and of files that a killed run has left half written, in
// the folders of the ledger's days.
func checkAside(name string) error {
	tree, rest, _ := strings.Cut(name, "/")
	if checkPath(name) != nil || tree != "manifest" && tree != "calls" || !IsAside(rest) {
		return ErrBadKey
	}
	return nil
}

// IsAside reports whether a file beside the segments of a day is a copy that was moved aside, or was left half written.
func IsAside(name string) bool {
	base := path.Base(name)
	_, copied, isSegment := strings.Cut(base, ".json")
	copied = strings.TrimPrefix(strings.TrimPrefix(copied, "l"), ".gz")
	return isSegment && (strings.HasPrefix(copied, ".torn") || strings.HasPrefix(copied, ".bad-") || strings.HasSuffix(copied, partSuffix))
}
