// The command export: its flags, and one export from the archive to the target.

package cli

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strings"
	"time"

	"convoso-archiver/archiver/store"
	"convoso-archiver/search"
	"convoso-archiver/search/export"
)

const (
	groupExport       = "TARGET AND FORMAT"
	groupExportBucket = "S3, when --dest or --to is s3://"
)

// notOfExport are terms of find alone: an export contains every matching call.
func notOfExport() []string { return []string{"limit", "sample", "seed", "sort"} }

func exportSettings() []setting {
	settings := []setting{
		{name: "to", group: groupExport, placeholder: "DEST", usage: "target: a folder, or s3://bucket/prefix, that is empty or holds an earlier run of this export (required)"},
		{name: "format", group: groupExport, placeholder: "FORMAT", usage: "file format; bagit is a bag of audio, call rows, manifest lines and seals to hand over, in a new folder", defaultValue: string(export.Parquet), choices: exportFormats()},
		{name: "excel", kind: toggle, group: groupExport, usage: "with --format csv: for Excel. Writes a byte-order mark, quotes every cell, and puts ' before cells that Excel would read as a formula; this also changes numbers that begin with +"},
		{name: "views", kind: toggle, flagOnly: true, group: groupExport, usage: "export nothing; print SQL that lets DuckDB read an archive in a folder directly"},
	}
	for _, s := range searchedSettings() {
		if !strings.HasPrefix(s.name, "s3-") && s.name != "state-dir" {
			settings = append(settings, s)
		}
	}
	for _, s := range termSettings() {
		if !slices.Contains(notOfExport(), s.name) {
			settings = append(settings, s)
		}
	}
	settings = append(settings, idsSetting(), caseSetting())
	for _, s := range s3Settings() {
		if s.name != "s3-storage-class" && s.name != "s3-no-conditional-writes" {
			s.group = groupExportBucket
			settings = append(settings, s)
		}
	}
	return append(settings, outputSettings()...)
}

func exportFormats() []string {
	var names []string
	for _, f := range export.Formats() {
		names = append(names, string(f))
	}
	return append(names, bagFormat)
}

func exportCommand() command {
	return command{
		name:  "export",
		usage: "write calls and recordings as Parquet, CSV or JSON Lines, or as a BagIt bag",
		about: `Writes two tables with one file for each day: calls, with the fields and names
of the API, and recordings, with the data of the manifest. The files are named
calls/day=2025-05-01/part-0.parquet and so on, so that DuckDB, Athena and Spark
read the day from the path. If you run export again with the same --to and the same terms,
it writes only the days that changed, and leaves other days alone. It needs no
token, sends nothing to the vendor, writes nothing to the archive, and may run
while archive runs. The tables contain names and phone numbers: in a folder, only this user
can read the files.

_archive.json records the archive, the search terms and the erasures; views.sql defines
two views for DuckDB.

--format bagit writes a BagIt bag (RFC 8493) to hand over: audio, call rows,
manifest lines and seals of the matching calls, with checksums for sha256sum -c.
The folder gets its final name when the bag is complete. bagit reads search
terms only from the command line.`,
		examples: []example{
			{"everything as Parquet, updated each night",
				"convoso-archiver export --dest /archive --to /tables"},
			{"the sales of May, for Excel",
				"convoso-archiver export --dest /archive --to may --format csv --excel --status SALE --start-time 2025-05-01 --end-time 2025-05-31"},
			{"from one bucket into another, for Athena",
				"convoso-archiver export --dest s3://my-bucket/calls --to s3://my-tables/calls"},
			{"the calls of a list, or of a case of hold, to hand over to a court",
				"convoso-archiver export --format bagit --dest /archive --ids-from ids.csv --to case-17\n" +
					`convoso-archiver export --format bagit --dest /archive --case 2025-17 --to case-17`},
			{"query an export",
				"cd /tables && duckdb -init views.sql -c 'SELECT user, count(*) FROM calls GROUP BY ALL'"},
			{"query the archive directly, without an export",
				"convoso-archiver export --views --dest /archive > views.sql && duckdb -init views.sql"},
		},
		settings:    exportSettings(),
		environment: true,
		exitCodes:   true,
		works:       true,
		run:         runExport,
	}
}

