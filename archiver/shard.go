// Divides days between several runs.

package archiver

import (
	"fmt"

	"convoso-archiver/fetcher"
)

// Shard is the part of the days for one of several runs: the days whose number modulo Count is Index. The number of
// a day depends only on its date, so runs with different spans agree on the shard. The zero value works on every
// day.
type Shard struct{ Index, Count int }

// Owns reports whether the day belongs to the shard.
func (s Shard) Owns(date fetcher.Date) bool {
	return s.Count == 0 || date.Ordinal()%s.Count == s.Index
}

// String returns the shard as 3/17, "" for all days.
func (s Shard) String() string {
	if s.Count == 0 {
		return ""
	}
	return fmt.Sprintf("%d/%d", s.Index, s.Count)
}
