// The command audit: checks seals and prints the history of a recording.

package cli

import (
	"context"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"convoso-archiver/archiver"
	"convoso-archiver/archiver/store"
	"convoso-archiver/evidence"
	"convoso-archiver/manifest"
)

const groupAudit = "WHAT TO AUDIT"

func auditSettings() []setting {
	workers, _ := named(archiveSettings(), "workers")
	workers.group, workers.usage = groupAudit, "maximum recordings read in parallel"
	settings := []setting{
		{name: "seals", kind: toggle, group: groupAudit, usage: "check the seals, the lines they sign, and every sealed recording"},
		{name: "allowed-signers", group: groupAudit, placeholder: "FILE", usage: "file of the public keys that you trust, in the format ALLOWED SIGNERS of ssh-keygen; keep it outside of the archive"},
		{name: "head", group: groupAudit, placeholder: "HEAD", usage: "head of the newest seal, as printed by seal; without it audit cannot detect that the newest seals were removed"},
		{name: "tsa-roots", group: groupAudit, placeholder: "FILE", usage: "root certificates of timestamping authorities, in PEM; without them audit checks the timestamps, but not who issued them"},
		{name: "no-audio", kind: toggle, group: groupAudit, usage: "do not read the recordings: check only seals and lines"},
		{name: "access-log", group: groupAudit, placeholder: "PLACE", usage: "print the access log of serve, for everything or for one id of a recording or call; a folder or s3://bucket/prefix"},
		{name: "start-time", group: groupAudit, placeholder: "TIME", usage: "first day of the access log, in UTC (default: the first)"},
		{name: "end-time", group: groupAudit, placeholder: "TIME", usage: "last day of the access log (default: today)"},
		{name: "last", group: groupAudit, placeholder: "DURATION", usage: "instead of --start-time and --end-time: 7d means the last seven days and today"},
		workers,
	}
	settings = append(settings, sealedArchiveSettings()...)
	return append(settings, outputSettings()...)
}

func auditCommand() command {
	return command{
		name:      "audit",
		usage:     "check the seals, or show the history of a recording or call, or the access log",
		arguments: "[ID]",
		about: `With --seals it checks the archive from the first seal to the last byte: no seal
is missing, changed or signed with another key; no sealed line was changed,
removed, added or reordered; every sealed recording still has the same bytes. It
names every difference.

With --access-log it shows who opened which calls, and who played and downloaded
which recordings. A line "waveform" says only that the page read the audio to draw
a waveform. With an id too, it shows only the entries of that recording or call.

With only the id of a recording it shows the recording's history: when it was listed,
downloaded and stored, its checksum, when its day was closed, and the seal that
covers it. With only the id of a call it shows when the call was listed, held, sealed
and erased, and its recordings.

It needs no token, takes no lock and writes nothing.`,
		examples: []example{
			{"make the file of trusted public keys",
				`printf 'archive namespaces="` + evidence.Namespace + `" %s\n' "$(cat seal.pub)" > allowed_signers`},
			{"prove that nothing was changed",
				"convoso-archiver audit --seals --dest /archive --allowed-signers allowed_signers --head 42:9f86d0…"},
			{"who played one recording, and when", "convoso-archiver audit 705270011 --access-log /var/log/calls"},
			{"the history of one recording, or of one call", "convoso-archiver audit 705270011 --dest /archive"},
		},
		settings:    auditSettings(),
		leads:       1,
		environment: true,
		exitCodes:   true,
		works:       true,
		run:         runAudit,
	}
}

// auditJob is everything that an audit needs to know, read and checked.
type auditJob struct {
	folder    string
	bucket    store.S3Options
	recording string // id of a recording or call; "" for the seals
	allowed   []evidence.AllowedSigner
	head      *evidence.Head
	tsaRoots  *x509.CertPool // nil for any
	noAudio   bool
	workers   int

	log      accessPlace // unset: no access log was requested
	from, to string      // days of it
}

