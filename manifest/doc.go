// Package manifest is the ledger of an archive: JSON Lines, partitioned by call day, that say what
// became of every recording. docs/manifest.md describes the format.
//
// A Ledger is opened on a folder with OpenDir or on a bucket with OpenBucket; both have one layout, so that an
// archive may be copied either way. A day is a set of segments, each written by one run, and closed.json, which
// holds a day line for each filter that the day is closed for. On disk a run appends to its segment under the
// archive's one lock, and a line is durable when the call that noted it returns. In a bucket lines are held in
// memory and put as whole segments, so that runs need no lock among each other.
//
// Memory follows the days that are loaded, never the size of the archive. Errors and log lines name days, files
// and recording or call ids, never keys, links or anything else that is in a line. The package never sleeps
// and retries nothing.
package manifest
