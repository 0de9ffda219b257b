// Opens the search index, an SQLite file.

package search

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gofrs/flock"
	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"
)

// indexFormat is the version of the index file's content. It is in the file's name, so that programs of different
// versions do not touch each other's index.
const indexFormat = 2

// Index is an SQLite file with the content of an archive's days, so that searches need not read them. It is derived
// data: deleting it loses nothing. It is safe for concurrent use by goroutines and processes.
//
// A day's calls are in blocks, compressed, in chronological order. The postings of a day list the calls with each
// value of each field. A search reads the postings of its terms for every day, newest first, and then the calls with
// all terms. A day is written and deleted as a whole, and days share only the counts of names.
type Index struct {
	file string

	mu   sync.RWMutex
	db   *sql.DB     // nil from the detection of damage until Update recreates it; guarded by mu
	info os.FileInfo // of the file opened by db; guarded by mu

	knowsDays atomic.Bool // an update has added days
}

// IndexError means that the index's file cannot be used. Searches work without it.
type IndexError struct {
	File string
	Err  error
}

// Error implements error.
func (e *IndexError) Error() string { return fmt.Sprintf("use index %s: %v", e.File, e.Err) }

// Unwrap returns the cause.
func (e *IndexError) Unwrap() error { return e.Err }

// schema is that of indexFormat. Days are counted from 1970. Values of data are sealed: see seal.
const schema = `
CREATE TABLE day(
	id INTEGER PRIMARY KEY,
	files TEXT NOT NULL,         -- of which it was built: name, size and time of each
	held INTEGER NOT NULL,       -- 0: nothing of it is here yet, or it could not be read
	problem TEXT NOT NULL,       -- what of it could not be read
	calls INTEGER NOT NULL,
	recordings INTEGER NOT NULL,
	bytes INTEGER NOT NULL       -- of stored recordings
);
CREATE TABLE block(id INTEGER PRIMARY KEY, data BLOB NOT NULL);  -- calls: the day, then a number
CREATE TABLE fact(id INTEGER PRIMARY KEY, data BLOB NOT NULL);   -- of all calls of a day: the day, then the kind
CREATE TABLE run(id INTEGER PRIMARY KEY, place INTEGER NOT NULL, first BLOB NOT NULL, data BLOB NOT NULL); -- postings
CREATE UNIQUE INDEX run_place ON run(place, first);              -- the day, then the field; and the first key
CREATE TABLE name(kind INTEGER NOT NULL, id TEXT NOT NULL, name TEXT NOT NULL, calls INTEGER NOT NULL, PRIMARY KEY(kind, id, name)) WITHOUT ROWID;
`

// The parts of a row id below the day.
const (
	maxPerDay    = 1 << 24 // blocks, or runs
	maxFields    = 1 << 8
	maxFacts     = 1 << 8
	factSeconds  = 0 // time of each call, in seconds since midnight
	factLengths  = 1
	factNames    = 2
	secondsOfDay = 24 * 60 * 60
)

// dayNumber counts days from 1970.
func dayNumber(day string) int64 {
	t, _ := time.Parse(time.DateOnly, day) // days of the ledger are valid dates
	return t.Unix() / secondsOfDay
}

func midnightOf(number int64) time.Time { return time.Unix(number*secondsOfDay, 0).UTC() }

func dayName(number int64) string { return midnightOf(number).Format(time.DateOnly) }

// OpenIndex opens the index with this name in a folder, and creates both if missing. It recreates a damaged index,
// and removes those of older formats. The name identifies the archive. The error is an [*IndexError].
func OpenIndex(ctx context.Context, folder, name string) (*Index, error) {
	ix := &Index{file: filepath.Join(folder, indexName(name, indexFormat))}
	whole, err := filepath.Abs(ix.file) // SQLite treats the first part of a relative path as a host
	if err != nil {
		return nil, ix.fail(ctx, fmt.Errorf("find folder: %w", err))
	}
	ix.file = whole
	if err := ix.open(ctx, folder, name); err != nil {
		return nil, ix.fail(ctx, err)
	}
	return ix, nil
}

