// Says what to do about the findings of an audit.

package cli

import (
	"slices"
	"strings"

	"convoso-archiver/evidence"
)

// nextAfterAudit suggests next steps, each once, in the order of the findings.
func nextAfterAudit(findings []evidence.Finding) (steps []string) {
	files, days := changedFiles(findings)
	for _, f := range findings {
		isLines := f.Kind == evidence.LinesChanged || f.Kind == evidence.LinesMissing
		isClosing := f.Kind == evidence.ClosingChanged || f.Kind == evidence.ClosingMissing
		step := nextAfter(f.Kind)
		if isLines && f.Resealed {
			step = "missing lines of a day that was sealed again: if you find a copy, put the files back, run archive --relist over these days, and then seal; without a copy nothing is left to do, and the finding stays"
		}
		if slices.Contains(steps, step) || isClosing && slices.Contains(days, f.Day) { // the steps for its lines close the day again
			continue
		}
		steps = append(steps, step)
		if isLines && !f.Resealed {
			steps = append(steps, withoutCopy(files, "at the end, without a copy: run archive --relist over these days, and then seal: it signs the days as they are then; docs/rebuild.md explains these steps")...)
			steps = append(steps, provedWithoutCopy(files))
		}
	}
	return steps
}

// provedWithoutCopy says what the finding about changed or missing files proves. Only lines of manifest/ say which audio
// was sealed.
func provedWithoutCopy(files []string) string {
	said := "without a copy: the finding stays in every later audit. It proves that the file is not as it was sealed, not which line differs"
	if slices.ContainsFunc(files, func(name string) bool { return strings.HasPrefix(name, "manifest/") }) {
		said += "; the audio of recordings with lines in such a file of manifest/ is no longer proved"
	}
	return said + ". What the seals say of files without a finding is still proved. \"Known findings\" in docs/evidence.md shows how to see only new findings"
}

// changedFiles returns the files of lines that need a step, and their days.
func changedFiles(findings []evidence.Finding) (files, days []string) {
	for _, f := range findings {
		if (f.Kind == evidence.LinesChanged || f.Kind == evidence.LinesMissing) && !f.Resealed {
			files, days = append(files, f.File), append(days, f.Day)
		}
	}
	return files, days
}

// nextAfter returns the next step after a finding.
func nextAfter(kind evidence.FindingKind) string {
	switch kind {
	case evidence.ClosingMissing, evidence.ClosingChanged:
		return "closed.json: restore it from a copy; without one run archive --relist over these days, and then seal: they close and sign the days again"
	case evidence.LinesMissing, evidence.LinesChanged:
		return "changed or missing lines: restore the files from a copy, before any verify --repair; then run verify, and audit again"
	case evidence.LinesRepaired:
		return "repaired lines: compare the copy beside the file with a backup; if you have the file as it was sealed, restore it, then run verify --repair, archive and seal"
	case evidence.StubUnexplained, evidence.ErasureUnsealed:
		return "erased or expired: if erase list shows the erasure or expiry and you ordered it, run seal; otherwise restore evidence/ and the lines from a copy"
	case evidence.Replaced:
		return "replaced: if verify --repair wrote the lines, run archive over these days, then seal; otherwise restore manifest/ from a copy"
	case evidence.AudioMissing, evidence.AudioChanged:
		return "audio: restore it from a copy; otherwise run verify --repair, archive and seal: archive downloads it again, if the vendor still has it"
	case evidence.AudioUnreadable:
		return "audio not read: give this user permission, or restore objects from the archive storage class, then audit again"
	case evidence.UnknownSigner:
		return "unknown signer: compare --allowed-signers with the key of seal; if it is right, somebody else signed: restore seals/ from a copy"
	case evidence.UnknownTSA:
		return "unknown authority: give its root certificate with --tsa-roots; if you do not know it, restore the .tsr from a copy"
	case evidence.BadStamp:
		return "timestamp: restore the .tsr from a copy; without a copy, remove it and run seal --tsa"
	case evidence.SealTime:
		return "time: check the clocks of this machine and of the one that seals; if they are right, somebody may have signed later: restore seals/ from a copy"
	}
	return "seals: restore seals/ from a copy, without files that are not in it; seal does not continue a broken chain"
}
