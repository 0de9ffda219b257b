package manifest

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

// Rows are noted when they are new or changed; rows in both layouts and both forms are recognised.
func TestCallRows(t *testing.T) {
	inPlaces(t, func(t *testing.T, p place) {
		l := p.open(t, Options{Run: runA})
		d := loadDay(t, l, testDay)
		calls := func(rows ...string) (list []Call) {
			for _, row := range rows {
				list = append(list, Call{CallID: row[7:8], Row: []byte(row)})
			}
			return list
		}
		pages := [][]Call{
			calls(`{"id":"1","x":1}`, `{"id":"2"}`, `{"id":"1","x":1}`), // two are new
			calls(`{"id":"1", "x": 1}`),                                 // white space is no change
			calls(`{"id":"1","x":2}`),                                   // a change
			nil,
			calls(`{"id":"2"}`, `{"id":"1","x":1}`), // changed back
		}
		for i, page := range pages {
			if i == 3 { // noted rows are read back
				d = loadDay(t, l, testDay)
				continue
			}
			if err := d.NoteCalls(t.Context(), page); err != nil {
				t.Fatal(err)
			}
		}
		if err := d.NoteCalls(t.Context(), []Call{{CallID: "3", Row: []byte(`{"phone":"5550100"`)}}); err == nil || strings.Contains(err.Error(), "555") {
			t.Errorf("a row that is not JSON: %v", err)
		}
		closeLedger(t, l)

		// Another run, and a file of an older version.
		p.write(t, oldFile(treeCalls, testDay), sample(t, "calls.jsonl"))
		l = p.open(t, Options{Run: runB})
		d = loadDay(t, l, testDay)
		old := `{"id":"9101","campaign_id":"55","phone_number":"5550100","call_date":"2025-05-01 10:00:00"}`
		known := append(calls(`{"id":"2"}`, `{"id":"1","x":1}`), Call{CallID: "9101", Row: []byte(old)})
		if err := d.NoteCalls(t.Context(), append(known, Call{CallID: "4", Row: []byte(`{}`)})); err != nil {
			t.Fatal(err)
		}
		if err := l.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
		var got []string
		if err := l.Calls(t.Context(), testDay, func(c Call) error {
			got = append(got, fmt.Sprintf("%s %d", c.CallID, len(c.Row)))
			return nil
		}); err != nil {
			t.Fatal(err)
		}
		want := []string{fmt.Sprint("9101 ", len(old)), "1 16", "2 10", "1 16", "1 16", "4 2"}
		if !slices.Equal(got, want) {
			t.Errorf("rows %v, want %v", got, want)
		}
		files := p.files(t, "calls/"+testDay+"/"+runB)
		for name := range files {
			if strings.HasSuffix(name, ".gz") != (p.objects != nil) {
				t.Errorf("%s on %s", name, p.name)
			}
		}
		if len(files) != 1 {
			t.Errorf("%d segments", len(files))
		}
	})
}
