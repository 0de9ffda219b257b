package fetcher_test

import (
	"encoding/json"
	"strings"
	"testing"

	"convoso-archiver/fetcher"
)

// TestRowWithoutLinksDropsEveryLink has links in forms that are not addresses with a
// scheme, and in places beside those that are followed.
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
			var call fetcher.Call
			if err := json.Unmarshal([]byte(row), &call); err != nil {
				t.Fatal(err)
			}
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

// TestRowWithoutLinksKeepsNothing tells a link that is missing from one that was
// dropped.
func TestRowWithoutLinksKeepsNothing(t *testing.T) {
	var call fetcher.Call
	if err := json.Unmarshal([]byte(`{"id":1,"recording":[{"recording_id":"5","public_url":null,"src":""}]}`), &call); err != nil {
		t.Fatal(err)
	}
	const want = `{"id":1,"recording":[{"recording_id":"5","public_url":null,"src":null}]}`
	if kept, err := call.RowWithoutLinks(); err != nil || string(kept) != want {
		t.Errorf("%s, %v", kept, err)
	}
}
