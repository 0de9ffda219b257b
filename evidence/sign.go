// Signs seals with SSH keys, and checks their signatures.

package evidence

import (
	"bytes"
	"context"
	"crypto/subtle"
	"errors"
	"fmt"
	"net"
	"strings"
	"time"

	"github.com/hiddeco/sshsig"
	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/agent"
)

// Namespace prevents a signature for another purpose from being used for a seal.
const Namespace = "convoso-archiver.seal.v1"

const agentTime = 5 * time.Minute // for a person to touch a security key

// KeyError says why a key cannot sign, and what to do.
type KeyError struct{ Problem string }

// Error implements error.
func (e *KeyError) Error() string { return e.Problem }

// Signer returns the signer of a key file in OpenSSH's format. A key with a passphrase, or a file with only the
// public half, signs through the agent at the socket agentSocket, which may be "". Close ends the connection. The
// error is a *KeyError, or that of reading the file.
func Signer(ctx context.Context, text []byte, agentSocket string) (signer ssh.Signer, closeAgent func() error, err error) {
	none := func() error { return nil }
	signer, err = ssh.ParsePrivateKey(text)
	if err == nil {
		return signer, none, nil
	}
	var public ssh.PublicKey
	if locked, ok := errors.AsType[*ssh.PassphraseMissingError](err); ok {
		public = locked.PublicKey // nil in a file of the old format
	} else if public, _, _, _, err = ssh.ParseAuthorizedKey(text); err != nil {
		return nil, nil, &KeyError{"the key file holds no SSH key: make one with ssh-keygen -t ed25519 -f seal"}
	}
	if agentSocket == "" || public == nil {
		return nil, nil, &KeyError{"the key has a passphrase, or only its public half is given, and there is no SSH agent: run ssh-add, or give a key without a passphrase"}
	}
	var dialer net.Dialer
	connection, err := dialer.DialContext(ctx, "unix", agentSocket)
	if err != nil {
		return nil, nil, &KeyError{"the SSH agent does not answer: check SSH_AUTH_SOCK"}
	}
	if err := connection.SetDeadline(time.Now().Add(agentTime)); err != nil {
		return nil, nil, errors.Join(fmt.Errorf("ask the SSH agent: %w", err), connection.Close())
	}
	signers, err := agent.NewClient(connection).Signers()
	for _, s := range signers {
		if err == nil && sameKey(s.PublicKey(), public) {
			return s, connection.Close, nil
		}
	}
	_ = connection.Close() // nothing can be lost
	return nil, nil, &KeyError{"the SSH agent does not hold the key: run ssh-add with it"}
}

func sameKey(a, b ssh.PublicKey) bool {
	return subtle.ConstantTimeCompare(a.Marshal(), b.Marshal()) == 1
}

// sign returns the armored signature of a seal.
func sign(text []byte, signer ssh.Signer) ([]byte, error) {
	signature, err := sshsig.Sign(bytes.NewReader(text), signer, sshsig.HashSHA512, Namespace)
	if err != nil {
		return nil, fmt.Errorf("sign the seal: %w", err)
	}
	return sshsig.Armor(signature), nil
}

// AllowedSigner is a line of a file in the format of ssh-keygen's ALLOWED SIGNERS.
type AllowedSigner struct {
	Principals string
	Key        ssh.PublicKey
	namespaces []string // nil: all
	after      time.Time
	before     time.Time
}

// ParseAllowedSigners reads a file in the format of ALLOWED SIGNERS, ssh-keygen(1). Of its options it knows
// namespaces, valid-after and valid-before; a certificate authority is an error, because this package checks no
// certificates. The error names the line.
func ParseAllowedSigners(text []byte) ([]AllowedSigner, error) {
	var signers []AllowedSigner
	for i, line := range strings.Split(string(text), "\n") {
		line = strings.TrimSpace(line)
		if line == "" || line[0] == '#' {
			continue
		}
		signer, err := parseSigner(line)
		if err != nil {
			return nil, fmt.Errorf("line %d: %w", i+1, err)
		}
		signers = append(signers, signer)
	}
	if len(signers) == 0 {
		return nil, errors.New("it names no signer")
	}
	return signers, nil
}

