package cli

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"convoso-archiver/archiver"
	"convoso-archiver/archiver/store"
	"convoso-archiver/fetcher"
)

func TestParseDuration(t *testing.T) {
	const day = 24 * time.Hour
	for _, c := range []struct {
		text string
		want time.Duration // negative for an error
	}{
		{"36h", 36 * time.Hour},
		{"7d", 7 * day},
		{"155d", 155 * day},
		{"1h30m", 90 * time.Minute},
		{"1d12h", 36 * time.Hour},
		{"0", 0},
		{"0d", 0},
		{"65535d", 65535 * day},
		{"65536d", -1}, // close to the limit of a Duration
		{"d", -1},
		{"-1d", -1},
		{"1d-1h", -1},
		{"1.5d", -1},
		{"7", -1},
		{"7 d", -1},
		{"", -1},
		{"1d1d", -1},
		{"9999999999h", -1},
		{"1w", 7 * day},
		{"2w", 14 * day},
		{"1w2d12h", 9*day + 12*time.Hour},
		{"9362w", 65534 * day},
		{"9363w", -1},
		{"1d1w", -1},
		{"w", -1},
		{"1.5w", -1},
		{"10m", 10 * time.Minute},
	} {
		got, err := parseDuration(c.text)
		if c.want < 0 && err == nil || c.want >= 0 && (err != nil || got != c.want) {
			t.Errorf("parseDuration(%q) = %v, %v; want %v", c.text, got, err, c.want)
		}
	}
}

func readerOf(settings map[string]string) *reader {
	v := values{}
	for name, value := range settings {
		v[name] = given{items: []string{value}, origin: "--" + name, source: onCommandLine}
	}
	return &reader{settings: archiveSettings(), values: v}
}

func TestSpan(t *testing.T) {
	zone, err := time.LoadLocation("America/Los_Angeles")
	if err != nil {
		t.Fatal(err)
	}
	// On the evening of the 10th in the zone, it is the 11th in UTC.
	now := time.Date(2025, 5, 11, 3, 30, 0, 0, time.UTC)
	for name, c := range map[string]struct {
		settings map[string]string
		from, to string
		catchUp  bool
		err      string
	}{
		"last days":       {settings: map[string]string{"last": "7d"}, from: "2025-05-03 00:00:00", to: "2025-05-10 23:59:59", catchUp: true},
		"last hours":      {settings: map[string]string{"last": "36h"}, from: "2025-05-09 00:00:00", to: "2025-05-10 23:59:59", catchUp: true},
		"no catch-up":     {settings: map[string]string{"last": "1h", "no-catch-up": "true"}, from: "2025-05-10 00:00:00", to: "2025-05-10 23:59:59"},
		"whole days":      {settings: map[string]string{"start-time": "2025-05-01", "end-time": "2025-05-02"}, from: "2025-05-01 00:00:00", to: "2025-05-02 23:59:59"},
		"one day":         {settings: map[string]string{"start-time": "2025-05-01", "end-time": "2025-05-01"}, from: "2025-05-01 00:00:00", to: "2025-05-01 23:59:59"},
		"times":           {settings: map[string]string{"start-time": "2025-05-01 13:00:00", "end-time": "2025-05-01T14:00:00"}, from: "2025-05-01 13:00:00", to: "2025-05-01 14:00:00"},
		"until now":       {settings: map[string]string{"start-time": "2025-05-09"}, from: "2025-05-09 00:00:00", to: "2025-05-10 23:59:59"},
		"end ahead":       {settings: map[string]string{"start-time": "2025-05-09", "end-time": "2025-05-11"}, from: "2025-05-09 00:00:00", to: "2025-05-10 23:59:59"},
		"today":           {settings: map[string]string{"start-time": "2025-05-10", "end-time": "2025-05-10"}, from: "2025-05-10 00:00:00", to: "2025-05-10 23:59:59"},
		"skipped hour":    {settings: map[string]string{"start-time": "2025-03-09 02:30:00", "end-time": "2025-03-09"}, from: "2025-03-09 02:30:00", to: "2025-03-09 23:59:59"},
		"tomorrow":        {settings: map[string]string{"start-time": "2025-05-11"}, err: "in the future"},
		"backwards":       {settings: map[string]string{"start-time": "2025-05-02", "end-time": "2025-05-01"}, err: "after --end-time"},
		"backwards by 1s": {settings: map[string]string{"start-time": "2025-05-01 13:00:01", "end-time": "2025-05-01 13:00:00"}, err: "after --end-time"},
		"nothing":         {err: "no time range"},
		"both":            {settings: map[string]string{"last": "7d", "end-time": "2025-05-01"}, err: "use either --last or --start-time/--end-time, not both"},
		"last week":       {settings: map[string]string{"last": "1w"}, from: "2025-05-03 00:00:00", to: "2025-05-10 23:59:59", catchUp: true},
		"a minute":        {settings: map[string]string{"last": "1m"}, err: `--last: "1m" could mean minutes or months: write days, like 30d`},
		"a month":         {settings: map[string]string{"last": "3M"}, err: `--last: "3M" could mean minutes or months: write days, like 30d`},
		"end alone":       {settings: map[string]string{"end-time": "2025-05-01"}, err: "start is missing"},
		"impossible":      {settings: map[string]string{"start-time": "2025-04-31"}, err: "not a date or time that exists"},
		"impossible end":  {settings: map[string]string{"start-time": "2025-04-01", "end-time": "24:00"}, err: "--end-time"},
		"far back":        {settings: map[string]string{"last": "60000d"}, err: "before 2000"},
	} {
		t.Run(name, func(t *testing.T) {
			read := readerOf(c.settings)
			span := read.span(now, zone)
			if c.err != "" {
				if read.err == nil || !strings.Contains(read.err.Error(), c.err) {
					t.Fatalf("got error %v, want one with %q", read.err, c.err)
				}
				return
			}
			from, to := span.From.Format(fetcher.WallLayout), span.To.Format(fetcher.WallLayout)
			if read.err != nil || from != c.from || to != c.to || span.CatchUp != c.catchUp {
				t.Errorf("got %s to %s, catch up %v, error %v", from, to, span.CatchUp, read.err)
			}
			if span.From.Location() != time.UTC || span.To.Location() != time.UTC {
				t.Error("the times are not plain wall-clock times")
			}
		})
	}
}

