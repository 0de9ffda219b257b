// Detects from the first bytes whether a browser plays a recording.

package wave

import (
	"bytes"
	"errors"
)

// HeadSize is the number of bytes at a recording's start that Sniff needs, or fewer for a shorter
// recording.
const HeadSize = 4096

// Support says how a recording can be played.
type Support int

// The kinds of support.
const (
	// Unknown is neither of the two below.
	Unknown Support = iota
	// Plays is a format that current browsers play as it is.
	Plays
	// Decodes is a format that browsers refuse and a [Reader] decodes.
	Decodes
)

// Sniff detects the support from a recording's start. It checks only headers: damaged audio after
// them may not play.
func Sniff(head []byte) Support {
	has := func(at int, magic string) bool {
		return len(head) >= at+len(magic) && string(head[at:at+len(magic)]) == magic
	}
	switch {
	case has(0, "RIFF") && has(8, "WAVE"):
		return sniffWAV(head)
	case has(0, ".snd"):
		if _, err := parseAU(bytes.NewReader(head), int64(len(head))); err != nil && !errors.Is(err, errNoSound) {
			return Unknown
		}
		return Decodes
	case has(0, "OggS"):
		return playsIf(len(head) > 28 && hasBrowserCodec(head[27+1:]))
	case has(0, "\x1aE\xdf\xa3"):
		return playsIf(bytes.Contains(head[:min(len(head), 64)], []byte("webm")))
	case has(4, "ftyp"):
		return playsIf(!has(8, "3g")) // these usually contain AMR
	case has(0, "fLaC"), has(0, "ID3"):
		return Plays
	}
	return playsIf(startsFrame(head))
}

func playsIf(yes bool) Support {
	if yes {
		return Plays
	}
	return Unknown
}

// hasBrowserCodec reports whether the first packet of an Ogg stream, which has its own page with
// one lace, is of a codec that browsers support: they lack Speex.
func hasBrowserCodec(packet []byte) bool {
	for _, magic := range []string{"OpusHead", "\x01vorbis", "\x7fFLAC"} {
		if bytes.HasPrefix(packet, []byte(magic)) {
			return true
		}
	}
	return false
}

// startsFrame reports whether head starts with a header of MPEG audio layer III, or of AAC in ADTS.
func startsFrame(head []byte) bool {
	if len(head) < 4 || head[0] != 0xff || head[1]&0xe0 != 0xe0 {
		return false
	}
	const reserved, layer3 = 1, 1
	version, layer := head[1]>>3&3, head[1]>>1&3
	bitRate, sampleRate := head[2]>>4, head[2]>>2&3
	adts := head[1]&0xf6 == 0xf0
	return adts || version != reserved && layer == layer3 && bitRate != 0 && bitRate != 15 && sampleRate != 3
}

func sniffWAV(head []byte) Support {
	chunks, err := walkWAV(bytes.NewReader(head), int64(len(head)))
	if err != nil || !chunks.hasFormat {
		return Unknown
	}
	switch chunks.format.tag {
	case tagPCM, tagFloat, tagALaw, tagULaw:
		return Plays
	}
	if _, err := chunks.format.codec(); err != nil {
		return Unknown
	}
	return Decodes
}
