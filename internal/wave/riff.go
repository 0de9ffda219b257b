// Reads the chunks of a WAV file.

package wave

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// The supported format tags of WAV.
const (
	tagPCM        = 1
	tagFloat      = 3
	tagALaw       = 6
	tagULaw       = 7
	tagIMA        = 0x11
	tagGSM        = 0x31
	tagExtensible = 0xfffe // the actual tag comes later
)

// wavFormat is a WAV file's fmt chunk.
type wavFormat struct {
	tag       uint16
	channels  int
	rate      uint32
	blockSize int // bytes
}

// codec returns the codec of the file's samples.
func (f wavFormat) codec() (codec, error) {
	switch {
	case f.channels < 1 || f.rate < 1 || f.rate > maxRate:
		return codec{}, fmt.Errorf("%d channels at %d Hz: %w", f.channels, f.rate, ErrFormat)
	case f.tag == tagGSM && f.channels == 1 && f.blockSize == gsmBlockSize:
		return gsmCodec(f.rate), nil
	case f.tag == tagIMA && f.channels <= 2 && f.blockSize >= 4*f.channels:
		return imaCodec(f.rate, f.channels, f.blockSize), nil
	}
	return codec{}, fmt.Errorf("WAV format %#x with %d channels and blocks of %d bytes: %w", f.tag, f.channels, f.blockSize, ErrFormat)
}

// wavChunks has the needed data of a WAV file's chunks.
type wavChunks struct {
	hasFormat, hasData bool
	format             wavFormat
	dataStart          int64
	dataSize           int64 // limited to the existing bytes
}

// maxChunks limits the work for a hostile file.
const maxChunks = 100

// walkWAV reads the chunks of a WAV file of size bytes until it has both needed ones. A file that
// ends earlier is not an error.
func walkWAV(src io.ReadSeeker, size int64) (wavChunks, error) {
	const riffHeader, chunkHeader = 12, 8
	var found wavChunks
	le := binary.LittleEndian
	at, odd := int64(riffHeader), false
	for range maxChunks {
		header := make([]byte, chunkHeader)
		if n, err := readAt(src, header, at); err != nil || n < len(header) {
			return found, err
		}
		if odd && header[0] == 0 { // the pad byte after an odd chunk, which some writers omit
			at, odd = at+1, false
			continue
		}
		name, length := string(header[:4]), int64(le.Uint32(header[4:]))
		at += chunkHeader
		switch name {
		case "fmt ":
			format, err := readFormat(src, at, length)
			if err != nil {
				return found, err
			}
			found.format, found.hasFormat = format, true
		case "data":
			// A writer that could not seek back left 0 or the maximum.
			found.dataStart, found.dataSize, found.hasData = at, min(length, max(0, size-at)), true
			if length == 0 {
				found.dataSize = max(0, size-at)
			}
		}
		if found.hasFormat && found.hasData {
			return found, nil
		}
		at, odd = at+length, length%2 == 1
	}
	return found, fmt.Errorf("more than %d chunks: %w", maxChunks, ErrFormat)
}

// readFormat reads a fmt chunk of length bytes.
func readFormat(src io.ReadSeeker, at, length int64) (wavFormat, error) {
	const plain, extensible = 16, 26 // up to the tag inside an extensible format
	chunk := make([]byte, min(length, extensible))
	n, err := readAt(src, chunk, at)
	if err != nil {
		return wavFormat{}, err
	}
	if n < plain {
		return wavFormat{}, fmt.Errorf("fmt chunk of %d bytes: %w", n, ErrFormat)
	}
	le := binary.LittleEndian
	format := wavFormat{
		tag: le.Uint16(chunk), channels: int(le.Uint16(chunk[2:])), rate: le.Uint32(chunk[4:]), blockSize: int(le.Uint16(chunk[12:])),
	}
	if format.tag == tagExtensible && n == extensible {
		format.tag = le.Uint16(chunk[24:])
	}
	return format, nil
}

// readAt fills p from an offset, and returns fewer bytes only at the end.
func readAt(src io.ReadSeeker, p []byte, at int64) (int, error) {
	if _, err := src.Seek(at, io.SeekStart); err != nil {
		return 0, fmt.Errorf("seek in recording: %w", err)
	}
	n, err := io.ReadFull(src, p)
	if err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
		return n, fmt.Errorf("read recording: %w", err)
	}
	return n, nil
}

// wavHeaderSize is the header size of a Reader's WAV file.
const wavHeaderSize = 44

// appendWAVHeader appends the header of a WAV file with PCM of 16 bits.
func appendWAVHeader(b []byte, rate uint32, channels int, dataSize uint32) []byte {
	le := binary.LittleEndian
	frame := uint16(2 * channels)
	b = le.AppendUint32(append(b, "RIFF"...), dataSize+wavHeaderSize-8)
	b = le.AppendUint32(append(b, "WAVEfmt "...), 16)
	b = le.AppendUint16(b, tagPCM)
	b = le.AppendUint16(b, uint16(channels))
	b = le.AppendUint32(b, rate)
	b = le.AppendUint32(b, rate*uint32(frame))
	b = le.AppendUint16(b, frame)
	b = le.AppendUint16(b, 16)
	return le.AppendUint32(append(b, "data"...), dataSize)
}
