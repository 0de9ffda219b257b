// Measures building and searching the index.

package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"convoso-archiver/manifest"
	"convoso-archiver/search"
)

// searching measures the index of an archive: how long it takes to build, how large it is, and how long searches take.
// It calls package search directly: starting a process and printing would take longer than a search of a few
// milliseconds.
type searching struct {
	*bench
	calls, perDay int
	values        int // to search for, of each kind
}

func searches(b *bench, flags *flag.FlagSet) func(context.Context) error {
	k := &searching{bench: b}
	flags.IntVar(&k.calls, "calls", 2_000_000, "calls of the archive, three tenths of them with a recording")
	flags.IntVar(&k.perDay, "per-day", 10_000, "calls of each day")
	flags.IntVar(&k.values, "values", 40, "different values searched for, of each kind of search")
	return k.run
}

func (k *searching) run(ctx context.Context) error {
	days := max(1, k.calls/k.perDay)
	made := newAccount(time.Now().UTC().Truncate(24*time.Hour).AddDate(0, 0, -days-10), k.perDay)
	archive := filepath.Join(k.work, "archive")
	say("make %d days of %d calls in %s", days, k.perDay, archive)
	if err := made.writeDays(ctx, archive, 0, days); err != nil {
		return err
	}
	k.report.note("%d days of %d calls", days, k.perDay)
	if err := k.build(ctx, archive, float64(days*k.perDay)); err != nil {
		return err
	}
	if err := k.addDays(ctx, made, archive, days); err != nil {
		return err
	}
	if err := k.page(ctx, archive); err != nil {
		return err
	}
	a, closeArchive, err := openArchive(ctx, archive)
	if err != nil {
		return err
	}
	defer closeArchive()
	ix, err := k.openIndex(ctx)
	if err != nil {
		return err
	}
	defer ix.Close()
	if err := k.measure(ctx, a.WithIndex(ix), made, days); err != nil {
		return err
	}
	return k.withoutIndex(ctx, archive, made)
}

// indexing is a search of all days, which brings the index up to date.
func (k *searching) indexing(archive string) command {
	return command{args: []string{k.program, "find", "--dest", archive, "--state-dir", k.state(), "--limit", "1", "--json"}, home: filepath.Join(k.work, "home")}
}

// state is the folder that holds the index.
func (k *searching) state() string { return filepath.Join(k.work, "state") }

// build builds the whole index.
func (k *searching) build(ctx context.Context, archive string, calls float64) error {
	say("build the index")
	s, err := execute(ctx, k.indexing(archive))
	if err != nil {
		return err
	}
	size, err := sizeOf(k.state())
	if err != nil {
		return err
	}
	const perCall = 300 / 10e6 // s
	k.report.add("index built: s", 1, []float64{seconds(s)}, atMost(math.Ceil(calls*perCall)))
	k.report.add("  CPU s", 1, []float64{cpu(s)}, goal{})
	k.report.add("  peak MiB", 0, []float64{mebibytes(s)}, neverAbove(200))
	k.report.add("  bytes a call", 0, []float64{size / calls}, atMost(300))
	return nil
}

// addDays measures the cost of one new day, several times.
func (k *searching) addDays(ctx context.Context, made *account, archive string, days int) error {
	var wall, processor []float64
	for run := range k.runs {
		if err := made.writeDays(ctx, archive, days+run, 1); err != nil {
			return err
		}
		s, err := execute(ctx, k.indexing(archive))
		if err != nil {
			return err
		}
		wall, processor = append(wall, seconds(s)), append(processor, cpu(s))
	}
	k.report.add("one new day: s", 2, wall, atMost(2))
	k.report.add("  CPU s", 2, processor, goal{})
	return nil
}

// openIndex opens the index.
func (k *searching) openIndex(ctx context.Context) (*search.Index, error) {
	folder := filepath.Join(k.state(), "index")
	found, err := filepath.Glob(filepath.Join(folder, "*-v*.sqlite"))
	if err != nil {
		return nil, fmt.Errorf("find the index: %w", err)
	}
	if len(found) != 1 {
		return nil, fmt.Errorf("find the index: there are %d", len(found))
	}
	name, _, _ := strings.Cut(filepath.Base(found[0]), "-v")
	return search.OpenIndex(ctx, folder, name)
}

func openArchive(ctx context.Context, folder string) (a *search.Archive, closeArchive func(), err error) {
	root, err := os.OpenRoot(folder)
	if err != nil {
		return nil, nil, fmt.Errorf("open archive: %w", err)
	}
	closeArchive = func() { _ = root.Close() } // it was only read
	ledger, err := manifest.OpenDir(root, manifest.Options{ReadOnly: true})
	if err != nil {
		return nil, nil, errors.Join(err, root.Close())
	}
	about, err := ledger.Archive(ctx)
	if err != nil {
		return nil, nil, errors.Join(err, root.Close())
	}
	of, err := time.LoadLocation(about.TimeZone)
	if err != nil {
		return nil, nil, errors.Join(err, root.Close())
	}
	return search.New(ledger, of), closeArchive, nil
}

