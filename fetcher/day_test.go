package fetcher

import (
	"testing"
	"time"
	_ "time/tzdata"
)

func wall(t testing.TB, s string) time.Time {
	t.Helper()
	at, err := ParseWall(s)
	if err != nil {
		t.Fatal(err)
	}
	return at
}

func zone(t testing.TB, name string) *time.Location {
	t.Helper()
	location, err := time.LoadLocation(name)
	if err != nil {
		t.Fatal(err)
	}
	return location
}

func TestDayWindow(t *testing.T) {
	w := Date("2025-05-01").Window()
	if got := w.String(); got != "2025-04-30 23:59:59 to 2025-05-02 00:00:00" {
		t.Error(got)
	}
	if end := Date("2025-11-02").End(zone(t, "America/Los_Angeles")); end.UTC().Format(time.RFC3339) != "2025-11-03T08:00:00Z" {
		t.Error(end)
	}
}

func TestParseWall(t *testing.T) {
	for in, want := range map[string]string{
		"2025-05-01": "2025-05-01 00:00:00", "2025-05-01 13:00:00": "2025-05-01 13:00:00",
		"2025-05-01T13:00:00": "2025-05-01 13:00:00", "2025-05-01T13:05": "2025-05-01 13:05:00",
		"2025-03-09 02:30:00": "2025-03-09 02:30:00", // an hour that the zone skips
	} {
		if got := wall(t, in).Format(WallLayout); got != want {
			t.Errorf("%s: %s", in, got)
		}
	}
	for _, in := range []string{"", "2025-13-01", "2025-02-29", "yesterday", "2025-05-01 25:00:00", "2025-05-01Z"} {
		if _, err := ParseWall(in); err == nil {
			t.Errorf("%q was read", in)
		}
	}
}

func TestSplit(t *testing.T) {
	for name, test := range map[string]struct {
		zone, day, from, to string
		boundary            string // "" if no split is possible
	}{
		"plain day":               {"America/Los_Angeles", "2025-05-01", "2025-04-30 23:59:59", "2025-05-02 00:00:00", "2025-05-01 11:59:59"},
		"four seconds":            {"UTC", "2025-05-01", "2025-05-01 10:00:00", "2025-05-01 10:00:04", "2025-05-01 10:00:02"},
		"three seconds":           {"UTC", "2025-05-01", "2025-05-01 10:00:00", "2025-05-01 10:00:03", ""},
		"middle in repeated hour": {"America/Los_Angeles", "2025-11-02", "2025-11-02 00:00:00", "2025-11-02 03:00:00", "2025-11-02 00:59:58"},
		"middle in missing hour":  {"America/Los_Angeles", "2025-03-09", "2025-03-09 01:00:00", "2025-03-09 04:00:00", "2025-03-09 01:59:58"},
		"inside repeated hour":    {"America/Los_Angeles", "2025-11-02", "2025-11-02 00:59:59", "2025-11-02 02:00:00", ""},
		"end of repeated hour":    {"America/Los_Angeles", "2025-11-02", "2025-11-02 01:00:00", "2025-11-02 02:30:00", "2025-11-02 02:00:01"},
		"half an hour's change":   {"Australia/Lord_Howe", "2025-04-06", "2025-04-06 01:00:00", "2025-04-06 02:30:00", "2025-04-06 01:29:58"},
		"no change in this zone":  {"America/Phoenix", "2025-11-02", "2025-11-02 00:00:00", "2025-11-02 03:00:00", "2025-11-02 01:30:00"},
	} {
		t.Run(name, func(t *testing.T) {
			w := Window{wall(t, test.from), wall(t, test.to)}
			early, late, ok := w.split(clockChanges(w, zone(t, test.zone)))
			if ok != (test.boundary != "") {
				t.Fatalf("split: %v", ok)
			}
			boundary := early.To.Add(-time.Second)
			if ok && (early.From != w.From || late.To != w.To || late.From != boundary.Add(-time.Second) || boundary.Format(WallLayout) != test.boundary) {
				t.Errorf("%v and %v", early, late)
			}
		})
	}
}