// TestLastDays: --last counts days of the calendar, also after clocks changed.
func TestLastDays(t *testing.T) {
	zone, err := time.LoadLocation("America/Los_Angeles")
	if err != nil {
		t.Fatal(err)
	}
	for now, from := range map[time.Time]map[string]string{
		time.Date(2026, 11, 1, 23, 30, 0, 0, zone):  {"1d": "2026-10-31", "7d": "2026-10-25", "24h": "2026-10-31", "1h": "2026-11-01", "36h": "2026-10-31"},
		time.Date(2026, 11, 8, 23, 30, 0, 0, zone):  {"1d": "2026-11-07", "7d": "2026-11-01", "1w": "2026-11-01", "30d": "2026-10-09"},
		time.Date(2027, 3, 15, 0, 30, 0, 0, zone):   {"1d": "2027-03-14", "7d": "2027-03-08", "1h": "2027-03-14"},
		time.Date(2027, 3, 14, 12, 30, 0, 0, zone):  {"11h": "2027-03-14", "12h": "2027-03-13"},
		time.Date(2027, 12, 31, 23, 59, 0, 0, zone): {"365d": "2026-12-31"},
	} {
		for last, day := range from {
			read := readerOf(map[string]string{"last": last})
			if span := read.span(now, zone); read.err != nil || span.From.Format(time.DateTime) != day+" 00:00:00" {
				t.Errorf("--last %s at %s begins at %s, want %s, %v", last, now, span.From, day, read.err)
			}
		}
	}
}

