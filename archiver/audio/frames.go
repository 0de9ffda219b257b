package audio

import (
	"bytes"
	"encoding/binary"
)

const (
	// framesAtStart is how many headers in a row, each where the one before says,
	// make a stream at the beginning of a body, or again where it was lost.
	framesAtStart = 2
	// framesElsewhere is the same for a stream that begins after other data.
	framesElsewhere = 4
	// longestFreeFrame is how far the second header of free format is looked for.
	longestFreeFrame = 8 << 10
)

// frames follows streams of frames that have a sync word: MPEG audio and AAC in
// ADTS. It steps from header to header. Where none stands it looks for the next sync
// word, without going back: a false one costs at most the frame behind it.
type frames struct {
	cur      cursor
	lost     bool // looking for a sync word
	tag      tagState
	tagBytes [frameHeaderSize]byte // start of the tag at hand

	ref    [3]byte // header of the first stream that was confirmed
	hasRef bool
	run    run
	free   freeFormat

	count    int64 // frames of confirmed runs
	bytes    int64 // their length
	playtime int64 // in flicks
	garbage  int64 // other bytes, zeros and tags aside
	zeros    int64
}

// run is a sequence of frames without a gap. It counts once it is long enough.
type run struct {
	head     [3]byte
	need     int64
	count    int64
	bytes    int64
	playtime int64
	last     frame
	end      int64 // offset behind the last frame
}

func (r *run) confirmed() bool { return r.count > 0 && r.count >= r.need }

// freeFormat finds the size of frames whose header does not tell it: the distance
// of two headers, less the padding of the first.
type freeFormat struct {
	size    int64 // 0 as long as it is not known
	looking bool
	head    [3]byte
	start   int64 // offset of the first header
	padding int64
	garbage int64 // counts at the first header, to be restored when it proves one
	zeros   int64
}

type tagState int

const (
	noTag tagState = iota
	inID3
	inAPE
)

func newFrames() *frames { return new(frames) }

func (w *frames) write(p []byte) {
	for {
		if w.lost && w.cur.n == 0 {
			next := bytes.IndexByte(p, 0xFF)
			if next < 0 {
				next = len(p)
			}
			w.discard(p[:next])
			w.cur.pos += int64(next)
			p = p[next:]
		}
		header, rest, ok := w.cur.take(p, w.headerSize())
		if !ok {
			return
		}
		p = rest
		w.step(header)
	}
}

// headerSize is what to read next: a frame's header, or the rest of a tag's.
func (w *frames) headerSize() int {
	const id3, ape = 10, 32
	switch w.tag {
	case inID3:
		return id3 - frameHeaderSize
	case inAPE:
		return ape - frameHeaderSize
	}
	return frameHeaderSize
}

func (w *frames) step(h []byte) {
	if w.tag != noTag {
		w.finishTag(h)
		return
	}
	f, ok := parseFrame(h)
	if ok && f.size == 0 {
		f.size = w.freeSize(h, f)
		ok = f.size > 0
	} else if ok && w.looksForFree() {
		ok = false // the inside of a frame in free format
	}
	switch {
	case ok:
		w.accept(h, f)
	case !w.lost && w.startTag(h):
	default:
		w.resync(h)
	}
}

// accept takes the frame that h begins.
func (w *frames) accept(h []byte, f frame) {
	if w.lost || w.run.count == 0 || !sameStream(w.run.head, h) {
		w.endRun()
		w.run = run{head: [3]byte(h), need: w.needed(h)}
	}
	w.lost = false
	w.run.add(f, w.cur.pos-frameHeaderSize)
	if w.run.confirmed() && !w.hasRef {
		w.ref, w.hasRef = w.run.head, true
	}
	w.cur.skip = f.size - frameHeaderSize
}

func (r *run) add(f frame, start int64) {
	r.count++
	r.bytes += f.size
	r.playtime += f.playtime
	r.last = f
	r.end = start + f.size
}

// needed returns how many frames make a new run that begins with h a stream.
func (w *frames) needed(h []byte) int64 {
	if w.hasRef && sameStream(w.ref, h) || !w.hasRef && w.garbage+w.zeros == 0 {
		return framesAtStart
	}
	return framesElsewhere
}

// endRun counts the frames of the run, or counts their bytes as garbage where they
// were too few.
func (w *frames) endRun() {
	if w.run.confirmed() {
		w.count += w.run.count
		w.bytes += w.run.bytes
		w.playtime += w.run.playtime
	} else {
		w.garbage += w.run.bytes
		w.free.size = 0
	}
	w.run = run{}
}

