package wave

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"strings"
	"testing"
)

// wavFile returns a WAV file with the given chunks.
func wavFile(chunks ...string) []byte {
	content := "WAVE" + strings.Join(chunks, "")
	return []byte(chunk("RIFF", len(content), content))
}

// chunk returns a chunk with a stated size.
func chunk(name string, size int, content string) string {
	return name + string(binary.LittleEndian.AppendUint32(nil, uint32(size))) + content
}

func format(tag, channels uint16, rate uint32, block uint16) string {
	b := binary.LittleEndian.AppendUint16(nil, tag)
	b = binary.LittleEndian.AppendUint16(b, channels)
	b = binary.LittleEndian.AppendUint32(b, rate)
	b = binary.LittleEndian.AppendUint32(b, rate)
	b = binary.LittleEndian.AppendUint16(b, block)
	b = binary.LittleEndian.AppendUint16(b, 4)
	return chunk("fmt ", len(b), string(b))
}

func data(size int) string { return chunk("data", size, strings.Repeat("d", size)) }

func auFile(start, size, encoding, rate, channels uint32, content string) []byte {
	b := []byte(".snd")
	for _, v := range []uint32{start, size, encoding, rate, channels} {
		b = binary.BigEndian.AppendUint32(b, v)
	}
	return append(b, content...)
}

func TestCutAndOddRecordings(t *testing.T) {
	gsm, ima, stereo := format(tagGSM, 1, 8000, 65), format(tagIMA, 1, 8000, 256), format(tagIMA, 2, 8000, 256)
	tests := map[string]struct {
		recording []byte
		want      int // bytes of samples
	}{
		"two blocks":               {wavFile(gsm, data(130)), 1280},
		"half a block behind":      {wavFile(gsm, data(130+33)), 1280},
		"cut in the second block":  {wavFile(gsm, chunk("data", 130, strings.Repeat("d", 100))), 640},
		"written to a pipe":        {wavFile(gsm, chunk("data", 0, strings.Repeat("d", 130))), 1280},
		"greatest size":            {wavFile(gsm, chunk("data", 1<<32-1, strings.Repeat("d", 130))), 1280},
		"something behind":         {wavFile(gsm, data(130), chunk("LIST", 4, "INFO")), 1280},
		"odd chunk with a pad":     {wavFile(gsm, chunk("note", 3, "abc\x00"), data(130)), 1280},
		"odd chunk without":        {wavFile(gsm, chunk("note", 3, "abc"), data(130)), 1280},
		"adpcm":                    {wavFile(ima, data(512)), 2 * 505 * 2},
		"adpcm, short last block":  {wavFile(ima, data(256+14)), (505 + 21) * 2},
		"adpcm, headers alone":     {wavFile(ima, data(256+4)), (505 + 1) * 2},
		"adpcm, cut in a header":   {wavFile(ima, data(256+3)), 505 * 2},
		"stereo":                   {wavFile(stereo, data(256)), 249 * 2 * 2},
		"stereo, cut in a word":    {wavFile(stereo, data(256+8+15)), (249 + 9) * 2 * 2},
		"stereo, cut in a header":  {wavFile(stereo, data(256+7)), 249 * 2 * 2},
		"smallest blocks":          {wavFile(format(tagIMA, 1, 8000, 4), data(40)), 20},
		"au":                       {auFile(24, 100, auULaw, 8000, 1, strings.Repeat("d", 100)), 200},
		"au of unknown size":       {auFile(24, 1<<32-1, auALaw, 8000, 1, strings.Repeat("d", 100)), 200},
		"au cut":                   {auFile(24, 100, auULaw, 8000, 1, strings.Repeat("d", 60)), 120},
		"au cut in a frame":        {auFile(24, 100, auPCM16, 8000, 2, strings.Repeat("d", 63)), 60},
		"au with something behind": {auFile(28, 10, auPCM8, 8000, 1, strings.Repeat("d", 60)), 20},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			if got := len(decodeAll(t, test.recording)) - wavHeaderSize; got != test.want {
				t.Errorf("%d bytes of samples, want %d", got, test.want)
			}
			if got := open(t, test.recording).Size() - wavHeaderSize; got != int64(test.want) {
				t.Errorf("size %d, want %d", got, test.want)
			}
		})
	}
}

