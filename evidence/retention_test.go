package evidence

import (
	"strings"
	"testing"
	"time"

	"convoso-archiver/archiver/store"
)

func TestRetention(t *testing.T) {
	period := func(text string) store.Period {
		p, err := store.ParsePeriod(text)
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	classes := map[string]store.Period{"medicare": period("10y"), "short": period("30d"), "hours": period("36h"), "none": {}}
	campaigns := map[string]string{"7": "medicare", "8": "short", "9": "hours", "10": "none"}
	with := Retention{Classes: classes, Campaigns: campaigns, Default: "short"}
	without := Retention{Classes: classes, Campaigns: campaigns}
	for name, c := range map[string]struct {
		r             Retention
		day, campaign string
		class, end    string // end "" for never
	}{
		"years":                  {with, "2025-05-01", "7", "medicare", "2035-05-01"},
		"leap day":               {with, "2024-02-29", "7", "medicare", "2034-03-01"},
		"days":                   {with, "2025-05-01", "8", "short", "2025-05-31"},
		"over a clock change":    {with, "2025-03-01", "8", "short", "2025-03-31"},
		"a part of a day":        {with, "2025-05-01", "9", "hours", "2025-05-03"},
		"a day more":             {Retention{Classes: map[string]store.Period{"more": {Years: 10, Rest: 24 * time.Hour}}, Default: "more"}, "2025-05-01", "7", "more", "2035-05-02"},
		"nothing":                {with, "2025-05-01", "10", "none", "2025-05-01"},
		"unknown campaign":       {with, "2025-05-01", "99", "short", "2025-05-31"},
		"no campaign":            {with, "2025-05-01", "", "short", "2025-05-31"},
		"unknown, no default":    {without, "2025-05-01", "99", "", ""},
		"no retention at all":    {Retention{}, "2025-05-01", "7", "", ""},
		"a day that is not one":  {with, "2025-05", "7", "medicare", ""},
		"a class without period": {Retention{Campaigns: campaigns}, "2025-05-01", "7", "medicare", ""},
	} {
		end, ok := c.r.Ends(c.day, c.campaign)
		if class := c.r.Class(c.campaign); class != c.class || end != c.end || ok != (c.end != "") {
			t.Errorf("%s: class %q, ends %q, %t; want %q, %q", name, class, end, ok, c.class, c.end)
		}
		if c.end == "" {
			if c.r.IsPast(c.day, c.campaign, "9999-12-31") {
				t.Errorf("%s: it is past its retention", name)
			}
			continue
		}
		last, err := time.Parse(time.DateOnly, c.end)
		if err != nil {
			t.Fatal(err)
		}
		if before := last.AddDate(0, 0, -1).Format(time.DateOnly); c.r.IsPast(c.day, c.campaign, before) || !c.r.IsPast(c.day, c.campaign, c.end) {
			t.Errorf("%s: it is not past from %s on", name, c.end)
		}
	}
}

func TestRetentionCheck(t *testing.T) {
	year := store.Period{Years: 1}
	for name, c := range map[string]struct {
		r    Retention
		want string // part of the error, "" for none
	}{
		"nothing":          {Retention{}, ""},
		"all":              {Retention{Classes: map[string]store.Period{"a-b.C_1": year}, Campaigns: map[string]string{"7": "a-b.C_1"}, Default: "a-b.C_1"}, ""},
		"odd name":         {Retention{Classes: map[string]store.Period{"a b": year}}, "not a valid name of a class"},
		"empty name":       {Retention{Classes: map[string]store.Period{"": year}}, "not a valid name of a class"},
		"unknown class":    {Retention{Classes: map[string]store.Period{"a": year}, Campaigns: map[string]string{"7": "b"}}, "campaign 7"},
		"unknown default":  {Retention{Classes: map[string]store.Period{"a": year}, Default: "b"}, "default class"},
		"campaigns, alone": {Retention{Campaigns: map[string]string{"7": "b"}}, "campaign 7"},
	} {
		err := c.r.Check()
		if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
	}
}

func TestCampaignOf(t *testing.T) {
	for row, want := range map[string]string{
		`{"campaign_id":"7"}`: "7", `{"campaign_id":7}`: "7", `{"campaign_id":" 7 "}`: "7", `{"campaign_id":null}`: "",
		`{"campaign_id":"null"}`: "", `{}`: "", `[]`: "", ``: "", `{"campaign_id":"a\u0062"}`: "ab",
	} {
		if got := CampaignOf([]byte(row)); got != want {
			t.Errorf("%s: %q, want %q", row, got, want)
		}
	}
}
