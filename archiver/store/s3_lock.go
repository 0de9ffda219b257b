// Sets and reads the locks of objects.

package store

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
)

// LockMode says who can remove a lock early.
type LockMode string

// The modes of locks, in S3's terms.
const (
	Unlocked   LockMode = ""
	Governance LockMode = "GOVERNANCE" // users with s3:BypassGovernanceRetention
	Compliance LockMode = "COMPLIANCE" // nobody
)

// Lock protects a version of an object from deletion.
type Lock struct {
	Version   string // empty in a bucket without versions
	Mode      LockMode
	Until     time.Time // zero if Mode is Unlocked
	LegalHold bool
}

const (
	opLock      = "lock object"
	opReadLock  = "read lock"
	opLegalHold = "set legal hold"

	hintLockRights = "the credentials need s3:GetObjectRetention, s3:PutObjectRetention, s3:GetObjectLegalHold, s3:GetBucketVersioning and " +
		"s3:GetBucketObjectLockConfiguration there; docs/s3.md lists the rights"
)

// Locks returns the lock of every version of the object under a key, the newest first. It skips delete markers; for a
// key without versions the result is empty. Without support for locks, each version has none.
func (s *S3) Locks(ctx context.Context, key string) ([]Lock, error) {
	versions, err := s.versions(ctx, key)
	if err != nil {
		return nil, err
	}
	locks := make([]Lock, 0, len(versions))
	for _, version := range versions {
		lock, _, err := s.lockOf(ctx, key, version)
		if err == nil && !lock.LegalHold {
			lock.LegalHold, err = s.isHeld(ctx, key, version)
		}
		if errors.Is(err, fs.ErrNotExist) { // removed meanwhile
			continue
		}
		if err != nil {
			return nil, err
		}
		locks = append(locks, lock)
	}
	return locks, nil
}

// LockOf returns the lock of the newest version under a key, and its storage time, with one request if it is locked.
// It returns a legal hold only if HEAD shows it. The error for a missing object is fs.ErrNotExist.
func (s *S3) LockOf(ctx context.Context, key string) (lock Lock, stored time.Time, err error) {
	if err := checkPath(key); err != nil {
		return Lock{}, time.Time{}, err
	}
	return s.lockOf(ctx, key, "")
}

