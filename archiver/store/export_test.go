package store

import "errors"

// WithoutLinks makes a disk behave as one on a file system without hard links, and
// without a rename that does not replace either unless canRename.
func (d *Disk) WithoutLinks(canRename bool) {
	d.link = func(string, string) error { return errors.ErrUnsupported }
	if !canRename {
		d.renameNew = d.link
	}
}
