package fetcher_test

import (
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"net/url"
	"strings"
	"testing"

	"convoso-archiver/fetcher"
)

// TestRowWithoutLinksDropsEveryLink has links without a scheme, and in fields other than those that
// are requested.
func TestRowWithoutLinksDropsEveryLink(t *testing.T) {
	const public = `"recording_id":"5","public_url":"https://x.convoso.com/play/PUBLICPUBLICPUBLIC?rlt=RLTRLTRLTRLTRLT"`
	for name, row := range map[string]string{
		"src without scheme":          `{"id":"1","recording":[{` + public + `,"src":"//x.convoso.com/play/HIDDENHIDDENHIDDEN?rlt=HIDDENTOO12345"}]}`,
		"src that is a path":          `{"id":"1","recording":[{` + public + `,"src":"/play/HIDDENHIDDENHIDDEN"}]}`,
		"short src":                   `{"id":"1","recording":[{` + public + `,"src":"HIDDEN"}]}`,
		"src that is a list":          `{"id":"1","recording":[{` + public + `,"src":["//x/HIDDEN",{"a":"HIDDEN"}]}]}`,
		"link in a row's own field":   `{"id":"1","public_url":"//x/HIDDEN","recording":[{` + public + `}]}`,
		"token of src elsewhere":      `{"id":"1","agent_comment":"see HIDDENHIDDENHIDDEN","recording":[{` + public + `,"src":"//x/HIDDENHIDDENHIDDEN"}]}`,
		"address in an unknown field": `{"id":"1","later":{"at":"https://x.convoso.com/HIDDEN"},"recording":[{` + public + `}]}`,
		"src twice":                   `{"id":"1","note":"HIDDENHIDDENHIDDEN","recording":[{` + public + `,"src":"//x/HIDDENHIDDENHIDDEN","src":"//x/y"}]}`,
		"public_url twice":            `{"id":"1","note":"HIDDENHIDDENHIDDEN","recording":[{"public_url":"//x/HIDDENHIDDENHIDDEN",` + public + `}]}`,
		"recordings twice":            `{"id":"1","note":"HIDDENHIDDENHIDDEN PUBLICPUBLICPUBLIC","recording":[{` + public + `,"src":"HIDDENHIDDENHIDDEN"}],"Recording":[]}`,
		"recording that is a link":    `{"id":"1","note":"HIDDENHIDDENHIDDEN","recording":"https:\/\/x\/HIDDENHIDDENHIDDEN","other":{` + public + `}}`,
		"recording that is a path":    `{"id":"1","note":"HIDDENHIDDENHIDDEN","Recording":"x/HIDDENHIDDENHIDDEN","other":{` + public + `}}`,
		"list of links":               `{"id":"1","note":"HIDDENHIDDENHIDDEN","recording":[null,"x/HIDDENHIDDENHIDDEN",{` + public + `}]}`,
		"src in other case":           `{"id":"1","recording":[{` + public + `,"SRC":"play/HIDDEN/x"}]}`,
		"escaped src in other case":   `{"id":"1","recording":[{` + public + `,"S\u0052c":"play/HIDDEN/x"}]}`,
		"token of src in other case":  `{"id":"1","note":"HIDDENHIDDENHIDDEN","recording":[{` + public + `,"SRC":"HIDDENHIDDENHIDDEN"}]}`,
		"token in a src with fields":  `{"id":"1","note":"HIDDENHIDDENHIDDEN","recording":[{` + public + `,"src":[{"at" : "x/HIDDENHIDDENHIDDEN"}]}]}`,
		"token of a link deep in row": `{"id":"1","HIDDENHIDDENHIDDEN":1,"a":[[{"b":{"public_url":"x?k=HIDDENHIDDENHIDDEN"}}]],"recording":[{` + public + `}]}`,
	} {
		t.Run(name, func(t *testing.T) {
			call := fetcher.Call{Raw: json.RawMessage(row)}
			kept, err := call.RowWithoutLinks()
			if err != nil {
				t.Fatal(err)
			}
			for _, secret := range []string{"HIDDEN", "PUBLICPUBLIC", "RLTRLT"} {
				if strings.Contains(string(kept), secret) {
					t.Errorf("kept: %s", kept)
				}
			}
			if !json.Valid(kept) || !strings.Contains(string(kept), `"recording_id":"5"`) {
				t.Errorf("the row became %s", kept)
			}
		})
	}
}

