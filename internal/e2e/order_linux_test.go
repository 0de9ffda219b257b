package e2e

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"convoso-archiver/manifest"
)

// order follows the system calls of traced runs over one archive, and detects data that was relied
// on before it was durable: a power failure at that moment could lose it.
type order struct {
	base    string // common folder; it was durable before
	perDay  map[string]int
	files   map[string]*tracedFile // by path
	made    map[string]int         // position of the naming; below 0 if it was durable before
	synced  map[string][]moment    // folders
	calls   map[string][]stored    // lines of call rows, by call id
	noted   map[string][]stored    // lines of recordings, by day and recording id
	checked map[string]int         // applied rules, so that a test can see that something was checked
	faults  []string
	kill    int // position of the end of a killed run
}

// moment is the duration of a system call, as positions in the trace.
type moment struct{ enter, exit int }

// tracedFile is the content of a file, independent of its names.
type tracedFile struct {
	data   []byte
	writes []moment
	synced []moment
}

// stored is a line in a file.
type stored struct {
	path  string
	file  *tracedFile
	write moment
}

func newOrder(base string, perDay map[string]int) *order {
	return &order{
		base: base, perDay: perDay, files: map[string]*tracedFile{}, made: map[string]int{}, synced: map[string][]moment{},
		calls: map[string][]stored{}, noted: map[string][]stored{}, checked: map[string]int{},
	}
}

// require reports a fault unless a condition held at a position of the trace.
func (o *order) require(ok bool, rule, format string, args ...any) {
	o.checked[rule]++
	if !ok && len(o.faults) < 20 {
		o.faults = append(o.faults, rule+": "+fmt.Sprintf(format, args...))
	}
}

// isSynced reports whether a sync followed a call and was complete at a position.
func isSynced(call moment, syncs []moment, at int) bool {
	return slices.ContainsFunc(syncs, func(s moment) bool { return s.enter > call.exit && s.exit < at })
}

// isWhole reports whether everything written to a file until then was durable.
func (f *tracedFile) isWhole(at int) bool {
	return f != nil && !slices.ContainsFunc(f.writes, func(w moment) bool { return w.exit < at && !isSynced(w, f.synced, at) })
}

// isNamed reports whether a name, and those of all folders above it, were durable.
func (o *order) isNamed(name string, at int) bool {
	for ; name != o.base; name = path.Dir(name) {
		made, known := o.made[name]
		if !known || made >= at || made >= 0 && !isSynced(moment{made, made}, o.synced[path.Dir(name)], at) {
			return false
		}
	}
	return true
}

// isDurable reports whether one of the lines was durable, with the name of its file.
func (o *order) isDurable(lines []stored, at int) bool {
	return slices.ContainsFunc(lines, func(l stored) bool { return isSynced(l.write, l.file.synced, at) && o.isNamed(l.path, at) })
}

// follow processes the calls of a run, in the order in which they ended.
func (o *order) follow(calls []systemCall) error {
	for i := range calls {
		c := &calls[i]
		if c.result < 0 || c.unknown {
			continue
		}
		if err := o.take(c, moment{c.enter, c.exit}); err != nil {
			return err
		}
	}
	return nil
}

func (o *order) take(c *systemCall, now moment) error {
	switch c.name {
	case "openat":
		name, err := c.path(0)
		if err != nil || !o.has(name) {
			return err
		}
		if file := o.files[name]; file != nil && strings.Contains(c.arg(2), "O_TRUNC") {
			file.data, file.writes = nil, append(file.writes, now)
		} else if file == nil && strings.Contains(c.arg(2), "O_CREAT") {
			o.files[name], o.made[name] = &tracedFile{}, now.exit
		}
		return nil
	case "mkdirat":
		name, err := c.path(0)
		if o.has(name) {
			o.made[name] = now.exit
		}
		return err
	case "write", "pwrite64":
		return o.write(c, now)
	case "fsync":
		_, name, err := c.descriptor(0)
		if file := o.files[name]; file != nil {
			file.synced = append(file.synced, now)
		} else if o.has(name) || name == o.base {
			o.synced[name] = append(o.synced[name], now)
		}
		return err
	case "ftruncate":
		return o.truncate(c, now)
	case "unlinkat":
		name, err := c.path(0)
		delete(o.files, name)
		delete(o.made, name)
		return err
	case "linkat", "renameat", "renameat2":
		from, err := c.path(0)
		if err != nil {
			return err
		}
		to, err := c.path(2)
		if err == nil && o.has(to) {
			o.name(from, to, now, c.name == "linkat")
		}
		return err
	}
	return nil
}

