package cli

import (
	"bytes"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"convoso-archiver/manifest"
	"convoso-archiver/search"
)

func TestParseIDs(t *testing.T) {
	for _, test := range []struct {
		text string
		want []string
	}{
		{"", nil},
		{"1\n2\n1\n", []string{"1", "2"}},
		{"1\r\n\r\n  2  \r\n# 3\n", []string{"1", "2"}},
		{"1\r2", []string{"1", "2"}},
		{"Recording ID,name\n1,\"a,b\"\n\"2\",x\n", []string{"1", "2"}},
		{"\"call_id\";x\n1;2\n3\t4\n", []string{"1", "3"}},
		{"# exported today\nid\n7\nid\n", []string{"7", "id"}},
		{",1\n\"\"\n2", []string{"2"}},
		{"abc#1f\n", []string{"abc#1f"}},
	} {
		if got := parseIDs(test.text); !slices.Equal(got, test.want) {
			t.Errorf("%q: %q, want %q", test.text, got, test.want)
		}
	}
}

// TestLaterColumn: a table with its ids in a later column is refused, so that days are not taken for ids.
func TestLaterColumn(t *testing.T) {
	for text, want := range map[string]string{
		"":             "",
		"3100001077\n": "",
		"day,call_time,id,call_date\n2026-11-24,x,3100001077,y\n": "id",
		"\"day\";\"Call ID\"\r\n2026-11-24;3100001077\r\n":        "Call ID",
		"recording_id,call_id\n1,2\n":                             "", // the first column is a list
		"3100001077,id\n":                                         "",
		"# ids of the case\n3100001077\n":                         "",
		"agent,calls\n":                                           "", // no ids at all
	} {
		if got := laterColumn(text); got != want {
			t.Errorf("%q: got %q, want %q", text, got, want)
		}
	}
}

func TestNearestSeen(t *testing.T) {
	seen := map[string]*seenValue{}
	for _, v := range []seenValue{
		{"Solar West", "Solar West", 12}, {"Solar East", "Solar East", 40}, {"Insolar", "Insolar", 90}, {"Agent 3", "Agent 3", 4},
		{"1143803", "", 50}, {"SALE", "Sale made", 9}, {"Médicare", "Médicare", 2}, {"12", "Solar West", 12},
	} {
		seen[strings.ToLower(v.value)] = &v
	}
	for _, test := range []struct{ given, want string }{
		{"Solar", "Solar East|Solar West|Insolar"},
		{"solar west", "Solar West|Solar East"},
		{"3", "Agent 3"},
		{"sola", "Insolar|Solar East|Solar West"},
		{"SAEL", "SALE"},
		{"made", "SALE"},
		{"1143830", "1143803"},
		{"13", "12"},
		{"Solar Wets", "Solar West|Solar East"},
		{"quite another", "? Insolar|1143803|Solar East"},
	} {
		nearest, alike := nearestSeen(test.given, seen)
		var names []string
		for _, v := range nearest {
			names = append(names, v.value)
		}
		got := strings.Join(names, "|")
		if !alike {
			got = "? " + got
		}
		if got != test.want {
			t.Errorf("%q: %q, want %q", test.given, got, test.want)
		}
	}
}

// TestHints: the message for a value that no call has; telephone numbers are neither repeated nor
// suggested.
func TestHints(t *testing.T) {
	h := newHints(search.Query{
		Agent: "5551234567", CampaignIDs: []string{"Sales2"}, CallTypes: []string{"OUT"}, Statuses: []string{"SALE"},
		PhoneNumbers: []string{"5551234567"}, FirstNames: []string{"Jo"}, Number: "4567", IDs: []string{"7"}, LeadIDs: []string{"8"},
	})
	watch := h.watch()
	for range 3 {
		watch(&search.Call{Position: 1, Fields: search.Fields{
			ID: "9", UserID: "3", User: "Ann 5559876543", CampaignID: "12", Campaign: "Sales", Status: "sale", CallType: "OUTBOUND", PhoneNumber: "5559876543",
		}})
	}
	var lines []string
	for _, one := range h.hints() {
		lines = append(lines, one.line("the archive"))
	}
	want := []string{
		`no call of the archive has this agent; most frequent: "3" (3 calls)`,
		`no call of the archive has campaign-id "Sales2"; nearest: "12" (Sales, 3 calls)`,
		`no call of the archive has call-type "OUT"; nearest: "OUTBOUND" (3 calls)`,
	}
	if !slices.Equal(lines, want) {
		t.Errorf("got  %q\nwant %q", lines, want)
	}
}

