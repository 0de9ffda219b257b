// Sends selected calls as ZIP or CSV.

package web

import (
	"archive/zip"
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/csv"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"convoso-archiver/search"
)

const (
	maxSelected = 1000 // calls
	maxListed   = 200_000
	maxSample   = 1000 // random calls, which are held in memory
	listBatch   = 500  // calls whose ids are logged and then sent
)

// chosen is a call that was selected, with its recordings.
type chosen struct {
	call search.Call
	refs []*recording
}

// begins takes a place for a download, and reports whether one was free.
func (s *Server) begins(w http.ResponseWriter, r *http.Request) (end func(), ok bool) {
	name := userOf(r).name
	if !s.handovers.take(name) {
		w.Header().Set("Retry-After", "30")
		s.refuse(w, r, http.StatusServiceUnavailable, "Too many downloads are in progress.", "Try again when one has ended.")
		return nil, false
	}
	return func() { s.handovers.leave(name) }, true
}

// zip sends the stored recordings of the selected calls with a table and their hashes.
func (s *Server) zip(w http.ResponseWriter, r *http.Request) {
	if !s.readForm(w, r) {
		return
	}
	if !userOf(r).Download {
		s.noteRefused(r, Access{What: "zip_refused"})
		s.refuse(w, r, http.StatusForbidden, "You may not download recordings.", "Listen to them on the page.")
		return
	}
	reason, ok := s.reasonOf(w, r)
	if !ok {
		return
	}
	selection, ok := s.selection(w, r)
	if !ok {
		return
	}
	end, ok := s.begins(w, r)
	if !ok {
		return
	}
	defer end()
	var lines []Access
	for _, c := range selection {
		for _, ref := range c.refs {
			lines = append(lines, Access{What: "zip", Day: ref.day, RecordingID: ref.id, CallID: ref.callID, Reason: reason})
		}
	}
	if len(lines) == 0 {
		s.refuse(w, r, http.StatusNotFound, "None of these calls has a recording in the archive.", "Select other calls. The details of a call show the reason.")
		return
	}
	if !s.note(w, r, lines...) {
		return
	}
	w.Header().Set("Content-Type", "application/zip")
	w.Header().Set("Content-Disposition", `attachment; filename="recordings.zip"`)
	if err := s.writeZIP(r.Context(), &slowWriter{w: w, end: time.Now().Add(longestAnswer)}, selection, newMasker(userOf(r))); err != nil {
		if r.Context().Err() == nil {
			s.Logger.Warn("a ZIP was not sent completely", "err", withoutAddress(err))
		}
		panic(http.ErrAbortHandler) // the client must notice the truncation
	}
}

// withoutAddress removes addresses from a network error.
func withoutAddress(err error) string {
	if errors.Is(err, context.DeadlineExceeded) || strings.Contains(err.Error(), "timeout") {
		return "the client was too slow"
	}
	return "the client went away, or the store failed"
}

// selection finds the calls that a form names.
func (s *Server) selection(w http.ResponseWriter, r *http.Request) ([]chosen, bool) {
	names := r.PostForm["call"]
	switch {
	case len(names) == 0:
		s.refuse(w, r, http.StatusBadRequest, "Nothing is selected.", "Tick the calls whose recordings you want.")
		return nil, false
	case len(names) > maxSelected:
		s.refuse(w, r, http.StatusRequestEntityTooLarge, "Too many calls are selected.", "Select at most 1,000.")
		return nil, false
	}
	slices.Sort(names) // by day, so each day is read once
	u := userOf(r)
	var list []chosen
	for _, name := range slices.Compact(names) {
		day, id, _ := strings.Cut(name, "/")
		c, err := s.catalog.call(r.Context(), day, id)
		if c == nil && err != nil {
			s.trouble(w, r, "read a call", err)
			return nil, false
		}
		if c == nil || !u.may(&c.Fields) {
			line := Access{What: "zip_refused"}
			if c != nil {
				line.CallID = c.ID
			}
			s.noteUnseen(r, line, day)
			s.refuse(w, r, http.StatusNotFound, "One of these calls does not exist.", "You may not see it, or the archive has changed. Load the list again.")
			return nil, false
		}
		one := chosen{call: *c}
		for _, rec := range c.Recordings {
			if rec.Stored() {
				one.refs = append(one.refs, newRecording(c, rec))
			}
		}
		list = append(list, one)
	}
	return list, true
}

