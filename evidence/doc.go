// Package evidence makes changes to an archive evident: it signs what is closed, and checks what was signed.
//
// A seal names the roots of the days that were closed since the last one, and the hash of that one, so that seals are
// a chain. It is signed with an SSH key, and stock ssh-keygen checks the signature (OpenSSH, PROTOCOL.sshsig). Seals
// are in seals/ as 000042.json and 000042.sig; docs/evidence.md describes them.
//
// Holds name calls and recordings that nothing may remove while a case holds them. Their records are in evidence/.
package evidence
