// Package readme tests that the pages for users are true of the program: it runs and compares their
// transcripts, tries their other command lines, reproduces the errors that they show, and checks their links
// and flags. It has no code of its own.
package readme
