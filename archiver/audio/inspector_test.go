package audio

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"slices"
	"testing"
	"time"
)

// inspect judges a body given in pieces of size bytes, or whole where size is 0.
func inspect(body []byte, size int) Result {
	i := NewInspector()
	if size == 0 {
		size = max(1, len(body))
	}
	for piece := range slices.Chunk(body, size) {
		_, _ = i.Write(piece)
	}
	return i.Finish()
}

const notFound = `{"success":false,"text":"Recording not found!"}`

var page = "<!DOCTYPE html>\n<html><head><title>502</title></head><body>Bad gateway</body></html>"

type bodyTest struct {
	name string
	body []byte
	want Result
}

func audioOf(f Format, d time.Duration) Result { return Result{Verdict: Audio, Format: f, Duration: d} }

func mp3Bodies() []bodyTest {
	convoso := func(n int) []byte { return mpegFrames(convosoHeader, 576, n) }
	second := audioOf(MP3, 720*time.Millisecond)
	zeros := make([]byte, 3000)
	garbage := quiet(100)
	withGarbage := second
	withGarbage.Garbage = int64(len(garbage) - bytes.Count(garbage, []byte{0}))
	vbr := join(frameOf("\xff\xfb\x90\x64", 417), frameOf("\xff\xfb\xb2\x64", 627), frameOf("\xff\xfa\x50\x64", 208))
	free := join(frameOf("\xff\xfb\x02\x64", 501), mpegFrames("\xff\xfb\x00\x64", 500, 5))
	return []bodyTest{
		{"mp3 as real recordings", convoso(10), second},
		{"mp3 of one frame", convoso(1), audioOf(MP3, 72*time.Millisecond)},
		{"mp3 of two frames", convoso(2), audioOf(MP3, 144*time.Millisecond)},
		{"mp3 behind ID3v2", join(id3v2(1000), convoso(10)), second},
		{"mp3 of one frame behind ID3v2", join(id3v2(20), convoso(1)), audioOf(MP3, 72*time.Millisecond)},
		{"mp3 before ID3v1", join(convoso(10), id3v1()), second},
		{"mp3 before APEv2 and ID3v1", join(convoso(10), apeV2(), id3v1()), second},
		{"mp3 with zeros behind", join(convoso(10), zeros), second},
		{"mp3 with zeros before", join(zeros, convoso(10)), second},
		{"mp3 with zeros between", join(convoso(5), zeros, convoso(5)), second},
		{"mp3 with garbage between", join(convoso(5), garbage, convoso(5)), withGarbage},
		{"mp3 begun inside a frame", join(garbage, convoso(10)), withGarbage},
		{"mp3 of two files", join(convoso(5), id3v1(), id3v2(90), convoso(5)), second},
		{"mp3 of 44.1 kHz, variable bit rate", vbr, audioOf(MP3, 3*1152*time.Second/44100)},
		{"mp3 in free format", free, audioOf(MP3, 6*1152*time.Second/44100)},
		{"layer I", mpegFrames("\xff\xff\x14\xc4", 32, 5), audioOf(MP3, 5*8*time.Millisecond)},
		{"layer II", mpegFrames("\xff\xfd\x14\xc4", 96, 5), audioOf(MP3, 5*24*time.Millisecond)},
		{"MPEG-2 layer III", mpegFrames("\xff\xf3\x48\xc4", 144, 5), audioOf(MP3, 5*36*time.Millisecond)},
		{"aac", adtsFrames(200, 10), audioOf(AAC, 10*128*time.Millisecond)},
		{"aac behind ID3v2", join(id3v2(70), adtsFrames(200, 10)), audioOf(AAC, 10*128*time.Millisecond)},
		{"mp3 cut in a frame", convoso(11)[:10*576+100], Result{Verdict: Audio, Format: MP3, Duration: second.Duration, LastFrameBroken: true}},
		{"mp3 cut in a header", convoso(11)[:10*576+1], Result{Verdict: Audio, Format: MP3, Duration: second.Duration, LastFrameBroken: true}},
		{"aac cut in a frame", adtsFrames(200, 11)[:2199], Result{Verdict: Audio, Format: AAC, Duration: 10 * 128 * time.Millisecond, LastFrameBroken: true}},
		{"mp3 cut in its first frame", convoso(1)[:575], Result{LastFrameBroken: true}},
	}
}

