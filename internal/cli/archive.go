// The command archive: its flags, and one run with its summary.

package cli

import (
	"context"
	"errors"
	"runtime"
	"slices"
	"strings"
	"time"

	"convoso-archiver/archiver"
	"convoso-archiver/fetcher"
)

// Headings of the help.
const (
	groupWhat   = "WHAT TO ARCHIVE"
	groupFilter = "FILTERS (parameters of the API; an empty value is an error)"
	groupWhere  = "WHERE TO STORE"
	groupS3     = "S3 AND COMPATIBLES (credentials come from the AWS chain)"
	groupSource = "CONNECTION TO THE VENDOR"
	groupRules  = "RULES"
	groupRun    = "THE RUN"
	groupOutput = "OUTPUT"
)

// outputSettings are the output settings of long-running commands.
func outputSettings() []setting {
	return []setting{
		{name: "json", kind: toggle, group: groupOutput, usage: "write the summary as one JSON object to stdout"},
		{name: "quiet", kind: toggle, group: groupOutput, usage: "no progress, no summary when all went well, only warnings and errors in the log"},
		{name: "log-level", group: groupOutput, placeholder: "LEVEL", usage: "minimum level of log messages (default: info, with --quiet warn)",
			choices: []string{"debug", "info", "warn", "error"}},
		{name: "log-format", group: groupOutput, placeholder: "FORMAT", defaultValue: "auto", usage: "auto means text on a terminal and JSON elsewhere",
			choices: []string{"auto", "text", "json"}},
	}
}

// templateUsage describes --path-template for every command that has it.
const templateUsage = "file name of each recording: a Go template with the API's fields of call and recording, like {{.campaign_id}}/{{.filename}} (all fields: docs/fields.md)"

