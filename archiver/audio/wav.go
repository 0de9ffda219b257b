package audio

import "encoding/binary"

// wav follows the chunks of RIFF, RF64 and BW64 files with WAVE in them. Chunks may
// come in any order; what follows the last one does not matter.
type wav struct {
	cur   cursor
	state wavState

	riffEnd   int64 // offset where the file ends by its own account, 0 where it states none
	chunkEnd  int64 // the same of the chunk at hand
	byteRate  int64 // bytes a second
	long      bool  // RF64 or BW64: sizes stand in the chunk ds64
	longSize  int64 // of the data, from ds64
	hasFormat bool
	hasData   bool
	dataStart int64
	dataSize  int64 // -1 where the file was written as a stream
}

type wavState int

const (
	wavStart wavState = iota
	wavChunk
	wavFormat
	wavSizes
	wavRest // nothing more to be learned
)

// streamSize is the least size that stands for one not known when the header was
// written. FFmpeg writes 0xFFFFFFFF to a pipe, SoX writes 0x7FFFF000 and adds the
// header to it; real ones of 2 GiB, some three days of telephone audio, have RF64.
const streamSize = 0x7FFFF000

func (w *wav) write(p []byte) {
	for w.state != wavRest {
		header, rest, ok := w.cur.take(p, w.headerSize())
		if !ok {
			return
		}
		p = rest
		w.step(header)
	}
}

func (w *wav) headerSize() int {
	switch w.state {
	case wavStart:
		return 12 // RIFF, size, WAVE
	case wavChunk:
		return 8 // name, size
	}
	return 16
}

func (w *wav) step(h []byte) {
	le := binary.LittleEndian
	switch w.state {
	case wavStart:
		w.long = string(h[:4]) != "RIFF"
		if size := int64(le.Uint32(h[4:])); size > 0 && size < streamSize {
			w.riffEnd = 8 + size
		}
		w.state = wavChunk
	case wavChunk:
		w.chunk(string(h[:4]), int64(le.Uint32(h[4:])))
	case wavFormat:
		// Format tag, channels, sample rate, bytes a second, bytes a block, bits.
		w.byteRate = int64(le.Uint32(h[8:]))
		if w.byteRate == 0 {
			w.byteRate = int64(le.Uint32(h[4:])) * int64(le.Uint16(h[12:]))
		}
		w.hasFormat = true
		w.skipChunk()
	case wavSizes:
		if size := le.Uint64(h); size > 0 && size < longestBody {
			w.riffEnd = 8 + int64(size)
		}
		w.longSize = int64(min(le.Uint64(h[8:]), longestBody))
		w.skipChunk()
	}
}

// chunk begins a chunk whose header has just been taken.
func (w *wav) chunk(name string, size int64) {
	outside := w.riffEnd > 0 && w.cur.pos > w.riffEnd
	if !isChunkName(name) || w.hasData && outside {
		w.state = wavRest // behind the data: something appended, or a missing pad byte
		return
	}
	w.chunkEnd = w.cur.pos + size
	switch {
	case name == "data" && !w.hasData:
		w.data(size)
	case name == "fmt " && size >= 16:
		w.state = wavFormat
	case name == "ds64" && size >= 16 && w.long:
		w.state = wavSizes
	default:
		w.skipChunk()
	}
}

func (w *wav) data(size int64) {
	w.hasData, w.dataStart = true, w.cur.pos
	if w.long && size == 1<<32-1 {
		size = w.longSize
	} else if size >= streamSize {
		size = 0
	}
	if size == 0 {
		w.dataSize, w.chunkEnd = -1, 0
		w.state = wavRest
		return
	}
	w.dataSize, w.chunkEnd = size, w.cur.pos+size
	w.skipChunk()
}

// skipChunk passes what is left of the chunk, and the byte that pads it to an even
// length.
func (w *wav) skipChunk() {
	w.cur.skip = w.chunkEnd - w.cur.pos
	w.cur.skip += w.chunkEnd & 1 // chunks begin at even offsets
	w.state = wavChunk
}

func isChunkName(name string) bool {
	for i := range len(name) {
		if name[i] < ' ' || name[i] > '~' {
			return false
		}
	}
	return true
}

func (w *wav) finish(total int64) Result {
	var r Result
	// Some writers count the header in the file's size: up to 8 bytes more than
	// there are contradict nothing where every chunk is whole.
	switch {
	case w.chunkEnd > total:
		r.ContainerMismatch = "the last chunk is cut"
	case w.riffEnd > total+8:
		r.ContainerMismatch = "the file is shorter than its header says"
	}
	if !w.hasFormat || !w.hasData || total <= w.dataStart {
		return r // a header without a sound
	}
	size := total - w.dataStart
	if w.dataSize >= 0 {
		size = min(size, w.dataSize)
	}
	r.Verdict, r.Format = Audio, WAV
	r.Duration = playing(size, w.byteRate)
	return r
}
