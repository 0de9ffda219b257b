package fetcher

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"unicode"
)

// FuzzAnswerForms writes answers in every form that JSON leaves open, which bytes
// changed at random seldom stay: whitespace anywhere, names in other case or escaped or
// twice, any value for any other. All must be as encoding/json has it.
func FuzzAnswerForms(f *testing.F) {
	for seed := range uint64(500) {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, seed uint64) {
		w := formWriter{random: rand.New(rand.NewPCG(seed, 0))}
		w.answer()
		checkAgainstPlain(t, 200, w.body)
	})
}

// formWriter writes JSON at random.
type formWriter struct {
	random *rand.Rand
	body   []byte
}

// one returns whether something happens that does once in n times.
func (w *formWriter) one(n int) bool { return w.random.IntN(n) == 0 }

func (w *formWriter) token(s string) {
	for w.one(6) {
		w.body = append(w.body, " \t\r\n"[w.random.IntN(4)])
	}
	w.body = append(w.body, s...)
	for w.one(6) {
		w.body = append(w.body, " \t\r\n"[w.random.IntN(4)])
	}
}

// text writes a string, some of its characters escaped.
func (w *formWriter) text(s string) {
	var b strings.Builder
	often := 1 + w.random.IntN(40) // how seldom
	for _, r := range s {
		switch {
		case r == '"' || r == '\\' || r == '/' && w.one(2):
			b.WriteString(`\` + string(r))
		case r < ' ' || r <= 0xFFFF && w.one(often):
			fmt.Fprintf(&b, `\u%04x`, r)
		default:
			b.WriteRune(r)
		}
	}
	if w.one(40) {
		b.WriteString([]string{"\xff", "\xe2\x80", `\ud800`, `\udc00\ud800`, "\u2028", "\\n", "é"}[w.random.IntN(7)])
	}
	w.token(`"` + b.String() + `"`)
}

// name writes a name, some of them in other case.
func (w *formWriter) name(s string) {
	if w.one(8) {
		s = strings.Map(func(r rune) rune {
			for w.one(2) {
				r = unicode.SimpleFold(r)
			}
			return r
		}, s)
	}
	w.text(s)
	w.token(":")
}

// nameOf writes one of the names.
func (w *formWriter) nameOf(known []string, others ...string) {
	names := slices.Concat(known, others)
	w.name(names[w.random.IntN(len(names))])
}

// members writes an object or a list of up to n members.
func (w *formWriter) members(n int, named bool, member func(i int)) {
	w.token(map[bool]string{true: "{", false: "["}[named])
	for i := range w.random.IntN(n + 1) {
		if i > 0 {
			w.token(",")
		}
		member(i)
	}
	w.token(map[bool]string{true: "}", false: "]"}[named])
}

func (w *formWriter) answer() {
	w.members(6, true, func(i int) {
		name := envelopeNames[w.random.IntN(len(envelopeNames))]
		if i < 2 {
			name = []string{"success", "data"}[i]
		}
		w.name(name)
		switch {
		case i == 0 && !w.one(10):
			w.token("true")
		case i == 1 && !w.one(10):
			w.data()
		default:
			w.value(0)
		}
	})
}

func (w *formWriter) data() {
	w.members(4, true, func(i int) {
		if i == 0 || w.one(3) {
			w.name("results")
			if w.one(12) {
				w.value(0)
				return
			}
			w.several(6, w.row)
			return
		}
		w.name("total_found")
		w.value(2)
	})
}

// several writes a list, or an object as PHP does for one.
func (w *formWriter) several(n int, element func()) {
	keyed := w.one(3)
	w.members(n, keyed, func(i int) {
		if keyed {
			w.name(fmt.Sprint(i))
		}
		if w.one(12) {
			w.value(0)
			return
		}
		element()
	})
}

func (w *formWriter) row() {
	w.members(12, true, func(int) {
		if w.one(3) {
			w.name("recording")
			if w.one(6) {
				w.value(0)
			} else if w.one(6) {
				w.recording()
			} else {
				w.several(3, w.recording)
			}
			return
		}
		w.nameOf(rowNames, "unknown", "src", "public_url", "")
		w.value(1)
	})
}

func (w *formWriter) recording() {
	w.members(7, true, func(int) {
		w.nameOf(recordingNames, "unknown")
		w.value(2)
	})
}

var formTexts = []string{
	"", "null", " NULL ", "0", "12", " 7", "-1", "2025-05-28 14:58:38", "a.mp3", "1_2_3_1748469536_8636-in.mp3", "secretsecretsecret", `]}","id":"`, `\`, "<&>", "K",
	"https://x.convoso.com/play/secretsecretsecret?rlt=AAAA+BBBB/CCCC==", "//x/othersecretothersecret", "see https://x/y and secretsecretsecret", `{"at":"https:\/\/x\/y"}`,
}

// value writes any value; from depth 2 on mostly a text.
func (w *formWriter) value(depth int) {
	kind := w.random.IntN(8)
	if depth >= 2 && !w.one(8) {
		kind = 7
	}
	switch kind {
	case 0:
		w.token("null")
	case 1:
		w.token([]string{"true", "false"}[w.random.IntN(2)])
	case 2:
		w.token([]string{"0", "-1.50e3", "5550100", "200"}[w.random.IntN(4)])
	case 3, 4:
		named := kind == 3
		w.members(2, named, func(int) {
			if named {
				w.name([]string{"src", "public_url", "x", "recording_id"}[w.random.IntN(4)])
			}
			w.value(depth + 1)
		})
	default:
		w.text(formTexts[w.random.IntN(len(formTexts))])
	}
}

// TestFormsAreAnswers makes sure that most of what FuzzAnswerForms writes has rows to
// be compared, and all of it is JSON.
func TestFormsAreAnswers(t *testing.T) {
	rows, recordings := 0, 0
	for seed := range uint64(500) {
		w := formWriter{random: rand.New(rand.NewPCG(seed, 0))}
		w.answer()
		p, err := decodePage("op", 200, w.body)
		if err != nil {
			if strings.Contains(err.Error(), errNotJSON.Error()) {
				t.Fatalf("%v: %q", err, w.body)
			}
			continue
		}
		rows += len(p.calls)
		for _, c := range p.calls {
			recordings += len(c.Recordings)
		}
	}
	if rows < 300 || recordings < 200 {
		t.Errorf("%d rows with %d recordings", rows, recordings)
	}
}
