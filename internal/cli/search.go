// Reads the search terms, and opens the archive that find, export and serve search.

package cli

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"strings"
	"time"

	"convoso-archiver/archiver"
	"convoso-archiver/archiver/store"
	"convoso-archiver/fetcher"
	"convoso-archiver/manifest"
	"convoso-archiver/search"
)

// The groups of flags that find, export and serve share.
const (
	groupSearched = "WHICH ARCHIVE"
	groupTerms    = "WHAT TO SEARCH FOR (calls that match all of these)"
)

// searchedSettings say which archive is searched. They are the same for find, export and serve.
func searchedSettings() []setting {
	archive := archiveSettings()
	settings := []setting{
		{name: "dest", group: groupSearched, placeholder: "DEST", usage: "the archive: a folder, or s3://bucket/prefix (required)"},
		{name: "state-dir", group: groupSearched, placeholder: "FOLDER", usage: "folder of the search index; it can be deleted at any time (default: the user's state folder)"},
		{name: "config", group: groupSearched, placeholder: "FILE", usage: "YAML file with settings; the file of archive works too"},
	}
	for _, name := range []string{"s3-endpoint", "s3-region", "s3-path-style"} {
		settings = append(settings, inGroup(archive, name, groupSearched))
	}
	return settings
}

// termSettings are the terms of a search.
func termSettings() []setting {
	settings := []setting{
		{name: "start-time", group: groupTerms, placeholder: "TIME", usage: "first day, like 2025-05-01, or a time in the account's zone (default: the first day in the archive)"},
		{name: "end-time", group: groupTerms, placeholder: "TIME", usage: "last day or time (default: today)"},
		{name: "last", group: groupTerms, placeholder: "DURATION", usage: "instead of --start-time and --end-time: 7d means the last seven days and today"},
	}
	for _, t := range search.Terms() {
		s := setting{name: t.Name, group: groupTerms, placeholder: t.Placeholder, usage: t.Usage}
		s.suggested = suggestedValues(t.Name)
		switch {
		case t.Placeholder == "":
			s.kind = toggle
		case t.Many:
			s.kind = list
		default:
			s.kind = once
		}
		settings = append(settings, s)
	}
	return settings
}

// suggestedValues are the values of a term with a fixed set of values.
func suggestedValues(term string) (values []string) {
	switch term {
	case "outcome":
		for _, outcome := range manifest.Outcomes() {
			values = append(values, string(outcome))
		}
	case "sort":
		values = []string{string(search.OldestFirst), string(search.NewestFirst), string(search.ShortestFirst), string(search.LongestFirst)}
	case "call-type":
		values = []string{"OUTBOUND", "INBOUND", "MANUAL", "3WAY"}
	}
	return values
}

// withArchiveKeys adds the other settings of archive, so that one file and one environment serve both.
func withArchiveKeys(settings []setting) []setting {
	for _, s := range archiveSettings() {
		if _, ok := named(settings, s.name); !ok {
			settings = append(settings, s)
		}
	}
	return settings
}

// searchJob holds the searched archive and the query.
type searchJob struct {
	read     *reader // for the span, which needs the archive's zone
	now      time.Time
	folder   string          // "" for an archive on S3
	bucket   store.S3Options // without TempDir and Workers
	stateDir string          // "" for no index
	query    search.Query    // without From and To until the archive is open
	settle   time.Duration   // a day may change until this long after its end; only for find and export
}

// searchJob reads the settings of a search. The span is read to find mistakes before the archive is opened; its
// meaning depends on the archive's zone.
func (r *reader) searchJob(now time.Time, env environment, goos string) *searchJob {
	j := &searchJob{read: r, now: now, stateDir: r.indexDir(env, goos)}
	j.folder, j.bucket = r.destination(env)
	j.query = r.query()
	const firstToChange = 14 * 60 * 60 // no zone's date is ahead of this one's
	r.searchSpan(now, time.FixedZone("", firstToChange))
	return j
}

