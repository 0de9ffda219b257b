// Follows streams of MPEG and ADTS frames from header to header.

package audio

import "bytes"

const (
	// minFrames is the number of consecutive headers, each at the position given by the previous
	// one, that confirm a stream at the start of a body or after a loss.
	minFrames = 2
	// minFramesElsewhere is the same for a stream that starts after other data.
	minFramesElsewhere = 4
)

// frames parses streams of frames with a sync word: MPEG audio and AAC in ADTS. It steps from
// header to header. After an invalid header it searches for the next sync word, without going back:
// a false one costs at most the next frame.
type frames struct {
	inTag   bool                  // in the header of an ID3v2 tag
	tag     [frameHeaderSize]byte // its start
	inFrame bool                  // the cursor skips a frame, not a tag
	lost    bool                  // looking for a sync word

	tagged  bool    // the body starts with an ID3v2 tag
	atStart bool    // the body starts with the first stream
	ref     [3]byte // header of the first confirmed stream
	hasRef  bool
	run     run

	count    int64 // frames of confirmed runs
	bytes    int64 // their length
	playtime int64 // in flicks
	stray    int64 // bytes outside of frames and tags
}

// run is a sequence of frames without a gap. It counts once it is long enough.
type run struct {
	head     [3]byte
	need     int64
	count    int64
	bytes    int64
	playtime int64
	last     frame
}

func (r *run) confirmed() bool { return r.count > 0 && r.count >= r.need }

// need is a frame's header, or the rest of an ID3v2 tag's.
func (w *frames) need() int {
	const id3HeaderSize = 10
	if w.inTag {
		return id3HeaderSize - frameHeaderSize
	}
	return frameHeaderSize
}

func (w *frames) step(c *cursor, h []byte) {
	if w.inTag {
		c.skip = id3Size(w.tag, h)
		w.inTag = false
		return
	}
	f, ok := parseFrame(h)
	switch {
	case ok:
		w.accept(c, h, f)
	case !w.lost && w.startTag(c, h):
	default:
		w.resync(c, h)
	}
}

// accept takes the frame with header h.
func (w *frames) accept(c *cursor, h []byte, f frame) {
	r := &w.run
	if w.lost || r.count == 0 || !sameStream(r.head, h) {
		w.endRun()
		*r = run{head: [3]byte(h), need: w.needed(h)}
	}
	w.lost, w.inFrame = false, true
	r.count++
	r.bytes += f.size
	r.playtime += f.playtime
	r.last = f
	if r.confirmed() && !w.hasRef {
		w.ref, w.hasRef, w.atStart = r.head, true, w.stray == 0
	}
	c.skip = f.size - frameHeaderSize
}

// needed returns the number of frames that a new run starting with h needs to count as a stream.
func (w *frames) needed(h []byte) int64 {
	if w.hasRef && sameStream(w.ref, h) || !w.hasRef && w.stray == 0 {
		return minFrames
	}
	return minFramesElsewhere
}

// endRun counts the frames of the run, or their bytes as stray if there are too few.
func (w *frames) endRun() {
	if w.run.confirmed() {
		w.count += w.run.count
		w.bytes += w.run.bytes
		w.playtime += w.run.playtime
	} else {
		w.stray += w.run.bytes
	}
	w.run = run{}
}

// resync discards h as a header and searches for the next sync word, which may start inside it.
func (w *frames) resync(c *cursor, h []byte) {
	w.endRun()
	w.lost = true
	next := bytes.IndexByte(h[1:], 0xFF) + 1
	if next == 0 {
		next = len(h)
	}
	w.stray += int64(next)
	c.putBack(h[next:])
}

// startTag reports whether h starts a tag instead of a frame: ID3v2 before the frames or between
// concatenated files, ID3v1 after them.
func (w *frames) startTag(c *cursor, h []byte) bool {
	const id3v1Size = 128
	switch {
	case bytes.HasPrefix(h, []byte("ID3")) && h[3] < 0xFF && h[4] < 0xFF:
		w.inTag, w.tag = true, [frameHeaderSize]byte(h)
		w.tagged = w.tagged || c.pos == frameHeaderSize
	case bytes.HasPrefix(h, []byte("TAG")):
		c.skip = id3v1Size - frameHeaderSize
	default:
		return false
	}
	w.inFrame = false
	return true
}

// id3Size returns the size of an ID3v2 tag without its header, from the two parts of
// its header: the last byte of the first and all of the second hold seven bits each.
func id3Size(start [frameHeaderSize]byte, end []byte) int64 {
	const footer, footerSize = 0x10, 10
	size := int64(start[6]&0x7F)<<21 | int64(end[0]&0x7F)<<14 | int64(end[1]&0x7F)<<7 | int64(end[2]&0x7F)
	if start[5]&footer != 0 {
		size += footerSize
	}
	return size
}

func (w *frames) finish(c *cursor, _ int64) Result {
	end := w.end(c)
	// In other data, a few frames may match by chance.
	isStream := w.count > 0 && (w.atStart || w.stray <= w.bytes)
	r := Result{Verdict: Audio, Format: MP3}
	switch {
	case isStream:
		r.Duration = playing(w.playtime, flicks)
		if isADTS(w.ref[:]) {
			r.Format = AAC
		}
	case w.tagged:
		r.odd(oddNoSound)
	default:
		return Result{}
	}
	if w.stray > 0 {
		r.odd(oddStray)
	}
	if end != "" {
		r.cut(end)
	}
	r.Whole = len(r.Oddities) == 0
	return r
}

// end counts the rest, and returns the oddity of a body that ends inside a frame or a tag,
// otherwise "".
func (w *frames) end(c *cursor) string {
	rest := c.rest()
	inTag := w.inTag || c.skip > 0 && !w.inFrame
	inFrame := c.skip > 0 && w.inFrame
	inHeader := len(rest) > 0 && !w.inTag && !w.lost && w.run.count > 0 && sameStream(w.run.head, rest)
	if !w.inTag && !inHeader {
		w.stray += int64(len(rest))
	}
	if w.isOneFrame() {
		w.run.need, w.atStart, w.ref = 1, true, w.run.head
	}
	isRun := w.run.confirmed()
	if isRun && inFrame {
		w.run.playtime -= w.run.last.playtime
	}
	w.endRun()
	switch {
	case isRun && (inFrame || inHeader):
		return oddFrame
	case inTag:
		return oddShort
	}
	return ""
}

// isOneFrame reports whether the body is one frame, or the start of one, without space for the next
// header that would confirm it.
func (w *frames) isOneFrame() bool {
	return w.count == 0 && w.run.count == 1 && w.run.need == minFrames && w.stray < frameHeaderSize
}
