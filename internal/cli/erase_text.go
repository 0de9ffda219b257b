// Prints the result of erase.

package cli

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	"convoso-archiver/evidence"
)

// eraseResult is the output of erase.
type eraseResult struct {
	ExitCode int    `json:"exit_code"`
	Error    string `json:"error"`

	// Matches of this run.
	Calls      int               `json:"calls"`
	Recordings int               `json:"recordings"`
	Bytes      int64             `json:"bytes"`
	Before     int               `json:"erased_before"` // matching calls that were already erased
	Chosen     []evidence.Chosen `json:"chosen"`
	Missing    []string          `json:"missing"` // ids of --ids-from that the archive does not have
	Kept       []evidence.Kept   `json:"kept"`    // reasons why nothing was erased

	Erased     []evidence.Erased `json:"erased"`     // results, by erasure
	Unfinished []string          `json:"unfinished"` // erasures that were stopped
	Problems   []string          `json:"problems"`   // why erasures of other runs could not be finished
	Index      bool              `json:"index"`      // the user's own index was updated
	Exports    []refreshedExport `json:"exports"`
	Expired    *evidence.Expired `json:"expired,omitempty"` // set by --expired and --resume
	// Set by --expired, Stored and NextExpiry only without --yes.
	Retention  *evidence.NotedRetention `json:"retention,omitempty"`
	Unseen     []string                 `json:"unseen_campaigns,omitempty"` // campaigns of the retention that no call has
	Stored     []evidence.ExpiredClass  `json:"stored,omitzero"`            // class "" is kept for ever
	NextExpiry *evidence.NextExpiry     `json:"next_expiry,omitempty"`
	Elsewhere  []string                 `json:"elsewhere"` // places with possible copies that were not updated

	tooMany, resumed bool
	stopped          bool  // by an error, which is reported elsewhere
	unwritten        error // of the list of --csv
}

// refreshedExport is an export that was updated.
type refreshedExport struct {
	Export  string `json:"export"`
	Written int    `json:"days_written"`
	Dropped int    `json:"days_dropped"` // which the next export with the same terms writes again
}

func newEraseResult() *eraseResult {
	return &eraseResult{
		Chosen: []evidence.Chosen{}, Missing: []string{}, Kept: []evidence.Kept{}, Erased: []evidence.Erased{},
		Unfinished: []string{}, Problems: []string{}, Exports: []refreshedExport{}, Elsewhere: elsewhere(),
	}
}

// elsewhere lists places with possible copies that were not updated.
func elsewhere() []string {
	return []string{
		"backups and replicas of the archive, and snapshots of its file system",
		"copies by find --copy-to, and downloads and ZIP files of serve",
		"other archives of the same account, like one of a campaign: run erase there too",
		"exports that --export does not name",
		"search indexes of other users and machines: their next search updates them",
		"the vendor's call log: ask the vendor to delete the call too",
		"the access log of serve: it has users, ids and times, but no content of calls",
	}
}

// choose adds the matches.
func (r *eraseResult) choose(chosen []evidence.Chosen) {
	calls := map[string]bool{}
	for _, c := range chosen {
		calls[c.Call] = true
		r.Recordings += len(c.Recordings)
		for _, one := range c.Recordings {
			r.Bytes += one.Bytes
		}
	}
	r.Calls = len(calls)
	if chosen != nil {
		r.Chosen = chosen
	}
}

// write writes the result: one JSON object, or lines for a person.
func (r *eraseResult) write(w io.Writer, asJSON bool) error {
	if asJSON {
		return json.NewEncoder(w).Encode(r)
	}
	var b strings.Builder
	if len(r.Erased) > 0 {
		r.writeErased(&b)
	}
	if r.hasExpired() {
		r.writeExpired(&b)
	}
	r.writeChosen(&b)
	if len(r.Erased) == 0 { // the matches are the answer
		r.writeExports(&b)
	}
	return writeText(w, trimLines(b.String()))
}

// hasExpired reports whether there is an expiry to print.
func (r *eraseResult) hasExpired() bool {
	return r.Expired != nil && (!r.resumed || len(r.Expired.Expiries)+len(r.Expired.Unfinished) > 0)
}

