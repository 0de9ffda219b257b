package key

import (
	"io/fs"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"
)

// FuzzKey checks the requirements of every key with any values.
func FuzzKey(f *testing.F) {
	texts := []string{
		`{{.filename}}`, `{{.campaign}}/{{.filename}}`, `{{.campaign}}{{.filename}}/{{.user}}`,
		`{{.campaign}}/{{.user}}/{{.campaign}}/{{.user}}/{{.campaign}}/{{.filename}}`,
		`{{.campaign | trunc 3}}/{{.user | default "-"}}.{{.filename}}`,
	}
	var templates []*Template
	for _, text := range texts {
		templates = append(templates, mustParse(f, text))
	}
	extensions := []string{"", ".mp3", ".wav", ".flac"}
	long := strings.Repeat("ä.", 300)
	for i, name := range []string{
		"x.mp3", "../../x", "manifest", "calls", "quarantine", "MANIFEST.", "con", "COM¹.x", "a:b.", "", " ", ".", "\xff\xfe",
		"a/b\\c", "x\x00y", "MANIFE~1", long, long + ".wav", "lpt1 .mp3", "\u202egpm.exe", ".tmp/x",
	} {
		f.Add(name, name, "Q", "123", uint8(i), uint16(30))
		f.Add("x.mp3", "manifest", name, name, uint8(i), uint16(500))
	}
	f.Fuzz(func(t *testing.T, filename, campaign, user, id string, choice uint8, prefix uint16) {
		prefix %= 600
		o := Options{RecordingID: id, Format: format(extensions[int(choice)%len(extensions)]), PrefixLen: int(prefix)}
		fields := map[string]string{"filename": filename, "campaign": campaign, "user": user}
		template := templates[int(choice)/8%len(templates)]
		names, err := template.Key(fields, callTime, o)
		if err != nil {
			t.Fatal(err)
		}
		again, err := template.Key(fields, callTime, o)
		if err != nil || again != names {
			t.Fatalf("not the same twice: %q and %q", names, again)
		}
		keys := names.For(id, sum)
		for _, key := range keys {
			checkKey(t, key, int(prefix), texts[int(choice)/8%len(texts)])
			if ext := o.Format.Extension(); !strings.HasSuffix(strings.ToLower(key), ext) {
				t.Errorf("%q does not end in %q", key, ext)
			}
		}
		// A later run only knows the wanted key and must find the object under the second one.
		if again := Again(names.Wanted(), id); !slices.Equal(again, keys[:2]) {
			t.Errorf("keys %q, noted and made again %q", keys, again)
		}
		for _, key := range Quarantine(filename, id, sum) {
			checkParts(t, key)
			if !strings.HasPrefix(key, "quarantine/") || strings.Count(key, "/") != 2 {
				t.Errorf("%q is not in quarantine", key)
			}
		}
	})
}

// shortName returns the short name of NTFS, which also leads to the archive's own folders.
var shortName = regexp.MustCompile(`(?i)^(manife|quaran|eviden|access|calls|seals)~[0-9]`)

func checkKey(t *testing.T, key string, prefix int, template string) {
	t.Helper()
	checkParts(t, key)
	if prefix+len(key) > maxKey {
		t.Errorf("%d bytes behind %d: %q", len(key), prefix, key)
	}
	if strings.Count(key, "/") != strings.Count(template, "/") {
		t.Errorf("%q has other parts than %q", key, template)
	}
	first, _, _ := strings.Cut(key, "/")
	if strings.HasPrefix(first, ".") || shortName.MatchString(first) || slices.ContainsFunc([]string{"manifest", "calls", "evidence", "seals", "access", "quarantine"},
		func(own string) bool { return strings.EqualFold(first, own) }) {
		t.Errorf("%q is in the archive's own folders", key)
	}
}

