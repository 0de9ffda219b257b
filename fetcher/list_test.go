package fetcher_test

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"testing"
	"time"
	_ "time/tzdata"

	"convoso-archiver/fetcher"
	"convoso-archiver/fetcher/convosotest"
	"convoso-archiver/internal/retry"
)

// start runs a simulator and returns it with a client that has no limits.
func start(t *testing.T, config convosotest.Config, change func(*fetcher.Options)) (*convosotest.Server, *fetcher.Client) {
	t.Helper()
	server, err := convosotest.New(config)
	if err != nil {
		t.Fatal(err)
	}
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = server.Close() })
	return server, clientOf(t, server, change)
}

// impatient makes a client give up on a silent host soon.
func impatient(o *fetcher.Options) {
	o.StallTimeout, o.Timeout, o.RetryFor = 300*time.Millisecond, 300*time.Millisecond, 2*time.Second
}

func clientOf(t *testing.T, server *convosotest.Server, change func(*fetcher.Options)) *fetcher.Client {
	t.Helper()
	hosts, err := fetcher.ParseAllowedHosts([]string{server.MediaURL()})
	if err != nil {
		t.Fatal(err)
	}
	options := fetcher.Options{
		APIURL: server.APIURL(), Token: fetcher.Secret(server.Token()), Zone: server.Zone(), AllowHosts: hosts,
		Retry: retry.Policy{Tries: 5, Initial: time.Millisecond, Max: 10 * time.Millisecond}, RetryFor: time.Second,
		Logger: slog.New(slog.DiscardHandler),
	}
	if change != nil {
		change(&options)
	}
	client, err := fetcher.New(options)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	return client
}

// listed is the result of one listing.
type listed struct {
	calls      map[string]int // by id
	recordings map[string]bool
	days       map[fetcher.Date]int
	windows    []fetcher.WindowResult
	doubts     []fetcher.Doubt
	strays     map[string]fetcher.Date // by call id
	failed     []error                 // of single windows
}

func list(t *testing.T, client *fetcher.Client, day fetcher.Date, filter fetcher.Filter) (listed, error) {
	t.Helper()
	return listPasses(t, client, day, filter, true)
}

// doubt returns the count of a doubt, 0 for none.
func (l *listed) doubt(kind string) int {
	for _, doubt := range l.doubts {
		if doubt.Kind == kind {
			return doubt.Count
		}
	}
	return 0
}

func listPasses(t *testing.T, client *fetcher.Client, day fetcher.Date, filter fetcher.Filter, repeat bool) (listed, error) {
	t.Helper()
	l := listed{calls: map[string]int{}, recordings: map[string]bool{}, days: map[fetcher.Date]int{}, strays: map[string]fetcher.Date{}}
	listing := client.Day(day, day.Window(), filter, repeat)
	for page, err := range listing.Pages(t.Context(), nil) {
		if _, ok := errors.AsType[*fetcher.WindowError](err); ok {
			l.failed = append(l.failed, err)
			continue
		}
		if err != nil {
			return l, err
		}
		for _, call := range page.Calls {
			if call.Stray {
				l.strays[call.ID] = call.Day
			}
			l.calls[call.ID]++
			l.days[call.Day]++
			for _, r := range call.Recordings {
				l.recordings[r.Identity] = true
			}
		}
	}
	l.windows, l.doubts = listing.Result().Windows, listing.Result().Doubts
	return l, nil
}

// expected counts the simulator's data of a day.
func expected(server *convosotest.Server, day fetcher.Date) (calls int) {
	for call := range server.Calls() {
		if call.Day == string(day) {
			calls++
		}
	}
	return calls
}

