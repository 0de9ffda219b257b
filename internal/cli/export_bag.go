// Runs export --format bagit.

package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"convoso-archiver/archiver/store"
	"convoso-archiver/search"
	"convoso-archiver/search/bag"
	"convoso-archiver/search/copier"
)

// bagFormat is the format of export that is not a table.
const bagFormat = "bagit"

// refuseForBag refuses settings without effect on a bag.
func (r *reader) refuseForBag(j *exportJob) {
	if r.values["to"].items != nil && j.to == "" {
		r.fail(r.values["to"].origin, "give a folder of this machine", "a bag goes into a folder")
	}
}

// bagResult is the output of export for a bag.
type bagResult struct {
	ExitCode int    `json:"exit_code"`
	Error    string `json:"error"`
	Archive  string `json:"archive"`
	To       string `json:"to"`
	Format   string `json:"format"`
	bag.Summary
	NotFound   []string `json:"ids_not_found"` // of --ids-from
	DaysUnread int      `json:"days_unread"`   // days without all of their calls in the bag
	Seconds    float64  `json:"seconds"`

	notFound string // in words
}

// bag writes one bag.
func (p *process) bag(ctx context.Context, job *exportJob, talk output) outcome {
	began := time.Now()
	made := bagResult{To: job.to, Format: bagFormat, NotFound: []string{}}
	f := &found{}
	done := p.announceStop(ctx, "export", talk, "the bag is not written")
	err := p.runBag(ctx, job, talk, f, &made)
	done()
	nothing := errors.Is(err, bag.ErrNothing)
	if nothing {
		err = nil
	}
	result := withDamage(judge(err, context.Cause(ctx), nothing || f.incomplete || made.LeftOut > made.Damaged), f.damaged || made.Damaged > 0)
	if nothing && result.line == "" {
		result.line = bag.ErrNothing.Error()
	}
	made.DaysUnread, made.ExitCode, made.Seconds = f.days, result.code, time.Since(began).Round(time.Millisecond).Seconds()
	made.Error = p.screen.hidden(oneLine(result.line))
	if talk.json || err == nil && !nothing && !(talk.quiet && result.code == ExitDone) {
		result.unwritten = made.write(p.stdout, talk.json)
	}
	return result
}

func (p *process) runBag(ctx context.Context, job *exportJob, talk output, f *found, made *bagResult) (err error) {
	boundHeap(p.env)
	ids, err := p.readIDs(ctx, job.ids, &job.query)
	if err != nil {
		return err
	}
	archive, err := job.open(ctx, newLogger(p.screen, talk, p.env))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, archive.Close(ctx)) }()
	tell := p.teller("export", talk)
	if err := job.readCase(ctx, archive, tell); err != nil {
		return err
	}
	left := 0
	b := &bag.Bag{
		Dir: job.to, Archive: archive.Archive, Ledger: archive.opened.Ledger, Source: archive.opened.Store, Query: job.query,
		ID: archive.about.ID, Agent: thisBuild().userAgent(), Now: time.Now(), Workers: searchConnections,
		Passing: func(err error) bool { return store.IsRetriable(err) || errors.Is(err, store.ErrUnusable) },
		Tell: func(failed copier.Failure) {
			if left++; left <= maxTold {
				tell.leftOut(failed)
			}
		},
		Skip: func(err error) error { return f.note(err, tell) },
		See: func(c *search.Call) {
			if ids != nil {
				ids.see(c)
			}
		},
	}
	known, err := knownDaysOf(ctx, archive, job.query)
	if err != nil {
		return err
	}
	made.Archive = archive.about.ID
	made.Summary, err = b.Write(ctx)
	if errors.Is(err, bag.ErrTaken) {
		return misuse("give a new folder", "--to: %v", err)
	}
	if err != nil {
		return err
	}
	if ids != nil && ids.tell(tell) {
		f.incomplete = true
		made.NotFound = ids.absent()
		made.notFound = ids.absentText(made.NotFound)
	}
	return job.tellUnlisted(ctx, tell, archive, known)
}

// write writes the result: one JSON object, or lines for a person.
func (m bagResult) write(w io.Writer, asJSON bool) error {
	if asJSON {
		return json.NewEncoder(w).Encode(m)
	}
	var b strings.Builder
	fmt.Fprintf(&b, "bag written: %s, %s, in %s\n", plural(m.Calls, "call"), audioText(m.Recordings, m.Stored), m.To)
	if m.LeftOut > 0 {
		fmt.Fprintf(&b, "LEFT OUT     audio of %s: missing, damaged, or not readable\n", plural(m.LeftOut, "recording"))
	}
	if silent := m.Silent(); silent != "" {
		fmt.Fprintf(&b, "no audio     %s\n", silent)
	}
	if m.notFound != "" {
		fmt.Fprintf(&b, "NOT FOUND    %s\n", m.notFound)
	}
	if m.DaysUnread > 0 {
		fmt.Fprintf(&b, "NOT READ     %s: some of their calls are missing from the bag\n", plural(m.DaysUnread, "day"))
	}
	if m.Seals == 0 {
		b.WriteString("seals        none: nothing in the bag proves that the archive was not changed; run seal first\n")
	} else {
		fmt.Fprintf(&b, "seals        %s\n", thousands(int64(m.Seals)))
		fmt.Fprintf(&b, "sealed       %s on %s\n", plural(m.SealedCalls, "call"), plural(m.SealedDays, "day"))
	}
	if m.Seals > 0 && len(m.UnsealedDays) > 0 {
		fmt.Fprintf(&b, "NOT SEALED   %s on %s: %s; once these days are closed, run seal and make the bag again in a new folder\n",
			plural(m.UnsealedCalls, "call"), plural(len(m.UnsealedDays), "day"), strings.Join(m.UnsealedSpans(), ", "))
	}
	fmt.Fprintf(&b, "files        %s, %s\n", thousands(int64(m.Files)), bytesText(m.Bytes))
	fmt.Fprintf(&b, "checksum     %s of tagmanifest-sha256.txt\n", m.Checksum)
	fmt.Fprintf(&b, "\nnext\n  check the files: cd %s && sha256sum --strict --quiet -c manifest-sha256.txt && sha256sum --strict --quiet -c tagmanifest-sha256.txt\n", shellWord(m.To))
	if m.Seals > 0 {
		b.WriteString("  check the seals: README.txt in the bag has the commands of ssh-keygen; they need your public key, which is not in the bag\n")
	}
	b.WriteString("  keep the checksum, and send it to the other side separately from the bag: only it shows that nothing was removed\n")
	return writeText(w, b.String())
}
