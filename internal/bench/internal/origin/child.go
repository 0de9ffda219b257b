// Package origin runs what the benchmarks download from, each in a process of its
// own so that what it costs is not counted as the downloader's: nginx or a plain
// file server, and the simulated account's API.
package origin

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"strings"
	"time"
)

const startTimeout = 30 * time.Second

// Child is a running process that serves until it is closed.
type Child struct {
	Line  string // what it said when it was ready
	cmd   *exec.Cmd
	input io.Closer
}

// StartSelf starts this very program with other arguments, which lead it to
// [ServeUntilEOF], and waits until it is ready.
func StartSelf(ctx context.Context, args ...string) (*Child, error) {
	program, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("find own program: %w", err)
	}
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.Stderr = os.Stderr
	input, err := cmd.StdinPipe()
	if err != nil {
		return nil, fmt.Errorf("start %s: %w", args[0], err)
	}
	output, err := cmd.StdoutPipe()
	if err != nil {
		return nil, fmt.Errorf("start %s: %w", args[0], err)
	}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("start %s: %w", args[0], err)
	}
	line, err := bufio.NewReader(output).ReadString('\n')
	c := &Child{Line: strings.TrimSpace(line), cmd: cmd, input: input}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("start %s: it ended at once: %w", args[0], err), c.Close())
	}
	return c, nil
}

// ServeUntilEOF is the other side of StartSelf: it says that it is ready, with one
// line, and returns when the parent lets go of it or is gone.
func ServeUntilEOF(ready string) error {
	if _, err := fmt.Println(ready); err != nil {
		return fmt.Errorf("tell that the server is ready: %w", err)
	}
	_, err := io.Copy(io.Discard, os.Stdin)
	return err
}

// Close ends the process and waits for it.
func (c *Child) Close() error {
	if c.cmd == nil {
		return nil
	}
	cmd := c.cmd
	c.cmd = nil
	return errors.Join(c.input.Close(), cmd.Wait())
}

// FreeAddress returns a loopback address that nobody listens on at the moment.
func FreeAddress(ctx context.Context) (string, error) {
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return "", fmt.Errorf("find a free port: %w", err)
	}
	defer listener.Close()
	return listener.Addr().String(), nil
}