// TestWithout counts the calls that match without one term, and names the closest length.
func TestWithout(t *testing.T) {
	call := func(status string, length int) *search.Call {
		return &search.Call{Position: 1, Fields: search.Fields{ID: "1", Status: status, Length: length, PhoneNumber: "5551234567"}}
	}
	calls := []*search.Call{call("SALE", 10), call("SALE", 25), call("SALE", -1), call("DC", 200)}
	for name, c := range map[string]struct {
		query search.Query
		want  []string
	}{
		"too long":     {search.Query{Statuses: []string{"SALE"}, MinLength: 180}, []string{"3 calls match without --min-length; the longest lasts 0:25", "1 call matches without --status"}},
		"too short":    {search.Query{Statuses: []string{"SALE"}, MaxLength: 5}, []string{"2 calls match without --max-length; the shortest lasts 0:10"}},
		"two missing":  {search.Query{Statuses: []string{"DC"}, MinLength: 300, MaxLength: 400}, []string{"1 call matches without --min-length; the longest lasts 3:20"}},
		"a match":      {search.Query{Statuses: []string{"SALE"}, MinLength: 20}, nil},
		"no value":     {search.Query{Number: "99999", Statuses: []string{"DC"}}, []string{"1 call matches without --number"}},
		"a list":       {search.Query{Listed: []string{"7"}, Statuses: []string{"DC"}}, nil},
		"nothing else": {search.Query{}, nil},
	} {
		h := newHints(c.query)
		if watch := h.watch(); watch != nil {
			for _, one := range calls {
				watch(one)
			}
		}
		var lines []string
		for _, w := range h.without {
			if w.calls > 0 && !h.found {
				lines = append(lines, w.line())
			}
		}
		if !slices.Equal(lines, c.want) {
			t.Errorf("%s: %q, want %q", name, lines, c.want)
		}
	}
}

// TestTableFits: no line is wider than allowed, no value is truncated that can move below its row, and a truncated
// one shows an ellipsis. Without a limit nothing is truncated.
func TestTableFits(t *testing.T) {
	zone, err := time.LoadLocation("America/Los_Angeles")
	if err != nil {
		t.Fatal(err)
	}
	for _, width := range []int{0, 60, 80, 100, 160, 300} {
		var out bytes.Buffer
		table := newTableAnswer(&out, width, zone)
		const calls = 3 * measuredRows
		for i := range calls {
			c := search.Call{Wall: time.Date(2025, 5, 28, 14, 58, 38, 0, time.UTC), Fields: search.Fields{
				User: "José Núñez", Campaign: strings.Repeat("Solar West ", 1+i%4), Status: "SALE", Length: 3600 * (i % 3), PhoneNumber: "15555550142",
			}, Recordings: []search.Recording{{Outcome: manifest.Rejected}}}
			if i == calls-1 { // far behind the measured rows
				c.User, c.Campaign = strings.Repeat("long ", 70), "\x1b[31mred\u202e\n"
			}
			if err := table.call(&c); err != nil {
				t.Fatal(err)
			}
		}
		if err := table.end(); err != nil {
			t.Fatal(err)
		}
		text := strings.TrimSuffix(out.String(), "\n")
		lines := strings.Split(text, "\n")
		folded := width > 0 && width < 160
		if folded && width >= 80 && len(lines) != 2*(calls+1) || !folded && len(lines) != calls+1 {
			t.Errorf("%d: %d lines", width, len(lines))
		}
		for _, line := range lines {
			if n := utf8.RuneCountInString(line); n > width && width > 0 {
				t.Errorf("%d characters of %d: %q", n, width, line)
			}
		}
		whole := "time in America/Los_Angeles"
		if folded {
			whole = "time (PST/PDT)"
		}
		if !strings.HasPrefix(lines[0], whole) || strings.ContainsAny(text, "\x1b\u202e") {
			t.Errorf("%d: %q", width, lines[0])
		}
		if got := strings.Count(text, "…"); width > 0 && got != 1 || width == 0 && got != 0 {
			t.Errorf("%d: %d values are cut", width, got)
		}
		if !strings.Contains(text, "Solar West Solar West Solar West Solar West") {
			t.Errorf("%d: a campaign is not whole", width)
		}
		if cut := regexp.MustCompile(`l?o?n?g?…`).FindString(text); width > 0 && cut != "long…" {
			t.Errorf("%d: cut within a word: %q", width, cut)
		}
	}
	for _, test := range []struct {
		seconds int
		want    string
	}{{-1, "-"}, {0, "0:00"}, {185, "3:05"}, {3600, "1:00:00"}, {36125, "10:02:05"}} {
		if got := lengthText(test.seconds); got != test.want {
			t.Errorf("%d: %q, want %q", test.seconds, got, test.want)
		}
	}
	if got := abbreviations(zone) + " " + abbreviations(time.UTC); got != "PST/PDT UTC" {
		t.Errorf("%q", got)
	}
}

// TestAnswersFromAnIndex: a call without row and state has the data of the index.
func TestAnswersFromAnIndex(t *testing.T) {
	c := search.Call{
		Day: "2025-05-28", Time: time.Date(2025, 5, 28, 21, 58, 38, 0, time.UTC), Fields: search.Fields{ID: "900", User: "Ann", Length: 3},
		Recordings: []search.Recording{{ID: "R1", Outcome: manifest.Archived, Final: true, Key: "k.mp3", Size: 7}},
	}
	var out bytes.Buffer
	for _, answer := range []answerWriter{newJSONAnswer(&out), newCSVAnswer(&out, false)} {
		if err := answer.call(&c); err != nil {
			t.Fatal(err)
		}
		if err := answer.end(); err != nil {
			t.Fatal(err)
		}
	}
	for _, part := range []string{
		`{"id":"900","user":"Ann","day":"2025-05-28","call_time":"2025-05-28T21:58:38Z","recordings":[{"recording_id":"R1","outcome":"archived","final":true,"key":"k.mp3","size":7,"sha256":"",`,
		"\r\n2025-05-28,2025-05-28T21:58:38Z,900,", ",R1,archived,true,k.mp3,7,,,,\r\n",
	} {
		if !strings.Contains(out.String(), part) {
			t.Errorf("%q is not in %q", part, out.String())
		}
	}
}
