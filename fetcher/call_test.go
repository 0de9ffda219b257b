package fetcher

import (
	"encoding/json"
	"errors"
	"os"
	"strings"
	"testing"
)

func decodeCall(t *testing.T, row string) Call {
	t.Helper()
	var c Call
	if err := json.Unmarshal([]byte(row), &c); err != nil {
		t.Fatal(err)
	}
	return c
}

// TestVendorSample decodes the sample of the vendor's page, its stray quote mended,
// and expects every field that the page documents to be there.
func TestVendorSample(t *testing.T) {
	body, err := os.ReadFile("../testdata/pages/vendor-sample.json")
	if err != nil {
		t.Fatal(err)
	}
	p, err := decodePage("list calls", 200, body)
	if err != nil {
		t.Fatal(err)
	}
	if p.total != 546 || p.rows != 1 || len(p.calls) != 1 {
		t.Fatalf("total %d, rows %d, calls %d", p.total, p.rows, len(p.calls))
	}
	c := p.calls[0]
	for name, pair := range map[string][2]string{
		"id": {c.ID, "9999999999"}, "lead_id": {c.LeadID, "99999999"}, "list_id": {c.ListID, "99999"},
		"campaign_id": {c.CampaignID, "9999"}, "campaign": {c.Campaign, "Example Campaign"},
		"user": {c.User, "Example Agent"}, "user_id": {c.UserID, "9999999"},
		"phone_number": {c.PhoneNumber, "9999999999"}, "number_dialed": {c.NumberDialed, "9999999999"},
		"first_name": {c.FirstName, "First_Name"}, "last_name": {c.LastName, "Last_Name"},
		"status": {c.Status, "HU"}, "status_name": {c.StatusName, "Hang Up"}, "call_length": {c.CallLength, "21"},
		"call_date": {c.CallDate, "2025-05-28 14:58:38"}, "agent_comment": {c.AgentComment, ""},
		"queue_id": {c.QueueID, ""}, "called_count": {c.CalledCount, "14"},
		"caller_id_displayed": {c.CallerIDDisplayed, "16059999999"}, "term_reason": {c.TermReason, "CALLER"},
		"call_type": {c.CallType, "OUTBOUND"}, "queue_position": {c.QueuePosition, "1"},
		"queue_seconds": {c.QueueSeconds, "0.00"}, "originating_agent_id": {c.OriginatingAgentID, ""},
		"session_id": {c.SessionID, "54e763323127574e3795008b41e36162@192.0.0.0:5060"},
	} {
		if pair[0] != pair[1] {
			t.Errorf("%s is %q, want %q", name, pair[0], pair[1])
		}
	}
	if len(c.Recordings) != 1 {
		t.Fatalf("%d recordings", len(c.Recordings))
	}
	r := c.Recordings[0]
	if r.ID != "999999999999" || r.Identity != r.ID || r.CallID != c.ID || r.Type != "pause" || r.New != "yes" ||
		r.Filename != "106387_1143823_6055457374_50279005_5051_1748469536_8636-in-1748.mp3" {
		t.Errorf("recording %+v", r)
	}
	if !strings.HasSuffix(r.Link.Reveal(), "?rlt=tH9oAVlBG1gJ1eWTsd8lo7NKyxjnG+GWF8YVlyrUvl8") {
		t.Error("the link is not the sample's public_url")
	}
	if r.AccountID() != "106387" {
		t.Errorf("account %q", r.AccountID())
	}
	if epoch, ok := r.StartEpoch(); !ok || epoch.Unix() != 1748469536 {
		t.Errorf("epoch %v %v", epoch, ok)
	}
}

// TestVendorSampleAsPrinted keeps the page's own syntax error: it must be a clear
// error that does not repeat the answer.
func TestVendorSampleAsPrinted(t *testing.T) {
	body, err := os.ReadFile("../testdata/pages/vendor-sample-broken.json")
	if err != nil {
		t.Fatal(err)
	}
	_, err = decodePage("list calls", 200, body)
	if err == nil || !strings.Contains(err.Error(), "not valid JSON") || strings.Contains(err.Error(), "9999") {
		t.Fatalf("error %v", err)
	}
}

