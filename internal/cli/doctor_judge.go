// Decides the result of each check of doctor from the collected facts.

package cli

import (
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"syscall"
	"time"

	"convoso-archiver/archiver"
	"convoso-archiver/archiver/store"
	"convoso-archiver/fetcher"
	"convoso-archiver/internal/doctor"
	"convoso-archiver/manifest"
)

// The states of a check.
const (
	stateOK      = "ok"
	stateWarning = "warning"
	stateFailed  = "failed"
	stateSkipped = "skipped" // it could not run, or had no result
)

// check is one line of doctor's output.
type check struct {
	Name  string `json:"name"`
	State string `json:"state"`
	Saw   string `json:"saw"`
	Do    string `json:"do"` // "" if nothing needs to be done

	code int // exit code of a failure
}

func fine(name, format string, args ...any) check {
	return check{Name: name, State: stateOK, Saw: fmt.Sprintf(format, args...)}
}

func skip(name, because string) check { return check{Name: name, State: stateSkipped, Saw: because} }

func warning(name, do, format string, args ...any) check {
	return check{Name: name, State: stateWarning, Saw: fmt.Sprintf(format, args...), Do: do}
}

func broken(code int, name, do, format string, args ...any) check {
	return check{Name: name, State: stateFailed, Saw: fmt.Sprintf(format, args...), Do: do, code: code}
}

// brokenBy is like broken, for an error whose text says what to do, if anything.
func brokenBy(code int, name string, err error, otherwise string) check {
	what, try := store.Told(err)
	if usage, ok := errors.AsType[*usageError](err); ok {
		what, try = usage.what, usage.try
	}
	return broken(code, name, orElse(try, otherwise), "%s", withoutRepeats(what))
}

// diagnose judges all facts. It is a pure function.
func diagnose(f *facts) []check {
	checks := checkSettings(f)
	checks = append(checks, checkFoundToken(f), checkState(f), checkProxies(f.proxies))
	checks = append(checks, f.watched.check()...)
	checks = append(checks, checkAPI(f)...)
	checks = append(checks, checkMedia(f)...)
	switch {
	case f.folder != nil:
		return append(checks, checkDisk(f)...)
	case f.bucket != nil:
		return append(checks, checkBucket(f)...)
	}
	return append(checks, skip("destination", "configuration failed"))
}

func checkSettings(f *facts) (checks []check) {
	const name = "configuration"
	for _, err := range f.settings {
		checks = append(checks, brokenBy(ExitUsage, name, err, ""))
	}
	for _, note := range f.notes {
		checks = append(checks, warning(name, "", "%s", note))
	}
	if len(f.settings) == 0 {
		checks = append(checks, fine(name, "every setting can be read"))
	}
	return checks
}

func checkFoundToken(f *facts) check {
	const name = "token"
	switch {
	case f.tokenErr != nil:
		return brokenBy(ExitUsage, name, f.tokenErr, "")
	case len(f.tokenNotes) > 0:
		saw, do, _ := strings.Cut(f.tokenNotes[0], ": ")
		return warning(name, do, "%s", saw)
	}
	return fine(name, "found in %s; the check call-logs tests it", f.tokenFrom)
}

// minTemp is the minimum space for temporary files without a warning.
const minTemp = 256 << 20

func checkState(f *facts) check {
	const name = "state-folder"
	switch s := f.state; {
	case s == nil:
		return skip(name, "configuration failed")
	case s.Err != nil:
		return brokenBy(ExitFailed, name, s.Err, "give another --state-dir")
	case !f.onDisk && s.FreeErr == nil && s.Free < minTemp:
		return warning(name, "free some space, or give another --state-dir", "%s can be written, and has %s free for downloads in progress", s.Nearest, bytesText(s.Free))
	default:
		return fine(name, "%s", writable(*s))
	}
}

// writable returns a check for a writable folder.
func writable(s doctor.State) string {
	if s.Nearest == s.Dir {
		return s.Dir + " can be written"
	}
	return s.Dir + " will be created by the first run: " + s.Nearest + " can be written"
}

