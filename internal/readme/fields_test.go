package readme

import (
	"bufio"
	"encoding/csv"
	"encoding/json"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"convoso-archiver/fetcher/convosotest"
)

// fieldsPage explains each field of the outputs.
const fieldsPage = "docs/fields.md"

// TestFields compares the names on the page with those that the program writes, in both directions, and the types of
// both tables of an export.
func TestFields(t *testing.T) {
	s := newShellOf(t, convosotest.Config{
		Seed: 94, FirstDay: "2025-05-01", Days: 3, CallsPerDay: 60, RecordedShare: 0.5, SeveralShare: 0.2, MedianSize: 4_000,
	})
	// One is lost, one waits, the third day closes, and two more days are never listed.
	faults := map[string]convosotest.Fault{"2025-05-01": convosotest.FaultNotFound, "2025-05-02": convosotest.FaultHTML}
	for r := range s.account.Recordings() {
		if fault, ok := faults[r.Day]; ok {
			delete(faults, r.Day)
			if err := s.account.SetFault(r.Ref, fault, 0); err != nil {
				t.Fatal(err)
			}
		}
	}
	s.run(t, "convoso-archiver archive --dest archive --start-time 2025-05-01 --end-time 2025-05-03 >/dev/null 2>&1; test $? = 3")
	page := readFields(t)
	compare := func(name string, got []string) {
		t.Helper()
		want := slices.Sorted(maps.Keys(page[name]))
		got = slices.Sorted(slices.Values(got))
		if got = slices.Compact(got); !slices.Equal(want, got) || len(got) == 0 {
			t.Errorf("%s\nthe page has  %q\nthe program   %q", name, want, got)
		}
		delete(page, name)
	}

	var calls, recordings []string
	for _, call := range objects(t, s.run(t, "convoso-archiver find --dest archive --json 2>/dev/null")) {
		calls = append(calls, slices.Collect(maps.Keys(call))...)
		for _, one := range call["recordings"].([]any) {
			recordings = append(recordings, slices.Collect(maps.Keys(one.(map[string]any)))...)
		}
	}
	compare("find --json", calls)
	compare("find --json recordings", recordings)
	compare("find --csv", header(t, s.run(t, "convoso-archiver find --dest archive --csv 2>/dev/null")))
	compare("index.csv", header(t, s.run(t, "convoso-archiver find --dest archive --copy-to copies 2>/dev/null; cat copies/index.csv")))

	s.run(t, "convoso-archiver export --dest archive --to csv --format csv 2>/dev/null; convoso-archiver export --dest archive --to jsonl --format jsonl 2>/dev/null")
	for _, table := range []string{"calls", "recordings"} {
		checkTypes(t, page[table], objects(t, s.run(t, "cat jsonl/"+table+"/*/part-0.jsonl")))
		compare(table, header(t, s.run(t, "cat csv/"+table+"/day=2025-05-02/part-0.csv")))
	}

	_, names, _ := strings.Cut(s.run(t, "convoso-archiver find --dest archive --copy-to copies --path-template '{{.unknown}}' 2>&1; true"), "; the fields are ")
	names, _, _ = strings.Cut(names, ": ")
	compare("--path-template", strings.Split(names, ", "))

	s.run(t, "convoso-archiver verify --dest archive --note >/dev/null 2>&1")
	report := objects(t, s.run(t, "convoso-archiver report --dest archive --json --start-time 2025-05-01 --end-time 2025-05-05"))
	var paths []string
	addPaths(&paths, "", report[0])
	compare("report --json", paths)
	missing := objects(t, s.run(t, "convoso-archiver report --dest archive --missing --json"))[0]["missing"].([]any)[0].(map[string]any)
	inTable := header(t, s.run(t, "convoso-archiver report --dest archive --missing --csv"))
	if !slices.Equal(slices.Sorted(maps.Keys(missing)), slices.Sorted(slices.Values(inTable))) {
		t.Errorf("report --missing: %q in CSV, in JSON %q", inTable, slices.Sorted(maps.Keys(missing)))
	}
	compare("report --missing", inTable)
	compare("report --csv", header(t, s.run(t, "convoso-archiver report --dest archive --csv")))

	s.run(t, "convoso-archiver find --dest archive --outcome archived --limit 1 --json 2>/dev/null | jq -r .id > archive-ids\n"+
		"convoso-archiver archive --dest archive --start-time 2025-05-03 --end-time 2025-05-03 --retention all=1d --retention-default all >/dev/null 2>&1\n"+
		"convoso-archiver erase --dest archive --expired --csv > due.csv 2>/dev/null; convoso-archiver erase --dest archive --ids-from archive-ids --reason test --yes >/dev/null 2>&1; convoso-archiver erase --dest archive --expired --yes >/dev/null 2>&1")
	compare("erase --expired --csv", header(t, s.run(t, "cat due.csv")))
	removed := objects(t, s.run(t, "convoso-archiver erase list --dest archive --json"))
	paths = nil
	addPaths(&paths, "", removed[0])
	compare("erase list --json", paths)
	for name := range page {
		t.Errorf("the page has a table of %q, which nothing writes", name)
	}
}

