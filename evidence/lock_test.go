package evidence

import (
	"context"
	"io/fs"
	"testing"
	"time"

	"convoso-archiver/archiver/store"
	"convoso-archiver/manifest"
)

var noon = time.Date(2025, 5, 1, 12, 0, 0, 0, time.UTC)

func days(n int) time.Duration { return time.Duration(n) * 24 * time.Hour }

func lockFrom(at time.Time, mode store.LockMode, period, after string, all bool) lockRecord {
	parse := func(text string) store.Period {
		p, err := store.ParsePeriod(text)
		if err != nil {
			panic(err)
		}
		return p
	}
	return lockRecord{
		RecordHead: manifest.RecordHead{Time: at}, All: all,
		LockSettings: LockSettings{Mode: mode, For: parse(period), After: parse(after)},
	}
}

func TestLocksWant(t *testing.T) {
	year := lockFrom(noon, store.Governance, "1y", "0s", false)
	for name, c := range map[string]struct {
		records []lockRecord
		stored  time.Time
		isSeal  bool
		want    Wanted
	}{
		"nothing noted":             {nil, noon, false, Wanted{}},
		"stored before":             {[]lockRecord{year}, noon.Add(-time.Second), false, Wanted{}},
		"stored in the same second": {[]lockRecord{year}, noon, false, Wanted{store.Governance, noon.AddDate(1, 0, 0), noon}},
		"stored after":              {[]lockRecord{year}, noon.Add(days(3)), false, Wanted{store.Governance, noon.Add(days(3)).AddDate(1, 0, 0), noon.Add(days(3))}},
		"ended":                     {[]lockRecord{year, lockFrom(noon.Add(days(1)), store.Unlocked, "0s", "0s", false)}, noon.Add(days(2)), false, Wanted{}},
		"before it ended":           {[]lockRecord{year, lockFrom(noon.Add(days(1)), store.Unlocked, "0s", "0s", false)}, noon, false, Wanted{store.Governance, noon.AddDate(1, 0, 0), noon}},
		"shorter since":             {[]lockRecord{year, lockFrom(noon.Add(days(1)), store.Governance, "30d", "0s", false)}, noon, false, Wanted{store.Governance, noon.AddDate(1, 0, 0), noon}},
		"shorter, stored later": {[]lockRecord{year, lockFrom(noon.Add(days(1)), store.Governance, "30d", "0s", false)}, noon.Add(days(1)), false,
			Wanted{store.Governance, noon.Add(days(31)), noon.Add(days(1))}},
		"locked anew by lock":           {[]lockRecord{year, lockFrom(noon.Add(days(1)), store.Compliance, "2y", "0s", true)}, noon, false, Wanted{store.Compliance, noon.AddDate(2, 0, 0), noon}},
		"locked anew, and shorter":      {[]lockRecord{year, lockFrom(noon.Add(days(1)), store.Compliance, "30d", "0s", true)}, noon, false, Wanted{store.Compliance, noon.AddDate(1, 0, 0), noon}},
		"an older archive":              {[]lockRecord{lockFrom(noon, store.Governance, "1y", "0s", true)}, noon.Add(-days(9)), false, Wanted{store.Governance, noon.Add(-days(9)).AddDate(1, 0, 0), noon.Add(-days(9))}},
		"later":                         {[]lockRecord{lockFrom(noon, store.Governance, "1y", "30d", false)}, noon, false, Wanted{store.Governance, noon.AddDate(1, 0, 0), noon.Add(days(30))}},
		"later, but at once for a seal": {[]lockRecord{lockFrom(noon, store.Governance, "1y", "30d", false)}, noon, true, Wanted{store.Governance, noon.AddDate(1, 0, 0), noon}},
		"the earlier of two": {[]lockRecord{lockFrom(noon, store.Governance, "1y", "30d", false), lockFrom(noon.Add(days(1)), store.Governance, "1y", "5d", true)}, noon, false,
			Wanted{store.Governance, noon.AddDate(1, 0, 0), noon.Add(days(5))}},
	} {
		if got := (&Locks{c.records}).Want(c.stored, c.isSeal); got != c.want {
			t.Errorf("%s: %+v, want %+v", name, got, c.want)
		}
	}
}

func TestLockJudge(t *testing.T) {
	want := Wanted{store.Compliance, noon.Add(days(100)), noon}
	for name, c := range map[string]struct {
		want Wanted
		has  store.Lock
		now  time.Time
		is   LockFault
	}{
		"nothing wanted":     {Wanted{}, store.Lock{}, noon, LockGood},
		"missing":            {want, store.Lock{}, noon, LockMissing},
		"a hold is no lock":  {want, store.Lock{LegalHold: true}, noon, LockMissing},
		"not due":            {want, store.Lock{}, noon.Add(-time.Second), LockGood},
		"over":               {want, store.Lock{}, noon.Add(days(100)), LockGood},
		"just not over":      {want, store.Lock{}, noon.Add(days(100) - time.Second), LockMissing},
		"good":               {want, store.Lock{Mode: store.Compliance, Until: noon.Add(days(100))}, noon, LockGood},
		"longer":             {want, store.Lock{Mode: store.Compliance, Until: noon.Add(days(200))}, noon, LockGood},
		"an hour too short":  {want, store.Lock{Mode: store.Compliance, Until: noon.Add(days(100) - time.Hour)}, noon, LockGood},
		"too short":          {want, store.Lock{Mode: store.Compliance, Until: noon.Add(days(100) - time.Hour - time.Second)}, noon, LockShort},
		"weak":               {want, store.Lock{Mode: store.Governance, Until: noon.Add(days(100))}, noon, LockWeak},
		"weak and too short": {want, store.Lock{Mode: store.Governance, Until: noon.Add(days(1))}, noon, LockShort},
		"stronger":           {Wanted{store.Governance, noon.Add(days(1)), noon}, store.Lock{Mode: store.Compliance, Until: noon.Add(days(1))}, noon, LockGood},
	} {
		if got := c.want.Judge(c.has, c.now); got != c.is {
			t.Errorf("%s: %q, want %q", name, got, c.is)
		}
	}
}

