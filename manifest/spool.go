package manifest

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"io/fs"
	"os"
	"path"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/gofrs/flock"
)

// spool holds the lines of one run that are not yet in the bucket, in SPOOLDIR/RUNID:
//
//	lock                                    held while the run lives
//	archive                                 id of the archive that the lines are of, noted before them
//	manifest/2025-05-01.jsonl               appended to
//	manifest/2025-05-01/RUNID-000001.jsonl  sealed: never changed again, uploaded under this name
//	calls/…                                 the same
//
// The files are all there is to know; a spool whose run died is uploaded by the same code.
type spool struct {
	run     string
	folder  spoolFolder
	root    *os.Root
	lock    *flock.Flock
	files   *committer
	objects Objects
	dead    bool // of a run that died: which numbers it used is not known

	uploading [16]sync.Mutex // by hash of the day

	mu   sync.Mutex
	next map[string]int // tree/day to the number of its next segment

	owning  sync.Mutex
	archive string // noted in ownerFile; guarded by owning
	begun   bool   // lines may have been appended; guarded by owning
}

// spoolFile is synced when it is sealed, not with each line. A line survives the death of the run by being
// written; what the loss of the machine may cost is a minute of notes, however often they are synced.
type spoolFile struct{ logFile }

func (spoolFile) Sync() error { return nil }

func newSpool(folder spoolFolder, run string, root *os.Root, lock *flock.Flock) *spool {
	s := &spool{
		run: run, folder: folder, root: root, lock: lock, objects: folder.objects,
		next: map[string]int{},
	}
	s.files = startCommitter(func(name string) (logFile, int64, error) {
		s.begin()
		// A torn line in a spool was acknowledged to nobody, and the spool itself is deleted in the end.
		file, size, err := openLog(root, name, false)
		return spoolFile{file}, size, err
	})
	return s
}

// days names the days that have something to upload.
func (s *spool) days() ([]string, error) {
	days := map[string]bool{}
	for _, tree := range []string{treeManifest, treeCalls} {
		names, err := readNames(s.root, tree)
		if err != nil {
			return nil, err
		}
		for _, name := range names {
			day := strings.TrimSuffix(name, ".jsonl")
			if !isDay(day) {
				continue
			}
			held, err := s.holds(tree, day)
			if err != nil {
				return nil, err
			}
			if held {
				days[day] = true
			}
		}
	}
	return sortedDays(days), nil
}

// holds reports whether lines of the day are not uploaded yet.
func (s *spool) holds(tree, day string) (bool, error) {
	_, err := s.root.Stat(fileName(tree, day))
	if err == nil {
		return true, nil
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return false, fmt.Errorf("look into spool: %w", err)
	}
	names, err := s.sealed(tree, day)
	return len(names) > 0, err
}

// sealed names the segments of a day that are to be uploaded, in their order.
func (s *spool) sealed(tree, day string) ([]string, error) {
	names, err := readNames(s.root, path.Clean(segmentFolder(tree, day)))
	if err != nil {
		return nil, err
	}
	names = slices.DeleteFunc(names, func(name string) bool { return !strings.HasSuffix(name, ".jsonl") })
	slices.Sort(names)
	return names, nil
}

// wrote reports whether a segment's name is one of this run's.
func (s *spool) wrote(name string) bool { return strings.HasPrefix(name, s.run+"-") }