func containerBodies() []bodyTest {
	samples := quiet(16000)
	wave := riff(chunk("fmt ", pcm8k), chunk("data", samples))
	list := chunk("LIST", quiet(31))
	wide := "\x24" // type 4
	cut := func(f Format, d time.Duration, why string) Result {
		return Result{Verdict: Audio, Format: f, Duration: d, ContainerMismatch: why}
	}
	return []bodyTest{
		{"wav", wave, audioOf(WAV, time.Second)},
		{"wav of mu-law", riff(chunk("fmt ", append(wavFmt(7, 1, 8000, 8000, 1, 8), 0, 0)), chunk("fact", samples[:4]), chunk("data", samples)), audioOf(WAV, 2*time.Second)},
		{"wav of GSM", riff(chunk("fmt ", append(wavFmt(0x31, 1, 8000, 1625, 65, 0), 2, 0, 0x40, 1)), chunk("data", samples[:3250])), audioOf(WAV, 2*time.Second)},
		{"wav with odd chunks", riff(chunk("JUNK", quiet(3)), chunk("fmt ", pcm8k), list, chunk("data", samples), list), audioOf(WAV, time.Second)},
		{"wav of odd size", riff(chunk("fmt ", wavFmt(7, 1, 8000, 8000, 1, 8)), chunk("data", samples[:8001])), audioOf(WAV, time.Second+125*time.Microsecond)},
		{"wav without its last pad byte", riff(chunk("fmt ", wavFmt(7, 1, 8000, 8000, 1, 8)), chunk("data", samples[:8001]))[:44+8001], audioOf(WAV, time.Second+125*time.Microsecond)},
		{"wav without a byte rate", riff(chunk("fmt ", wavFmt(1, 1, 8000, 0, 2, 16)), chunk("data", samples)), audioOf(WAV, time.Second)},
		{"wav with something behind", join(wave, id3v1()), audioOf(WAV, time.Second)},
		{"wav that counts its header", withUint32(wave, 4, uint32(len(wave))), audioOf(WAV, time.Second)},
		{"wav streamed, sizes 0", withUint32(withUint32(wave, 4, 0), 40, 0), audioOf(WAV, time.Second)},
		{"wav streamed by FFmpeg", withUint32(withUint32(wave, 4, 1<<32-1), 40, 1<<32-1), audioOf(WAV, time.Second)},
		{"wav streamed by SoX", withUint32(withUint32(wave, 4, streamSize+36), 40, streamSize), audioOf(WAV, time.Second)},
		{"rf64", rf64(16000), audioOf(WAV, time.Second)},
		{"rf64 cut", rf64(32000)[:80+16000], cut(WAV, time.Second, "the last chunk is cut")},
		{"wav cut in its samples", riff(chunk("fmt ", pcm8k), chunk("data", quiet(32000)))[:44+16000], cut(WAV, time.Second, "the last chunk is cut")},
		{"wav cut behind its samples", riff(chunk("fmt ", pcm8k), chunk("data", samples), list)[:len(wave)+20], cut(WAV, time.Second, "the last chunk is cut")},
		{"wav cut between chunks", riff(chunk("fmt ", pcm8k), chunk("data", samples), list)[:len(wave)], cut(WAV, time.Second, "the file is shorter than its header says")},
		{"wav cut before its samples", wave[:44], Result{ContainerMismatch: "the last chunk is cut"}},
		{"wav cut in its format", wave[:30], Result{ContainerMismatch: "the last chunk is cut"}},
		{"wav without samples", riff(chunk("fmt ", pcm8k), chunk("data", nil)), Result{}},
		{"avi", append([]byte("RIFF\xf8\x7d\x01\x00AVI LIST"), samples...), Result{}},

		{"opus", oggOpus(5), audioOf(Ogg, 3*time.Second)},
		{"opus of two files", join(oggOpus(5), oggOpus(6)), audioOf(Ogg, 6*time.Second)},
		{"vorbis", oggOther(vorbisHead(8000), 12000), audioOf(Ogg, 1500*time.Millisecond)},
		{"speex", oggOther(speexHead(16000), 16000), audioOf(Ogg, time.Second)},
		{"opus cut in a page", oggOpus(5)[:len(oggOpus(5))-1], cut(Ogg, 3*time.Second, "the last page is cut")},
		{"opus cut between pages", oggOpus(5)[:len(oggOpus(5))-1000-27-4], Result{Verdict: Audio, Format: Ogg, Duration: time.Second - 312*time.Second/48000, LastFrameBroken: true}},
		{"opus with something behind", join(oggOpus(5), id3v1()), audioOf(Ogg, 3*time.Second)},
		{"ogg of something else", oggOther([]byte("\x80theora and more"), 100), Result{}},

		{"mp4", join(ftyp, moov("soun", 0), box("mdat", samples)), audioOf(MP4, 2500*time.Millisecond)},
		{"mp4 with its index last", join(ftyp, box("mdat", samples), moov("soun", 1)), audioOf(MP4, 2500*time.Millisecond)},
		{"mp4 with a long box", join(ftyp, longBox("mdat", samples), moov("soun", 1)), audioOf(MP4, 2500*time.Millisecond)},
		{"mp4 with an open end", join(ftyp, moov("soun", 0), []byte("\x00\x00\x00\x00mdat"), samples), audioOf(MP4, 2500*time.Millisecond)},
		{"mp4 cut", join(ftyp, moov("soun", 0), box("mdat", samples)[:9000]), cut(MP4, 2500*time.Millisecond, "the last box is cut")},
		{"mp4 cut before its index", join(ftyp, box("mdat", samples)[:9000]), Result{ContainerMismatch: "the last box is cut"}},
		{"mp4 without its index", join(ftyp, box("mdat", samples)), Result{ContainerMismatch: "the index is missing"}},
		{"mp4 without sound", join(ftyp, moov("vide", 0), box("mdat", samples)), Result{}},
		{"picture in mp4 boxes", join(box("ftyp", []byte("heic\x00\x00\x00\x00mif1heic")), box("meta", quiet(500)), box("mdat", samples)), Result{ContainerMismatch: "the index is missing"}},

		{"flac", flacFile(12000), audioOf(FLAC, 1500*time.Millisecond)},
		{"flac streamed", flacFile(0), audioOf(FLAC, 0)},
		{"flac cut in its metadata", flacFile(12000)[:100], Result{ContainerMismatch: "the body ends within the metadata"}},
		{"au", auFile(1, 8000, 16000), audioOf(AU, 2*time.Second)},
		{"au cut", auFile(1, 8000, 16000)[:8028], cut(AU, time.Second, "fewer samples than the header says")},
		{"amr", amrFile(amrNarrow, 0x3C, 32, 50), audioOf(AMR, time.Second)},
		{"amr wide band", amrFile(amrWide, wide[0], 41, 50), audioOf(AMR, time.Second)},
		{"amr cut", amrFile(amrNarrow, 0x3C, 32, 51)[:6+51*32-1], Result{Verdict: Audio, Format: AMR, Duration: time.Second, LastFrameBroken: true}},
	}
}

