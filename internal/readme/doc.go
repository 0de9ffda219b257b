// Package readme holds README.md to the program by tests alone: its transcripts
// are run and compared, its other command lines are tried, and its flags are those
// that the program has. It has no code of its own.
package readme
