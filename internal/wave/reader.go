// Presents a decoded recording as a WAV file.

package wave

import (
	"bufio"
	"errors"
	"fmt"
	"io"
)

const (
	maxRate     = 192_000 // Hz; above it a header is damaged
	maxChannels = 8
	maxSize     = 1<<32 - 1 // limit of sizes in a WAV file
)

// ErrFormat is returned for a recording in a format that is not decoded, or whose header is
// damaged.
var ErrFormat = errors.New("not audio that is decoded here")

// errNoSound means that a recording ends after its header.
var errNoSound = fmt.Errorf("recording without sound: %w", ErrFormat)

// codec decodes blocks of a fixed size.
type codec struct {
	rate      uint32
	channels  int
	blockSize int // bytes
	runUp     int // preceding blocks on which the decoding of a block depends
	reset     func()
	// decode fills dst, which is as long as decodedSize says, from a block.
	decode      func(dst, block []byte)
	decodedSize func(size int) int // of a block, or of the last one, which may be shorter
}

// Reader is the decoded WAV file of a recording: PCM of 16 bits, with the recording's sample rate
// and channels. It is not safe for concurrent use.
type Reader struct {
	src    io.ReadSeeker
	buffer *bufio.Reader // over src, for consecutive blocks
	sound  sound
	header []byte
	size   int64
	pos    int64

	block   []byte
	number  int64  // number of the block in decoded, -1 for none
	decoded []byte // the decoded block
	room    []byte
}

// NewReader reads a recording's header. The Reader seeks in src, which must not be used by others
// meanwhile. Errors are those of src, or wrap ErrFormat.
func NewReader(src io.ReadSeeker) (*Reader, error) {
	size, err := src.Seek(0, io.SeekEnd)
	if err != nil {
		return nil, fmt.Errorf("measure recording: %w", err)
	}
	found, err := parse(src, size)
	if err != nil {
		return nil, fmt.Errorf("read header: %w", err)
	}
	c := found.codec
	full := c.decodedSize(c.blockSize)
	dataSize := found.size/int64(c.blockSize)*int64(full) + int64(c.decodedSize(int(found.size%int64(c.blockSize))))
	switch {
	case dataSize == 0:
		return nil, errNoSound
	case dataSize > maxSize-wavHeaderSize:
		return nil, fmt.Errorf("%d bytes of samples are more than a WAV file can have: %w", dataSize, ErrFormat)
	}
	return &Reader{
		src: src, buffer: bufio.NewReader(src), sound: found,
		header: appendWAVHeader(nil, c.rate, c.channels, uint32(dataSize)), size: wavHeaderSize + dataSize,
		block: make([]byte, c.blockSize), number: -1, room: make([]byte, full),
	}, nil
}

// parse finds the sound in a recording of size bytes.
func parse(src io.ReadSeeker, size int64) (sound, error) {
	magic := make([]byte, 12)
	n, err := readAt(src, magic, 0)
	if err != nil {
		return sound{}, err
	}
	magic = magic[:n]
	switch {
	case n >= 4 && string(magic[:4]) == ".snd":
		return parseAU(src, size)
	case n == 12 && string(magic[:4]) == "RIFF" && string(magic[8:]) == "WAVE":
		return parseWAV(src, size)
	}
	return sound{}, ErrFormat
}

func parseWAV(src io.ReadSeeker, size int64) (sound, error) {
	chunks, err := walkWAV(src, size)
	if err != nil {
		return sound{}, err
	}
	if !chunks.hasFormat || !chunks.hasData {
		return sound{}, fmt.Errorf("fmt or data chunk missing: %w", ErrFormat)
	}
	c, err := chunks.format.codec()
	if err != nil {
		return sound{}, err
	}
	return sound{start: chunks.dataStart, size: chunks.dataSize, codec: c}, nil
}

// Size returns the size of the WAV file in bytes.
func (r *Reader) Size() int64 { return r.size }

// Seek implements io.Seeker.
func (r *Reader) Seek(offset int64, whence int) (int64, error) {
	switch whence {
	case io.SeekStart:
	case io.SeekCurrent:
		offset += r.pos
	case io.SeekEnd:
		offset += r.size
	default:
		return 0, fmt.Errorf("seek from %d: invalid", whence)
	}
	if offset < 0 {
		return 0, fmt.Errorf("seek to %d: before the start", offset)
	}
	r.pos = offset
	return offset, nil
}

// Read implements io.Reader. A recording that was truncated since NewReader results in
// io.ErrUnexpectedEOF.
func (r *Reader) Read(p []byte) (int, error) {
	n := 0
	for n < len(p) && r.pos < r.size {
		from, err := r.at(r.pos)
		if err != nil {
			return n, err
		}
		copied := copy(p[n:], from)
		n += copied
		r.pos += int64(copied)
	}
	if n == 0 && len(p) > 0 {
		return 0, io.EOF
	}
	return n, nil
}

// at returns bytes of the WAV file from an offset, at least one.
func (r *Reader) at(offset int64) ([]byte, error) {
	if offset < wavHeaderSize {
		return r.header[offset:], nil
	}
	offset -= wavHeaderSize
	full := int64(len(r.room))
	if err := r.load(offset / full); err != nil {
		return nil, err
	}
	return r.decoded[offset%full:], nil
}

// load decodes a block, and the preceding ones that it depends on.
func (r *Reader) load(number int64) error {
	if number == r.number {
		return nil
	}
	runUp := int64(r.sound.codec.runUp)
	if next := r.number + 1; r.number < 0 || number < next || number > next+runUp {
		if err := r.jump(max(0, number-runUp)); err != nil {
			return err
		}
	}
	for r.number < number {
		if err := r.loadNext(); err != nil {
			r.number = -1 // the position of src is unknown
			return err
		}
	}
	return nil
}

// jump makes a block the next one.
func (r *Reader) jump(number int64) error {
	r.number = -1
	if _, err := r.src.Seek(r.sound.start+number*int64(len(r.block)), io.SeekStart); err != nil {
		return fmt.Errorf("seek in recording: %w", err)
	}
	r.buffer.Reset(r.src)
	if r.sound.codec.reset != nil {
		r.sound.codec.reset()
	}
	r.number = number - 1
	return nil
}

func (r *Reader) loadNext() error {
	next := r.number + 1
	block := r.block[:min(int64(len(r.block)), r.sound.size-next*int64(len(r.block)))]
	if _, err := io.ReadFull(r.buffer, block); err != nil {
		if errors.Is(err, io.EOF) {
			err = io.ErrUnexpectedEOF
		}
		return fmt.Errorf("read recording: %w", err)
	}
	r.decoded = r.room[:r.sound.codec.decodedSize(len(block))]
	r.sound.codec.decode(r.decoded, block)
	r.number = next
	return nil
}
