// Counts the findings of a verification.

package verify

import (
	"cmp"
	"maps"
	"slices"
	"time"
)

// Kind is the kind of a finding. The words are stable.
type Kind string

// The kinds of findings. Those about manifest lines are the words of package manifest.
const (
	Missing        Kind = "missing"         // nothing is stored under the key
	WrongSize      Kind = "wrong_size"      // the object has another size
	WrongHash      Kind = "wrong_hash"      // right size, but other bytes
	Unproved       Kind = "no_checksum"     // the archived line lacks size or SHA-256
	Contradicted   Kind = "contradiction"   // two lines have its key with different bytes
	KnownDamaged   Kind = "damaged"         // was found damaged earlier, and not downloaded again
	BadLine        Kind = "bad_line"        // a line of the manifest cannot be read
	BadCallLine    Kind = "bad_call_line"   // a line of calls/ cannot be read
	TornLine       Kind = "torn_line"       // a manifest file ends in a partial line
	WrongDayLine   Kind = "wrong_day_line"  // a day line disagrees with its lines
	LostSegments   Kind = "lost_segments"   // a segment of a day line is missing
	ChangedSegment Kind = "changed_segment" // a segment of a day line has another size or hash
	NoManifest     Kind = "no_manifest"     // the day has call rows, but no manifest
	BadArchive     Kind = "bad_archive"     // archive.json is missing or cannot be read
	NotReadable    Kind = "not_readable"    // could not be checked; the bytes are unknown
	LockMissing    Kind = "lock_missing"    // it must be locked, but is not
	LockShort      Kind = "lock_short"      // its lock ends too early
	LockWeak       Kind = "lock_mode"       // the mode is governance instead of compliance
	LockUnknown    Kind = "lock_unknown"    // the server does not show its lock; only counted
	HoldMissing    Kind = "hold_missing"    // a case holds it, but its legal hold is off in the store
	Unknown        Kind = "unknown_file"    // not in the manifest; a finding only with Strict
)

// OfRecording reports whether a finding is about a recording, so downloading it again repairs it.
func (k Kind) OfRecording() bool {
	switch k {
	case Missing, WrongSize, WrongHash, Unproved, Contradicted, KnownDamaged:
		return true
	}
	return false
}

// ofManifest reports whether a finding is about a file of manifest/ or calls/.
func (k Kind) ofManifest() bool {
	switch k {
	case BadLine, BadCallLine, TornLine, WrongDayLine, LostSegments, ChangedSegment, NoManifest:
		return true
	}
	return false
}

// ofLock reports whether a finding is about a lock, which the command lock repairs.
func (k Kind) ofLock() bool { return k == LockMissing || k == LockShort || k == LockWeak }

// Finding is one problem.
type Finding struct {
	Kind        Kind   `json:"kind"`
	Day         string `json:"day,omitempty"`
	RecordingID string `json:"recording_id,omitempty"`
	Key         string `json:"key,omitempty"`  // of the recording, or of the unknown file
	File        string `json:"file,omitempty"` // of the manifest
	Line        int    `json:"line,omitempty"` // from 1
	Detail      string `json:"detail"`
}

// MaxListed is the maximum number of findings, and of unknown files, in a Summary; all are counted.
const MaxListed = 10_000

