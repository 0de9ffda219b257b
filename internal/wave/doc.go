// Package wave decodes telephone audio that browsers refuse into PCM WAV.
//
// [Sniff] detects from a recording's start whether browsers play it directly, whether a [Reader]
// can turn it into a WAV file that they play, or neither. A Reader decodes during reading and
// supports seeking, so a server can answer range requests with it. It keeps one block in memory,
// for any length; its input may be hostile.
//
// Decoded are GSM 06.10 and IMA ADPCM in WAV, and Sun audio with mu-law, A-law or PCM samples of 8
// and 16 bits.
//
// Facts of the formats are from these documents:
//
//   - GSM 06.10: ETSI EN 300 961, 5.3, whose arithmetic of 16 bits is followed bit by
//     bit; Microsoft's order of its bits in blocks of two frames: RFC 3555 does not
//     cover it, so as SoX and FFmpeg read it
//   - IMA ADPCM: IMA Digital Audio Focus and Technical Working Groups, "Recommended
//     Practices for Enhancing Digital Audio Compatibility", 3.0, 6; its blocks in WAV:
//     Microsoft, "New Multimedia Data Types and Data Techniques"
//   - WAV: Microsoft and IBM, "Multimedia Programming Interface and Data
//     Specifications 1.0"
//   - AU: Sun's audio(4); mu-law and A-law: ITU-T G.711
package wave
