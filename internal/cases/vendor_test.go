package cases

import (
	"bytes"
	"cmp"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

const (
	// token and rlt are secrets: every run is searched for them.
	token = "tok-SECRET-1234567890"
	rlt   = "abcdefghijk+LMNOP/qrstuvwxyz0123456789ABCDE"
	// phone is personal data that no log may hold.
	phone = "5555550100"
)

// row is a call or a recording as in the API.
type row map[string]any

// literal is the key of a row that is sent unchanged, valid JSON or not; call_date determines its position.
const literal = "\x00literal"

// request is a request to the vendor.
type request struct {
	kind   string // api or media
	token  string // media: of the recording; api: the account's
	query  url.Values
	uri    string // as sent
	header http.Header
	at     time.Time
}

// vendor is a scripted vendor: an API, and a host of recordings. A test may modify the exported
// fields, before the first run or with change.
type vendor struct {
	t          testing.TB
	api, media *httptest.Server

	mu                           sync.Mutex // guards all below
	Rows                         []row
	Bodies                       map[string]any            // by token: []byte, an http.HandlerFunc, or nil for 404
	Ceiling, MaxLimit            int                       // greatest offset, greatest page
	ExclusiveStart, ExclusiveEnd bool                      // a call in the second of a bound is omitted
	Skew                         time.Duration             // added to the API's Date
	Ignore                       map[string]bool           // parameters that have no effect
	Total                        func(url.Values, int) any // total_found instead of the true one
	API                          http.HandlerFunc          // answers a listing, or declines by returning without writing
	Media                        http.HandlerFunc          // likewise a recording; its token is the path's last part
	Opaque                       bool                      // links do not contain the account
	Origin                       string                    // of links, if it differs from that of media
	Account                      int                       // account in links
	names                        map[string]string         // token of a link's last part
	sorted                       bool
	log                          []request
}

func newVendor(t testing.TB) *vendor {
	v := &vendor{t: t, Bodies: map[string]any{}, Ceiling: 40000, MaxLimit: 500, Ignore: map[string]bool{}, Account: 100200, names: map[string]string{}}
	v.api = httptest.NewServer(http.HandlerFunc(v.serveAPI))
	v.media = httptest.NewServer(http.HandlerFunc(v.serveMedia))
	t.Cleanup(v.api.Close)
	t.Cleanup(func() { v.media.Close() })
	return v
}

// change changes the vendor while it may get requests.
func (v *vendor) change(how func()) {
	v.mu.Lock()
	defer v.mu.Unlock()
	how()
}

// link returns a link to the body of a token.
func (v *vendor) link(tok string) string {
	origin := v.Origin
	if origin == "" {
		origin = v.media.URL
	}
	if v.Opaque {
		v.names[tok] = tok
		return origin + "/play/" + tok
	}
	named, _ := json.Marshal(map[string]any{"account_id": v.Account, "u_id": tok})
	last := base64.StdEncoding.EncodeToString([]byte(url.QueryEscape(string(named))))
	v.names[last] = tok
	return origin + "/play-recording-public/" + last + "?rlt=" + rlt
}

// tokenOf returns the token of the recording with a default id.
func tokenOf(id any) string { return fmt.Sprintf("u%vxxxxxxxxxxxxxxxxxxxx", id) }

// recording returns a recording with its own body and the default file name. id is a number; nil
// means no id.
func (v *vendor) recording(id any) row { return v.recordingAt(id, tokenOf(id)) }

// recordingAt is like recording, with the link's token.
func (v *vendor) recordingAt(id any, tok string) row {
	if _, given := v.Bodies[tok]; !given {
		v.Bodies[tok] = mp3(tok, 20)
	}
	link := v.link(tok)
	r := row{"src": link, "type": "mp3", "new": "yes", "recording_id": nil, "public_url": link}
	r["filename"] = fmt.Sprintf("100200_1_%s_7_5051_%v_1-in-1.mp3", phone, id)
	if id != nil {
		r["recording_id"] = fmt.Sprint(id)
	}
	return r
}

// with returns the row with changed values: pairs of key and value.
func (r row) with(pairs ...any) row {
	for i := 0; i < len(pairs); i += 2 {
		r[pairs[i].(string)] = pairs[i+1]
	}
	return r
}

// without returns the recording without a link.
func (r row) without() row { return r.with("src", nil, "public_url", nil) }

// call adds a call at a time, as 2006-01-02 15:04:05.
func (v *vendor) call(id any, at string, recordings ...row) row {
	if recordings == nil {
		recordings = []row{}
	}
	r := row{
		"id": fmt.Sprint(id), "lead_id": "7", "list_id": "9", "campaign_id": "5051", "campaign": "C", "user": "Agent", "user_id": "11",
		"phone_number": phone, "number_dialed": phone, "first_name": "Ann", "last_name": "Lee", "status": "SALE", "status_name": "Sale",
		"call_length": "21", "call_date": at, "agent_comment": "", "recording": recordings, "queue_id": nil, "called_count": "1",
		"caller_id_displayed": "1", "term_reason": "AGENT", "call_type": "OUTBOUND", "queue_position": "1", "queue_seconds": "0.00",
		"originating_agent_id": nil, "session_id": "x@127.0.0.1:5060",
	}
	v.add(r)
	return r
}

// add adds a row.
func (v *vendor) add(r row) {
	v.Rows, v.sorted = append(v.Rows, r), false
}

// fill adds n calls with a recording each to a day, a minute apart from 09:00:00. Their ids, and
// those of their recordings, count up from first.
func (v *vendor) fill(day string, first, n int) {
	for i := range n {
		v.call(first+i, fmt.Sprintf("%s %02d:%02d:00", day, 9+i/60, i%60), v.recording(first+i))
	}
}

// startMedia starts the host of recordings again, after its Close.
func (v *vendor) startMedia(address string) {
	listener, err := net.Listen("tcp", address)
	if err != nil {
		v.t.Fatal(err)
	}
	v.media = &httptest.Server{Listener: listener, Config: &http.Server{Handler: http.HandlerFunc(v.serveMedia)}}
	v.media.Start()
}

// requests returns the requests of one kind so far.
func (v *vendor) requests(kind string) []request {
	v.mu.Lock()
	defer v.mu.Unlock()
	return slices.DeleteFunc(slices.Clone(v.log), func(r request) bool { return r.kind != kind })
}

// asked returns the number of requests for a token's recording.
func (v *vendor) asked(tok string) int {
	n := 0
	for _, r := range v.requests("media") {
		if r.token == tok {
			n++
		}
	}
	return n
}

// forget empties the log of requests.
func (v *vendor) forget() { v.change(func() { v.log = nil }) }

// answered records whether a hook has answered.
type answered struct {
	http.ResponseWriter
	wrote bool
}

func (a *answered) WriteHeader(code int) {
	a.wrote = true
	a.ResponseWriter.WriteHeader(code)
}

func (a *answered) Write(b []byte) (int, error) {
	a.wrote = true
	return a.ResponseWriter.Write(b)
}

// Unwrap is for http.NewResponseController.
func (a *answered) Unwrap() http.ResponseWriter { return a.ResponseWriter }

func (v *vendor) serveAPI(w http.ResponseWriter, r *http.Request) {
	query := r.URL.Query()
	sent := query.Get("auth_token")
	query.Del("auth_token")
	v.mu.Lock()
	v.log = append(v.log, request{kind: "api", token: sent, query: query, uri: r.RequestURI, header: r.Header, at: time.Now()})
	w.Header().Set("Date", time.Now().Add(v.Skew).UTC().Format(http.TimeFormat))
	hook := v.API
	v.mu.Unlock()
	w.Header().Set("Content-Type", "application/json")
	if hook != nil {
		a := &answered{ResponseWriter: w}
		hook(a, r)
		if a.wrote {
			return
		}
	}
	_, _ = w.Write(v.list(query))
}

// list answers a listing.
func (v *vendor) list(query url.Values) []byte {
	v.mu.Lock()
	defer v.mu.Unlock()
	offset, _ := strconv.Atoi(query.Get("offset"))
	limit, _ := strconv.Atoi(query.Get("limit"))
	limit = min(limit, v.MaxLimit)
	if offset > v.Ceiling {
		return []byte(`{"success":false,"code":7231,"text":"Invalid offset"}`)
	}
	found := v.find(query)
	page := found[min(offset, len(found)):min(offset+limit, len(found))]
	var total any = strconv.Itoa(len(found))
	if v.Total != nil {
		total = v.Total(query, len(found))
	}
	return answer(offset, limit, total, page)
}

// answer renders a page.
func answer(offset, limit int, total any, page []row) []byte {
	var b bytes.Buffer
	text, _ := json.Marshal(total)
	fmt.Fprintf(&b, `{"success":true,"data":{"offset":%d,"limit":%d,"total_found":%s,"entries":%d,"results":[`, offset, limit, text, len(page))
	for i, r := range page {
		if i > 0 {
			b.WriteByte(',')
		}
		if as, ok := r[literal]; ok {
			b.WriteString(as.(string))
			continue
		}
		text, err := json.Marshal(r)
		if err != nil {
			panic(err)
		}
		b.Write(text)
	}
	b.WriteString("]}}")
	return b.Bytes()
}

// find returns the rows of a listing, in the order of their dates.
func (v *vendor) find(query url.Values) []row {
	text := func(r row, name string) string { s, _ := r[name].(string); return s }
	if !v.sorted {
		slices.SortStableFunc(v.Rows, func(a, b row) int {
			return cmp.Or(strings.Compare(text(a, "call_date"), text(b, "call_date")), strings.Compare(text(a, "id"), text(b, "id")))
		})
		v.sorted = true
	}
	asked := func(name string) string {
		if v.Ignore[name] {
			return ""
		}
		return query.Get(name)
	}
	from, to := asked("start_time"), asked("end_time")
	if from == "" && to == "" {
		today := time.Now().UTC().Format(time.DateOnly)
		from, to = today+" 00:00:00", today+" 23:59:59"
	}
	filters := map[string][]string{}
	for _, name := range []string{"campaign_id", "user_id", "status", "id", "call_type"} {
		if wanted := asked(name); wanted != "" {
			filters[name] = strings.Split(wanted, ",")
		}
	}
	var found []row
	for _, r := range v.Rows {
		at := text(r, "call_date")
		if from != "" && (at < from || v.ExclusiveStart && at == from) || to != "" && (at > to || v.ExclusiveEnd && at == to) {
			continue
		}
		matches := true
		for name, wanted := range filters {
			matches = matches && slices.Contains(wanted, text(r, name))
		}
		if matches {
			found = append(found, r)
		}
	}
	return found
}

func (v *vendor) serveMedia(w http.ResponseWriter, r *http.Request) {
	last := r.URL.Path[strings.LastIndexByte(r.URL.Path, '/')+1:]
	v.mu.Lock()
	tok := v.names[last]
	v.log = append(v.log, request{kind: "media", token: tok, uri: r.RequestURI, header: r.Header, at: time.Now()})
	hook, body := v.Media, v.Bodies[tok]
	v.mu.Unlock()
	if strings.Contains(r.RequestURI, token) || strings.Contains(fmt.Sprint(r.Header), token) {
		v.t.Error("the token went to the host of recordings")
	}
	if hook != nil {
		a := &answered{ResponseWriter: w}
		r.SetPathValue("token", tok)
		hook(a, r)
		if a.wrote {
			return
		}
	}
	switch body := body.(type) {
	case []byte:
		sized("audio/mpeg", body)(w, r)
	case http.HandlerFunc:
		body(w, r)
	default:
		reply(http.StatusNotFound, "text/plain", "gone")(w, r)
	}
}

// reply answers with a status and a text.
func reply(status int, contentType, body string, header ...string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", contentType)
		for i := 0; i < len(header); i += 2 {
			w.Header().Set(header[i], header[i+1])
		}
		w.Header().Set("Content-Length", strconv.Itoa(len(body)))
		w.WriteHeader(status)
		_, _ = w.Write([]byte(body))
	}
}

