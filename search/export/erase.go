// Updates an export after an erasure.

package export

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
)

// Noted is the content of an export's note.
type Noted struct {
	Archive  string // its id
	Format   Format
	Excel    bool
	HasTerms bool // it was made with terms, so it does not contain every call

	note  note
	files map[string]int64
}

// Holds reports whether the export may have files of a day.
func (n *Noted) Holds(day string) bool {
	_, noted := n.note.Days[day]
	for _, table := range []string{tableCalls, tableRecordings} {
		_, there := n.files[nameOf(table, day, n.Format)]
		noted = noted || there
	}
	return noted
}

// OpenNoted opens a folder, which must contain an export. The caller must close the folder.
func OpenNoted(ctx context.Context, name string) (*Folder, Noted, error) {
	if _, err := os.Stat(filepath.Join(name, NoteName)); err != nil {
		return nil, Noted{}, fmt.Errorf("it contains no %s", NoteName)
	}
	folder, err := OpenFolder(name)
	if err != nil {
		return nil, Noted{}, err
	}
	noted, err := readNote(ctx, folder)
	if err != nil {
		return nil, Noted{}, errors.Join(err, folder.Close())
	}
	return folder, noted, nil
}

func readNote(ctx context.Context, target Target) (n Noted, err error) {
	text, err := target.Read(ctx, NoteName)
	if err != nil {
		return n, err
	}
	err = json.Unmarshal(text, &n.note)
	switch {
	case n.note.V > noteVersion:
		return n, &LaterError{n.note.V}
	case err != nil || n.note.Kind != kindExport:
		return n, fmt.Errorf("%s cannot be read", NoteName)
	}
	n.Archive, n.Format, n.Excel, n.HasTerms = n.note.Archive, n.note.Format, n.note.Excel, n.note.Query != ""
	n.files = map[string]int64{}
	for f, err := range target.Files(ctx) {
		if err != nil {
			return n, err
		}
		n.files[f.Name] = f.Size
	}
	return n, nil
}

// Drop removes the files of days from an export, whose next run writes them again, and partly written files of a
// killed run. It returns the number of days with removed files.
func Drop(ctx context.Context, target Target, n Noted, days []string) (dropped int, err error) {
	text, err := target.Read(ctx, NoteName)
	if err != nil {
		return 0, err
	}
	r := &run{Export: &Export{Target: target, Format: n.Format, Logger: slog.New(slog.DiscardHandler)}, note: n.note, files: n.files, stored: text}
	for name := range n.files {
		if isTemp(name) {
			if err := target.Remove(ctx, name); err != nil {
				return 0, err
			}
		}
	}
	for _, day := range days {
		if !n.Holds(day) {
			continue
		}
		dropped++
		for _, table := range []string{tableCalls, tableRecordings} {
			if _, err := r.writeTable(ctx, table, day, 0, nil); err != nil {
				return dropped, err
			}
		}
		delete(r.note.Days, day)
	}
	return dropped, r.save(ctx, &r.note)
}