// writeZIP writes index.csv first and sha256sums.txt at the end, and errors.txt if there are problems. The hashes are
// from the manifest, so sha256sum -c finds later changes.
func (s *Server) writeZIP(ctx context.Context, w io.Writer, selection []chosen, mask masker) error {
	archive := zip.NewWriter(w)
	index, err := entry(archive, "index.csv", time.Now())
	if err != nil {
		return err
	}
	hash := sha256.New()
	names := map[string]bool{}
	if err := writeIndex(io.MultiWriter(index, hash), selection, mask, names); err != nil {
		return err
	}
	sums := []string{hex.EncodeToString(hash.Sum(nil)) + "  index.csv"}
	var wrong []string
	clear(names)
	for _, c := range selection {
		for _, ref := range c.refs {
			name := ref.day + "/" + uniqueName(names, ref)
			problem, isThere, err := s.addAudio(ctx, archive, name, ref)
			if err != nil {
				return err
			}
			if problem != "" {
				wrong = append(wrong, name+": "+problem)
				if problem == zipRemoved {
					continue
				}
				s.Logger.Error("a recording in a ZIP is damaged: run verify", "recording_id", ref.id, "day", ref.day, "problem", problem)
			}
			if sum := ref.sum(); isThere && sum != "" {
				sums = append(sums, sum+"  "+name)
			}
		}
	}
	if len(wrong) > 0 {
		wrong = append([]string{"These recordings are missing from this ZIP, or damaged in it:", ""}, wrong...)
		if err := writeLines(archive, "errors.txt", wrong); err != nil {
			return err
		}
	}
	if err := writeLines(archive, "sha256sums.txt", sums); err != nil {
		return err
	}
	return archive.Close()
}

func entry(archive *zip.Writer, name string, at time.Time) (io.Writer, error) {
	return archive.CreateHeader(&zip.FileHeader{Name: name, Method: zip.Store, Modified: at})
}

func writeLines(archive *zip.Writer, name string, lines []string) error {
	w, err := entry(archive, name, time.Now())
	if err == nil {
		_, err = io.WriteString(w, strings.Join(lines, "\n")+"\n")
	}
	return err
}

// addAudio adds a recording and returns what is wrong with it. An error means that the ZIP cannot
// be written.
func (s *Server) addAudio(ctx context.Context, archive *zip.Writer, name string, ref *recording) (problem string, isThere bool, err error) {
	body, err := s.Audio.OpenRange(ctx, ref.Key, 0, max(ref.Size, 1))
	if errors.Is(err, fs.ErrNotExist) && s.isRemoved(ctx, ref) {
		return zipRemoved, false, nil
	}
	if errors.Is(err, fs.ErrNotExist) {
		return "it is archived, but its file is missing", false, nil
	}
	if err != nil {
		return "it cannot be read at the moment", false, ctx.Err()
	}
	defer body.Close()
	w, err := entry(archive, name, ref.wall)
	if err != nil {
		return "", false, err
	}
	hash := sha256.New()
	source := &watchedReader{r: io.LimitReader(body, ref.Size)}
	n, err := io.Copy(io.MultiWriter(w, hash), source)
	switch {
	case err != nil && source.err == nil:
		return "", false, err // of the client
	case ctx.Err() != nil:
		return "", false, ctx.Err()
	case err != nil:
		return fmt.Sprintf("only %d of its %d bytes could be read", n, ref.Size), true, nil
	case n != ref.Size:
		return fmt.Sprintf("size mismatch: it has %d bytes, %d were archived", n, ref.Size), true, nil
	case ref.sum() != "" && hex.EncodeToString(hash.Sum(nil)) != ref.sum():
		return "checksum mismatch: its bytes differ from the archived ones", true, nil
	}
	return "", true, nil
}

// zipRemoved is wrong with a recording that was removed on purpose after it was selected.
const zipRemoved = "it was erased, or its retention has ended"

// watchedReader remembers a read error, to distinguish it from a write error.
type watchedReader struct {
	r   io.Reader
	err error
}

// Read implements io.Reader.
func (w *watchedReader) Read(p []byte) (int, error) {
	n, err := w.r.Read(p)
	if err != nil && !errors.Is(err, io.EOF) {
		w.err = err
	}
	return n, err
}

func uniqueName(names map[string]bool, ref *recording) string {
	name := fileName(ref)
	for i := 2; names[ref.day+name]; i++ {
		name = fmt.Sprintf("%d_%s", i, fileName(ref))
	}
	names[ref.day+name] = true
	return name
}

// slowWriter sets a deadline of one minute for each write.
type slowWriter struct {
	w   http.ResponseWriter
	end time.Time
}

// Write implements io.Writer.
func (s *slowWriter) Write(p []byte) (int, error) {
	deadline := time.Now().Add(writeTime)
	if deadline.After(s.end) {
		deadline = s.end
	}
	_ = http.NewResponseController(s.w).SetWriteDeadline(deadline) // test connections do not support it
	return s.w.Write(p)
}

// columns are the columns of every table in a download.
func columns() []string {
	return []string{
		"day", "call_date", "call_id", "lead_id", "list_id", "campaign_id", "campaign", "user_id", "user", "status", "status_name", "call_type",
		"call_length", "phone_number", "number_dialed", "first_name", "last_name", "agent_comment",
	}
}

func cells(c *search.Call, mask masker) []string {
	f := mask.fields(c.Fields)
	seconds := ""
	if c.Length >= 0 {
		seconds = strconv.Itoa(c.Length)
	}
	row := []string{
		c.Day, c.Wall.Format(time.DateTime), c.ID, f.LeadID, f.ListID, f.CampaignID, f.Campaign, f.UserID, f.User, f.Status, f.StatusName, f.CallType,
		seconds, f.PhoneNumber, f.NumberDialed, f.FirstName, f.LastName, f.Comment,
	}
	for i := range row {
		row[i] = plainCell(row[i])
	}
	return row
}

