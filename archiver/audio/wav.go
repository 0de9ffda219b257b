// Follows the chunks of WAV audio (RIFF, RF64 and BW64).

package audio

import "encoding/binary"

// wav follows the chunks of RIFF, RF64 and BW64 files with WAVE in them. Chunks may come in any
// order. RF64 and BW64 have 64-bit sizes elsewhere, and are read as streams without sizes.
type wav struct {
	state wavState

	riffEnd   int64 // stated end of the file, 0 if not stated
	chunkEnd  int64 // stated end of the current chunk, likewise
	oddChunk  bool  // the current chunk has an odd size
	byteRate  int64 // bytes per second
	hasFormat bool
	hasData   bool
	dataStart int64
	dataSize  int64 // 0 if the file was written as a stream, or is empty
	noPad     bool
}

type wavState int

const (
	wavStart wavState = iota
	wavChunk
	wavPadChunk // after a chunk of odd size
	wavFormat
	wavRest // nothing more to learn
)

// streamSize is the minimum size that means unknown at the time of writing. FFmpeg writes
// 0xFFFFFFFF to a pipe, SoX writes 0x7FFFF000 and adds the header to it; real ones of 2 GiB, some
// three days of telephone audio, have RF64.
const streamSize = 0x7FFFF000

func (w *wav) need() int {
	switch w.state {
	case wavStart:
		return 12 // RIFF, size, WAVE
	case wavChunk:
		return 8 // name, size
	case wavPadChunk:
		return 9 // pad byte, name, size
	case wavRest:
		return 0
	}
	return 16
}

func (w *wav) step(c *cursor, h []byte) {
	le := binary.LittleEndian
	switch w.state {
	case wavStart:
		if size := int64(le.Uint32(h[4:])); size > 0 && size < streamSize {
			w.riffEnd = 8 + size
		}
		w.state = wavChunk
	case wavChunk:
		w.chunk(c, string(h[:4]), le.Uint32(h[4:]))
	case wavPadChunk:
		w.padChunk(c, h)
	case wavFormat:
		// Format tag, channels, sample rate, bytes per second, bytes per block, bits.
		w.byteRate = int64(le.Uint32(h[8:]))
		if w.byteRate == 0 {
			w.byteRate = int64(le.Uint32(h[4:])) * int64(le.Uint16(h[12:]))
		}
		w.hasFormat = true
		w.skipChunk(c)
	}
}

// padChunk starts the chunk after one of odd size. Some writers omit the zero byte that must be between them.
func (w *wav) padChunk(c *cursor, h []byte) {
	le := binary.LittleEndian
	name, size := string(h[:4]), le.Uint32(h[4:])
	if behind := string(h[1:5]); h[0] == 0 || behind == "fmt " || behind == "data" {
		w.chunk(c, behind, le.Uint32(h[5:]))
		return
	}
	c.putBack(h[8:])
	w.noPad = w.chunk(c, name, size) || w.noPad
}

// chunk starts a chunk whose header was just read. It reports whether the header is valid.
func (w *wav) chunk(c *cursor, name string, size32 uint32) bool {
	outside := w.riffEnd > 0 && c.pos > w.riffEnd
	if !isChunkName(name) || w.hasData && outside {
		w.state = wavRest
		return false
	}
	size, isData := int64(size32), name == "data" && !w.hasData
	if isData && size >= streamSize {
		size = 0
	}
	w.chunkEnd, w.oddChunk = c.pos+size, size&1 == 1
	w.skipChunk(c)
	switch {
	case isData:
		w.hasData, w.dataStart, w.dataSize = true, c.pos, size
		if size == 0 {
			w.state = wavRest
		}
	case name == "fmt " && size >= 16:
		w.state, c.skip = wavFormat, 0
	}
	return true
}

// skipChunk skips the rest of the chunk.
func (w *wav) skipChunk(c *cursor) {
	c.skip = w.chunkEnd - c.pos
	w.state = wavChunk
	if w.oddChunk {
		w.state = wavPadChunk
	}
}

func isChunkName(name string) bool {
	for i := range len(name) {
		if name[i] < ' ' || name[i] > '~' {
			return false
		}
	}
	return true
}

func (w *wav) finish(_ *cursor, total int64) Result {
	r := Result{Verdict: Audio, Format: WAV}
	size := int64(0)
	if w.hasData {
		size = total - w.dataStart
		if w.dataSize > 0 {
			size = min(size, w.dataSize)
		}
		r.Duration = playing(size, w.byteRate)
	}
	if w.noPad {
		r.odd(oddNoPad)
	}
	// Some writers include the header in the file's size: up to 8 missing bytes are acceptable if
	// every chunk is complete. A pad byte may follow the last chunk.
	switch {
	case w.chunkEnd > total, w.riffEnd > total+8:
		r.cut(oddShort)
	case w.dataSize > 0 && total > w.chunkEnd+1, w.hasData && w.riffEnd > 0 && total > w.riffEnd+1:
		r.odd(oddLong)
	case !w.hasFormat:
		r.odd(oddHeader)
	case size == 0:
		r.odd(oddNoSound)
	default:
		r.Whole = w.dataSize > 0
	}
	return r
}
