//go:build linux

package e2e

import (
	"crypto/sha256"
	"encoding/hex"
	"iter"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
)

// keep says what else a power cut leaves than what is durable.
type keep string

const (
	keepDurable keep = "nothing else"
	keepNames   keep = "every name, and no byte"
	keepLengths keep = "every name, and NUL for every byte"
	keepAll     keep = "everything" // as after a kill
	keepSome    keep = "anything"   // drawn for each change, also for those under way; writes may be cut short
	keepPages   keep = "any page"   // likewise, and of a write some pages without those before them
)

const pageSize = 4096

// cut is a disk after a power cut: what stands under which name.
type cut struct {
	at      int
	keep    keep
	folders []string
	files   map[string]*content // by path below the base
}

// content is what a file holds. It is not computed before it is asked for.
type content struct {
	changes []change
	bytes   []byte
	hash    string
	lines   *parsedLines
}

func (c *content) data() []byte {
	if c.bytes != nil || len(c.changes) == 0 {
		return c.bytes
	}
	var data []byte
	for _, ch := range c.changes {
		end := ch.offset + int64(len(ch.data))
		if end > int64(len(data)) {
			data = append(data, make([]byte, end-int64(len(data)))...)
		}
		if ch.truncate {
			data = data[:ch.offset]
		}
		copy(data[ch.offset:], ch.data)
	}
	c.bytes = data
	return data
}

func (c *content) sum() string {
	if c.hash == "" {
		sum := sha256.Sum256(c.data())
		c.hash = hex.EncodeToString(sum[:])
	}
	return c.hash
}

// durableUntil returns up to which position the changes of a node are durable after a
// cut: to where the last sync of it began that had returned.
func (d *tracedDisk) durableUntil(at int) func(*node) int {
	all := -1 << 62
	single := map[*node]int{}
	for _, s := range d.syncs {
		switch {
		case s.exit >= at:
		case s.node == nil:
			all = max(all, s.enter)
		default:
			if until, known := single[s.node]; !known || until < s.enter {
				single[s.node] = s.enter
			}
		}
	}
	return func(n *node) int {
		if until, known := single[n]; known {
			return max(all, until)
		}
		return all
	}
}

// cutPower returns the disk after a power cut before the position at.
func (d *tracedDisk) cutPower(at int, keep keep, random *rand.Rand) cut {
	until := d.durableUntil(at)
	names := map[*node]map[string]*node{}
	type bytesOf struct {
		kept  []change
		extra bool // not only what is durable
	}
	files := map[*node]*bytesOf{}
	for _, ch := range d.changes {
		if ch.exit >= at && (ch.enter >= at || !keep.drawn()) {
			continue
		}
		if ch.folder != nil {
			if ch.exit < until(ch.folder) || keep.keepsNames(random) {
				in := names[ch.folder]
				if in == nil {
					in = map[string]*node{}
					names[ch.folder] = in
				}
				for _, n := range ch.names {
					in[n.name] = n.node
				}
			}
			continue
		}
		file := files[ch.file]
		if file == nil {
			file = &bytesOf{}
			files[ch.file] = file
		}
		if ch.exit < until(ch.file) {
			file.kept = append(file.kept, ch)
			continue
		}
		for left := range keep.leftOf(ch, random) {
			file.kept = append(file.kept, left)
			file.extra = true
		}
	}
	c := cut{at: at, keep: keep, files: map[string]*content{}}
	var walk func(folder *node, path string)
	walk = func(folder *node, path string) {
		for name, n := range names[folder] {
			path := filepath.Join(path, name)
			switch {
			case n == nil:
			case n.names != nil:
				c.folders = append(c.folders, path)
				walk(n, path)
			case files[n] == nil:
				c.files[path] = &content{}
			case files[n].extra:
				c.files[path] = &content{changes: files[n].kept}
			default:
				c.files[path] = n.durableContent(files[n].kept)
			}
		}
	}
	walk(d.root, "")
	slices.Sort(c.folders)
	return c
}

// durableContent returns the same content for the same changes, so that it is
// computed and read once for all cuts.
func (n *node) durableContent(changes []change) *content {
	known := n.durable[len(changes)]
	if known == nil {
		known = &content{changes: changes}
		if n.durable == nil {
			n.durable = map[int]*content{}
		}
		n.durable[len(changes)] = known
	}
	return known
}

func (k keep) drawn() bool { return k == keepSome || k == keepPages }

func (k keep) keepsNames(random *rand.Rand) bool {
	return k != keepDurable && (!k.drawn() || random.IntN(2) == 0)
}

// leftOf yields what is left of a change of bytes that is not durable.
func (k keep) leftOf(ch change, random *rand.Rand) iter.Seq[change] {
	return func(yield func(change) bool) {
		var whole, empty, torn, holed bool
		switch {
		case k.drawn():
			chance := random.IntN(4)
			whole, empty, torn = chance == 0, chance == 1, chance == 2
			holed = torn && k == keepPages
		default:
			whole, empty = k == keepAll, k == keepLengths
		}
		switch {
		case whole || ch.truncate && (torn || empty):
			yield(ch)
		case empty:
			ch.data = make([]byte, len(ch.data))
			yield(ch)
		case holed:
			for page := range pages(ch) {
				if random.IntN(2) == 0 && !yield(page) {
					return
				}
			}
		case torn:
			ch.data = ch.data[:random.IntN(len(ch.data)+1)]
			yield(ch)
		}
	}
}

// pages cuts a change at the bounds of the file's pages.
func pages(ch change) iter.Seq[change] {
	return func(yield func(change) bool) {
		for len(ch.data) > 0 {
			page := ch
			page.data = ch.data[:min(len(ch.data), pageSize-int(ch.offset%pageSize))]
			ch.data, ch.offset = ch.data[len(page.data):], ch.offset+int64(len(page.data))
			if !yield(page) {
				return
			}
		}
	}
}

// writeTo makes the folders and files below an empty folder.
func (c cut) writeTo(base string) error {
	for _, folder := range c.folders {
		if err := os.MkdirAll(filepath.Join(base, folder), 0o700); err != nil {
			return err
		}
	}
	for name, content := range c.files {
		if err := os.WriteFile(filepath.Join(base, name), content.data(), 0o600); err != nil {
			return err
		}
	}
	return nil
}
