// Reads the access log.

package web

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"os"
	"path"
	"slices"
	"strings"
)

// AccessFiles are the files of an access log; *store.S3 has them, and [FolderFiles] those of a folder.
type AccessFiles interface {
	ListFiles(ctx context.Context, prefix string) iter.Seq2[fs.FileInfo, error]
	GetFile(ctx context.Context, name string) (body io.ReadCloser, tag string, err error)
}

// ReadAccess calls visit with the lines of an access log from one day to another, inclusive, as 2006-01-02 in UTC; ""
// means no bound. Days are in ascending order, lines of a day in the order of each run of serve. It returns the number
// of unreadable lines, which a killed run, a full disk or a manual change can leave. An error of visit ends the
// reading.
func ReadAccess(ctx context.Context, files AccessFiles, from, to string, visit func(Access) error) (unreadable int, err error) {
	var names []string
	for info, err := range files.ListFiles(ctx, "") {
		if err != nil {
			return 0, fmt.Errorf("list the access log: %w", err)
		}
		day := path.Dir(info.Name())
		if path.Ext(info.Name()) == ".jsonl" && day >= from && (to == "" || day <= to) {
			names = append(names, info.Name())
		}
	}
	slices.Sort(names)
	for _, name := range names {
		n, err := readAccess(ctx, files, name, visit)
		unreadable += n
		if err != nil {
			return unreadable, fmt.Errorf("read the access log: %w", err)
		}
	}
	return unreadable, nil
}

func readAccess(ctx context.Context, files AccessFiles, name string, visit func(Access) error) (unreadable int, err error) {
	body, _, err := files.GetFile(ctx, name)
	if err != nil {
		return 0, err
	}
	defer body.Close() // read only
	in := bufio.NewReader(body)
	for {
		text, err := in.ReadBytes('\n')
		if errors.Is(err, io.EOF) && len(text) == 0 {
			return unreadable, nil
		}
		if err != nil && !errors.Is(err, io.EOF) {
			return unreadable, err
		}
		var line Access
		if err != nil || json.Unmarshal(text, &line) != nil || line.V != 1 || line.Kind != "access" {
			unreadable++
			continue
		}
		if err := visit(line); err != nil {
			return unreadable, err
		}
	}
}

// FolderFiles are the files of a folder.
type FolderFiles struct{ root fs.FS }

// NewFolderFiles opens a folder.
func NewFolderFiles(dir string) (FolderFiles, error) {
	info, err := os.Stat(dir)
	if err == nil && !info.IsDir() {
		err = errors.New("it is not a folder")
	}
	if err != nil {
		return FolderFiles{}, fmt.Errorf("open the access log: %w", err)
	}
	return FolderFiles{os.DirFS(dir)}, nil
}

// ListFiles implements AccessFiles. It ignores the prefix.
func (f FolderFiles) ListFiles(ctx context.Context, _ string) iter.Seq2[fs.FileInfo, error] {
	return func(yield func(fs.FileInfo, error) bool) {
		err := fs.WalkDir(f.root, ".", func(name string, entry fs.DirEntry, err error) error {
			if err == nil {
				err = ctx.Err()
			}
			if err != nil || entry.IsDir() {
				return err
			}
			info, err := entry.Info()
			if err == nil && !yield(namedInfo{info, name}, nil) {
				return fs.SkipAll
			}
			return err
		})
		if err != nil {
			yield(nil, err)
		}
	}
}

// GetFile implements AccessFiles.
func (f FolderFiles) GetFile(_ context.Context, name string) (io.ReadCloser, string, error) {
	file, err := f.root.Open(name)
	return file, "", err
}

// namedInfo is a file with its path.
type namedInfo struct {
	fs.FileInfo
	name string
}

func (i namedInfo) Name() string { return strings.TrimPrefix(i.name, "./") }
