package store

import (
	"crypto/md5"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"hash"
	"hash/crc64"
	"io"
	"net/netip"
	"net/url"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
)

// Checksum chooses the header by which S3 checks a body before it commits it.
type Checksum string

// The checksum headers. All are computed before the body is sent and go in a header:
// trailing checksums, the SDK's own way, make the body aws-chunked, which several
// S3-compatible servers refuse or store as part of the object.
const (
	// ChecksumAuto takes MD5 for the services known to refuse x-amz-checksum
	// headers or to sign them in a way of their own (Cloudflare R2, Backblaze B2,
	// Google Cloud Storage), and SHA-256 for AWS and all others. An unknown server
	// that does not want it says so at the first object that is written, which is
	// the probe of [S3.ProveConditionalWrites], before anything is downloaded.
	ChecksumAuto Checksum = ""
	// ChecksumSHA256 sends x-amz-checksum-sha256. The hash is known anyway.
	ChecksumSHA256 Checksum = "sha256"
	// ChecksumCRC64NVME sends x-amz-checksum-crc64nvme.
	ChecksumCRC64NVME Checksum = "crc64nvme"
	// ChecksumMD5 sends Content-MD5, which the oldest servers check too.
	ChecksumMD5 Checksum = "md5"
	// ChecksumNone leaves integrity to TLS.
	ChecksumNone Checksum = "none"
)

// crc64NVME is the polynomial of CRC-64/NVME as package hash/crc64 wants it,
// reversed. https://reveng.sourceforge.io/crc-catalogue/all.htm lists the parameters.
const crc64NVME = 0x9a6c9329ac4bc9b5

// resolveChecksum checks c and makes a choice where it is ChecksumAuto.
func resolveChecksum(c Checksum, endpoint string) (Checksum, error) {
	switch c {
	case ChecksumSHA256, ChecksumCRC64NVME, ChecksumMD5, ChecksumNone:
		return c, nil
	case ChecksumAuto:
		host := hostOf(endpoint)
		for _, domain := range []string{"r2.cloudflarestorage.com", "backblazeb2.com", googleStorage} {
			if host == domain || strings.HasSuffix(host, "."+domain) {
				return ChecksumMD5, nil
			}
		}
		return ChecksumSHA256, nil
	}
	return "", fmt.Errorf("unknown checksum %q: want sha256, crc64nvme, md5 or none", string(c))
}

const googleStorage = "storage.googleapis.com"

func hostOf(endpoint string) string {
	u, err := url.Parse(endpoint)
	if err != nil {
		return ""
	}
	return strings.ToLower(u.Hostname())
}

// needsPathStyle reports whether a bucket cannot be a subdomain of the endpoint's
// host.
func needsPathStyle(endpoint string) bool {
	host := hostOf(endpoint)
	_, err := netip.ParseAddr(host)
	return err == nil || host == "localhost"
}

// sums are the values of the checksum headers, nil for those not sent.
type sums struct{ sha256, crc64, md5 *string }

// errWrongHash means that the body changed since it was hashed.
var errWrongHash = errors.New("store object: the body does not have the hash given")

// of computes the header for a body and returns to the body's start. A SHA-256 that
// is known is left to the server to check where it is what is sent, and is else
// checked here.
func (c Checksum) of(body io.ReadSeeker, known *[32]byte) (sums, error) {
	if c == ChecksumSHA256 && known != nil {
		return c.header(known[:]), nil
	}
	sent, whole := c.hash(), sha256.New()
	if err := readThrough(body, sent, whole); err != nil {
		return sums{}, err
	}
	if known != nil && [32]byte(whole.Sum(nil)) != *known {
		return sums{}, errWrongHash
	}
	return c.header(sent.Sum(nil)), nil
}

// readThrough feeds a body to hashes and returns to its start.
func readThrough(body io.ReadSeeker, hashes ...io.Writer) error {
	if _, err := io.CopyBuffer(io.MultiWriter(hashes...), body, make([]byte, copyBuffer)); err != nil {
		return fmt.Errorf("read body: %w", err)
	}
	if _, err := body.Seek(0, io.SeekStart); err != nil {
		return fmt.Errorf("read body: %w", err)
	}
	return nil
}

// hash computes what header sends, if anything.
func (c Checksum) hash() hash.Hash {
	switch c {
	case ChecksumCRC64NVME:
		return newCRC64()
	case ChecksumMD5:
		return md5.New()
	}
	return sha256.New()
}

func (c Checksum) header(sum []byte) sums {
	value := aws.String(base64.StdEncoding.EncodeToString(sum))
	switch c {
	case ChecksumCRC64NVME:
		return sums{crc64: value}
	case ChecksumMD5:
		return sums{md5: value}
	case ChecksumSHA256:
		return sums{sha256: value}
	}
	return sums{}
}

// ofParts is the checksum for the parts of a multipart upload. SHA-256 cannot be
// had for the whole of one, only CRC64NVME can, so that stands in for it.
func (c Checksum) ofParts() Checksum {
	if c == ChecksumSHA256 {
		return ChecksumCRC64NVME
	}
	return c
}

func newCRC64() hash.Hash64 { return crc64.New(crc64.MakeTable(crc64NVME)) }

func crc64Header(crc uint64) *string {
	return aws.String(base64.StdEncoding.EncodeToString(binary.BigEndian.AppendUint64(nil, crc)))
}
