package audio

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"testing"
	"time"
)

// inspect judges a body given in pieces of size bytes, or whole if size is 0.
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

// whole is the result for one whole recording.
func whole(f Format, d time.Duration) Result {
	return Result{Verdict: Audio, Format: f, Duration: d, Whole: true}
}

// odd is the result for audio with oddities, or of a format that cannot show its end.
func odd(f Format, d time.Duration, oddities ...string) Result {
	return Result{Verdict: Audio, Format: f, Duration: d, Oddities: oddities}
}

// cut is the result for audio that breaks off.
func cut(f Format, d time.Duration, oddities ...string) Result {
	r := odd(f, d, oddities...)
	r.Cut = true
	return r
}

func mp3Bodies() []bodyTest {
	convoso := func(n int) []byte { return mpegFrames(convosoHeader, 576, n) }
	second := whole(MP3, 720*time.Millisecond)
	short, garbage := 720*time.Millisecond, quiet(100)
	strayed, front := odd(MP3, short, oddStray), whole(MP3, short)
	front.Oddities = []string{oddFront}
	vbr := join(frameOf("\xff\xfb\x90\x64", 417), frameOf("\xff\xfb\xb2\x64", 627), frameOf("\xff\xfa\x50\x64", 208))
	return []bodyTest{
		{"mp3 as real recordings", convoso(10), second},
		{"mp3 of one frame", convoso(1), whole(MP3, 72*time.Millisecond)},
		{"mp3 of two frames", convoso(2), whole(MP3, 144*time.Millisecond)},
		{"mp3 behind ID3v2", join(id3v2(1000), convoso(10)), second},
		{"mp3 of one frame behind ID3v2", join(id3v2(20), convoso(1)), whole(MP3, 72*time.Millisecond)},
		{"mp3 before ID3v1", join(convoso(10), id3v1()), second},
		{"mp3 with zeros behind", join(convoso(10), make([]byte, 3000)), strayed},
		{"mp3 with many zeros behind", join(convoso(10), make([]byte, 30000)), strayed},
		{"mp3 with zeros before", join(make([]byte, 3000), convoso(10)), strayed},
		{"mp3 with garbage between", join(convoso(5), garbage, convoso(5)), strayed},
		{"mp3 begun inside a frame", join(garbage, convoso(10)), strayed},
		{"mp3 before a line feed", join(convoso(10), []byte("\n")), strayed},
		{"mp3 behind a byte order mark", join([]byte(utf8Mark), convoso(10)), front},
		{"mp3 behind marks and blank lines", join([]byte("\n"+utf8Mark+"\r\n"+utf8Mark), convoso(10)), front},
		{"mp3 behind a mark and ID3v2", join([]byte(utf8Mark), id3v2(1000), convoso(10)), front},
		{"mp3 with a broken header", join(convoso(1), []byte{1, 2, 3, 4}, convoso(1)[4:], convoso(10)), strayed},
		{"random behind two frames", join(convoso(2), noise(3, 200_000)), odd(MP3, 144*time.Millisecond, oddStray)},
		{"a page behind two frames", join(convoso(2), []byte(page)), odd(MP3, 144*time.Millisecond, oddStray)},
		{"one frame and a bit", join(convoso(1), []byte{1, 2, 3}), odd(MP3, 72*time.Millisecond, oddStray)},
		{"random behind ID3v2", join(id3v2(50), noise(4, 100_000)), odd(MP3, 0, oddNoSound, oddStray)},
		{"ID3v2 alone", id3v2(300), odd(MP3, 0, oddNoSound)},
		{"ID3v2 cut", id3v2(3000)[:2000], cut(MP3, 0, oddNoSound, oddShort)},
		{"mp3 of two files", join(convoso(5), id3v1(), id3v2(90), convoso(5)), second},
		{"mp3 of 44.1 kHz, variable bit rate", vbr, whole(MP3, 3*1152*time.Second/44100)},
		{"layer I", mpegFrames("\xff\xff\x14\xc4", 32, 5), whole(MP3, 5*8*time.Millisecond)},
		{"layer II", mpegFrames("\xff\xfd\x14\xc4", 96, 5), whole(MP3, 5*24*time.Millisecond)},
		{"MPEG-2 layer III", mpegFrames("\xff\xf3\x48\xc4", 144, 5), whole(MP3, 5*36*time.Millisecond)},
		{"aac", adtsFrames(200, 10), whole(AAC, 10*128*time.Millisecond)},
		{"aac behind ID3v2", join(id3v2(70), adtsFrames(200, 10)), whole(AAC, 10*128*time.Millisecond)},
		{"mp3 cut in a frame", convoso(11)[:10*576+100], cut(MP3, short, oddFrame)},
		{"mp3 cut in a header", convoso(11)[:10*576+1], cut(MP3, short, oddFrame)},
		{"aac cut in a frame", adtsFrames(200, 11)[:2199], cut(AAC, 10*128*time.Millisecond, oddFrame)},
		{"mp3 cut in its first frame", convoso(1)[:575], cut(MP3, 0, oddFrame)},
	}
}

