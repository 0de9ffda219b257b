// Translates the errors of S3 into causes and hints.

package store

import (
	"context"
	"crypto/tls"
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
	codeConflict   = "ConditionalRequestConflict"
	codeFolder     = "ExistingObjectIsDirectory" // versitygw's, permanent, or because the folder was just removed
	codeUnanswered = "no answer"                 // our own code, for a call without an answer

	hintPermission  = "the credentials need s3:PutObject, s3:GetObject and s3:ListBucket there"
	hintCredentials = "check AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or the profile or role in use"
	hintRegion      = "check --s3-region"
	hintRoom        = "the server has no room left"
	hintHeaders     = "the server may not know a header of the request: try --s3-no-conditional-writes (Backblaze B2 does not know If-None-Match), try --s3-checksum md5 or none, and check --s3-storage-class and --s3-sse"
)

// s3Failure makes the error for a failed call, with op as "verb noun". ctx is the caller's. It
// drops the server's message, which may contain the key, and so does the address in errors of
// net/http.
func s3Failure(ctx context.Context, op string, err error) error {
	if ctx.Err() != nil {
		return stopped(ctx, op)
	}
	if e, ok := errors.AsType[*failure](err); ok { // from a Part as body
		return e
	}
	if e, ok := errors.AsType[*credentialsError](err); ok {
		// The chain has no key, and only its text says what is missing.
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

// answerFailure handles an error answer.
func answerFailure(op string, status int, code, requestID string) error {
	f := meaningOf(status, code)
	f.code = code
	f.text = op + ": "
	if plain(code) != "" {
		f.text += code + " "
	}
	f.text += fmt.Sprintf("(status %d", status)
	if plain(requestID) != "" {
		f.text += ", request id " + requestID
	}
	f.text += ")"
	return f
}

// meaningOf returns a failure with the meaning of an answer for the archive.
// https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html lists the codes.
func meaningOf(status int, code string) *failure {
	unusable := func(hint string) *failure { return &failure{hint: hint, is: []error{ErrUnusable}} }
	switch code {
	case "NoSuchKey", "NotFound":
		return &failure{is: []error{fs.ErrNotExist}}
	case "PreconditionFailed":
		return &failure{is: []error{fs.ErrExist}}
	case codeConflict, "OperationAborted", "SlowDown", "InternalError", "ServiceUnavailable", "RequestTimeout",
		"Throttling", "ThrottlingException", "TooManyRequests", "BadDigest", "XAmzContentChecksumMismatch", "XAmzContentSHA256Mismatch", "IncompleteBody":
		return &failure{retriable: true}
	case "NoSuchBucket", "InvalidBucketName":
		return unusable("check the name in --dest, and --s3-endpoint")
	case "InvalidAccessKeyId", "SignatureDoesNotMatch", "InvalidSecurity", "NotSignedUp", "AccountProblem",
		"XAdminUserNotFound": // versitygw's InvalidAccessKeyId
		return unusable(hintCredentials)
	case "ExpiredToken", "InvalidToken", "TokenRefreshRequired":
		return unusable("renew the credentials and start again")
	case "PermanentRedirect", "AuthorizationHeaderMalformed", "IllegalLocationConstraintException":
		return unusable(hintRegion)
	case "RequestTimeTooSkewed": // the SDK has now learned the difference
		return &failure{hint: "set this machine's clock", retriable: true, is: []error{ErrUnusable}}
	case "QuotaExceeded", "XMinioStorageFull", "ServiceQuotaExceeded":
		return unusable(hintRoom)
	case "InvalidStorageClass":
		return unusable("check --s3-storage-class")
	case "InvalidEncryptionAlgorithmError", "KMS.DisabledException", "KMS.NotFoundException", "KMS.KMSInvalidStateException":
		return unusable("check --s3-kms-key-id and that the credentials may use the key")
	case "InvalidObjectState":
		return &failure{hint: "the object is in an archive class: restore it first"}
	}
	// The code is unknown, or derived by the SDK from the status of HEAD, whose answer has no body.
	// An unknown 404 does not mean that the object is missing.
	switch status {
	case http.StatusPreconditionFailed:
		return &failure{is: []error{fs.ErrExist}}
	case http.StatusMovedPermanently, http.StatusFound:
		return unusable(hintRegion)
	case http.StatusUnauthorized, http.StatusForbidden:
		return unusable(hintPermission)
	case http.StatusNotImplemented:
		return unusable(hintHeaders)
	case http.StatusInsufficientStorage:
		return unusable(hintRoom)
	case http.StatusBadRequest:
		return &failure{hint: hintHeaders}
	case http.StatusRequestTimeout, http.StatusTooManyRequests, http.StatusTemporaryRedirect:
		return &failure{retriable: true}
	}
	return &failure{retriable: status >= 500}
}

// s3Code returns the code of an error of an SDK error, "" for none.
func s3Code(err error) string {
	if e, ok := errors.AsType[smithy.APIError](err); ok && e.ErrorCode() != "UnknownError" {
		return e.ErrorCode()
	}
	return ""
}

// hasCode reports whether a failure was made from an answer with this code.
func hasCode(err error, code string) bool {
	f, ok := errors.AsType[*failure](err)
	return ok && f.code == code
}

// transportFailure handles a call without an answer, or with a broken one. All of these are
// retriable, except errors of the certificate or the scheme.
func transportFailure(op string, err error) error {
	_, badCertificate := errors.AsType[*tls.CertificateVerificationError](err)
	_, notTLS := errors.AsType[tls.RecordHeaderError](err)
	if badCertificate || notTLS || errors.Is(err, http.ErrSchemeMismatch) {
		return &failure{
			text: op + ": " + withoutAddress(err), code: codeUnanswered, is: []error{ErrUnusable},
			hint: "check --s3-endpoint; for a private certificate authority set AWS_CA_BUNDLE",
		}
	}
	return &failure{text: op + ": " + withoutAddress(err), code: codeUnanswered, retriable: true}
}

// withoutAddress describes an error by the causes that are known not to contain an object's address
// or data from the server.
func withoutAddress(err error) string {
	if e, ok := errors.AsType[*net.OpError](err); ok && e.Op == "dial" {
		return e.Error()
	}
	if e, ok := errors.AsType[*tls.CertificateVerificationError](err); ok {
		return e.Error()
	}
	if e, ok := errors.AsType[syscall.Errno](err); ok {
		return e.Error()
	}
	if e, ok := errors.AsType[net.Error](err); ok && e.Timeout() || errors.Is(err, context.DeadlineExceeded) {
		return "timed out"
	}
	switch {
	case errors.Is(err, http.ErrSchemeMismatch):
		return "the server answers in http, not https"
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return "the connection ended too early"
	}
	if _, ok := errors.AsType[*url.Error](err); ok {
		return "the request failed"
	}
	return "the answer could not be read"
}

// notAnswered is for an answer of success that lacks what every S3 server sends with it: a proxy may have answered in the
// server's place, with a page. It says nothing about what is stored.
func notAnswered(op string) error {
	return &failure{
		text: op + ": the answer is not from an S3 server", code: codeUnanswered, retriable: true,
		hint: "check --s3-endpoint: a proxy or a gateway may answer in the server's place",
	}
}

// notEncrypted is returned when a server has stored an object without the requested encryption.
func notEncrypted() error {
	return &failure{
		text: opStore + ": the server did not confirm the requested encryption",
		hint: "remove --s3-sse, or let the bucket encrypt by default; objects already stored stay unencrypted",
		is:   []error{ErrUnusable},
	}
}
