// Checks the chain of seals.

package evidence

import (
	"time"

	"errors"
	"fmt"
	"slices"

	"convoso-archiver/manifest"
)

// judgeSeals returns the faults of a chain of seals, and the signers of the valid ones, by number.
func judgeSeals(seals []stored, archive *manifest.Archive, head *Head, now time.Time, signedBy func(*stored) (string, error)) (findings []Finding, signers map[int]string) {
	signers = map[int]string{}
	find := func(kind FindingKind, number int, detail string) {
		findings = append(findings, Finding{Kind: kind, Seal: number, File: sealName(number), Detail: detail})
	}
	next, previous, last := 1, "", time.Time{}
	for i := range seals {
		s := &seals[i]
		for ; next < s.Number; next++ {
			find(SealMissing, next, "it is missing, but a later seal exists")
			previous = "" // unknown
		}
		switch principals, err := signedBy(s); {
		case s.bad != nil:
			find(SealUnreadable, s.Number, s.bad.Error())
		case s.Archive != archive.ID || s.AccountID != "" && s.AccountID != archive.AccountID || s.APIURL != archive.APIURL || s.TimeZone != archive.TimeZone:
			find(OtherArchive, s.Number, "its archive, account, API address or time zone differs from archive.json")
		case errors.Is(err, errUnknownSigner) || errors.Is(err, errSignerNotValid):
			find(UnknownSigner, s.Number, err.Error())
		case err != nil:
			find(BadSignature, s.Number, err.Error())
		default:
			signers[s.Number] = principals
		}
		if s.bad == nil && s.Previous != previous && (previous != "" || s.Number == 1) {
			find(SealChanged, max(s.Number-1, 1), fmt.Sprintf("its hash differs from the one in seal %d", s.Number))
		}
		switch {
		case s.bad != nil:
		case s.Time.Before(last):
			find(SealTime, s.Number, "its time is earlier than the previous seal's")
		case s.Time.After(now):
			find(SealTime, s.Number, "its time is later than this machine's clock")
		}
		next, previous, last = s.Number+1, s.hash, s.Time
	}
	if head == nil {
		return findings, signers
	}
	i := slices.IndexFunc(seals, func(s stored) bool { return s.Number == head.Number })
	switch {
	case i < 0:
		find(SealsCut, head.Number, "--head names it, but it is missing")
	case seals[i].hash != head.Hash:
		find(SealChanged, head.Number, "its hash differs from the one in --head")
	}
	return findings, signers
}