// HasIndex reports whether there is an index with this name in a folder, in any format.
func HasIndex(folder, name string) bool {
	found, err := filepath.Glob(filepath.Join(folder, name+"-v*.sqlite*"))
	return err == nil && len(found) > 0
}

func indexName(name string, format int) string { return fmt.Sprintf("%s-v%d.sqlite", name, format) }

func (ix *Index) open(ctx context.Context, folder, name string) error {
	if err := os.MkdirAll(folder, 0o700); err != nil {
		return fmt.Errorf("make folder: %w", err)
	}
	for format := range indexFormat {
		if err := removeIndex(filepath.Join(folder, indexName(name, format))); err != nil {
			return fmt.Errorf("remove index of an older version: %w", err)
		}
	}
	err := ix.connect(ctx)
	if !errors.Is(err, errNew) && !isDamage(err) {
		return err
	}
	unlock, err := ix.lock(ctx)
	if err != nil {
		return err
	}
	return errors.Join(ix.make(ctx), unlock())
}

// make creates a missing file, and recreates a damaged one. The caller must hold the lock.
func (ix *Index) make(ctx context.Context) error {
	ix.mu.Lock()
	defer ix.mu.Unlock()
	if ix.db != nil && ix.isCurrent() {
		return nil
	}
	if ix.db != nil { // another process has recreated the file
		_ = ix.db.Close() // nothing was written
		ix.db = nil
	}
	err := ix.connect(ctx)
	if err == nil || !errors.Is(err, errNew) && !isDamage(err) {
		return err
	}
	if err := removeIndex(ix.file); err != nil {
		return fmt.Errorf("remove damaged index: %w", err)
	}
	file, err := os.OpenFile(ix.file, os.O_RDWR|os.O_CREATE, 0o600) // SQLite's other files get the same rights
	if err == nil {
		err = file.Close()
	}
	if err == nil {
		err = create(ctx, ix.file)
	}
	if err == nil {
		err = ix.connect(ctx)
	}
	return err
}

// isCurrent reports whether the open file still has this name.
func (ix *Index) isCurrent() bool {
	info, err := os.Stat(ix.file)
	return err == nil && os.SameFile(info, ix.info)
}

// errNew means that there is no complete index yet.
var errNew = errors.New("there is no index yet")

// connect opens a file that has the schema.
func (ix *Index) connect(ctx context.Context) error {
	info, err := os.Stat(ix.file)
	if errors.Is(err, fs.ErrNotExist) || err == nil && info.Size() == 0 {
		return errNew
	}
	if err != nil {
		return err
	}
	db, err := sql.Open("sqlite", source(ix.file))
	if err != nil {
		return err
	}
	const connections = 4
	db.SetMaxOpenConns(connections)
	db.SetMaxIdleConns(connections)
	var format, tables int
	err = db.QueryRowContext(ctx, "SELECT (SELECT user_version FROM pragma_user_version), count(*) FROM sqlite_schema").Scan(&format, &tables)
	switch {
	case err == nil && format == 0 && tables == 0:
		err = errNew
	case err == nil && format != indexFormat:
		err = errDamaged
	case err == nil && info.Size() <= checkedBytes:
		err = checkWhole(ctx, db)
	}
	if err != nil {
		return errors.Join(err, db.Close())
	}
	ix.db, ix.info = db, info
	return nil
}

// checkedBytes is the maximum size of a file that is checked completely when opened, which takes about 10 ms. In
// larger files only the values read are checked, and an unlinked page may stay unnoticed.
const checkedBytes = 8 << 20

// checkWhole lets SQLite check its pages, and that each index matches its table.
func checkWhole(ctx context.Context, db *sql.DB) error {
	said := ""
	err := db.QueryRowContext(ctx, "PRAGMA integrity_check(1)").Scan(&said)
	if err == nil && said != "ok" {
		err = errDamaged
	}
	return err
}

// create writes the schema into an empty file.
func create(ctx context.Context, file string) (err error) {
	db, err := sql.Open("sqlite", source(file))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	db.SetMaxOpenConns(1) // because the statements are settings, and parts of one transaction
	for _, statement := range []string{
		"PRAGMA page_size=8192", "PRAGMA journal_mode=WAL", "BEGIN IMMEDIATE", schema, "PRAGMA user_version=" + strconv.Itoa(indexFormat), "COMMIT",
	} {
		if _, err := db.ExecContext(ctx, statement); err != nil {
			return err
		}
	}
	return nil
}

