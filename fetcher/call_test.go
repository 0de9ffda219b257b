package fetcher

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"net/url"
	"os"
	"strings"
	"testing"
)

func decodeCall(t *testing.T, row string) Call {
	t.Helper()
	p, err := decodePage("op", 200, []byte(`{"success":true,"data":{"total_found":1,"results":[`+row+`]}}`))
	if err != nil || len(p.calls) != 1 {
		t.Fatalf("%s: %v", row, err)
	}
	return p.calls[0]
}

// TestVendorSample decodes the sample of the vendor's page, with its stray quote repaired, and
// expects every documented field.
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
	fields := c.Fields()
	for name, want := range map[string]string{
		"id": "9999999999", "lead_id": "99999999", "list_id": "99999", "campaign_id": "9999", "campaign": "Example Campaign",
		"user": "Example Agent", "user_id": "9999999", "phone_number": "9999999999", "number_dialed": "9999999999",
		"first_name": "First_Name", "last_name": "Last_Name", "status": "HU", "status_name": "Hang Up", "call_length": "21",
		"call_date": "2025-05-28 14:58:38", "agent_comment": "", "queue_id": "", "called_count": "14",
		"caller_id_displayed": "16059999999", "term_reason": "CALLER", "call_type": "OUTBOUND", "queue_position": "1",
		"queue_seconds": "0.00", "originating_agent_id": "", "session_id": "54e763323127574e3795008b41e36162@192.0.0.0:5060",
	} {
		if got, ok := fields[name]; !ok || got != want {
			t.Errorf("%s is %q, want %q", name, got, want)
		}
	}
	if c.ID != "9999999999" || c.CallDate != "2025-05-28 14:58:38" || c.CallLength != "21" || c.InProgress() {
		t.Errorf("call %+v", c)
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
	if r.AccountID() != "" { // the vendor has made the link unreadable
		t.Errorf("account %q", r.AccountID())
	}
	if epoch, ok := r.StartEpoch(); !ok || epoch.Unix() != 1748469536 {
		t.Errorf("epoch %v %v", epoch, ok)
	}
}

// TestVendorSampleAsPrinted keeps the page's own syntax error: it must give a clear error that does
// not repeat the answer.
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
	for _, pair := range []string{`{"recording_id":"0"}`, `{"recording_id":0}`} {
		if got := identities(pair); got[0] != "0" {
			t.Errorf("%s: %v, which older versions named 0", pair, got)
		}
	}
	if x[0] != y[0] || x[0] == z[0] || strings.Contains(x[0], "a.mp3") || !strings.HasPrefix(x[0], "call-77-") {
		t.Errorf("without id: %v %v %v", x, y, z)
	}
}

// TestSource distinguishes and recognises recordings independently of their ids.
func TestSource(t *testing.T) {
	source := func(call, recording string) string {
		c := decodeCall(t, `{"id":"`+call+`","recording":[`+recording+`]}`)
		return c.Recordings[0].Source()
	}
	const a = `"filename":"a.mp3","public_url":"https://h/one?rlt=1"`
	whole := source("1", `{"recording_id":"7",`+a+`}`)
	if len(whole) != 2*16+1 || whole[16] != '.' {
		t.Errorf("source %q", whole)
	}
	for name, test := range map[string]struct {
		source           string
		sameFile, sameAt bool
	}{
		"other id":    {source("1", `{"recording_id":"8",`+a+`}`), true, true},
		"other query": {source("1", `{"filename":"a.mp3","public_url":"https://h/one?rlt=2"}`), true, true},
		"other host":  {source("1", `{"filename":"a.mp3","src":"https://g/one"}`), true, true},
		"other path":  {source("1", `{"filename":"a.mp3","src":"https://h/two?rlt=1"}`), true, false},
		"other name":  {source("1", `{"filename":"b.mp3","src":"https://h/one?rlt=1"}`), false, true},
		"other call":  {source("2", `{`+a+`}`), true, true},
		"no link":     {source("1", `{"filename":"a.mp3"}`), true, false},
	} {
		file, at, _ := strings.Cut(test.source, ".")
		if (file == whole[:16]) != test.sameFile || (at == whole[17:]) != test.sameAt {
			t.Errorf("%s: %q beside %q", name, test.source, whole)
		}
	}
	if bare := source("1", `{"recording_id":"7"}`); bare != "." {
		t.Errorf("nothing to go by: %q", bare)
	}
}