// uploadAll uploads every day; a day that fails does not keep back the others.
func (s *spool) uploadAll(ctx context.Context) error {
	days, err := s.days()
	if err != nil {
		return err
	}
	var errs []error
	for _, day := range days {
		if err := s.uploadDay(ctx, day); err != nil {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// uploadDay seals what the day has and uploads it. Call rows must not come after the recordings that
// they list, so the manifest is sealed first and uploaded last.
func (s *spool) uploadDay(ctx context.Context, day string) error {
	stripe := fnv.New32a()
	stripe.Write([]byte(day))
	uploading := &s.uploading[stripe.Sum32()%uint32(len(s.uploading))]
	uploading.Lock()
	defer uploading.Unlock()

	upload := func() error {
		if err := s.uploadSealed(ctx, treeCalls, day); err != nil {
			return err
		}
		return s.uploadSealed(ctx, treeManifest, day)
	}
	// What an upload that failed left goes first: its lines are older.
	err := upload()
	if err == nil {
		err = s.seal(ctx, treeManifest, day)
	}
	if err == nil {
		err = s.seal(ctx, treeCalls, day)
	}
	if err == nil {
		err = upload()
	}
	if err != nil {
		return fmt.Errorf("upload manifest of %s: %w", day, err)
	}
	return nil
}

// seal gives the file that is appended to its final name, between two batches of the committer.
func (s *spool) seal(ctx context.Context, tree, day string) error {
	open := fileName(tree, day)
	if _, err := s.root.Stat(open); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	name, err := s.nextName(ctx, tree, day)
	if err != nil {
		return err
	}
	return s.files.do(&change{name: open, task: func() error { return s.sealFile(open, segmentFolder(tree, day)+name) }})
}

// sealFile makes the file durable, and only then names it as what goes to the bucket.
func (s *spool) sealFile(open, sealed string) error {
	if s.dead {
		if err := cutAtFirstBadLine(s.root, open); err != nil {
			return err
		}
	}
	if err := repair(s.root, open, false); err != nil {
		return err
	}
	info, err := s.root.Stat(open)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("seal segment: %w", err)
	}
	if info.Size() == 0 { // nothing but a torn line
		return s.root.Remove(open)
	}
	if err := makeDir(s.root, path.Dir(sealed)); err != nil {
		return err
	}
	if err := s.rename(open, sealed); err != nil {
		return fmt.Errorf("seal segment: %w", err)
	}
	return syncDir(s.root, path.Dir(sealed))
}

// rename gives a file a name that is free; it never replaces. Between the look and the rename nobody else can
// take the name: the spool is locked by its process, and there a day's names are given by one upload at a time.
func (s *spool) rename(from, to string) error {
	exists, err := s.exists(to)
	if err != nil {
		return err
	}
	if exists {
		return &fs.PathError{Op: "rename", Path: to, Err: fs.ErrExist}
	}
	return s.root.Rename(from, to)
}

func (s *spool) exists(name string) (bool, error) {
	_, err := s.root.Lstat(name)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return err == nil, err
}

// nextName returns a name that no segment of this run and day has had, uploaded or still here: another
// segment may wait under the next number, in a spool that was copied or whose upload was cut short.
func (s *spool) nextName(ctx context.Context, tree, day string) (string, error) {
	id := tree + "/" + day
	s.mu.Lock()
	number, known := s.next[id]
	s.mu.Unlock()
	if !known {
		number = 1
		if s.dead {
			var err error
			if number, err = s.findNumber(ctx, tree, day); err != nil {
				return "", err
			}
		}
	}
	for ; ; number++ {
		name := fmt.Sprintf("%s-%06d.jsonl", s.run, number)
		taken, err := s.exists(segmentFolder(tree, day) + name)
		if err != nil {
			return "", fmt.Errorf("look into spool: %w", err)
		}
		if taken {
			continue
		}
		s.mu.Lock()
		s.next[id] = number + 1
		s.mu.Unlock()
		return name, nil
	}
}

// findNumber returns the number after those of the segments in the bucket.
func (s *spool) findNumber(ctx context.Context, tree, day string) (int, error) {
	number := 1
	prefix := segmentFolder(tree, day) + s.run + "-"
	for key, err := range s.objects.ListKeys(ctx, prefix) {
		if err != nil {
			return 0, fmt.Errorf("list segments: %w", err)
		}
		n, err := strconv.Atoi(strings.TrimSuffix(strings.TrimPrefix(key, prefix), ".jsonl"))
		if err == nil {
			number = max(number, n+1)
		}
	}
	return number, nil
}

func (s *spool) uploadSealed(ctx context.Context, tree, day string) error {
	names, err := s.sealed(tree, day)
	if err != nil || len(names) == 0 {
		return err
	}
	for _, name := range names {
		if err := s.uploadSegment(ctx, tree, day, name); err != nil {
			return err
		}
	}
	_ = s.root.Remove(path.Clean(segmentFolder(tree, day))) // an empty folder does no harm
	return nil
}

// uploadSegment uploads one segment, under the next number if its own is taken by other bytes, and then
// deletes it here. That a segment is sealed makes a lost reply harmless: the same bytes are there.
func (s *spool) uploadSegment(ctx context.Context, tree, day, name string) error {
	folder := segmentFolder(tree, day)
	for {
		taken, err := s.put(ctx, folder+name)
		if err != nil {
			return err
		}
		if !taken {
			break
		}
		other, err := s.nextName(ctx, tree, day)
		if err != nil {
			return err
		}
		if err := s.rename(folder+name, folder+other); err != nil {
			return fmt.Errorf("rename segment: %w", err)
		}
		name = other
	}
	if err := s.root.Remove(folder + name); err != nil {
		return fmt.Errorf("delete uploaded segment: %w", err)
	}
	return nil
}

// put uploads a segment and reports whether its key is taken by other bytes.
func (s *spool) put(ctx context.Context, key string) (taken bool, err error) {
	f, err := s.root.Open(key)
	if err != nil {
		return false, fmt.Errorf("open segment: %w", err)
	}
	defer f.Close() // only read from
	info, err := f.Stat()
	if err != nil {
		return false, fmt.Errorf("look at segment: %w", err)
	}
	err = s.objects.PutObject(ctx, key, f, info.Size(), false)
	if !errors.Is(err, fs.ErrExist) {
		return false, err
	}
	same, err := s.same(ctx, key, io.NewSectionReader(f, 0, info.Size()))
	return !same, err
}

// same reports whether an object has exactly the bytes of r.
func (s *spool) same(ctx context.Context, key string, r io.Reader) (bool, error) {
	for p, err := range readAhead(ctx, s.objects, []string{key}) {
		if err != nil {
			return false, err
		}
		return equalStreams(p.body, r)
	}
	return false, nil
}

func equalStreams(a, b io.Reader) (bool, error) {
	bufA, bufB := make([]byte, 32<<10), make([]byte, 32<<10)
	for {
		n, errA := io.ReadFull(a, bufA)
		m, errB := io.ReadFull(b, bufB)
		if string(bufA[:n]) != string(bufB[:m]) {
			return false, nil
		}
		endA, endB := isEnd(errA), isEnd(errB)
		switch {
		case errA != nil && !endA:
			return false, errA
		case errB != nil && !endB:
			return false, errB
		case endA || endB:
			return endA && endB, nil
		}
	}
}

func isEnd(err error) bool { return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) }

// close ends the committer, frees the lock, and deletes the spool if nothing is left in it.
func (s *spool) close(ctx context.Context) error {
	err := s.files.close()
	return errors.Join(err, s.folder.finish(ctx, s))
}
