package store

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"io"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	smithyhttp "github.com/aws/smithy-go/transport/http"
)

// The values are those of the CRC catalogue, RFC 1321 and FIPS 180-2.
func TestChecksums(t *testing.T) {
	crc := binary.BigEndian.AppendUint64(nil, 0xAE8B14860A799888)
	body := bytes.NewReader([]byte("123456789"))
	got, err := ChecksumCRC64NVME.of(body, nil)
	if err != nil || aws.ToString(got.crc64) != base64.StdEncoding.EncodeToString(crc) || got.sha256 != nil || got.md5 != nil {
		t.Errorf("crc64nvme gives %+v, %v", got, err)
	}
	if got, err = ChecksumMD5.of(body, nil); err != nil || aws.ToString(got.md5) != "JfnnlDI7RTiF9RgfG2JNCw==" {
		t.Errorf("md5 gives %q, %v", aws.ToString(got.md5), err)
	}
	if got, err = ChecksumSHA256.of(body, nil); err != nil || aws.ToString(got.sha256) != "FeKw08M4keuw8e9gnsQZQgwg4yDOlMZfvIwzEkSOsiU=" {
		t.Errorf("sha256 gives %q, %v", aws.ToString(got.sha256), err)
	}
	if got, err = ChecksumNone.of(body, nil); err != nil || got != (sums{}) {
		t.Errorf("none gives %+v, %v", got, err)
	}
	for _, c := range []Checksum{ChecksumCRC64NVME, ChecksumMD5, ChecksumNone} {
		if _, err := c.of(body, &[32]byte{}); !errors.Is(err, errWrongHash) {
			t.Errorf("%s with a wrong hash: %v", c, err)
		}
		if _, err := body.Seek(0, io.SeekStart); err != nil {
			t.Fatal(err)
		}
	}
}

func TestResolveChecksum(t *testing.T) {
	for endpoint, want := range map[string]Checksum{
		"":                                   ChecksumSHA256,
		"https://s3.eu-west-1.amazonaws.com": ChecksumSHA256,
		"http://127.0.0.1:7070":              ChecksumSHA256,
		"https://account.r2.cloudflarestorage.com":    ChecksumMD5,
		"https://s3.us-west-004.BackblazeB2.com":      ChecksumMD5,
		"https://storage.googleapis.com/":             ChecksumMD5,
		"https://storage.googleapis.com.example.test": ChecksumSHA256,
		":": ChecksumSHA256,
	} {
		if got, err := resolveChecksum(ChecksumAuto, endpoint); got != want || err != nil {
			t.Errorf("for %q it is %q, %v, want %q", endpoint, got, err, want)
		}
		if got, err := resolveChecksum(ChecksumNone, endpoint); got != ChecksumNone || err != nil {
			t.Errorf("none became %q, %v", got, err)
		}
	}
	if _, err := resolveChecksum("sha1", ""); err == nil {
		t.Error("sha1 was taken")
	}
}

func TestNeedsPathStyle(t *testing.T) {
	for endpoint, want := range map[string]bool{
		"http://127.0.0.1:7070": true, "http://[::1]:7070": true, "http://localhost:9000": true,
		"https://s3.amazonaws.com": false, "": false,
	} {
		if needsPathStyle(endpoint) != want {
			t.Errorf("for %q it is %t", endpoint, !want)
		}
	}
}

func TestPartSize(t *testing.T) {
	const gib = 1 << 30
	for _, size := range []int64{1, gib, 5 * gib, 600 * gib, 5 << 40} {
		got := partSize(size, defaultPartSize)
		if got < defaultPartSize || (size+got-1)/got > mostParts {
			t.Errorf("%d bytes go in parts of %d", size, got)
		}
	}
	if got := partSize(2*gib, defaultPartSize); got != defaultPartSize {
		t.Errorf("2 GiB go in parts of %d", got)
	}
}

func TestTimeFor(t *testing.T) {
	if got := timeFor(0); got != time.Minute {
		t.Errorf("nothing may take %s", got)
	}
	if got := timeFor(256_000_000); got != time.Minute+1000*time.Second {
		t.Errorf("256 MB may take %s", got)
	}
}

// Google's servers alone get the header out of the signature.
func TestAcceptEncodingIsNotSigned(t *testing.T) {
	for endpoint, want := range map[string]int{"https://storage.googleapis.com": 1, "https://s3.example.test": 0, "": 0} {
		client := newClient(aws.Config{Region: "us-east-1"}, S3Options{Endpoint: endpoint}, endpoint, http.DefaultClient)
		hooks := client.Options().Interceptors
		if len(hooks.BeforeSigning) != want || len(hooks.AfterSigning) != want {
			t.Errorf("%q has %d and %d hooks, want %d", endpoint, len(hooks.BeforeSigning), len(hooks.AfterSigning), want)
		}
	}
	request := smithyhttp.NewStackRequest().(*smithyhttp.Request)
	request.Header.Set("Accept-Encoding", "identity")
	in := &smithyhttp.InterceptorContext{Request: request}
	if err := (acceptEncoding{}).BeforeSigning(t.Context(), in); err != nil || request.Header.Get("Accept-Encoding") != "" {
		t.Errorf("it is %q when signed, %v", request.Header.Get("Accept-Encoding"), err)
	}
	if err := (acceptEncoding{}).AfterSigning(t.Context(), in); err != nil || request.Header.Get("Accept-Encoding") != "identity" {
		t.Errorf("it is %q when sent, %v", request.Header.Get("Accept-Encoding"), err)
	}
}

func TestWatchedStalls(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, w := io.Pipe()
		ctx, cancel := context.WithCancel(t.Context())
		context.AfterFunc(ctx, func() { _ = r.CloseWithError(ctx.Err()) }) // as net/http does with a body
		body := newWatched(t.Context(), r, cancel)
		go func() {
			_, _ = w.Write([]byte("slow"))
			time.Sleep(stallTimeout - time.Second) // and no more
			_, _ = w.Write([]byte("er"))
		}()
		buffer := make([]byte, 4)
		if n, err := body.Read(buffer); n != 4 || err != nil {
			t.Errorf("read %d, %v", n, err)
		}
		time.Sleep(10 * stallTimeout) // the reader is busy elsewhere
		if n, err := body.Read(buffer); n != 2 || err != nil {
			t.Errorf("read %d, %v", n, err)
		}
		start := time.Now()
		if _, err := body.Read(buffer); !IsRetriable(err) || time.Since(start) != stallTimeout {
			t.Errorf("after %s: %v", time.Since(start), err)
		}
		if err := body.Close(); err != nil {
			t.Error(err)
		}
	})
}
