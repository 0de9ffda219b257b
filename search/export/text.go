// Writes tables as CSV and JSON Lines.

package export

import (
	"encoding/json"
	"io"
	"strconv"
	"strings"
	"time"
)

// instantLayout is the layout of instants in text formats: UTC, whole seconds.
const instantLayout = "2006-01-02T15:04:05Z"

// described is a row that passes its columns; the pointer types of both tables implement it.
type described[T any] interface {
	*T
	columns(columns)
}

// csvFile writes one table as in RFC 4180: CRLF between records, quotes doubled, a header, UTF-8.
type csvFile[T any, P described[T]] struct {
	excel bool
	w     io.Writer
	line  csvLine
}

// ByteOrderMark marks a text as UTF-8 for spreadsheets.
const ByteOrderMark = "\uFEFF"

// begin starts a file with its header.
func (c *csvFile[T, P]) begin(w io.Writer) error {
	c.w, c.line = w, csvLine{excel: c.excel, record: c.line.record[:0]}
	if c.excel {
		if _, err := io.WriteString(w, ByteOrderMark); err != nil {
			return err
		}
	}
	var empty T
	header := &csvLine{excel: c.excel, names: true}
	P(&empty).columns(header)
	_, err := w.Write(append(header.record, '\r', '\n'))
	return err
}

func (c *csvFile[T, P]) write(row *T) error {
	c.line.record, c.line.fields = c.line.record[:0], 0
	P(row).columns(&c.line)
	c.line.record = append(c.line.record, '\r', '\n')
	_, err := c.w.Write(c.line.record)
	return err
}

func (c *csvFile[T, P]) end() error { return nil }

// csvLine is one record of CSV.
type csvLine struct {
	record []byte
	fields int
	excel  bool
	names  bool // the header
}

func (c *csvLine) field(name, value string) {
	if c.fields++; c.fields > 1 {
		c.record = append(c.record, ',')
	}
	if c.names {
		value = name
	}
	if !c.excel && !strings.ContainsAny(value, "\",\r\n") && value == strings.TrimSpace(value) {
		c.record = append(c.record, value...)
		return
	}
	c.record = append(c.record, '"')
	for i := range len(value) {
		if value[i] == '"' {
			c.record = append(c.record, '"')
		}
		c.record = append(c.record, value[i])
	}
	c.record = append(c.record, '"')
}

// text writes a text. NUL becomes U+FFFD, because CSV readers treat NUL differently.
func (c *csvLine) text(name, value string) {
	guarded := value
	if c.excel {
		guarded = Guarded(value)
	}
	if strings.IndexByte(guarded, 0) >= 0 {
		guarded = strings.ReplaceAll(guarded, "\x00", "\uFFFD")
	}
	c.field(name, guarded)
}

// Guarded puts a ' before a text that a spreadsheet would read as a formula.
func Guarded(text string) string {
	if text != "" && strings.IndexByte("=+-@\t\r\x00", text[0]) >= 0 {
		return "'" + text
	}
	return text
}

func (c *csvLine) whole(name string, value int64, _ int) {
	c.field(name, strconv.FormatInt(value, 10))
}

func (c *csvLine) length(name string, seconds *int32) {
	if seconds == nil {
		c.field(name, "")
		return
	}
	c.whole(name, int64(*seconds), 32)
}

func (c *csvLine) truth(name string, value bool) { c.field(name, strconv.FormatBool(value)) }

func (c *csvLine) moment(name string, t time.Time) {
	if t.IsZero() {
		c.field(name, "")
		return
	}
	c.field(name, t.UTC().Format(instantLayout))
}

func (c *csvLine) document(name, json string) { c.text(name, json) }

// jsonFile writes one table as JSON Lines.
type jsonFile[T any, P described[T]] struct {
	w    io.Writer
	line jsonLine
}

func (j *jsonFile[T, P]) begin(w io.Writer) error {
	j.w = w
	return nil
}

func (j *jsonFile[T, P]) write(row *T) error {
	j.line.bytes = j.line.bytes[:0]
	P(row).columns(&j.line)
	j.line.bytes = append(j.line.bytes, '}', '\n')
	_, err := j.w.Write(j.line.bytes)
	return err
}

func (j *jsonFile[T, P]) end() error { return nil }

// jsonLine is one object.
type jsonLine struct{ bytes []byte }

func (j *jsonLine) name(name string) {
	if len(j.bytes) == 0 {
		j.bytes = append(j.bytes, '{')
	} else {
		j.bytes = append(j.bytes, ',')
	}
	j.bytes = append(append(append(j.bytes, '"'), name...), '"', ':')
}

func (j *jsonLine) text(name, value string) {
	j.name(name)
	j.bytes = appendJSON(j.bytes, value)
}

func (j *jsonLine) whole(name string, value int64, _ int) {
	j.name(name)
	j.bytes = strconv.AppendInt(j.bytes, value, 10)
}

func (j *jsonLine) length(name string, seconds *int32) {
	if seconds == nil {
		j.null(name)
		return
	}
	j.whole(name, int64(*seconds), 32)
}

func (j *jsonLine) truth(name string, value bool) {
	j.name(name)
	j.bytes = strconv.AppendBool(j.bytes, value)
}

func (j *jsonLine) moment(name string, t time.Time) {
	if t.IsZero() {
		j.null(name)
		return
	}
	j.name(name)
	j.bytes = t.UTC().AppendFormat(append(j.bytes, '"'), instantLayout)
	j.bytes = append(j.bytes, '"')
}

func (j *jsonLine) document(name, document string) {
	j.name(name)
	j.bytes = append(j.bytes, document...)
}

func (j *jsonLine) null(name string) {
	j.name(name)
	j.bytes = append(j.bytes, "null"...)
}

// appendJSON appends a text as a JSON string; most have nothing to escape.
func appendJSON(to []byte, text string) []byte {
	for i := range len(text) {
		if c := text[i]; c < ' ' || c == '"' || c == '\\' || c >= 0x7f {
			quoted, err := json.Marshal(text)
			if err != nil { // encoding a string cannot fail
				quoted = []byte(`""`)
			}
			return append(to, quoted...)
		}
	}
	return append(append(append(to, '"'), text...), '"')
}
