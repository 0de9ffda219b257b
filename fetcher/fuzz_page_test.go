package fetcher

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// FuzzDecodePage decodes any answer: every row is parsed or counted as unreadable, the result
// agrees with encoding/json, every recording has an identity, and no error or stored row contains
// an address.
func FuzzDecodePage(f *testing.F) {
	for _, name := range []string{"vendor-sample.json", "vendor-sample-broken.json"} {
		body, err := os.ReadFile("../testdata/pages/" + name)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(body, uint16(200))
	}
	f.Add([]byte(`{"success":true,"data":{"total_found":1,"results":{"a":{"recording":{"0":{"recording_id":1}}}}}}`), uint16(200))
	f.Add([]byte(`{"success":false,"code":"5001"}`), uint16(200))
	f.Add([]byte(`<html>bad gateway</html>`), uint16(502))
	f.Fuzz(func(t *testing.T, body []byte, status uint16) {
		p, err := decodePage("op", int(status), body)
		if err != nil {
			checkErrorText(t, err)
			return
		}
		if len(p.calls)+p.unreadable != p.rows || p.total < -1 {
			t.Fatalf("%d rows of %d, of which %d read and %d not", p.rows, p.total, len(p.calls), p.unreadable)
		}
		checkRowCount(t, body, p)
		for i := range p.calls {
			checkKept(t, &p.calls[i])
			_ = p.calls[i].Fields()
			for _, r := range p.calls[i].Recordings {
				if r.Identity == "" {
					t.Fatal("recording without identity")
				}
				_, _ = r.StartEpoch()
				if id := r.AccountID(); strings.Contains(id, "://") {
					t.Fatalf("account %q", id)
				}
			}
		}
	})
}

// checkRowCount counts the rows of a plain answer by encoding/json alone.
func checkRowCount(t *testing.T, body []byte, p *page) {
	t.Helper()
	var plain struct {
		Data struct{ Results []json.RawMessage }
	}
	lower := bytes.ToLower(body)
	twice := bytes.Count(lower, []byte(`data"`)) != 1 || bytes.Count(lower, []byte(`results"`)) != 1
	if !twice && json.Unmarshal(body, &plain) == nil && p.rows != len(plain.Data.Results) {
		t.Fatalf("%d rows of %d: %q", p.rows, len(plain.Data.Results), body)
	}
}

// anyAddress independently recognises addresses, escaped or not.
var anyAddress = regexp.MustCompile(`(?i)https?:(\\*/|\\+u002f){2}`)

func checkErrorText(t *testing.T, err error) {
	t.Helper()
	if text := err.Error(); anyAddress.MatchString(text) || strings.ContainsFunc(text, func(r rune) bool { return r < ' ' }) {
		t.Fatalf("error %q", text)
	}
}

// checkKept expects the stored row to be one JSON value without addresses and secrets of links.
func checkKept(t *testing.T, c *Call) {
	t.Helper()
	row, err := c.RowWithoutLinks()
	if err != nil || !json.Valid(row) {
		t.Fatalf("row without links: %q, %v", row, err)
	}
	var secrets []string
	for _, r := range c.Recordings {
		for _, secret := range LinkSecrets(r.Link) {
			if !strings.Contains(droppedLink, secret) {
				secrets = append(secrets, secret)
			}
		}
	}
	for _, text := range textsIn(t, row) {
		isName := fileNamePattern.MatchString(text) && slices.ContainsFunc(c.Recordings, func(r Recording) bool { return r.Filename == text })
		holds := func(secret string) bool { return strings.Contains(text, secret) && !(isName && text == secret) }
		if anyAddress.MatchString(text) || slices.ContainsFunc(secrets, holds) {
			t.Fatalf("row %q still holds a link in %q", row, text)
		}
	}
}

// textsIn returns every string of a JSON value, including names of fields.
func textsIn(t *testing.T, data []byte) (texts []string) {
	t.Helper()
	decoder := json.NewDecoder(bytes.NewReader(data))
	decoder.UseNumber()
	for {
		token, err := decoder.Token()
		if errors.Is(err, io.EOF) {
			return texts
		}
		if err != nil {
			t.Fatal(err)
		}
		if text, ok := token.(string); ok {
			texts = append(texts, text)
		}
	}
}

