// Recognises bodies of text: HTML, JSON, and answers that say "not found".

package audio

import (
	"bytes"
	"slices"
	"strings"
	"unicode"
	"unicode/utf16"
	"unicode/utf8"
)

// maxText is how much of a text is searched for words. "Not found" answers are about sixty bytes
// long.
const maxText = 4 << 10

// text stores the start of a body.
type text struct {
	buf []byte
}

func (t *text) write(p []byte) {
	if t.buf == nil {
		t.buf = make([]byte, 0, maxText)
	}
	if room := maxText - len(t.buf); room > 0 {
		t.buf = append(t.buf, p[:min(room, len(p))]...)
	}
}

const utf8Mark = "\xEF\xBB\xBF"

// otherSubjects are words before "not found" which mean that something other than the recording was
// not found: such an answer must never write a recording off.
var otherSubjects = []string{
	"account", "auth", "endpoint", "host", "method", "page", "route", "server", "service", "session", "token", "user",
}

// saysNotFound reports whether the text holds the words "not found" in any case,
// also as one word or joined by other characters.
func (t *text) saysNotFound() bool {
	plain := strings.NewReplacer(`\n`, " ", `\r`, " ", `\t`, " ").Replace(decodeText(t.buf)) // escapes of JSON
	words := strings.FieldsFunc(strings.ToLower(plain), func(r rune) bool { return !unicode.IsLetter(r) })
	for i, word := range words {
		found := word == "notfound" || word == "not" && i+1 < len(words) && words[i+1] == "found"
		if found && (i == 0 || !slices.Contains(otherSubjects, words[i-1])) {
			return true
		}
	}
	return false
}

// decodeText converts text of any encoding to UTF-8.
func decodeText(b []byte) string {
	if order, rest := utf16Order(b); order != nil {
		units := make([]uint16, len(rest)/2)
		for i := range units {
			units[i] = order(rest[2*i:])
		}
		return string(utf16.Decode(units))
	}
	return string(bytes.ToValidUTF8(b, []byte("?")))
}

// textVerdict judges a head that is certainly text: markup or JSON by its start, or only UTF-8 or
// UTF-16 characters. Anything else is Unknown. more says that the body continues, so the last
// character may be incomplete.
func textVerdict(head []byte, more bool) Verdict {
	if order, _ := utf16Order(head); order != nil {
		if plain := decodeText(head); isUTF16Text(plain) {
			return kindOfText([]byte(plain))
		}
		return Unknown
	}
	head = bytes.TrimPrefix(head, []byte(utf8Mark))
	kind := kindOfText(head)
	if kind != Text || isUTF8Text(head, more) {
		return kind
	}
	return Unknown
}

// latin1Verdict is Text for a head without control characters that is not UTF-8, like pages in
// Latin-1 or a Windows code page. A quarter of it must be ASCII: raw samples can be free of control
// characters too, silence above all.
func latin1Verdict(head []byte) Verdict {
	ascii := 0
	for _, b := range head {
		if isControl(rune(b)) {
			return Unknown
		}
		if b < utf8.RuneSelf {
			ascii++
		}
	}
	if ascii == 0 || ascii < len(head)/4 {
		return Unknown
	}
	return Text
}

// isControl reports whether r is a character that does not occur in text.
func isControl(r rune) bool {
	const escape = 0x1B // starts colour codes, which servers may copy from their logs
	return r < ' ' && (r < '\t' || r > '\r') && r != escape || r == 0x7F
}

// isUTF8Text reports whether head is UTF-8 without control characters. The last character may be
// incomplete if the body continues.
func isUTF8Text(head []byte, more bool) bool {
	if more {
		for cut := range min(utf8.UTFMax-1, len(head)) {
			tail := head[len(head)-1-cut:]
			if utf8.RuneStart(tail[0]) {
				if !utf8.FullRune(tail) {
					head = head[:len(head)-len(tail)]
				}
				break
			}
		}
	}
	return utf8.Valid(head) && !bytes.ContainsFunc(head, isControl)
}

// isUTF16Text reports whether decoded units are text: no control characters, no half of a surrogate
// pair, and a quarter ASCII, which pages in every language have in their markup. Audio that starts
// like a byte order mark fails this check.
func isUTF16Text(plain string) bool {
	ascii, all := 0, 0
	for _, r := range plain {
		if isControl(r) {
			return false
		}
		if r < utf8.RuneSelf {
			ascii++
		}
		all++
	}
	// A head truncated inside a pair ends in one replacement character.
	return ascii > 0 && 4*ascii >= all && strings.Count(plain, string(utf8.RuneError)) <= 1
}

// utf16Order returns the decoder of UTF-16 units and their bytes, without the byte order mark. Text
// without a mark is recognised by an ASCII character at its start. For other data the function is
// nil.
func utf16Order(b []byte) (func([]byte) uint16, []byte) {
	little := func(b []byte) uint16 { return uint16(b[0]) | uint16(b[1])<<8 }
	big := func(b []byte) uint16 { return uint16(b[1]) | uint16(b[0])<<8 }
	ascii := func(b byte) bool { return b > 0 && b < utf8.RuneSelf && !isControl(rune(b)) }
	switch {
	case len(b) < 4:
		return nil, nil
	case b[0] == 0xFF && b[1] == 0xFE:
		return little, b[2:]
	case b[0] == 0xFE && b[1] == 0xFF:
		return big, b[2:]
	case ascii(b[0]) && b[1] == 0 && ascii(b[2]) && b[3] == 0:
		return little, b
	case b[0] == 0 && ascii(b[1]) && b[2] == 0 && ascii(b[3]):
		return big, b
	}
	return nil, nil
}

// kindOfText recognises HTML and JSON by their start; everything else is Text. No audio starts like
// them.
func kindOfText(head []byte) Verdict {
	const space = " \t\r\n\v\f"
	head = bytes.TrimLeft(head, space)
	if len(head) < 2 {
		return Text
	}
	next := bytes.TrimLeft(head[1:], space)
	switch {
	case head[0] == '<' && isMarkup(head[1:]):
		return HTML
	case head[0] == '{' && len(next) > 0 && (next[0] == '"' || next[0] == '}'):
		return JSON
	case head[0] == '[' && len(next) > 0 && strings.IndexByte(`{["]`, next[0]) >= 0:
		return JSON
	}
	return Text
}

// isMarkup reports whether what follows a "<" is a tag, a declaration or a comment.
func isMarkup(b []byte) bool {
	letters := 0
	for letters < len(b) && isLetter(b[letters]) {
		letters++
	}
	switch {
	case b[0] == '!' || b[0] == '?':
		return len(b) > 1 && (b[1] == '-' || b[1] == '[' || isLetter(b[1]))
	case letters == 0 || letters == len(b):
		return false
	}
	return strings.IndexByte("> \t\r\n/:-0123456789", b[letters]) >= 0
}

func isLetter(b byte) bool { return 'a' <= b|0x20 && b|0x20 <= 'z' }
