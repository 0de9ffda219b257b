// Reads one consistent state of the index.

package search

import (
	"context"
	"database/sql"
	"errors"
	"slices"
	"sort"
	"time"
)

// snapshot is a consistent state of the index, unaffected by writes of other processes.
type snapshot struct {
	ctx  context.Context
	conn *sql.Conn
	zone *time.Location

	postings, block, fact *sql.Stmt

	unpacker unpacker
	at       int64 // the block of the rows
	rows     [][]byte
}

const (
	// readPostings returns, day by day, the runs that may have keys of a range, starting with the one that contains
	// its start.
	readPostings = `SELECT d.id, r.data FROM day d CROSS JOIN run r ON r.place = d.id*256 + ?1 AND r.first < ?3 AND r.first >= coalesce(
		(SELECT first FROM run WHERE place = d.id*256 + ?1 AND first <= ?2 ORDER BY first DESC LIMIT 1), x'')
		WHERE d.id BETWEEN ?4 AND ?5 ORDER BY d.id, r.first`
	readAllPostings = `SELECT d.id, r.data FROM day d CROSS JOIN run r ON r.place = d.id*256 + ?1
		WHERE d.id BETWEEN ?2 AND ?3 ORDER BY d.id, r.first`
	readBlock = "SELECT data FROM block WHERE id=?"
)

// look begins a snapshot, which the caller must end.
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
	_, _ = s.conn.ExecContext(s.ctx, "ROLLBACK") // fails if it has not begun
	return errors.Join(append(errs, s.conn.Close())...)
}

// indexedDay is a day with its calls that have all terms.
type indexedDay struct {
	number  int64
	held    bool
	problem string
	fit     []uint32 // their ordinals, ascending
	isWhole bool     // all calls, until a term is looked up
}

// trouble returns the error of a day that could not be read completely.
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

// maxDaysAtOnce limits the memory for postings.
const maxDaysAtOnce = 512

// chosen returns the next days, with the calls that have all terms. It returns no days at the end.
func (s *snapshot) chosen(at *cursor, p plan, n int) ([]indexedDay, error) {
	days, err := s.days(at, n)
	for _, term := range p.terms {
		if err == nil {
			err = s.choose(days, term)
		}
	}
	return days, err
}

// fewDays is the number of days up to which a term is looked up for each day, and not for the whole
// range.
const fewDays = 16

// choose keeps only the calls with a term.
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

// lookUp returns the calls with one of a term's keys for each day from first to last.
func (s *snapshot) lookUp(term alternatives, first, last int64, with map[int64][]uint32) error {
	for _, r := range term.ranges {
		if err := s.lookUpRange(r, first, last, with); err != nil {
			return err
		}
	}
	for day, ordinals := range with {
		slices.Sort(ordinals) // sorted per key only, and a call may have several keys
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

// intersect returns the elements of both ascending lists.
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

// within returns the calls of a day with all terms, the requested length, and a remaining position.
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

// between returns the ordinals from from to below to whose positions remain.
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

// read reads a sealed value that must exist.
func (s *snapshot) read(statement *sql.Stmt, id int64) ([]byte, error) {
	var sealed []byte
	if err := statement.QueryRowContext(s.ctx, id).Scan(&sealed); errors.Is(err, sql.ErrNoRows) {
		return nil, errDamaged
	} else if err != nil {
		return nil, scanned(err)
	}
	return unseal(sealed, id)
}

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
