package cases

import (
	"strings"
	"testing"
	"time"
)

// TestManifestReader checks that the examples read both layouts of the manifest in the same way,
// because a reader that finds nothing would make them meaningless.
func TestManifestReader(t *testing.T) {
	const (
		stored  = `{"v":1,"kind":"recording","recording_id":"1","outcome":"archived","key":"a.mp3","sha256":"00","time":"2025-05-02T09:00:03Z","call_id":"100"`
		waits   = `{"v":1,"kind":"recording","recording_id":"2","outcome":"pending","key":"b.mp3","time":"2025-05-02T09:00:04Z","first_seen":"2025-05-02T09:00:04Z","call_id":"101"`
		givenUp = `{"v":1,"kind":"recording","recording_id":"2","outcome":"pending","key":"b.mp3","time":"2025-05-02T09:00:05Z","call_id":"101","final":true`
		damaged = `{"v":1,"kind":"recording","recording_id":"1","outcome":"damaged","key":"a.mp3","time":"2025-05-03T09:00:03Z","call_id":"100"`
		healed  = `{"v":1,"kind":"recording","recording_id":"1","outcome":"archived","key":"a-1.mp3","time":"2025-05-03T09:00:03Z","call_id":"100"`
		window  = `{"v":1,"kind":"window","total":2,"whole":false,"doubts":["total"]`
		oldDay  = `{"v":1,"kind":"day","day":"2025-05-01","closed":true,"filter":"","calls":2,"recordings":2,"time":"2025-05-02T09:00:06Z"`
		newDay  = oldDay + `,"segments":[{"name":"RUN1-000001.jsonl","bytes":1,"sha256":"00"}]`
	)
	lines := func(texts ...string) string { return strings.Join(texts, "}\n") + "}\n" }
	for _, c := range []struct {
		name     string
		files    map[string]string
		closed   bool
		outcomes string // of recordings 1 and 2
	}{
		{"older, closed", map[string]string{"manifest/2025-05-01.jsonl": lines(stored, givenUp, window, oldDay)}, true, "archived pending"},
		{"older, reopened", map[string]string{"manifest/2025-05-01.jsonl": lines(stored, oldDay, waits)}, false, "archived pending"},
		{"older, in S3", map[string]string{"manifest/2025-05-01/RUN1-000001.jsonl": lines(stored, oldDay+`,"segments":1`)}, true, "archived "},
		{"open", map[string]string{"manifest/2025-05-01/RUN1-000001.jsonl": lines(stored, waits, window)}, false, "archived pending"},
		{"closed", map[string]string{
			"manifest/2025-05-01/RUN1-000001.jsonl": lines(stored, givenUp), "manifest/2025-05-01/closed.json": lines(newDay),
		}, true, "archived pending"},
		{"damaged", map[string]string{
			"manifest/2025-05-01/RUN1-000001.jsonl": lines(stored), "manifest/2025-05-01/RUN2-000001.jsonl": lines(damaged),
			"manifest/2025-05-01/closed.json": lines(newDay),
		}, false, "damaged "},
		{"healed", map[string]string{
			"manifest/2025-05-01/RUN1-000001.jsonl": lines(stored), "manifest/2025-05-01/RUN2-000001.jsonl": lines(damaged, healed),
			"manifest/2025-05-01/closed.json": lines(newDay),
		}, true, "archived "},
		{"waits behind", map[string]string{
			"manifest/2025-05-01/RUN1-000001.jsonl": lines(stored), "manifest/2025-05-01/RUN2-000001.jsonl": lines(waits),
			"manifest/2025-05-01/closed.json": lines(newDay),
		}, false, "archived pending"},
	} {
		t.Run(c.name, func(t *testing.T) {
			a := &archive{t: t, dest: t.TempDir()}
			for name, text := range c.files {
				a.put(name, []byte(text))
			}
			d := a.day("2025-05-01")
			if _, closed := d.closed[""]; closed != c.closed {
				t.Errorf("closed is %v", closed)
			}
			if got := d.state("100").Outcome + " " + d.state("101").Outcome; got != c.outcomes {
				t.Errorf("outcomes are %q, want %q", got, c.outcomes)
			}
			before := string(a.bytes()["manifest/2025-05-01/RUN1-000001.jsonl"])
			a.age(25 * time.Hour)
			after := string(a.bytes()["manifest/2025-05-01/RUN1-000001.jsonl"])
			if aged := before != after; aged != (c.name == "open") || len(before) != len(after) {
				t.Errorf("the first segment was changed from %q to %q", before, after)
			}
			if later := string(a.bytes()["manifest/2025-05-01/RUN2-000001.jsonl"]); c.name == "damaged" && !strings.Contains(later, "2025-05-02T08:00:03Z") {
				t.Errorf("the second segment is not older: %s", later)
			}
		})
	}
}
