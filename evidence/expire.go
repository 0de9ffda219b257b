// Removes audio whose retention has ended.

package evidence

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"convoso-archiver/manifest"
)

// expireAtOnce is the number of recordings that expire together. A higher number takes more memory; a lower one needs
// more passes over the whole ledger, which look for other recordings with the same audio.
const expireAtOnce = 20_000

// maxKept is the maximum number of recordings that must stay in a result. All are counted.
const maxKept = 10_000

// Expiring removes the audio of recordings that are past their retention. Rows and lines stay.
type Expiring struct {
	*Erasing
	Retention Retention
	Today     string // of the account's zone, like 2025-05-01; see Today
	Yes       bool   // remove; otherwise only count

	// Each may be nil. Without Yes, Run calls it for every recording that Yes would remove, one at a time. Its error ends
	// Run.
	Each func(Due) error

	result Expired
}

// Expired counts recordings past their retention, and what was removed.
type Expired struct {
	Today      string         `json:"today"`
	Recordings int            `json:"recordings"` // past their retention and not removed before
	Bytes      int64          `json:"bytes"`
	FirstDay   string         `json:"first_day"`
	LastDay    string         `json:"last_day"`
	Classes    []ExpiredClass `json:"classes"`
	NoRow      int            `json:"no_row"` // recordings without a call row: their class is unknown, so they stay

	Kept  []Kept `json:"kept"` // recordings that must stay, at most 10,000
	Held  int    `json:"held"` // of all that must stay, those held by a case
	Stays int    `json:"kept_otherwise"`

	Expiries   []string `json:"expiries"` // expiries that this run completed
	Removed    int      `json:"removed"`  // recordings
	Audio      int      `json:"audio_removed"`
	Quarantine int      `json:"quarantine_removed"`
	Unfinished []string `json:"unfinished"` // expiries that were stopped
}

// ExpiredClass counts recordings of one class.
type ExpiredClass struct {
	Class      string `json:"class"`
	Recordings int    `json:"recordings"`
	Bytes      int64  `json:"bytes"`
	FirstDay   string `json:"first_day"`
	LastDay    string `json:"last_day"`
}

// due is a stored recording with the first day past its retention.
type due struct {
	dated
	call, class, ended string
	bytes              int64
}

// Today is the day of a time in the account's zone. It refuses a clock that is behind the archive's newest file, because
// such a clock is wrong.
func Today(ctx context.Context, ledger *manifest.Ledger, now time.Time) (string, error) {
	const slack = 5 * time.Minute // difference between two clocks
	about, err := ledger.Archive(ctx)
	if err != nil {
		return "", fmt.Errorf("read what the archive belongs to: %w", err)
	}
	zone, err := time.LoadLocation(about.TimeZone)
	if err != nil {
		return "", fmt.Errorf("load the archive's time zone: %w", err)
	}
	newest, err := ledger.Newest(ctx)
	if err != nil {
		return "", err
	}
	if now.Before(newest.Add(-slack)) {
		return "", &ClockError{Now: now, Newest: newest}
	}
	return now.In(zone).Format(time.DateOnly), nil
}

// ClockError means that the clock is behind the archive's newest file.
type ClockError struct{ Now, Newest time.Time }

// Error implements error.
func (e *ClockError) Error() string {
	const format = "2006-01-02 15:04:05 UTC"
	return fmt.Sprintf("the clock says %s, but the archive's newest file was written at %s: correct the clock", e.Now.UTC().Format(format), e.Newest.UTC().Format(format))
}

// Run looks for recordings past their retention, and removes their audio if Yes. If it is killed, Resume finishes it.
func (x *Expiring) Run(ctx context.Context) error {
	var batch []due
	for day, err := range x.Ledger.Days(ctx) {
		if err != nil {
			return fmt.Errorf("list the days: %w", err)
		}
		found, err := x.dueOf(ctx, day)
		if err != nil {
			return err
		}
		if len(batch)+len(found) > expireAtOnce { // a day is divided only if it alone is too large: its claims are those of the day
			if err := x.expire(ctx, batch); err != nil {
				return err
			}
			batch = nil
		}
		for batch = append(batch, found...); len(batch) >= expireAtOnce; batch = batch[expireAtOnce:] {
			if err := x.expire(ctx, batch[:expireAtOnce]); err != nil {
				return err
			}
		}
	}
	if err := x.expire(ctx, batch); err != nil || !x.isOpen(x.Ledger.Run()) {
		return err
	}
	return x.end(ctx, x.Ledger.Run())
}

