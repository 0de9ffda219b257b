// Checks the folder for copies of find, and shows their progress.

package cli

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"

	"convoso-archiver/archiver"
	"convoso-archiver/fetcher"
)

// checkCopyFolder refuses a folder for copies that is inside an archive, or that contains the searched one, which is
// "" on S3.
func checkCopyFolder(folder, archive string) error {
	const try = "give a separate folder"
	if schemePattern.MatchString(folder) {
		return misuse("give a folder", "--copy-to: it must be a folder on this machine")
	}
	path, err := realPath(folder)
	if err != nil {
		return misuse("check --copy-to", "read --copy-to: %v", withoutName(err))
	}
	if info, err := os.Stat(path); err == nil && !info.IsDir() {
		return misuse(try, "--copy-to: it is a file")
	}
	for place := path; ; place = filepath.Dir(place) {
		if holdsArchive(place) || archive != "" && isSame(place, archive) {
			return misuse(try, "--copy-to: this folder belongs to an archive")
		}
		if filepath.Dir(place) == place {
			break
		}
	}
	if archive == "" {
		return nil
	}
	home, err := realPath(archive)
	if err != nil {
		return nil // opening the archive fails too, with a better error
	}
	for place := home; filepath.Dir(place) != place; place = filepath.Dir(place) {
		if isSame(filepath.Dir(place), path) {
			return misuse(try, "--copy-to: the archive is in this folder")
		}
	}
	return nil
}

// realPath returns the path without links, whose last elements need not exist.
func realPath(path string) (string, error) {
	path, err := filepath.Abs(path)
	if err != nil {
		return "", err
	}
	real, err := filepath.EvalSymlinks(path)
	if errors.Is(err, fs.ErrNotExist) && filepath.Dir(path) != path {
		parent, err := realPath(filepath.Dir(path))
		return filepath.Join(parent, filepath.Base(path)), err
	}
	return real, err
}

func isSame(a, b string) bool {
	first, err := os.Stat(a)
	if err != nil {
		return false
	}
	second, err := os.Stat(b)
	return err == nil && os.SameFile(first, second)
}

func withoutName(err error) error {
	if e, ok := errors.AsType[*fs.PathError](err); ok {
		return e.Err
	}
	return err
}

// showCopy shows the progress of a copy on a terminal.
func (p *process) showCopy(talk output, progress func() (added, done int, bytes int64)) (stop func()) {
	if talk.quiet || !isTerminal(p.screen) || p.env["TERM"] == "dumb" {
		return func() {}
	}
	return showBars(p.screen, &watcher{
		run: func() archiver.Progress {
			added, done, bytes := progress()
			return archiver.Progress{Summary: archiver.Summary{Archived: done, Recordings: added}, Received: bytes}
		},
		paces: func() []fetcher.Pace { return nil },
	})
}
