// Replaces characters that a store would refuse.

package key

import (
	"crypto/sha256"
	"encoding/hex"
	"path"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

const (
	maxPart = 255  // bytes of a part, the limit of file systems
	maxKey  = 1024 // bytes of a key with its prefix, the limit of S3
	// minPart is the minimum length of a truncated part, with space for a hash and an extension.
	minPart = 48
)

// cleanText returns text with each character that some store refuses, hides or confuses with
// another replaced by "_", and each byte of invalid UTF-8 too. Besides control characters, these
// are characters for text direction and of zero width, every space except the plain one, and
// unassigned code points.
func cleanText(text string) string {
	return strings.Map(func(r rune) rune {
		if isAllowed(r) {
			return r
		}
		return '_'
	}, text)
}

func isAllowed(r rune) bool {
	switch r {
	case '/', '\\', ':', '<', '>', '"', '|', '?', '*', utf8.RuneError:
		return false
	}
	return unicode.IsPrint(r)
}

// CleanPart makes a part of a key from any text: clean characters, no "." or "..", nothing that
// Windows refuses, not empty and at most 255 bytes. Cleaning a clean part again changes nothing.
func CleanPart(text string) string { return cutPart(namePart(text), maxPart) }

// namePart is like CleanPart, without the limit.
func namePart(text string) string {
	part := cleanText(text)
	stem := strings.TrimRight(part, ". ") // Windows drops them, so that "x." opens "x"
	part = stem + strings.Repeat("_", len(part)-len(stem))
	if part == "" || isDevice(part) {
		part = "_" + part
	}
	return part
}

// isDevice reports whether Windows opens a device by the name, with any extension. Superscript
// digits count, and trailing spaces do not; leading spaces are not documented, so they are ignored
// too.
func isDevice(part string) bool {
	stem, _, _ := strings.Cut(part, ".")
	stem = strings.ToUpper(strings.Trim(stem, " "))
	switch stem {
	case "CON", "PRN", "AUX", "NUL", "CONIN$", "CONOUT$", "CLOCK$":
		return true
	}
	digit, isPort := strings.CutPrefix(stem, "COM")
	if !isPort {
		digit, isPort = strings.CutPrefix(stem, "LPT")
	}
	r, size := utf8.DecodeRuneInString(digit)
	return isPort && size == len(digit) && size > 0 && strings.ContainsRune("0123456789¹²³", r)
}

// outsideReserved returns the first part of a key, changed if it is one of the archive's own names,
// or hidden. Short names of NTFS, like MANIFE~1, lead into those folders too.
func outsideReserved(part string) string {
	isOwn := func(own string) bool { return strings.EqualFold(part, own) }
	if strings.HasPrefix(part, ".") || slices.ContainsFunc(ownFolders(), isOwn) {
		return "_" + part
	}
	if stem, number, ok := strings.Cut(part, "~"); ok && len(stem) <= 6 && number != "" && number[0] >= '0' && number[0] <= '9' {
		return stem + "_" + number
	}
	return part
}

// ownFolders returns the names that the first part of a key must not have, because the archive uses them.
func ownFolders() []string {
	return []string{"manifest", "calls", "evidence", "seals", "access", "quarantine"}
}

// cutPart returns part within limit bytes. A longer one keeps its start and its extension with a
// hash of the whole between them, so parts that differ anywhere stay different.
func cutPart(part string, limit int) string {
	if len(part) <= limit {
		return part
	}
	ext := extension(part)
	hash := "-" + hashOf(part, 16)
	return cutText(part[:len(part)-len(ext)], limit-len(hash)-len(ext)) + hash + ext
}

// cutText returns the first bytes of valid UTF-8, up to limit and whole characters.
func cutText(text string, limit int) string {
	if len(text) <= limit {
		return text
	}
	limit = max(0, limit)
	for limit > 0 && !utf8.RuneStart(text[limit]) {
		limit--
	}
	return text[:limit]
}

// hashOf returns the first hexadecimal digits of a text's SHA-256.
func hashOf(text string, digits int) string {
	sum := sha256.Sum256([]byte(text))
	return hex.EncodeToString(sum[:])[:digits]
}

// extension returns a name's extension with its dot: up to eight ASCII letters and digits after the
// last dot, which is not the name's first character. Otherwise "".
func extension(name string) string {
	const maxLetters = 8
	ext := path.Ext(name)
	if len(ext) < 2 || len(ext) > 1+maxLetters || len(ext) == len(name) {
		return ""
	}
	for i := 1; i < len(ext); i++ {
		if c := ext[i]; (c < '0' || c > '9') && (c|0x20 < 'a' || c|0x20 > 'z') {
			return ""
		}
	}
	return ext
}

// withExtension returns a file name with the extension of its content. A wrong extension of audio is replaced; after
// any other extension the right one is added.
func withExtension(name, want string) string {
	have := extension(name)
	if want == "" || strings.EqualFold(have, want) {
		return name
	}
	if isAudioExtension(have) {
		name = name[:len(name)-len(have)]
	}
	return name + want
}

func isAudioExtension(ext string) bool {
	switch strings.ToLower(ext) {
	case ".3gp", ".aac", ".aif", ".aiff", ".amr", ".au", ".awb", ".flac", ".gsm", ".m4a", ".mp2", ".mp3", ".mp4",
		".mpga", ".oga", ".ogg", ".opus", ".snd", ".spx", ".ulaw", ".wav", ".wave", ".webm", ".wma":
		return true
	}
	return false
}
