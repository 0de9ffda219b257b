// Serves the simulated API.

package convosotest

import (
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

const listPath = "/v1/log/retrieve"

// APIHandler returns the API, for use without Start. A fault that needs the connection aborts the
// request if there is none.
func (s *Server) APIHandler() http.Handler { return http.HandlerFunc(s.serveAPI) }

func (s *Server) serveAPI(w http.ResponseWriter, r *http.Request) {
	defer s.api.begin()()
	w.Header().Set("Date", s.date())
	if s.apiIsDown() {
		s.closeConnection(w, false)
		return
	}
	if wait, passes := s.api.bucket.take(); !passes {
		s.api.writeLimit(w, wait, s.hostTime())
		return
	}
	if !s.pause(r, s.config.APILatency) {
		return
	}
	if strings.Contains(r.RequestURI, "auth_token=") {
		s.api.count(&s.tokenInURL)
	}
	if r.URL.Path != listPath {
		writeHTML(w, http.StatusNotFound, "<h1>404 Not Found</h1>")
		return
	}
	if r.Method != http.MethodGet && r.Method != http.MethodPost {
		writeHTML(w, http.StatusMethodNotAllowed, "<h1>405 Method Not Allowed</h1>")
		return
	}
	r.Body = http.MaxBytesReader(w, r.Body, 1<<20)
	if err := r.ParseForm(); err != nil {
		s.writeError(w, s.config.ErrorStatus, apiError{400, "Bad request"})
		return
	}
	s.answerAPI(w, r, s.nextAPIFault(r))
}

func (s *Server) apiIsDown() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.apiDown || time.Now().Before(s.apiDownUntil)
}

