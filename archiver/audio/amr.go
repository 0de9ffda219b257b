package audio

import (
	"bytes"
	"time"
)

// amr follows frames of AMR in its storage format: a magic line, then frames of 20 ms
// that begin with one byte of frame type each. There is no sync word: behind a byte
// that cannot begin a frame all is garbage.
type amr struct {
	cur    cursor
	begun  bool
	sizes  *[16]int8
	lost   bool
	count  int64
	bytes  int64
	end    int64 // offset behind the last frame
	lostAt int64
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

func (a *amr) write(p []byte) {
	for !a.lost {
		size := 1
		if a.sizes == nil {
			size = len(amrNarrow)
			if a.begun {
				size = len(amrWide) - len(amrNarrow)
			}
		}
		h, rest, ok := a.cur.take(p, size)
		if !ok {
			return
		}
		p = rest
		a.step(h)
	}
}

func (a *amr) step(h []byte) {
	switch {
	case a.sizes != nil:
		a.frame(h[0])
	case a.begun:
		a.sizes = &amrWideSizes
	case string(h) == amrNarrow:
		a.sizes = &amrSizes
	default:
		a.begun = true // the line is the longer one
	}
}

func (a *amr) frame(head byte) {
	const padding = 0x83 // bits that are zero
	size := a.sizes[head>>3&15]
	if head&padding != 0 || size < 0 {
		a.lost, a.lostAt = true, a.cur.pos-1
		return
	}
	a.cur.skip = int64(size)
	a.count++
	a.bytes += int64(size) + 1
	a.end = a.cur.pos + int64(size)
}

func (a *amr) finish(total int64) Result {
	var r Result
	if a.lost {
		r.Garbage = total - a.lostAt
	}
	if a.end > total {
		r.LastFrameBroken = true
		a.count--
	}
	if a.count < 1 || r.Garbage > a.bytes {
		return Result{}
	}
	r.Verdict, r.Format = Audio, AMR
	r.Duration = min(time.Duration(a.count), 1<<36) * amrTime
	return r
}

// isAMR reports whether a body begins with the magic line of AMR with one channel.
func isAMR(head []byte) bool {
	return bytes.HasPrefix(head, []byte(amrNarrow)) || bytes.HasPrefix(head, []byte(amrWide))
}
