// Defines the formats of tables.

package export

import (
	"fmt"
	"io"
	"slices"
)

// Format is the file format of tables.
type Format string

// The formats.
const (
	Parquet Format = "parquet"
	CSV     Format = "csv"
	JSONL   Format = "jsonl"
)

// Formats returns all formats.
func Formats() []Format { return []Format{Parquet, CSV, JSONL} }

// The tables, which are also the names of folders.
const (
	tableCalls      = "calls"
	tableRecordings = "recordings"
)

// file writes the rows of one table, one file after another.
type file[T any] interface {
	begin(w io.Writer) error
	write(row *T) error
	end() error
}

// tables writes both tables.
type tables struct {
	calls      file[callRow]
	recordings file[recordingRow]
}

func newTables(format Format, excel bool) (tables, error) {
	switch format {
	case Parquet:
		return tables{newParquetFile[callRow](callBloom()), newParquetFile[recordingRow](recordingBloom())}, nil
	case CSV:
		return tables{&csvFile[callRow, *callRow]{excel: excel}, &csvFile[recordingRow, *recordingRow]{excel: excel}}, nil
	case JSONL:
		return tables{&jsonFile[callRow, *callRow]{}, &jsonFile[recordingRow, *recordingRow]{}}, nil
	}
	return tables{}, fmt.Errorf("unknown format %q: it is none of %v", format, Formats())
}

// nameOf returns the name of a day's file.
func nameOf(table, day string, format Format) string {
	return table + "/day=" + day + "/part-0." + string(format)
}

// parseName is the reverse of nameOf.
func parseName(name string) (table, day string, format Format, ok bool) {
	for _, table := range []string{tableCalls, tableRecordings} {
		for _, format := range Formats() {
			head, tail := nameOf(table, "", format), ""
			if i := len(table + "/day="); len(name) == len(head)+len("2006-01-02") {
				day, tail = name[i:i+len("2006-01-02")], name[i+len("2006-01-02"):]
				if name == nameOf(table, day, format) && isDay(day) && tail != "" {
					return table, day, format, true
				}
			}
		}
	}
	return "", "", "", false
}

func isDay(day string) bool {
	return len(day) == 10 && day[4] == '-' && day[7] == '-' &&
		!slices.ContainsFunc([]byte(day[:4]+day[5:7]+day[8:]), func(b byte) bool { return b < '0' || b > '9' })
}
