package fetcher

import (
	"errors"
	"runtime"
	"strconv"
	"strings"
	"testing"
)

// TestDecodePageOfTooManyRows takes answers of more rows than the API sends, as lists
// and as objects: the most that are allowed are decoded, one more is a broken answer,
// and millions of them take no memory.
func TestDecodePageOfTooManyRows(t *testing.T) {
	answer := func(open, row, end string, rows int) []byte {
		list := strings.TrimSuffix(strings.Repeat(row+",", rows), ",")
		return []byte(`{"success":true,"data":{"total_found":` + strconv.Itoa(rows) + `,"results":` + open + list + end + `}}`)
	}
	for name, form := range map[string][3]string{"list": {"[", "1", "]"}, "object": {"{", `"":1`, "}"}} {
		t.Run(name, func(t *testing.T) {
			page, err := decodePage("list calls", 200, answer(form[0], form[1], form[2], mostRows))
			if err != nil || page.rows != mostRows || page.unreadable != mostRows {
				t.Fatalf("of the most rows: %v", err)
			}
			for _, rows := range []int{mostRows + 1, 20 * mostRows} {
				body := answer(form[0], form[1], form[2], rows)
				var before, after runtime.MemStats
				runtime.ReadMemStats(&before)
				page, err := decodePage("list calls", 200, body)
				runtime.ReadMemStats(&after)
				if page != nil || !errors.Is(err, errTooManyRows) {
					t.Fatalf("of %d rows: %v", rows, err)
				}
				if took := after.TotalAlloc - before.TotalAlloc; took > 20<<20 {
					t.Errorf("%d rows took %d bytes", rows, took)
				}
			}
		})
	}
}
