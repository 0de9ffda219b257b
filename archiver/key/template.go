// Parses and executes the template of --path-template.

package key

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"
	"text/template"
	"time"
	"unicode/utf8"
)

// Template makes keys. It is safe for concurrent use.
//
// The text is that of text/template. It uses the fields of call and recording by their API names,
// like {{.campaign_id}}; null or missing fields are empty. {{.call_date}} is the call's wall-clock
// time, {{.call_date.Format "2006-01-02"}} part of it. A "/" anywhere in the template separates
// parts, also in a layout, as {{.call_date.Format "2006/01/02"}}; one in a value becomes "_". Links
// are not available, because they are secrets. Besides the functions of text/template there are
//
//	lower VALUE             in lower case
//	upper VALUE             in upper case
//	replace OLD NEW VALUE   with every OLD replaced by NEW
//	trunc N VALUE           its first N characters
//	default OTHER VALUE     OTHER where VALUE is empty
//
// which all take the value last, so that they work in pipelines: {{.queue_id | default "none"}}.
// Prefer trunc to slice, which fails on short values.
type Template struct {
	parsed *template.Template
	fields []string // used by the template, without call_date
}

// callDate is the field with a time.
const callDate = "call_date"

// fieldNames returns the fields that a template may use: those of a call, undocumented ones seen in
// rows, and those of a recording.
func fieldNames() []string {
	return []string{
		"id", "lead_id", "list_id", "campaign_id", "campaign", "user", "user_id", "phone_number", "number_dialed",
		"first_name", "last_name", "status", "status_name", "call_length", callDate, "agent_comment", "queue_id",
		"called_count", "caller_id_displayed", "term_reason", "call_type", "queue_position", "queue_seconds",
		"originating_agent_id", "session_id",
		"queue", "inbound_number",
		"recording_id", "filename", "type", "new",
	}
}

// wallClock is a time without a zone, as in the call log.
type wallClock struct{ t time.Time }

// Format returns the time in a layout of package time.
func (w wallClock) Format(layout string) string { return w.t.Format(layout) }

// String returns the time in the API's layout.
func (w wallClock) String() string { return w.t.Format(time.DateTime) }

func functions() template.FuncMap {
	return template.FuncMap{
		"lower":   strings.ToLower,
		"upper":   strings.ToUpper,
		"replace": func(old, new, value string) string { return strings.ReplaceAll(value, old, new) },
		"trunc":   truncate,
		"default": func(other, value string) string { return cmp.Or(value, other) },
	}
}

// truncate returns the first n characters of a value.
func truncate(n int, value string) string {
	for i := range value {
		if n <= 0 {
			return value[:i]
		}
		n--
	}
	return value
}

// Parse parses a template. It fails for wrong syntax, for an unknown field, without any field, and
// if ordinary values result in no file name.
func Parse(text string) (*Template, error) {
	if !utf8.ValidString(text) {
		return nil, errors.New("parse template: it is not valid UTF-8")
	}
	parsed, err := template.New("key").Option("missingkey=error").Funcs(functions()).Parse(text)
	if err != nil {
		return nil, fmt.Errorf("parse template: %w", err)
	}
	fields, err := fieldsOf(parsed)
	if err != nil {
		return nil, fmt.Errorf("parse template: %w", err)
	}
	t := &Template{parsed: parsed, fields: fields}
	if err := t.try(); err != nil {
		return nil, fmt.Errorf("parse template: %w", err)
	}
	return t, nil
}

// try executes the template with ordinary values and with none, to find runtime errors.
func (t *Template) try() error {
	date := time.Date(2025, 5, 28, 14, 58, 38, 0, time.UTC)
	full := map[string]string{}
	for _, name := range fieldNames() {
		full[name] = "1"
	}
	made, err := t.run(full, date, "1")
	if err != nil {
		return err
	}
	bare, err := t.run(map[string]string{"recording_id": "1"}, date, "1")
	if err != nil {
		return err
	}
	// A part may be empty for some values. A part that is always empty is a mistake.
	if checkPath(bare) != nil {
		return checkPath(made)
	}
	return nil
}

// NamesOnly reports whether the template uses only these fields, call_date aside.
func (t *Template) NamesOnly(fields ...string) bool {
	return !slices.ContainsFunc(t.fields, func(name string) bool { return !slices.Contains(fields, name) })
}

// Pick returns copies of those fields that the template uses, except call_date: all that Key needs of a call
// without its row.
func (t *Template) Pick(fields map[string]string) map[string]string {
	picked := make(map[string]string, len(t.fields))
	for _, name := range t.fields {
		if value, ok := fields[name]; ok {
			picked[name] = strings.Clone(value)
		}
	}
	return picked
}

