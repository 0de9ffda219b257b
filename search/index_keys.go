// Declares the keys by which the index finds calls.

package search

import (
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

// field is an indexed field of a call.
type field byte

// The fields. Their numbers are in the file, so a change needs a new indexFormat.
const (
	byCall field = iota + 1
	byRecording
	byLead
	byList
	byQueue
	byCampaignID
	byCampaign
	byUserID
	byUser
	byNumber // both numbers
	byNameWord
	byCommentWord
	byStatus
	byCallType
	byCalledCount
	byOutcome // hasRecording for every call with a recording
)

// hasRecording is the key of calls with a recording; no outcome is empty.
const hasRecording = ""

// maxKey is the maximum length of a key; longer keys are truncated. A call with a key of this
// length is only a candidate.
const maxKey = 100

// addKeys calls add with the keys of a call, some of them repeatedly. A key may find calls that do not match, but
// must never miss a match. Empty values have no key, except those that hasRecording and isNamed allow.
func (c *Call) addKeys(add func(f field, key string)) {
	whole := func(f field, value string) {
		if value != "" {
			add(f, foldCase(value))
		}
	}
	whole(byCall, c.ID)
	whole(byLead, c.LeadID)
	whole(byList, c.ListID)
	whole(byQueue, c.QueueID)
	whole(byCampaignID, c.CampaignID)
	whole(byUserID, c.UserID)
	whole(byStatus, c.Status)
	whole(byCallType, c.CallType)
	whole(byCalledCount, c.CalledCount)
	if c.Campaign != "" {
		add(byCampaign, nameKey(c.Campaign))
	}
	if c.User != "" {
		add(byUser, nameKey(c.User))
	}
	phone := reversedDigits(c.PhoneNumber)
	if phone != "" {
		add(byNumber, phone)
	}
	if dialed := reversedDigits(c.NumberDialed); dialed != "" {
		add(byNumber, dialed)
	}
	for _, word := range append(words(c.FirstName), words(c.LastName)...) {
		add(byNameWord, word)
	}
	for _, word := range words(c.Comment) {
		add(byCommentWord, word)
	}
	for _, r := range c.Recordings {
		add(byRecording, r.ID)
		add(byOutcome, string(r.Outcome))
		add(byOutcome, hasRecording)
	}
}

// cutKey truncates a key, and reports whether it was complete.
func cutKey(key string) (string, bool) {
	if len(key) < maxKey {
		return key, true
	}
	return key[:maxKey], false
}

// nameKey returns the same key for names with the same words.
func nameKey(name string) string { return strings.Join(words(name), " ") }

// foldCase returns the same text exactly for texts that are equal by strings.EqualFold.
func foldCase(text string) string {
	for i := 0; i < len(text); i++ {
		if text[i] >= utf8.RuneSelf {
			return strings.Map(foldRune, text)
		}
	}
	return strings.ToLower(text)
}

// foldRune returns the smallest of the runes that differ only in case; for ASCII the lower-case letter.
func foldRune(r rune) rune {
	least := r
	for next := unicode.SimpleFold(r); next != r; next = unicode.SimpleFold(next) {
		least = min(least, next)
	}
	if 'A' <= least && least <= 'Z' {
		least += 'a' - 'A'
	}
	return least
}

// reversedDigits reverses the digits of a number, so that a suffix becomes a prefix.
func reversedDigits(number string) string {
	reversed := []byte(digits(number))
	slices.Reverse(reversed)
	return string(reversed)
}
