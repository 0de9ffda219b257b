package cases

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"html"
	"maps"
	"net/url"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// ledger covers lines that are lost, copied or secret: cases 9, 10, 19 and 20.
func ledger() []example {
	all := healed()
	all = append(all, copied()...)
	all = append(all, vanished()...)
	return append(all, leaks()...)
}

// healed: a file is damaged, found by verify --repair, and downloaded again once, with any clocks.
func healed() []example {
	truncate := func(a *archive, key string) { a.put(key, a.audio()[key][:100]) }
	var all []example
	for _, c := range []struct {
		name   string
		skew   time.Duration // of the API's clock
		damage func(a *archive, key string)
	}{
		{"the API's clock two minutes behind", -2 * time.Minute, truncate},
		{"the API's clock 50 minutes behind", -50 * time.Minute, truncate},
		{"the API's clock four minutes ahead", 4 * time.Minute, truncate},
		{"clocks that agree", 0, truncate},
		{"the file gone", -2 * time.Minute, func(a *archive, key string) { a.remove(key) }},
		{"other bytes of the same length", -2 * time.Minute, func(a *archive, key string) { a.put(key, mp3("other", 20)) }},
		{"empty", -2 * time.Minute, func(a *archive, key string) { a.put(key, nil) }},
	} {
		all = append(all, example{"9 " + c.name, func(t testing.TB) {
			v := newVendor(t)
			v.fill(ago(5), 100, 3)
			v.Skew = c.skew
			a := onDisk(t, v, ago(5), ago(5))
			a.run().want(0)
			for round := range 2 {
				c.damage(a, a.day(ago(5)).state("101").Key)
				a.verify("--repair").want(4)
				a.isOpen(ago(5))
				v.forget()
				a.run().want(0)
				a.isClosed(ago(5))
				for range 2 {
					a.run().want(0)
				}
				if n := v.asked(tokenOf(101)); n != 1 {
					t.Errorf("round %d: it was fetched %d times", round, n)
				}
				l := a.day(ago(5)).state("101")
				if body := a.audio()[l.Key]; l.Outcome != "archived" || sum(body) != sum(v.Bodies[tokenOf(101)].([]byte)) {
					t.Errorf("round %d: noted is %+v", round, l)
				}
				a.verify().want(0)
			}
		}})
	}
	return append(all, example{"9 the bytes come back before it is fetched", func(t testing.TB) {
		v := newVendor(t)
		v.fill(ago(5), 100, 3)
		v.Skew = -2 * time.Minute
		a := onDisk(t, v, ago(5), ago(5))
		a.run().want(0)
		key := a.day(ago(5)).state("101").Key
		body := a.audio()[key]
		a.remove(key)
		a.verify("--repair").want(4)
		a.put(key, body)
		a.verify("--repair").want(0, 4)
		a.verify().want(0)
		v.forget()
		a.run().want(0)
		a.isClosed(ago(5))
		if n := len(v.requests("media")); n > 0 {
			t.Errorf("%d recordings were fetched again", n)
		}
	}})
}

// copied: an archive that was copied file by file, between a folder and a bucket, continues.
func copied() []example {
	type place func(t testing.TB, v *vendor) *archive
	folder := func(t testing.TB, v *vendor) *archive { return onDisk(t, v, ago(6), ago(5)) }
	bucket := func(t testing.TB, v *vendor) *archive { return onS3(t, v, newS3(t, honour), ago(6), ago(5)) }
	copyTo := func(from, to *archive) {
		for name, body := range from.bytes() {
			to.put(name, body)
		}
	}
	var all []example
	for _, c := range []struct {
		name string
		way  []place
	}{
		{"a folder to a bucket", []place{folder, bucket}},
		{"a bucket to a folder", []place{bucket, folder}},
		{"a folder to a folder", []place{folder, folder}},
		{"a bucket to a bucket", []place{bucket, bucket}},
		{"a folder to a bucket and back", []place{folder, bucket, folder}},
		{"a bucket to a folder and back", []place{bucket, folder, bucket}},
	} {
		all = append(all, example{"10 " + c.name, func(t testing.TB) {
			v := newVendor(t)
			v.fill(ago(6), 500, 4)
			v.fill(ago(5), 100, 4)
			good := v.Bodies[tokenOf(102)]
			v.Bodies[tokenOf(102)] = nil
			b := c.way[0](t, v)
			b.run().want(3)
			for _, next := range c.way[1:] {
				from := b
				b = next(t, v)
				copyTo(from, b)
			}
			b.verify().want(0)
			b.report("--json").want(0).saysNot(`"state":"never_listed"`)
			v.forget()
			b.run().want(3) // one waits
			b.isClosed(ago(6))
			b.isOpen(ago(5))
			if n := len(v.requests("media")) - v.asked(tokenOf(102)); n > 3 { // witnesses
				t.Errorf("%d recordings were fetched again", n)
			}
			v.change(func() { v.Bodies[tokenOf(102)] = good })
			b.run().want(0)
			b.isClosed(ago(5))
			b.holds(v.bodies()...)
			b.verify().want(0)
			v.forget()
			b.run().want(0)
			if n := len(v.requests("api")) + len(v.requests("media")); n > 0 {
				t.Errorf("the closed days cost %d requests", n)
			}
		}})
	}
	return all
}

