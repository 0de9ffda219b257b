// Reads and writes the records of audio that was removed at the end of its retention.

package manifest

import (
	"context"
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// ExpiryStem is the stem of the files of evidence/ that hold expiries.
const ExpiryStem = "expire"

// expireStem begins the names of the files of evidence/ that hold expiries: expire-2025-05-01-RUN-000001.jsonl concerns
// one day, so a reader of a day needs no other file; expire-done-RUN-000001.jsonl marks the expiry of RUN as complete.
const expireStem = ExpiryStem + "-"

const kindExpiry = "expiry"

var expiryName = regexp.MustCompile(`^expire-(done|\d{4}-\d\d-\d\d)-(\d{8}T\d{6}Z-[0-9a-z]{8})-`)

// ExpiryRecord is a line of evidence/expire-*: recordings of one day whose audio is removed because their retention has
// ended. Their lines and rows stay unchanged.
type ExpiryRecord struct {
	RecordHead          // of kind "expiry", which PutExpiry sets
	State      string   `json:"state"`  // ErasureIntent, ErasureWithdrawn or ErasureDone
	Expiry     string   `json:"expiry"` // the run that noted the intent
	Day        string   `json:"day,omitzero"`
	Class      string   `json:"class,omitzero"` // of retention, of an intent
	Ended      string   `json:"ended,omitzero"` // the first day past the retention, likewise
	Recordings []string `json:"recordings,omitempty"`
}

// Reason returns the reason of an expired recording, as shown by readers.
func (r *ExpiryRecord) Reason() string {
	return fmt.Sprintf(`its retention, class "%s", ended on %s; expiry %s`, r.Class, r.Ended, r.Expiry)
}

// IsIn reports whether a file of evidence/, by its name, holds records of the expiry on its day.
func (r *ExpiryRecord) IsIn(name string) bool {
	return strings.HasPrefix(name, expireStem+r.Day+"-"+r.Expiry+"-")
}

// PutExpiry notes intents, or their withdrawal, for one day and this run. Every reader obeys from then on.
func (l *Ledger) PutExpiry(ctx context.Context, day string, records ...*ExpiryRecord) error {
	var list []Record
	for _, r := range records {
		r.Kind, r.Expiry, r.Day = kindExpiry, l.run, day
		list = append(list, r)
	}
	return l.PutRecords(ctx, expireStem+day, list...)
}

// EndExpiry marks an expiry as complete.
func (l *Ledger) EndExpiry(ctx context.Context, expiry string) error {
	r := &ExpiryRecord{RecordHead: RecordHead{Kind: kindExpiry}, State: ErasureDone, Expiry: expiry}
	return l.PutRecords(ctx, expireStem+"done-"+expiry, r)
}

// expiries are the files of evidence/ about expiries. They are immutable; nil means none.
type expiries struct {
	files int                        // total number
	days  map[string][]StoredSegment // by day
	open  map[string][]string        // days of unfinished expiries, by expiry
}

// expiriesOf sorts the files of evidence/.
func expiriesOf(files []StoredSegment) (*expiries, error) {
	x := &expiries{files: len(files), days: map[string][]StoredSegment{}, open: map[string][]string{}}
	done := map[string]bool{}
	for _, f := range files {
		parts := expiryName.FindStringSubmatch(f.Name)
		switch {
		case parts == nil:
			return nil, fmt.Errorf("read %s: %w", f.file, &ErasuresError{f.file, 1})
		case parts[1] == "done":
			done[parts[2]] = true
		default:
			day, expiry := parts[1], parts[2]
			x.days[day] = append(x.days[day], f)
			if !slices.Contains(x.open[expiry], day) {
				x.open[expiry] = append(x.open[expiry], day)
			}
		}
	}
	for expiry := range done {
		delete(x.open, expiry)
	}
	return x, nil
}

// UnfinishedExpiries returns the unfinished expiries and their days.
func (e *Erasures) UnfinishedExpiries() map[string][]string {
	if e == nil || e.expiries == nil {
		return nil
	}
	return e.expiries.open
}

// expiring returns the files about expiries of a day.
func (e *Erasures) expiring(day string) []StoredSegment {
	if e == nil || e.expiries == nil {
		return nil
	}
	return e.expiries.days[day]
}

// Expired returns the expired recordings of a day by id. With only, it uses just the files of evidence/ that only
// accepts.
func (l *Ledger) Expired(ctx context.Context, day string, only func(name string) bool) (map[string]*ExpiryRecord, error) {
	erasures, err := l.obey(ctx)
	if err != nil {
		return nil, err
	}
	files := slices.Clone(erasures.expiring(day))
	return l.expiredBy(ctx, slices.DeleteFunc(files, func(f StoredSegment) bool { return only != nil && !only(f.Name) }))
}

// expiredBy returns the expiries in files by recording, nil for none. The latest expiry of a recording counts.
func (l *Ledger) expiredBy(ctx context.Context, files []StoredSegment) (map[string]*ExpiryRecord, error) {
	if len(files) == 0 {
		return nil, nil
	}
	expired, withdrawn := map[string]*ExpiryRecord{}, map[[2]string]bool{}
	var records []ExpiryRecord
	for _, f := range files {
		_, err := l.ReadSegment(ctx, f, func(line SegmentLine) error {
			var r ExpiryRecord
			switch err := json.Unmarshal(line.Raw, &r); {
			case r.V > formatVersion:
				return l.noteLater(&VersionError{File: f.file, V: r.V})
			case line.Bad != nil || err != nil || r.Kind != kindExpiry || r.Expiry == "":
				return &ErasuresError{f.file, line.Number}
			}
			records = append(records, r)
			return nil
		})
		if err != nil {
			return nil, err
		}
	}
	for i := range records {
		for _, id := range records[i].Recordings {
			if records[i].State == ErasureWithdrawn {
				withdrawn[[2]string{records[i].Expiry, id}] = true
			}
		}
	}
	for i := range records {
		r := &records[i]
		if r.State != ErasureIntent {
			continue
		}
		for _, id := range r.Recordings {
			if was := expired[id]; !withdrawn[[2]string{r.Expiry, id}] && (was == nil || was.Expiry < r.Expiry) {
				expired[id] = r
			}
		}
	}
	return expired, nil
}

// expire returns the line of an expired recording, with outcome and reason of the expiry.
func (v *view) expire(r *ExpiryRecord) {
	v.outcome, v.reason = []byte(Expired), []byte(r.Reason())
	v.cause, v.listing, v.restored, v.again, v.final = nil, nil, false, false, true
}

// Expired returns the expiry of a recording of the day, known or not, as of the reading of the day.
func (d *Day) Expired(id string) (r *ExpiryRecord, ok bool) {
	r, ok = d.expired[id]
	return r, ok
}

// withoutExpired updates complete lines that are not stored yet: lines of recordings that have expired meanwhile say
// "expired".
func withoutExpired(lines []byte, expired map[string]*ExpiryRecord, leave func(Recording)) (kept []byte, err error) {
	if len(expired) == 0 {
		return lines, nil
	}
	for line := range strings.Lines(string(lines)) {
		var v view
		kind, err := parseLine([]byte(strings.TrimSuffix(line, "\n")), &v)
		if err != nil {
			return nil, err
		}
		text := []byte(line)
		if r := expired[string(v.id)]; kind == kindRecording && r != nil && Outcome(v.outcome) != Expired {
			leave(v.recording())
			v.expire(r)
			text, err = v.recording().line()
		}
		if err != nil {
			return nil, err
		}
		kept = append(kept, text...)
	}
	return kept, nil
}

// Recount updates the counts in closed.json after recordings of the day have expired. Roots stay, and the day stays closed.
func (l *Ledger) Recount(ctx context.Context, day string) error {
	for range erasePasses {
		changed, err := l.renewClosings(ctx, day, false)
		if err != nil {
			return fmt.Errorf("count %s anew: %w", day, err)
		}
		if !changed {
			return nil
		}
	}
	return fmt.Errorf("count %s anew: other runs keep writing to this day: run the command again when they have ended", day)
}
