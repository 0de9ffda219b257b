// Reads Range headers.

package web

import (
	"strconv"
	"strings"
)

// byteRange is a part of a body.
type byteRange struct {
	offset, length int64
	partial        bool // one range was asked for
	unsatisfiable  bool // and it is outside the body
}

// parseRange reads a Range header by RFC 9110. Invalid headers, other units and several ranges get the whole body, as
// the RFC permits.
func parseRange(header string, size int64) byteRange {
	whole := byteRange{length: size}
	unit, spec, found := strings.Cut(header, "=")
	if !found || !strings.EqualFold(strings.TrimSpace(unit), "bytes") || strings.Contains(spec, ",") {
		return whole
	}
	first, last, found := strings.Cut(strings.Trim(spec, " \t"), "-")
	first, last = strings.Trim(first, " \t"), strings.Trim(last, " \t")
	if !found {
		return whole
	}
	if first == "" { // a suffix range
		n, ok := position(last)
		switch {
		case !ok:
			return whole
		case n == 0:
			return byteRange{unsatisfiable: true}
		}
		n = min(n, size)
		return byteRange{offset: size - n, length: n, partial: true}
	}
	from, ok := position(first)
	if !ok {
		return whole
	}
	to := size - 1
	if last != "" {
		end, ok := position(last)
		if !ok || end < from {
			return whole
		}
		to = min(end, to)
	}
	if from >= size {
		return byteRange{unsatisfiable: true}
	}
	return byteRange{offset: from, length: to - from + 1, partial: true}
}

// position parses decimal digits. A number that is too large becomes the largest.
func position(text string) (int64, bool) {
	if text == "" || strings.Trim(text, "0123456789") != "" {
		return 0, false
	}
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		return 1<<63 - 1, true
	}
	return n, true
}

// matchesTag reports whether If-None-Match contains a tag.
func matchesTag(header, tag string) bool {
	if strings.TrimSpace(header) == "*" {
		return true
	}
	for one := range strings.SplitSeq(header, ",") {
		if strings.TrimPrefix(strings.TrimSpace(one), "W/") == tag {
			return true
		}
	}
	return false
}
