// Reads and writes the note _archive.json, with which an export detects changed days.

package export

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"slices"
)

// NoteName is the file at an export's root with the state from which it was made.
const NoteName = "_archive.json"

// noteVersion is the highest version of a note that this program reads, and the version that it
// writes.
const noteVersion = 1

// note is the content of NoteName. It contains ids, hashes and sizes, but no personal data.
type note struct {
	V       int    `json:"v"`
	Kind    string `json:"kind"`    // "export"
	Archive string `json:"archive"` // its id
	About
	Format     Format             `json:"format"`
	Excel      bool               `json:"excel,omitzero"`
	Query      string             `json:"query"`      // the terms, canonical; personal values as a hash
	Erasures   []string           `json:"erasures"`   // ids of erasures applied to the files
	Calls      int64              `json:"calls"`      // rows of all days
	Recordings int64              `json:"recordings"` // likewise
	Bytes      int64              `json:"bytes"`      // of the files of all days
	Days       map[string]dayNote `json:"days"`
}

// About identifies the account of an archive.
type About struct {
	AccountID string `json:"account_id"`
	APIURL    string `json:"api_url"`
	TimeZone  string `json:"time_zone"`
}

// dayNote is the state of one day's files.
type dayNote struct {
	From       string   `json:"from"` // fingerprint of their source
	Calls      fileNote `json:"calls,omitzero"`
	Recordings fileNote `json:"recordings,omitzero"`
	Erasures   []string `json:"erasures,omitempty"`
}

// fileNote is one file; a table without rows has none.
type fileNote struct {
	Rows  int64 `json:"rows"`
	Bytes int64 `json:"bytes"`
}

// OtherExportError means that the target contains something other than an earlier state of this
// export.
type OtherExportError struct{ What string }

// Error implements error. It says what to do.
func (e *OtherExportError) Error() string {
	return "the target holds " + e.What + ": give another target, or empty this one"
}

// LaterError means that a later version of the program wrote the export.
type LaterError struct{ V int }

// Error implements error.
func (e *LaterError) Error() string {
	return fmt.Sprintf("read %s: it has format version %d, and this program knows %d: use a newer program, or another target", NoteName, e.V, noteVersion)
}

const kindExport = "export"

// open reads the note of an earlier run, and lists the files. Without a note, there must be no files.
func (r *run) open(ctx context.Context) (n note, files map[string]int64, err error) {
	n = note{
		V: noteVersion, Kind: kindExport, Archive: r.ArchiveID, About: r.About, Format: r.Format, Excel: r.Excel, Query: r.Terms,
		Erasures: []string{}, Days: map[string]dayNote{},
	}
	r.stored, err = r.Target.Read(ctx, NoteName)
	isNew := errors.Is(err, fs.ErrNotExist)
	if err != nil && !isNew {
		return n, nil, err
	}
	if !isNew {
		var old note
		if old, err = r.parse(r.stored, n); err != nil {
			return n, nil, err
		}
		n.Days = old.Days
	}
	files = map[string]int64{}
	for f, err := range r.Target.Files(ctx) {
		if err != nil {
			return n, nil, err
		}
		if isNew && isForeign(f.Name) {
			return n, nil, &OtherExportError{"files that no export has written"}
		}
		files[f.Name] = f.Size
	}
	return n, files, nil
}

// isForeign reports whether a file means that a target does not count as empty.
func isForeign(name string) bool { return name[0] != '.' && !isTemp(name) }

// parse reads a note and compares it with the expected one.
func (r *run) parse(text []byte, want note) (note, error) {
	var old note
	err := json.Unmarshal(text, &old)
	switch {
	case old.V > noteVersion:
		return old, &LaterError{old.V}
	case err != nil || old.Kind != kindExport || old.V < 1:
		return old, &OtherExportError{"a " + NoteName + " that cannot be read"}
	case old.Archive != want.Archive:
		return old, &OtherExportError{"an export of another archive"}
	case old.Format != want.Format || old.Excel != want.Excel:
		return old, &OtherExportError{fmt.Sprintf("an export in another format (%s)", formName(old.Format, old.Excel))}
	case old.Query != want.Query:
		return old, &OtherExportError{"an export with other search terms"}
	}
	if old.Days == nil {
		old.Days = map[string]dayNote{}
	}
	return old, nil
}

func formName(f Format, excel bool) string {
	if !slices.Contains(Formats(), f) {
		return "unknown"
	}
	if excel {
		return string(f) + " for Excel"
	}
	return string(f)
}

// save writes the note, unless it is unchanged.
func (r *run) save(ctx context.Context, n *note) error {
	n.Calls, n.Recordings, n.Bytes = 0, 0, 0
	erasures := map[string]bool{}
	for _, day := range n.Days {
		n.Calls += day.Calls.Rows
		n.Recordings += day.Recordings.Rows
		n.Bytes += day.Calls.Bytes + day.Recordings.Bytes
		for _, id := range day.Erasures {
			erasures[id] = true
		}
	}
	n.Erasures = slices.AppendSeq([]string{}, maps.Keys(erasures))
	slices.Sort(n.Erasures)
	text, err := json.MarshalIndent(n, "", " ")
	if err != nil {
		return fmt.Errorf("write %s: %w", NoteName, err)
	}
	text = append(text, '\n')
	return r.put(ctx, NoteName, text, &r.stored)
}

// put writes a small file, unless it is unchanged.
func (r *run) put(ctx context.Context, name string, text []byte, stored *[]byte) error {
	if bytes.Equal(text, *stored) {
		return nil
	}
	_, err := r.Target.Replace(ctx, name, func(w io.Writer) error {
		_, err := w.Write(text)
		return err
	})
	if err == nil {
		*stored = text
	}
	return err
}
