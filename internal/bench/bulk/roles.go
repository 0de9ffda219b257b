package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sync/errgroup"

	"convoso-archiver/internal/bench/internal/corpus"
	"convoso-archiver/internal/bench/internal/origin"
	"convoso-archiver/internal/bench/internal/putloop"
)

// The parts that this program plays in processes of their own, by its first
// argument.
const (
	roleAccount = "serve-account" // COUNT MEDIAN MEAN ORIGIN: the API
	roleFiles   = "serve-files"   // FOLDER: a web server, where nginx is missing
	roleSync    = "sync-files"    // WORKERS FOLDER: makes downloaded files durable
	rolePut     = "put-loop"      // WORKERS ENDPOINT BUCKET LIST: downloads into S3
)

// playRole plays the part that the arguments name, if they name one.
func playRole(ctx context.Context, args []string) (done bool, err error) {
	if len(args) == 0 {
		return false, nil
	}
	wanted := map[string]int{roleAccount: 5, roleFiles: 2, roleSync: 3, rolePut: 5}[args[0]]
	if wanted == 0 {
		return false, nil
	}
	if len(args) != wanted {
		return true, fmt.Errorf("%s takes %d arguments", args[0], wanted-1)
	}
	switch args[0] {
	case roleAccount:
		return true, serveAccount(args[1:])
	case roleFiles:
		return true, origin.ServeFiles(ctx, args[1])
	case roleSync:
		return true, syncFiles(args[1], args[2])
	}
	return true, putAll(ctx, args[1:])
}

func serveAccount(args []string) error {
	count, err := strconv.Atoi(args[0])
	median, err2 := strconv.ParseFloat(args[1], 64)
	mean, err3 := strconv.ParseFloat(args[2], 64)
	if err := errors.Join(err, err2, err3); err != nil {
		return err
	}
	account, err := corpus.New(count, corpus.Shape{Median: median, Mean: mean}).Account(args[3])
	if err != nil {
		return err
	}
	if err := account.Start(); err != nil {
		return err
	}
	return errors.Join(origin.ServeUntilEOF(account.APIURL()), account.Close())
}

// syncFiles makes the files of a folder durable, and then their names: the least
// that would make another tool's downloads survive a power cut.
func syncFiles(workers, folder string) error {
	limit, err := strconv.Atoi(workers)
	if err != nil {
		return err
	}
	entries, err := os.ReadDir(folder)
	if err != nil {
		return fmt.Errorf("sync files: %w", err)
	}
	var group errgroup.Group
	group.SetLimit(limit)
	for _, entry := range entries {
		group.Go(func() error { return syncOne(filepath.Join(folder, entry.Name())) })
	}
	if err := group.Wait(); err != nil {
		return err
	}
	return syncOne(folder)
}

func syncOne(name string) error {
	file, err := os.Open(name)
	if err != nil {
		return fmt.Errorf("sync file: %w", err)
	}
	if err := errors.Join(file.Sync(), file.Close()); err != nil {
		return fmt.Errorf("sync file: %w", err)
	}
	return nil
}

func putAll(ctx context.Context, args []string) error {
	workers, err := strconv.Atoi(args[0])
	if err != nil {
		return err
	}
	list, err := os.ReadFile(args[3])
	if err != nil {
		return fmt.Errorf("read list: %w", err)
	}
	return putloop.Run(ctx, args[1], args[2], workers, strings.Fields(string(list)))
}
