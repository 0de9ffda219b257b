package store

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"net/url"
	"syscall"

	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/smithy-go"
)

const (
	codeConflict = "ConditionalRequestConflict"

	hintPermission  = "the credentials need s3:PutObject, s3:GetObject, s3:ListBucket and s3:AbortMultipartUpload there"
	hintCredentials = "check AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or the profile or role in use"
	hintRenew       = "renew the credentials and start again"
	hintBucket      = "check the name in --dest, and --s3-endpoint"
	hintRegion      = "check --s3-region"
	hintKMS         = "check --s3-kms-key-id and that the credentials may use the key"
	hintClock       = "set this machine's clock"
	hintHeaders     = "the server may not know a header of the request: try --s3-checksum md5 or none, and check --s3-storage-class and --s3-sse"
)

// s3Meaning is what an error code of S3 means to us.
// https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html lists them.
type s3Meaning struct {
	retriable bool
	unusable  bool
	hint      string
	is        error
}

// s3Failure makes the error for a failed call, op being "verb noun". ctx is the
// caller's. Nothing of the server's own message is kept: it may name the key, and
// so does the address in the errors of net/http.
func s3Failure(ctx context.Context, op string, err error) error {
	if ctx.Err() != nil {
		return stopped(ctx, op)
	}
	if e, ok := errors.AsType[*failure](err); ok { // of a Part that is the body
		return e
	}
	if e, ok := errors.AsType[*credentialsError](err); ok {
		// The chain knows no key, and its text is the only clue to what is missing.
		return &failure{
			text: op + ": no usable AWS credentials: " + e.Error(), hint: hintCredentials,
			retriable: true, is: []error{ErrUnusable},
		}
	}
	if response, ok := errors.AsType[*awshttp.ResponseError](err); ok && response.HTTPStatusCode() >= 300 {
		return answerFailure(op, response.HTTPStatusCode(), s3Code(err), response.ServiceRequestID())
	}
	return transportFailure(op, err)
}

// answerFailure is for an answer that is an error.
func answerFailure(op string, status int, code, requestID string) error {
	text := op + ": "
	if plain(code) != "" {
		text += code + " "
	}
	text += fmt.Sprintf("(status %d", status)
	if requestID = plain(requestID); requestID != "" {
		text += ", request id " + requestID
	}
	m := meaningOf(status, code)
	f := &failure{text: text + ")", hint: m.hint, retriable: m.retriable}
	if m.is != nil {
		f.is = append(f.is, m.is)
	}
	if m.unusable {
		f.is = append(f.is, ErrUnusable)
	}
	f.code = code
	return f
}

func meaningOf(status int, code string) s3Meaning {
	switch code {
	case "NoSuchKey", "NotFound":
		return s3Meaning{is: fs.ErrNotExist}
	case "PreconditionFailed":
		return s3Meaning{is: fs.ErrExist}
	case "NoSuchUpload": // taken away while we were uploading: start over
		return s3Meaning{retriable: true}
	case codeConflict, "OperationAborted", "SlowDown", "InternalError", "ServiceUnavailable", "RequestTimeout",
		"Throttling", "ThrottlingException", "TooManyRequests", "BadDigest", "XAmzContentChecksumMismatch", "XAmzContentSHA256Mismatch", "IncompleteBody":
		return s3Meaning{retriable: true}
	case "NoSuchBucket", "InvalidBucketName":
		return s3Meaning{unusable: true, hint: hintBucket}
	case "InvalidAccessKeyId", "SignatureDoesNotMatch", "InvalidSecurity", "NotSignedUp", "AccountProblem",
		"XAdminUserNotFound": // versitygw's InvalidAccessKeyId
		return s3Meaning{unusable: true, hint: hintCredentials}
	case "ExpiredToken", "InvalidToken", "TokenRefreshRequired":
		return s3Meaning{unusable: true, hint: hintRenew}
	case "PermanentRedirect", "AuthorizationHeaderMalformed", "IllegalLocationConstraintException":
		return s3Meaning{unusable: true, hint: hintRegion}
	case "RequestTimeTooSkewed": // the SDK has now learned the difference
		return s3Meaning{retriable: true, unusable: true, hint: hintClock}
	case "QuotaExceeded", "XMinioStorageFull", "ServiceQuotaExceeded":
		return s3Meaning{unusable: true, hint: "the server has no room left"}
	case "InvalidStorageClass":
		return s3Meaning{unusable: true, hint: "check --s3-storage-class"}
	case "InvalidEncryptionAlgorithmError", "KMS.DisabledException", "KMS.NotFoundException", "KMS.KMSInvalidStateException":
		return s3Meaning{unusable: true, hint: hintKMS}
	case "InvalidObjectState":
		return s3Meaning{hint: "the object is in an archive class: restore it first"}
	}
	return meaningOfStatus(status)
}

