// Tests that a bucket enforces locks before anything is stored with one.

package store

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
)

const (
	lockProbeName = "manifest/lock-probe"
	lockProbeText = "written to prove that this bucket keeps what is locked\n"
	// lockProbeTime is the lock time of the probe, in governance mode: a later proof removes a probe that cannot be
	// removed immediately.
	lockProbeTime = time.Minute
	// lockProofs is the maximum number of attempts of a proof: versitygw confuses versions of an object that two runs
	// store concurrently.
	lockProofs = 4

	opProveLocks    = "test locks"
	hintLockBucket  = "use a bucket that was made with Object Lock; docs/s3.md says how"
	hintNoLocks     = "remove --s3-lock-mode, or use a store that protects locked objects"
	hintDefaultLock = "remove the default retention of the bucket, because it also locks manifest/ and calls/; or give --accept-default-retention: erase is then refused until the retention ends"
)

// ProveLocks proves that this bucket enforces locks, before anything is stored with one: the bucket has versions and
// Object Lock, an object locked for a minute shows that lock, its version cannot be deleted, and If-None-Match still
// works. A probe that it cannot remove immediately is removed by a later call. hasDefault reports whether the bucket
// has a default lock, which is an error unless accepted. The error wraps ErrUnusable if the bucket or the rights are
// insufficient.
func (s *S3) ProveLocks(ctx context.Context, accept bool) (hasDefault bool, err error) {
	if hasDefault, err = s.CheckLocks(ctx, accept); err != nil {
		return hasDefault, err
	}
	for range lockProofs {
		err = s.proveWithProbe(ctx)
		if !errors.Is(err, errUnlockable) && !errors.Is(err, fs.ErrNotExist) {
			break
		}
	}
	return hasDefault, err
}

// CheckLocks is the part of ProveLocks that stores nothing: it reads whether the bucket has versions and Object Lock, and
// whether it has a default lock. Only a stored object can show that the server enforces a lock.
func (s *S3) CheckLocks(ctx context.Context, accept bool) (hasDefault bool, err error) {
	if s.checksum == ChecksumNone {
		return false, unlockable("locks need a checksum in each request", "leave out --s3-checksum none")
	}
	if err := s.proveVersions(ctx); err != nil {
		return false, err
	}
	if hasDefault, err = s.locksByDefault(ctx); err != nil {
		return false, err
	}
	if hasDefault && !accept {
		return true, unlockable("the bucket has a default retention", hintDefaultLock)
	}
	return hasDefault, nil
}

func (s *S3) proveWithProbe(ctx context.Context) error {
	version, err := s.putLockProbe(ctx)
	if err != nil {
		return err
	}
	defer s.sweepLockProbes(ctx, version)
	if err := s.proveLock(ctx, version); err != nil {
		return err
	}
	return s.proveConditionBesideLock(ctx)
}

// KeepsVersions reports whether the bucket keeps versions.
func (s *S3) KeepsVersions(ctx context.Context) (keeps bool, err error) {
	err = s.lockCall(ctx, "ask for versioning", func(call context.Context) error {
		out, err := s.client.GetBucketVersioning(call, &s3.GetBucketVersioningInput{Bucket: s.bucket()})
		keeps = err == nil && out.Status == types.BucketVersioningStatusEnabled
		return err
	})
	return keeps, err
}

func (s *S3) proveVersions(ctx context.Context) error {
	keeps, err := s.KeepsVersions(ctx)
	if hasCode(err, "NotImplemented") {
		keeps, err = false, nil
	}
	if err != nil {
		return fmt.Errorf("%s: %w", opProveLocks, err)
	}
	if !keeps {
		return unlockable("the bucket has no versioning, and locks need it", hintLockBucket)
	}
	return nil
}

// locksByDefault reports whether the bucket has a default lock. A bucket without Object Lock is an error.
func (s *S3) locksByDefault(ctx context.Context) (bool, error) {
	var found *types.ObjectLockConfiguration
	err := s.lockCall(ctx, opProveLocks, func(call context.Context) error {
		out, err := s.client.GetObjectLockConfiguration(call, &s3.GetObjectLockConfigurationInput{Bucket: s.bucket()})
		if err == nil {
			found = out.ObjectLockConfiguration
		}
		return withoutUnlocked(err)
	})
	if err != nil {
		return false, err
	}
	if found == nil || found.ObjectLockEnabled != types.ObjectLockEnabledEnabled {
		return false, unlockable("Object Lock is not enabled in this bucket", hintLockBucket)
	}
	return found.Rule != nil && found.Rule.DefaultRetention != nil && found.Rule.DefaultRetention.Mode != "", nil
}

// HasDefaultRetention reports whether the bucket has a default lock. A bucket without Object Lock has none.
func (s *S3) HasDefaultRetention(ctx context.Context) (bool, error) {
	has, err := s.locksByDefault(ctx)
	if errors.Is(err, errUnlockable) {
		return false, nil
	}
	return has, err
}

