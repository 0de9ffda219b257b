// Reads the fields of a row that only an export needs.

package export

import (
	"encoding/hex"
	"encoding/json"

	"convoso-archiver/search"
)

// extra has the fields of a row that are not searchable.
type extra struct {
	date                            string // call_date, as received
	queuePosition, queueSeconds     string
	callerID, termReason, sessionID string
	originatingAgent                string
	other                           string // the fields without a column, as one JSON object
}

// readExtra reads a row, whose syntax the ledger has checked. It scans the bytes, because decoding each row would
// cost more than writing it. A row that is not an object stays unchanged.
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
	search.EachField(row, func(name, value []byte) {
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
		case `"recording"`: // they are in the table recordings
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

// textOf returns a string, number or boolean as text, and "" for other values, like package search.
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
