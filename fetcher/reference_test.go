package fetcher

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"
	"unicode/utf8"
)

// What stands here decodes a page the plain way, with encoding/json on every level:
// several times slower, and the judge of what a page means.

type plainText string

func (t *plainText) UnmarshalJSON(data []byte) error {
	if data[0] != '"' {
		*t = plainText(data)
		if string(data) == "null" {
			*t = ""
		}
		return nil
	}
	return json.Unmarshal(data, (*string)(t))
}

func (t plainText) orNull() string {
	s := strings.TrimSpace(string(t))
	if strings.EqualFold(s, "null") {
		return ""
	}
	return s
}

func (t plainText) asID() string {
	if s := t.orNull(); len(s) <= 1024 && utf8.ValidString(s) {
		return s
	}
	return ""
}

type plainNullable struct {
	plainText
	null bool
}

func (n *plainNullable) UnmarshalJSON(data []byte) error {
	n.null = string(data) == "null"
	return n.plainText.UnmarshalJSON(data)
}

type plainRow struct {
	ID                 plainText       `json:"id"`
	LeadID             plainText       `json:"lead_id"`
	ListID             plainText       `json:"list_id"`
	CampaignID         plainText       `json:"campaign_id"`
	Campaign           plainText       `json:"campaign"`
	User               plainText       `json:"user"`
	UserID             plainText       `json:"user_id"`
	PhoneNumber        plainText       `json:"phone_number"`
	NumberDialed       plainText       `json:"number_dialed"`
	FirstName          plainText       `json:"first_name"`
	LastName           plainText       `json:"last_name"`
	Status             plainText       `json:"status"`
	StatusName         plainText       `json:"status_name"`
	CallLength         plainNullable   `json:"call_length"`
	CallDate           plainText       `json:"call_date"`
	AgentComment       plainText       `json:"agent_comment"`
	Recording          json.RawMessage `json:"recording"`
	QueueID            plainText       `json:"queue_id"`
	CalledCount        plainText       `json:"called_count"`
	CallerIDDisplayed  plainText       `json:"caller_id_displayed"`
	TermReason         plainText       `json:"term_reason"`
	CallType           plainText       `json:"call_type"`
	QueuePosition      plainText       `json:"queue_position"`
	QueueSeconds       plainText       `json:"queue_seconds"`
	OriginatingAgentID plainText       `json:"originating_agent_id"`
	SessionID          plainText       `json:"session_id"`
}

type plainRecording struct {
	Src         plainText `json:"src"`
	Type        plainText `json:"type"`
	New         plainText `json:"new"`
	RecordingID plainText `json:"recording_id"`
	Filename    plainText `json:"filename"`
	PublicURL   plainText `json:"public_url"`
}

// plainCall returns the row.
func plainCall(data []byte) (c Call, err error) {
	var f plainRow
	if err := json.Unmarshal(data, &f); err != nil {
		return c, err
	}
	c = Call{
		ID: f.ID.asID(), LeadID: f.LeadID.orNull(), ListID: f.ListID.orNull(), CampaignID: f.CampaignID.orNull(),
		Campaign: string(f.Campaign), User: string(f.User), UserID: f.UserID.orNull(),
		PhoneNumber: f.PhoneNumber.orNull(), NumberDialed: f.NumberDialed.orNull(),
		FirstName: string(f.FirstName), LastName: string(f.LastName),
		Status: string(f.Status), StatusName: string(f.StatusName),
		CallLength: f.CallLength.orNull(), CallDate: f.CallDate.orNull(), AgentComment: string(f.AgentComment),
		QueueID: f.QueueID.orNull(), CalledCount: f.CalledCount.orNull(), CallerIDDisplayed: f.CallerIDDisplayed.orNull(),
		TermReason: string(f.TermReason), CallType: string(f.CallType), QueuePosition: f.QueuePosition.orNull(),
		QueueSeconds: f.QueueSeconds.orNull(), OriginatingAgentID: f.OriginatingAgentID.orNull(), SessionID: string(f.SessionID),
		Raw: data, checked: len(data), inProgress: f.CallLength.null || strings.EqualFold(string(f.CallLength.plainText), "null"), withoutField: f.Recording == nil,
	}
	elements, readable := plainElements(f.Recording)
	c.RecordingUnreadable = !readable
	for _, element := range elements {
		var r plainRecording
		if json.Unmarshal(element, &r) != nil {
			c.RecordingUnreadable = true
			continue
		}
		c.Recordings = append(c.Recordings, Recording{
			ID: r.RecordingID.asID(), CallID: c.ID, Filename: r.Filename.orNull(), Type: string(r.Type), New: string(r.New),
			Link: Secret(cmp.Or(r.PublicURL.orNull(), r.Src.orNull())),
		})
	}
	identify(c.Recordings)
	return c, nil
}