// TestReasonCodes compares the codes on the page with those of the program.
func TestReasonCodes(t *testing.T) {
	source, err := os.ReadFile(inRoot("manifest/report/report.go"))
	if err != nil {
		t.Fatal(err)
	}
	page, err := os.ReadFile(inRoot(fieldsPage))
	if err != nil {
		t.Fatal(err)
	}
	_, table, _ := strings.Cut(string(page), "\n### Codes of reasons\n")
	table, _, _ = strings.Cut(table, "\n## ")
	codes := func(text []byte, pattern string) (list []string) {
		for _, found := range regexp.MustCompile(pattern).FindAllSubmatch(text, -1) {
			list = append(list, string(found[1]))
		}
		slices.Sort(list)
		return list
	}
	made, told := codes(source, `\bCode += "(\w+)"`), codes([]byte(table), "(?m)^\\| `(\\w+)` \\| (?:open|closed)")
	if !slices.Equal(made, told) || len(made) < 15 {
		t.Errorf("the program has %q\nthe page     %q", made, told)
	}
}

// readFields returns the fields of each table of the page, with their types.
func readFields(t *testing.T) map[string]map[string]string {
	t.Helper()
	text, err := os.ReadFile(inRoot(fieldsPage))
	if err != nil {
		t.Fatal(err)
	}
	tables := map[string]map[string]string{}
	for _, part := range strings.Split(string(text), "\n<!-- fields: ")[1:] {
		name, table, _ := strings.Cut(part, " -->\n")
		tables[name] = map[string]string{}
		for line := range strings.SplitSeq(table, "\n") {
			cells := strings.Split(line, "|")
			if len(cells) < 4 {
				break
			}
			for _, found := range regexp.MustCompile("`([^`]+)`").FindAllStringSubmatch(cells[1], -1) {
				if _, twice := tables[name][found[1]]; twice {
					t.Errorf("%s: %s is there twice", name, found[1])
				}
				tables[name][found[1]] = strings.TrimSpace(cells[2])
			}
		}
	}
	return tables
}

func objects(t *testing.T, lines string) (list []map[string]any) {
	t.Helper()
	in := bufio.NewScanner(strings.NewReader(lines))
	in.Buffer(nil, 1<<20)
	for in.Scan() {
		var one map[string]any
		if err := json.Unmarshal(in.Bytes(), &one); err != nil {
			t.Fatalf("%v in %s", err, in.Text())
		}
		list = append(list, one)
	}
	if len(list) == 0 {
		t.Fatal("no object")
	}
	return list
}

func header(t *testing.T, text string) []string {
	t.Helper()
	names, err := csv.NewReader(strings.NewReader(text)).Read()
	if err != nil {
		t.Fatal(err)
	}
	return names
}

