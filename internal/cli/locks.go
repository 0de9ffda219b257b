// Reads the flags for locks and retention, and saves their settings in the archive.

package cli

import (
	"context"
	"crypto/sha256"
	"encoding/base32"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"time"

	"convoso-archiver/archiver"
	"convoso-archiver/archiver/store"
	"convoso-archiver/evidence"
	"convoso-archiver/manifest"
)

const groupLocks = "LOCKS AND RETENTION (see docs/retention.md)"

// noLocks is the choice of --s3-lock-mode that ends locking.
const noLocks = "none"

// lockSettings say how recordings are locked, for archive and lock.
func lockSettings() []setting {
	return []setting{
		{name: "s3-lock-mode", group: groupLocks, placeholder: "MODE", usage: "lock recordings and seals in a bucket with Object Lock: governance (users with a special right can remove the lock), compliance (nobody can), none (default: as the archive's last run)",
			choices: []string{"governance", "compliance", noLocks}},
		{name: "s3-lock-for", group: groupLocks, placeholder: "PERIOD", usage: "how long a recording stays locked after it was stored: 7y, 10y, 90d"},
		{name: "s3-lock-after", group: groupLocks, placeholder: "PERIOD", usage: "lock recordings only when they are this old, with the command lock; until then erase can remove them (default: when they are stored)"},
		{name: "confirm-compliance", group: groupLocks, placeholder: "ARCHIVE-ID", usage: "confirm once per archive that you want compliance locks; the error without this flag shows the id"},
		{name: "accept-default-retention", kind: toggle, group: groupLocks, usage: "use a bucket whose default retention locks every object, also the manifest and calls/: erase is refused until these locks end"},
	}
}

// retentionSettings say how long recordings are kept.
func retentionSettings() []setting {
	return []setting{
		{name: "retention", kind: list, group: groupLocks, placeholder: "CLASS=PERIOD", usage: "how long to keep recordings of a class, like medicare=10y; the day of the call is the first day; repeatable. On S3 the class is the object's tag \"retention\" (default: as the archive's last run)"},
		{name: "retention-campaign", kind: list, group: groupLocks, placeholder: "ID=CLASS", usage: "class of a campaign, given by its id, not by its name; repeatable"},
		{name: "retention-default", group: groupLocks, placeholder: "CLASS", usage: "class of all other campaigns; without it their recordings are kept for ever"},
	}
}

// lockJob holds the settings for locks and retention. The archive's noted settings fill the gaps.
type lockJob struct {
	mode      string // "" if unset
	period    store.Period
	after     store.Period
	hasPeriod bool
	hasAfter  bool
	confirm   string
	accept    bool
	retention *evidence.Retention
	newID     string // for an archive that does not exist yet

	// The archive and its effective settings, set by check.
	locks    *evidence.Locks
	settings evidence.LockSettings
	about    manifest.Archive // without id if there is none yet
	classes  evidence.Retention
	noted    evidence.Retention
}

// lockJob reads the settings. Lock settings are refused for a folder, from any source, because nothing would be locked.
func (r *reader) lockJob(folder string) lockJob {
	var j lockJob
	for _, s := range lockSettings() {
		if g, ok := r.values[s.name]; ok && folder != "" {
			r.fail(g.origin, "give --dest s3://bucket/prefix, or leave this setting out", "a folder cannot be locked")
		}
	}
	if r.isSet("s3-lock-mode") {
		j.mode = r.choice("s3-lock-mode")
	}
	j.period, j.hasPeriod = r.period("s3-lock-for", store.MinPeriod)
	j.after, j.hasAfter = r.period("s3-lock-after", 0)
	if r.isSet("confirm-compliance") {
		j.confirm = strings.TrimSpace(r.text("confirm-compliance"))
	}
	j.accept = r.toggle("accept-default-retention")
	return j
}

// period reads a period with a minimum.
func (r *reader) period(name string, least time.Duration) (p store.Period, isSet bool) {
	if !r.isSet(name) {
		return p, false
	}
	value, origin := r.raw(name)
	p, err := store.ParsePeriod(value)
	start := time.Unix(0, 0).UTC()
	switch {
	case err != nil:
		r.fail(origin, "give a minute to 100 years, like 10y, 30d or 36h; m may mean minutes or months", "%v", err)
	case p.After(start).Before(start.Add(least)):
		r.fail(origin, "give a minute to 100 years, like 10y, 30d or 36h", "%s is shorter than a minute", value)
	}
	return p, true
}

