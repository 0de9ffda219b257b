// Opens a bucket as a store of recordings.

package store

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"hash/maphash"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/ratelimit"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/aws/smithy-go/logging"
	smithyhttp "github.com/aws/smithy-go/transport/http"
)

const (
	// headerTimeout is the maximum time for an answer after a complete request.
	headerTimeout = 60 * time.Second
	// callTimeout limits a small call together with its retries.
	callTimeout = 4 * time.Minute
	// bodyTimeout and minSpeed limit the upload of a body: a slower upload is aborted, and may be
	// retried.
	bodyTimeout = 60 * time.Second
	minSpeed    = 256_000 // bytes a second
	// stallTimeout ends a download from S3 without a byte for this time.
	stallTimeout = 60 * time.Second

	sdkAttempts = 3
)

// S3Options are the settings of [OpenS3], the same for every command. Credentials, and the region
// where it is not given, come from the AWS SDK's chain: environment, shared files, web identity,
// container, instance.
type S3Options struct {
	Bucket string // required
	Prefix string // keys are below it; surrounding slashes are ignored

	Endpoint  string // URL of an S3-compatible server; empty for AWS
	Region    string // empty: from the chain; with an endpoint us-east-1
	PathStyle bool   // the bucket in the path, not in the host; implied if the host is an IP address

	StorageClass string // of recordings; empty for the bucket's default. The archive's own files always use the default.
	SSE          string // AES256, aws:kms, aws:kms:dsse, or empty
	KMSKeyID     string // implies aws:kms
	Checksum     Checksum

	// NoConditionalWrites is for servers that do not honour If-None-Match: the key is looked up
	// before each write. This prevents overwrites within a process, but not between two processes.
	NoConditionalWrites bool

	TempDir string         // for parts; created if missing; empty: NewPart fails
	Workers int            // number of parallel uploads, for the number of connections to keep
	RootCAs *x509.CertPool // nil: the system's, plus AWS_CA_BUNDLE
}

// S3 keeps recordings as objects below a prefix of a bucket. An object carries the recording's id
// and hash as metadata, so the owner of a taken key is known.
//
// Put makes a single attempt, so that only the caller's loop retries; the SDK tries all other calls
// three times.
type S3 struct {
	client   *s3.Client
	http     *http.Client
	o        S3Options // Prefix is empty or ends in a slash
	checksum Checksum
	temp     *os.Root // nil without TempDir

	// Without conditional writes a key is looked up and written under its lock.
	seed  maphash.Seed
	locks [256]sync.Mutex
}

// OpenS3 checks the options, finds credentials and makes the client. It sends no request. The error
// wraps ErrUnusable if there are no credentials or the temporary folder cannot be created; other
// errors are mistakes in the options.
func OpenS3(ctx context.Context, o S3Options) (*S3, error) {
	o, err := o.complete()
	if err != nil {
		return nil, fmt.Errorf("open S3: %w", err)
	}
	cfg, err := loadConfig(ctx, o)
	if err != nil {
		return nil, fmt.Errorf("open S3: %w", err)
	}
	endpoint := o.Endpoint
	if endpoint == "" { // AWS_ENDPOINT_URL_S3 and the like
		endpoint = aws.ToString(s3.NewFromConfig(cfg).Options().BaseEndpoint)
	}
	if cfg.Region == "" {
		if endpoint == "" {
			return nil, &failure{text: "open S3: no region", hint: "set --s3-region or AWS_REGION"}
		}
		cfg.Region = "us-east-1"
	}
	s := &S3{o: o, seed: maphash.MakeSeed()}
	if s.checksum, err = resolveChecksum(o.Checksum, endpoint); err != nil {
		return nil, fmt.Errorf("open S3: %w", err)
	}
	s.http = withoutRedirects(cfg)
	s.client = newClient(cfg, o, endpoint, s.http)
	if _, err := s.client.Options().Credentials.Retrieve(ctx); err != nil {
		return nil, s3Failure(ctx, "open S3", err)
	}
	if o.TempDir == "" {
		return s, nil
	}
	if err := os.MkdirAll(o.TempDir, 0o700); err != nil {
		return nil, fileFailure("make folder "+o.TempDir, atState, err)
	}
	if s.temp, err = os.OpenRoot(o.TempDir); err != nil {
		return nil, fileFailure("open folder "+o.TempDir, atState, err)
	}
	return s, nil
}