func textBodies() []bodyTest {
	le, be := binary.LittleEndian, binary.BigEndian
	kind := func(v Verdict) Result { return Result{Verdict: v} }
	gone := func(v Verdict) Result { return Result{Verdict: v, NotFound: true} }
	long := bytes.Repeat([]byte("A line of some report, é and ü.\n"), 200)
	return []bodyTest{
		{"nothing", nil, kind(Empty)},
		{"recording not found", []byte(notFound), gone(JSON)},
		{"recording not found, pretty", []byte("\xEF\xBB\xBF\r\n { \"error\" : \"RECORDING  NOT\\tFOUND\" }"), gone(JSON)},
		{"not_found", []byte(`{"error":{"code":"not_found"}}`), gone(JSON)},
		{"RecordingNotFound", []byte(`["NotFound"]`), gone(JSON)},
		{"not found as text", []byte("The file was not found.\n"), gone(Text)},
		{"not found as a JSON string", []byte(`"Recording not found!"`), gone(Text)},
		{"not found in UTF-16", utf16Text(notFound, true, le), gone(JSON)},
		{"a token not found", []byte(`{"success":false,"text":"Auth token not found"}`), kind(JSON)},
		{"found", []byte(`{"success":true,"text":"found, not much"}`), kind(JSON)},
		{"json", []byte(`{"success":false,"code":5001,"text":"Auth token is invalid"}`), kind(JSON)},
		{"json array", []byte(` [ {"a":1} ]`), kind(JSON)},
		{"json that is empty", []byte(`{}`), kind(JSON)},
		{"json with a control character", []byte("{\"text\":\"\x00\x01\xff\"}"), kind(JSON)},
		{"html", []byte(page), kind(HTML)},
		{"html behind a mark and spaces", []byte("\xEF\xBB\xBF \n\t" + page), kind(HTML)},
		{"html not found", []byte("<html><h1>404 Not Found</h1></html>"), kind(HTML)},
		{"html in UTF-16", utf16Text(page, true, le), kind(HTML)},
		{"html in UTF-16, big endian", utf16Text(page, true, be), kind(HTML)},
		{"html in UTF-16 without a mark", utf16Text(page, false, le), kind(HTML)},
		{"html in UTF-16, big endian, without a mark", utf16Text(page, false, be), kind(HTML)},
		{"xml", []byte(`<?xml version="1.0"?><Error><Code>NoSuchKey</Code></Error>`), kind(HTML)},
		{"html comment", []byte("<!-- maintenance --><p>"), kind(HTML)},
		{"html with a raw byte", []byte("<html>\x00\x01\xfe"), kind(HTML)},
		{"text in UTF-8", long, kind(Text)},
		{"text in Latin-1", []byte("Die Aufnahme wurde gel\xf6scht, sagt M\xfcller."), kind(Text)},
		{"text in Latin-1 that begins as a frame does", []byte("\xff\xfb\xe4 est une lettre"), kind(Text)},
		{"text that begins as an ID3 tag does", []byte("ID3 is a tag"), kind(Text)},
		{"text that begins as AMR does", []byte(amrNarrow + "<nothing but printable characters>"), kind(Text)},
		{"text that begins as WAV does", []byte("RIFF    WAVEfmt     and so on"), kind(Text)},
		{"text of one byte", []byte("x"), kind(Text)},
		{"spaces", []byte(" \r\n "), kind(Text)},
		{"php warning", []byte("<br />\n<b>Warning</b>: fopen()"), kind(HTML)},
		{"less than", []byte("< 5 seconds"), kind(Text)},
	}
}