// putLockProbe stores a version with a minute's lock, in the same way as recordings.
func (s *S3) putLockProbe(ctx context.Context) (version string, err error) {
	body := []byte(lockProbeText)
	in := &s3.PutObjectInput{
		Key: s.at(lockProbeName), ObjectLockMode: types.ObjectLockModeGovernance,
		ObjectLockRetainUntilDate: aws.Time(time.Now().Add(lockProbeTime).UTC().Truncate(time.Second)),
	}
	out, err := s.put(ctx, "store the lock's probe", in, bytes.NewReader(body), int64(len(body)), sha256.Sum256(body), sdkAttempts)
	if err != nil {
		return "", fmt.Errorf("%s: %w", opProveLocks, withLockHint(err, s.checksum))
	}
	if version = aws.ToString(out.VersionId); version == "" {
		return "", unlockable("the server returns no version for a stored object", hintNoLocks)
	}
	return version, nil
}

// withLockHint adds the possible reasons for a refused lock.
func withLockHint(err error, sent Checksum) error {
	f, ok := errors.AsType[*failure](err)
	if !ok {
		return err
	}
	switch f.hint {
	case hintPermission:
		f.hint = hintLockRights
	case hintHeaders:
		f.hint = "the server refuses the lock's headers: check this machine's clock, " + hintNoLocks
		if sent != ChecksumMD5 {
			f.hint = "some servers require Content-MD5 for locked objects: try --s3-checksum md5, and check this machine's clock"
		}
	}
	return f
}

// proveLock checks that a version has its lock, and tries to delete it.
func (s *S3) proveLock(ctx context.Context, version string) error {
	lock, _, err := s.lockOf(ctx, lockProbeName, version)
	if err != nil {
		return fmt.Errorf("%s: %w", opProveLocks, err)
	}
	if lock.Mode != Governance || time.Until(lock.Until) > 2*lockProbeTime || lock.Until.IsZero() {
		return unlockable("the server accepted a lock and does not show it", hintNoLocks)
	}
	err = s.lockCall(ctx, opProveLocks, func(call context.Context) error {
		_, err := s.client.DeleteObject(call, &s3.DeleteObjectInput{Bucket: s.bucket(), Key: s.at(lockProbeName), VersionId: &version})
		return err
	})
	switch {
	case err == nil && !time.Now().Before(lock.Until):
		return &failure{text: opProveLocks + ": the test took longer than the lock of its object", hint: "run the same command again", retriable: true}
	case err == nil:
		return unlockable("the server deleted a locked version", hintNoLocks)
	case IsRetriable(err):
		return err
	}
	if _, _, err := s.lockOf(ctx, lockProbeName, version); err != nil {
		return fmt.Errorf("%s: %w", opProveLocks, err)
	}
	return nil
}

// proveConditionBesideLock creates an existing object: some servers honour conditions only in buckets
// without versions.
func (s *S3) proveConditionBesideLock(ctx context.Context) error {
	body := []byte(lockProbeText)
	in := &s3.PutObjectInput{Key: s.at(lockProbeName), IfNoneMatch: aws.String("*")}
	_, err := s.put(ctx, "store the lock's probe", in, bytes.NewReader(body), int64(len(body)), sha256.Sum256(body), sdkAttempts)
	switch {
	case errors.Is(err, fs.ErrExist), hasCode(err, codeConflict):
		return nil
	case err != nil:
		return fmt.Errorf("%s: %w", opProveLocks, err)
	}
	return unlockable("this bucket ignores If-None-Match, as some servers do with versioning: two runs could lock two versions of one recording",
		"use a server that honours it with versioning, like AWS, SeaweedFS 4.17 or versitygw; or remove --s3-lock-mode")
}

// sweepLockProbes removes a version of the probe, and versions of earlier proofs whose lock has ended. A locked
// version may belong to another run that is about to check it. A small probe that cannot be removed stays.
func (s *S3) sweepLockProbes(ctx context.Context, own string) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), removeTime)
	defer cancel()
	versions, err := s.versions(ctx, lockProbeName)
	if err != nil {
		return
	}
	for _, version := range versions {
		in := &s3.DeleteObjectInput{Bucket: s.bucket(), Key: s.at(lockProbeName), VersionId: versionID(version)}
		if version == own {
			in.BypassGovernanceRetention = aws.Bool(true)
		}
		_, _ = s.client.DeleteObject(ctx, in) // a later proof tries again
	}
}

var errUnlockable = errors.New("the bucket does not support locks")

// unlockable is the reason why a bucket is unsuitable for locks.
func unlockable(why, try string) error {
	return &failure{text: opProveLocks + ": " + why, hint: try, is: []error{ErrUnusable, errUnlockable}}
}
