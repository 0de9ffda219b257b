package search

import (
	"context"
	"database/sql"
	"errors"
	"iter"
	"slices"
	"sort"
	"time"
)

// WithIndex returns the same archive, searched by an index. What it answers is how the archive was when the index was
// updated last; the caller decides when that is. Days that the index knows of and does not hold, because they could not be read or an
// update has not come to them, are read as without an index. So are all days from the one on where the index turns out to be damaged,
// or cannot be read.
func (a *Archive) WithIndex(ix *Index) *Archive {
	indexed := *a
	indexed.index = ix
	return &indexed
}

// found is a step of an answer: a call, the problem of a day, or a day that the index does not hold.
type found struct {
	call    Call
	problem error // a *DayError
	unheld  string
}

// cursor is how far an answer has come: the positions from first to last are left.
type cursor struct {
	first, last Position
	oldestFirst bool
	entered     int64 // the day that was begun; its problem was told
	done        bool
}

func (q Query) cursor() cursor {
	c := cursor{oldestFirst: q.Sort == OldestFirst, entered: -1}
	c.first, c.last = q.Positions()
	switch {
	case q.After == 0:
	case c.oldestFirst:
		c.first = max(c.first, q.After+1)
	default:
		c.last = min(c.last, q.After-1)
	}
	return c
}

// pass leaves out the positions up to p, in the order of the answer.
func (c *cursor) pass(p Position) {
	if c.oldestFirst {
		c.first = p + 1
	} else {
		c.last = p - 1
	}
}

// leave leaves out a day.
func (c *cursor) leave(day int64) {
	if c.oldestFirst {
		c.first = firstOf(day + 1)
	} else {
		c.last = firstOf(day) - 1
	}
}

func (c *cursor) isAtEnd() bool { return c.done || c.first > c.last }

// firstOf is the first position of a day.
func firstOf(day int64) Position { return Position(day * secondsOfDay * maxPerSecond) }

// dayOf is the day of a position.
func dayOf(p Position) int64 { return int64(p) / maxPerSecond / secondsOfDay }

// indexed yields the calls that match, newest or oldest first, and what could not be read. Other errors are the last.
func (a *Archive) indexed(ctx context.Context, q Query) iter.Seq2[Call, error] {
	const atFirst, atMost = 64, 4096
	return func(yield func(Call, error) bool) {
		p, at, n := q.plan(), q.cursor(), atFirst
		if q.Limit > 0 && q.Limit < n {
			n = q.Limit
		}
		for !p.none && !at.isAtEnd() {
			before := at
			steps, err := a.index.fetch(ctx, a.zone, q, p, &at, n)
			if ctx.Err() != nil {
				yield(Call{}, context.Cause(ctx))
				return
			}
			if err != nil {
				a.index.doubt(err)
				a.scanFrom(ctx, q, before, yield)
				return
			}
			for _, s := range steps {
				if !a.step(ctx, q, s, yield) {
					return
				}
			}
			n = min(2*n, atMost)
		}
	}
}

// ranked yields the first calls by length, where the index alone can tell which they are; else it returns false.
func (a *Archive) ranked(ctx context.Context, q Query, yield func(Call, error) bool) bool {
	steps, ok, err := a.index.ranked(ctx, a, q)
	if err != nil {
		a.index.doubt(err)
		return false
	}
	for i := 0; ok && i < len(steps) && a.step(ctx, q, steps[i], yield); i++ {
	}
	return ok
}

func (a *Archive) step(ctx context.Context, q Query, s found, yield func(Call, error) bool) bool {
	switch {
	case s.problem != nil:
		return yield(Call{}, s.problem)
	case s.unheld != "":
		return a.scanDay(ctx, q, s.unheld, yield)
	}
	return yield(s.call, nil)
}

