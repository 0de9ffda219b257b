// Refuses to start a new archive if the old one is not mounted or has lost its manifest.

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

// An unmounted destination is an empty folder, and a run would start a new archive there, on
// another disk. So the state folder remembers which folders have an archive.

const (
	foldersFile     = "folders.json"
	maxFoldersBytes = 1 << 20
	maxFolders      = 1000
)

type foldersDocument struct {
	V       int      `json:"v"`
	Folders []string `json:"folders"` // absolute paths of archives, last used at the end
}

// checkFolder refuses to start an archive in a folder that had one, or that should be a mount
// point.
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

// lostOverwritten is like lostManifest, for a run that would start a new archive.
func lostOverwritten() error {
	return lostManifest("run rebuild with the settings of archive, or give --new-archive to start a new archive")
}

// refuseLost refuses to start an archive over one that has lost its manifest, because everything would be
// downloaded again.
func refuseLost(ctx context.Context, ledger *manifest.Ledger) error {
	lost, err := ledger.IsLost(ctx)
	if lost {
		return lostInBucket()
	}
	return err
}

// insteadOfRebuild is a better remedy than rebuild: the old manifest also has what rebuild cannot know.
const insteadOfRebuild = " (in a bucket with versions remove the delete markers of manifest/ instead, see docs/s3.md)"

// lostInBucket is like lostOverwritten, for a bucket, which may have versions.
func lostInBucket() error {
	return lostManifest("run rebuild with the settings of archive" + insteadOfRebuild + ", or give --new-archive to start a new archive")
}

// absent returns the error for a missing archive.json: no archive, or a lost manifest.
func absent(ctx context.Context, ledger *manifest.Ledger) error {
	lost, err := ledger.IsLost(ctx)
	switch {
	case err != nil:
		return err
	case lost:
		return lostManifest("run rebuild with the settings of archive to recreate it" + insteadOfRebuild)
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

// holdsCalls reports whether a folder has call rows of any day. An empty folder of that name may be a mount point.
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

// wholePath returns the absolute path without symbolic links, because the mount point may be behind
// one.
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

// leftByMount reports whether a folder that held an archive may be an unmounted mount point: it
// exists, or was below a folder that is empty now. Otherwise it was removed.
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

// holdsArchive reports whether there is an archive in a folder, or the start of one.
func holdsArchive(folder string) bool {
	for _, name := range []string{"archive.json", "lock"} {
		if _, err := os.Lstat(filepath.Join(folder, "manifest", name)); err == nil {
			return true
		}
	}
	return false
}

// rememberFolder notes that a folder has an archive.
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

// loadFolders returns the folders that have an archive. A missing or damaged file counts as empty.
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

// mountPoints returns the mount points in a table of the system, none without such a table.
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

// isUnmounted reports whether a path is on one of the mount points, and nothing is mounted there. A
// bind mount within the same file system is recognised only by its name.
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
