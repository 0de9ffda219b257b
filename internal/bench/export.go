// Measures the export of a large archive.

package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"convoso-archiver/manifest"
)

// tables measures the export of an archive with many rows, read from the page cache.
type tables struct {
	*bench
	days, perDay, busiest int
	recorded              int // every n-th call has a recording
}

func exportTables(b *bench, flags *flag.FlagSet) func(context.Context) error {
	k := &tables{bench: b, recorded: 10}
	flags.IntVar(&k.days, "days", 730, "days of the archive")
	flags.IntVar(&k.perDay, "per-day", 2490, "calls of each, of half a kilobyte in calls/; every tenth is recorded")
	flags.IntVar(&k.busiest, "busiest", 100_000, "calls of the one day of the second archive; 0 for none")
	return k.run
}

func (k *tables) run(ctx context.Context) error {
	many := filepath.Join(k.work, "many")
	if err := k.make(ctx, many, k.days, k.perDay); err != nil {
		return err
	}
	rows := float64(k.days * (k.perDay + k.perDay/k.recorded))
	k.report.note("%d days of %d calls, of which %d are recorded: %.0f rows", k.days, k.perDay, k.perDay/k.recorded, rows)
	for _, format := range []string{"parquet", "csv", "jsonl"} {
		var size, cpu, wall, peak, again goal
		if format == "parquet" {
			size, cpu, peak, again = atMost(100), atMost(20*rows/2e6), neverAbove(200), goal{}
		}
		if err := k.measure(ctx, many, format, rows, size, cpu, wall, peak, again); err != nil {
			return err
		}
	}
	if k.busiest == 0 {
		return nil
	}
	one := filepath.Join(k.work, "one")
	if err := k.make(ctx, one, 1, k.busiest); err != nil {
		return err
	}
	k.report.note("one day of %d calls", k.busiest)
	return k.measure(ctx, one, "parquet", float64(k.busiest+k.busiest/k.recorded), goal{}, goal{}, goal{}, neverAbove(200), goal{})
}

func (k *tables) measure(ctx context.Context, from, format string, rows float64, size, cpu, wall, peak, again goal) error {
	var sizes, cpus, walls, peaks, agains []float64
	for run := range k.runs {
		say("export %s as %s, run %d", filepath.Base(from), format, run+1)
		to := filepath.Join(k.work, "tables")
		if err := os.RemoveAll(to); err != nil {
			return fmt.Errorf("remove tables: %w", err)
		}
		one := command{
			args: []string{k.program, "export", "--quiet", "--dest", from, "--to", to, "--format", format},
			env:  os.Environ(), home: filepath.Join(k.work, "home"),
		}
		cost, err := execute(ctx, one)
		if err != nil {
			return fmt.Errorf("export: %w", err)
		}
		second, err := execute(ctx, one)
		if err != nil {
			return fmt.Errorf("export again: %w", err)
		}
		bytes, err := sizeOf(to)
		if err != nil {
			return fmt.Errorf("measure tables: %w", err)
		}
		sizes, cpus = append(sizes, bytes/rows), append(cpus, cost.cpu.Seconds())
		walls, peaks, agains = append(walls, seconds(cost)), append(peaks, mebibytes(cost)), append(agains, seconds(second))
	}
	name := filepath.Base(from) + ", " + format + ": "
	k.report.add(name+"bytes a row", 1, sizes, size)
	k.report.add("  CPU s", 1, cpus, cpu)
	k.report.add("  s", 1, walls, wall)
	k.report.add("  peak MiB", 1, peaks, peak)
	k.report.add("  s again, nothing changed", 1, agains, again)
	return nil
}

func sizeOf(folder string) (bytes float64, err error) {
	err = filepath.WalkDir(folder, func(_ string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		info, err := entry.Info()
		if err == nil {
			bytes += float64(info.Size())
		}
		return err
	})
	return bytes, err
}

