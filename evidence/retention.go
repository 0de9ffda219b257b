// Records how long recordings of each class are kept.

package evidence

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"
	"time"

	"convoso-archiver/archiver/store"
	"convoso-archiver/manifest"
)

const stemRetention = "retention"

// retentionRecord is a line of evidence/ with the retention that applies from its time on.
type retentionRecord struct {
	manifest.RecordHead
	Retention
}

// NotedRetention is a retention with its source.
type NotedRetention struct {
	Noted time.Time `json:"noted"` // time of the note of archive
	File  string    `json:"file"`  // file in evidence/
	Retention
}

// LoadRetention returns the newest retention that archive noted, the zero value for none.
func LoadRetention(ctx context.Context, ledger *manifest.Ledger) (Retention, error) {
	last, err := LoadNotedRetention(ctx, ledger)
	return last.Retention, err
}

// LoadNotedRetention is like LoadRetention, and also returns the source of the retention.
func LoadNotedRetention(ctx context.Context, ledger *manifest.Ledger) (NotedRetention, error) {
	return lastRetention(ctx, ledger, nil)
}

// lastRetention returns the last record. With only, other files of evidence/ than those that it is true for do not count.
func lastRetention(ctx context.Context, ledger *manifest.Ledger, only func(name string) bool) (last NotedRetention, err error) {
	err = ledger.Records(ctx, stemRetention, func(file string, raw []byte) error {
		if only != nil && !only(path.Base(file)) {
			return nil
		}
		var r retentionRecord
		if err := json.Unmarshal(raw, &r); err != nil {
			return &manifest.BadLineError{File: file, Reason: err.Error()}
		}
		if !r.Time.Before(last.Noted) {
			last = NotedRetention{r.Time, file, r.Retention}
		}
		return nil
	})
	if err != nil {
		return NotedRetention{}, fmt.Errorf("read the retention: %w", err)
	}
	return last, nil
}

// NoteRetention notes the retention that applies from now on.
func NoteRetention(ctx context.Context, ledger *manifest.Ledger, r Retention) error {
	last, err := LoadNotedRetention(ctx, ledger)
	if err != nil {
		return err
	}
	head := manifest.RecordHead{Kind: stemRetention, Time: nextTime(last.Noted, time.Now())}
	if err := ledger.PutRecords(ctx, stemRetention, &retentionRecord{RecordHead: head, Retention: r}); err != nil {
		return fmt.Errorf("save the retention: %w", err)
	}
	return nil
}

// Equal reports whether two retentions are the same.
func (r Retention) Equal(o Retention) bool {
	return r.Default == o.Default && maps.Equal(r.Classes, o.Classes) && maps.Equal(r.Campaigns, o.Campaigns)
}

// Retention says how long recordings are kept, by the campaign of their call. Its zero value keeps everything
// for ever.
type Retention struct {
	Classes   map[string]store.Period `json:"classes"`   // retention of each class
	Campaigns map[string]string       `json:"campaigns"` // from a campaign's id to its class
	Default   string                  `json:"default"`   // class of all other campaigns; empty: they are kept for ever
}

// IsZero reports whether nothing ever ends.
func (r Retention) IsZero() bool { return len(r.Classes) == 0 }

// Class returns the class of a campaign, given by its id, and "" if it has none.
func (r Retention) Class(campaign string) string {
	if class, ok := r.Campaigns[campaign]; ok {
		return class
	}
	return r.Default
}

// Ends returns the first day on which a recording is past its retention: the day of its call, like 2025-05-01, and
// the period of its class. A year from February 29 ends on March 1. ok is false for recordings that are kept for
// ever.
func (r Retention) Ends(day, campaign string) (end string, ok bool) {
	period, ok := r.Classes[r.Class(campaign)]
	if !ok {
		return "", false
	}
	return endOf(day, period)
}

// endOf returns the first day after a period from a day on.
func endOf(day string, period store.Period) (end string, ok bool) {
	start, err := time.Parse(time.DateOnly, day)
	if err != nil {
		return "", false // without a valid day nothing is removed
	}
	const almost = 24*time.Hour - 1 // a part of a day counts as a whole day
	return period.After(start).Add(almost).Format(time.DateOnly), true
}

// IsPast reports whether a recording is past its retention on a day.
func (r Retention) IsPast(day, campaign, today string) bool {
	end, ok := r.Ends(day, campaign)
	return ok && today >= end
}

// mayBePast reports whether a recording of some campaign is past its retention.
func (r Retention) mayBePast(day, today string) bool {
	for _, period := range r.Classes {
		if end, ok := endOf(day, period); ok && today >= end {
			return true
		}
	}
	return false
}

// campaignsOf returns the campaigns of the calls of a day, nil if retention does not depend on campaigns. A row that
// cannot be read is an error, because the retention of its recordings is unknown.
func (r Retention) campaignsOf(ctx context.Context, ledger *manifest.Ledger, day string) (campaigns map[string]string, err error) {
	if len(r.Campaigns) == 0 {
		return nil, nil
	}
	campaigns = map[string]string{}
	var bad *manifest.BadLineError
	err = ledger.ReadCalls(ctx, day, func(c manifest.Call) error {
		campaigns[c.CallID] = CampaignOf(c.Row)
		return nil
	}, func(f manifest.Fault) {
		bad = &manifest.BadLineError{Day: day, File: f.File, Line: f.Line, Reason: f.Reason}
	})
	if err == nil && bad != nil {
		err = bad
	}
	if err != nil {
		return nil, fmt.Errorf("read the calls of %s: %w", day, err)
	}
	return campaigns, nil
}

// CampaignOf returns the id of the campaign of a call, given its row from calls/, and "" for none.
func CampaignOf(row []byte) string {
	var fields struct {
		Campaign json.RawMessage `json:"campaign_id"`
	}
	if json.Unmarshal(row, &fields) != nil || len(fields.Campaign) == 0 {
		return ""
	}
	var id string
	if fields.Campaign[0] != '"' {
		id = string(fields.Campaign)
	} else if json.Unmarshal(fields.Campaign, &id) != nil {
		return ""
	}
	if id = strings.TrimSpace(id); strings.EqualFold(id, "null") {
		return ""
	}
	return id
}

// IsCampaignID reports whether a text can be the id of a campaign: the vendor's ids have only digits, so a name is none.
func IsCampaignID(text string) bool {
	return text != "" && strings.Trim(text, "0123456789") == ""
}

// Check returns what is wrong with settings, or nil.
func (r Retention) Check() error {
	for _, name := range slices.Sorted(maps.Keys(r.Classes)) {
		if !isClass(name) {
			return fmt.Errorf("%q is not a valid name of a class: use at most 64 of a-z, A-Z, 0-9, - . and _", name)
		}
	}
	for _, campaign := range slices.Sorted(maps.Keys(r.Campaigns)) {
		if _, ok := r.Classes[r.Campaigns[campaign]]; !ok {
			return fmt.Errorf("campaign %s has the class %q, which has no retention", campaign, r.Campaigns[campaign])
		}
	}
	if _, ok := r.Classes[r.Default]; r.Default != "" && !ok {
		return fmt.Errorf("the default class %q has no retention", r.Default)
	}
	return nil
}

// isClass reports whether a name is a valid tag value on every server.
func isClass(name string) bool {
	odd := func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && !strings.ContainsRune("-._", r)
	}
	return name != "" && len(name) <= 64 && !strings.ContainsFunc(name, odd)
}
