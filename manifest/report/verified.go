// Selects the verifications in a report.

package report

import (
	"errors"
	"io/fs"
	"slices"
	"time"

	"convoso-archiver/manifest"
)

// MaxVerifications is how many noted verifications are worth reading for a report, a hundred nights of them: in S3 each
// is a request.
const MaxVerifications = 100

// Verified is a verification that checked days of the span, the latest of its mode.
type Verified struct {
	Started time.Time `json:"started"`
	Mode    string    `json:"mode"`         // full, quick or sample, as in manifest.Verification
	From    string    `json:"from"`         // checked call days, both included; empty: from the first
	To      string    `json:"to"`           // never empty
	Days    int       `json:"days_checked"` // checked days of the span

	// For all checked days, also outside of the span.
	Recordings      int  `json:"recordings"`
	Checked         int  `json:"checked"`
	Damaged         int  `json:"damaged"`
	ManifestDamaged int  `json:"manifest_damaged"`
	NotReadable     int  `json:"not_readable"`
	Complete        bool `json:"complete"` // it was not stopped, and read everything
}

// verified returns the latest verification of each mode that checked a day, the latest first. A stopped one counts only
// if it has findings.
func verified(list []manifest.Verification, days []Day, zone *time.Location) []Verified {
	found := []Verified{}
	list = slices.SortedStableFunc(slices.Values(list), func(a, b manifest.Verification) int { return a.Started.Compare(b.Started) })
	for _, v := range slices.Backward(list) {
		of := Verified{
			Started: v.Started.UTC(), Mode: v.Mode, From: v.From, To: v.To,
			Recordings: v.Recordings, Checked: v.Checked, Damaged: v.DamagedCount, ManifestDamaged: v.ManifestBad,
			NotReadable: v.NotReadable, Complete: v.Complete,
		}
		if began := v.Started.In(zone).Format(time.DateOnly); of.To == "" || of.To > began {
			of.To = began // later days had no recordings
		}
		for _, d := range days {
			if d.State != NeverListed && v.Covers(d.Day) && d.Day <= of.To {
				of.Days++
			}
		}
		isTold := slices.ContainsFunc(found, func(other Verified) bool { return other.Mode == of.Mode })
		if of.Days > 0 && !isTold && (of.Complete || of.Damaged+of.ManifestDamaged+of.NotReadable > 0) {
			found = append(found, of)
		}
	}
	return found
}

// unreadable returns the file of a verification that cannot be read, as far as the error names it.
func unreadable(err error) string {
	if bad, ok := errors.AsType[*manifest.BadLineError](err); ok {
		return bad.File
	}
	if of, ok := errors.AsType[*fs.PathError](err); ok {
		return of.Path
	}
	return "a file evidence/verify-*"
}