func plainElements(data json.RawMessage) (elements []json.RawMessage, readable bool) {
	switch {
	case data == nil:
		return nil, true
	case data[0] == '[':
		return slices.DeleteFunc(plainValues(data), plainNothing), true
	case data[0] != '{':
		return nil, plainNothing(data)
	}
	elements = slices.DeleteFunc(plainValues(data), plainNothing)
	if slices.ContainsFunc(elements, func(value json.RawMessage) bool { return value[0] != '{' }) {
		return []json.RawMessage{data}, true
	}
	return elements, true
}

func plainNothing(value json.RawMessage) bool {
	return slices.Contains([]string{"null", `""`, `"null"`, "false", "[]", "{}"}, string(value))
}

// plainValues returns the elements of an array, or the values of an object.
func plainValues(data []byte) (values []json.RawMessage) {
	decoder := json.NewDecoder(bytes.NewReader(data))
	_, _ = decoder.Token()
	for decoder.More() {
		if data[0] == '{' {
			_, _ = decoder.Token()
		}
		var value json.RawMessage
		if err := decoder.Decode(&value); err != nil {
			panic(err)
		}
		values = append(values, value)
	}
	return values
}

// plainPage returns the page. It fails with the text of the error that an answer means,
// but for what an invalid one looks like.
func plainPage(status int, body []byte) (p page, err error) {
	var e struct {
		Success                    json.RawMessage
		Code, Text, Error, Message plainText
		Data                       json.RawMessage
	}
	if json.Unmarshal(body, &e) != nil {
		if status >= 400 {
			return p, &APIError{Op: "op", Status: status}
		}
		return p, errNotJSON
	}
	code, _ := strconv.Atoi(e.Code.orNull()) // as near as it comes, for it is only told
	said := &APIError{Op: "op", Status: status, Code: code, Text: tame(string(cmp.Or(e.Text, e.Message, e.Error)))}
	no := slices.Contains([]string{"false", "0", "no", "null"}, strings.Trim(string(e.Success), `"`))
	if status >= 400 || no || e.Success == nil && e.Data == nil {
		return p, said
	}
	var d struct {
		Total   plainText `json:"total_found"`
		Results json.RawMessage
	}
	if json.Unmarshal(e.Data, &d) != nil && !plainNothing(e.Data) {
		return p, said
	}
	p.total = -1
	if total, err := strconv.Atoi(d.Total.orNull()); err == nil && total >= 0 {
		p.total = total
	}
	if d.Results == nil || plainNothing(d.Results) {
		return p, nil
	}
	if d.Results[0] != '[' && d.Results[0] != '{' {
		return p, errors.New("op: the answer's results are neither a list nor an object")
	}
	for _, row := range plainValues(d.Results) {
		p.rows++
		c, err := plainCall(row)
		if err != nil {
			p.unreadable++
			continue
		}
		p.calls = append(p.calls, c)
	}
	return p, nil
}