// meaningOfStatus is for codes not known here, and for HEAD, whose answer has no
// body and so no code but what the SDK makes of the status. An unknown 404 does not
// mean that the object is missing.
func meaningOfStatus(status int) s3Meaning {
	switch status {
	case http.StatusPreconditionFailed:
		return s3Meaning{is: fs.ErrExist}
	case http.StatusMovedPermanently, http.StatusFound:
		return s3Meaning{unusable: true, hint: hintRegion}
	case http.StatusUnauthorized, http.StatusForbidden:
		return s3Meaning{unusable: true, hint: hintPermission}
	case http.StatusNotImplemented:
		return s3Meaning{unusable: true, hint: hintHeaders}
	case http.StatusInsufficientStorage:
		return s3Meaning{unusable: true, hint: "the server has no room left"}
	case http.StatusBadRequest:
		return s3Meaning{hint: hintHeaders}
	case http.StatusRequestTimeout, http.StatusTooManyRequests, http.StatusTemporaryRedirect:
		return s3Meaning{retriable: true}
	}
	return s3Meaning{retriable: status >= 500}
}

// s3Code returns the code of an error that the SDK made of an answer, "" for none.
func s3Code(err error) string {
	if e, ok := errors.AsType[smithy.APIError](err); ok && e.ErrorCode() != "UnknownError" {
		return e.ErrorCode()
	}
	return ""
}

// isUnanswered reports whether a failure was a call without an answer.
func isUnanswered(err error) bool {
	f, ok := errors.AsType[*failure](err)
	return ok && f.unanswered
}

// s3CodeOf returns the code that a failure was made from, "" for none.
func s3CodeOf(err error) string {
	if f, ok := errors.AsType[*failure](err); ok {
		return f.code
	}
	return ""
}

// transportFailure is for a call without an answer, or with a broken one. All of it
// is worth another try but what is wrong with the certificate or the scheme.
func transportFailure(op string, err error) error {
	f := &failure{text: op + ": " + withoutAddress(err), retriable: true, unanswered: true}
	if isTLSTrouble(err) {
		f.hint = "check --s3-endpoint; for a private certificate authority set AWS_CA_BUNDLE"
		f.retriable, f.is = false, []error{ErrUnusable}
	}
	return f
}

func isTLSTrouble(err error) bool {
	if _, ok := errors.AsType[*tls.CertificateVerificationError](err); ok {
		return true
	}
	_, notTLS := errors.AsType[tls.RecordHeaderError](err)
	return notTLS || errors.Is(err, http.ErrSchemeMismatch)
}

// withoutAddress describes an error by those of its causes that are known to hold
// neither an address nor anything the server said.
func withoutAddress(err error) string {
	if e, ok := errors.AsType[*net.DNSError](err); ok {
		return e.Error()
	}
	if e, ok := errors.AsType[*net.OpError](err); ok && e.Op == "dial" {
		return e.Error()
	}
	if e, ok := errors.AsType[*tls.CertificateVerificationError](err); ok {
		return e.Error()
	}
	if e, ok := errors.AsType[x509.UnknownAuthorityError](err); ok {
		return e.Error()
	}
	if e, ok := errors.AsType[syscall.Errno](err); ok {
		return e.Error()
	}
	if e, ok := errors.AsType[interface {
		error
		Timeout() bool
	}](err); ok && e.Timeout() {
		return "timed out"
	}
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		return "timed out"
	case errors.Is(err, http.ErrSchemeMismatch):
		return "the server speaks http, not https"
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return "the connection ended too early"
	}
	if _, ok := errors.AsType[*url.Error](err); ok {
		return "the request failed"
	}
	return "the answer could not be read"
}

// notEncrypted is returned when a server has stored an object without the encryption
// asked for.
func notEncrypted() error {
	return &failure{
		text: opStore + ": the server did not confirm the encryption asked for",
		hint: "leave out --s3-sse, or have the bucket encrypt by default; what was stored without stays",
		is:   []error{ErrUnusable},
	}
}
