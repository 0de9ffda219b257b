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

func TestNearestSeen(t *testing.T) {
	seen := map[string]int{"Solar West": 12, "Solar East": 40, "Insolar": 90, "Agent 3": 4, "1143803": 50, "SALE": 9, "sale": 1, "Médicare": 2}
	for _, test := range []struct{ given, want string }{
		{"Solar", "Solar East"},
		{"solar west", "Solar West"},
		{"3", "Agent 3"},
		{"sola", "Insolar"},
		{"SAEL", "SALE"},
		{"Solar Wets", "Solar West"},
		{"43", ""},
		{"quite another", ""},
	} {
		if got := nearestSeen(test.given, seen); got != test.want {
			t.Errorf("%q: %q, want %q", test.given, got, test.want)
		}
	}
}

// TestTableFits: no line is wider than allowed where the columns can be cut, and a value that is cut says so.
func TestTableFits(t *testing.T) {
	zone, err := time.LoadLocation("America/Los_Angeles")
	if err != nil {
		t.Fatal(err)
	}
	cut := regexp.MustCompile(`(long)+(lo?|lon)?…`)
	for _, width := range []int{80, 100, 132, 300} {
		var out bytes.Buffer
		table := newTableAnswer(&out, width, zone)
		const calls = 3 * measuredRows
		for i := range calls {
			c := search.Call{Wall: time.Date(2025, 5, 28, 14, 58, 38, 0, time.UTC), Fields: search.Fields{
				User: strings.Repeat("José Núñez ", 1+i%3), Campaign: strings.Repeat("Solar West ", 1+i%4), Status: "SALE", Length: 3600 * (i % 3), PhoneNumber: "15555550142",
			}, Recordings: []search.Recording{{Outcome: manifest.Rejected}}}
			if i == calls-1 { // far behind those that were measured
				c.User, c.Campaign = strings.Repeat("long", 50), "\x1b[31mred\u202e\n"
			}
			if err := table.call(&c); err != nil {
				t.Fatal(err)
			}
		}
		if err := table.end(); err != nil {
			t.Fatal(err)
		}
		lines := strings.Split(strings.TrimSuffix(out.String(), "\n"), "\n")
		if len(lines) != calls+1 {
			t.Fatalf("%d lines", len(lines))
		}
		for _, line := range lines {
			if n := utf8.RuneCountInString(line); n > width {
				t.Errorf("%d characters of %d: %q", n, width, line)
			}
		}
		whole := "time in America/Los_Angeles"
		if width < 300 {
			whole = "time (PST/PDT)"
		}
		last := lines[calls]
		if !strings.HasPrefix(lines[0], whole) || strings.ContainsAny(last, "\x1b\u202e") || !cut.MatchString(last) {
			t.Errorf("%d: %q, %q", width, lines[0], last)
		}
		if strings.Contains(lines[1], "…") != (width <= 100) {
			t.Errorf("%d: %q", width, lines[1])
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

// TestAnswersFromAnIndex: a call without row and state has what the index knows.
func TestAnswersFromAnIndex(t *testing.T) {
	c := search.Call{
		Day: "2025-05-28", Time: time.Date(2025, 5, 28, 21, 58, 38, 0, time.UTC), Fields: search.Fields{ID: "900", User: "Ann", Length: 3},
		Recordings: []search.Recording{{ID: "R1", Outcome: manifest.Archived, Final: true, Key: "k.mp3", Size: 7}},
	}
	var out bytes.Buffer
	for _, answer := range []answerWriter{newJSONAnswer(&out), newCSVAnswer(&out)} {
		if err := answer.call(&c); err != nil {
			t.Fatal(err)
		}
		if err := answer.end(); err != nil {
			t.Fatal(err)
		}
	}
	for _, part := range []string{
		`{"id":"900","user":"Ann","day":"2025-05-28","call_time":"2025-05-28T21:58:38Z","recordings":[{"recording_id":"R1","outcome":"archived","final":true,"key":"k.mp3","size":7,"sha256":"",`,
		"\r\n2025-05-28,2025-05-28T21:58:38Z,900,", ",R1,archived,true,k.mp3,7,,,\r\n",
	} {
		if !strings.Contains(out.String(), part) {
			t.Errorf("%q is not in %q", part, out.String())
		}
	}
}
