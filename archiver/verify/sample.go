// Selects the share of recordings that --sample reads.

package verify

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"math"
	"strconv"
	"strings"
	"time"
)

// shares is the number of equal parts of the recordings.
const shares = 1_000_000

// Sample selects a part of all recordings: those whose hashed id is in a window on a ring of a million shares.
// Each day the window starts where it ended the day before, so N percent cover every recording once in 100/N
// days, even if recordings are added or removed. A missed day's window is covered in the next cycle.
type Sample struct {
	first, count uint64 // shares
}

// ParseSample reads a part like 1% or 0.5%.
func ParseSample(s string) (percent float64, err error) {
	number, ok := strings.CutSuffix(strings.TrimSpace(s), "%")
	if !ok {
		return 0, errors.New("a percent sign is missing")
	}
	percent, err = strconv.ParseFloat(strings.TrimSpace(number), 64)
	if err != nil || math.IsNaN(percent) {
		return 0, errors.New("it is not a percentage")
	}
	if percent*shares/100 < 1 || percent > 100 {
		return 0, errors.New("it is out of range")
	}
	return percent, nil
}

// NewSample returns the part of a date, using only year, month and day.
func NewSample(percent float64, date time.Time) Sample {
	count := uint64(math.Ceil(percent * shares / 100))
	year, month, day := date.Date()
	number := time.Date(year, month, day, 0, 0, 0, 0, time.UTC).Unix() / (24 * 60 * 60)
	return Sample{first: uint64(number) * count % shares, count: min(count, shares)}
}

// Has reports whether a recording is in the sample. It depends only on the id.
func (s Sample) Has(recordingID string) bool {
	sum := sha256.Sum256([]byte(recordingID))
	share := binary.BigEndian.Uint64(sum[:8]) % shares
	return (share+shares-s.first)%shares < s.count
}
