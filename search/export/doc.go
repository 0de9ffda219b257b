// Package export writes calls and recordings of an archive as tables: Parquet, CSV or JSON Lines, a file a day.
//
// An [Export] reads the days of a [search.Query] one after another and writes those that changed since it was last run
// with the same [Target]. What each day's files were made from is in [NoteName], beside them. Every file is
// replaced as a whole, so that a reader sees the old one or the new one, and a run that is killed is finished by the
// next.
//
// Exports hold personal data. Errors and logs of this package name days and files, never anything else of a call.
package export