// resync gives up h as a header and looks for the next sync word, which may begin
// within it.
func (w *frames) resync(h []byte) {
	w.endRun()
	w.lost = true
	next := bytes.IndexByte(h[1:], 0xFF) + 1
	if next == 0 {
		next = len(h)
	}
	w.discard(h[:next])
	w.cur.putBack(h[next:])
}

// discard counts bytes that belong to no frame.
func (w *frames) discard(p []byte) {
	zeros := int64(bytes.Count(p, []byte{0}))
	w.zeros += zeros
	w.garbage += int64(len(p)) - zeros
}

// looksForFree reports whether a header in free format came not long ago and waits
// for the second one.
func (w *frames) looksForFree() bool {
	return w.free.looking && w.cur.pos-frameHeaderSize-w.free.start <= longestFreeFrame
}

// freeSize returns the size of the frame in free format that h begins, and 0 as long
// as it is not known.
func (w *frames) freeSize(h []byte, f frame) int64 {
	const shortest = 24
	if w.free.size > 0 {
		return w.free.size + f.padding
	}
	start := w.cur.pos - frameHeaderSize
	if w.looksForFree() {
		distance := start - w.free.start
		if distance < shortest || !sameStream(w.free.head, h) {
			return 0
		}
		w.free.looking = false
		w.free.size = distance - w.free.padding
		w.garbage, w.zeros = w.free.garbage, w.free.zeros
		w.run = run{head: w.free.head, need: framesElsewhere}
		w.run.add(frame{size: distance, playtime: f.playtime}, w.free.start)
		w.lost = false
		return w.free.size + f.padding
	}
	if w.lost {
		return 0 // too little to go by amid other data
	}
	w.endRun()
	w.free = freeFormat{
		looking: true, head: [3]byte(h), start: start, padding: f.padding, garbage: w.garbage, zeros: w.zeros,
	}
	return 0
}

// startTag reports whether h begins a tag that stands where a frame was expected,
// and passes over it: ID3v2 before the frames or between files put together, ID3v1
// and APEv2 behind them.
func (w *frames) startTag(h []byte) bool {
	const id3v1Size = 128
	switch {
	case bytes.HasPrefix(h, []byte("ID3")) && h[3] < 0xFF && h[4] < 0xFF:
		w.tag = inID3
	case bytes.Equal(h, []byte("APETAGE")):
		w.tag = inAPE
	case bytes.HasPrefix(h, []byte("TAG")):
		w.cur.skip = id3v1Size - frameHeaderSize
		return true
	default:
		return false
	}
	w.tagBytes = [frameHeaderSize]byte(h)
	return true
}

// finishTag reads the rest of a tag's header and skips the tag.
func (w *frames) finishTag(h []byte) {
	if w.tag == inID3 {
		w.cur.skip = id3Size(w.tagBytes, h)
	} else {
		// h begins with the X of APETAGEX and a version of four bytes. The size is
		// that of the items and the footer; a footer follows its items.
		const isHeader = 1 << 29
		if flags := binary.LittleEndian.Uint32(h[13:]); flags&isHeader != 0 {
			w.cur.skip = int64(binary.LittleEndian.Uint32(h[5:]))
		}
	}
	w.tag = noTag
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

func (w *frames) finish(total int64) Result {
	if w.tag == noTag {
		w.finishHeader(total)
	}
	head, broken, alone := w.run.head, w.run.count > 0 && total < w.run.end, w.isOneFrame()
	if broken {
		w.run.bytes -= w.run.end - total
		w.run.playtime -= w.run.last.playtime
		broken = w.run.confirmed() || alone
	} else if alone {
		w.run.need = 1
	}
	w.endRun()
	// Frames found by chance in other data are few beside it.
	if w.count == 0 || w.garbage > w.bytes {
		return Result{LastFrameBroken: broken && alone}
	}
	if w.hasRef {
		head = w.ref
	}
	format := MP3
	if isADTS(head[:]) {
		format = AAC
	}
	return Result{
		Verdict: Audio, Format: format, Duration: playing(w.playtime, flicks),
		LastFrameBroken: broken, Garbage: w.garbage,
	}
}

// finishHeader counts what came of a header that has not come whole: the first bytes
// of a frame that is broken off, or something behind the frames.
func (w *frames) finishHeader(total int64) {
	rest := w.cur.rest()
	if len(rest) == 0 {
		return
	}
	if !w.lost && w.run.count > 0 && sameStream(w.run.head, rest) {
		w.run.add(frame{size: w.run.last.size, playtime: w.run.last.playtime}, total-int64(len(rest)))
		return
	}
	w.discard(rest)
}

// isOneFrame reports whether the body is one frame, or the start of one, and nothing
// else but tags.
func (w *frames) isOneFrame() bool {
	return w.count == 0 && w.run.count == 1 && w.run.need == framesAtStart && w.garbage+w.zeros == 0
}
