// Defines the findings of an audit.

package evidence

// FindingKind says what an audit has found.
type FindingKind string

// What an audit finds.
const (
	SealMissing     FindingKind = "seal_missing"     // a number is left out
	SealUnreadable  FindingKind = "seal_unreadable"  // it is not JSON, or not a seal
	SealChanged     FindingKind = "seal_changed"     // the next seal, or the head, names another hash
	SealsCut        FindingKind = "seals_cut"        // the head names a seal that is not there
	BadSignature    FindingKind = "bad_signature"    // missing, or not of this seal
	UnknownSigner   FindingKind = "unknown_signer"   // not among the allowed signers
	SealTime        FindingKind = "seal_time"        // it says another time than its place in the chain allows
	BadStamp        FindingKind = "bad_timestamp"    // of something else, or its signature does not hold
	UnknownTSA      FindingKind = "unknown_tsa"      // a timestamp of an authority that is not among the roots
	OtherArchive    FindingKind = "other_archive"    // the seal is of another archive
	ForeignFile     FindingKind = "foreign_file"     // in seals/, and no seal
	LinesMissing    FindingKind = "lines_missing"    // a sealed file is not there
	LinesChanged    FindingKind = "lines_changed"    // a sealed file has other lines, or in another order
	LinesRepaired   FindingKind = "lines_repaired"   // likewise, and a line of the day says that verify --repair left bad ones out
	ClosingMissing  FindingKind = "closing_missing"  // closed.json no longer closes a sealed day
	ClosingChanged  FindingKind = "closing_changed"  // closed.json counts other recordings than the seal
	StubUnexplained FindingKind = "stub_unexplained" // a line was erased, and no sealed erasure names it
	ErasureUnsealed FindingKind = "erasure_unsealed" // an erasure that no seal names hides a sealed recording
	Replaced        FindingKind = "replaced"         // lines that are not sealed say something else of a sealed recording
	AudioMissing    FindingKind = "audio_missing"    // nothing is stored under the key of a sealed line
	AudioChanged    FindingKind = "audio_changed"    // other bytes are stored there
	AudioUnreadable FindingKind = "audio_not_read"   // the store gave no answer
)

// Finding is one difference from what was sealed.
type Finding struct {
	Kind        FindingKind `json:"kind"`
	Seal        int         `json:"seal,omitzero"`
	Day         string      `json:"day,omitempty"`
	File        string      `json:"file,omitempty"` // from the archive's root; no key of a recording
	Line        int         `json:"line,omitzero"`
	RecordingID string      `json:"recording_id,omitempty"`
	Detail      string      `json:"detail"`
}
