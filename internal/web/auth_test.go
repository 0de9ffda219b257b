package web

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/bcrypt"

	"convoso-archiver/internal/web/webtest"
)

func hashOf(t *testing.T, password string) string {
	t.Helper()
	hash, err := bcrypt.GenerateFromPassword([]byte(password), bcrypt.MinCost)
	if err != nil {
		t.Fatal(err)
	}
	return string(hash)
}

func basic(name, password string) []string {
	return []string{"Authorization", "Basic " + base64.StdEncoding.EncodeToString([]byte(name+":"+password))}
}

func TestParseUsers(t *testing.T) {
	hash := hashOf(t, "secret")
	for _, test := range []struct {
		name, text string
		problem    string // "" for none
	}{
		{"plain", "anna:" + hash + "\n", ""},
		{"rights", "# the team\n\nanna:" + hash + ":listen,download,numbers;campaigns=12,Solar West;agents=3001\r\n", ""},
		{"by header alone", "anna:-:audit", ""},
		{"byte-order mark", "\xef\xbb\xbfanna:" + hash, ""},
		{"not a line", "anna:" + hash + "\nben\n", "line 2: it is not NAME:HASH"},
		{"no name", ":" + hash, "line 1: it is not NAME:HASH"},
		{"MD5", "anna:$apr1$xxxxxxxx$yyyyyyyyyyyyyyyyyyyyyy", "line 1: the hash is not a bcrypt hash"},
		{"SHA", "anna:{SHA}W6ph5Mm5Pz8GgiULbPgzG37mj9g=", "line 1: the hash is not a bcrypt hash"},
		{"password as it is", "anna:secret", "line 1: the hash is not a bcrypt hash"},
		{"cut hash", "anna:" + hash[:40], "line 1: the hash is not a bcrypt hash"},
		{"dear hash", "anna:$2y$20$" + hash[7:], "line 1: the cost of the hash is above 15"},
		{"unknown right", "anna:" + hash + ":listen,fly", "line 1: unknown right"},
		{"no right", "anna:" + hash + ":", "line 1: unknown right"},
		{"numbers alone", "anna:" + hash + ":numbers", "line 1: download and numbers need listen"},
		{"unknown limit", "anna:" + hash + ":listen;lists=5", "line 1: unknown limit"},
		{"limit after a comma", "anna:" + hash + ":listen,campaigns=5051", "line 1: unknown limit: write ;campaigns= or ;agents=, with an s, after the rights, as in listen;campaigns=5051"},
		{"limit in singular", "anna:" + hash + ":listen;campaign=5051", "line 1: unknown limit: write ;campaigns= or ;agents=, with an s, after the rights, as in listen;campaigns=5051"},
		{"limit without a right", "anna:" + hash + ":campaigns=5051;agents=3001", "line 1: limits without a right allow nothing; put a right before them, as in listen;campaigns=5051"},
		{"limit of audit", "anna:" + hash + ":audit;campaigns=5051", ""},
		{"empty limit", "anna:" + hash + ":listen;campaigns=", "line 1: campaigns has no value"},
		{"limit twice", "anna:" + hash + ":listen;agents=1;agents=2", "line 1: agents is given twice"},
		{"not a limit", "anna:" + hash + ":listen;12", "line 1: a limit is written like"},
		{"twice", "anna:" + hash + "\n#\nanna:" + hash, "line 3: the user is named twice"},
		{"empty", "# nobody\n", "it names no user"},
	} {
		_, err := parseUsers([]byte(test.text + "\n"))
		switch {
		case test.problem == "" && err != nil:
			t.Errorf("%s: %v", test.name, err)
		case test.problem != "" && (err == nil || !strings.Contains(err.Error(), test.problem)):
			t.Errorf("%s: %v, want %q", test.name, err, test.problem)
		case err != nil && (strings.Contains(err.Error(), "secret") || strings.Contains(err.Error(), hash[:30]) || strings.Contains(err.Error(), "anna")):
			t.Errorf("%s: the error repeats the line: %v", test.name, err)
		}
	}
}