// SetLegalHold sets or clears the legal hold of every version of the object under a key. The error is [ErrNoObjectLock]
// if the bucket or the server does not support it, and fs.ErrNotExist if the key has no version.
func (s *S3) SetLegalHold(ctx context.Context, key string, on bool) error {
	versions, err := s.versions(ctx, key)
	if err != nil {
		return err
	}
	status := types.ObjectLockLegalHoldStatusOff
	if on {
		status = types.ObjectLockLegalHoldStatusOn
	}
	if len(versions) == 0 {
		return &failure{text: opLegalHold + ": file missing", is: []error{fs.ErrNotExist}}
	}
	for _, version := range versions {
		err := s.lockCall(ctx, opLegalHold, func(call context.Context) error {
			_, err := s.client.PutObjectLegalHold(call, &s3.PutObjectLegalHoldInput{
				Bucket: s.bucket(), Key: s.at(key), VersionId: versionID(version), LegalHold: &types.ObjectLockLegalHold{Status: status},
				ChecksumAlgorithm: s.checksum.algorithm(),
			})
			return err
		})
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}

// SetLock locks the newest version of the object under a key until a time. A lock cannot be shortened or weakened: the
// server refuses that, and the error is [ErrLocked]. Turning a governance lock into a compliance lock needs the right
// to bypass the former.
func (s *S3) SetLock(ctx context.Context, key string, mode LockMode, until time.Time) error {
	lock, _, err := s.LockOf(ctx, key)
	if err != nil {
		return err
	}
	if lock.Mode == Compliance && mode != Compliance || lock.Mode != Unlocked && until.Before(lock.Until) {
		return &failure{text: opLock + ": it already has a stronger lock", is: []error{ErrLocked}}
	}
	in := &s3.PutObjectRetentionInput{
		Bucket: s.bucket(), Key: s.at(key), VersionId: versionID(lock.Version),
		Retention:         &types.ObjectLockRetention{Mode: types.ObjectLockRetentionMode(mode), RetainUntilDate: aws.Time(until.UTC())},
		ChecksumAlgorithm: s.checksum.algorithm(),
	}
	if lock.Mode == Governance && mode == Compliance {
		in.BypassGovernanceRetention = aws.Bool(true)
	}
	err = s.lockCall(ctx, opLock, func(call context.Context) error {
		_, err := s.client.PutObjectRetention(call, in)
		return err
	})
	if err == nil {
		return nil
	}
	// The server refuses if another run has locked it for longer meanwhile.
	if now, _, lookErr := s.LockOf(ctx, key); lookErr == nil && now.Mode != Unlocked && now.Until.After(lock.Until) {
		return &failure{text: opLock + ": another run has locked it meanwhile", is: []error{ErrLocked}}
	}
	return err
}

var (
	// ErrLocked means that a lock prevents the operation.
	ErrLocked = errors.New("an existing lock prevents this")
	// ErrNoObjectLock means that a bucket or a server does not support locks.
	ErrNoObjectLock = errors.New("the bucket has no Object Lock")
)

// lockOf requests the lock of a version, "" for the newest. HEAD omits the lock for users without the right to see
// it, so a lock that it does not show is requested explicitly.
func (s *S3) lockOf(ctx context.Context, key, version string) (lock Lock, stored time.Time, err error) {
	call, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	head, err := s.client.HeadObject(call, &s3.HeadObjectInput{Bucket: s.bucket(), Key: s.at(key), VersionId: versionID(version)})
	if err != nil {
		return lock, stored, s3Failure(ctx, opReadLock, err)
	}
	if head.ETag == nil && head.LastModified == nil {
		return lock, stored, notAnswered(opReadLock)
	}
	if version == "" {
		version = aws.ToString(head.VersionId)
	}
	lock = Lock{Version: version, Mode: LockMode(head.ObjectLockMode), Until: aws.ToTime(head.ObjectLockRetainUntilDate)}
	lock.LegalHold = head.ObjectLockLegalHoldStatus == types.ObjectLockLegalHoldStatusOn
	if lock.Mode == Unlocked {
		if lock.Mode, lock.Until, err = s.retentionOf(ctx, key, version); err != nil {
			return lock, stored, err
		}
	}
	return lock, aws.ToTime(head.LastModified), nil
}

func (s *S3) retentionOf(ctx context.Context, key, version string) (mode LockMode, until time.Time, err error) {
	err = s.lockCall(ctx, opReadLock, func(call context.Context) error {
		out, err := s.client.GetObjectRetention(call, &s3.GetObjectRetentionInput{Bucket: s.bucket(), Key: s.at(key), VersionId: versionID(version)})
		if err == nil && out.Retention != nil {
			mode, until = LockMode(out.Retention.Mode), aws.ToTime(out.Retention.RetainUntilDate)
		}
		return withoutUnlocked(err)
	})
	return mode, until, err
}

func (s *S3) isHeld(ctx context.Context, key, version string) (held bool, err error) {
	err = s.lockCall(ctx, opReadLock, func(call context.Context) error {
		out, err := s.client.GetObjectLegalHold(call, &s3.GetObjectLegalHoldInput{Bucket: s.bucket(), Key: s.at(key), VersionId: versionID(version)})
		held = err == nil && out.LegalHold != nil && out.LegalHold.Status == types.ObjectLockLegalHoldStatusOn
		return withoutUnlocked(err)
	})
	return held, err
}

// withoutUnlocked returns an error unless it means that an object has no lock, or that its bucket or server
// does not support locks.
func withoutUnlocked(err error) error {
	code := s3Code(err)
	if code == "NoSuchObjectLockConfiguration" || code == "NoSuchObjectLegalHold" /* SeaweedFS's */ || knowsNoLocks(code) {
		return nil
	}
	return err
}

// knowsNoLocks reports whether an answer to a call about locks means that a bucket or a server does not support them.
func knowsNoLocks(code string) bool {
	return slices.Contains([]string{"ObjectLockConfigurationNotFoundError", "InvalidRequest", "NotImplemented", "MethodNotAllowed"}, code)
}

// lockCall makes a small call about locks. If the server refuses, the user lacks rights that storing does not need.
func (s *S3) lockCall(ctx context.Context, op string, call func(context.Context) error) error {
	limited, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	err := call(limited)
	if err == nil {
		return nil
	}
	err = s3Failure(ctx, op, err)
	f, ok := errors.AsType[*failure](err)
	switch {
	case ok && f.hint == hintPermission:
		f.hint = hintLockRights
	case ok && knowsNoLocks(f.code):
		f.is, f.hint = append(f.is, ErrNoObjectLock), hintLockBucket
	}
	return err
}

// versions returns the ids of all versions under a key, the newest first, without delete markers.
func (s *S3) versions(ctx context.Context, key string) ([]string, error) {
	if err := checkPath(key); err != nil {
		return nil, err
	}
	var ids []string
	marked := false
	pages := s3.NewListObjectVersionsPaginator(s.client, &s3.ListObjectVersionsInput{Bucket: s.bucket(), Prefix: s.at(key)},
		func(o *s3.ListObjectVersionsPaginatorOptions) { o.StopOnDuplicateToken = true })
	for pages.HasMorePages() {
		page, err := nextVersions(ctx, pages)
		if err != nil {
			return nil, s3Failure(ctx, "list versions", err)
		}
		for _, m := range page.DeleteMarkers {
			marked = marked || aws.ToString(m.Key) == *s.at(key)
		}
		for _, v := range page.Versions {
			if aws.ToString(v.Key) == *s.at(key) { // and not just a prefix match
				ids = append(ids, aws.ToString(v.VersionId))
			}
		}
	}
	if len(ids) == 1 && ids[0] == "null" && !marked { // versitygw does not accept this id in a bucket without versions
		ids[0] = ""
	}
	return ids, nil
}

// versionID returns the version parameter, nil for the newest.
func versionID(version string) *string { return optional(version) }

// algorithm is the checksum of a small call with a body made by the SDK. AWS requires one for calls about
// locks.
func (c Checksum) algorithm() types.ChecksumAlgorithm {
	if c == ChecksumCRC64NVME {
		return types.ChecksumAlgorithmCrc64nvme
	}
	return types.ChecksumAlgorithmSha256
}

// LockRule defines how recordings are locked. The zero value locks nothing.
type LockRule struct {
	Mode  LockMode
	For   Period // counted from the storage of the object
	After Period // age at which it is locked; zero: when it is stored
}

// String describes the rule for people.
func (r LockRule) String() string {
	if r.Mode == Unlocked {
		return "no locks"
	}
	text := fmt.Sprintf("%s locks for %s", r.Mode, r.For)
	if r.After != (Period{}) {
		text += fmt.Sprintf(", after %s", r.After)
	}
	return text
}
