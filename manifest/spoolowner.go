package manifest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
)

// ownerFile stands in a spool and holds the id of the archive that its lines are of. The folder of spools is
// chosen by what the user calls the destination, and one name may mean another server's bucket tomorrow.
const ownerFile = "archive"

// errOtherArchive says that archive.json was replaced by another archive's while a run noted lines.
var errOtherArchive = errors.New("archive.json is another archive's than the one that this run notes lines of")

// belongTo notes the archive that the spool's lines are of; it is durable when belongTo returns nil. The id
// changes only while there are no lines: two first runs at once make up one each, and the bucket takes one.
func (s *spool) belongTo(archive string) error {
	s.owning.Lock()
	defer s.owning.Unlock()
	switch {
	case archive == "" || archive == s.archive:
		return nil
	case s.begun:
		return errOtherArchive
	}
	if err := s.writeOwner(archive); err != nil {
		return fmt.Errorf("note the archive of a spool: %w", err)
	}
	s.archive = archive
	return nil
}

// writeOwner replaces the file in one step, so that it never holds half an id.
func (s *spool) writeOwner(archive string) error {
	const part = ownerFile + ".part"
	f, err := s.root.OpenFile(part, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = f.WriteString(archive + "\n")
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return err
	}
	if err := s.root.Rename(part, ownerFile); err != nil {
		return err
	}
	return syncDir(s.root, ".")
}

// owner returns the archive that the spool's lines are of, "" where that is not noted.
func (s *spool) owner() (string, error) {
	data, err := s.root.ReadFile(ownerFile)
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	if err != nil {
		return "", fmt.Errorf("read the archive of a spool: %w", err)
	}
	return strings.TrimSpace(string(data)), nil
}

// begin lets no other archive be noted any more: lines follow.
func (s *spool) begin() {
	s.owning.Lock()
	defer s.owning.Unlock()
	s.begun = true
}

// settleDead uploads the spool of a run that died, if it is of this archive, and deletes it when it is empty.
// Notes of another archive are left alone: in this one they would vouch for recordings that are not there.
func (f spoolFolder) settleDead(ctx context.Context, s *spool, log *slog.Logger) error {
	days, err := s.days()
	if err == nil && len(days) > 0 {
		err = f.uploadOwn(ctx, s, log)
	}
	return errors.Join(err, s.close(ctx))
}

func (f spoolFolder) uploadOwn(ctx context.Context, s *spool, log *slog.Logger) error {
	owner, err := s.owner()
	if err != nil {
		return err
	}
	if owner == "" || owner != f.archive {
		log.Warn("notes of a run that was killed are not of the archive at this destination and were left alone: "+
			"run again with the endpoint, profile and bucket that they were made for, or delete their folder",
			"run", s.run, "folder", filepath.Join(f.dir, s.run), "their_archive", owner, "this_archive", f.archive)
		return nil
	}
	log.Info("uploading the notes of a run that was killed", "run", s.run)
	return s.uploadAll(ctx)
}

// ownArchive returns the id in the bucket's archive.json, "" where there is none or it cannot be read: then no
// dead run's notes are known to be of it.
func (b *bucket) ownArchive(ctx context.Context) (string, error) {
	data, err := b.read(ctx, archiveFile)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, errTooLong) {
		return "", nil
	}
	if err != nil {
		return "", fmt.Errorf("read %s: %w", archiveFile, err)
	}
	if _, err := parseHeader(data); err != nil {
		if later := laterVersion(0); errors.As(err, &later) {
			return "", rawLine{file: archiveFile}.archiveFault(err)
		}
	}
	return archiveID(data), nil
}

// archiveID returns the id in archive.json, "" where it cannot be read.
func archiveID(data []byte) string {
	var a archiveLine
	if json.Unmarshal(data, &a) != nil {
		return ""
	}
	return a.ID
}
