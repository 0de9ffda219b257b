package fetcher

import (
	"encoding/json"
	"testing"
)

// TestRowThatIsNotJSON takes rows that nobody checked, or that a caller replaced.
func TestRowThatIsNotJSON(t *testing.T) {
	decoded := decodeCall(t, `{"id":"1","src":"x"}`)
	for name, c := range map[string]*Call{
		"none": {}, "let go": {checked: decoded.checked}, "cut off": {Raw: json.RawMessage(`{"id":"1`)},
		"replaced": {Raw: json.RawMessage(`{"id`), checked: decoded.checked},
	} {
		dst := []byte("kept")
		if row, err := c.AppendRowWithoutLinks(dst); err == nil || string(row) != "kept" {
			t.Errorf("%s: appended %q, %v", name, row, err)
		}
		if row, err := c.RowWithoutLinks(); err == nil || row != nil {
			t.Errorf("%s: %q, %v", name, row, err)
		}
		if c.Fields() != nil {
			t.Errorf("%s: fields %q", name, c.Fields())
		}
	}
	before := decoded.ID
	for _, row := range []string{`{"id":`, `[1]`, `"x"`, ``} {
		if err := decoded.UnmarshalJSON([]byte(row)); err == nil || decoded.ID != before {
			t.Errorf("%s: call %q, %v", row, decoded.ID, err)
		}
	}
	handmade := Call{Raw: json.RawMessage(` {"src" : "x"} `)}
	if row, err := handmade.AppendRowWithoutLinks([]byte("a")); err != nil || string(row) != `a{"src":"[link dropped]"}` {
		t.Errorf("%s, %v", row, err)
	}
}