func containerBodies() []bodyTest {
	samples := quiet(16000)
	wave := riff(chunk("fmt ", pcm8k), chunk("data", samples))
	list := chunk("LIST", quiet(31))
	wide := "\x24" // type 4
	padless := Result{Verdict: Audio, Format: WAV, Duration: time.Second, Whole: true, Oddities: []string{oddNoPad}}
	streamedAU := auFile(1, 8000, 16000)
	binary.BigEndian.PutUint32(streamedAU[8:], 1<<32-1)
	patched := func(at int, v uint32) []byte { return withUint32(wave, at, v) }
	return []bodyTest{
		{"wav", wave, whole(WAV, time.Second)},
		{"wav of mu-law", riff(chunk("fmt ", append(wavFmt(7, 1, 8000, 8000, 1, 8), 0, 0)), chunk("fact", samples[:4]), chunk("data", samples)), whole(WAV, 2*time.Second)},
		{"wav of GSM", riff(chunk("fmt ", append(wavFmt(0x31, 1, 8000, 1625, 65, 0), 2, 0, 0x40, 1)), chunk("data", samples[:3250])), whole(WAV, 2*time.Second)},
		{"wav with odd chunks", riff(chunk("JUNK", quiet(3)), chunk("fmt ", pcm8k), list, chunk("data", samples), list), whole(WAV, time.Second)},
		{"wav of odd size", riff(chunk("fmt ", wavFmt(7, 1, 8000, 8000, 1, 8)), chunk("data", samples[:8001])), whole(WAV, time.Second+125*time.Microsecond)},
		{"wav without its last pad byte", riff(chunk("fmt ", wavFmt(7, 1, 8000, 8000, 1, 8)), chunk("data", samples[:8001]))[:44+8001], whole(WAV, time.Second+125*time.Microsecond)},
		{"wav without a byte rate", riff(chunk("fmt ", wavFmt(1, 1, 8000, 0, 2, 16)), chunk("data", samples)), whole(WAV, time.Second)},
		{"wav with something behind", join(wave, id3v1()), odd(WAV, time.Second, oddLong)},
		{"wav with samples behind", join(wave, quiet(40000)), odd(WAV, time.Second, oddLong)},
		{"wav that counts its header", patched(4, uint32(len(wave))), whole(WAV, time.Second)},
		{"wav that counts its header as data", patched(40, uint32(len(wave))), cut(WAV, time.Second, oddShort)},
		{"wav with a header of more", withUint32(patched(4, 960036), 40, 960000), cut(WAV, time.Second, oddShort)},
		{"wav with a header of less", withUint32(patched(4, 1036), 40, 1000), odd(WAV, 62500*time.Microsecond, oddLong)},
		{"wav with a file size of nothing", patched(4, 4), odd(WAV, time.Second, oddLong)},
		{"wav whose header was not completed", withUint32(patched(4, 36), 40, 0), odd(WAV, time.Second, oddLong)},
		{"wav streamed, sizes 0", withUint32(patched(4, 0), 40, 0), odd(WAV, time.Second)},
		{"wav streamed by FFmpeg", withUint32(patched(4, 1<<32-1), 40, 1<<32-1), odd(WAV, time.Second)},
		{"wav streamed by SoX", withUint32(patched(4, streamSize+36), 40, streamSize), odd(WAV, time.Second)},
		{"wav behind a mark", join([]byte(utf8Mark), wave), Result{Verdict: Audio, Format: WAV, Duration: time.Second, Whole: true, Oddities: []string{oddFront}}},
		{"wav without pad bytes", riff(list[:39], chunk("fmt ", pcm8k), chunk("JUNK", quiet(3))[:11], chunk("data", samples)), padless},
		{"wav of odd size before a list, without its pad byte", riff(chunk("fmt ", wavFmt(7, 1, 8000, 8000, 1, 8)), chunk("data", samples[:8001])[:8009], list),
			Result{Verdict: Audio, Format: WAV, Duration: time.Second + 125*time.Microsecond, Whole: true, Oddities: []string{oddNoPad}}},
		{"wav without a format", riff(chunk("data", samples)), odd(WAV, 0, oddHeader)},
		{"wav with a damaged chunk", riff(chunk("fmt ", pcm8k), []byte{1, 2, 3, 4, 5, 6, 7, 8}, chunk("data", samples)), odd(WAV, 0, oddNoSound)},
		{"wav cut in its samples", riff(chunk("fmt ", pcm8k), chunk("data", quiet(32000)))[:44+16000], cut(WAV, time.Second, oddShort)},
		{"wav cut behind its samples", riff(chunk("fmt ", pcm8k), chunk("data", samples), list)[:len(wave)+20], cut(WAV, time.Second, oddShort)},
		{"wav cut between chunks", riff(chunk("fmt ", pcm8k), chunk("data", samples), list)[:len(wave)], cut(WAV, time.Second, oddShort)},
		{"wav cut before its samples", wave[:44], cut(WAV, 0, oddShort)},
		{"wav cut in its format", wave[:30], cut(WAV, 0, oddShort)},
		{"wav without samples", riff(chunk("fmt ", pcm8k), chunk("data", nil)), odd(WAV, 0, oddNoSound)},
		{"rf64", rf64(16000), odd(WAV, time.Second)},
		{"avi", append([]byte("RIFF\xf8\x7d\x01\x00AVI LIST"), samples...), Result{}},

		{"opus", oggOpus(5), whole(Ogg, 3*time.Second)},
		{"opus of two files", join(oggOpus(5), oggOpus(6)), whole(Ogg, 6*time.Second)},
		{"vorbis", oggOther(vorbisHead(8000), 12000), whole(Ogg, 1500*time.Millisecond)},
		{"speex", oggOther(speexHead(16000), 16000), whole(Ogg, time.Second)},
		{"opus cut in a page", oggOpus(5)[:len(oggOpus(5))-1], cut(Ogg, 3*time.Second, oddPage)},
		{"opus cut between pages", oggOpus(5)[:len(oggOpus(5))-1000-27-4], cut(Ogg, time.Second-312*time.Second/48000, oddLastPage)},
		{"opus with something behind", join(oggOpus(5), id3v1()), odd(Ogg, 3*time.Second, oddStray)},
		{"ogg begun behind its first page", oggOpus(5)[47:], odd(Ogg, 0, oddHeader)},
		{"ogg of something else", oggOther([]byte("\x80theora and more"), 100), Result{}},

		{"mp4", join(ftyp, moov("soun"), box("mdat", samples)), whole(MP4, 2500*time.Millisecond)},
		{"mp4 with its index last", join(ftyp, box("mdat", samples), moov("soun")), whole(MP4, 2500*time.Millisecond)},
		{"mp4 with a long box", join(ftyp, longBox("mdat", samples), moov("soun")), odd(MP4, 0)},
		{"mp4 with an open end", join(ftyp, moov("soun"), []byte("\x00\x00\x00\x00mdat"), samples), odd(MP4, 2500*time.Millisecond)},
		{"mp4 cut", join(ftyp, moov("soun"), box("mdat", samples)[:9000]), cut(MP4, 2500*time.Millisecond, oddShort)},
		{"mp4 cut before its index", join(ftyp, box("mdat", samples)[:9000]), cut(MP4, 0, oddShort)},
		{"mp4 without its index", join(ftyp, box("mdat", samples)), cut(MP4, 0, oddIndex)},
		{"mp4 without sound", join(ftyp, moov("vide"), box("mdat", samples)), Result{}},
		{"picture in mp4 boxes", join(box("ftyp", []byte("heic\x00\x00\x00\x00mif1heic")), box("meta", quiet(500)), box("mdat", samples)), Result{}},

		{"flac", flacFile(12000), odd(FLAC, 1500*time.Millisecond)},
		{"flac streamed", flacFile(0), odd(FLAC, 0)},
		{"flac cut in its header", flacFile(12000)[:30], cut(FLAC, 0, oddShort)},
		{"flac with a damaged header", join([]byte("fLaC"), noise(8, 5000)), odd(FLAC, 0, oddHeader)},
		{"au", auFile(1, 8000, 16000), whole(AU, 2*time.Second)},
		{"au streamed", streamedAU, odd(AU, 2*time.Second)},
		{"au cut", auFile(1, 8000, 16000)[:8028], cut(AU, time.Second, oddShort)},
		{"au with a header of less", join(auFile(1, 8000, 8000), samples), odd(AU, time.Second, oddLong)},
		{"au with a damaged header", join([]byte(".snd"), make([]byte, 4), noise(8, 5000)), odd(AU, 0, oddHeader)},
		{"amr", amrFile(amrNarrow, 0x3C, 32, 50), whole(AMR, time.Second)},
		{"amr wide band", amrFile(amrWide, wide[0], 41, 50), whole(AMR, time.Second)},
		{"amr cut", amrFile(amrNarrow, 0x3C, 32, 51)[:6+51*32-1], cut(AMR, time.Second, oddFrame)},
		{"amr with a bad frame", join([]byte(amrNarrow), []byte{0xFF}, noise(7, 500)), odd(AMR, 0, oddNoSound, oddStray)},
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
		"random behind an ADTS one": join(adtsFrames(200, 1), noise(5, 100_000)),
		"one frame and zeros":       join(mpegFrames(convosoHeader, 576, 1), make([]byte, 576)),
		"an archive with mp3":       join([]byte("PK\x03\x04\x0a\x00\x00\x00\x00\x00"), mpegFrames(convosoHeader, 576, 50)),
		"gzip":                      join([]byte{0x1f, 0x8b, 8, 0}, noise(6, 5000)),
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
				if got := inspect(test.body, size); !reflect.DeepEqual(got, test.want) {
					t.Errorf("in pieces of %d: got %+v, want %+v", size, got, test.want)
				}
			}
		})
	}
}

