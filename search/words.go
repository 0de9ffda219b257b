// Splits texts into words for search.

package search

import (
	"strings"
	"unicode"

	"golang.org/x/text/unicode/norm"
)

// words splits a text into its words, folded so that case and accents do not matter: runs of letters and digits.
func words(text string) []string {
	return strings.FieldsFunc(fold(text), func(r rune) bool { return !unicode.IsLetter(r) && !unicode.IsDigit(r) })
}

// fold drops accents and case.
func fold(text string) string {
	plain := true
	for i := 0; i < len(text); i++ {
		plain = plain && text[i] < 0x80
	}
	if plain {
		return strings.ToLower(text)
	}
	return strings.Map(func(r rune) rune {
		if unicode.Is(unicode.Mn, r) {
			return -1
		}
		return unicode.ToLower(r)
	}, norm.NFKD.String(text))
}

// digits returns the digits of a number.
func digits(number string) string {
	for i := 0; i < len(number); i++ {
		if number[i] < '0' || number[i] > '9' {
			return strings.Map(func(r rune) rune {
				if r < '0' || r > '9' {
					return -1
				}
				return r
			}, number)
		}
	}
	return number
}
