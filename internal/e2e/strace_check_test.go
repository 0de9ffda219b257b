//go:build linux

package e2e

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"iter"
	"path"
	"slices"
	"strings"

	"convoso-archiver/archiver"
	"convoso-archiver/fetcher/convosotest"
)

// parsedLines are the lines of one file of the manifest or of calls.
type parsedLines struct {
	lines []parsedLine
	fault string // of the first line that cannot be read, but for a torn tail
	torn  bool   // there was a tail
}

type parsedLine struct {
	text string // with its line feed
	parsedFields
}

type parsedFields struct {
	V           int            `json:"v"`
	Kind        string         `json:"kind"`
	RecordingID string         `json:"recording_id"`
	Outcome     string         `json:"outcome"`
	Key         string         `json:"key"`
	Size        int            `json:"size"`
	SHA256      string         `json:"sha256"`
	CallID      string         `json:"call_id"`
	Day         string         `json:"day"`
	Closed      bool           `json:"closed"`
	Recordings  int            `json:"recordings"`
	ByOutcome   map[string]int `json:"by_outcome"`
	Lines       int            `json:"lines"`
}

// read returns the lines as docs/manifest.md says they are to be read: part of a line
// at the end is no line, nor are lines at the end that hold a NUL, nor is anything
// behind a NUL but where a day line is the last.
func (c *content) read() *parsedLines {
	if c.lines != nil {
		return c.lines
	}
	c.lines = &parsedLines{}
	data := c.data()
	data = data[:bytes.LastIndexByte(data, '\n')+1]
	for len(data) > 0 {
		last := bytes.LastIndexByte(data[:len(data)-1], '\n') + 1
		if bytes.IndexByte(data[last:], 0) < 0 {
			break
		}
		data = data[:last]
	}
	if hole := bytes.IndexByte(data, 0); hole >= 0 && !endsInDayLine(data) {
		data = data[:bytes.LastIndexByte(data[:hole], '\n')+1]
	}
	number := 0
	c.lines.torn = len(data) < len(c.data())
	for text := range strings.Lines(string(data)) {
		number++
		line := parsedLine{text: text}
		if err := json.Unmarshal([]byte(text), &line.parsedFields); err == nil && line.V == 1 {
			c.lines.lines = append(c.lines.lines, line)
		} else if c.lines.fault == "" {
			c.lines.fault = fmt.Sprintf("line %d cannot be read: %v", number, err)
		}
	}
	return c.lines
}

func endsInDayLine(data []byte) bool {
	last := data[bytes.LastIndexByte(data[:max(0, len(data)-1)], '\n')+1:]
	var fields parsedFields
	return json.Unmarshal(last, &fields) == nil && fields.Kind == "day"
}

// cutChecker checks disks after a power cut, in the order of the cuts.
type cutChecker struct {
	bodies map[string]convosotest.Recording // what there is to store, by SHA-256
	perDay map[string]int                   // number of recordings

	// What the program has told, and from when on: the ids of recordings that it
	// called archived, and the number of days that it called closed.
	told []promise
	// durable are the lines that an earlier cut would have left for certain, after
	// the name of their file.
	durable map[string]bool
	damaged bool // the first disk had a line that could not be read
}

type promise struct {
	at        int
	recording string // id
	closed    int    // days
}

func newCutChecker(server *convosotest.Server, out []output) *cutChecker {
	k := &cutChecker{bodies: truthOf(server, nil), perDay: map[string]int{}, durable: map[string]bool{}}
	for r := range server.Recordings() {
		k.perDay[r.Day]++
	}
	for _, o := range out {
		for line := range strings.Lines(o.text) {
			var log struct {
				Message   string `json:"msg"`
				Recording string `json:"recording_id"`
			}
			if json.Unmarshal([]byte(line), &log) == nil && log.Message == "recording archived" {
				k.told = append(k.told, promise{at: o.enter, recording: log.Recording})
			}
		}
		var summary archiver.Summary
		if json.Unmarshal([]byte(o.text), &summary) == nil && summary.Run != "" {
			// Not those it found closed: the day line may be a killed run's and not durable. That
			// costs another listing.
			k.told = append(k.told, promise{at: o.enter, closed: summary.DaysClosed})
		}
	}
	return k
}

