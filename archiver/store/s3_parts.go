package store

import (
	"context"
	"crypto/sha256"
	"errors"
	"hash"
	"io"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
)

const (
	mebibyte     = 1 << 20
	abortTimeout = 15 * time.Second
)

// upload is one multipart upload. Its parts are read straight from the body, which
// is a file for want of memory, and sent one after the other.
type upload struct {
	s     *S3
	key   *string
	id    *string
	parts []types.CompletedPart

	// Of the whole, as far as it was sent.
	crc    hash.Hash64
	sha256 hash.Hash
}

// putParts stores a huge body as a multipart upload. It is fs.ErrExist when the key
// is taken. Whatever goes wrong, the upload is aborted, so that no parts are left
// that cost money and nobody sees; only a lost reply to its creation can leave an
// upload, an empty one.
func (s *S3) putParts(ctx context.Context, key string, o Object) (_ Stored, err error) {
	body, ok := o.Body.(io.ReaderAt)
	if !ok {
		return Stored{}, errors.New("store object: a body this large must be readable at any offset")
	}
	u, err := s.newUpload(ctx, key, o)
	if err != nil {
		return Stored{}, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, u.abort(ctx))
		}
	}()
	size := partSize(o.Size, s.o.PartSize)
	for offset := int64(0); offset < o.Size; offset += size {
		part := io.NewSectionReader(body, offset, min(size, o.Size-offset))
		if err := u.send(ctx, part); err != nil {
			return Stored{}, err
		}
	}
	if [32]byte(u.sha256.Sum(nil)) != o.SHA256 {
		return Stored{}, errWrongHash
	}
	return u.complete(ctx, key, o)
}

// partSize grows the wanted size until there are few enough parts. All parts but the
// last are equal, as some servers demand.
func partSize(size, wanted int64) int64 {
	least := (size + mostParts - 1) / mostParts
	if least <= wanted {
		return wanted
	}
	return (least + mebibyte - 1) / mebibyte * mebibyte
}

func (s *S3) newUpload(ctx context.Context, key string, o Object) (*upload, error) {
	u := &upload{s: s, key: s.at(key), crc: newCRC64(), sha256: sha256.New()}
	in := &s3.CreateMultipartUploadInput{
		Bucket: s.bucket(), Key: u.key, ContentType: optional(o.ContentType), Metadata: metadataOf(o),
		StorageClass:         types.StorageClass(s.o.StorageClass),
		ServerSideEncryption: types.ServerSideEncryption(s.o.SSE), SSEKMSKeyId: optional(s.o.KMSKeyID),
	}
	if s.checksum.ofParts() == ChecksumCRC64NVME {
		in.ChecksumAlgorithm, in.ChecksumType = types.ChecksumAlgorithmCrc64nvme, types.ChecksumTypeFullObject
	}
	call, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	out, err := s.client.CreateMultipartUpload(call, in, once)
	if err != nil {
		return nil, s3Failure(ctx, opStore, err)
	}
	u.id = out.UploadId
	return u, nil
}

// send uploads the next part. It is tried again by the SDK, for starting over would
// send all other parts again.
func (u *upload) send(ctx context.Context, part *io.SectionReader) error {
	body := &lentBody{body: part}
	defer body.takeBack()
	checks, err := u.checks(body)
	if err != nil {
		return err
	}
	number := aws.Int32(int32(len(u.parts) + 1))
	attempts, cancel := context.WithTimeout(ctx, sdkAttempts*timeFor(part.Size()))
	defer cancel()
	out, err := u.s.client.UploadPart(attempts, &s3.UploadPartInput{
		Bucket: u.s.bucket(), Key: u.key, UploadId: u.id, PartNumber: number,
		Body: body, ContentLength: aws.Int64(part.Size()), ChecksumCRC64NVME: checks.crc64, ContentMD5: checks.md5,
	})
	if err != nil {
		return s3Failure(ctx, opStore, err)
	}
	u.parts = append(u.parts, types.CompletedPart{PartNumber: number, ETag: out.ETag, ChecksumCRC64NVME: checks.crc64})
	return nil
}

// checks computes the checksum of a part and carries on those of the whole.
func (u *upload) checks(body io.ReadSeeker) (sums, error) {
	checksum := u.s.checksum.ofParts()
	sent := checksum.hash()
	if err := readThrough(body, sent, u.crc, u.sha256); err != nil {
		return sums{}, err
	}
	return checksum.header(sent.Sum(nil)), nil
}

// complete makes the object of the parts. It is tried once: after a lost reply the
// upload is gone, and only looking at the key tells whether the object is there.
func (u *upload) complete(ctx context.Context, key string, o Object) (Stored, error) {
	in := &s3.CompleteMultipartUploadInput{
		Bucket: u.s.bucket(), Key: u.key, UploadId: u.id, IfNoneMatch: u.s.ifNew(),
		MpuObjectSize: aws.Int64(o.Size), MultipartUpload: &types.CompletedMultipartUpload{Parts: u.parts},
	}
	if u.s.checksum.ofParts() == ChecksumCRC64NVME {
		in.ChecksumCRC64NVME, in.ChecksumType = crc64Header(u.crc.Sum64()), types.ChecksumTypeFullObject
	}
	call, cancel := context.WithTimeout(ctx, timeFor(o.Size))
	defer cancel()
	out, err := u.s.client.CompleteMultipartUpload(call, in, once)
	if err != nil {
		return Stored{}, s3Failure(ctx, opStore, err)
	}
	if !u.s.encrypted(out.ServerSideEncryption) {
		return Stored{}, notEncrypted()
	}
	return Stored{
		Key: key, Size: o.Size, SHA256: o.SHA256, ETag: unquoted(out.ETag), VersionID: aws.ToString(out.VersionId),
	}, nil
}

// abort gives the parts up, also when the caller's context has ended. That there is
// nothing to abort is no error: the upload may have been completed after all.
func (u *upload) abort(ctx context.Context) error {
	ctx = context.WithoutCancel(ctx)
	call, cancel := context.WithTimeout(ctx, abortTimeout)
	defer cancel()
	_, err := u.s.client.AbortMultipartUpload(call, &s3.AbortMultipartUploadInput{
		Bucket: u.s.bucket(), Key: u.key, UploadId: u.id,
	})
	if err == nil || s3Code(err) == "NoSuchUpload" {
		return nil
	}
	return s3Failure(ctx, "abort multipart upload", err)
}
