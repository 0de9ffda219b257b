// Sets and reads the legal holds of objects.

package store

import (
	"context"

	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
)

// HasObjectLock reports whether the bucket supports locks and legal holds. It is false for a server without
// locks.
func (s *S3) HasObjectLock(ctx context.Context) (has bool, err error) {
	err = s.lockCall(ctx, opReadLock, func(call context.Context) error {
		out, err := s.client.GetObjectLockConfiguration(call, &s3.GetObjectLockConfigurationInput{Bucket: s.bucket()})
		has = err == nil && out.ObjectLockConfiguration != nil && out.ObjectLockConfiguration.ObjectLockEnabled == types.ObjectLockEnabledEnabled
		return withoutUnlocked(err)
	})
	return has, err
}