func checkProxies(proxies []proxied) check {
	const name = "proxy"
	var used []string
	for _, p := range proxies {
		switch {
		case !p.readable:
			return broken(ExitUsage, name, "write HTTPS_PROXY like http://proxy.example.com:3128", "a proxy variable is not an address (not shown, because it may hold a password)")
		case p.proxy != "":
			used = append(used, p.host+" is reached through "+p.proxy)
		}
	}
	if len(used) == 0 {
		return fine(name, "no proxy is in use")
	}
	return fine(name, "%s", strings.Join(used, "; "))
}

// checkAPI judges the connection to the API, and its answer.
func checkAPI(f *facts) []check {
	if f.api == nil {
		return skipAll("configuration failed", "api-dns", "api-connect", "api-tls", "api-answer", "call-logs", "clock", "time-zone")
	}
	h := hostAt("api", f.apiURL, "--api-url", f.proxies)
	checks, free := h.way(f.api.Steps)
	if !f.api.Answered {
		checks = append(checks, h.unanswered("api-answer", free, f.api.Steps))
		return append(checks, skipAll("the API does not answer", "call-logs", "clock", "time-zone")...)
	}
	checks = append(checks, checkCalls(f)...)
	if f.api.Filtered != nil {
		checks = append(checks, checkFilter(f.api.Filtered))
	}
	return append(checks, checkClock(f.api), checkZone(f))
}

func skipAll(because string, names ...string) (checks []check) {
	for _, name := range names {
		checks = append(checks, skip(name, because))
	}
	return checks
}

// checkCalls judges the answer to the request for calls: api-answer and call-logs.
func checkCalls(f *facts) []check {
	const answer, right = "api-answer", "call-logs"
	err := f.api.Err
	told, isTold := errors.AsType[*fetcher.APIError](err)
	later, isLater := errors.AsType[*fetcher.RetryLaterError](err)
	switch {
	case err == nil && f.api.Calls == 0:
		return []check{fine(answer, "the API answers"), warning(right, "check that the token belongs to the account that makes the calls",
			"the token may search call logs, but they have no call of the last %d days", f.api.Days)}
	case err == nil:
		return []check{fine(answer, "the API answers"), fine(right, "the token may search call logs")}
	case isTold && told.Refused() && f.tokenErr != nil:
		return []check{fine(answer, "the API answers"), skip(right, "token failed")}
	case isTold && told.Refused():
		return []check{fine(answer, "the API answers"), broken(ExitUsage, right, tryToken(f.tokenFrom), "%s", refusedTokenSaid(told))}
	case isTold && (told.Status == 429 || told.Status == 503 || told.Code == 429 || told.Code == 503):
		return []check{
			warning(answer, "run doctor again when no other program uses the account's API", "the API asks to slow down: %s", plainly(err)),
			skip(right, "the API did not answer the request"),
		}
	case isLater:
		return []check{broken(ExitFailed, answer, "run doctor again after that time", "%v", later), skip(right, "the API did not answer the request")}
	}
	return []check{
		broken(ExitFailed, answer, "check --api-url, and run doctor again later; if the answer stays the same, ask the vendor about it", "%s", plainly(err)),
		skip(right, "the API did not answer the request"),
	}
}

// plainly returns an error's text without the part that is common to all errors of its kind.
func plainly(err error) string {
	text := withoutRepeats(err.Error())
	return strings.TrimPrefix(strings.TrimPrefix(text, fetcher.ErrUnreachable.Error()+": "), "list calls: ")
}

func checkFilter(err error) check {
	const name = "filters"
	if told, ok := errors.AsType[*fetcher.APIError](err); ok && told.Unknown() != "" {
		return broken(ExitUsage, name, "check --"+told.Unknown()+"-id", "%s", plainly(err))
	}
	return broken(ExitFailed, name, "run doctor again later", "%s", plainly(err))
}

