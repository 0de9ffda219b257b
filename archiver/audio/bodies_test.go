package audio

import (
	"bytes"
	"encoding/binary"
	"math/rand/v2"
	"unicode/utf16"
)

// convosoHeader is the frame header of real recordings: MPEG-2.5 layer III, 8 kHz,
// mono, 64 kbit/s.
const convosoHeader = "\xff\xe3\x88\xc4"

// noise returns random bytes, deterministic for a seed.
func noise(seed uint64, n int) []byte {
	r := rand.NewChaCha8([32]byte{byte(seed), byte(seed >> 8)})
	b := make([]byte, n)
	_, _ = r.Read(b)
	return b
}

// quiet returns bytes of speech data without a sync word.
func quiet(n int) []byte {
	b := noise(7, n)
	for i := range b {
		b[i] &= 0x7E
	}
	return b
}

// frameOf returns one frame of size bytes after a header.
func frameOf(header string, size int) []byte {
	return append([]byte(header), quiet(size-len(header))...)
}

func mpegFrames(header string, size, n int) []byte { return bytes.Repeat(frameOf(header, size), n) }

func adtsFrames(size, n int) []byte {
	header := []byte{0xFF, 0xF1, 0x6C, 0x40, 0, 0x1F, 0xFC} // AAC LC, 8 kHz, mono
	header[3] |= byte(size >> 11)
	header[4] = byte(size >> 3)
	header[5] |= byte(size << 5)
	return bytes.Repeat(frameOf(string(header), size), n)
}

func id3v2(content int) []byte {
	b := []byte{'I', 'D', '3', 4, 0, 0, 0, 0, byte(content >> 7), byte(content & 0x7F)}
	return append(b, bytes.Repeat([]byte{0xFF, 0xE3, 0}, content/3+1)[:content]...)
}

func id3v1() []byte { return append([]byte("TAG"), bytes.Repeat([]byte{'x'}, 125)...) }

func join(parts ...[]byte) []byte { return bytes.Join(parts, nil) }

func chunk(name string, content []byte) []byte {
	b := binary.LittleEndian.AppendUint32([]byte(name), uint32(len(content)))
	b = append(b, content...)
	if len(content)%2 == 1 {
		b = append(b, 0)
	}
	return b
}

func wavFmt(tag, channels uint16, rate, byteRate uint32, block, bits uint16) []byte {
	le := binary.LittleEndian
	b := le.AppendUint16(nil, tag)
	b = le.AppendUint16(b, channels)
	b = le.AppendUint32(b, rate)
	b = le.AppendUint32(b, byteRate)
	b = le.AppendUint16(b, block)
	return le.AppendUint16(b, bits)
}

// riff wraps chunks in a WAV file with the correct length.
func riff(chunks ...[]byte) []byte {
	content := append([]byte("WAVE"), join(chunks...)...)
	return append(binary.LittleEndian.AppendUint32([]byte("RIFF"), uint32(len(content))), content...)
}

// withUint32 returns b with a little endian number at an offset.
func withUint32(b []byte, at int, v uint32) []byte {
	b = bytes.Clone(b)
	binary.LittleEndian.PutUint32(b[at:], v)
	return b
}

var pcm8k = wavFmt(1, 1, 8000, 16000, 2, 16)

func rf64(dataSize int) []byte {
	le := binary.LittleEndian
	sizes := le.AppendUint64(nil, uint64(4+8+28+8+16+8+dataSize))
	sizes = le.AppendUint64(sizes, uint64(dataSize))
	sizes = append(sizes, make([]byte, 12)...)
	b := riff(chunk("ds64", sizes), chunk("fmt ", pcm8k), chunk("data", quiet(dataSize)))
	copy(b, "RF64\xff\xff\xff\xff")
	return withUint32(b, len(b)-dataSize-4, 1<<32-1)
}

