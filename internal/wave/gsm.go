// Decodes GSM 06.10.

package wave

import "encoding/binary"

const (
	gsmBlockSize = 65  // bytes of two frames
	gsmFrame     = 160 // samples
	gsmSubframe  = 40  // samples
	gsmMaxLag    = 120 // maximum reach of long term prediction in samples
	gsmPulses    = 13  // per subframe

	// gsmRunUp is the number of blocks, ten seconds, that are decoded before the requested one. A
	// decoder that starts there reaches the same samples as one that decodes everything, unless the
	// encoder depends on the preceding sound without limit.
	gsmRunUp = 250
)

func gsmCodec(rate uint32) codec {
	decoder := newGSMDecoder()
	return codec{
		rate: rate, channels: 1, blockSize: gsmBlockSize, runUp: gsmRunUp,
		reset: func() { *decoder = *newGSMDecoder() },
		decode: func(dst, src []byte) {
			bits := bitReader{src: src}
			decoder.frame(dst[:2*gsmFrame], &bits)
			decoder.frame(dst[2*gsmFrame:], &bits)
		},
		decodedSize: func(size int) int { return size / gsmBlockSize * 2 * gsmFrame * 2 },
	}
}

// The tables of the standard, with the standard's names.
var (
	gsmLARBits = [8]int{6, 6, 5, 5, 4, 4, 3, 3}
	gsmMIC     = [8]int16{-32, -32, -16, -16, -8, -8, -4, -4}
	gsmB       = [8]int16{0, 0, 2048, -2560, 94, -1792, -341, -1144}
	gsmINVA    = [8]int16{13107, 13107, 13107, 13107, 19223, 17476, 31454, 29708}
	gsmQLB     = [4]int16{3277, 11469, 21299, 32767}
	gsmFAC     = [8]int16{18431, 20479, 22527, 24575, 26623, 28671, 30719, 32767}
)

// gsmDecoder is the decoder of GSM 06.10 with its memory.
type gsmDecoder struct {
	residual [gsmMaxLag + gsmSubframe]int16 // drp: the past, then the current subframe
	lag      int                            // nrp: of the last valid one
	lar      [8]int16                       // LARpp of the previous frame
	lattice  [9]int16                       // v: of the short term filter
	emphasis int16                          // msr: the last sample
}

func newGSMDecoder() *gsmDecoder { return &gsmDecoder{lag: gsmSubframe} }

// frame decodes 260 bits into samples of 16 bits.
func (d *gsmDecoder) frame(dst []byte, bits *bitReader) {
	var lar [8]int16
	for i := range lar {
		coded := int16(bits.take(gsmLARBits[i]))
		lar[i] = gsmDecodeLAR(coded, i)
	}
	var residual [gsmFrame]int16
	for k := 0; k < gsmFrame; k += gsmSubframe {
		d.subframe(residual[k:k+gsmSubframe], bits)
	}
	d.shortTerm(&residual, &lar)
	d.lar = lar
	for k, sample := range residual {
		const deemphasis, truncated = 28180, ^int16(7)
		d.emphasis = addSat(sample, mulRound(d.emphasis, deemphasis))
		binary.LittleEndian.PutUint16(dst[2*k:], uint16(addSat(d.emphasis, d.emphasis)&truncated))
	}
}

// gsmDecodeLAR decodes log area ratio number i.
func gsmDecodeLAR(coded int16, i int) int16 {
	v := subSat(addSat(coded, gsmMIC[i])<<10, gsmB[i]<<1)
	v = mulRound(gsmINVA[i], v)
	return addSat(v, v)
}