// measure searches the newest 50 calls for many values of each kind, after a warm-up with other
// values.
func (k *searching) measure(ctx context.Context, a *search.Archive, made *account, days int) error {
	r := rand.New(rand.NewPCG(3, 3))
	any := func() madeCall { return anyOf(r, made.calls(r.IntN(days))) }
	month := func(q *search.Query) {
		q.From = made.first.AddDate(0, 0, r.IntN(max(1, days-30)))
		q.To = q.From.AddDate(0, 0, 30).Add(-time.Second)
	}
	for _, kind := range []struct {
		name string
		ask  func(q *search.Query)
	}{
		{"number", func(q *search.Query) { q.Number = any().phone }},
		{"last 7 digits", func(q *search.Query) { q.Number = any().phone[4:] }},
		{"last 4 digits", func(q *search.Query) { q.Number = any().phone[7:] }},
		{"number of nobody", func(q *search.Query) { q.Number = any().phone + "0" }},
		{"agent and month", func(q *search.Query) { q.Agent = fmt.Sprint(3000 + any().agent); month(q) }},
		{"agent by name", func(q *search.Query) { q.Agent = made.agents[any().agent] }},
		{"campaign and status", func(q *search.Query) {
			c := any()
			q.Campaign, q.Statuses = fmt.Sprint(100+c.campaign), []string{statuses[c.status]}
		}},
		{"first and last name", func(q *search.Query) { c := any(); q.Name = c.first + " " + c.last }},
		{"beginning of a last name", func(q *search.Query) { q.Name = any().last[:3] }},
		{"two words of a comment", func(q *search.Query) { q.Comment = anyOf(r, made.vocabulary) + " " + anyOf(r, made.vocabulary) }},
		{"call id", func(q *search.Query) { q.IDs = []string{fmt.Sprint(any().id)} }},
		{"lead id", func(q *search.Query) { q.LeadIDs = []string{fmt.Sprint(any().lead)} }},
		{"recording id", func(q *search.Query) { q.Listed = []string{fmt.Sprint(any().recording)} }},
		{"newest calls", func(*search.Query) {}},
		{"longest of agent and status", func(q *search.Query) {
			c := any()
			q.Agent, q.Statuses, q.Sort = fmt.Sprint(3000+c.agent), []string{statuses[c.status]}, search.LongestFirst
		}},
		{"20 of agent, status and length", func(q *search.Query) {
			c := any()
			q.Agent, q.Statuses, q.MinLength, q.Sample = fmt.Sprint(3000+c.agent), []string{statuses[c.status]}, 180, 20
		}},
	} {
		say("search by %s", kind.name)
		var figures []float64
		for i := range k.values + 5 { // the first five are the warm-up
			var q search.Query
			if kind.ask(&q); q.Sample == 0 {
				q.Limit = 50
			}
			begun := time.Now()
			for _, err := range a.Search(ctx, q) {
				if err != nil {
					return err
				}
			}
			if i >= 5 {
				figures = append(figures, float64(time.Since(begun).Microseconds())/1000)
			}
		}
		k.report.add(kind.name+": ms", 1, figures, atMost(50))
	}
	var figures []float64
	for range k.values {
		q := search.Query{Agent: fmt.Sprint(3000 + any().agent)}
		month(&q)
		begun := time.Now()
		if _, _, err := a.Count(ctx, q, 0); err != nil {
			return err
		}
		figures = append(figures, float64(time.Since(begun).Microseconds())/1000)
	}
	k.report.add("count of agent and month: ms", 1, figures, atMost(50))
	return nil
}

// withoutIndex measures grep and jq on calls/, which users would run without the program.
func (k *searching) withoutIndex(ctx context.Context, archive string, made *account) error {
	number := made.calls(0)[0].phone
	for _, one := range []struct {
		name string
		args []string
	}{
		{"grep for a number: s", []string{"grep", "-rhF", number, filepath.Join(archive, "calls")}},
		{"jq for a number: s", []string{"sh", "-c", `cat "$0"/*/*.jsonl | jq -c --arg n "$1" 'select(.row.phone_number==$n)' >/dev/null`, filepath.Join(archive, "calls"), number}},
	} {
		if _, err := exec.LookPath("jq"); err != nil && one.args[0] == "sh" {
			k.report.note("jq is not installed")
			continue
		}
		say("%s", one.name)
		s, err := execute(ctx, command{args: one.args, home: filepath.Join(k.work, "home")})
		if err != nil {
			return err
		}
		k.report.add(one.name, 1, []float64{seconds(s)}, goal{})
	}
	return nil
}