// plainWithoutLinks is RowWithoutLinks, by what encoding/json says of each token.
func plainWithoutLinks(row []byte) string {
	var compact bytes.Buffer
	if json.Compact(&compact, row) != nil {
		return ""
	}
	links := plainLinks(row)
	var out strings.Builder
	for rest := compact.Bytes(); len(rest) > 0; {
		if rest[0] != '"' {
			out.WriteByte(rest[0])
			rest = rest[1:]
			continue
		}
		quoted := plainValue(rest)
		rest = rest[len(quoted):]
		var s string
		if err := json.Unmarshal(quoted, &s); err != nil {
			panic(err)
		}
		out.WriteString(plainWithout(s, links))
		if len(rest) > 0 && rest[0] == ':' && isLinkName(s) {
			value := plainValue(rest[1:])
			rest = rest[1+len(value):]
			kept := `"` + droppedLink + `"`
			if plainNothing(value) {
				kept = "null"
			}
			out.WriteString(":" + kept)
		}
	}
	return out.String()
}

func isLinkName(name string) bool {
	return strings.EqualFold(name, "src") || strings.EqualFold(name, "public_url")
}

// plainLinks returns all texts in a row that are taken for links, and the JSON of what
// stands in place of one.
func plainLinks(row []byte) (links []Secret) {
	for {
		begin := bytes.IndexByte(row, '"')
		if begin < 0 {
			return links
		}
		quoted := plainValue(row[begin:])
		row = bytes.TrimSpace(row[begin+len(quoted):])
		if len(row) == 0 || row[0] != ':' {
			continue
		}
		row = bytes.TrimSpace(row[1:])
		value := plainValue(row)
		var name string
		if err := json.Unmarshal(quoted, &name); err != nil {
			panic(err)
		}
		switch {
		case isLinkName(name):
			row = row[len(value):]
			links = append(links, Secret(plainTextOf(value)))
			if value[0] == '{' || value[0] == '[' {
				links = append(links, plainStrings(value)...)
			}
		case strings.EqualFold(name, "recording") && value[0] == '"':
			links = append(links, Secret(plainTextOf(value)))
		case strings.EqualFold(name, "recording") && value[0] == '[':
			for _, element := range plainValues(value) {
				if element[0] == '"' {
					links = append(links, Secret(plainTextOf(element)))
				}
			}
		}
	}
}

// plainStrings returns the texts in an array or object, without names.
func plainStrings(container []byte) (texts []Secret) {
	for _, value := range plainValues(container) {
		switch value[0] {
		case '"':
			texts = append(texts, Secret(plainTextOf(value)))
		case '{', '[':
			texts = append(texts, plainStrings(value)...)
		}
	}
	return texts
}

// plainTextOf returns the text of a value as a field takes it.
func plainTextOf(value []byte) string {
	var t plainText
	if err := t.UnmarshalJSON(value); err != nil {
		panic(err)
	}
	return t.orNull()
}

// plainValue returns the value that data begins with.
func plainValue(data []byte) (value json.RawMessage) {
	if err := json.NewDecoder(bytes.NewReader(data)).Decode(&value); err != nil {
		panic(err)
	}
	return value
}

func plainWithout(s string, links []Secret) string {
	s = addressPattern.ReplaceAllString(s, droppedLink)
	for _, link := range links {
		for _, secret := range LinkSecrets(link) {
			s = strings.ReplaceAll(s, secret, droppedLink)
		}
	}
	var encoded bytes.Buffer
	encoder := json.NewEncoder(&encoded)
	encoder.SetEscapeHTML(false)
	_ = encoder.Encode(s)
	return strings.TrimSuffix(encoded.String(), "\n")
}

func plainFields(row []byte) map[string]string {
	var raw map[string]plainText
	if json.Unmarshal(row, &raw) != nil {
		return nil
	}
	fields := map[string]string{}
	for name, value := range raw {
		fields[name] = string(value)
	}
	return fields
}

