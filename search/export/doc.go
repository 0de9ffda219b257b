// Package export writes calls and recordings of an archive as tables: Parquet, CSV or JSON Lines, one file per day.
//
// An [Export] reads the days of a [search.Query] one after another and writes those that changed since its last run
// with the same [Target]. [NoteName], next to the files, stores the state of each day. Every file is replaced
// atomically, so a reader sees the old one or the new one, and the next run completes a killed one.
//
// Exports contain personal data. Errors and logs of this package contain days and files, but no data of calls.
package export
