// Formats numbers, sizes, durations and plurals for people.

package cli

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// thousands formats a number with commas: 1,234,567.
func thousands(n int64) string {
	s := strconv.FormatInt(n, 10)
	sign := ""
	if strings.HasPrefix(s, "-") {
		sign, s = "-", s[1:]
	}
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return sign + s
}

// bytesText formats a size with a decimal unit: 18.1 MB.
func bytesText(n int64) string {
	const step = 1000
	if n < step {
		return fmt.Sprintf("%d B", n)
	}
	value, units := float64(n)/step, []string{"kB", "MB", "GB", "TB", "PB", "EB"}
	unit := 0
	// 999.95 would be rounded to 1000.0.
	for value >= 999.95 && unit < len(units)-1 {
		value /= step
		unit++
	}
	return fmt.Sprintf("%.1f %s", value, units[unit])
}

// durationText formats a duration in its two largest units: 2d 3h, 1h 5m, 3m 12s, 12s; below ten
// seconds with tenths.
func durationText(d time.Duration) string {
	if d < 10*time.Second-50*time.Millisecond { // which would be rounded to 10.0s
		return fmt.Sprintf("%.1fs", max(d, 0).Seconds())
	}
	seconds := int64(d.Round(time.Second) / time.Second)
	days, hours, minutes := seconds/86400, seconds/3600%24, seconds/60%60
	switch {
	case days > 0:
		return fmt.Sprintf("%dd %dh", days, hours)
	case hours > 0:
		return fmt.Sprintf("%dh %dm", hours, minutes)
	case minutes > 0:
		return fmt.Sprintf("%dm %ds", minutes, seconds%60)
	}
	return fmt.Sprintf("%ds", seconds)
}

// plural formats a count with its noun: 1 day, 2 days.
func plural(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return thousands(int64(n)) + " " + noun + "s"
}
