// Decides which came first: a hold, or the removal of a recording that it holds.

package manifest

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"slices"
)

// The states of claims, besides ErasureWithdrawn.
const (
	ClaimHeld    = "held"     // the hold came first: the removal must look for holds again
	ClaimRemoved = "removing" // the removal came first: from here on something may be removed
)

// Claim identifies a removal: an erasure, or the expiry of one day. The removal and every hold that is noted
// at the same time claim to be first. A claim is a numbered file that is created and never replaced, so all
// processes agree on the order. Only ClaimHeld may be followed by another claim.
type Claim struct {
	Erasure     string // empty for an expiry
	Expiry, Day string
}

// Claim identifies the record's erasure.
func (r *ErasureRecord) Claim() Claim { return Claim{Erasure: r.Erasure} }

// Claim identifies the record's expiry on its day.
func (r *ExpiryRecord) Claim() Claim { return Claim{Expiry: r.Expiry, Day: r.Day} }

// Claims returns the claims of all erasures that name a recording or its call.
func (e *Erasures) Claims(recordingID, callID string) (list []Claim) {
	if _, named := e.Of(recordingID, callID); !named {
		return nil
	}
	for _, id := range slices.Sorted(maps.Keys(e.intents)) {
		intent := e.intents[id]
		is := func(id ErasedID) bool { return id.ID != "" && id.ID == recordingID }
		isCall := func(id ErasedID) bool { return id.ID != "" && id.ID == callID }
		if slices.ContainsFunc(intent.Recordings, is) || slices.ContainsFunc(intent.Calls, isCall) {
			list = append(list, intent.Claim())
		}
	}
	return list
}

// IsOpen reports whether an erasure that has not ended names a call.
func (e *Erasures) IsOpen(callID string) bool {
	return slices.ContainsFunc(e.Claims("", callID), func(c Claim) bool { return !e.isDone(c) })
}

// isDone reports whether nothing is left to remove.
func (e *Erasures) isDone(c Claim) bool {
	if c.Erasure != "" {
		return e.done[c.Erasure]
	}
	return !slices.Contains(e.UnfinishedExpiries()[c.Expiry], c.Day)
}

func (c Claim) file(n int) string {
	stem := ErasureStem + "-" + c.Erasure
	if c.Erasure == "" {
		stem = expireStem + c.Day + "-" + c.Expiry
	}
	return fmt.Sprintf("%s/%s-claim-%06d%s", TreeEvidence, stem, n, extPlain)
}

func (c Claim) record(state string) Record {
	if c.Erasure != "" {
		return NewErasureRecord(state, c.Erasure)
	}
	return &ExpiryRecord{RecordHead: RecordHead{Kind: kindExpiry}, State: state, Expiry: c.Expiry, Day: c.Day}
}

// ClaimHold claims for a hold, whose record is durable. It returns true if nothing was removed, and the removal
// will look for holds before it removes anything.
func (l *Ledger) ClaimHold(ctx context.Context, c Claim) (isFirst bool, err error) {
	erasures, err := l.obey(ctx)
	if err != nil || erasures.isDone(c) {
		return false, err
	}
	for n := 1; ; n++ {
		stands, isOwn, err := l.putClaim(ctx, c, n, ClaimHeld)
		if err != nil || isOwn || stands != ClaimHeld {
			return isOwn || stands == ErasureWithdrawn, err
		}
	}
}

// ClaimRemoval claims for the removal, and returns the state of the last claim. If there is none yet, look
// looks for holds and returns the state to claim. contested says that a hold has claimed, whose record an
// earlier look may have missed. look is called again if another hold claims meanwhile.
func (l *Ledger) ClaimRemoval(ctx context.Context, c Claim, look func(contested bool) (state string, err error)) (state string, err error) {
	for n := 1; ; n++ {
		stands, err := l.readClaim(ctx, c, n)
		if err == nil && stands == "" {
			if state, err = look(n > 1); err == nil {
				stands, _, err = l.putClaim(ctx, c, n, state)
			}
		}
		if err != nil || stands != ClaimHeld {
			return stands, err
		}
	}
}

// putClaim creates a claim. If there is one of that number, it returns that one's state.
func (l *Ledger) putClaim(ctx context.Context, c Claim, n int, state string) (stands string, isOwn bool, err error) {
	body, err := l.encodeRecords([]Record{c.record(state)})
	if err != nil {
		return "", false, fmt.Errorf("encode a claim: %w", err)
	}
	name := c.file(n)
	err = l.write(ctx, func() error { return l.objects.PutFile(ctx, name, body, "") })
	if errors.Is(err, fs.ErrExist) {
		text, _, err := readFile(ctx, l.objects, name)
		if err != nil {
			return "", false, err
		}
		if !bytes.Equal(text, body) { // otherwise the reply to an earlier attempt was lost
			stands, err = l.readClaim(ctx, c, n)
			return stands, false, err
		}
	} else if err != nil {
		return "", false, fmt.Errorf("write %s: %w", name, err)
	}
	_, err = l.Erasures(ctx) // this ledger must obey too
	return state, true, err
}

// readClaim returns the state of a claim, "" for none.
func (l *Ledger) readClaim(ctx context.Context, c Claim, n int) (state string, err error) {
	name := c.file(n)
	text, _, err := readFile(ctx, l.objects, name)
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	var claim struct{ State string }
	if err == nil && (json.Unmarshal(text, &claim) != nil || claim.State == "") {
		err = fmt.Errorf("read %s: %w", name, &ErasuresError{name, 1})
	}
	return claim.State, err
}
