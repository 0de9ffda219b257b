// Collects the history of one recording.

package evidence

import (
	"context"
	"encoding/json"
	"fmt"
	"path"
	"slices"
	"strings"
	"time"

	"convoso-archiver/manifest"
)

// Event is one thing that happened to a recording or call, according to the archive.
type Event struct {
	Time   time.Time `json:"time"`
	What   string    `json:"what"` // listed, archived or another outcome, held, released, closed, sealed
	Day    string    `json:"day"`  // empty for an erasure, which concerns all days
	Run    string    `json:"run,omitempty"`
	File   string    `json:"file,omitempty"` // source of the event, relative to the archive's root
	Line   int       `json:"line,omitzero"`
	Seal   int       `json:"seal,omitzero"`
	Detail string    `json:"detail,omitempty"`

	Size   int64  `json:"size,omitzero"`
	SHA256 string `json:"sha256,omitempty"`
	Key    string `json:"key,omitempty"`
}

// rank is the order of events within one second.
func (e *Event) rank() int {
	switch e.What {
	case "listed":
		return 0
	case "closed":
		return 2
	case "sealed":
		return 3
	}
	return 1
}

// History is the history of one recording or of one call.
type History struct {
	Kind        string   `json:"kind"`         // recording or call
	RecordingID string   `json:"recording_id"` // empty for a call
	CallID      string   `json:"call_id"`
	Recordings  []string `json:"recordings"` // of a call
	// Outcomes are those of the recordings of a call, by id, as readers see them: also erased and expired.
	Outcomes  map[string]manifest.Outcome `json:"outcomes"`
	Days      []string                    `json:"days"`   // call days under which it was listed; empty if no line names it
	Events    []Event                     `json:"events"` // oldest first
	Lines     int                         `json:"lines"`  // lines that name it: in manifest/ for a recording, in calls/ for a call
	Sealed    int                         `json:"lines_sealed"`
	Broken    int                         `json:"seals_broken"` // invalid seals that name its lines
	Checked   bool                        `json:"signers_checked"`
	NotSealed []string                    `json:"removals_not_sealed"` // erasures and expiries that name it and that no seal covers yet

	seals   []stored
	allowed []AllowedSigner
}

// The kinds of a history.
const (
	OfRecording = "recording"
	OfCall      = "call"
)

// HistoryOf reads the history of the recording with an id or, if there is none, of the call with that id. To find its
// days it reads every line of the archive once, and for a call without recordings every row of calls/. A seal counts if
// its lines exist and it is signed by one of the allowed signers, or by anyone if none are given.
func HistoryOf(ctx context.Context, ledger *manifest.Ledger, id string, allowed []AllowedSigner) (History, error) {
	checked := len(allowed) > 0
	h := History{Kind: OfRecording, RecordingID: id, Days: []string{}, Recordings: []string{}, Outcomes: map[string]manifest.Outcome{}, Events: []Event{}, NotSealed: []string{}, Checked: checked, allowed: allowed}
	call := History{Kind: OfCall, CallID: id, Days: []string{}, Recordings: []string{}, Outcomes: map[string]manifest.Outcome{}, Events: []Event{}, NotSealed: []string{}, Checked: checked, allowed: allowed}
	err := ledger.Scan(ctx, func(e manifest.Entry) error {
		switch {
		case e.Bad != nil:
		case string(e.ID) == id:
			h.addDay(e.Day)
		case string(e.CallID) == id:
			call.addDay(e.Day)
			if !slices.Contains(call.Recordings, string(e.ID)) {
				call.Recordings = append(call.Recordings, string(e.ID))
			}
		}
		return nil
	})
	read := (*History).read
	if err == nil && len(h.Days) == 0 {
		if err = call.findCall(ctx, ledger); len(call.Days) > 0 {
			h, read = call, (*History).readCall
		}
	}
	if err != nil || len(h.Days) == 0 {
		return h, err
	}
	if h.seals, _, err = load(ctx, ledger.Objects()); err != nil {
		return h, err
	}
	h.sort()
	for _, day := range h.Days {
		if err := read(&h, ctx, ledger, day); err != nil {
			return h, fmt.Errorf("read day %s: %w", day, err)
		}
	}
	for _, add := range []func(context.Context, *manifest.Ledger) error{h.addErasures, h.addExpiries, h.addHolds, h.addVerifications} {
		if err := add(ctx, ledger); err != nil {
			return h, err
		}
	}
	h.sort()
	return h, nil
}

