//go:build linux

package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// tracedDisk is a folder as a traced process left it, with its whole history: what was
// changed, and what was made durable when.
//
// What is durable is what the documentation of the calls promises and no more. A
// file's bytes and length are, up to what was written before an fsync of it was
// called; a name in a folder is, where the folder was synced after the name was made.
// The sync of a file says nothing of its name, and sync_file_range says nothing at all.
// A rename within one folder is one step.
type tracedDisk struct {
	base    string // of this folder and what is below it
	root    *node
	changes []change // in the order in which they returned
	syncs   []syncing
	output  []output

	open  map[int]*openFile // of the present process, by descriptor
	ahead []systemCall      // what is still to be applied
	early map[int]bool      // what was applied early, by position; see lookup
}

// node is a file or folder, whatever its names are.
type node struct {
	names map[string]*node // of a folder, as a process sees it; nil for a file
	size  int64            // of a file, likewise

	durable map[int]*content // by the number of changes; see content
}

func newFolder() *node { return &node{names: map[string]*node{}} }

// openFile is an open file description, which duplicates of a descriptor share.
type openFile struct {
	node    *node
	offset  int64
	appends bool
}

// change is one step: either names in folders, or bytes of a file.
type change struct {
	enter, exit int
	folder      *node // whose names are changed
	names       []naming
	file        *node // whose bytes are changed
	offset      int64
	data        []byte
	truncate    bool // to offset
}

// naming gives a name to a node, or takes it away.
type naming struct {
	name string
	node *node
}

// syncing makes one node durable, or all.
type syncing struct {
	enter, exit int
	node        *node
}

// output is what the process wrote to standard output or error.
type output struct {
	enter int
	text  string
}

// newTracedDisk takes what stands in a folder as durable.
func newTracedDisk(base string) (*tracedDisk, error) {
	d := &tracedDisk{base: base}
	var err error
	d.root, err = d.load(base)
	return d, err
}

func (d *tracedDisk) load(name string) (*node, error) {
	entries, err := os.ReadDir(name)
	if err != nil {
		return nil, err
	}
	folder := newFolder()
	for _, entry := range entries {
		path := filepath.Join(name, entry.Name())
		var child *node
		if entry.IsDir() {
			if child, err = d.load(path); err != nil {
				return nil, err
			}
		} else {
			data, err := os.ReadFile(path)
			if err != nil {
				return nil, err
			}
			child = &node{size: int64(len(data))}
			d.changes = append(d.changes, change{enter: -4, exit: -3, file: child, data: data})
		}
		folder.names[entry.Name()] = child
		d.changes = append(d.changes, change{enter: -4, exit: -3, folder: folder, names: []naming{{entry.Name(), child}}})
	}
	d.syncs = append(d.syncs, syncing{enter: -2, exit: -1})
	return folder, nil
}

// replay adds the calls of one process. They take effect when they return, but for
// close: the descriptor's number may be given away again before it has returned.
func (d *tracedDisk) replay(calls []systemCall) error {
	effect := func(c systemCall) int {
		if c.name == "close" {
			return c.enter
		}
		return c.exit
	}
	calls = slices.DeleteFunc(slices.Clone(calls), func(c systemCall) bool { return c.unknown || c.result == -1 })
	slices.SortFunc(calls, func(a, b systemCall) int { return effect(a) - effect(b) })
	d.open, d.early = map[int]*openFile{}, map[int]bool{}
	for i := range calls {
		if d.early[calls[i].enter] {
			continue
		}
		d.ahead = calls[i+1:]
		if err := d.apply(&calls[i]); err != nil {
			return fmt.Errorf("system call at %d: %w", calls[i].enter, err)
		}
	}
	slices.SortStableFunc(d.changes, func(a, b change) int { return a.exit - b.exit })
	return nil
}

