// Reads totals and names from the index.

package search

import (
	"context"
	"database/sql"
	"errors"
)

// Coverage returns the number of days in the index, and of known days. The difference is read at each search: days not
// updated yet, or unreadable ones.
func (ix *Index) Coverage(ctx context.Context) (held, known int, err error) {
	err = ix.query(ctx, "SELECT coalesce(sum(held),0), count(*) FROM day", func(rows *sql.Rows) error { return rows.Scan(&held, &known) })
	return held, known, ix.fail(ctx, err)
}

// names returns how many calls have each name, and the days that are not in the index.
func (ix *Index) names(ctx context.Context) (counts map[nameOf]int, days []string, err error) {
	counts = map[nameOf]int{}
	err = ix.query(ctx, "SELECT kind, id, name, calls FROM name", func(rows *sql.Rows) error {
		var n nameOf
		var calls int
		err := rows.Scan(&n.kind, &n.id, &n.name, &calls)
		counts[n] = calls
		return err
	})
	if err != nil {
		return nil, nil, err
	}
	err = ix.query(ctx, "SELECT id FROM day WHERE held=0", func(rows *sql.Rows) error {
		var day int64
		err := rows.Scan(&day)
		days = append(days, dayName(day))
		return err
	})
	return counts, days, err
}

// totals returns the totals of each day, and the days that are not in the index.
func (ix *Index) totals(ctx context.Context) (totals []Total, days []string, err error) {
	err = ix.query(ctx, "SELECT id, held, calls, recordings, bytes FROM day", func(rows *sql.Rows) error {
		var day int64
		var held bool
		var t Total
		err := rows.Scan(&day, &held, &t.Calls, &t.Recordings, &t.Bytes)
		if t.Day = dayName(day); held {
			totals = append(totals, t)
		} else {
			days = append(days, t.Day)
		}
		return err
	})
	return totals, days, err
}

// query calls visit for each row of a statement.
func (ix *Index) query(ctx context.Context, statement string, visit func(*sql.Rows) error) (err error) {
	conn, err := ix.conn(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, conn.Close()) }()
	rows, err := conn.QueryContext(ctx, statement)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		if err := visit(rows); err != nil {
			return scanned(err)
		}
	}
	return rows.Err()
}