// plainCell keeps a spreadsheet from reading a text as a formula.
func plainCell(text string) string {
	if text == "" || !strings.ContainsRune("=+-@\t\r", rune(text[0])) {
		return text
	}
	if text[0] == '+' && strings.Trim(text[1:], "0123456789 ()-.") == "" && len(text) > 1 {
		return text // a number
	}
	return "'" + text
}

func writeIndex(w io.Writer, selection []chosen, mask masker, names map[string]bool) error {
	table := csv.NewWriter(w)
	_ = table.Write(append(columns(), "recording_id", "state", "file", "bytes", "sha256")) // Flush reports the error
	for _, c := range selection {
		row := cells(&c.call, mask)
		if len(c.call.Recordings) == 0 {
			_ = table.Write(append(slices.Clone(row), "", "no recording", "", "", ""))
		}
		for _, rec := range c.call.Recordings {
			if !rec.Stored() {
				_ = table.Write(append(slices.Clone(row), plainCell(rec.ID), whyNot(rec), "", "", ""))
				continue
			}
			ref := newRecording(&c.call, rec)
			_ = table.Write(append(slices.Clone(row), plainCell(rec.ID), "archived", ref.day+"/"+uniqueName(names, ref), strconv.FormatInt(rec.Size, 10), ref.sum()))
		}
	}
	table.Flush()
	return table.Error()
}

// csv sends the complete list for an address.
func (s *Server) csv(w http.ResponseWriter, r *http.Request) {
	if !s.readForm(w, r) {
		return
	}
	u := userOf(r)
	if !u.Download {
		s.noteRefused(r, Access{What: "csv_refused"})
		s.refuse(w, r, http.StatusForbidden, "You may not download lists.", "Use the list on the page.")
		return
	}
	reason, ok := s.reasonOf(w, r)
	if !ok {
		return
	}
	a := parseQuery(r.URL.Query(), time.Now(), s.Archive.Zone())
	a.keep("", u.check(a.query))
	if len(a.wrong) > 0 {
		s.refuse(w, r, http.StatusBadRequest, "The search has a mistake.", sentence(label(a.wrong[0].Name)+": "+a.wrong[0].Problem))
		return
	}
	end, ok := s.begins(w, r)
	if !ok {
		return
	}
	defer end()
	a.query = u.allowed(a.query)
	a.query.After = 0
	a.query.Limit = min(cmp.Or(a.query.Limit, maxListed), maxListed)
	if a.query.Sample > 0 {
		a.query.Limit = 0
	}
	s.sendCSV(w, r, a.query, reason)
}

// sendCSV logs the ids of a batch of calls, sends the batch, and continues.
func (s *Server) sendCSV(w http.ResponseWriter, r *http.Request, q search.Query, reason string) {
	mask := newMasker(userOf(r))
	table := csv.NewWriter(&slowWriter{w: w, end: time.Now().Add(longestAnswer)})
	begun := false
	var batch []search.Call
	send := func() bool {
		var ids []string
		for i := range batch {
			ids = append(ids, batch[i].ID)
		}
		if len(ids) > 0 && !s.noteBatch(w, r, begun, Access{What: "csv", CallIDs: ids, Reason: reason}) {
			return false
		}
		if !begun {
			begun = true
			w.Header().Set("Content-Type", "text/csv; charset=utf-8")
			w.Header().Set("Content-Disposition", `attachment; filename="calls.csv"`)
			_ = table.Write(append(columns(), "recordings", "state"))
		}
		for i := range batch {
			c := &batch[i]
			var recordings []string
			for _, rec := range c.Recordings {
				recordings = append(recordings, rec.ID)
			}
			_ = table.Write(append(cells(c, mask), plainCell(strings.Join(recordings, " ")), state(c)))
		}
		batch = batch[:0]
		table.Flush()
		return table.Error() == nil
	}
	for c, err := range s.Archive.Search(r.Context(), q) {
		if _, some := errors.AsType[*search.DayError](err); some {
			s.Logger.Error("a day cannot be read for a list", "err", err)
			if !begun {
				s.trouble(w, r, "make a list", err)
				return
			}
			panic(http.ErrAbortHandler) // a list with a silent gap would mislead
		}
		if err != nil {
			if !begun {
				s.trouble(w, r, "make a list", err)
				return
			}
			panic(http.ErrAbortHandler)
		}
		if batch = append(batch, c); len(batch) == listBatch && !send() {
			return
		}
	}
	if len(batch) > 0 || !begun {
		send()
	}
}

// noteBatch logs the next batch. If that fails after the first batch, the list is cut off.
func (s *Server) noteBatch(w http.ResponseWriter, r *http.Request, begun bool, line Access) bool {
	if !begun {
		return s.note(w, r, line)
	}
	u := userOf(r)
	line.Time, line.User, line.From = time.Now(), u.name, u.from
	if s.Log != nil && s.Log.Write(r.Context(), line) != nil {
		s.Logger.Error("the access log cannot be written: a list was cut")
		panic(http.ErrAbortHandler)
	}
	return true
}
