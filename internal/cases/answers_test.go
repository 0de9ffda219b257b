package cases

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// answers covers answers of the API other than a page: cases 4, 4b, 31, 32, 40 and 45.
func answers() []example {
	all := poisonedDay()
	all = append(all, passingFailure()...)
	all = append(all, dressedJSON()...)
	all = append(all, brokenRow()...)
	return append(all, cachedAnswers()...)
}

// notUnderstood are answers without information about calls.
func notUnderstood() map[string]http.HandlerFunc {
	return map[string]http.HandlerFunc{
		"an unknown code":           reply(200, "application/json", `{"success":false,"code":9999,"text":"Something went wrong"}`),
		"an unknown code as text":   reply(200, "application/json", `{"success":false,"code":"9999","text":"Something went wrong"}`),
		"success false and no code": reply(200, "application/json", `{"success":false,"text":"Database error, please try again"}`),
		"success false and no more": reply(200, "application/json", `{"success":false}`),
		"500 with HTML":             reply(500, "text/html", "<html>PHP Fatal error</html>"),
		"504 with HTML":             reply(504, "text/html", "<html>Gateway Time-out</html>"),
		"HTML under 200":            reply(200, "text/html", "<!DOCTYPE html><html><body>Maintenance</body></html>"),
		"404 of a gateway":          reply(404, "text/html", "<html><h1>404 Not Found</h1><hr>nginx</html>"),
		"403 of a gateway":          reply(403, "text/html", "<html><title>Attention Required! | Cloudflare</title></html>"),
		"truncated JSON":            reply(200, "application/json", `{"success":true,"data":{"offset":0,"limit":500,"total_found":"10","entries":10,"results":[{"id":"100"`),
		"nothing under 200":         reply(200, "application/json", ""),
		"JSON of another kind":      reply(200, "application/json", `["ok"]`),
		"a reset connection":        reset,
	}
}

// week fills seven days with ten recordings each and returns an archive of them.
func week(t testing.TB, flags ...string) (*vendor, *archive, []string) {
	v := newVendor(t)
	var days []string
	for n := 10; n >= 4; n-- {
		days = append(days, ago(n))
		v.fill(ago(n), n*100, 10)
	}
	return v, onDisk(t, v, ago(10), ago(4), flags...), days
}

// poisonedDay: the answer for one day of seven is never a page. It stays open, and the others are
// archived.
func poisonedDay() []example {
	var all []example
	add := func(name string, bad int, answer http.HandlerFunc) {
		all = append(all, example{"4 " + name, func(t testing.TB) {
			v, a, days := week(t, "--retry-for", "4s")
			v.API = func(w http.ResponseWriter, r *http.Request) {
				if asksOnly(r, days[bad]) {
					answer(w, r)
				}
			}
			a.run().want(3)
			a.isOpen(days[bad])
			a.isClosed(append(days[:bad:bad], days[bad+1:]...)...)
			if n := len(a.audio()); n != 60 {
				t.Errorf("%d of 60 recordings are stored", n)
			}
			v.change(func() { v.API = nil })
			a.run().want(0)
			a.isClosed(days...)
			a.holds(v.bodies()...)
		}})
	}
	for name, answer := range notUnderstood() {
		add(name+" for the oldest day", 0, answer)
	}
	add("an unknown code for a day in the middle", 3, notUnderstood()["an unknown code"])
	add("500 with HTML for the newest day", 6, notUnderstood()["500 with HTML"])
	return all
}

// passingFailure: one answer in a run is not a page. The request is repeated.
func passingFailure() []example {
	var all []example
	add := func(name string, nth int32, answer http.HandlerFunc) {
		all = append(all, example{"4b " + name, func(t testing.TB) {
			v, a, days := week(t)
			var n atomic.Int32
			v.API = func(w http.ResponseWriter, r *http.Request) {
				if n.Add(1) == nth {
					answer(w, r)
				}
			}
			a.run().want(0)
			a.isClosed(days...)
			a.holds(v.bodies()...)
		}})
	}
	for name, answer := range notUnderstood() {
		add("once "+name, 3, answer)
	}
	add("first of all an unknown code", 1, notUnderstood()["an unknown code"])
	add("first of all HTML under 200", 1, notUnderstood()["HTML under 200"])
	return all
}

// zipped compresses a body.
func zipped(body []byte) []byte {
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	_, _ = w.Write(body)
	_ = w.Close()
	return b.Bytes()
}

