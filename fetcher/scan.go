package fetcher

import (
	"bytes"
	"slices"
	"strings"
)

// The functions here walk JSON by cutting it, where encoding/json would check and
// copy it once more on each level of a page. They take JSON alone that is known to
// be valid, as json.Valid says: on anything else they may panic.

// cursor goes over the elements of an array, or over the names and values of an
// object in turn.
type cursor struct{ rest []byte }

// inside returns a cursor over an array or an object.
func inside(container []byte) cursor { return cursor{container[1 : len(container)-1]} }

// next returns the next value as it stands, and whether there is one.
func (c *cursor) next() (value []byte, ok bool) {
	for i, char := range c.rest {
		if isSpace(char) || char == ',' || char == ':' {
			continue
		}
		end := i + valueEnd(c.rest[i:])
		value, c.rest = c.rest[i:end:end], c.rest[end:] // not to be appended to in place
		return value, true
	}
	return nil, false
}

// elementsOf returns the elements of an array.
func elementsOf(array []byte) (all [][]byte) {
	c := inside(array)
	for value, ok := c.next(); ok; value, ok = c.next() {
		all = append(all, value)
	}
	return all
}

// objectValues returns the values of an object in the order they stand in.
func objectValues(object []byte) (all [][]byte) {
	c := inside(object)
	for _, ok := c.next(); ok; _, ok = c.next() {
		value, _ := c.next()
		all = append(all, value)
	}
	return all
}

// fieldNames are the names of the fields of an object that are wanted.
type fieldNames []string

// read sets found[i] to the value of the field names[i] and leaves it as it is
// where there is none. As with encoding/json the case of names does not matter, and
// the last of several values counts.
func (names fieldNames) read(object []byte, found [][]byte) {
	likely := 0
	c := inside(object)
	for name, ok := c.next(); ok; name, ok = c.next() {
		value, _ := c.next()
		if i := names.index(name, likely); i >= 0 {
			found[i], likely = value, i+1
		}
	}
}

// index returns which of the names a name in quotes is, -1 for none. It looks first
// at the one that is likely: objects have their fields in the same order mostly.
func (names fieldNames) index(quoted []byte, likely int) int {
	name := unquoted(quoted)
	for k := range names {
		i := likely + k
		if i >= len(names) {
			i -= len(names)
		}
		if names[i] == string(name) {
			return i
		}
	}
	unknown := string(name)
	return slices.IndexFunc(names, func(wanted string) bool { return strings.EqualFold(wanted, unknown) })
}

// unquoted returns the text of a valid JSON value: of a string without escapes, a part of it.
func unquoted(quoted []byte) []byte {
	if inner, plain := plainString(quoted); plain {
		return inner
	}
	return appendText(make([]byte, 0, len(quoted)), quoted)
}

// valueEnd returns where the value ends that data begins with.
func valueEnd(data []byte) int {
	switch data[0] {
	case '"':
		return stringEnd(data)
	case '{', '[':
		return containerEnd(data)
	}
	for i, char := range data {
		if isSpace(char) || char == ',' || char == '}' || char == ']' {
			return i
		}
	}
	return len(data)
}

// stringEnd returns where the string ends that data begins with.
func stringEnd(data []byte) int {
	for i := 1; ; i++ {
		i += bytes.IndexByte(data[i:], '"')
		escapes := 0
		for data[i-1-escapes] == '\\' {
			escapes++
		}
		if escapes%2 == 0 {
			return i + 1
		}
	}
}

// containerEnd returns where the array or object ends that data begins with.
func containerEnd(data []byte) int {
	depth := 0
	for i := 0; ; i++ {
		switch data[i] {
		case '"':
			i += stringEnd(data[i:]) - 1
		case '{', '[':
			depth++
		case '}', ']':
			if depth--; depth == 0 {
				return i + 1
			}
		}
	}
}

// isSpace reports whether a byte is what JSON allows between its tokens.
func isSpace(char byte) bool { return char == ' ' || char == '\n' || char == '\t' || char == '\r' }
