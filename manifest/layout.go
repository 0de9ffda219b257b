// Names the files and folders of the manifest, and lists them.

package manifest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"path"
	"strings"
	"time"
)

// The two folders of an archive that belong to the ledger.
const (
	treeManifest = "manifest"
	treeCalls    = "calls"
)

const closedName = "closed.json"

// closedFile is the file that holds the day lines of a day.
func closedFile(day string) string { return treeManifest + "/" + day + "/" + closedName }

// segmentFile returns the name of a segment of a run.
func segmentFile(tree, day, run string, n int, ext string) string {
	return fmt.Sprintf("%s/%s/%s-%06d%s", tree, day, run, n, ext)
}

// oldFile returns the single file of a day in the old layout on disk. It counts as the first segment.
func oldFile(tree, day string) string { return tree + "/" + day + ".jsonl" }

const (
	extPlain = ".jsonl"
	extGzip  = ".jsonl.gz"
)

func isGzip(name string) bool { return strings.HasSuffix(name, extGzip) }

// isSegment reports whether a file in a day's folder is a segment: not closed.json or a file moved aside.
func isSegment(name string) bool { return strings.HasSuffix(name, extPlain) || isGzip(name) }

func isDay(day string) bool {
	t, err := time.Parse(time.DateOnly, day)
	return err == nil && t.Format(time.DateOnly) == day
}

func checkDay(day string) error {
	if !isDay(day) {
		return fmt.Errorf("open day: %q is not a date like 2006-01-02", day)
	}
	return nil
}

// segment is a file of lines.
type segment struct {
	file string // relative to the archive's root
	size int64
	mod  time.Time
}

// name returns the name of the segment in a day line.
func (s segment) name() string { return path.Base(s.file) }

// dayFiles are the files of a day in one tree.
type dayFiles struct {
	day      string
	segments []segment // in reading order: the file of an older version, then by name
	closed   segment   // closed.json, empty if there is none
	newest   time.Time // time of the newest file, zero if there is none
}

// dayOf returns the day that a file belongs to, and its name within the day's folder, empty for the file of an
// older version; ok is false for other files.
func dayOf(tree, file string) (day, name string, ok bool) {
	rest, ok := strings.CutPrefix(file, tree+"/")
	if !ok {
		return "", "", false
	}
	if day, ok := strings.CutSuffix(rest, extPlain); ok && isDay(day) {
		return day, "", true
	}
	day, name, ok = strings.Cut(rest, "/")
	return day, name, ok && isDay(day) && (name == closedName || isSegment(name) && !strings.Contains(name, "/"))
}

// list yields the files of one tree by day, ascending, or only those of the given day.
func (l *Ledger) list(ctx context.Context, tree, day string) iter.Seq2[dayFiles, error] {
	return func(yield func(dayFiles, error) bool) {
		var found dayFiles
		for info, err := range l.objects.ListFiles(ctx, tree+"/"+day) {
			if err != nil {
				yield(dayFiles{}, fmt.Errorf("list %s: %w", tree, err))
				return
			}
			of, name, ok := dayOf(tree, info.Name())
			if !ok {
				continue
			}
			if of != found.day {
				if found.day != "" && !yield(found, nil) {
					return
				}
				found = dayFiles{day: of}
			}
			one := segment{info.Name(), info.Size(), info.ModTime()}
			switch name {
			case "":
				found.segments = append([]segment{one}, found.segments...)
			case closedName:
				found.closed = one
			default:
				found.segments = append(found.segments, one)
			}
			if info.ModTime().After(found.newest) {
				found.newest = info.ModTime()
			}
		}
		if found.day != "" {
			yield(found, nil)
		}
	}
}

// files lists a day in one tree; without files the day is empty.
func (l *Ledger) files(ctx context.Context, tree, day string) (dayFiles, error) {
	for found, err := range l.list(ctx, tree, day) {
		if err != nil || found.day == day {
			return found, err
		}
	}
	return dayFiles{}, nil
}

