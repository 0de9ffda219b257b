package archiver

import (
	"hash/maphash"
	"strconv"
	"testing"
	"time"

	"convoso-archiver/archiver/store"
	"convoso-archiver/manifest"
)

// TestChoose decides which of several objects is the recording.
func TestChoose(t *testing.T) {
	object := func(rank rank, sum string, isGood bool) standingCandidate {
		return standingCandidate{rank: rank, isGood: isGood, line: manifest.Recording{SHA256: sum}}
	}
	mine := func(c standingCandidate) standingCandidate {
		c.mine = true
		return c
	}
	for name, test := range map[string]struct {
		list      []standingCandidate
		want      string
		ambiguous bool
	}{
		"nothing":                     {},
		"one":                         {list: []standingCandidate{object(rankWanted, "a", true)}, want: "a"},
		"one that is not whole":       {list: []standingCandidate{object(rankWanted, "a", false)}, ambiguous: true},
		"its id in the name":          {list: []standingCandidate{object(rankWanted, "a", true), object(rankOwn, "b", true)}, want: "b"},
		"its id in the name, damaged": {list: []standingCandidate{object(rankWanted, "a", true), object(rankOwn, "b", false)}, ambiguous: true},
		"replaced":                    {list: []standingCandidate{object(rankOwn, "a", true), object(rankReplaced, "b", true)}, want: "b"},
		"replaced twice":              {list: []standingCandidate{object(rankReplaced, "a", true), object(rankReplaced, "b", true)}, ambiguous: true},
		"replaced twice, by the same": {list: []standingCandidate{object(rankReplaced, "a", true), object(rankReplaced, "a", true)}, want: "a"},
		"metadata":                    {list: []standingCandidate{mine(object(rankWanted, "a", true)), object(rankOwn, "b", true)}, want: "a"},
		"metadata of other bytes":     {list: []standingCandidate{mine(object(rankWanted, "a", false))}, ambiguous: true},
		"metadata of other bytes, and of the right": {list: []standingCandidate{mine(object(rankWanted, "a", false)), mine(object(rankReplaced, "b", true))}, want: "b"},
		"metadata, replaced by other bytes":         {list: []standingCandidate{mine(object(rankWanted, "a", true)), mine(object(rankReplaced, "b", false))}, want: "a"},
	} {
		t.Run(name, func(t *testing.T) {
			got, ambiguous := choose(test.list)
			sum := ""
			if got != nil {
				sum = got.line.SHA256
			}
			if sum != test.want || ambiguous != test.ambiguous {
				t.Errorf("%q, ambiguous %v", sum, ambiguous)
			}
		})
	}
}

// TestDoubtShort detects half recordings by the length of their call.
func TestDoubtShort(t *testing.T) {
	found := func(call string, seconds int) *sought {
		return &sought{call: call, length: "100", found: &manifest.Recording{}, plays: time.Duration(seconds) * time.Second}
	}
	proved := found("proved", 20)
	proved.plays = 0
	list := []*sought{
		found("whole", 95), found("half", 50), found("in two", 60), found("in two", 40), found("in two, one is half", 60), found("in two, one is half", 20),
		proved, found("proved", 20), found("longer", 300), {call: "in three", length: "100", noted: &manifest.State{}}, found("in three", 30),
	}
	doubtShort(list)
	for _, s := range list {
		isShort := s.call == "half" || s.call == "in two, one is half"
		if s.ambiguous != isShort || isShort && s.found != nil {
			t.Errorf("%s: ambiguous %v", s.call, s.ambiguous)
		}
	}
}