// Resume finishes an expiry that was stopped, for its days. Recordings that a case holds by now stay, and the expiry
// stays unfinished, because the run that noted it may have removed something.
func (x *Expiring) Resume(ctx context.Context, expiry string, days []string) error {
	x.open(expiry)
	stays := x.result.Held + x.result.Stays
	for _, day := range days {
		expired, err := x.Ledger.Expired(ctx, day, nil)
		if err != nil {
			return err
		}
		folded, err := x.Ledger.Read(ctx, day, nil, nil)
		if err != nil {
			return fmt.Errorf("read %s: %w", day, err)
		}
		var list []due
		for _, id := range sortedKeys(expired) {
			if expired[id].Expiry == expiry {
				state, _ := folded.Recording(id)
				list = append(list, due{dated: dated{day, id}, call: state.CallID})
			}
		}
		for part := range slices.Chunk(list, expireAtOnce) {
			free, _, audio, err := x.sift(ctx, part)
			if err == nil {
				free, err = x.claim(ctx, expiry, free, func([]due) error { return nil })
			}
			if err == nil {
				err = x.remove(ctx, free, audio)
			}
			if err != nil {
				return err
			}
		}
	}
	if x.result.Held+x.result.Stays > stays {
		return nil
	}
	return x.end(ctx, expiry)
}

func (x *Expiring) open(expiry string) {
	if !x.isOpen(expiry) {
		x.result.Unfinished = append(x.result.Unfinished, expiry)
	}
}

func (x *Expiring) isOpen(expiry string) bool { return slices.Contains(x.result.Unfinished, expiry) }

func (x *Expiring) end(ctx context.Context, expiry string) error {
	if err := x.Ledger.EndExpiry(ctx, expiry); err != nil {
		return fmt.Errorf("note that the expiry is done: %w", err)
	}
	x.result.Unfinished = slices.DeleteFunc(x.result.Unfinished, func(open string) bool { return open == expiry })
	x.result.Expiries = append(x.result.Expiries, expiry)
	return nil
}

// Result returns the result of Run and Resume so far.
func (x *Expiring) Result() Expired {
	r := x.result
	r.Today = x.Today
	r.Classes, r.Kept = append([]ExpiredClass{}, r.Classes...), append([]Kept{}, r.Kept...)
	r.Expiries, r.Unfinished = append([]string{}, r.Expiries...), append([]string{}, r.Unfinished...)
	slices.SortFunc(r.Classes, func(a, b ExpiredClass) int { return strings.Compare(a.Class, b.Class) })
	return r
}

// dueOf returns the recordings of a day that are past their retention and stored.
func (x *Expiring) dueOf(ctx context.Context, day string) (list []due, err error) {
	if !x.Retention.mayBePast(day, x.Today) {
		return nil, nil
	}
	list, noRow, err := x.storedOf(ctx, day)
	x.result.NoRow += noRow
	return slices.DeleteFunc(list, func(d due) bool { return d.ended == "" || x.Today < d.ended }), err
}

// storedOf returns the stored recordings of a day with a known class, by id, and counts those without a known campaign.
// Recordings that are kept for ever have no class and no end.
func (x *Expiring) storedOf(ctx context.Context, day string) (list []due, noRow int, err error) {
	stored := func(o manifest.Outcome) bool { return o == manifest.Archived || o == manifest.Damaged }
	status, err := x.Ledger.Status(ctx, day)
	if err != nil {
		return nil, 0, fmt.Errorf("look at %s: %w", day, err)
	}
	if len(status.Lines) > 0 && status.Lines[0].ByOutcome[manifest.Archived]+status.Lines[0].ByOutcome[manifest.Damaged] == 0 {
		return nil, 0, nil
	}
	folded, err := x.Ledger.Read(ctx, day, nil, nil)
	if err != nil {
		return nil, 0, fmt.Errorf("read %s: %w", day, err)
	}
	campaigns, err := x.Retention.campaignsOf(ctx, x.Ledger, day)
	if err != nil {
		return nil, 0, err
	}
	for id, state := range folded.Recordings() {
		campaign, known := campaigns[state.CallID]
		class := x.Retention.Class(campaign)
		ended, ends := x.Retention.Ends(day, campaign)
		switch {
		case !stored(state.Outcome):
			continue
		case !known && campaigns != nil:
			noRow++
			continue
		case !ends:
			class = ""
		}
		list = append(list, due{dated{day, id}, state.CallID, class, ended, state.Size})
	}
	slices.SortFunc(list, func(a, b due) int { return cmp.Compare(a.id, b.id) })
	return list, noRow, nil
}

