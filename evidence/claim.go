// Compares the lines of a file with its seals.

package evidence

import (
	"cmp"
	"fmt"

	"convoso-archiver/manifest"
)

// claim is a seal's statement about a file.
type claim struct {
	seal int
	SealedLines
}

// checker compares the lines of a file with the claims of all seals that name it; a file that grew has claims of
// several lengths.
type checker struct {
	*lines
	claims []claim
	at     map[int64]string // roots by number of lines
	bad    string
}

func newChecker(claims []claim) *checker {
	c := &checker{lines: newLines(), claims: claims, at: map[int64]string{}}
	for _, one := range claims {
		c.at[one.Lines] = ""
	}
	c.note()
	return c
}

func (c *checker) note() {
	if _, wanted := c.at[c.n]; wanted {
		c.at[c.n] = c.root()
	}
}

func (c *checker) add(l manifest.SegmentLine) {
	if l.Bad != nil && c.bad == "" {
		c.bad = fmt.Sprintf("line %d cannot be read", l.Number)
	}
	c.lines.add(l.Digest)
	c.note()
}

// problem is a false claim.
type problem struct {
	claim
	problem string
}

// wrong returns the false claims. A file of evidence/ may have grown.
func (c *checker) wrong(mayGrow bool) (list []problem) {
	for _, one := range c.claims {
		text := ""
		switch {
		case c.n < one.Lines:
			text = fmt.Sprintf("it has %d lines, %d were sealed", c.n, one.Lines)
		case c.n > one.Lines && !mayGrow:
			text = fmt.Sprintf("it has %d lines, %d were sealed", c.n, one.Lines)
		case c.at[one.Lines] != one.Root:
			text = cmp.Or(c.bad, "its lines, or their order, differ from the sealed ones")
		}
		if text != "" {
			list = append(list, problem{one, text})
		}
	}
	return list
}
