// Package evidence makes changes to an archive evident: it signs closed days and verifies the signatures.
//
// A seal names the roots of the days closed since the previous seal, and the hash of that seal, so the seals form a
// chain. It is signed with an SSH key, and stock ssh-keygen checks the signature (OpenSSH, PROTOCOL.sshsig). Seals
// are in seals/ as 000042.json and 000042.sig; docs/evidence.md describes them.
//
// Holds protect calls and recordings from removal while a case is open. Their records are in evidence/.
package evidence
