// Package manifest is the ledger of an archive: JSON Lines, partitioned by call day, that say what
// became of every recording. docs/manifest.md describes the format.
//
// A Ledger is opened on a folder with OpenDir or on a bucket with OpenObjects; both hold the same lines. On disk
// a day is one file that is appended to under the archive's one lock. In a bucket a day is a set of segments,
// each written once from a local spool, so that runs need no lock among each other. In both a line is
// durable when the call that noted it returns, on disk in the ledger itself, for a bucket in the spool.
//
// Memory follows the days that are loaded, never the size of the archive. Errors and log lines name days, files
// and recording or call ids, never keys, links or anything else that stands in a line.
package manifest
