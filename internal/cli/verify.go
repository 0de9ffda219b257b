// The command verify: its flags, and one verification.

package cli

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"slices"
	"time"

	"convoso-archiver/archiver"
	"convoso-archiver/archiver/store"
	"convoso-archiver/archiver/verify"
	"convoso-archiver/evidence"
	"convoso-archiver/fetcher"
	"convoso-archiver/manifest"
)

const (
	groupVerify  = "WHAT TO VERIFY"
	groupChecks  = "HOW"
	groupArchive = "THE ARCHIVE"
)

func verifySettings() []setting {
	archive := archiveSettings()
	settings := []setting{
		{name: "start-time", group: groupVerify, placeholder: "TIME", usage: "first day, like 2025-05-01 (default: the first day in the archive)"},
		{name: "end-time", group: groupVerify, placeholder: "TIME", usage: "last day (default: today)"},
		{name: "last", group: groupVerify, placeholder: "DURATION", usage: "instead of --start-time and --end-time: 7d means the last seven days and today"},
		{name: "quick", kind: toggle, group: groupChecks, usage: "do not read the recordings: use a listing of the store to check that each one exists and has the right size and, on S3, the right entity tag"},
		{name: "sample", group: groupChecks, placeholder: "PERCENT", usage: "read this share of the recordings, like 1%; another part each day, so that daily runs with 1% read everything within 100 days"},
		{name: "strict", kind: toggle, group: groupChecks, usage: "treat files that are not in the manifest as damage; without --strict they are only listed. verify ignores files in evidence/ and seals/, and files of operating systems"},
		{name: "repair", kind: toggle, group: groupChecks, usage: "mark damaged recordings, so that the next run of archive downloads them again under another name, and repair the manifest; deletes nothing"},
		{name: "note", kind: toggle, group: groupChecks, usage: "note the result in evidence/, so that report, audit and serve can say what was verified, and when"},
		inGroup(archive, "workers", groupChecks),
		inGroup(archive, "max-duration", groupChecks),
		{name: "dest", group: groupArchive, placeholder: "DEST", usage: "the archive: a folder, or s3://bucket/prefix (required)"},
		inGroup(archive, "state-dir", groupArchive),
		{name: "config", group: groupArchive, placeholder: "FILE", usage: "YAML file with settings; the file of archive works too"},
	}
	i := slices.IndexFunc(settings, func(s setting) bool { return s.name == "workers" })
	settings[i].usage = "maximum recordings read in parallel"
	settings = append(settings, s3Settings()...)
	return append(settings, outputSettings()...)
}

// verifyKnown are the settings of verify in variables and the file; they include those of archive, so that one
// file serves both.
func verifyKnown() []setting {
	known := verifySettings()
	for _, s := range archiveSettings() {
		if _, ok := named(known, s.name); !ok {
			known = append(known, s)
		}
	}
	return known
}

func verifyCommand() command {
	return command{
		name:  "verify",
		usage: "check stored recordings against the manifest",
		about: `Reads every stored recording and compares its size and SHA-256 with the
manifest, checks that the manifest itself is consistent, and looks for files
that are not in the manifest. The first line is the answer: intact or
damaged. It needs no token and sends nothing to the vendor. Without --note and
--repair it takes no lock, writes nothing, and may run while archive runs.

With --note it takes the archive's lock for a moment at the end, and notes in
evidence/ what it checked and found. report, audit RECORDING and the page of
serve show this note.

With --repair it takes the archive's lock and marks damaged recordings; it
still exits with 4. The next run of archive over these days downloads them again under
another name and leaves the damaged file in place. If a recording that is marked
as damaged is intact again, verify marks it as archived. Before verify repairs a file
of manifest/ or calls/ with unreadable lines, it saves a copy. The next run of archive
lists the day of that file again.`,
		examples: []example{
			{"is everything of May intact?",
				"convoso-archiver verify --dest /archive --start-time 2025-05-01 --end-time 2025-05-31"},
			{"each night: does everything exist, and is 1% of it unchanged?",
				"convoso-archiver verify --dest s3://my-bucket/calls --quick &&\n" +
					"convoso-archiver verify --dest s3://my-bucket/calls --sample 1%"},
			{"repair: mark the damage, then download again",
				"convoso-archiver verify --dest /archive --repair\n" +
					"convoso-archiver archive --dest /archive --last 7d"},
			{"ids of damaged recordings, for other programs",
				"convoso-archiver verify --dest /archive --json | jq -r '.findings[] | [.kind,.day,.recording_id] | @tsv'"},
		},
		settings:    verifySettings(),
		environment: true,
		exitCodes:   true,
		works:       true,
		run:         runVerify,
	}
}

