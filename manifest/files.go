// Lists the files of a day.

package manifest

import (
	"context"
	"iter"
	"time"
)

// DayFiles are the files of which a day is read: closed.json and the segments, of manifest/ and of calls/, and the
// erasures that name it.
type DayFiles struct {
	Day   string // 2006-01-02
	Files []File
}

// File is a file of a day as a listing shows it. One that was written since has another size or time.
type File struct {
	Name     string // from the archive's root
	Size     int64  // bytes
	Modified time.Time
}

// Files yields, day by day, ascending, the files of which days are read, and opens none of them. On S3 it costs a
// request for each 1,000 files. An error is the last.
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
			if !yield(of, nil) {
				return
			}
		}
	}
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
