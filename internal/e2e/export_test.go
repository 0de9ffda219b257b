package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/parquet-go/parquet-go"

	"convoso-archiver/fetcher/convosotest"
	"convoso-archiver/internal/s3test"
)

// exported is the summary of an export.
type exported struct {
	ExitCode    int `json:"exit_code"`
	Error       string
	Days        int
	Written     int                           `json:"days_written"`
	Unchanged   int                           `json:"days_unchanged"`
	Removed     int                           `json:"days_removed"`
	Broken      []struct{ Day, Error string } `json:"days_unreadable"`
	Rows        int                           `json:"rows_written"`
	WrittenDays []string                      `json:"written_days"`
	Calls       int
}

// exportCommand returns an export not started yet, without token and home.
func (a *archive) exportCommand(ctx context.Context, to string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, binary, slices.Concat([]string{"export", "--json", "--dest", a.dest, "--to", to}, a.flags, args)...)
	cmd.Env = append([]string{"PATH=" + os.Getenv("PATH"), "GORACE=halt_on_error=1 atexit_sleep_ms=0"}, a.env...)
	return cmd
}

// export exports, and fails unless it ends with the code.
func (a *archive) export(code int, to string, args ...string) exported {
	a.t.Helper()
	ctx, cancel := context.WithTimeout(a.t.Context(), 2*time.Minute)
	defer cancel()
	cmd := a.exportCommand(ctx, to, args...)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	_ = cmd.Run()
	r := result{code: cmd.ProcessState.ExitCode(), stdout: stdout.String(), stderr: stderr.String()}
	if strings.Contains(r.stderr, "DATA RACE") {
		a.t.Fatalf("data race:\n%s", r.stderr)
	}
	a.lookForSecrets(r)
	r.want(a.t, code)
	var made exported
	if err := json.Unmarshal(stdout.Bytes(), &made); err != nil || made.ExitCode != code {
		a.t.Errorf("stdout: %v, exit_code %d\n%s", err, made.ExitCode, r.stdout)
	}
	return made
}

// tableRow holds the compared fields of a row of either table.
type tableRow struct {
	ID          string     `parquet:"id,optional"`
	RecordingID string     `parquet:"recording_id,optional"`
	CallID      string     `parquet:"call_id,optional"`
	Number      string     `parquet:"phone_number,optional"`
	UserID      string     `parquet:"user_id,optional"`
	Date        *time.Time `parquet:"call_date,optional,timestamp(millisecond)"`
	Local       string     `parquet:"call_date_local,optional"`
	Outcome     string     `parquet:"outcome,optional"`
	Size        int64      `parquet:"size,optional"`
	SHA256      string     `parquet:"sha256,optional"`
}