// retention reads the classes of retention, nil if no setting has one.
func (r *reader) retention() *evidence.Retention {
	if !r.isSet("retention") {
		for _, name := range []string{"retention-campaign", "retention-default"} {
			if g, ok := r.values[name]; ok {
				r.fail(g.origin, "give --retention CLASS=PERIOD too", "it names a class without a retention")
			}
		}
		return nil
	}
	e := &evidence.Retention{Classes: map[string]store.Period{}, Campaigns: map[string]string{}, Default: r.text("retention-default")}
	_, origin := r.raw("retention")
	for _, item := range r.list("retention") {
		class, text, found := strings.Cut(item, "=")
		p, err := store.ParsePeriod(strings.TrimSpace(text))
		class = strings.TrimSpace(class)
		_, twice := e.Classes[class]
		switch {
		case !found:
			r.fail(origin, "write it like medicare=10y", "%q is not a class and a period", item)
		case err != nil:
			r.fail(origin, "write it like medicare=10y", "class %s: %v", class, err)
		case twice:
			r.fail(origin, "keep one of them", "class %s is given twice", class)
		}
		e.Classes[class] = p
	}
	_, origin = r.raw("retention-campaign")
	for _, item := range r.list("retention-campaign") {
		campaign, class, found := strings.Cut(item, "=")
		campaign, class = strings.TrimSpace(campaign), strings.TrimSpace(class)
		was, twice := e.Campaigns[campaign]
		switch {
		case !found || campaign == "":
			r.fail(origin, "write it like 1234=medicare", "%q is not a campaign's id and a class", item)
		case !evidence.IsCampaignID(campaign):
			r.fail(origin, "give its id: find --json shows the id as campaign_id, the name as campaign", "class %s: a campaign is not an id: an id has only digits", class)
		case twice && was != class:
			r.fail(origin, "keep one of them", "campaign %s is given two classes", campaign)
		}
		e.Campaigns[campaign] = class
	}
	if err := e.Check(); err != nil && r.err == nil {
		r.keep(misuse("see --retention in archive --help", "%v", err))
	}
	return e
}

// check determines the effective settings of this run: the given ones, otherwise those noted in the archive. It
// refuses an unsuitable bucket and unconfirmed compliance locks, before anything is stored. bucket is nil for a
// folder.
func (j *lockJob) check(ctx context.Context, bucket *store.S3, ledger *manifest.Ledger) error {
	if err := j.load(ctx, ledger); err != nil || bucket == nil {
		return err
	}
	return j.prove(ctx, bucket)
}

// prove makes the refusals of check, once the settings are loaded.
func (j *lockJob) prove(ctx context.Context, bucket *store.S3) (err error) {
	if j.settings.Mode == store.Unlocked {
		return nil
	}
	if err := j.checkConfirmed(); err != nil {
		return err
	}
	j.settings.Default, err = bucket.ProveLocks(ctx, j.accept || j.settings.Default)
	return err
}

// look is the part of check that stores nothing, for doctor.
func (j *lockJob) look(ctx context.Context, bucket *store.S3, ledger *manifest.Ledger) error {
	if err := j.load(ctx, ledger); err != nil || j.settings.Mode == store.Unlocked {
		return err
	}
	if err := j.checkConfirmed(); err != nil {
		return err
	}
	_, err := bucket.CheckLocks(ctx, j.accept || j.settings.Default)
	return err
}

// load reads the settings noted in the archive, and overrides them with the given ones.
func (j *lockJob) load(ctx context.Context, ledger *manifest.Ledger) (err error) {
	if j.about, err = ledger.Archive(ctx); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("read the archive's settings: %w", err)
	}
	if j.locks, err = evidence.LoadLocks(ctx, ledger); err != nil {
		return err
	}
	if j.noted, err = evidence.LoadRetention(ctx, ledger); err != nil {
		return err
	}
	j.classes = j.noted
	if j.retention != nil {
		j.classes = *j.retention
	}
	j.settings, err = j.over(j.locks.Settings())
	return err
}

