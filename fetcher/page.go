// Decodes one answer of the API.

package fetcher

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"
	"unicode"
)

// page is one decoded answer of log/retrieve.
type page struct {
	calls      []Call
	rows       int           // rows received, readable or not
	unreadable int           // rows that are not JSON objects
	total      int           // total_found; -1 if missing or invalid
	age        time.Duration // how long caches have kept the answer
}

// maxRows is more than any valid answer has: the API sends at most the requested [MaxPageSize].
const maxRows = 100_000

var (
	errNotJSON = errors.New("the answer is not valid JSON")
	errNoRows  = errors.New("the answer's results are neither a list nor an object")
	// errBroken means that an answer starts as JSON but has an error before its end, for example a
	// raw control character in a row. A page with fewer rows may avoid it.
	errBroken = fmt.Errorf("%w: it is broken", errNotJSON)
)

// decodePage decodes an answer. A failure reported by the API is an *APIError with any HTTP status, because the API
// answers 200 to a bad token.
func decodePage(op string, status int, body []byte) (*page, error) {
	body = bytes.TrimLeft(body, "\ufeff \t\r\n")
	in := json.NewDecoder(bytes.NewReader(body))
	p := &page{total: -1}
	var success json.RawMessage
	var code, said, message, failure text
	hasData := false
	_, err := readFields(in, map[string]any{
		"success": &success, "code": &code, "text": &said, "message": &message, "error": &failure,
		"data": func() (err error) {
			hasData, err = p.readData(in, body)
			return err
		},
	})
	apiError := &APIError{Op: op, Status: status, Text: tame(string(cmp.Or(said, message, failure)))}
	apiError.Code, _ = code.count()
	if err == nil && body[0] != '{' {
		err = errNotJSON
	}
	switch {
	case err != nil && status >= 300:
		return nil, &APIError{Op: op, Status: status}
	case err != nil:
		return nil, fmt.Errorf("%s: %w", op, whyNotJSON(body, err))
	case status >= 300, saysNo(success), !hasData:
		return nil, apiError
	}
	return p, nil
}

// readData reads the data of an answer, and reports false if it is neither an object nor empty.
func (p *page) readData(in *json.Decoder, body []byte) (ok bool, err error) {
	var total text
	scalar, err := readFields(in, map[string]any{
		"total_found": &total,
		"results":     func() error { return p.readRows(in, body) },
	})
	if n, ok := total.count(); ok {
		p.total = n
	}
	return scalar == nil || scalar == "", err
}

// readRows reads the rows: an array, or the values of an object, which is PHP's encoding of a list keyed by id. A row
// that is not an object does not affect the others.
func (p *page) readRows(in *json.Decoder, body []byte) error {
	scalar, err := each(in, func(string) error {
		if p.rows++; p.rows > maxRows {
			return fmt.Errorf("%w: it has more than %d rows", errNotJSON, maxRows)
		}
		var r row
		begin := in.InputOffset()
		err := in.Decode(&r)
		raw := bytes.TrimLeft(body[begin:in.InputOffset()], ",: \t\r\n")
		_, noObject := errors.AsType[*json.UnmarshalTypeError](err)
		switch {
		case noObject || err == nil && raw[0] != '{':
			p.unreadable++
			return nil
		case err == nil:
			if p.calls == nil {
				p.calls = make([]Call, 0, MaxPageSize)
			}
			p.calls = append(p.calls, newCall(r, raw))
		}
		return err
	})
	if err == nil && scalar != nil && scalar != "" && scalar != false {
		return errNoRows
	}
	return err
}

// each reads the next JSON value and calls visit for each value in it, which visit must read, with
// its name in an object and "" in an array. It returns a scalar.
func each(in *json.Decoder, visit func(name string) error) (scalar json.Token, err error) {
	opened, err := in.Token()
	if err != nil {
		return nil, err
	}
	if _, container := opened.(json.Delim); !container {
		return opened, nil
	}
	for in.More() {
		name := ""
		if opened == json.Delim('{') {
			token, err := in.Token()
			if err != nil {
				return nil, err
			}
			name, _ = token.(string)
		}
		if err := visit(name); err != nil {
			return nil, err
		}
	}
	_, err = in.Token()
	return nil, err
}

// readFields reads the next object, or another value without fields. Field names ignore case; each
// is decoded into a pointer or read by a function.
func readFields(in *json.Decoder, fields map[string]any) (scalar json.Token, err error) {
	return each(in, func(name string) error {
		switch field := fields[strings.ToLower(name)].(type) {
		case nil:
			return in.Decode(new(json.RawMessage))
		case func() error:
			return field()
		default:
			return in.Decode(field)
		}
	})
}

// whyNotJSON describes an answer that cannot be decoded.
func whyNotJSON(body []byte, err error) error {
	_, syntax := errors.AsType[*json.SyntaxError](err)
	switch {
	case errors.Is(err, errNoRows):
		return err
	case len(body) == 0:
		return fmt.Errorf("%w: it is empty", errNotJSON)
	case body[0] == '<':
		return fmt.Errorf("%w: it looks like an HTML page", errNotJSON)
	case errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, io.EOF):
		return fmt.Errorf("%w: it is cut off", errNotJSON)
	case body[0] == '{' && syntax:
		return errBroken
	}
	return errNotJSON
}

func saysNo(success json.RawMessage) bool {
	return slices.Contains([]string{"false", "0", "no", "null"}, strings.Trim(string(success), `"`))
}

// tame turns a vendor's text into one printable line without addresses.
func tame(s string) string {
	s = strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) {
			return r
		}
		return ' '
	}, s)
	return strings.TrimSpace(withoutAddresses(s))
}

// shorten truncates a text to a line. It must come last, because a truncated secret can no longer
// be recognised.
func shorten(s string) string {
	const maxLength = 200
	if runes := []rune(s); len(runes) > maxLength {
		return string(runes[:maxLength]) + "…"
	}
	return s
}