func TestRefusals(t *testing.T) {
	tests := map[string][]byte{
		"nothing":             {},
		"text":                []byte("<html>not found</html>"),
		"half a magic":        []byte("RIFF"),
		"no chunk":            wavFile(),
		"no fmt":              wavFile(data(65)),
		"no data":             wavFile(format(tagGSM, 1, 8000, 65)),
		"empty data":          wavFile(format(tagGSM, 1, 8000, 65), data(0)),
		"less than a block":   wavFile(format(tagGSM, 1, 8000, 65), data(64)),
		"short fmt":           wavFile(chunk("fmt ", 8, "12345678"), data(65)),
		"pcm":                 wavFile(format(tagPCM, 1, 8000, 2), data(64)),
		"gsm of two channels": wavFile(format(tagGSM, 2, 8000, 65), data(130)),
		"gsm in other blocks": wavFile(format(tagGSM, 1, 8000, 33), data(66)),
		"gsm without a rate":  wavFile(format(tagGSM, 1, 0, 65), data(130)),
		"adpcm, no channel":   wavFile(format(tagIMA, 0, 8000, 256), data(256)),
		"adpcm, three":        wavFile(format(tagIMA, 3, 8000, 256), data(256)),
		"adpcm, tiny blocks":  wavFile(format(tagIMA, 2, 8000, 7), data(256)),
		"endless chunks":      wavFile(strings.Repeat(chunk("none", 0, ""), 5000)),
		"au, cut header":      auFile(24, 9, auULaw, 8000, 1, "")[:20],
		"au without sound":    auFile(24, 0, auULaw, 8000, 1, ""),
		"au, header within":   auFile(4, 9, auULaw, 8000, 1, "123456789"),
		"au, header beyond":   auFile(1<<32-1, 9, auULaw, 8000, 1, "123456789"),
		"au of floats":        auFile(24, 9, 6, 8000, 1, "123456789"),
		"au, many channels":   auFile(24, 9, auULaw, 8000, 1<<31, "123456789"),
		"au, great rate":      auFile(24, 9, auULaw, 1<<31, 1, "123456789"),
	}
	for name, recording := range tests {
		t.Run(name, func(t *testing.T) {
			if r, err := NewReader(bytes.NewReader(recording)); !errors.Is(err, ErrFormat) {
				t.Errorf("reader %v, error %v", r, err)
			}
		})
	}
}

// sparse is a source of zeros with a header before them.
type sparse struct {
	header    []byte
	size, pos int64
}

func (s *sparse) Read(p []byte) (int, error) {
	if s.pos >= s.size {
		return 0, io.EOF
	}
	p = p[:min(int64(len(p)), s.size-s.pos)]
	clear(p)
	if s.pos < int64(len(s.header)) {
		copy(p, s.header[s.pos:])
	}
	s.pos += int64(len(p))
	return len(p), nil
}

func (s *sparse) Seek(offset int64, whence int) (int64, error) {
	switch whence {
	case io.SeekCurrent:
		offset += s.pos
	case io.SeekEnd:
		offset += s.size
	}
	s.pos = offset
	return offset, nil
}

// A recording may be large: seeking to its end is immediate. One that would exceed the maximum of a
// WAV file is refused.
func TestLargeRecordings(t *testing.T) {
	header := wavFile(format(tagGSM, 1, 8000, 65), chunk("data", 1<<32-1, ""))
	r, err := NewReader(&sparse{header: header, size: 400 << 20})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := r.Seek(-1000, io.SeekEnd); err != nil {
		t.Fatal(err)
	}
	if rest, err := io.ReadAll(r); err != nil || len(rest) != 1000 {
		t.Errorf("%d bytes at the end, error %v", len(rest), err)
	}
	if _, err := NewReader(&sparse{header: header, size: 500 << 20}); !errors.Is(err, ErrFormat) {
		t.Errorf("error %v", err)
	}
}

func TestSourceThatFails(t *testing.T) {
	source := &sparse{header: wavFile(format(tagGSM, 1, 8000, 65), chunk("data", 6500, "")), size: 8000}
	r, err := NewReader(source)
	if err != nil {
		t.Fatal(err)
	}
	source.size = 3000
	if got, err := io.ReadAll(r); !errors.Is(err, io.ErrUnexpectedEOF) || len(got) < 20_000 {
		t.Errorf("%d bytes, error %v", len(got), err)
	}
	source.size = 8000
	if _, err := r.Seek(0, io.SeekStart); err != nil {
		t.Fatal(err)
	}
	if got, err := io.ReadAll(r); err != nil || int64(len(got)) != r.Size() {
		t.Errorf("%d bytes when it is whole again, error %v", len(got), err)
	}
	for _, bad := range []struct {
		offset int64
		whence int
	}{{-1, io.SeekStart}, {0, 9}} {
		if _, err := r.Seek(bad.offset, bad.whence); err == nil {
			t.Errorf("no error for %+v", bad)
		}
	}
	if _, err := r.Seek(1, io.SeekEnd); err != nil {
		t.Error(err)
	}
	if n, err := r.Read(make([]byte, 1)); n != 0 || !errors.Is(err, io.EOF) {
		t.Errorf("behind the end: %d bytes, error %v", n, err)
	}
}

