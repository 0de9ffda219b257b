package archiver

import (
	"crypto/sha256"
	"encoding/hex"
	"strings"

	"convoso-archiver/fetcher"
	"convoso-archiver/manifest"
)

// identities gives the recordings of one day their identity, under which the ledger knows
// them. Once given, an identity stays: an id that is filled in later, or a second file
// under a known id, changes none.
//
// The rule is in [identities.find] and [identities.name]. It needs no order of rows, but
// for two recordings that share an id and were never noted: the first one gets the bare id.
type identities struct {
	taken  map[string]bool
	byCall map[string][]noted // what the ledger, or an earlier row, names of a call
	byLink map[string]string  // identity by source, where there is a link
}

// noted is a recording that has an identity.
type noted struct {
	id, source string
}

func newIdentities() *identities {
	return &identities{taken: map[string]bool{}, byCall: map[string][]noted{}, byLink: map[string]string{}}
}

// add takes a recording of the ledger.
func (x *identities) add(id string, s *manifest.State) { x.note(s.CallID, id, s.Source) }

func (x *identities) note(call, id, source string) {
	x.taken[id] = true
	x.byCall[call] = append(x.byCall[call], noted{id, source})
	if hasLink(source) {
		x.byLink[source] = id
	}
}

// of returns the identities of a row's recordings, in their order.
func (x *identities) of(call *fetcher.Call) []string {
	ids := make([]string, len(call.Recordings))
	used := map[string]bool{}
	for i := range call.Recordings { // what is certain comes before what is likely
		r := &call.Recordings[i]
		if id, found := x.exact(call.ID, r); found {
			ids[i], used[id] = id, true
		}
	}
	for i := range call.Recordings {
		if ids[i] != "" {
			continue
		}
		r := &call.Recordings[i]
		id, found := x.likely(call.ID, r, used)
		if !found {
			id = x.name(r)
		}
		ids[i], used[id] = id, true
		x.note(call.ID, id, r.Source())
	}
	return ids
}

// exact finds a recording of the same call, file name and link, or of the same link,
// file name and id under another call.
func (x *identities) exact(call string, r *fetcher.Recording) (string, bool) {
	source := r.Source()
	for _, n := range x.byCall[call] {
		if n.source == source && source != "." {
			return n.id, true
		}
	}
	id, found := x.byLink[source]
	return id, found && (r.ID == "" || id == r.ID || strings.HasPrefix(id, r.ID+"#"))
}

// likely finds a recording of the same call whose row has changed since it was noted, or
// was noted by an older version.
func (x *identities) likely(call string, r *fetcher.Recording, used map[string]bool) (string, bool) {
	if call == "" {
		return "", false // other calls have no id either
	}
	file, link, _ := strings.Cut(r.Source(), ".")
	for _, n := range x.byCall[call] {
		if used[n.id] {
			continue
		}
		notedFile, notedLink, described := strings.Cut(n.source, ".")
		switch {
		case !described: // of an older version
			if n.id == r.Identity || n.id == r.ID {
				return n.id, true
			}
		case n.source == ".": // it had nothing to know it by
			return n.id, true
		case notedFile == file && file != "", notedLink == link && link != "":
			return n.id, true
		}
	}
	return "", false
}

// isID reports whether an identity was made of the recording's id.
func isID(identity, id string) bool {
	return id != "" && (identity == id || strings.HasPrefix(identity, id+"#"))
}

// name makes the identity of a recording that was never noted: its id, or where another
// one has that, the id and a hash of file name and link.
func (x *identities) name(r *fetcher.Recording) string {
	if r.ID != "" && !x.taken[r.ID] {
		return r.ID
	}
	if r.ID == "" && !x.taken[r.Identity] {
		return r.Identity
	}
	sum := sha256.Sum256([]byte(r.CallID + "\x00" + r.Source()))
	return r.ID + "#" + hex.EncodeToString(sum[:8])
}

func hasLink(source string) bool {
	_, link, _ := strings.Cut(source, ".")
	return link != ""
}
