// Lists the faults of the simulated media host.

package convosotest

import (
	"net/url"
	"slices"
)

// Fault is a fault of a recording's download.
type Fault string

// The faults of the media host. Those marked good still deliver the whole recording.
const (
	FaultNone Fault = ""

	FaultNotFound   Fault = "not-found"      // 200 and 58 bytes of JSON: "Recording not found!"
	Fault404        Fault = "404"            // 404, HTML
	Fault410        Fault = "410"            // 410, no body
	FaultHTML       Fault = "html"           // 200, an HTML page
	FaultEmpty      Fault = "empty"          // 200, no body
	FaultOtherJSON  Fault = "other-json"     // 200, JSON of another kind
	FaultText       Fault = "text"           // 200, plain text
	FaultAuth       Fault = "401"            // 401, JSON
	FaultForbidden  Fault = "403"            // 403, JSON
	FaultServer     Fault = "500"            // 500, HTML
	FaultBusy       Fault = "503"            // 503 without Retry-After
	FaultBusyWait   Fault = "503-seconds"    // 503 with Retry-After: 1
	FaultLimit      Fault = "429"            // 429 without Retry-After
	FaultLimitWait  Fault = "429-seconds"    // 429 with Retry-After: 1
	FaultLimitDate  Fault = "429-date"       // 429 with a date one to two seconds ahead
	FaultLimitHours Fault = "429-hours"      // 429 with Retry-After: 7200
	FaultEcho       Fault = "echo"           // 500, an HTML page that contains its own address
	FaultEchoOK     Fault = "echo-200"       // 200, the same page
	FaultUnknown    Fault = "unknown-binary" // 200, a body that is neither text nor audio

	FaultShort        Fault = "short"         // half of the body, with the whole one's Content-Length
	FaultShortByte    Fault = "short-byte"    // all but the last byte, with the whole one's Content-Length
	FaultShortClose   Fault = "short-close"   // half of the body without a length, cut in mid-frame, ended by closing
	FaultShortChunked Fault = "short-chunked" // half of the body in chunks, then closed without the last chunk
	FaultReset        Fault = "reset"         // connection reset in mid-body
	FaultResetEarly   Fault = "reset-early"   // connection reset before any answer
	FaultStall        Fault = "stall"         // half of the body, then nothing until the client disconnects
	FaultHang         Fault = "hang"          // no answer until the client disconnects
	FaultBadWAV       Fault = "bad-wav"       // a WAV file whose header says twice the length that is sent
	FaultGzip         Fault = "gzip"          // the recording compressed, with Content-Encoding: gzip
	FaultDrip         Fault = "drip"          // the recording in small pieces with pauses (good)
	FaultWrongType    Fault = "wrong-type"    // the recording as text/html (good)

	FaultRedirectElsewhere Fault = "redirect-elsewhere" // 302 to a host that is not allowed
	FaultRedirectPrivate   Fault = "redirect-private"   // 302 to a private address
	FaultRedirectLoop      Fault = "redirect-loop"      // 302 to itself
	FaultRedirectBad       Fault = "redirect-bad"       // 302 to an invalid address with the link's secret
)

// Faults returns every fault of the media host.
func Faults() []Fault {
	return []Fault{
		FaultNotFound, Fault404, Fault410, FaultHTML, FaultEmpty, FaultOtherJSON, FaultText, FaultAuth, FaultForbidden,
		FaultServer, FaultBusy, FaultBusyWait, FaultLimit, FaultLimitWait, FaultLimitDate, FaultLimitHours, FaultEcho,
		FaultEchoOK, FaultUnknown, FaultShort, FaultShortByte, FaultShortClose, FaultShortChunked, FaultReset,
		FaultResetEarly, FaultStall, FaultHang, FaultBadWAV, FaultGzip, FaultDrip, FaultWrongType,
		FaultRedirectElsewhere, FaultRedirectPrivate, FaultRedirectLoop, FaultRedirectBad,
	}
}