func binaryBodies() []bodyTest {
	var tests []bodyTest
	for name, body := range map[string][]byte{
		"a zero":                    {0},
		"zeros":                     make([]byte, 5000),
		"silence in mu-law":         bytes.Repeat([]byte{0xFF}, 5000),
		"random bytes":              noise(1, 200_000),
		"random behind a header":    join([]byte(convosoHeader), noise(2, 200_000)),
		"random behind two frames":  join(mpegFrames(convosoHeader, 576, 2), noise(3, 200_000)),
		"random behind ID3":         join(id3v2(50), noise(4, 100_000)),
		"random behind an ADTS one": join(adtsFrames(200, 1), noise(5, 100_000)),
		"one frame and a bit":       join(mpegFrames(convosoHeader, 576, 1), []byte{1, 2, 3}),
		"one frame and zeros":       join(mpegFrames(convosoHeader, 576, 1), make([]byte, 576)),
		"an archive with mp3":       join([]byte("PK\x03\x04\x0a\x00\x00\x00\x00\x00"), mpegFrames(convosoHeader, 576, 50)),
		"gzip":                      join([]byte{0x1f, 0x8b, 8, 0}, noise(6, 5000)),
		"amr with a bad frame":      join([]byte(amrNarrow), []byte{0xFF}, noise(7, 500)),
		"an ID3 tag alone":          id3v2(300),
	} {
		tests = append(tests, bodyTest{name, body, Result{}})
	}
	return tests
}

func allBodies() []bodyTest {
	var all []bodyTest
	for _, bodies := range [][]bodyTest{mp3Bodies(), containerBodies(), textBodies(), binaryBodies()} {
		all = append(all, bodies...)
	}
	return all
}

// TestInspector judges every body whole and in pieces of many sizes.
func TestInspector(t *testing.T) {
	sizes := []int{0, 1, 2, 3, 7, 13, 64, 511, 512, 513, 575, 576, 577, 4096}
	for _, test := range allBodies() {
		t.Run(test.name, func(t *testing.T) {
			for _, size := range sizes {
				if got := inspect(test.body, size); got != test.want {
					t.Errorf("in pieces of %d: got %+v, want %+v", size, got, test.want)
				}
			}
		})
	}
}