// exportJob holds the checked settings of one export.
type exportJob struct {
	*searchJob
	views  bool // print the views of the archive, and export nothing
	format export.Format
	excel  bool
	ids    string          // file of --ids-from
	to     string          // folder; "" for S3
	bucket store.S3Options // used if to is ""
}

func runExport(ctx context.Context, p *process, in input) outcome {
	read, talk := p.settings(ctx, withArchiveKeys(exportSettings()), in)
	job := read.exportJob(time.Now(), p.env)
	if job.views {
		return p.archiveViews(ctx, job, talk, read.err)
	}
	if job.format == bagFormat && read.err == nil {
		return p.bag(ctx, job, talk)
	}
	return p.export(ctx, job, talk, read.err)
}

// exportJob reads the settings of export.
func (r *reader) exportJob(now time.Time, env environment) *exportJob {
	j := &exportJob{searchJob: &searchJob{read: r, now: now}, views: r.toggle("views")}
	if r.text("format") == bagFormat { // a span in a nightly file must not limit it
		r.takeFlagTerms()
	}
	j.folder, j.searchJob.bucket = r.destination(env)
	j.query = r.query()
	j.settle = r.duration("settle", 0)
	const firstToChange = 14 * 60 * 60 // no zone's date is ahead of this one's
	r.searchSpan(now, time.FixedZone("", firstToChange))
	if j.views {
		r.refuseWithViews(j.folder)
		return j
	}
	j.format = export.Format(r.choice("format"))
	if j.excel = r.toggle("excel"); j.excel && j.format != export.CSV {
		_, origin := r.raw("excel")
		r.fail(origin, "add --format csv", "it works only with CSV")
	}
	j.ids = r.text("ids-from")
	r.oneList()
	j.to, j.bucket = r.exportTarget(env)
	if j.format == bagFormat {
		r.refuseForBag(j)
	}
	r.refuseInside(j)
	return j
}

// refuseWithViews refuses settings without effect when nothing is exported.
func (r *reader) refuseWithViews(folder string) {
	if folder == "" && r.err == nil {
		r.fail("--views", "export the archive, and use views.sql of the export", "it needs an archive in a folder")
	}
	for _, s := range exportSettings() {
		if g := r.values[s.name]; g.byFlag() && !slices.Contains([]string{"views", "dest", "config"}, s.name) && s.group != groupOutput {
			r.fail(g.origin, "leave it out", "it has no effect with --views")
		}
	}
}

// exportTarget reads --to: a folder, or a place in a bucket.
func (r *reader) exportTarget(env environment) (folder string, bucket store.S3Options) {
	if !r.isSet("to") {
		r.keep(misuse("give --to with a folder, or s3://bucket/prefix", "no target of the export is given"))
		return "", bucket
	}
	value, origin := r.text("to"), r.values["to"].origin
	rest, isS3 := strings.CutPrefix(value, "s3://")
	if !isS3 {
		if schemePattern.MatchString(value) || len(value) > 3 && strings.EqualFold(value[:3], "s3:") {
			r.fail(origin, "give a folder, or s3://bucket/prefix", "only folders and s3:// are supported")
		}
		return value, bucket
	}
	bucket = r.s3Options(env)
	bucket.StorageClass = "" // which is for recordings
	bucket.Bucket, bucket.Prefix, _ = strings.Cut(rest, "/")
	bucket.Prefix = strings.TrimSuffix(bucket.Prefix, "/")
	if problem := badBucket(bucket.Bucket, bucket.Prefix); problem != "" {
		r.fail(origin, "write it like s3://bucket/prefix", "%s", problem)
	}
	return "", bucket
}

// refuseInside keeps an export out of the archive, where its files would be mistaken for calls and
// recordings.
func (r *reader) refuseInside(j *exportJob) {
	if r.err != nil {
		return
	}
	origin := r.values["to"].origin
	switch {
	case j.folder != "" && j.to != "":
		for _, pair := range [][2]string{{j.to, j.folder}, {j.folder, j.to}} {
			inside, err := export.Inside(pair[0], pair[1])
			if err != nil {
				r.fail(origin, "check the path", "%v", err)
			}
			if inside {
				r.fail(origin, "give a folder outside of the archive", "the folders of archive and export overlap")
			}
		}
	case j.folder == "" && j.to == "":
		a, b := j.searchJob.bucket.Prefix+"/", j.bucket.Prefix+"/"
		if j.searchJob.bucket.Bucket == j.bucket.Bucket && (a == "/" || b == "/" || strings.HasPrefix(a, b) || strings.HasPrefix(b, a)) {
			r.fail(origin, "give a prefix outside of the archive", "the folders of archive and export overlap")
		}
	}
}