// expire notes that recordings expire, and removes their audio.
func (x *Expiring) expire(ctx context.Context, batch []due) error {
	if len(batch) == 0 {
		return nil
	}
	free, stay, audio, err := x.sift(ctx, batch)
	if err != nil {
		return err
	}
	for _, d := range slices.Concat(free, stay) {
		x.count(d)
	}
	if !x.Yes && x.Each != nil {
		return x.list(ctx, free)
	}
	if !x.Yes || len(free) == 0 {
		return nil
	}
	x.open(x.Ledger.Run())
	if err := x.note(ctx, manifest.ErasureIntent, free); err != nil {
		return fmt.Errorf("note what expires: %w", err)
	}
	free, err = x.claim(ctx, x.Ledger.Run(), free, func(stay []due) error {
		if err := x.note(ctx, manifest.ErasureWithdrawn, stay); err != nil {
			return fmt.Errorf("withdraw what is held: %w", err)
		}
		return nil
	})
	if err != nil {
		return err
	}
	return x.remove(ctx, free, audio)
}

// claim claims the removal of recordings that an expiry names, and returns those that no case holds. It
// withdraws held recordings before it claims, so that a hold that loses the claim sees that they are
// withdrawn.
func (x *Expiring) claim(ctx context.Context, expiry string, free []due, withdraw func([]due) error) ([]due, error) {
	held := map[dated]bool{}
	look := func(list []due) error {
		kept, err := x.heldDue(ctx, list)
		if err != nil {
			return err
		}
		x.keep(kept, held)
		var stay []due
		free, stay = split(free, held)
		return withdraw(stay)
	}
	if err := look(free); err != nil { // of all days at once, because it reads all holds
		return nil, err
	}
	for _, ofDay := range chunkBy(free, func(d due) string { return d.day }) {
		_, err := x.Ledger.ClaimRemoval(ctx, manifest.Claim{Expiry: expiry, Day: ofDay[0].day}, func(contested bool) (string, error) {
			if !contested {
				return manifest.ClaimRemoved, nil
			}
			return manifest.ClaimRemoved, look(ofDay)
		})
		if err != nil {
			return nil, fmt.Errorf("record that the removal begins: %w", err)
		}
	}
	return free, nil
}

// sift separates recordings that may be removed from those that must stay, and finds their audio. It omits a recording
// that another day lists with a retention that has not ended: it expires with that day.
func (x *Expiring) sift(ctx context.Context, batch []due) (free, stay []due, audio []audioOf, err error) {
	w := &wanted{dated: map[dated]bool{}}
	for _, d := range batch {
		w.dated[d.dated] = true
		w.days = append(w.days, d.day)
	}
	slices.Sort(w.days)
	w.days = slices.Compact(w.days)
	held, err := x.heldDue(ctx, batch)
	if err != nil {
		return nil, nil, nil, err
	}
	if audio, err = x.audioOf(ctx, w); err != nil {
		return nil, nil, nil, err
	}
	stays, elsewhere := x.keep(held, map[dated]bool{}), map[dated]bool{}
	var objects []lockable
	for i := range audio {
		a := &audio[i]
		switch at := (dated{a.day, a.id}); {
		case stays[at]:
		case a.shared == a.id:
			elsewhere[at] = true
		case a.shared != "" || a.unsure != "":
			x.keep([]Kept{{Day: a.day, Call: a.call, Recording: a.id, Shared: cmp.Or(a.shared, a.unsure)}}, stays)
		case x.Locks != nil:
			objects = append(objects, objectsOf(audio[i:i+1])...)
		}
	}
	locked, err := x.lockedOf(ctx, objects)
	if err != nil {
		return nil, nil, nil, err
	}
	x.keep(locked, stays)
	batch = slices.DeleteFunc(slices.Clone(batch), func(d due) bool { return elsewhere[d.dated] && !stays[d.dated] })
	free, stay = split(batch, stays)
	return free, stay, audio, nil
}

