package fetcher

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"strconv"
	"strings"
	"unicode/utf8"
)

// text takes any JSON scalar and keeps its text; null is "". An object or array
// keeps its JSON, so that an unexpected type is never an error of the whole row.
type text string

// UnmarshalJSON implements json.Unmarshaler.
func (t *text) UnmarshalJSON(data []byte) error {
	*t = textOf(bytes.TrimSpace(data))
	return nil
}

// textOf returns the text of a valid JSON value, in memory of its own, "" for none.
func textOf(value []byte) text {
	if inner, ok := plainString(value); ok {
		return text(inner)
	}
	var space [1 << 9]byte
	return text(appendText(space[:0], value))
}

// appendText appends the text of a valid JSON value.
func appendText(dst, value []byte) []byte {
	switch {
	case len(value) == 0 || string(value) == "null":
		return dst
	case value[0] != '"':
		return append(dst, value...)
	}
	if whole, ok := appendUnescaped(dst, value[1:len(value)-1]); ok {
		return whole
	}
	var s string
	_ = json.Unmarshal(value, &s) // a valid string can be decoded
	return append(dst, s...)
}

// appendUnescaped appends what stands between the quotes of a string and has no
// escapes but those that just mark a character: PHP marks every slash. It is false
// for any other, which is left to encoding/json, as is what is not UTF-8.
func appendUnescaped(dst, inner []byte) (whole []byte, ok bool) {
	if !utf8.Valid(inner) {
		return dst, false
	}
	for {
		i := bytes.IndexByte(inner, '\\')
		if i < 0 {
			return append(dst, inner...), true
		}
		marked := inner[i+1]
		if marked != '/' && marked != '"' && marked != '\\' {
			return dst, false
		}
		dst = append(append(dst, inner[:i]...), marked)
		inner = inner[i+2:]
	}
}

// joinTexts decodes values into one string and sets ends to where in it the text of
// each ends. A row has two dozen, most of them shorter than what an allocation of
// their own would take.
func joinTexts(values [][]byte, ends []int) string {
	var space [1 << 10]byte // as much as a row has without its recordings
	joined := space[:0]
	for i, value := range values {
		joined = appendText(joined, value)
		ends[i] = len(joined)
	}
	return string(joined)
}

// plainString returns what stands between the quotes of a valid JSON string that means just that and would be
// written just so, as most of a row's are: encoding/json would go over it twice more. It is false for others.
func plainString(value []byte) (inner []byte, ok bool) {
	if len(value) < 2 || value[0] != '"' {
		return nil, false
	}
	inner = value[1 : len(value)-1]
	for _, c := range inner {
		if c == '\\' || c >= utf8.RuneSelf {
			return nil, false
		}
	}
	return inner, true
}

// orNull returns the text, and "" for the literal "null" that stands in place of
// null in some rows.
func (t text) orNull() string {
	s := strings.TrimSpace(string(t))
	if strings.EqualFold(s, "null") {
		return ""
	}
	return s
}

// longestID is many times the length of any id, and far below what a manifest can note.
const longestID = 1 << 10

// asID is orNull for what a call or a recording is noted under. What cannot be is as
// good as no id: where a list or an object stands in its place, its JSON may be longer
// than any id, and not UTF-8.
func (t text) asID() string {
	id := t.orNull()
	if len(id) > longestID || !utf8.ValidString(id) {
		return ""
	}
	return id
}

// withoutNull is orNull for a text that is not yet a string.
func withoutNull(t []byte) []byte {
	t = bytes.TrimSpace(t)
	if bytes.EqualFold(t, []byte("null")) {
		return nil
	}
	return t
}

// number returns the text as a count, and whether it is one.
func (t text) number() (int, bool) {
	n, err := strconv.Atoi(t.orNull())
	return n, err == nil && n >= 0
}

func base64Any(s string) ([]byte, error) {
	s = strings.TrimRight(s, "=")
	if strings.ContainsAny(s, "-_") {
		return base64.RawURLEncoding.DecodeString(s)
	}
	return base64.RawStdEncoding.DecodeString(s)
}
