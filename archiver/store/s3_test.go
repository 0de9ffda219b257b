package store_test

import (
	"testing"

	"convoso-archiver/archiver/store"
	"convoso-archiver/archiver/store/storetest"
	"convoso-archiver/internal/s3test"
)

func openS3(t *testing.T, o store.S3Options) *store.S3 {
	t.Helper()
	if o.TempDir == "" {
		o.TempDir = t.TempDir()
	}
	s, err := store.OpenS3(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestS3(t *testing.T) {
	for name, c := range map[string]struct {
		tls     bool
		options store.S3Options
	}{
		"http":                  {false, store.S3Options{}},
		"https":                 {true, store.S3Options{Prefix: "a/prefix/"}},
		"md5":                   {true, store.S3Options{Checksum: store.ChecksumMD5}},
		"crc64nvme":             {true, store.S3Options{Checksum: store.ChecksumCRC64NVME}},
		"multipart":             {true, store.S3Options{MultipartThreshold: 1 << 20, PartSize: 5 << 20}},
		"no conditional writes": {false, store.S3Options{NoConditionalWrites: true}},
	} {
		t.Run(name, func(t *testing.T) {
			server := s3test.Start(t, c.tls)
			server.Setenv(t)
			storetest.Run(t, func(t *testing.T) storetest.Opener {
				o := c.options
				o.Bucket, o.Endpoint, o.TempDir, o.RootCAs = server.NewBucket(t, t.Name()), server.Endpoint, t.TempDir(), server.CAs
				return func(t *testing.T, _ storetest.Owner) storetest.Store { return openS3(t, o) }
			})
		})
	}
}
