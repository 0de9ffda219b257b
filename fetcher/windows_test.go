package fetcher

import (
	"bytes"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// TestWindows lists a day of an API with one quirk per case, with the expected result.
func TestWindows(t *testing.T) {
	broken := func(ids ...string) func(url.Values, []byte) []byte {
		return func(_ url.Values, answer []byte) []byte {
			for _, id := range ids {
				answer = bytes.ReplaceAll(answer, fmt.Appendf(nil, `"id":%q`, id), fmt.Appendf(nil, `"id":%q,"agent_comment":"%s"`, id, "\x01"))
			}
			return answer
		}
	}
	for name, test := range map[string]struct {
		vendor   func(*vendor)
		filter   Filter
		once     bool   // not repeated
		small    bool   // pages of 50 calls, offsets up to 400
		calls    int    // received calls
		doubts   string // words and counts
		complete bool
		requests int // at most
	}{
		"nothing odd": {vendor: func(v *vendor) { v.calls(aDay, 1200) }, calls: 1200, complete: true, requests: 4},
		"no calls":    {vendor: func(*vendor) {}, complete: true, requests: 1},
		"exclusive bounds, split": {vendor: func(v *vendor) {
			v.calls(aDay, 40_100)
			v.call(99_999, "2025-05-01 11:59:59") // at the boundary of the split
			v.exclusive = true
		}, calls: 40_101, complete: true, requests: 90},
		"a total that is far too large": {vendor: func(v *vendor) {
			v.calls(aDay, 50).total = func(url.Values, int) int { return 5_000_000 }
		}, calls: 50, doubts: "unlistable 1", complete: true, requests: 4},
		"a total that is too large and jumps": {vendor: func(v *vendor) {
			n := 0
			v.calls(aDay, 50).total = func(url.Values, int) int { n++; return 5_000_000 + n%7 }
		}, calls: 50, doubts: "unlistable 1", complete: true, requests: 4},
		"a total that stops at 1,000": {vendor: func(v *vendor) {
			v.calls(aDay, 3000).total = func(_ url.Values, rows int) int { return min(rows, 1000) }
		}, calls: 3000, doubts: "total 1", complete: true, requests: 4 * 7},
		"a total that stops, beyond the ceiling": {vendor: func(v *vendor) {
			v.ceiling = 400
			v.calls(aDay, 600).total = func(_ url.Values, rows int) int { return min(rows, 100) }
		}, small: true, once: true, calls: 600, doubts: "total 2", complete: true, requests: 30},
		"a total that is one too small": {vendor: func(v *vendor) {
			v.calls(aDay, 50).total = func(_ url.Values, rows int) int { return rows - 1 }
		}, calls: 50, doubts: "total 1", complete: true, requests: 8},
		"no total": {vendor: func(v *vendor) {
			v.calls(aDay, 50).total = func(url.Values, int) int { return -1 }
		}, calls: 50, doubts: "no_total 1", complete: true, requests: 8},
		"too many calls in a second": {vendor: func(v *vendor) {
			for i := range 500 {
				v.call(i, "2025-05-01 10:00:00")
			}
			v.ceiling = 400
		}, small: true, calls: 450, doubts: "unlistable 1", requests: 200},
		"an offset that is not heeded": {vendor: func(v *vendor) {
			v.calls(aDay, 400).change = func(query url.Values, answer []byte) []byte {
				if query.Get("offset") != "0" {
					return v.first
				}
				v.first = answer
				return answer
			}
			v.total = func(url.Values, int) int { return 30_000 }
		}, calls: 400, doubts: "total 1", complete: true, requests: 16},
		"a row twice": {vendor: func(v *vendor) {
			v.calls(aDay, 30)
			v.call(5, "2025-05-01 23:00:00")
		}, calls: 30, doubts: "total 1", complete: true, requests: 8},
		"a row twice, not repeated": {vendor: func(v *vendor) {
			v.calls(aDay, 30)
			v.call(5, "2025-05-01 23:00:00")
		}, once: true, calls: 30, doubts: "total 1", complete: true, requests: 2},
		"recordings that cannot be read": {vendor: func(v *vendor) {
			for i := range 3000 {
				v.call(i, "2025-05-01 10:00:00", "recording", "https://h.convoso.com/play")
			}
		}, calls: 3000, doubts: "unreadable_recordings 3000", complete: true, requests: 7},
		"rows that are no objects": {vendor: func(v *vendor) {
			v.calls(aDay, 20).change = func(_ url.Values, answer []byte) []byte {
				return bytes.Replace(answer, []byte(`"results":[{`), []byte(`"results":["x",7,{`), 1)
			}
			v.total = func(_ url.Values, rows int) int { return rows + 2 }
		}, calls: 20, doubts: "total 1, unreadable_rows 2", complete: true, requests: 2},
		"a row that breaks its page": {vendor: func(v *vendor) { v.calls(aDay, 1200).change = broken("438") },
			calls: 1199, doubts: "total 1, unreadable_rows 1", complete: true, requests: 37},
		"the last row breaks its page": {vendor: func(v *vendor) { v.calls(aDay, 30).change = broken("30") },
			calls: 29, doubts: "total 1, unreadable_rows 1", complete: true, requests: 20},
		"rows that break their pages": {vendor: func(v *vendor) { v.calls(aDay, 1200).change = broken("1", "2", "700", "1200") },
			once: true, calls: 1196, doubts: "total 1, unreadable_rows 4", complete: true, requests: 72},
		"every page broken": {vendor: func(v *vendor) {
			v.calls(aDay, 1200).change = func(url.Values, []byte) []byte {
				return []byte(`{"success":true,"data":{"total_found":1,"results":[{]}}`)
			}
		}, doubts: "unanswered 1, unreadable_rows 50", requests: 61},
		"a page that is too large": {vendor: func(v *vendor) {
			v.calls(aDay, 20)
			for _, row := range v.rows {
				row["agent_comment"] = strings.Repeat("x", maxPage/16)
			}
		}, calls: 20, complete: true, requests: 20},
		"no recording field": {vendor: func(v *vendor) {
			for _, row := range v.calls(aDay, 20).rows {
				delete(row, "recording")
			}
		}, calls: 20, doubts: "no_recording_field 20", complete: true, requests: 2},
		"an error beyond the last row": {vendor: func(v *vendor) {
			v.calls(aDay, 600).ceiling = 599
		}, calls: 600, complete: true, requests: 4},
		"few strays": {vendor: func(v *vendor) {
			v.calls(aDay, 30).calls("2024-01-07", 3).calls("2025-05-02", 3).ignore = true
		}, calls: 35, doubts: "stray 5", complete: true, requests: 2}, // one of 2025-05-02 00:00:00 is omitted
		"few rows, all of them stray": {vendor: func(v *vendor) { v.calls("2024-01-07", 19).ignore = true },
			calls: 19, doubts: "stray 19", complete: true, requests: 2},
		"another day's rows": {vendor: func(v *vendor) { v.calls("2024-01-07", 20).ignore = true },
			doubts: "ignored 1", requests: 1},
		"half of the rows are another day's": {vendor: func(v *vendor) { v.calls(aDay, 20).calls("2024-01-07", 20).ignore = true },
			calls: 40, doubts: "stray 20", complete: true, requests: 2},
		"another day's rows and a large total": {vendor: func(v *vendor) {
			v.calls("2024-01-07", 500).ignore = true
			v.total = func(url.Values, int) int { return 41_000 }
		}, doubts: "ignored 1", requests: 1},
		"few of another campaign": {vendor: func(v *vendor) {
			for i := range 30 {
				v.call(i, "2025-05-01 10:00:00", "campaign_id", strconv.Itoa(7+i/20))
			}
		}, filter: Filter{CampaignID: "7"}, calls: 30, doubts: "contradicted 10", complete: true, requests: 2},
		"another campaign's rows": {vendor: func(v *vendor) {
			for i := range 20 {
				v.call(i, "2025-05-01 10:00:00", "campaign_id", "8")
			}
		}, filter: Filter{CampaignID: "7"}, doubts: "ignored 1", requests: 1},
		"a date that cannot be read": {vendor: func(v *vendor) {
			v.calls(aDay, 20)
			v.call(21, "")
			v.call(22, "", "call_date", nil)
		}, calls: 22, complete: true, requests: 2},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				v := &vendor{}
				test.vendor(v)
				client := v.client(t, func(o *Options) {
					if test.small {
						o.OffsetCeiling, o.PageSize = 400, 50
					}
				})
				got, err := listDay(t.Context(), client, aDay, test.filter, !test.once)
				if err != nil {
					t.Fatal(err)
				}
				if got.doubts() != test.doubts {
					t.Errorf("doubts %q, want %q", got.doubts(), test.doubts)
				}
				if len(got.calls) != test.calls {
					t.Errorf("%d calls, want %d", len(got.calls), test.calls)
				}
				ofDay, whole, complete := 0, true, true
				for _, w := range got.Windows {
					ofDay += w.DayCalls
					whole, complete = whole && w.Whole, complete && w.Complete
				}
				proved := !slices.ContainsFunc([]string{"total", "unlistable", "ignored", "unanswered", "unreadable_rows"}, func(kind string) bool {
					return strings.Contains(test.doubts, kind)
				})
				if complete != test.complete || whole != proved {
					t.Errorf("complete %v, whole %v: %+v", complete, whole, got.Windows)
				}
				for _, call := range got.calls {
					if call.Stray {
						ofDay++
					}
				}
				if ofDay != test.calls {
					t.Errorf("%d calls are counted, of %d", ofDay, test.calls)
				}
				if v.requests() > test.requests {
					t.Errorf("%d requests, at most %d", v.requests(), test.requests)
				}
				if ofWindow := strings.Contains(test.doubts, "ignored") || strings.Contains(test.doubts, "unanswered"); ofWindow != (len(got.failures) == 1) {
					t.Errorf("failures %v", got.failures)
				}
			})
		})
	}
}