func (r *eraseResult) writeErased(b *strings.Builder) {
	for _, e := range r.Erased {
		fmt.Fprintf(b, "erased: %s, %s, erasure %s\n\n", plural(e.Calls, "call"), plural(e.Recordings, "recording"), e.Erasure)
		fmt.Fprintf(b, "audio        %s removed\n", plural(e.Audio, "object"))
		if e.Quarantine > 0 {
			fmt.Fprintf(b, "quarantine   %s removed\n", plural(e.Quarantine, "file"))
		}
		if e.Aside > 0 {
			fmt.Fprintf(b, "damaged      %s removed: copies of damaged files\n", plural(e.Aside, "file"))
		}
		fmt.Fprintf(b, "lines        %s reduced to ids and hashes, in %s\n", thousands(int64(e.Stubs)), plural(len(e.Days), "day"))
	}
	if r.Index {
		b.WriteString("index        up to date\n")
	}
	r.writeExports(b)
	b.WriteString("\nnot reached\n")
	for _, where := range r.Elsewhere {
		fmt.Fprintf(b, "  %s\n", where)
	}
	b.WriteString("\nnext\n  if you use seals, run seal now: audit --seals reports the erased lines until the erasure is sealed\n")
}

// writeExports prints the changes to exports.
func (r *eraseResult) writeExports(b *strings.Builder) {
	for _, x := range r.Exports {
		switch {
		case x.Dropped > 0:
			fmt.Fprintf(b, "export       %s: %s removed; run export again with the same terms\n", x.Export, plural(x.Dropped, "day"))
		default:
			fmt.Fprintf(b, "export       %s: %s rewritten\n", x.Export, plural(x.Written, "day"))
		}
	}
}

func (r *eraseResult) writeChosen(b *strings.Builder) {
	if len(r.Unfinished) > 0 {
		fmt.Fprintf(b, "UNFINISHED   %s: run erase --resume when nothing blocks it any more\n", strings.Join(r.Unfinished, ", "))
	}
	for _, problem := range r.Problems {
		fmt.Fprintf(b, "  %s\n", problem)
	}
	if len(r.Kept) > 0 {
		r.writeKept(b)
		return
	}
	if len(r.Erased) > 0 || r.stopped || r.hasExpired() {
		return
	}
	if len(r.Chosen) == 0 {
		text := "nothing to erase"
		if r.resumed {
			text = "nothing to finish: no erasure was stopped"
		}
		if r.Before > 0 {
			text += fmt.Sprintf(": %s that match were erased before", plural(r.Before, "call"))
		}
		b.WriteString(text + "\n")
		return
	}
	fmt.Fprintf(b, "would erase: %s, %s (%s)\n\n", plural(r.Calls, "call"), plural(r.Recordings, "recording"), bytesText(r.Bytes))
	table := tabwriter.NewWriter(b, 0, 0, 3, ' ', 0) // writes to a strings.Builder never fail
	_, _ = fmt.Fprint(table, "DAY\tCALL\tRECORDINGS\tBYTES\n")
	for _, c := range r.Chosen[:min(len(r.Chosen), maxTold)] {
		var ids []string
		bytes := int64(0)
		for _, one := range c.Recordings {
			ids, bytes = append(ids, one.ID), bytes+one.Bytes
		}
		_, _ = fmt.Fprintf(table, "%s\t%s\t%s\t%s\n", c.Day, orDash(c.Call), orDash(strings.Join(ids, " ")), bytesText(bytes))
	}
	_ = table.Flush()
	if more := len(r.Chosen) - maxTold; more > 0 {
		fmt.Fprintf(b, "and %s more; --json has them all\n", thousands(int64(more)))
	}
	b.WriteString("\nnothing was erased\n")
	if r.tooMany {
		b.WriteString("  this is more than --max-erase: give narrower terms, a greater --max-erase, or a list of ids with --ids-from\n")
	} else {
		b.WriteString("  find with the same terms shows these calls, with numbers, names and times\n  to erase them, give --yes and --reason\n")
	}
}

