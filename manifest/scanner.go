// Parses the usual form of a line faster than encoding/json.

package manifest

import (
	"bytes"
	"encoding/binary"
	"strings"
	"time"
	"unicode/utf8"
)

// scan parses a line; after a mismatch, every later step is a no-op.
type scan struct {
	rest    []byte
	scratch []byte // holds decoded strings with escapes or non-ASCII characters
	failed  bool
}

// optional reads an optional text, and reports whether it is present.
func (s *scan) optional(want string) bool {
	if s.failed || len(s.rest) < len(want) || string(s.rest[:len(want)]) != want {
		return false
	}
	s.rest = s.rest[len(want):]
	return true
}

func (s *scan) literal(want string) { s.failed = !s.optional(want) }

// optionalText reads an optional field of text, nil if it is missing.
func (s *scan) optionalText(name string) []byte {
	if !s.optional(name) {
		return nil
	}
	return s.text()
}

// text reads a JSON string. It gives up on escapes other than \" \\ \/ and on invalid UTF-8, which encoding/json
// would replace. S3 entity tags contain quotes, so escapes must not cost an allocation.
func (s *scan) text() []byte {
	s.literal(`"`)
	end := bytes.IndexByte(s.rest, '"')
	if s.failed || end < 0 {
		s.failed = true
		return nil
	}
	if value := s.rest[:end]; isPlain(value) {
		s.rest = s.rest[end+1:]
		return value
	}
	start := len(s.scratch)
	for i := 0; i < len(s.rest); i++ {
		c := s.rest[i]
		switch {
		case c == '"':
			s.rest = s.rest[i+1:]
			value := s.scratch[start:len(s.scratch):len(s.scratch)]
			s.failed = !utf8.Valid(value)
			return value
		case c == '\\' && i+1 < len(s.rest) && strings.IndexByte(`"\/`, s.rest[i+1]) >= 0:
			i++
			c = s.rest[i]
		case c == '\\' || c < ' ':
			s.failed = true
			return nil
		}
		s.scratch = append(s.scratch, c)
	}
	s.failed = true
	return nil
}

// isPlain reports whether all bytes are printable ASCII without a backslash. It checks eight at once,
// because most of a line is such text.
func isPlain(b []byte) bool {
	const (
		ones  = 0x0101010101010101
		highs = 0x80 * ones
	)
	for ; len(b) >= 8; b = b[8:] {
		x := binary.LittleEndian.Uint64(b)
		slash := x ^ '\\'*ones // a byte of it is zero if x has a backslash
		below := (x - ' '*ones) | (slash-ones)&^slash
		if (below|x)&highs != 0 {
			return false
		}
	}
	for _, c := range b {
		if c < ' ' || c >= utf8.RuneSelf || c == '\\' {
			return false
		}
	}
	return true
}

// number reads a JSON number without sign, fraction or exponent, below 10^18.
func (s *scan) number() (n int64) {
	i := 0
	for ; i < len(s.rest) && i < 18 && '0' <= s.rest[i] && s.rest[i] <= '9'; i++ {
		n = n*10 + int64(s.rest[i]-'0')
	}
	s.failed = s.failed || i == 0 || i > 1 && s.rest[0] == '0'
	s.rest = s.rest[i:] // a 19th digit fails the literal that follows
	return n
}

// timestamp reads an RFC 3339 time in UTC with whole seconds.
func (s *scan) timestamp() int64 {
	const size = len(`"2006-01-02T15:04:05Z"`)
	var t time.Time
	if s.failed || len(s.rest) < size || s.rest[size-2] != 'Z' || t.UnmarshalJSON(s.rest[:size]) != nil {
		s.failed = true
		return 0
	}
	s.rest = s.rest[size:]
	return t.Unix()
}