func checkClock(api *doctor.API) check {
	const name, try = "clock", "set this machine's clock by NTP"
	skew := api.Skew.Abs().Round(time.Second)
	direction := "ahead of"
	if api.Skew < 0 {
		direction = "behind"
	}
	switch {
	case !api.SkewKnown:
		return skip(name, "the API's answer had no time")
	case api.Skew.Abs() > archiver.ClockStops:
		return broken(ExitFailed, name, try, "this machine's clock is %s %s the API's, and archive closes no day when the difference exceeds %s", durationWritten(skew), direction, durationWritten(archiver.ClockStops))
	case api.Skew.Abs() > archiver.ClockWarns:
		return warning(name, try, "this machine's clock is %s %s the API's", durationWritten(skew), direction)
	}
	return fine(name, "this machine's clock and the API's are %s apart", durationWritten(skew))
}

// checkZone judges the zone by the times in file names. An existing archive cannot change its zone,
// so then it is only a warning that does not stop the nightly runs.
func checkZone(f *facts) check {
	const name = "time-zone"
	api := f.api
	archived := f.archive() != nil && f.archive().Err == nil && f.archive().TimeZone == f.zone
	do := "check --time-zone"
	if api.ZoneFits != "" {
		do = "give --time-zone " + api.ZoneFits + ", which agrees with the file names"
	}
	gap := durationWritten(api.ZoneGap.Abs().Round(time.Minute))
	switch {
	case f.zoneUnknown:
		return skip(name, "configuration failed")
	case api.Err != nil:
		return skip(name, "no calls could be listed")
	case !api.GapKnown:
		return skip(name, "too few recordings have a time in their names")
	case api.ZoneGap.Abs() <= archiver.ZoneMaxGap:
		return fine(name, "the times in file names agree with %s", f.zone)
	case archived:
		return warning(name, do+"; the archive was made with the present zone, so another zone needs another --dest", "the times in file names and the calls' dates are %s apart in %s", gap, f.zone)
	}
	return broken(ExitUsage, name, do, "the times in file names and the calls' dates are %s apart in %s", gap, f.zone)
}

// archive returns the archive in the destination, nil if unknown.
func (f *facts) archive() *doctor.Archive {
	switch {
	case f.folder != nil:
		return &f.folder.Archive
	case f.bucket != nil && f.bucket.Tried != nil:
		return &f.bucket.Archive
	}
	return nil
}

func checkMedia(f *facts) []check {
	names := []string{"media-dns", "media-connect", "media-tls", "media-audio"}
	switch m := f.media; {
	case f.api == nil || m == nil:
		return skipAll("configuration failed", names...)
	case m.Asked == 0 && f.api.Err != nil:
		return skipAll("no calls could be listed", names...)
	case m.Asked == 0:
		return skipAll("no recording was listed", names...)
	case m.Target == "", errors.Is(m.Err, fetcher.ErrNotAllowed):
		return append(skipAll("media-audio failed", names[:3]...), checkLink(m))
	default:
		// LinkOrigin omits https.
		h := hostAt("media", withScheme(m.Origin), "the network", f.proxies)
		checks, free := h.way(m.Steps)
		if !m.Answered {
			return append(checks, h.unanswered(names[3], free, m.Steps))
		}
		return append(checks, checkLink(m))
	}
}

// withScheme adds the scheme to a host without one.
func withScheme(origin string) string {
	if origin == "" || strings.Contains(origin, "://") {
		return origin
	}
	return "https://" + origin
}

// checkLink judges the request for a recording's link. It names only the host.
func checkLink(m *doctor.Media) check {
	const name = "media-audio"
	host := m.Origin
	refused, isRefused := errors.AsType[*fetcher.RefusedError](m.Err)
	switch {
	case errors.Is(m.Err, fetcher.ErrBadLink):
		return broken(ExitFailed, name, "ask the vendor about the links of this account", "a link is not a valid URL")
	case errors.Is(m.Err, fetcher.ErrRedirected):
		return broken(ExitUsage, name, "play one recording in the vendor's web page to see its host, and add that host with --allow-host; the flag replaces the default, so give --allow-host '*.convoso.com' too", "%s redirects to a host that is not allowed", host)
	case errors.Is(m.Err, fetcher.ErrNotAllowed) && m.Target == "":
		return broken(ExitUsage, name, "if the host is the vendor's, add --allow-host "+host+"; the flag replaces the default, so give --allow-host '*.convoso.com' too", "recordings are on %s, which is not allowed", host)
	case errors.Is(m.Err, fetcher.ErrNotAllowed):
		return broken(ExitUsage, name, "if this is intended, give its complete origin with --allow-host, like http://127.0.0.1:9000", "%s is in a private network", host)
	case isRefused:
		return warning(name, "run doctor again when no other program downloads", "%s asks to slow down (status %d)", host, refused.Status)
	case m.Err != nil:
		return broken(ExitFailed, name, "run doctor again later", "the download from %s was cut off: %s", host, plainly(m.Err))
	case m.Audio:
		return fine(name, "the first bytes of a recording on %s are audio", host)
	}
	return warning(name, "play one of yesterday's recordings in the vendor's web page, and run doctor again later",
		"%s answered for %d recordings, the last time with status %d and no audio", host, m.Asked, m.Status)
}

