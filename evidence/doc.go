// Package evidence makes changes to an archive evident: it signs closed days and verifies the signatures.
//
// A seal names the roots of the days closed since the previous seal, and the hash of that seal, so the seals form a
// chain. It is signed with an SSH key, and stock ssh-keygen checks the signature (OpenSSH, PROTOCOL.sshsig). Seals
// are in seals/ as 000042.json and 000042.sig; docs/evidence.md describes them.
//
// The package also protects and removes: holds keep the calls and recordings of a case, locks protect objects
// in a bucket, an erasure removes calls on purpose, and an expiry removes audio whose retention has ended.
// Their records are in evidence/, and seals sign them.
package evidence
