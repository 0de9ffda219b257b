package export

import (
	"encoding/hex"
	"encoding/json"
)

// extra is what a row holds beside the fields that can be searched for.
type extra struct {
	date                            string // call_date, as received
	queuePosition, queueSeconds     string
	callerID, termReason, sessionID string
	originatingAgent                string
	other                           string // the fields that have no column, as one JSON object
}

// readExtra reads a row, whose syntax the ledger has checked. It walks the bytes, for it sees each row of an export:
// decoding would cost more than all that is written. A row that is no object is kept as it is.
func readExtra(row []byte) (e extra) {
	e.other = "{}"
	if len(row) == 0 {
		return e
	}
	if row[0] != '{' {
		e.other = string(row)
		return e
	}
	var other []byte
	eachField(row, func(name, value []byte) {
		switch string(name) {
		case `"call_date"`:
			e.date = textOf(value)
		case `"queue_position"`:
			e.queuePosition = textOf(value)
		case `"queue_seconds"`:
			e.queueSeconds = textOf(value)
		case `"caller_id_displayed"`:
			e.callerID = textOf(value)
		case `"term_reason"`:
			e.termReason = textOf(value)
		case `"originating_agent_id"`:
			e.originatingAgent = textOf(value)
		case `"session_id"`:
			e.sessionID = textOf(value)
		case `"id"`, `"lead_id"`, `"list_id"`, `"queue_id"`, `"campaign_id"`, `"campaign"`, `"user_id"`, `"user"`, `"phone_number"`,
			`"number_dialed"`, `"first_name"`, `"last_name"`, `"status"`, `"status_name"`, `"call_type"`, `"called_count"`,
			`"agent_comment"`, `"call_length"`:
		case `"recording"`: // the table recordings tells of them
		default:
			other = append(append(append(append(other, ','), name...), ':'), value...)
		}
	})
	if other != nil {
		other[0] = '{'
		e.other = string(append(other, '}'))
	}
	return e
}

// eachField visits the fields of a JSON object without decoding them: the name with its quotes, and the value.
func eachField(object []byte, visit func(name, value []byte)) {
	i := skipSpace(object, 1)
	for i < len(object) && object[i] == '"' {
		start := i
		i = skipValue(object, i)
		name := object[start:i]
		if i = skipSpace(object, i); i >= len(object) || object[i] != ':' {
			return
		}
		start = skipSpace(object, i+1)
		if i = skipValue(object, start); i > len(object) || start >= i {
			return
		}
		visit(name, object[start:i])
		if i = skipSpace(object, i); i >= len(object) || object[i] != ',' {
			return
		}
		i = skipSpace(object, i+1)
	}
}

func skipSpace(text []byte, i int) int {
	for i < len(text) && (text[i] == ' ' || text[i] == '\t' || text[i] == '\n' || text[i] == '\r') {
		i++
	}
	return i
}

// skipValue returns where the value that begins at i ends.
func skipValue(text []byte, i int) int {
	depth := 0
	for i < len(text) {
		switch text[i] {
		case '"':
			i = skipString(text, i)
			if depth == 0 {
				return i
			}
			continue
		case '{', '[':
			depth++
		case '}', ']':
			if depth--; depth == 0 {
				return i + 1
			}
			if depth < 0 {
				return i
			}
		case ',', ' ', '\t', '\n', '\r', ':':
			if depth == 0 {
				return i
			}
		}
		i++
	}
	return i
}

// skipString returns where the string that begins at i ends, behind its quote.
func skipString(text []byte, i int) int {
	for i++; i < len(text); i++ {
		switch text[i] {
		case '\\':
			i++
		case '"':
			return i + 1
		}
	}
	return len(text)
}

// textOf returns a text, number or truth value as text, and nothing for other values, as package search does.
func textOf(value []byte) string {
	switch value[0] {
	case '"':
		for _, b := range value {
			if b == '\\' {
				var text string
				_ = json.Unmarshal(value, &text) // the ledger has checked the syntax
				return text
			}
		}
		return string(value[1 : len(value)-1])
	case '{', '[', 'n':
		return ""
	}
	return string(value)
}

func hexOf(b []byte) string { return hex.EncodeToString(b) }