// indexDir returns the state folder, "" if this user has none: then there is no index.
func (r *reader) indexDir(env environment, goos string) string {
	if r.isSet("state-dir") {
		return r.text("state-dir")
	}
	dir, err := stateDir(goos, env)
	if err != nil {
		return ""
	}
	return dir
}

// query reads the terms of a search, without the span.
func (r *reader) query() (q search.Query) {
	for _, t := range search.Terms() {
		g, ok := r.values[t.Name]
		if !ok {
			continue
		}
		r.keepTerm(q.Set(t.Name, g.items...))
	}
	r.keepTerm(q.Check())
	return q
}

// keepTerm stores the error of a term.
func (r *reader) keepTerm(err error) {
	if wrong, ok := errors.AsType[*search.TermError](err); ok {
		_, origin := r.raw(wrong.Name)
		r.fail(origin, r.withDashes(wrong.Try), "%s", r.withDashes(wrong.Problem))
		return
	}
	if err != nil {
		r.keep(err)
	}
}

// withDashes writes the terms in a text as flags.
func (r *reader) withDashes(text string) string {
	for _, s := range r.settings {
		if strings.Contains(s.name, "-") {
			text = strings.ReplaceAll(text, " "+s.name, " --"+s.name)
		}
	}
	return text
}

// searchSpan returns the wall-clock times of the span, zero for no bound.
func (r *reader) searchSpan(now time.Time, zone *time.Location) (from, to time.Time) {
	switch {
	case r.isSet("last") || r.isSet("start-time"):
		span := r.span(now, zone)
		return span.From, span.To
	case r.isSet("end-time"):
		end, dateOnly := r.wall("end-time")
		if dateOnly {
			end = endOfDay(end)
		}
		return time.Time{}, end
	}
	return time.Time{}, time.Time{}
}

// searched is an archive opened for searching. The caller must close it.
type searched struct {
	*search.Archive
	opened *archiver.Opened
	about  manifest.Archive
	index  *search.Index // nil for none
}

// Close closes the archive and its index.
func (s *searched) Close(ctx context.Context) (err error) {
	if s.index != nil {
		err = s.index.Close()
	}
	return errors.Join(err, s.opened.Close(context.WithoutCancel(ctx)))
}

// searchConnections is the number of S3 connections to keep, because days are read in parallel.
const searchConnections = 8

// open opens the archive, and sets the span of the query.
func (j *searchJob) open(ctx context.Context, logger *slog.Logger) (*searched, error) {
	return j.openFor(ctx, archiver.Read, logger)
}

// openFor is like open, for other kinds of access.
func (j *searchJob) openFor(ctx context.Context, access archiver.Access, logger *slog.Logger) (*searched, error) {
	bucket := j.bucket
	bucket.Workers = searchConnections
	opened, err := openArchive(ctx, archiver.Location{Folder: j.folder, S3: bucket}, access, "", logger)
	if err != nil {
		return nil, err
	}
	s := &searched{opened: opened}
	if err := j.place(ctx, s); err != nil {
		return nil, errors.Join(err, s.Close(ctx))
	}
	return s, nil
}

func (j *searchJob) place(ctx context.Context, s *searched) error {
	about, err := s.opened.Ledger.Archive(ctx)
	if errors.Is(err, fs.ErrNotExist) {
		if known, err := knowsDays(ctx, s.opened.Ledger); err != nil || !known {
			return cmp.Or(err, absent(ctx, s.opened.Ledger))
		}
		return errors.New("manifest/archive.json is missing, so the account's time zone is unknown: restore the file, or run rebuild with the settings of archive to recreate it")
	}
	if err != nil {
		return err
	}
	zone, err := time.LoadLocation(about.TimeZone)
	if err != nil {
		return fmt.Errorf("read the archive's time zone: %w", err)
	}
	s.about, s.Archive = about, search.New(s.opened.Ledger, zone)
	j.query.From, j.query.To = j.read.searchSpan(j.now, zone)
	return j.read.err
}

// today returns today's date in the account's zone.
func today(now time.Time, zone *time.Location) string {
	return fetcher.Wall(now, zone).Format(time.DateOnly)
}
