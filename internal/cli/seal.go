// The command seal: signs closed days.

package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/url"
	"path"
	"slices"
	"strings"
	"time"

	"convoso-archiver/archiver"
	"convoso-archiver/archiver/store"
	"convoso-archiver/evidence"
	"convoso-archiver/manifest"
)

const groupSeal = "THE SEAL"

// sealedArchiveSettings say which archive is sealed or audited.
func sealedArchiveSettings() []setting {
	settings := []setting{
		{name: "dest", group: groupArchive, placeholder: "DEST", usage: "the archive: a folder, or s3://bucket/prefix (required)"},
		{name: "config", group: groupArchive, placeholder: "FILE", usage: "YAML file with settings; the file of archive works too"},
	}
	return append(settings, s3Settings()...)
}

func sealSettings() []setting {
	settings := []setting{
		{name: "key", group: groupSeal, placeholder: "FILE", usage: "SSH key to sign with: the private key, or the public key when ssh-agent holds the private one (required)"},
		{name: "tsa", group: groupSeal, placeholder: "URL", usage: "timestamping authority (RFC 3161) that stamps each seal without a timestamp; it receives only a checksum"},
	}
	settings = append(settings, sealedArchiveSettings()...)
	return append(settings, outputSettings()...)
}

func sealCommand() command {
	return command{
		name:  "seal",
		usage: "sign closed days, so that audit detects every later change",
		about: `Signs the days that were closed since the last seal: all their lines and their
order. Seals are stored in the folder seals/ of the archive. Each seal names the
previous seal, and ssh-keygen can check the signatures. Run seal after archive.

Keep the printed head outside of the archive: with it, audit --seals detects
that the newest seals were removed.

In a folder it takes the archive's lock. In a bucket it needs permission to
write to seals/. To days that an older version closed it first adds salts (docs/evidence.md);
for this it needs permission to write to their files and to evidence/.`,
		examples: []example{
			{"make a key once, then seal each night",
				"ssh-keygen -t ed25519 -N '' -C archive -f /etc/convoso-archiver/seal\n" +
					"convoso-archiver seal --dest /archive --key /etc/convoso-archiver/seal"},
			{"with a key that ssh-agent holds", "convoso-archiver seal --dest s3://my-bucket/calls --key ~/.ssh/seal.pub"},
			{"with a timestamp of a timestamping authority", "convoso-archiver seal --dest /archive --key seal --tsa http://timestamp.digicert.com"},
			{"save the head in another place", "convoso-archiver seal --dest /archive --key seal --json | jq -r .head >> /safe/heads"},
		},
		settings:    sealSettings(),
		environment: true,
		exitCodes:   true,
		works:       true,
		run:         runSeal,
	}
}

// sealJob holds the checked settings of seal.
type sealJob struct {
	folder string
	bucket store.S3Options
	key    string
	tsa    *evidence.TSA // nil for none
}

func runSeal(ctx context.Context, p *process, in input) outcome {
	read, talk := p.settings(ctx, withArchiveKeys(sealSettings()), in)
	job := &sealJob{key: read.text("key")}
	job.folder, job.bucket = read.destination(p.env)
	if job.key == "" {
		read.keep(misuse("give --key with an SSH key; ssh-keygen -t ed25519 -f seal makes one", "no key is given"))
	}
	job.tsa = read.tsa()
	return p.seal(ctx, job, talk, read.err)
}

func (r *reader) tsa() *evidence.TSA {
	if !r.isSet("tsa") {
		return nil
	}
	value, origin := r.raw("tsa")
	u, err := url.Parse(value)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		r.fail(origin, "write it like http://timestamp.example.com", "it is not the address of a timestamping authority")
	}
	return &evidence.TSA{URL: value}
}

// sealResult is the output of seal.
type sealResult struct {
	ExitCode int    `json:"exit_code"`
	Error    string `json:"error"`
	evidence.Sealed
}

func (p *process) seal(ctx context.Context, job *sealJob, talk output, err error) outcome {
	made := sealResult{Sealed: evidence.Sealed{Evidence: []string{}, Salted: []string{}, Changed: []string{}, Contradictions: []evidence.Contradiction{}}}
	began := false
	if err == nil {
		began, err = p.runSealing(ctx, job, talk, &made)
		err = withBucket(archiver.Location{Folder: job.folder, S3: job.bucket}, err)
	}
	result := withDamage(judge(sealMisuse(err), context.Cause(ctx), made.Unstamped > 0), len(made.Changed)+len(made.Contradictions) > 0)
	made.ExitCode = result.code
	if result.failed {
		made.Error = p.screen.hidden(oneLine(result.line))
	}
	if talk.json || began && !(talk.quiet && result.code == ExitDone) {
		result.unwritten = made.write(p.stdout, talk.json)
	}
	return result
}

// sealMisuse gives key errors the exit code of a wrong setting.
func sealMisuse(err error) error {
	if key, ok := errors.AsType[*evidence.KeyError](err); ok {
		return misuse("", "--key: %v", key)
	}
	return err
}

