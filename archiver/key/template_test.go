package key

import (
	"maps"
	"strings"
	"testing"
	"time"
)

// format stands for the format of a recording's bytes.
type format string

func (f format) Extension() string { return string(f) }

var callTime = time.Date(2025, 5, 28, 14, 58, 38, 0, time.UTC)

func fieldsOfCall() map[string]string {
	return map[string]string{
		"id": "900", "campaign_id": "5051", "campaign": "Medicare / East: \"A\"", "user": "Zoë O'Neil", "queue_id": "",
		"status": "SALE", "call_type": "OUTBOUND", "phone_number": "5555550100", "recording_id": "123456789012",
		"filename": "106387_11_5555550100_50_5051_1748469536_8636-in-1748.mp3", "extra": "ignored",
	}
}

func mustParse(t testing.TB, text string) *Template {
	t.Helper()
	template, err := Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	return template
}

// wanted makes a key of the fields of a call, changed by pairs of name and value.
func wanted(t *testing.T, text string, o Options, pairs ...string) string {
	t.Helper()
	fields := fieldsOfCall()
	for i := 0; i < len(pairs); i += 2 {
		fields[pairs[i]] = pairs[i+1]
	}
	names, err := mustParse(t, text).Key(fields, callTime, o)
	if err != nil {
		t.Fatal(err)
	}
	return names.Wanted()
}

func TestTemplates(t *testing.T) {
	const name = "106387_11_5555550100_50_5051_1748469536_8636-in-1748.mp3"
	for text, want := range map[string]string{
		`{{.filename}}`: name,
		`{{.campaign_id}}/{{.call_date.Format "2006-01-02"}}/{{.filename}}`: "5051/2025-05-28/" + name,
		`{{.call_date.Format "2006/01/02"}}/{{.recording_id}}`:              "2025/05/28/123456789012.mp3",
		`{{.call_date}} {{.id}}`:                                              "2025-05-28 14_58_38 900.mp3",
		`{{with .call_date}}{{.Format "2006"}}{{end}}/{{.filename}}`:          "2025/" + name,
		`{{$.campaign_id}}/{{.filename}}`:                                     "5051/" + name,
		`{{.campaign}}/{{.user}}/{{.id}}`:                                     "Medicare _ East_ _A_/Zoë O'Neil/900.mp3",
		`{{.queue_id}}/{{.id}}`:                                               "_/900.mp3",
		`{{.queue_id | default "none"}}/{{.id}}`:                              "none/900.mp3",
		`{{if .queue_id}}{{.queue_id}}/{{end}}{{.id}}`:                        "900.mp3",
		`{{lower .status}}/{{upper .user}}/{{.id}}`:                           "sale/ZOË O'NEIL/900.mp3",
		`{{.user | trunc 3}}/{{replace " " "-" .user}}`:                       "Zoë/Zoë-O'Neil.mp3",
		`{{.status | lower | replace "sale" "s/x"}}/{{.id}}`:                  "s/x/900.mp3",
		`{{if eq .call_type "OUTBOUND"}}out{{else}}in{{end}}/{{.id}}.wav`:     "out/900.mp3",
		`{{trunc 3 .phone_number}}/{{printf "%s-%s" .id .status}}`:            "555/900-SALE.mp3",
		`{{.id}}{{/* a comment */}}`:                                          "900.mp3",
		`{{$d := .call_date}}{{$d.Format "2006"}}-{{.id}}`:                    "2025-900.mp3",
		`{{trunc 0 .user}}{{trunc -1 .user}}{{trunc 99 .status}}/{{.status}}`: "SALE/SALE.mp3",
	} {
		t.Run(text, func(t *testing.T) {
			if got := wanted(t, text, Options{RecordingID: "1", Format: format(".mp3")}); got != want {
				t.Errorf("got %q, want %q", got, want)
			}
		})
	}
}

func TestParseRefuses(t *testing.T) {
	for text, want := range map[string]string{
		"":                                       "every recording would get the same name: use a field such as {{.filename}}",
		"call.mp3":                               "the same name",
		`{{"x"}}/{{/* no field */}}y`:            "the same name",
		"\xff{{.id}}":                            "UTF-8",
		"{{.id":                                  "unclosed action",
		"{{.campain_id}}":                        "unknown field campain_id; the fields are agent_comment",
		"{{if .id}}{{else}}{{.x}}{{end}}":        "unknown field x",
		"{{$.x}}":                                "unknown field x",
		"{{lower (upper .x)}}":                   "unknown field x",
		"{{(.x).y}}":                             "unknown field x",
		"{{.public_url}}":                        "secret",
		"{{.src}}":                               "secret",
		"{{.call_date.Unix}}":                    "has no Unix",
		"{{.campaign.Name}}":                     "has no Name",
		"{{.}}":                                  "{{.}} names no field",
		"{{$}}":                                  "{{$}} names no field",
		"{{with .user}}{{.id}}{{end}}":           "can't evaluate field id",
		"{{range .id}}x{{end}}":                  "not allowed in a path template",
		`{{define "a"}}x{{end}}{{template "a"}}`: "not allowed in a path template",
		`{{template "key" .}}`:                   "not allowed in a path template",
		"{{now}}":                                "not defined",
		"{{trunc .id .id}}":                      "wrong type",
		"{{slice .phone_number 0 3}}-{{.id}}":    "out of range",
		"/{{.id}}":                               "begins with",
		"{{.campaign}}/":                         "ends with",
		"a//{{.id}}":                             "empty part",
		"{{.id}}/../{{.id}}":                     `a part ".."`,
		"./{{.id}}":                              `a part "."`,
	} {
		t.Run(text, func(t *testing.T) {
			_, err := Parse(text)
			if err == nil || !strings.Contains(err.Error(), want) || !strings.HasPrefix(err.Error(), "parse template: ") {
				t.Errorf("got %v, want an error with %q", err, want)
			}
		})
	}
}

