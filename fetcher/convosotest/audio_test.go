package convosotest_test

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"testing"
	"testing/iotest"
	"time"

	"convoso-archiver/fetcher/convosotest"
)

// Real recordings begin with ff e3 88 c4, and consist of frames of 576 bytes. The simulator's
// frames are independent of earlier ones, and contain no other sync word.
func TestFramesStandWhereTheyShould(t *testing.T) {
	server := start(t, convosotest.Config{RecordedShare: 1})
	for r := range server.Recordings() {
		content, err := io.ReadAll(r.Body())
		if err != nil {
			t.Fatal(err)
		}
		header := []byte{0xff, 0xe3, 0x88, 0xc4}
		frames := len(content) / 576
		mustBe(t, "bytes after the last frame", len(content)%576, 0)
		mustBe(t, "sync words", bytes.Count(content, header[:2])+bytes.Count(content, []byte{0xff, 0xe2}), frames)
		for at := 0; at < len(content); at += 576 {
			if !bytes.HasPrefix(content[at:], header) {
				t.Fatalf("recording %s: no frame at %d", r.Ref, at)
			}
			mustBe(t, "bytes of earlier frames", content[at+4], 0)
		}
	}
}

func TestOtherKindsAreWellFormed(t *testing.T) {
	server := start(t, convosotest.Config{RecordedShare: 1, Oddities: convosotest.Oddities{OtherKinds: true}})
	count := map[convosotest.Kind]int{}
	for r := range server.Recordings() {
		count[r.Kind]++
		content, err := io.ReadAll(r.Body())
		if err != nil {
			t.Fatal(err)
		}
		mustBe(t, "size", int64(len(content)), r.Size)
		be := binary.BigEndian
		switch r.Kind {
		case convosotest.KindWAV:
			checkWAV(t, r, content, 1, 16000)
		case convosotest.KindULaw:
			checkWAV(t, r, content, 7, 8000)
		case convosotest.KindGSM:
			checkWAV(t, r, content, 0x31, 1625)
		case convosotest.KindADPCM:
			checkWAV(t, r, content, 0x11, 4055)
		case convosotest.KindAU:
			offset, size := int64(be.Uint32(content[4:])), int64(be.Uint32(content[8:]))
			mustBe(t, "size by the header", offset+size, r.Size)
			mustBe(t, "duration", r.Duration(), time.Duration(size)*time.Second/8000)
		case convosotest.KindID3:
			size := int(content[8])<<7 | int(content[9])
			mustBe(t, "frame after the tag", string(content[10+size:14+size]), "\xff\xe3\x88\xc4")
		case convosotest.KindOgg:
			checkOgg(t, content)
		case convosotest.KindMP3:
			mustBe(t, "duration", r.Duration(), time.Duration(r.Size)*time.Second/8000)
		}
	}
	mustBe(t, "kinds", fmt.Sprint(count), "map[au:1 id3:2 mp3:88 ogg:2 wav:2 wav-adpcm:1 wav-gsm:2 wav-ulaw:2]")
}

// checkWAV walks the chunks of a WAV file.
func checkWAV(t *testing.T, r convosotest.Recording, content []byte, tag uint16, byteRate uint32) {
	t.Helper()
	le := binary.LittleEndian
	mustBe(t, "magic", string(content[:4])+string(content[8:12]), "RIFFWAVE")
	mustBe(t, "RIFF size", int(le.Uint32(content[4:]))+8, len(content))
	chunks := map[string][]byte{}
	for rest := content[12:]; len(rest) > 0; {
		size := le.Uint32(rest[4:])
		mustBe(t, "odd size", size%2, 0)
		chunks[string(rest[:4])] = rest[8 : 8+size]
		rest = rest[8+size:]
	}
	format := chunks["fmt "]
	mustBe(t, "format tag", le.Uint16(format), tag)
	mustBe(t, "bytes a second", le.Uint32(format[8:]), byteRate)
	blocks := len(chunks["data"]) / int(le.Uint16(format[12:]))
	mustBe(t, "whole blocks", blocks*int(le.Uint16(format[12:])), len(chunks["data"]))
	samples := blocks
	if len(format) > 18 {
		samples *= int(le.Uint16(format[18:]))
	}
	mustBe(t, "duration", r.Duration(), time.Duration(samples)*time.Second/8000)
	if fact, ok := chunks["fact"]; ok || tag != 1 {
		mustBe(t, "samples", int(le.Uint32(fact)), samples)
	}
}

// checkOgg walks the pages of an Ogg file.
func checkOgg(t *testing.T, content []byte) {
	t.Helper()
	flags := byte(0)
	for n := uint32(0); len(content) > 0; n++ {
		if !bytes.HasPrefix(content, []byte("OggS\x00")) {
			t.Fatalf("no page at number %d", n)
		}
		flags = content[5]
		mustBe(t, "page number", binary.LittleEndian.Uint32(content[18:]), n)
		size := 27 + int(content[26])
		for _, lace := range content[27:size] {
			size += int(lace)
		}
		content = content[size:]
	}
	mustBe(t, "flags of the last page", flags, 4)
}

func TestBodyIsAReader(t *testing.T) {
	for _, kind := range []bool{false, true} {
		server := start(t, convosotest.Config{RecordedShare: 1, MaxSize: 30_000, Oddities: convosotest.Oddities{OtherKinds: kind}})
		for r := range server.Recordings() {
			content, err := io.ReadAll(r.Body())
			if err != nil {
				t.Fatal(err)
			}
			if err := iotest.TestReader(r.Body(), content); err != nil {
				t.Fatalf("recording %s of kind %s: %v", r.Ref, r.Kind, err)
			}
		}
	}
}
