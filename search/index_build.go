// Encodes the calls of one day for the index.

package search

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"convoso-archiver/manifest"
)

// nameKind is the kind of a name.
type nameKind uint8

const (
	nameAgent nameKind = iota
	nameCampaign
	nameStatus
)

// nameOf is an agent, a campaign or a status.
type nameOf struct {
	kind     nameKind
	id, name string
}

// built is a day as the index keeps it.
type built struct {
	day     int64
	files   string
	problem string

	calls, recordings int
	bytes             int64
	names             map[nameOf]int // number of calls

	blocks           [][]byte
	runs             []placedRun
	seconds, lengths []int // of each call
}

// placedRun is a run with its field.
type placedRun struct {
	field field
	run
}

// buildDay encodes the calls of a day for the index.
func buildDay(day int64, calls []Call) (*built, error) {
	b := &built{day: day, names: map[nameOf]int{}}
	var p packer
	for block := range slices.Chunk(calls, callsPerBlock) {
		data, err := p.pack(block)
		if err != nil {
			return nil, err
		}
		b.blocks = append(b.blocks, data)
	}
	found := make([]map[string][]uint32, byOutcome+1)
	for f := byCall; f <= byOutcome; f++ {
		found[f] = map[string][]uint32{}
	}
	for i := range calls {
		ordinal := uint32(i)
		calls[i].addKeys(func(f field, key string) {
			key, _ = cutKey(key)
			list := found[f][key]
			if n := len(list); n == 0 || list[n-1] != ordinal {
				found[f][key] = append(list, ordinal)
			}
		})
		b.seconds, b.lengths = append(b.seconds, secondOf(calls[i].Wall)), append(b.lengths, calls[i].Length)
		for _, n := range calls[i].names() {
			b.names[n]++
		}
		b.add(&calls[i])
	}
	for f := byCall; f <= byOutcome; f++ {
		of := found[f]
		for _, r := range packRuns(slices.Sorted(maps.Keys(of)), func(key string) []uint32 { return of[key] }) {
			b.runs = append(b.runs, placedRun{f, r})
		}
	}
	return b, nil
}

func (b *built) add(c *Call) {
	if !c.NoRow {
		b.calls++
	}
	b.recordings += len(c.Recordings)
	for _, r := range c.Recordings {
		if r.Stored() {
			b.bytes += r.Size
		}
	}
}

// names returns the names in a call.
func (c *Call) names() (names []nameOf) {
	for _, n := range []nameOf{{nameAgent, c.UserID, c.User}, {nameCampaign, c.CampaignID, c.Campaign}, {nameStatus, c.Status, c.StatusName}} {
		if n.id != "" || n.name != "" {
			names = append(names, n)
		}
	}
	return names
}

// describe returns the description of the files of a day that the index keeps.
func describe(files []manifest.File) string {
	files = slices.SortedFunc(slices.Values(files), func(a, b manifest.File) int { return cmp.Compare(a.Name, b.Name) })
	var text strings.Builder
	for _, f := range files {
		fmt.Fprintf(&text, "%s %d %d\n", f.Name, f.Size, f.Modified.UnixNano())
	}
	return text.String()
}

// writer writes days to the index.
type writer struct {
	ctx        context.Context // never cancelled, so that transactions finish
	conn       *sql.Conn
	statements map[string]*sql.Stmt
}

func newWriter(ctx context.Context, conn *sql.Conn) (*writer, error) {
	w := &writer{ctx: context.WithoutCancel(ctx), conn: conn, statements: map[string]*sql.Stmt{}}
	for _, text := range []string{
		insertBlock, insertRun, insertFact, insertDay, addName, dropNames, deleteDay, deleteBlocks, deleteRuns, deleteFacts, readFact,
	} {
		statement, err := conn.PrepareContext(w.ctx, text)
		if err != nil {
			return nil, errors.Join(err, w.close())
		}
		w.statements[text] = statement
	}
	return w, nil
}