// TestNamesProveNothing has file names of other systems: they give no account, and no time except
// one near the call's date.
func TestNamesProveNothing(t *testing.T) {
	for name, epoch := range map[string]bool{
		"106387_11_5555550100_7_5051_1746093600_1-in-1746093600.mp3": true,
		"106387_11_5555550100_7_5051_1746186000_1-in-1746186000.mp3": true,  // not 26 hours later
		"106387_11_5555550100_7_5051_1746194400_1-in-1746194400.mp3": false, // 28 hours later
		"5052_5555550100_20250501.mp3":                               false,
		"1746093600_5555550100_11.mp3":                               false,
		"4155550123_20250528_145838_vm.mp3":                          false,
		"":                                                           false,
	} {
		c := decodeCall(t, `{"id":"1","call_date":"2025-05-01 10:00:00","recording":[{"recording_id":"7","filename":"`+name+`"}]}`)
		if id := c.Recordings[0].AccountID(); id != "" {
			t.Errorf("%s: account %s", name, id)
		}
		if at, ok := c.Recordings[0].StartEpoch(); ok != epoch {
			t.Errorf("%s: %v, %v", name, at, ok)
		}
	}
	token := base64.StdEncoding.EncodeToString([]byte(url.QueryEscape(`{"account_id":100200,"u_id":"abcdefghijkl"}`)))
	linked := decodeCall(t, `{"id":"1","recording":[{"filename":"a.mp3","public_url":"https://h/play-recording-public/`+token+`?rlt=x"}]}`)
	if id := linked.Recordings[0].AccountID(); id != "100200" {
		t.Errorf("account %q in a link", id)
	}
	c := decodeCall(t, `{"id":"1","recording":[{"filename":"106387_11_5555550100_7_5051_1746093600_1-in-1746093600.mp3"}]}`)
	if at, ok := c.Recordings[0].StartEpoch(); ok {
		t.Errorf("without a date: %v", at)
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
		"byte-order mark":  {"\ufeff" + `{"success":true,"data":{"total_found":1,"results":[` + row + `]}}`, 1, 1, 0},
		"other case":       {`{"SUCCESS":true,"Data":{"Total_Found":1,"Results":[` + row + `]}}`, 1, 1, 0},
		"space around all": {" {\n\t\"success\" : true , \"data\" : { \"total_found\" : 1 , \"results\" : [ " + row + " ] } } ", 1, 1, 0},
		"a warning behind": {`{"success":true,"data":{"total_found":1,"results":[` + row + `]}}<b>Warning</b>`, 1, 1, 0},
		"row is null":      {`{"success":true,"data":{"total_found":2,"results":[` + row + `,null]}}`, 2, 2, 1},
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
		refused bool // whether the token is refused
		final   bool
	}{
		"bad token under 200":    {200, `{"success":false,"code":5001,"text":"Auth token is invalid"}`, 5001, true, true},
		"bad token under 500":    {500, `{"success":false,"code":5001}`, 5001, true, true},
		"code as text":           {200, `{"success":"false","code":"6004","message":"Unknown campaign"}`, 6004, false, true},
		"error field":            {200, `{"success":0,"code":500,"error":"oops"}`, 500, false, false},
		"unauthorized":           {401, `<html>`, 0, true, true},
		"forbidden by a gateway": {403, `<html>`, 0, false, false},
		"forbidden by the API":   {403, `{"success":false,"code":403}`, 403, true, true},
		"not found":              {404, `<html>`, 0, false, false},
		"redirect":               {302, ``, 0, false, false},
		"gateway":                {504, `<html>`, 0, false, false},
		"unknown code":           {200, `{"success":false,"code":9999,"text":"Something went wrong"}`, 9999, false, false},
		"no code":                {200, `{"success":false,"text":"Database error"}`, 0, false, false},
		"neither yes nor data":   {200, `{"foo":1}`, 0, false, false},
		"data that is a number":  {200, `{"success":true,"data":7}`, 0, false, false},
		"offset":                 {200, `{"success":false,"code":7231}`, 7231, false, true},
	} {
		_, err := decodePage("op", test.status, []byte(test.body))
		apiError, ok := errors.AsType[*APIError](err)
		if !ok {
			t.Errorf("%s: error %v", name, err)
			continue
		}
		if apiError.Code != test.code || apiError.Refused() != test.refused || apiError.final() != test.final {
			t.Errorf("%s: %+v", name, apiError)
		}
	}
	for body, want := range map[string]error{
		"": errNotJSON, "<html>hi</html>": errNotJSON, `{"success":true,"data":{`: errNotJSON, "\x00\x01": errNotJSON, "null": errNotJSON, `["hi"]`: errNotJSON,
		`{"success":true,"data":{"results":"hi"}}`: errNoRows, `{"success":true,"data":{"results":[{"a":"hi` + "\x01" + `"}]}}`: errBroken, `{"success":true,"data":{"results":[hi]}}`: errBroken,
	} {
		_, err := decodePage("op", 200, []byte(body))
		if !errors.Is(err, want) || errors.Is(err, errBroken) != errors.Is(want, errBroken) || strings.Contains(err.Error(), "hi") {
			t.Errorf("%q: error %v", body, err)
		}
	}
}