// minFree is the free space on disk below which doctor warns, and minNight that below which a night
// cannot be archived. It also warns if the space is below this many days like the newest ones.
const (
	minFree   = 1 << 30
	minNight  = 16 << 20
	spareDays = 14
)

func checkDisk(f *facts) []check {
	const name = "destination"
	d := f.folder
	var checks []check
	failed := ""
	if d.Err != nil {
		failed = name
	}
	switch {
	case f.guard != nil:
		checks = append(checks, brokenBy(ExitUsage, name, f.guard, ""))
	case d.Err != nil:
		code := ExitFailed
		if errors.Is(d.Err, store.ErrLinkedFolder) || errors.Is(d.Err, syscall.ENOTDIR) {
			code = ExitUsage
		}
		checks = append(checks, brokenBy(code, name, d.Err, "check --dest"))
	default:
		checks = append(checks, fine(name, "%s", writable(d.State)))
	}
	checks = append(checks, checkArchive(f, &d.Archive, failed))
	switch {
	case d.Err != nil:
		checks = append(checks, skip("lock", "destination failed"))
	case d.LockErr != nil:
		checks = append(checks, broken(ExitFailed, "lock", "", "%v", d.LockErr))
	case d.Holder != "":
		checks = append(checks, fine("lock", "%s is in progress", d.Holder))
	default:
		checks = append(checks, fine("lock", "files can be locked, and no run is in progress"))
	}
	return append(checks, checkRoom(&d.State, d.Archive.DayBytes))
}

func checkRoom(s *doctor.State, dayBytes int64) check {
	const name, try = "free-space", "free some space, or choose another --dest"
	free := bytesText(s.Free)
	switch {
	case s.Nearest == "" || s.FreeErr != nil:
		return skip(name, "the system does not report it")
	case s.Free < minNight:
		return broken(ExitFailed, name, try, "%s is free", free)
	case s.Free < spareDays*dayBytes:
		return warning(name, try, "%s is free, which is enough for %d days of %s each, like the newest days", free, s.Free/dayBytes, bytesText(dayBytes))
	case s.Free < minFree:
		return warning(name, try, "%s is free", free)
	}
	return fine(name, "%s is free", free)
}

// checkArchive judges the archive in the destination. failed is the name of a check that explains
// why it cannot be read, if any.
func checkArchive(f *facts, a *doctor.Archive, failed string) check {
	const name = "archive"
	account := ""
	if f.api != nil {
		account = f.api.Account
	}
	later, isLater := errors.AsType[*manifest.VersionError](a.Err)
	other := &archiver.OtherArchiveError{}
	switch {
	case a.Lost && f.guard != nil:
		return brokenBy(ExitUsage, name, f.guard, "")
	case errors.Is(a.Err, fs.ErrNotExist):
		return fine(name, "there is no archive yet; the first run makes it")
	case isLater:
		return broken(ExitFailed, name, "use a newer version of the program", "it was written in format version %d", later.V)
	case a.Err != nil && failed != "":
		return skip(name, failed+" failed")
	case a.Err != nil:
		return brokenBy(ExitFailed, name, a.Err, "check --dest, and run verify")
	case a.Unused:
		return fine(name, "there is an archive without any day; the next run sets its account, API address and time zone")
	case a.APIURL != f.apiURL:
		other = &archiver.OtherArchiveError{Of: archiver.OfAPI, Archive: a.APIURL, Run: f.apiURL}
	case a.TimeZone != f.zone && !f.zoneUnknown:
		other = &archiver.OtherArchiveError{Of: archiver.OfZone, Archive: a.TimeZone, Run: f.zone}
	case a.AccountID != "" && account != "" && a.AccountID != account:
		other = &archiver.OtherArchiveError{Of: archiver.OfAccount, Archive: a.AccountID, Run: account}
	}
	if other.Of != "" {
		return broken(ExitUsage, name, otherArchiveTry(other), "%v", other)
	}
	return fine(name, "archive %s was made with these settings", a.ID)
}

