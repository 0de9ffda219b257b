package search

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"convoso-archiver/manifest"
)

const sampleRow = `{"id":"900","lead_id":77,"list_id":"5","campaign_id":"12","campaign":"Solar West","user":"José Núñez","user_id":"3001",` +
	`"phone_number":"(555) 867-5309","number_dialed":"15558675309","first_name":"Mary Ann","last_name":"O'Neil","status":"SALE","status_name":"Sale Made",` +
	`"call_length":"185","call_date":"2025-05-28 14:58:38","agent_comment":"Wants a call-back, \"soon\"","queue_id":null,"called_count":"14","call_type":"OUTBOUND"}`

func TestMatches(t *testing.T) {
	zone, err := time.LoadLocation("America/Los_Angeles")
	if err != nil {
		t.Fatal(err)
	}
	calls := []Call{readRow("2025-05-28", "900", json.RawMessage(sampleRow), zone)}
	calls[0].Recordings = []Recording{{ID: "R1", Outcome: manifest.Lost}, {ID: "R2", Outcome: manifest.Archived}}
	arrange(calls)
	call := &calls[0]
	if got := call.Time.Format(time.RFC3339); got != "2025-05-28T21:58:38Z" {
		t.Errorf("the call was at %s", got)
	}
	for _, test := range []struct {
		term, value string
		matches     bool
	}{
		{"number", "5309", true},
		{"number", "867-5309", true},
		{"number", "15558675309", true},
		{"number", "+1 (555) 867-5309", true},
		{"number", "001 555 867 5309", true},
		{"number", "5558675308", false},
		{"number", "25558675309", false},
		{"agent", "3001", true},
		{"agent", "jose nunez", true},
		{"agent", "Jose", false},
		{"campaign", "12", true},
		{"campaign", "SOLAR WEST", true},
		{"campaign", "Solar", false},
		{"name", "mar", true},
		{"name", "neil ann", true},
		{"name", "eil", false},
		{"comment", "soon call", true},
		{"comment", "cal", false},
		{"min-length", "185", true},
		{"min-length", "3m6s", false},
		{"max-length", "3m5s", true},
		{"max-length", "3:05", true},
		{"max-length", "184", false},
		{"outcome", "archived", true},
		{"outcome", "lost,damaged", true},
		{"outcome", "pending", false},
		{"with-recording", "true", true},
		{"id", "900", true},
		{"id", "1,900", true},
		{"id", "90", false},
		{"lead-id", "77", true},
		{"campaign-id", "13", false},
		{"queue-id", "1", false},
		{"list-id", "5", true},
		{"user-id", "3001", true},
		{"status", "sale", true},
		{"status", "HU,SALE", true},
		{"status", "SAL", false},
		{"phone-number", "555-867-5309", true},
		{"phone-number", "867-5309", false},
		{"number-dialed", "1 555 867 5309", true},
		{"first-name", "mary ann", true},
		{"first-name", "mary", false},
		{"last-name", "o neil", true},
		{"call-type", "inbound", false},
		{"called-count", "14", true},
	} {
		var q Query
		if err := q.Set(test.term, test.value); err != nil {
			t.Errorf("%s %q: %v", test.term, test.value, err)
		}
		if q.Matches(call) != test.matches {
			t.Errorf("%s %q matches: %v", test.term, test.value, !test.matches)
		}
	}
	for _, span := range []struct {
		start, end string
		matches    bool
	}{
		{"2025-05-28", "2025-05-28", true},
		{"2025-05-28 14:58:38", "", true},
		{"2025-05-28 14:58:39", "", false},
		{"", "2025-05-28 14:58:38", true},
		{"", "2025-05-27", false},
	} {
		var q Query
		if err := q.SetSpan(span.start, span.end); err != nil || q.Matches(call) != span.matches {
			t.Errorf("%q to %q: %v, matches %v", span.start, span.end, err, !span.matches)
		}
	}
	for _, test := range []struct {
		q       Query
		matches bool
	}{
		{Query{Listed: []string{"900"}}, true},
		{Query{Listed: []string{"R2"}}, true},
		{Query{Listed: []string{}}, false},
		{Query{Within: Limits{Campaigns: []string{"solar west"}}}, true},
		{Query{Within: Limits{Campaigns: []string{"13"}}}, false},
		{Query{Within: Limits{Campaigns: []string{"solar-west"}}}, false},
		{Query{Within: Limits{Agents: []string{"jose nunez"}}}, false},
		{Query{Within: Limits{Agents: []string{"JOSÉ NÚÑEZ"}}}, true},
		{Query{Within: Limits{Agents: []string{}}}, false},
		{Query{Within: Limits{Campaigns: []string{"12"}, Agents: []string{"3002"}}}, false},
	} {
		if test.q.Matches(call) != test.matches {
			t.Errorf("%+v matches: %v", test.q, !test.matches)
		}
	}
}

func TestBadTerms(t *testing.T) {
	for _, test := range []struct{ term, value string }{
		{"number", "12-3"}, {"phone-number", "5309"}, {"number-dialed", "4155559999,12"}, {"outcome", "gone"}, {"min-length", "-3"}, {"min-length", "long"}, {"max-length", "0"}, {"name", "--"},
		{"agent", " "}, {"sample", "0"}, {"sample", "x"}, {"seed", "-1"}, {"sort", "name"}, {"limit", "0"}, {"with-recording", "perhaps"}, {"color", "red"},
	} {
		var q Query
		wrong, ok := errors.AsType[*TermError](q.Set(test.term, test.value))
		if !ok || wrong.Name != test.term || wrong.Problem == "" || wrong.Try == "" {
			t.Errorf("%s %q: %v", test.term, test.value, wrong)
		}
		if ok && len(test.value) > 2 && strings.Contains(wrong.Error(), test.value) {
			t.Errorf("%s: the error repeats the value: %v", test.term, wrong)
		}
	}
	var q Query
	if q.SetSpan("2025-02-30", "") == nil || q.SetSpan("2025-05-02", "2025-05-01") == nil {
		t.Error("an impossible span is taken")
	}
	if (&Query{MinLength: 3, MaxLength: 2}).Check() == nil || (&Query{Seed: 1}).Check() == nil || (&Query{After: 1, Sort: LongestFirst}).Check() == nil {
		t.Error("terms that contradict each other are taken")
	}
}

// TestOddRows reads malformed rows.
func TestOddRows(t *testing.T) {
	for _, test := range []struct {
		row    string
		length int
		wall   string
		erased bool
	}{
		{`{}`, -1, "2025-05-28 00:00:00", true},
		{`{"call_length":null,"call_date":null}`, -1, "2025-05-28 00:00:00", false},
		{`{"call_length":12.7,"call_date":"2025-05-27 10:00:00","id":{"a":1}}`, 12, "2025-05-28 00:00:00", false},
		{`{"call_length":-1,"call_date":"2025-05-28T10:00:00","user":["x"]}`, -1, "2025-05-28 10:00:00", false},
		{`{"call_length":"1e99","call_date":true}`, -1, "2025-05-28 00:00:00", false},
	} {
		c := readRow("2025-05-28", "x", json.RawMessage(test.row), time.UTC)
		if c.Length != test.length || c.Wall.Format(time.DateTime) != test.wall || c.Erased != test.erased || c.ID != "x" {
			t.Errorf("%s: %+v", test.row, c)
		}
	}
}