func (o *order) has(name string) bool { return strings.HasPrefix(name, o.base+"/") }

// in returns a path below the archive's folder.
func (o *order) in(name string) string { return path.Join(o.base, dest, name) }

// name renames a file, whose bytes must be durable by then.
func (o *order) name(from, to string, now moment, keep bool) {
	file := o.files[from]
	o.require(file.isWhole(now.enter), "synced before it was named", "%s at %d", to, now.enter)
	if path.Base(to) == "closed.json" && file != nil {
		o.closes(to, file.data, now.enter)
	}
	o.files[to], o.made[to] = file, now.exit
	if !keep {
		delete(o.files, from)
		delete(o.made, from)
	}
}

func (o *order) write(c *systemCall, now moment) error {
	fd, name, err := c.descriptor(0)
	if err != nil {
		return err
	}
	text, err := c.text(1)
	if err != nil {
		return err
	}
	text = text[:c.result]
	file := o.files[name]
	switch {
	case file == nil && fd <= 2:
		o.told(text, now.enter)
		return nil
	case file == nil:
		return nil
	}
	offset := int64(len(file.data))
	if c.name == "pwrite64" {
		if offset, err = c.number(3); err != nil {
			return err
		}
	}
	below, _ := strings.CutPrefix(name, path.Join(o.base, dest)+"/")
	if tree, rest, _ := strings.Cut(below, "/"); (tree == "manifest" || tree == "calls") && strings.HasSuffix(name, ".jsonl") {
		for line := range strings.Lines(text) {
			o.line(path.Dir(rest), line, stored{name, file, now})
		}
	}
	file.data = append(file.data, make([]byte, max(0, offset+c.result-int64(len(file.data))))...)
	copy(file.data[offset:], text)
	file.writes = append(file.writes, now)
	return nil
}

// truncate cuts a file. The removed bytes must be durable elsewhere.
func (o *order) truncate(c *systemCall, now moment) error {
	_, name, err := c.descriptor(0)
	if err != nil {
		return err
	}
	size, err := c.number(1)
	if file := o.files[name]; err == nil && file != nil && path.Ext(name) == ".jsonl" {
		aside := o.files[name+".torn"]
		saved := aside.isWhole(now.enter) && o.isNamed(name+".torn", now.enter) && bytes.Contains(aside.data, file.data[size:])
		o.require(saved, "saved before it was cut off", "%s at %d", name, now.enter)
		file.data, file.writes = file.data[:size], append(file.writes, now)
	}
	return err
}

// line processes a line before it is written.
func (o *order) line(day, text string, s stored) {
	var line struct {
		Kind, Outcome, Key, SHA256 string
		RecordingID                string `json:"recording_id"`
		CallID                     string `json:"call_id"`
	}
	if err := json.Unmarshal([]byte(text), &line); err != nil {
		return // the rest of a line
	}
	at := s.write.enter
	archive := o.in("manifest/archive.json")
	o.require(o.files[archive].isWhole(at) && o.isNamed(archive, at) && bytes.Contains(o.files[archive].data, []byte(`"v":2`)),
		"archive.json before any line", "at %d", at)
	switch line.Kind {
	case "call":
		o.calls[line.CallID] = append(o.calls[line.CallID], s)
	case "recording":
		o.require(o.isDurable(o.calls[line.CallID], at), "call row before recording", "%s at %d", line.RecordingID, at)
		if line.Outcome == string(manifest.Archived) {
			name := o.in(line.Key)
			file := o.files[name]
			o.require(file.isWhole(at) && o.isNamed(name, at), "stored before it was noted", "%s at %d", line.RecordingID, at)
			if file != nil {
				sum := sha256.Sum256(file.data)
				o.require(hex.EncodeToString(sum[:]) == line.SHA256, "the bytes noted", "%s", line.RecordingID)
			}
		}
		id := day + " " + line.RecordingID
		o.noted[id] = append(o.noted[id], s)
	case "window":
		count := 0
		for id, lines := range o.noted {
			if of, _, _ := strings.Cut(id, " "); of == day {
				count++
				o.require(o.isDurable(lines, at), "recordings before window", "%s at %d", id, at)
			}
		}
		o.require(count == o.perDay[day], "recordings before window", "%s: %d of %d", day, count, o.perDay[day])
	}
}