// oggPageOf returns a page of one serial number with one packet or part of it.
func oggPageOf(flags byte, granule int64, serial uint32, content []byte) []byte {
	le := binary.LittleEndian
	b := append([]byte("OggS\x00"), flags)
	b = le.AppendUint64(b, uint64(granule))
	b = le.AppendUint32(b, serial)
	b = append(b, make([]byte, 8)...)
	segments := bytes.Repeat([]byte{255}, len(content)/255)
	segments = append(segments, byte(len(content)%255))
	b = append(b, byte(len(segments)))
	return join(b, segments, content)
}

func opusHead() []byte {
	return []byte("OpusHead\x01\x01\x38\x01\x40\x1f\x00\x00\x00\x00\x00") // 312 samples to skip
}

func vorbisHead(rate uint32) []byte {
	b := []byte("\x01vorbis\x00\x00\x00\x00\x01")
	return append(binary.LittleEndian.AppendUint32(b, rate), make([]byte, 14)...)
}

func speexHead(rate uint32) []byte {
	b := append([]byte("Speex   1.2"), make([]byte, 80-11)...)
	return withUint32(b, 36, rate)
}

// oggOpus returns a stream of 3 seconds in four pages.
func oggOpus(serial uint32) []byte {
	return join(
		oggPageOf(oggBegins, 0, serial, opusHead()),
		oggPageOf(0, 0, serial, []byte("OpusTags\x00\x00\x00\x00\x00\x00\x00\x00")),
		oggPageOf(0, 48000, serial, quiet(3000)),
		oggPageOf(oggEnds, 3*48000+312, serial, quiet(1000)),
	)
}

func oggOther(head []byte, granule int64) []byte {
	return join(oggPageOf(oggBegins, 0, 1, head), oggPageOf(oggEnds, granule, 1, quiet(900)))
}

func box(name string, content ...[]byte) []byte {
	all := join(content...)
	b := binary.BigEndian.AppendUint32(nil, uint32(8+len(all)))
	return join(b, []byte(name), all)
}

func longBox(name string, content []byte) []byte {
	b := append([]byte{0, 0, 0, 1}, name...)
	b = binary.BigEndian.AppendUint64(b, uint64(16+len(content)))
	return append(b, content...)
}

func moov(handler string) []byte {
	be := binary.BigEndian
	header := make([]byte, 12)
	header = be.AppendUint32(header, 8000)
	header = be.AppendUint32(header, 20000) // 2.5 s
	header = append(header, make([]byte, 80)...)
	hdlr := join(make([]byte, 8), []byte(handler), make([]byte, 13))
	return box("moov", box("mvhd", header), box("trak", box("tkhd", make([]byte, 84)),
		box("mdia", box("mdhd", make([]byte, 24)), box("hdlr", hdlr), box("minf", quiet(200)))))
}

var ftyp = box("ftyp", []byte("M4A \x00\x00\x00\x00isomM4A "))

func flacFile(samples uint64) []byte {
	info := make([]byte, 34)
	binary.BigEndian.PutUint64(info[10:], 8000<<44|15<<36|samples)
	block := func(kind byte, content []byte) []byte {
		return join([]byte{kind, byte(len(content) >> 16), byte(len(content) >> 8), byte(len(content))}, content)
	}
	return join([]byte("fLaC"), block(0, info), block(4, quiet(40)), block(0x81, quiet(100)), []byte{0xFF, 0xF8}, quiet(500))
}

func auFile(encoding, rate uint32, samples int) []byte {
	be := binary.BigEndian
	b := []byte(".snd")
	for _, v := range []uint32{28, uint32(samples), encoding, rate, 1} {
		b = be.AppendUint32(b, v)
	}
	return join(b, []byte{0, 0, 0, 0}, quiet(samples))
}

// amrFile returns frames of the highest rate of narrow or wide band.
func amrFile(magic string, head byte, size, n int) []byte {
	return append([]byte(magic), bytes.Repeat(frameOf(string(rune(head)), size), n)...)
}

func utf16Text(s string, mark bool, order binary.AppendByteOrder) []byte {
	var b []byte
	if mark {
		b = order.AppendUint16(b, 0xFEFF)
	}
	for _, unit := range utf16.Encode([]rune(s)) {
		b = order.AppendUint16(b, unit)
	}
	return b
}
