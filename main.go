// Convoso-archiver saves every call recording of a Convoso account to disk or S3,
// proves that none is missing, and fetches none twice.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"
	"time"

	"convoso-archiver/internal/cli"
)

func main() {
	os.Exit(cli.Run(untilSignal(), os.Args[1:], cli.Env{Stdin: os.Stdin, Stdout: os.Stdout, Stderr: os.Stderr, Environ: os.Environ()}))
}

// echoTime is how long after the first signal further ones are taken for the same:
// timeout(1) and others signal their child and then its whole group, which arrives
// within the same moment. It is shorter than a person takes to press Ctrl-C twice.
const echoTime = 200 * time.Millisecond

// untilSignal returns a context that the first signal ends, so that the program
// stops cleanly. A second signal ends the program at once: whatever is on disk or
// in a bucket by then is whole.
func untilSignal() context.Context {
	ctx, cancel := context.WithCancelCause(context.Background())
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	go func() {
		cancel(&cli.SignalError{Signal: <-signals})
		first := time.Now()
		for signal := range signals {
			if time.Since(first) > echoTime {
				os.Exit((&cli.SignalError{Signal: signal}).ExitCode())
			}
		}
	}()
	return ctx
}
