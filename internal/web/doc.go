// Package web is the page of serve: it searches an archive, plays and hands out recordings, and shows which days are
// complete.
//
// A [Server] is an HTTP handler with limits of time, size and number on everything. It renders whole pages; the one script
// makes them quicker to use and is not needed to read them. Who asks is told by a users file, by a header of a trusted
// proxy, or not at all on loopback; what they may see is decided by [Rights], in one place for each kind of answer.
//
// What is sent of a recording is written to the access log first. Numbers, names, comments and keys of calls reach no log
// and no error of this package.
package web