// standing is the state of a day before its segments are read.
type standing struct {
	dayFiles
	closings []*closing
	tag      string   // of closed.json, empty if it does not exist
	unknown  [][]byte // its lines of unknown kinds
	bad      []Fault  // unreadable lines
}

// look reads closed.json and then lists the segments: the segments of a day line existed before it.
func (l *Ledger) look(ctx context.Context, day string) (s standing, err error) {
	text, tag, err := readFile(ctx, l.objects, closedFile(day))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return s, err
	}
	if s.dayFiles, err = l.files(ctx, treeManifest, day); err != nil {
		return s, err
	}
	s.day, s.tag = day, tag
	if tag == "" && len(s.segments) > 0 && s.segments[0].file == oldFile(treeManifest, day) {
		return s, l.addOldLine(ctx, &s)
	}
	number := 0
	for raw := range bytes.Lines(text) {
		number++
		err := s.addLine(raw, number)
		if later := laterIn(err); later > 0 {
			return s, l.noteLater(&VersionError{File: closedFile(day), V: later})
		}
		if err != nil {
			s.bad = append(s.bad, Fault{Kind: FaultBadLine, File: closedFile(day), Line: number, Reason: err.Error()})
		}
	}
	return s, l.excuse(ctx, &s)
}

// addLine adds a line of closed.json.
func (s *standing) addLine(raw []byte, number int) error {
	text := bytes.TrimSuffix(raw, []byte("\n"))
	h, err := parseHeader(text)
	if err != nil {
		return err
	}
	if h.Kind != kindDay {
		s.unknown = append(s.unknown, text)
		return nil
	}
	c, err := newClosing(s.day, text)
	if err == nil {
		c.raw, c.file, c.number = text, closedFile(s.day), number
		c.find(s.segments)
		s.closings = append(s.closings, c)
	}
	return err
}

// addOldLine finds the day line at the end of an older version's file. It counts until closed.json exists.
func (l *Ledger) addOldLine(ctx context.Context, s *standing) error {
	text, end, err := l.lastLine(ctx, s.segments[0])
	if err != nil {
		return err
	}
	h, err := parseHeader(text)
	if later := laterIn(err); later > 0 {
		return l.noteLater(&VersionError{File: s.segments[0].file, V: later})
	}
	if err != nil || h.Kind != kindDay {
		return nil // Load reports unreadable lines
	}
	if c, err := newClosing(s.day, text); err == nil {
		c.file, c.end = s.segments[0].file, end
		c.named[s.segments[0].name()] = true
		s.closings = append(s.closings, c)
	}
	return nil
}

// tailBlock is how much of a file's end is read to find its last line; a day line is shorter.
const tailBlock = 64 << 10

// lastLine returns the last complete line of a segment, and its end. On disk only the end of the file is read.
func (l *Ledger) lastLine(ctx context.Context, s segment) (last []byte, end int64, err error) {
	r := l.read(ctx, s, maxLine, allSound)
	defer r.close()
	start := int64(0)
	if file, ok := r.body.(io.ReaderAt); ok && s.size > tailBlock {
		start = s.size - tailBlock
		r.in.Reset(io.NewSectionReader(file, start, tailBlock))
		r.s.size = 0
	}
	for r.next() {
		if r.bad == nil {
			last, end = append(last[:0], r.line...), start+r.off
		}
	}
	return last, end, r.err
}

// readFile reads a complete file. Its error names the file.
func readFile(ctx context.Context, objects Objects, name string) ([]byte, string, error) {
	body, tag, err := objects.GetFile(ctx, name)
	if err != nil {
		return nil, "", fmt.Errorf("read %s: %w", name, err)
	}
	data, err := io.ReadAll(body)
	if err = errors.Join(err, body.Close()); err != nil {
		return nil, "", fmt.Errorf("read %s: %w", name, err)
	}
	return data, tag, nil
}