// A span overrides a span of the other form from a weaker source.
func TestOneSpan(t *testing.T) {
	settings := archiveSettings()
	file := filepath.Join(t.TempDir(), "archive.yaml")
	for name, c := range map[string]struct {
		flags map[string]string
		env   environment
		file  string
		want  string // of last, start-time and end-time
		err   string
	}{
		"last beats the file":          {flags: map[string]string{"last": "7d"}, file: "start-time: 2025-05-01\nend-time: 2025-05-02", want: "7d  "},
		"last beats the environment":   {flags: map[string]string{"last": "7d"}, env: environment{"CONVOSO_ARCHIVER_START_TIME": "2025-05-01"}, want: "7d  "},
		"start beats the file":         {flags: map[string]string{"start-time": "2025-05-03"}, file: "last: 7d", want: " 2025-05-03 "},
		"start beats the environment":  {flags: map[string]string{"start-time": "2025-05-03"}, env: environment{"CONVOSO_ARCHIVER_LAST": "7d"}, want: " 2025-05-03 "},
		"environment beats the file":   {env: environment{"CONVOSO_ARCHIVER_LAST": "7d"}, file: "start-time: 2025-05-01", want: "7d  "},
		"ends of two sources":          {flags: map[string]string{"end-time": "2025-05-03"}, file: "start-time: 2025-05-01", want: " 2025-05-01 2025-05-03"},
		"layers":                       {flags: map[string]string{"start-time": "2025-05-03"}, env: environment{"CONVOSO_ARCHIVER_LAST": "7d"}, file: "end-time: 2025-05-09", want: " 2025-05-03 "},
		"an end alone beats last":      {flags: map[string]string{"end-time": "2025-05-03"}, file: "last: 7d", want: "  2025-05-03", err: "the start is missing"},
		"both in the file":             {file: "last: 7d\nstart-time: 2025-05-01", want: "7d 2025-05-01 ", err: "not both: found last (" + file + ", line 1), start-time (" + file + ", line 2)"},
		"both by flags":                {flags: map[string]string{"last": "7d", "start-time": "2025-05-01"}, want: "7d 2025-05-01 ", err: "not both"},
		"both in the file, and a flag": {flags: map[string]string{"last": "3d"}, file: "last: 7d\nstart-time: 2025-05-01", want: "3d  "},
		"both in the environment":      {env: environment{"CONVOSO_ARCHIVER_LAST": "7d", "CONVOSO_ARCHIVER_END_TIME": "2025-05-01"}, want: "7d  2025-05-01", err: "CONVOSO_ARCHIVER_END_TIME"},
	} {
		t.Run(name, func(t *testing.T) {
			flags := readerOf(c.flags).values
			if c.file != "" {
				if err := os.WriteFile(file, []byte(c.file), 0o600); err != nil {
					t.Fatal(err)
				}
				flags["config"] = given{items: []string{file}, origin: "--config", source: onCommandLine}
			}
			merged, err := gather(t.Context(), settings, flags, c.env)
			if err != nil {
				t.Fatal(err)
			}
			read := &reader{settings: settings, values: merged}
			var got []string
			for _, name := range []string{"last", "start-time", "end-time"} {
				value, _ := read.raw(name)
				got = append(got, value)
			}
			if strings.Join(got, " ") != c.want {
				t.Errorf("got %q, want %q", got, c.want)
			}
			read.span(time.Date(2025, 5, 11, 3, 30, 0, 0, time.UTC), time.UTC)
			if (read.err != nil) != (c.err != "") || read.err != nil && !strings.Contains(read.err.Error(), c.err) {
				t.Errorf("got error %v, want one with %q", read.err, c.err)
			}
		})
	}
}

// All mistakes in the settings are found at once, and valid values are still read.
func TestAllProblems(t *testing.T) {
	file := filepath.Join(t.TempDir(), "archive.yaml")
	lines := []string{
		"wrokers: 3", "last: 7d", "settle: soon", "last: 8d", "auth_token: x", "page-size: 501", "dest:", "time-zone: Mars/Olympus",
		"state-dir: ~/state", "retry: [lost, found]",
	}
	if err := os.WriteFile(file, []byte(strings.Join(lines, "\n")), 0o600); err != nil {
		t.Fatal(err)
	}
	flags := readerOf(map[string]string{"config": file, "workers": "many"}).values
	merged, err := gather(t.Context(), archiveSettings(), flags, environment{"CONVOSO_ARCHIVER_GRACE": "-1s"})
	read := &reader{settings: archiveSettings(), values: merged}
	job := read.archiveJob(time.Now(), nil, "linux")
	found := strings.Split(err.Error(), "\n")
	for _, p := range read.problems {
		found = append(found, p.err.Error())
	}
	for _, want := range []string{
		`line 1: unknown key "wrokers": did you mean workers?`, "line 4: last is set twice", `line 5: unknown key "auth_token": the token is set by`,
		"line 7: dest has no usable value", "line 9): ~ means the home folder", `"soon" is not a duration`, "501 is out of range",
		`"Mars/Olympus" is not a known time zone`, `"found" is not known`, `--workers: "many" is not a whole number`,
		"CONVOSO_ARCHIVER_GRACE: -1s is too short", "no destination is given",
	} {
		if n := len(slices.DeleteFunc(slices.Clone(found), func(line string) bool { return !strings.Contains(line, want) })); n != 1 {
			t.Errorf("%d problems say %q, of\n%s", n, want, strings.Join(found, "\n"))
		}
	}
	if len(found) != 12 {
		t.Errorf("%d problems:\n%s", len(found), strings.Join(found, "\n"))
	}
	if read.isGood("time-zone") || !read.isGood("last") || !read.isGood("api-url") || job.config.Span.From.IsZero() {
		t.Errorf("the span is %v", job.config.Span)
	}
}