// over overrides an archive's noted settings with the given ones, and refuses incomplete lock settings.
func (j *lockJob) over(noted evidence.LockSettings) (evidence.LockSettings, error) {
	s := noted
	switch j.mode {
	case "governance":
		s.Mode = store.Governance
	case "compliance":
		s.Mode = store.Compliance
	case noLocks:
		s.Mode = store.Unlocked
	}
	if j.hasPeriod {
		s.For = j.period
	}
	if j.hasAfter {
		s.After = j.after
	}
	if s.Mode == store.Unlocked {
		s = evidence.LockSettings{Confirmed: s.Confirmed}
	}
	start := time.Unix(0, 0)
	switch {
	case s.Mode == store.Unlocked && j.mode == "" && (j.hasPeriod || j.hasAfter):
		return s, misuse("give --s3-lock-mode governance or compliance", "the lock mode is missing")
	case s.Mode != store.Unlocked && s.For.IsZero():
		return s, misuse("give --s3-lock-for, like 10y", "the lock period is missing")
	case s.Mode != store.Unlocked && !s.After.After(start).Before(s.For.After(start)):
		return s, misuse("both count from when a recording was stored", "--s3-lock-after is not shorter than --s3-lock-for")
	}
	return s, nil
}

// newArchiveID returns the id of an archive that does not exist yet, so that an error can name it for confirmation. It
// depends only on the location.
func newArchiveID(b store.S3Options) string {
	sum := sha256.Sum256([]byte(strings.Join([]string{"archive", b.Endpoint, b.Bucket, b.Prefix}, "\n")))
	return strings.ToLower(base32.StdEncoding.EncodeToString(sum[:])[:26])
}

// checkConfirmed refuses compliance locks until they are confirmed for this archive. A new archive gets the id from
// the refusal.
func (j *lockJob) checkConfirmed() error {
	id := j.about.ID
	switch {
	case j.settings.Mode != store.Compliance, j.settings.Confirmed:
		return nil
	case id == "":
		id = j.newID
	}
	if j.confirm == id {
		j.settings.Confirmed = true
		return nil
	}
	why := "nobody can remove a compliance lock, not even the owner of the account, so it must be confirmed once for this archive"
	if j.confirm != "" {
		why = "--confirm-compliance names another archive"
	}
	return misuse("give --confirm-compliance "+id+" once, or --s3-lock-mode governance", "%s", why)
}

// given reports whether a setting concerns locks.
func (j *lockJob) given() bool { return j.mode != "" || j.hasPeriod || j.hasAfter }

// noteFor is like note, for archive, which may have opened the archive of another account: the run refuses that, so
// nothing must be noted.
func (j *lockJob) noteFor(ctx context.Context, job *archiveJob, opened *archiver.Opened, logger *slog.Logger) error {
	if !j.given() { // otherwise Open has checked it
		bucket, _ := opened.Store.(*store.S3)
		if err := j.check(ctx, bucket, opened.Ledger); err != nil {
			return err
		}
	}
	zone := job.config.Zone.String()
	if j.about.ID != "" && (j.about.APIURL != job.apiURL || j.about.TimeZone != zone) {
		return nil
	}
	err := j.note(ctx, opened.Ledger, manifest.Archive{APIURL: job.apiURL, TimeZone: zone, ConditionalWrites: opened.Conditions})
	if err == nil && !j.classes.Equal(j.noted) {
		j.logRetention(logger)
	}
	return err
}

// logRetention reports that a retention was noted, because it decides what erase --expired removes.
func (j *lockJob) logRetention(logger *slog.Logger) {
	message := "noted the retention"
	if !j.noted.IsZero() {
		message = "changed the retention"
	}
	var classes []string
	for _, class := range slices.Sorted(maps.Keys(j.classes.Classes)) {
		classes = append(classes, class+"="+j.classes.Classes[class].String())
	}
	logger.Info(message, "classes", strings.Join(classes, ","), "campaigns", len(j.classes.Campaigns), "all_others", orElse(j.classes.Default, "for ever"))
}

// note notes changed settings for lock, verify, seal and erase. It writes archive.json first if the id of a new archive
// was confirmed.
func (j *lockJob) note(ctx context.Context, ledger *manifest.Ledger, newArchive manifest.Archive) error {
	if j.about.ID == "" && j.confirm != "" && j.settings.Mode == store.Compliance {
		newArchive.ID = j.confirm
		if err := ledger.SaveArchive(ctx, newArchive); err != nil {
			return err
		}
	}
	if j.settings != j.locks.Settings() {
		if err := j.locks.Note(ctx, ledger, j.settings, time.Now(), false); err != nil {
			return err
		}
	}
	if !j.classes.Equal(j.noted) {
		return evidence.NoteRetention(ctx, ledger, j.classes)
	}
	return nil
}
