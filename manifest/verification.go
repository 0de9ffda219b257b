// Reads and writes the records of verifications.

package manifest

import (
	"context"
	"encoding/json"
	"math"
	"slices"
	"time"
)

// verificationStem begins the names of the files of evidence/ that hold verifications.
const verificationStem = "verify"

// The modes of a verification.
const (
	VerifiedFull   = "full"   // every recording was read
	VerifiedQuick  = "quick"  // sizes were compared
	VerifiedSample = "sample" // a share was read
)

// Verification is the result of one run of verify.
type Verification struct {
	Run     string    `json:"-"` // run that noted it
	Started time.Time `json:"started"`
	Mode    string    `json:"mode"`
	From    string    `json:"from"` // call days, both included; empty for the first and the last day
	To      string    `json:"to"`

	Days         int      `json:"days"`
	Recordings   int      `json:"recordings"`
	Checked      int      `json:"checked"`
	BytesRead    int64    `json:"bytes_read"`
	Damaged      []string `json:"damaged"` // ids of recordings, the first [MaxVerifiedIDs]
	DamagedCount int      `json:"damaged_count"`
	ManifestBad  int      `json:"manifest_damaged"` // findings in the manifest itself
	NotReadable  int      `json:"not_readable"`
	Complete     bool     `json:"complete"` // it was not stopped, and read everything
}

// MaxVerifiedIDs is the maximum number of ids in a Verification.
const MaxVerifiedIDs = 10_000

// Covers reports whether a verification checked a call day.
func (v *Verification) Covers(day string) bool {
	return v.From <= day && (v.To == "" || day <= v.To)
}

// Found reports whether a verification found a recording damaged. The second result is false if the record is
// truncated, so the answer is unknown.
func (v *Verification) Found(id string) (damaged, known bool) {
	damaged = slices.Contains(v.Damaged, id)
	return damaged, damaged || len(v.Damaged) == v.DamagedCount
}

type verificationRecord struct {
	RecordHead
	Verification
}

// NoteVerification writes the result of a verification to evidence/.
func (l *Ledger) NoteVerification(ctx context.Context, v Verification) error {
	return l.PutRecords(ctx, verificationStem, &verificationRecord{RecordHead{Kind: "verification"}, v})
}

// Verifications returns the noted verifications, oldest first. The error is a *[BadLineError] if one cannot be
// read.
func (l *Ledger) Verifications(ctx context.Context) ([]Verification, error) {
	return l.LatestVerifications(ctx, math.MaxInt)
}

// LatestVerifications is like Verifications, for at most n of the latest ones. Each costs the reading of
// a file.
func (l *Ledger) LatestVerifications(ctx context.Context, limit int) (list []Verification, err error) {
	err = l.latestRecords(ctx, verificationStem, limit, func(file string, raw []byte) error {
		var r verificationRecord
		if err := json.Unmarshal(raw, &r); err != nil {
			return &BadLineError{File: file, Reason: err.Error()}
		}
		r.Verification.Run = r.RecordHead.Run
		list = append(list, r.Verification)
		return nil
	})
	slices.SortStableFunc(list, func(a, b Verification) int { return a.Started.Compare(b.Started) })
	return list, err
}