// scanFrom answers what is left of a query without the index.
func (a *Archive) scanFrom(ctx context.Context, q Query, at cursor, yield func(Call, error) bool) {
	plain := *a
	plain.index = nil
	if first, _ := q.Positions(); at.oldestFirst && at.first > first {
		q.From, q.After = midnightOf(dayOf(at.first)), at.first-1
	} else if !at.oldestFirst && at.last < 1<<63-1 {
		q.To, q.After = midnightOf(dayOf(at.last)+1).Add(-time.Second), at.last+1
	}
	for c, err := range plain.scan(ctx, q) {
		if !yield(c, err) {
			return
		}
	}
}

// snapshot is one state of the index, which stays the same while another process writes.
type snapshot struct {
	ctx  context.Context
	conn *sql.Conn
	zone *time.Location

	postings, block, fact *sql.Stmt

	unpacker unpacker
	at       int64 // the block that rows are of
	rows     [][]byte
}

const (
	// readPostings returns, day by day, the runs that may hold keys of a range: from the one in which its beginning
	// stands on.
	readPostings = `SELECT d.id, r.data FROM day d CROSS JOIN run r ON r.place = d.id*256 + ?1 AND r.first < ?3 AND r.first >= coalesce(
		(SELECT first FROM run WHERE place = d.id*256 + ?1 AND first <= ?2 ORDER BY first DESC LIMIT 1), x'')
		WHERE d.id BETWEEN ?4 AND ?5 ORDER BY d.id, r.first`
	readAllPostings = "SELECT d.id, r.data FROM day d CROSS JOIN run r ON r.place = d.id*256 + ?1 WHERE d.id BETWEEN ?2 AND ?3 ORDER BY d.id, r.first"
	readBlock       = "SELECT data FROM block WHERE id=?"
)

// look begins a snapshot. End it.
func (ix *Index) look(ctx context.Context, zone *time.Location) (*snapshot, error) {
	conn, err := ix.conn(ctx)
	if err != nil {
		return nil, err
	}
	s := &snapshot{ctx: context.WithoutCancel(ctx), conn: conn, zone: zone, at: -1} // statements are short
	if _, err = conn.ExecContext(s.ctx, "BEGIN"); err == nil {
		for _, one := range []struct {
			statement **sql.Stmt
			text      string
		}{{&s.postings, readPostings}, {&s.block, readBlock}, {&s.fact, readFact}} {
			if err == nil {
				*one.statement, err = conn.PrepareContext(s.ctx, one.text)
			}
		}
	}
	if err != nil {
		return nil, errors.Join(err, s.end())
	}
	return s, nil
}

func (s *snapshot) end() error {
	var errs []error
	for _, statement := range []*sql.Stmt{s.postings, s.block, s.fact} {
		if statement != nil {
			errs = append(errs, statement.Close())
		}
	}
	_, _ = s.conn.ExecContext(s.ctx, "ROLLBACK") // fails where it has not begun
	return errors.Join(append(errs, s.conn.Close())...)
}

// fetch takes the next steps of an answer: at least n calls, unless it comes to its end. Where a step is a day that is not held,
// it is the last one.
func (ix *Index) fetch(ctx context.Context, zone *time.Location, q Query, p plan, at *cursor, n int) (steps []found, err error) {
	s, err := ix.look(ctx, zone)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, s.end()) }()
	for many := 8; !at.isAtEnd() && ctx.Err() == nil; many = min(4*many, maxDaysAtOnce) {
		days, err := s.chosen(at, p, many)
		if err != nil {
			return nil, err
		}
		if len(days) == 0 {
			at.done = true
		}
		for i := range days {
			if steps, err = s.answer(q, at, &days[i], steps, n); err != nil || len(steps) >= n || !days[i].held {
				return steps, err
			}
		}
	}
	return steps, nil
}

// indexedDay is a day with the calls that have all terms.
type indexedDay struct {
	number  int64
	held    bool
	problem string
	fit     []uint32 // their ordinals, ascending
	isWhole bool     // all calls, as long as no term was looked up
}

// trouble is what of the day could not be read.
func (d *indexedDay) trouble() error {
	if d.problem == "" {
		return nil
	}
	return &DayError{Day: dayName(d.number), Err: errors.New(d.problem)}
}

