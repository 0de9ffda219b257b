// Holds the words of pages for states and outcomes.

package web

import (
	"cmp"
	"fmt"
	"html/template"
	"net/url"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"convoso-archiver/manifest"
	"convoso-archiver/search"
)

// whyNot says in words why a recording has no audio. The page adds the reason from its line.
func whyNot(r search.Recording) string {
	text := ""
	waits := !r.Final && r.Outcome != manifest.Lost
	switch r.Outcome {
	case manifest.Archived:
		return "it is in the archive"
	case manifest.Pending:
		text = "the vendor has not delivered it yet"
	case manifest.Failed:
		text = "the download failed"
	case manifest.Rejected:
		text = "the vendor sent something other than audio, or the host of the link is not allowed"
	case manifest.Lost:
		text = "the vendor no longer has it, and it was never archived"
	case manifest.Damaged:
		text = "it was stored, but its file is now missing or damaged"
	case manifest.Erased:
		return "it was erased on purpose"
	case manifest.Expired:
		return "it was removed at the end of its retention"
	default:
		return "a newer version of the program has recorded the outcome " + string(r.Outcome)
	}
	if r.State != nil {
		if reason := cmp.Or(r.State.Reason, r.State.Cause); reason != "" {
			text += " (" + strings.ReplaceAll(reason, "_", " ") + ")"
		}
	}
	if waits {
		return text + "; the next run tries again"
	}
	if r.Outcome == manifest.Pending || r.Outcome == manifest.Failed || r.Outcome == manifest.Rejected {
		text += "; it was given up"
	}
	return text
}

// state sums up the outcome of a call's recordings in a word or two.
func state(c *search.Call) string {
	stored := 0
	for _, r := range c.Recordings {
		if r.Stored() {
			stored++
		}
	}
	switch {
	case c.Erased:
		return "Erased"
	case len(c.Recordings) == 0:
		return "No recording"
	case stored == 1 && len(c.Recordings) == 1:
		return "Recording"
	case stored == len(c.Recordings):
		return fmt.Sprintf("%d recordings", stored)
	case stored > 0:
		return fmt.Sprintf("%d of %d recordings", stored, len(c.Recordings))
	}
	r := c.Recordings[0]
	switch {
	case r.Outcome == manifest.Lost:
		return "Lost"
	case r.Outcome == manifest.Damaged, r.Outcome == manifest.Erased, r.Outcome == manifest.Expired:
		return sentenceWord(string(r.Outcome))
	case r.Final:
		return "Given up"
	case r.Outcome == manifest.Failed, r.Outcome == manifest.Pending, r.Outcome == manifest.Rejected:
		return "Waiting"
	}
	return sentenceWord(string(r.Outcome))
}

// length formats seconds like a player.
func length(seconds int) string {
	switch {
	case seconds < 0:
		return "–"
	case seconds >= 3600:
		return fmt.Sprintf("%d:%02d:%02d", seconds/3600, seconds/60%60, seconds%60)
	}
	return fmt.Sprintf("%d:%02d", seconds/60, seconds%60)
}

// bytesOf formats a size for people.
func bytesOf(n int64) string {
	size := float64(n)
	for _, unit := range []string{"B", "kB", "MB", "GB"} {
		if size < 1000 {
			if unit == "B" {
				return fmt.Sprintf("%d B", n)
			}
			return fmt.Sprintf("%.1f %s", size, unit)
		}
		size /= 1000
	}
	return fmt.Sprintf("%.1f TB", size)
}

// counted formats a number with commas.
func counted(n int) string {
	text := fmt.Sprint(n)
	for i := len(text) - 3; i > 0 && text[i-1] != '-'; i -= 3 {
		text = text[:i] + "," + text[i:]
	}
	return text
}

// sentence turns words into a sentence.
func sentence(text string) string {
	text = sentenceWord(text)
	if text == "" || strings.HasSuffix(text, ".") {
		return text
	}
	return text + "."
}

func sentenceWord(text string) string {
	r, size := utf8.DecodeRuneInString(text)
	if size == 0 {
		return text
	}
	return string(unicode.ToUpper(r)) + text[size:]
}

// words are the template functions.
func (s *Server) words() template.FuncMap {
	return template.FuncMap{
		"length": length, "bytes": bytesOf, "counted": counted, "sentence": sentence,
		"pathEscape": url.PathEscape,
		"date":       func(day string) string { return dateWords(day) },
	}
}

// dateWords formats a day like Wed 28 May 2025.
func dateWords(day string) string {
	t, err := time.Parse(time.DateOnly, day)
	if err != nil {
		return day
	}
	return t.Format("Mon 2 Jan 2006")
}