// vanished: parts of an archive are missing. verify reports them.
func vanished() []example {
	under := func(a *archive, folder, day string) []string {
		var names []string
		for name := range a.tree() {
			if strings.HasPrefix(name, folder+"/") && dayOf(name) == day {
				names = append(names, name)
			}
		}
		return names
	}
	var all []example
	for _, c := range []struct {
		name  string
		take  func(a *archive)
		finds bool
	}{
		{"a day's manifest and its recordings", func(a *archive) {
			for _, l := range a.day(ago(5)).recordings {
				a.remove(l.Key)
			}
			for _, name := range under(a, "manifest", ago(5)) {
				a.remove(name)
			}
		}, true},
		{"a day's manifest alone", func(a *archive) {
			for _, name := range under(a, "manifest", ago(5)) {
				a.remove(name)
			}
		}, true},
		{"a day's recordings alone", func(a *archive) {
			for _, l := range a.day(ago(5)).recordings {
				a.remove(l.Key)
			}
		}, true},
		{"every day's manifest and recordings", func(a *archive) {
			for _, d := range a.days() {
				for _, l := range d.recordings {
					a.remove(l.Key)
				}
			}
			for _, day := range []string{ago(6), ago(5)} {
				for _, name := range under(a, "manifest", day) {
					a.remove(name)
				}
			}
		}, true},
		{"nothing", func(*archive) {}, false},
	} {
		for place, onto := range map[string]func(t testing.TB, v *vendor) *archive{
			"disk": func(t testing.TB, v *vendor) *archive { return onDisk(t, v, ago(6), ago(5)) },
			"S3":   func(t testing.TB, v *vendor) *archive { return onS3(t, v, newS3(t, honour), ago(6), ago(5)) },
		} {
			all = append(all, example{"19 gone on " + place + " is " + c.name, func(t testing.TB) {
				v := newVendor(t)
				v.fill(ago(6), 500, 3)
				v.fill(ago(5), 100, 3)
				a := onto(t, v)
				a.run().want(0)
				c.take(a)
				if !c.finds {
					a.verify().want(0)
					return
				}
				a.verify().want(4).says(ago(5))
				a.verify("--quick").want(4).says(ago(5))
			}})
		}
	}
	return all
}

