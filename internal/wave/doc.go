// Package wave decodes telephone audio that browsers refuse into PCM WAV.
//
// [Sniff] tells by a recording's start whether browsers play it as it is, whether a
// [Reader] makes a WAV file of it that they play, or neither. A Reader decodes while it
// is read and can be sought in, so that a server can answer range requests with it.
// It holds one block, whatever the recording's length; its input may be anything.
//
// Decoded are GSM 06.10 and IMA ADPCM in WAV, and Sun audio with mu-law, A-law or PCM
// samples of 8 and 16 bits.
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