// checkPath refuses paths that no template should make.
func checkPath(made string) error {
	switch {
	case strings.HasPrefix(made, "/"):
		return errors.New(`it begins with "/": file names are relative to the destination`)
	case strings.HasSuffix(made, "/"):
		return errors.New(`it ends with "/": it names a folder, not a file`)
	case strings.Contains(made, "//"):
		return errors.New(`it has an empty part: "//"`)
	}
	for part := range strings.SplitSeq(made, "/") {
		if part == "." || part == ".." {
			return fmt.Errorf("it has a part %q", part)
		}
	}
	return nil
}

// Options describe the recording of a key.
type Options struct {
	// RecordingID is the recording's identity, any non-empty text. It replaces an empty file name.
	RecordingID string
	// Format of the bytes, which determines the extension of the key. Nil leaves it unchanged.
	Format interface{ Extension() string }
	// PrefixLen is the length of the store's prefix in bytes.
	PrefixLen int
}

// Key makes the names of a recording. Fields holds the values by API name, and unknown names are
// ignored; date is the call's wall-clock time, used as call_date. The wanted key leaves space for
// the suffixes of [Names.For] with the same recording id. It fails if the template does, or if the
// number of parts or the prefix leaves no space for a key. No error contains a value.
func (t *Template) Key(fields map[string]string, date time.Time, o Options) (Names, error) {
	stem, err := t.Stem(fields, date, o)
	if err != nil {
		return Names{}, err
	}
	return stem.Names(o.Format)
}

// Stem is the part of a recording's names that does not depend on its format.
type Stem struct {
	parts     []string // clean
	id        string
	prefixLen int
}

// Stem is like Key, for a recording of unknown format: its Names is cheaper than Key. It fails if the template does.
func (t *Template) Stem(fields map[string]string, date time.Time, o Options) (Stem, error) {
	made, err := t.run(fields, date, o.RecordingID)
	if err != nil {
		return Stem{}, fmt.Errorf("make key: %w", err)
	}
	parts := strings.Split(made, "/")
	last := len(parts) - 1
	parts[last] = cmp.Or(parts[last], o.RecordingID)
	for i, part := range parts {
		parts[i] = namePart(part)
	}
	return Stem{parts: parts, id: o.RecordingID, prefixLen: o.PrefixLen}, nil
}

// Names makes the names in a format, like Key.
func (s Stem) Names(format interface{ Extension() string }) (Names, error) {
	ext := ""
	if format != nil {
		ext = format.Extension()
	}
	parts := slices.Clone(s.parts)
	last := len(parts) - 1
	parts[last] = withExtension(parts[last], ext)
	parts[0] = outsideReserved(parts[0])
	if !fit(parts, maxKey-s.prefixLen, suffixSize(s.id)) {
		return Names{}, fmt.Errorf("make key: %d path elements and a prefix of %d bytes exceed the maximum of %d bytes",
			len(parts), s.prefixLen, maxKey)
	}
	return split(strings.Join(parts, "/")), nil
}

// fit truncates the parts to the limits of a part and of the whole key, with space for a suffix in
// the last one. If the key is too long, the longer parts are truncated to equal length. It reports
// whether that is enough.
func fit(parts []string, limit, suffix int) bool {
	last := len(parts) - 1
	cutTo := func(i, share int) int {
		if i == last {
			return min(share, maxPart-suffix)
		}
		return share
	}
	sizeWith := func(share int) int {
		size := last + suffix // separators
		for i, part := range parts {
			size += min(len(part), cutTo(i, share))
		}
		return size
	}
	share := maxPart
	for sizeWith(share) > limit {
		if share--; share < minPart {
			return false
		}
	}
	for i, part := range parts {
		parts[i] = cutPart(part, cutTo(i, share))
	}
	return true
}

// run executes the template with cleaned values, so that none adds a "/".
func (t *Template) run(fields map[string]string, date time.Time, recordingID string) (string, error) {
	values := make(map[string]any, len(t.fields)+1)
	for _, name := range t.fields {
		values[name] = cleanText(fields[name])
	}
	if name, named := values["filename"]; named && name == "" {
		values["filename"] = cleanText(recordingID)
	}
	values[callDate] = wallClock{date}
	var out strings.Builder
	if err := t.parsed.Execute(&out, values); err != nil {
		return "", fmt.Errorf("run template: %w", err)
	}
	return out.String(), nil
}