// verifyJob holds the checked settings of one verification.
type verifyJob struct {
	read        *reader // for the span, which needs the archive's zone
	now         time.Time
	folder      string          // "" for an archive on S3
	bucket      store.S3Options // without TempDir and Workers
	percent     float64         // size of the sample
	config      verify.Config
	maxDuration time.Duration // 0 for none
	note        bool          // write the result to evidence/
}

func runVerify(ctx context.Context, p *process, in input) outcome {
	read, talk := p.settings(ctx, verifyKnown(), in)
	job := read.verifyJob(time.Now(), p.env)
	return p.verify(ctx, job, talk, read.err)
}

// verifyJob reads the settings of verify. The span is read to find mistakes before the archive is opened; its
// meaning depends on the archive's zone.
func (r *reader) verifyJob(now time.Time, env environment) *verifyJob {
	j := &verifyJob{read: r, now: now, maxDuration: r.optionalDuration("max-duration"), note: r.toggle("note")}
	j.folder, j.bucket = r.destination(env)
	j.config = verify.Config{
		Mode: verify.Full, Workers: r.whole("workers", 1, maxWorkers),
		Strict: r.toggle("strict"), Repair: r.toggle("repair"),
	}
	if r.toggle("quick") {
		j.config.Mode = verify.Quick
	}
	if r.isSet("sample") {
		j.percent = r.sample()
		if j.config.Mode == verify.Quick {
			r.keep(misuse("", "use either --quick or --sample, not both%s", r.origins("quick", "sample")))
		}
		j.config.Mode = verify.Sampled
	}
	r.reportSpan(now, time.FixedZone("", 14*60*60)) // no zone's date is ahead of this one's
	return j
}

func (r *reader) sample() float64 {
	value, origin := r.raw("sample")
	percent, err := verify.ParseSample(value)
	if err != nil {
		r.fail(origin, "write it like 1% or 0.5%", "%v", err)
	}
	return percent
}

// place sets the options that depend on the archive's zone. Without a readable archive.json it uses UTC, because
// only the ends of the span and the day's sample depend on it.
func (j *verifyJob) place(archive manifest.Archive) error {
	zone, err := time.LoadLocation(archive.TimeZone)
	if err != nil {
		zone = time.UTC
	}
	j.config.From, j.config.To = j.read.reportSpan(j.now, zone)
	if j.percent > 0 {
		j.config.Sample = verify.NewSample(j.percent, fetcher.Wall(j.now, zone))
	}
	return j.read.err
}

// verify runs one job, and writes its summary unless a setting is wrong: err is a reason not to start it.
func (p *process) verify(ctx context.Context, job *verifyJob, talk output, err error) outcome {
	summary, began, result := p.verifyJob(ctx, job, talk, err)
	refused := !began && result.code == ExitUsage
	silent := talk.quiet && result.code == ExitDone
	if !refused {
		result.counts = verifyCounts(summary)
	}
	if talk.json || !refused && !silent {
		result.unwritten = writeVerified(p.stdout, summary, talk.json, job.note)
	}
	return result
}