// FuzzErrorText puts a link into an API's error, as a text or inside an object, with slashes
// escaped as PHP does: no error may contain it.
func FuzzErrorText(f *testing.F) {
	for shape := range uint8(12) {
		f.Add("not found: ", "aGVsbG8+/w==?rlt=a+b/c", shape)
		f.Add("", "", 128+shape)
	}
	f.Add("htt\x00ps://x \u2028", "a", uint8(3))
	const secret = "S3CR3T0123456789"
	f.Fuzz(func(t *testing.T, said, token string, shape uint8) {
		token = strings.Map(func(r rune) rune { // valid characters of a link
			if r <= ' ' || r > '~' || strings.ContainsRune(`"'<>`, r) {
				return -1
			}
			return r
		}, token)
		said += "https://media.convoso.com/play/" + token + secret
		var value any = said
		if shape&1 != 0 {
			value = map[string]any{"url": said, "nested": []any{said}}
		}
		if shape&2 != 0 {
			value = string(marshal(t, value)) // JSON within a text
		}
		field := []string{"text", "message", "error"}[int(shape/4)%3]
		body := marshal(t, map[string]any{"success": false, "code": "7000", field: value})
		if shape >= 128 {
			body = bytes.ReplaceAll(body, []byte("/"), []byte(`\/`))
		}
		_, err := decodePage("op", 200, body)
		if err == nil {
			t.Fatalf("no error from %q", body)
		}
		checkErrorText(t, err)
		if strings.Contains(err.Error(), secret) {
			t.Fatalf("error %q", err)
		}
	})
}