// archiveSettings is the table of all settings of archive.
func archiveSettings() []setting {
	settings := []setting{
		{name: "start-time", group: groupWhat, placeholder: "TIME", usage: "first day or time, in --time-zone: 2025-05-01, \"2025-05-01 13:00:00\" or 2025-05-01T13:00:00"},
		{name: "end-time", group: groupWhat, placeholder: "TIME", usage: "last day or time; a date alone means the whole day (default: now)"},
		{name: "last", group: groupWhat, placeholder: "DURATION", usage: "instead of --start-time and --end-time: 7d means the last seven days and today; also 36h or 1w, rounded up to whole days. Also archives earlier days that are still open or were missed"},
		{name: "no-catch-up", kind: toggle, group: groupWhat, usage: "with --last: skip earlier days"},
		{name: "order", group: groupWhat, placeholder: "ORDER", defaultValue: string(archiver.Expiring),
			usage:   "order of days. expiring: first the days younger than --purge-after, oldest to newest; then older days, newest to oldest",
			choices: []string{string(archiver.Expiring), string(archiver.Ascending), string(archiver.Descending)}},
		{name: "max-recordings", group: groupWhat, placeholder: "N", defaultValue: "0", usage: "stop after this many new recordings; 0 means no limit"},
		{name: "calls", group: groupWhat, placeholder: "WHICH", defaultValue: string(archiver.AllCalls), usage: "which rows of the call log to keep: all, or only those with recordings",
			choices: []string{string(archiver.AllCalls), string(archiver.RecordedCalls)}},
		{name: "retry", kind: list, group: groupWhat, placeholder: "OUTCOME", usage: "retry recordings that earlier runs gave up with this outcome; repeatable",
			choices: retryChoices()},
		{name: "relist", kind: toggle, group: groupWhat, usage: "also list closed days again"},
		{name: "dry-run", kind: toggle, group: groupWhat, usage: "list and count only; takes no lock and writes nothing"},

		{name: "dest", group: groupWhere, placeholder: "DEST", usage: "a folder, or s3://bucket/prefix (required)"},
		{name: "new-archive", kind: toggle, group: groupWhere, usage: "start a new archive in an empty folder that contained an archive before, or in a mount point where nothing is mounted"},
		{name: "path-template", group: groupWhere, placeholder: "TEMPLATE", defaultValue: "{{.filename}}",
			usage: templateUsage + "; archived recordings keep their names"},
		{name: "state-dir", group: groupWhere, placeholder: "FOLDER", usage: "folder for temporary files and learned rates; it may be empty at each start (default: the user's state folder)"},
	}
	settings = append(settings, filterSettings()...)
	settings = append(settings, []setting{
		{name: "api-url", group: groupSource, placeholder: "URL", defaultValue: "https://api.convoso.com/v1", usage: "address of the API: https, or http on loopback"},
		{name: "auth-token-file", group: groupSource, placeholder: "FILE", usage: "file with the API token in its first line; or set CONVOSO_AUTH_TOKEN. No flag takes the token itself"},
		{name: "allow-host", kind: list, group: groupSource, placeholder: "HOST", defaultValue: "*.convoso.com",
			usage: "hosts from which the program may download recordings; repeatable, replaces the default. *.example.com allows https from every subdomain; http://127.0.0.1:9000 allows exactly this address, even a private one"},
		{name: "time-zone", group: groupSource, placeholder: "ZONE", defaultValue: "America/Los_Angeles", usage: "the account's time zone"},
		{name: "page-size", group: groupSource, placeholder: "N", defaultValue: "500", usage: "rows per page of the call log, 1 to 500"},
		{name: "api-rate", group: groupSource, placeholder: "RATE", defaultValue: "5", usage: "maximum API requests per second; the program slows down when the API asks for it. 0 means no limit"},
		{name: "media-rate", group: groupSource, placeholder: "RATE", defaultValue: "10", usage: "maximum downloads started per second from each media host; 0 means no limit"},

		{name: "settle", group: groupRules, placeholder: "DURATION", defaultValue: "48h", usage: "minimum time between the end of a day and closing it"},
		{name: "purge-after", group: groupRules, placeholder: "DURATION", defaultValue: "155d", usage: "age at which the vendor deletes audio"},
		{name: "give-up", group: groupRules, placeholder: "DURATION", defaultValue: "14d", usage: "stop retrying a recording this long after it was first listed"},
		{name: "retry-for", group: groupRules, placeholder: "DURATION", defaultValue: "10m", usage: "maximum wait for an API, media host or store that does not answer; then the run ends with 1"},
		{name: "strict", kind: toggle, group: groupRules, usage: "also exit with 3 while recordings of days younger than --settle are waiting"},

		{name: "workers", group: groupRun, placeholder: "N", defaultValue: "8", usage: "maximum parallel downloads"},
		{name: "grace", group: groupRun, placeholder: "DURATION", defaultValue: "20s", usage: "maximum time for a clean stop; downloads in progress may finish within it"},
		{name: "max-duration", group: groupRun, placeholder: "DURATION", usage: "stop cleanly after this time (default: none)"},
		{name: "max-bytes", group: groupRun, placeholder: "BYTES", usage: "stop cleanly after storing this many bytes, like 500M or 2G; downloads in progress, at most --workers, still finish (default: none)"},
		{name: "max-requests", group: groupRun, placeholder: "N", defaultValue: "0", usage: "stop cleanly after this many requests to the API and media hosts together; 0 means no limit"},
		{name: "schedule", group: groupRun, placeholder: "TIMETABLE", usage: "limits by time of day in --time-zone, like \"Mo-Fr 08:00-20:00 2/s 512k; off\": requests per second to each host, bytes per second in total, or off, which pauses the run. The first matching entry applies; other times have no further limit (default: none)"},
		{name: "config", group: groupRun, placeholder: "FILE", usage: "YAML file with settings; its keys are the names of these flags"},
	}...)
	settings = append(settings, s3Settings()...)
	settings = append(settings, lockSettings()...)
	settings = append(settings, retentionSettings()...)
	settings = append(settings, shardSettings()...)
	settings = append(settings, monitorSettings()...)
	return append(settings, outputSettings()...)
}

func filterSettings() []setting {
	filter := func(name, usage string) setting {
		return setting{name: name, group: groupFilter, placeholder: "VALUE", usage: usage}
	}
	return []setting{
		filter("id", "the call with this id"),
		filter("lead-id", "calls of this lead"),
		filter("campaign-id", "calls of this campaign"),
		filter("queue-id", "calls of this queue"),
		filter("list-id", "calls of this list"),
		filter("user-id", "calls of this agent"),
		filter("status", "calls with this status, like SALE; several as SALE,CB"),
		filter("phone-number", "calls of this phone number"),
		filter("number-dialed", "calls to this dialed number"),
		filter("first-name", "calls of leads with this first name"),
		filter("last-name", "calls of leads with this last name"),
		filter("call-type", "OUTBOUND, INBOUND, MANUAL or 3WAY"),
		filter("called-count", "calls of leads that were called this many times"),
	}
}