// verifyJob runs one job, and returns its summary with its exit code. began reports whether an archive was opened.
func (p *process) verifyJob(ctx context.Context, job *verifyJob, talk output, err error) (summary verify.Summary, began bool, result outcome) {
	if job.maxDuration > 0 {
		limited, cancel := context.WithTimeoutCause(ctx, job.maxDuration, errMaxDuration)
		defer cancel()
		ctx = limited
	}
	started := time.Now().UTC()
	verifier := &verify.Verifier{Config: job.config}
	if err == nil {
		done := p.announceStop(ctx, "verify", talk, "the summary shows what was read")
		logger := newLogger(p.screen, talk, p.env)
		began, err = p.runVerifier(ctx, job, talk, verifier, logger)
		if job.note && began && err == nil {
			err = noteVerification(ctx, job, verifier.Summary(), logger)
		}
		err = withBucket(archiver.Location{Folder: job.folder, S3: job.bucket}, err)
		done()
	}
	summary = verifier.Summary()
	if !began {
		summary.Started, summary.Ended = started, time.Now().UTC()
		if cause := context.Cause(ctx); cause != nil {
			summary.Stopped = cause.Error()
		}
	}
	result = withDamage(judge(err, context.Cause(ctx), summary.IsIncomplete() || began && summary.Days == 0), summary.IsDamaged())
	if result.line != "" && !result.failed {
		result.line = context.Cause(ctx).Error() + ": the next verify checks everything anew" // there is nothing to resume
	}
	summary.ExitCode = result.code
	if result.failed {
		summary.Error = p.screen.hidden(oneLine(result.line))
	}
	summary.Answer = verifyAnswer(summary)
	return summary, began, result
}

// withDamage is like judge, for findings: damage outranks incomplete results, and all other errors outrank
// damage.
func withDamage(o outcome, damaged bool) outcome {
	if damaged && (o.code == ExitDone || o.code == ExitIncomplete) {
		o.code = ExitDamaged
	}
	return o
}

// runVerifier opens the archive and verifies it with progress. began reports whether there is a result to
// print.
func (p *process) runVerifier(ctx context.Context, job *verifyJob, talk output, v *verify.Verifier, logger *slog.Logger) (began bool, err error) {
	boundHeap(p.env)
	access := archiver.Read
	if job.config.Repair {
		access = archiver.Repair
	}
	bucket := job.bucket
	bucket.Workers = job.config.Workers
	opened, err := openArchive(ctx, archiver.Location{Folder: job.folder, S3: bucket}, access, "", logger)
	if err != nil {
		return false, err
	}
	defer func() {
		if closeErr := closeOpened(ctx, opened); err == nil {
			err = closeErr
		}
	}()
	archive, archiveErr := opened.Ledger.Archive(ctx)
	if later, ok := errors.AsType[*manifest.VersionError](archiveErr); ok {
		return false, later
	}
	if ctx.Err() != nil {
		return false, context.Cause(ctx)
	}
	if errors.Is(archiveErr, fs.ErrNotExist) {
		if known, err := knowsDays(ctx, opened.Ledger); err != nil || !known {
			return false, cmp.Or(err, absent(ctx, opened.Ledger))
		}
	}
	if err := job.place(archive); err != nil {
		return false, err
	}
	v.Config, v.Store, v.Ledger, v.Logger = job.config, opened.Store, opened.Ledger, logger
	v.BadArchive, v.Held = archiveErr, heldFindings(opened, job.config.Workers)
	v.Sealed = func(ctx context.Context, days []string) ([]string, error) {
		return evidence.SealedDays(ctx, opened.Ledger.Objects(), days)
	}
	v.Lock, err = lockChecks(ctx, opened)
	if _, bad := errors.AsType[*manifest.BadLineError](err); bad {
		v.BadLocks, err = err, nil
	}
	if err == nil {
		v.Expired, err = expiryCheck(ctx, opened.Ledger, archiveErr)
	}
	if err != nil {
		return false, err
	}
	logger.Info("verification started", "mode", string(job.config.Mode), "from", job.config.From, "to", job.config.To, "repair", job.config.Repair)
	stop := showProgress(talk, p.screen, p.env, logger, &watcher{
		run:   func() archiver.Progress { return asProgress(v.Progress()) },
		paces: func() []fetcher.Pace { return nil },
	})
	err = v.Run(ctx)
	stop()
	return true, err
}