// leaks: other fields of a row contain its link in recoverable forms. No form of it reaches calls/.
func leaks() []example {
	escape := func(s string) string { return url.QueryEscape(s) }
	hexed := func(s string) string { // every byte as %xx
		var b strings.Builder
		for _, c := range []byte(s) {
			fmt.Fprintf(&b, "%%%02x", c)
		}
		return b.String()
	}
	path := func(link string) string { return link[strings.LastIndexByte(link, '/')+1:] }
	before := func(link string) string { head, _, _ := strings.Cut(link, "?"); return head }
	std, web := base64.StdEncoding, base64.URLEncoding
	forms := map[string]func(link string) any{
		"as it is, within text":          func(l string) any { return "play " + l + " please" },
		"percent-encoded":                func(l string) any { return "play=" + escape(l) },
		"percent-encoded, small hex":     func(l string) any { return "play=" + strings.ToLower(escape(l)[:20]) + escape(l)[20:] },
		"percent-encoded twice":          func(l string) any { return "play=" + escape(escape(l)) },
		"every byte percent-encoded":     func(l string) any { return hexed(l) },
		"base64":                         func(l string) any { return std.EncodeToString([]byte(l)) },
		"base64 of text around it":       func(l string) any { return std.EncodeToString([]byte("x: " + l + " !")) },
		"base64 for URLs":                func(l string) any { return web.EncodeToString([]byte(l)) },
		"base64 for URLs, without pad":   func(l string) any { return web.WithPadding(base64.NoPadding).EncodeToString([]byte("a" + l)) },
		"base64 of percent-encoded":      func(l string) any { return std.EncodeToString([]byte(escape(l))) },
		"percent-encoded base64":         func(l string) any { return escape(std.EncodeToString([]byte(l))) },
		"hex":                            func(l string) any { return hex.EncodeToString([]byte(l)) },
		"without scheme":                 func(l string) any { return strings.SplitN(l, "://", 2)[1] },
		"without scheme, with slashes":   func(l string) any { return strings.Replace(l, "http://", "//", 1) },
		"scheme and host in capitals":    func(l string) any { return strings.Replace(l, "http://", "HTTP://", 1) },
		"https instead":                  func(l string) any { return strings.Replace(l, "http://", "https://", 1) },
		"HTML, plus as space":            func(l string) any { return strings.NewReplacer("&", "&amp;", "+", " ").Replace(l) },
		"HTML numbers":                   func(l string) any { return strings.NewReplacer("?", "&#63;", "=", "&#x3d;", "+", "&#43;").Replace(l) },
		"HTML link":                      func(l string) any { return `<a href="` + html.EscapeString(l) + `">play</a>` },
		"slashes escaped as in JSON":     func(l string) any { return strings.ReplaceAll(l, "/", `\/`) },
		"JSON in text":                   func(l string) any { text, _ := json.Marshal(map[string]any{"url": l}); return string(text) },
		"escapes of code points in text": func(l string) any { return strings.NewReplacer("?", `\u003f`, "=", `\u003d`, "/", `\u002f`).Replace(l) },
		"the last part without pad":      func(l string) any { return strings.TrimRight(path(before(l)), "=") },
		"the last part within text":      func(l string) any { return "token " + path(before(l)) + " of today" },
		"the query alone":                func(string) any { return "rlt=" + rlt },
		"the query's value alone":        func(string) any { return rlt },
		"the query's value escaped":      func(string) any { return escape(rlt) },
		"a path on the host":             func(l string) any { return l[strings.Index(l, "/play-"):] },
		"in a list in an object":         func(l string) any { return row{"a": []any{row{"b": l}}} },
		"as a field's name":              func(l string) any { return row{l: "x"} },
		"as a field's name, escaped":     func(l string) any { return row{escape(l): 1} },
	}
	var all []example
	for _, name := range slices.Sorted(maps.Keys(forms)) {
		all = append(all, example{"20 " + name, func(t testing.TB) {
			v := newVendor(t)
			r := v.call(100, ago(5)+" 09:00:00", v.recording(100))
			link := r["recording"].([]row)[0]["public_url"].(string)
			r["x1"] = forms[name](link)
			if text, ok := r["x1"].(string); ok {
				r["agent_comment"] = "she said " + text
			}
			r["x2"] = "kept"
			a := onDisk(t, v, ago(5), ago(5))
			a.run().want(0)
			calls := 0
			for file, body := range a.tree() {
				if filepath.Ext(file) == ".mp3" {
					continue
				}
				if strings.HasPrefix(file, "calls/") {
					calls++
					if !bytes.Contains(body, []byte(`"x2":"kept"`)) {
						t.Error("a field without a link is not kept")
					}
				}
				for _, secret := range []string{strings.TrimRight(path(before(link)), "="), rlt[:20], rlt[20:]} {
					if form := found(string(body), secret); form != "" {
						t.Errorf("%s holds a part of the link, %s", file, form)
					}
				}
			}
			if calls == 0 {
				t.Error("no row is kept")
			}
		}})
	}
	return append(all, example{"20 of another recording of the row", func(t testing.TB) {
		v := newVendor(t)
		one, two := v.recording(100), v.recording(101)
		one["note"] = "see also " + escape(two["public_url"].(string))
		v.call(100, ago(5)+" 09:00:00", one, two)
		a := onDisk(t, v, ago(5), ago(5))
		a.run().want(0)
		for file, body := range a.tree() {
			if form := found(string(body), path(before(two["public_url"].(string)))[:40]); form != "" {
				t.Errorf("%s holds a part of the link, %s", file, form)
			}
		}
	}})
}

// found looks for a secret in a text and in all that can be decoded from it, and returns the form in
// which it occurs.
func found(text, secret string) string {
	forms := map[string]string{"plain": text}
	for range 3 {
		next := maps.Clone(forms)
		for how, s := range forms {
			if len(how) > 60 {
				continue
			}
			if u, err := url.QueryUnescape(strings.ReplaceAll(s, "+", "%2B")); err == nil && u != s {
				next[how+", percent-encoded"] = u
			}
			if u := html.UnescapeString(s); u != s {
				next[how+", as HTML"] = u
			}
			if u := strings.NewReplacer(`\\u003f`, "?", `\\u003d`, "=", `\\u002f`, "/", `\/`, "/", `\\/`, "/").Replace(s); u != s {
				next[how+", escaped"] = u
			}
		}
		forms = next
	}
	for how, s := range forms {
		s = strings.ReplaceAll(s, " ", "+")
		folded := strings.ToLower(s)
		if strings.Contains(folded, strings.ToLower(secret)) {
			return how
		}
		if strings.Contains(folded, hex.EncodeToString([]byte(secret))) {
			return how + ", in hex"
		}
		for shift := range 3 {
			// The characters that depend only on the secret.
			padded := strings.Repeat("\x00", shift) + secret
			once := base64.StdEncoding.EncodeToString([]byte(padded))[(shift*8+5)/6 : len(padded)/3*4]
			for _, form := range []string{once, strings.NewReplacer("+", "-", "/", "_").Replace(once)} {
				if strings.Contains(s, form) {
					return how + ", in base64"
				}
			}
		}
	}
	return ""
}