func (d *tracedDisk) apply(c *systemCall) error {
	switch c.name {
	case "openat":
		return d.openat(c)
	case "mkdirat", "linkat", "unlinkat", "renameat", "renameat2":
		return d.changeNames(c)
	case "write", "pwrite64":
		return d.write(c)
	case "sync":
		d.syncs = append(d.syncs, syncing{c.enter, c.exit, nil})
		return nil
	case "mmap":
		if strings.Contains(c.arg(3), "MAP_SHARED") && strings.Contains(c.arg(2), "PROT_WRITE") && c.arg(4) != "-1" {
			return d.refuse(c, 4)
		}
		return nil
	case "copy_file_range", "splice":
		return d.refuse(c, 2)
	case "open", "creat", "openat2", "mkdir", "rmdir", "unlink", "link", "symlink", "symlinkat", "rename", "truncate", "close_range":
		return unknownCall(c)
	}
	return d.applyToFile(c)
}

// applyToFile is apply for calls about an open file.
func (d *tracedDisk) applyToFile(c *systemCall) error {
	fd, _, err := c.descriptor(0)
	if err != nil {
		return err
	}
	file := d.open[fd]
	if file == nil {
		return nil // a connection, or a file elsewhere
	}
	switch c.name {
	case "close":
		delete(d.open, fd)
	case "dup", "dup2", "dup3":
		d.open[int(c.result)] = file
	case "fcntl":
		if strings.HasPrefix(c.arg(1), "F_DUPFD") {
			d.open[int(c.result)] = file
		}
	case "lseek":
		file.offset = c.result
	case "ftruncate":
		size, err := c.number(1)
		if err != nil {
			return err
		}
		d.truncate(c, file.node, size)
	case "fsync", "fdatasync":
		d.syncs = append(d.syncs, syncing{c.enter, c.exit, file.node})
	case "syncfs":
		d.syncs = append(d.syncs, syncing{c.enter, c.exit, nil})
	case "sync_file_range":
	default:
		return unknownCall(c)
	}
	return nil
}

// unknownCall fails the test: better no answer than a wrong one.
func unknownCall(c *systemCall) error {
	return fmt.Errorf("the model of the disk does not know %s(%.300s), teach it", c.name, strings.Join(c.args, ", "))
}

// refuse fails when the call is about an open file of the folder.
func (d *tracedDisk) refuse(c *systemCall, i int) error {
	fd, _, err := c.descriptor(i)
	if err == nil && d.open[fd] != nil {
		err = unknownCall(c)
	}
	return err
}

func (d *tracedDisk) openat(c *systemCall) error {
	folder, name, err := d.resolve(c, 0)
	if err != nil || folder == nil {
		return err
	}
	flags := strings.Split(c.arg(2), "|")
	if slices.Contains(flags, "O_SYNC") || slices.Contains(flags, "O_DSYNC") || slices.Contains(flags, "O_TMPFILE") {
		return unknownCall(c)
	}
	found := d.lookup(c, folder, name)
	switch {
	case found == nil && slices.Contains(flags, "O_CREAT"):
		found = &node{}
		d.name(c, folder, naming{name, found})
	case found == nil:
		return fmt.Errorf("a file is opened that the model does not have: %q", name)
	case slices.Contains(flags, "O_TRUNC"):
		d.truncate(c, found, 0)
	}
	d.open[int(c.result)] = &openFile{node: found, appends: slices.Contains(flags, "O_APPEND")}
	return nil
}

func (d *tracedDisk) changeNames(c *systemCall) error {
	folder, name, err := d.resolve(c, 0)
	if err != nil || folder == nil && c.name != "linkat" {
		return err
	}
	switch c.name {
	case "mkdirat":
		d.name(c, folder, naming{name, newFolder()})
		return nil
	case "unlinkat":
		d.name(c, folder, naming{name, nil})
		return nil
	}
	to, newName, err := d.resolve(c, 2)
	if err != nil {
		return err
	}
	if folder == nil || to == nil {
		return unknownCall(c) // in or out of the folder
	}
	moved := d.lookup(c, folder, name)
	if moved == nil || strings.Contains(c.arg(4), "RENAME_EXCHANGE") {
		return unknownCall(c)
	}
	switch {
	case c.name == "linkat":
		d.name(c, to, naming{newName, moved})
	case folder == to:
		d.name(c, to, naming{newName, moved}, naming{name, nil})
	default:
		d.name(c, to, naming{newName, moved})
		d.name(c, folder, naming{name, nil})
	}
	return nil
}