func (h *History) read(ctx context.Context, ledger *manifest.Ledger, day string) error {
	files := map[string]int{} // lines that name the recording, by segment
	_, err := ledger.Read(ctx, day, func(l manifest.Line) error {
		switch l.Kind {
		case "recording":
			r, err := manifest.Line{Raw: l.Raw}.Recording() // without regard to expiries
			if err != nil || r.RecordingID != h.RecordingID {
				return err
			}
			if h.CallID == "" {
				h.CallID = r.CallID
			}
			h.Lines++
			files[path.Base(l.File)]++
			if r.Time.IsZero() { // a stub, which only says that the line existed
				return nil
			}
			if !slices.ContainsFunc(h.Events, func(e Event) bool { return e.What == "listed" && e.Day == day }) {
				h.Events = append(h.Events, Event{Time: r.FirstSeen, What: "listed", Day: day, Detail: "first seen in the call log"})
			}
			h.Events = append(h.Events, eventOf(r, l, day))
		case "day":
			return h.addClosing(l, day)
		}
		return nil
	}, func(manifest.Fault) error { return nil }) // audit --seals and verify report faults
	if err != nil {
		return err
	}
	return h.addSeals(ctx, ledger, manifest.TreeManifest, day, files)
}

// addClosing adds a day line.
func (h *History) addClosing(l manifest.Line, day string) error {
	line, err := l.DayLine()
	if err != nil {
		return err
	}
	h.Events = append(h.Events, Event{Time: line.Time, What: "closed", Day: day, Run: line.Run, File: l.File, Line: l.Number, Detail: "the day was closed" + forFilter(line.Filter)})
	return nil
}

// addErasures adds the erasures of the recording, or of its call.
func (h *History) addErasures(ctx context.Context, ledger *manifest.Ledger) error {
	about := map[string]bool{}     // erasures
	files := map[string][]string{} // of evidence/, by erasure
	ended := map[string][]Event{}  // by states
	err := ledger.Records(ctx, manifest.ErasureStem, func(file string, raw []byte) error {
		var r manifest.ErasureRecord
		if err := json.Unmarshal(raw, &r); err != nil {
			return err
		}
		files[r.Erasure] = append(files[r.Erasure], path.Base(file))
		e := Event{Time: r.Time, What: string(manifest.Erased), Run: r.Run, File: file, Detail: r.Erasure}
		_, named := manifest.ErasuresOf([]manifest.ErasureRecord{r}).Of(h.RecordingID, h.CallID)
		switch {
		case r.State == manifest.ErasureDone, r.State == manifest.ErasureWithdrawn:
			ended[r.State] = append(ended[r.State], e)
		case named:
			about[r.Erasure] = true
			e.Detail = strings.TrimSuffix("erasure "+r.Erasure+", no longer shown; "+r.Reason, "; ")
			h.Events = append(h.Events, e)
		}
		return nil
	})
	for state, events := range ended {
		for _, e := range events {
			if about[e.Detail] {
				e.Detail = "the erasure " + e.Detail + " is " + state
				h.Events = append(h.Events, e)
			}
		}
	}
	for _, id := range sortedKeys(about) {
		if err == nil {
			err = h.addSealsOf(ctx, ledger, "erasure "+id, func(name string) bool { return slices.Contains(files[id], name) })
		}
	}
	return err
}

