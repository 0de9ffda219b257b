package e2e

import (
	"encoding/json"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"convoso-archiver/fetcher/convosotest"
)

// TestFindChoice: a copy of some calls says how many had no audio, and how to choose among those that have; a sample
// names its seed, so it can be drawn again.
func TestFindChoice(t *testing.T) {
	t.Parallel()
	server := simulate(t, convosotest.Config{Seed: 91, FirstDay: daysAgo(7), CallsPerDay: 80, RecordedShare: 0.2, MedianSize: 3_000})
	a := onDisk(t, server)
	a.run("--start-time", daysAgo(7), "--end-time", daysAgo(7)).want(t, 0)
	longest := []string{"--sort", "-length", "--limit", "20"}
	without := 0
	for _, c := range a.findCalls(longest...) {
		if len(c.Recordings) == 0 {
			without++
		}
	}
	if without == 0 {
		t.Fatal("all of the longest calls have audio")
	}
	say := func(args ...string) string {
		return a.find(append(args, "--copy-to", filepath.Join(t.TempDir(), "copies"))...).want(t, 0).stderr
	}
	hint := fmt.Sprintf("; %d calls have no audio: add --outcome archived to choose among calls with audio\n", without)
	if text := say(longest...); !strings.Contains(text, hint) {
		t.Errorf("%q lacks %q", text, hint)
	}
	if text := say(append(longest, "--outcome", "archived")...); !strings.Contains(text, "20 calls, ") && strings.Contains(text, "no audio") {
		t.Errorf("with --outcome archived: %q", text)
	}
	if text := say(); !strings.Contains(text, " calls have no audio\n") { // the whole archive: there is nothing to choose
		t.Errorf("all calls: %q", text)
	}
	var told struct {
		Silent *int `json:"calls_without_audio"`
	}
	lines := strings.Split(strings.TrimSpace(say(append(longest, "--log-format", "json")...)), "\n")
	if err := json.Unmarshal([]byte(lines[len(lines)-1]), &told); err != nil || told.Silent == nil || *told.Silent != without {
		t.Errorf("%v in %q", err, lines)
	}
	to := filepath.Join(t.TempDir(), "copies")
	sample := []string{"--outcome", "archived", "--sample", "4", "--copy-to", to}
	a.find(append(sample, "--seed", "1")...).want(t, 0)
	first := readCopies(t, to)
	again := againFlags(t, a.find(sample...).want(t, 0).stderr)
	both := readCopies(t, to)
	if len(both.files) <= len(first.files) {
		t.Fatalf("%q, %d and %d files", again, len(first.files), len(both.files))
	}
	if text := a.find(append(sample, again...)...).want(t, 0).stderr; !strings.Contains(text, ": 0 copied (0 B), ") {
		t.Errorf("the seed draws others: %q", text)
	}
	if third := readCopies(t, to); !slices.Equal(slices.Sorted(slices.Values(third.list)), slices.Sorted(slices.Values(both.list))) {
		t.Error("other files")
	}
}

// againFlags returns the flags that select a random sample again, as stderr names them.
func againFlags(t *testing.T, stderr string) []string {
	t.Helper()
	_, text, _ := strings.Cut(stderr, "random sample: ")
	text, _, told := strings.Cut(text, " selects the same calls again, unless archive adds calls of these days\n")
	flags := strings.Fields(text)
	if !told || len(flags) != 6 || flags[0] != "--start-time" || flags[2] != "--end-time" || flags[4] != "--seed" {
		t.Fatalf("stderr %q", stderr)
	}
	return flags
}

