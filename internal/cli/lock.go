// Runs the command lock.

package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"convoso-archiver/archiver"
	"convoso-archiver/archiver/store"
	"convoso-archiver/evidence"
	"convoso-archiver/manifest"
)

const groupLockWhat = "WHAT TO LOCK"

func lockCommandSettings() []setting {
	archive := archiveSettings()
	settings := []setting{
		{name: "start-time", group: groupLockWhat, placeholder: "TIME", usage: "first day, like 2025-05-01 (default: the first day in the archive); only as a flag"},
		{name: "end-time", group: groupLockWhat, placeholder: "TIME", usage: "last day (default: the last day in the archive)"},
		{name: "last", group: groupLockWhat, placeholder: "DURATION", usage: "instead of --start-time and --end-time: 60d means the last sixty days and today"},
	}
	settings = append(settings, lockSettings()...)
	settings = append(settings,
		setting{name: "dest", group: groupArchive, placeholder: "DEST", usage: "the archive: s3://bucket/prefix (required)"},
		inGroup(archive, "workers", groupArchive),
		setting{name: "config", group: groupArchive, placeholder: "FILE", usage: "YAML file with settings; the file of archive works too, except for its --last, --start-time and --end-time"},
	)
	for i := range settings {
		if settings[i].name == "workers" {
			settings[i].usage = "maximum objects checked in parallel"
		}
	}
	settings = append(settings, s3Settings()...)
	return append(settings, outputSettings()...)
}

func lockCommand() command {
	return command{
		name:  "lock",
		usage: "lock recordings in S3 that must be locked, and extend locks",
		about: `Goes through the archive's manifest day by day, and through its seals, and locks each recording and seal that must
be locked and is not locked yet. It uses the lock settings of the archive, or those of the flags; later runs of archive then use
the settings of the flags too. lock extends a lock that is too short; it never shortens or weakens one. With
--s3-lock-after, archive stores recordings without a lock: run lock each night.

It needs no token, sends nothing to the vendor, and may run while archive runs.`,
		examples: []example{
			{"each night: lock recordings older than --s3-lock-after",
				"convoso-archiver lock --dest s3://my-bucket/calls --last 60d"},
			{"lock the recordings of an existing archive, for ten years since they were stored",
				"convoso-archiver lock --dest s3://my-bucket/calls --s3-lock-mode governance --s3-lock-for 10y --workers 32"},
			{"recordings that could not be locked", "convoso-archiver lock --dest s3://my-bucket/calls --json | jq '.failures'"},
		},
		settings:    lockCommandSettings(),
		environment: true,
		exitCodes:   true,
		works:       true,
		run:         runLock,
	}
}

// lockResult is the output of lock.
type lockResult struct {
	ExitCode int     `json:"exit_code"`
	Error    string  `json:"error"`
	Stopped  string  `json:"stopped,omitempty"`
	Seconds  float64 `json:"seconds"`
	evidence.LockSettings
	evidence.Locked
}

func runLock(ctx context.Context, p *process, in input) outcome {
	read, talk := p.settings(ctx, withArchiveKeys(lockCommandSettings()), in)
	for _, name := range []string{"start-time", "end-time", "last"} {
		if g, ok := read.values[name]; ok && !g.byFlag() { // the span of archive would omit due recordings
			delete(read.values, name)
		}
	}
	folder, bucket := read.destination(p.env)
	locks := read.lockJob(folder)
	bucket.Workers = read.whole("workers", 1, maxWorkers)
	now := time.Now()
	read.reportSpan(now, time.FixedZone("", 14*60*60)) // no zone's date is ahead of this one's
	switch {
	case read.err != nil:
	case folder != "":
		read.keep(misuse("give --dest s3://bucket/prefix", "a folder cannot be locked"))
	case locks.mode == noLocks:
		read.keep(misuse("give governance or compliance; archive takes none", "--s3-lock-mode none locks nothing"))
	}
	made := lockResult{Locked: evidence.Locked{Failures: []evidence.LockFailed{}}}
	err, began := read.err, false
	if err == nil {
		done := p.announceStop(ctx, "lock", talk, "existing locks stay")
		began, err = p.runLocking(ctx, read, bucket, &locks, now, talk, &made)
		done()
	}
	if cause := context.Cause(ctx); cause != nil {
		made.Stopped = cause.Error()
	}
	result := judge(err, context.Cause(ctx), made.Failed > 0)
	made.ExitCode, made.Seconds, made.LockSettings = result.code, time.Since(now).Seconds(), locks.settings
	if result.failed {
		made.Error = p.screen.hidden(oneLine(result.line))
	}
	if talk.json || began && !(talk.quiet && result.code == ExitDone) {
		result.unwritten = made.write(p.stdout, talk.json)
	}
	return result
}

