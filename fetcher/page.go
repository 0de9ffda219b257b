package fetcher

import (
	"bytes"
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

type envelope struct {
	Success json.RawMessage `json:"success"`
	Code    text            `json:"code"`
	Text    text            `json:"text"`
	Error   text            `json:"error"`
	Message text            `json:"message"`
	Data    json.RawMessage `json:"data"`
}

type pageData struct {
	TotalFound text            `json:"total_found"`
	Results    json.RawMessage `json:"results"`
}

// errNotJSON says that an answer is no JSON at all: an error page, or one cut off.
var errNotJSON = errors.New("the answer is not valid JSON")

// decodePage decodes an answer. What the API says about a failure comes back as
// an *APIError whatever the HTTP status was, for it answers 200 to a bad token.
func decodePage(op string, status int, body []byte) (*page, error) {
	var e envelope
	if err := json.Unmarshal(body, &e); err != nil {
		if status >= 400 {
			return nil, &APIError{Op: op, Status: status}
		}
		return nil, fmt.Errorf("%s: %w%s", op, errNotJSON, looksLike(body))
	}
	if status >= 400 || saysNo(e.Success) || (e.Success == nil && e.Data == nil) {
		return nil, e.apiError(op, status)
	}
	var d pageData
	if data := bytes.TrimSpace(e.Data); len(data) > 0 && data[0] == '{' {
		if err := json.Unmarshal(data, &d); err != nil {
			return nil, fmt.Errorf("%s: %w", op, errNotJSON)
		}
	} else if !isNothing(e.Data) {
		return nil, e.apiError(op, status)
	}
	rows, err := resultRows(d.Results)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", op, err)
	}
	p := &page{rows: len(rows), total: -1, calls: make([]Call, 0, len(rows))}
	if total, ok := d.TotalFound.number(); ok {
		p.total = total
	}
	for _, row := range rows {
		var call Call
		if call.UnmarshalJSON(row) != nil { // json.Unmarshal would go over the row twice more
			p.unreadable++
			continue
		}
		p.calls = append(p.calls, call)
	}
	return p, nil
}

// resultRows returns the rows: an array, or the values of an object as PHP encodes
// a list that is keyed by id.
func resultRows(results json.RawMessage) ([]json.RawMessage, error) {
	results = bytes.TrimSpace(results)
	if len(results) == 0 || isNothing(results) {
		return nil, nil
	}
	switch results[0] {
	case '[':
		var rows []json.RawMessage
		err := json.Unmarshal(results, &rows)
		return rows, err
	case '{':
		return objectValues(results)
	}
	return nil, errors.New("the answer's results are neither a list nor an object")
}

func saysNo(success json.RawMessage) bool {
	switch strings.Trim(string(bytes.TrimSpace(success)), `"`) {
	case "false", "0", "no", "null":
		return true
	}
	return false
}

func (e *envelope) apiError(op string, status int) *APIError {
	code, _ := e.Code.number()
	said := e.Text
	if said == "" {
		said = e.Message
	}
	if said == "" {
		said = e.Error
	}
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