// oneLock is a bucket with one object.
type oneLock struct {
	lock     store.Lock
	stored   time.Time
	missing  bool
	byServer bool
}

func (o oneLock) LockOf(context.Context, string) (store.Lock, time.Time, error) {
	if o.missing {
		return store.Lock{}, time.Time{}, fs.ErrNotExist
	}
	return o.lock, o.stored, nil
}

func (oneLock) SetLock(context.Context, string, store.LockMode, time.Time) error { return nil }

func (o oneLock) HasDefaultRetention(context.Context) (bool, error) { return o.byServer, nil }

// TestLockCheck: a due lock may be a day late, because lock runs each night; for a copied object, the time of its
// recording's line counts.
func TestLockCheck(t *testing.T) {
	at := &Locks{[]lockRecord{lockFrom(noon, store.Governance, "1y", "0s", false)}}
	later := &Locks{[]lockRecord{lockFrom(noon, store.Governance, "1y", "30d", false)}}
	soon := &Locks{[]lockRecord{lockFrom(noon, store.Governance, "1y", "2h", false)}}
	for name, c := range map[string]struct {
		locks  *Locks
		bucket oneLock
		noted  time.Time
		now    time.Time
		want   LockFault
	}{
		"at once":                 {at, oneLock{stored: noon}, noon.Add(time.Minute), noon.Add(time.Hour), LockMissing},
		"not due":                 {later, oneLock{stored: noon}, noon, noon.Add(days(29)), LockGood},
		"due, and a day late":     {later, oneLock{stored: noon}, noon, noon.Add(days(31) - time.Second), LockGood},
		"due, and more late":      {later, oneLock{stored: noon}, noon, noon.Add(days(31)), LockMissing},
		"soon, and as late again": {soon, oneLock{stored: noon}, noon, noon.Add(4 * time.Hour), LockMissing},
		"a seal":                  {later, oneLock{stored: noon}, time.Time{}, noon.Add(time.Hour), LockMissing},
		"a copy":                  {at, oneLock{stored: noon.Add(days(9)), lock: store.Lock{Mode: store.Governance, Until: noon.AddDate(1, 0, 0)}}, noon, noon.Add(days(9)), LockGood},
		"adopted":                 {at, oneLock{stored: noon.Add(-days(1))}, noon.Add(time.Hour), noon.Add(time.Hour), LockGood},
		"not shown":               {at, oneLock{stored: noon, byServer: true}, noon, noon.Add(time.Hour), LockUnknown},
	} {
		check := &LockCheck{locks: c.locks, store: c.bucket, now: c.now, byServer: c.bucket.byServer}
		got, detail, err := check.Check(t.Context(), "a.mp3", c.noted)
		if err != nil || got != c.want || (detail == "") != (got == LockGood) {
			t.Errorf("%s: %q, %q, %v; want %q", name, got, detail, err, c.want)
		}
	}
	if _, _, err := (&LockCheck{locks: at, store: oneLock{missing: true}}).Check(t.Context(), "a.mp3", noon); err == nil {
		t.Error("a missing object has no fault")
	}
}

// TestLocksNoted: settings are read back as noted, the newest last; settings that lock applied cover
// everything.
func TestLocksNoted(t *testing.T) {
	ledger, end := newWorld(t).open(false)
	defer end()
	l, err := LoadLocks(t.Context(), ledger)
	if err != nil || !l.IsEmpty() || l.Settings() != (LockSettings{}) {
		t.Fatalf("an archive without notes: %+v, %v", l, err)
	}
	first := lockFrom(noon, store.Compliance, "10y", "30d", false).LockSettings
	first.Confirmed, first.Default = true, true
	second := lockFrom(noon, store.Governance, "1y", "0s", false).LockSettings
	for i, s := range []LockSettings{first, second} {
		if err := l.Note(t.Context(), ledger, s, noon.Add(days(i)), false); err != nil {
			t.Fatal(err)
		}
	}
	second.Confirmed = true // once is enough
	again, err := LoadLocks(t.Context(), ledger)
	if err != nil || again.IsEmpty() || again.Settings() != second || again.Covers(second) {
		t.Errorf("read %+v, %v; want %+v", again, err, second)
	}
	if err := again.Note(t.Context(), ledger, second, noon.Add(days(2)), true); err != nil || !again.Covers(second) || again.Covers(first) {
		t.Errorf("noted for all: %v", err)
	}
	r := Retention{Classes: map[string]store.Period{"a": {Years: 7}}, Campaigns: map[string]string{"7": "a"}}
	for _, want := range []Retention{r, {}, r} {
		if err := NoteRetention(t.Context(), ledger, want); err != nil {
			t.Fatal(err)
		}
		if got, err := LoadRetention(t.Context(), ledger); err != nil || !got.Equal(want) {
			t.Errorf("retention %+v, %v; want %+v", got, err, want)
		}
	}
}
