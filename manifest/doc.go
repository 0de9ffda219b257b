// Package manifest is the ledger of an archive: JSON Lines, partitioned by call day, with the outcome of every
// recording. docs/manifest.md describes the format.
//
// A Ledger is opened on a folder with OpenDir or on a bucket with OpenBucket; both have the same layout, so an
// archive may be copied either way. A day is a set of segments, each written by one run, and closed.json, which
// holds a day line for each filter for which the day is closed. On disk a run appends to its segment under the
// archive's one lock, and a line is durable when the call that notes it returns. In a bucket, lines are
// buffered in memory and stored as complete segments, so runs need no lock.
//
// Memory grows with the loaded days, not with the size of the archive. Errors and log lines contain days, files
// and recording or call ids, but no keys, links or other content of lines. The package never sleeps or retries.
package manifest
