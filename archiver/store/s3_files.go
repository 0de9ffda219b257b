// Writes and removes the manifest's files in a bucket, and tests conditional writes.

package store

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
)

// probeName is the file that [S3.ProveConditionalWrites] writes. Its name is fixed and it is never removed: a bucket
// with retention may forbid deletion, two runs that remove each other's probes would get wrong results, and the next
// proof costs one request instead of two. It is one of the archive's own files, so a policy for those covers it.
const (
	probeName = "manifest/conditional-write-probe"
	probeText = "written to prove that this server honours If-None-Match\n"
)

const (
	opWrite      = "write file"
	opRemoveFile = "remove file"
)

// GetFile opens one of the archive's own files for reading; a missing one is fs.ErrNotExist. The
// tag identifies the content: pass it to PutFile to replace the version that was read. Reading
// fails after a minute without a byte, and when ctx ends.
func (s *S3) GetFile(ctx context.Context, name string) (body io.ReadCloser, tag string, err error) {
	if err := checkPath(name); err != nil {
		return nil, "", err
	}
	object, out, err := s.get(ctx, name, nil)
	if err != nil {
		return nil, "", err
	}
	// The tag in the server's form, which PutFile sends back.
	return object, aws.ToString(out.ETag), nil
}

// ListFiles yields the files whose names begin with prefix, ascending. Name is the complete name,
// relative to the archive's root. It includes recordings. An error ends it.
func (s *S3) ListFiles(ctx context.Context, prefix string) iter.Seq2[fs.FileInfo, error] {
	return func(yield func(fs.FileInfo, error) bool) {
		for object, err := range s.list(ctx, prefix) {
			if err != nil {
				yield(nil, err)
				return
			}
			name := strings.TrimPrefix(aws.ToString(object.Key), s.o.Prefix)
			if checkPath(name) != nil { // like the objects that some tools create for folders
				continue
			}
			if !yield(fileInfo{name, aws.ToInt64(object.Size), aws.ToTime(object.LastModified)}, nil) {
				return
			}
		}
	}
}

// PutFile writes one of the archive's own files, a small one. With ifTag "" it creates the file; otherwise it
// replaces the version with that tag. In both cases the error is fs.ErrExist if there is another version or none,
// and also if the reply to an earlier attempt was lost: the caller must read and compare. The file gets the
// bucket's default storage class, because it will be read again.
func (s *S3) PutFile(ctx context.Context, name string, body []byte, ifTag string) error {
	if err := checkPath(name); err != nil {
		return err
	}
	in := &s3.PutObjectInput{Key: s.at(name)}
	switch {
	case s.o.NoConditionalWrites:
		defer s.lock(name)()
		if err := s.hasTag(ctx, name, ifTag); err != nil {
			return err
		}
	case ifTag == "":
		in.IfNoneMatch = aws.String("*")
	default:
		in.IfMatch = aws.String(strings.Trim(ifTag, `"`)) // Ceph compares it without quotes only
	}
	_, err := s.put(ctx, opWrite, in, bytes.NewReader(body), int64(len(body)), sha256.Sum256(body), sdkAttempts)
	if ifTag != "" && errors.Is(err, fs.ErrNotExist) {
		return errChanged()
	}
	return err
}

// hasTag returns fs.ErrExist if a file has another tag, like a server that honours conditions. ""
// is the tag of a missing file.
func (s *S3) hasTag(ctx context.Context, name, tag string) error {
	head, err := s.head(ctx, name)
	found := ""
	switch {
	case err == nil:
		found = aws.ToString(head.ETag)
	case !errors.Is(err, fs.ErrNotExist):
		return err
	}
	if found != tag {
		return errChanged()
	}
	return nil
}

func errChanged() error {
	return &failure{text: opWrite + ": " + fs.ErrExist.Error(), is: []error{fs.ErrExist}}
}

// ReplaceFile writes a file, replacing an existing one. It is for derived data outside of the archive, such as an
// export: within an archive nothing is replaced unread. The file appears under its name only when it is complete. size
// and sum are those of the body.
func (s *S3) ReplaceFile(ctx context.Context, name string, body io.ReadSeeker, size int64, sum [32]byte) error {
	if err := checkPath(name); err != nil {
		return err
	}
	if size > maxPut {
		return fmt.Errorf("%s: the body has %d bytes, and S3 takes at most 5 GiB in one request", opWrite, size)
	}
	_, err := s.put(ctx, opWrite, &s3.PutObjectInput{Key: s.at(name)}, body, size, sum, sdkAttempts)
	return err
}

// RemoveFile removes a file written by ReplaceFile. A missing file is not an error. In a bucket with versions the
// older ones stay.
func (s *S3) RemoveFile(ctx context.Context, name string) error {
	if err := checkPath(name); err != nil {
		return err
	}
	call, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	out, err := s.client.DeleteObject(call, &s3.DeleteObjectInput{Bucket: s.bucket(), Key: s.at(name)})
	if err != nil {
		return s3Failure(ctx, opRemoveFile, err)
	}
	return confirmed(opRemoveFile, out)
}

// ProveConditionalWrites proves that the server honours If-None-Match by creating probeName twice, or more often if a
// [S3.Try] may have removed it in between. If the first attempt is refused, because an earlier proof left the file,
// that is enough. It also shows whether the bucket is writable at all, with the requested checksum and encryption. The
// error wraps ErrUnusable if no attempt is refused. With NoConditionalWrites it does nothing.
func (s *S3) ProveConditionalWrites(ctx context.Context) error {
	if s.o.NoConditionalWrites {
		return nil
	}
	for range maxCreated {
		err := s.PutFile(ctx, probeName, []byte(probeText), "")
		if errors.Is(err, fs.ErrExist) || hasCode(err, codeConflict) { // a conflict also results from the condition
			return nil
		}
		if errors.Is(err, fs.ErrNotExist) { // no S3 server returns this for a write
			return &failure{
				text: fmt.Sprintf("test conditional writes: %v", err), is: []error{ErrUnusable},
				hint: "check --s3-endpoint and --dest: the server there may not be an S3 server",
			}
		}
		if err != nil {
			return fmt.Errorf("test conditional writes: %w", err)
		}
	}
	f := &failure{
		text: "test conditional writes: the server ignores If-None-Match, so it could overwrite a recording",
		hint: "use --s3-no-conditional-writes, and never start two runs for this archive at the same time",
		is:   []error{ErrUnusable},
	}
	if keeps, err := s.KeepsVersions(ctx); err == nil && keeps {
		f.hint = "use a bucket without versioning, where this server may honour If-None-Match; or use --s3-no-conditional-writes, which excludes locks, and never start two runs for this archive at the same time"
	}
	return f
}

// fileInfo describes one of the archive's own files by its complete name.
type fileInfo struct {
	name    string
	size    int64
	modTime time.Time
}

func (f fileInfo) Name() string       { return f.name }
func (f fileInfo) Size() int64        { return f.size }
func (f fileInfo) Mode() fs.FileMode  { return 0o600 }
func (f fileInfo) ModTime() time.Time { return f.modTime }
func (f fileInfo) IsDir() bool        { return false }
func (f fileInfo) Sys() any           { return nil }
