// Package search finds calls and recordings of an archive.
//
// An [Archive] joins the call rows of a day with the ledger's state of their recordings. It answers a [Query] by
// reading the days of a span, or from an index; both give the same answers in the same order. It only reads the
// archive, and an archive run may work at the same time.
//
// Calls contain personal data. Errors of this package contain days, files and ids, but no other data of a call.
package search