func checkBucket(f *facts) []check {
	b := f.bucket
	names := []string{"store-list", "store-write", "conditional-writes", "archive"}
	if b.Opened != nil {
		code := ExitUsage
		if errors.Is(b.Opened, store.ErrUnusable) {
			code = ExitFailed
		}
		return append([]check{brokenBy(code, "destination", b.Opened, "check --dest and the flags for S3 in archive --help")}, skipAll("destination failed", names...)...)
	}
	h := hostAt("store", f.endpoint, "--s3-endpoint", f.proxies)
	checks, free := h.way(b.Steps)
	if b.Tried == nil {
		checks = append(checks, h.unanswered(names[0], free, b.Steps))
		return append(checks, skipAll("the store does not answer", names[1:]...)...)
	}
	failed := ""
	if b.Err != nil {
		failed = names[0]
		checks = append(checks, brokenBy(ExitFailed, names[0], b.Err, "check --dest and --s3-endpoint"))
	} else {
		checks = append(checks, fine(names[0], "objects can be listed"))
	}
	if b.Err != nil && b.TriedErr != nil { // most likely of the same cause
		checks = append(checks, skipAll("store-list failed", names[1:3]...)...)
	} else {
		checks = append(checks, checkTrial(f, b.Tried, b.TriedErr)...)
	}
	return append(append(checks, checkLocks(f, failed)...), checkArchive(f, &b.Archive, failed))
}

// checkLocks judges whether the bucket has what the settings for locks need; without locks it has no line.
func checkLocks(f *facts, failed string) []check {
	const name = "object-lock"
	err := f.bucket.LocksErr
	if _, isUsage := errors.AsType[*usageError](err); isUsage {
		return []check{brokenBy(ExitUsage, name, err, "")}
	}
	switch {
	case err != nil && failed != "":
		return []check{skip(name, failed+" failed")}
	case err != nil:
		return []check{brokenBy(ExitFailed, name, err, "see Lock recordings in docs/retention.md")}
	case !f.locked:
		return nil
	}
	return []check{fine(name, "the bucket keeps versions and has Object Lock; archive tests with an object whether a lock holds, before it stores the first recording")}
}

// checkTrial judges the attempt to create an object, and describes it.
func checkTrial(f *facts, trial *store.Trial, err error) []check {
	const write, conditions = "store-write", "conditional-writes"
	if err != nil {
		return []check{brokenBy(ExitFailed, write, err, "check --dest and the flags for S3 in archive --help"), skip(conditions, "store-write failed")}
	}
	done := trial.Name + " was created, read and removed"
	switch {
	case trial.Left != nil:
		done = trial.Name + " was created and read, but not removed, because the credentials may not; the first run would leave it too"
	case trial.Stood:
		done = trial.Name + " of an earlier run was read, and nothing was written"
	}
	checks := []check{fine(write, "%s", done)}
	switch {
	case f.noConditions:
		return append(checks, fine(conditions, "not used because of --s3-no-conditional-writes: never start two runs at the same time"))
	case !trial.Honours:
		return append(checks, broken(ExitFailed, conditions, "use --s3-no-conditional-writes, and never start two runs for this archive at the same time",
			"the server ignores If-None-Match, so it could overwrite a recording"))
	}
	if trial.Others {
		return append(checks, fine(conditions, "If-None-Match is honoured; another doctor or run is using this archive"))
	}
	return append(checks, fine(conditions, "If-None-Match is honoured"))
}
