// Decides whether a day line still holds for the files of its day.

package manifest

import (
	"cmp"
	"slices"
)

// closing is a day line with the facts that decide whether it holds.
type closing struct {
	line   DayLine
	old    *oldDayLine // not nil in a line of an older version
	file   string      // where the line is
	number int         // of the line there; 0: the last line
	end    int64       // of that last line, in its file
	raw    []byte      // as it is in closed.json, without its line feed
	named  map[string]bool

	lacking []string // segments that it names and that are not there
	changed []string // that have another size
	salting bool     // files have their salts, and the line names them as they were before
	broken  bool     // it does not hold in any case
	void    bool     // a segment that it does not name holds a repair line, so that nothing is held against the line
	waits   []*entry // recordings of which a segment that it does not name holds a line that may wait
}

// newClosing reads a day line.
func newClosing(day string, text []byte) (*closing, error) {
	line, old, err := decodeAnyDayLine(text)
	if err != nil {
		return nil, err
	}
	return &closing{line: line, old: old, broken: !line.holds(day), named: map[string]bool{}}, nil
}

// find looks for the segments that a line of closed.json names.
func (c *closing) find(segments []segment) {
	if c.old != nil {
		c.findOld(segments)
		return
	}
	sizes := map[string]int64{}
	for _, s := range segments {
		sizes[s.name()] = s.size
	}
	for _, s := range c.line.Segments {
		c.named[s.Name] = true
		if size, there := sizes[s.Name]; !there {
			c.lacking = append(c.lacking, s.Name)
		} else if size != s.Bytes {
			c.changed = append(c.changed, s.Name)
		}
	}
}

// isOf reports whether a line of an older version was written for a segment of either tree.
func (c *closing) isOf(name string) bool {
	return c.named[name] || c.old != nil && name <= c.old.last
}

// findOld is find for a line of an older version in a bucket, which says how many segments there were, up to which.
// If there are more now, it is not known which were meant.
func (c *closing) findOld(segments []segment) {
	for _, s := range segments {
		if s.name() <= c.old.last {
			c.named[s.name()] = true
		}
	}
	c.broken = c.broken || len(c.named) > c.old.segments
	if len(c.named) < c.old.segments || c.old.segments > 0 && !c.named[c.old.last] {
		c.lacking = append(c.lacking, cmp.Or(c.old.last, closedName))
	}
}

// holds reports whether the day is closed by the line, when all segments that it does not name have been read.
func (c *closing) holds() bool {
	return len(c.lacking) == 0 && len(c.changed) == 0 && !c.broken &&
		!slices.ContainsFunc(c.waits, func(e *entry) bool { return !e.isFinal })
}

// namesAll reports whether the line names every segment.
func (c *closing) namesAll(segments []segment) bool {
	return !slices.ContainsFunc(segments, func(s segment) bool { return !c.named[s.name()] })
}

// note adds a line of a segment that the day line does not name; e is nil unless it is a recording's.
func (c *closing) note(kind string, e *entry, outcome Outcome) {
	switch {
	case kind == kindRepair:
		c.broken, c.void = true, true
	case e == nil:
	case outcome == Damaged:
		c.broken = true
	case !outcome.Final():
		c.waits = append(c.waits, e)
	}
}

// soundPart returns up to where nothing of a segment is a torn tail: a day line in closed.json names it, or the one of
// an older version is in it.
func soundPart(closings []*closing, s segment) (size int64) {
	for _, c := range closings {
		switch {
		case !c.named[s.name()]:
		case c.file == s.file:
			size = max(size, c.end)
		default:
			return allSound
		}
	}
	return size
}