// A ~ means the home folder in every path, from every source.
func TestExpandHome(t *testing.T) {
	home := t.TempDir()
	env := environment{"HOME": home, "USERPROFILE": home, "CONVOSO_ARCHIVER_AUTH_TOKEN_FILE": "~/token"}
	file := filepath.Join(home, "archive.yaml")
	if err := os.WriteFile(file, []byte("state-dir: \"~\"\npath-template: ~/x\ndest: ~/in-file"), 0o600); err != nil {
		t.Fatal(err)
	}
	flags := readerOf(map[string]string{"config": "~/archive.yaml", "dest": "~/rec"}).values
	got, err := gather(t.Context(), archiveSettings(), flags, env)
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{
		"dest": filepath.Join(home, "rec"), "state-dir": home, "auth-token-file": filepath.Join(home, "token"), "path-template": "~/x",
	} {
		if value := got[name].items[0]; value != want {
			t.Errorf("%s is %q, want %q", name, value, want)
		}
	}
	for _, dest := range []string{"~other/rec", "./~", "a/~/b", "s3://bucket/~"} {
		got, err := gather(t.Context(), archiveSettings(), readerOf(map[string]string{"dest": dest}).values, nil)
		if err != nil || got["dest"].items[0] != dest {
			t.Errorf("%s became %q, %v", dest, got["dest"].items, err)
		}
	}
	if _, err := gather(t.Context(), archiveSettings(), readerOf(map[string]string{"dest": "~/rec"}).values, nil); err == nil || !strings.Contains(err.Error(), "--dest: ~ means the home folder") {
		t.Errorf("without a home: %v", err)
	}
}

func TestNearest(t *testing.T) {
	names := []string{"dest", "last", "workers", "start-time", "s3-region"}
	for given, want := range map[string]string{
		"wrokers": "workers", "worker": "workers", "starttime": "start-time", "start_time": "start-time",
		"dets": "dest", "zzzzzzzz": "", "region": "",
	} {
		if got := nearest(given, names); got != want {
			t.Errorf("nearest(%q) = %q, want %q", given, got, want)
		}
	}
}

func TestParseEnvironment(t *testing.T) {
	env := parseEnvironment([]string{"A=1", "B=x=y", "C=", "=C:=C:\\dir", "broken", ""})
	for name, want := range map[string]string{"A": "1", "B": "x=y", "C": "", "=C:": `C:\dir`} {
		if got, ok := env[name]; !ok || got != want {
			t.Errorf("%s is %q, %v; want %q", name, got, ok, want)
		}
	}
	if len(env) != 4 {
		t.Errorf("got %v", env)
	}
}

func TestUnknownVariables(t *testing.T) {
	notes := unknownVariables(archiveSettings(), environment{
		"CONVOSO_ARCHIVER_WROKERS":      "4",
		"CONVOSO_ARCHIVER_WORKERS":      "4",
		"CONVOSO_ARCHIVER_SERVICE_HOST": "10.0.0.1", // of a Kubernetes service
		"CONVOSO_ARCHIVER_PORT":         "tcp://10.0.0.1:80",
		"PATH":                          "/bin",
	})
	want := []string{"CONVOSO_ARCHIVER_WROKERS has no effect, did you mean CONVOSO_ARCHIVER_WORKERS?"}
	if !slices.Equal(notes, want) {
		t.Errorf("got %q", notes)
	}
}

