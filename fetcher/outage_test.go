package fetcher

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// TestAnswersThatCannotBeUnderstood damages the answers for one day of three: that day is given up
// after a few attempts, and the others are listed.
func TestAnswersThatCannotBeUnderstood(t *testing.T) {
	plain := func(status int, body string) func() (*http.Response, error) {
		return func() (*http.Response, error) { return answerOf(status, body), nil }
	}
	for name, spoiled := range map[string]func() (*http.Response, error){
		"unknown code":          plain(200, `{"success":false,"code":9999,"text":"Something went wrong"}`),
		"no code":               plain(200, `{"success":false,"text":"Database error"}`),
		"500":                   plain(500, `<html>PHP Fatal error</html>`),
		"502":                   plain(502, ``),
		"503":                   plain(503, `<html>busy</html>`),
		"403 of a gateway":      plain(403, `<html>forbidden</html>`),
		"403 in JSON":           plain(403, `{"message":"Forbidden"}`),
		"404 of a gateway":      plain(404, `not found`),
		"redirect":              plain(302, ``),
		"a page of HTML":        plain(200, `<html>maintenance</html>`),
		"nothing":               plain(200, ``),
		"cut off":               plain(200, `{"success":true,"data":{"total_found":30,"results":[{"id":"1"`),
		"results that are text": plain(200, `{"success":true,"data":{"total_found":30,"results":"none"}}`),
		"a broken connection":   func() (*http.Response, error) { return nil, errors.New("connection reset") },
	} {
		for _, bad := range []Date{"2025-05-01", "2025-05-02", "2025-05-03"} {
			t.Run(name+" on "+string(bad), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					begun := time.Now()
					v := (&vendor{}).calls("2025-05-01", 30).calls("2025-05-02", 30).calls("2025-05-03", 30)
					v.hook = func(query url.Values) (*http.Response, error) {
						if query.Get("end_time") == bad.AddDays(1).start().Format(WallLayout) {
							return spoiled()
						}
						return nil, nil
					}
					client := v.client(t, nil)
					for _, day := range []Date{"2025-05-01", "2025-05-02", "2025-05-03"} {
						got, err := listDay(t.Context(), client, day, Filter{}, true)
						if err != nil {
							t.Fatalf("%s: %v", day, err)
						}
						if day != bad {
							if len(got.calls) != 30 || len(got.Doubts) > 0 {
								t.Errorf("%s: %d calls, %s", day, len(got.calls), got.doubts())
							}
							continue
						}
						var failure *WindowError
						if len(got.failures) != 1 || !errors.As(got.failures[0], &failure) || failure.Window != day.Window() {
							t.Errorf("%s: %v", day, got.failures)
						}
						if got.doubts() != "unanswered 1" || got.Windows[0].Whole {
							t.Errorf("%s: %+v", day, got.ListingResult)
						}
					}
					if took := time.Since(begun); took > time.Minute || v.requests() > 20 {
						t.Errorf("%v, %d requests", took, v.requests())
					}
				})
			})
		}
	}
}

// TestFinalAnswers ends at once if a further attempt would have the same result.
func TestFinalAnswers(t *testing.T) {
	for body, status := range map[string]int{
		`{"success":false,"code":5001,"text":"Auth token is invalid"}`: 200,
		`{"success":false,"code":"403"}`:                               403,
		`{"success":false,"code":401}`:                                 200,
		`{"success":false,"code":4002}`:                                500,
		`<html>`:                                                       401,
		`{"success":false,"code":6004,"text":"No such campaign"}`:      200,
	} {
		v := &vendor{hook: func(url.Values) (*http.Response, error) { return answerOf(status, body), nil }}
		_, err := listDay(t.Context(), v.client(t, nil), aDay, Filter{}, true)
		apiError, ok := errors.AsType[*APIError](err)
		if !ok || apiError.Refused() == (apiError.Unknown() != "") || v.requests() != 1 {
			t.Errorf("%s: %v after %d requests", body, err, v.requests())
		}
	}
}