// TestCut cuts every audio body short at every place near a boundary and many
// others: never may it be called whole where its format can tell, nor be text.
func TestCut(t *testing.T) {
	type cutTest struct {
		name   string
		body   []byte
		silent func(at int) bool // places where a cut cannot be seen
	}
	never := func(int) bool { return false }
	wave := riff(chunk("fmt ", pcm8k), chunk("data", quiet(5000)))
	tests := []cutTest{
		{"mp3", mpegFrames(convosoHeader, 576, 6), func(at int) bool { return at%576 == 0 }},
		{"mp3 behind ID3v2", join(id3v2(100), mpegFrames(convosoHeader, 576, 6)), func(at int) bool { return (at-110)%576 == 0 }},
		{"aac", adtsFrames(300, 6), func(at int) bool { return at%300 == 0 }},
		{"wav", wave, never},
		{"wav with a list", riff(chunk("fmt ", pcm8k), chunk("data", quiet(5000)), chunk("LIST", quiet(40))), never},
		{"ogg", oggOpus(1), never},
		{"mp4", join(ftyp, box("mdat", quiet(5000)), moov("soun", 0)), never},
		{"mp4 with its index first", join(ftyp, moov("soun", 0), box("mdat", quiet(5000))), never},
		{"au", auFile(27, 8000, 5000), never},
		{"amr", amrFile(amrNarrow, 0x3C, 32, 60), func(at int) bool { return (at-6)%32 == 0 }},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			for at := 1; at < len(test.body); at++ {
				got := inspect(test.body[:at], 0)
				isWhole := got.Verdict == Audio && !got.LastFrameBroken && got.ContainerMismatch == ""
				if isWhole != test.silent(at) && (isWhole || at > 2*HeadSize+576) {
					t.Fatalf("cut at %d of %d: %+v", at, len(test.body), got)
				}
				if again := inspect(test.body[:at], 1+at%97); again != got {
					t.Fatalf("cut at %d in pieces: %+v, whole: %+v", at, again, got)
				}
			}
		})
	}
}

// TestHead tells text as soon as HeadSize bytes have come, and no sooner.
func TestHead(t *testing.T) {
	long := append([]byte(page), bytes.Repeat([]byte("<p>more</p>"), 100)...)
	for _, test := range []struct {
		name string
		body []byte
		text bool
	}{
		{"html", long, true},
		{"json", append([]byte(`{"text":"`), bytes.Repeat([]byte("x"), 1000)...), true},
		{"mp3", mpegFrames(convosoHeader, 576, 3), false},
		{"wav", riff(chunk("fmt ", pcm8k), chunk("data", quiet(5000))), false},
	} {
		t.Run(test.name, func(t *testing.T) {
			i := NewInspector()
			_, _ = i.Write(test.body[:HeadSize-1])
			if _, ok := i.Head(); ok || i.IsText() {
				t.Errorf("decided after %d bytes", HeadSize-1)
			}
			_, _ = i.Write(test.body[HeadSize-1 : HeadSize])
			verdict, ok := i.Head()
			if !ok || i.IsText() != test.text || (verdict != Unknown) != test.text {
				t.Errorf("after %d bytes: %v, %v, text %v", HeadSize, verdict, ok, i.IsText())
			}
		})
	}
}

func TestShortTextIsKnownAtTheEnd(t *testing.T) {
	i := NewInspector()
	_, _ = i.Write([]byte(notFound))
	if i.IsText() {
		t.Error("decided before the end")
	}
	if got := i.Finish(); !i.IsText() || !got.NotFound {
		t.Errorf("after the end: %+v, text %v", got, i.IsText())
	}
}

func TestFinishTwice(t *testing.T) {
	i := NewInspector()
	_, _ = i.Write(mpegFrames(convosoHeader, 576, 3)[:1700])
	first := i.Finish()
	if n, err := i.Write([]byte("x")); n != 0 || err == nil {
		t.Errorf("write after the end: %d, %v", n, err)
	}
	if again := i.Finish(); again != first {
		t.Errorf("got %+v, before %+v", again, first)
	}
}

// TestRandomIsNoAudio gives random bodies the starts that formats have.
func TestRandomIsNoAudio(t *testing.T) {
	for seed := range uint64(400) {
		for _, start := range []string{"", "\xff\xfb\x90\x64", convosoHeader, "\xff\xf1\x6c\x40\x19\x1f\xfc", "\xff\xfb\x00\x64", "\xff\xfe", amrNarrow} {
			body := append([]byte(start), noise(seed, 20_000)...)
			if got := inspect(body, 0); got.Verdict != Unknown {
				t.Fatalf("start %x, seed %d: %+v", start, seed, got)
			}
		}
	}
}

func TestFormats(t *testing.T) {
	for format, want := range map[Format]string{
		MP3: "audio/mpeg .mp3", AAC: "audio/aac .aac", WAV: "audio/wav .wav", Ogg: "audio/ogg .ogg", FLAC: "audio/flac .flac",
		MP4: "audio/mp4 .m4a", AMR: "audio/amr .amr", AU: "audio/basic .au", "": "application/octet-stream ",
	} {
		if got := format.ContentType() + " " + format.Extension(); got != want {
			t.Errorf("%q: got %q, want %q", format, got, want)
		}
	}
}

func TestVerdictNames(t *testing.T) {
	want := "[unknown audio empty html json text invalid]"
	if got := fmt.Sprint([]Verdict{Unknown, Audio, Empty, HTML, JSON, Text, 9}); got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}
