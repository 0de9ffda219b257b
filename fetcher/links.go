// Finds links in rows and texts, and removes them.

package fetcher

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"html"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

const droppedLink = "[link dropped]"

// addressPattern finds anything that looks like an address with a scheme, also in JSON within a
// text, where its slashes may be escaped.
var addressPattern = regexp.MustCompile(`[A-Za-z][A-Za-z0-9+.-]*:(?:\\*/|\\+u002[Ff]){2}[^\s"'<>]*`)

// withoutAddresses replaces every address in a text.
func withoutAddresses(s string) string {
	if !strings.Contains(s, ":/") && !strings.Contains(s, `:\`) { // which every address contains
		return s
	}
	return addressPattern.ReplaceAllString(s, droppedLink)
}

// LinkHost returns the host[:port] that a link points to, "" if it is invalid.
func LinkHost(link Secret) string {
	address, err := exactURL(link)
	if err != nil {
		return ""
	}
	return strings.ToLower(address.Host)
}

// LinkOrigin returns the value of --allow-host for a link: its host, or its origin if it is not https on the default
// port; "" for an invalid link.
func LinkOrigin(link Secret) string {
	address, err := exactURL(link)
	if err != nil {
		return ""
	}
	if address.Scheme == "https" && (address.Port() == "" || address.Port() == "443") {
		return strings.ToLower(address.Hostname())
	}
	return strings.ToLower(address.Scheme + "://" + address.Host)
}

// linkPath returns the part of a link that identifies the recording: without the query, which
// contains a changing value of the account.
func linkPath(link Secret) string {
	rest := link.Reveal()
	if _, after, found := strings.Cut(rest, "://"); found {
		rest = after
	}
	if i := strings.IndexByte(rest, '/'); i >= 0 {
		rest = rest[i:]
	}
	path, _, _ := strings.Cut(rest, "?")
	return path
}

// LinkSecrets returns the parts of a link that alone give access to the recording, if they are long enough to differ
// from ordinary text: the last part of its path and other long ones, the values of its query and their parts, and
// what is encoded in them.
func LinkSecrets(link Secret) []string {
	const minLength, minLengthInside = 12, 24
	var secrets []string
	add := func(secret string, minLength int) {
		for _, form := range []string{secret, fromPercent(secret)} {
			bare := strings.TrimRight(form, "=")
			if len(bare) >= minLength {
				secrets = append(secrets, form, bare)
			}
		}
	}
	parts := strings.Split(linkPath(link), "/")
	for i, part := range parts {
		if i == len(parts)-1 {
			add(part, minLength)
		}
		add(part, minLengthInside)
	}
	_, query, _ := strings.Cut(link.Reveal(), "?")
	for pair := range strings.SplitSeq(query, "&") {
		_, value, _ := strings.Cut(pair, "=")
		add(value, minLength)
		for part := range strings.SplitSeq(value, "/") {
			add(part, minLength)
		}
	}
	for _, value := range tokenFields(link) {
		add(string(value), minLength)
	}
	// Longest first, so that replacing a part of a secret does not leave the rest of it.
	slices.SortFunc(secrets, func(a, b string) int { return len(b) - len(a) })
	return slices.Compact(secrets)
}

// stringPattern finds the strings of valid JSON, with quotes.
var stringPattern = regexp.MustCompile(`"(?:[^"\\]|\\.)*"`)

// RowWithoutLinks returns the row as received, compact, with every address in it replaced. It replaces the
// values of src and public_url, in any case of these names. In every other text, of known and unknown fields,
// it replaces addresses and the secrets of the row's links, plain or encoded. Order of fields, numbers and
// duplicates stay. A file name stays even if a link ends with it, because the recording is stored under it.
// It fails if the row is not valid JSON.
func (c *Call) RowWithoutLinks() (json.RawMessage, error) {
	var compact, kept bytes.Buffer
	if json.Compact(&compact, c.Raw) != nil {
		return nil, fmt.Errorf("drop links from row: %w", errNotJSON)
	}
	secrets := rowSecrets(compact.Bytes())
	name := "" // of the field whose value comes next
	encoder := json.NewEncoder(&kept)
	encoder.SetEscapeHTML(false)
	rest := compact.Bytes()
	for at := stringPattern.FindIndex(rest); at != nil; at = stringPattern.FindIndex(rest) {
		kept.Write(rest[:at[0]])
		s := string(textOf(rest[at[0]:at[1]]))
		hidden := secrets
		if strings.EqualFold(name, "filename") && fileNamePattern.MatchString(s) {
			hidden = slices.DeleteFunc(slices.Clone(secrets), func(secret string) bool { return secret == s })
		}
		_ = encoder.Encode(withoutLinks(s, hidden)) // a string can be encoded
		kept.Truncate(kept.Len() - len("\n"))
		rest = rest[at[1]:]
		if name = ""; bytes.HasPrefix(rest, []byte(`:"`)) {
			name = s
		}
		if isLinkName(s) && bytes.HasPrefix(rest, []byte(":")) {
			value := valueBehind(rest)
			kept.WriteString(":" + inPlaceOf(value))
			rest = rest[len(":")+len(value):]
		}
	}
	kept.Write(rest)
	return kept.Bytes(), nil
}

