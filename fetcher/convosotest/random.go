// Derives reproducible pseudo-random numbers from a seed.

package convosotest

import (
	"math"
	"math/bits"
)

// golden is the increment of SplitMix64, whose output function scramble is.
const golden = 0x9e3779b97f4a7c15

func scramble(x uint64) uint64 {
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}

// mix returns a pseudo-random number that depends on all of its arguments: data is derived from it
// on demand instead of being stored.
func mix(seed uint64, parts ...uint64) uint64 {
	x := seed
	for _, part := range parts {
		x = scramble(x + golden + bits.RotateLeft64(part*golden, 31))
	}
	return x
}

// below returns a number from 0 to n-1.
func below(random uint64, n int) int {
	high, _ := bits.Mul64(random, uint64(n))
	return int(high)
}

// share returns a number from 0 to below 1.
func share(random uint64) float64 { return float64(random>>11) / (1 << 53) }

// normal returns a number of the standard normal distribution.
func normal(a, b uint64) float64 {
	return math.Sqrt(-2*math.Log(1-share(a))) * math.Cos(2*math.Pi*share(b))
}

// permutation returns the numbers from 0 to n-1 in a random order.
func permutation(seed uint64, n int) []int32 {
	order := make([]int32, n)
	for i := range order {
		order[i] = int32(i)
	}
	for i := n - 1; i > 0; i-- {
		k := below(mix(seed, uint64(i)), i+1)
		order[i], order[k] = order[k], order[i]
	}
	return order
}

// The domains separate the random numbers of different uses.
const (
	domainTime uint64 = iota + 1
	domainRecorded
	domainSize
	domainAudio
	domainLead
	domainPerson
	domainUser
	domainCampaign
	domainStatus
	domainQueue
	domainName
	domainOddity
	domainLink
	domainFault
	domainTies
	domainPage
	domainSession
)
