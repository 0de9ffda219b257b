// Exports the days of an archive that have changed.

package export

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"log/slog"
	"maps"
	"slices"
	"strconv"
	"time"

	"convoso-archiver/manifest"
	"convoso-archiver/search"
)

// Source is the archive to export; *search.Archive implements it.
type Source interface {
	// Days returns the days known to the archive within the query's span, ascending.
	Days(ctx context.Context, q search.Query) ([]string, error)
	// Day returns every call of a day. The error is a *search.DayError, or the end of ctx.
	Day(ctx context.Context, day string) ([]search.Call, error)
	// Zone returns the account's zone.
	Zone() *time.Location
}

// Fingerprinter detects cheaply whether a day of the archive may have changed.
type Fingerprinter interface {
	// Fingerprint returns a text that changes with any change of the day.
	Fingerprint(ctx context.Context, day string) (string, error)
}

// Export writes one archive into one target. All fields but the last three are required.
type Export struct {
	Source    Source
	ArchiveID string
	About     About
	Query     search.Query // without Sort, Limit, Sample and After
	// Terms are the terms of Query as a text, the same for the same terms, without personal data. They omit a span of
	// whole days, because days outside of it stay unchanged, but include the ends of any other span.
	Terms    string
	Format   Format
	Target   Target
	Location string // prefix of names in views.sql: empty for a folder, s3://bucket/prefix/ for a bucket

	Excel        bool          // CSV only: formatted for Excel
	Fingerprints Fingerprinter // nil: each day is read to detect changes
	Logger       *slog.Logger  // nil: silent
}

// Summary is the result of a run.
type Summary struct {
	Days       int         `json:"days"` // days of the archive within the span
	Written    int         `json:"days_written"`
	Unchanged  int         `json:"days_unchanged"`
	Removed    int         `json:"days_removed"`
	Empty      int         `json:"days_without_match"`
	Unreadable []BrokenDay `json:"days_unreadable"`

	WrittenDays  []string `json:"written_days"` // ascending
	RowsWritten  int64    `json:"rows_written"`
	BytesWritten int64    `json:"bytes_written"`

	// Totals of the whole export, including days outside of the span.
	Calls      int64 `json:"calls"`
	Recordings int64 `json:"recordings"`
	Bytes      int64 `json:"bytes"`
}

// BrokenDay is a day that keeps the files of an earlier run, because it could not be read
// completely.
type BrokenDay struct {
	Day   string `json:"day"`
	Error string `json:"error"`
}

// noteEvery is the interval between writes of the note: a killed run repeats the days since the last one.
const noteEvery = 5 * time.Second

// run is the state of one run.
type run struct {
	*Export
	note     note
	stored   []byte           // stored note of the target
	files    map[string]int64 // of the target
	tables   tables
	summary  Summary
	noted    time.Time // time of the last note
	progress time.Time
}

// progressEvery is the interval between progress lines in the log.
const progressEvery = 15 * time.Second

// Run exports the changed days. It returns the summary, also with an error; an unreadable day is not an error. An
// error about the target is a [*TargetError], an [*OtherExportError] or a [*LaterError]. Memory grows with the largest
// day.
func (e *Export) Run(ctx context.Context) (Summary, error) {
	r := &run{Export: e}
	if r.Logger == nil {
		r.Logger = slog.New(slog.DiscardHandler)
	}
	r.summary.Unreadable, r.summary.WrittenDays = []BrokenDay{}, []string{}
	err := r.run(ctx)
	r.summary.Calls, r.summary.Recordings, r.summary.Bytes = r.note.Calls, r.note.Recordings, r.note.Bytes
	return r.summary, err
}

func (r *run) run(ctx context.Context) (err error) {
	if r.tables, err = newTables(r.Format, r.Excel); err != nil {
		return err
	}
	days, err := r.Source.Days(ctx, r.Query)
	if err != nil {
		return err
	}
	if r.note, r.files, err = r.open(ctx); err != nil {
		return err
	}
	// The note comes first and says what the target is. Until the end, its numbers are those of an earlier
	// run.
	if err := r.save(ctx, &r.note); err != nil {
		return err
	}
	r.noted, r.progress = time.Now(), time.Now()
	if err := r.export(ctx, days); err != nil {
		// Written days stay: the next run need not write them again.
		return errors.Join(err, r.save(context.WithoutCancel(ctx), &r.note))
	}
	if err := r.save(ctx, &r.note); err != nil {
		return err
	}
	return r.writeViews(ctx)
}

