// Package readme holds the pages for users to the program by tests alone: their transcripts
// are run and compared, their other command lines are tried, the errors that they show are
// brought about, their links lead somewhere, and their flags are those that the program has.
// It has no code of its own.
package readme