func runAudit(ctx context.Context, p *process, in input) outcome {
	read, talk := p.settings(ctx, withArchiveKeys(auditSettings()), in)
	job := read.auditJob(ctx, in.args, p.env)
	if read.err != nil {
		return p.refuse(judge(read.err, nil, false), talk.json)
	}
	if job.log.isSet() {
		return p.access(ctx, job, talk)
	}
	if job.recording != "" {
		return p.history(ctx, job, talk)
	}
	return p.audit(ctx, job, talk)
}

func (r *reader) auditJob(ctx context.Context, args []string, env environment) *auditJob {
	j := &auditJob{noAudio: r.toggle("no-audio"), workers: r.whole("workers", 1, maxWorkers)}
	seals := r.toggle("seals")
	if r.values["access-log"].byFlag() { // the value for serve in the file does not count
		j.log = r.accessPlace(env)
	}
	if j.log.isSet() && !seals && len(args) <= 1 {
		j.from, j.to = r.accessSpan(time.Now())
		if len(args) == 1 {
			j.recording = args[0]
		}
		return j
	}
	j.folder, j.bucket = r.destination(env)
	r.keepIfAny(r.noSpan(seals))
	switch {
	case j.log.isSet() && seals:
		r.keep(misuse("", "use either --seals or --access-log, not both"))
	case len(args) > 1:
		r.keep(misuse("give the id of one recording or call", "there is more than one argument"))
	case len(args) == 1 && seals:
		r.keep(misuse("", "use either --seals or an id, not both"))
	case len(args) == 1:
		if j.recording = args[0]; r.isSet("allowed-signers") {
			j.allowed = r.allowedSigners(ctx)
		}
		return j
	case !seals:
		r.keep(misuse("give --seals, --access-log or the id of a recording or call", "nothing to audit is given"))
		return j
	}
	if !r.isSet("allowed-signers") {
		r.keep(misuse("give --allowed-signers with a file of the public keys that you trust; see audit --help", "no allowed signers are given, so anybody may have signed the seals"))
		return j
	}
	j.allowed = r.allowedSigners(ctx)
	if r.isSet("tsa-roots") {
		j.tsaRoots = r.tsaRoots(ctx)
	}
	if r.isSet("head") {
		value, origin := r.raw("head")
		head, err := evidence.ParseHead(value)
		if err != nil {
			r.fail(origin, "give the head that seal printed, like 42:9f86d0…", "%v", err)
		}
		j.head = &head
	}
	return j
}

// noSpan refuses a span by flag without --access-log. A span in the configuration file is for archive, so it is
// ignored.
func (r *reader) noSpan(seals bool) error {
	for _, name := range []string{"start-time", "end-time", "last"} {
		switch {
		case !r.values[name].byFlag():
		case seals:
			return misuse("leave it out", "--%s is for --access-log; --seals always checks all seals, because each seal names the one before it", name)
		default:
			return misuse("leave it out", "--%s is for --access-log; the history of an id always has all days", name)
		}
	}
	return nil
}

func (r *reader) allowedSigners(ctx context.Context) []evidence.AllowedSigner {
	path, origin := r.raw("allowed-signers")
	text, err := readSmallFile(ctx, path, maxConfigBytes)
	if err != nil {
		r.fail(origin, "check the path", "read the allowed signers: %v", err)
		return nil
	}
	signers, err := evidence.ParseAllowedSigners(text)
	if err != nil {
		r.fail(origin, `write lines like: archive namespaces="`+evidence.Namespace+`" ssh-ed25519 AAAA…`, "%v", err)
	}
	return signers
}

func (r *reader) tsaRoots(ctx context.Context) *x509.CertPool {
	path, origin := r.raw("tsa-roots")
	text, err := readSmallFile(ctx, path, maxConfigBytes)
	if err != nil {
		r.fail(origin, "check the path", "read the certificates: %v", err)
		return nil
	}
	roots, err := evidence.ParseRoots(text)
	if err != nil {
		r.fail(origin, "give the root certificate of the authority, as it publishes it", "%v", err)
	}
	return roots
}

