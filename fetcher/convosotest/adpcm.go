// Encodes tones as IMA ADPCM.

package convosotest

import "encoding/binary"

// adpcmSteps are the step sizes of IMA ADPCM.
var adpcmSteps = [...]int{
	7, 8, 9, 10, 11, 12, 13, 14, 16, 17, 19, 21, 23, 25, 28, 31, 34, 37, 41, 45,
	50, 55, 60, 66, 73, 80, 88, 97, 107, 118, 130, 143, 157, 173, 190, 209, 230, 253, 279, 307,
	337, 371, 408, 449, 494, 544, 598, 658, 724, 796, 876, 963, 1060, 1166, 1282, 1411, 1552, 1707, 1878, 2066,
	2272, 2499, 2749, 3024, 3327, 3660, 4026, 4428, 4871, 5358, 5894, 6484, 7132, 7845, 8630, 9493, 10442, 11487, 12635, 13899,
	15289, 16818, 18500, 20350, 22385, 24623, 27086, 29794, 32767,
}

// adpcmIndexes is the change of the step index by code, without sign.
var adpcmIndexes = [8]int{-1, -1, -1, -1, 2, 4, 6, 8}

// adpcmBlock encodes a block of a tone that starts at sample number first.
func adpcmBlock(buf []byte, tone int, first int64) {
	predicted := int(sampleOf(tone, first))
	index := 0
	for largest := largestChange(tone); adpcmSteps[index] < largest/2; {
		index++
	}
	binary.LittleEndian.PutUint16(buf, uint16(predicted))
	buf[2], buf[3] = byte(index), 0
	for i := range adpcmBlockSize - 4 {
		n := first + 1 + 2*int64(i)
		var low, high byte
		low, predicted, index = adpcmCode(int(sampleOf(tone, n)), predicted, index)
		high, predicted, index = adpcmCode(int(sampleOf(tone, n+1)), predicted, index)
		buf[4+i] = low | high<<4
	}
}

// largestChange returns the largest difference between consecutive samples of a tone.
func largestChange(tone int) int {
	largest := 0
	for n := range int64(len(sine)) {
		largest = max(largest, int(sampleOf(tone, n+1))-int(sampleOf(tone, n)))
	}
	return largest
}

// adpcmCode encodes a sample, and returns the decoded value.
func adpcmCode(sample, predicted, index int) (code byte, next, nextIndex int) {
	step, change := adpcmSteps[index], sample-predicted
	if change < 0 {
		code, change = 8, -change
	}
	decoded := step >> 3
	for bit := byte(4); bit > 0; bit >>= 1 {
		if change >= step {
			code |= bit
			change -= step
			decoded += step
		}
		step >>= 1
	}
	if code&8 != 0 {
		decoded = -decoded
	}
	next = min(max(predicted+decoded, -32768), 32767)
	return code, next, min(max(index+adpcmIndexes[code&7], 0), len(adpcmSteps)-1)
}
