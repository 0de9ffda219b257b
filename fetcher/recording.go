// Reads the recordings of a row.

package fetcher

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Recording is one audio file of a call.
type Recording struct {
	// Identity identifies the recording: its id or, without one, a name made of the call id, the
	// file name and the link's path. If a call has one id with two file names, each has its own
	// identity.
	Identity string
	ID       string // recording_id
	CallID   string
	Filename string
	Type     string
	New      string
	Link     Secret // public_url, otherwise src; "" if there is none yet

	// FileHash is a hash of the file name, "" without a file name, and LinkHash one of the link's
	// path, "" without a link. They recognise a recording whose id changes, and distinguish two
	// that share one.
	FileHash, LinkHash string

	callDate time.Time // zero if it cannot be read
}

// Source returns FileHash, a dot and LinkHash.
func (r *Recording) Source() string { return r.FileHash + "." + r.LinkHash }

// MayBe reports whether a recording of a stored row may be the one noted under an identity with a source. Stored rows
// have no links, so a recording without id is known only by its file name; two of one call with neither, or of calls
// without id, cannot be distinguished.
func (r *Recording) MayBe(identity, source string) bool {
	file, _, _ := strings.Cut(source, ".")
	switch {
	case file != "" && r.FileHash != "" && file != r.FileHash:
		return false
	case r.ID != "" && !LacksID(identity):
		return identity == r.ID || strings.HasPrefix(identity, r.ID+"#")
	}
	return file == r.FileHash && (file != "" || r.ID == "" && strings.HasPrefix(identity, noID+r.CallID+"-"))
}

// noID begins the identity of a recording without id.
const noID = "call-"

// LacksID reports whether an identity is that of a recording without id.
func LacksID(identity string) bool { return strings.HasPrefix(identity, noID) }

// AccountID returns the account that the recording belongs to, according to its link, or "". The
// form (URL-encoded JSON in base64 as the last part of the path) is known only from public
// material, so callers should require several to agree.
func (r *Recording) AccountID() string { return tokenFields(r.Link)["account_id"].orNull() }

// StartEpoch returns the time of the recording's start in the file name (…_EPOCH_FRACTION-in-…), and whether there
// is one. A number further from the date of the call than any zone allows is something else, like a phone number.
func (r *Recording) StartEpoch() (time.Time, bool) {
	const maxDistance = 26 * time.Hour
	parts := strings.Split(r.Filename, "_")
	if len(parts) < 3 || r.callDate.IsZero() {
		return time.Time{}, false
	}
	seconds, err := strconv.ParseInt(parts[len(parts)-2], 10, 64)
	if err != nil {
		return time.Time{}, false
	}
	epoch := time.Unix(seconds, 0)
	return epoch, epoch.Sub(r.callDate).Abs() <= maxDistance
}

// readRecordings sets the recordings of the row to those of its recording field. The vendor
// documents an array; an object is one recording, or a map of them, which is PHP's encoding of a
// list with gaps; null, "" and a missing field mean none.
func (c *Call) readRecordings(field json.RawMessage) {
	if isNothing(field) {
		return
	}
	elements, ok := valuesOf(field)
	for _, element := range elements {
		if field[0] == '{' && element[0] != '{' && !isNothing(element) { // a field of the one recording
			elements = []json.RawMessage{field}
			break
		}
	}
	c.RecordingUnreadable = !ok
	date, _ := c.Date()
	for _, element := range elements {
		var fields struct {
			Src         text `json:"src"`
			Type        text `json:"type"`
			New         text `json:"new"`
			RecordingID text `json:"recording_id"`
			Filename    text `json:"filename"`
			PublicURL   text `json:"public_url"`
		}
		switch {
		case isNothing(element):
			continue
		case json.Unmarshal(element, &fields) != nil:
			c.RecordingUnreadable = true
			continue
		}
		c.Recordings = append(c.Recordings, Recording{
			ID: fields.RecordingID.asID(), CallID: c.ID, Filename: fields.Filename.orNull(),
			Type: string(fields.Type), New: string(fields.New),
			Link: Secret(cmp.Or(fields.PublicURL.orNull(), fields.Src.orNull())), callDate: date,
		})
	}
	identify(c.Recordings)
}

// valuesOf returns the elements of a valid JSON array, or the values of an object in order, and
// false for a scalar.
func valuesOf(container json.RawMessage) (values []json.RawMessage, ok bool) {
	switch container[0] {
	case '[':
		err := json.Unmarshal(container, &values)
		return values, err == nil
	case '{':
	default:
		return nil, false
	}
	in := json.NewDecoder(bytes.NewReader(container))
	_, err := each(in, func(string) error {
		var value json.RawMessage
		err := in.Decode(&value)
		values = append(values, value)
		return err
	})
	return values, err == nil
}

// isNothing reports whether a JSON value means "none".
func isNothing(value json.RawMessage) bool {
	return slices.Contains([]string{"", "null", `""`, `"null"`, "false", "[]", "{}"}, string(value))
}

// identify gives each recording of one call its identity and hashes. If an id has two file names,
// both get a suffix, so that neither is mistaken for a recording that an earlier listing had under
// the bare id.
func identify(recordings []Recording) {
	names, shared := map[string]string{}, map[string]bool{}
	for _, r := range recordings {
		first, seen := names[r.ID]
		shared[r.ID] = shared[r.ID] || seen && first != r.Filename
		names[r.ID] = r.Filename
	}
	for i := range recordings {
		r := &recordings[i]
		if r.Filename != "" {
			r.FileHash = shortHash(r.Filename)
		}
		if r.Link != "" {
			r.LinkHash = shortHash(linkPath(r.Link))
		}
		switch {
		case r.ID == "":
			r.Identity = noID + r.CallID + "-" + shortHash(r.Filename, linkPath(r.Link))
		case shared[r.ID]:
			r.Identity = r.ID + "#" + shortHash(r.Filename)
		default:
			r.Identity = r.ID
		}
	}
}

func shortHash(parts ...string) string {
	sum := sha256.Sum256([]byte(strings.Join(parts, "\x00")))
	return hex.EncodeToString(sum[:8])
}

// tokenFields returns the content of the last part of a link's path, nil if it has another form.
func tokenFields(link Secret) (fields map[string]text) {
	path := linkPath(link)
	plain, err := url.QueryUnescape(fromBase64(path[strings.LastIndexByte(path, '/')+1:]))
	if err != nil || json.Unmarshal([]byte(plain), &fields) != nil {
		return nil
	}
	return fields
}

// fromBase64 decodes either alphabet, with or without padding, as far as it is valid.
func fromBase64(s string) string {
	s = strings.NewReplacer("-", "+", "_", "/").Replace(strings.TrimRight(s, "="))
	if len(s)%4 == 1 {
		s = s[:len(s)-1]
	}
	decoded, _ := base64.RawStdEncoding.DecodeString(s)
	return string(decoded)
}
