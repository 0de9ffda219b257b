// Package copier copies the audio of what was found into a folder, checked by its SHA-256 on the way, with a table and
// a playlist of it.
//
// A copy is stored under its name only when all of it is there, has the noted hash and is on stable storage. Nothing
// is overwritten: where a name is taken by other bytes, the recording gets its id after the name, and where its own
// bytes are there already, it counts as copied. So a copy that was killed continues where it stopped.
package copier
