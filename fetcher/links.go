package fetcher

import (
	"bytes"
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strings"
)

const droppedLink = "[link dropped]"

// addressPattern finds anything that looks like an address with a scheme, also where
// it stands in JSON within a text, in which its slashes may be escaped.
var addressPattern = regexp.MustCompile(`[A-Za-z][A-Za-z0-9+.-]*:(?:\\*/|\\+u002[Ff]){2}[^\s"'<>]*`)

// RowWithoutLinks returns the row as received, compact, with every address in it
// replaced: whatever stands under src and public_url, and any other text that
// holds an address or a recording's link token, in fields known or unknown. Order
// of fields, numbers and duplicates stay as they were. It fails when the row is
// not valid JSON.
func (c *Call) RowWithoutLinks() (json.RawMessage, error) {
	var compact bytes.Buffer
	compact.Grow(len(c.Raw))
	if err := json.Compact(&compact, c.Raw); err != nil {
		return nil, fmt.Errorf("drop links from row: %w", err)
	}
	secrets := make([][]byte, len(c.linkSecrets))
	for i, secret := range c.linkSecrets {
		secrets[i] = []byte(secret)
	}
	return withoutLinks(compact.Bytes(), secrets), nil
}

// LinkSecrets returns the parts of a link that open the recording by themselves:
// the last part of its path and each value of its query, where long enough to be
// told from ordinary text.
func LinkSecrets(link Secret) []string {
	const shortest = 12
	var secrets []string
	path := linkPath(link)
	if token := path[strings.LastIndexByte(path, '/')+1:]; len(token) >= shortest {
		secrets = append(secrets, token)
	}
	_, query, _ := strings.Cut(link.Reveal(), "?")
	for pair := range strings.SplitSeq(query, "&") {
		if _, value, _ := strings.Cut(pair, "="); len(value) >= shortest {
			secrets = append(secrets, value)
		}
	}
	return secrets
}

// withoutLinks is RowWithoutLinks for JSON that is valid and compact, in which a
// string before a colon is always a name.
func withoutLinks(row []byte, secrets [][]byte) []byte {
	out := make([]byte, 0, len(row))
	for len(row) > 0 {
		quote := bytes.IndexByte(row, '"')
		if quote < 0 {
			return append(out, row...)
		}
		out = append(out, row[:quote]...)
		row = row[quote:]
		end := stringEnd(row)
		text := row[:end]
		row = row[end:]
		out = appendWithoutLinks(out, text, secrets)
		if len(row) > 0 && row[0] == ':' && holdsLink(text) {
			end := 1 + valueEnd(row[1:])
			out = append(append(out, ':'), inPlaceOf(row[1:end])...)
			row = row[end:]
		}
	}
	return out
}

// stringEnd returns where the JSON string ends that data begins with.
func stringEnd(data []byte) int {
	for i := 1; ; i++ {
		switch data[i] {
		case '\\':
			i++
		case '"':
			return i + 1
		}
	}
}

// valueEnd returns where the JSON value ends that data begins with, and behind which
// something must follow.
func valueEnd(data []byte) int {
	depth := 0
	for i := 0; ; i++ {
		switch data[i] {
		case '"':
			i += stringEnd(data[i:]) - 1
			if depth == 0 {
				return i + 1
			}
		case '{', '[':
			depth++
		case '}', ']':
			if depth == 0 { // of what a number or a word stands in
				return i
			}
			if depth--; depth == 0 {
				return i + 1
			}
		case ',':
			if depth == 0 {
				return i
			}
		}
	}
}

// holdsLink reports whether a name, in its quotes, is that of a field for a link.
func holdsLink(name []byte) bool {
	if inner, ok := plainString(name); ok {
		return string(inner) == "src" || string(inner) == "public_url"
	}
	var s string
	return json.Unmarshal(name, &s) == nil && (s == "src" || s == "public_url")
}

// inPlaceOf returns what is kept of a link: that there was one.
func inPlaceOf(link []byte) string {
	if isNothing(link) {
		return "null"
	}
	return `"` + droppedLink + `"`
}

// appendWithoutLinks appends a JSON string, as it is where it holds no link.
func appendWithoutLinks(out, text []byte, secrets [][]byte) []byte {
	if inner, ok := plainString(text); ok && !mayHoldLink(inner, secrets) {
		return append(out, text...)
	}
	var s string
	if json.Unmarshal(text, &s) != nil {
		return append(out, `"`+droppedLink+`"`...) // cannot be: the row is valid
	}
	s = withoutAddresses(s)
	for _, secret := range secrets {
		s = strings.ReplaceAll(s, string(secret), droppedLink)
	}
	var encoded bytes.Buffer
	encoder := json.NewEncoder(&encoded)
	encoder.SetEscapeHTML(false)
	_ = encoder.Encode(s) // a string can be encoded
	return append(out, bytes.TrimSuffix(encoded.Bytes(), []byte("\n"))...)
}

func mayHoldLink(text []byte, secrets [][]byte) bool {
	return bytes.Contains(text, []byte(":/")) ||
		slices.ContainsFunc(secrets, func(secret []byte) bool { return bytes.Contains(text, secret) })
}

// withoutAddresses replaces every address in a text.
func withoutAddresses(s string) string {
	if !strings.Contains(s, ":/") && !strings.Contains(s, `:\`) { // which every address holds
		return s
	}
	return addressPattern.ReplaceAllString(s, droppedLink)
}