// TestRowWithoutLinksKeepsNothing distinguishes a missing link from a removed one.
func TestRowWithoutLinksKeepsNothing(t *testing.T) {
	call := fetcher.Call{Raw: json.RawMessage(`{"id":1,"recording":[{"recording_id":"5","public_url":null,"src":""}]}`)}
	const want = `{"id":1,"recording":[{"recording_id":"5","public_url":null,"src":null}]}`
	if kept, err := call.RowWithoutLinks(); err != nil || string(kept) != want {
		t.Errorf("%s, %v", kept, err)
	}
}

// TestRowWithoutLinksKeepsNames: a link may end with the file name of its recording, which stays. Every other
// part that opens the link is replaced, also in a file name.
func TestRowWithoutLinksKeepsNames(t *testing.T) {
	const name, token = "100200_5550000343_1746104400.mp3", "SECRETSECRETSECRETSECRETSECRET"
	for what, c := range map[string]struct {
		link, filename, comment string
		keeps                   bool
	}{
		"its own":                  {link: "https://x.convoso.com/" + token + "/" + name + "?rlt=RLTRLTRLTRLTRLT", filename: name, keeps: true},
		"encoded":                  {link: "https://x.convoso.com/a%20b_1746104400.mp3", filename: "a b_1746104400.mp3", keeps: true},
		"in the query":             {link: "https://x.convoso.com/" + token + "?file=" + name, filename: name, keeps: true},
		"and in a comment":         {link: "//x/" + name, filename: name, comment: "see x.convoso.com/LEFT/" + name, keeps: true},
		"a name that is a secret":  {link: "//x/" + token, filename: token},
		"a secret with extension":  {link: "//x/" + token, filename: token + ".mp3"},
		"another recording's name": {link: "//x/" + token, filename: name, comment: token, keeps: true},
	} {
		row, err := json.Marshal(map[string]any{"id": "1", "comment": c.comment, "recording": []any{map[string]any{"recording_id": "5", "public_url": c.link, "filename": c.filename}}})
		if err != nil {
			t.Fatal(err)
		}
		call := fetcher.Call{Raw: row}
		kept, err := call.RowWithoutLinks()
		if err != nil || strings.Contains(string(kept), `"filename":"`+c.filename+`"`) != c.keeps || strings.Contains(string(kept), token) || strings.Contains(string(kept), "RLTRLT") || strings.Contains(string(kept), "LEFT/"+name) {
			t.Errorf("%s: %s, %v", what, kept, err)
		}
	}
}

