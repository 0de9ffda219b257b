// The command report: its flags, and one report; report_render.go writes it.

package cli

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"time"

	"convoso-archiver/archiver"
	"convoso-archiver/archiver/store"
	"convoso-archiver/fetcher"
	"convoso-archiver/manifest"
	"convoso-archiver/manifest/report"
)

// maxLosses is how many losses the text lists; the JSON lists all.
const maxLosses = 20

func reportSettings() []setting {
	archive := archiveSettings()
	shared := func(name string) setting {
		s, _ := named(archive, name)
		return s
	}
	settings := []setting{
		{name: "start-time", group: groupReport, placeholder: "TIME", usage: "first day, like 2025-05-01 (default: the first day in the archive)"},
		{name: "end-time", group: groupReport, placeholder: "TIME", usage: "last day (default: today)"},
		{name: "last", group: groupReport, placeholder: "DURATION", usage: "instead of --start-time and --end-time: 7d means the last seven days and today"},
		{name: "missing", kind: toggle, group: groupReport, usage: "list each recording that is not archived, with its day and the reason, and each day that is not closed, instead of the table of days; erased and expired recordings are not missing"},
		{name: "dest", group: groupReport, placeholder: "DEST", usage: "the archive: a folder, or s3://bucket/prefix (required)"},
		{name: "time-zone", group: groupReport, placeholder: "ZONE", usage: "the account's time zone; must be the archive's (default: the archive's)"},
		{name: "config", group: groupReport, placeholder: "FILE", usage: "YAML file with settings; the file of archive works too"},
		shared("settle"), shared("purge-after"), shared("give-up"),
		{name: "strict", kind: toggle, group: groupRules, usage: "exit with 3 when the days are not complete: a settled day is open or was never listed, calls could not be counted, or a recording is lost or given up"},
		shared("s3-endpoint"), shared("s3-region"), shared("s3-path-style"),
		{name: "json", kind: toggle, group: groupOutput, usage: "write one JSON object with every day and every loss"},
		{name: "csv", kind: toggle, group: groupOutput, usage: "write CSV: a header and one row for each day, or with --missing for each missing recording and each day that is not closed"},
		{name: "quiet", kind: toggle, group: groupOutput, usage: "write only the answer, which is the first line; no effect on --missing, --json and --csv"},
	}
	for _, s := range filterSettings() {
		s.group = groupReported
		settings = append(settings, s)
	}
	return settings
}

const (
	groupReport   = "WHAT TO REPORT ON"
	groupReported = "FILTERS OF ARCHIVE (a day is closed if it was closed with these, or without)"
)

// reportKnown are the settings of report in variables and the file; they include those of archive,
// so that one file serves both.
func reportKnown() []setting {
	known := reportSettings()
	for _, s := range archiveSettings() {
		if _, ok := named(known, s.name); !ok {
			known = append(known, s)
		}
	}
	return known
}

func reportCommand() command {
	return command{
		name:  "report",
		usage: "show what is archived, waiting or lost, and which days are missing",
		about: `Reads only the manifest of an archive. It needs no token, sends nothing to
the vendor, writes nothing to the archive, and may run while archive runs. The
first line is the answer: complete or not, and when the last run was. A day is
closed, open with the reason, or never listed; an archive that is not up to
date is not complete. With the filters of archive, a day is closed if archive
closed it with the same filters, or without filters.`,
		examples: []example{
			{"is everything of May there?",
				"convoso-archiver report --dest /archive --start-time 2025-05-01 --end-time 2025-05-31"},
			{"which recordings of May are missing, on which day, and why?",
				"convoso-archiver report --dest /archive --start-time 2025-05-01 --end-time 2025-05-31 --missing"},
			{"a job that fails when the last 30 days are not complete",
				"convoso-archiver report --dest s3://my-bucket/calls --last 30d --strict"},
			{"is all of one campaign there?",
				"convoso-archiver report --dest /archive --campaign-id 5051"},
			{"every lost recording, for other programs",
				"convoso-archiver report --dest /archive --json | jq -r '.losses[] | [.day,.call_id,.reason] | @tsv'"},
			{"one row for each day, for a spreadsheet",
				"convoso-archiver report --dest /archive --csv > report.csv"},
		},
		settings:    reportSettings(),
		environment: true,
		exitCodes:   true,
		run:         runReport,
	}
}

// reportJob holds the checked settings of one report.
type reportJob struct {
	read    *reader // for the span, which needs the archive's zone
	now     time.Time
	zone    *time.Location  // nil for the archive's
	folder  string          // "" for an archive on S3
	bucket  store.S3Options // without TempDir and Workers
	options report.Options  // without Zone, From and To
	format  reportFormat
	strict  bool
}

// reportFormat is how a report is written.
type reportFormat int

const (
	reportText   reportFormat = iota
	reportAnswer              // the first line of the text
	reportJSON
	reportCSV
)

func runReport(ctx context.Context, p *process, in input) outcome {
	known := reportKnown()
	merged, err := gather(ctx, known, in.flags, p.env)
	read := newReader(known, merged, in, err)
	job := read.reportJob(time.Now(), p.env)
	return p.report(ctx, job, read.err)
}