func TestListDays(t *testing.T) {
	for name, config := range map[string]convosotest.Config{
		"plain":            {CallsPerDay: 1200, RecordedShare: 1},
		"split":            {CallsPerDay: 1200, RecordedShare: 1, Listing: convosotest.Listing{OffsetCeiling: 300, MaxLimit: 50}},
		"short pages":      {CallsPerDay: 1200, Oddities: convosotest.Oddities{ShortPages: true}},
		"exclusive end":    {CallsPerDay: 300, Listing: convosotest.Listing{ExclusiveEnd: true}},
		"ties shuffled":    {CallsPerDay: 1200, Oddities: convosotest.Oddities{SharedSeconds: true, TieShuffle: 2}},
		"boundary swaps":   {CallsPerDay: 1200, Listing: convosotest.Listing{BoundarySwaps: 2}},
		"total changes":    {CallsPerDay: 1200, Listing: convosotest.Listing{TotalChanges: 2}},
		"rows inserted":    {CallsPerDay: 1200, Listing: convosotest.Listing{HeldBack: 3}},
		"limit of 100":     {CallsPerDay: 700, Listing: convosotest.Listing{MaxLimit: 100}},
		"everything odd":   {CallsPerDay: 1200, RecordedShare: 1, SeveralShare: 0.3, Oddities: convosotest.AllBenign()},
		"autumn, texts":    {CallsPerDay: 1200, RecordedShare: 1, FirstDay: "2025-11-02"},
		"autumn, split":    {CallsPerDay: 1200, FirstDay: "2025-11-02", Listing: convosotest.Listing{OffsetCeiling: 300, MaxLimit: 50}},
		"autumn, instants": {CallsPerDay: 1200, FirstDay: "2025-11-02", Listing: convosotest.Listing{Compare: convosotest.CompareInstants}},
		"autumn, instants, split": {CallsPerDay: 1200, FirstDay: "2025-11-02",
			Listing: convosotest.Listing{Compare: convosotest.CompareInstants, OffsetCeiling: 300, MaxLimit: 50}},
		"autumn, late instants, split": {CallsPerDay: 1200, FirstDay: "2025-11-02",
			Listing: convosotest.Listing{Compare: convosotest.CompareInstants, AmbiguousLate: true, OffsetCeiling: 300, MaxLimit: 50}},
		"spring, texts, split": {CallsPerDay: 1200, FirstDay: "2025-03-09", Listing: convosotest.Listing{OffsetCeiling: 300, MaxLimit: 50}},
		"spring, instants, split": {CallsPerDay: 1200, FirstDay: "2025-03-09",
			Listing: convosotest.Listing{Compare: convosotest.CompareInstants, OffsetCeiling: 300, MaxLimit: 50}},
	} {
		t.Run(name, func(t *testing.T) {
			config.Days = 2
			server, client := start(t, config, nil)
			day := fetcher.Date("2025-05-01")
			if config.FirstDay != "" {
				day = fetcher.Date(config.FirstDay)
			}
			got, err := list(t, client, day, fetcher.Filter{})
			if err != nil {
				t.Fatal(err)
			}
			if len(got.doubts) > 0 {
				t.Errorf("not whole: %s", fmt.Sprint(got.doubts))
			}
			for call := range server.Calls() {
				if call.Day == string(day) && call.ID != "" && got.calls[call.ID] == 0 {
					t.Errorf("call %s of %s is missing", call.ID, call.CallDate)
				}
			}
			total := 0
			for _, w := range got.windows {
				total += w.DayCalls
				if !w.Whole {
					t.Errorf("window %s: %d of %d", w, w.Calls, w.Total)
				}
			}
			if want := expected(server, day); total != want && !config.Oddities.UnreadableDates {
				t.Errorf("%d calls of the day, want %d", total, want)
			}
			if config.Listing.OffsetCeiling > 0 && len(got.windows) < 4 {
				t.Errorf("%d windows", len(got.windows))
			}
			for listedDay := range got.days {
				if listedDay != day {
					t.Errorf("%d calls of %s", got.days[listedDay], listedDay)
				}
			}
		})
	}
}

func TestListNeverProvesWhatItCannot(t *testing.T) {
	for name, config := range map[string]convosotest.Config{
		"total always changes": {CallsPerDay: 1200, Listing: convosotest.Listing{TotalChanges: -1}},
		"total too high":       {CallsPerDay: 300, Listing: convosotest.Listing{TotalError: 1}},
		"total too low":        {CallsPerDay: 300, Listing: convosotest.Listing{TotalError: -1}},
		"always swapped":       {CallsPerDay: 1200, Listing: convosotest.Listing{BoundarySwaps: -1}},
		"rows of another day":  {CallsPerDay: 300, Listing: convosotest.Listing{Stray: 2}},
		"no recording field":   {CallsPerDay: 300, Listing: convosotest.Listing{Ignore: []string{"include_recordings"}}},
	} {
		t.Run(name, func(t *testing.T) {
			config.Days = 2
			_, client := start(t, config, nil)
			got, err := list(t, client, "2025-05-02", fetcher.Filter{})
			if err != nil {
				t.Fatal(err)
			}
			if len(got.doubts) == 0 {
				t.Error("the listing was taken for whole")
			}
		})
	}
}

func TestIgnoredParameters(t *testing.T) {
	for name, test := range map[string]struct {
		ignore []string
		filter fetcher.Filter
		want   string
	}{
		"times":    {[]string{"start_time", "end_time"}, fetcher.Filter{}, "start_time and end_time"},
		"campaign": {[]string{"campaign_id"}, fetcher.Filter{CampaignID: "1"}, "campaign_id"},
		"type":     {[]string{"call_type"}, fetcher.Filter{CallType: "3WAY"}, "call_type"},
	} {
		t.Run(name, func(t *testing.T) {
			_, client := start(t, convosotest.Config{
				Days: 60, CallsPerDay: 200, Listing: convosotest.Listing{Ignore: test.ignore},
				Now: func() time.Time { return time.Date(2025, 6, 25, 12, 0, 0, 0, time.UTC) },
			}, nil)
			_, err := list(t, client, "2025-05-01", test.filter)
			ignored, ok := errors.AsType[*fetcher.IgnoredParameterError](err)
			if !ok || ignored.Parameter != test.want {
				t.Errorf("error %v", err)
			}
		})
	}
}

