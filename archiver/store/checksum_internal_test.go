package store

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"io"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	smithyhttp "github.com/aws/smithy-go/transport/http"
)

// The values are those of the CRC catalogue, RFC 1321 and FIPS 180-2.
func TestChecksums(t *testing.T) {
	crc := base64.StdEncoding.EncodeToString(binary.BigEndian.AppendUint64(nil, 0xAE8B14860A799888))
	const md5, sum = "JfnnlDI7RTiF9RgfG2JNCw==", "FeKw08M4keuw8e9gnsQZQgwg4yDOlMZfvIwzEkSOsiU="
	for c, want := range map[Checksum][3]string{
		ChecksumCRC64NVME: {crc, "", ""}, ChecksumMD5: {"", md5, ""}, ChecksumSHA256: {"", "", sum}, ChecksumNone: {},
	} {
		in := &s3.PutObjectInput{}
		body := []byte("123456789")
		err := c.set(in, bytes.NewReader(body), sha256.Sum256(body))
		got := [3]string{aws.ToString(in.ChecksumCRC64NVME), aws.ToString(in.ContentMD5), aws.ToString(in.ChecksumSHA256)}
		if err != nil || got != want {
			t.Errorf("%s gives %q, %v, want %q", c, got, err, want)
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

func TestTimeFor(t *testing.T) {
	if got := timeFor(0); got != time.Minute {
		t.Errorf("nothing may take %s", got)
	}
	if got := timeFor(256_000_000); got != time.Minute+1000*time.Second {
		t.Errorf("256 MB may take %s", got)
	}
}

// Only for Google's servers the header is not signed.
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
		context.AfterFunc(ctx, func() { _ = r.CloseWithError(ctx.Err()) }) // like net/http with a body
		body := &watched{ctx: t.Context(), body: r, cancel: cancel}
		go func() {
			_, _ = w.Write([]byte("slow"))
			time.Sleep(stallTimeout - time.Second) // just below the limit
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
