// Follows the frames of AMR audio.

package audio

import "time"

// amr follows frames of AMR in its storage format: a magic line, then frames of 20 ms that begin with one byte of
// frame type each. There is no sync word, so after an invalid frame type the rest cannot be parsed.
type amr struct {
	magic int // bytes of the magic line, 0 once passed
	sizes [16]int8
	lost  bool
	count int64
}

const (
	amrNarrow = "#!AMR\n"
	amrWide   = "#!AMR-WB\n"
	amrTime   = 20 * time.Millisecond
)

// amrSizes and amrWideSizes hold bytes of speech by frame type, -1 for types not in use.
var (
	amrSizes     = [16]int8{12, 13, 15, 17, 19, 20, 26, 31, 5, -1, -1, -1, -1, -1, -1, 0}
	amrWideSizes = [16]int8{17, 23, 32, 36, 40, 46, 50, 58, 60, 5, -1, -1, -1, -1, 0, 0}
)

func (a *amr) need() int {
	switch {
	case a.lost:
		return 0
	case a.magic > 0:
		return a.magic
	}
	return 1
}

func (a *amr) step(c *cursor, h []byte) {
	if a.magic > 0 {
		a.magic = 0
		return
	}
	const padding = 0x83 // bits that must be zero
	size := a.sizes[h[0]>>3&15]
	if h[0]&padding != 0 || size < 0 {
		a.lost = true
		return
	}
	c.skip = int64(size)
	a.count++
}

func (a *amr) finish(c *cursor, _ int64) Result {
	r := Result{Verdict: Audio, Format: AMR}
	whole := a.count
	if c.skip > 0 {
		whole--
	}
	r.Duration = min(time.Duration(whole), 1<<36) * amrTime
	if whole == 0 {
		r.odd(oddNoSound)
	}
	if a.lost {
		r.odd(oddStray)
	}
	if c.skip > 0 {
		r.cut(oddFrame)
	}
	r.Whole = len(r.Oddities) == 0
	return r
}