// TestStrays gives rows outside their window their own day, and the same hash in each listing, in
// any order.
func TestStrays(t *testing.T) {
	hashes := map[string]bool{}
	for _, ids := range [][]int{{1, 2}, {2, 1}, {1, 3}} {
		v := (&vendor{ignore: true}).calls(aDay, 0)
		v.call(ids[0], "2019-12-31 23:00:00")
		v.call(ids[1], "2025-05-02 00:00:01")
		v.call(7, "2025-05-02 00:00:00") // a call of the next day, which lists it itself
		v.call(8, "2025-04-30 23:59:59")
		v.call(9, "2025-05-01 00:00:00")
		got, err := listDay(t.Context(), v.client(t, nil), aDay, Filter{}, true)
		if err != nil {
			t.Fatal(err)
		}
		first, second, own := got.calls[strconv.Itoa(ids[0])], got.calls[strconv.Itoa(ids[1])], got.calls["9"]
		if !first.Stray || first.Day != "2019-12-31" || !second.Stray || second.Day != "2025-05-02" || own.Stray || own.Day != aDay || len(got.calls) != 3 {
			t.Errorf("calls %+v", got.calls)
		}
		w := got.Windows[0]
		if !w.Whole || w.Calls != 5 || w.DayCalls != 1 || w.Stray != 2 || w.Recordings != 1 {
			t.Errorf("window %+v", w)
		}
		hashes[w.StraySHA256] = true
	}
	if len(hashes) != 2 {
		t.Errorf("hashes %v", hashes)
	}
}