// sized answers 200 with a body and its length.
func sized(contentType string, body []byte, header ...string) http.HandlerFunc {
	return reply(http.StatusOK, contentType, string(body), header...)
}

// chunked answers 200 with a body in chunks and a proper end.
func chunked(contentType string, body []byte) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", contentType)
		for chunk := range slices.Chunk(body, 4096) {
			_, _ = w.Write(chunk)
			_ = http.NewResponseController(w).Flush()
		}
	}
}

// raw answers with raw bytes and closes the connection.
func raw(text string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		if a, ok := w.(*answered); ok {
			a.wrote = true
			w = a.ResponseWriter
		}
		conn, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			panic(err)
		}
		_, _ = conn.Write([]byte(text))
		_ = conn.Close()
	}
}

// reset ends the connection without an answer.
func reset(w http.ResponseWriter, _ *http.Request) {
	if a, ok := w.(*answered); ok {
		a.wrote = true
		w = a.ResponseWriter
	}
	conn, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		panic(err)
	}
	if tcp, ok := conn.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0)
	}
	_ = conn.Close()
}

// mp3 returns whole MPEG-2.5 frames like the vendor's, different for each seed.
func mp3(seed string, frames int) []byte {
	var key [32]byte
	copy(key[:], seed)
	random := rand.NewChaCha8(key)
	var b bytes.Buffer
	for range frames {
		frame := make([]byte, 576)
		_, _ = random.Read(frame)
		copy(frame, "\xff\xe3\x88\xc4")
		b.Write(frame)
	}
	return b.Bytes()
}