// TestRowWithoutLinksDropsEveryForm has a link in a comment, among other words, in each
// recognisable form.
func TestRowWithoutLinksDropsEveryForm(t *testing.T) {
	const (
		id   = "u100xxxxxxxxxxxxxxxxxxxx"
		rlt  = "abcdefghijk+LMNOP/qrstuvwxyz0123456789ABCDE"
		host = "127.0.0.1:18102/play-recording-public/"
	)
	plain := url.QueryEscape(`{"account_id":100200,"u_id":"` + id + `"}`)
	token := base64.StdEncoding.EncodeToString([]byte(plain))
	if !strings.HasSuffix(token, "=") {
		t.Fatal("the token has no padding")
	}
	link := "http://" + host + token + "?rlt=" + rlt
	std, raw, web := base64.StdEncoding, base64.RawStdEncoding, base64.URLEncoding
	text := func(s string) string {
		encoded, err := json.Marshal(s)
		if err != nil {
			t.Fatal(err)
		}
		return strings.ReplaceAll(string(encoded), "/", `\/`)
	}
	for name, form := range map[string]string{
		"as it is":                  link,
		"percent-encoded":           url.QueryEscape(link),
		"percent-encoded, lower":    strings.ToLower(url.QueryEscape("http://")) + url.QueryEscape(host) + url.QueryEscape(token+"?rlt="+rlt),
		"percent-encoded twice":     url.QueryEscape(url.QueryEscape(link)),
		"percent-encoded path":      url.PathEscape(link),
		"base64":                    std.EncodeToString([]byte(link)),
		"base64 without padding":    raw.EncodeToString([]byte(link)),
		"base64 for the web":        web.EncodeToString([]byte(link)),
		"base64 behind letters":     "x/" + std.EncodeToString([]byte(link)),
		"base64 of more":            std.EncodeToString([]byte("see " + link + " there")),
		"base64 in lines":           std.EncodeToString([]byte(link))[:76] + "\r\n" + std.EncodeToString([]byte(link))[76:],
		"base64 of percent-encoded": std.EncodeToString([]byte(url.QueryEscape(link))),
		"hex":                       hex.EncodeToString([]byte(link)),
		"hex in capitals":           strings.ToUpper(hex.EncodeToString([]byte(link))),
		"hex behind a digit":        "7" + hex.EncodeToString([]byte(link)),
		"hex of the key":            "key=" + hex.EncodeToString([]byte(rlt)),
		"percent-encoded base64":    url.QueryEscape(std.EncodeToString([]byte(link))),
		"without scheme":            host + token + "?rlt=" + rlt,
		"with slashes only":         "//" + host + token + "?rlt=" + rlt,
		"for HTML":                  strings.ReplaceAll(strings.ReplaceAll(link, "?", "?a=b&"), "&", "&amp;"),
		"for HTML, numbered":        strings.NewReplacer("/", "&#47;", "+", "&#x2b;").Replace(link),
		"plus as space":             strings.ReplaceAll(link, "+", " "),
		"plus as space, no scheme":  strings.ReplaceAll(host+token+"?rlt="+rlt, "+", " "),
		"bare token":                token,
		"bare token, no padding":    strings.TrimRight(token, "="),
		"bare key":                  rlt,
		"bare end of the key":       rlt[strings.LastIndexByte(rlt, '/')+1:],
		"what the token says":       plain,
		"what the token says, read": `{"account_id":100200,"u_id":"` + id + `"}`,
		"JSON in a text":            text(link),
		"JSON in JSON in a text":    text(text(link)),
		"slash by number":           strings.ReplaceAll(host+token+"?rlt="+rlt, "/", `\u002f`),
	} {
		comment, err := json.Marshal("before " + form + " behind")
		if err != nil {
			t.Fatal(err)
		}
		row := `{"id":"1","agent_comment":` + string(comment) + `,"more":{"a":[` + string(comment) + `]},"recording":[{"recording_id":"5","public_url":` + text(link) + `}]}`
		call := fetcher.Call{Raw: json.RawMessage(row)}
		kept, err := call.RowWithoutLinks()
		if err != nil {
			t.Fatal(err)
		}
		for _, secret := range []string{id, strings.TrimRight(token, "="), rlt, "LMNOP/qrs", form} {
			if strings.Contains(string(kept), secret) {
				t.Errorf("%s: kept %s", name, kept)
			}
		}
	}
	const innocent = `{"id":"1","agent_comment":"50% off, call +1 555 010 0000 at 10:00; see C:\\\\temp\\\\x &amp; session 54e763323127574e3795008b41e36162@192.0.0.0:5060","recording":[]}`
	row := strings.Replace(innocent, "[]", `[{"public_url":`+text(link)+`}]`, 1)
	call := fetcher.Call{Raw: json.RawMessage(row)}
	if kept, err := call.RowWithoutLinks(); err != nil || string(kept) != strings.Replace(innocent, "[]", `[{"public_url":"[link dropped]"}]`, 1) {
		t.Errorf("kept %s, %v", kept, err)
	}
}
