// Defines the stubs that remain of erased lines.

package manifest

import (
	"bytes"
	"encoding/json"
	"strings"
)

// kindErased is the kind of a stub with only its digest.
const kindErased = "erased"

// emptyRow is the row of an erased call.
var emptyRow = json.RawMessage("{}")

// personalMark marks a number or a name in a filter of older versions, noted as a hash, which can be guessed.
const personalMark = "=sha256:"

// IsPersonal reports whether a filter, noted by an older version, contains the hash of a number or a name, which can
// be guessed. Erasures remove it, so it must not be sealed.
func IsPersonal(filter string) bool { return strings.Contains(filter, personalMark) }

// erase reduces a recording to the content of its stub: its ids and its erasure.
func (v *view) erase(erasure string) {
	*v = view{
		id: v.id, outcome: []byte(Erased), callID: v.callID, reason: []byte(erasure), time: zeroUnix, firstSeen: zeroUnix,
		salted: true, scratch: v.scratch,
	}
}

// isBare reports whether a line contains no more than its stub would.
func (v *view) isBare() bool {
	more := len(v.key) + len(v.sha256) + len(v.run) + len(v.contentType) + len(v.etag) + len(v.host) + len(v.cause) + len(v.listing) + len(v.source)
	return Outcome(v.outcome) == Erased && more == 0 && v.size == 0 && v.attempts == 0
}

// bareLine is the line of a recording that was erased while its lines were in memory, or before it was noted. A day can
// close only if each listed recording has a line.
func bareLine(id, callID, erasure string) ([]byte, error) {
	return Recording{RecordingID: id, Outcome: Erased, CallID: callID, Reason: erasure}.line()
}

// erase reduces a call to its id.
func (c *Call) erase() { *c = Call{CallID: c.CallID, Row: emptyRow} }

// recordingStub replaces the line of an erased recording, callStub that of an erased call, and otherStub any other
// line.
type recordingStub struct {
	recordingLine
	Digest string `json:"digest"`
}

type callStub struct {
	callLine
	Reason string `json:"reason"`
	Digest string `json:"digest"`
}

type otherStub struct {
	header
	Digest string `json:"digest"`
}

// stubOf returns the replacement of a line of a day, and its kind: a stub if the line is about erased data, otherwise
// the line. The owner of an unreadable row is unknown.
func (e *Erasures) stubOf(line []byte, tree Tree, day string) (text []byte, kind string, err error) {
	var v view
	digest := string(appendDigest(nil, line))
	kind, err = parseLine(line, &v)
	if err != nil && tree == TreeCalls && laterIn(err) == 0 && e.naming(day) != "" {
		return stubText(kindErased, otherStub{header{lineVersion, kindErased}, digest})
	}
	if err != nil {
		return nil, "", err
	}
	switch {
	case kind == kindCall && tree == TreeCalls:
		c, err := parseCall(line)
		erasure, erased := e.Call(c.CallID)
		if err != nil || !erased {
			return line, kind, err
		}
		c.erase()
		return stubText(kind, callStub{callLine{header{lineVersion, kind}, c}, erasure, digest})
	case kind == kindRecording && tree == TreeManifest:
		erasure, erased := e.Of(string(v.id), string(v.callID))
		if !erased || v.isBare() {
			return line, kind, nil
		}
		v.erase(erasure)
		return stubText(kind, recordingStub{recordingLine{header{lineVersion, kind}, v.recording()}, digest})
	case kind == kindWindow || kind == kindDay:
		var w struct {
			Filter string `json:"filter"`
		}
		if err := json.Unmarshal(line, &w); err != nil || !IsPersonal(w.Filter) || e.naming(day) == "" {
			return line, kind, err
		}
		return stubText(kindErased, otherStub{header{lineVersion, kindErased}, digest})
	}
	return line, kind, nil
}

// without removes erased data from complete lines that are not stored yet; nil for none.
func (e *Erasures) without(lines []byte, tree Tree) (kept []byte, err error) {
	if e.isEmpty() {
		return lines, nil
	}
	for line := range bytes.Lines(lines) {
		text := line[:len(line)-1]
		stub, kind, err := e.stubOf(text, tree, "")
		switch {
		case err != nil:
			return nil, err
		case bytes.Equal(stub, text):
		case kind == kindCall:
			continue
		default:
			var v view
			if _, err = parseLine(stub, &v); err == nil {
				line, err = bareLine(string(v.id), string(v.callID), string(v.reason))
			}
			if err != nil {
				return nil, err
			}
		}
		kept = append(kept, line...)
	}
	return kept, nil
}

// stubText returns a stub without its line feed.
func stubText(kind string, stub any) ([]byte, string, error) {
	line, err := encode(stub, maxCallLine)
	return bytes.TrimSuffix(line, []byte("\n")), kind, err
}