// Delivers reports whether the complete recording is delivered despite the fault.
func (f Fault) Delivers() bool {
	return f == FaultNone || f == FaultDrip || f == FaultWrongType
}

func (f Fault) known() bool { return slices.Contains(Faults(), f) }

// standsAlone reports whether the fault is an answer that needs no recording.
func (f Fault) standsAlone() bool {
	_, whole := plainAnswer(f)
	return whole
}

// MediaRequest is the argument of a media hook.
type MediaRequest struct {
	Ref     string // the recording, see [Recording]
	Attempt int    // 1 for the first request of this recording
}

// APIFault is a fault of an API answer.
type APIFault string

// The faults of the API.
const (
	APIOK APIFault = ""

	APIGateway    APIFault = "504-html"    // 504, an HTML page
	APIHTML       APIFault = "200-html"    // 200, an HTML page
	APIBrokenJSON APIFault = "broken-json" // 200, JSON with an error in it
	APICutJSON    APIFault = "cut-json"    // the first half of the right answer, with a matching length
	APIShort      APIFault = "short"       // the first half of the right answer, with the whole one's length
	APIEmpty      APIFault = "empty"       // 200, no body
	APIServer     APIFault = "500"         // 500, JSON with code 500
	APIServerOK   APIFault = "500-in-200"  // 200, success:false with code 500
	APIBusy       APIFault = "503"         // 503, HTML, no Retry-After
	APIBadToken   APIFault = "5001"        // success:false with code 5001, as for a wrong token
	API401        APIFault = "401"         // 401, success:false with code 401
	API403        APIFault = "403"         // 403, success:false with code 403
	APILimit      APIFault = "429"         // 429 without Retry-After
	APILimitWait  APIFault = "429-seconds" // 429 with Retry-After: 1
	APILimitDate  APIFault = "429-date"    // 429 with a date one to two seconds ahead
	APILimitHours APIFault = "429-hours"   // 429 with Retry-After: 7200
	APIEcho       APIFault = "echo"        // 400, success:false with a text that contains the whole request, including the token
	APISlow       APIFault = "slow"        // the right answer, after Config.SlowAnswer
	APIHang       APIFault = "hang"        // no answer until the client disconnects
	APIStall      APIFault = "stall"       // half of the right answer, then nothing until the client disconnects
	APIReset      APIFault = "reset"       // connection reset before any answer
	APIResetBody  APIFault = "reset-body"  // connection reset in mid-body
	APIClose      APIFault = "close"       // connection closed before any answer
	APIRedirect   APIFault = "redirect"    // 302 to Config.ElsewhereURL
)

// APIFaults returns every fault of the API.
func APIFaults() []APIFault {
	return []APIFault{
		APIGateway, APIHTML, APIBrokenJSON, APICutJSON, APIShort, APIEmpty, APIServer, APIServerOK, APIBusy, APIBadToken,
		API401, API403, APILimit, APILimitWait, APILimitDate, APILimitHours, APIEcho, APISlow, APIHang, APIStall,
		APIReset, APIResetBody, APIClose, APIRedirect,
	}
}

// APIRule gives some requests to the API a fault. The first matching rule applies; later rules do not count the
// request, and no rule counts one refused by the hidden limit.
type APIRule struct {
	Fault APIFault
	Skip  int // requests that pass first
	Times int // requests with the fault; 0 for all
	Every int // apply only to every n-th request after Skip; 0 for each
}

// APIRequest is the argument of an API hook.
type APIRequest struct {
	Number int        // 1 for the first request to the API
	Params url.Values // as sent, without the token
}

// ruleState is a rule with its counters.
type ruleState struct {
	APIRule
	seen, spoiled int
}

// next reports whether the rule applies to the current request.
func (r *ruleState) next() bool {
	r.seen++
	if r.seen <= r.Skip || (r.Times > 0 && r.spoiled >= r.Times) {
		return false
	}
	if r.Every > 1 && (r.seen-r.Skip)%r.Every != 0 {
		return false
	}
	r.spoiled++
	return true
}
