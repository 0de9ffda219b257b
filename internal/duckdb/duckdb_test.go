package duckdb

import (
	"bytes"
	"compress/gzip"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	_ "github.com/duckdb/duckdb-go/v2"

	"convoso-archiver/fetcher/convosotest"
)

// program is the built program.
var program string

func TestMain(m *testing.M) {
	os.Exit(func() int {
		folder, err := os.MkdirTemp("", "duckdb-")
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		defer os.RemoveAll(folder)
		program = filepath.Join(folder, "convoso-archiver")
		build := exec.Command("go", "build", "-o", program, ".")
		build.Dir = "../.."
		if out, err := build.CombinedOutput(); err != nil {
			fmt.Fprintf(os.Stderr, "build the program: %v\n%s", err, out)
			return 1
		}
		return m.Run()
	}())
}

// run runs the program and returns what it wrote to stdout.
func run(t *testing.T, codes []int, env []string, args ...string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), program, args...)
	cmd.Env = append([]string{"PATH=" + os.Getenv("PATH"), "HOME=" + t.TempDir()}, env...)
	var complaint strings.Builder
	cmd.Stderr = &complaint
	out, err := cmd.Output()
	if exit := (*exec.ExitError)(nil); err != nil && !errors.As(err, &exit) || !slices.Contains(codes, cmd.ProcessState.ExitCode()) {
		t.Fatalf("%v: %v\n%s\n%s", args, err, out, complaint.String())
	}
	return string(out)
}

// archive makes an archive of a simulated account whose rows have every oddity.
func archive(t *testing.T) (*convosotest.Server, string) {
	t.Helper()
	server, err := convosotest.New(convosotest.Config{
		Seed: 7, FirstDay: "2025-03-08", Days: 4, CallsPerDay: 300, RecordedShare: 0.4, SeveralShare: 0.2, MedianSize: 2_000, MaxSize: 8_000,
		Oddities:    convosotest.Oddities{NumberIDs: true, NullFields: true, LiteralNulls: true, ExtraFields: true},
		MediaFaults: map[convosotest.Fault]int{convosotest.FaultNotFound: 5, convosotest.FaultHTML: 3},
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = server.Close() })
	dest := filepath.Join(t.TempDir(), "it's [an] archive")
	run(t, []int{0, 3}, []string{"CONVOSO_AUTH_TOKEN=" + server.Token()}, "archive", "--quiet", "--dest", dest, "--state-dir", t.TempDir(),
		"--api-url", server.APIURL(), "--allow-host", server.MediaURL(), "--api-rate", "0", "--media-rate", "0",
		"--start-time", "2025-03-08", "--end-time", "2025-03-11", "--log-level", "error")
	return server, dest
}

// open opens DuckDB in a new folder, with the views.sql of a folder.
func open(t *testing.T, views string) *sql.DB {
	t.Helper()
	db, err := sql.Open("duckdb", "")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	db.SetMaxOpenConns(1)
	if _, err := db.Exec("SET TimeZone = 'UTC'"); err != nil {
		t.Fatal(err)
	}
	if _, err := db.Exec(views); err != nil {
		t.Fatalf("%v\n%s", err, views)
	}
	return db
}

// exported exports in a format, and opens the views of the export. Names in views.sql are relative to the export's
// folder.
func exported(t *testing.T, dest, format string, flags ...string) (*sql.DB, string) {
	t.Helper()
	to := filepath.Join(t.TempDir(), "tables")
	run(t, []int{0}, nil, append([]string{"export", "--json", "--dest", dest, "--to", to, "--format", format}, flags...)...)
	text, err := os.ReadFile(filepath.Join(to, "views.sql"))
	if err != nil {
		t.Fatal(err)
	}
	views := strings.ReplaceAll(strings.ReplaceAll(string(text), "'calls/day", "'"+to+"/calls/day"), "'recordings/day", "'"+to+"/recordings/day")
	return open(t, views), to
}