// addSealsOf adds the seal from which on all records of an erasure or expiry are sealed, and seals of them that do not hold.
// Without such a seal it adds the erasure or expiry to NotSealed.
func (h *History) addSealsOf(ctx context.Context, ledger *manifest.Ledger, what string, isRecord func(name string) bool) error {
	open := map[string]SealedLines{} // files that no seal covers
	segments, err := ledger.Segments(ctx, manifest.TreeEvidence, "")
	if err != nil {
		return err
	}
	for _, s := range segments {
		if isRecord(s.Name) {
			if open[s.Name], err = readLines(ctx, ledger, s, nil); err != nil {
				return err
			}
		}
	}
	for i := range h.seals {
		s := &h.seals[i]
		for _, claimed := range s.Evidence {
			is, isOpen := open[claimed.Name]
			if !isOpen {
				continue
			}
			signer, problem := h.check(s, claimed, is)
			e := Event{Time: s.Time, File: s.file, Seal: s.Number, What: "sealed", Detail: fmt.Sprintf("the %s, by seal %d, SHA-256 %s%s", what, s.Number, s.hash, signer)}
			if problem != "" {
				e.What, e.Detail = "NOT SEALED", fmt.Sprintf("the %s: seal %d is not valid: %s", what, s.Number, problem)
				h.Broken++
				h.Events = append(h.Events, e)
				continue
			}
			if delete(open, claimed.Name); len(open) == 0 {
				h.Events = append(h.Events, e)
				return nil
			}
		}
	}
	h.NotSealed = append(h.NotSealed, what)
	return nil
}

// addExpiries adds the records of evidence/ about the expiry of the recording's audio, or of that of the call's recordings.
func (h *History) addExpiries(ctx context.Context, ledger *manifest.Ledger) error {
	erasures, err := ledger.Erasures(ctx)
	if err != nil {
		return err
	}
	ids := []string{h.RecordingID}
	if h.Kind == OfCall {
		ids = h.Recordings
	}
	for _, day := range h.Days {
		expired, err := ledger.Expired(ctx, day, nil)
		if err != nil {
			return err
		}
		sealed := map[string]bool{} // expiries whose seals are added
		for _, id := range ids {
			r := expired[id]
			if r == nil {
				continue
			}
			e := Event{Time: r.Time, What: string(manifest.Expired), Day: day, Run: r.Run, Detail: "the audio was removed: " + r.Reason()}
			if _, isOpen := erasures.UnfinishedExpiries()[r.Expiry]; isOpen {
				e.Detail = "the removal of the audio has begun and may be incomplete: " + r.Reason()
			}
			if h.Kind == OfCall {
				e.Detail = "recording " + id + ": " + e.Detail
			}
			h.Events = append(h.Events, e)
			if sealed[r.Expiry] {
				continue
			}
			sealed[r.Expiry] = true
			if err := h.addSealsOf(ctx, ledger, "expiry "+r.Expiry, func(name string) bool { return r.IsIn(name) }); err != nil {
				return err
			}
		}
	}
	return nil
}

// addHolds adds the records of cases that hold the recording, or its call, and of their release.
func (h *History) addHolds(ctx context.Context, ledger *manifest.Ledger) error {
	records, err := readHolds(ctx, ledger)
	if err != nil {
		return err
	}
	holding := map[string]bool{}
	for _, r := range records {
		i := slices.IndexFunc(r.IDs, func(id HeldID) bool {
			return h.RecordingID != "" && id.Recording == h.RecordingID || h.CallID != "" && id.Call == h.CallID
		})
		e := Event{Time: r.Time, What: "held", Run: r.Run, File: r.file, Detail: "for the case " + r.Case}
		switch {
		case r.State == holdRelease && holding[r.Case]:
			e.What, holding[r.Case] = "released", false
		case i >= 0 && !holding[r.Case]:
			e.Day, holding[r.Case] = r.IDs[i].Day, true
		default:
			continue
		}
		h.Events = append(h.Events, e)
	}
	return nil
}

// addVerifications adds the noted verifications that checked a recording. It ignores samples and stopped
// verifications, because their records do not say which recordings they read.
func (h *History) addVerifications(ctx context.Context, ledger *manifest.Ledger) error {
	list, err := ledger.Verifications(ctx)
	if err != nil {
		return err
	}
	for _, v := range list {
		i := slices.IndexFunc(h.Events, func(e Event) bool {
			return e.What == string(manifest.Archived) && v.Covers(e.Day) && e.Time.Before(v.Started)
		})
		if h.Kind != OfRecording || i < 0 || !v.Complete || v.Mode == manifest.VerifiedSample {
			continue
		}
		e := Event{Time: v.Started, What: "verified", Day: h.Events[i].Day, Run: v.Run, Detail: "verify read it: the SHA-256 matches"}
		if v.Mode == manifest.VerifiedQuick {
			e.Detail = "verify --quick compared its size"
		}
		switch damaged, known := v.Found(h.RecordingID); {
		case damaged:
			e.What, e.Detail = "NOT VERIFIED", "verify found it damaged"
		case !known:
			e.What, e.Detail = "NOT VERIFIED", fmt.Sprintf("verify found %d recordings damaged, and named only %d", v.DamagedCount, len(v.Damaged))
		}
		h.Events = append(h.Events, e)
	}
	return nil
}