// days returns the next days, in the order of the answer.
func (s *snapshot) days(at *cursor, n int) (days []indexedDay, err error) {
	order := "DESC"
	if at.oldestFirst {
		order = "ASC"
	}
	rows, err := s.conn.QueryContext(s.ctx, "SELECT id, held, problem FROM day WHERE id BETWEEN ? AND ? ORDER BY id "+order+" LIMIT ?",
		dayOf(at.first), dayOf(at.last), n)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		d := indexedDay{isWhole: true}
		if err := rows.Scan(&d.number, &d.held, &d.problem); err != nil {
			return nil, scanned(err)
		}
		days = append(days, d)
	}
	return days, rows.Err()
}

// maxDaysAtOnce bounds the memory that postings take.
const maxDaysAtOnce = 512

// chosen returns the next days, with the calls that have all terms. None are left when there are no days.
func (s *snapshot) chosen(at *cursor, p plan, n int) ([]indexedDay, error) {
	days, err := s.days(at, n)
	for _, term := range p.terms {
		if err == nil {
			err = s.choose(days, term)
		}
	}
	return days, err
}

// fewDays is for how many days a term is looked up for each, and not for all days between them.
const fewDays = 16

// choose leaves of days the calls that have a term.
func (s *snapshot) choose(days []indexedDay, term alternatives) error {
	var left []*indexedDay
	for i := range days {
		if d := &days[i]; d.held && (d.isWhole || len(d.fit) > 0) {
			left = append(left, d)
		}
	}
	if len(left) == 0 {
		return nil
	}
	slices.SortFunc(left, func(a, b *indexedDay) int { return int(a.number - b.number) })
	with := map[int64][]uint32{}
	if len(left) <= fewDays {
		for _, d := range left {
			if err := s.lookUp(term, d.number, d.number, with); err != nil {
				return err
			}
		}
	} else if err := s.lookUp(term, left[0].number, left[len(left)-1].number, with); err != nil {
		return err
	}
	for _, d := range left {
		ordinals := with[d.number]
		if d.isWhole {
			d.fit, d.isWhole = ordinals, false
		} else {
			d.fit = intersect(d.fit, ordinals)
		}
	}
	return nil
}

// lookUp returns which calls of each day from first to last have one of a term's keys.
func (s *snapshot) lookUp(term alternatives, first, last int64, with map[int64][]uint32) error {
	for _, r := range term.ranges {
		if err := s.lookUpRange(r, first, last, with); err != nil {
			return err
		}
	}
	for day, ordinals := range with {
		slices.Sort(ordinals) // each key has its own order, and a call may have several
		with[day] = slices.Compact(ordinals)
	}
	return nil
}

func (s *snapshot) lookUpRange(r keyRange, first, last int64, with map[int64][]uint32) error {
	var rows *sql.Rows
	var err error
	if r.hi == "" {
		rows, err = s.conn.QueryContext(s.ctx, readAllPostings, int(r.field), first, last)
	} else {
		rows, err = s.postings.QueryContext(s.ctx, int(r.field), []byte(r.lo), []byte(r.hi), first, last)
	}
	if err != nil {
		return err
	}
	defer rows.Close()
	var sealed sql.RawBytes
	for rows.Next() {
		var day int64
		if err := rows.Scan(&day, &sealed); err != nil {
			return scanned(err)
		}
		data, err := unseal(sealed, placeOf(day, r.field))
		if err != nil {
			return err
		}
		if ordinals, err := r.search(data, with[day]); err != nil {
			return err
		} else if len(ordinals) > 0 {
			with[day] = ordinals
		}
	}
	return rows.Err()
}

// intersect returns what is in both lists, which ascend.
func intersect(a, b []uint32) []uint32 {
	both := a[:0]
	for len(a) > 0 && len(b) > 0 {
		switch {
		case a[0] < b[0]:
			a = a[1:]
		case a[0] > b[0]:
			b = b[1:]
		default:
			both = append(both, a[0])
			a, b = a[1:], b[1:]
		}
	}
	return both
}