// subframe decodes the long term residual of 40 samples.
func (d *gsmDecoder) subframe(dst []int16, bits *bitReader) {
	lag, gain, grid, largest := bits.take(7), bits.take(2), bits.take(2), bits.take(6)
	if lag >= gsmSubframe && lag <= gsmMaxLag {
		d.lag = lag
	}
	now := d.residual[gsmMaxLag:]
	clear(now)
	exponent, mantissa := gsmScale(largest)
	for i := range gsmPulses {
		now[grid+3*i] = gsmPulse(bits.take(3), exponent, mantissa)
	}
	for k := range now {
		past := d.residual[gsmMaxLag+k-d.lag]
		now[k] = addSat(now[k], mulRound(gsmQLB[gain], past))
	}
	copy(dst, now)
	copy(d.residual[:gsmMaxLag], d.residual[gsmSubframe:])
}

// gsmScale splits the coded maximum of a block of pulses.
func gsmScale(coded int) (exponent, mantissa int) {
	if coded > 15 {
		exponent = coded>>3 - 1
	}
	mantissa = coded - exponent<<3
	if mantissa == 0 {
		return -4, 7
	}
	for mantissa <= 7 {
		mantissa = mantissa<<1 | 1
		exponent--
	}
	return exponent, mantissa - 8
}

// gsmPulse decodes a pulse.
func gsmPulse(coded, exponent, mantissa int) int16 {
	shift := 6 - exponent
	rounding := int16(0)
	if shift > 0 {
		rounding = 1 << (shift - 1)
	}
	v := mulRound(gsmFAC[mantissa], int16(2*coded-7)<<12)
	return addSat(v, rounding) >> shift
}

// shortTerm filters a frame. Its ratios are interpolated from those of the previous frame in three
// steps.
func (d *gsmDecoder) shortTerm(samples *[gsmFrame]int16, lar *[8]int16) {
	from := 0
	for _, step := range []struct {
		to  int
		mix func(before, now int16) int16
	}{
		{13, func(before, now int16) int16 { return addSat(addSat(before>>2, now>>2), before>>1) }},
		{27, func(before, now int16) int16 { return addSat(before>>1, now>>1) }},
		{40, func(before, now int16) int16 { return addSat(addSat(before>>2, now>>2), now>>1) }},
		{gsmFrame, func(_, now int16) int16 { return now }},
	} {
		var reflections [8]int16
		for i := range reflections {
			reflections[i] = gsmReflection(step.mix(d.lar[i], lar[i]))
		}
		d.filter(samples[from:step.to], &reflections)
		from = step.to
	}
}

// gsmReflection turns a log area ratio into a reflection coefficient.
func gsmReflection(lar int16) int16 {
	magnitude := lar
	if lar < 0 {
		magnitude = subSat(0, lar)
	}
	switch {
	case magnitude < 11059:
		magnitude <<= 1
	case magnitude < 20070:
		magnitude = addSat(magnitude, 11059)
	default:
		magnitude = addSat(magnitude>>2, 26112)
	}
	if lar < 0 {
		return -magnitude
	}
	return magnitude
}

func (d *gsmDecoder) filter(samples []int16, reflections *[8]int16) {
	v := &d.lattice
	for k, sample := range samples {
		for i := 7; i >= 0; i-- {
			sample = subSat(sample, mulRound(reflections[i], v[i]))
			v[i+1] = addSat(v[i], mulRound(reflections[i], sample))
		}
		v[0] = sample
		samples[k] = sample
	}
}

// addSat, subSat and mulRound are the standard's add, sub and mult_r.
func addSat(a, b int16) int16 { return saturate(int32(a) + int32(b)) }

func subSat(a, b int16) int16 { return saturate(int32(a) - int32(b)) }

func mulRound(a, b int16) int16 { return saturate((int32(a)*int32(b) + 1<<14) >> 15) }

func saturate(v int32) int16 { return int16(min(max(v, -1<<15), 1<<15-1)) }

// bitReader reads bits starting with the lowest of each byte.
type bitReader struct {
	src  []byte
	bits uint32
	left int // number of bits in bits
}

// take returns the next n bits, at most 8.
func (r *bitReader) take(n int) int {
	if r.left < n {
		r.bits |= uint32(r.src[0]) << r.left
		r.src = r.src[1:]
		r.left += 8
	}
	v := r.bits & (1<<n - 1)
	r.bits >>= n
	r.left -= n
	return int(v)
}
