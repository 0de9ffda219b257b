// The command rebuild: recreates a lost manifest.

package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"time"

	"convoso-archiver/archiver"
	"convoso-archiver/archiver/key"
	"convoso-archiver/evidence"
	"convoso-archiver/manifest"
)

func rebuildSettings() []setting {
	archive := archiveSettings()
	settings := []setting{
		{name: "dest", group: groupArchive, placeholder: "DEST", usage: "the archive: a folder, or s3://bucket/prefix (required)"},
	}
	for _, name := range []string{"path-template", "time-zone", "api-url", "workers", "retry-for"} {
		s := inGroup(archive, name, groupArchive)
		switch name {
		case "path-template":
			s.usage = templateUsage + "; as given to archive"
		case "workers":
			s.usage = "maximum recordings looked up in parallel"
		case "retry-for":
			s.usage = "maximum wait for a store that does not answer; then rebuild ends with 1"
		}
		settings = append(settings, s)
	}
	settings = append(settings, setting{name: "config", group: groupArchive, placeholder: "FILE", usage: "YAML file with settings; the file of archive works too"})
	settings = append(settings, s3Settings()...)
	return append(settings, outputSettings()...)
}

func rebuildCommand() command {
	return command{
		name:  "rebuild",
		usage: "recreate a lost manifest from calls/ and the stored recordings",
		about: `Works on days that have rows in calls/ and nothing in manifest/, or only what
verify --repair or an earlier rebuild wrote there. It looks for each recording
in the store, by the metadata of its object or by its name and bytes, and
records what it finds. Recordings that it cannot identify stay waiting. rebuild sends
nothing to the vendor. The next run of archive over these days closes them and
downloads only the missing recordings. You can run a stopped rebuild again; until
archive has worked on a day, rebuild searches that day again.

Give the --path-template with which the recordings were stored. If archive.json
is lost too, rebuild takes its content from the newest seal; without seals, give the
same --time-zone and --api-url as before. rebuild does not change days that
have a manifest: to rebuild such a day, first move its folder manifest/DAY out of
the archive, and keep it.`,
		examples: []example{
			{"the manifest of an archive in a folder is lost",
				"convoso-archiver rebuild --dest /archive\n" +
					"convoso-archiver archive --dest /archive --start-time 2025-01-01"},
			{"the manifest of an archive in S3 is lost", "convoso-archiver rebuild --dest s3://my-bucket/calls --workers 64"},
			{"number of recordings that were found, missing and ambiguous", "convoso-archiver rebuild --dest /archive --json | jq '{archived, missing, ambiguous}'"},
		},
		settings:    rebuildSettings(),
		environment: true,
		exitCodes:   true,
		works:       true,
		run:         runRebuild,
	}
}

// rebuildResult is the output of rebuild.
type rebuildResult struct {
	ExitCode int     `json:"exit_code"`
	Error    string  `json:"error"`
	Seconds  float64 `json:"seconds"`
	archiver.Rebuilt
	assumed []string // settings of archive.json that are defaults, because no setting gave them
}

func runRebuild(ctx context.Context, p *process, in input) outcome {
	read, talk := p.settings(ctx, withArchiveKeys(rebuildSettings()), in)
	rebuild := &archiver.Rebuild{
		Archive:  manifest.Archive{APIURL: read.apiURL(), TimeZone: read.zone().String()},
		APIGiven: read.isSet("api-url"), ZoneGiven: read.isSet("time-zone"),
		Workers: read.whole("workers", 1, maxWorkers), RetryFor: read.duration("retry-for", 0),
	}
	var at archiver.Location
	at.Folder, at.S3 = read.destination(p.env)
	at.S3.Workers = rebuild.Workers
	keys, err := key.Parse(read.text("path-template"))
	if err != nil {
		read.keep(misuse("see --path-template in archive --help", "--path-template: %v", err))
	}
	rebuild.Keys = keys
	began := time.Now()
	made := rebuildResult{Rebuilt: archiver.Rebuilt{MissingRecordings: []archiver.RebuildDoubt{}, AmbiguousRecordings: []archiver.RebuildDoubt{}}}
	if err = read.err; err == nil {
		made.Rebuilt, err = p.runRebuilding(ctx, at, rebuild, talk)
		err = withBucket(at, err)
		made.assumed = assumedSettings(made.Rebuilt, read)
	}
	result := judge(err, context.Cause(ctx), made.Missing+made.Ambiguous+made.Unreadable > 0)
	made.ExitCode, made.Seconds = result.code, time.Since(began).Seconds()
	if result.failed {
		made.Error = p.screen.hidden(oneLine(result.line))
	}
	if talk.json || err == nil && !(talk.quiet && result.code == ExitDone) {
		result.unwritten = made.write(p.stdout, talk.json)
	}
	return result
}

// assumedSettings names the settings of a new archive.json that are the defaults, because nothing gave them.
func assumedSettings(made archiver.Rebuilt, read *reader) (names []string) {
	if made.Given && !read.isSet("api-url") && made.APIURL == read.apiURL() {
		names = append(names, "--api-url")
	}
	if made.Given && !read.isSet("time-zone") && made.TimeZone == read.zone().String() {
		names = append(names, "--time-zone")
	}
	return names
}

