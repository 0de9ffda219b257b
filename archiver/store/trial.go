// Tests whether a destination is writable, without leaving anything behind.

package store

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
)

// TryDisk checks that [OpenDisk] would open dir for writing, and that the archive's own folders in
// it are writable. It returns the folder that it tested: dir, or its nearest existing parent.
// Errors are those of OpenDisk.
func TryDisk(dir string) (nearest string, err error) {
	nearest, err = tryFolder(dir, atDestination)
	if err != nil || nearest != filepath.Clean(dir) {
		return nearest, err
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nearest, fileFailure("open folder "+dir, atDestination, err)
	}
	d := &Disk{root: root}
	err = d.refuseLinks(dir, false)
	for _, name := range []string{tempFolder, "manifest", "calls"} {
		if err != nil {
			break
		}
		if _, missing := root.Lstat(name); missing == nil {
			err = writeNameless(filepath.Join(dir, name), "write to folder "+filepath.Join(dir, name), atDestination)
		}
	}
	return nearest, errors.Join(err, root.Close())
}

// TryState does the same for a folder of temporary files.
func TryState(dir string) (nearest string, err error) { return tryFolder(dir, atState) }

// tryFolder writes to a folder, or to its nearest existing parent: if that is writable, the others
// can be created. flag is the flag that selects the folder.
func tryFolder(dir, flag string) (nearest string, err error) {
	if dir == "" {
		return "", errors.New("open folder: no name given")
	}
	for nearest = filepath.Clean(dir); ; nearest = filepath.Dir(nearest) {
		info, err := os.Stat(nearest)
		switch {
		case err == nil && !info.IsDir():
			return nearest, &failure{text: "open folder " + dir + ": " + nearest + " is not a folder", hint: "choose another " + flag, is: []error{syscall.ENOTDIR}}
		case err == nil:
			return nearest, writeNameless(nearest, "write to folder "+nearest, flag)
		case !errors.Is(err, fs.ErrNotExist) || nearest == filepath.Dir(nearest):
			return nearest, fileFailure("open folder "+dir, flag, err)
		}
		if _, err := os.Lstat(nearest); err == nil {
			return nearest, &failure{text: "open folder " + dir + ": " + nearest + " is a broken symbolic link", hint: "repair the link, or choose another " + flag}
		}
	}
}

// writeNameless writes a file after removing its name, so that nothing is left if the program dies.
// If the system does not support open files without a name, it removes the name afterwards.
func writeNameless(folder, op, flag string) error {
	file, err := os.CreateTemp(folder, ".probe-*"+partSuffix) // a name that List skips
	if err != nil {
		return fileFailure(op, flag, err)
	}
	gone := os.Remove(file.Name())
	_, err = file.Write(bytes.Repeat([]byte("probe\n"), 1<<10)) // more than fits into an inode
	err = errors.Join(err, file.Sync(), file.Close())
	if gone != nil {
		err = errors.Join(err, os.Remove(file.Name()))
	}
	if err != nil {
		return fileFailure(op, flag, err)
	}
	return nil
}

// Trial is the result of [S3.Try].
type Trial struct {
	Name    string // name of the object
	Stood   bool   // it already existed, so nothing was written
	Honours bool   // the server refused to create it again
	Others  bool   // it appeared or disappeared meanwhile: another trial or a run is active
	// Left says why the object could not be removed, nil if nothing is left. The first archive run
	// would leave it too.
	Left error
}

const (
	// removeTime limits the removal of a trial's objects, also when the caller was stopped.
	removeTime = 5 * time.Second
	// maxCreated is the number of successful creations of probeName that prove that a server
	// ignores If-None-Match: a concurrent trial may have removed it once in between.
	maxCreated = 4
	// maxLooks is how often a trial restarts if the object was removed meanwhile.
	maxLooks = 3
)

// Try proves that objects can be created and read, with the requested checksum and encryption, and tests whether the
// server honours If-None-Match. It creates the object that [S3.ProveConditionalWrites] leaves in each archive until
// it is refused, and removes its own objects, by version if the bucket has versions. If that object exists, one
// refused attempt is enough. Concurrent trials are allowed.
func (s *S3) Try(ctx context.Context) (trial Trial, err error) {
	trial.Name = s.o.Prefix + probeName
	var created []string // versions
	defer func() { trial.Left = s.removeVersions(ctx, created) }()
	for range maxLooks {
		var more []string
		more, err = s.look(ctx, &trial)
		created = append(created, more...)
		if !errors.Is(err, errVanished) {
			return trial, err
		}
		trial.Others = true
	}
	return trial, &failure{
		text: opWrite + ": another doctor removed the object at the same time", hint: "run doctor again when no other doctor runs", retriable: true,
	}
}

// errVanished means that another process removed the object that a trial was about to read.
var errVanished = errors.New("the object was removed meanwhile")

// look makes one trial. It returns the versions that it created, also with an error.
func (s *S3) look(ctx context.Context, trial *Trial) (created []string, err error) {
	_, err = s.head(ctx, probeName)
	trial.Stood = err == nil
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	attempts := maxCreated
	switch {
	case s.o.NoConditionalWrites && trial.Stood:
		attempts = 0
	case s.o.NoConditionalWrites:
		attempts = 1
	}
	for range attempts {
		version, err := s.createProbe(ctx)
		if errors.Is(err, fs.ErrExist) || hasCode(err, codeConflict) {
			trial.Honours = true
			break
		}
		if err != nil {
			return created, err
		}
		created = append(created, version)
	}
	switch n := len(created); {
	case trial.Honours && n > 1, trial.Honours && n > 0 && trial.Stood: // it was removed in between
		trial.Stood, trial.Others = false, true
	case trial.Stood && n > 0 && created[0] == "":
		created = nil // the same bytes were there before
	case trial.Honours && n == 0 && !trial.Stood: // another run has just created it; or versitygw, which remembers removed versions
		return nil, nil
	}
	body, _, err := s.GetFile(ctx, probeName)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, errVanished
	}
	if err != nil {
		return created, err
	}
	return created, body.Close()
}

// createProbe creates probeName and returns its version, "" in a bucket without versions.
func (s *S3) createProbe(ctx context.Context) (version string, err error) {
	in := &s3.PutObjectInput{Key: s.at(probeName)}
	if !s.o.NoConditionalWrites {
		in.IfNoneMatch = aws.String("*")
	}
	body := []byte(probeText)
	out, err := s.put(ctx, opWrite, in, bytes.NewReader(body), int64(len(body)), sha256.Sum256(body), sdkAttempts)
	if err != nil {
		return "", err
	}
	return aws.ToString(out.VersionId), nil
}

// removeVersions removes the objects of a trial. Without versions all ids are empty, and mean one object.
func (s *S3) removeVersions(ctx context.Context, versions []string) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), removeTime)
	defer cancel()
	var errs []error
	for _, version := range slices.Compact(versions) {
		in := &s3.DeleteObjectInput{Bucket: s.bucket(), Key: s.at(probeName), VersionId: optional(version)}
		if _, err := s.client.DeleteObject(ctx, in); err != nil {
			errs = append(errs, s3Failure(ctx, opRemoveFile, err))
		}
	}
	return errors.Join(errs...)
}

// Told splits an error into what happened and what to try, "" for none.
func Told(err error) (what, try string) {
	f, ok := errors.AsType[*failure](err)
	if !ok || f.hint == "" {
		return fmt.Sprint(err), ""
	}
	return strings.TrimSuffix(err.Error(), ": "+f.hint), f.hint
}