// checkAgainstPlain decodes an answer in both ways.
func checkAgainstPlain(t *testing.T, status int, body []byte) {
	t.Helper()
	want, wantErr := plainPage(status, body)
	got, err := decodePage("op", status, body)
	if err != nil || wantErr != nil {
		if fmt.Sprint(err) != fmt.Sprint(wantErr) && (!errors.Is(err, errNotJSON) || !errors.Is(wantErr, errNotJSON)) {
			t.Fatalf("error %v, the plain way %v: %q", err, wantErr, body)
		}
		return
	}
	if got.rows != want.rows || got.unreadable != want.unreadable || got.total != want.total || len(got.calls) != len(want.calls) {
		t.Fatalf("%d rows, %d unreadable, total %d; the plain way %d, %d, %d: %q",
			got.rows, got.unreadable, got.total, want.rows, want.unreadable, want.total, body)
	}
	for i := range want.calls {
		checkCallAgainstPlain(t, &got.calls[i], &want.calls[i])
	}
}

func checkCallAgainstPlain(t *testing.T, got, want *Call) {
	t.Helper()
	kept, err := got.RowWithoutLinks()
	if wantKept := plainWithoutLinks(want.Raw); err != nil || string(kept) != wantKept {
		t.Fatalf("kept of the row\n%s, %v\nthe plain way\n%s\nof\n%s", kept, err, wantKept, want.Raw)
	}
	if fields, wantFields := got.Fields(), plainFields(want.Raw); !maps.Equal(fields, wantFields) {
		t.Fatalf("fields %q, the plain way %q", fields, wantFields)
	}
	if cap(got.Raw) > len(got.Raw) {
		t.Fatal("to append to Raw would write into the answer")
	}
	if len(got.Recordings) == 0 && len(want.Recordings) == 0 {
		got.Recordings = want.Recordings // none, whether nil or empty
	}
	if !reflect.DeepEqual(got, want) {
		t.Fatalf("row %s\nis   %#v\nwant %#v", want.Raw, got, want)
	}
}