func TestSniff(t *testing.T) {
	page := "OggS\x00\x02" + strings.Repeat("\x00", 20) + "\x01\x13"
	extensible := format(tagExtensible, 1, 8000, 2)
	extensible = chunk("fmt ", 40, extensible[8:]+"\x16\x00\x10\x00\x04\x00\x00\x00\x01\x00"+strings.Repeat("x", 14))
	tests := []struct {
		name, head string
		want       Support
	}{
		{"nothing", "", Unknown},
		{"text", "Recording not found!", Unknown},
		{"mp3", "\xff\xe3\x88\xc4", Plays},
		{"mp3 behind a tag", "ID3\x03\x00\x00\x00\x00\x00\x00", Plays},
		{"mp3 cut", "\xff\xe3", Unknown},
		{"layer II", "\xff\xfd\x88\xc4", Unknown},
		{"bad bit rate", "\xff\xfb\xf8\xc4", Unknown},
		{"adts", "\xff\xf1\x50\x80", Plays},
		{"pcm", string(wavFile(format(tagPCM, 1, 8000, 2), data(9))), Plays},
		{"float", string(wavFile(format(tagFloat, 1, 8000, 4))), Plays},
		{"a-law", string(wavFile(format(tagALaw, 1, 8000, 1))), Plays},
		{"mu-law", string(wavFile(format(tagULaw, 1, 8000, 1))), Plays},
		{"extensible pcm", string(wavFile(extensible)), Plays},
		{"gsm", string(wavFile(format(tagGSM, 1, 8000, 65))), Decodes},
		{"gsm behind a list", string(wavFile(chunk("LIST", 30, strings.Repeat("l", 30)), format(tagGSM, 1, 8000, 65))), Decodes},
		{"gsm of two channels", string(wavFile(format(tagGSM, 2, 8000, 65))), Unknown},
		{"ima", string(wavFile(format(tagIMA, 2, 8000, 256))), Decodes},
		{"microsoft adpcm", string(wavFile(format(2, 1, 8000, 256))), Unknown},
		{"wav without fmt", string(wavFile(data(9))), Unknown},
		{"rf64", "RF64\xff\xff\xff\xffWAVEds64", Unknown},
		{"au", string(auFile(24, 0, auULaw, 8000, 1, "")), Decodes},
		{"au of floats", string(auFile(24, 9, 6, 8000, 1, "123456789")), Unknown},
		{"opus", page + "OpusHead", Plays},
		{"vorbis", page + "\x01vorbis", Plays},
		{"flac in ogg", page + "\x7fFLAC", Plays},
		{"speex", page + "Speex   ", Unknown},
		{"ogg cut", "OggS\x00", Unknown},
		{"flac", "fLaC\x00", Plays},
		{"m4a", "\x00\x00\x00\x20ftypM4A ", Plays},
		{"3gp", "\x00\x00\x00\x20ftyp3gp4", Unknown},
		{"webm", "\x1aE\xdf\xa3\x9fB\x86\x81\x01B\x82\x84webm", Plays},
		{"matroska", "\x1aE\xdf\xa3\x9fB\x86\x81\x01B\x82\x88matroska", Unknown},
		{"amr", "#!AMR\n", Unknown},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			if got := Sniff([]byte(test.head)); got != test.want {
				t.Errorf("got %v, want %v", got, test.want)
			}
		})
	}
}

// For any recording, reading ends at the reported size, and seeking does not change the result.
func FuzzReader(f *testing.F) {
	for _, name := range []string{"gsm.wav", "ima-mono.wav", "ima-stereo.wav", "ulaw.au", "alaw.au", "pcm8.au", "pcm16.au"} {
		f.Add(read(f, name)[:700], uint16(500))
	}
	f.Add(wavFile(chunk("note", 3, "abc"), format(tagIMA, 2, 8000, 9), data(100)), uint16(44))
	f.Fuzz(func(t *testing.T, recording []byte, at uint16) {
		sniffed := Sniff(recording)
		r, err := NewReader(bytes.NewReader(recording))
		if err != nil {
			if !errors.Is(err, ErrFormat) {
				t.Errorf("error %v", err)
			}
			return
		}
		if sniffed != Decodes {
			t.Errorf("it decodes, but Sniff says %v", sniffed)
		}
		const mostGrowth = 10
		if r.Size() > wavHeaderSize+mostGrowth*int64(len(recording)) {
			t.Fatalf("%d bytes become %d", len(recording), r.Size())
		}
		all, err := io.ReadAll(r)
		if err != nil || int64(len(all)) != r.Size() {
			t.Fatalf("%d bytes, want %d, error %v", len(all), r.Size(), err)
		}
		if len(recording) > gsmRunUp*gsmBlockSize {
			return // seeking may give different samples
		}
		from := int64(at) % r.Size()
		if _, err := r.Seek(from, io.SeekStart); err != nil {
			t.Fatal(err)
		}
		rest, err := io.ReadAll(r)
		if err != nil || !bytes.Equal(rest, all[from:]) {
			t.Errorf("%d bytes from %d on are others than on the way, error %v", len(rest), from, err)
		}
	})
}