// heldDue returns the recordings that cases hold.
func (x *Expiring) heldDue(ctx context.Context, list []due) ([]Kept, error) {
	var chosen []Chosen
	for _, d := range list {
		chosen = append(chosen, Chosen{Day: d.day, Call: d.call, Recordings: []ChosenRecording{{ID: d.id}}})
	}
	held, err := x.held(ctx, chosen)
	return slices.DeleteFunc(held, func(k Kept) bool { return k.Recording == "" }), err
}

// keep counts recordings that must stay, each once, and appends them to stays.
func (x *Expiring) keep(list []Kept, stays map[dated]bool) map[dated]bool {
	for _, k := range list {
		at := dated{k.Day, k.Recording}
		if stays[at] {
			continue
		}
		stays[at] = true
		if len(k.Cases) > 0 {
			x.result.Held++
		} else {
			x.result.Stays++
		}
		if len(x.result.Kept) < maxKept {
			x.result.Kept = append(x.result.Kept, k)
		}
	}
	return stays
}

// split divides a list into elements outside and inside of a set.
func split(list []due, set map[dated]bool) (out, in []due) {
	for _, d := range list {
		if set[d.dated] {
			in = append(in, d)
		} else {
			out = append(out, d)
		}
	}
	return out, in
}

// note writes a record for each day and class.
func (x *Expiring) note(ctx context.Context, state string, list []due) error {
	for _, ofDay := range chunkBy(list, func(d due) string { return d.day }) {
		var records []*manifest.ExpiryRecord
		for _, ofClass := range chunkBy(ofDay, func(d due) string { return d.class }) {
			for part := range slices.Chunk(ofClass, idsPerRecord) {
				r := &manifest.ExpiryRecord{State: state, Class: part[0].class, Ended: part[0].ended}
				for _, d := range part {
					r.Recordings = append(r.Recordings, d.id)
				}
				records = append(records, r)
			}
		}
		if err := x.Ledger.PutExpiry(ctx, ofDay[0].day, records...); err != nil {
			return err
		}
	}
	return nil
}

// chunkBy sorts a list by a key, and returns the runs with the same key.
func chunkBy(list []due, by func(due) string) (chunks [][]due) {
	list = slices.SortedStableFunc(slices.Values(list), func(a, b due) int { return strings.Compare(by(a), by(b)) })
	for len(list) > 0 {
		end := slices.IndexFunc(list, func(d due) bool { return by(d) != by(list[0]) })
		if end < 0 {
			end = len(list)
		}
		chunks, list = append(chunks, list[:end]), list[end:]
	}
	return chunks
}

// remove removes the audio of recordings, and their copies under quarantine, and updates the counts of
// their days.
func (x *Expiring) remove(ctx context.Context, list []due, audio []audioOf) error {
	goes := map[dated]bool{}
	for _, d := range list {
		goes[d.dated] = true
	}
	var made Erased
	audio = slices.DeleteFunc(audio, func(a audioOf) bool { return !goes[dated{a.day, a.id}] })
	err := x.removeBodies(ctx, audio, &made)
	x.result.Audio += made.Audio
	if err != nil {
		return err
	}
	for _, ofDay := range chunkBy(list, func(d due) string { return d.day }) {
		var ids []string
		for _, d := range ofDay {
			ids = append(ids, d.id)
		}
		n, err := x.removeQuarantine(ctx, ofDay[0].day, ids)
		x.result.Quarantine += n
		if err != nil {
			return err
		}
		if err := x.Ledger.Recount(ctx, ofDay[0].day); err != nil {
			return err
		}
	}
	x.result.Removed += len(list)
	return nil
}

// count counts a recording that is past its retention.
func (x *Expiring) count(d due) {
	r := &x.result
	r.Recordings, r.Bytes = r.Recordings+1, r.Bytes+d.bytes
	r.FirstDay, r.LastDay = firstDay(r.FirstDay, d.day), max(r.LastDay, d.day)
	r.Classes = countClass(r.Classes, d)
}

// countClass counts a recording in its class.
func countClass(classes []ExpiredClass, d due) []ExpiredClass {
	i := slices.IndexFunc(classes, func(c ExpiredClass) bool { return c.Class == d.class })
	if i < 0 {
		i, classes = len(classes), append(classes, ExpiredClass{Class: d.class})
	}
	c := &classes[i]
	c.Recordings, c.Bytes = c.Recordings+1, c.Bytes+d.bytes
	c.FirstDay, c.LastDay = firstDay(c.FirstDay, d.day), max(c.LastDay, d.day)
	return classes
}

func firstDay(known, day string) string {
	if known == "" {
		return day
	}
	return min(known, day)
}
