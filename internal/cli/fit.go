// Wraps text to the width of the terminal.

package cli

import (
	"io"
	"os"
	"regexp"
	"strconv"
	"strings"
	"unicode/utf8"

	"golang.org/x/term"
)

const (
	leastWidth = 40 // columns; narrower terminals count as this wide
	helpInPipe = 80 // columns of the help without a terminal
	leastHang  = 4  // indentation of continued lines if a larger one leaves too little space
	leastTail  = 24 // minimum columns for wrapping the last column in place
)

// widthOf returns the width for text: that of w's terminal, otherwise COLUMNS; 0 for no limit, as in a pipe and a
// file.
func widthOf(w io.Writer, env environment) int {
	if f, ok := w.(*os.File); ok {
		if width, _, err := term.GetSize(int(f.Fd())); err == nil && width > 0 {
			return max(width, leastWidth)
		}
	}
	if width, err := strconv.Atoi(env["COLUMNS"]); err == nil && width > 0 {
		return max(width, leastWidth)
	}
	return 0
}

// writeText writes a text for people, wrapped to the width of stdout as far as its words allow.
func writeText(w io.Writer, text string) error {
	_, err := io.WriteString(w, fitted(text, columnsOf(w)))
	return err
}

// columnsOf returns the width for text on stdout, 0 for no limit.
func columnsOf(w io.Writer) int {
	if r, ok := w.(*results); ok {
		return r.width
	}
	return 0
}

// fitted wraps lines that are longer than width, and command lines in shell syntax.
func fitted(text string, width int) string {
	if width == 0 {
		return text
	}
	lines := strings.Split(text, "\n")
	for i, line := range lines {
		indent := line[:len(line)-len(strings.TrimLeft(line, " "))]
		if strings.HasPrefix(line[len(indent):], program+" ") && indent != "" {
			lines[i] = indent + strings.ReplaceAll(foldCommand(line[len(indent):], width-len(indent)), "\n", "\n"+indent)
			continue
		}
		lines[i] = fitLine(line, width)
	}
	return strings.Join(lines, "\n")
}

var columnGap = regexp.MustCompile(`  +`)

// fitLine breaks a line at blanks where it is longer than width, 0 for no limit. Continuations are aligned with the
// line's last column, or indented if that column is too narrow.
func fitLine(line string, width int) string {
	if width == 0 || utf8.RuneCountInString(line) <= width {
		return line
	}
	body := strings.TrimLeft(line, " ")
	hang := len(line) - len(body) + 2
	if gaps := columnGap.FindAllStringIndex(body, -1); len(gaps) > 0 {
		at := utf8.RuneCountInString(line[:len(line)-len(body)+gaps[len(gaps)-1][1]])
		if width-at >= leastTail {
			hang = at
		}
	}
	words := spacedWord.FindAllString(line, -1)
	for _, word := range words {
		if utf8.RuneCountInString(strings.TrimLeft(word, " ")) > width-hang {
			hang = min(hang, leastHang) // a hash or a path, which fits there
		}
	}
	return fold(words, width, "\n"+strings.Repeat(" ", hang))
}

// spacedWord is a word with its preceding blanks.
var spacedWord = regexp.MustCompile(` *[^ ]+`)

// fold joins pieces into lines of at most width if possible. A piece at the start of a line loses its blanks.
func fold(pieces []string, width int, between string) string {
	var b strings.Builder
	used, isFirst := 0, true
	for _, piece := range pieces {
		n := utf8.RuneCountInString(piece)
		if !isFirst && used+n > width {
			b.WriteString(between)
			_, begun, _ := strings.Cut(between, "\n")
			piece = strings.TrimLeft(piece, " ")
			used, n = len(begun), utf8.RuneCountInString(piece)
		}
		b.WriteString(piece)
		used, isFirst = used+n, false
	}
	return b.String()
}

var continued = regexp.MustCompile(` *\\\n *`)

// foldCommand breaks command lines before flags and pipes, with a backslash at the end of the line.
func foldCommand(command string, width int) string {
	const between = " \\\n  "
	var lines []string
	for line := range strings.SplitSeq(continued.ReplaceAllString(command, " "), "\n") {
		if utf8.RuneCountInString(line) > width {
			line = fold(commandPieces(line), width-len(" \\"), between)
		}
		lines = append(lines, line)
	}
	return strings.Join(lines, "\n")
}

// commandPieces splits a command line where it may be wrapped: before flags, operators and quoted arguments, but
// not within quotes or between a flag and its value.
func commandPieces(line string) (pieces []string) {
	quote, begin, word := rune(0), 0, 0
	for i, r := range line {
		switch {
		case quote != 0:
			if r == quote {
				quote = 0
			}
		case r == '\'' || r == '"':
			quote = r
		case r == ' ':
			if i > begin && isBreak(line[word:i], line[i+1:]) {
				pieces = append(pieces, line[begin:i])
				begin = i
			}
			word = i + 1
		}
	}
	return append(pieces, line[begin:])
}

// isBreak reports whether a command line may be wrapped between a word and the next.
func isBreak(word, rest string) bool {
	for _, start := range []string{"-", "| ", "&& ", "> ", ">> "} {
		if strings.HasPrefix(rest, start) {
			return true
		}
	}
	return strings.ContainsAny(rest[:min(1, len(rest))], `'"`) && !strings.HasPrefix(word, "-")
}

// wrap wraps a text into lines of at most width, as far as its words allow.
func wrap(text string, width int) []string {
	var pieces []string
	for i, word := range strings.Fields(text) {
		if i > 0 {
			word = " " + word
		}
		pieces = append(pieces, word)
	}
	return strings.Split(fold(pieces, width, "\n"), "\n")
}

// paragraphs wraps a text, except paragraphs that begin with a blank.
func paragraphs(text string, width int, indent string) string {
	var all []string
	for paragraph := range strings.SplitSeq(text, "\n\n") {
		if !strings.HasPrefix(paragraph, " ") {
			paragraph = indent + strings.Join(wrap(paragraph, width-len(indent)), "\n"+indent)
		}
		all = append(all, paragraph)
	}
	return strings.Join(all, "\n\n")
}