// TestCut truncates every audio body at every position near a boundary and many others: it must not
// be whole if its format can tell, nor be text.
func TestCut(t *testing.T) {
	type cutTest struct {
		name   string
		body   []byte
		silent func(at int) bool // positions where a truncation is undetectable
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
		{"mp4", join(ftyp, box("mdat", quiet(5000)), moov("soun")), never},
		{"mp4 with its index first", join(ftyp, moov("soun"), box("mdat", quiet(5000))), never},
		{"au", auFile(27, 8000, 5000), never},
		{"amr", amrFile(amrNarrow, 0x3C, 32, 60), func(at int) bool { return (at-6)%32 == 0 }},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			for at := 1; at < len(test.body); at++ {
				got := inspect(test.body[:at], 0)
				if got.Whole != test.silent(at) && (got.Whole || at > 2*HeadSize+576) {
					t.Fatalf("cut at %d of %d: %+v", at, len(test.body), got)
				}
				if !got.Whole && at > 2*HeadSize && (got.Verdict != Audio || len(got.Oddities) == 0) {
					t.Fatalf("cut at %d of %d, which begins like audio: %+v", at, len(test.body), got)
				}
				if again := inspect(test.body[:at], 1+at%97); !reflect.DeepEqual(again, got) {
					t.Fatalf("cut at %d in pieces: %+v, whole: %+v", at, again, got)
				}
			}
		})
	}
}