// report runs one job, and writes the report, or a refusal in JSON; err is a reason not to start it.
func (p *process) report(ctx context.Context, job *reportJob, err error) outcome {
	made, result := reportOn(ctx, job, err)
	if made == nil {
		return p.refuse(result, job.format == reportJSON)
	}
	result.unwritten = writeReport(p.stdout, made, job.format)
	return result
}

// reportOn runs one job, and returns the report, nil for none, with its exit code.
func reportOn(ctx context.Context, job *reportJob, err error) (*report.Report, outcome) {
	var made *report.Report
	if err == nil {
		made, err = job.make(ctx)
		err = withBucket(archiver.Location{Folder: job.folder, S3: job.bucket}, err)
	}
	return made, judge(err, context.Cause(ctx), made != nil && job.strict && !made.Complete)
}

// reportJob reads the settings of report. The span is read to find mistakes before the archive is
// opened; its meaning depends on the archive's zone.
func (r *reader) reportJob(now time.Time, env environment) *reportJob {
	j := &reportJob{read: r, now: now, format: r.reportFormat(), strict: r.toggle("strict")}
	j.folder, j.bucket = r.destination(env)
	if r.isSet("time-zone") {
		j.zone = r.zone()
	}
	j.options = report.Options{
		Now:        now,
		Filter:     r.filter().String(),
		Settle:     r.duration("settle", 0),
		PurgeAfter: r.duration("purge-after", time.Second),
		GiveUp:     r.duration("give-up", time.Second),
	}
	switch j.format {
	case reportText:
		j.options.Losses = maxLosses
	case reportJSON:
		j.options.Losses = report.AllLosses
	}
	if r.toggle("missing") {
		j.options.Losses, j.options.Why = report.AllLosses, whyMissing
	}
	const firstToChange = 14 * 60 * 60 // no zone's date is ahead of this one's
	r.reportSpan(now, time.FixedZone("", firstToChange))
	return j
}

// reportFormat lets a flag override other sources.
func (r *reader) reportFormat() reportFormat {
	asJSON, asCSV := r.toggle("json"), r.toggle("csv")
	if asJSON && asCSV {
		jsonByFlag, csvByFlag := r.values["json"].byFlag(), r.values["csv"].byFlag()
		if jsonByFlag == csvByFlag {
			r.keep(misuse("", "use either --csv or --json, not both%s", r.origins("csv", "json")))
		}
		asJSON, asCSV = jsonByFlag, csvByFlag
	}
	switch {
	case asJSON:
		return reportJSON
	case asCSV:
		return reportCSV
	case r.toggle("quiet") && !r.toggle("missing"):
		return reportAnswer
	}
	return reportText
}

// reportSpan returns the first and the last requested day; empty means the first known day and
// today. A future end means today.
func (r *reader) reportSpan(now time.Time, zone *time.Location) (from, to string) {
	switch {
	case r.isSet("last") || r.isSet("start-time"):
	case r.isSet("end-time"):
		end, _ := r.wall("end-time")
		return "", earlier(end, fetcher.Wall(now, zone)).Format(time.DateOnly)
	default:
		return "", ""
	}
	span := r.span(now, zone)
	return span.From.Format(time.DateOnly), span.To.Format(time.DateOnly)
}

// make opens the archive, reads it and builds the report.
func (j *reportJob) make(ctx context.Context) (made *report.Report, err error) {
	bucket := j.bucket
	bucket.Workers = reportConnections
	source, err := openArchive(ctx, archiver.Location{Folder: j.folder, S3: bucket}, archiver.Read, "", slog.New(slog.DiscardHandler))
	if err != nil {
		return nil, err
	}
	defer func() {
		if closeErr := source.Close(context.WithoutCancel(ctx)); err == nil {
			err = closeErr
		}
	}()
	archive, err := source.Ledger.Archive(ctx)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, absent(ctx, source.Ledger)
	}
	if err != nil {
		return nil, err
	}
	if err := j.place(archive); err != nil {
		return nil, err
	}
	j.options.Verifications, j.options.NotRead = source.Ledger.LatestVerifications(ctx, report.MaxVerifications)
	if ctx.Err() != nil {
		return nil, fmt.Errorf("read the noted verifications: %w", context.Cause(ctx))
	}
	made, err = report.Build(report.Read(ctx, source.Ledger, j.options), j.options)
	if err != nil {
		return nil, err
	}
	made.Archive, made.Account, made.APIURL, made.TimeZone = archive.ID, archive.AccountID, archive.APIURL, archive.TimeZone
	return made, nil
}

// place sets zone and span of the options.
func (j *reportJob) place(archive manifest.Archive) error {
	zone, err := time.LoadLocation(archive.TimeZone)
	if err != nil {
		return fmt.Errorf("read the archive's time zone: %w", err)
	}
	if j.zone != nil && j.zone.String() != zone.String() {
		_, origin := j.read.raw("time-zone")
		return misuse("leave it out", "%s: the archive was made with %s", origin, zone)
	}
	j.options.Zone = zone
	j.options.From, j.options.To = j.read.reportSpan(j.now, zone)
	j.options.Until = today(j.now, zone)
	return j.read.err
}

func noArchive() error {
	return misuse("check the path or bucket; the first run of archive makes the archive", "there is no archive at --dest")
}

// reportConnections is the number of S3 connections to keep, because days are read in parallel.
const reportConnections = 32
