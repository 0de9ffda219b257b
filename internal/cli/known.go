// Refuses to begin a new archive if the old one is not mounted or has lost its manifest.

package cli

import (
	"context"
	"encoding/json"
	"errors"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"convoso-archiver/manifest"
)

// A destination that is a mount point without its mount is an empty folder, and a run would
// begin a new archive there, on another disk. So the state folder remembers which folders
// hold an archive.

const (
	foldersFile     = "folders.json"
	maxFoldersBytes = 1 << 20
	maxFolders      = 1000
)

type foldersDocument struct {
	V       int      `json:"v"`
	Folders []string `json:"folders"` // absolute paths of archives, the one used last at the end
}

// checkFolder refuses to begin an archive in a folder that had one, or that something should
// be mounted on.
func checkFolder(stateDir, folder string, newArchive bool) error {
	if newArchive || holdsArchive(folder) {
		return nil
	}
	if holdsCalls(folder) {
		return lostOverwritten()
	}
	path, err := wholePath(folder)
	if err != nil {
		return misuse("check --dest", "read --dest: %v", err)
	}
	const try = "mount the disk, or give --new-archive to start a new archive"
	if slices.Contains(loadFolders(stateDir), path) && leftByMount(path) {
		return misuse(try, "--dest contained an archive before, but not any more")
	}
	if isUnmounted(path, mountPoints("/etc/fstab"), mountPoints("/proc/self/mounts")) {
		return misuse(try, "--dest is on a mount point of /etc/fstab and nothing is mounted there")
	}
	return nil
}

func lostManifest(try string) error {
	return misuse(try, "--dest has calls/ but no manifest: the manifest is lost")
}

// lostOverwritten is lostManifest for a run that would begin a new archive.
func lostOverwritten() error {
	return lostManifest("run rebuild, or give --new-archive to start a new archive")
}

// refuseLost refuses to begin an archive over one that has lost its manifest: all would be downloaded again.
func refuseLost(ctx context.Context, ledger *manifest.Ledger) error {
	lost, err := ledger.IsLost(ctx)
	if lost {
		return lostOverwritten()
	}
	return err
}

// absent says what is missing where there is no archive.json: the archive, or the manifest of one.
func absent(ctx context.Context, ledger *manifest.Ledger) error {
	lost, err := ledger.IsLost(ctx)
	switch {
	case err != nil:
		return err
	case lost:
		return lostManifest("run rebuild to recreate it")
	}
	return noArchive()
}

// withAbsent replaces an error caused by a missing archive.json with the error of absent.
func withAbsent(ctx context.Context, ledger *manifest.Ledger, err error) error {
	if !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if _, missing := ledger.Archive(ctx); !errors.Is(missing, fs.ErrNotExist) {
		return err
	}
	return absent(ctx, ledger)
}

// holdsCalls reports whether a folder holds call rows of any day. An empty folder of that name may wait for a mount.
func holdsCalls(folder string) bool {
	calls := filepath.Join(folder, "calls")
	if info, err := os.Lstat(calls); err != nil || !info.IsDir() {
		return false
	}
	days, err := os.ReadDir(calls)
	return err == nil && slices.ContainsFunc(days, func(e os.DirEntry) bool {
		if _, err := time.Parse(time.DateOnly, strings.TrimSuffix(e.Name(), ".jsonl")); err != nil {
			return false
		}
		files, err := os.ReadDir(filepath.Join(calls, e.Name()))
		return !e.IsDir() || err == nil && len(files) > 0
	})
}

// wholePath returns the path from the root, without the symbolic links that there are on it:
// the mount point may lie behind one.
func wholePath(folder string) (string, error) {
	path, err := filepath.Abs(folder)
	if err != nil {
		return "", err
	}
	for there := path; there != filepath.Dir(there); there = filepath.Dir(there) {
		if real, err := filepath.EvalSymlinks(there); err == nil {
			return filepath.Join(real, path[len(there):]), nil
		}
	}
	return path, nil
}

// leftByMount reports whether a folder that held an archive may be what a mount leaves behind
// that ended: it is there, or was below a folder that is empty now. Else it was removed.
func leftByMount(path string) bool {
	if _, err := os.Stat(path); err == nil {
		return true
	}
	for above := filepath.Dir(path); ; above = filepath.Dir(above) {
		entries, err := os.ReadDir(above)
		if err == nil {
			return len(entries) == 0
		}
		if filepath.Dir(above) == above {
			return false
		}
	}
}

// holdsArchive reports whether there is an archive in a folder, or the beginning of one.
func holdsArchive(folder string) bool {
	for _, name := range []string{"archive.json", "lock"} {
		if _, err := os.Lstat(filepath.Join(folder, "manifest", name)); err == nil {
			return true
		}
	}
	return false
}

// rememberFolder notes that a folder holds an archive.
func rememberFolder(stateDir, folder string, logger *slog.Logger) {
	path, err := wholePath(folder)
	if err != nil {
		return
	}
	known := loadFolders(stateDir)
	if len(known) > 0 && known[len(known)-1] == path {
		return
	}
	known = append(slices.DeleteFunc(known, func(other string) bool { return other == path }), path)
	known = known[max(0, len(known)-maxFolders):]
	data, err := json.MarshalIndent(foldersDocument{V: 1, Folders: known}, "", "  ")
	if err == nil {
		err = replaceFile(filepath.Join(stateDir, foldersFile), append(data, '\n'))
	}
	if err != nil {
		logger.Warn("cannot remember the folder of this archive", "err", err)
	}
}

// loadFolders returns the folders that hold an archive. A file that is missing or damaged
// means that nothing is known.
func loadFolders(stateDir string) []string {
	data, err := readSmallFile(context.Background(), filepath.Join(stateDir, foldersFile), maxFoldersBytes)
	if err != nil {
		return nil
	}
	var document foldersDocument
	if json.Unmarshal(data, &document) != nil || document.V != 1 {
		return nil
	}
	return document.Folders
}

// mountPoints returns the mount points in a table of the system, none where it has no such
// table.
func mountPoints(table string) []string {
	text, err := os.ReadFile(table)
	if err != nil {
		return nil
	}
	var points []string
	for line := range strings.Lines(string(text)) {
		fields := strings.Fields(line)
		if len(fields) < 2 || strings.HasPrefix(fields[0], "#") || !filepath.IsAbs(fields[1]) {
			continue
		}
		points = append(points, strings.ReplaceAll(fields[1], `\040`, " "))
	}
	return points
}

// isUnmounted reports whether a path lies on one of the mount points, and nothing is mounted
// there. A mount of a folder of the same file system is known by its name alone.
func isUnmounted(path string, points, mounted []string) bool {
	for _, point := range points {
		if point == "/" || path != point && !strings.HasPrefix(path, point+"/") || slices.Contains(mounted, point) {
			continue
		}
		mounted, err := isMounted(point)
		if err == nil && !mounted || errors.Is(err, fs.ErrNotExist) {
			return true
		}
	}
	return false
}
