//go:build linux

package e2e

import (
	"bytes"
	"os"
	"path/filepath"
	"syscall"
)

// reconcile compares the model with the folder as it stands, and takes over what it
// finds there as changes that nobody made durable. It returns how many there were.
// After a run that ended by itself there are none, or the model is wrong. Of calls
// that a kill cut off strace cannot tell what became of them.
func (d *tracedDisk) reconcile(position int) (differences int, err error) {
	r := reconciliation{disk: d, known: map[uint64]*node{}, bytes: map[*node]*content{}, position: position}
	for _, ch := range d.changes {
		if ch.file == nil {
			continue
		}
		if r.bytes[ch.file] == nil {
			r.bytes[ch.file] = &content{}
		}
		r.bytes[ch.file].changes = append(r.bytes[ch.file].changes, ch)
	}
	for _, step := range []func(*node, string, os.FileInfo) *node{r.learn, r.compare} {
		if err := r.walk(d.root, d.base, step); err != nil {
			return 0, err
		}
	}
	return r.differences, nil
}

type reconciliation struct {
	disk        *tracedDisk
	known       map[uint64]*node // by inode number
	bytes       map[*node]*content
	position    int
	differences int
}

// walk calls step for each name in a real folder; step returns the model's node, into
// which walk descends.
func (r *reconciliation) walk(folder *node, path string, step func(folder *node, path string, info os.FileInfo) *node) error {
	entries, err := os.ReadDir(path)
	if err != nil {
		return err
	}
	for _, entry := range entries {
		info, err := entry.Info()
		if err != nil {
			return err
		}
		path := filepath.Join(path, entry.Name())
		if n := step(folder, path, info); n != nil && n.names != nil {
			if err := r.walk(n, path, step); err != nil {
				return err
			}
		}
	}
	return nil
}

func (r *reconciliation) learn(folder *node, _ string, info os.FileInfo) *node {
	n := folder.names[info.Name()]
	if n != nil {
		r.known[inode(info)] = n
	}
	return n
}

func (r *reconciliation) compare(folder *node, path string, info os.FileInfo) *node {
	n := folder.names[info.Name()]
	if n == nil {
		if n = r.known[inode(info)]; n == nil && info.IsDir() {
			n = newFolder()
		} else if n == nil {
			n = &node{}
		}
		r.known[inode(info)] = n
		folder.names[info.Name()] = n
		r.add(change{folder: folder, names: []naming{{info.Name(), n}}})
	}
	if info.IsDir() {
		r.forgetMissing(n, path)
		return n
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return n // a difference of the next comparison
	}
	was := r.bytes[n]
	if was == nil {
		was = &content{}
		r.bytes[n] = was
	}
	if !bytes.Equal(was.data(), data) {
		n.size = int64(len(data))
		r.bytes[n] = &content{bytes: data}
		for start := range data { // only what differs: the rest may be durable
			if start >= len(was.data()) || was.data()[start] != data[start] {
				r.add(change{file: n, offset: int64(start), data: data[start:]})
				break
			}
		}
		if len(data) < len(was.data()) {
			r.add(change{file: n, offset: n.size, truncate: true})
		}
	}
	return n
}

// forgetMissing takes names out of a folder of the model that the real one lacks.
func (r *reconciliation) forgetMissing(folder *node, path string) {
	for name := range folder.names {
		if _, err := os.Lstat(filepath.Join(path, name)); err != nil {
			delete(folder.names, name)
			r.add(change{folder: folder, names: []naming{{name, nil}}})
		}
	}
}

func (r *reconciliation) add(ch change) {
	ch.enter, ch.exit = r.position, r.position+1
	r.disk.changes = append(r.disk.changes, ch)
	r.differences++
}

func inode(info os.FileInfo) uint64 {
	stat, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return 0
	}
	return stat.Ino
}