// closes checks closed.json when it gets its name: everything that it covers must be durable.
func (o *order) closes(name string, data []byte, at int) {
	day := path.Base(path.Dir(name))
	for text := range bytes.Lines(data) {
		var line manifest.DayLine
		if err := json.Unmarshal(text, &line); err != nil {
			o.require(false, "segments before closed.json", "%s: %v", day, err)
			continue
		}
		for tree, segments := range map[string][]manifest.Segment{"manifest": line.Segments, "calls": line.CallsSegments} {
			for _, s := range segments {
				segment := o.in(path.Join(tree, day, s.Name))
				file := o.files[segment]
				o.require(file.isWhole(at) && o.isNamed(segment, at) && int64(len(file.data)) == s.Bytes,
					"segments before closed.json", "%s of %s at %d", s.Name, tree, at)
			}
		}
	}
}

// told checks the program's output, on which users may rely from then on.
func (o *order) told(text string, at int) {
	for line := range strings.Lines(text) {
		var log struct {
			Msg, Day    string
			RecordingID string `json:"recording_id"`
		}
		if json.Unmarshal([]byte(line), &log) != nil {
			continue
		}
		switch log.Msg {
		case "recording archived":
			o.require(o.isDurable(o.noted[log.Day+" "+log.RecordingID], at), "noted before it was told", "%s at %d", log.RecordingID, at)
		case "day closed":
			name := o.in(path.Join("manifest", log.Day, "closed.json"))
			o.require(o.files[name].isWhole(at) && o.isNamed(name, at), "closed before it was told", "%s at %d", log.Day, at)
		}
	}
}

// finish compares the trace with the files of a run, which must all be durable at its end. After a
// kill it adds what the trace does not show.
func (o *order) finish(t *testing.T, at int, killed bool) {
	t.Helper()
	if killed {
		o.kill = at
	}
	there := map[string]bool{}
	err := filepath.WalkDir(o.base, func(name string, entry fs.DirEntry, err error) error {
		if err != nil || name == o.base {
			return err
		}
		there[name] = true
		if _, known := o.made[name]; !known {
			o.require(killed, "every name was traced", "%s", name)
			o.made[name] = at
		}
		// The lock file's content is only for people.
		if rest, _ := strings.CutPrefix(name, o.base+"/"+dest+"/"); entry.IsDir() || rest == "manifest/lock" {
			return nil
		}
		data, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		if file := o.files[name]; file == nil || !bytes.Equal(file.data, data) {
			o.require(killed, "every byte was traced", "%s", name)
			o.files[name] = &tracedFile{data: data, writes: []moment{{at, at}}}
			o.replay(name, data, moment{at, at})
		}
		rest, _ := strings.CutPrefix(name, o.base+"/"+dest+"/")
		// If a day closed by a killed run is open again, it only costs another listing.
		mayGo := strings.HasPrefix(rest, ".tmp/") || path.Base(rest) == "closed.json" && o.made[name] <= o.kill
		if !killed && !mayGo {
			o.require(o.files[name].isWhole(at) && o.isNamed(name, at), "durable at the end", "%s", rest)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for name := range o.made {
		if !there[name] {
			delete(o.made, name)
			delete(o.files, name)
		}
	}
	for _, fault := range o.faults {
		t.Error(fault)
	}
	if t.Failed() {
		t.FailNow()
	}
}

// replay processes the lines of a file whose write times are not in the trace.
func (o *order) replay(name string, data []byte, now moment) {
	below, _ := strings.CutPrefix(name, o.base+"/"+dest+"/")
	tree, rest, _ := strings.Cut(below, "/")
	if tree != "manifest" && tree != "calls" || !strings.HasSuffix(name, ".jsonl") {
		return
	}
	for text := range bytes.Lines(data) {
		var line struct {
			Kind        string
			RecordingID string `json:"recording_id"`
			CallID      string `json:"call_id"`
		}
		if json.Unmarshal(text, &line) != nil {
			continue
		}
		s := stored{name, o.files[name], now}
		if id := path.Dir(rest) + " " + line.RecordingID; line.Kind == "recording" {
			o.noted[id] = append(o.noted[id], s)
		} else if line.Kind == "call" {
			o.calls[line.CallID] = append(o.calls[line.CallID], s)
		}
	}
}

// settle treats all data on disk as durable, as after a long time.
func (o *order) settle(t *testing.T, at int) {
	t.Helper()
	clear(o.files)
	clear(o.made)
	o.finish(t, at, true)
	for name := range o.made {
		o.made[name] = -1
	}
	for _, file := range o.files {
		file.synced = append(file.synced, moment{at + 1, at + 1})
	}
}