func (d *tracedDisk) write(c *systemCall) error {
	fd, _, err := c.descriptor(0)
	if err != nil {
		return err
	}
	file := d.open[fd]
	if file == nil && fd != 1 && fd != 2 {
		return nil
	}
	text, err := c.text(1)
	if err != nil {
		return err
	}
	text = text[:c.result]
	if file == nil {
		d.output = append(d.output, output{c.enter, text})
		return nil
	}
	offset := file.offset
	if file.appends {
		offset = file.node.size
	}
	if c.name == "pwrite64" {
		if offset, err = c.number(3); err != nil {
			return err
		}
	} else {
		file.offset = offset + c.result
	}
	file.node.size = max(file.node.size, offset+c.result)
	d.changes = append(d.changes, change{enter: c.enter, exit: c.exit, file: file.node, offset: offset, data: []byte(text)})
	return nil
}

func (d *tracedDisk) truncate(c *systemCall, file *node, size int64) {
	file.size = size
	d.changes = append(d.changes, change{enter: c.enter, exit: c.exit, file: file, offset: size, truncate: true})
}

func (d *tracedDisk) name(c *systemCall, folder *node, names ...naming) {
	for _, n := range names {
		if n.node == nil {
			delete(folder.names, n.name)
		} else {
			folder.names[n.name] = n.node
		}
	}
	d.changes = append(d.changes, change{enter: c.enter, exit: c.exit, folder: folder, names: names})
}

// lookup returns what has a name. One thread may find what another has made before
// strace sees that one's call return: such calls are applied first.
func (d *tracedDisk) lookup(by *systemCall, folder *node, name string) *node {
	if name == "." {
		return folder
	}
	for i := 0; folder.names[name] == nil && i < len(d.ahead); i++ {
		c := &d.ahead[i]
		names := 0 // the argument that names
		switch c.name {
		case "linkat", "renameat", "renameat2":
			names = 2
		case "mkdirat":
		case "openat":
			if !strings.Contains(c.arg(2), "O_CREAT") {
				continue
			}
		default:
			continue
		}
		if c.enter > by.exit || d.early[c.enter] {
			continue
		}
		if in, made, err := d.resolve(c, names); err == nil && in == folder && made == name {
			d.early[c.enter] = true
			if d.apply(c) != nil {
				return nil
			}
		}
	}
	return folder.names[name]
}

// resolve returns the folder and the last name of the path in the arguments i and
// i+1; no folder for a path elsewhere.
func (d *tracedDisk) resolve(c *systemCall, i int) (folder *node, name string, err error) {
	fd, at, err := c.descriptor(i)
	if err != nil {
		return nil, "", err
	}
	path, err := c.text(i + 1)
	if err != nil {
		return nil, "", err
	}
	folder = d.root
	if file := d.open[fd]; file != nil && !filepath.IsAbs(path) {
		folder = file.node
	} else {
		if !filepath.IsAbs(path) {
			path = filepath.Join(at, path)
		}
		if path, err = filepath.Rel(d.base, path); err != nil || !filepath.IsLocal(path) {
			return nil, "", nil
		}
	}
	parts := strings.Split(path, "/")
	for _, part := range parts[:len(parts)-1] {
		if folder = d.lookup(c, folder, part); folder == nil || folder.names == nil {
			return nil, "", fmt.Errorf("%s: the model does not have the folder %q", c.name, part)
		}
	}
	name = parts[len(parts)-1]
	if name == ".." || name == "" {
		return nil, "", unknownCall(c)
	}
	return folder, name, nil
}

// summary says how much there was to see.
func (d *tracedDisk) summary() string {
	whole := 0
	for _, s := range d.syncs {
		if s.node == nil {
			whole++
		}
	}
	return fmt.Sprintf("%d changes and %d syncs, %d of them of the whole file system", len(d.changes), len(d.syncs), whole)
}