// source is the file with the settings of every connection. Deleted data is overwritten. Only checkpoints are synced,
// so a power failure may lose the newest days, which are then rebuilt.
func source(file string) string {
	path := filepath.ToSlash(file)
	if !strings.HasPrefix(path, "/") && filepath.IsAbs(file) {
		path = "/" + path // C:/…
	}
	settings := url.Values{"_pragma": {
		"busy_timeout(30000)", "secure_delete(1)", "synchronous(NORMAL)", "cell_size_check(1)", "temp_store(MEMORY)", "cache_size(-8192)",
	}}
	return (&url.URL{Scheme: "file", Path: path, RawQuery: settings.Encode()}).String()
}

// lock takes the lock for writing.
func (ix *Index) lock(ctx context.Context) (unlock func() error, err error) {
	const pause = 50 * time.Millisecond
	lock := flock.New(ix.file+".lock", flock.SetPermissions(0o600))
	if _, err := lock.TryLockContext(ctx, pause); err != nil {
		return nil, fmt.Errorf("lock: %w", err)
	}
	return lock.Unlock, nil
}

// removeIndex removes an index with SQLite's other files. Its lock stays, because another process may wait for it.
func removeIndex(file string) error {
	for _, suffix := range []string{"-wal", "-shm", "-journal", ""} {
		if err := os.Remove(file + suffix); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}

// isDamage reports whether an error means that the file is not the written index. A missing table, or deleted data in
// one, also means damage.
func isDamage(err error) bool {
	if errors.Is(err, errDamaged) {
		return true
	}
	failed, ok := errors.AsType[*sqlite.Error](err)
	if !ok {
		return false
	}
	switch failed.Code() & 0xff {
	case sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_ERROR, sqlite3.SQLITE_CONSTRAINT, sqlite3.SQLITE_MISMATCH:
		return true
	}
	return failed.Code() == sqlite3.SQLITE_IOERR_SHORT_READ
}

// scanned converts an error of reading a row to damage if a value has the wrong type.
func scanned(err error) error {
	if _, ok := errors.AsType[*sqlite.Error](err); err == nil || ok {
		return err
	}
	for _, other := range []error{sql.ErrNoRows, context.Canceled, context.DeadlineExceeded} {
		if errors.Is(err, other) {
			return err
		}
	}
	return fmt.Errorf("%w: %w", errDamaged, err)
}

// discard removes a damaged index. Concurrent callers get errors.
func (ix *Index) discard() error {
	ix.knowsDays.Store(false)
	ix.mu.Lock()
	defer ix.mu.Unlock()
	if ix.db == nil {
		return nil
	}
	isCurrent := ix.isCurrent()
	_ = ix.db.Close()            // errors of a damaged file do not matter
	if ix.db = nil; !isCurrent { // another process was first
		return nil
	}
	return removeIndex(ix.file)
}

// doubt discards the index after an error that means damage. If it cannot, the next update tries again.
func (ix *Index) doubt(err error) {
	if isDamage(err) {
		_ = ix.discard()
	}
}

// Close closes the file. A concurrent search gets an error.
func (ix *Index) Close() error {
	ix.mu.Lock()
	defer ix.mu.Unlock()
	if ix.db == nil {
		return nil
	}
	err := ix.db.Close()
	ix.db = nil
	return err
}

// fail adds the file to an error of the index.
func (ix *Index) fail(ctx context.Context, err error) error {
	if err == nil {
		return nil
	}
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if _, ok := errors.AsType[*IndexError](err); ok {
		return err
	}
	return &IndexError{File: ix.file, Err: err}
}

// conn returns a connection, which the caller must close.
func (ix *Index) conn(ctx context.Context) (*sql.Conn, error) {
	ix.mu.RLock()
	db := ix.db
	ix.mu.RUnlock()
	if db == nil {
		return nil, errDamaged
	}
	return db.Conn(ctx)
}