// export runs one job, and writes its summary unless a setting is wrong: err is a reason not to start it.
func (p *process) export(ctx context.Context, job *exportJob, talk output, err error) outcome {
	started := time.Now()
	made := exportResult{Format: job.format}
	began := false
	if err == nil {
		done := p.announceStop(ctx, "export", talk, "the summary shows what was written")
		began, err = p.runExport(ctx, job, talk, &made)
		done()
	}
	err = exportMisuse(err)
	result := judge(err, context.Cause(ctx), len(made.Unreadable) > 0 || made.idsMissing)
	made.ExitCode, made.Seconds = result.code, time.Since(started).Round(time.Millisecond).Seconds()
	if result.failed {
		made.Error = p.screen.hidden(oneLine(result.line))
	}
	if !began {
		return p.refuse(result, talk.json)
	}
	result.counts = made.counts()
	if talk.json || !talk.quiet || result.code != ExitDone {
		result.unwritten = made.write(p.stdout, talk.json)
	}
	return result
}

// exportMisuse distinguishes mistakes in the settings from other errors.
func exportMisuse(err error) error {
	if other, ok := errors.AsType[*export.OtherExportError](err); ok {
		return misuse("", "--to: %v", other)
	}
	return err
}

// runExport opens archive and target, and exports. began reports whether there is a summary to
// print.
func (p *process) runExport(ctx context.Context, job *exportJob, talk output, made *exportResult) (began bool, err error) {
	boundExport(p.env)
	logger := newLogger(p.screen, talk, p.env)
	ids, err := p.readIDs(ctx, job.ids, &job.query)
	if err != nil {
		return false, err
	}
	archive, err := job.open(ctx, logger)
	if err != nil {
		return false, err
	}
	defer func() { err = errors.Join(err, archive.Close(ctx)) }()
	if err := job.readCase(ctx, archive, p.teller("export", talk)); err != nil {
		return false, err
	}
	target, closeTarget, err := job.openTarget(ctx)
	if err != nil {
		return false, err
	}
	defer func() { err = errors.Join(err, closeTarget()) }()
	made.To, made.Archive = job.location(), archive.about.ID
	hints := newHints(job.query)
	source := watchedCalls{archive.Archive, hints.watch()}
	e := &export.Export{
		Source: source, ArchiveID: archive.about.ID,
		About: export.About{AccountID: archive.about.AccountID, APIURL: archive.about.APIURL, TimeZone: archive.about.TimeZone},
		Query: job.query, Terms: queryText(job.read.values, job.query, archive.about.ID) + spanTerms(job.query), Format: job.format, Excel: job.excel, Target: target, Logger: logger,
	}
	if e.Fingerprints, err = fingerprintsOf(ctx, archive); err != nil {
		return false, err
	}
	if job.to == "" {
		e.Location = job.location()
	}
	known, err := knownDaysOf(ctx, archive, job.query)
	if err != nil {
		return false, err
	}
	made.Summary, err = e.Run(ctx)
	if ids != nil && err == nil {
		err = seekIDs(ctx, job.query, archive, ids)
		made.idsMissing = err == nil && ids.tell(p.teller("export", talk))
	}
	switch {
	case err != nil || ids != nil:
	case made.Empty == made.Days:
		err = hints.tellNothing(ctx, p.teller("export", talk), archive, job.query, []any{"days", made.Days})
	case made.Unchanged == 0 && len(made.Unreadable) == 0: // every day was read
		err = hints.tellOthers(ctx, p.teller("export", talk), archive, job.query)
	}
	if err == nil {
		err = job.tellUnlisted(ctx, p.teller("export", talk), archive, known)
	}
	_, isOther := errors.AsType[*export.OtherExportError](err)
	return !isOther, err
}

// watchedCalls is an archive that passes every read call to a function.
type watchedCalls struct {
	*search.Archive
	watch func(*search.Call) // nil for none
}