// TestCallsHash is the same for the same calls and, for calls without an id, for the same rows.
func TestCallsHash(t *testing.T) {
	hash := func(change func(*vendor)) string {
		v := (&vendor{}).calls(aDay, 10)
		v.call(0, "2025-05-01 09:00:00", "id", nil)
		change(v)
		got, err := listDay(t.Context(), v.client(t, nil), aDay, Filter{}, true)
		if err != nil || !got.Windows[0].Whole {
			t.Fatalf("%v: %+v", err, got.Windows)
		}
		return got.Windows[0].CallsSHA256
	}
	plain := hash(func(*vendor) {})
	for name, test := range map[string]struct {
		change func(*vendor)
		same   bool
	}{
		"other order": {func(v *vendor) {
			v.rows[3]["call_date"], v.rows[4]["call_date"] = v.rows[4]["call_date"], v.rows[3]["call_date"]
		}, true},
		"other status": {func(v *vendor) { v.rows[3]["status"] = "SALE" }, true},
		"other link": {func(v *vendor) {
			v.rows[10]["recording"].([]any)[0].(map[string]any)["public_url"] = "https://h.convoso.com/other"
		}, true},
		"one less":          {func(v *vendor) { v.rows = v.rows[1:] }, false},
		"another call":      {func(v *vendor) { v.rows[3]["id"] = "77" }, false},
		"another, nameless": {func(v *vendor) { v.rows[10]["lead_id"] = "77" }, false},
	} {
		if got := hash(test.change); (got == plain) != test.same {
			t.Errorf("%s: %s beside %s", name, got, plain)
		}
	}
}