// Summary is the result of a verification.
type Summary struct {
	Answer   string    `json:"answer"`          // set by the caller: the first line of the text
	ExitCode int       `json:"exit_code"`       // likewise
	Error    string    `json:"error,omitempty"` // likewise: why it could not continue
	Stopped  string    `json:"stopped,omitempty"`
	Started  time.Time `json:"started"`
	Ended    time.Time `json:"ended"`
	Seconds  float64   `json:"seconds"`

	Mode   Mode   `json:"mode"`
	From   string `json:"from,omitempty"`
	To     string `json:"to,omitempty"`
	Strict bool   `json:"strict"`

	Days       int   `json:"days"`       // days of the span in the manifest
	DaysDone   int   `json:"days_done"`  // of these, checked to the end; fewer than Days if it was stopped
	Recordings int   `json:"recordings"` // archived on these days according to the manifest, or damaged since
	Asked      int   `json:"asked"`      // of these, selected for a check: all, or a sample
	Checked    int   `json:"checked"`    // of these, checked
	Expired    int   `json:"expired"`    // recordings without audio whose retention has ended; not damage
	Bytes      int64 `json:"bytes"`      // noted bytes of those to check
	BytesRead  int64 `json:"bytes_read"`

	// Damaged is the number of recordings that differ from their line, Unreadable of those that could not
	// be checked.
	Damaged    int          `json:"damaged"`
	Unreadable int          `json:"not_readable"`
	NotHeld    int          `json:"not_held"` // recordings whose legal hold is missing
	Counts     map[Kind]int `json:"counts"`   // of all findings
	Findings   []Finding    `json:"findings"` // the first MaxListed

	LocksChecked bool `json:"locks_checked"` // the archive uses locks, and the mode reads each object's lock
	Unlocked     int  `json:"unlocked"`      // objects without the required lock
	LocksUnknown int  `json:"locks_unknown"` // whose lock the server does not show

	Unknown         int       `json:"unknown"` // files that are not in the manifest
	UnknownBytes    int64     `json:"unknown_bytes"`
	UnknownFiles    []Finding `json:"unknown_files"`   // the first MaxListed
	UnknownChecked  bool      `json:"unknown_checked"` // false if a part of the manifest was unreadable
	Ignored         int       `json:"ignored"`         // files created by systems, and files newer than the start
	Quarantined     int       `json:"quarantined"`     // bodies kept under quarantine/
	Repair          bool      `json:"repair"`
	Reopened        int       `json:"reopened"`         // recordings noted as damaged, to download again
	Restored        int       `json:"restored"`         // recordings noted as archived again: the noted bytes are back
	MendedDays      int       `json:"mended_days"`      // days whose manifest was repaired
	KeptAside       []string  `json:"kept_aside"`       // copies of manifest files with bad lines
	CallsDropped    int       `json:"calls_dropped"`    // bad lines of calls/ that repairs of these days have left out, this one and earlier ones
	ManifestDamaged int       `json:"manifest_damaged"` // findings in the manifest itself and in calls/
	SealedDays      []string  `json:"sealed_days"`      // days with such findings that a seal signs
}

func newSummary(c Config, started time.Time) Summary {
	return Summary{
		Started: started.UTC(), Mode: c.Mode, From: c.From, To: c.To, Strict: c.Strict, Repair: c.Repair,
		Counts: map[Kind]int{}, Findings: []Finding{}, UnknownFiles: []Finding{}, KeptAside: []string{}, SealedDays: []string{},
	}
}

// IsDamaged reports whether there is damage.
func (s *Summary) IsDamaged() bool {
	return s.Damaged > 0 || s.ManifestDamaged > 0 || s.Unlocked > 0 || s.NotHeld > 0 || s.Strict && s.Unknown > 0
}

// IsIncomplete reports whether something could not be checked.
func (s *Summary) IsIncomplete() bool {
	return s.Counts[NotReadable] > 0 || s.Stopped != ""
}

// find adds a finding. The log must not contain keys.
func (r *run) find(f Finding) {
	r.mu.Lock()
	defer r.mu.Unlock()
	s := &r.summary
	s.Counts[f.Kind]++
	switch {
	case f.Kind == Unknown:
		if s.Unknown++; len(s.UnknownFiles) < MaxListed {
			s.UnknownFiles = append(s.UnknownFiles, f)
		}
		return
	case f.Kind == LockUnknown:
		s.LocksUnknown++
		return
	case f.Kind.ofLock():
		s.Unlocked++
	case f.Kind == HoldMissing:
		s.NotHeld++
	case f.Kind == NotReadable:
		s.Unreadable++
	case f.Kind.OfRecording():
		if id := f.Day + " " + f.RecordingID; !r.damaged[id] {
			s.Damaged++
			if len(r.damaged) < MaxListed {
				r.damaged[id] = true
			}
		}
	default:
		s.ManifestDamaged++
	}
	if len(s.Findings) < MaxListed {
		s.Findings = append(s.Findings, f)
	}
	r.Logger.Debug("found", "kind", string(f.Kind), "day", f.Day, "recording_id", f.RecordingID, "file", f.File, "line", f.Line)
}

func (r *run) count(change func(*Summary)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	change(&r.summary)
}

// Summary returns what was found so far; after Run, it is complete and sorted by day. It is safe for concurrent
// use.
func (v *Verifier) Summary() Summary {
	r := v.state.Load()
	if r == nil {
		return newSummary(v.Config, time.Now())
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	s := r.summary
	s.Checked, s.BytesRead = int(r.checked.Load()), r.bytes.Load()
	s.Findings, s.UnknownFiles = sorted(s.Findings), sorted(s.UnknownFiles)
	s.KeptAside = append([]string{}, slices.Sorted(slices.Values(s.KeptAside))...)
	s.Counts = maps.Clone(s.Counts)
	return s
}

func sorted(findings []Finding) []Finding {
	list := append([]Finding{}, findings...)
	slices.SortStableFunc(list, func(a, b Finding) int {
		return cmp.Or(cmp.Compare(a.Day, b.Day), cmp.Compare(a.File, b.File), cmp.Compare(a.Line, b.Line),
			cmp.Compare(a.RecordingID, b.RecordingID), cmp.Compare(a.Key, b.Key))
	})
	return list
}
