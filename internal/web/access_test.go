package web

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// memory is an access log for tests, which can be told to fail.
type memory struct {
	mu     sync.Mutex
	text   []byte
	broken bool
}

func (m *memory) Append(_ context.Context, _ string, lines []byte) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.broken {
		return errors.New("the disk is full")
	}
	m.text = append(m.text, lines...)
	return nil
}

func (m *memory) Close() error { return nil }

func (m *memory) lines(t *testing.T) []Access {
	t.Helper()
	m.mu.Lock()
	defer m.mu.Unlock()
	return readLines(t, string(m.text))
}

func readLines(t *testing.T, text string) []Access {
	t.Helper()
	var list []Access
	scan := bufio.NewScanner(strings.NewReader(text))
	for scan.Scan() {
		var a Access
		if err := json.Unmarshal(scan.Bytes(), &a); err != nil {
			t.Fatalf("%v: %s", err, scan.Text())
		}
		list = append(list, a)
	}
	return list
}

// noted starts a server with an access log, for users named by a header.
func noted(t *testing.T, change func(*Config)) (*site, *memory) {
	log := &memory{}
	s := serve(t, func(c *Config) {
		c.AuthHeader, c.TrustedProxies, c.Everybody = "X-User", []netip.Prefix{netip.MustParsePrefix("127.0.0.1/32")}, Rights{Listen: true, Download: true}
		c.Log = OpenAccessLog(log)
		if change != nil {
			change(c)
		}
	})
	t.Cleanup(func() { _ = s.server.Log.Close() })
	return s, log
}