func TestRecordingForms(t *testing.T) {
	one := `{"recording_id":"7","filename":"a.mp3","public_url":"https://x.convoso.com/a?b"}`
	two := `{"recording_id":8,"filename":"b.mp3","public_url":null,"src":"https://x.convoso.com/c"}`
	for _, test := range []struct {
		name, field string
		ids         string
		unreadable  bool
	}{
		{"array", `,"recording":[` + one + `,` + two + `]`, "7 8", false},
		{"empty array", `,"recording":[]`, "", false},
		{"missing", ``, "", false},
		{"null", `,"recording":null`, "", false},
		{"empty text", `,"recording":""`, "", false},
		{"text null", `,"recording":"null"`, "", false},
		{"false", `,"recording":false`, "", false},
		{"one object", `,"recording":` + one, "7", false},
		{"object with a null field only", `,"recording":{"recording_id":"7","public_url":null}`, "7", false},
		{"empty object", `,"recording":{}`, "", false},
		{"map by index", `,"recording":{"1":` + two + `,"0":` + one + `}`, "8 7", false},
		{"array with nulls", `,"recording":[null,` + one + `,{}]`, "7", false},
		{"text", `,"recording":"https://x.convoso.com/a"`, "", true},
		{"number", `,"recording":3`, "", true},
		{"array of text", `,"recording":["https://x.convoso.com/a"]`, "", true},
	} {
		t.Run(test.name, func(t *testing.T) {
			c := decodeCall(t, `{"id":5`+test.field+`}`)
			var ids []string
			for _, r := range c.Recordings {
				ids = append(ids, r.ID)
			}
			if got := strings.Join(ids, " "); got != test.ids || c.RecordingUnreadable != test.unreadable {
				t.Errorf("ids %q, unreadable %v", got, c.RecordingUnreadable)
			}
		})
	}
}

func TestLinkFallsBackToSrc(t *testing.T) {
	for field, want := range map[string]string{
		`"public_url":"https://p","src":"https://s"`:  "https://p",
		`"public_url":"","src":"https://s"`:           "https://s",
		`"public_url":null,"src":"https://s"`:         "https://s",
		`"public_url":"null","src":"https://s"`:       "https://s",
		`"src":"https://s"`:                           "https://s",
		`"public_url":null,"src":null`:                "",
		`"recording_id":"1"`:                          "",
		`"public_url":"https://a/b==?rlt=x+y/z%2B &"`: "https://a/b==?rlt=x+y/z%2B &",
	} {
		c := decodeCall(t, `{"id":"1","recording":[{"filename":"f",`+field+`}]}`)
		if got := c.Recordings[0].Link.Reveal(); got != want {
			t.Errorf("%s: %q", field, got)
		}
	}
}

func TestIdentity(t *testing.T) {
	identities := func(recordings string) []string {
		c := decodeCall(t, `{"id":"77","recording":[`+recordings+`]}`)
		var all []string
		for _, r := range c.Recordings {
			all = append(all, r.Identity)
		}
		return all
	}
	a, b := `{"recording_id":"1","filename":"a.mp3"}`, `{"recording_id":"1","filename":"b.mp3"}`
	if got := identities(a); got[0] != "1" {
		t.Errorf("one name: %v", got)
	}
	if got := identities(a + "," + a); got[0] != "1" || got[1] != "1" {
		t.Errorf("the same name twice: %v", got)
	}
	two, swapped := identities(a+","+b), identities(b+","+a)
	if two[0] == "1" || two[1] == "1" || two[0] == two[1] || two[0] != swapped[1] || two[1] != swapped[0] {
		t.Errorf("two names: %v, swapped %v", two, swapped)
	}
	x := identities(`{"filename":"a.mp3","public_url":"https://h/one?rlt=1"}`)
	y := identities(`{"filename":"a.mp3","public_url":"https://h/one?rlt=2"}`)
	z := identities(`{"filename":"a.mp3","public_url":"https://h/two?rlt=1"}`)
	if x[0] != y[0] || x[0] == z[0] || strings.Contains(x[0], "a.mp3") || !strings.HasPrefix(x[0], "call-77-") {
		t.Errorf("without id: %v %v %v", x, y, z)
	}
}

