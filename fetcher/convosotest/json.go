// Writes JSON like the vendor's API.

package convosotest

import (
	"strconv"
	"unicode/utf8"
)

// jsonWriter appends JSON to a buffer. It exists because encoding/json cannot vary the type of a
// field, omit it per row, and escape slashes like PHP.
type jsonWriter struct {
	buf     []byte
	slashes bool // write "\/" for "/"
	comma   bool // a comma is due before the next name or element
}

func (w *jsonWriter) open(bracket byte) {
	w.separate()
	w.buf = append(w.buf, bracket)
	w.comma = false
}

func (w *jsonWriter) close(bracket byte) {
	w.buf = append(w.buf, bracket)
	w.comma = true
}

func (w *jsonWriter) separate() {
	if w.comma {
		w.buf = append(w.buf, ',')
	}
	w.comma = true
}

// name writes the name of a field, whose value is written next.
func (w *jsonWriter) name(name string) {
	w.separate()
	w.quote(name)
	w.buf = append(w.buf, ':')
	w.comma = false
}

func (w *jsonWriter) text(name, value string) {
	w.name(name)
	w.quote(value)
	w.comma = true
}

// raw writes a field whose value is already JSON.
func (w *jsonWriter) raw(name, value string) {
	w.name(name)
	w.buf = append(w.buf, value...)
	w.comma = true
}

func (w *jsonWriter) number(name string, value int, asText bool) {
	if asText {
		w.text(name, strconv.Itoa(value))
		return
	}
	w.raw(name, strconv.Itoa(value))
}

// quote writes a string. Only what JSON forbids is escaped, because the vendor sends UTF-8.
func (w *jsonWriter) quote(s string) {
	const hex = "0123456789abcdef"
	w.buf = append(w.buf, '"')
	for _, r := range s {
		switch {
		case r == '"' || r == '\\' || (r == '/' && w.slashes):
			w.buf = append(w.buf, '\\', byte(r))
		case r < 0x20:
			w.buf = append(w.buf, '\\', 'u', '0', '0', hex[r>>4], hex[r&15])
		default:
			w.buf = utf8.AppendRune(w.buf, r)
		}
	}
	w.buf = append(w.buf, '"')
}
