// Lists the files of a day.

package manifest

import (
	"context"
	"fmt"
	"iter"
	"path"
	"time"
)

// DayFiles are the files that make up a day: closed.json and the segments of manifest/ and of calls/, and the
// erasures and expiries about it.
type DayFiles struct {
	Day   string // 2006-01-02
	Files []File
}

// File is a file of a day in a listing. A later write changes its size or time.
type File struct {
	Name     string // relative to the archive's root
	Size     int64  // bytes
	Modified time.Time
}

// Files yields, day by day, ascending, the files of each day, without opening them. On S3 it costs a request for
// each 1,000 files. An error is the last.
func (l *Ledger) Files(ctx context.Context) iter.Seq2[DayFiles, error] {
	return func(yield func(DayFiles, error) bool) {
		erasures, err := l.Erasures(ctx)
		if err != nil {
			yield(DayFiles{}, err)
			return
		}
		nextNoted, stopNoted := iter.Pull2(l.list(ctx, treeManifest, ""))
		defer stopNoted()
		nextRows, stopRows := iter.Pull2(l.list(ctx, treeCalls, ""))
		defer stopRows()
		noted, err, hasNoted := nextNoted()
		rows, rowsErr, hasRows := nextRows()
		for hasNoted || hasRows {
			if err == nil {
				err = rowsErr
			}
			if err != nil {
				yield(DayFiles{}, err)
				return
			}
			var of DayFiles
			takesNoted := hasNoted && (!hasRows || noted.day <= rows.day)
			takesRows := hasRows && (!hasNoted || rows.day <= noted.day)
			if takesNoted {
				of.add(noted)
				noted, err, hasNoted = nextNoted()
			}
			if takesRows {
				of.add(rows)
				rows, rowsErr, hasRows = nextRows()
			}
			of.Files = append(of.Files, erasures.days[of.Day]...)
			for _, s := range erasures.expiring(of.Day) {
				of.Files = append(of.Files, File{s.file, s.size, s.mod})
			}
			if !yield(of, nil) {
				return
			}
		}
	}
}

// Newest returns the time of the newest file of any day, or the start of the run that wrote it; the zero time for
// none.
func (l *Ledger) Newest(ctx context.Context) (newest time.Time, err error) {
	for day, err := range l.Files(ctx) {
		if err != nil {
			return newest, fmt.Errorf("look for the newest file: %w", err)
		}
		for _, f := range day.Files {
			began, _ := time.Parse(runTime, path.Base(f.Name)[:min(len(path.Base(f.Name)), len(runTime))])
			for _, t := range []time.Time{f.Modified, began} {
				if t.After(newest) {
					newest = t
				}
			}
		}
	}
	return newest, nil
}

func (d *DayFiles) add(files dayFiles) {
	d.Day = files.day
	if files.closed.file != "" {
		d.Files = append(d.Files, File{files.closed.file, files.closed.size, files.closed.mod})
	}
	for _, s := range files.segments {
		d.Files = append(d.Files, File{s.file, s.size, s.mod})
	}
}
