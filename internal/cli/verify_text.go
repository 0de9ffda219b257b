// Renders the summary of a verification.

package cli

import (
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"convoso-archiver/archiver/verify"
)

// maxFindings is how many findings, and how many unknown files, the text lists; the JSON lists more.
const maxFindings = 50

// writeVerified writes the result of a verification: one JSON object, or text for a person. It may contain
// keys, because the reader needs them, and stdout is not a log. A result that was not noted ends with a hint.
func writeVerified(w io.Writer, s verify.Summary, asJSON, noted bool) error {
	if asJSON {
		return json.NewEncoder(w).Encode(s)
	}
	text := verifiedText(s)
	if !noted && s.Days > 0 && s.Error == "" && s.Stopped == "" {
		text += "\nthis result was not noted: add --note, so that report, audit and serve can show it\n"
	}
	return writeText(w, text)
}

// verifyAnswer returns the answer in one line.
func verifyAnswer(s verify.Summary) string {
	where := plural(s.Days, "day") + spanText(s)
	switch {
	case s.IsDamaged():
		return "damaged: " + strings.Join(damageParts(s), ", ") + ", in " + where
	case s.Error != "":
		return "not verified: the verification failed"
	case s.Stopped != "":
		return fmt.Sprintf("not verified: stopped after %s and %s of %s, without damage",
			plural(s.Checked, "recording"), thousands(int64(s.DaysDone)), plural(s.Days, "whole day"))
	case s.IsIncomplete():
		return fmt.Sprintf("not verified: %s could not be read, the other %s are intact, in %s",
			thousands(int64(s.Unreadable)), plural(s.Checked, "recording"), where)
	case s.Days == 0:
		where := ""
		if span := spanText(s); span != "" {
			where = " in this time range" + span
		}
		return "nothing to verify: the archive has no day" + where + "; report shows which days it has"
	}
	answer := "intact: " + checkedText(s, where)
	if s.Unknown > 0 {
		answer += "; also " + plural(s.Unknown, "file") + " not in the manifest"
	}
	return answer
}

// verifyCounts returns the figures of a verification for its last log line.
func verifyCounts(s verify.Summary) []any {
	return []any{
		"seconds", s.Seconds, "days", s.Days, "recordings", s.Recordings, "checked", s.Checked, "damaged", s.Damaged,
		"not_readable", s.Unreadable, "manifest_damaged", s.ManifestDamaged, "unknown", s.Unknown, "bytes_read", s.BytesRead,
	}
}

// checkedText explains what "intact" covers.
func checkedText(s verify.Summary, where string) string {
	of := fmt.Sprintf("%s (%s) of %s", plural(s.Checked, "recording"), bytesText(s.Bytes), where)
	switch s.Mode {
	case verify.Quick:
		return of + ", present with the right size; their bytes were not read"
	case verify.Sampled:
		return of + ", a sample of " + thousands(int64(s.Recordings)) + ", every byte of it read"
	}
	return of + ", every byte read"
}

func damageParts(s verify.Summary) []string {
	var parts []string
	if s.Damaged > 0 {
		parts = append(parts, fmt.Sprintf("%s of %s", thousands(int64(s.Damaged)), plural(s.Recordings, "recording")))
	}
	bad := s.Counts[verify.BadCallLine]
	if n := s.ManifestDamaged - bad; n > 0 {
		parts = append(parts, plural(n, "fault")+" in the manifest")
	}
	if bad > 0 {
		parts = append(parts, plural(bad, "unreadable line")+" in calls/")
	}
	if s.Unlocked > 0 {
		parts = append(parts, plural(s.Unlocked, "object")+" without the lock that the archive's settings require")
	}
	if s.NotHeld > 0 {
		parts = append(parts, plural(s.NotHeld, "recording")+" without the legal hold of a case")
	}
	if s.Strict && s.Unknown > 0 {
		parts = append(parts, plural(s.Unknown, "file")+" not in the manifest")
	}
	if s.Unreadable > 0 {
		parts = append(parts, thousands(int64(s.Unreadable))+" could not be read")
	}
	return parts
}

func spanText(s verify.Summary) string {
	switch {
	case s.From == "" && s.To == "":
		return ""
	case s.From == "":
		return " (up to " + s.To + ")"
	case s.From == s.To:
		return " (" + s.From + ")"
	}
	return " (" + s.From + " to " + s.To + ")"
}

