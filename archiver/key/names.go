// Makes the keys under which a recording may be stored.

package key

import (
	"encoding/hex"
	"strings"
)

// Names are the possible keys of a recording.
type Names struct {
	folder string // with its "/", or ""
	stem   string // of the file name
	ext    string // with its dot, or ""
}

// split returns the names whose wanted key is the given one.
func split(key string) Names {
	slash := strings.LastIndexByte(key, '/') + 1
	ext := extension(key[slash:])
	return Names{folder: key[:slash], stem: key[slash : len(key)-len(ext)], ext: ext}
}

// Wanted returns the key defined by the template.
func (n Names) Wanted() string { return n.folder + n.stem + n.ext }

// NamesOf returns the names with a noted wanted key.
func NamesOf(noted string) Names { return split(noted) }

// For returns the keys to try in turn for the recording with the id, which may be any text, and a
// body with the SHA-256 sum:
//
//	folder/name.mp3                the wanted one
//	folder/name-ID.mp3             if that is taken by another recording
//	folder/name-ID_1a2b3c4d.mp3    if that is taken too, by other bytes of the same
//	                               recording or by one whose file name looks like it
//
// The last two are injective over ids, and no last key equals a second one.
func (n Names) For(recordingID string, sum [32]byte) []string {
	id := encodeID(recordingID)
	return []string{n.Wanted(), n.with("-" + id), n.with("-" + id + "_" + hex.EncodeToString(sum[:4]))}
}

// with returns the key with a suffix before the extension.
func (n Names) with(suffix string) string {
	room := maxPart - len(suffix) - len(n.ext)
	stem := n.stem
	if len(stem) > room { // Key leaves space; a key noted in another way may not
		stem = cutPart(stem, room)
	}
	return n.folder + stem + suffix + n.ext
}

// Again returns the possible keys of a recording with a noted wanted key and unknown bytes: the first two of
// [Names.For]. Without a noted key there are none.
func Again(wanted, recordingID string) []string {
	if wanted == "" {
		return nil
	}
	return []string{wanted, split(wanted).with("-" + encodeID(recordingID))}
}

const (
	// maxPlainID is the longest id that is used unchanged in keys.
	maxPlainID = 40
	// maxIDStart is the length of the readable start of other ids.
	maxIDStart = 24
)

// encodeID returns the form of an id in keys. Ids of lower-case letters and digits, like the vendor's, stay
// unchanged. Any other becomes its readable start, "_" and 32 digits of its hash. The result contains neither "-"
// nor ".", so only the id can follow the last "-" of a name. It never ends in "_" and eight digits, so it is never
// mistaken for an id followed by the sum.
func encodeID(id string) string {
	if isPlainID(id) {
		return id
	}
	const digits = 32
	start := strings.Map(func(r rune) rune {
		switch {
		case r >= '0' && r <= '9', r >= 'a' && r <= 'z':
			return r
		case r >= 'A' && r <= 'Z':
			return r + ('a' - 'A')
		}
		return '_'
	}, id)
	return cutText(start, maxIDStart) + "_" + hashOf(id, digits)
}

func isPlainID(id string) bool {
	for i := range len(id) {
		if c := id[i]; (c < '0' || c > '9') && (c < 'a' || c > 'z') {
			return false
		}
	}
	return id != "" && len(id) <= maxPlainID && !isDevice(id)
}

// suffixSize is the length of the longest suffix that For adds for an id.
func suffixSize(recordingID string) int {
	return len("-") + len(encodeID(recordingID)) + len("_1a2b3c4d")
}

// Quarantine returns the keys to try in turn for a body that is neither text nor known audio: quarantine/DAY/ID.bin,
// and the same with the start of its SHA-256 sum after the id for another body of the same recording. They are
// injective over ids.
func Quarantine(day, recordingID string, sum [32]byte) []string {
	stem := "quarantine/" + CleanPart(day) + "/" + encodeID(recordingID)
	return []string{stem + ".bin", stem + "_" + hex.EncodeToString(sum[:4]) + ".bin"}
}
