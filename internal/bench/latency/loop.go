package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"golang.org/x/sync/errgroup"

	"convoso-archiver/internal/bench/measure"
)

// The parts that this program plays in processes of their own, by its first
// argument.
const (
	roleSource = "serve-source" // COUNT SHARE LATENCY SIZE
	roleLoop   = "loop"         // WORKERS COUNT URL FOLDER
)

func playRole(ctx context.Context, args []string) (done bool, err error) {
	if len(args) != 5 || args[0] != roleSource && args[0] != roleLoop {
		return false, nil
	}
	if args[0] == roleLoop {
		workers, err := strconv.Atoi(args[1])
		count, err2 := strconv.Atoi(args[2])
		if err := errors.Join(err, err2); err != nil {
			return true, err
		}
		return true, loop(ctx, workers, count, args[3], args[4])
	}
	count, err := strconv.Atoi(args[1])
	share, err2 := strconv.ParseFloat(args[2], 64)
	latency, err3 := time.ParseDuration(args[3])
	size, err4 := strconv.ParseInt(args[4], 10, 64)
	if err := errors.Join(err, err2, err3, err4); err != nil {
		return true, err
	}
	return true, serveSource(ctx, count, share, latency, size)
}

// loop is the yardstick: workers that download into files, and nothing else. They
// know what to ask for from the start.
func loop(ctx context.Context, workers, count int, url, folder string) error {
	client := &http.Client{Transport: &http.Transport{MaxConnsPerHost: workers, MaxIdleConnsPerHost: workers}}
	work := make(chan int)
	group, ctx := errgroup.WithContext(ctx)
	for range workers {
		group.Go(func() error {
			for n := range work {
				name := fmt.Sprintf("%07d.mp3", n)
				if err := download(ctx, client, url+"/"+name, filepath.Join(folder, name)); err != nil {
					return err
				}
			}
			return nil
		})
	}
	group.Go(func() error {
		defer close(work)
		for n := range count {
			select {
			case work <- n:
			case <-ctx.Done():
				return ctx.Err()
			}
		}
		return nil
	})
	return group.Wait()
}

func download(ctx context.Context, client *http.Client, url, name string) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	response, err := client.Do(request)
	if err != nil {
		return fmt.Errorf("download: %w", err)
	}
	defer response.Body.Close()
	file, err := os.Create(name)
	if err != nil {
		return fmt.Errorf("create file: %w", err)
	}
	_, err = io.Copy(file, response.Body)
	return errors.Join(err, file.Close())
}

// loop returns the command of the yardstick.
func (s *source) loop(folder string, workers int) measure.Command {
	return measure.Command{
		Args: []string{s.self, roleLoop, strconv.Itoa(workers), strconv.Itoa(s.Recordings), s.Media, folder}, Home: folder,
	}
}
