package fetcher

import (
	"bytes"
	"encoding/json"
	"fmt"
	"regexp"
	"strings"
)

const droppedLink = "[link dropped]"

// addressPattern finds anything that looks like an address with a scheme, also where
// it stands in JSON within a text, in which its slashes may be escaped.
var addressPattern = regexp.MustCompile(`[A-Za-z][A-Za-z0-9+.-]*:(?:\\*/|\\+u002[Ff]){2}[^\s"'<>]*`)

// RowWithoutLinks returns the row as received, compact, with every address in it
// replaced: whatever stands under src and public_url, in any case of these names, and
// any other text that holds an address or the token of such a link, in fields known or
// unknown. Order of fields, numbers and duplicates stay as they were. It fails when the
// row is not valid JSON.
func (c *Call) RowWithoutLinks() (json.RawMessage, error) {
	var space [2 << 10]byte // for nearly any row, so that what is returned fits
	row, err := c.AppendRowWithoutLinks(space[:0])
	if err != nil {
		return nil, err
	}
	return bytes.Clone(row), nil
}

// AppendRowWithoutLinks appends what [Call.RowWithoutLinks] returns. Where it fails it
// returns dst as it was.
func (c *Call) AppendRowWithoutLinks(dst []byte) ([]byte, error) {
	row, ok := c.validRow()
	if !ok {
		return dst, fmt.Errorf("drop links from row: %w", errRowNotJSON)
	}
	var space [8][]byte
	return appendWithoutLinks(dst, row, appendRowSecrets(space[:0], row)), nil
}

var (
	linkNames     = fieldNames{"src", "public_url"} // whose values are links
	recordingName = fieldNames{"recording"}         // whose value may be a link
)

// appendRowSecrets appends what opens the recordings of a row by itself. It looks at
// every field that may hold a link, wherever it stands, and not just at those that are
// decoded: of several with one name that is the last.
func appendRowSecrets(secrets [][]byte, row []byte) [][]byte {
	for name, rest := nextString(row); name != nil; name, rest = nextString(rest) {
		if len(rest) == 0 || rest[0] != ':' {
			continue // a value
		}
		switch {
		case linkNames.have(name):
			rest = withoutSpace(rest[1:])
			value := rest[:valueEnd(rest)]
			secrets = appendSecretsIn(appendTextSecrets(secrets, value), value)
			rest = rest[len(value):]
		case recordingName.have(name): // the fields in it come next
			rest = withoutSpace(rest[1:])
			secrets = appendBareSecrets(secrets, rest[:valueEnd(rest)])
		}
	}
	return secrets
}

// appendBareSecrets appends the secrets of links that stand in place of a recording.
func appendBareSecrets(secrets [][]byte, recording []byte) [][]byte {
	switch recording[0] {
	case '"':
		return appendTextSecrets(secrets, recording)
	case '[':
		at := inside(recording)
		for element, ok := at.next(); ok; element, ok = at.next() {
			if element[0] == '"' {
				secrets = appendTextSecrets(secrets, element)
			}
		}
	}
	return secrets
}

// appendSecretsIn appends the secrets of all texts in an array or object.
func appendSecretsIn(secrets [][]byte, value []byte) [][]byte {
	if value[0] != '[' && value[0] != '{' {
		return secrets
	}
	for text, rest := nextString(value); text != nil; text, rest = nextString(rest) {
		if rest[0] != ':' { // no name
			secrets = appendTextSecrets(secrets, text)
		}
	}
	return secrets
}

// appendTextSecrets appends the secrets of the link that is the text of a value.
func appendTextSecrets(secrets [][]byte, value []byte) [][]byte {
	return appendLinkSecrets(secrets, withoutNull(unquoted(value)))
}

// nextString returns the first string of valid JSON, in its quotes, and what follows
// it after any space; nil where there is none.
func nextString(data []byte) (quoted, rest []byte) {
	begin := bytes.IndexByte(data, '"')
	if begin < 0 {
		return nil, nil
	}
	end := begin + stringEnd(data[begin:])
	return data[begin:end], withoutSpace(data[end:])
}

// have reports whether a name in quotes is one of these, in any case. It is asked of
// every name of a row, of which hardly any has the length of one of these: index would
// make dropping links a quarter slower.
func (names fieldNames) have(quoted []byte) bool {
	name, plain := plainString(quoted)
	if !plain {
		name = appendText(nil, quoted)
	}
	for _, wanted := range names {
		if (len(name) == len(wanted) || !plain) && strings.EqualFold(string(name), wanted) {
			return true
		}
	}
	return false
}