// TestOutage takes the API down during requests: for a while, or permanently.
func TestOutage(t *testing.T) {
	refused := func() (*http.Response, error) { return nil, errors.New("dial tcp: connection refused") }
	gateway := func() (*http.Response, error) { return answerOf(502, `<html>`), nil }
	for name, test := range map[string]struct {
		down      func() (*http.Response, error)
		lasts     time.Duration
		ends      bool // with ErrUnreachable
		log       string
		longest   time.Duration
		mostAsked int
	}{
		"refused for a moment":     {refused, 3 * time.Second, false, "", 20 * time.Second, 10},
		"refused for minutes":      {refused, 8 * time.Minute, false, "waiting for one, answers again", 10 * time.Minute, 60},
		"refused for ever":         {refused, time.Hour, true, "waiting for one", 12 * time.Minute, 60},
		"a gateway's for minutes":  {gateway, 8 * time.Minute, false, "waiting for one, answers again", 10 * time.Minute, 60},
		"a gateway's for ever":     {gateway, time.Hour, true, "waiting for one", 12 * time.Minute, 60},
		"asks to wait for minutes": {func() (*http.Response, error) { return answerOf(429, ``), nil }, 8 * time.Minute, false, "asks to wait, answers normally again", 20 * time.Minute, 15},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				begun := time.Now()
				v := (&vendor{}).calls(aDay, 600)
				v.hook = func(query url.Values) (*http.Response, error) {
					if first := time.Since(begun) == 0 && query.Get("offset") == "0"; first || time.Since(begun) > test.lasts {
						return nil, nil
					}
					return test.down()
				}
				log := &logged{}
				client := v.client(t, func(o *Options) { o.Logger = slog.New(slog.NewTextHandler(log, nil)) })
				got, err := listDay(t.Context(), client, aDay, Filter{}, true)
				if errors.Is(err, ErrUnreachable) != test.ends || err != nil && !test.ends {
					t.Errorf("error %v", err)
				}
				if !test.ends && (len(got.calls) != 600 || len(got.Doubts) > 0) {
					t.Errorf("%d calls, %s", len(got.calls), got.doubts())
				}
				if took := time.Since(begun); took > test.longest {
					t.Errorf("took %v", took)
				}
				if v.requests() > test.mostAsked {
					t.Errorf("%d requests", v.requests())
				}
				for _, part := range []string{"waiting for one", "answers again", "asks to wait", "answers normally again"} {
					want := strings.Count(test.log, part)
					if n := log.count(part); n != want {
						t.Errorf("%q stands %d times in the log, want %d:\n%s", part, n, want, log.lines.String())
					}
				}
				if log.count("test-token") > 0 || err != nil && strings.Contains(err.Error(), "test-token") {
					t.Error("the token is told")
				}
			})
		})
	}
}

// TestSilenceIsTold has an API that never answers, so each attempt takes half a minute: the first one is logged.
func TestSilenceIsTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v := &vendor{hook: func(url.Values) (*http.Response, error) {
			time.Sleep(30 * time.Second)
			return nil, errors.New("no answer within 30s")
		}}
		ctx, cancel := context.WithTimeout(t.Context(), 40*time.Second)
		defer cancel()
		log := &logged{}
		client := v.client(t, func(o *Options) {
			o.Logger, o.RetryFor, o.Timeout = slog.New(slog.NewTextHandler(log, nil)), 10*time.Minute, time.Minute
			o.Retry.Tries = 5
		})
		if _, err := listDay(ctx, client, aDay, Filter{}, true); err == nil {
			t.Error("it was listed")
		}
		if log.count("waiting for one") != 1 || log.count("max=10m0s") != 1 {
			t.Errorf("the log:\n%s", log.lines.String())
		}
	})
}

// TestOutageEndsWithItsContext stops a wait for the API.
func TestOutageEndsWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v := &vendor{hook: func(url.Values) (*http.Response, error) { return nil, errors.New("no route to host") }}
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		begun := time.Now()
		_, err := listDay(ctx, v.client(t, nil), aDay, Filter{}, true)
		if err == nil || errors.Is(err, ErrUnreachable) || time.Since(begun) > time.Minute {
			t.Errorf("%v after %v", err, time.Since(begun))
		}
	})
}

// TestClockSkew compares the machine's clock with Date, plus Age.
func TestClockSkew(t *testing.T) {
	for name, test := range map[string]struct {
		date, age string
		want      time.Duration
		unknown   bool
	}{
		"right":            {date: "0s"},
		"two hours behind": {date: "-2h", want: 2 * time.Hour},
		"cached":           {date: "-2h", age: "7200"},
		"odd age":          {date: "-2h", age: "-7200", want: 2 * time.Hour},
		"none":             {unknown: true},
	} {
		v := &vendor{header: http.Header{}}
		if !test.unknown {
			shift, _ := time.ParseDuration(test.date)
			v.header.Set("Date", time.Now().Add(shift).UTC().Format(http.TimeFormat))
			v.header.Set("Age", test.age)
		}
		client := v.client(t, nil)
		if _, err := client.Look(t.Context(), aDay.Window(), Filter{}, 0); err != nil {
			t.Fatal(err)
		}
		got, known := client.ClockSkew()
		if known == test.unknown || (got-test.want).Abs() > 2*time.Second {
			t.Errorf("%s: %v, %v", name, got, known)
		}
	}
}

// TestOddEncodings reads answers with gzip and with a byte-order mark.
func TestOddEncodings(t *testing.T) {
	for name, change := range map[string]func([]byte) []byte{
		"gzip": func(answer []byte) []byte { return zipped(t, string(answer)) },
		"mark": func(answer []byte) []byte { return fmt.Appendf(nil, "\ufeff%s", answer) },
		"both": func(answer []byte) []byte { return zipped(t, "\ufeff"+string(answer)) },
	} {
		v := (&vendor{}).calls(aDay, 30)
		v.change = func(_ url.Values, answer []byte) []byte { return change(answer) }
		got, err := listDay(t.Context(), v.client(t, nil), aDay, Filter{}, true)
		if err != nil || len(got.calls) != 30 || len(got.Doubts) > 0 {
			t.Errorf("%s: %v, %d calls, %s", name, err, len(got.calls), got.doubts())
		}
	}
}