// Day implements export.Source.
func (w watchedCalls) Day(ctx context.Context, day string) ([]search.Call, error) {
	calls, err := w.Archive.Day(ctx, day)
	for i := range calls {
		if w.watch != nil {
			w.watch(&calls[i])
		}
	}
	return calls, err
}

// fingerprints identify the files of each day by name, size and time.
type fingerprints map[string]string

// Fingerprint implements export.Fingerprinter.
func (f fingerprints) Fingerprint(_ context.Context, day string) (string, error) { return f[day], nil }

// fingerprintsOf lists the files of all days. A day that changes while it is read has another fingerprint next time.
func fingerprintsOf(ctx context.Context, archive *searched) (fingerprints, error) {
	const version = "files-v1" // also for the columns of the tables
	prints := fingerprints{}
	for files, err := range archive.opened.Ledger.Files(ctx) {
		if err != nil {
			return nil, err
		}
		h := sha256.New()
		for _, f := range files.Files {
			fmt.Fprintf(h, "%s\x00%d\x00%d\n", f.Name, f.Size, f.Modified.UnixNano())
		}
		prints[files.Day] = version + ":" + hex.EncodeToString(h.Sum(nil)[:16])
	}
	return prints, nil
}

// boundExport makes the garbage collector run rarely for small days, and often for a large day, unless GOGC or
// GOMEMLIMIT is set. A day of 100,000 calls fits; for a larger one, the collector takes at most half of the time.
func boundExport(env environment) {
	const growth, limit = 150, 140 << 20 // percent, bytes
	if env["GOGC"] == "" {
		debug.SetGCPercent(growth)
	}
	if env["GOMEMLIMIT"] == "" {
		debug.SetMemoryLimit(limit)
	}
}

// location returns the target as the user writes it; for a bucket with a trailing slash.
func (j *exportJob) location() string {
	if j.to != "" {
		return j.to
	}
	if j.bucket.Prefix == "" {
		return "s3://" + j.bucket.Bucket + "/"
	}
	return "s3://" + j.bucket.Bucket + "/" + j.bucket.Prefix + "/"
}

// openTarget opens the target, and creates a missing folder.
func (j *exportJob) openTarget(ctx context.Context) (target export.Target, closeTarget func() error, err error) {
	if j.to != "" {
		folder, err := export.OpenFolder(j.to)
		if err != nil {
			return nil, nil, err
		}
		return folder, folder.Close, nil
	}
	bucket := j.bucket
	bucket.Workers = 1
	opened, err := store.OpenS3(ctx, bucket)
	switch {
	case err == nil:
		return &export.Bucket{Objects: opened}, opened.Close, nil
	case ctx.Err() != nil, errors.Is(err, store.ErrUnusable), store.IsRetriable(err):
		return nil, nil, err
	}
	what, try := store.Told(err)
	return nil, nil, misuse(orElse(try, "check --to and the flags for S3"), "%s", what)
}

// archiveViews prints the SQL that lets DuckDB read the archive.
func (p *process) archiveViews(ctx context.Context, job *exportJob, talk output, err error) outcome {
	text := ""
	if err == nil {
		text, err = job.archiveViews(ctx)
	}
	if err != nil {
		return p.refuse(judge(err, context.Cause(ctx), false), talk.json)
	}
	_, err = p.stdout.Write([]byte(text))
	return outcome{unwritten: err}
}

func (j *exportJob) archiveViews(ctx context.Context) (text string, err error) {
	archive, err := j.open(ctx, slog.New(slog.DiscardHandler))
	if err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, archive.Close(ctx)) }()
	folder, err := filepath.Abs(j.folder)
	if err != nil {
		return "", err
	}
	return export.ArchiveViews(folder, archive.about.TimeZone, hasLines(folder, "calls"), hasLines(folder, "manifest"), hasLines(folder, "evidence")), nil
}

// hasLines reports whether a tree of an archive has any file of lines.
func hasLines(folder, tree string) bool {
	root := os.DirFS(filepath.Join(folder, tree))
	for _, pattern := range []string{"*.jsonl*", "*/*.jsonl*"} {
		if names, err := fs.Glob(root, pattern); err == nil && len(names) > 0 {
			return true
		}
	}
	return false
}
