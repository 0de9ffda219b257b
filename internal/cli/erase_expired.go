// Runs erase --expired and prints its result.

package cli

import (
	"cmp"
	"context"
	"encoding/csv"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"

	"convoso-archiver/evidence"
)

// expire finishes expiries that were stopped, then shows or removes the audio that is past its retention. began reports
// whether there is a result to print.
func (e *eraseRun) expire(ctx context.Context) (began bool, err error) {
	x := &evidence.Expiring{Erasing: e.erasing, Yes: e.job.acts()}
	if e.job.expired {
		noted, err := evidence.LoadNotedRetention(ctx, x.Ledger)
		if err != nil {
			return false, err
		}
		if noted.IsZero() {
			return false, misuse("give --retention to archive", "the archive has no retention: recordings are kept for ever")
		}
		x.Retention, e.made.Retention = noted.Retention, &noted
		if x.Today, err = evidence.Today(ctx, x.Ledger, x.Now); err != nil {
			return false, err
		}
		if err := e.checkCampaigns(ctx, x); err != nil {
			return false, err
		}
	}
	defer func() {
		result := x.Result()
		e.made.Expired, e.made.Unfinished = &result, append(e.made.Unfinished, result.Unfinished...)
	}()
	if err := e.finishExpiries(ctx, x); err != nil || !e.job.expired {
		return true, err
	}
	if e.job.csv {
		return true, e.listDue(ctx, x)
	}
	if err := x.Run(ctx); err != nil || x.Yes {
		return true, err
	}
	e.made.Stored, e.made.NextExpiry, err = x.Outlook(ctx)
	return true, err
}

// listDue writes a row for each recording that --yes would remove. The id of the recording comes first, because --ids-from
// reads the first column.
func (e *eraseRun) listDue(ctx context.Context, x *evidence.Expiring) error {
	out, count, bytes := csv.NewWriter(e.stdout), 0, int64(0)
	write := func(row ...string) error {
		e.made.unwritten = out.Write(row)
		return e.made.unwritten
	}
	x.Each = func(d evidence.Due) error {
		count, bytes = count+1, bytes+d.Bytes
		return write(d.RecordingID, d.CallID, d.Day, d.Campaign, d.Class, strconv.FormatInt(d.Bytes, 10), d.Ended)
	}
	err := write("recording_id", "call_id", "day", "campaign_id", "class", "size", "ended")
	if err == nil {
		err = x.Run(ctx)
	}
	if out.Flush(); e.made.unwritten == nil {
		e.made.unwritten = out.Error()
	}
	if e.made.unwritten != nil {
		return nil // said elsewhere
	}
	if err != nil {
		return err
	}
	result := x.Result()
	line := fmt.Sprintf("past their retention on %s: %s (%s); nothing was removed", x.Today, plural(count, "recording"), bytesText(bytes))
	if stay := result.Held + result.Stays + result.NoRow; stay > 0 {
		line += "; left out: " + plural(stay, "recording") + " that must stay; without --csv the command says why"
	}
	if open := len(e.made.Unfinished); open > 0 {
		line += "; erase --resume finishes " + plural(open, "stopped removal")
	}
	e.tell.note(line, "the recordings past their retention are listed", "recordings", count, "bytes", bytes, "held", result.Held, "kept_otherwise", result.Stays, "no_row", result.NoRow, "unfinished", e.made.Unfinished)
	return nil
}

// checkCampaigns warns of campaigns of the retention that no call has, before anything is removed: a wrong id gives the
// recordings of a campaign the class of all others. It refuses to remove anything if such a campaign is not an id.
func (e *eraseRun) checkCampaigns(ctx context.Context, x *evidence.Expiring) error {
	unseen, err := evidence.UnseenCampaigns(ctx, x.Ledger, x.Retention)
	if err != nil {
		return err
	}
	e.made.Unseen = unseen
	for _, campaign := range unseen {
		class := x.Retention.Campaigns[campaign]
		why, isID := "no call of the archive has campaign "+campaign, evidence.IsCampaignID(campaign)
		if !isID {
			why = "it is not an id: an id has only digits"
		}
		if !isID && x.Yes {
			return misuse("run archive with its id in --retention-campaign; find --json shows the id as campaign_id", "nothing was removed: a campaign of class %s of the retention is wrong: %s", class, why)
		}
		e.tell.warn("check a campaign of class "+class+" of the retention: "+why, "check a campaign of the retention", "class", class, "reason", why)
	}
	return nil
}

// finishExpiries finishes expiries that were stopped, or names them in a dry run. An expiry that cannot be finished does
// not stop others.
func (e *eraseRun) finishExpiries(ctx context.Context, x *evidence.Expiring) error {
	erasures, err := x.Ledger.Erasures(ctx)
	if err != nil {
		return err
	}
	var failed error
	unfinished := erasures.UnfinishedExpiries()
	for _, expiry := range slices.Sorted(maps.Keys(unfinished)) {
		if !e.job.acts() {
			e.made.Unfinished = append(e.made.Unfinished, expiry)
			continue
		}
		e.tell.note("finishing expiry "+expiry+", which was stopped", "finishing an expiry that was stopped", "expiry", expiry)
		err := x.Resume(ctx, expiry, unfinished[expiry])
		if ctx.Err() != nil {
			return err
		}
		if err != nil {
			e.made.Problems = append(e.made.Problems, expiry+": "+err.Error())
			failed = cmp.Or(failed, err)
		}
	}
	if e.job.resume {
		return failed
	}
	return nil
}

