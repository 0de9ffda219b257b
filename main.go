// Convoso-archiver saves every call recording of a Convoso account to disk or S3, proves that none
// is missing, and fetches none twice.
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

// echoTime is the time after the first signal in which further ones count as repetitions:
// timeout(1) and others signal their child and then its whole group almost simultaneously. It is
// shorter than two presses of Ctrl-C.
const echoTime = 200 * time.Millisecond

// untilSignal returns a context that the first signal cancels, so that the program stops cleanly. A
// second signal ends the program at once; everything on disk or in a bucket is consistent then.
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
