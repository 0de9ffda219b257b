// Gives each recording of a day the identity under which the manifest knows it.

package archiver

import (
	"crypto/sha256"
	"encoding/hex"
	"slices"
	"strings"

	"convoso-archiver/fetcher"
	"convoso-archiver/manifest"
)

// identities assigns the recordings of one day the identity under which the ledger knows them. An identity never
// changes, even if an id is filled in later or a second file appears under a known id.
//
// The rules are in [identities.of], which defines the order of the finders, and in [identities.name]. It does not
// depend on the order of rows, with one exception: of two recordings that share an id and were never noted, the first
// gets the bare id.
type identities struct {
	taken  map[string]bool
	byCall map[string][]noted // recordings of a call from the ledger or an earlier row
	byLink map[string]string  // identity by source, for recordings with a link
}

// noted is a recording that has an identity.
type noted struct {
	id, source string
}

func newIdentities() *identities {
	return &identities{taken: map[string]bool{}, byCall: map[string][]noted{}, byLink: map[string]string{}}
}

// add adds a recording of the ledger.
func (x *identities) add(id string, s *manifest.State) { x.note(s.CallID, id, s.Source) }

func (x *identities) note(call, id, source string) {
	x.taken[id] = true
	x.byCall[call] = append(x.byCall[call], noted{id, source})
	if hasLink(source) {
		x.byLink[source] = id
	}
}

// finder looks for the identity that a recording of a row has. Identities in used belong to other recordings of the
// row.
type finder func(call *fetcher.Call, r *fetcher.Recording, used map[string]bool) (string, bool)

// of returns the identities of a row's recordings, in their order.
func (x *identities) of(call *fetcher.Call) []string {
	ids := make([]string, len(call.Recordings))
	used := map[string]bool{}
	for _, find := range []finder{x.same, x.exact, x.likely} {
		for i := range call.Recordings { // certain matches come before likely ones
			if ids[i] != "" {
				continue
			}
			if id, found := find(call, &call.Recordings[i], used); found {
				ids[i], used[id] = id, true
			}
		}
	}
	for i := range call.Recordings {
		r := &call.Recordings[i]
		for _, find := range []finder{x.same, x.exact} {
			if id, found := find(call, r, used); ids[i] == "" && found { // a second time in this row
				ids[i] = id
			}
		}
		if ids[i] == "" {
			ids[i] = x.name(r)
			used[ids[i]] = true
		}
		// A row that lacks file name and link does not replace them in what is known of the recording:
		// without them, another recording of the call could be mistaken for this one.
		if forgets := r.Source() == "." && x.taken[ids[i]]; !forgets && !x.knows(call.ID, noted{ids[i], r.Source()}) {
			x.note(call.ID, ids[i], r.Source())
		}
	}
	return ids
}

func (x *identities) knows(call string, n noted) bool { return slices.Contains(x.byCall[call], n) }

// isAnothers reports whether the id of an identity belongs to another recording of the row.
func isAnothers(identity string, call *fetcher.Call, r *fetcher.Recording) bool {
	return !isID(identity, r.ID) && slices.ContainsFunc(call.Recordings, func(other fetcher.Recording) bool { return isID(identity, other.ID) })
}

// same finds a recording of the same call, id, file name and link.
func (x *identities) same(call *fetcher.Call, r *fetcher.Recording, _ map[string]bool) (string, bool) {
	source := r.Source()
	for _, n := range x.byCall[call.ID] {
		if n.source == source && isID(n.id, r.ID) {
			return n.id, true
		}
	}
	return "", false
}

// exact finds a recording of the same call, file name and link, or of the same link, file name and id under another
// call. Without a link, two recordings with one file name are distinguished by their ids.
func (x *identities) exact(call *fetcher.Call, r *fetcher.Recording, used map[string]bool) (string, bool) {
	source := r.Source()
	for _, n := range x.byCall[call.ID] {
		if n.source == source && source != "." && (hasLink(source) || r.ID == "" || !used[n.id] && !isAnothers(n.id, call, r)) {
			return n.id, true
		}
	}
	id, found := x.byLink[source]
	return id, found && (r.ID == "" || isID(id, r.ID))
}

// likely finds a recording of the same call whose row has changed since it was noted, or
// was noted by an older version.
func (x *identities) likely(call *fetcher.Call, r *fetcher.Recording, used map[string]bool) (string, bool) {
	if call.ID == "" {
		return "", false // other calls may have no id either
	}
	file, link, _ := strings.Cut(r.Source(), ".")
	for _, n := range x.byCall[call.ID] {
		if used[n.id] || isAnothers(n.id, call, r) {
			continue
		}
		notedFile, notedLink, described := strings.Cut(n.source, ".")
		switch {
		case !described: // of an older version
			if n.id == r.Identity || n.id == r.ID {
				return n.id, true
			}
		case n.source == ".": // it had no identifying field
			return n.id, true
		case r.Source() == "." && isID(n.id, r.ID): // it has nothing else now
			return n.id, true
		case isOtherID(n.id, r.ID) && notedLink != "" && link != "" && notedLink != link: // the file name alone is the same
			continue
		case notedFile == file && file != "", notedLink == link && link != "":
			return n.id, true
		}
	}
	return "", false
}

// isID reports whether an identity is the recording's id.
func isID(identity, id string) bool {
	return id != "" && (identity == id || strings.HasPrefix(identity, id+"#"))
}

// isOtherID reports whether an identity is the id of another recording.
func isOtherID(identity, id string) bool {
	return id != "" && !isID(identity, id) && !fetcher.LacksID(identity)
}

// name makes the identity of a recording that was never noted: its id or, if another one has it,
// the id and a hash of file name and link.
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
