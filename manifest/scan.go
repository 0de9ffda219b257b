package manifest

import (
	"bytes"
	"encoding/binary"
	"time"
	"unicode/utf8"
)

// scan walks over a line; once something does not match, every later step is a no-op.
type scan struct {
	rest    []byte
	scratch []byte
	failed  bool
}

func (s *scan) literal(want string) {
	if s.failed || len(s.rest) < len(want) || string(s.rest[:len(want)]) != want {
		s.failed = true
		return
	}
	s.rest = s.rest[len(want):]
}

// text reads a JSON string. It gives up on escapes other than \" \\ \/ and on what is not UTF-8, which
// encoding/json would replace.
func (s *scan) text() []byte {
	s.literal(`"`)
	if s.failed {
		return nil
	}
	end := bytes.IndexByte(s.rest, '"')
	if end < 0 {
		s.failed = true
		return nil
	}
	if value := s.rest[:end]; isPlain(value) {
		s.rest = s.rest[end+1:]
		return value
	}
	return s.peculiarText()
}

// isPlain reports whether all bytes are ASCII from the space on, without a backslash. It looks at eight
// at once: most of a line is such text.
func isPlain(b []byte) bool {
	const (
		ones  = 0x0101010101010101
		highs = 0x80 * ones
	)
	for ; len(b) >= 8; b = b[8:] {
		x := binary.LittleEndian.Uint64(b)
		slash := x ^ '\\'*ones // a byte of it is zero where x has a backslash
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

// peculiarText is text for a string that is not plain; its quote is read already.
func (s *scan) peculiarText() []byte {
	for i, c := range s.rest {
		switch {
		case c == '"':
			value := s.rest[:i]
			s.rest = s.rest[i+1:]
			s.failed = !utf8.Valid(value)
			return value
		case c == '\\':
			return s.escapedText(i)
		case c < ' ':
			s.failed = true
			return nil
		}
	}
	s.failed = true
	return nil
}

// escapedText is text for a string whose first escape stands at i. S3 entity tags come with quotes, so
// this path is taken for most lines there and must not allocate.
func (s *scan) escapedText(i int) []byte {
	start := len(s.scratch)
	s.scratch = append(s.scratch, s.rest[:i]...)
	for ; i < len(s.rest); i++ {
		c := s.rest[i]
		switch {
		case c == '"':
			s.rest = s.rest[i+1:]
			value := s.scratch[start:len(s.scratch):len(s.scratch)]
			s.failed = !utf8.Valid(value)
			return value
		case c < ' ':
			s.failed = true
			return nil
		case c == '\\':
			i++
			if i == len(s.rest) || bytes.IndexByte([]byte(`"\/`), s.rest[i]) < 0 {
				s.failed = true
				return nil
			}
			c = s.rest[i]
		}
		s.scratch = append(s.scratch, c)
	}
	s.failed = true
	return nil
}

// number reads a JSON number without sign, fraction or exponent, below 10^18.
func (s *scan) number() int64 {
	n, i := int64(0), 0
	for i < len(s.rest) && i < 18 && isDigit(s.rest[i]) {
		n = n*10 + int64(s.rest[i]-'0')
		i++
	}
	if s.failed || i == 0 || i > 1 && s.rest[0] == '0' {
		s.failed = true
		return 0
	}
	s.rest = s.rest[i:] // a 19th digit fails the literal that follows
	return n
}

const timeShape = `"0000-00-00T00:00:00Z"`

// timestamp reads an RFC 3339 time in UTC with whole seconds.
func (s *scan) timestamp(dates *dateMemo) int64 {
	if s.failed || len(s.rest) < len(timeShape) {
		s.failed = true
		return 0
	}
	b := s.rest[:len(timeShape)]
	midnight, ok := dates.midnight(b[1:11])
	hour, minute, second := twoDigits(b[12:]), twoDigits(b[15:]), twoDigits(b[18:])
	if !ok || b[0] != '"' || b[11] != 'T' || b[14] != ':' || b[17] != ':' || b[20] != 'Z' || b[21] != '"' ||
		hour > 23 || minute > 59 || second > 59 {
		s.failed = true
		return 0
	}
	s.rest = s.rest[len(timeShape):]
	return midnight + int64(hour*3600+minute*60+second)
}

// dateMemo remembers the last date that was read: the lines of a day name few.
type dateMemo struct {
	text [len(time.DateOnly)]byte
	unix int64
}

// midnight returns the second at which a date like 2006-01-02 begins in UTC, false for what is none.
func (m *dateMemo) midnight(date []byte) (unix int64, ok bool) {
	if string(date) == string(m.text[:]) {
		return m.unix, true
	}
	year, month, day := twoDigits(date)*100+twoDigits(date[2:]), twoDigits(date[5:]), twoDigits(date[8:])
	if year > 9999 || twoDigits(date[2:]) > 99 || month < 1 || month > 12 || day < 1 || date[4] != '-' || date[7] != '-' {
		return 0, false
	}
	t := time.Date(year, time.Month(month), day, 0, 0, 0, 0, time.UTC)
	if t.Day() != day { // 31 February became March; such a value is for encoding/json to refuse
		return 0, false
	}
	copy(m.text[:], date)
	m.unix = t.Unix()
	return m.unix, true
}

// twoDigits reads a number of two digits; what is none is above 99.
func twoDigits(b []byte) int {
	if !isDigit(b[0]) || !isDigit(b[1]) {
		return 100
	}
	return int(b[0]-'0')*10 + int(b[1]-'0')
}

func isDigit(c byte) bool { return '0' <= c && c <= '9' }