// verifiedText renders a summary: the answer, the findings, then the counts.
func verifiedText(s verify.Summary) string {
	var b strings.Builder
	b.WriteString(s.Answer + "\n")
	if s.ExitCode != ExitDone && s.Days == 0 && len(s.Findings) == 0 { // a table of zeros would say less
		why := "nothing was verified"
		if s.Error != "" || s.Stopped != "" {
			why = "see the error below"
		}
		fmt.Fprintf(&b, "\nexit code   %d   %s\n", s.ExitCode, why)
		return b.String()
	}
	writeFindings(&b, "findings", s.Findings, s.Damaged+s.ManifestDamaged+s.Unlocked+s.NotHeld+s.Unreadable)
	writeFindings(&b, "files not in the manifest", s.UnknownFiles, s.Unknown)
	b.WriteString("\n")
	table := tabwriter.NewWriter(&b, 0, 0, 3, ' ', 0) // writes to a strings.Builder never fail
	row := func(name, count string, parts ...string) {
		_, _ = fmt.Fprintf(table, "%s\t%s\t%s\n", name, count, strings.Join(withoutEmpty(parts), ", "))
	}
	row("days", thousands(int64(s.Days)), daysDoneText(s))
	row("recordings", thousands(int64(s.Recordings)), thousands(int64(s.Checked))+" checked",
		part(s.Damaged, "damaged"), part(s.Unreadable, "not readable"))
	if s.Expired > 0 {
		row("expired", thousands(int64(s.Expired)), "without audio, because their retention has ended")
	}
	row("bytes", bytesText(s.BytesRead), "read")
	row("files", thousands(int64(s.Unknown)), unknownText(s), part(s.Ignored, "ignored"), part(s.Quarantined, "in quarantine/"))
	if s.LocksChecked {
		row("locks", thousands(int64(s.Unlocked)), "missing, too short or too weak", part(s.LocksUnknown, "not shown by the server"))
	}
	if s.Repair {
		row("repaired", thousands(int64(s.Reopened)), "marked for download", part(s.Restored, "intact again"),
			mendedPart(s.MendedDays))
	}
	if s.CallsDropped > 0 {
		row("calls/", thousands(int64(s.CallsDropped)), "unreadable lines left out by --repair, now or earlier")
	}
	row("time", durationText(time.Duration(s.Seconds*float64(time.Second))), stoppedPart(s.Stopped))
	row("exit code", fmt.Sprint(s.ExitCode))
	_ = table.Flush()
	writeKeptAside(&b, s.KeptAside)
	b.WriteString(nextAfterVerify(s))
	return trimLines(b.String())
}

func mendedPart(days int) string {
	if days == 0 {
		return ""
	}
	return plural(days, "day") + " of the manifest repaired"
}

// daysDoneText counts the checked days of a verification that was stopped.
func daysDoneText(s verify.Summary) string {
	if s.Stopped == "" {
		return ""
	}
	return thousands(int64(s.DaysDone)) + " checked to the end"
}

func unknownText(s verify.Summary) string {
	if !s.UnknownChecked {
		return "not in the manifest; not all folders were listed"
	}
	return "not in the manifest"
}

func withoutEmpty(parts []string) []string {
	var kept []string
	for _, p := range parts {
		if p != "" {
			kept = append(kept, p)
		}
	}
	return kept
}

func writeFindings(b *strings.Builder, title string, findings []verify.Finding, all int) {
	if len(findings) == 0 {
		return
	}
	b.WriteString("\n" + title + "\n")
	table := tabwriter.NewWriter(b, 0, 0, 2, ' ', 0) // writes to a strings.Builder never fail
	for _, f := range findings[:min(len(findings), maxFindings)] {
		_, _ = fmt.Fprintf(table, "  %s\t%s\t%s\n", orElse(f.Day, "-"), f.Kind, findingText(f))
	}
	_ = table.Flush()
	if more := all - maxFindings; more > 0 {
		fmt.Fprintf(b, "  and %s more; --json names up to %s\n", thousands(int64(more)), thousands(verify.MaxListed))
	}
}

// findingText quotes keys, which may contain anything.
func findingText(f verify.Finding) string {
	var where []string
	if f.RecordingID != "" {
		where = append(where, "recording "+f.RecordingID)
	}
	if f.Key != "" {
		where = append(where, fmt.Sprintf("%q", f.Key))
	}
	if f.File != "" && f.Line > 0 {
		where = append(where, fmt.Sprintf("%s line %d", f.File, f.Line))
	} else if f.File != "" {
		where = append(where, f.File)
	}
	return strings.Join(append([]string{strings.Join(where, " ")}, f.Detail), ": ")
}

