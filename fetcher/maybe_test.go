package fetcher

import "testing"

func TestMayBe(t *testing.T) {
	file, other := shortHash("a.mp3"), shortHash("b.mp3")
	for name, c := range map[string]struct {
		r        Recording
		identity string
		source   string
		want     bool
	}{
		"same id":                             {Recording{ID: "5", FileHash: file}, "5", file + ".link", true},
		"same id, no file name noted":         {Recording{ID: "5", FileHash: file}, "5", "", true},
		"same id, another file":               {Recording{ID: "5", FileHash: file}, "5", other + ".link", false},
		"one of two with an id":               {Recording{ID: "5", FileHash: file}, "5#0a", file + ".link", true},
		"an id that begins alike":             {Recording{ID: "5"}, "55", ".link", false},
		"another id, same file":               {Recording{ID: "5", FileHash: file}, "6", file + ".link", false},
		"id came later, same file":            {Recording{ID: "5", FileHash: file}, "call-1-0a", file + ".link", true},
		"id came later, nothing else":         {Recording{ID: "5", CallID: "1"}, "call-1-0a", ".link", false},
		"no id, same file":                    {Recording{FileHash: file}, "call-1-0a", file + ".link", true},
		"no id, another file":                 {Recording{FileHash: file}, "call-1-0a", other + ".link", false},
		"nameless, of the same call":          {Recording{CallID: "1"}, "call-1-0a", ".link", true},
		"nameless, of another call":           {Recording{CallID: "2"}, "call-1-0a", ".link", false},
		"nameless, both of calls without ids": {Recording{}, "call--0a", ".link", true},
		"nameless, noted with an id":          {Recording{}, "5", ".link", false},
	} {
		if got := c.r.MayBe(c.identity, c.source); got != c.want {
			t.Errorf("%s: %v", name, got)
		}
	}
}
