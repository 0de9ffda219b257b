// Writes index.csv and playlist.m3u8.

package copier

import (
	"bufio"
	"encoding/csv"
	"encoding/hex"
	"errors"
	"hash/fnv"
	"io"
	"io/fs"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// ErrForeign means that the folder has a table or a playlist that is not from a copy.
var ErrForeign = errors.New("the folder contains an " + IndexFile + " or a " + PlaylistFile + " that find did not write")

const (
	playlistStart = "#EXTM3U\n"
	playlistMark  = "# written by convoso-archiver find\n"
)

// columns are the columns of index.csv: the file, the call with the API's names, and the manifest's data of the
// recording.
func columns() []string {
	return []string{
		"file", "recording_id", "id", "call_date", "call_time", "campaign_id", "campaign", "user_id", "user", "status", "status_name",
		"call_type", "call_length", "phone_number", "number_dialed", "first_name", "last_name", "lead_id", "list_id", "queue_id",
		"called_count", "agent_comment", "size", "content_type", "sha256",
	}
}

// tables are the index and the playlist during writing.
type tables struct {
	f        *folder
	index    *part
	playlist *part
	rows     *csv.Writer
	entries  *bufio.Writer
	column   map[string]int
	written  map[uint64]bool // hashes of file and recording id
}

// beginTables refuses, before anything is copied, to replace tables that are not from a copy.
func (f *folder) beginTables() (*tables, error) {
	if err := f.checkTables(); err != nil {
		return nil, err
	}
	index, err := f.newPart()
	if err != nil {
		return nil, err
	}
	playlist, err := f.newPart()
	if err != nil {
		index.discard()
		return nil, err
	}
	t := &tables{
		f: f, index: index, playlist: playlist, rows: csv.NewWriter(index.file), entries: bufio.NewWriter(playlist.file),
		column: map[string]int{}, written: map[uint64]bool{},
	}
	t.rows.UseCRLF = true
	for i, name := range columns() {
		t.column[name] = i
	}
	err = t.rows.Write(columns())
	if _, listErr := t.entries.WriteString(playlistStart + playlistMark); err == nil {
		err = listErr
	}
	return t, folderError("write the index", err)
}

// checkTables checks the tables of an earlier copy.
func (f *folder) checkTables() error {
	const op = "look into the folder for the copies"
	if err := f.eachOldRow(func([]string) error { return errEnough }); err != nil && !errors.Is(err, errEnough) {
		return err
	}
	if err := f.isOwnFile(PlaylistFile); err != nil {
		return err
	}
	file, err := f.root.Open(PlaylistFile)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return folderError(op, err)
	}
	defer file.Close() // read only
	start := make([]byte, len(playlistStart+playlistMark))
	if _, err := io.ReadFull(file, start); err != nil || string(start) != playlistStart+playlistMark {
		return ErrForeign
	}
	return nil
}

// isOwnFile fails for anything that is not a file: reading a pipe could block for ever.
func (f *folder) isOwnFile(name string) error {
	info, err := f.root.Lstat(name)
	if err == nil && !info.Mode().IsRegular() {
		return ErrForeign
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return folderError("look into the folder for the copies", err)
	}
	return nil
}

var errEnough = errors.New("enough rows")

// eachOldRow visits the rows of the index of an earlier copy. It skips a damaged end: the files exist, and their next
// copy adds the rows again.
func (f *folder) eachOldRow(visit func(row []string) error) error {
	if err := f.isOwnFile(IndexFile); err != nil {
		return err
	}
	file, err := f.root.Open(IndexFile)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return folderError("read the index", err)
	}
	defer file.Close() // read only
	in := csv.NewReader(bufio.NewReader(file))
	header, err := in.Read()
	if err != nil || !slices.Equal(header, columns()) {
		return ErrForeign
	}
	for {
		row, err := in.Read()
		if err != nil {
			return nil
		}
		if err := visit(row); err != nil {
			return err
		}
	}
}

// note writes the results of the tasks in order, and then the rows of earlier copies.
func (c *Copy) note(t *tables) error {
	var failed error
	for task := range c.order {
		<-task.done
		switch {
		case task.left != nil:
			c.count(task)
			if c.o.Tell != nil {
				c.o.Tell(*task.left)
			}
		case task.name != "":
			c.count(task)
			if c.o.Done != nil {
				c.o.Done(task.rec, task.name)
			}
			if failed == nil {
				if failed = t.add(rowOf(task), secondsOf(task)); failed != nil {
					c.stop(failed)
				}
			}
		}
	}
	if failed == nil {
		failed = t.finish()
	}
	t.index.discard()
	t.playlist.discard()
	return failed
}

func (c *Copy) count(t *task) {
	switch {
	case t.left != nil && t.left.Damaged:
		c.counts.Damaged++
	case t.left != nil:
		c.counts.Unread++
	case t.copied:
		c.counts.Copied++
		c.counts.CopiedBytes += t.rec.State.Size
	default:
		c.counts.There++
	}
}

func rowOf(t *task) []string {
	values := t.call.Values()
	for name, value := range values {
		values[name] = guarded(value)
	}
	for name, value := range map[string]string{
		"file": t.name, "recording_id": t.rec.ID, "id": t.call.ID, "call_time": instant(&t.call),
		"size": strconv.FormatInt(t.rec.State.Size, 10), "content_type": t.rec.State.ContentType, "sha256": hex.EncodeToString(t.rec.State.SHA256[:]),
	} {
		values[name] = value
	}
	if values["call_date"] == "" {
		values["call_date"] = t.call.Day
	}
	if values["call_length"] == "" && t.call.Length >= 0 {
		values["call_length"] = strconv.Itoa(t.call.Length)
	}
	row := make([]string, 0, len(columns()))
	for _, name := range columns() {
		row = append(row, values[name])
	}
	return row
}

// guarded prevents a spreadsheet from reading a text as a formula: names and comments are remote input.
func guarded(text string) string {
	if text != "" && strings.IndexByte("=+-@\t\r", text[0]) >= 0 {
		return "'" + text
	}
	return text
}

// add writes a row, and its entry of the playlist, with its duration.
func (t *tables) add(row []string, seconds int) error {
	id := fnv.New64a()
	_, _ = io.WriteString(id, row[0]+"\x00"+row[1])
	if t.written[id.Sum64()] {
		return nil
	}
	t.written[id.Sum64()] = true
	err := t.rows.Write(row)
	if _, listErr := t.entries.WriteString(t.entry(row, seconds)); err == nil {
		err = listErr
	}
	return folderError("write the index", err)
}

// finish adds the rows of earlier copies that still have their file, and replaces the old tables.
func (t *tables) finish() error {
	old, err := t.f.openPlaylist()
	if err != nil {
		return err
	}
	defer old.close()
	err = t.f.eachOldRow(func(row []string) error {
		seconds := old.next(row[0])
		if _, err := t.f.root.Lstat(filepath.FromSlash(row[0])); err != nil {
			return nil
		}
		return t.add(row, seconds)
	})
	if err != nil {
		return err
	}
	t.rows.Flush()
	if err := errors.Join(t.rows.Error(), t.entries.Flush()); err != nil {
		return folderError("write the index", err)
	}
	for _, table := range []struct {
		part *part
		name string
	}{{t.index, IndexFile}, {t.playlist, PlaylistFile}} {
		if err := table.part.sync(); err != nil {
			return err
		}
		if err := t.f.root.Rename(table.part.name, table.name); err != nil {
			return folderError("write the index", err)
		}
	}
	return nil
}
