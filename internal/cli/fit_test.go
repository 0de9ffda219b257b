package cli

import (
	"strings"
	"testing"
	"unicode/utf8"
)

func widestOf(text string) (most int) {
	for line := range strings.SplitSeq(text, "\n") {
		most = max(most, utf8.RuneCountInString(line))
	}
	return most
}

func TestFitted(t *testing.T) {
	for _, test := range []struct {
		text  string
		width int
		want  string
	}{
		{"one two three four", 0, "one two three four"},
		{"one two three four", 18, "one two three four"},
		{"one two three four", 13, "one two three\n  four"},
		{"ä ö ü ß é", 5, "ä ö ü\n  ß é"},
		{"  one two three", 9, "  one two\n    three"},
		{"a_word_that_is_longer than", 10, "a_word_that_is_longer\n  than"},
		{"days   3   closed in this run and before that run too", 40, "days   3   closed in this run and before\n           that run too"},
		{"  convoso-archiver report --dest /a --last 7d\nend", 35, "  convoso-archiver report \\\n    --dest /a --last 7d\nend"},
		{"head                      0123456789012345678901234567890123", 54, "head\n    0123456789012345678901234567890123"},
		{"one\n\ntwo\n", 10, "one\n\ntwo\n"},
	} {
		if got := fitted(test.text, test.width); got != test.want {
			t.Errorf("%q at %d: got %q, want %q", test.text, test.width, got, test.want)
		}
	}
}

func TestFoldCommand(t *testing.T) {
	for _, test := range []struct {
		line  string
		width int
		want  string
	}{
		{"run --a 1", 20, "run --a 1"},
		{"run --a 1 \\\n  --b 2", 20, "run --a 1 --b 2"},
		{"run --a 1 --b 2 --c 3", 20, "run --a 1 --b 2 \\\n  --c 3"},
		{"run --a 'x --y  z' | jq -r .a", 20, "run --a 'x --y  z' \\\n  | jq -r .a"},
		{"first\nsecond && third --flag", 16, "first\nsecond \\\n  && third \\\n  --flag"},
		{"printf 'a b' \"$(c)\" > d", 16, "printf 'a b' \\\n  \"$(c)\" > d"},
	} {
		if got := foldCommand(test.line, test.width); got != test.want {
			t.Errorf("%q at %d: got %q, want %q", test.line, test.width, got, test.want)
		}
	}
}

// TestGridFolds: columns that do not fit move below their row, and no figure except 0 is lost.
func TestGridFolds(t *testing.T) {
	g := grid{left: map[int]bool{0: true, 3: true}, folds: map[int]int{1: 2, 2: 1}, text: true}
	g.row("day", "open", "lost", "why")
	g.row("2025-05-01", "3", "1", "a reason of several words")
	g.row("total", "0", "0")
	for width, want := range map[int]string{
		0:  "day          open   lost   why\n2025-05-01      3      1   a reason of several words\ntotal           0      0\n",
		51: "day          open   lost   why\n2025-05-01      3      1   a reason of several\n                           words\ntotal           0      0\n",
		30: "day          open   lost\n2025-05-01      3      1\n    a reason of several words\ntotal           0      0\n",
		20: "day          open\n2025-05-01      3\n    1 lost, a reason\n    of several words\ntotal           0\n",
		12: "day\n2025-05-01\n    3 open,\n    1 lost,\n    a reason\n    of\n    several\n    words\ntotal\n",
	} {
		if got := g.fitted(width); got != want {
			t.Errorf("at %d: got\n%s\nwant\n%s", width, got, want)
		}
	}
}