// text returns the rows of a query as text.
func text(t *testing.T, db *sql.DB, query string, args ...any) []string {
	t.Helper()
	rows, err := db.Query(query, args...)
	if err != nil {
		t.Fatalf("%s: %v", query, err)
	}
	defer rows.Close()
	names, err := rows.Columns()
	if err != nil {
		t.Fatal(err)
	}
	var all []string
	for rows.Next() {
		cells, to := make([]any, len(names)), make([]any, len(names))
		for i := range cells {
			to[i] = &cells[i]
		}
		if err := rows.Scan(to...); err != nil {
			t.Fatal(err)
		}
		line := ""
		for _, cell := range cells {
			line += fmt.Sprintf("%v|", cell)
		}
		all = append(all, line)
	}
	if err := rows.Err(); err != nil {
		t.Fatalf("%s: %v", query, err)
	}
	return all
}

// truth is the simulator's data, and the content of the rows that it sent.
type truth struct {
	calls, recordings map[string]int // by day
	agents            map[string]int // calls by agent
	seconds           map[string]int // by day
	bytes             map[string]int64
}

func truthOf(t *testing.T, server *convosotest.Server, dest string) truth {
	t.Helper()
	made := truth{map[string]int{}, map[string]int{}, map[string]int{}, map[string]int{}, map[string]int64{}}
	for call := range server.Calls() {
		made.calls[call.Day]++
		made.recordings[call.Day] += len(call.Recordings)
		made.agents[call.UserID]++
		for _, r := range call.Recordings {
			if r.Fault == "" {
				made.bytes[call.Day] += r.Size
			}
		}
	}
	// The simulator reports lengths only in its rows.
	for name, lines := range linesOf(t, filepath.Join(dest, "calls")) {
		for _, line := range lines {
			var row struct {
				Row struct {
					CallLength any `json:"call_length"`
				}
			}
			if err := json.Unmarshal([]byte(line), &row); err != nil {
				t.Fatal(err)
			}
			seconds := 0
			if _, err := fmt.Sscan(fmt.Sprint(row.Row.CallLength), &seconds); err == nil {
				made.seconds[filepath.Base(filepath.Dir(name))] += seconds
			}
		}
	}
	return made
}

