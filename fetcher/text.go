package fetcher

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"
)

// text takes any JSON scalar and keeps its text; null is "". An object or array
// keeps its JSON, so that an unexpected type is never an error of the whole row.
type text string

// UnmarshalJSON implements json.Unmarshaler.
func (t *text) UnmarshalJSON(data []byte) error {
	data = bytes.TrimSpace(data)
	if len(data) == 0 || string(data) == "null" {
		*t = ""
		return nil
	}
	if data[0] != '"' {
		*t = text(data)
		return nil
	}
	if inner, ok := plainString(data); ok {
		*t = text(inner)
		return nil
	}
	var s string
	if err := json.Unmarshal(data, &s); err != nil {
		return fmt.Errorf("decode string: %w", err)
	}
	*t = text(s)
	return nil
}

// plainString returns what stands between the quotes of a JSON string that means just that, as most of a
// row's do: encoding/json would go over it twice more. It is false for all others, and for what is none.
func plainString(data []byte) (inner []byte, ok bool) {
	if len(data) < 2 || data[len(data)-1] != '"' {
		return nil, false
	}
	inner = data[1 : len(data)-1]
	for _, c := range inner {
		if c < ' ' || c >= utf8.RuneSelf || c == '\\' || c == '"' {
			return nil, false
		}
	}
	return inner, true
}

// nullable is a text that tells null from a value that is missing or empty.
type nullable struct {
	text
	null bool
}

// UnmarshalJSON implements json.Unmarshaler.
func (n *nullable) UnmarshalJSON(data []byte) error {
	n.null = string(bytes.TrimSpace(data)) == "null"
	return n.text.UnmarshalJSON(data)
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
