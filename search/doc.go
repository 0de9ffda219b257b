// Package search finds calls and recordings of an archive.
//
// An [Archive] joins the call rows of a day with what the ledger knows of their recordings. It answers a [Query] by
// reading the days of a span, or from an index where one is given to it; both give the same answers in the same
// order. It only reads the archive, and an archive run may work meanwhile.
//
// Calls hold personal data. Errors of this package name days, files and ids, never anything else of a call.
package search