// runSealing opens key and archive, and seals. began reports whether there is a result to print.
func (p *process) runSealing(ctx context.Context, job *sealJob, talk output, made *sealResult) (began bool, err error) {
	text, err := readSmallFile(ctx, job.key, maxTokenBytes)
	if err != nil {
		return false, misuse("check --key", "read the key: %v", err)
	}
	signer, closeAgent, err := evidence.Signer(ctx, text, p.env["SSH_AUTH_SOCK"])
	if err != nil {
		return false, err
	}
	defer func() { err = errors.Join(err, closeAgent()) }()
	opened, err := openArchive(ctx, archiver.Location{Folder: job.folder, S3: job.bucket}, archiver.Repair, "", newLogger(p.screen, talk, p.env))
	if err != nil {
		return false, err
	}
	defer func() { err = errors.Join(err, closeOpened(ctx, opened)) }()
	sealing := &evidence.Sealing{Ledger: opened.Ledger, Signer: signer, TSA: job.tsa, Now: time.Now()}
	made.Sealed, err = sealing.Run(ctx)
	err = withAbsent(ctx, opened.Ledger, err)
	if bucket, ok := opened.Store.(*store.S3); ok && err == nil && made.Number > 0 {
		err = lockSeal(ctx, opened.Ledger, bucket, made.Number)
	}
	return err == nil, err
}

// lockSeal locks a seal if the archive locks its recordings.
func lockSeal(ctx context.Context, ledger *manifest.Ledger, bucket *store.S3, number int) error {
	locks, err := evidence.LoadLocks(ctx, ledger)
	if err != nil || locks.Settings().Mode == store.Unlocked {
		return err
	}
	locking := &evidence.Locking{Ledger: ledger, Store: bucket, Locks: locks, Now: time.Now()}
	return locking.LockSeal(ctx, number)
}

// write writes the result: one JSON object, or lines for a person.
func (s sealResult) write(w io.Writer, asJSON bool) error {
	if asJSON {
		return json.NewEncoder(w).Encode(s)
	}
	var b strings.Builder
	switch {
	case s.New:
		fmt.Fprintf(&b, "sealed: %s with %s", plural(s.Days, "day"), plural(int(s.Lines), "line"))
		if n := len(s.Evidence); n > 0 {
			fmt.Fprintf(&b, " and %s of evidence", plural(n, "file"))
		}
		fmt.Fprintf(&b, ", seal %d\n", s.Number)
	case s.Number > 0:
		fmt.Fprintf(&b, "nothing to seal: no day has been closed since seal %d of %s\n", s.Number, s.Time.UTC().Format(time.DateTime+"Z"))
	default:
		b.WriteString("nothing to seal: no day is closed\n")
	}
	if len(s.Evidence) > 0 {
		fmt.Fprintf(&b, "evidence     %s; --json names the files\n", evidenceKinds(s.Evidence))
	}
	if s.Open > 0 {
		fmt.Fprintf(&b, "open         %s; seal signs them when they are closed\n", plural(s.Open, "day"))
	}
	if len(s.Salted) > 0 {
		fmt.Fprintf(&b, "salted       %s closed by an older version: their lines got salts, and evidence/ keeps the old hashes\n", dayList(s.Salted))
	}
	if len(s.Changed) > 0 {
		fmt.Fprintf(&b, "CHANGED      %s, not sealed: their lines changed after they were closed; run verify\n", dayList(s.Changed))
	}
	for _, c := range s.Contradictions[:min(len(s.Contradictions), maxFindings)] {
		fmt.Fprintf(&b, "CHANGED      %s: %s (seal %d); the day is not sealed again\n", c.File, c.Detail, c.Seal)
	}
	if s.Stamped > 0 {
		fmt.Fprintf(&b, "stamped      %s\n", plural(s.Stamped, "seal"))
	}
	if s.Unstamped > 0 {
		fmt.Fprintf(&b, "NO TIMESTAMP %s; the next seal --tsa tries again: the authority failed: %s\n", plural(s.Unstamped, "seal"), oneLine(s.StampFailure))
	}
	if s.Head != "" {
		fmt.Fprintf(&b, "head         %s\n", s.Head)
	}
	if next := s.next(); len(next) > 0 {
		b.WriteString("\nnext\n  " + strings.Join(next, "\n  ") + "\n")
	}
	return writeText(w, b.String())
}

// evidenceKinds counts files of evidence/ by the kind in their names, like 40 expire, 2 hold.
func evidenceKinds(names []string) string {
	counts := map[string]int{}
	for _, name := range names {
		kind, _, _ := strings.Cut(path.Base(name), "-")
		counts[kind]++
	}
	var parts []string
	for _, kind := range slices.Sorted(maps.Keys(counts)) {
		parts = append(parts, thousands(int64(counts[kind]))+" "+kind)
	}
	return strings.Join(parts, ", ")
}

// next suggests next steps.
func (s sealResult) next() (steps []string) {
	if len(s.Contradictions) > 0 {
		var files []string
		for _, c := range s.Contradictions {
			files = append(files, c.File)
		}
		steps = append(steps, "restore these files from a copy, then run verify; audit --seals checks them against the seals")
		steps = append(steps, withoutCopy(files, "at the end, without a copy: run archive --relist over these days, and then seal; audit --seals reports the files as missing from then on")...)
	}
	if s.New {
		steps = append(steps, "keep the head outside of the archive, and give it to audit --seals --head")
	}
	return steps
}

// dayList lists the first days.
func dayList(days []string) string {
	const named = 5
	text := plural(len(days), "day") + ": " + strings.Join(days[:min(named, len(days))], ", ")
	if len(days) > named {
		text += ", …"
	}
	return text
}