// LinkSecrets returns the parts of a link that open the recording by themselves:
// the last part of its path and each value of its query, where long enough to be
// told from ordinary text.
func LinkSecrets(link Secret) []string {
	var secrets []string
	for _, secret := range appendLinkSecrets(nil, []byte(link.Reveal())) {
		secrets = append(secrets, string(secret))
	}
	return secrets
}

func appendLinkSecrets(secrets [][]byte, link []byte) [][]byte {
	const shortest = 12
	path := pathOf(link)
	if token := path[bytes.LastIndexByte(path, '/')+1:]; len(token) >= shortest {
		secrets = append(secrets, token)
	}
	_, query, more := bytes.Cut(link, []byte("?"))
	for more {
		var pair []byte
		pair, query, more = bytes.Cut(query, []byte("&"))
		if _, value, _ := bytes.Cut(pair, []byte("=")); len(value) >= shortest {
			secrets = append(secrets, value)
		}
	}
	return secrets
}

// linkPath returns the part of a link that names the recording: without the
// query, which holds a value of the account that may change.
func linkPath(link Secret) string { return string(pathOf([]byte(link.Reveal()))) }

func pathOf(link []byte) []byte {
	if _, rest, found := bytes.Cut(link, []byte("://")); found {
		link = rest
	}
	if i := bytes.IndexByte(link, '/'); i >= 0 {
		link = link[i:]
	}
	path, _, _ := bytes.Cut(link, []byte("?"))
	return path
}

// appendWithoutLinks is AppendRowWithoutLinks for a row that is valid.
func appendWithoutLinks(dst, row []byte, secrets [][]byte) []byte {
	for len(row) > 0 {
		switch char := row[0]; {
		case isSpace(char):
			row = row[1:]
		case char != '"':
			dst, row = append(dst, char), row[1:]
		default:
			end := stringEnd(row)
			text := row[:end]
			row = withoutSpace(row[end:])
			dst = appendTextWithoutLinks(dst, text, secrets)
			if len(row) > 0 && row[0] == ':' && linkNames.have(text) { // a string before a colon is a name
				row = withoutSpace(row[1:])
				end := valueEnd(row)
				dst = append(append(dst, ':'), inPlaceOf(row[:end])...)
				row = row[end:]
			}
		}
	}
	return dst
}

func withoutSpace(data []byte) []byte {
	for len(data) > 0 && isSpace(data[0]) {
		data = data[1:]
	}
	return data
}

// inPlaceOf returns what is kept of a link: that there was one.
func inPlaceOf(link []byte) string {
	if isNothing(link) || isEmpty(link) {
		return "null"
	}
	return `"` + droppedLink + `"`
}

// isEmpty reports whether a value is an array or an object without anything in it.
func isEmpty(value []byte) bool {
	if value[0] != '[' && value[0] != '{' {
		return false
	}
	return len(withoutSpace(value[1:])) == 1
}

// appendTextWithoutLinks appends a JSON string, as it is where it holds no link.
func appendTextWithoutLinks(dst, quoted []byte, secrets [][]byte) []byte {
	if inner, ok := plainString(quoted); ok && !mayHoldLink(inner, secrets) {
		return append(dst, quoted...)
	}
	s := withoutAddresses(string(textOf(quoted)))
	for _, secret := range secrets {
		s = strings.ReplaceAll(s, string(secret), droppedLink)
	}
	var encoded bytes.Buffer
	encoder := json.NewEncoder(&encoded)
	encoder.SetEscapeHTML(false)
	_ = encoder.Encode(s) // a string can be encoded
	return append(dst, bytes.TrimSuffix(encoded.Bytes(), []byte("\n"))...)
}

func mayHoldLink(text []byte, secrets [][]byte) bool {
	if bytes.Contains(text, []byte(":/")) {
		return true
	}
	for _, secret := range secrets {
		if bytes.Contains(text, secret) {
			return true
		}
	}
	return false
}

// withoutAddresses replaces every address in a text.
func withoutAddresses(s string) string {
	if !strings.Contains(s, ":/") && !strings.Contains(s, `:\`) { // which every address holds
		return s
	}
	return addressPattern.ReplaceAllString(s, droppedLink)
}
