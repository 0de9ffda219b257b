// Prints the access log of serve for audit.

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

	"convoso-archiver/archiver/store"
	"convoso-archiver/internal/web"
)

// accessSpan reads the days of the access log, which are in UTC. It ignores the span of archive in the file.
func (r *reader) accessSpan(now time.Time) (from, to string) {
	for _, name := range []string{"last", "start-time", "end-time"} {
		if r.values[name].byFlag() {
			return r.reportSpan(now, time.UTC)
		}
	}
	return "", ""
}

// access prints the access log of serve.
func (p *process) access(ctx context.Context, job *auditJob, talk output) outcome {
	unreadable, lines, err := p.readAccess(ctx, job, talk)
	result := withDamage(judge(err, context.Cause(ctx), false), unreadable > 0)
	if result.failed {
		return p.refuse(result, false)
	}
	if unreadable > 0 {
		result.line = fmt.Sprintf("%s of the access log cannot be read: each kill of serve may leave one; more of them mean that the log was changed", plural(unreadable, "line"))
	}
	if lines == 0 && !talk.json {
		_, result.unwritten = io.WriteString(p.stdout, job.nothingNoted()+"\n")
	}
	return result
}

// nothingNoted says that the access log has no line that was asked for.
func (j *auditJob) nothingNoted() string {
	about, days := "", ""
	if j.recording != "" {
		about = " about " + j.recording
	}
	if j.from != "" || j.to != "" {
		days = " on these days"
	}
	return "the access log notes nothing" + about + days + ": no opened call, no play and no download"
}

func (p *process) readAccess(ctx context.Context, job *auditJob, talk output) (unreadable, lines int, err error) {
	files, end, err := job.accessFiles(ctx)
	if err != nil {
		return 0, 0, err
	}
	defer func() { err = errors.Join(err, end()) }()
	write := json.NewEncoder(p.stdout)
	write.SetEscapeHTML(false)
	var text strings.Builder
	table := tabwriter.NewWriter(&text, 0, 0, 2, ' ', 0) // buffers everything until Flush
	unreadable, err = web.ReadAccess(ctx, files, job.from, job.to, func(a web.Access) error {
		if id := job.recording; id != "" && a.RecordingID != id && a.CallID != id && !slices.Contains(a.CallIDs, id) {
			return nil
		}
		lines++
		if talk.json {
			return write.Encode(a)
		}
		if lines == 1 {
			_, _ = fmt.Fprint(table, "TIME\tUSER\tWHAT\tCALL\tRECORDING\tFROM\tREASON\n") // into memory
		}
		what := strings.ReplaceAll(a.What, "_", " ")
		if n := len(a.CallIDs); n > 0 {
			what = fmt.Sprintf("%s of %s", what, plural(n, "call"))
		}
		user := orElse(a.User, "(this machine)")
		_, err := fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%s\t%s\t%s\n", a.Time.Format("2006-01-02 15:04:05Z"), user, what, orDash(a.CallID), orDash(a.RecordingID), a.From, a.Reason)
		return err
	})
	return unreadable, lines, errors.Join(err, table.Flush(), writeText(p.stdout, trimLines(text.String())))
}

// accessFiles opens the log in its folder or bucket.
func (j *auditJob) accessFiles(ctx context.Context) (files web.AccessFiles, end func() error, err error) {
	if j.log.folder != "" {
		files, err = web.NewFolderFiles(j.log.folder)
		return files, func() error { return nil }, misuseOf(err, "check --access-log")
	}
	bucket, err := store.OpenS3(ctx, j.log.bucket)
	if err != nil {
		return nil, nil, err
	}
	return bucket, bucket.Close, nil
}

// misuseOf turns an error into one about the settings.
func misuseOf(err error, try string) error {
	if err == nil {
		return nil
	}
	return misuse(try, "%v", err)
}