const (
	insertBlock  = "INSERT INTO block VALUES(?,?)"
	insertRun    = "INSERT INTO run VALUES(?,?,?,?)"
	insertFact   = "INSERT INTO fact VALUES(?,?)"
	insertDay    = "INSERT OR REPLACE INTO day VALUES(?,?,?,?,?,?,?)"
	addName      = "INSERT INTO name VALUES(?1,?2,?3,?4) ON CONFLICT DO UPDATE SET calls=calls+?4"
	dropNames    = "DELETE FROM name WHERE calls<=0"
	deleteDay    = "DELETE FROM day WHERE id=?"
	deleteBlocks = "DELETE FROM block WHERE id>=? AND id<?"
	deleteRuns   = "DELETE FROM run WHERE id>=? AND id<?"
	deleteFacts  = "DELETE FROM fact WHERE id>=? AND id<?"
	readFact     = "SELECT data FROM fact WHERE id=?"
)

func (w *writer) close() error {
	var errs []error
	for _, s := range w.statements {
		errs = append(errs, s.Close())
	}
	return errors.Join(errs...)
}

func (w *writer) exec(text string, values ...any) error {
	_, err := w.statements[text].ExecContext(w.ctx, values...)
	return err
}

// inTransaction calls do in a transaction, which it commits or rolls back.
func (w *writer) inTransaction(ctx context.Context, do func() error) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if _, err := w.conn.ExecContext(w.ctx, "BEGIN IMMEDIATE"); err != nil {
		return err
	}
	err := do()
	if err == nil {
		_, err = w.conn.ExecContext(w.ctx, "COMMIT")
	}
	if err != nil {
		_, _ = w.conn.ExecContext(w.ctx, "ROLLBACK") // some failures have rolled back already
	}
	return err
}

// replace writes a day, and replaces its old content.
func (w *writer) replace(b *built) error {
	if err := w.remove(b.day); err != nil {
		return err
	}
	for i, data := range b.blocks {
		id := b.day*maxPerDay + int64(i)
		if err := w.exec(insertBlock, id, seal(data, id)); err != nil {
			return err
		}
	}
	for i, r := range b.runs {
		place := placeOf(b.day, r.field)
		if err := w.exec(insertRun, b.day*maxPerDay+int64(i), place, []byte(r.first), seal(r.data, place)); err != nil {
			return err
		}
	}
	facts := map[int64][]byte{
		factSeconds: packNumbers(b.seconds), factLengths: packLengths(b.lengths), factNames: packNames(b.names),
	}
	for kind, data := range facts {
		id := b.day*maxFacts + kind
		if err := w.exec(insertFact, id, seal(data, id)); err != nil {
			return err
		}
	}
	if err := w.addNames(b.names, 1); err != nil {
		return err
	}
	return w.exec(insertDay, b.day, b.files, 1, b.problem, b.calls, b.recordings, b.bytes)
}

func placeOf(day int64, f field) int64 { return day*maxFields + int64(f) }

func (w *writer) remove(day int64) error {
	var sealed []byte
	err := w.statements[readFact].QueryRowContext(w.ctx, day*maxFacts+factNames).Scan(&sealed)
	if errors.Is(err, sql.ErrNoRows) { // the index does not have the day
		return w.exec(deleteDay, day)
	}
	if err != nil {
		return scanned(err)
	}
	data, err := unseal(sealed, day*maxFacts+factNames)
	if err != nil {
		return err
	}
	names, err := unpackNames(data)
	if err != nil {
		return err
	}
	if err := w.addNames(names, -1); err != nil {
		return err
	}
	for _, of := range []struct {
		text string
		size int64
	}{{deleteBlocks, maxPerDay}, {deleteRuns, maxPerDay}, {deleteFacts, maxFacts}} {
		if err := w.exec(of.text, day*of.size, (day+1)*of.size); err != nil {
			return err
		}
	}
	if err := w.exec(dropNames); err != nil {
		return err
	}
	return w.exec(deleteDay, day)
}

func (w *writer) addNames(names map[nameOf]int, times int) error {
	for n, calls := range names {
		if err := w.exec(addName, int(n.kind), n.id, n.name, times*calls); err != nil {
			return err
		}
	}
	return nil
}

// await notes a day that the index does not have yet.
func (w *writer) await(day int64) error {
	if err := w.remove(day); err != nil {
		return err
	}
	return w.exec(insertDay, day, "", 0, "", 0, 0, 0)
}
