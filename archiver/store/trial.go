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
	"strings"
	"syscall"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
)

// A trial does what storing needs and leaves nothing behind, so that a set-up can be checked
// before anything is stored with it.

// TryDisk proves that [OpenDisk] would open dir for writing, and that the archive's own
// folders in it can be written to. It returns the folder that it looked at: dir, or the
// nearest above it where dir is not there. Errors are those of OpenDisk.
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

// TryState proves that a folder for temporary files can be made and written to, as TryDisk
// does.
func TryState(dir string) (nearest string, err error) { return tryFolder(dir, atState) }

// tryFolder writes to a folder, or to the nearest one above it that is there: who may write to
// that may make the others. flag is the one that chooses the folder.
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
			return nearest, &failure{text: "open folder " + dir + ": " + nearest + " is a link to nothing", hint: "mend it, or choose another " + flag}
		}
	}
}

// writeNameless writes a file whose name is gone before its content comes, so that nothing is
// left, whenever the program dies. Where the system lets no open file live on without a name,
// the name goes afterwards.
func writeNameless(folder, op, flag string) error {
	file, err := os.CreateTemp(folder, ".probe-*"+partSuffix) // a name that List passes over
	if err != nil {
		return fileFailure(op, flag, err)
	}
	gone := os.Remove(file.Name())
	_, err = file.Write(bytes.Repeat([]byte("probe\n"), 1<<10)) // more than fits into a folder's entry
	err = errors.Join(err, file.Sync(), file.Close())
	if gone != nil {
		err = errors.Join(err, os.Remove(file.Name()))
	}
	if err != nil {
		return fileFailure(op, flag, err)
	}
	return nil
}

// Trial is what [S3.Try] did.
type Trial struct {
	Name    string // of the object
	Stood   bool   // it stood there before, so that nothing was written
	Honours bool   // the server refused to create it again
	// Left says why the object could not be removed, nil where nothing is left. The first run
	// that archives would leave it too.
	Left error
}

// removeTime bounds the removal of what a trial has written, also when the caller was stopped.
const removeTime = 5 * time.Second

// Try proves that objects can be created and read here, with the checksum and the encryption
// asked for, and tells whether the server honours If-None-Match. It creates twice the object
// that [S3.ProveConditionalWrites] leaves in each archive, and removes what it has created, by
// its version where the bucket has versions. Where that object stands, one refused attempt is
// all.
func (s *S3) Try(ctx context.Context) (trial Trial, err error) {
	trial.Name = s.o.Prefix + probeName
	switch _, err := s.head(ctx, probeName); {
	case err == nil:
		trial.Stood = true
	case !errors.Is(err, fs.ErrNotExist):
		return trial, err
	}
	var created []string // versions
	defer func() { trial.Left = s.removeVersions(ctx, created) }()
	attempts := 2
	switch {
	case s.o.NoConditionalWrites && trial.Stood:
		attempts = 0
	case s.o.NoConditionalWrites, trial.Stood:
		attempts = 1
	}
	for range attempts {
		version, err := s.createProbe(ctx)
		if errors.Is(err, fs.ErrExist) || hasCode(err, codeConflict) {
			trial.Honours = true
			break
		}
		if err != nil {
			return trial, err
		}
		if version != "" || !trial.Stood { // else the same bytes stand where they stood
			created = append(created, version)
		}
	}
	if !trial.Stood && len(created) == 0 {
		return trial, nil // another run has just created it; or versitygw, which remembers what was removed by its version
	}
	body, _, err := s.GetFile(ctx, probeName)
	if err != nil {
		return trial, err
	}
	return trial, body.Close()
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

// removeVersions removes what a trial has written. Without versions both are one object.
func (s *S3) removeVersions(ctx context.Context, versions []string) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), removeTime)
	defer cancel()
	var errs []error
	for _, version := range versions {
		in := &s3.DeleteObjectInput{Bucket: s.bucket(), Key: s.at(probeName), VersionId: optional(version)}
		if _, err := s.client.DeleteObject(ctx, in); err != nil {
			errs = append(errs, s3Failure(ctx, "remove file", err))
		}
	}
	return errors.Join(errs...)
}

// Told splits an error into what happened and what this package says to try, "" for nothing.
func Told(err error) (what, try string) {
	f, ok := errors.AsType[*failure](err)
	if !ok || f.hint == "" {
		return fmt.Sprint(err), ""
	}
	return strings.TrimSuffix(err.Error(), ": "+f.hint), f.hint
}