func TestAPIFaults(t *testing.T) {
	for _, fault := range []convosotest.APIFault{
		convosotest.APIGateway, convosotest.APIHTML, convosotest.APIBrokenJSON, convosotest.APICutJSON, convosotest.APIShort,
		convosotest.APIEmpty, convosotest.APIServer, convosotest.APIServerOK, convosotest.APILimitWait, convosotest.APIStall,
		convosotest.APIReset, convosotest.APIResetBody, convosotest.APIClose, convosotest.APIHang,
	} {
		t.Run(string(fault), func(t *testing.T) {
			t.Parallel()
			server, client := start(t, convosotest.Config{CallsPerDay: 100}, impatient)
			server.FailAPI(fault, 2)
			got, err := list(t, client, "2025-05-01", fetcher.Filter{})
			if err != nil {
				t.Fatalf("a passing fault ended the listing: %v", err)
			}
			if len(got.calls) != 100 || len(got.doubts) > 0 {
				t.Errorf("%d calls, %v", len(got.calls), got.doubts)
			}
		})
	}
	for fault, want := range map[convosotest.APIFault]string{
		convosotest.APIBadToken: "code 5001", convosotest.API401: "401", convosotest.API403: "403",
		convosotest.APILimitHours: "2h0m0s",
	} {
		t.Run(string(fault), func(t *testing.T) {
			server, client := start(t, convosotest.Config{CallsPerDay: 100}, nil)
			server.FailAPI(fault, 0)
			_, err := list(t, client, "2025-05-01", fetcher.Filter{})
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("error %v", err)
			}
			if err != nil && strings.Contains(err.Error(), server.Token()) {
				t.Errorf("the error holds the token: %v", err)
			}
			if n := server.Stats().API.Requests; n != 1 {
				t.Errorf("%d requests for an answer that cannot change", n)
			}
		})
	}
}

// TestErrorsHoldNoSecret looks for the token and a link's secret in every error of the client.
func TestErrorsHoldNoSecret(t *testing.T) {
	const token, secret = "canary-token-Zq8", "canary+link/Zq8"
	config := convosotest.Config{CallsPerDay: 60, RecordedShare: 1, Token: token, LinkSecret: secret}
	server, client := start(t, config, impatient)
	var links []fetcher.Secret
	listing := client.Day("2025-05-01", fetcher.Date("2025-05-01").Window(), fetcher.Filter{}, true)
	for page, err := range listing.Pages(t.Context(), nil) {
		if err != nil {
			t.Fatal(err)
		}
		for _, call := range page.Calls {
			for _, r := range call.Recordings {
				links = append(links, r.Link)
			}
		}
	}
	look := func(what string, err error) {
		t.Helper()
		if err == nil {
			return
		}
		for _, text := range []string{err.Error(), fmt.Sprintf("%+v", err), fmt.Sprintf("%q", err)} {
			if strings.Contains(text, token) || strings.Contains(text, secret) || strings.Contains(text, "canary") {
				t.Errorf("%s: %s", what, text)
			}
		}
	}
	for _, fault := range convosotest.Faults() {
		server.SetMediaDown(fault)
		client := clientOf(t, server, impatient) // each fault gets its own pacer
		audio, err := client.Open(t.Context(), t.Context(), links[0], false)
		look(string(fault), err)
		if audio != nil {
			_, err = io.Copy(io.Discard, audio)
			look(string(fault)+" body", err)
			_ = audio.Close()
		}
	}
	look("bad link", openError(t, client, fetcher.Secret("https://a b/"+secret)))
	look("other host", openError(t, client, fetcher.Secret("https://other.invalid/"+secret)))
	for _, text := range []string{fmt.Sprint(links[0]), fmt.Sprintf("%+v %#v %x %s", links[0], links[0], links[0], links[0])} {
		if strings.Contains(text, "canary") || strings.Contains(text, "http") {
			t.Errorf("a link prints as %s", text)
		}
	}
	_ = server.Close()
	look("dead media host", openError(t, client, links[0]))
	_, err := list(t, client, "2025-05-01", fetcher.Filter{})
	look("dead API", err)
	if !errors.Is(err, fetcher.ErrUnreachable) {
		t.Errorf("dead API: %v", err)
	}
}

func openError(t *testing.T, client *fetcher.Client, link fetcher.Secret) error {
	t.Helper()
	audio, err := client.Open(t.Context(), t.Context(), link, false)
	if err == nil {
		_ = audio.Close()
		t.Error("a link that should fail was opened")
	}
	return err
}
