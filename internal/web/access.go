// Writes the access log.

package web

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"sync"
	"time"
)

// Access is a line of the access log: who took what, when, from where and why. Of a call it holds only ids.
type Access struct {
	V           int       `json:"v"`    // 1
	Kind        string    `json:"kind"` // access
	Time        time.Time `json:"time"`
	User        string    `json:"user"` // empty on loopback without a login
	What        string    `json:"what"` // details, waveform, play, download, zip, csv; all but waveform also with _refused
	Day         string    `json:"day,omitzero"`
	RecordingID string    `json:"recording_id,omitzero"`
	CallID      string    `json:"call_id,omitzero"`
	CallIDs     []string  `json:"call_ids,omitempty"` // with csv
	From        string    `json:"from"`               // address of the client
	Reason      string    `json:"reason,omitzero"`    // as given by the user
}

// Segments is where the access log is written: each call either makes the lines durable or fails.
type Segments interface {
	Append(ctx context.Context, day string, lines []byte) error
	Close() error
}

// AccessLog writes lines, several users' lines in one batch. It is safe for concurrent use.
type AccessLog struct {
	segments Segments
	queue    chan logged
	stop     chan struct{}
	ended    chan struct{}
}

type logged struct {
	line []byte
	done chan error
}

const (
	maxBatch = 1000 // lines
	logTime  = 15 * time.Second
)

// OpenAccessLog starts a log. The caller must close it.
func OpenAccessLog(segments Segments) *AccessLog {
	l := &AccessLog{segments: segments, queue: make(chan logged), stop: make(chan struct{}), ended: make(chan struct{})}
	go l.run()
	return l
}

// Write makes lines durable. If it fails, the caller must not send what the lines describe.
func (l *AccessLog) Write(ctx context.Context, lines ...Access) error {
	var text bytes.Buffer
	encode := json.NewEncoder(&text)
	encode.SetEscapeHTML(false)
	for _, line := range lines {
		line.V, line.Kind = 1, "access"
		line.Time = line.Time.UTC().Truncate(time.Millisecond)
		if err := encode.Encode(line); err != nil {
			return fmt.Errorf("write the access log: %w", err)
		}
	}
	job := logged{text.Bytes(), make(chan error, 1)}
	select {
	case l.queue <- job:
	case <-l.ended:
		return errors.New("write the access log: it is closed")
	case <-ctx.Done():
		return fmt.Errorf("write the access log: %w", ctx.Err())
	}
	if err := <-job.done; err != nil { // waits without a timeout: a written line must not be reported as failed
		return fmt.Errorf("write the access log: %w", err)
	}
	return nil
}

// Close ends the log. A concurrent Write either succeeds or returns an error.
func (l *AccessLog) Close() error {
	close(l.stop)
	<-l.ended
	return l.segments.Close()
}

func (l *AccessLog) run() {
	defer close(l.ended)
	for {
		var batch []logged
		select {
		case job := <-l.queue:
			batch = l.gather(job)
		case <-l.stop:
			return
		}
		var lines []byte
		for _, one := range batch {
			lines = append(lines, one.line...)
		}
		ctx, cancel := context.WithTimeout(context.Background(), logTime)
		err := l.segments.Append(ctx, time.Now().UTC().Format(time.DateOnly), lines)
		cancel()
		for _, one := range batch {
			one.done <- err
		}
	}
}

// gather adds the other waiting jobs to the batch.
func (l *AccessLog) gather(first logged) []logged {
	batch := []logged{first}
	for len(batch) < maxBatch {
		select {
		case job := <-l.queue:
			batch = append(batch, job)
		default:
			return batch
		}
	}
	return batch
}

// Folder keeps the access log on disk: DAY/RUN.jsonl, to which lines are appended and synced.
type Folder struct {
	root *os.Root
	run  string
	mu   sync.Mutex
	day  string
	file *os.File
}

// OpenFolder creates the folder if it is missing, and checks that it is writable.
func OpenFolder(dir, run string) (*Folder, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("make the folder of the access log: %w", err)
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, fmt.Errorf("open the folder of the access log: %w", err)
	}
	f := &Folder{root: root, run: run}
	if err := f.open(time.Now().UTC().Format(time.DateOnly)); err != nil {
		return nil, errors.Join(fmt.Errorf("write the access log: %w", err), root.Close())
	}
	return f, nil
}

// open starts the segment of a day.
func (f *Folder) open(day string) error {
	if f.file != nil && f.day == day {
		return nil
	}
	if f.file != nil {
		old := f.file
		f.file = nil
		if err := old.Close(); err != nil {
			return err
		}
	}
	if err := f.root.Mkdir(day, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	// After a failed write, the segment may end in a partial line, so the next write starts a new
	// one.
	for n := 1; ; n++ {
		file, err := f.root.OpenFile(fmt.Sprintf("%s/%s-%06d.jsonl", day, f.run, n), os.O_WRONLY|os.O_CREATE|os.O_EXCL|os.O_APPEND, 0o600)
		if errors.Is(err, fs.ErrExist) && n < 1000 {
			continue
		}
		if err != nil {
			return err
		}
		f.file, f.day = file, day
		return f.syncNames(day)
	}
}

// syncNames makes the names of new files durable, where the system supports it.
func (f *Folder) syncNames(day string) error {
	for _, name := range []string{day, "."} {
		folder, err := f.root.Open(name)
		if err != nil {
			return err
		}
		err = folder.Sync()
		if isWindows() {
			err = nil
		}
		if err := errors.Join(err, folder.Close()); err != nil {
			return err
		}
	}
	return nil
}

// Append implements Segments.
func (f *Folder) Append(_ context.Context, day string, lines []byte) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := f.open(day); err != nil {
		return err
	}
	_, err := f.file.Write(lines)
	if err == nil {
		err = f.file.Sync()
	}
	if err != nil {
		file := f.file
		f.file = nil
		return errors.Join(err, file.Close())
	}
	return nil
}

// Close implements Segments.
func (f *Folder) Close() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.file == nil {
		return f.root.Close()
	}
	return errors.Join(f.file.Close(), f.root.Close())
}

// Objects is a bucket, in which files are created.
type Objects interface {
	PutFile(ctx context.Context, name string, body []byte, ifTag string) error
	Close() error
}

// Bucket keeps the access log in S3: DAY/RUN-000001.jsonl and so on, each stored as one object.
type Bucket struct {
	Objects
	run string
	n   int
}

// NewBucket keeps the log in a bucket.
func NewBucket(objects Objects, run string) *Bucket { return &Bucket{Objects: objects, run: run} }

// Append implements Segments. If a number is taken, perhaps by an earlier attempt for the same lines, it uses the
// next one: a duplicate line does less harm than a missing one.
func (b *Bucket) Append(ctx context.Context, day string, lines []byte) error {
	for range 10 {
		b.n++
		err := b.PutFile(ctx, fmt.Sprintf("%s/%s-%06d.jsonl", day, b.run, b.n), lines, "")
		if !errors.Is(err, fs.ErrExist) {
			return err
		}
	}
	return errors.New("other files have its names")
}