func forFilter(filter string) string {
	if filter == "" {
		return ""
	}
	return " for the filter " + filter
}

func eventOf(r manifest.Recording, l manifest.Line, day string) Event {
	e := Event{Time: r.Time, What: string(r.Outcome), Day: day, Run: r.Run, File: l.File, Line: l.Number, Size: r.Size, SHA256: r.SHA256}
	var parts []string
	if r.Outcome == manifest.Archived {
		e.Key = r.Key
		if r.Restored {
			parts = append(parts, "verify found the file intact again")
		}
		if r.Host != "" {
			parts = append(parts, "downloaded from "+r.Host)
		}
		if r.ContentType != "" {
			parts = append(parts, r.ContentType)
		}
		if r.Run != "" {
			parts = append(parts, "run "+r.Run)
		}
	} else if r.Reason != "" {
		parts = append(parts, r.Reason)
	}
	if r.Attempts > 1 {
		parts = append(parts, fmt.Sprintf("%d attempts in total", r.Attempts))
	}
	if r.Final {
		parts = append(parts, "final")
	}
	e.Detail = strings.Join(parts, "; ")
	return e
}

// addSeals adds the seals that name a segment with a line of the recording or call: for each segment the first valid
// one, and all invalid ones.
func (h *History) addSeals(ctx context.Context, ledger *manifest.Ledger, tree manifest.Tree, day string, files map[string]int) error {
	there, err := linesOf(ctx, ledger, tree, day, files)
	if err != nil {
		return err
	}
	sealed := map[string]bool{}
	for i := range h.seals {
		s := &h.seals[i]
		for _, claimed := range s.segmentsOf(tree, day) {
			if files[claimed.Name] == 0 || sealed[claimed.Name] {
				continue
			}
			signer, problem := h.check(s, claimed, there[claimed.Name])
			e := Event{Time: s.Time, What: "sealed", Day: day, File: s.file, Seal: s.Number, Detail: fmt.Sprintf("by seal %d, SHA-256 %s%s", s.Number, s.hash, signer)}
			if problem != "" {
				e.What, e.Detail = "NOT SEALED", fmt.Sprintf("seal %d is not valid: %s", s.Number, problem)
				h.Broken++
			} else {
				sealed[claimed.Name] = true
				h.Sealed += files[claimed.Name]
			}
			h.Events = append(h.Events, e)
		}
	}
	return nil
}

// linesOf reads the segments of a day that contain lines of a recording or call.
func linesOf(ctx context.Context, ledger *manifest.Ledger, tree manifest.Tree, day string, files map[string]int) (map[string]SealedLines, error) {
	segments, err := ledger.Segments(ctx, tree, day)
	if err != nil {
		return nil, err
	}
	is := map[string]SealedLines{}
	for _, s := range segments {
		if files[s.Name] == 0 {
			continue
		}
		if is[s.Name], err = readLines(ctx, ledger, s, nil); err != nil {
			return nil, err
		}
	}
	return is, nil
}

// segmentsOf returns a seal's entries for the segments of a day in one tree.
func (s *stored) segmentsOf(tree manifest.Tree, day string) (list []SealedLines) {
	for _, d := range s.Days {
		switch {
		case d.Day != day:
		case tree == manifest.TreeCalls:
			list = append(list, d.CallsSegments...)
		default:
			list = append(list, d.Segments...)
		}
	}
	return list
}

// check says which allowed signer signed a seal, "" if no signers are given, and why the seal does not cover a segment, ""
// if it does.
func (h *History) check(s *stored, claimed, is SealedLines) (signer, problem string) {
	_, err := signedBy(s)
	if h.Checked && err == nil {
		signer, err = checkSignature(s, h.allowed)
		signer = ", signed by " + signer
	}
	switch {
	case s.bad != nil:
		return "", s.bad.Error()
	case err != nil:
		return "", err.Error()
	case claimed != is:
		return "", "the lines of " + claimed.Name + " differ from the sealed ones"
	}
	return signer, ""
}