// dressedJSON: a readable page in an unusual form.
func dressedJSON() []example {
	var all []example
	add := func(name string, dress func(page []byte) http.HandlerFunc) {
		all = append(all, example{name, func(t testing.TB) {
			v := newVendor(t)
			v.fill(ago(5), 100, 10)
			v.API = func(w http.ResponseWriter, r *http.Request) { dress(v.list(r.URL.Query()))(w, r) }
			a := onDisk(t, v, ago(5), ago(5))
			a.run().want(0)
			a.isClosed(ago(5))
			a.holds(v.bodies()...)
			for _, r := range append(v.requests("api"), v.requests("media")...) {
				if !strings.HasPrefix(name, "31") {
					break
				}
				if asked := r.header.Get("Accept-Encoding"); asked != "identity" {
					t.Fatalf("a request to the %s accepts the encoding %q", r.kind, asked)
				}
			}
		}})
	}
	plain := func(contentType, before, after string) func([]byte) http.HandlerFunc {
		return func(page []byte) http.HandlerFunc {
			return sized(contentType, []byte(before+string(page)+after))
		}
	}
	encoded := func(name string) func([]byte) http.HandlerFunc {
		return func(page []byte) http.HandlerFunc {
			return sized("application/json", zipped(page), "Content-Encoding", name)
		}
	}
	add("31 API gzip", encoded("gzip"))
	add("31 API x-gzip", encoded("x-gzip"))
	add("31 API GZIP", encoded("GZIP"))
	add("31 API identity", func(page []byte) http.HandlerFunc {
		return sized("application/json", page, "Content-Encoding", "identity")
	})
	add("31 API gzip in two members", func(page []byte) http.HandlerFunc {
		return sized("application/json", append(zipped(page[:20]), zipped(page[20:])...), "Content-Encoding", "gzip")
	})
	add("31 API gzip in name only", func(page []byte) http.HandlerFunc {
		return sized("application/json", page, "Content-Encoding", "gzip")
	})
	add("32 byte-order mark", plain("application/json", "\ufeff", ""))
	add("32 byte-order mark and blank lines", plain("application/json; charset=utf-8", "\ufeff\r\n\r\n", "\r\n"))
	add("32 two byte-order marks", plain("application/json", "\ufeff\ufeff", ""))
	add("32 named as HTML", plain("text/html; charset=UTF-8", "", "\n"))
	return all
}

// brokenRow: a row that is no valid JSON makes its page unreadable. All other rows are used, by
// requesting smaller pages, and other days continue. The row may either be read after all, or its day
// stays open.
func brokenRow() []example {
	var all []example
	add := func(name string, at []int, breaks func(text string) string) {
		all = append(all, example{"40 " + name, func(t testing.TB) {
			v := newVendor(t)
			for _, n := range []int{7, 6, 5} {
				v.fill(ago(n), n*100, 30)
			}
			broken := 0
			for i, r := range v.Rows {
				for _, n := range at {
					if r["id"] == fmt.Sprint(600+n) {
						text, _ := json.Marshal(r)
						v.Rows[i] = row{literal: breaks(string(text)), "id": r["id"], "call_date": r["call_date"]}
						broken++
					}
				}
			}
			a := onDisk(t, v, ago(7), ago(5), "--retry-for", "4s")
			r := a.run().want(0, 3)
			a.isClosed(ago(7), ago(5))
			stored, noted := len(a.audio()), a.day(ago(6)).outcomes()["archived"]
			switch {
			case r.code == 0 && stored == 90:
				a.isClosed(ago(6))
			case r.code == 3 && noted >= 30-broken:
				a.isOpen(ago(6))
				a.report().want(0).says(ago(6) + ".*(unreadable|cannot be read|not be read)")
			default:
				t.Errorf("exit code %d with %d recordings of the day", r.code, noted)
			}
			if n := len(v.requests("api")); n > 100 {
				t.Errorf("%d requests to find %d rows", n, broken)
			}
		}})
	}
	comment := func(with string) func(string) string {
		return func(text string) string {
			return strings.Replace(text, `"agent_comment":""`, `"agent_comment":"`+with+`"`, 1)
		}
	}
	add("a control character in the middle", []int{15}, comment("call \x01 back"))
	add("a control character in the first row", []int{0}, comment("call \x01 back"))
	add("a control character in the last row", []int{29}, comment("call \x01 back"))
	add("a raw line break", []int{15}, comment("call\nback"))
	add("a raw tab", []int{15}, comment("call\tback"))
	add("a quote that is not escaped", []int{15}, comment(`call "Ann" back`))
	add("an escape that is none", []int{15}, comment(`C:\xampp`))
	add("a doubled quote as on the vendor's page", []int{15}, func(text string) string {
		return strings.Replace(text, `"user_id":"11"`, `"user_id":"11""`, 1)
	})
	add("a number that is none", []int{15}, func(text string) string {
		return strings.Replace(text, `"call_length":"21"`, `"call_length":NaN`, 1)
	})
	add("three rows apart", []int{2, 15, 28}, comment("call \x01 back"))
	return all
}

// cachedAnswers: an answer from a cache has its original Date, and its age in Age.
func cachedAnswers() []example {
	var all []example
	add := func(name string, skew time.Duration, closes bool, header ...string) {
		all = append(all, example{"45 " + name, func(t testing.TB) {
			v := newVendor(t)
			v.fill(ago(5), 100, 3)
			v.Skew = skew
			v.API = func(w http.ResponseWriter, _ *http.Request) {
				for i := 0; i < len(header); i += 2 {
					w.Header()[header[i]] = strings.Split(header[i+1], "|")
				}
				if len(header) > 0 && header[0] == "Date" && header[1] == "" {
					w.Header()["Date"] = nil // none at all
				}
			}
			a := onDisk(t, v, ago(5), ago(5))
			if !closes {
				a.run().want(3)
				a.isOpen(ago(5))
			} else {
				a.run().want(0).saysNot("clock")
				a.isClosed(ago(5))
			}
			a.holds(v.bodies()...)
		}})
	}
	add("Age 7200 of two hours", -2*time.Hour, true, "Age", "7200")
	add("Age 86400 of a day", -24*time.Hour, true, "Age", "86400")
	add("Age 240 of some minutes, with a time between", -6*time.Minute, true, "Age", "240")
	add("no Date", 0, true, "Date", "")
	add("Date that cannot be read", 0, true, "Date", "yesterday")
	add("Age that cannot be read", 0, true, "Age", "old")
	add("Age below nought", 0, true, "Age", "-7200")
	add("two hours without Age", -2*time.Hour, false)
	add("two hours and Age of a minute", -2*time.Hour, false, "Age", "60")
	return all
}