func writeKeptAside(b *strings.Builder, names []string) {
	if len(names) == 0 {
		return
	}
	b.WriteString("\ncopies of damaged files\n")
	for _, name := range names {
		b.WriteString("  " + name + "\n")
	}
}

// nextAfterVerify suggests next steps.
func nextAfterVerify(s verify.Summary) string {
	var next []string
	add := func(when bool, text string) {
		if when {
			next = append(next, text)
		}
	}
	known := s.Counts[verify.KnownDamaged]
	lost := lostFiles(s.Findings)
	add(!s.Repair && mayBeIntact(s.Findings), "wrong_size or wrong_hash on a day whose file of manifest/ has changed: perhaps the audio is intact, and only its line was changed")
	switch {
	case len(s.SealedDays) > 0 && !s.Repair: // one way only: after a repair, an archive would ask the vendor for audio that is stored
		add(true, "sealed days are damaged ("+dayList(s.SealedDays)+"): do not run verify --repair yet. Restore the changed or missing files of manifest/ and calls/ from a copy, and run verify again; "+
			"without a copy, or if the damage stays, run audit --seals: it says what to do")
	case len(s.SealedDays) > 0:
		add(true, "sealed days were damaged ("+dayList(s.SealedDays)+"): verify --repair cannot bring back what was sealed. Before any archive, restore the changed or missing files from a copy, and run verify --repair again; "+
			"without a copy, run audit --seals: it says what to do")
	case len(lost) > 0:
		add(true, "changed or missing files of manifest/ or calls/: restore them from a copy, and run verify again")
		next = append(next, withoutCopy(lost, "at the end, without a copy: run archive --relist over these days, and then verify again")...)
	default:
		const repair, archive = "run verify --repair, then archive over these days", "run archive over these days"
		const lists, downloads = ": it lists them again", ": it downloads the damaged recordings again"
		add(!s.Repair && s.Damaged > known, repair+downloads)
		add(!s.Repair && s.Damaged <= known && s.Damaged+s.ManifestDamaged > known, repair+lists)
		add(s.Reopened+known > 0, archive+downloads+", if the vendor still has them")
		add(s.Reopened+known == 0 && s.MendedDays > 0, archive+lists)
		add(!s.Repair && s.Counts[verify.BadCallLine] > 0, "the repair leaves out the unreadable lines of calls/ and keeps a copy of the file; archive then lists these days again")
	}
	add(s.Unlocked > 0, "run lock: it sets missing locks and extends short ones")
	add(s.NotHeld > 0, "run hold add with only the name of the case: it sets the missing legal holds")
	add(s.Counts[verify.NotReadable] > 0, "unreadable recordings may be intact: give this user permission, or restore objects from the archive storage class, then verify again")
	add(s.Stopped != "", "run verify again: it checks everything anew; to check less at once, give --last, or --start-time and --end-time")
	if len(next) == 0 {
		return ""
	}
	return "\nnext\n  " + strings.Join(next, "\n  ") + "\n"
}

// mayBeIntact reports whether other bytes than noted were found on a day whose lines have changed since it was closed.
func mayBeIntact(findings []verify.Finding) bool {
	changed := map[string]bool{}
	for _, f := range findings {
		changed[f.Day] = changed[f.Day] || f.Kind == verify.ChangedSegment && strings.HasPrefix(f.File, "manifest/")
	}
	return slices.ContainsFunc(findings, func(f verify.Finding) bool {
		return (f.Kind == verify.WrongSize || f.Kind == verify.WrongHash) && changed[f.Day]
	})
}

// lostFiles returns the missing files of manifest/ and calls/, and the changed files of manifest/ in which every line can be
// read: a repair cannot tell the changed line from the others.
func lostFiles(findings []verify.Finding) (files []string) {
	unreadable := map[string]bool{} // files
	for _, f := range findings {
		if f.Kind == verify.BadLine || f.Kind == verify.TornLine {
			unreadable[f.File] = true
		}
	}
	for _, f := range findings {
		switch f.Kind {
		case verify.LostSegments:
			files = append(files, f.File)
		case verify.ChangedSegment:
			if strings.HasPrefix(f.File, "manifest/") && !unreadable[f.File] {
				files = append(files, f.File)
			}
		case verify.NoManifest:
			files = append(files, "manifest/"+f.Day)
		}
	}
	return files
}
