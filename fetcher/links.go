package fetcher

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strings"
)

const droppedLink = "[link dropped]"

// addressPattern finds anything that looks like an address with a scheme.
var addressPattern = regexp.MustCompile(`[A-Za-z][A-Za-z0-9+.-]*://[^\s"'<>]*`)

// RowWithoutLinks returns the row as received, compact, with every address in it
// replaced: whatever stands under src and public_url, and any other text that
// holds an address or a recording's link token, in fields known or unknown. Order
// of fields, numbers and duplicates stay as they were. It fails when the row is
// not valid JSON.
func (c *Call) RowWithoutLinks() (json.RawMessage, error) {
	decoder := json.NewDecoder(bytes.NewReader(c.Raw))
	decoder.UseNumber()
	var out bytes.Buffer
	if err := copyWithoutLinks(&out, decoder, c.linkSecrets); err != nil {
		return nil, fmt.Errorf("drop links from row: %w", err)
	}
	return out.Bytes(), nil
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

// copyWithoutLinks writes the decoder's next value to out.
func copyWithoutLinks(out *bytes.Buffer, decoder *json.Decoder, secrets []string) error {
	token, err := decoder.Token()
	if err != nil {
		return err
	}
	delim, isDelim := token.(json.Delim)
	if !isDelim {
		return writeScalar(out, token, secrets)
	}
	out.WriteRune(rune(delim))
	for first := true; decoder.More(); first = false {
		if !first {
			out.WriteByte(',')
		}
		if delim == '{' {
			name, err := decoder.Token()
			if err != nil {
				return err
			}
			if err := writeScalar(out, name, secrets); err != nil {
				return err
			}
			out.WriteByte(':')
			if name == "src" || name == "public_url" {
				if err := writeDropped(out, decoder); err != nil {
					return err
				}
				continue
			}
		}
		if err := copyWithoutLinks(out, decoder, secrets); err != nil {
			return err
		}
	}
	end, err := decoder.Token()
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	if err != nil {
		return err
	}
	out.WriteRune(rune(end.(json.Delim)))
	return nil
}

// writeDropped writes a placeholder for the decoder's next value, and null for null.
func writeDropped(out *bytes.Buffer, decoder *json.Decoder) error {
	var value json.RawMessage
	if err := decoder.Decode(&value); err != nil {
		return err
	}
	if isNothing(value) {
		out.WriteString("null")
		return nil
	}
	return writeScalar(out, droppedLink, nil)
}

func writeScalar(out *bytes.Buffer, token json.Token, secrets []string) error {
	if s, ok := token.(string); ok {
		s = addressPattern.ReplaceAllString(s, droppedLink)
		for _, secret := range secrets {
			s = strings.ReplaceAll(s, secret, droppedLink)
		}
		token = s
	}
	encoder := json.NewEncoder(out)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(token); err != nil {
		return err
	}
	out.Truncate(out.Len() - 1) // the newline that Encode adds
	return nil
}