func marshal(t *testing.T, v any) []byte {
	t.Helper()
	data, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// FuzzCallRow writes rows of known content in every observed or conceivable form, and expects to
// read them back: without losing rows or recordings, with links byte for byte, equal for numbers
// and texts, and with identities independent of order.
func FuzzCallRow(f *testing.F) {
	for shape := range uint8(32) {
		f.Add("106387_1_5550100_2_3_1748469536_8636-in-1748.mp3", "999999999999", "eyJhY2NvdW50X2lkIjoxfQ==", "tH9oAVlBG1g+J1eW/Tsd8==", shape)
	}
	f.Add("null", "NULL", "", "", uint8(5))
	f.Add("", "", "a b\"<>'&c", "x&y=zzzzzzzzzzzzzz#", uint8(9))
	f.Add("a.mp3", "0", "\u2028\\/", "%2B%", uint8(20))
	f.Fuzz(func(t *testing.T, filename, id, token, key string, shape uint8) {
		for _, text := range []*string{&filename, &id, &token, &key} {
			*text = string([]rune(*text)) // JSON contains only characters
		}
		if max(len(id), len(key)) > 1<<10 {
			t.Skip()
		}
		link := "https://media.convoso.com/play/" + token + "?rlt=" + key
		other := "https://media.convoso.com/play/" + key + "/" + token
		want := []wantRecording{{id, filename, link, other}, {key, filename, "", link}, {id, key, other, ""}, {"", filename, link, ""}, {"", filename, "null", other}}
		row := wantRow{id: id, comment: "heard " + link + " and \"" + other + "\"", recordings: want}

		got := checkPage(t, row, shape)
		reversed := row
		reversed.recordings = slices.Clone(want)
		slices.Reverse(reversed.recordings)
		again := checkPage(t, reversed, shape^0xFF).Recordings
		slices.Reverse(again)
		for i, r := range again {
			if r != got.Recordings[i] {
				t.Fatalf("recording %d is %+v, and in another form and order %+v", i, got.Recordings[i], r)
			}
		}
		checkIdentities(t, got.Recordings)
		checkKept(t, got)
		checkOddLinks(t, strings.TrimSpace(link), strings.TrimSpace("play/"+key))
	})
}

// checkOddLinks has links outside of recordings, with their secrets in other fields: neither may be
// stored.
func checkOddLinks(t *testing.T, link, relative string) {
	t.Helper()
	secrets := append(LinkSecrets(Secret(link)), LinkSecrets(Secret(relative))...)
	secrets = slices.DeleteFunc(secrets, func(secret string) bool { return strings.Contains(droppedLink, secret) })
	replacer := strings.NewReplacer("LINK", string(marshal(t, link)), "RELATIVE", string(marshal(t, relative)), "SECRETS", string(marshal(t, secrets)))
	for _, form := range []string{
		`{"x":SECRETS,"recording":[{"src":LINK,"src":RELATIVE,"src":"a"}]}`,
		`{"x":SECRETS,"recording":[{"public_url":LINK,"SRC":RELATIVE}],"Recording":[]}`,
		`{"x":SECRETS,"recording":LINK,"RECORDING":RELATIVE}`,
		`{"x":SECRETS,"recording":[[],LINK,{"\u0053rc" : {"a":[RELATIVE]}}]}`,
		`{"x":SECRETS,"y":{"z":[{"Src":LINK},{"Public_URL":RELATIVE,"public_url":null}]}}`,
	} {
		c := decodeCall(t, replacer.Replace(form))
		row, err := c.RowWithoutLinks()
		if err != nil {
			t.Fatal(err)
		}
		for _, text := range textsIn(t, row) {
			if anyAddress.MatchString(text) || slices.ContainsFunc(secrets, func(secret string) bool { return strings.Contains(text, secret) }) {
				t.Fatalf("%s became %s", form, row)
			}
		}
	}
}

type wantRecording struct{ id, filename, publicURL, src string }

type wantRow struct {
	id, comment string
	recordings  []wantRecording
}

// checkPage writes the row between two others and returns it as it was read.
func checkPage(t *testing.T, want wantRow, shape uint8) *Call {
	t.Helper()
	rows := []any{map[string]any{"id": "1"}, want.fields(t, shape), map[string]any{"id": 2, "recording": nil}, "no row"}
	data := map[string]any{"total_found": "4", "results": rows}
	if shape&1 != 0 {
		data = map[string]any{"total_found": 4, "results": map[string]any{"0": rows[0], "1": rows[1], "2": rows[2], "3": rows[3]}}
	}
	body := marshal(t, map[string]any{"success": true, "code": 200, "data": data})
	if shape&2 != 0 {
		body = bytes.ReplaceAll(body, []byte("/"), []byte(`\/`)) // like PHP
	}
	p, err := decodePage("op", 200, body)
	if err != nil {
		t.Fatalf("%v: %s", err, body)
	}
	if p.rows != 4 || p.unreadable != 1 || p.total != 4 || len(p.calls) != 3 || p.calls[0].ID != "1" || p.calls[2].ID != "2" {
		t.Fatalf("%d rows, %d unreadable, total %d: %s", p.rows, p.unreadable, p.total, body)
	}
	c := &p.calls[1]
	if c.ID != orNone(want.id) || c.Fields()["agent_comment"] != want.comment || len(c.Recordings) != len(want.recordings) || c.RecordingUnreadable {
		t.Fatalf("call %q with %d recordings of %d: %s", c.ID, len(c.Recordings), len(want.recordings), body)
	}
	for i, r := range want.recordings {
		link := orNone(r.publicURL)
		if link == "" {
			link = orNone(r.src)
		}
		got := c.Recordings[i]
		if got.ID != orNone(r.id) || got.Filename != orNone(r.filename) || got.Link.Reveal() != link || got.CallID != c.ID {
			t.Fatalf("recording %d is %q, %q, %q; want %+v", i, got.ID, got.Filename, got.Link.Reveal(), r)
		}
		if shown := fmt.Sprintf("%v %+v %#v %q", got, got, got, got.Link); anyAddress.MatchString(shown) && !anyAddress.MatchString(got.ID+got.Filename) {
			t.Fatalf("printed as %s", shown)
		}
	}
	return c
}

// fields returns the row as the API may send it.
func (w wantRow) fields(t *testing.T, shape uint8) map[string]any {
	t.Helper()
	// Numbers are texts or JSON numbers.
	scalar := func(s string) any {
		if shape&4 != 0 && jsonNumber.MatchString(s) {
			return json.RawMessage(s)
		}
		return s
	}
	var list []any
	byIndex := map[string]any{}
	for i, r := range w.recordings {
		fields := map[string]any{"recording_id": scalar(r.id), "filename": scalar(r.filename), "public_url": r.publicURL, "src": r.src, "type": "pause"}
		if shape&8 != 0 {
			list = append(list, nil, map[string]any{}) // gaps
			if r.publicURL == "" {
				fields["public_url"] = nil
			}
		}
		list = append(list, fields)
		byIndex[fmt.Sprint(i)] = fields
	}
	var recordings any = list
	if shape&16 != 0 {
		recordings = byIndex
	}
	return map[string]any{
		"id": scalar(w.id), "agent_comment": w.comment, "recording": recordings,
		"unknown": map[string]any{"deep": []any{w.comment, nil, 1.5}, w.comment: true},
	}
}

var jsonNumber = regexp.MustCompile(`^(0|[1-9][0-9]*)$`)

// orNone returns the meaning of a value: trimmed, and "" for null in any spelling.
func orNone(s string) string {
	s = strings.TrimSpace(s)
	if strings.EqualFold(s, "null") {
		return ""
	}
	return s
}

// checkIdentities expects one identity for one recording: its id and file name, or, without an id,
// its file name and the path of its link.
func checkIdentities(t *testing.T, recordings []Recording) {
	t.Helper()
	for i, a := range recordings {
		for _, b := range recordings[i+1:] {
			same := a.ID == b.ID && a.Filename == b.Filename && (a.ID != "" || linkPath(a.Link) == linkPath(b.Link))
			if (a.Identity == b.Identity) != same {
				t.Fatalf("identities %q and %q of %q, %q and %q, %q", a.Identity, b.Identity, a.ID, a.Filename, b.ID, b.Filename)
			}
		}
	}
}
