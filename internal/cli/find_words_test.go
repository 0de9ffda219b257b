package cli

import (
	"testing"

	"convoso-archiver/manifest"
	"convoso-archiver/search"
)

func TestRecordingWords(t *testing.T) {
	archived := search.Recording{Outcome: manifest.Archived}
	state := func(s manifest.State) search.Recording {
		return search.Recording{Outcome: s.Outcome, Final: s.Final, State: &s}
	}
	for _, test := range []struct {
		recordings []search.Recording
		want       string
		needs      bool
	}{
		{nil, "none", false},
		{[]search.Recording{archived}, "archived", false},
		{[]search.Recording{archived, archived}, "2 archived", false},
		{[]search.Recording{archived, {Outcome: manifest.Lost, Final: true}, archived}, "2 archived, 1 lost at the vendor", false},
		{[]search.Recording{state(manifest.State{Outcome: manifest.Pending, Cause: "no_link", Reason: "the row has no link"})}, "waiting: no link yet: the row has no link", false},
		{[]search.Recording{state(manifest.State{Outcome: manifest.Rejected, Cause: "host_not_allowed", Reason: "links to m.test: add --allow-host https://m.test"})},
			"waiting: links to m.test: add --allow-host https://m.test", false},
		{[]search.Recording{state(manifest.State{Outcome: manifest.Rejected, Final: true, Cause: "not_audio", Reason: "an HTML page"})}, "given up: the answer is not audio: an HTML page", false},
		{[]search.Recording{state(manifest.State{Outcome: manifest.Pending})}, "waiting: no audio yet", false},
		{[]search.Recording{{Outcome: manifest.Failed}}, "waiting: no audio yet", true},
		{[]search.Recording{{Outcome: manifest.Erased, Final: true}}, "erased", false},
		{[]search.Recording{{Outcome: "beamed"}}, "beamed", false},
	} {
		c := &search.Call{Recordings: test.recordings}
		if got, needs := recordingWords(c), needsCause(c); got != test.want || needs != test.needs {
			t.Errorf("%q, %v, want %q, %v", got, needs, test.want, test.needs)
		}
	}
}

func TestAudioText(t *testing.T) {
	for want, test := range map[string][2]int{
		"0 recordings": {0, 0}, "1 recording (with audio)": {1, 1}, "1,200 recordings (all 1,200 with audio)": {1200, 1200}, "1 recording (without audio)": {1, 0},
		"3 recordings (none with audio)": {3, 0}, "11 recordings (10 with audio)": {11, 10},
	} {
		if got := audioText(test[0], test[1]); got != want {
			t.Errorf("%v: %q, want %q", test, got, want)
		}
	}
}
