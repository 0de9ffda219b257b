// Package audio recognises recordings by their bytes while they stream past, and distinguishes them from the error
// pages that servers send instead.
//
// An [Inspector] sees a whole body in pieces of any size, keeps a few kilobytes regardless of the body's length, and
// reads only headers: it steps from frame to frame, page to page or chunk to chunk and never decodes. The result does
// not depend on how the body was split into pieces.
//
// A body that starts like audio is audio. Anomalies inside it, such as an incomplete last frame or a header with
// another length, are listed in [Result.Oddities] and do not change the verdict. Text is never treated as audio,
// because an error page stored as a recording hides a loss.
//
// Formats differ in how they show their end:
//
//	mp3, aac, amr  a cut inside a frame, not one between two frames
//	wav, au, mp4   any cut, unless the header was written to a pipe and states no length
//	ogg            any cut: the last page is marked
//	flac           no cut behind its header: frames hold no length
//
// If a format cannot show its end, [Result.Whole] is false.
//
// Facts of the formats are from these documents:
//
//   - MPEG audio: ISO/IEC 11172-3 and 13818-3, 2.4.2.3; MPEG-2.5 as in libavformat
//     mpegaudiodecheader.c and minimp3; which bits of the header stay the same in a
//     stream as in libavformat mp3dec.c, SAME_HEADER_MASK
//   - AAC in ADTS: ISO/IEC 13818-7, 6.2
//   - ID3v2: id3.org/id3v2.4.0-structure, 3.1 and 3.4; ID3v1: id3.org/ID3v1
//   - WAV: Microsoft and IBM, "Multimedia Programming Interface and Data
//     Specifications 1.0"; RF64 and BW64: EBU Tech 3306
//   - Ogg: RFC 3533; Opus in it: RFC 7845; Vorbis, Speex and FLAC in it: xiph.org
//   - FLAC: RFC 9639
//   - MP4: ISO/IEC 14496-12, 4.2, 4.3, 8.2.2, 8.4.3
//   - AMR: RFC 4867, 5; frame sizes: 3GPP TS 26.101 and 26.201
//   - AU: Sun's audio(4) and audio.h
package audio