// noteVerification writes the result of verify to evidence/.
func noteVerification(ctx context.Context, job *verifyJob, s verify.Summary, logger *slog.Logger) error {
	opened, err := openArchive(ctx, archiver.Location{Folder: job.folder, S3: job.bucket}, archiver.Repair, "", logger)
	if err == nil {
		err = errors.Join(opened.Ledger.NoteVerification(ctx, verificationOf(s)), closeOpened(ctx, opened))
	}
	if err != nil {
		return fmt.Errorf("note the result: %w", err)
	}
	return nil
}

// verificationOf returns the record of a summary.
func verificationOf(s verify.Summary) manifest.Verification {
	v := manifest.Verification{
		Started: s.Started.UTC().Truncate(time.Second), Mode: string(s.Mode), From: s.From, To: s.To,
		Days: s.Days, Recordings: s.Recordings, Checked: s.Checked, BytesRead: s.BytesRead,
		Damaged: []string{}, DamagedCount: s.Damaged, ManifestBad: s.ManifestDamaged, NotReadable: s.Unreadable,
		Complete: !s.IsIncomplete(),
	}
	for _, f := range s.Findings {
		if f.Kind.OfRecording() && !slices.Contains(v.Damaged, f.RecordingID) && len(v.Damaged) < manifest.MaxVerifiedIDs {
			v.Damaged = append(v.Damaged, f.RecordingID)
		}
	}
	return v
}

// lockChecks returns the lock check of verify, nil if the archive never used locks.
func lockChecks(ctx context.Context, opened *archiver.Opened) (func(context.Context, verify.Stored) ([]verify.Finding, error), error) {
	bucket, ok := opened.Store.(*store.S3)
	if !ok {
		return nil, nil
	}
	check, err := evidence.NewLockCheck(ctx, opened.Ledger, bucket, time.Now())
	if err != nil || check == nil {
		return nil, err
	}
	return func(ctx context.Context, o verify.Stored) ([]verify.Finding, error) {
		fault, detail, err := check.Check(ctx, o.Key, o.Noted)
		if err != nil || fault == evidence.LockGood {
			return nil, err
		}
		return []verify.Finding{{Kind: verify.Kind(fault), Detail: detail}}, nil
	}, nil
}

// expiryCheck returns the check of missing audio for verify, nil for none.
func expiryCheck(ctx context.Context, ledger *manifest.Ledger, archiveErr error) (func(context.Context, verify.Stored) (bool, error), error) {
	if archiveErr != nil {
		return nil, nil
	}
	check, err := missingCheck(ctx, ledger)
	if check == nil {
		return nil, err
	}
	return func(ctx context.Context, o verify.Stored) (bool, error) {
		return check.Expired(ctx, o.Day, o.RecordingID, o.CallID)
	}, err
}

// missingCheck returns the check of missing audio. It returns nil if the archive has noted no retention, or
// if the clock is wrong, because then today's date is unknown.
func missingCheck(ctx context.Context, ledger *manifest.Ledger) (*evidence.MissingCheck, error) {
	retention, err := evidence.LoadRetention(ctx, ledger)
	if err != nil || retention.IsZero() {
		return nil, err
	}
	today, err := evidence.Today(ctx, ledger, time.Now())
	if _, isWrong := errors.AsType[*evidence.ClockError](err); isWrong {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	holds, err := evidence.LoadHolds(ctx, ledger)
	if err != nil {
		return nil, err
	}
	return evidence.NewMissingCheck(ledger, retention, holds, today), nil
}

// knowsDays reports whether a ledger has any day, apart from call rows of a lost manifest.
func knowsDays(ctx context.Context, ledger *manifest.Ledger) (bool, error) {
	if lost, err := ledger.IsLost(ctx); lost || err != nil {
		return false, err
	}
	for _, err := range ledger.Days(ctx) {
		return err == nil, err
	}
	return false, nil
}

// asProgress converts the progress of a verification to that of archive, so that one display serves both:
// checked recordings count as archived, expected ones as listed.
func asProgress(p verify.Progress) archiver.Progress {
	return archiver.Progress{
		Summary: archiver.Summary{
			Archived: p.Checked, Recordings: p.Expected, DaysAsked: p.Days, DaysListed: p.Days,
		},
		Received: p.Bytes, Day: p.Day, DaysLeft: p.Days - p.DaysDone,
	}
}
