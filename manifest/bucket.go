package manifest

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
)

// Objects is the bucket as the ledger needs it. Keys are from the archive's root.
type Objects interface {
	// Get opens an object; a missing one is fs.ErrNotExist.
	Get(ctx context.Context, key string) (io.ReadCloser, error)
	// PutObject writes a whole object. Without overwrite an existing one is fs.ErrExist, also when it is there
	// because the reply to an earlier try was lost.
	PutObject(ctx context.Context, key string, body io.ReadSeeker, size int64, overwrite bool) error
	// ListKeys yields every key with the prefix, ascending.
	ListKeys(ctx context.Context, prefix string) iter.Seq2[string, error]
}

const (
	defaultUploadEvery = time.Minute
	statusesAtOnce     = 32
)

// bucket is the ledger in a bucket: segments that are each written once, from a spool.
type bucket struct {
	objects Objects
	spool   *spool // nil when read-only
	log     *slog.Logger

	stop  context.CancelFunc // ends the uploads by the clock
	ended sync.WaitGroup
}

// OpenObjects opens the ledger of the archive in a bucket. Unless o.ReadOnly it makes a spool below o.SpoolDir
// and uploads what runs that died have left there, so that the ledger is whole before it is read; what they
// noted of another archive is left alone, with a warning. ctx is for the opening alone.
func OpenObjects(ctx context.Context, objects Objects, o Options) (*Ledger, error) {
	l, err := newLedger(o)
	if err != nil {
		return nil, err
	}
	b := &bucket{objects: objects, log: l.log}
	l.medium = b
	if o.ReadOnly {
		return l, nil
	}
	if o.SpoolDir == "" {
		return nil, errors.New("open manifest: no spool folder")
	}
	spools := spoolFolder{dir: o.SpoolDir, objects: objects}
	if spools.archive, err = b.ownArchive(ctx); err != nil {
		return nil, fmt.Errorf("open manifest: %w", err)
	}
	if err := spools.uploadDead(ctx, l.log); err != nil {
		return nil, fmt.Errorf("upload the notes of an earlier run from %s: %w", o.SpoolDir, err)
	}
	if b.spool, err = spools.create(ctx, l.run, cmp.Or(spools.archive, l.newArchive)); err != nil {
		return nil, fmt.Errorf("make spool in %s: %w", o.SpoolDir, err)
	}
	l.files = b.spool.files
	b.uploadByClock(o.UploadEvery)
	return l, nil
}

// uploadByClock starts the goroutine that uploads the spool again and again. What fails is kept and
// tried again at the next turn, and last by close.
func (b *bucket) uploadByClock(every time.Duration) {
	if every <= 0 {
		every = defaultUploadEvery
	}
	ctx, stop := context.WithCancel(context.Background())
	b.stop = stop
	b.ended.Go(func() {
		tick := time.NewTicker(every)
		defer tick.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
			}
			if err := b.spool.uploadAll(ctx); err != nil && ctx.Err() == nil {
				b.log.Warn("the manifest could not be uploaded and stays in the spool until the next try", "error", err)
			}
		}
	})
}

func (b *bucket) readArchive(ctx context.Context) ([]byte, error) {
	data, err := b.read(ctx, archiveFile)
	if err != nil || b.spool == nil {
		return data, err
	}
	return data, b.spool.belongTo(archiveID(data))
}

// read fetches a small object.
func (b *bucket) read(ctx context.Context, key string) ([]byte, error) {
	body, err := b.objects.Get(ctx, key)
	if err != nil {
		return nil, err
	}
	data, err := io.ReadAll(io.LimitReader(body, maxLine+1))
	if err = errors.Join(err, body.Close()); err != nil {
		return nil, err
	}
	if len(data) > maxLine {
		return nil, errTooLong
	}
	return data, nil
}

func (b *bucket) writeArchive(ctx context.Context, data []byte, replace bool) error {
	err := b.objects.PutObject(ctx, archiveFile, bytes.NewReader(data), int64(len(data)), replace)
	if errors.Is(err, fs.ErrExist) {
		// It may be ours: the reply to an earlier try may have been lost. The id in it is random.
		if there, readErr := b.read(ctx, archiveFile); readErr == nil && bytes.Equal(there, data) {
			err = nil
		}
	}
	if err != nil {
		return err
	}
	return b.spool.belongTo(archiveID(data))
}