// addPaths adds the places of all values, without the keys of objects that are counts by value.
func addPaths(paths *[]string, at string, value any) {
	switch v := value.(type) {
	case map[string]any:
		if at == "purge" || strings.HasSuffix(at, "by_outcome") || strings.HasSuffix(at, "by_cause") {
			*paths = append(*paths, at)
		}
		if strings.HasSuffix(at, "by_outcome") || strings.HasSuffix(at, "by_cause") {
			return
		}
		for name, one := range v {
			addPaths(paths, strings.TrimPrefix(at+"."+name, "."), one)
		}
	case []any:
		holdsObjects := false
		for _, one := range v {
			if _, ok := one.(map[string]any); ok {
				holdsObjects = true
				addPaths(paths, at+"[]", one)
			}
		}
		if !holdsObjects && !strings.HasSuffix(at, "reasons") {
			*paths = append(*paths, at)
		}
	default:
		*paths = append(*paths, at)
	}
}

// checkTypes compares the values of rows with the types on the page.
func checkTypes(t *testing.T, types map[string]string, rows []map[string]any) {
	t.Helper()
	for _, row := range rows {
		for name, value := range row {
			kind := "null"
			switch v := value.(type) {
			case string:
				kind = "text"
				if _, err := time.Parse("2006-01-02T15:04:05Z", v); err == nil {
					kind = "instant"
				}
			case float64:
				kind = "number"
			case bool:
				kind = "true or false"
			case map[string]any:
				kind = "JSON"
			}
			if kind != types[name] && kind != "null" {
				t.Fatalf("%s is %s, on the page %s", name, kind, types[name])
			}
		}
	}
}

// TestCauses compares the causes on the page with those of the program.
func TestCauses(t *testing.T) {
	read := func(name string) string {
		text, err := os.ReadFile(inRoot(name))
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	_, table, _ := strings.Cut(read(fieldsPage), "\n| `cause` |")
	table, _, _ = strings.Cut(table, "\n\n")
	var got, want []string
	for _, found := range regexp.MustCompile("(?m)^\\| `([a-z_]+)` \\|").FindAllStringSubmatch(table, -1) {
		got = append(got, found[1])
	}
	for _, found := range regexp.MustCompile(`(?m)^\tcause[A-Z]\w* += "(\w+)"`).FindAllStringSubmatch(read(filepath.Join("archiver", "cause.go")), -1) {
		want = append(want, found[1])
	}
	if slices.Sort(got); !slices.Equal(got, slices.Sorted(slices.Values(want))) || len(want) < 10 {
		t.Errorf("the page has %q, the program %q", got, want)
	}
}

// TestIndexPlace: the index is at the place in docs/find.md, and the command of the page removes it.
func TestIndexPlace(t *testing.T) {
	s := newShell(t)
	s.run(t, "convoso-archiver archive --dest archive --start-time 2025-05-01 --end-time 2025-05-01 >/dev/null 2>&1")
	text, err := os.ReadFile(inRoot("docs/find.md"))
	if err != nil {
		t.Fatal(err)
	}
	_, section, _ := strings.Cut(string(text), "\n## Where the index is")
	remove := blocks(section, "sh")
	if len(remove) != 1 {
		t.Fatalf("%d commands", len(remove))
	}
	for _, place := range []string{"~/.local/state/convoso-archiver/index", "$XDG_STATE_HOME/convoso-archiver/index"} {
		if !strings.Contains(section, "`"+place+"`") {
			t.Errorf("the page does not name %s", place)
		}
		s.run(t, "set -e; convoso-archiver find --dest archive >/dev/null 2>&1; rm -r archive; ls "+place+"/*; "+
			strings.ReplaceAll(remove[0].text, "~/.local/state", filepath.Dir(filepath.Dir(place)))+"test ! -e "+place)
		s.env = append(s.env, "XDG_STATE_HOME="+filepath.Join(s.dir, "elsewhere"))
		s.run(t, "convoso-archiver archive --dest archive --start-time 2025-05-01 --end-time 2025-05-01 >/dev/null 2>&1")
	}
}
