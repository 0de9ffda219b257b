package store

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strings"
)

// The user metadata of a recording on S3.
const (
	metaRecording = "recording-id"
	metaCall      = "call-id"
	metaSHA256    = "sha256"
)

// longestMeta keeps the three values together well below the 2 KB that S3 allows.
const longestMeta = 512

func metadataOf(o Object) map[string]string {
	return map[string]string{
		metaRecording: metaValue(o.RecordingID),
		metaCall:      metaValue(o.CallID),
		metaSHA256:    hex.EncodeToString(o.SHA256[:]),
	}
}

// metaValue writes text so that every server returns it as it was sent: all but
// visible ASCII, and the percent sign, is percent-encoded. (MinIO for one answers
// UTF-8 in MIME words, and a line feed makes net/http fail.) What is too long ends
// in a hash of the whole, so that different texts stay different; it alone has the
// greatest length, so that no text looks like another's cut one.
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
	if len(value) < longestMeta {
		return value
	}
	sum := sha256.Sum256([]byte(text))
	end := "~" + hex.EncodeToString(sum[:])
	return value[:longestMeta-len(end)] + end
}

// sumIn returns the hash noted in an object's metadata.
func sumIn(metadata map[string]string) (sum [32]byte, ok bool) {
	b, err := hex.DecodeString(metadata[metaSHA256])
	if err != nil || len(b) != len(sum) {
		return sum, false
	}
	return [32]byte(b), true
}