// segmentFolder is where the segments of a day are.
func segmentFolder(tree, day string) string { return tree + "/" + day + "/" }

// closedKey is the object that holds a day's day line.
func closedKey(day string) string { return segmentFolder(treeManifest, day) + closedName }

const closedName = "closed.json"

// listing is what one LIST tells of a day.
type listing struct {
	segments []string // names, ascending
	closed   bool     // closed.json is there
}

func (g *listing) add(name string) {
	switch {
	case name == closedName:
		g.closed = true
	case strings.HasSuffix(name, ".jsonl") && !strings.Contains(name, "/"):
		g.segments = append(g.segments, name)
	}
}

func (b *bucket) list(ctx context.Context, tree, day string) (listing, error) {
	var g listing
	folder := segmentFolder(tree, day)
	for key, err := range b.objects.ListKeys(ctx, folder) {
		if err != nil {
			return listing{}, fmt.Errorf("list manifest of %s: %w", day, err)
		}
		g.add(strings.TrimPrefix(key, folder))
	}
	return g, nil
}

// stands reports whether the segments are those that stood when a day was closed: segments are never
// changed nor taken away, so that their number and the last name tell.
func (d DayLine) stands(segments []string) bool {
	last := ""
	if len(segments) > 0 {
		last = slices.Max(segments)
	}
	return d.Segments == len(segments) && d.LastSegment == last
}

func (b *bucket) status(ctx context.Context, day string) (DayStatus, error) {
	g, err := b.list(ctx, treeManifest, day)
	if err != nil {
		return DayStatus{Day: day}, err
	}
	return b.statusOf(ctx, day, g)
}

func (b *bucket) statusOf(ctx context.Context, day string, g listing) (DayStatus, error) {
	open := DayStatus{Day: day}
	if !g.closed {
		return open, nil
	}
	if b.spool != nil {
		if held, err := b.spool.holds(treeManifest, day); held || err != nil {
			return open, err
		}
	}
	data, err := b.read(ctx, closedKey(day))
	if errors.Is(err, fs.ErrNotExist) {
		return open, nil
	}
	if err != nil {
		return open, fmt.Errorf("read closing of %s: %w", day, err)
	}
	s, err := closedStatus(rawLine{file: closedKey(day), text: bytes.TrimSpace(data)}, day)
	if err != nil || s.Closed && !s.DayLine.stands(g.segments) {
		return open, err
	}
	return s, nil
}

// days lists both trees, then fetches the closings, a few at once.
func (b *bucket) days(ctx context.Context) iter.Seq2[DayStatus, error] {
	return func(yield func(DayStatus, error) bool) {
		found, err := b.listDays(ctx)
		if err != nil {
			yield(DayStatus{}, err)
			return
		}
		for chunk := range slices.Chunk(sortedDays(found), 4*statusesAtOnce) {
			statuses, errs := b.statuses(ctx, chunk, found)
			for i, s := range statuses {
				if ctx.Err() != nil {
					yield(DayStatus{}, context.Cause(ctx))
					return
				}
				if !yield(s, errs[i]) {
					return
				}
			}
		}
	}
}

func (b *bucket) listDays(ctx context.Context) (map[string]*listing, error) {
	found := map[string]*listing{}
	for _, tree := range []string{treeManifest, treeCalls} {
		for key, err := range b.objects.ListKeys(ctx, tree+"/") {
			if err != nil {
				return nil, fmt.Errorf("list manifest: %w", err)
			}
			day, name, ok := strings.Cut(strings.TrimPrefix(key, tree+"/"), "/")
			if !ok || !isDay(day) {
				continue
			}
			if found[day] == nil {
				found[day] = &listing{}
			}
			if tree == treeManifest {
				found[day].add(name)
			}
		}
	}
	if b.spool != nil {
		spooled, err := b.spool.days()
		if err != nil {
			return nil, err
		}
		for _, day := range spooled {
			if found[day] == nil {
				found[day] = &listing{}
			}
		}
	}
	return found, nil
}