// TestKeyErrorsHoldNoValue runs a template that fails only for some values.
func TestKeyErrorsHoldNoValue(t *testing.T) {
	template := mustParse(t, `{{if eq .user "x"}}{{slice .phone_number 50}}{{end}}{{.id}}`)
	_, err := template.Key(map[string]string{"user": "x", "phone_number": "5555550100"}, callTime, Options{RecordingID: "1"})
	if err == nil || strings.Contains(err.Error(), "5555550100") {
		t.Errorf("got %v, want an error without the value", err)
	}
}

func TestExtensions(t *testing.T) {
	for _, test := range []struct{ filename, ext, want string }{
		{"x.mp3", ".mp3", "x.mp3"},
		{"x.MP3", ".mp3", "x.MP3"},
		{"x.mp3", ".wav", "x.wav"},
		{"x.mpga", ".mp3", "x.mp3"},
		{"x", ".mp3", "x.mp3"},
		{"x.", ".mp3", "x_.mp3"},
		{"x.dat", ".mp3", "x.dat.mp3"},
		{"x.v2.wav", ".ogg", "x.v2.ogg"},
		{".mp3", ".mp3", "_.mp3.mp3"},
		{"call 5.5 sec", ".mp3", "call 5.5 sec.mp3"},
		{"x.dat", "", "x.dat"},
		{"", ".mp3", "id7.mp3"},
	} {
		if got := wanted(t, "{{.filename}}", Options{RecordingID: "id7", Format: format(test.ext)}, "filename", test.filename); got != test.want {
			t.Errorf("%q with %q: got %q, want %q", test.filename, test.ext, got, test.want)
		}
	}
	if got := wanted(t, "{{.filename}}", Options{RecordingID: "id7"}, "filename", "x.wav"); got != "x.wav" {
		t.Errorf("without a format: got %q", got)
	}
}

// TestHostileNames tries file names that must not be at the top of the archive.
func TestHostileNames(t *testing.T) {
	for filename, want := range map[string]string{
		"../../x":                   "_.._.._x.mp3",
		"..":                        "__.mp3",
		"/etc/passwd":               "_etc_passwd.mp3",
		`C:\x`:                      "C__x.mp3",
		"manifest/2025-05-01.jsonl": "manifest_2025-05-01.jsonl.mp3",
		".tmp":                      "_.tmp.mp3",
		"a:b.":                      "a_b_.mp3",
		"con":                       "_con.mp3",
		"COM¹.wav":                  "_COM¹.mp3",
		"nul .mp3":                  "_nul .mp3",
		"console.mp3":               "console.mp3",
		"com10.mp3":                 "com10.mp3",
		"a\x00b\nc\x7f\u0085":       "a_b_c__.mp3",
		"a\xff\xfeb":                "a__b.mp3",
		"a\ufffdb":                  "a_b.mp3",
		"a\u202egpm":                "a_gpm.mp3",
		"a\u00a0b\ufeffc":           "a_b_c.mp3",
		"   ":                       "___.mp3",
		"MANIFE~1":                  "MANIFE_1.mp3",
		"Zoë 東京.mp3":                "Zoë 東京.mp3",
	} {
		if got := wanted(t, "{{.filename}}", Options{RecordingID: "1", Format: format(".mp3")}, "filename", filename); got != want {
			t.Errorf("%q: got %q, want %q", filename, got, want)
		}
	}
	for folder, want := range map[string]string{
		"manifest": "_manifest", "Calls": "_Calls", "evidence": "_evidence", "SEALS": "_SEALS", "access": "_access", "QUARANTINE": "_QUARANTINE", "manifeſt": "_manifeſt", ".tmp": "_.tmp",
		"manifest.": "manifest_", "..": "__", ".": "_", "aux": "_aux", "TMP~1": "TMP_1", "EVIDEN~1": "EVIDEN_1", "sealed": "sealed", "a~b": "a~b", "manifests": "manifests",
	} {
		if got := wanted(t, "{{.campaign}}/{{.id}}", Options{RecordingID: "1"}, "campaign", folder); got != want+"/900" {
			t.Errorf("%q: got %q, want %q", folder, got, want+"/900")
		}
		if !strings.EqualFold(folder, "aux") && strings.Trim(folder, ".") == folder {
			if got := wanted(t, "x/{{.campaign}}/{{.id}}", Options{RecordingID: "1"}, "campaign", folder); got != "x/"+folder+"/900" {
				t.Errorf("%q in a folder: got %q", folder, got)
			}
		}
	}
}

