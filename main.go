// Convoso-archiver saves every call recording of a Convoso account to disk or S3,
// proves that none is missing, and fetches none twice.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"

	"convoso-archiver/internal/cli"
)

func main() {
	os.Exit(cli.Run(untilSignal(), os.Args[1:], cli.Env{Stdout: os.Stdout, Stderr: os.Stderr, Environ: os.Environ()}))
}

// untilSignal returns a context that the first signal ends, so that the program
// stops cleanly. A second signal ends the program at once: whatever is on disk or
// in a bucket by then is whole.
func untilSignal() context.Context {
	ctx, cancel := context.WithCancelCause(context.Background())
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	go func() {
		cancel(&cli.SignalError{Signal: <-signals})
		second := &cli.SignalError{Signal: <-signals}
		os.Exit(second.ExitCode())
	}()
	return ctx
}