// TestStanding checks which recording owns a name.
func TestStanding(t *testing.T) {
	n := &standing{seed: maphash.MakeSeed()}
	for _, name := range []string{"a.mp3", "B.mp3", "c.mp3", "d.mp3", "f.mp3"} {
		n.names = append(n.names, n.hash(name))
	}
	n.sorted()
	n.note(&manifest.Entry{Key: []byte("d.mp3"), ID: []byte("4"), CallID: []byte("c4"), Outcome: manifest.Archived})
	n.note(&manifest.Entry{Key: []byte("f.mp3"), ID: []byte("6"), CallID: []byte("c6"), Outcome: manifest.Erased}) // the audio may still exist
	n.claim("a.mp3", "1", "c1")
	n.claim("b.MP3", "2", "c2")
	n.claim("b.mp3", "3", "c3")
	n.claim("c.mp3", "3", "c3")
	n.claim("c.mp3", "3", "c3")
	for _, test := range []struct {
		name, id, call string
		want           use
		stands         bool
	}{
		{"a.mp3", "1", "c1", 0, true},
		{"a.mp3", "9", "c1", useShared, true},
		{"b.mp3", "2", "c2", useShared, true},
		{"c.mp3", "3", "c3", useAgain, true},
		{"d.mp3", "4", "c4", useNoted, true},
		{"d.mp3", "4", "c5", useNoted | useShared, true},
		{"e.mp3", "5", "c5", 0, false},
		{"f.mp3", "7", "c7", useNoted | useShared, true},
	} {
		if got, stands := n.of(test.name, test.id, test.call); got != test.want || stands != test.stands {
			t.Errorf("%s of %s: %b, %v", test.name, test.id, got, stands)
		}
	}
}

// TestWhose determines the owner of an object by its metadata or, without metadata, by its name.
func TestWhose(t *testing.T) {
	const day, name = "2025-05-01", "a.mp3"
	own := store.Info{Key: name, RecordingID: "1", CallID: "c1", CallDay: day}
	with := func(change func(*store.Info)) store.Info {
		info := own
		change(&info)
		return info
	}
	for what, c := range map[string]struct {
		info      store.Info
		noID      bool
		claims    []string // other recordings that claim the name
		want      answer
		elsewhere bool
	}{
		"its own":                         {info: own, want: yes},
		"another recording's":             {info: with(func(i *store.Info) { i.RecordingID = "2" }), want: no},
		"another call's":                  {info: with(func(i *store.Info) { i.CallID = "c2" }), want: no},
		"of a day that is known":          {info: with(func(i *store.Info) { i.CallDay = "2025-05-02" }), want: no, elsewhere: true},
		"of a day that is lost":           {info: with(func(i *store.Info) { i.CallDay = "2025-05-03" }), want: yes},
		"of the call, the row has no id":  {info: with(func(i *store.Info) { i.RecordingID = "f-1" }), noID: true, want: yes},
		"another's, and the row no id":    {info: with(func(i *store.Info) { i.RecordingID, i.CallID = "f-1", "c2" }), noID: true, want: no},
		"without metadata":                {info: store.Info{Key: name}, want: yes},
		"without metadata, claimed twice": {info: store.Info{Key: name}, claims: []string{"2"}, want: unknowable},
		"without metadata or id":          {info: store.Info{Key: name}, noID: true, want: unknowable},
	} {
		b := &Rebuild{known: map[string]bool{"2025-05-02": true}, names: standing{seed: maphash.MakeSeed()}}
		b.names.names = append(b.names.names, b.names.hash(name))
		b.names.sorted()
		b.names.claim(name, "1", "c1")
		for _, other := range c.claims {
			b.names.claim(name, other, "c"+other)
		}
		s := &sought{id: "1", call: "c1", hasID: !c.noID}
		candidate := standingCandidate{info: c.info}
		if got := b.whose(day, s, &candidate); got != c.want || s.elsewhere != c.elsewhere || candidate.mine != (c.info.RecordingID != "" && c.want == yes) {
			t.Errorf("%s: %v, elsewhere %v, mine %v", what, got, s.elsewhere, candidate.mine)
		}
	}
}

// TestStandingFinds looks up existing and missing names, in small and large stores.
func TestStandingFinds(t *testing.T) {
	for _, count := range []int{0, 1, 2, 3, 1000} {
		n := &standing{seed: maphash.MakeSeed()}
		for i := range count {
			n.names = append(n.names, n.hash(strconv.Itoa(i)))
		}
		n.sorted()
		for i := range 2 * count {
			if _, stands := n.at(strconv.Itoa(i)); stands != (i < count) {
				t.Errorf("name %d of %d stands: %v", i, count, stands)
			}
		}
		if _, stands := n.at("other"); stands {
			t.Errorf("of %d names, another stands", count)
		}
	}
}