// TestDecodePageAsEncodingJSON compares answers of every form with what encoding/json
// makes of them: names in other case, escaped, twice; texts that are not UTF-8; null,
// other scalars and lists for texts; whitespace wherever it may be.
func TestDecodePageAsEncodingJSON(t *testing.T) {
	row := func(fields string) string {
		return `{"success":true,"data":{"total_found":"1","results":[{` + fields + `}]}}`
	}
	answers := []string{
		"", " ", "null", " null ", "[]", `""`, "1", "true", "{}", `{"data":null}`, `{"data":[]}`, `{"data":[ ]}`, `{"data":{ }}`, `{"data":""}`,
		`{"success":null}`, `{"success":" 0"}`, `{"success":true}`, `{"success":"no","text":null,"message":7,"error":"x"}`, `{"success":true,"data":7}`,
		`{"success":true,"data":{"results":"x"}}`, `{"success":true,"data":{"results":{ }}}`, `{"success":true,"data":{"results":null}} x`,
		`{"success":true,"data":{"results":[{},null,[],"x",1,{"id":1}],"RESULTS":[{"id":2}],"total_found":1,"Total_Found":null}}`,
		"{\"ſucceſs\":1,\"DATA\":{\"re\u017fults\":[{\"Un\u212anown\":1,\"agent_comment\":\"\u212a\"}]}}",
		`{"\u0073uccess":"\u0066alse","code":" 5001 "}`, `{"success":false,"code":"-1"}`, `{"success":false,"code":99999999999999999999}`,
		`{"success":true,"data":{"results":{"a":{"id":1},"a":{"id":2},"b":[1,{"x":"]}"}]}}}`,
		row(`"ID":"1","id":null`), row(`"id":null,"Id":" 12 "`), row(`"i\u0064":"\u0031\/2"`), row(`"id":"a\"b\\c\nd\u00e9é"`), row("\"id\":\"\xff\xc3\",\"\xff\":1"),
		row("\"id\":[\"\xff\"],\"recording\":[{\"recording_id\":{\"\xc3\":1}}]"), row(`"id":"` + strings.Repeat("1", 1024) + `"`), row(`"id":"` + strings.Repeat("1", 1025) + `"`),
		row(`"id":"\ud800x\ud83d\ude00"`), row(`"id":{"a" : [1, 2]},"lead_id":-1.50e3,"status":true,"user":"NULL","user_id":" nUll"`),
		row(`"call_length":null,"CALL_LENGTH":" null "`), row(`"call_length":"NULL"`), row(`"call_length":1,"call_length":null`), row("\"call_date\":\"\u0085 2025\u2003\""),
		row("\"agent_comment\":\"a\u2028b\u2029\x7f<&>\",\"x\":\"\\u2028\""), row("\"call_type\":\"ſ\",\"ſtatus\":\"k\",\"queue_po\u017fition\":3"),
		row(`"recording":null`), row(`"recording":[ ]`), row(`"recording":{ }`), row(`"recording":[[],{},{ },[1],"",null,false,3,"x"]`),
		row(`"recording":{"a":{"src":"x"},"b":{}}`), row(`"recording":{"a":{ },"b":null}`), row(`"Recording":{"a":1,"SRC":"https:\/\/h\/aaaaaaaaaaaaaaaa?k=bbbbbbbbbbbbb"}`),
		row(`"recording":[{"src":[ ],"public_url" : { }, "Src" : "https://h/aaaaaaaaaaaa"},{"src":[1],"s\u0072c":"//x","public_url":null}],"x":"aaaaaaaaaaaa"`),
		row(`"recording":[{"public_url":" null ","src":" https://h/p/aaaaaaaaaaaa?&x=cccccccccccc&dddddddddddd= "}],"cccccccccccc":"\taaaaaaaaaaaa"`),
		row(`"recording":[{"src":"//h/aaaaaaaaaaaa","src":"//h/bbbbbbbbbbbb"}],"Recording":[],"x":["aaaaaaaaaaaa"," bbbbbbbbbbbb"]`),
		row(`"RECORDING" : "h\/aaaaaaaaaaaa","x":{"aaaaaaaaaaaa":1,"Public_URL" : "cccccccccccc"},"y":"cccccccccccc"`),
		row(`"recording":[[ "dddddddddddd" ],"aaaaaaaaaaaa",{"Src":[{"bbbbbbbbbbbb" : "cccccccccccc"},1]}],"x":["aaaaaaaaaaaa","bbbbbbbbbbbb","cccccccccccc","dddddddddddd"]`),
		row("\"\u017frc\":\"aaaaaaaaaaaa\",\"x\":\"aaaaaaaaaaaa\",\"public_url\":123456789012,\"y\":\"123456789012\""),
		"\t{ \"success\" : true , \"data\" : { \"results\" : [ { \"id\" : 1 , \"recording\" : [ { \"src\" : \"a\" } , { \"filename\" : \"b\" } ] } , { } ] } }\r\n",
		`{"success":true,"data":{"results":[{"a":"\\","b":"\\\"","c":"\\\\\"]}","d":["\\"],"src":"\\"}]}}`,
		strings.Repeat("[", 10_001) + strings.Repeat("]", 10_001), `{"success":true,"data":{"results":[` + strings.Repeat("[", 9_000) + strings.Repeat("]", 9_000) + `]}}`,
	}
	for _, name := range pageFiles(t) {
		body, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		answers = append(answers, string(body))
	}
	for _, answer := range answers {
		checkAgainstPlain(t, 200, []byte(answer))
		checkAgainstPlain(t, 404, []byte(answer))
	}
}

func pageFiles(t *testing.T) []string {
	t.Helper()
	names, err := filepath.Glob("../testdata/pages/*.json")
	if err != nil || len(names) == 0 {
		t.Fatalf("%d pages, %v", len(names), err)
	}
	return names
}