// make makes the manifest and the call rows of an archive; it makes no audio.
func (k *tables) make(ctx context.Context, folder string, days, perDay int) (err error) {
	say("make %d days of %d calls in %s", days, perDay, folder)
	c := closedDays{first: time.Now().UTC().Truncate(24*time.Hour).AddDate(0, 0, -days-5), days: days, perDay: perDay}
	err = makeArchive(ctx, folder, "http://127.0.0.1:1/v1", days, func(ctx context.Context, ledger *manifest.Ledger, i int) error {
		return k.makeDay(ctx, ledger, c, i)
	})
	return errors.Join(err, syncAll(ctx, k.work))
}

func (k *tables) makeDay(ctx context.Context, ledger *manifest.Ledger, c closedDays, i int) error {
	day, err := ledger.Load(ctx, c.day(i))
	if err != nil {
		return err
	}
	start := c.first.AddDate(0, 0, i)
	noted := start.Add(80 * time.Hour)
	calls := make([]manifest.Call, c.perDay)
	var recordings []manifest.Recording
	for n := range calls {
		id, row := callRow(i*c.perDay+n, start.Add(time.Duration(n)*24*time.Hour/time.Duration(c.perDay)))
		calls[n] = manifest.Call{CallID: id, Time: noted, Row: row}
		if n%k.recorded == 0 {
			r := c.recording(i, n, start, noted, ledger.Run()+"/1")
			r.CallID = id
			recordings = append(recordings, r)
		}
	}
	if err := day.NoteCalls(ctx, calls); err != nil {
		return err
	}
	if err := day.Note(ctx, recordings...); err != nil {
		return err
	}
	return day.Close(ctx, manifest.DayLine{Kept: []string{"calls", "recordings"}, ListedAt: noted, Calls: c.perDay, Time: noted})
}

// callRow makes a row of the call log with the fields of the vendor's page: half a kilobyte. Ids, numbers and the
// session differ from row to row; names, agents, campaigns and states repeat.
func callRow(serial int, wall time.Time) (id string, row json.RawMessage) {
	r := uint64(serial)*0x9e3779b97f4a7c15 + 1
	r ^= r >> 29
	r *= 0xbf58476d1ce4e5b9
	r ^= r >> 32
	first := []string{"Mary", "José", "Ann", "Lee", "Kim", "Sam", "Alex", "Pat", "Chris", "Robin", "Dana", "Jean"}
	states := []string{"SALE", "HU", "AM", "NI", "DNC", "CBK", "NA", "B"}
	comment := ""
	if r%20 == 0 {
		comment = fmt.Sprintf("asked for a call back about offer %d", r%1000)
	}
	id = fmt.Sprint(4_799_000_000 + serial)
	agent, campaign := r%400, r/7%30
	return id, fmt.Appendf(nil, `{"id":%q,"lead_id":"%d","list_id":"%d","campaign_id":"%d","campaign":"Campaign %d","user":"Agent %d","user_id":"%d",`+
		`"phone_number":"1555%07d","number_dialed":"1555%07d","first_name":%q,"last_name":"Name%d","status":%q,"status_name":"Status %s",`+
		`"call_length":"%d","call_date":%q,"agent_comment":%q,"queue_id":null,"called_count":"%d","caller_id_displayed":"1555999%04d","term_reason":"AGENT",`+
		`"call_type":"OUTBOUND","queue_position":"1","queue_seconds":"0.00","originating_agent_id":null,"session_id":"%016x@192.0.2.1:5060"}`,
		id, 50_000_000+r%20_000_000, 1000+r/11%50, 5000+campaign, campaign, agent, 300_000+agent,
		r>>8%10_000_000, r>>8%10_000_000, first[r>>16%12], r>>20%5000, states[r>>24%8], states[r>>24%8],
		r>>30%600, wall.Format(time.DateTime), comment, r>>40%20, r>>44%200, r*0x94d049bb133111eb)
}
