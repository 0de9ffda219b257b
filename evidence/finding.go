// Defines the findings of an audit.

package evidence

// FindingKind is the kind of a finding.
type FindingKind string

// The kinds of findings.
const (
	SealMissing     FindingKind = "seal_missing"     // a number is missing in the chain
	SealUnreadable  FindingKind = "seal_unreadable"  // it is not JSON, or not a seal
	SealChanged     FindingKind = "seal_changed"     // the next seal, or the head, names another hash
	SealsCut        FindingKind = "seals_cut"        // the head names a missing seal
	BadSignature    FindingKind = "bad_signature"    // missing, or not for this seal
	UnknownSigner   FindingKind = "unknown_signer"   // not among the allowed signers
	SealTime        FindingKind = "seal_time"        // its time does not fit its place in the chain
	BadStamp        FindingKind = "bad_timestamp"    // for something else, or with an invalid signature
	UnknownTSA      FindingKind = "unknown_tsa"      // a timestamp of an unknown authority
	OtherArchive    FindingKind = "other_archive"    // the seal is of another archive
	ForeignFile     FindingKind = "foreign_file"     // a file in seals/ that is not a seal
	LinesMissing    FindingKind = "lines_missing"    // a sealed file is missing
	LinesChanged    FindingKind = "lines_changed"    // a sealed file has other lines, or another order of lines
	LinesRepaired   FindingKind = "lines_repaired"   // likewise, but a line of the day says that verify --repair removed bad lines
	ClosingMissing  FindingKind = "closing_missing"  // closed.json no longer closes a sealed day
	ClosingChanged  FindingKind = "closing_changed"  // closed.json counts other recordings than the seal
	StubUnexplained FindingKind = "stub_unexplained" // a line was erased without a sealed erasure
	ErasureUnsealed FindingKind = "erasure_unsealed" // an unsealed erasure hides a sealed recording
	Replaced        FindingKind = "replaced"         // unsealed lines contradict a sealed recording
	AudioMissing    FindingKind = "audio_missing"    // nothing is stored under the key of a sealed line
	AudioChanged    FindingKind = "audio_changed"    // the stored bytes differ
	AudioUnreadable FindingKind = "audio_not_read"   // the store gave no answer
)

// Finding is one difference from the sealed state.
type Finding struct {
	Kind        FindingKind `json:"kind"`
	Seal        int         `json:"seal,omitzero"`
	Day         string      `json:"day,omitempty"`
	File        string      `json:"file,omitempty"` // relative to the archive's root; never a key of a recording
	Line        int         `json:"line,omitzero"`
	RecordingID string      `json:"recording_id,omitempty"`
	Detail      string      `json:"detail"`
	// Resealed, for LinesMissing, says that the newest seals of the day no longer name the file.
	Resealed bool `json:"resealed,omitempty"`
}
