// Prints the result of hold.

package cli

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	"convoso-archiver/evidence"
)

// holdResult is the output of hold.
type holdResult struct {
	ExitCode int    `json:"exit_code"`
	Error    string `json:"error"`
	Case     string `json:"case"`

	// For add: the matches; for release: what the case held.
	Calls      int      `json:"calls"`
	Recordings int      `json:"recordings"`
	New        int      `json:"new"`     // ids that the case did not hold before
	Erased     int      `json:"erased"`  // matching calls that were erased, which cannot be held
	Erasing    int      `json:"erasing"` // matching calls that an unfinished erasure names, so that they were not held
	Missing    []string `json:"missing"` // ids of --ids-from that the archive does not have; nothing was held

	NotHeld []evidence.HeldID `json:"not_held"` // of add: noted, but an erasure or expiry had begun to remove them
	Hidden  []evidence.HeldID `json:"hidden"`   // of add: held, and not shown until the erasure or expiry that names them is withdrawn

	LegalHolds bool `json:"legal_holds"` // the store supports legal holds
	On         int  `json:"legal_holds_on"`
	Off        int  `json:"legal_holds_off"`

	Cases []heldCase `json:"cases"` // for list

	action              string
	before              time.Time // earlier release of the case; zero for none
	inS3                bool
	incomplete, damaged bool
}

// heldCase is a case in a list.
type heldCase struct {
	Case       string            `json:"case"`
	Since      time.Time         `json:"since"`
	Released   *time.Time        `json:"released"` // null while it holds
	Calls      int               `json:"calls"`    // that it holds, or held before its release
	Recordings int               `json:"recordings"`
	IDs        []evidence.HeldID `json:"ids,omitempty"` // only for a single case
	NotSet     []evidence.HeldID `json:"not_set"`       // held, but the legal hold is off
	LeftOn     []evidence.HeldID `json:"left_on"`       // released, but the legal hold is on
}

// write writes the result: one JSON object, or lines for a person.
func (h holdResult) write(w io.Writer, asJSON bool) error {
	if asJSON {
		return json.NewEncoder(w).Encode(h)
	}
	var b strings.Builder
	switch h.action {
	case holdList:
		h.writeCases(&b)
	case holdRelease:
		if !h.before.IsZero() {
			fmt.Fprintf(&b, "already released on %s: it holds nothing\n", h.before.Format(time.DateOnly))
			h.writeLegal(&b)
			break
		}
		fmt.Fprintf(&b, "released: %s, %s\ncalls that another case holds stay held: hold list names the cases\n",
			plural(h.Calls, "call"), plural(h.Recordings, "recording"))
		h.writeLegal(&b)
	default:
		h.writeAdded(&b)
	}
	return writeText(w, trimLines(b.String()))
}

func (h holdResult) writeAdded(b *strings.Builder) {
	switch {
	case len(h.Missing) > 0:
		fmt.Fprintf(b, "nothing held: %s not in the archive\n", plural(len(h.Missing), "id"))
		return
	case h.Calls == 0 && h.incomplete && len(h.NotHeld) == 0 && h.Erasing == 0:
		b.WriteString("nothing held: no call matches\n")
	case h.Calls == 0 && h.incomplete:
		b.WriteString("nothing held\n")
	case h.New == 0:
		b.WriteString("already held: nothing new\n")
	default:
		fmt.Fprintf(b, "held: %s, %s\n", plural(h.Calls, "call"), plural(h.Recordings, "recording"))
	}
	if len(h.NotHeld) > 0 {
		calls, recordings := countHeld(h.NotHeld)
		fmt.Fprintf(b, "NOT HELD     %s, %s: too late, an erasure or expiry had begun to remove them; what is left of them stays until the release\n",
			plural(calls, "call"), plural(recordings, "recording"))
	}
	if len(h.Hidden) > 0 {
		calls, recordings := countHeld(h.Hidden)
		fmt.Fprintf(b, "HELD         %s, %s: the hold came before the removal by an erasure or expiry, which leaves them out.\n"+
			"             They are shown again when that removal has ended. If it was stopped, run erase --resume\n", plural(calls, "call"), plural(recordings, "recording"))
		if h.LegalHolds {
			b.WriteString("             Then run hold add with only the name of the case: it sets the missing legal holds\n")
		}
	}
	if h.Erasing > 0 {
		fmt.Fprintf(b, "NOT HELD     %s that match: an erasure that has not ended names them.\n"+
			"             See erase list: if it is withdrawn, run the same command again\n", plural(h.Erasing, "call"))
	}
	if h.Erased > 0 {
		fmt.Fprintf(b, "erased       %s that match were erased before, and cannot be held\n", plural(h.Erased, "call"))
	}
	h.writeLegal(b)
}

// writeLegal prints the changes in the store.
func (h holdResult) writeLegal(b *strings.Builder) {
	switch {
	case h.LegalHolds && h.Off > 0:
		fmt.Fprintf(b, "legal hold   on for %s, off for %s\n", plural(h.On, "object"), plural(h.Off, "object"))
	case h.LegalHolds:
		fmt.Fprintf(b, "legal hold   on for %s\n", plural(h.On, "object"))
	case h.inS3:
		b.WriteString("legal hold   none: the bucket has no Object Lock, so only this program obeys the hold\n")
	case h.action == holdAdd && h.Calls > 0:
		b.WriteString("legal hold   none in a folder: this program does not erase these recordings, but users with write access can delete them\n")
	}
}

func (h holdResult) writeCases(b *strings.Builder) {
	if len(h.Cases) == 0 {
		b.WriteString("nothing is held\n")
		return
	}
	table := tabwriter.NewWriter(b, 0, 0, 3, ' ', 0) // writes to a strings.Builder never fail
	for _, c := range h.Cases {
		state := fmt.Sprintf("%s, %s", plural(c.Calls, "call"), plural(c.Recordings, "recording"))
		if c.Released != nil {
			state = "released " + c.Released.Format(time.DateOnly) + ", held " + state
		}
		if n := len(c.NotSet); n > 0 {
			state += fmt.Sprintf(", legal hold NOT SET for %s: run hold add with only the name of the case", plural(n, "object"))
		}
		if n := len(c.LeftOn); n > 0 {
			state += fmt.Sprintf(", legal hold STILL ON for %s: run hold release again", plural(n, "object"))
		}
		_, _ = fmt.Fprintf(table, "%s\tsince %s\t%s\n", c.Case, c.Since.Format(time.DateOnly), state)
	}
	_ = table.Flush()
	for _, c := range h.Cases {
		if len(c.IDs) == 0 {
			continue
		}
		b.WriteString("\n")
		_, _ = fmt.Fprintf(table, "DAY\tCALL\tRECORDING\n")
		for _, id := range c.IDs {
			_, _ = fmt.Fprintf(table, "%s\t%s\t%s\n", id.Day, id.Call, id.Recording)
		}
		_ = table.Flush()
	}
}