func parseSigner(line string) (s AllowedSigner, err error) {
	principals, rest, ok := strings.Cut(line, " ")
	if strings.HasPrefix(line, `"`) {
		principals, rest, ok = strings.Cut(line[1:], `" `)
	}
	switch {
	case !ok:
		return s, errors.New("it has no key")
	case strings.ContainsAny(principals, "!"):
		return s, errors.New("negated principals are not supported")
	}
	key, _, options, _, err := ssh.ParseAuthorizedKey([]byte(strings.TrimSpace(rest)))
	if err != nil {
		return s, errors.New("its key cannot be read")
	}
	s.Principals, s.Key = principals, key
	for _, option := range options {
		name, value, _ := strings.Cut(option, "=")
		value = strings.Trim(value, `"`)
		switch strings.ToLower(name) {
		case "namespaces":
			if s.namespaces != nil {
				return s, errors.New("the option namespaces is given twice")
			}
			s.namespaces = strings.Split(value, ",")
		case "valid-after":
			s.after, err = parseSignerTime(value)
		case "valid-before":
			s.before, err = parseSignerTime(value)
		default:
			return s, fmt.Errorf("the option %q is not supported", name)
		}
		if err != nil {
			return s, err
		}
	}
	return s, nil
}

// parseSignerTime reads YYYYMMDD[Z] and YYYYMMDDHHMM[SS][Z]. Without Z it is UTC anyway: the local zone of the
// auditor does not matter.
func parseSignerTime(text string) (time.Time, error) {
	text = strings.TrimSuffix(text, "Z")
	for _, layout := range []string{"20060102", "200601021504", "20060102150405"} {
		if len(text) == len(layout) {
			if t, err := time.Parse(layout, text); err == nil {
				return t, nil
			}
		}
	}
	return time.Time{}, errors.New("a time is not written like 20250131 or 20250131235959Z")
}

// allows reports whether the signer may sign seals of a time.
func (s *AllowedSigner) allows(at time.Time) bool {
	return (s.namespaces == nil || matchesList(s.namespaces, Namespace)) &&
		(s.after.IsZero() || !at.Before(s.after)) && (s.before.IsZero() || at.Before(s.before))
}

// matchesList reports whether a name matches one of the patterns and none that begins with "!", as PATTERNS of
// ssh_config(5) do.
func matchesList(patterns []string, name string) bool {
	matched := false
	for _, pattern := range patterns {
		pattern, negated := strings.CutPrefix(pattern, "!")
		if matches(pattern, name) {
			if negated {
				return false
			}
			matched = true
		}
	}
	return matched
}

// matches supports * for any text and ? for any single byte.
func matches(pattern, name string) bool {
	if pattern == "" {
		return name == ""
	}
	if pattern[0] == '*' {
		for i := range len(name) + 1 {
			if matches(pattern[1:], name[i:]) {
				return true
			}
		}
		return false
	}
	return name != "" && (pattern[0] == '?' || pattern[0] == name[0]) && matches(pattern[1:], name[1:])
}

// What is wrong with a signature.
var (
	errNoSignature    = errors.New("it has no signature")
	errBadSignature   = errors.New("the signature is not of this seal")
	errUnknownSigner  = errors.New("the key that signed it is not among the allowed signers")
	errSignerNotValid = errors.New("the key that signed it was not allowed to sign at that time, or not allowed to sign seals")
)

// signedBy returns the key that signed a seal.
func signedBy(s *stored) (ssh.PublicKey, error) {
	if s.sig == nil {
		return nil, errNoSignature
	}
	signature, err := sshsig.Unarmor(s.sig)
	if err != nil || sshsig.Verify(bytes.NewReader(s.text), signature, signature.PublicKey, signature.HashAlgorithm, Namespace) != nil {
		return nil, errBadSignature
	}
	return signature.PublicKey, nil
}

// checkSignature returns the signer of a seal.
func checkSignature(s *stored, allowed []AllowedSigner) (principals string, err error) {
	key, err := signedBy(s)
	if err != nil {
		return "", err
	}
	known := false
	for _, signer := range allowed {
		if !sameKey(signer.Key, key) {
			continue
		}
		if known = true; signer.allows(s.Time) {
			return signer.Principals, nil
		}
	}
	if known {
		return "", errSignerNotValid
	}
	return "", errUnknownSigner
}