// TestTextIsKnownEarly recognises text after exactly HeadSize bytes.
func TestTextIsKnownEarly(t *testing.T) {
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
			if i.IsText() {
				t.Errorf("decided after %d bytes", HeadSize-1)
			}
			_, _ = i.Write(test.body[HeadSize-1 : HeadSize])
			if i.IsText() != test.text {
				t.Errorf("after %d bytes: text %v", HeadSize, i.IsText())
			}
		})
	}
}

// TestIsAudio checks the first 64 KiB of bodies, like a witness.
func TestIsAudio(t *testing.T) {
	const start = 64 << 10
	for _, test := range []struct {
		name string
		body []byte
		want bool
	}{
		{"mp3", mpegFrames(convosoHeader, 576, 2000), true},
		{"mp3 behind a mark", join([]byte(utf8Mark), mpegFrames(convosoHeader, 576, 2000)), true},
		{"mp3 behind a large picture", join(id3v2(16000), bytes.Repeat(id3v2(16000), 10), mpegFrames(convosoHeader, 576, 10)), true},
		{"short mp3", mpegFrames(convosoHeader, 576, 2), true},
		{"wav", riff(chunk("fmt ", pcm8k), chunk("data", quiet(200_000))), true},
		{"wav behind a long chunk", riff(chunk("JUNK", quiet(100_000)), chunk("fmt ", pcm8k), chunk("data", quiet(20_000))), true},
		{"mp4 with its index last", join(ftyp, box("mdat", quiet(200_000)), moov("soun")), true},
		{"ogg", oggOpus(1), true},
		{"html", bytes.Repeat([]byte(page), 1000), false},
		{"json", []byte(notFound), false},
		{"nothing", nil, false},
		{"random", noise(9, 200_000), false},
		{"picture", join([]byte("\x89PNG\r\n\x1a\n"), noise(10, 200_000)), false},
	} {
		t.Run(test.name, func(t *testing.T) {
			if got := IsAudio(test.body[:min(start, len(test.body))]); got != test.want {
				t.Errorf("got %v, want %v", got, test.want)
			}
		})
	}
}