// auditResult is the output of audit --seals.
type auditResult struct {
	ExitCode int     `json:"exit_code"`
	Error    string  `json:"error"`
	Answer   string  `json:"answer"`
	Seconds  float64 `json:"seconds"`
	evidence.Audited

	noAudio bool
}

func (p *process) audit(ctx context.Context, job *auditJob, talk output) outcome {
	began := time.Now()
	made := auditResult{noAudio: job.noAudio}
	audited, err := p.runAuditing(ctx, job, talk)
	if made.Audited = audited; made.Findings == nil { // so that readers of the JSON can iterate over it
		made.Findings, made.Signers = []evidence.Finding{}, []string{}
	}
	unread := 0
	for _, f := range made.Findings {
		if f.Kind == evidence.AudioUnreadable {
			unread++
		}
	}
	err = withBucket(archiver.Location{Folder: job.folder, S3: job.bucket}, err)
	result := withDamage(judge(err, context.Cause(ctx), unread > 0 || err == nil && made.Seals == 0), made.Found > unread)
	made.ExitCode, made.Seconds = result.code, time.Since(began).Seconds()
	if result.failed {
		made.Error = p.screen.hidden(oneLine(result.line))
	}
	made.Answer = made.answer(unread)
	if talk.json || err == nil && !(talk.quiet && result.code == ExitDone) {
		result.unwritten = made.write(p.stdout, talk.json)
	}
	return result
}

func (p *process) runAuditing(ctx context.Context, job *auditJob, talk output) (audited evidence.Audited, err error) {
	bucket := job.bucket
	bucket.Workers = job.workers
	opened, err := openArchive(ctx, archiver.Location{Folder: job.folder, S3: bucket}, archiver.Read, "", newLogger(p.screen, talk, p.env))
	if err != nil {
		return audited, err
	}
	defer func() { err = errors.Join(err, closeOpened(ctx, opened)) }()
	audit := &evidence.Audit{Ledger: opened.Ledger, Allowed: job.allowed, Head: job.head, TSARoots: job.tsaRoots, Workers: job.workers, Now: time.Now()}
	if !job.noAudio {
		audit.Store = opened.Store
	}
	audited, err = audit.Run(ctx)
	return audited, withAbsent(ctx, opened.Ledger, err)
}

// answer returns the answer in one line.
func (a auditResult) answer(unread int) string {
	where := fmt.Sprintf("%s, %s, %s, %s", plural(a.Seals, "seal"), plural(a.Days, "day"), plural(int(a.Lines), "line"), plural(a.Recordings, "recording"))
	switch {
	case a.Error != "":
		return "not audited: the audit failed"
	case a.Found > unread && a.untrusted() == a.Found && a.Days == 0:
		return fmt.Sprintf("NOT TRUSTED: the signature of %s is not by a key of --allowed-signers, so nothing was compared: check that file", plural(a.untrusted(), "seal"))
	case a.Found > unread && a.untrusted() == a.Found:
		return fmt.Sprintf("NOT TRUSTED: the signature of %s is not by a key of --allowed-signers; nothing that the other seals sign has changed: %s", plural(a.untrusted(), "seal"), where)
	case a.Found > unread:
		return "CHANGED: " + plural(a.Found-unread, "finding") + "; " + where
	case a.Seals == 0:
		return "not sealed: there is no seal; run seal"
	case unread > 0:
		return plural(unread, "recording") + " could not be read; the rest is unchanged since it was sealed: " + where
	case a.noAudio:
		return "unchanged since sealing: " + where + "; the recordings were not read"
	}
	return fmt.Sprintf("unchanged since sealing: %s, every byte of %s read", where, plural(a.AudioRead, "recording"))
}

