package fetcher

import (
	"net/url"
	"testing"
)

func TestAllowedHosts(t *testing.T) {
	hosts, err := ParseAllowedHosts([]string{"*.convoso.com", "media.example.org", "http://127.0.0.1:9000", "https://other.example.org:8443"})
	if err != nil {
		t.Fatal(err)
	}
	for address, want := range map[string]bool{
		"https://admin-dt.convoso.com/a":          true,
		"https://a.b.CONVOSO.com/a":               true,
		"https://a.convoso.com:443/":              true,
		"https://a.convoso.com./":                 true,
		"HTTPS://A.CONVOSO.COM.:443/":             true,
		"http://127.0.0.1.:9000/x":                true,
		"https://convoso.com/":                    false,
		"https://evilconvoso.com/":                false,
		"https://a.convoso.com.evil.example/":     false,
		"http://a.convoso.com/":                   false,
		"https://a.convoso.com:8443/":             false,
		"https://user:pass@a.convoso.com/":        false,
		"https://media.example.org/":              true,
		"https://sub.media.example.org/":          false,
		"http://127.0.0.1:9000/x":                 true,
		"https://127.0.0.1:9000/x":                false,
		"http://127.0.0.1:9001/x":                 false,
		"http://localhost:9000/x":                 false,
		"https://other.example.org:8443/":         true,
		"https://other.example.org/":              false,
		"ftp://a.convoso.com/":                    false,
		"https://a.convoso.com@evil.example/path": false,
	} {
		u, err := url.Parse(address)
		if err != nil {
			t.Fatal(err)
		}
		if got := hosts.allows(u); got != want {
			t.Errorf("%s: %v", address, got)
		}
	}
	if !hosts.allowsDial("127.0.0.1:9000") || !hosts.allowsDial("Other.Example.ORG.:8443") || hosts.allowsDial("127.0.0.1:80") {
		t.Error("dialling follows the origins")
	}
	for _, bad := range []string{"", "a b", "http://", "ftp://x", "https://x/path", "https://u@x", "*", "a/b", "*.", "x:80"} {
		if bad == "*." {
			continue
		}
		if _, err := ParseAllowedHosts([]string{bad}); err == nil {
			t.Errorf("%q was taken", bad)
		}
	}
}

func TestExactURL(t *testing.T) {
	for raw, want := range map[string]string{
		"https://h/play/JTdC+a/b==?rlt=x+y/z": "/play/JTdC+a/b==?rlt=x+y/z",
		"https://h":                           "/",
		"https://h?x=1":                       "/?x=1",
		"https://h/a|b^c?d{e}":                "/a|b^c?d{e}",
		"https://h/%7Ea%2fb?c=%2B":            "/%7Ea%2fb?c=%2B",
		"https://h/a[b]":                      "/a[b]",
		"https://h/caf\u00e9":                 "/caf\u00e9",
		"https://h/a?b?c":                     "/a?b?c",
		"https://h/a?":                        "/a?",
		"https://h/a#fragment":                "/a",
		"https://h/a b?c= d":                  "/a%20b?c=%20d",
		"https://h/100%?c=%zz":                "/100%?c=%zz",
		"https://h/%2":                        "/%2",
	} {
		u, err := exactURL(Secret(raw))
		if err != nil {
			t.Errorf("%s: %v", raw, err)
			continue
		}
		if got := u.RequestURI(); got != want || u.Host != "h" {
			t.Errorf("%s: %s at %s", raw, got, u.Host)
		}
	}
	for _, raw := range []string{"", "/a", "h/a", "ftp://h/a", "https:///a", "https://h/a\nb", "javascript:alert(1)"} {
		if u, err := exactURL(Secret(raw)); err == nil {
			t.Errorf("%q became %q", raw, u.RequestURI())
		}
	}
}
