// Package web is the page of serve: it searches an archive, plays and hands out recordings, and shows which days are
// complete.
//
// A [Server] is an HTTP handler with limits of time, size and number on everything. It renders whole pages; the one
// script makes them quicker to use and is not needed to read them. Users are identified by a users file or by a header
// of a trusted proxy; on loopback they need no login. [Rights] decides what they may see, in one place for each kind of
// answer.
//
// Every access to a recording is written to the access log before anything is sent. Numbers, names, comments and keys
// of calls reach no log and no error of this package.
package web
