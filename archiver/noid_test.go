package archiver

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"convoso-archiver/fetcher"
	"convoso-archiver/manifest"
)

// callLines returns the rows of a day in calls/ by the id they are noted under, and how
// many lines there are.
func (a *archive) callLines(day fetcher.Date) (rows map[string]string, lines int) {
	a.t.Helper()
	data, err := os.ReadFile(filepath.Join(a.dir, "calls", string(day)+".jsonl"))
	if err != nil {
		a.t.Fatal(err)
	}
	rows = map[string]string{}
	for text := range bytes.Lines(data) {
		var line struct {
			CallID string          `json:"call_id"`
			Row    json.RawMessage `json:"row"`
		}
		if err := json.Unmarshal(text, &line); err != nil {
			a.t.Fatal(err)
		}
		rows[line.CallID] = string(line.Row)
		lines++
	}
	return rows, lines
}

// rewriter changes what an API answers to the listing.
type rewriter struct {
	http.ResponseWriter
	replacer *strings.Replacer
}

func (w rewriter) Write(p []byte) (int, error) {
	_, err := io.WriteString(w.ResponseWriter, w.replacer.Replace(string(p)))
	return len(p), err
}

// TestCallWithoutUsableID archives calls whose rows have no id, or one that no line of
// the manifest can have, and recordings like that, beside a call that has all: nothing
// of it is left out, the day closes, and another listing notes nothing again, with
// other links.
func TestCallWithoutUsableID(t *testing.T) {
	long := strings.Repeat("9", 70_000)
	for name, id := range map[string]string{
		"empty": `""`, "null": `null`, "not UTF-8": "{\"a\":\"\xff\"}", "too long": `"` + long + `"`,
	} {
		t.Run(name, func(t *testing.T) {
			const day = fetcher.Date("2025-05-10")
			v := newVendor(t)
			nameless := v.recording("333")
			*nameless.ID = "BAD"
			v.rows[day] = []row{
				callAt("BAD", day, noon, v.recording("111")), callAt("2", day, noon, v.recording("222")), callAt("BAD", day, noon, nameless),
			}
			answer := v.Config.Handler
			query := "?rlt=firstfirstfirst"
			v.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if strings.HasPrefix(r.URL.Path, "/log/") {
					v.mu.Lock()
					w = rewriter{w, strings.NewReplacer(`"BAD"`, id, `"}]`, query+`"}]`)}
					v.mu.Unlock()
				}
				answer.ServeHTTP(w, r)
			})
			a := v.archive(t)
			first, err := a.run(day, day, nil)
			if err != nil || first.Archived != 3 || !a.closed(day) {
				t.Fatalf("%v, %d archived, open days %v", err, first.Archived, first.OpenDays)
			}
			rows, lines := a.callLines(day)
			if lines != 3 || len(rows) != 3 || !strings.Contains(rows["2"], "222.mp3") {
				t.Fatalf("%d lines of the calls %q", lines, slices.Sorted(maps.Keys(rows)))
			}
			for id, row := range rows {
				if sum := sha256.Sum256([]byte(row)); id != "2" && id != fmt.Sprintf("row-%x", sum[:8]) {
					t.Errorf("noted as %q: %s", id, row)
				}
			}
			for identity, line := range a.recordings(day) {
				if wanted := map[bool]string{true: "2"}[identity == "222"]; line.CallID != wanted || line.Outcome != manifest.Archived {
					t.Errorf("recording %q is %s of call %q", identity, line.Outcome, line.CallID)
				}
			}

			v.change(func(*vendor) { query = "?rlt=secondsecondsecond" })
			second, err := a.run(day, day, func(s *setup) { s.Config.Relist = true })
			if err != nil || second.Archived != 0 || second.Known != 3 || !a.closed(day) {
				t.Fatalf("the second run: %v, %d archived, %d known, open days %v", err, second.Archived, second.Known, second.OpenDays)
			}
			if _, again := a.callLines(day); again != lines {
				t.Errorf("%d lines of calls after another listing", again)
			}
		})
	}
}
