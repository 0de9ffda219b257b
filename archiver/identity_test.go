package archiver

import (
	"slices"
	"testing"

	"convoso-archiver/fetcher"
	"convoso-archiver/manifest"
)

// recorded is a recording of a call, as the API lists it.
func recorded(call, id, file, link string) fetcher.Recording {
	return fetcher.Recording{CallID: call, ID: id, Filename: file, Identity: "call-" + call + "-" + file, FileHash: file, LinkHash: link}
}

func TestIdentities(t *testing.T) {
	type line struct{ id, call, source string }
	call := func(id string, recordings ...fetcher.Recording) *fetcher.Call {
		return &fetcher.Call{ID: id, Recordings: recordings}
	}
	for name, test := range map[string]struct {
		noted []line
		calls []*fetcher.Call
		want  [][]string // by call; "#" stands for an identity made for a second one
	}{
		"an id is the identity": {
			nil, []*fetcher.Call{call("1", recorded("1", "7", "a", "x"))}, [][]string{{"7"}},
		},
		"the same row again": {
			nil, []*fetcher.Call{call("1", recorded("1", "7", "a", "x")), call("1", recorded("1", "7", "a", "x"))}, [][]string{{"7"}, {"7"}},
		},
		"one id on two calls": {
			nil, []*fetcher.Call{call("1", recorded("1", "0", "a", "x")), call("2", recorded("2", "0", "b", "y"))}, [][]string{{"0"}, {"#"}},
		},
		"one id with two links in one call": {
			nil, []*fetcher.Call{call("1", recorded("1", "7", "a", "x"), recorded("1", "7", "a", "y"))}, [][]string{{"7", "#"}},
		},
		"one recording under two calls": {
			nil, []*fetcher.Call{call("1", recorded("1", "7", "a", "x")), call("2", recorded("2", "7", "a", "x"))}, [][]string{{"7"}, {"7"}},
		},
		"no id": {
			nil, []*fetcher.Call{call("1", recorded("1", "", "a", "x"))}, [][]string{{"call-1-a"}},
		},
		"one file name on two ids, without a link": {
			nil, []*fetcher.Call{call("1", recorded("1", "7", "a", ""), recorded("1", "8", "a", "")), call("1", recorded("1", "7", "a", ""), recorded("1", "8", "a", ""))},
			[][]string{{"7", "8"}, {"7", "8"}},
		},
		"one file name on two ids, and the links come": {
			[]line{{"7", "1", "a."}, {"8", "1", "a."}}, []*fetcher.Call{call("1", recorded("1", "8", "a", "y"), recorded("1", "7", "a", "x"))}, [][]string{{"8", "7"}},
		},
		"the same recording twice in a row": {
			nil, []*fetcher.Call{call("1", recorded("1", "7", "a", "x"), recorded("1", "7", "a", "x"))}, [][]string{{"7", "7"}},
		},
		"the same recording twice in a row, without a link": {
			nil, []*fetcher.Call{call("1", recorded("1", "7", "a", ""), recorded("1", "7", "a", ""))}, [][]string{{"7", "7"}},
		},
		"what had an id alone, beside another one": {
			[]line{{"8", "1", "."}}, []*fetcher.Call{call("1", recorded("1", "7", "a", "x"), recorded("1", "8", "b", "y"))}, [][]string{{"7", "8"}},
		},
		"nothing but its id is left, and then another file has it": {
			[]line{{"7", "1", "a.x"}},
			[]*fetcher.Call{call("1", fetcher.Recording{CallID: "1", ID: "7"}), call("1", recorded("1", "7", "b", "y")), call("1", recorded("1", "7", "a", "x"))},
			[][]string{{"7"}, {"#"}, {"7"}},
		},
		"nothing but their ids is left": {
			[]line{{"7", "1", "a.x"}, {"8", "1", "b.y"}},
			[]*fetcher.Call{call("1", fetcher.Recording{CallID: "1", ID: "8"}, fetcher.Recording{CallID: "1", ID: "7"})}, [][]string{{"8", "7"}},
		},
		"an id changes, before there is a link": {
			[]line{{"7", "1", "a."}}, []*fetcher.Call{call("1", recorded("1", "8", "a", ""))}, [][]string{{"7"}},
		},
		"another id and another link with the same file name": {
			[]line{{"7", "1", "a.x"}, {"7#0", "2", "b.y"}},
			[]*fetcher.Call{call("1", recorded("1", "8", "a", "z")), call("2", recorded("2", "9", "b", "w"))}, [][]string{{"8"}, {"9"}},
		},
		"an id is filled in": {
			[]line{{"call-1-a", "1", "a.x"}}, []*fetcher.Call{call("1", recorded("1", "7", "a", "x"))}, [][]string{{"call-1-a"}},
		},
		"an id is filled in, with another link": {
			[]line{{"call-1-a", "1", "a.x"}}, []*fetcher.Call{call("1", recorded("1", "7", "a", "y"))}, [][]string{{"call-1-a"}},
		},
		"a link is filled in": {
			[]line{{"7", "1", "a."}}, []*fetcher.Call{call("1", recorded("1", "7", "a", "x"))}, [][]string{{"7"}},
		},
		"a second file under a known id": {
			[]line{{"7", "1", "a.x"}}, []*fetcher.Call{call("1", recorded("1", "7", "b", "y"), recorded("1", "7", "a", "x"))}, [][]string{{"#", "7"}},
		},
		"the link changes": {
			[]line{{"7", "1", "a.x"}}, []*fetcher.Call{call("1", recorded("1", "7", "a", "y"))}, [][]string{{"7"}},
		},
		"the file name changes": {
			[]line{{"7", "1", "a.x"}}, []*fetcher.Call{call("1", recorded("1", "7", "b", "x"))}, [][]string{{"7"}},
		},
		"file name and link are others": {
			[]line{{"7", "1", "a.x"}}, []*fetcher.Call{call("1", recorded("1", "7", "b", "y"))}, [][]string{{"#"}},
		},
		"a second link, and the first one stays": {
			[]line{{"7", "1", "a.x"}}, []*fetcher.Call{call("1", recorded("1", "7", "a", "y"), recorded("1", "7", "a", "x"))}, [][]string{{"#", "7"}},
		},
		"what had nothing is filled in": {
			[]line{{"call-1-", "1", "."}}, []*fetcher.Call{call("1", recorded("1", "7", "a", "x"))}, [][]string{{"call-1-"}},
		},
		"of an older version": {
			[]line{{"7", "1", ""}}, []*fetcher.Call{call("1", recorded("1", "7", "a", "x"))}, [][]string{{"7"}},
		},
		"of an older version, without an id": {
			[]line{{"call-1-a", "1", ""}}, []*fetcher.Call{call("1", recorded("1", "", "a", "x"))}, [][]string{{"call-1-a"}},
		},
		"of an older version, under another call": {
			[]line{{"7", "2", ""}}, []*fetcher.Call{call("1", recorded("1", "7", "a", "x"))}, [][]string{{"#"}},
		},
		"calls without an id": {
			[]line{{"call--a", "", "a.x"}}, []*fetcher.Call{call("", recorded("", "7", "a", "y"))}, [][]string{{"7"}},
		},
	} {
		t.Run(name, func(t *testing.T) {
			x := newIdentities()
			for _, l := range test.noted {
				x.add(l.id, &manifest.State{CallID: l.call, Source: l.source})
			}
			given := map[string]bool{}
			for i, c := range test.calls {
				got := x.of(c)
				for k, id := range got {
					if test.want[i][k] == "#" {
						if given[id] || id == "" || slices.ContainsFunc(test.noted, func(l line) bool { return l.id == id }) {
							t.Errorf("row %d: %q is another one's", i, id)
						}
						continue
					}
					if id != test.want[i][k] {
						t.Errorf("row %d: %q, want %q", i, got, test.want[i])
					}
					given[id] = true
				}
			}
		})
	}
}