// TestPageOfTooManyRows treats millions of rows as a broken answer, in little memory.
func TestPageOfTooManyRows(t *testing.T) {
	for _, form := range [][3]string{{"[", "1", "]"}, {"{", `"":1`, "}"}} {
		for rows, ok := range map[int]bool{maxRows: true, maxRows + 1: false, 20 * maxRows: false} {
			list := strings.TrimSuffix(strings.Repeat(form[1]+",", rows), ",")
			body := []byte(`{"success":true,"data":{"total_found":1,"results":` + form[0] + list + form[2] + `}}`)
			p, err := decodePage("op", 200, body)
			if (err == nil) != ok || ok && (p.rows != rows || p.unreadable != rows) {
				t.Errorf("%d rows: %v", rows, err)
			}
		}
	}
}

// TestRowsInOddForms has names in other case, duplicates, and whitespace anywhere.
func TestRowsInOddForms(t *testing.T) {
	for row, want := range map[string]Call{
		`{"ID":"1","id":null}`:                       {},
		`{"id":null,"Id":" 12 "}`:                    {ID: "12"},
		`{"i\u0064":"\u0031\/2"}`:                    {ID: "1/2"},
		"{\"id\":\"\xff\"}":                          {ID: "\ufffd"},
		` { "id" : 1234567890123456789 } `:           {ID: "1234567890123456789"},
		`{"id":"` + strings.Repeat("1", 1025) + `"}`: {},
		`{"id":{"a":1},"call_length":1.50}`:          {ID: `{"a":1}`, CallLength: "1.50"},
		`{"id":true,"call_date":" null "}`:           {ID: "true"},
	} {
		got := decodeCall(t, row)
		if got.ID != want.ID || got.CallLength != want.CallLength || got.CallDate != want.CallDate {
			t.Errorf("%s: %+v", row, got)
		}
	}
	for _, row := range []string{`[1]`, `"x"`, `null`, `7`, `{`, ``} {
		c := Call{Raw: json.RawMessage(row)}
		if fields := c.Fields(); len(fields) > 0 {
			t.Errorf("%s has fields %v", row, fields)
		}
	}
	if kept, err := (&Call{Raw: json.RawMessage(`{"id`)}).RowWithoutLinks(); err == nil {
		t.Errorf("kept %s", kept)
	}
}
