package fetcher

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"unicode"
)

// page is one decoded answer of log/retrieve.
type page struct {
	calls      []Call
	rows       int // rows received, readable or not
	unreadable int // rows that are not JSON objects
	total      int // total_found; -1 where the answer has none that can be read
}

// Fields of an answer, in the order of envelopeNames.
const (
	fieldSuccess = iota
	fieldCode
	fieldText
	fieldMessage
	fieldError
	fieldData
)

var envelopeNames = fieldNames{
	fieldSuccess: "success", fieldCode: "code", fieldText: "text",
	fieldMessage: "message", fieldError: "error", fieldData: "data",
}

// envelope holds the values of an answer by envelopeNames, nil for those that it lacks.
type envelope [fieldData + 1][]byte

// Fields of an answer's data, in the order of dataNames.
const (
	fieldTotalFound = iota
	fieldResults
)

var dataNames = fieldNames{fieldTotalFound: "total_found", fieldResults: "results"}

// mostRows is more than any answer has: the API sends at most the [MaxPageSize] that it
// is asked for. A row is decoded into several hundred bytes even where it has but one,
// so that an answer of rows like that would not fit into memory.
const mostRows = 100_000

var (
	// errNotJSON says that an answer is no JSON at all: an error page, or one cut off.
	errNotJSON     = errors.New("the answer is not valid JSON")
	errNoRows      = errors.New("the answer's results are neither a list nor an object")
	errTooManyRows = fmt.Errorf("the answer has more than %d rows", mostRows)
)

// decodePage decodes an answer. What the API says about a failure comes back as
// an *APIError whatever the HTTP status was, for it answers 200 to a bad token.
//
// It checks the answer once and cuts it: the rows of the page keep body alive.
func decodePage(op string, status int, body []byte) (*page, error) {
	e, ok := readEnvelope(body)
	if !ok {
		if status >= 400 {
			return nil, &APIError{Op: op, Status: status}
		}
		return nil, fmt.Errorf("%s: %w%s", op, errNotJSON, looksLike(body))
	}
	data := e[fieldData]
	if status >= 400 || saysNo(e[fieldSuccess]) || (e[fieldSuccess] == nil && data == nil) {
		return nil, e.apiError(op, status)
	}
	var found [fieldResults + 1][]byte
	if len(data) > 0 && data[0] == '{' {
		dataNames.read(data, found[:])
	} else if !isNothing(data) {
		return nil, e.apiError(op, status)
	}
	rows, err := resultRows(found[fieldResults])
	if err != nil {
		return nil, fmt.Errorf("%s: %w", op, err)
	}
	p := &page{rows: len(rows), total: -1}
	if total, ok := textOf(found[fieldTotalFound]).number(); ok {
		p.total = total
	}
	calls := make([]Call, len(rows))
	for _, row := range rows {
		if calls[len(p.calls)].decode(row) != nil {
			p.unreadable++
			continue
		}
		p.calls = calls[:len(p.calls)+1]
	}
	return p, nil
}

// readEnvelope reads an answer, which must be an object; null is one without fields.
func readEnvelope(body []byte) (e envelope, ok bool) {
	if !json.Valid(body) {
		return e, false
	}
	body = bytes.TrimSpace(body)
	if body[0] != '{' {
		return e, string(body) == "null"
	}
	envelopeNames.read(body, e[:])
	return e, true
}

// resultRows returns the rows: an array, or the values of an object as PHP encodes
// a list that is keyed by id.
func resultRows(results []byte) (rows [][]byte, err error) {
	if len(results) == 0 || isNothing(results) {
		return nil, nil
	}
	keyed := results[0] == '{'
	if !keyed && results[0] != '[' {
		return nil, errNoRows
	}
	at := inside(results)
	for row, ok := at.next(); ok; row, ok = at.next() {
		if keyed {
			row, _ = at.next()
		}
		if len(rows) == mostRows {
			return nil, errTooManyRows
		}
		rows = append(rows, row)
	}
	return rows, nil
}

func saysNo(success []byte) bool {
	switch strings.Trim(string(success), `"`) {
	case "false", "0", "no", "null":
		return true
	}
	return false
}

func (e *envelope) apiError(op string, status int) *APIError {
	code, _ := textOf(e[fieldCode]).number()
	said := cmp.Or(textOf(e[fieldText]), textOf(e[fieldMessage]), textOf(e[fieldError]))
	return &APIError{Op: op, Status: status, Code: code, Text: tame(string(said))}
}

// tame makes a vendor's text one printable line without addresses.
func tame(s string) string {
	s = strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) {
			return r
		}
		return ' '
	}, s)
	return strings.TrimSpace(withoutAddresses(s))
}

// shorten cuts a text to what fits a line. It comes last: a secret that is cut can
// no longer be recognised.
func shorten(s string) string {
	const longest = 200
	if runes := []rune(s); len(runes) > longest {
		return string(runes[:longest]) + "…"
	}
	return s
}

func looksLike(body []byte) string {
	trimmed := bytes.TrimSpace(body)
	switch {
	case len(trimmed) == 0:
		return ": it is empty"
	case trimmed[0] == '<':
		return ": it looks like an HTML page"
	case trimmed[0] == '{' || trimmed[0] == '[':
		return ": it is cut off or broken"
	}
	return ""
}
