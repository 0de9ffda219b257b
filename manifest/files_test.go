package manifest

import (
	"fmt"
	"strings"
	"testing"
)

func TestFiles(t *testing.T) {
	inPlaces(t, func(t *testing.T, p place) {
		for name, size := range map[string]int{
			"manifest/archive.json": 2, "manifest/2025-05-01/" + runA + "-000001.jsonl": 5, "manifest/2025-05-01/closed.json": 7,
			"manifest/2025-05-01/x.torn": 1, "calls/2025-05-01/" + runA + "-000001.jsonl.gz": 3, "calls/2025-05-03/" + runA + "-000001.jsonl": 4,
			"manifest/2025-05-02.jsonl": 6, "manifest/2025-05-02/" + runA + "-000002.jsonl": 8, "calls/2025-04-30.jsonl": 9, "calls/notes.txt": 2,
		} {
			p.write(t, name, []byte(strings.Repeat("x", size)))
		}
		l := p.open(t, Options{ReadOnly: true})
		var got []string
		for _, of := range collect(t, l.Files(t.Context())) {
			for _, f := range of.Files {
				if f.Modified.IsZero() {
					t.Errorf("%s has no time", f.Name)
				}
				got = append(got, fmt.Sprint(of.Day, " ", strings.ReplaceAll(f.Name, runA, "RUN"), " ", f.Size))
			}
		}
		want := []string{
			"2025-04-30 calls/2025-04-30.jsonl 9",
			"2025-05-01 manifest/2025-05-01/closed.json 7",
			"2025-05-01 manifest/2025-05-01/RUN-000001.jsonl 5",
			"2025-05-01 calls/2025-05-01/RUN-000001.jsonl.gz 3",
			"2025-05-02 manifest/2025-05-02.jsonl 6",
			"2025-05-02 manifest/2025-05-02/RUN-000002.jsonl 8",
			"2025-05-03 calls/2025-05-03/RUN-000001.jsonl 4",
		}
		if strings.Join(got, "\n") != strings.Join(want, "\n") {
			t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
		}
		for range l.Files(t.Context()) { // an early stop must not leak
			break
		}
	})
}
