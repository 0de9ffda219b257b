package manifest

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"slices"
	"testing"
	"time"
)

type holdRecord struct {
	RecordHead
	Case string `json:"case"`
}

func TestRecords(t *testing.T) {
	inPlaces(t, testRecords)
}

func testRecords(t *testing.T, p place) {
	ctx := t.Context()
	l := p.open(t, Options{Run: "20250502T090003Z-00000001"})
	read := func(stem string) (cases []string, files []string) {
		t.Helper()
		previous, last := "", ""
		err := l.Records(ctx, stem, func(file string, raw []byte) error {
			var n holdRecord
			if err := json.Unmarshal(raw, &n); err != nil {
				return err
			}
			if file != last {
				files, last, previous = append(files, file), file, ""
			}
			if n.Previous != previous || n.V != 1 || n.Kind != "hold" || n.Run != l.Run() || n.Time.IsZero() {
				t.Errorf("%s: %s", file, raw)
			}
			sum := sha256.Sum256(raw)
			previous = hex.EncodeToString(sum[:])
			cases = append(cases, n.Case)
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		return cases, files
	}
	hold := RecordHead{Kind: "hold"}
	if err := l.PutRecords(ctx, "hold", &holdRecord{hold, "a"}, &holdRecord{hold, "b"}); err != nil {
		t.Fatal(err)
	}
	if err := l.PutRecords(ctx, "hold", &holdRecord{RecordHead{Kind: "hold", Time: time.Now()}, "c"}); err != nil {
		t.Fatal(err)
	}
	if err := l.PutRecords(ctx, "holder", &holdRecord{hold, "another"}); err != nil {
		t.Fatal(err)
	}
	cases, files := read("hold")
	if !slices.Equal(cases, []string{"a", "b", "c"}) || !slices.Equal(files, []string{
		"evidence/hold-20250502T090003Z-00000001-000001.jsonl", "evidence/hold-20250502T090003Z-00000001-000002.jsonl",
	}) {
		t.Errorf("%q in %q", cases, files)
	}
	reader := p.open(t, Options{ReadOnly: true})
	if err := reader.PutRecords(ctx, "hold", &holdRecord{hold, "d"}); !errors.Is(err, ErrReadOnly) {
		t.Errorf("a reader: %v", err)
	}
}