// checkParts independently checks what stores and Windows accept, and what is visible.
func checkParts(t *testing.T, key string) {
	t.Helper()
	if !utf8.ValidString(key) || !fs.ValidPath(key) || !filepath.IsLocal(key) ||
		strings.ContainsAny(key, `\:<>"|?*`) || strings.ContainsFunc(key, func(r rune) bool { return !unicode.IsPrint(r) }) {
		t.Fatalf("bad key %q", key)
	}
	for part := range strings.SplitSeq(key, "/") {
		stem, _, _ := strings.Cut(strings.ToLower(part), ".")
		stem = strings.TrimSpace(stem)
		port := strings.HasPrefix(stem, "com") || strings.HasPrefix(stem, "lpt")
		switch {
		case len(part) > 255, strings.HasSuffix(part, "."), strings.HasSuffix(part, " "):
			t.Errorf("bad part %q", part)
		case slices.Contains([]string{"con", "prn", "aux", "nul", "conin$", "conout$", "clock$"}, stem),
			port && utf8.RuneCountInString(stem) == 4 && strings.ContainsAny(stem[3:], "0123456789¹²³"):
			t.Errorf("part %q is a device", part)
		}
	}
}

// FuzzCleanPart checks that cleaning twice changes no more than cleaning once, that clean parts
// stay unchanged, and that long parts with one different character stay different after truncation.
func FuzzCleanPart(f *testing.F) {
	for _, text := range []string{"x", "", "..", "con", "a. .", strings.Repeat("é", 200) + ".mp3", "\xff", "aux.", strings.Repeat("x", 256)} {
		f.Add(text, uint16(len(text)/2))
	}
	plain := regexp.MustCompile(`^[A-Za-z0-9-]+[A-Za-z0-9_-]{4}(\.[A-Za-z0-9]{3})?$`)
	f.Fuzz(func(t *testing.T, text string, at uint16) {
		once := CleanPart(text)
		checkParts(t, once)
		if twice := CleanPart(once); twice != once {
			t.Errorf("%q became %q, then %q", text, once, twice)
		}
		if len(text) <= 255 && plain.MatchString(text) && once != text {
			t.Errorf("%q became %q", text, once)
		}
		if len(text) == 0 {
			return
		}
		changed := []byte(text)
		changed[int(at)%len(changed)] ^= 1
		other := string(changed)
		if namePart(text) != namePart(other) && len(namePart(text)) > 255 && len(namePart(other)) > 255 && CleanPart(other) == once {
			t.Errorf("%q and %q both became %q", text, other, once)
		}
	})
}

// FuzzAlternatives checks that two recordings never share an alternative, nor a key in quarantine,
// even if case is ignored.
func FuzzAlternatives(f *testing.F) {
	f.Add("x", "1-2", "x-1", "2")
	f.Add("x", "1_1a2b3c4d", "x", "1")
	f.Add("x.mp3", "A", "X.mp3", "a")
	f.Add("x-12345678", "1", "x", "12345678")
	f.Add(strings.Repeat("x", 300), "1", strings.Repeat("x", 300), strings.Repeat("1", 300))
	template := mustParse(f, "{{.filename}}")
	f.Fuzz(func(t *testing.T, name, id, otherName, otherID string) {
		if id == otherID {
			return
		}
		keys := func(filename, id string) []string {
			names, err := template.Key(map[string]string{"filename": filename}, callTime, Options{RecordingID: id, Format: format(".mp3")})
			if err != nil {
				t.Fatal(err)
			}
			return append(names.For(id, sum)[1:], Quarantine("2025-05-01", id, sum)...)
		}
		for _, one := range keys(name, id) {
			for _, other := range keys(otherName, otherID) {
				if strings.EqualFold(one, other) {
					t.Errorf("%q and %q of %q and %q", one, other, id, otherID)
				}
			}
		}
		// The encoding of one id may itself be an id: its own encoding must differ.
		if encoded := encodeID(id); encoded != id && strings.EqualFold(encodeID(encoded), encoded) {
			t.Errorf("ids %q and %q are both %q in a key", id, encoded, encoded)
		}
	})
}
