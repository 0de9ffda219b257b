// Reads --dest and the settings of S3, for every command.

package cli

import (
	"cmp"
	"net/url"
	"regexp"
	"strings"
	"unicode"

	"convoso-archiver/archiver/store"
)

var schemePattern = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9+.-]*://`)

// destination reads --dest and the settings for S3, for every command. It returns a folder, or the
// options of a bucket without TempDir and Workers.
func (r *reader) destination(env environment) (folder string, bucket store.S3Options) {
	if !r.isSet("dest") {
		r.keep(misuse("give --dest with a folder, or s3://bucket/prefix", "no destination is given"))
		return "", bucket
	}
	value, origin := r.text("dest"), r.values["dest"].origin
	rest, isS3 := strings.CutPrefix(value, "s3://")
	if !isS3 {
		switch {
		case len(value) > 3 && strings.EqualFold(value[:3], "s3:"):
			r.fail(origin, "write it like s3://bucket/prefix", "it is not a valid S3 address")
		case schemePattern.MatchString(value):
			r.fail(origin, "give a folder, or s3://bucket/prefix", "only folders and s3:// are supported")
		}
		r.refuseS3Settings()
		return value, bucket
	}
	bucket = r.s3Options(env)
	bucket.Bucket, bucket.Prefix, _ = strings.Cut(rest, "/")
	bucket.Prefix = strings.TrimSuffix(bucket.Prefix, "/")
	if problem := badBucket(bucket.Bucket, bucket.Prefix); problem != "" {
		r.fail(origin, "write it like s3://bucket/prefix", "%s", problem)
	}
	return "", bucket
}

// s3Options reads the settings for S3. Without a setting, it also reads the address from the
// environment like the AWS chain, because the state on this machine for a bucket belongs to one
// server.
func (r *reader) s3Options(env environment) store.S3Options {
	o := store.S3Options{
		Endpoint:            cmp.Or(r.s3Endpoint(), env["AWS_ENDPOINT_URL_S3"], env["AWS_ENDPOINT_URL"]),
		Region:              r.text("s3-region"),
		PathStyle:           r.toggle("s3-path-style"),
		StorageClass:        r.text("s3-storage-class"),
		SSE:                 r.choice("s3-sse"),
		KMSKeyID:            r.text("s3-kms-key-id"),
		NoConditionalWrites: r.toggle("s3-no-conditional-writes"),
	}
	if checksum := r.choice("s3-checksum"); checksum != "auto" {
		o.Checksum = store.Checksum(checksum)
	}
	return o
}

// refuseS3Settings refuses S3 settings for a folder, which was probably meant to be a bucket.
func (r *reader) refuseS3Settings() {
	if g, ok := r.values["to"]; ok && strings.HasPrefix(g.items[0], "s3://") { // they are for the target of an export
		return
	}
	for _, s := range s3Settings() {
		if g, ok := r.values[s.name]; ok && g.byFlag() {
			r.fail(g.origin, "give --dest s3://bucket/prefix, or leave this setting out", "it has no effect on a folder")
		}
	}
}

var bucketPattern = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{1,253}[A-Za-z0-9]$`)

func badBucket(bucket, prefix string) string {
	switch {
	case bucket == "":
		return "the bucket is missing"
	case len(bucket) < 3:
		return "the name of a bucket has at least three characters"
	case !bucketPattern.MatchString(bucket):
		return "it is not the name of a bucket"
	case strings.ContainsAny(prefix, "?#"):
		return "the prefix contains ? or #, which are not allowed there"
	case strings.ContainsFunc(prefix, unicode.IsControl):
		return "the prefix contains a control character"
	case prefix == "":
		return ""
	}
	for part := range strings.SplitSeq(prefix, "/") {
		if part == "" || part == "." || part == ".." {
			return "a part of the prefix is empty, . or .."
		}
	}
	return ""
}

func (r *reader) s3Endpoint() string {
	value := r.text("s3-endpoint")
	if value == "" {
		return ""
	}
	u, err := url.Parse(value)
	if err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Host == "" || u.User != nil || u.RawQuery != "" {
		r.fail(r.values["s3-endpoint"].origin, "write it like https://s3.example.com", "it is not the URL of an S3 server")
	}
	return value
}
