// Writes and reads the metadata of recordings on S3.

package store

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/url"
	"strings"
)

// The user metadata of a recording on S3.
const (
	metaRecording = "recording-id"
	metaCall      = "call-id"
	metaDay       = "call-day"
	metaSHA256    = "sha256"
)

// tagRetention is the tag that has the retention class of a recording, for lifecycle rules of the bucket.
const tagRetention = "retention"

// maxMeta keeps the total of the values well below the 2 KB that S3 allows.
const maxMeta = 512

func metadataOf(o Object) map[string]string {
	metadata := map[string]string{
		metaRecording: metaValue(o.RecordingID),
		metaSHA256:    hex.EncodeToString(o.SHA256[:]),
	}
	if o.CallID != "" {
		metadata[metaCall] = metaValue(o.CallID)
	}
	if o.CallDay != "" {
		metadata[metaDay] = metaValue(o.CallDay)
	}
	return metadata
}

// metaValue encodes text so that every server returns it unchanged: everything except visible ASCII, and the percent
// sign, is percent-encoded. (MinIO, for example, returns UTF-8 as MIME words, and a line feed makes net/http fail.)
// A text that is too long ends in a hash of the whole, so different texts stay different. Only cut texts have the
// maximum length, so no other text looks like one.
func metaValue(text string) string {
	var b strings.Builder
	for _, c := range []byte(text) {
		if c > ' ' && c <= '~' && c != '%' {
			b.WriteByte(c)
		} else {
			fmt.Fprintf(&b, "%%%02X", c)
		}
	}
	value := b.String()
	if len(value) < maxMeta {
		return value
	}
	sum := sha256.Sum256([]byte(text))
	end := "~" + hex.EncodeToString(sum[:])
	return value[:maxMeta-len(end)] + end
}

// textIn decodes the output of metaValue. A truncated text stays encoded.
func textIn(metadata map[string]string, name string) string {
	value := metadata[name]
	if len(value) == maxMeta {
		return value
	}
	text, err := url.PathUnescape(value)
	if err != nil {
		return value
	}
	return text
}

// sumIn returns the hash noted in an object's metadata, zero for none.
func sumIn(metadata map[string]string) (sum [32]byte) {
	b, err := hex.DecodeString(metadata[metaSHA256])
	if err != nil || len(b) != len(sum) {
		return sum
	}
	return [32]byte(b)
}