func (b *bucket) statuses(ctx context.Context, days []string, found map[string]*listing) ([]DayStatus, []error) {
	statuses, errs := make([]DayStatus, len(days)), make([]error, len(days))
	var group errgroup.Group
	group.SetLimit(statusesAtOnce)
	for i, day := range days {
		group.Go(func() error {
			statuses[i], errs[i] = b.statusOf(ctx, day, *found[day])
			return nil
		})
	}
	_ = group.Wait() // each error stands with its day
	return statuses, errs
}

// repair has nothing to do: objects are whole, and the committer looks after the spool.
func (b *bucket) repair(string, string) error { return nil }

// pieces reads the segments in key order, what this run still had in its spool included.
func (b *bucket) pieces(ctx context.Context, tree, day string) iter.Seq2[piece, error] {
	return func(yield func(piece, error) bool) {
		if b.spool != nil {
			if err := b.spool.uploadDay(ctx, day); err != nil {
				yield(piece{}, err)
				return
			}
		}
		g, err := b.list(ctx, tree, day)
		if err != nil {
			yield(piece{}, err)
			return
		}
		keys := g.keys(tree, day)
		if g.closed {
			keys = append(keys, closedKey(day))
		}
		readAhead(ctx, b.objects, keys)(yield)
	}
}

func (g listing) keys(tree, day string) []string {
	keys := make([]string, 0, len(g.segments)+1)
	for _, name := range g.segments {
		keys = append(keys, segmentFolder(tree, day)+name)
	}
	return keys
}

// closeDay uploads the day, makes sure that nobody else wrote to it, reads every segment back, so that the
// day line vouches for what the bucket gives and not for what was meant, and writes closed.json last.
func (b *bucket) closeDay(ctx context.Context, d *Day, line DayLine) error {
	// After a line that could not be written the counts are not to be trusted.
	if err := b.spool.files.refusal(); err != nil {
		return err
	}
	if err := b.spool.uploadDay(ctx, d.day); err != nil {
		return err
	}
	g, err := b.list(ctx, treeManifest, d.day)
	if err != nil {
		return err
	}
	for _, name := range g.segments {
		if !d.segments[name] && !b.spool.wrote(name) {
			return ErrChanged
		}
	}
	count, sum, err := b.digest(ctx, g.keys(treeManifest, d.day))
	if err != nil {
		return fmt.Errorf("read back: %w", err)
	}
	d.fill(&line)
	if line.Lines != count {
		return fmt.Errorf("%d lines noted, %d stored: %w", line.Lines, count, ErrChanged)
	}
	line.SHA256, line.Segments = sum, len(g.segments)
	if len(g.segments) > 0 {
		line.LastSegment = slices.Max(g.segments)
	}
	data, err := line.line()
	if err != nil {
		return err
	}
	if err := b.objects.PutObject(ctx, closedKey(d.day), bytes.NewReader(data), int64(len(data)), true); err != nil {
		return fmt.Errorf("write %s: %w", closedName, err)
	}
	d.setClosed(line)
	return nil
}

// digest counts the lines of the segments and hashes their bytes, end to end.
func (b *bucket) digest(ctx context.Context, keys []string) (count int64, sum string, err error) {
	hash := sha256.New()
	var feeds feedCounter
	for p, err := range readAhead(ctx, b.objects, keys) {
		if err == nil {
			_, err = io.Copy(io.MultiWriter(hash, &feeds), p.body)
		}
		if err != nil {
			return 0, "", err
		}
	}
	return int64(feeds), hex.EncodeToString(hash.Sum(nil)), nil
}

// feedCounter counts the line feeds written to it.
type feedCounter int64

func (c *feedCounter) Write(p []byte) (int, error) {
	*c += feedCounter(bytes.Count(p, []byte{'\n'}))
	return len(p), nil
}

func (b *bucket) flush(ctx context.Context) error {
	if b.spool == nil {
		return nil
	}
	return b.spool.uploadAll(ctx)
}

func (b *bucket) close(ctx context.Context) error {
	if b.spool == nil {
		return nil
	}
	b.stop()
	b.ended.Wait()
	err := b.spool.uploadAll(ctx)
	return errors.Join(err, b.spool.close(ctx))
}