func (p *process) runRebuilding(ctx context.Context, at archiver.Location, rebuild *archiver.Rebuild, talk output) (made archiver.Rebuilt, err error) {
	boundHeap(p.env)
	logger := newLogger(p.screen, talk, p.env)
	if err := hasCalls(ctx, at, logger); err != nil {
		return made, err
	}
	opened, err := openArchive(ctx, at, archiver.Archive, "", logger)
	if err != nil {
		return made, err
	}
	defer func() { err = errors.Join(err, closeOpened(ctx, opened)) }()
	sealed, found, err := evidence.ArchiveOf(ctx, opened.Ledger.Objects())
	if err != nil {
		return made, err
	}
	if found {
		rebuild.Archive, rebuild.Proved = sealed, true
	}
	rebuild.Archive.ConditionalWrites = opened.Conditions
	rebuild.Ledger, rebuild.Store, rebuild.KeyPrefixLen = opened.Ledger, opened.Store, opened.KeyPrefixLen
	rebuild.Retention = func(ctx context.Context) (archiver.PastRetention, error) {
		check, err := missingCheck(ctx, opened.Ledger)
		if check == nil {
			return nil, err
		}
		return check.Reason, err
	}
	made, err = rebuild.Run(ctx)
	switch {
	case errors.Is(err, archiver.ErrNothingToRebuild):
		err = nothingToRebuild("check --dest")
	case errors.Is(err, manifest.ErrHidden):
		err = misuse("remove the delete markers, and the old manifest is back: see A hidden manifest in docs/s3.md", "delete markers hide the older versions of manifest/, and the store creates no file in their place")
	case errors.Is(err, archiver.ErrWrongZone):
		err = misuse("give the account's --time-zone; nothing was written", "%v", err)
	default:
		if other, is := errors.AsType[*archiver.OtherArchiveError](err); is {
			err = misuse("leave "+settingOf(other)+" out; if the archive's is wrong, remove manifest/ and run rebuild again", "%v", other)
		}
	}
	return made, err
}

func nothingToRebuild(try string) error { return misuse(try, "%v", archiver.ErrNothingToRebuild) }

// hasCalls fails without calls/, before opening the archive for writing creates files at a wrong location.
func hasCalls(ctx context.Context, at archiver.Location, logger *slog.Logger) (err error) {
	if at.Folder != "" {
		if _, err := os.Stat(filepath.Join(at.Folder, "calls")); err != nil {
			return nothingToRebuild("check --dest, and whether it is mounted")
		}
		return nil
	}
	opened, err := openArchive(ctx, at, archiver.Read, "", logger)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, closeOpened(ctx, opened)) }()
	for _, err := range opened.Ledger.Objects().ListFiles(ctx, "calls/") {
		if err != nil {
			return fmt.Errorf("look for calls/: %w", err)
		}
		return nil
	}
	return nothingToRebuild("check --dest")
}

// write writes the result: one JSON object, or lines for a person.
func (r rebuildResult) write(w io.Writer, asJSON bool) error {
	if asJSON {
		return json.NewEncoder(w).Encode(r)
	}
	var b strings.Builder
	if r.Days == 0 {
		fmt.Fprintf(&b, "nothing to rebuild: each of %s has a manifest\n\nnext\n"+
			"  to rebuild a day whose files of manifest/ are changed or lost: move its folder manifest/DAY out of the archive, keep it, and run rebuild again\n", plural(r.Known, "day"))
	} else {
		fmt.Fprintf(&b, "rebuilt: %s, %s of %s found in the store\n\n", plural(r.Days, "day"), thousands(int64(r.Archived)), plural(r.Recordings, "recording"))
		fmt.Fprintf(&b, "archived     %s (%s)\n", thousands(int64(r.Archived)), bytesText(r.Bytes))
		if r.Expired > 0 {
			fmt.Fprintf(&b, "expired      %s whose retention has ended, and whose audio was removed\n", thousands(int64(r.Expired)))
		}
		if r.Erased > 0 {
			fmt.Fprintf(&b, "erased       %s that an erasure removed\n", thousands(int64(r.Erased)))
		}
		if r.Missing > 0 {
			fmt.Fprintf(&b, "missing      %s not in the store\n", thousands(int64(r.Missing)))
		}
		if r.Ambiguous > 0 {
			fmt.Fprintf(&b, "ambiguous    %s: the file with this name may be another recording, or is incomplete\n", thousands(int64(r.Ambiguous)))
		}
		if r.Unreadable > 0 {
			fmt.Fprintf(&b, "UNREADABLE   %s of calls/; their recordings are not known\n", plural(r.Unreadable, "line"))
		}
		if r.Known > 0 {
			fmt.Fprintf(&b, "unchanged    %s that have a manifest\n", plural(r.Known, "day"))
		}
		fmt.Fprintf(&b, "\nnext\n  run archive --start-time %s --end-time %s: it closes these days, and downloads the recordings that were not found\n", r.First, r.Last)
		if r.Ambiguous > 0 {
			b.WriteString("  archive downloads the ambiguous ones too: it notes the file if it has the same bytes, else it stores the\n" +
				"  recording under another name and keeps the file; --json names them\n")
		}
	}
	switch {
	case r.Given:
		b.WriteString("  archive.json was written again from --time-zone and --api-url: check that both are the same as before\n")
		fmt.Fprintf(&b, "    API address  %s\n    time zone    %s\n", r.APIURL, r.TimeZone)
		if len(r.assumed) > 0 {
			fmt.Fprintf(&b, "  these were not given, so rebuild used the defaults: %s. If archive used other values, run rebuild again with them, before archive\n", strings.Join(r.assumed, ", "))
		}
	case r.Archive:
		b.WriteString("  archive.json was written again from the newest seal\n")
		fmt.Fprintf(&b, "    API address  %s\n    time zone    %s\n", r.APIURL, r.TimeZone)
	}
	return writeText(w, b.String())
}