func (r *eraseResult) writeKept(b *strings.Builder) {
	what := "nothing was erased: "
	if r.resumed {
		what = "not finished: "
	}
	b.WriteString(what + r.keptText() + " must stay\n\n")
	writeKeptTable(b, r.Kept, len(r.Kept), "does not match: give the ids of both in a list with --ids-from")
	b.WriteString("\nnext\n")
	for _, step := range r.nextAfterKept() {
		b.WriteString("  " + step + "\n")
	}
}

// writeKeptTable lists the first recordings that must stay. other says why another recording with the same audio stays.
func writeKeptTable(b *strings.Builder, kept []evidence.Kept, all int, other string) {
	table := tabwriter.NewWriter(b, 0, 0, 3, ' ', 0)
	_, _ = fmt.Fprint(table, "DAY\tCALL\tRECORDING\tWHY\n")
	for _, k := range kept[:min(len(kept), maxTold)] {
		var why []string
		if len(k.Cases) > 0 {
			why = append(why, "held: "+strings.Join(k.Cases, ", "))
		}
		if !k.Until.IsZero() {
			why = append(why, "locked until "+k.Until.Format(time.DateTime)+" UTC")
		}
		if k.LegalHold {
			why = append(why, "legal hold")
		}
		if k.Shared != "" {
			why = append(why, k.Shared+" has, or may have, the same audio and "+other)
		}
		if k.Bucket {
			why = append(why, "the bucket has a default retention, which locks the manifest too: remove it, and wait until the existing locks end")
		}
		if k.File != "" {
			why = append(why, k.File)
		}
		_, _ = fmt.Fprintf(table, "%s\t%s\t%s\t%s\n", orDash(k.Day), orDash(k.Call), orDash(k.Recording), strings.Join(why, "; "))
	}
	_ = table.Flush()
	if more := all - maxTold; more > 0 {
		fmt.Fprintf(b, "and %s more; --json has them all\n", thousands(int64(more)))
	}
}

// keptText counts what must stay: calls that stay at least partly, recordings, and other files.
func (r *eraseResult) keptText() string {
	calls, recordings, files := map[string]bool{}, map[string]bool{}, map[string]bool{}
	for _, k := range r.Kept {
		calls[k.Call], recordings[k.Recording], files[k.File] = true, true, true
		if k.Bucket {
			return "everything in the bucket"
		}
	}
	var parts []string
	for _, one := range []struct {
		ids  map[string]bool
		of   int
		what string
	}{{calls, r.Calls, "call"}, {recordings, r.Recordings, "recording"}, {files, 0, "file"}} {
		delete(one.ids, "")
		switch n := len(one.ids); {
		case n == 0:
		case one.of > 0:
			parts = append(parts, fmt.Sprintf("%s of %s", thousands(int64(n)), plural(one.of, one.what)))
		default:
			parts = append(parts, plural(n, one.what))
		}
	}
	return strings.Join(parts, " and ")
}

// nextAfterKept says what to do about recordings that must stay.
func (r *eraseResult) nextAfterKept() (steps []string) {
	var held, locked, shared, bucket bool
	calls := map[string]bool{}
	for _, k := range r.Kept {
		calls[k.Call] = true
		held = held || len(k.Cases) > 0
		locked = locked || !k.Until.IsZero() || k.LegalHold
		shared = shared || k.Shared != ""
		bucket = bucket || k.Bucket
	}
	delete(calls, "") // of files
	if held {
		steps = append(steps, "held: if the case is closed, end the hold with hold release CASE: it releases all calls of the case")
	}
	if locked {
		steps = append(steps, "locked: erase again once the locks have ended")
	}
	if shared {
		steps = append(steps, "shared: give the ids of all calls with that audio to --ids-from")
	}
	switch {
	case r.resumed:
		steps = append(steps, "then run erase --resume again")
	case !bucket && len(calls) >= r.Calls: // there are no other calls
	case !bucket:
		steps = append(steps, "or erase only the other calls: give their ids to --ids-from")
	default:
		steps = append(steps, "remove the default retention of the bucket, and erase again when the existing locks have ended")
	}
	return steps
}

func orDash(text string) string {
	if text == "" {
		return "-"
	}
	return text
}