// complete checks the options and sets the defaults.
func (o S3Options) complete() (S3Options, error) {
	if o.Bucket == "" {
		return o, errors.New("no bucket")
	}
	if o.Prefix = strings.Trim(o.Prefix, "/"); o.Prefix != "" {
		if checkPath(o.Prefix) != nil {
			return o, errors.New("a part of the prefix is empty, a dot or two dots")
		}
		o.Prefix += "/"
	}
	if o.KMSKeyID != "" && o.SSE == "" {
		o.SSE = string(types.ServerSideEncryptionAwsKms)
	}
	switch types.ServerSideEncryption(o.SSE) {
	case "", types.ServerSideEncryptionAes256:
		if o.KMSKeyID != "" {
			return o, errors.New("a KMS key needs server-side encryption aws:kms")
		}
	case types.ServerSideEncryptionAwsKms, types.ServerSideEncryptionAwsKmsDsse:
	default:
		return o, fmt.Errorf("unknown server-side encryption %q: want AES256 or aws:kms", o.SSE)
	}
	return o, nil
}

func loadConfig(ctx context.Context, o S3Options) (aws.Config, error) {
	options := []func(*config.LoadOptions) error{
		config.WithHTTPClient(newHTTPClient(o)),
		config.WithLogger(logging.Nop{}), // the default logs to stderr
		// Our own checksums go in headers; the SDK's would go in trailers.
		config.WithRequestChecksumCalculation(aws.RequestChecksumCalculationWhenRequired),
		config.WithResponseChecksumValidation(aws.ResponseChecksumValidationWhenRequired),
		config.WithRetryer(func() aws.Retryer {
			return newRetryer(append(slices.Clone(retry.DefaultRetryables), vanishingFolder())...)
		}),
	}
	if o.Region != "" {
		options = append(options, config.WithRegion(o.Region))
	}
	cfg, err := config.LoadDefaultConfig(ctx, options...)
	if err != nil {
		return cfg, fmt.Errorf("read AWS configuration: %w", err)
	}
	return cfg, nil
}

// newRetryer has no token bucket: the SDK's is shared by the client and makes calls fail
// immediately, even unrelated ones, after about 35 retries.
func newRetryer(retryables ...retry.IsErrorRetryable) aws.Retryer {
	return retry.NewStandard(func(o *retry.StandardOptions) {
		o.Retryables = retryables
		o.MaxAttempts = sdkAttempts
		o.RateLimiter = ratelimit.None
	})
}

// vanishingFolder marks an error as retriable: a server with real folders, like versitygw, removes a folder with its
// last object, even while it stores another object there.
func vanishingFolder() retry.RetryableErrorCode {
	return retry.RetryableErrorCode{Codes: map[string]struct{}{codeFolder: {}}}
}

// newHTTPClient keeps a connection for each worker, and speaks only HTTP/1.1: with HTTP/2 all workers would share one
// connection. It disables the SDK's read timeout, which aborts healthy uploads, during which nothing is read.
func newHTTPClient(o S3Options) *awshttp.BuildableClient {
	return awshttp.NewBuildableClient().WithTransportOptions(func(t *http.Transport) {
		t.MaxIdleConnsPerHost = max(o.Workers, 2)
		t.MaxIdleConns = max(t.MaxIdleConns, 2*t.MaxIdleConnsPerHost)
		t.ResponseHeaderTimeout = headerTimeout
		t.Protocols = new(http.Protocols)
		t.Protocols.SetHTTP1(true)
		t.ForceAttemptHTTP2 = false
		if o.RootCAs != nil {
			if t.TLSClientConfig == nil {
				t.TLSClientConfig = &tls.Config{MinVersion: tls.VersionTLS12}
			}
			t.TLSClientConfig.RootCAs = o.RootCAs
		}
	})
}