// tree returns the files below a folder.
func tree(t *testing.T, folder string) map[string][]byte {
	t.Helper()
	files := map[string][]byte{}
	err := filepath.WalkDir(folder, func(name string, entry os.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		rel, _ := filepath.Rel(folder, name)
		files[filepath.ToSlash(rel)], err = os.ReadFile(name)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

// readTables returns the rows of all Parquet files by table and day.
func readTables(t *testing.T, files map[string][]byte) map[string][]tableRow {
	t.Helper()
	tables := map[string][]tableRow{}
	for name, data := range files {
		if path.Ext(name) != ".parquet" {
			continue
		}
		rows, err := parquet.Read[tableRow](bytes.NewReader(data), int64(len(data)))
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		tables[path.Dir(name)] = rows
	}
	return tables
}

// checkTables compares an export with the data of the simulator.
func checkTables(t *testing.T, server *convosotest.Server, folder string, wanted func(convosotest.Call) bool) {
	t.Helper()
	tables := readTables(t, tree(t, folder))
	want := map[string]int{}
	for call := range server.Calls() {
		if wanted != nil && !wanted(call) {
			continue
		}
		want["calls/day="+call.Day]++
		i := slices.IndexFunc(tables["calls/day="+call.Day], func(r tableRow) bool { return r.ID == call.ID })
		if i < 0 {
			t.Errorf("call %s of %s is not there", call.ID, call.Day)
			continue
		}
		row := tables["calls/day="+call.Day][i]
		if row.Number != call.PhoneNumber || row.UserID != call.UserID || row.Local != call.CallDate || row.Date == nil || row.Date.Unix() != call.Instant {
			t.Errorf("call %s: %+v, want %+v", call.ID, row, call)
		}
		for _, r := range call.Recordings {
			want["recordings/day="+call.Day]++
			k := slices.IndexFunc(tables["recordings/day="+call.Day], func(row tableRow) bool { return row.RecordingID == r.ID })
			if k < 0 {
				t.Errorf("recording %s of %s is not there", r.ID, call.Day)
				continue
			}
			row := tables["recordings/day="+call.Day][k]
			if row.CallID != call.ID || row.Outcome != "archived" || row.Size != r.Size || row.SHA256 != r.SHA256() {
				t.Errorf("recording %s: %+v", r.ID, row)
			}
		}
	}
	got := map[string]int{}
	for name, rows := range tables {
		got[name] = len(rows)
	}
	if !maps.Equal(got, want) {
		t.Errorf("rows %v, want %v", got, want)
	}
}

// TestExport exports from disk and from S3, to disk and to S3, repeatedly.
func TestExport(t *testing.T) {
	t.Parallel()
	for _, where := range []string{"disk to disk", "disk to S3", "S3 to disk", "S3 to S3"} {
		t.Run(where, func(t *testing.T) {
			t.Parallel()
			server := simulate(t, convosotest.Config{
				Seed: 50, FirstDay: daysAgo(9), Days: 4, CallsPerDay: 60, RecordedShare: 0.4, SeveralShare: 0.2, MedianSize: 2_000,
				Oddities: convosotest.Oddities{ExtraFields: true, NumberIDs: true},
			})
			a, to, folder, mutes := placeExport(t, server, where)
			a.run("--start-time", daysAgo(9), "--end-time", daysAgo(6)).want(t, 0)
			asked := server.Stats().API.Requests
			if mutes != nil { // S3 flags also apply to a folder if the other side is S3
				a.flags = mutes
			}
			if made := a.export(0, to); made.Written != 4 || made.Calls != 240 || !slices.Equal(made.WrittenDays, []string{daysAgo(9), daysAgo(8), daysAgo(7), daysAgo(6)}) || made.Unchanged+made.Removed+len(made.Broken) > 0 {
				t.Errorf("the first export: %+v", made)
			}
			checkTables(t, server, folder, nil)
			before := tree(t, folder)
			if made := a.export(0, to); made.Written+made.Removed+made.Rows+len(made.WrittenDays) > 0 || made.Unchanged != 4 {
				t.Errorf("an export of the same: %+v", made)
			}
			if !maps.EqualFunc(before, tree(t, folder), bytes.Equal) {
				t.Error("an export of the same wrote something")
			}
			changeDays(t, a, to, folder, before)
			if server.Stats().API.Requests != asked {
				t.Error("an export asked the vendor")
			}
		})
	}
}

// placeExport returns an archive, the target as the command line names it and the folder where its files lie.
func placeExport(t *testing.T, server *convosotest.Server, where string) (a *archive, to, folder string, flags []string) {
	t.Helper()
	from, target, _ := strings.Cut(where, " to ")
	if from == "S3" {
		b := onS3(t, server, false)
		if target == "S3" {
			return b.archive, "s3://" + b.server.Bucket + "/tables", filepath.Join(b.server.Dir, b.server.Bucket, "tables"), nil
		}
		a = b.archive
	} else {
		a = onDisk(t, server)
	}
	if target == "S3" {
		s3 := s3test.Start(t, false)
		a.env = append(a.env, s3.Env()...)
		return a, "s3://" + s3.Bucket + "/tables", filepath.Join(s3.Dir, s3.Bucket, "tables"),
			[]string{"--s3-endpoint", s3.Endpoint, "--s3-path-style", "--s3-region", s3test.Region}
	}
	folder = filepath.Join(t.TempDir(), "tables")
	return a, folder, folder, nil
}

// changeDays adds a row to one day, damages one and removes one, and exports after each.
func changeDays(t *testing.T, a *archive, to, folder string, before map[string][]byte) {
	t.Helper()
	changed, broken, gone := daysAgo(9), daysAgo(8), daysAgo(7)
	row := `{"v":1,"kind":"call","call_id":"new","time":"2026-01-01T00:00:00Z","run":"","row":{"id":"new","first_name":"=cmd()","call_date":"` + changed + ` 23:59:59"},"salt":"00"}` + "\n"
	writeFile(t, filepath.Join(a.folder, "calls", changed, "20990101T000000Z-aaaaaaaa-000001.jsonl"), row)
	if made := a.export(0, to); made.Written != 1 || made.Unchanged != 3 || made.Calls != 241 {
		t.Errorf("an export with one changed day: %+v", made)
	}
	after := tree(t, folder)
	for name, data := range after {
		if isOf := strings.Contains(name, "calls/day="+changed) || name == "_archive.json"; bytes.Equal(data, before[name]) == isOf {
			t.Errorf("one day changed, and %s changed: %v", name, isOf)
		}
	}
	writeFile(t, filepath.Join(a.folder, "manifest", broken, "20990101T000000Z-aaaaaaaa-000001.jsonl"), "{\"v\":1,\"kind\":\"recording\",\"recording_id\":5}\n")
	for _, tree := range []string{"manifest", "calls"} {
		if err := os.RemoveAll(filepath.Join(a.folder, tree, gone)); err != nil {
			t.Fatal(err)
		}
	}
	made := a.export(3, to)
	if made.Removed != 1 || made.Unchanged != 2 || len(made.Broken) != 1 || made.Broken[0].Day != broken {
		t.Errorf("an export with a broken day and one that is gone: %+v", made)
	}
	files := tree(t, folder)
	for name, data := range files {
		if strings.Contains(name, gone) {
			t.Errorf("%s of a day that is gone is left", name)
		}
		if strings.Contains(name, broken) && !bytes.Equal(data, after[name]) {
			t.Errorf("%s of a broken day was changed", name)
		}
	}
	if len(files) != 2+2*3 {
		t.Errorf("files %v", slices.Sorted(maps.Keys(files)))
	}
}

func writeFile(t *testing.T, name, text string) {
	t.Helper()
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// TestExportTerms exports with terms, and keeps exports of different terms apart.
func TestExportTerms(t *testing.T) {
	t.Parallel()
	server := simulate(t, convosotest.Config{
		Seed: 51, FirstDay: daysAgo(9), Days: 3, CallsPerDay: 80, RecordedShare: 0.4, SeveralShare: 0.2, MedianSize: 2_000,
	})
	a := onDisk(t, server)
	a.run("--start-time", daysAgo(9), "--end-time", daysAgo(7)).want(t, 0)
	var one convosotest.Call
	for call := range server.Calls() {
		if len(call.Recordings) > 0 {
			one = call
		}
	}
	noon := daysAgo(8) + " 12:00:00"
	for _, test := range []struct {
		args []string
		want func(convosotest.Call) bool
	}{
		{[]string{"--user-id", one.UserID}, func(c convosotest.Call) bool { return c.UserID == one.UserID }},
		{[]string{"--campaign", one.CampaignID, "--status", one.Status}, func(c convosotest.Call) bool { return c.CampaignID == one.CampaignID && c.Status == one.Status }},
		{[]string{"--number", one.PhoneNumber}, func(c convosotest.Call) bool {
			return c.PhoneNumber == one.PhoneNumber || c.NumberDialed == one.PhoneNumber
		}},
		{[]string{"--with-recording"}, func(c convosotest.Call) bool { return len(c.Recordings) > 0 }},
		{[]string{"--outcome", "lost"}, func(convosotest.Call) bool { return false }},
		{[]string{"--start-time", daysAgo(8)}, func(c convosotest.Call) bool { return c.Day >= daysAgo(8) }},
		{[]string{"--start-time", noon}, func(c convosotest.Call) bool { return c.CallDate >= noon }},
	} {
		to := filepath.Join(t.TempDir(), "tables")
		a.export(0, to, test.args...)
		checkTables(t, server, to, test.want)
		note, err := os.ReadFile(filepath.Join(to, "_archive.json"))
		if err != nil || strings.Contains(string(note), one.PhoneNumber) {
			t.Errorf("the note tells a number: %v", err)
		}
		if made := a.export(0, to, test.args...); made.Written+made.Removed > 0 {
			t.Errorf("%v again: %+v", test.args, made)
		}
		if wholeDays := test.args[0] == "--start-time" && test.args[1] != noon; !wholeDays {
			if made := a.export(2, to, "--status", "NONE"); !strings.Contains(made.Error, "other search terms") {
				t.Errorf("other terms: %+v", made)
			}
		}
	}
	// A span of whole days continues an export: days outside of it stay.
	to := filepath.Join(t.TempDir(), "tables")
	for back := range 3 {
		a.export(0, to, "--start-time", daysAgo(9-back), "--end-time", daysAgo(9-back))
	}
	checkTables(t, server, to, nil)
}

// TestExportRefuses tests input that export must refuse, or cannot write.
func TestExportRefuses(t *testing.T) {
	t.Parallel()
	server := simulate(t, convosotest.Config{Seed: 52, FirstDay: daysAgo(9), CallsPerDay: 20, MedianSize: 2_000})
	a, other := onDisk(t, server), onDisk(t, server)
	a.run("--start-time", daysAgo(9), "--end-time", daysAgo(9)).want(t, 0)
	other.run("--start-time", daysAgo(9), "--end-time", daysAgo(9)).want(t, 0)
	tables, foreign := filepath.Join(t.TempDir(), "tables"), t.TempDir()
	a.export(0, tables)
	file := filepath.Join(foreign, "letters.txt")
	writeFile(t, file, "mine")
	link := filepath.Join(t.TempDir(), "link")
	if err := os.Symlink(a.dest, link); err != nil {
		t.Fatal(err)
	}
	later := t.TempDir()
	writeFile(t, filepath.Join(later, "_archive.json"), `{"v":9,"kind":"export"}`)
	odd := t.TempDir()
	writeFile(t, filepath.Join(odd, "_archive.json"), `{"v":`)
	for _, test := range []struct {
		from *archive
		code int
		says string
		to   string
		args []string
	}{
		{a, 2, "overlap", filepath.Join(a.dest, "tables"), nil},
		{a, 2, "overlap", filepath.Join(link, "tables"), nil},
		{a, 2, "overlap", filepath.Dir(a.dest), nil},
		{a, 2, "files that no export has written", foreign, nil},
		{other, 2, "another archive", tables, nil},
		{a, 2, "another form", tables, []string{"--format", "csv"}},
		{a, 2, "cannot be read", odd, nil},
		{a, 1, "newer program", later, nil},
		{a, 2, "works only with CSV", t.TempDir(), []string{"--excel"}},
		{a, 2, "is not known", t.TempDir(), []string{"--format", "xlsx"}},
		{a, 2, "every matching call", t.TempDir(), []string{"--limit", "3"}},
		{a, 2, "every matching call", t.TempDir(), []string{"--sort", "time"}},
		{a, 2, "every matching call", t.TempDir(), []string{"--sample", "3"}},
		{a, 2, "are supported", "gs://bucket/x", nil},
		{a, 2, "no effect with --views", t.TempDir(), []string{"--views"}},
		{a, 2, "not a directory", filepath.Join(file, "tables"), nil},
	} {
		made := test.from.export(test.code, test.to, test.args...)
		if !strings.Contains(made.Error, test.says) {
			t.Errorf("%s %v: %q, want %q", test.to, test.args, made.Error, test.says)
		}
	}
	if left := tree(t, foreign); len(left) != 1 {
		t.Errorf("something was written: %v", left)
	}
	if runtime.GOOS != "windows" && os.Getuid() != 0 {
		locked := filepath.Join(t.TempDir(), "locked")
		if err := os.Mkdir(locked, 0o500); err != nil {
			t.Fatal(err)
		}
		if made := a.export(1, locked); !strings.Contains(made.Error, "--to") {
			t.Errorf("a folder that cannot be written: %q", made.Error)
		}
	}
}

// TestExportKilled kills exports at random moments. The files are complete at any time, and the final run gives
// the same result as an undisturbed one.
func TestExportKilled(t *testing.T) {
	t.Parallel()
	const days = 12
	server := simulate(t, convosotest.Config{
		Seed: 53, FirstDay: daysAgo(16), Days: days, CallsPerDay: 400, RecordedShare: 0.05, MedianSize: 600,
	})
	a := onDisk(t, server)
	a.run("--start-time", daysAgo(16), "--end-time", daysAgo(5)).want(t, 0)
	for _, format := range []string{"parquet", "csv"} {
		calm, torn := filepath.Join(t.TempDir(), "tables"), filepath.Join(t.TempDir(), "tables")
		begun := time.Now()
		a.export(0, calm, "--format", format)
		took := time.Since(begun)
		want := tree(t, calm)
		for range 12 {
			cmd := a.exportCommand(t.Context(), torn, "--format", format)
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			time.Sleep(rand.N(took))
			_ = cmd.Process.Kill()
			_ = cmd.Wait()
			if _, err := os.Stat(torn); err != nil {
				continue
			}
			for name, data := range tree(t, torn) {
				if strings.HasPrefix(path.Base(name), ".export-") || name == "_archive.json" || name == "views.sql" {
					continue
				}
				if !bytes.Equal(data, want[name]) {
					t.Fatalf("%s is not whole after a kill", name)
				}
			}
			if rand.N(3) == 0 { // sometimes it starts over
				if err := os.RemoveAll(torn); err != nil {
					t.Fatal(err)
				}
			}
		}
		a.export(0, torn, "--format", format)
		if got := tree(t, torn); !maps.EqualFunc(got, want, bytes.Equal) {
			t.Errorf("%s: after kills %v, want %v", format, slices.Sorted(maps.Keys(got)), slices.Sorted(maps.Keys(want)))
		}
	}
}

// TestExportArchiveViews prints the SQL over the archive.
func TestExportArchiveViews(t *testing.T) {
	t.Parallel()
	server := simulate(t, convosotest.Config{Seed: 54, FirstDay: daysAgo(9), CallsPerDay: 20, MedianSize: 2_000})
	a := onDisk(t, server)
	a.run("--start-time", daysAgo(9), "--end-time", daysAgo(9)).want(t, 0)
	out, err := exec.CommandContext(t.Context(), binary, "export", "--views", "--dest", a.dest).Output()
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"CREATE OR REPLACE VIEW calls", "CREATE OR REPLACE VIEW recordings", fmt.Sprintf("'%s/calls/**/*.jsonl*'", a.dest), "'America/Los_Angeles'"} {
		if !strings.Contains(string(out), want) {
			t.Errorf("no %s in:\n%s", want, out)
		}
	}
}