// untrusted counts the seals that no trusted key signed.
func (a auditResult) untrusted() (n int) {
	for _, f := range a.Findings {
		if f.Kind == evidence.UnknownSigner {
			n++
		}
	}
	return n
}

// write writes the result: one JSON object, or lines for a person.
func (a auditResult) write(w io.Writer, asJSON bool) error {
	if asJSON {
		return json.NewEncoder(w).Encode(a)
	}
	var b strings.Builder
	b.WriteString(a.Answer + "\n")
	if len(a.Findings) > 0 {
		b.WriteString("\n")
		table := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0) // writes to a strings.Builder never fail
		for _, f := range a.Findings[:min(len(a.Findings), maxFindings)] {
			_, _ = fmt.Fprintf(table, "  %s\t%s\t%s\n", f.Kind, findingPlace(f), f.Detail)
		}
		_ = table.Flush()
		if more := a.Found - maxFindings; more > 0 {
			fmt.Fprintf(&b, "  and %s more\n", thousands(int64(more)))
		}
	}
	b.WriteString("\n")
	if a.Head != "" {
		fmt.Fprintf(&b, "head         %s\n", a.Head)
	}
	if len(a.Signers) > 0 {
		fmt.Fprintf(&b, "signed by    %s\n", strings.Join(a.Signers, "; "))
	}
	if a.StampTime != nil {
		fmt.Fprintf(&b, "timestamps   %s, the newest of %s", plural(a.Stamped, "seal"), a.StampTime.UTC().Format(time.DateTime+"Z"))
		if !a.TSAChecked {
			b.WriteString("; their issuer was not checked: give --tsa-roots")
		}
		b.WriteString("\n")
	}
	const sealedDays = "of sealed days; report counts those of all days" // other days are not read
	if a.Erased > 0 {
		fmt.Fprintf(&b, "erased       %s %s\n", plural(a.Erased, "recording"), sealedDays)
	}
	if a.Expired > 0 {
		fmt.Fprintf(&b, "expired      %s %s\n", plural(a.Expired, "recording"), sealedDays)
	}
	if a.Absent > 0 {
		fmt.Fprintf(&b, "expired      %s not in the store, and their retention has ended: a lifecycle rule may have removed them.\n"+
			"             Run erase --expired --yes to note it, and then seal\n", plural(a.Absent, "recording"))
	}
	if a.Unsure > 0 {
		fmt.Fprintf(&b, "NOT COMPARED audio of %s: their lines are in files that are not as they were sealed; restore the files and audit again\n", plural(a.Unsure, "recording"))
	}
	if a.Reclosed > 0 {
		fmt.Fprintf(&b, "not sealed   %s closed again since the last seal: run seal\n", plural(a.Reclosed, "day"))
	}
	if a.Unclosed > 0 {
		fmt.Fprintf(&b, "not closed   %s written after the day was closed: run archive --relist over these days, then seal\n", plural(a.Unclosed, "file"))
	}
	if !a.HeadGiven && a.Seals > 0 {
		b.WriteString("no --head    audit could not check whether the newest seals were removed\n")
	}
	if next := nextAfterAudit(a.Findings); len(next) > 0 {
		b.WriteString("\nnext\n  " + strings.Join(next, "\n  ") + "\n")
	}
	return writeText(w, trimLines(b.String()))
}

// findingPlace says where a finding is.
func findingPlace(f evidence.Finding) string {
	var parts []string
	if f.File != "" {
		parts = append(parts, f.File)
	} else if f.Day != "" {
		parts = append(parts, f.Day)
	}
	if f.Line > 0 {
		parts = append(parts, fmt.Sprintf("line %d", f.Line))
	}
	if f.RecordingID != "" {
		parts = append(parts, "recording "+f.RecordingID)
	}
	return strings.Join(parts, ", ")
}