// TestUsersFileIsCut checks that a file without a final line feed is refused: the missing part may have been
// a limit.
func TestUsersFileIsCut(t *testing.T) {
	whole := "# the team\nanna:" + hashOf(t, "one") + ":listen;campaigns=12,135\n"
	for _, end := range []int{1, 2, 5, 20} {
		if _, err := parseUsers([]byte(whole[:len(whole)-end])); err == nil || !strings.Contains(err.Error(), "line 2: it has no line feed") {
			t.Errorf("cut by %d: %v", end, err)
		}
	}
}

// users writes a users file and opens it.
func users(t *testing.T, text string) (*Users, string, *logText) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "users")
	if err := os.WriteFile(path, []byte(text+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	log := &logText{}
	u, err := OpenUsers(path, slog.New(slog.NewTextHandler(log, nil)))
	if err != nil {
		t.Fatal(err)
	}
	return u, path, log
}

// TestUsersFileIsWrong: a file that cannot be used is logged once for each change, and is read as soon as it can be.
func TestUsersFileIsWrong(t *testing.T) {
	u, path, log := users(t, "anna:-")
	logged := 0
	look := func(what string, lines int) {
		t.Helper()
		for range 3 {
			u.checked = time.Time{} // as if a second had passed
			u.find("anna")
		}
		if logged += lines; strings.Count(log.String(), "level=ERROR") != logged {
			t.Errorf("%s: want %d more, the log is %s", what, lines, log)
		}
	}
	do := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	write := func(text string) { t.Helper(); do(os.WriteFile(path, []byte(text), 0o600)) }
	look("nothing has changed", 0)
	write("anna:-\nben:-:listen;camp")
	look("incomplete", 1)
	write("anna:-\nben:-:listen;campa")
	look("still incomplete", 1)
	if want := "line 2: it has no line feed"; strings.Count(log.String(), want) != 2 {
		t.Errorf("the log lacks %q: %s", want, log)
	}
	do(os.Remove(path))
	look("gone", 1)
	do(os.Mkdir(path, 0o700))
	look("a folder", 1)
	do(os.Remove(path))
	look("gone again", 1)
	write("anna:-\nben:-\n")
	look("right", 0)
	if _, ok := u.find("ben"); !ok {
		t.Error("the list is not obeyed")
	}
	do(os.Remove(path))
	look("gone after it was right", 1)
}

// TestUsersFileChanges changes the file under a running server: to a valid one, to an invalid one,
// and to none.
func TestUsersFileChanges(t *testing.T) {
	u, path, log := users(t, "anna:"+hashOf(t, "one"))
	change := func(text string) {
		t.Helper()
		if err := os.WriteFile(path, []byte(text+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		u.checked = time.Time{} // as if a second had passed
	}
	login := func(name, password string) bool {
		_, proved := u.proved(name, password)
		_, ok := u.login(name, password)
		return proved || ok
	}
	if !login("anna", "one") || login("anna", "two") || login("ben", "one") || login("anna", "") {
		t.Error("the first list is not obeyed")
	}
	if _, ok := u.proved("anna", "one"); !ok {
		t.Error("a password that was right is not remembered")
	}
	change("anna:" + hashOf(t, "two") + "\nben:" + hashOf(t, "three") + ":listen,download")
	if _, ok := u.proved("anna", "one"); ok || login("anna", "one") || !login("anna", "two") || !login("ben", "three") {
		t.Error("the second list is not obeyed")
	}
	if r, ok := u.find("ben"); !ok || !r.Download || r.Numbers {
		t.Errorf("ben has %+v", r)
	}
	change("anna:" + hashOf(t, "two") + "\nben:nothing of the kind\n")
	if !login("ben", "three") || !strings.Contains(log.String(), "line 2: the hash is not a bcrypt hash") {
		t.Errorf("a bad line: the log is %s", log)
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	u.checked = time.Time{}
	if !login("ben", "three") {
		t.Error("without the file, nobody is known")
	}
	change("anna:" + hashOf(t, "two"))
	if login("ben", "three") || !login("anna", "two") {
		t.Error("the last list is not obeyed")
	}
	if _, err := OpenUsers(path+"x", slog.New(slog.DiscardHandler)); err == nil {
		t.Error("a file that is missing is no mistake")
	}
}

// TestLimitsAreLost checks that a reload says how many users have no limits, and warns if a user has lost them, without
// names.
func TestLimitsAreLost(t *testing.T) {
	u, path, log := users(t, "anna:-\nben:-:listen;campaigns=12,Solar\ncleo:-:listen;agents=3001\nofficer:-:audit")
	if got := u.Campaigns(); !slices.Equal(got, []string{"12", "Solar"}) {
		t.Errorf("the file limits users to %v", got)
	}
	for _, test := range []struct {
		name, text, said string
		warns            bool
	}{
		{"a new limit", "anna:-:listen;campaigns=13\nben:-:listen;campaigns=12\ncleo:-:listen;agents=3001\nofficer:-:audit", "users=4 without_limits=0", false},
		{"a new user without limits", "anna:-:listen;campaigns=13\nben:-:listen;campaigns=12\ncleo:-\ndora:-", "users=4 without_limits=2", true},
		{"a dropped field", "anna:-:listen;campaigns=13\nben:-\ncleo:-\ndora:-", "users=4 without_limits=3", true},
		{"no change of limits", "anna:-:listen;campaigns=14\nben:-\ncleo:-\ndora:-\nemil:-", "users=5 without_limits=4", false},
	} {
		before := len(log.String())
		if err := os.WriteFile(path, []byte(test.text+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		u.checked = time.Time{}
		u.find("anna")
		said := log.String()[before:]
		if warns := strings.Contains(said, "users who had limits see all calls now"); warns != test.warns || !strings.Contains(said, test.said) {
			t.Errorf("%s: the log says %s", test.name, said)
		}
		if strings.Contains(said, "ben") || strings.Contains(said, "cleo") {
			t.Errorf("%s: the log names a user: %s", test.name, said)
		}
	}
	if got := u.Campaigns(); !slices.Equal(got, []string{"14"}) {
		t.Errorf("the changed file limits users to %v", got)
	}
}

func TestLogin(t *testing.T) {
	list, _, _ := users(t, "anna:"+hashOf(t, "open: sésame")+"\nproxied:-:listen")
	s := serve(t, func(c *Config) { c.Users, c.Everybody = list, Rights{} })
	for _, path := range []string{"/", "/calls", "/completeness", "/metrics", "/assets/style.css", audioPath(stored(shared.world, "12")), "/nothing"} {
		got := s.get(path)
		got.want(t, 401)
		if !strings.HasPrefix(got.header.Get("WWW-Authenticate"), "Basic ") {
			t.Errorf("%s: no login is asked for", path)
		}
	}
	s.get("/calls", basic("anna", "open: sésame")...).want(t, 200, "anna")
	s.get("/calls", basic("anna", "wrong")...).want(t, 401)
	s.get("/calls", basic("proxied", "-")...).want(t, 401)
	s.get("/calls", basic("proxied", "")...).want(t, 401)
	s.get("/calls", "Authorization", "Bearer x").want(t, 401)
	s.get("/calls", "X-Remote-User", "anna").want(t, 401)
	s.get("/healthz").want(t, 200, "ok")
	if strings.Contains(s.log.String(), "sésame") || strings.Contains(s.log.String(), "wrong") {
		t.Error("a password is in the log")
	}
}

// TestBruteForce guesses passwords until the address has to wait, sequentially and in parallel.
func TestBruteForce(t *testing.T) {
	list, _, _ := users(t, "anna:"+hashOf(t, "right"))
	s := serve(t, func(c *Config) { c.Users = list })
	s.get("/calls", basic("anna", "right")...).want(t, 200)
	for i := range freeFailures {
		s.get("/calls", basic("anna", fmt.Sprint(i))...).want(t, 401)
	}
	got := s.get("/calls", basic("anna", "guess")...)
	got.want(t, 429, "Too many logins failed from your address.")
	if got.header.Get("Retry-After") == "" {
		t.Error("it is not said how long to wait")
	}
	s.get("/calls", basic("anna", "right")...).want(t, 200) // a logged-in user stays logged in
}

func TestFailures(t *testing.T) {
	var f failures
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	for i := range freeFailures {
		if f.enter("10.0.0.1", now) != 0 {
			t.Errorf("try %d has to wait", i)
		}
	}
	if wait := f.enter("10.0.0.1", now); wait != firstWait {
		t.Errorf("it waits %s", wait)
	}
	if f.enter("10.0.0.2", now) != 0 {
		t.Error("another address has to wait")
	}
	now = now.Add(firstWait)
	if f.enter("10.0.0.1", now) != 0 || f.enter("10.0.0.1", now) != 2*firstWait {
		t.Error("the wait does not grow")
	}
	if f.enter("10.0.0.1", now.Add(failuresKept+time.Second)) != 0 {
		t.Error("it is not forgotten")
	}
	for i := range freeFailures {
		f.enter(fmt.Sprintf("2001:db8::%x", i), now)
	}
	if f.enter("2001:db8::ffff", now) == 0 || f.enter("2001:db8:0:1::1", now) != 0 {
		t.Error("an IPv6 network is not taken for one")
	}
	for i := range 2 * maxAddresses {
		f.enter(netip.AddrFrom4([4]byte{11, byte(i >> 16), byte(i >> 8), byte(i)}).String(), now)
	}
	if len(f.count) > maxAddresses {
		t.Errorf("it knows %d addresses", len(f.count))
	}
	f = failures{}
	for range 3 * freeFailures {
		if f.enter("10.0.0.1", now) != 0 {
			t.Fatal("logins that are right have to wait")
		}
		f.forgive("10.0.0.1")
	}
	if waitAfter(1000) != longestWait {
		t.Error("the wait has no line feed")
	}
}

func TestProxy(t *testing.T) {
	list, _, _ := users(t, "anna:-:listen,numbers\nofficer:-:audit")
	loopback := []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}
	elsewhere := []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}
	for _, test := range []struct {
		name    string
		trusted []netip.Prefix
		users   *Users
		rights  Rights
		headers []string
		status  int
		part    string
	}{
		{"named", loopback, list, Rights{}, []string{"X-Remote-User", "anna"}, 200, "(550) 867-"},
		{"unknown", loopback, list, Rights{}, []string{"X-Remote-User", "ben"}, 403, "You may not see this archive."},
		{"unknown, with rights for everybody", loopback, list, Rights{Listen: true}, []string{"X-Remote-User", "ben"}, 200, "•••5359"},
		{"without a file", loopback, nil, Rights{Listen: true}, []string{"X-Remote-User", "ben"}, 200, "•••5359"},
		{"without the header", loopback, nil, Rights{Listen: true}, nil, 401, "You are not logged in."},
		{"empty header", loopback, nil, Rights{Listen: true}, []string{"X-Remote-User", ""}, 401, ""},
		{"header twice", loopback, nil, Rights{Listen: true}, []string{"X-Remote-User", "anna", "X-Remote-User", "ben"}, 401, ""},
		{"odd name", loopback, nil, Rights{Listen: true}, []string{"X-Remote-User", strings.Repeat("a", 300)}, 403, ""},
		{"from anybody", elsewhere, list, Rights{Listen: true}, []string{"X-Remote-User", "anna"}, 401, ""},
		{"from anybody, without a file", elsewhere, nil, Rights{Listen: true}, []string{"X-Remote-User", "anna"}, 401, "You are not logged in."},
		{"officer", loopback, list, Rights{}, []string{"X-Remote-User", "officer"}, 303, ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := serve(t, func(c *Config) {
				c.AuthHeader, c.TrustedProxies, c.Users, c.Everybody = "X-Remote-User", test.trusted, test.users, test.rights
			})
			s.get("/calls", test.headers...).want(t, test.status, test.part)
		})
	}
}

// TestProxyWithPassword sends names and passwords through a proxy that checks nothing and names whom the client claims
// to be.
func TestProxyWithPassword(t *testing.T) {
	list, _, _ := users(t, "anna:"+hashOf(t, "secret")+"\nben:-")
	s := serve(t, func(c *Config) {
		c.AuthHeader, c.TrustedProxies, c.Users, c.Everybody = "X-Remote-User", []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}, list, Rights{Listen: true}
	})
	encoded := basic("anna", "wrong")[1][len("Basic "):]
	for _, test := range []struct {
		name, user, authorization string
		status                    int
	}{
		{"correct", "anna", basic("anna", "secret")[1], 200},
		{"remembered", "anna", basic("anna", "secret")[1], 200},
		{"wrong", "anna", basic("anna", "wrong")[1], 401},
		{"empty", "anna", basic("anna", "")[1], 401},
		{"of another user", "anna", basic("ben", "secret")[1], 401},
		{"with two blanks", "anna", "basic  " + encoded, 401},
		{"with a rest after it", "anna", "Basic " + encoded + "=!", 401},
		{"none", "anna", "", 200},
		{"a token", "anna", "Bearer " + encoded, 200},
		{"of a user without a password here", "ben", basic("ben", "of the proxy")[1], 200},
		{"of a user who is not listed", "cleo", basic("cleo", "of the proxy")[1], 200},
	} {
		s.t = t
		if got := s.get("/calls", "X-Remote-User", test.user, "Authorization", test.authorization); got.status != test.status {
			t.Errorf("%s: status %d, want %d", test.name, got.status, test.status)
		}
	}
	for range freeFailures {
		s.get("/calls", "X-Remote-User", "anna", "Authorization", basic("anna", "guess")[1])
	}
	s.get("/calls", "X-Remote-User", "anna", "Authorization", basic("anna", "guess")[1]).want(t, 429)
}

func TestClientAddress(t *testing.T) {
	list, _, _ := users(t, "anna:-")
	s := serve(t, func(c *Config) {
		c.AuthHeader, c.TrustedProxies, c.Users = "X-User", []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("10.1.0.0/16")}, list
		c.Log = OpenAccessLog(&memory{})
	})
	for forwarded, want := range map[string]string{
		"192.0.2.7": "192.0.2.7", "203.0.113.9, 192.0.2.7": "192.0.2.7", "192.0.2.7, 10.1.2.3": "192.0.2.7", "evil": "127.0.0.1", "": "127.0.0.1",
		"192.0.2.7, evil": "127.0.0.1", "::ffff:192.0.2.8": "192.0.2.8",
	} {
		s.server.plays.mu.Lock()
		clear(s.server.plays.open) // each request starts a session
		s.server.plays.mu.Unlock()
		s.get(audioPath(stored(shared.world, "12")), "X-User", "anna", "X-Forwarded-For", forwarded).want(t, 200)
		lines := s.server.Log.segments.(*memory).lines(t)
		if n := len(lines); n == 0 || lines[n-1].From != want {
			t.Errorf("%q: from %+v, want %s", forwarded, lines, want)
		}
	}
}

// TestRights requests every page as every kind of user.
func TestRights(t *testing.T) {
	list, _, _ := users(t, strings.Join([]string{
		"listener:-", "loader:-:listen,download", "seer:-:listen,download,numbers", "officer:-:audit", "west:-:listen,download;campaigns=12",
		"east:-:listen,download,numbers;campaigns=Solar East", "ana:-:listen;agents=3001", "chief:-:listen,download,audit;campaigns=12",
	}, "\n"))
	s := serve(t, func(c *Config) {
		c.AuthHeader, c.TrustedProxies, c.Users, c.Everybody = "X-User", []netip.Prefix{netip.MustParsePrefix("127.0.0.1/32")}, list, Rights{}
	})
	west, east := stored(shared.world, "12"), stored(shared.world, "13")
	zip := func(r webtest.Recording) url.Values { return url.Values{"call": {r.Day + "/" + r.CallID}} }
	for _, test := range []struct {
		user, method, path string
		form               url.Values
		status             int
		has, lacks         string
	}{
		{"listener", "GET", "/calls", nil, 200, "•••5359", "ZIP of the selection"},
		{"listener", "GET", audioPath(west), nil, 200, "RIFF", ""},
		{"listener", "GET", audioPath(west) + "?download=1", nil, 403, "You may not download", "RIFF"},
		{"listener", "POST", "/zip", zip(west), 403, "", "PK"},
		{"listener", "POST", "/csv", url.Values{}, 403, "", "call_date"},
		{"listener", "GET", "/completeness", nil, 200, "2 closed, ", ""},
		{"listener", "GET", "/calls?number=8675359", nil, 400, "you may not see numbers", ""},
		{"listener", "GET", "/calls?number=75359", nil, 400, "you may not see numbers", ""},
		{"listener", "GET", "/calls?number=5359", nil, 200, "•••5359", ""},
		{"listener", "GET", "/calls?number=5508675359", nil, 200, "•••5359", ""},
		{"listener", "GET", "/calls?phone-number=867-5359", nil, 200, "No call matches", ""},
		{"loader", "GET", audioPath(west) + "?download=1", nil, 200, "RIFF", ""},
		{"loader", "POST", "/zip", zip(west), 200, "PK", ""},
		{"loader", "POST", "/csv", url.Values{}, 200, "•••5359", ""},
		{"loader", "POST", "/csv?number=75359", url.Values{}, 400, "", "call_date"},
		{"seer", "GET", "/calls?number=75359", nil, 200, "(550) 867-5359", ""},
		{"seer", "POST", "/csv", url.Values{}, 200, "(550) 867-5359", ""},
		{"officer", "GET", "/calls", nil, 303, "", "Ana"},
		{"officer", "GET", "/completeness?day=" + webtest.LossDay, nil, 200, "the vendor no longer has it", "Calls of this day"},
		{"officer", "GET", audioPath(west), nil, 404, "", "RIFF"},
		{"officer", "GET", "/call/" + west.Day + "/" + west.CallID, nil, 404, "", "Ana"},
		{"officer", "POST", "/zip", zip(west), 403, "", "PK"},
		{"officer", "POST", "/csv", url.Values{}, 403, "", "call_date"},
		{"west", "GET", "/calls", nil, 200, "35 calls", "Solar East"},
		{"west", "GET", "/calls?campaign=13", nil, 200, "No call matches", "Solar East"},
		{"west", "GET", audioPath(west), nil, 200, "RIFF", ""},
		{"west", "GET", audioPath(east), nil, 404, "There is no such recording.", "RIFF"},
		{"west", "GET", "/call/" + east.Day + "/" + east.CallID, nil, 404, textUnseen, "Solar East"},
		{"west", "GET", "/calls?call=" + east.Day + "/" + east.CallID, nil, 200, textUnseen, "Solar East"},
		{"west", "POST", "/zip", zip(east), 404, "One of these calls does not exist.", "PK"},
		{"west", "POST", "/zip", url.Values{"call": {west.Day + "/" + west.CallID, east.Day + "/" + east.CallID}}, 404, "", "PK"},
		{"west", "POST", "/listen", url.Values{"day": {east.Day}, "recording": {east.ID}}, 404, "", ""},
		{"west", "POST", "/csv", url.Values{}, 200, "Solar West", "Solar East"},
		{"west", "GET", "/completeness?day=" + webtest.LossDay, nil, 200, "reasons and counts are hidden", "recordings archived"},
		{"east", "GET", audioPath(east), nil, 200, "RIFF", ""},
		{"east", "GET", audioPath(west), nil, 404, "", "RIFF"},
		{"ana", "GET", "/calls", nil, 200, "Ana Núñez", "Ben Low"},
		{"chief", "GET", "/completeness?day=" + webtest.LossDay, nil, 200, "recordings archived", ""},
		{"officer", "GET", "/metrics", nil, 200, "recordings{outcome=\"lost\"}", ""},
		{"listener", "GET", "/metrics", nil, 200, "recordings{outcome=\"lost\"}", ""},
		{"chief", "GET", "/metrics", nil, 200, "recordings{outcome=\"lost\"}", ""},
		{"west", "GET", "/metrics", nil, 403, "You see only some campaigns or agents, and these metrics count all calls.", "convoso_archiver_"},
		{"ana", "GET", "/metrics", nil, 403, "who is not limited to campaigns or agents, or who has the right audit.", "convoso_archiver_"},
		{"nobody", "GET", "/metrics", nil, 403, "", "convoso_archiver_"},
		{"nobody", "GET", "/calls", nil, 403, "You may not see this archive.", "Ana"},
		{"nobody", "GET", audioPath(west), nil, 403, "", "RIFF"},
	} {
		t.Run(test.user+" "+test.method+" "+test.path, func(t *testing.T) {
			s.t = t
			got := s.ask(test.method, test.path, test.form, "X-User", test.user)
			got.want(t, test.status, test.has)
			if test.lacks != "" && strings.Contains(got.body, test.lacks) {
				t.Errorf("the answer holds %q: %.600s", test.lacks, got.body)
			}
			if test.user != "seer" && test.user != "east" && !strings.Contains(test.path, "867") {
				wantNoNumbers(t, test.path, got.body)
				wantNoNumbers(t, "the headers", fmt.Sprint(got.header))
			}
		})
	}
	wantNoNumbers(t, "the log", s.log.String())
}

// TestDetailsAreMasked checks every call for a user who may not see numbers.
func TestDetailsAreMasked(t *testing.T) {
	s := serve(t, func(c *Config) { c.Everybody = Rights{Listen: true, Download: true} })
	for _, c := range shared.world.Calls {
		got := s.get("/call/" + c.Day + "/" + c.ID)
		got.want(t, 200, "Numbers are masked", "Call back at •••53")
		wantNoNumbers(t, c.ID, got.body)
		if strings.Contains(got.body, "all.wav") {
			t.Errorf("%s: a file's name is shown", c.ID)
		}
	}
	seeing := serve(t, nil)
	r := stored(shared.world, "12")
	seeing.get("/call/"+r.Day+"/"+r.CallID).want(t, 200, r.Key, "1550867", "filename")
}

func TestMask(t *testing.T) {
	for in, want := range map[string]string{
		"": "", "(550) 867-5309": "•••5309", "15508675309": "•••5309", "+1 550 867 5309": "•••5309", "5309": "•••", "123456": "•••", "1234567": "•••4567", "anonymous": "•••",
	} {
		if got := maskNumber(in); got != want {
			t.Errorf("%q is masked as %q", in, got)
		}
	}
	m := newMasker(&user{})
	for in, want := range map[string]string{
		"call 550-867-5309 now": "call •••5309 now", "at 3pm, 12 items": "at 3pm, 12 items", "+1 (550) 867-5309/15508675310": "•••5310", "550.867.5309": "•••5309",
		"5 5 0 8 6 7 5 3 0 9": "•••5309", "550–867–5309": "•••5309", "room 123456": "room 123456",
	} {
		if got := m.text(in); got != want {
			t.Errorf("%q becomes %q, want %q", in, got, want)
		}
	}
}

// TestMaskSession checks that the id of a session is shown, unless it may hold a number.
func TestMaskSession(t *testing.T) {
	const id = "54e763323127574e3795008b41e36162@192.0.0.0:5060"
	for in, want := range map[string]string{
		id: id, "54e763323127574e3795008b41e36162@[2001:db8::1]:5060": "54e763323127574e3795008b41e36162@[2001:db8::1]:5060",
		"54e763323127574e3755086753091e36@192.0.0.0:5060": "54e•••7574e•••3091e•••5060", // has the number of the call
		"5508675309@192.0.0.0:5060":                       "•••5060",
		"54e763323127574e3795008b41e36162@5508675309":     "54e•••7574e•••5008b41e•••5309",
		"12345678901234567890123456789012@192.0.0.0:5060": "•••5060",
	} {
		row, err := json.Marshal(map[string]string{"session_id": in, "phone_number": "(550) 867-5309"})
		if err != nil {
			t.Fatal(err)
		}
		got := newMasker(&user{}).row(row)
		if text := got[1].Value; got[1].Name != "session_id" || text != want {
			t.Errorf("%s is shown as %s, want %s", in, text, want)
		}
	}
}