func TestInProgress(t *testing.T) {
	for row, want := range map[string]bool{
		`{"call_length":null}`: true, `{"call_length":"null"}`: true, `{}`: false, `{"call_length":""}`: false,
		`{"call_length":"0"}`: false, `{"call_length":0}`: false, `{"call_length":"12"}`: false,
	} {
		if c := decodeCall(t, row); c.InProgress() != want {
			t.Errorf("%s: %v", row, !want)
		}
	}
}

func TestRowWithoutLinks(t *testing.T) {
	row := `{"id":1234567890123456789,"b":1.50,"agent_comment":"see https://evil/x?y=z ok","unknown":{"deep":["secretsecretsecret=="]},
	"recording":[{"src":"https:\/\/h.convoso.com\/play\/secretsecretsecret==?rlt=AAAAAAAA+BBBB\/CCCC","recording_id":"1","public_url":"https://h.convoso.com/play/secretsecretsecret==?rlt=AAAAAAAA+BBBB/CCCC"}]}`
	c := decodeCall(t, row)
	got, err := c.RowWithoutLinks()
	if err != nil {
		t.Fatal(err)
	}
	want := `{"id":1234567890123456789,"b":1.50,"agent_comment":"see [link dropped] ok","unknown":{"deep":["[link dropped]"]},` +
		`"recording":[{"src":"[link dropped]","recording_id":"1","public_url":"[link dropped]"}]}`
	if string(got) != want {
		t.Errorf("row\n%s\nwant\n%s", got, want)
	}
}

func TestPageForms(t *testing.T) {
	row := `{"id":"1"}`
	for name, test := range map[string]struct {
		body                    string
		rows, total, unreadable int
	}{
		"array":            {`{"success":true,"data":{"total_found":"2","results":[` + row + `,` + row + `]}}`, 2, 2, 0},
		"number":           {`{"success":true,"data":{"total_found":7,"results":[]}}`, 0, 7, 0},
		"object":           {`{"success":"1","data":{"total_found":1,"results":{"9":` + row + `}}}`, 1, 1, 0},
		"null results":     {`{"success":true,"data":{"total_found":"0","results":null}}`, 0, 0, 0},
		"empty data":       {`{"success":true,"code":200,"data":[]}`, 0, -1, 0},
		"no total":         {`{"success":true,"data":{"results":[` + row + `]}}`, 1, -1, 0},
		"negative total":   {`{"success":true,"data":{"total_found":"-4","results":[]}}`, 0, -1, 0},
		"row is no object": {`{"success":true,"data":{"total_found":2,"results":[` + row + `,"x"]}}`, 2, 2, 1},
	} {
		p, err := decodePage("op", 200, []byte(test.body))
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if p.rows != test.rows || p.total != test.total || p.unreadable != test.unreadable {
			t.Errorf("%s: %+v", name, p)
		}
	}
}

func TestPageErrors(t *testing.T) {
	for name, test := range map[string]struct {
		status  int
		body    string
		code    int
		refused bool
		passing bool
	}{
		"bad token under 200":  {200, `{"success":false,"code":5001,"text":"Auth token is invalid"}`, 5001, true, false},
		"code as text":         {200, `{"success":"false","code":"6004","message":"Unknown campaign"}`, 6004, false, false},
		"error field":          {200, `{"success":0,"code":500,"error":"oops"}`, 500, false, true},
		"forbidden":            {403, `<html>`, 0, true, false},
		"gateway":              {504, `<html>`, 0, false, true},
		"neither yes nor data": {200, `{"foo":1}`, 0, false, false},
		"null":                 {200, `null`, 0, false, false},
	} {
		_, err := decodePage("op", test.status, []byte(test.body))
		apiError, ok := errors.AsType[*APIError](err)
		if !ok {
			t.Errorf("%s: error %v", name, err)
			continue
		}
		if apiError.Code != test.code || apiError.Refused() != test.refused || apiError.passing() != test.passing {
			t.Errorf("%s: %+v", name, apiError)
		}
	}
	for _, body := range []string{"", "<html>hi</html>", `{"success":true,"data":{`, "\x00\x01"} {
		if _, err := decodePage("op", 200, []byte(body)); err == nil || strings.Contains(err.Error(), "hi") {
			t.Errorf("%q: error %v", body, err)
		}
	}
}