// history prints the history of one recording or call.
func (p *process) history(ctx context.Context, job *auditJob, talk output) outcome {
	made, err := p.runHistory(ctx, job, talk)
	err = withBucket(archiver.Location{Folder: job.folder, S3: job.bucket}, err)
	result := withDamage(judge(err, context.Cause(ctx), err == nil && len(made.Days) == 0), made.Broken > 0)
	if result.failed {
		return p.refuse(result, talk.json)
	}
	if talk.json {
		result.unwritten = json.NewEncoder(p.stdout).Encode(made)
		return result
	}
	result.unwritten = writeHistory(p.stdout, made)
	return result
}

func (p *process) runHistory(ctx context.Context, job *auditJob, talk output) (made evidence.History, err error) {
	opened, err := openArchive(ctx, archiver.Location{Folder: job.folder, S3: job.bucket}, archiver.Read, "", newLogger(p.screen, talk, p.env))
	if err != nil {
		return made, err
	}
	defer func() { err = errors.Join(err, closeOpened(ctx, opened)) }()
	return evidence.HistoryOf(ctx, opened.Ledger, job.recording, job.allowed)
}

func writeHistory(w io.Writer, h evidence.History) error {
	var b strings.Builder
	if len(h.Days) == 0 {
		b.WriteString("the archive has no recording and no call with this id: check the id; find --json shows ids\n")
		return writeText(w, b.String())
	}
	days := strings.Join(h.Days, ", ")
	switch {
	case h.Kind == evidence.OfRecording:
		fmt.Fprintf(&b, "recording %s of call %s, call day %s\n\n", h.RecordingID, h.CallID, days)
	case len(h.Recordings) == 0:
		fmt.Fprintf(&b, "call %s, call day %s, without recordings\n\n", h.CallID, days)
	default:
		fmt.Fprintf(&b, "call %s, call day %s, with %s: %s\n\n", h.CallID, days, plural(len(h.Recordings), "recording"), strings.Join(withOutcomes(h), ", "))
	}
	table := tabwriter.NewWriter(&b, 0, 0, 3, ' ', 0) // writes to a strings.Builder never fail
	for _, e := range h.Events {
		_, _ = fmt.Fprintf(table, "%s\t%s\t%s\n", e.Time.UTC().Format("2006-01-02 15:04:05Z"), e.What, e.Detail)
		if e.SHA256 != "" && e.Key != "" {
			_, _ = fmt.Fprintf(table, "\t\tsha256 %s, %s\n", e.SHA256, plural(int(e.Size), "byte"))
			_, _ = fmt.Fprintf(table, "\t\tstored as %s\n", e.Key)
		}
	}
	_ = table.Flush()
	fmt.Fprintf(&b, "\n%d of %s sealed", h.Sealed, plural(h.Lines, "line"))
	if h.Sealed > 0 && !h.Checked {
		b.WriteString("; the signer was not checked: give --allowed-signers")
	}
	b.WriteString("\n")
	for _, what := range h.NotSealed {
		fmt.Fprintf(&b, "%s is not sealed yet: the next seal signs it\n", what)
	}
	happened := func(o manifest.Outcome) bool {
		return slices.ContainsFunc(h.Events, func(e evidence.Event) bool { return e.What == string(o) })
	}
	switch {
	case h.Kind == evidence.OfRecording && happened(manifest.Archived) && !happened(manifest.Expired) && !happened(manifest.Erased):
		fmt.Fprintf(&b, "the audio was not read: verify --start-time %s --end-time %s reads all audio of these days, and compares it with the SHA-256\n", h.Days[0], h.Days[len(h.Days)-1])
	case len(h.Recordings) > 0:
		b.WriteString("for the history of a recording, run audit with its id\n")
	}
	return writeText(w, trimLines(b.String()))
}

// withOutcomes returns the recordings of a call, each with its outcome.
func withOutcomes(h evidence.History) []string {
	list := make([]string, 0, len(h.Recordings))
	for _, id := range h.Recordings {
		list = append(list, fmt.Sprintf("%s (%s)", id, h.Outcomes[id]))
	}
	return list
}
