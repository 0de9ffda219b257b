package fetcher

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"testing"
)

// vendorPage returns a page of rows like the vendor's sample, in which every nth row has a recording.
func vendorPage(b *testing.B, rows, nth int) []byte {
	b.Helper()
	body, err := os.ReadFile("../testdata/pages/vendor-sample.json")
	if err != nil {
		b.Fatal(err)
	}
	var sample struct {
		Data struct {
			Results []json.RawMessage `json:"results"`
		} `json:"data"`
	}
	if err := json.Unmarshal(body, &sample); err != nil {
		b.Fatal(err)
	}
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(sample.Data.Results[0], &fields); err != nil {
		b.Fatal(err)
	}
	recording := fields["recording"]
	var page bytes.Buffer
	fmt.Fprintf(&page, `{"success":true,"data":{"offset":0,"limit":%d,"total_found":"%d","entries":%d,"results":[`, rows, rows, rows)
	for i := range rows {
		fields["id"] = fmt.Appendf(nil, `"%d"`, 9_000_000_000+i)
		fields["recording"] = json.RawMessage("[]")
		if i%nth == 0 {
			id := fmt.Appendf(nil, "%d", 800_000_000_000+i)
			fields["recording"] = bytes.ReplaceAll(recording, []byte("999999999999"), id)
		}
		row, err := json.Marshal(fields)
		if err != nil {
			b.Fatal(err)
		}
		if i > 0 {
			page.WriteByte(',')
		}
		page.Write(row)
	}
	page.WriteString("]}}")
	return page.Bytes()
}

// BenchmarkDecodePage decodes a whole page: with a recording in one row of 16, like a dialler's account,
// and in every row.
func BenchmarkDecodePage(b *testing.B) {
	for _, nth := range []int{16, 1} {
		body := vendorPage(b, MaxPageSize, nth)
		b.Run(fmt.Sprintf("recording=1in%d", nth), func(b *testing.B) {
			b.SetBytes(int64(len(body)))
			b.ReportAllocs()
			for b.Loop() {
				page, err := decodePage("list calls", 200, body)
				if err != nil || len(page.calls) != MaxPageSize {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkRowWithoutLinks converts a row for storage.
func BenchmarkRowWithoutLinks(b *testing.B) {
	page, err := decodePage("list calls", 200, vendorPage(b, 2, 2))
	if err != nil {
		b.Fatal(err)
	}
	for i, name := range []string{"recording", "none"} {
		call := &page.calls[i]
		b.Run(name, func(b *testing.B) {
			b.SetBytes(int64(len(call.Raw)))
			b.ReportAllocs()
			for b.Loop() {
				if _, err := call.RowWithoutLinks(); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkPacer measures the cost of a turn without waiting.
func BenchmarkPacer(b *testing.B) {
	for name, ceiling := range map[string]float64{"unlimited": unlimitedRate, "paced": 1e9} {
		b.Run(name, func(b *testing.B) {
			p := testPacer(ceiling, ceiling)
			b.ReportAllocs()
			for b.Loop() {
				started, err := p.wait(b.Context())
				if err != nil {
					b.Fatal(err)
				}
				p.answered(started)
			}
		})
	}
}

// BenchmarkPacerShared measures the same with 64 contending workers.
func BenchmarkPacerShared(b *testing.B) {
	const workers = 64
	p := testPacer(unlimitedRate, 0)
	b.SetParallelism(workers)
	b.ReportAllocs()
	b.RunParallel(func(loop *testing.PB) {
		for loop.Next() {
			started, err := p.wait(b.Context())
			if err != nil {
				b.Error(err)
				return
			}
			p.answered(started)
		}
	})
}