// answer takes the steps that a day brings, and stops when there are n.
func (s *snapshot) answer(q Query, at *cursor, d *indexedDay, steps []found, n int) ([]found, error) {
	if !d.held {
		at.leave(d.number)
		return append(steps, found{unheld: dayName(d.number)}), nil
	}
	if trouble := d.trouble(); trouble != nil && at.entered != d.number {
		steps = append(steps, found{problem: trouble})
	}
	at.entered = d.number
	fit, err := s.within(q, at, d)
	if err != nil {
		return nil, err
	}
	if !at.oldestFirst {
		slices.Reverse(fit)
	}
	for _, ordinal := range fit {
		call, err := s.call(d.number, ordinal)
		if err != nil {
			return nil, err
		}
		if q.Matches(&call) {
			steps = append(steps, found{call: call})
			if at.pass(call.Position); len(steps) >= n {
				return steps, nil
			}
		}
	}
	at.leave(d.number)
	return steps, nil
}

// within returns which calls of a day have all terms, the length that is asked for, and a position that is left.
func (s *snapshot) within(q Query, at *cursor, d *indexedDay) ([]uint32, error) {
	hasLength := q.MinLength > 0 || q.MaxLength > 0
	isCut := at.first > firstOf(d.number) || at.last < firstOf(d.number+1)-1
	if !d.isWhole && (len(d.fit) == 0 || !hasLength && !isCut) {
		return d.fit, nil
	}
	fit := d.fit
	var seconds []int
	if d.isWhole || isCut {
		data, err := s.read(s.fact, d.number*maxFacts+factSeconds)
		if err == nil {
			seconds, err = unpackNumbers(data)
		}
		if err != nil {
			return nil, err
		}
	}
	if d.isWhole {
		fit = make([]uint32, len(seconds))
		for i := range fit {
			fit[i] = uint32(i)
		}
	}
	if isCut {
		from, to := between(seconds, firstOf(d.number), at)
		fit = slices.DeleteFunc(fit, func(o uint32) bool { return int(o) < from || int(o) >= to })
	}
	if !hasLength || len(fit) == 0 {
		return fit, nil
	}
	lengths, err := s.lengths(d.number)
	if err != nil {
		return nil, err
	}
	long := fit[:0]
	for _, ordinal := range fit {
		length, err := lengths.at(ordinal)
		if err != nil {
			return nil, err
		}
		if q.matchesLength(length) {
			long = append(long, ordinal)
		}
	}
	return long, nil
}

// between returns the ordinals from from on and below to whose positions are left.
func between(seconds []int, midnight Position, at *cursor) (from, to int) {
	position := func(i int) Position {
		same := sort.SearchInts(seconds[:i], seconds[i]) // calls of one second are numbered
		return midnight + Position(seconds[i]*maxPerSecond+min(i-same, maxPerSecond-1))
	}
	from = sort.Search(len(seconds), func(i int) bool { return position(i) >= at.first })
	to = sort.Search(len(seconds), func(i int) bool { return position(i) > at.last })
	return from, to
}

func (s *snapshot) lengths(day int64) (lengthsOfDay, error) {
	return s.read(s.fact, day*maxFacts+factLengths)
}

// read reads a sealed value that has to be there.
func (s *snapshot) read(statement *sql.Stmt, id int64) ([]byte, error) {
	var sealed []byte
	if err := statement.QueryRowContext(s.ctx, id).Scan(&sealed); errors.Is(err, sql.ErrNoRows) {
		return nil, errDamaged
	} else if err != nil {
		return nil, scanned(err)
	}
	return unseal(sealed, id)
}

// call reads a call.
func (s *snapshot) call(day int64, ordinal uint32) (Call, error) {
	id := day*maxPerDay + int64(ordinal/callsPerBlock)
	if id != s.at {
		data, err := s.read(s.block, id)
		if err != nil {
			return Call{}, err
		}
		s.at = -1
		if s.rows, err = s.unpacker.unpack(data); err != nil {
			return Call{}, err
		}
		s.at = id
	}
	i := int(ordinal % callsPerBlock)
	if i >= len(s.rows) {
		return Call{}, errDamaged
	}
	return decodeCall(s.rows[i], midnightOf(day), s.zone)
}
