package schedule

import (
	"strings"
	"testing"
	"time"
	_ "time/tzdata"
)

func zone(t testing.TB, name string) *time.Location {
	t.Helper()
	zone, err := time.LoadLocation(name)
	if err != nil {
		t.Fatal(err)
	}
	return zone
}

func parse(t testing.TB, text, in string) *Schedule {
	t.Helper()
	s, err := Parse(text, zone(t, in))
	if err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	return s
}

// TestAt: the limits at a moment, and their next change, by the clock of the zone.
func TestAt(t *testing.T) {
	const (
		contract = "Mo-Fr 08:00-20:00 2/s 512k; off"
		night    = "Mo-Fr 20:00-06:00 4/s; Sa,Su 1M; off"
		first    = "12:00-13:00 1/s; 08:00-20:00 2/s"
		sunday   = "Su 02:00-03:00 off"
		lateSat  = "Sa 22:00-02:00 3/s"
	)
	day := Limits{Rate: 2, Bytes: 512_000}
	off := Limits{Off: true}
	for _, c := range []struct {
		schedule, zone, at string // 2025-05-05 is a Monday
		want               Limits
		change             string // RFC 3339, "" for never
	}{
		{contract, "America/Los_Angeles", "2025-05-05T07:59:59-07:00", off, "2025-05-05T08:00:00-07:00"},
		{contract, "America/Los_Angeles", "2025-05-05T08:00:00-07:00", day, "2025-05-05T20:00:00-07:00"},
		{contract, "America/Los_Angeles", "2025-05-05T19:59:59.9-07:00", day, "2025-05-05T20:00:00-07:00"},
		{contract, "America/Los_Angeles", "2025-05-05T20:00:00-07:00", off, "2025-05-06T08:00:00-07:00"},
		{contract, "America/Los_Angeles", "2025-05-09T20:00:00-07:00", off, "2025-05-12T08:00:00-07:00"},
		{contract, "UTC", "2025-05-05T08:00:00-07:00", day, "2025-05-05T20:00:00Z"}, // the zone decides, not the moment's own
		{contract, "Asia/Kolkata", "2025-05-05T02:30:00Z", day, "2025-05-05T14:30:00Z"},

		// A span across midnight belongs to the day on which it starts.
		{night, "UTC", "2025-05-05T05:00:00Z", off, "2025-05-05T20:00:00Z"}, // Sunday has no night
		{night, "UTC", "2025-05-06T05:00:00Z", Limits{Rate: 4}, "2025-05-06T06:00:00Z"},
		{night, "UTC", "2025-05-10T05:00:00Z", Limits{Rate: 4}, "2025-05-10T06:00:00Z"}, // Saturday, of Friday's night
		{night, "UTC", "2025-05-10T06:00:00Z", Limits{Bytes: 1_000_000}, "2025-05-12T00:00:00Z"},
		{lateSat, "UTC", "2025-05-04T01:00:00Z", Limits{Rate: 3}, "2025-05-04T02:00:00Z"}, // across the end of the week
		{lateSat, "UTC", "2025-05-03T21:00:00Z", Limits{}, "2025-05-03T22:00:00Z"},

		// The first matching entry applies, and uncovered times are unlimited.
		{first, "UTC", "2025-05-05T12:30:00Z", Limits{Rate: 1}, "2025-05-05T13:00:00Z"},
		{first, "UTC", "2025-05-05T13:00:00Z", Limits{Rate: 2}, "2025-05-05T20:00:00Z"},
		{first, "UTC", "2025-05-05T20:00:00Z", Limits{}, "2025-05-06T08:00:00Z"},
		{"2/s", "UTC", "2025-05-05T20:00:00Z", Limits{Rate: 2}, ""},
		{"Mo 2/s; 2/s", "UTC", "2025-05-05T20:00:00Z", Limits{Rate: 2}, ""}, // the same all the time

		// Daylight saving: an hour that is skipped is never seen, one that is repeated counts twice.
		{sunday, "America/Los_Angeles", "2025-03-09T01:59:00-08:00", Limits{}, "2025-03-16T02:00:00-07:00"},
		{sunday, "America/Los_Angeles", "2025-03-09T03:00:00-07:00", Limits{}, "2025-03-16T02:00:00-07:00"},
		{"Su 01:00-02:00 off", "America/Los_Angeles", "2025-11-02T01:30:00-07:00", off, "2025-11-02T02:00:00-08:00"},
		{"Su 01:00-02:00 off", "America/Los_Angeles", "2025-11-02T01:30:00-08:00", off, "2025-11-02T02:00:00-08:00"},
		{contract, "America/Los_Angeles", "2025-03-09T00:00:00-08:00", off, "2025-03-10T08:00:00-07:00"},
		{contract, "America/Los_Angeles", "2025-11-02T00:00:00-07:00", off, "2025-11-03T08:00:00-08:00"},
		{contract, "Australia/Lord_Howe", "2025-04-06T00:00:00+11:00", off, "2025-04-07T08:00:00+10:30"}, // by half an hour
		{"Su 02:00-03:00 off; 2/s", "America/Los_Angeles", "2025-03-02T03:00:00-08:00", Limits{Rate: 2}, "2025-03-16T02:00:00-07:00"},
	} {
		at, err := time.Parse(time.RFC3339, c.at)
		if err != nil {
			t.Fatal(err)
		}
		s := parse(t, c.schedule, c.zone)
		if got := s.At(at); got != c.want {
			t.Errorf("%s in %s at %s: got %+v, want %+v", c.schedule, c.zone, c.at, got, c.want)
		}
		change := s.Change(at)
		if c.change == "" {
			if !change.IsZero() {
				t.Errorf("%s at %s: changes at %s", c.schedule, c.at, change)
			}
			continue
		}
		if want, err := time.Parse(time.RFC3339, c.change); err != nil || !change.Equal(want) {
			t.Errorf("%s in %s at %s: changes at %s, want %s", c.schedule, c.zone, c.at, change.In(s.zone).Format(time.RFC3339), c.change)
		}
	}
}

