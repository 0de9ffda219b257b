// Reads the fields of a row quickly.

package search

// scanRow parses a row like encoding/json. It scans the bytes directly, because reading an archive spends most of
// its time here. It returns false if only encoding/json can parse the row.
func scanRow(raw []byte, r *row) bool {
	if len(raw) == 0 || raw[0] != '{' {
		return false
	}
	known := true
	EachField(raw, func(name, value []byte) {
		to := (*scalar)(nil)
		switch string(name) {
		case `"id"`:
			to = &r.ID
		case `"lead_id"`:
			to = &r.LeadID
		case `"list_id"`:
			to = &r.ListID
		case `"queue_id"`:
			to = &r.QueueID
		case `"campaign_id"`:
			to = &r.CampaignID
		case `"campaign"`:
			to = &r.Campaign
		case `"user_id"`:
			to = &r.UserID
		case `"user"`:
			to = &r.User
		case `"phone_number"`:
			to = &r.PhoneNumber
		case `"number_dialed"`:
			to = &r.NumberDialed
		case `"first_name"`:
			to = &r.FirstName
		case `"last_name"`:
			to = &r.LastName
		case `"status"`:
			to = &r.Status
		case `"status_name"`:
			to = &r.StatusName
		case `"call_type"`:
			to = &r.CallType
		case `"called_count"`:
			to = &r.CalledCount
		case `"agent_comment"`:
			to = &r.Comment
		case `"call_length"`:
			to = &r.Length
		case `"call_date"`:
			to = &r.Date
		default:
			known = known && isLower(name)
			return
		}
		known = known && to.UnmarshalJSON(value) == nil
	})
	return known
}

// isLower reports whether a quoted name is not a known field in other letter case, which encoding/json would accept.
func isLower(name []byte) bool {
	for _, c := range name[1 : len(name)-1] {
		if c >= 0x80 || c == '\\' || 'A' <= c && c <= 'Z' {
			return false
		}
	}
	return true
}

// EachField visits the fields of a JSON object without decoding them: the name with its quotes, and the value. The
// object must be valid JSON, like the rows of the ledger.
func EachField(object []byte, visit func(name, value []byte)) {
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

// skipValue returns the end of the value that starts at i.
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

// skipString returns the position after the closing quote of the string that starts at i.
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