func (r *run) export(ctx context.Context, days []string) error {
	r.summary.Days = len(days)
	for i, day := range days {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if err := r.day(ctx, day); err != nil {
			return err
		}
		if time.Since(r.noted) > noteEvery {
			if err := r.save(ctx, &r.note); err != nil {
				return err
			}
			r.noted = time.Now()
		}
		if time.Since(r.progress) > progressEvery {
			r.progress = time.Now()
			r.Logger.Info("export in progress", "day", day, "days_done", i+1, "days", len(days))
		}
	}
	return r.removeGone(ctx, days)
}

// day updates the files of one day.
func (r *run) day(ctx context.Context, day string) error {
	from := ""
	if r.Fingerprints != nil {
		print, err := r.Fingerprints.Fingerprint(ctx, day)
		if err != nil {
			return r.broken(ctx, day, err)
		}
		if from = print; r.isWritten(day, from) {
			r.unchanged(day)
			return nil
		}
	}
	calls, err := r.Source.Day(ctx, day)
	if err != nil {
		return r.broken(ctx, day, err)
	}
	erasures := erasuresOf(calls)
	calls = slices.DeleteFunc(calls, func(c search.Call) bool { return !r.Query.Matches(&c) })
	if from == "" {
		if from = contentOf(calls, erasures); r.isWritten(day, from) {
			r.unchanged(day)
			return nil
		}
	}
	return r.write(ctx, day, calls, dayNote{From: from, Erasures: erasures})
}

// unchanged counts a day with current files.
func (r *run) unchanged(day string) {
	if r.note.Days[day].Calls.Rows == 0 {
		r.summary.Empty++
		return
	}
	r.summary.Unchanged++
}

// broken notes an unreadable day. Its files stay unchanged.
func (r *run) broken(ctx context.Context, day string, err error) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	unreadable, ok := errors.AsType[*search.DayError](err)
	if !ok {
		return err
	}
	r.Logger.Warn("a day cannot be read; its files are left as they are", "day", day, "err", unreadable.Err)
	r.summary.Unreadable = append(r.summary.Unreadable, BrokenDay{Day: day, Error: unreadable.Err.Error()})
	return nil
}

// isWritten reports whether the files of a day exist and were made from this state.
func (r *run) isWritten(day, from string) bool {
	n, ok := r.note.Days[day]
	return ok && n.From == from && r.has(tableCalls, day, n.Calls) && r.has(tableRecordings, day, n.Recordings)
}

func (r *run) has(table, day string, n fileNote) bool {
	size, there := r.files[nameOf(table, day, r.Format)]
	return there == (n.Rows > 0) && size == n.Bytes
}

// write writes the files of a day. A table without rows has no file.
func (r *run) write(ctx context.Context, day string, calls []search.Call, n dayNote) error {
	zone := r.Source.Zone()
	recordings := int64(0)
	for i := range calls {
		recordings += int64(len(calls[i].Recordings))
	}
	had := r.note.Days[day].Calls.Rows > 0
	var err error
	if n.Calls, err = r.writeTable(ctx, tableCalls, day, int64(len(calls)), func(w io.Writer) error {
		return writeRows(w, r.tables.calls, func(add func(*callRow) error) error {
			for i := range calls {
				row := newCall(&calls[i], zone)
				if err := add(&row); err != nil {
					return err
				}
			}
			return nil
		})
	}); err != nil {
		return err
	}
	if n.Recordings, err = r.writeTable(ctx, tableRecordings, day, recordings, func(w io.Writer) error {
		return writeRows(w, r.tables.recordings, func(add func(*recordingRow) error) error {
			for i := range calls {
				if len(calls[i].Recordings) == 0 {
					continue
				}
				call := newCall(&calls[i], zone)
				for k := range calls[i].Recordings {
					row := newRecording(&calls[i].Recordings[k], &call)
					if err := add(&row); err != nil {
						return err
					}
				}
			}
			return nil
		})
	}); err != nil {
		return err
	}
	r.note.Days[day] = n
	switch {
	case n.Calls.Rows > 0:
		r.summary.Written++
		r.summary.WrittenDays = append(r.summary.WrittenDays, day)
	case had:
		r.summary.Removed++
	default:
		r.summary.Empty++
	}
	r.summary.RowsWritten += n.Calls.Rows + n.Recordings.Rows
	r.summary.BytesWritten += n.Calls.Bytes + n.Recordings.Bytes
	return nil
}