func TestNothingIsLimited(t *testing.T) {
	for _, s := range []*Schedule{nil, {}} {
		if got := s.At(time.Now()); got != (Limits{}) || !s.Change(time.Now()).IsZero() {
			t.Errorf("got %+v", got)
		}
	}
}

// TestForms: equivalent notations.
func TestForms(t *testing.T) {
	at := time.Date(2025, 5, 5, 9, 0, 0, 0, time.UTC)
	for _, text := range []string{
		"Mo-Fr 08:00-20:00 2/s 512k", "mo-fr 8:00-20:00 2/s 512k", "Monday-Friday 08:00-20:00 512k 2/s", "Mon,Tue,We-Fr  08:00-20:00\t2.0/s 512kB",
		"Mo, Tu 2/s 512K; Sa off", "08:00-24:00 2/s 512k", "Fr-Mo 2/s 0.512M", "20:00-10:00 2/s 512k;off", "Sa OFF; 2/s 512k",
	} {
		if got := parse(t, text, "UTC").At(at); got != (Limits{Rate: 2, Bytes: 512_000}) {
			t.Errorf("%s: got %+v", text, got)
		}
	}
}

// TestRefused: each mistake gives one line with the word.
func TestRefused(t *testing.T) {
	for text, want := range map[string]string{
		"":                                 "the entry is empty",
		"2/s;":                             "the entry is empty",
		"Mx 2/s":                           `"Mx" is not a day`,
		"M 2/s":                            `"M" is not a day`,
		"Mo- 2/s":                          `"" is not a day`,
		"Mondays 2/s":                      `"Mondays" is not a day`,
		"Mo-Fr 25:00-26:00 2/s":            `"25:00" is not a time of day`,
		"08:00-25:00 2/s":                  `"25:00" is not a time of day`,
		"24:00-08:00 2/s":                  `"24:00" is not a time of day`,
		"08:60-09:00 2/s":                  `"08:60" is not a time of day`,
		"08:00 2/s":                        `"08:00" has no end`,
		"08:00-08:00 2/s":                  "starts when it ends",
		"Mo-Fr 08:00-20:00":                "it has no limit",
		"Mo":                               "it has no limit",
		"08:00-20:00 Mo 2/s":               `"Mo" is neither off, nor a rate`,
		"-2/s":                             `"-2/s" is out of range`,
		"0/s":                              "write off",
		"NaN/s":                            "is not a day", // it begins with a letter
		"1e9/s":                            `"1e9/s" is out of range`,
		"x2/s":                             "is not a day",
		"2x/s":                             `"2x/s" is not a rate`,
		"512k/s":                           `"512k/s" is not a rate`,
		"512":                              `"512" has no unit: write a rate like 512/s, or bytes per second like 512k`,
		"-512k":                            "is neither off",
		"0.5k":                             "is too small",
		"0k":                               "is too small",
		"9999999999T":                      "is neither off",
		"off 2/s":                          "off cannot be combined",
		"2/s off":                          "off cannot be combined",
		"2/s 3/s":                          "second of its kind",
		"1k 2k":                            "second of its kind",
		"2/s; Mo off":                      "it never applies",
		"Mo-Su 2/s; off":                   "it never applies",
		"Mo 00:00-24:00 off; Mo 1/s; 2/s":  "it never applies",
		"08:00-20:00 2/s; 09:00-10:00 1/s": "it never applies",
		"off":                              "it is always off",
		"Mo-Fr off; off":                   "it is always off",
		strings.Repeat("Mo 2/s;", 200):     "more than 100 entries",
	} {
		s, err := Parse(text, time.UTC)
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%q: got %v, %v, want %q", text, s != nil, err, want)
		}
	}
}