func s3Settings() []setting {
	return []setting{
		{name: "s3-endpoint", group: groupS3, placeholder: "URL", usage: "address of an S3 compatible server"},
		{name: "s3-region", group: groupS3, placeholder: "REGION", usage: "region of the bucket (default: from the AWS chain)"},
		{name: "s3-path-style", kind: toggle, group: groupS3, usage: "put the bucket into the path of the URL; most S3 compatible servers need it"},
		{name: "s3-storage-class", group: groupS3, placeholder: "CLASS", usage: "storage class of recordings, like STANDARD_IA"},
		{name: "s3-sse", group: groupS3, placeholder: "ALGORITHM", usage: "encryption at rest (default: the bucket's own)",
			choices: []string{"AES256", "aws:kms", "aws:kms:dsse"}},
		{name: "s3-kms-key-id", group: groupS3, placeholder: "KEY", usage: "KMS key; implies --s3-sse aws:kms"},
		{name: "s3-checksum", group: groupS3, placeholder: "KIND", defaultValue: "auto", usage: "checksum header of uploads; auto uses md5 for servers known to need it, else sha256",
			choices: []string{"auto", "sha256", "crc64nvme", "md5", "none"}},
		{name: "s3-no-conditional-writes", kind: toggle, group: groupS3, usage: "for servers that ignore If-None-Match: check before each write whether the key exists"},
	}
}

func archiveCommand() command {
	return command{
		name:  "archive",
		usage: "list calls and store their recordings",
		about: `Lists the calls of the given days, stores every recording under --dest, and
notes the result of each in a manifest there. It does not download archived
recordings again. It closes a day when it has proved the day complete, and later
runs skip closed days. You can
kill the program at any moment and run it again.`,
		examples: []example{
			{"every night, unattended, to S3",
				"convoso-archiver archive --dest s3://my-bucket/calls --last 7d --json"},
			{"all of the past, starting with the recordings that the vendor deletes next",
				"convoso-archiver archive --dest /archive --start-time 2023-01-01 --end-time 2025-05-31"},
			{"sales of one campaign on one day, with readable file names",
				"convoso-archiver archive --dest sales --campaign-id 5051 --status SALE \\\n" +
					"  --start-time 2025-05-01 --end-time 2025-05-01 \\\n" +
					"  --path-template '{{.user}}/{{.call_date.Format \"15h04\"}} {{.filename}}'"},
		},
		settings:    archiveSettings(),
		environment: true,
		exitCodes:   true,
		works:       true,
		run:         runArchive,
	}
}

// runArchive reads the settings and archives.
func runArchive(ctx context.Context, p *process, in input) outcome {
	settings := archiveSettings()
	read, talk := p.settings(ctx, settings, in)
	job := read.archiveJob(time.Now(), p.env, runtime.GOOS)
	token, err := readToken(ctx, read.values, p.env, job.warn)
	job.token, job.tokenFrom = token, tokenOrigin(read.values, p.env)
	read.keepIfAny(err)
	for _, note := range unknownVariables(settings, p.env) {
		job.warn(note)
	}
	return p.archive(ctx, job, talk, read.err)
}

// archive runs one job, and writes its summary in every case; err is a reason not to start it.
func (p *process) archive(ctx context.Context, job *archiveJob, talk output, err error) outcome {
	job.monitor.begin(ctx, p)
	summary, result := p.archiveJob(ctx, job, talk, err)
	// Wrong settings get only one line on stderr, like in other programs; every attempted run gets
	// a summary, even without results.
	refused := summary.Run == "" && result.code == ExitUsage
	silent := talk.quiet && result.code == ExitDone
	if !refused {
		result.counts = runCounts(summary)
	}
	if talk.json || !refused && !silent {
		result.unwritten = writeSummary(p.stdout, summary, talk.json)
	}
	code, _ := p.unwritten(result)
	job.monitor.end(ctx, summary, code)
	return result
}

// archiveJob runs one job, and returns its summary with its exit code.
func (p *process) archiveJob(ctx context.Context, job *archiveJob, talk output, err error) (archiver.Summary, outcome) {
	p.screen.hide(job.token.Reveal())
	if job.maxDuration > 0 {
		limited, cancel := context.WithTimeoutCause(ctx, job.maxDuration, errMaxDuration)
		defer cancel()
		ctx = limited
	}
	started := time.Now().UTC()
	var summary archiver.Summary
	if err == nil {
		done := p.announceStop(ctx, "archive", talk, job.endingText())
		summary, err = p.runJob(ctx, job, talk)
		done()
	}
	if summary.Run == "" { // the run did not start
		summary.Started, summary.Ended = started, time.Now().UTC()
		summary.DryRun = job.config.DryRun
		if cause := context.Cause(ctx); cause != nil {
			summary.Stopped = cause.Error()
		}
	}
	if refused, is := errors.AsType[*fetcher.APIError](err); is && refused.Refused() {
		err = &refusedTokenError{refused, job.tokenFrom}
	}
	slices.SortFunc(summary.OpenDays, func(a, b archiver.OpenDay) int { return strings.Compare(a.Day, b.Day) })
	result := judge(err, context.Cause(ctx), summary.Incomplete(job.strict))
	summary.ExitCode = result.code
	if result.failed {
		summary.Error = p.screen.hidden(oneLine(result.line))
	}
	return summary, result
}