// check returns what is wrong with a disk on which the archive is in the folder dest.
func (k *cutChecker) check(c cut, dest string) (faults []string) {
	fault := func(format string, a ...any) { faults = append(faults, fmt.Sprintf(format, a...)) }
	read := map[string]*parsedLines{}
	calls := map[string]bool{}
	for _, name := range c.names(dest) {
		content := c.files[dest+"/"+name]
		folder, file, _ := strings.Cut(name, "/")
		switch {
		case folder == ".tmp" || folder == "quarantine":
		case folder != "manifest" && folder != "calls":
			if _, known := k.bodies[content.sum()]; !known {
				fault("a file of %d bytes under a final name is no recording of the source", len(content.data()))
			}
		case name == "manifest/archive.json":
			if !json.Valid(content.data()) {
				fault("archive.json is torn, it has %d bytes", len(content.data()))
			}
		case path.Ext(file) == ".jsonl":
			read[name] = content.read()
			// In calls such a line is passed over.
			if folder == "manifest" && read[name].fault != "" && !k.damaged {
				fault("%s: %s", name, read[name].fault)
			}
			for _, line := range read[name].lines {
				if line.Kind == "call" {
					calls[line.CallID] = true
				}
			}
		}
	}
	archived, closed := map[string]bool{}, 0
	for name, lines := range read {
		seen := map[string]bool{}
		for i, line := range lines.lines {
			day := strings.TrimSuffix(path.Base(name), ".jsonl")
			switch line.Kind {
			case "recording":
				seen[line.RecordingID] = true
				if !calls[line.CallID] {
					fault("%s: the call of recording %s is not in calls", name, line.RecordingID)
				}
				if line.Outcome != "archived" {
					continue
				}
				archived[line.RecordingID] = true
				file := c.files[dest+"/"+line.Key]
				if file == nil {
					fault("%s: recording %s is noted and has no file", name, line.RecordingID)
				} else if file.sum() != line.SHA256 || len(file.data()) != line.Size {
					fault("%s: recording %s is noted and its file is another one", name, line.RecordingID)
				}
			case "window":
				if len(seen) < k.perDay[day] {
					fault("%s: a window is noted with %d recordings before it, of %d", name, len(seen), k.perDay[day])
				}
			case "day":
				if i < len(lines.lines)-1 {
					continue // the day was opened again
				}
				closed++
				hash := sha256.New()
				for _, before := range lines.lines[:i] {
					hash.Write([]byte(before.text))
				}
				if !line.Closed || line.Lines != i || line.SHA256 != hex.EncodeToString(hash.Sum(nil)) {
					fault("%s: the day line is over other lines", name)
				}
				if line.Recordings != k.perDay[day] || line.ByOutcome["archived"] != len(seen) || len(seen) != k.perDay[day] {
					fault("%s: the day is closed with %d of %d recordings", name, len(seen), k.perDay[day])
				}
			}
		}
	}
	for _, told := range k.told {
		if told.at >= c.at {
			break
		}
		if told.recording != "" && !archived[told.recording] {
			fault("recording %s was called archived at %d and has no line", told.recording, told.at)
		}
		if told.closed > closed {
			fault("%d days were called closed at %d and %d are", told.closed, told.at, closed)
		}
	}
	return append(faults, k.checkDurable(c.keep == keepDurable, read)...)
}

// checkDurable returns a fault for each line that is gone, though an earlier power cut
// would have left it. Only what survives for certain adds to these lines.
func (k *cutChecker) checkDurable(add bool, read map[string]*parsedLines) (faults []string) {
	here := map[string]bool{}
	for name, lines := range read {
		for _, line := range lines.lines {
			here[name+" "+line.text] = true
		}
	}
	for line := range k.durable {
		if !here[line] {
			name, _, _ := strings.Cut(line, " ")
			faults = append(faults, fmt.Sprintf("%s: a line is gone that was durable", name))
		}
	}
	if add {
		k.durable = here
	}
	return faults
}

// names returns the files below a folder.
func (c cut) names(folder string) []string {
	var names []string
	for name := range c.files {
		if below, ok := strings.CutPrefix(name, folder+"/"); ok {
			names = append(names, below)
		}
	}
	slices.Sort(names)
	return names
}

// days returns the lines of each day of the manifest.
func (c cut) days(dest string) iter.Seq[*parsedLines] {
	return func(yield func(*parsedLines) bool) {
		for name, content := range c.files {
			if strings.HasPrefix(name, dest+"/manifest/") && path.Ext(name) == ".jsonl" && !yield(content.read()) {
				return
			}
		}
	}
}

// torn reports whether a day ends in part of a line.
func (c cut) torn(dest string) bool {
	for lines := range c.days(dest) {
		if lines.torn && lines.fault == "" {
			return true
		}
	}
	return false
}