// rowSecrets returns the texts of a compact row that alone give access to its recordings: from all links, in any
// field, and from texts in place of a recording.
func rowSecrets(row []byte) (secrets []string) {
	add := func(values ...json.RawMessage) {
		for _, value := range values {
			if value[0] == '"' {
				secrets = append(secrets, LinkSecrets(Secret(textOf(value).orNull()))...)
			}
		}
	}
	for _, at := range stringPattern.FindAllIndex(row, -1) {
		name, rest := string(textOf(row[at[0]:at[1]])), row[at[1]:]
		switch isName := bytes.HasPrefix(rest, []byte(":")); {
		case isName && isLinkName(name):
			for _, text := range stringPattern.FindAll(valueBehind(rest), -1) {
				add(text)
			}
		case isName && strings.EqualFold(name, "recording"):
			value := valueBehind(rest)
			add(value)
			if value[0] == '[' {
				elements, _ := valuesOf(value)
				add(elements...)
			}
		}
	}
	return secrets
}

// fileNamePattern finds text that may be the name of a file. Without an extension it may be what opens a link.
var fileNamePattern = regexp.MustCompile(`\.[A-Za-z0-9]{2,4}$`)

func isLinkName(name string) bool {
	return strings.EqualFold(name, "src") || strings.EqualFold(name, "public_url")
}

// valueBehind returns the value after the colon at the start of valid JSON.
func valueBehind(rest []byte) (value json.RawMessage) {
	_ = json.NewDecoder(bytes.NewReader(rest[1:])).Decode(&value)
	return value
}

// inPlaceOf returns the text that replaces a link.
func inPlaceOf(link json.RawMessage) string {
	if values, ok := valuesOf(link); isNothing(link) || ok && len(values) == 0 {
		return "null"
	}
	return `"` + droppedLink + `"`
}

// withoutLinks returns a text without addresses and without the secrets. A word with an encoded
// secret is dropped completely, and if that is not enough, the whole text.
func withoutLinks(s string, secrets []string) string {
	for _, secret := range secrets {
		s = strings.ReplaceAll(s, strings.ReplaceAll(secret, "+", " "), secret)
	}
	if s = withoutAddresses(s); !holdsAny(s, secrets, maxEncodings) {
		return s
	}
	words := strings.Split(s, " ")
	for i := range words {
		for _, secret := range secrets {
			words[i] = strings.ReplaceAll(words[i], secret, droppedLink)
		}
		if holdsAny(words[i], secrets, maxEncodings) {
			words[i] = droppedLink
		}
	}
	if s = strings.Join(words, " "); holdsAny(s, secrets, maxEncodings) {
		return droppedLink
	}
	return s
}

// maxEncodings is the maximum depth of nested encodings of a link to check.
const maxEncodings = 3

// holdsAny reports whether a text contains a secret, plain or encoded.
func holdsAny(s string, secrets []string, encodings int) bool {
	for _, secret := range secrets {
		if strings.Contains(s, secret) && !strings.Contains(droppedLink, secret) {
			return true
		}
	}
	return encodings > 0 && len(secrets) > 0 && slices.ContainsFunc(decodingsOf(s), func(decoded string) bool {
		return decoded != s && holdsAny(decoded, secrets, encodings-1)
	})
}

var (
	base64Pattern  = regexp.MustCompile(`[A-Za-z0-9+/_-]{16,}`)
	hexPattern     = regexp.MustCompile(`[0-9A-Fa-f]{24,}`)
	escapePattern  = regexp.MustCompile(`\\+(u[0-9A-Fa-f]{4}|.)`)
	percentPattern = regexp.MustCompile(`%[0-9A-Fa-f]{2}`)
)

// decodingsOf returns possible decodings of a text: percent-encoding, HTML or JSON escapes, spaces
// for plus, line breaks, hex, or base64; the last two may start after other letters.
func decodingsOf(s string) []string {
	decodings := []string{
		fromPercent(s), html.UnescapeString(s), fromEscapes(s),
		strings.ReplaceAll(s, " ", "+"), strings.Join(strings.Fields(s), ""),
	}
	for _, run := range base64Pattern.FindAllString(s, -1) {
		for skipped := range 4 {
			decodings = append(decodings, fromBase64(run[skipped:]))
		}
	}
	for _, run := range hexPattern.FindAllString(s, -1) {
		for skipped := range 2 {
			decoded, _ := hex.DecodeString(run[skipped:]) // all except an odd last digit
			decodings = append(decodings, string(decoded))
		}
	}
	return decodings
}

// fromPercent decodes percent signs followed by two hex digits, and no others.
func fromPercent(s string) string {
	if !strings.Contains(s, "%") {
		return s
	}
	return percentPattern.ReplaceAllStringFunc(s, func(escape string) string {
		decoded, _ := url.PathUnescape(escape) // always valid
		return decoded
	})
}

// fromEscapes decodes the escapes of JSON, at any level of nesting.
func fromEscapes(s string) string {
	if !strings.Contains(s, `\`) {
		return s
	}
	return escapePattern.ReplaceAllStringFunc(s, func(escape string) string {
		char := strings.TrimLeft(escape, `\`)
		if code, err := strconv.ParseUint(strings.TrimPrefix(char, "u"), 16, 16); err == nil && len(char) == 5 {
			return string(rune(code))
		}
		return char
	})
}
