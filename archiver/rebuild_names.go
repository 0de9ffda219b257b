// Indexes the names in the store for a rebuild, and the recordings that claim them.

package archiver

import (
	"cmp"
	"context"
	"fmt"
	"hash/maphash"
	"math/bits"
	"slices"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"convoso-archiver/archiver/key"
	"convoso-archiver/manifest"
)

// standing are the names of all objects in the store, and the recordings that claim them. It needs 21 bytes per
// name. It keeps complete names only if [key.ParseLater] can parse them, and these are few. Comparison ignores
// case, because a file system may ignore it.
type standing struct {
	seed   maphash.Seed
	names  []uint64 // hashes, sorted
	begins []int32  // start in names of the hashes with the same first bits; the last entry is the end
	shift  int      // right shift that leaves these bits of a hash
	claims []uint64 // hash of the recording that claims each name; 0: none
	uses   []use
	later  map[uint64][]string  // complete names, by the hash of their first part
	moved  map[uint64]newestRow // by name, for recordings that claim it on two days
}

type use uint8

const (
	useShared use = 1 << iota // two recordings claim it
	useNoted                  // a line confirms that it holds the recording that claims it
	useAgain                  // one recording claims it on two days
)

// newestRow is the newest row that lists a recording.
type newestRow struct {
	day string
	at  time.Time
}

func (n *standing) hash(name string) uint64 { return maphash.String(n.seed, strings.ToLower(name)) }

// claimant returns the hash of a recording, used in claims.
func (n *standing) claimant(id, call string) uint64 {
	return max(maphash.String(n.seed, id+"\x00"+call), 1)
}

// sorted sorts the names for lookups, once all are added.
func (n *standing) sorted() {
	slices.Sort(n.names)
	n.names = slices.Compact(n.names)
	n.claims, n.uses = make([]uint64, len(n.names)), make([]use, len(n.names))
	used := bits.Len(uint(len(n.names) / 2)) // bits that about one or two names share
	n.shift, n.begins = 64-used, make([]int32, 1<<used+1)
	for _, h := range n.names {
		n.begins[h>>n.shift+1]++
	}
	for i := range n.begins[1:] {
		n.begins[i+1] += n.begins[i]
	}
}

// at finds a name. It first narrows the range by the leading bits: a binary search over all names would miss the cache
// at each step, and most names do not exist.
func (n *standing) at(name string) (i int, stands bool) {
	h := n.hash(name)
	begin, end := n.begins[h>>n.shift], n.begins[h>>n.shift+1]
	i, stands = slices.BinarySearch(n.names[begin:end], h)
	return int(begin) + i, stands
}

// matters reports whether the store has an object under a possible key of a recording, or under a later key derived
// from it.
func (n *standing) matters(k soughtKey) bool {
	_, stands := n.at(k.key)
	return stands || len(n.laterThan(k)) > 0
}

// laterThan returns the names in the store that may be later keys of a recording with that key, or of another
// recording with the same file name.
func (n *standing) laterThan(k soughtKey) (names []string) {
	if k.own || len(n.later) == 0 {
		return nil
	}
	for _, front := range key.Fronts(k.key) {
		names = append(names, n.later[n.hash(front)]...)
	}
	return names
}

// claim notes that a recording may be stored under a name.
func (n *standing) claim(name, id, call string) {
	i, stands := n.at(name)
	if !stands {
		return
	}
	switch by := n.claimant(id, call); n.claims[i] {
	case 0:
		n.claims[i] = by
	case by:
		n.uses[i] |= useAgain
	default:
		n.uses[i] |= useShared
	}
}

// note adds the claim of a ledger line.
func (n *standing) note(e *manifest.Entry) {
	i, stands := n.at(string(e.Key))
	if !stands {
		return
	}
	by := n.claimant(string(e.ID), string(e.CallID))
	if n.claims[i] != 0 && n.claims[i] != by {
		n.uses[i] |= useShared
		return
	}
	n.claims[i] = by
	if e.Outcome == manifest.Archived || e.Outcome == manifest.Damaged || e.Outcome == manifest.Erased || e.Outcome == manifest.Expired { // the audio may still exist
		n.uses[i] |= useNoted
	}
}

// of reports whether a name is in the store, and whether another recording claims it.
func (n *standing) of(name, id, call string) (u use, stands bool) {
	i, stands := n.at(name)
	if !stands {
		return 0, false
	}
	u = n.uses[i]
	if by := n.claims[i]; by != 0 && by != n.claimant(id, call) {
		u |= useShared
	}
	return u, true
}

// takeNames lists the store, and determines which recordings claim its names, from the lines of the ledger and the
// rows of the days to recreate.
func (b *Rebuild) takeNames(ctx context.Context, days []string) error {
	n := &b.names
	n.seed, n.later, n.moved = maphash.MakeSeed(), map[uint64][]string{}, map[uint64]newestRow{}
	for info, err := range b.Store.List(ctx, "") {
		if err != nil {
			return fmt.Errorf("list stored files: %w", err)
		}
		n.names = append(n.names, n.hash(info.Key))
		if later, ok := key.ParseLater(info.Key); ok {
			front := n.hash(later.Front)
			n.later[front] = append(n.later[front], info.Key)
		}
	}
	n.sorted()
	err := b.Ledger.Scan(ctx, func(e manifest.Entry) error {
		if e.Bad != nil {
			return e.Bad // the line may contain any key
		}
		n.note(&e)
		return nil
	})
	if err != nil {
		return fmt.Errorf("read the manifest of the other days: run verify --repair first: %w", err)
	}
	err = b.eachKey(ctx, days, func(_ string, s *sought, name string) { n.claim(name, s.id, s.call) })
	if err != nil || !slices.ContainsFunc(n.uses, func(u use) bool { return u&useAgain != 0 }) {
		return err
	}
	return b.eachKey(ctx, days, func(day string, s *sought, name string) {
		h, newest := n.hash(name), n.moved[n.hash(name)]
		isNewer := cmp.Or(s.at.Compare(newest.at), strings.Compare(day, newest.day)) > 0
		if u, _ := n.of(name, s.id, s.call); u&useAgain != 0 && isNewer {
			n.moved[h] = newestRow{day, s.at}
		}
	})
}

// eachKey calls visit with every possible key of the recordings of the days, sequentially, in any order of days.
func (b *Rebuild) eachKey(ctx context.Context, days []string, visit func(day string, s *sought, name string)) error {
	group, reading := errgroup.WithContext(ctx)
	group.SetLimit(daysAtOnce)
	for _, day := range days {
		group.Go(func() error {
			list, _, err := b.seek(reading, day, map[string]string{})
			if err != nil {
				return fmt.Errorf("read the calls of %s: %w", day, err)
			}
			b.mu.Lock()
			defer b.mu.Unlock()
			for _, s := range list {
				for _, name := range s.keys {
					visit(day, s, name.key)
				}
			}
			return nil
		})
	}
	return group.Wait()
}
