// Writes the calls that find found as JSON, CSV or paths; find_table.go has the table.

package cli

import (
	"bufio"
	"bytes"
	"encoding/csv"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"convoso-archiver/manifest"
	"convoso-archiver/search"
	"convoso-archiver/search/export"
)

// answerWriter writes found calls.
type answerWriter interface {
	call(*search.Call) error
	end() error
}

// noAnswer writes nothing.
type noAnswer struct{}

func (noAnswer) call(*search.Call) error { return nil }
func (noAnswer) end() error              { return nil }

// jsonAnswer writes one object per line.
type jsonAnswer struct {
	out  *bufio.Writer
	line bytes.Buffer
}

func newJSONAnswer(w io.Writer) *jsonAnswer { return &jsonAnswer{out: bufio.NewWriter(w)} }

// foundFields follow the fields of the row.
type foundFields struct {
	Day        string           `json:"day"`
	CallTime   *string          `json:"call_time"` // null if no row has it
	Recordings []foundRecording `json:"recordings"`
}

// foundRecording is the ledger's state of a recording, with the field names of its lines.
type foundRecording struct {
	RecordingID string           `json:"recording_id"`
	Outcome     manifest.Outcome `json:"outcome"`
	Final       bool             `json:"final"`
	Key         string           `json:"key"`
	Size        int64            `json:"size"`
	SHA256      string           `json:"sha256"`
	ContentType string           `json:"content_type"`
	Host        string           `json:"host"`
	Time        *time.Time       `json:"time"`
	FirstSeen   *time.Time       `json:"first_seen"`
	Attempts    int              `json:"attempts"`
	Reason      string           `json:"reason"`
	Cause       string           `json:"cause"`
}

func foundOf(c *search.Call) foundFields {
	f := foundFields{Day: c.Day, Recordings: []foundRecording{}}
	if at := callTime(c); at != "" {
		f.CallTime = &at
	}
	for _, r := range c.Recordings {
		one := foundRecording{RecordingID: r.ID, Outcome: r.Outcome, Final: r.Final, Key: r.Key, Size: r.Size}
		if s := r.State; s != nil {
			one.SHA256, one.ContentType, one.Host, one.Attempts, one.Reason, one.Cause = sumText(s.SHA256), s.ContentType, s.Host, s.Attempts, s.Reason, s.Cause
			one.Time, one.FirstSeen = timeOrNil(s.Time), timeOrNil(s.FirstSeen)
		}
		f.Recordings = append(f.Recordings, one)
	}
	return f
}

// callTime returns the time of a call, empty if no row has it.
func callTime(c *search.Call) string {
	if c.NoRow || c.Erased {
		return ""
	}
	return c.Time.Format(time.RFC3339)
}

func timeOrNil(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	t = t.UTC()
	return &t
}

func sumText(sum [32]byte) string {
	if sum == [32]byte{} {
		return ""
	}
	return hex.EncodeToString(sum[:])
}

func (a *jsonAnswer) call(c *search.Call) error {
	row, err := rowObject(c)
	if err != nil {
		return err
	}
	behind, err := json.Marshal(foundOf(c))
	if err != nil {
		return fmt.Errorf("write a call: %w", err)
	}
	a.line.Reset()
	if err := json.Compact(&a.line, row); err != nil {
		return fmt.Errorf("write a call: %w", err)
	}
	if a.line.Truncate(a.line.Len() - 1); a.line.Len() > 1 { // without the brace
		a.line.WriteByte(',')
	}
	a.line.Write(behind[1:])
	a.line.WriteByte('\n')
	_, err = a.out.Write(a.line.Bytes())
	return err
}

func (a *jsonAnswer) end() error { return a.out.Flush() }

// rowObject returns the row of a call as received, without fields that have the same names as ours. For a call
// without a row, it returns the known fields.
func rowObject(c *search.Call) (json.RawMessage, error) {
	if c.Row == nil || c.Erased {
		return json.Marshal(c.Values())
	}
	if !bytes.Contains(c.Row, []byte(`"day"`)) && !bytes.Contains(c.Row, []byte(`"call_time"`)) && !bytes.Contains(c.Row, []byte(`"recordings"`)) {
		return c.Row, nil
	}
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(c.Row, &fields); err != nil {
		return nil, fmt.Errorf("read a row: %w", err)
	}
	for _, name := range []string{"day", "call_time", "recordings"} {
		delete(fields, name)
	}
	return json.Marshal(fields)
}

// csvAnswer writes one row per call.
type csvAnswer struct {
	out   *csv.Writer
	excel bool // guards cells against formulas
}

// rowColumns returns the fields of a row with the API's names.
func rowColumns() []string {
	return []string{
		"id", "call_date", "call_length", "campaign_id", "campaign", "user_id", "user", "status", "status_name", "call_type",
		"phone_number", "number_dialed", "first_name", "last_name", "lead_id", "list_id", "queue_id", "called_count",
		"caller_id_displayed", "term_reason", "agent_comment", "queue_position", "queue_seconds", "originating_agent_id", "session_id",
	}
}

func newCSVAnswer(w io.Writer, excel bool) *csvAnswer {
	a := &csvAnswer{csv.NewWriter(w), excel}
	a.out.UseCRLF = true
	mark := ""
	if excel {
		mark = export.ByteOrderMark
	}
	_ = a.out.Write(append(append([]string{mark + "day", "call_time"}, rowColumns()...), // it stores its error
		"recording_id", "outcome", "final", "key", "size", "sha256", "content_type", "reason", "cause"))
	return a
}

func (a *csvAnswer) call(c *search.Call) error {
	values := c.Values()
	row := []string{c.Day, callTime(c)}
	for _, name := range rowColumns() {
		row = append(row, values[name])
	}
	cells := make([][]string, 9)
	for _, r := range foundOf(c).Recordings {
		for i, value := range []string{
			r.RecordingID, string(r.Outcome), strconv.FormatBool(r.Final), r.Key, strconv.FormatInt(r.Size, 10), r.SHA256, r.ContentType, r.Reason, r.Cause,
		} {
			cells[i] = append(cells[i], value)
		}
	}
	for _, cell := range cells {
		row = append(row, strings.Join(cell, ";"))
	}
	if a.excel {
		for i, cell := range row {
			row[i] = export.Guarded(cell)
		}
	}
	return a.out.Write(row)
}

func (a *csvAnswer) end() error {
	a.out.Flush()
	return a.out.Error()
}

// pathsAnswer writes the paths of the recordings.
type pathsAnswer struct {
	out    *bufio.Writer
	dest   string
	onDisk bool
	after  string
}

func newPathsAnswer(w io.Writer, dest string, onDisk bool, after string) *pathsAnswer {
	return &pathsAnswer{out: bufio.NewWriter(w), dest: dest, onDisk: onDisk, after: after}
}

func (a *pathsAnswer) call(c *search.Call) error {
	for _, r := range c.Recordings {
		if !r.Stored() {
			continue
		}
		path := strings.TrimSuffix(a.dest, "/") + "/" + r.Key
		if a.onDisk {
			path = filepath.Join(a.dest, filepath.FromSlash(r.Key))
		}
		if _, err := a.out.WriteString(path + a.after); err != nil {
			return err
		}
	}
	return nil
}

func (a *pathsAnswer) end() error { return a.out.Flush() }