// withoutRedirects returns a client with the configured transport, including the certificates of AWS_CA_BUNDLE. It
// does not follow a redirect with a signed request, and unlike the SDK's own client its connections can be closed.
func withoutRedirects(cfg aws.Config) *http.Client {
	client := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	if c, ok := cfg.HTTPClient.(*awshttp.BuildableClient); ok {
		client.Transport = c.GetTransport()
	}
	return client
}

func newClient(cfg aws.Config, o S3Options, endpoint string, httpClient *http.Client) *s3.Client {
	return s3.NewFromConfig(cfg, func(c *s3.Options) {
		c.HTTPClient = httpClient
		if o.Endpoint != "" {
			c.BaseEndpoint = aws.String(o.Endpoint)
		}
		c.UsePathStyle = o.PathStyle || needsPathStyle(endpoint)
		c.DisableLogOutputChecksumValidationSkipped = true
		c.Credentials = &credentials{c.Credentials}
		if hostOf(endpoint) == googleStorage {
			var unsigned acceptEncoding
			c.Interceptors.AddBeforeSigning(unsigned)
			c.Interceptors.AddAfterSigning(unsigned)
		}
	})
}

// credentials marks the errors of the credential chain, which has no error type.
type credentials struct{ chain aws.CredentialsProvider }

// Retrieve implements aws.CredentialsProvider.
func (c *credentials) Retrieve(ctx context.Context) (aws.Credentials, error) {
	found, err := c.chain.Retrieve(ctx)
	if err != nil {
		return found, &credentialsError{err}
	}
	return found, nil
}

type credentialsError struct{ error }

// Unwrap returns the chain's error.
func (e *credentialsError) Unwrap() error { return e.error }

// acceptEncoding removes a header from the request while it is signed, because Google's servers
// change it before they check the signature. See https://github.com/aws/aws-sdk-go-v2/issues/1816.
type acceptEncoding struct{}

// BeforeSigning implements smithyhttp.BeforeSigningInterceptor.
func (acceptEncoding) BeforeSigning(_ context.Context, in *smithyhttp.InterceptorContext) error {
	in.Request.Header.Del("Accept-Encoding")
	return nil
}

// AfterSigning implements smithyhttp.AfterSigningInterceptor. "identity" is what
// the SDK sends; without the header net/http would ask for gzip.
func (acceptEncoding) AfterSigning(_ context.Context, in *smithyhttp.InterceptorContext) error {
	in.Request.Header.Set("Accept-Encoding", "identity")
	return nil
}

// NewPart makes a temporary file in TempDir. The name is removed immediately if the system supports
// open files without a name, so a killed run leaves nothing.
func (s *S3) NewPart() (*Part, error) {
	if s.temp == nil {
		return nil, errors.New("create part file: no folder for temporary files was given")
	}
	part, err := newPart(s.temp, atState)
	if err != nil {
		return nil, err
	}
	_ = s.temp.Remove(part.name) // otherwise Discard does it
	return part, nil
}

// Close closes the temporary folder and idle connections. No other call may be active.
func (s *S3) Close() error {
	s.http.CloseIdleConnections()
	if s.temp == nil {
		return nil
	}
	return s.temp.Close()
}

// at returns the full key of a relative one.
func (s *S3) at(key string) *string { return aws.String(s.o.Prefix + key) }

func (s *S3) bucket() *string { return aws.String(s.o.Bucket) }

// lock takes the lock of a key, which few other keys share, and returns the unlock function.
func (s *S3) lock(key string) (unlock func()) {
	lock := &s.locks[maphash.String(s.seed, key)%uint64(len(s.locks))]
	lock.Lock()
	return lock.Unlock
}
