package e2e

import (
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"convoso-archiver/internal/s3test"
)

// TestHiddenManifest deletes the manifest of an archive in a bucket with versions. archive names the delete
// markers. So does rebuild, unless the server creates a new object under a key with a delete marker. After
// the removal of the markers the manifest is as it was.
func TestHiddenManifest(t *testing.T) {
	t.Parallel()
	server := threeDays(t, 138)
	l := onLocks(t, server, 0)
	l.days().want(t, 0)
	before := l.objects()
	for name := range before {
		if strings.HasPrefix(name, "manifest/") {
			if _, err := l.client.DeleteObject(t.Context(), &s3.DeleteObjectInput{Bucket: &l.bucket, Key: aws.String("pre fix/" + name)}); err != nil {
				t.Fatal(err)
			}
		}
	}
	if r := l.days().want(t, 2); !strings.Contains(r.summary.Error, "manifest is lost: run rebuild with the settings of archive (in a bucket with versions remove the delete markers") {
		t.Errorf("archive: %s", r.summary.Error)
	}
	if s3test.FromEnv(t) == nil {
		if r := l.other(2, "rebuild", "--api-url", server.APIURL()); !strings.Contains(r.stderr, "delete markers hide the older versions") || !strings.Contains(r.stderr, "docs/s3.md") {
			t.Errorf("rebuild: %s", r.stderr)
		}
	}
	out, err := l.client.ListObjectVersions(t.Context(), &s3.ListObjectVersionsInput{Bucket: &l.bucket, Prefix: aws.String("pre fix/manifest/")})
	if err != nil || len(out.DeleteMarkers) == 0 {
		t.Fatalf("%d delete markers, %v", len(out.DeleteMarkers), err)
	}
	for _, m := range out.DeleteMarkers {
		if !aws.ToBool(m.IsLatest) {
			continue
		}
		if _, err := l.client.DeleteObject(t.Context(), &s3.DeleteObjectInput{Bucket: &l.bucket, Key: m.Key, VersionId: m.VersionId}); err != nil {
			t.Fatal(err)
		}
	}
	after := l.objects()
	for name, was := range before {
		if is := after[name]; is == nil || aws.ToString(is.ETag) != aws.ToString(was.ETag) {
			t.Errorf("%s is not as before", name)
		}
	}
	server.ResetStats()
	if r := l.days().want(t, 0); server.Stats().Media.Requests != 0 {
		t.Errorf("recordings were asked for again: %s", r.stdout)
	}
	l.verify().want(t, 0)
}