// writeExpired prints the recordings past their retention, and what was removed.
func (r *eraseResult) writeExpired(b *strings.Builder) {
	x := r.Expired
	if x.Removed > 0 || len(x.Expiries) > 0 {
		fmt.Fprintf(b, "removed: the audio of %s, expiry %s\n\n", plural(x.Removed, "recording"), orDash(strings.Join(append(x.Expiries, x.Unfinished...), ", ")))
	}
	if x.Today != "" && (x.Recordings > 0 || x.Removed == 0) {
		span := ""
		if x.Recordings > 0 {
			span = fmt.Sprintf(" (%s), %s to %s", bytesText(x.Bytes), x.FirstDay, x.LastDay)
		}
		fmt.Fprintf(b, "past their retention on %s: %s%s\n", x.Today, plural(x.Recordings, "recording"), span)
	}
	if len(x.Classes) > 0 {
		table := tabwriter.NewWriter(b, 0, 0, 3, ' ', 0) // writes to a strings.Builder never fail
		_, _ = fmt.Fprint(table, "\nCLASS\tRECORDINGS\tBYTES\tFIRST DAY\tLAST DAY\n")
		for _, c := range x.Classes {
			_, _ = fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%s\n", c.Class, thousands(int64(c.Recordings)), bytesText(c.Bytes), c.FirstDay, c.LastDay)
		}
		_ = table.Flush()
	}
	r.writeRetention(b)
	row := func(name string, n int, text string) {
		if n > 0 {
			fmt.Fprintf(b, "%-12s %s\n", name, thousands(int64(n))+text)
		}
	}
	b.WriteString("\n")
	if x.Audio > 0 {
		fmt.Fprintf(b, "audio        %s removed\n", plural(x.Audio, "object"))
	}
	row("quarantine", x.Quarantine, " removed")
	row("no row", x.NoRow, " kept, because no row names their campaign")
	row("held", x.Held, " kept, because a case holds them")
	row("KEPT", x.Stays, " cannot be removed")
	if len(x.Kept) > 0 {
		b.WriteString("\n")
		writeKeptTable(b, x.Kept, x.Held+x.Stays, "is not past its retention")
	}
	if goes := x.Recordings - x.Held - x.Stays; goes > 0 && x.Removed == 0 && !r.stopped {
		b.WriteString("\nnothing was removed: --csv lists the recordings, --yes removes their audio\n")
	}
	if x.Removed > 0 {
		b.WriteString("\nnext\n  if you use seals, run seal now: audit --seals accepts the missing audio once the expiry is sealed\n")
	}
}

// writeRetention prints the next expiry, and the retention with its source. A run that has removed audio prints only
// its result.
func (r *eraseResult) writeRetention(b *strings.Builder) {
	e := r.Retention
	if e == nil || r.Expired.Removed > 0 {
		return
	}
	if n := r.NextExpiry; n != nil {
		days := n.FirstDay
		if n.LastDay != n.FirstDay {
			days += " to " + n.LastDay
		}
		fmt.Fprintf(b, "next to expire, on %s: %s (%s) of %s\n", n.Day, plural(n.Recordings, "recording"), bytesText(n.Bytes), days)
	}
	fmt.Fprintf(b, "\nretention, as archive noted it on %s in %s\n", e.Noted.UTC().Format("2006-01-02 15:04 UTC"), e.File)
	table := tabwriter.NewWriter(b, 0, 0, 3, ' ', 0)
	row := func(class, kept, recordings, campaigns string) {
		if r.Stored != nil {
			kept += "\t" + recordings
		}
		_, _ = fmt.Fprintf(table, "%s\t%s\t%s\n", class, kept, campaigns)
	}
	stored := func(class string) string {
		i := slices.IndexFunc(r.Stored, func(c evidence.ExpiredClass) bool { return c.Class == class })
		if i < 0 {
			return "0"
		}
		return thousands(int64(r.Stored[i].Recordings))
	}
	row("CLASS", "KEPT FOR", "RECORDINGS", "CAMPAIGNS")
	for _, class := range slices.Sorted(maps.Keys(e.Classes)) {
		var of []string
		for _, campaign := range slices.Sorted(maps.Keys(e.Campaigns)) {
			if e.Campaigns[campaign] == class {
				of = append(of, campaign)
			}
		}
		if class == e.Default {
			of = append(of, "all others")
		}
		row(class, e.Classes[class].String(), stored(class), orDash(strings.Join(of, ", ")))
	}
	if e.Default == "" {
		row("-", "for ever", stored(""), "all others")
	}
	_ = table.Flush()
}
