// Recognises keys that contain a hash or a run, which cannot be derived from a row.

package key

import (
	"regexp"
	"slices"
	"strings"
)

// Later is the content of a key that is neither the wanted key of a recording nor the one with its plain id: the
// third of [Names.For], or one of a recording whose id is made of another id and the run that replaced its damaged
// bytes.
type Later struct {
	Front string // part before the id; see [Fronts]
	Sum   string // the first 8 hex digits of the body's SHA-256, or ""
	id    string // as encoded by encodeID
}

var (
	laterPattern = regexp.MustCompile(`^([0-9a-z_]*?[0-9a-z])(?:_([0-9a-f]{8}))?$`)
	hashPattern  = regexp.MustCompile(`_[0-9a-f]{32}$`)
	// runPattern matches the part of a run's id that fits into the start of an encoded id.
	runPattern = regexp.MustCompile(`^[0-9]{0,8}(t[0-9]{0,6}(z(_[0-9a-z]*)?)?)?$`)
)

// ParseLater parses such a key, and returns false for any other. It also returns true for a file name that only looks
// like one.
func ParseLater(name string) (l Later, ok bool) {
	n := split(name)
	dash := strings.LastIndexByte(n.stem, '-')
	if dash < 0 {
		return l, false
	}
	found := laterPattern.FindStringSubmatch(n.stem[dash+1:])
	if found == nil || found[2] == "" && !hashPattern.MatchString(found[1]) {
		return l, false
	}
	return Later{Front: n.folder + n.stem[:dash], id: found[1], Sum: found[2]}, true
}

// IsOf reports whether the recording's own id is in the key.
func (l Later) IsOf(recordingID string) bool { return l.id == encodeID(recordingID) }

// Replaces reports whether the key may be one that [Names.For] gives for the recording's id, a space and the id of a
// run. The answer is uncertain for an id whose start fills the available space.
func (l Later) Replaces(recordingID string) (may, sure bool) {
	const hash = len("_") + 32
	begin := encodeID(recordingID + " ")
	begin = begin[:len(begin)-hash]
	run, ok := strings.CutPrefix(l.id, begin)
	if !ok || len(l.id) != maxIDStart+hash || l.IsOf(recordingID) {
		return false, false
	}
	return runPattern.MatchString(run[:len(run)-hash]), len(begin) < maxIDStart
}

// Fronts returns the part before the id in the later keys of a recording with the wanted key: its folder and
// stem, truncated if necessary.
func Fronts(wanted string) []string {
	n := split(wanted)
	fronts := []string{n.folder + n.stem}
	for _, suffix := range []int{len("-") + maxIDStart + len("_") + 32, len("-") + maxIDStart + len("_") + 32 + len("_1a2b3c4d")} {
		if room := maxPart - suffix - len(n.ext); len(n.stem) > room {
			if front := n.folder + cutPart(n.stem, room); !slices.Contains(fronts, front) {
				fronts = append(fronts, front)
			}
		}
	}
	return fronts
}
