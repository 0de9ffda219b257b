// Decides whether a day line is still valid for the files of its day.

package manifest

import (
	"cmp"
	"slices"
)

// closing is a day line with the facts that decide whether it is valid.
type closing struct {
	line   DayLine
	old    *oldDayLine // set only in a line of an older version
	file   string      // where the line is
	number int         // of the line there; 0: the last line
	end    int64       // of that last line, in its file
	raw    []byte      // bytes in closed.json, without line feed
	named  map[string]bool

	lacking []string // missing segments of the line
	changed []string // segments with another size
	salting bool     // files already have salts, but the line has their earlier state
	broken  bool     // the line is invalid in any case
	void    bool     // another segment has a repair line, so the line is not compared with anything
	waits   []*entry // recordings with a line in another segment that may be waiting
}

// newClosing reads a day line.
func newClosing(day string, text []byte) (*closing, error) {
	line, old, err := decodeAnyDayLine(text)
	if err != nil {
		return nil, err
	}
	return &closing{line: line, old: old, broken: !line.holds(day), named: map[string]bool{}}, nil
}

// find finds the segments of a line of closed.json.
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

// isOf reports whether a line of an older version covers a segment of either tree.
func (c *closing) isOf(name string) bool {
	return c.named[name] || c.old != nil && name <= c.old.last
}

// findOld is like find, for a line of an older version in a bucket, which has the number and the last name of its
// segments. If there are more now, it is unknown which ones it covers.
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

// holds reports whether the day is closed by the line, once all other segments have been read.
func (c *closing) holds() bool {
	return len(c.lacking) == 0 && len(c.changed) == 0 && !c.broken &&
		!slices.ContainsFunc(c.waits, func(e *entry) bool { return !e.isFinal })
}

// namesAll reports whether the line lists every segment.
func (c *closing) namesAll(segments []segment) bool {
	return !slices.ContainsFunc(segments, func(s segment) bool { return !c.named[s.name()] })
}

// note adds a line of a segment outside the day line; e is nil unless it is a recording line.
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

// soundPart returns the size of a segment's part that cannot be a torn tail, because a day line in closed.json or an
// older version's day line in the file covers it.
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
