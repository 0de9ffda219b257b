package search

import (
	"bytes"
	"encoding/json"
	"testing"
)

// FuzzScanRow: scanning a row gives the same result as decoding it.
func FuzzScanRow(f *testing.F) {
	for _, row := range []string{
		sampleRow, `{}`, `[]`, `null`, `"x"`, `{"id":1,"ID":2}`, `{"id":"a\"b","user":null,"call_length":{"a":[1,"}"]}}`, `{"id":1,"id":2,"id":null}`,
		`{"agent_comment":"\u00e9\ud800 \u0000","x":{"id":5},"status":true}`, "{\"id\":\"\xff\",\"\xe2\x84\xaa\":1}", `{"u\u0073er":"x","call_length":-1.5e3}`,
	} {
		f.Add(row)
	}
	f.Fuzz(func(t *testing.T, text string) {
		var compact bytes.Buffer
		if json.Compact(&compact, []byte(text)) != nil { // like the ledger
			return
		}
		var walked, decoded row
		if !scanRow(compact.Bytes(), &walked) {
			return
		}
		if err := json.Unmarshal(compact.Bytes(), &decoded); err != nil || walked != decoded {
			t.Errorf("%q is walked as %+v, decoded as %+v, %v", text, walked, decoded, err)
		}
	})
}