// writeTable writes one file of a day, or removes it if it would be empty.
func (r *run) writeTable(ctx context.Context, table, day string, rows int64, write func(io.Writer) error) (fileNote, error) {
	name := nameOf(table, day, r.Format)
	if rows == 0 {
		if _, there := r.files[name]; !there {
			return fileNote{}, nil
		}
		delete(r.files, name)
		return fileNote{}, r.Target.Remove(ctx, name)
	}
	size, err := r.Target.Replace(ctx, name, write)
	if err != nil {
		return fileNote{}, err
	}
	r.files[name] = size
	return fileNote{Rows: rows, Bytes: size}, nil
}

// writeRows writes a complete file.
func writeRows[T any](w io.Writer, f file[T], each func(add func(*T) error) error) error {
	if err := f.begin(w); err != nil {
		return err
	}
	if err := each(f.write); err != nil {
		return err
	}
	return f.end()
}

// removeGone removes the files of days within the span that are no longer in the archive, and those of a killed run.
func (r *run) removeGone(ctx context.Context, days []string) error {
	gone := map[string]bool{}
	for _, name := range slices.Sorted(maps.Keys(r.files)) {
		_, day, format, ok := parseName(name)
		if !isTemp(name) && (!ok || format != r.Format || slices.Contains(days, day) || !r.within(day)) {
			continue
		}
		if err := r.Target.Remove(ctx, name); err != nil {
			return err
		}
		delete(r.files, name)
		if ok {
			gone[day] = true
		}
	}
	for day := range r.note.Days {
		if _, found := slices.BinarySearch(days, day); !found && r.within(day) {
			delete(r.note.Days, day)
		}
	}
	r.summary.Removed += len(gone)
	return nil
}

// within reports whether a day is within the span.
func (r *run) within(day string) bool {
	q := r.Query
	return (q.From.IsZero() || day >= q.From.Format(time.DateOnly)) && (q.To.IsZero() || day <= q.To.Format(time.DateOnly))
}

// writeViews writes views.sql, unless it exists.
func (r *run) writeViews(ctx context.Context) error {
	stored, err := r.Target.Read(ctx, ViewsName)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return r.put(ctx, ViewsName, []byte(r.views()), &stored)
}

// erasuresOf returns the ids of the erasures in a day, sorted.
func erasuresOf(calls []search.Call) []string {
	seen := map[string]bool{}
	for i := range calls {
		for _, r := range calls[i].Recordings {
			if r.Outcome == manifest.Erased && r.State != nil && r.State.Reason != "" {
				seen[clean(r.State.Reason)] = true
			}
		}
	}
	return slices.Sorted(maps.Keys(seen))
}

// contentOf returns the fingerprint of the data of a day's files.
func contentOf(calls []search.Call, erasures []string) string {
	h := sha256.New()
	put := hasher(h)
	put("v1") // must change with the columns
	for i := range calls {
		c := &calls[i]
		put(c.ID, strconv.FormatBool(c.NoRow), strconv.Itoa(len(c.Recordings)))
		put(string(c.Row))
		for k := range c.Recordings {
			r := &c.Recordings[k]
			put(r.ID, string(r.Outcome), strconv.FormatBool(r.Final), r.Key, strconv.FormatInt(r.Size, 10))
			if s := r.State; s != nil {
				put(string(s.SHA256[:]), s.ContentType, s.Host, s.Cause, s.Reason, strconv.Itoa(s.Attempts), s.Time.String(), s.FirstSeen.String())
			}
		}
	}
	put(erasures...)
	return fmt.Sprintf("%x", h.Sum(nil)[:16])
}

// hasher returns a function that adds texts to a hash unambiguously.
func hasher(h hash.Hash) func(texts ...string) {
	var buffer []byte
	return func(texts ...string) {
		buffer = buffer[:0]
		for _, text := range texts {
			buffer = binary.AppendUvarint(buffer, uint64(len(text)))
			buffer = append(buffer, text...)
		}
		_, _ = h.Write(buffer) // never fails
	}
}
