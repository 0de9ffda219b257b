// Package readme holds the pages for users to the program by tests alone: their transcripts are run
// and compared, their other command lines are tried, the errors that they show are reproduced,
// their links have targets, and their flags are those of the program. It has no code of its own.
package readme