// Every setting can be set in each of the three ways, and is in the help.
func TestSettings(t *testing.T) {
	help := archiveCommand().helpText(helpInPipe)
	seen := map[string]bool{}
	for _, s := range archiveSettings() {
		if seen[s.name] {
			t.Errorf("%s is there twice", s.name)
		}
		seen[s.name] = true
		if !strings.Contains(help, "\n  --"+s.name) {
			t.Errorf("the help lacks --%s", s.name)
		}
		if s.flagOnly {
			t.Errorf("%s cannot be set by a variable", s.name)
		}
	}
	for line := range strings.SplitSeq(help, "\n") {
		if strings.HasPrefix(line, "  --") && len(line) > helpInPipe {
			t.Errorf("too wide: %s", line)
		}
	}
	for _, c := range commands() {
		for _, s := range c.settings {
			if len(s.group) > helpInPipe {
				t.Errorf("%s: a heading takes more than a line: %s", c.name, s.group)
			}
		}
		if c.name == "help" {
			continue
		}
		if !slices.Contains(helpCommand().words, c.name) {
			t.Errorf("help does not complete %s", c.name)
		}
	}
}

// The defaults are valid settings.
func TestDefaults(t *testing.T) {
	read := readerOf(map[string]string{"dest": "out", "last": "7d", "state-dir": "state"})
	job := read.archiveJob(time.Now(), nil, "linux")
	if read.err != nil {
		t.Fatal(read.err)
	}
	c := job.config
	if c.APIURL != "https://api.convoso.com/v1" || c.Zone.String() != "America/Los_Angeles" || c.Order != "expiring" ||
		c.Settle != 48*time.Hour || c.PurgeAfter != 155*24*time.Hour || c.GiveUp != 14*24*time.Hour || c.Workers != 8 ||
		c.RetryFor != 10*time.Minute || c.Calls != archiver.AllCalls || c.MaxRecordings != 0 || c.Grace != 20*time.Second || !c.Span.CatchUp || len(c.Retry) != 0 || c.Filter != (fetcher.Filter{}) {
		t.Errorf("got %+v", c)
	}
	if job.pageSize != 500 || job.apiRate != 5 || job.mediaRate != 10 || job.template != "{{.filename}}" || job.maxDuration != 0 ||
		job.folder != "out" || job.bucket != (store.S3Options{}) || job.stateDir != "state" {
		t.Errorf("got %+v", job)
	}
}

func TestFilters(t *testing.T) {
	settings := map[string]string{"dest": "out", "last": "7d", "state-dir": "state"}
	for _, s := range filterSettings() {
		settings[s.name] = "value of " + s.name
	}
	read := readerOf(settings)
	job := read.archiveJob(time.Now(), nil, "linux")
	want := fetcher.Filter{
		ID: "value of id", LeadID: "value of lead-id", CampaignID: "value of campaign-id", QueueID: "value of queue-id",
		ListID: "value of list-id", UserID: "value of user-id", Status: "value of status",
		PhoneNumber: "value of phone-number", NumberDialed: "value of number-dialed",
		FirstName: "value of first-name", LastName: "value of last-name",
		CallType: "value of call-type", CalledCount: "value of called-count",
	}
	if read.err != nil || job.config.Filter != want {
		t.Errorf("got %+v, %v", job.config.Filter, read.err)
	}
}

func TestS3Settings(t *testing.T) {
	read := readerOf(map[string]string{
		"dest": "s3://my-bucket/a/b/", "last": "7d", "state-dir": "state",
		"s3-endpoint": "http://127.0.0.1:7070", "s3-region": "us-west-2", "s3-path-style": "true", "s3-storage-class": "STANDARD_IA",
		"s3-sse": "aws:kms", "s3-kms-key-id": "key", "s3-checksum": "md5", "s3-no-conditional-writes": "true",
	})
	job := read.archiveJob(time.Now(), nil, "linux")
	want := store.S3Options{
		Bucket: "my-bucket", Prefix: "a/b", Endpoint: "http://127.0.0.1:7070", Region: "us-west-2", PathStyle: true,
		StorageClass: "STANDARD_IA", SSE: "aws:kms", KMSKeyID: "key", Checksum: store.ChecksumMD5, NoConditionalWrites: true,
	}
	if read.err != nil || job.bucket != want || job.folder != "" {
		t.Errorf("got %+v, %v", job.bucket, read.err)
	}
}