// TestIgnoredParameter names the parameter and the window.
func TestIgnoredParameter(t *testing.T) {
	v := (&vendor{ignore: true}).calls("2024-01-07", 20)
	got, err := listDay(t.Context(), v.client(t, nil), aDay, Filter{}, true)
	ignored, ok := errors.AsType[*IgnoredParameterError](errors.Join(got.failures...))
	if err != nil || !ok || ignored.Parameter != "start_time and end_time" || ignored.Window != aDay.Window() {
		t.Errorf("%v, %+v", err, ignored)
	}
	if w := got.Windows; len(w) != 1 || w[0].Rows != 20 || w[0].Whole || len(got.calls) > 0 {
		t.Errorf("windows %+v", w)
	}
}

// TestRowIsCountedOnce has rows in the shared seconds of the halves of a day.
func TestRowIsCountedOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v := (&vendor{ceiling: 10}).calls(aDay, 8)
		for i, at := range []string{"11:59:58", "11:59:59", "12:00:00"} {
			v.call(100+i, string(aDay)+" "+at)
		}
		got, err := listDay(t.Context(), v.client(t, func(o *Options) { o.OffsetCeiling = 10; o.PageSize = 5 }), aDay, Filter{}, true)
		if err != nil || len(got.Windows) != 2 || len(got.Doubts) > 0 || len(got.calls) != 11 {
			t.Fatalf("%v, %+v", err, got.ListingResult)
		}
		early, late := got.Windows[0], got.Windows[1]
		if early.DayCalls+late.DayCalls != 11 || early.Recordings+late.Recordings != 11 || early.Total+late.Total <= 11 {
			t.Errorf("%+v and %+v", early, late)
		}
		if early.To.Sub(late.From) != 2*time.Second {
			t.Errorf("%v and %v", early.Window, late.Window)
		}
	})
}

// TestLook gives each call its own day, and returns an unchecked answer.
func TestLook(t *testing.T) {
	v := (&vendor{ignore: true}).calls("2024-01-07", 600)
	client := v.client(t, nil)
	page, err := client.Look(t.Context(), aDay.Window(), Filter{}, 500)
	if err != nil || page.Total != 600 || len(page.Calls) != 100 || page.Calls[0].Day != "2024-01-07" {
		t.Errorf("%v, %+v", err, page)
	}
	if client.Answers() != 1 || client.Requests() != 1 {
		t.Errorf("%d answers to %d requests", client.Answers(), client.Requests())
	}
}
