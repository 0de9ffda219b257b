package store_test

import (
	"testing"

	"convoso-archiver/archiver/store"
	"convoso-archiver/internal/s3test"
)

func TestHasObjectLock(t *testing.T) {
	server := s3test.Start(t, false)
	server.Setenv(t)
	for bucket, want := range map[string]bool{server.NewBucket(t, "plain"): false, server.NewLockBucket(t, "locks", 0): true} {
		has, err := openS3(t, store.S3Options{Bucket: bucket, Endpoint: server.Endpoint}).HasObjectLock(t.Context())
		if has != want || err != nil {
			t.Errorf("%s: %v, %v", bucket, has, err)
		}
	}
}