func TestLongNames(t *testing.T) {
	o := Options{RecordingID: "123456789012", Format: format(".mp3"), PrefixLen: 30}
	long := strings.Repeat("ä", 200)
	one := wanted(t, "{{.filename}}", o, "filename", long+"1.wav")
	other := wanted(t, "{{.filename}}", o, "filename", long+"2.wav")
	if one == other || !strings.HasSuffix(one, ".mp3") || len(one) > maxPart {
		t.Errorf("got %q and %q", one, other)
	}
	if room := maxPart - len("-123456789012_1a2b3c4d"); len(one) < room-1 || len(one) > room {
		t.Errorf("%d bytes, room is %d", len(one), room)
	}
	for _, name := range mustKey(t, long).For(o.RecordingID, [32]byte{1}) {
		if len(name) > maxPart {
			t.Errorf("%d bytes: %q", len(name), name)
		}
	}
	deep := strings.Repeat("{{.campaign}}/", 8) + "{{.filename}}"
	key := wanted(t, deep, o, "campaign", strings.Repeat("c", 250), "filename", "short.mp3")
	if size := len(key) + 30 + len("-123456789012_1a2b3c4d"); size > maxKey || size < maxKey-20 {
		t.Errorf("%d bytes in all: %q", size, key)
	}
	if !strings.HasSuffix(key, "/short.mp3") {
		t.Errorf("a name that is short was cut: %q", key)
	}
	if _, err := mustParse(t, deep).Key(map[string]string{"campaign": long}, callTime, Options{RecordingID: "1", PrefixLen: 900}); err == nil {
		t.Error("a key that cannot fit was made")
	}
}

func mustKey(t *testing.T, filename string) Names {
	t.Helper()
	names, err := mustParse(t, "{{.filename}}").Key(map[string]string{"filename": filename}, callTime,
		Options{RecordingID: "123456789012", Format: format(".mp3")})
	if err != nil {
		t.Fatal(err)
	}
	return names
}

func BenchmarkKey(b *testing.B) {
	fields := fieldsOfCall()
	for _, text := range []string{"{{.filename}}", `{{.campaign_id}}/{{.call_date.Format "2006-01-02"}}/{{.filename}}`} {
		template := mustParse(b, text)
		b.Run(text, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				names, err := template.Key(fields, callTime, Options{RecordingID: "123456789012", Format: format(".mp3")})
				if err != nil {
					b.Fatal(err)
				}
				names.For("123456789012", [32]byte{})
			}
		})
	}
}

func TestNamesOnly(t *testing.T) {
	for text, want := range map[string]bool{
		"{{.filename}}": true,
		`{{.call_date.Format "2006-01-02"}}/{{.recording_id}}`:              true,
		"{{.campaign_id}}/{{.filename}}":                                    false,
		`{{if .queue_id}}{{.filename}}{{else}}{{.recording_id}}{{end}}.mp3`: false,
	} {
		parsed, err := Parse(text)
		if err != nil {
			t.Fatal(err)
		}
		if got := parsed.NamesOnly("filename", "recording_id"); got != want {
			t.Errorf("%s: %v", text, got)
		}
	}
}

// TestPick makes the same key from the picked fields as from all fields, and keeps nothing else.
func TestPick(t *testing.T) {
	const text = `{{.campaign_id}}/{{.queue | default "none"}}/{{.call_date.Format "2006-01-02"}}/{{.filename}}`
	parsed, err := Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]string{"campaign_id": "7", "filename": "a.mp3", "call_date": "2025-05-28 14:58:38", "first_name": "Someone"}
	picked := parsed.Pick(all)
	if want := map[string]string{"campaign_id": "7", "filename": "a.mp3"}; !maps.Equal(picked, want) {
		t.Errorf("picked %v, want %v", picked, want)
	}
	date := time.Date(2025, 5, 28, 14, 58, 38, 0, time.UTC)
	o := Options{RecordingID: "1"}
	of, err := parsed.Key(all, date, o)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := parsed.Key(picked, date, o); err != nil || got.Wanted() != of.Wanted() || got.Wanted() != "7/none/2025-05-28/a.mp3" {
		t.Errorf("key %q (%v), want %q", got.Wanted(), err, of.Wanted())
	}
}