func TestAccessLog(t *testing.T) {
	s, log := noted(t, nil)
	r, other := stored(shared.world, "12"), stored(shared.world, "13")
	began := time.Now().Add(-time.Second)
	for range 2 { // the page draws it before anybody presses Play
		s.get(audioPath(r)+"?waveform", "X-User", "anna").want(t, 200)
	}
	for _, at := range []string{"bytes=0-", "bytes=100-", "bytes=2000-3000"} { // one session of listening
		s.get(audioPath(r), "X-User", "anna", "Range", at).want(t, 206)
	}
	s.get(audioPath(r), "X-User", "ben").want(t, 200)
	s.get(audioPath(other), "X-User", "anna").want(t, 200)
	s.get(audioPath(r)+"?download=1", "X-User", "anna").want(t, 200)
	s.ask("POST", "/zip", url.Values{"call": {r.Day + "/" + r.CallID}, "reason": {"case 7"}}, "X-User", "anna").want(t, 200)
	s.ask("POST", "/csv?agent=3001", url.Values{}, "X-User", "anna").want(t, 200)
	s.get("/calls", "X-User", "anna").want(t, 200)
	for range 2 { // once per opening
		s.get("/call/"+r.Day+"/"+r.CallID, "X-User", "anna").want(t, 200)
		s.get("/calls?call="+url.QueryEscape(r.Day+"/"+r.CallID), "X-User", "anna").want(t, 200)
	}
	s.get("/calls?call="+url.QueryEscape(other.Day+"/"+other.CallID), "X-User", "ben").want(t, 200)
	s.get("/call/2025-05-27/none", "X-User", "anna").want(t, 404)
	s.get("/audio/2025-05-27/none", "X-User", "anna").want(t, 404)
	var got []string
	for _, line := range log.lines(t) {
		got = append(got, strings.Join([]string{line.User, line.What, line.RecordingID, line.CallID, line.Reason}, " "))
		if line.V != 1 || line.Kind != "access" || line.Time.Before(began) || line.From != "127.0.0.1" || line.What != "csv" && line.Day != "2025-05-27" {
			t.Errorf("%+v", line)
		}
		if line.What == "csv" && len(line.CallIDs) != 24 {
			t.Errorf("a list of %d calls, want 24", len(line.CallIDs))
		}
	}
	want := []string{
		"anna waveform " + r.ID + " " + r.CallID + " ", "anna play " + r.ID + " " + r.CallID + " ", "ben play " + r.ID + " " + r.CallID + " ", "anna play " + other.ID + " " + other.CallID + " ",
		"anna download " + r.ID + " " + r.CallID + " ", "anna zip " + r.ID + " " + r.CallID + " case 7", "anna csv   ",
		"anna details  " + r.CallID + " ", "ben details  " + other.CallID + " ",
	}
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("the log holds\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	wantNoNumbers(t, "the access log", string(log.text))
	for _, personal := range []string{"Neil", "Mary", "soon", ".wav", "agent="} {
		if strings.Contains(string(log.text), personal) {
			t.Errorf("the access log holds %q", personal)
		}
	}
}

// TestAccessLogThatFails checks that nothing is sent while the log cannot be written.
func TestAccessLogThatFails(t *testing.T) {
	s, log := noted(t, nil)
	r := stored(shared.world, "12")
	log.broken = true
	for range 2 {
		got := s.get(audioPath(r), "X-User", "anna")
		got.want(t, 503, "The access log cannot be written.")
		if strings.Contains(got.body, "RIFF") {
			t.Error("something is played")
		}
	}
	s.get(audioPath(r)+"?download=1", "X-User", "anna").want(t, 503)
	s.ask("POST", "/zip", url.Values{"call": {r.Day + "/" + r.CallID}}, "X-User", "anna").want(t, 503)
	s.ask("POST", "/csv", url.Values{}, "X-User", "anna").want(t, 503)
	s.get("/calls", "X-User", "anna").want(t, 200) // a list is shown
	for _, path := range []string{"/call/" + r.Day + "/" + r.CallID, "/calls?call=" + url.QueryEscape(r.Day+"/"+r.CallID)} {
		s.get(path, "X-User", "anna").want(t, 503, "The access log cannot be written.")
	}
	log.broken = false
	s.get(audioPath(r), "X-User", "anna").want(t, 200)
}

// TestAccessLogOfRefusals checks that a download without the right to it is logged, and refused even if the log
// fails.
func TestAccessLogOfRefusals(t *testing.T) {
	s, log := noted(t, func(c *Config) { c.Everybody.Download = false })
	r := stored(shared.world, "12")
	for _, broken := range []bool{false, true} {
		log.broken = broken
		s.get(audioPath(r)+"?download=1", "X-User", "anna").want(t, 403)
		s.ask("POST", "/zip", url.Values{"call": {r.Day + "/" + r.CallID}}, "X-User", "anna").want(t, 403)
		s.ask("POST", "/csv", url.Values{}, "X-User", "anna").want(t, 403)
	}
	var got []string
	for _, line := range log.lines(t) {
		got = append(got, line.User+" "+line.What+" "+line.RecordingID)
	}
	if want := "anna download_refused " + r.ID + ", anna zip_refused , anna csv_refused "; strings.Join(got, ", ") != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestReason(t *testing.T) {
	s, log := noted(t, func(c *Config) { c.RequireReason = true })
	r := stored(shared.world, "12")
	at := url.Values{"day": {r.Day}, "recording": {r.ID}, "reason": {"complaint 12"}}
	s.get(audioPath(r), "X-User", "anna").want(t, 403, "Give a reason before you listen.")
	s.get(audioPath(r)+"?download=1", "X-User", "anna").want(t, 403)
	s.ask("POST", "/zip", url.Values{"call": {r.Day + "/" + r.CallID}}, "X-User", "anna").want(t, 400, "Give a reason.")
	s.ask("POST", "/csv", url.Values{"reason": {"  "}}, "X-User", "anna").want(t, 400)
	s.ask("POST", "/listen", url.Values{"day": {r.Day}, "recording": {r.ID}}, "X-User", "anna").want(t, 400)
	s.ask("POST", "/listen", url.Values{"day": {r.Day}, "recording": {r.ID}, "reason": {strings.Repeat("x", 400)}}, "X-User", "anna").want(t, 400, "too long")
	if n := len(log.lines(t)); n != 0 {
		t.Errorf("%d lines before anything was played", n)
	}
	s.ask("POST", "/listen", at, "X-User", "anna").want(t, 204)
	if n := len(log.lines(t)); n != 0 {
		t.Errorf("%d lines, but a reason alone plays nothing", n)
	}
	for range 2 {
		s.get(audioPath(r)+"?waveform", "X-User", "anna").want(t, 200)
		s.get(audioPath(r), "X-User", "anna").want(t, 200)
	}
	s.get(audioPath(r)+"?download=1", "X-User", "anna").want(t, 200)
	s.get(audioPath(r), "X-User", "ben").want(t, 403) // the reason was given by another user
	s.get(audioPath(r)+"?waveform", "X-User", "ben").want(t, 403)
	s.ask("POST", "/zip", url.Values{"call": {r.Day + "/" + r.CallID}, "reason": {"audit"}}, "X-User", "anna").want(t, 200)
	at.Set("reason", "complaint 13")
	s.ask("POST", "/listen", at, "X-User", "anna").want(t, 204)
	s.get(audioPath(r), "X-User", "anna").want(t, 200)
	var got []string
	for _, line := range log.lines(t) {
		got = append(got, line.User+" "+line.What+" "+line.Reason)
	}
	if want := "anna waveform complaint 12, anna play complaint 12, anna download complaint 12, anna zip audit, anna play complaint 13"; strings.Join(got, ", ") != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

// TestAccessLogOfUnseen checks that the requests of a user with limits for other calls are logged, and with ids only if
// the archive has them.
func TestAccessLogOfUnseen(t *testing.T) {
	s, log := noted(t, func(c *Config) { c.Everybody.Within.Campaigns = []string{"12"} })
	seen, other := stored(shared.world, "12"), stored(shared.world, "13")
	for _, call := range []string{other.Day + "/" + other.CallID, other.Day + "/5508675300", "day/5508675300"} {
		s.get("/call/"+call, "X-User", "anna").want(t, 404, textUnseen)
		s.get("/calls?call="+url.QueryEscape(call), "X-User", "anna").want(t, 200)
	}
	s.get(audioPath(other), "X-User", "anna").want(t, 404)
	s.get(audioPath(other)+"?download=1", "X-User", "anna").want(t, 404)
	s.get("/audio/"+other.Day+"/5508675300", "X-User", "anna").want(t, 404)
	s.ask("POST", "/listen", url.Values{"day": {other.Day}, "recording": {other.ID}}, "X-User", "anna").want(t, 404)
	s.ask("POST", "/zip", url.Values{"call": {seen.Day + "/" + seen.CallID, other.Day + "/" + other.CallID}}, "X-User", "anna").want(t, 404)
	var got []string
	for _, line := range log.lines(t) {
		got = append(got, strings.Join([]string{line.What, line.Day, line.CallID, line.RecordingID}, "|"))
	}
	of := other.Day + "|" + other.CallID + "|"
	want := []string{
		"details_refused|" + of, "details_refused|" + of, "details_refused|" + other.Day + "||", "details_refused|" + other.Day + "||",
		"details_refused|||", "play_refused|" + of + other.ID, "download_refused|" + of + other.ID, "play_refused|" + other.Day + "||",
		"play_refused|" + of + other.ID, "zip_refused|" + of,
	}
	if !slices.Equal(got, want) {
		t.Errorf("the log holds\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	wantNoNumbers(t, "the access log", string(log.text))
	log.broken = true
	s.get(audioPath(other), "X-User", "anna").want(t, 404)
	if said := s.log.String(); !strings.Contains(said, "a refused request is not noted") {
		t.Errorf("the log says %q", said)
	}
}

func TestPlays(t *testing.T) {
	var p plays
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	key := play{playsAudio, "anna", "10.0.0.1", "2025-05-27", "1", ""}
	goesOn := func(now time.Time) bool {
		reason, ok := p.goesOn(key, now)
		return ok && reason == "complaint 12"
	}
	if goesOn(now) {
		t.Error("a session goes on that has not begun")
	}
	p.begin(key, "complaint 12", now)
	if !goesOn(now.Add(sessionEnds)) || !goesOn(now.Add(2*sessionEnds)) || goesOn(now.Add(4*sessionEnds)) {
		t.Error("a session ends too soon or too late")
	}
	for i := range 2 * maxSessions {
		p.begin(play{playsAudio, "anna", "", "", string(rune(i)), ""}, "", now)
	}
	if len(p.open) > maxSessions {
		t.Errorf("%d sessions", len(p.open))
	}
}

// TestFolder checks that a log on disk continues in a new segment after a failure, and never in a
// segment of another run.
func TestFolder(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "log")
	f, err := OpenFolder(dir, "RUN")
	if err != nil {
		t.Fatal(err)
	}
	log := OpenAccessLog(f)
	for _, id := range []string{"1", "2"} {
		if err := log.Write(t.Context(), Access{Time: time.Now(), User: "anna", What: "play", RecordingID: id}); err != nil {
			t.Fatal(err)
		}
	}
	_ = f.file.Close() // like an unplugged disk
	if err := log.Write(t.Context(), Access{What: "play", RecordingID: "3"}); err == nil {
		t.Error("a line is taken that cannot be written")
	}
	if err := log.Write(t.Context(), Access{What: "play", RecordingID: "4"}); err != nil {
		t.Error(err)
	}
	if err := log.Close(); err != nil {
		t.Error(err)
	}
	if err := log.Write(t.Context(), Access{What: "play"}); err == nil {
		t.Error("a closed log takes lines")
	}
	again, err := OpenFolder(dir, "RUN")
	if err != nil {
		t.Fatal(err)
	}
	if err := again.Close(); err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob(filepath.Join(dir, "*", "*.jsonl"))
	if err != nil || len(files) != 3 {
		t.Fatalf("%v, %v", files, err)
	}
	var ids []string
	for _, name := range files {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		for _, line := range readLines(t, string(text)) {
			ids = append(ids, line.RecordingID)
		}
	}
	if strings.Join(ids, " ") != "1 2 4" {
		t.Errorf("the log holds %v", ids)
	}
	if err := os.WriteFile(filepath.Join(t.TempDir(), "x"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := OpenFolder(filepath.Join(dir, filepath.Base(files[0]), "x\x00"), "RUN"); err == nil {
		t.Error("a folder that cannot be made is taken")
	}
}