// TestCases inspects known bodies of vendors' recorders: each is audio with an oddity.
func TestCases(t *testing.T) {
	second := time.Second
	for name, want := range map[string]Result{
		"data-size-is-file-size.wav": cut(WAV, second, oddShort),
		"header-of-60-s.wav":         cut(WAV, second, oddShort),
		"odd-list-without-pad.wav":   {Verdict: Audio, Format: WAV, Duration: second, Whole: true, Oddities: []string{oddNoPad}},
		"mp3-behind-bom.mp3":         {Verdict: Audio, Format: MP3, Duration: 87 * 72 * time.Millisecond, Whole: true, Oddities: []string{oddFront}},
	} {
		t.Run(name, func(t *testing.T) {
			body, err := os.ReadFile(filepath.Join("testdata", "cases", name))
			if err != nil {
				t.Fatal(err)
			}
			for _, size := range []int{0, 1, 10, 4096} {
				if got := inspect(body, size); !reflect.DeepEqual(got, want) {
					t.Errorf("in pieces of %d: got %+v, want %+v", size, got, want)
				}
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
	if again := i.Finish(); !reflect.DeepEqual(again, first) {
		t.Errorf("got %+v, before %+v", again, first)
	}
}

// TestRandomIsNoAudio gives random bodies the magic numbers of formats.
func TestRandomIsNoAudio(t *testing.T) {
	for seed := range uint64(400) {
		for _, start := range []string{"", "\xff\xfb\x90\x64", convosoHeader, "\xff\xf1\x6c\x40\x19\x1f\xfc", "\xff\xfb\x00\x64", "\xff\xfe"} {
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