// nextAPIFault counts a request and returns its fault.
func (s *Server) nextAPIFault(r *http.Request) APIFault {
	params := maps.Clone(r.Form)
	params.Del("auth_token")
	s.mu.Lock()
	s.apiRequests++
	request := APIRequest{Number: s.apiRequests, Params: params}
	if len(s.windowsSeen) < mostWindows {
		s.windowsSeen = append(s.windowsSeen, windowRequest(params))
	}
	s.revoked = s.revoked || s.tokenLeft == 0
	s.tokenLeft = max(-1, s.tokenLeft-1)
	hook := s.apiHook
	s.mu.Unlock()
	fault := APIOK
	if hook != nil {
		fault = hook(request)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, rule := range s.apiRules {
		if fault != APIOK {
			break
		}
		if rule.next() {
			fault = rule.Fault
		}
	}
	return fault
}

// answerAPI answers a request with its fault, or normally.
func (s *Server) answerAPI(w http.ResponseWriter, r *http.Request, fault APIFault) {
	switch fault {
	case APISlow:
		if !s.pause(r, s.config.SlowAnswer) {
			return
		}
	case APIHang:
		s.hang(r)
		return
	case APIReset, APIClose:
		s.closeConnection(w, fault == APIReset)
		return
	}
	if s.answerAPIPlainly(w, r, fault) {
		return
	}
	status, answer := s.list(r)
	switch fault {
	case APIBrokenJSON:
		answer = []byte(strings.Replace(string(answer), `"results":`, `"results":,`, 1))
	case APICutJSON:
		answer = answer[:len(answer)/2]
	}
	s.setAPIContentType(w)
	w.Header().Set("Content-Length", strconv.Itoa(len(answer)))
	w.WriteHeader(status)
	switch fault {
	case APIShort, APIStall, APIResetBody:
		s.writeHalf(w, r, answer, fault)
	default:
		_, _ = w.Write(answer) // the client may have disconnected
	}
}

// writeHalf writes half of an answer and then stops.
func (s *Server) writeHalf(w http.ResponseWriter, r *http.Request, answer []byte, fault APIFault) {
	_, _ = w.Write(answer[:len(answer)/2])
	flush(w)
	switch fault {
	case APIStall:
		s.hang(r)
	case APIResetBody:
		s.closeConnection(w, true)
	}
	panic(http.ErrAbortHandler)
}

// answerAPIPlainly writes answers that do not depend on the listing.
func (s *Server) answerAPIPlainly(w http.ResponseWriter, r *http.Request, fault APIFault) bool {
	failure := func(status, code int, text string) {
		s.writeError(w, status, apiError{code, text})
	}
	switch fault {
	case APIGateway:
		writeHTML(w, http.StatusGatewayTimeout, "<h1>504 Gateway Time-out</h1>")
	case APIHTML:
		writeHTML(w, http.StatusOK, "<h1>Sign in</h1>")
	case APIBusy:
		writeHTML(w, http.StatusServiceUnavailable, "<h1>503 Service Temporarily Unavailable</h1>")
	case APIEmpty:
		w.Header().Set("Content-Length", "0")
		w.WriteHeader(http.StatusOK)
	case APIServer:
		failure(http.StatusInternalServerError, 500, "Internal error")
	case APIServerOK:
		failure(http.StatusOK, 500, "Internal error")
	case APIBadToken:
		failure(s.config.ErrorStatus, 5001, "Auth token is invalid")
	case API401:
		failure(http.StatusUnauthorized, 401, "Token missing or invalid")
	case API403:
		failure(http.StatusForbidden, 403, "Token not valid for this office")
	case APILimit, APILimitWait, APILimitDate, APILimitHours:
		s.writeAPILimit(w, fault)
	case APIEcho:
		failure(http.StatusBadRequest, 400, "Cannot handle "+r.RequestURI+" with "+r.Form.Encode()+" for "+r.Form.Get("auth_token"))
	case APIRedirect:
		w.Header().Set("Location", s.config.ElsewhereURL)
		w.WriteHeader(http.StatusFound)
	default:
		return false
	}
	return true
}

func (s *Server) writeAPILimit(w http.ResponseWriter, fault APIFault) {
	rate := map[APIFault]Rate{
		APILimitWait:  {RetryAfter: RetrySeconds, Wait: time.Second},
		APILimitDate:  {RetryAfter: RetryDate, Wait: 2 * time.Second},
		APILimitHours: {RetryAfter: RetrySeconds, Wait: 2 * time.Hour},
	}[fault]
	s.api.refuse(w, rate, 0, s.hostTime())
}

// list answers a request for a page.
func (s *Server) list(r *http.Request) (status int, answer []byte) {
	now := s.config.Now()
	s.mu.Lock()
	defer s.mu.Unlock()
	if r.Form.Get("auth_token") != s.config.Token || s.revoked {
		return s.errorAnswer(apiError{5001, "Auth token is invalid"})
	}
	q, failure := s.readQuery(r.Form, now)
	if failure != nil {
		return s.errorAnswer(*failure)
	}
	if s.config.Oddities.RotateLinks || s.config.Listing.LinksExpire > 0 {
		s.generation++
	}
	ctx := rowContext{now: now, generation: s.generation, recordings: q.recordings}
	return http.StatusOK, s.encodePage(q, s.pageOf(q), ctx)
}

// encodePage writes the envelope and the rows. The caller must hold the lock.
func (s *Server) encodePage(q query, p page, ctx rowContext) []byte {
	odd := &s.config.Oddities
	w := &jsonWriter{buf: make([]byte, 0, 256+1024*len(p.rows)), slashes: odd.EscapedSlashes}
	alternate := odd.TotalFound == TotalAlternate && s.apiRequests%2 == 0
	asText := odd.TotalFound == TotalAlternate && s.apiRequests%3 == 0
	keyed := odd.ResultsAsObject && s.apiRequests%2 == 0
	w.open('{')
	w.raw("success", "true")
	w.name("data")
	w.open('{')
	w.number("offset", q.offset, asText)
	w.number("limit", q.limit, asText)
	if odd.TotalFound == TotalNull {
		w.raw("total_found", "null")
	} else {
		w.number("total_found", p.total, odd.TotalFound != TotalNumber && !alternate)
	}
	w.number("entries", len(p.rows), asText)
	w.name("results")
	if keyed {
		w.open('{')
	} else {
		w.open('[')
	}
	for _, i := range p.rows {
		if keyed {
			w.name(s.rowKey(i))
		}
		s.writeRow(w, i, ctx)
	}
	if keyed {
		w.close('}')
	} else {
		w.close(']')
	}
	w.close('}')
	w.close('}')
	return w.buf
}

// setAPIContentType sets the type of a good answer; PHP's own default is text/html.
func (s *Server) setAPIContentType(w http.ResponseWriter) {
	contentType := "application/json"
	if s.config.Oddities.ContentTypes {
		contentType = "text/html; charset=UTF-8"
	}
	w.Header().Set("Content-Type", contentType)
}

func (s *Server) errorAnswer(failure apiError) (status int, answer []byte) {
	w := &jsonWriter{}
	w.open('{')
	w.raw("success", "false")
	w.number("code", failure.code, s.config.ErrorCodeAsText)
	w.text(s.config.ErrorField, failure.text)
	w.close('}')
	return s.config.ErrorStatus, w.buf
}

func (s *Server) writeError(w http.ResponseWriter, status int, failure apiError) {
	_, answer := s.errorAnswer(failure)
	s.setAPIContentType(w)
	w.Header().Set("Content-Length", strconv.Itoa(len(answer)))
	w.WriteHeader(status)
	_, _ = w.Write(answer) // the client may have disconnected
}

func writeHTML(w http.ResponseWriter, status int, content string) {
	page := fmt.Sprintf("<!DOCTYPE html>\n<html><head><title>%d</title></head><body>%s</body></html>\n", status, content)
	w.Header().Set("Content-Type", "text/html; charset=UTF-8")
	w.Header().Set("Content-Length", strconv.Itoa(len(page)))
	w.WriteHeader(status)
	_, _ = w.Write([]byte(page)) // the client may have disconnected
}

func windowRequest(params url.Values) WindowRequest {
	limit, _ := strconv.Atoi(params.Get("limit")) // 0 if missing or invalid
	offset, _ := strconv.Atoi(params.Get("offset"))
	return WindowRequest{
		StartTime: params.Get("start_time"), EndTime: params.Get("end_time"),
		Limit: limit, Offset: offset, Order: params.Get("order"), Params: params,
	}
}