// linesOf returns the lines of all files below a folder by name.
func linesOf(t *testing.T, folder string) map[string][]string {
	t.Helper()
	all := map[string][]string{}
	err := filepath.WalkDir(folder, func(name string, entry os.DirEntry, err error) error {
		if err != nil || entry.IsDir() || !strings.HasSuffix(name, ".jsonl") {
			return err
		}
		data, err := os.ReadFile(name)
		all[name] = strings.Split(strings.TrimSpace(string(data)), "\n")
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// check compares two tables of DuckDB with the truth.
func check(t *testing.T, db *sql.DB, want truth) {
	t.Helper()
	for day, calls := range want.calls {
		got := text(t, db, "SELECT count(*), count(DISTINCT id), coalesce(sum(call_length), 0)::BIGINT FROM calls WHERE day = ?::DATE", day)
		if expected := fmt.Sprintf("%d|%d|%d|", calls, calls, want.seconds[day]); got[0] != expected {
			t.Errorf("%s: calls, ids and seconds %s, want %s", day, got[0], expected)
		}
		got = text(t, db, "SELECT count(*), coalesce(sum(size) FILTER (WHERE outcome = 'archived'), 0)::BIGINT FROM recordings WHERE day = ?::DATE", day)
		if expected := fmt.Sprintf("%d|%d|", want.recordings[day], want.bytes[day]); got[0] != expected {
			t.Errorf("%s: recordings and bytes %s, want %s", day, got[0], expected)
		}
	}
	var agents []string
	for agent, calls := range want.agents {
		agents = append(agents, fmt.Sprintf("%s|%d|", agent, calls))
	}
	slices.Sort(agents)
	if got := text(t, db, "SELECT user_id, count(*) FROM calls GROUP BY ALL ORDER BY user_id"); !slices.Equal(got, agents) {
		t.Errorf("calls by agent %v, want %v", got, agents)
	}
	if got := text(t, db, "SELECT count(*) FROM recordings r LEFT JOIN calls c ON r.call_id = c.id AND r.day = c.day WHERE c.id IS NULL"); got[0] != "0|" {
		t.Errorf("recordings without a call: %s", got[0])
	}
	if got := text(t, db, "SELECT typeof(call_date), typeof(call_length), typeof(id), typeof(day) FROM calls LIMIT 1"); got[0] != "TIMESTAMP WITH TIME ZONE|INTEGER|VARCHAR|DATE|" {
		t.Errorf("types %s", got[0])
	}
	// Daylight saving starts on 9 March 2025 at 02:00.
	got := text(t, db, `SELECT count(*) FROM calls WHERE epoch(call_date) - epoch(call_date_local::TIMESTAMP) <> CASE WHEN call_date_local < '2025-03-09 02' THEN 8 ELSE 7 END * 3600`)
	if got[0] != "0|" {
		t.Errorf("calls whose time is wrong: %s", got[0])
	}
}

func TestFormats(t *testing.T) {
	server, dest := archive(t)
	want := truthOf(t, server, dest)
	for _, form := range [][]string{{"parquet"}, {"csv"}, {"csv", "--excel"}, {"jsonl"}} {
		t.Run(strings.Join(form, " "), func(t *testing.T) {
			db, _ := exported(t, dest, form[0], form[1:]...)
			check(t, db, want)
		})
	}
	t.Run("archive", func(t *testing.T) {
		check(t, open(t, run(t, []int{0}, nil, "export", "--views", "--dest", dest)), want)
	})
}

// TestEncodings checks features that old readers do not support.
func TestEncodings(t *testing.T) {
	_, dest := archive(t)
	db, to := exported(t, dest, "parquet")
	for table, bloom := range map[string]string{
		"calls": "[call_date, campaign_id, id, lead_id, list_id, number_dialed, phone_number, queue_id, user_id]", "recordings": "[call_id, recording_id]",
	} {
		from := " FROM parquet_metadata('" + to + "/" + table + "/day=2025-03-08/part-0.parquet')"
		for _, line := range text(t, db, "SELECT path_in_schema, encodings, compression, type"+from) {
			if strings.Contains(line, "DELTA") || !strings.Contains(line, "|ZSTD|") || strings.HasPrefix(line, "day|") {
				t.Errorf("%s: column %s", table, line)
			}
		}
		bloom = strings.Replace(bloom, "call_date, ", "", 1)
		if got := text(t, db, "SELECT list(DISTINCT path_in_schema ORDER BY path_in_schema)"+from+" WHERE bloom_filter_offset > 0"); got[0] != strings.ReplaceAll(bloom, ",", "")+"|" {
			t.Errorf("%s: Bloom filters of %s, want %s", table, got[0], bloom)
		}
		// The Bloom filter alone excludes a missing id.
		column := map[string]string{"calls": "id", "recordings": "call_id"}[table]
		got := text(t, db, "SELECT bool_and(bloom_filter_excludes) FROM parquet_bloom_probe('"+to+"/"+table+"/day=2025-03-08/part-0.parquet', '"+column+"', 'nobody')")
		if got[0] != "true|" {
			t.Errorf("%s: the Bloom filter of %s excludes: %s", table, column, got[0])
		}
	}
}

// TestLinesThatCount adds lines to an archive, and compares the views over it with the program's result.
func TestLinesThatCount(t *testing.T) {
	_, dest := archive(t)
	const day = "2025-03-09"
	rows := linesOf(t, filepath.Join(dest, "calls", day))
	var calls []string
	for _, lines := range rows {
		calls = append(calls, lines...)
	}
	changed := strings.Replace(calls[0], `"status":"`, `"status":"X`, 1)
	changed2 := strings.Replace(calls[0], `"status":"`, `"status":"Y`, 1)
	var first struct {
		CallID string `json:"call_id"`
	}
	if err := json.Unmarshal([]byte(calls[1]), &first); err != nil {
		t.Fatal(err)
	}
	stub := fmt.Sprintf(`{"v":1,"kind":"call","call_id":%q,"time":"2026-01-01T00:00:00Z","run":"","row":{},"digest":"00"}`, first.CallID)
	hostile := `{"v":1,"kind":"call","call_id":"hostile","time":"2026-01-01T00:00:00Z","run":"","row":{"id":"hostile","first_name":"a\"b,c\r\nd\u0000e","last_name":"=cmd()","agent_comment":"\ngood","other one":{"a":[1,"}"]},"call_length":"7.9","call_date":"2025-03-09 12:30:00"},"salt":"00"}`
	// DuckDB skips a line that is not UTF-8, as views.sql says.
	notUTF8 := `{"v":1,"kind":"call","call_id":"not UTF-8","time":"2026-01-01T00:00:00Z","run":"","row":{"agent_comment":"bad ` + "\xff" + `"},"salt":"00"}`
	write(t, filepath.Join(dest, "calls", day, "20990101T000000Z-aaaaaaaa-000001.jsonl"), changed, changed2, stub, hostile, notUTF8)
	write(t, filepath.Join(dest, "calls", "2025-03-01.jsonl"), strings.ReplaceAll(calls[0], day, "2025-03-01"))
	write(t, filepath.Join(dest, "calls", day, "20990101T000000Z-aaaaaaaa-000001.jsonl.torn"), `{"v":1,"kind":"call","call_id":"torn`)
	if err := os.MkdirAll(filepath.Join(dest, "calls", "2025-03-01"), 0o700); err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(dest, "calls", "2025-03-01", "20250101T000000Z-aaaaaaaa-000001.jsonl"), strings.ReplaceAll(changed, day, "2025-03-01"))
	line := func(id, outcome, key, when, run, more string) string {
		return fmt.Sprintf(`{"v":1,"kind":"recording","recording_id":%q,"outcome":%q,"key":%q,"size":5,"sha256":%q,"time":"2026-01-01T00:00:%sZ","run":"20260101T000000Z-0000000%s","call_id":"hostile","first_seen":"2026-01-01T00:00:%sZ","attempts":1,"content_type":"","etag":"","host":"","reason":""%s,"salt":"00"}`,
			id, outcome, key, strings.Repeat("ab", 32), when, run, when, more)
	}
	var lines []string
	for id, list := range map[string][]string{
		"unknown beats all":                   {"erased  03 a", "novel  01 a", "archived k 09 a"},
		"erased beats archived":               {"archived k 05 a", "erased  01 a", "damaged k 07 a"},
		"expired later than erased":           {"erased  01 a", "expired  02 a"},
		"damaged beats archived":              {"archived k 05 a", "damaged k 01 a"},
		"same key does not mend":              {"damaged k 01 a", "archived k 05 a"},
		"another key mends":                   {"archived k 01 a", "damaged k 02 a", "archived k2 03 a"},
		"restored mends":                      {"archived k 01 a", "damaged k 02 a", `archived k 03 a ,"restored":true`},
		"damaged again":                       {"archived k 01 a", "damaged k 02 a", "archived k2 03 a", "damaged k2 04 a"},
		"another key than the latest damaged": {"damaged k 01 a", "damaged k2 03 a", "archived k 04 a"},
		"archived beats lost":                 {"archived k 01 a", "lost  05 a"},
		"lost beats pending":                  {"lost  01 a", "pending  05 a", "failed  06 a"},
		"later time":                          {"failed  05 a", "pending  04 a"},
		"greater run":                         {"failed  05 b", "pending  05 a"},
		"later line":                          {"failed  05 a", "pending  05 a"},
		"final":                               {`failed  05 a ,"final":true`},
		"within a rank":                       {"archived k2 05 b", "archived k 05 a"},
		"first seen":                          {"archived k 09 a", "pending  02 a"},
		"expired":                             {"archived k 05 a"},
		"expired twice":                       {"archived k 05 a"},
		"expired while it waits":              {"damaged k 01 a", "failed  05 a"},
		"withdrawn":                           {"archived k 05 a"},
		"expired on another day":              {"archived k 05 a"},
	} {
		for _, item := range list {
			f := strings.SplitN(item, " ", 5)
			more := ""
			if len(f) == 5 {
				more = f[4]
			}
			lines = append(lines, line(id, f[0], f[1], f[2], f[3], more))
		}
	}
	write(t, filepath.Join(dest, "manifest", day, "20990101T000000Z-aaaaaaaa-000001.jsonl"), lines...)
	write(t, filepath.Join(dest, "manifest", day, "20990101T000000Z-aaaaaaaa-000001.jsonl.bad-20990101T000000Z-aaaaaaaa"), line("put aside", "archived", "k", "01", "a", ""))

	if err := os.MkdirAll(filepath.Join(dest, "evidence"), 0o700); err != nil {
		t.Fatal(err)
	}
	expiry := func(of, state, run string, ids ...string) {
		list, err := json.Marshal(ids)
		if err != nil {
			t.Fatal(err)
		}
		write(t, filepath.Join(dest, "evidence", "expire-"+of+"-"+run+"-00000"+fmt.Sprint(len(state))+".jsonl"), fmt.Sprintf(
			`{"v":1,"kind":"expiry","previous":"","time":"2026-02-01T00:00:00Z","run":%q,"state":%q,"expiry":%q,"day":%q,"class":"short","ended":"2026-01-31","recordings":%s}`,
			run, state, run, of, list))
	}
	expiry(day, "intent", "20260201T000000Z-aaaaaaaa", "expired", "expired twice", "expired while it waits", "withdrawn")
	expiry(day, "withdrawn", "20260201T000000Z-aaaaaaaa", "withdrawn")
	expiry(day, "intent", "20260202T000000Z-aaaaaaaa", "expired twice")
	expiry("2025-03-08", "intent", "20260202T000000Z-aaaaaaaa", "expired on another day")
	db, _ := exported(t, dest, "parquet")
	views := run(t, []int{0}, nil, "export", "--views", "--dest", dest)
	for _, sql := range []string{"ALTER VIEW calls RENAME TO tables_calls", "ALTER VIEW recordings RENAME TO tables_recordings", views} {
		if _, err := db.Exec(sql); err != nil {
			t.Fatal(err)
		}
	}
	const callColumns = `id, call_date, call_date_local, call_length, campaign_id, campaign, user_id, "user", phone_number, number_dialed, first_name, last_name, status,
		status_name, call_type, called_count, agent_comment, lead_id, list_id, queue_id, queue_position, queue_seconds, caller_id_displayed, term_reason,
		originating_agent_id, session_id, erased, day`
	const recordingColumns = "recording_id, call_id, outcome, final, key, size, sha256, content_type, host, attempts, cause, reason, first_seen, noted, day"
	for table, columns := range map[string]string{"calls": callColumns, "recordings": recordingColumns} {
		a, b := "SELECT "+columns+" FROM tables_"+table, "SELECT "+columns+" FROM "+table
		if table == "calls" { // calls only in the ledger have no row
			a += " WHERE NOT no_row AND id <> 'not UTF-8'"
		}
		if rows := text(t, db, "SELECT count(*) FROM ("+a+")"); rows[0] == "0|" {
			t.Fatal("nothing is compared")
		}
		for what, query := range map[string]string{"in the export alone": a + " EXCEPT " + b, "in the archive's view alone": b + " EXCEPT " + a} {
			for _, row := range text(t, db, query) {
				t.Errorf("%s: %s: %s", table, what, row)
			}
		}
	}
	if got := text(t, db, "SELECT count(*) FROM recordings WHERE outcome = 'expired' AND reason LIKE 'its retention, class \"short\", ended on 2026-01-31; expiry %'"); got[0] != "3|" {
		t.Errorf("recordings that have expired: %s", got[0])
	}
	if got := text(t, db, "SELECT count(*) FROM calls WHERE status LIKE 'Y%'"); got[0] != "1|" {
		t.Errorf("calls whose last row was changed twice: %s", got[0])
	}
	for _, form := range [][]string{{"parquet"}, {"csv"}, {"jsonl"}} {
		db, _ := exported(t, dest, form[0])
		name := "a\"b,c\r\nd\x00e"
		if form[0] == "csv" {
			name = strings.ReplaceAll(name, "\x00", "\uFFFD")
		}
		got := text(t, db, "SELECT first_name, last_name, agent_comment, call_length, other->'$.\"other one\"', call_date IS NULL FROM calls WHERE id = 'hostile'")
		if want := name + "|=cmd()|\ngood|7|"; len(got) != 1 || !strings.HasPrefix(got[0], want) {
			t.Errorf("%s: hostile cells %q, want %q", form, got, want)
		}
		if got := text(t, db, "SELECT agent_comment FROM calls WHERE id = 'not UTF-8'"); got[0] != "bad \uFFFD|" {
			t.Errorf("%s: a comment that is not UTF-8: %q", form, got)
		}
	}
}

// TestLinesThatCannotBeRead: export reports the days with such lines, keeps their files and ends with 3, and writes
// every other day. The views over the archive agree with export on those days, and on the reported days with find,
// which returns the readable calls.
func TestLinesThatCannotBeRead(t *testing.T) {
	_, dest := archive(t)
	const badCalls, badLines = "2025-03-09", "2025-03-10"
	_, before := exported(t, dest, "csv")
	call := func(v, id, when, row string) string {
		return fmt.Sprintf(`{"v":%s,"kind":"call","call_id":%s,"time":%s,"run":"","row":%s,"salt":"00"}`, v, id, when, row)
	}
	const when = `"2026-01-01T00:00:00Z"`
	write(t, filepath.Join(dest, "calls", badCalls, "20990101T000000Z-aaaaaaaa-000001.jsonl"),
		"not json", "{}", "[1]", `{"v":1,"kind":"call","call_id":"cut short","row":{`,
		call("1", `"two in one"`, when, "{}")+call("1", `"two in one"`, when, "{}"),
		call("0", `"no version"`, when, "{}"), `{"kind":"call","call_id":"no version","row":{}}`, `{"v":1,"call_id":"no kind","row":{}}`,
		call("1", `"no time"`, `"yesterday"`, "{}"), call("1", `"time as number"`, "7", "{}"),
		call("1", `"good"`, when, `{"id":"good","user":"Ann"}`))
	line := func(id, outcome, key, size, more string) string {
		return fmt.Sprintf(`{"v":1,"kind":"recording","recording_id":%s,"outcome":%s,"key":%s,"size":%s,"sha256":%q,"time":%s,"run":"r","call_id":"good","first_seen":%s,"attempts":1,"content_type":"","etag":"","host":"","reason":""%s,"salt":"00"}`,
			id, outcome, key, size, strings.Repeat("ab", 32), when, when, more)
	}
	long := `"` + strings.Repeat("k", 64<<10+1) + `"`
	write(t, filepath.Join(dest, "manifest", badLines, "20990101T000000Z-aaaaaaaa-000001.jsonl"),
		"not json", "{}", line(`""`, `"archived"`, `"k"`, "5", ""), line(`"no outcome"`, `""`, `"k"`, "5", ""), line(`"no key"`, `"archived"`, `""`, "5", ""),
		strings.Replace(line(`"no version"`, `"archived"`, `"k"`, "5", ""), `"v":1,`, "", 1),
		strings.Replace(line(`"no time"`, `"archived"`, `"k"`, "5", ""), when, `"yesterday"`, 1), line(`"long key"`, `"archived"`, long, "5", ""),
		line(`"good"`, `"lost"`, `""`, "0", `,"final":true`))

	var made struct {
		Unreadable []struct{ Day, Error string } `json:"days_unreadable"`
	}
	to := filepath.Join(t.TempDir(), "tables")
	for _, target := range []string{to, before} {
		format := map[string]string{to: "parquet", before: "csv"}[target]
		if err := json.Unmarshal([]byte(run(t, []int{3}, nil, "export", "--json", "--dest", dest, "--to", target, "--format", format)), &made); err != nil {
			t.Fatal(err)
		}
		if u := made.Unreadable; len(u) != 2 || u[0].Day != badCalls || u[1].Day != badLines ||
			!strings.Contains(u[0].Error, "calls/"+badCalls+"/20990101T000000Z-aaaaaaaa-000001.jsonl, line 1: ") || !strings.Contains(u[1].Error, "manifest/"+badLines+"/") {
			t.Errorf("%s: not readable: %+v", format, u)
		}
		for _, day := range []string{badCalls, badLines} {
			files, err := filepath.Glob(filepath.Join(target, "*", "day="+day, "*"))
			if want := map[string]int{to: 0, before: 2}[target]; err != nil || len(files) != want {
				t.Errorf("%s: files of %s: %q, want %d", format, day, files, want)
			}
		}
	}

	// What a repair has put aside is not read, compressed or not.
	aside := filepath.Join(dest, "calls", badCalls, "20990101T000000Z-bbbbbbbb-000001.jsonl")
	write(t, aside+".bad-20990101T000000Z-cccccccc", call("1", `"aside"`, when, "{}"))
	var packed bytes.Buffer
	z := gzip.NewWriter(&packed)
	if _, err := z.Write(bytes.Repeat([]byte(call("1", `"aside"`, when, "{}")+"\n"), 1000)); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	write(t, aside+".gz.bad-20990101T000000Z-cccccccc", packed.String())

	views := run(t, []int{0}, nil, "export", "--views", "--dest", dest)
	db := open(t, views)
	for _, table := range []string{"calls", "recordings"} {
		key := map[string]string{"calls": "id, user_id, status", "recordings": "recording_id, call_id, outcome, final, key, size"}[table]
		a := "SELECT " + key + ", day FROM read_parquet('" + to + "/" + table + "/day=*/part-*.parquet', hive_partitioning = true, hive_types = {'day': DATE})"
		b := "SELECT " + key + ", day FROM " + table + " WHERE day NOT IN ('" + badCalls + "', '" + badLines + "')"
		if rows := text(t, db, "SELECT count(*) FROM ("+a+")"); rows[0] == "0|" {
			t.Fatal("nothing is compared")
		}
		for what, query := range map[string]string{"in the export alone": a + " EXCEPT " + b, "in the archive's view alone": b + " EXCEPT " + a} {
			for _, row := range text(t, db, query) {
				t.Errorf("%s: %s: %s", table, what, row)
			}
		}
	}
	for _, day := range []string{badCalls, badLines} {
		var calls, recordings []string
		for found := range strings.Lines(run(t, []int{4}, nil, "find", "--json", "--dest", dest, "--state-dir", t.TempDir(), "--start-time", day, "--end-time", day)) {
			var one struct {
				ID         json.RawMessage // text or a number, as sent by the API
				CallDate   *string         `json:"call_date"`
				User       *string
				Recordings []struct {
					ID      string `json:"recording_id"`
					Outcome string
				}
			}
			if err := json.Unmarshal([]byte(found), &one); err != nil {
				t.Fatal(err)
			}
			if one.CallDate != nil || one.User != nil { // otherwise it is only in the ledger
				calls = append(calls, strings.Trim(string(one.ID), `"`)+"|")
			}
			for _, r := range one.Recordings {
				recordings = append(recordings, r.ID+"|"+r.Outcome+"|")
			}
		}
		slices.Sort(calls)
		slices.Sort(recordings)
		if got := text(t, db, "SELECT id FROM calls WHERE day = '"+day+"' ORDER BY id"); !slices.Equal(got, calls) {
			t.Errorf("%s: %d calls in the view, %d found: %q", day, len(got), len(calls), differ(got, calls))
		}
		if got := text(t, db, "SELECT recording_id, outcome FROM recordings WHERE day = '"+day+"' ORDER BY ALL"); !slices.Equal(got, recordings) {
			t.Errorf("%s: %d recordings in the view, %d found: %q", day, len(got), len(recordings), differ(got, recordings))
		}
	}
}

// differ returns the elements in only one of two lists.
func differ(a, b []string) (odd []string) {
	for _, one := range slices.Concat(a, b) {
		if slices.Contains(a, one) != slices.Contains(b, one) {
			odd = append(odd, one)
		}
	}
	return odd
}

func write(t *testing.T, name string, lines ...string) {
	t.Helper()
	if err := os.WriteFile(name, []byte(strings.Join(lines, "\n")+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
}