func TestParseBytes(t *testing.T) {
	for text, want := range map[string]int64{
		"1k": 1000, "1K": 1000, "512k": 512_000, "1.5M": 1_500_000, "2G": 2_000_000_000, "1T": 1_000_000_000_000, "512Ki": 524_288,
		"1MiB": 1 << 20, "2GB": 2_000_000_000, "0k": 0, "9T": 9_000_000_000_000,
	} {
		if got, err := ParseBytes(text); err != nil || got != want {
			t.Errorf("%s: got %d, %v", text, got, err)
		}
	}
	for _, text := range []string{"", "k", "1", "-1k", "1 k", "1m", "1P", "1kk", "1e3k", ".5k", "1.k", "0x1k", "99999999T", "1ki B", "٣k"} {
		if got, err := ParseBytes(text); err == nil {
			t.Errorf("%q: got %d", text, got)
		}
	}
}

// FuzzParse: every valid schedule has limits at any moment, which stay the same until the next change.
func FuzzParse(f *testing.F) {
	for _, text := range []string{"Mo-Fr 08:00-20:00 2/s 512k; off", "Sa,Su 22:00-02:00 1M", "off", "a", ";", "08:00-", "0/s", "K", "1\xff/s"} {
		f.Add(text, int64(1_741_500_000))
	}
	los := zone(f, "America/Los_Angeles")
	f.Fuzz(func(t *testing.T, text string, seconds int64) {
		s, err := Parse(text, los)
		if err != nil {
			return
		}
		at := time.Unix(seconds%4_000_000_000, 0)
		now, change := s.At(at), s.Change(at)
		if now.Off && (now.Rate != 0 || now.Bytes != 0) || now.Rate < 0 || now.Bytes < 0 {
			t.Errorf("%q: %+v", text, now)
		}
		if change.IsZero() {
			return
		}
		if !change.After(at) || s.At(change) == now || s.At(change.Add(-time.Second)) != now {
			t.Errorf("%q: at %s %+v, until %s", text, at, now, change)
		}
	})
}

// TestShare divides limits, and adds none.
func TestShare(t *testing.T) {
	whole, err := Parse("Mo-Fr 08:00-20:00 2/s 512k; Sa off", time.UTC)
	if err != nil {
		t.Fatal(err)
	}
	part := whole.Share(4)
	for day, want := range map[string]Limits{"2026-03-09": {Rate: 0.5, Bytes: 128_000}, "2026-03-14": {Off: true}, "2026-03-15": {}} {
		at, err := time.Parse(time.RFC3339, day+"T12:00:00Z")
		if err != nil {
			t.Fatal(err)
		}
		if got := part.At(at); got != want {
			t.Errorf("%s: %+v, want %+v", day, got, want)
		}
	}
	if got := whole.At(time.Date(2026, 3, 9, 12, 0, 0, 0, time.UTC)); got.Rate != 2 {
		t.Errorf("the whole has become %+v", got)
	}
	if (*Schedule)(nil).Share(3) != nil || whole.Share(1) != whole {
		t.Error("one share is the whole")
	}
}
