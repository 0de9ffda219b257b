// Returns the fields of a row as text.

package search

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"path"
	"slices"
	"strings"

	"convoso-archiver/fetcher"
)

// Values returns the fields of the call's row by their API names, as text; for a call without a row only the
// searchable ones. Values other than strings, numbers and booleans are empty, like the list of recordings.
func (c *Call) Values() map[string]string {
	if c.Row == nil {
		return c.Fields.values()
	}
	var row map[string]scalar
	_ = json.Unmarshal(c.Row, &row) // the ledger has checked the syntax
	values := make(map[string]string, len(row)+1)
	for name, value := range row {
		values[name] = string(value)
	}
	if _, named := row["id"]; !named {
		values["id"] = c.ID
	}
	return values
}

func (f *Fields) values() map[string]string {
	values := map[string]string{}
	for name, value := range map[string]string{
		"id": f.ID, "lead_id": f.LeadID, "list_id": f.ListID, "queue_id": f.QueueID, "campaign_id": f.CampaignID, "campaign": f.Campaign,
		"user_id": f.UserID, "user": f.User, "phone_number": f.PhoneNumber, "number_dialed": f.NumberDialed,
		"first_name": f.FirstName, "last_name": f.LastName, "status": f.Status, "status_name": f.StatusName,
		"call_type": f.CallType, "called_count": f.CalledCount, "agent_comment": f.Comment,
	} {
		if value != "" {
			values[name] = value
		}
	}
	return values
}

// File describes the file of a recording according to its row.
type File struct {
	ID       string `json:"recording_id"`
	Filename string `json:"filename"`
	Type     string `json:"type"`
	New      string `json:"new"`
}

// File returns the file of a recording according to the call's row. Without one in the row, the name is that of
// the stored recording.
func (c *Call) File(r Recording) File {
	files := c.files()
	for _, f := range files {
		if r.State != nil && f.Filename != "" && strings.HasPrefix(r.State.Source, nameHash(f.Filename)+".") {
			return f
		}
	}
	for _, f := range files {
		if f.ID != "" && (f.ID == r.ID || strings.HasPrefix(r.ID, f.ID+"#")) {
			return f
		}
	}
	return File{ID: r.ID, Filename: path.Base("/" + r.Key)}
}

// ListedOnly returns how many recordings the row names that the ledger does not note for the call: no run has
// worked on them yet, or they are noted with another call. It is 0 without a row.
func (c *Call) ListedOnly() (n int) {
	if c.Row == nil {
		return 0
	}
	row, err := fetcher.ParseCall(c.Row)
	if err != nil {
		return 0
	}
	for i := range row.Recordings {
		isNoted := slices.ContainsFunc(c.Recordings, func(r Recording) bool {
			source := ""
			if r.State != nil {
				source = r.State.Source
			}
			return row.Recordings[i].MayBe(r.ID, source)
		})
		if !isNoted {
			n++
		}
	}
	return n
}

// nameHash is the first part of a line's source, which identifies a file name in the ledger.
func nameHash(name string) string {
	sum := sha256.Sum256([]byte(name))
	return hex.EncodeToString(sum[:8])
}

// files parses the recordings of a row: a list, a single recording, or a map.
func (c *Call) files() []File {
	var row struct {
		Recording json.RawMessage `json:"recording"`
	}
	if c.Row == nil || json.Unmarshal(c.Row, &row) != nil {
		return nil
	}
	var elements []json.RawMessage
	if json.Unmarshal(row.Recording, &elements) != nil {
		var byName map[string]json.RawMessage
		if json.Unmarshal(row.Recording, &byName) != nil {
			return nil
		}
		for _, element := range byName {
			elements = append(elements, element)
		}
		elements = append(elements, row.Recording)
	}
	var files []File
	for _, element := range elements {
		var f struct {
			ID       scalar `json:"recording_id"`
			Filename scalar `json:"filename"`
			Type     scalar `json:"type"`
			New      scalar `json:"new"`
		}
		if json.Unmarshal(element, &f) == nil && (f.ID != "" || f.Filename != "") {
			files = append(files, File{ID: string(f.ID), Filename: string(f.Filename), Type: string(f.Type), New: string(f.New)})
		}
	}
	return files
}