// runLocking opens the archive and locks. began reports whether there is a result to print.
func (p *process) runLocking(ctx context.Context, read *reader, bucket store.S3Options, locks *lockJob, now time.Time, talk output, made *lockResult) (began bool, err error) {
	boundHeap(p.env)
	at := archiver.Location{S3: bucket, Check: func(ctx context.Context, bucket *store.S3, ledger *manifest.Ledger) error {
		err := locks.load(ctx, ledger)
		switch {
		case locks.locks != nil && locks.about.ID == "":
			return absent(ctx, ledger)
		case err != nil:
			return err
		case locks.settings.Mode == store.Unlocked:
			return misuse("give --s3-lock-mode and --s3-lock-for", "neither the flags nor the archive's settings say how to lock")
		}
		return locks.prove(ctx, bucket)
	}}
	opened, err := openArchive(ctx, at, archiver.Repair, "", newLogger(p.screen, talk, p.env))
	if err != nil {
		return false, err
	}
	defer func() { err = errors.Join(err, closeOpened(ctx, opened)) }()
	zone, err := time.LoadLocation(locks.about.TimeZone)
	if err != nil {
		zone = time.UTC // it only affects the ends of the span
	}
	locking := &evidence.Locking{
		Ledger: opened.Ledger, Store: opened.Store.(*store.S3), Locks: locks.locks, Settings: locks.settings,
		Workers: bucket.Workers, Now: now,
	}
	if locking.From, locking.To = read.reportSpan(now, zone); read.err != nil {
		return false, read.err
	}
	if err := locks.note(ctx, opened.Ledger, locks.about); err != nil {
		return false, err
	}
	made.Locked, err = locking.Run(ctx)
	return true, err
}

// write writes the result: one JSON object, or lines for a person.
func (r lockResult) write(w io.Writer, asJSON bool) error {
	if asJSON {
		return json.NewEncoder(w).Encode(r)
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%s of %s\n\n", r.Rule(), plural(r.Days, "day"))
	row := func(name string, n int, text string) {
		if n > 0 {
			fmt.Fprintf(&b, "%-12s %s%s\n", name, thousands(int64(n)), text)
		}
	}
	row("recordings", r.Recordings, "")
	row("seals", r.Seals, " files")
	row("locked", r.New, " that had no lock")
	row("extended", r.Extended, " whose lock was too short or too weak")
	row("good", r.Good, " already had this lock or a longer one")
	if r.FirstDue != nil {
		row("not due", r.Early, " are locked later, the first on "+r.FirstDue.Format(time.DateOnly)+" (UTC)")
	}
	row("ended", r.Ended, " whose lock has already ended, because they are old")
	row("FAILED", r.Failed, "")
	const named = 50
	for _, f := range r.Failures[:min(named, len(r.Failures))] {
		fmt.Fprintf(&b, "  %s  %s: %s\n", orElse(f.Day, "-"), orElse(f.File, "recording "+orElse(f.RecordingID, "-")), f.Detail)
	}
	if r.Failed > named {
		fmt.Fprintf(&b, "  and %s more; --json names up to 1,000\n", thousands(int64(r.Failed-named)))
	}
	return writeText(w, b.String())
}
