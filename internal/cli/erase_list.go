// Lists all erasures and expiries of an archive for erase list.

package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"convoso-archiver/archiver"
	"convoso-archiver/evidence"
)

const eraseList = "list"

// eraseListResult is the output of erase list.
type eraseListResult struct {
	ExitCode int                `json:"exit_code"`
	Error    string             `json:"error"`
	Erasures []evidence.Erasure `json:"erasures"` // the oldest first
	Expiries []evidence.Expiry  `json:"expiries"` // likewise
}

// unfinished counts erasures and expiries that were stopped.
func (r *eraseListResult) unfinished() (erasures, expiries int) {
	for _, e := range r.Erasures {
		if e.State == evidence.ErasureUnfinished {
			erasures++
		}
	}
	ids := map[string]bool{}
	for _, e := range r.Expiries {
		if e.State == evidence.ErasureUnfinished {
			ids[e.ID] = true
		}
	}
	return erasures, len(ids)
}

// listErasures lists all erasures and expiries. The exit code is 3 if one is unfinished.
func (p *process) listErasures(ctx context.Context, in input) outcome {
	read, talk := p.settings(ctx, withArchiveKeys(eraseSettings()), in)
	job := &searchJob{read: read}
	job.folder, job.bucket = read.destination(p.env)
	read.keepIfAny(read.checkEraseList(in.args))
	made, err := eraseListResult{Erasures: []evidence.Erasure{}, Expiries: []evidence.Expiry{}}, read.err
	if err == nil {
		err = p.readErasures(ctx, job, talk, &made)
		err = withBucket(archiver.Location{Folder: job.folder, S3: job.bucket}, err)
	}
	erasures, expiries := made.unfinished()
	result := judge(err, context.Cause(ctx), erasures+expiries > 0)
	made.ExitCode = result.code
	if result.failed {
		made.Error = p.screen.hidden(oneLine(result.line))
	}
	if talk.json || err == nil && !(talk.quiet && result.code == ExitDone) {
		result.unwritten = made.write(p.stdout, talk.json)
	}
	return result
}

// checkEraseList refuses further arguments, and flags that select or erase calls.
func (r *reader) checkEraseList(args []string) error {
	if !slices.Equal(args, []string{eraseList}) {
		return misuse("give terms as flags, or write: erase list", "unexpected argument")
	}
	for _, s := range eraseSettings() {
		if r.values[s.name].byFlag() && (s.group == groupErase || s.group == groupErased) {
			return misuse("leave it out", "--%s is not for erase list, which shows all erasures", s.name)
		}
	}
	return nil
}

func (p *process) readErasures(ctx context.Context, job *searchJob, talk output, made *eraseListResult) (err error) {
	archive, err := job.openFor(ctx, archiver.Read, newLogger(p.screen, talk, p.env))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, archive.Close(ctx)) }()
	if made.Erasures, err = evidence.Erasures(ctx, archive.opened.Ledger); err != nil {
		return err
	}
	made.Expiries, err = evidence.Expiries(ctx, archive.opened.Ledger)
	return err
}

// write writes the result: one JSON object, or lines for a person.
func (r eraseListResult) write(w io.Writer, asJSON bool) error {
	if asJSON {
		return json.NewEncoder(w).Encode(r)
	}
	if len(r.Erasures)+len(r.Expiries) == 0 {
		return writeText(w, "nothing was erased, and nothing has expired\n")
	}
	var b strings.Builder
	table := tabwriter.NewWriter(&b, 0, 0, 3, ' ', 0) // writes to a strings.Builder never fail
	if len(r.Erasures) > 0 {
		_, _ = fmt.Fprint(table, "ERASURE\tTIME\tSTATE\tCALLS\tRECORDINGS\tREASON\n")
	}
	for _, e := range r.Erasures {
		_, _ = fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%s\t%s\n", e.ID, e.Time.UTC().Format(time.DateTime+"Z"), e.State,
			thousands(int64(e.Calls)), thousands(int64(e.Recordings)), e.Reason)
	}
	_ = table.Flush()
	if len(r.Erasures) > 0 && len(r.Expiries) > 0 {
		b.WriteString("\n")
	}
	if len(r.Expiries) > 0 {
		_, _ = fmt.Fprint(table, "EXPIRY\tDAY\tSTATE\tRECORDINGS\tOUTCOME\tCLASS\n")
	}
	for _, e := range r.Expiries {
		_, _ = fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%s\t%s\n", e.ID, e.Day, e.State, thousands(int64(e.Recordings)), e.Outcome, e.Class)
	}
	_ = table.Flush()
	var left []string
	erasures, expiries := r.unfinished()
	if erasures > 0 {
		left = append(left, plural(erasures, "erasure"))
	}
	if expiries == 1 {
		left = append(left, "1 expiry")
	} else if expiries > 1 {
		left = append(left, thousands(int64(expiries))+" expiries")
	}
	if len(left) > 0 {
		fmt.Fprintf(&b, "\nnext\n  erase --resume finishes %s\n", strings.Join(left, " and "))
	}
	return writeText(w, trimLines(b.String()))
}