// TestFindSampleAgain: the named flags select the same calls after the archive got other days, for each way to give a
// span. A sample of all matching calls says so.
func TestFindSampleAgain(t *testing.T) {
	t.Parallel()
	a := onDisk(t, simulate(t, convosotest.Config{Seed: 97, FirstDay: daysAgo(12), Days: 8, CallsPerDay: 12, RecordedShare: 0.5, MedianSize: 2_000}))
	a.run("--start-time", daysAgo(10), "--end-time", daysAgo(8)).want(t, 0)
	type drawn struct {
		flags []string
		ids   string
	}
	var samples []drawn
	for _, span := range [][]string{
		nil, {"--last", "30d"}, {"--start-time", daysAgo(11)}, {"--end-time", daysAgo(9)},
		{"--start-time", daysAgo(10) + " 11:30:15", "--end-time", daysAgo(8) + "T15:00:00"},
	} {
		r := a.find(append(span, "--sample", "5", "--paths", "--outcome", "archived")...).want(t, 0)
		samples = append(samples, drawn{againFlags(t, r.stderr), r.stdout})
	}
	a.run("--start-time", daysAgo(12), "--end-time", daysAgo(5)).want(t, 0)
	for _, s := range samples {
		r := a.find(append(s.flags, "--sample", "5", "--paths", "--outcome", "archived")...).want(t, 0)
		if r.stdout != s.ids || strings.Count(s.ids, "\n") != 5 {
			t.Errorf("%q selects\n%snot\n%s", s.flags, r.stdout, s.ids)
		}
	}

	open := onDisk(t, simulate(t, convosotest.Config{Seed: 197, FirstDay: daysAgo(5), Days: 5, CallsPerDay: 12, MedianSize: 2_000}))
	open.run("--start-time", daysAgo(5), "--end-time", daysAgo(1)).want(t, 0)
	wantSaid(t, open.find("--sample", "59").want(t, 0).stderr,
		daysAgo(1)+" is not closed yet, so archive may add calls of it: a new sample with --end-time "+settled(time.Now(), usualSettle)+" stays the same\n")

	day := []string{"--start-time", daysAgo(9), "--end-time", daysAgo(9)}
	for _, args := range [][]string{{"--sample", "13"}, {"--sample", "13", "--seed", "5"}} {
		if text := a.find(append(args, day...)...).want(t, 0).stderr; !strings.HasPrefix(text, "only 12 calls match; all were taken; "+strings.Join(day, " ")+" finds the same again, unless archive adds calls of these days\n") || strings.Contains(text, "random") {
			t.Errorf("%q: %q", args, text)
		}
	}
	if text := a.find(append(day, "--sample", "12")...).want(t, 0).stderr; !strings.HasPrefix(text, "random sample: ") {
		t.Errorf("%q", text)
	}
}

// TestCampaignByDay: a campaign is copied into a folder for each day. The same command copies only the new day later; with
// another template it copies all again.
func TestCampaignByDay(t *testing.T) {
	t.Parallel()
	server := simulate(t, convosotest.Config{Seed: 98, FirstDay: daysAgo(9), Days: 3, CallsPerDay: 30, RecordedShare: 0.6, MedianSize: 2_000})
	a := onDisk(t, server)
	to := filepath.Join(t.TempDir(), "campaign")
	pull := func(args ...string) string {
		t.Helper()
		return a.find(append([]string{"--campaign", "Campaign 5051", "--outcome", "archived", "--copy-to", to}, args...)...).want(t, 0).stderr
	}
	template := []string{"--path-template", `{{.call_date.Format "2006-01-02"}}/{{.user}} {{.status}} {{.recording_id}}`}
	a.run("--start-time", daysAgo(9), "--end-time", daysAgo(8)).want(t, 0)
	pull(template...)
	first := readCopies(t, to)
	a.run("--start-time", daysAgo(7), "--end-time", daysAgo(7)).want(t, 0)
	text := pull(template...)
	both := readCopies(t, to)
	perDay := map[string]int{}
	for file := range both.files {
		perDay[filepath.Dir(file)]++
	}
	want := map[string]int{}
	for call := range server.Calls() {
		if call.CampaignID == "5051" {
			for range call.Recordings {
				want[call.Day]++
			}
		}
	}
	fresh := len(both.files) - len(first.files)
	if !maps.Equal(perDay, want) || len(want) != 3 || !strings.Contains(text, fmt.Sprintf(": %d copied (", fresh)) || !strings.Contains(text, fmt.Sprintf(", %d already there", len(first.files))) {
		t.Errorf("%v, want %v; %s", perDay, want, text)
	}
	if text := pull(); !strings.Contains(text, fmt.Sprintf(": %d copied (", len(both.files))) {
		t.Errorf("without the template: %s", text)
	}
}

// TestFindPlaylist: the playlist names the length of each recording, also if a call has several or was longer.
func TestFindPlaylist(t *testing.T) {
	t.Parallel()
	a, _ := copyable(t, diskArchive, convosotest.Config{Seed: 93, CallsPerDay: 60, SeveralShare: 0.5, MedianSize: 200_000, MaxSize: 400_000})
	to := filepath.Join(t.TempDir(), "copies")
	a.find("--copy-to", to).want(t, 0)
	known, several := 0, 0
	c := readCopies(t, to)
	for i, row := range c.rows {
		size, err := strconv.Atoi(row["size"])
		plays, err2 := strconv.Atoi(c.plays[i])
		if err != nil || err2 != nil {
			t.Fatal(err, err2)
		}
		const bytesASecond = 8000 // the simulator's rate
		if off := plays - size/bytesASecond; plays >= 0 && max(off, -off) > max(5, plays/5) {
			t.Errorf("%s plays %d s, the playlist says %d", row["file"], size/bytesASecond, plays)
		}
		if plays >= 0 {
			known++
			if c.plays[i] != row["call_length"] {
				several++
			}
		}
	}
	if known < len(c.rows)/2 || several == 0 {
		t.Errorf("%d of %d lengths are known, %d differ from their call's", known, len(c.rows), several)
	}
}
