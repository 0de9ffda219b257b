// Masks phone numbers.

package web

import (
	"encoding/json"
	"net/netip"
	"slices"
	"strings"
	"unicode"

	"convoso-archiver/search"
)

const (
	shownDigits = 4  // at the end of a masked number
	wholeNumber = 10 // digits that make a number complete
	maskedFrom  = 7  // minimum number of digits for showing the last ones
)

const dots = "•••"

// maskNumber hides a number except its last digits. It hides a short number completely.
func maskNumber(number string) string {
	d := []rune(digitsOf(number))
	switch {
	case strings.TrimSpace(number) == "":
		return ""
	case len(d) < maskedFrom:
		return dots
	}
	return dots + string(d[len(d)-shownDigits:])
}

// digitsOf returns the digits in any script.
func digitsOf(text string) string {
	return strings.Map(func(r rune) rune {
		if !unicode.IsDigit(r) {
			return -1
		}
		return r
	}, text)
}

// maxBetween is the maximum number of non-letters between two digits of a number.
const maxBetween = 5

// maskText hides possible numbers in a text: seven digits or more, in any script, with few other characters between
// them.
func maskText(text string) string {
	out := ""
	runes := []rune(text)
	for i := 0; i < len(runes); {
		end, n := numberAt(runes[i:])
		if n < maskedFrom {
			end = max(end, 1)
			out += string(runes[i : i+end])
		} else { // with the + or ( before it
			out = strings.TrimRight(out, "+(") + maskNumber(string(runes[i:i+end]))
		}
		i += end
	}
	return out
}

// numberAt returns the end and the number of digits of a number that starts here; 0 for none.
func numberAt(runes []rune) (end, n int) {
	between := 0
	for i, r := range runes {
		switch {
		case unicode.IsDigit(r):
			end, between = i+1, 0
			n++
		case n == 0, unicode.IsLetter(r) && !unicode.Is(unicode.Lm, r), between == maxBetween:
			return end, n
		default:
			between++
		}
	}
	return end, n
}

// masker hides the fields of calls that a user may not see.
type masker struct {
	numbers bool // nothing is hidden
}

func newMasker(u *user) masker { return masker{numbers: u.Numbers} }

// number shows a number.
func (m masker) number(number string) string {
	if m.numbers {
		return number
	}
	return maskNumber(number)
}

// text shows a text, which may contain numbers.
func (m masker) text(text string) string {
	if m.numbers {
		return text
	}
	return maskText(text)
}

// fields returns the searchable fields as the user may see them. Ids stay unchanged.
func (m masker) fields(f search.Fields) search.Fields {
	for _, number := range []*string{&f.PhoneNumber, &f.NumberDialed} {
		*number = m.number(*number)
	}
	for _, text := range []*string{&f.Campaign, &f.User, &f.FirstName, &f.LastName, &f.Status, &f.StatusName, &f.CallType, &f.Comment} {
		*text = m.text(*text)
	}
	return f
}

// rowField is a field of a row as it was received.
type rowField struct{ Name, Value string }

// harmlessFields are ids, counts and times: they may have many digits, but are no phone numbers.
func harmlessFields() []string {
	return []string{
		"id", "lead_id", "list_id", "campaign_id", "queue_id", "user_id", "call_date", "call_length", "called_count", "recording_id",
	}
}

// row returns the fields of a row by name. For users who may not see numbers, it omits lists and objects, because they
// contain file names with numbers.
func (m masker) row(raw json.RawMessage) []rowField {
	var fields map[string]json.RawMessage
	if json.Unmarshal(raw, &fields) != nil {
		return nil
	}
	var list []rowField
	numbers := numbersOf(fields)
	for name, value := range fields {
		if text, ok := m.rowValue(name, value, numbers); ok {
			list = append(list, rowField{m.text(name), text})
		}
	}
	slices.SortFunc(list, func(a, b rowField) int { return strings.Compare(a.Name, b.Name) })
	return list
}

// numbersOf returns the last digits of the numbers of a row, as many as a text must have to be masked.
func numbersOf(fields map[string]json.RawMessage) (ends []string) {
	for name, value := range fields {
		if d := []rune(digitsOf(string(value))); isNumberField(name) && len(d) >= maskedFrom {
			ends = append(ends, string(d[len(d)-maskedFrom:]))
		}
	}
	return ends
}

func isNumberField(name string) bool {
	lower := strings.ToLower(name)
	return strings.Contains(lower, "number") || strings.Contains(lower, "phone") || strings.Contains(lower, "caller")
}

// isSession reports whether a text is a random id of 32 hexadecimal digits at the address of a server, as in session_id,
// and has none of the numbers.
func isSession(text string, numbers []string) bool {
	const hexadecimal, idLength = "0123456789abcdef", 32
	id, server, _ := strings.Cut(text, "@")
	_, err := netip.ParseAddrPort(server)
	return err == nil && len(id) == idLength && strings.Trim(id, hexadecimal) == "" && strings.ContainsAny(id, "abcdef") &&
		!slices.ContainsFunc(numbers, func(n string) bool { return strings.Contains(id, n) })
}

func (m masker) rowValue(name string, value json.RawMessage, numbers []string) (text string, shown bool) {
	switch {
	case len(value) == 0 || string(value) == "null":
		return "", false
	case value[0] == '{' || value[0] == '[':
		return string(value), m.numbers
	case value[0] == '"':
		if json.Unmarshal(value, &text) != nil || text == "" {
			return "", false
		}
	default:
		text = string(value)
	}
	if m.numbers || slices.Contains(harmlessFields(), name) || name == "session_id" && isSession(text, numbers) {
		return text, true
	}
	if isNumberField(name) {
		return maskNumber(text), true
	}
	return m.text(text), true
}
