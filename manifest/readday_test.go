package manifest

import (
	"errors"
	"slices"
	"strings"
	"testing"
)

// ReadDay must tell every line and come to what Day comes to.
func TestReadDay(t *testing.T) {
	for _, name := range []string{"closed.jsonl", "torn-after-close.jsonl", "duplicate.jsonl", "unknown.jsonl"} {
		t.Run(name, func(t *testing.T) {
			l := openDir(t, archiveWith(t, sample(t, name)), Options{ReadOnly: true})
			var told, want []string
			read, err := l.ReadDay(t.Context(), testDay, func(line Line) { told = append(told, line.Kind+" "+string(line.Raw)) })
			if err != nil {
				t.Fatal(err)
			}
			for line, err := range l.Records(t.Context(), testDay) {
				if err != nil {
					t.Fatal(err)
				}
				want = append(want, line.Kind+" "+string(line.Raw))
			}
			if !slices.Equal(told, want) {
				t.Errorf("told\n%s\nwant\n%s", strings.Join(told, "\n"), strings.Join(want, "\n"))
			}
			day := loadDay(t, l, testDay)
			defer day.Release()
			for id, state := range day.Recordings() {
				if got, ok := read.Recording(id); !ok || got != state {
					t.Errorf("%s: %+v, want %+v", id, got, state)
				}
			}
			_, closed := day.Closed()
			if _, got := read.Closed(); got != closed {
				t.Errorf("closed: %t, want %t", got, closed)
			}
		})
	}
}

// A day that is only looked at is not the one that others write to.
func TestReadDayTakesNoLines(t *testing.T) {
	l := openDir(t, t.TempDir(), Options{})
	day := loadDay(t, l, testDay)
	defer day.Release()
	note(t, day, recording("101", Archived))
	read, err := l.ReadDay(t.Context(), testDay, func(Line) {})
	if err != nil {
		t.Fatal(err)
	}
	if err := read.Note(t.Context(), recording("102", Archived)); !errors.Is(err, ErrReadOnly) {
		t.Errorf("Note: %v", err)
	}
	if err := read.NoteWindow(t.Context(), Window{}); !errors.Is(err, ErrReadOnly) {
		t.Errorf("NoteWindow: %v", err)
	}
	if err := read.NoteCall(t.Context(), Call{CallID: "1", Row: []byte("{}")}); !errors.Is(err, ErrReadOnly) {
		t.Errorf("NoteCall: %v", err)
	}
	if err := read.Close(t.Context(), DayLine{}); !errors.Is(err, ErrReadOnly) {
		t.Errorf("Close: %v", err)
	}
	if _, err := l.ReadDay(t.Context(), "yesterday", func(Line) {}); err == nil {
		t.Error("a day that is none was read")
	}
}

func TestReadDayStopsAtABadLine(t *testing.T) {
	l := openDir(t, archiveWith(t, sample(t, "bad-middle.jsonl")), Options{ReadOnly: true})
	_, err := l.ReadDay(t.Context(), testDay, func(Line) {})
	if _, bad := errors.AsType[*BadLineError](err); !bad {
		t.Errorf("got %v", err)
	}
}
