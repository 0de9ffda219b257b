// Package copier copies the audio of what was found into a folder, checked by its SHA-256 on the way, with a table and
// a playlist of it.
//
// A copy gets its name only when it is complete, has the noted hash and is on stable storage. Nothing is overwritten:
// if a name is taken by other bytes, the recording's id is added to the name, and if its own bytes are already there,
// it counts as copied. So a killed copy can be continued.
package copier
