// Package bag writes what was found as a BagIt bag (RFC 8493): audio, call rows, ledger lines and the seals that vouch for
// them, to hand over to somebody who has no access to the archive.
//
// The bag is made in a folder beside its place, DIR.part, and gets its name when all of it is on stable storage, so that
// what a killed export leaves is never taken for a bag. Of a segment only the lines of the calls that were found are in
// the bag, and beside them the digests of all lines, of which a seal names the root: they tell nothing of other calls, for
// every line has a salt.
package bag
