// Package bag writes what was found as a BagIt bag (RFC 8493): audio, call rows, ledger lines and the seals that prove
// them, to hand over to someone without access to the archive.
//
// The bag is made in a folder DIR.part next to its place, and gets its name when all of it is on stable storage, so the
// files of a killed export are never mistaken for a bag. Of a segment, the bag has only the lines of the found calls,
// and the digests of all lines, whose root is in a seal: they reveal nothing about other calls, because every line has
// a salt.
package bag
