// Writes views.sql of an export.

package export

import (
	"fmt"
	"strings"
	"time"
)

// ViewsName is the file at an export's root with its views for DuckDB.
const ViewsName = "views.sql"

// views returns the SQL that defines the files of an export as views of DuckDB. A table without any file is an empty
// view, because a pattern without a match is an error in DuckDB.
func (r *run) views() string {
	var b strings.Builder
	b.WriteString("-- Defines two DuckDB views over this export.\n")
	if r.Location == "" {
		b.WriteString("-- In the folder of this file: duckdb -init views.sql\n")
	}
	b.WriteString("-- Each export rewrites this file.\n")
	for _, t := range []struct {
		name    string
		columns func(columns)
		rows    int64
	}{
		{tableCalls, (&callRow{}).columns, r.note.Calls},
		{tableRecordings, (&recordingRow{}).columns, r.note.Recordings},
	} {
		types := &sqlColumns{}
		t.columns(types)
		fmt.Fprintf(&b, "\nCREATE OR REPLACE VIEW %s AS\n", t.name)
		if t.rows == 0 {
			b.WriteString(types.empty())
			continue
		}
		files := quoted(r.Location + t.name + "/day=*/part-*." + string(r.Format))
		const byDay = "hive_partitioning = true, hive_types = {'day': DATE}"
		switch r.Format {
		case CSV:
			fmt.Fprintf(&b, "SELECT * FROM read_csv(%s, %s,\n  header = true, delim = ',', quote = '\"', escape = '\"', new_line = '\\r\\n', auto_detect = false,\n"+
				"  force_not_null = [%s],\n  max_line_size = 33554432, parallel = false,\n  columns = {%s});\n",
				files, byDay, types.texts(), types.dictionary())
		case JSONL:
			fmt.Fprintf(&b, "SELECT * FROM read_json(%s, %s,\n  format = 'newline_delimited', maximum_object_size = 33554432,\n  columns = {%s});\n",
				files, byDay, types.dictionary())
		default:
			fmt.Fprintf(&b, "SELECT * FROM read_parquet(%s, %s);\n", files, byDay)
		}
	}
	return b.String()
}

// sqlColumns collects the names and types of columns, as DuckDB calls them.
type sqlColumns struct{ names, types []string }

func (c *sqlColumns) add(name, sqlType string) {
	c.names, c.types = append(c.names, name), append(c.types, sqlType)
}

func (c *sqlColumns) text(name, _ string)          { c.add(name, "VARCHAR") }
func (c *sqlColumns) length(name string, _ *int32) { c.add(name, "INTEGER") }
func (c *sqlColumns) truth(name string, _ bool)    { c.add(name, "BOOLEAN") }
func (c *sqlColumns) moment(name string, _ time.Time) {
	c.add(name, "TIMESTAMP WITH TIME ZONE")
}
func (c *sqlColumns) document(name, _ string) { c.add(name, "JSON") }
func (c *sqlColumns) whole(name string, _ int64, bits int) {
	if bits > 32 {
		c.add(name, "BIGINT")
		return
	}
	c.add(name, "INTEGER")
}

func (c *sqlColumns) list(item func(name, sqlType string) string) string {
	var items []string
	for i, name := range c.names {
		if s := item(name, c.types[i]); s != "" {
			items = append(items, s)
		}
	}
	return strings.Join(items, ", ")
}

func (c *sqlColumns) dictionary() string {
	return c.list(func(name, sqlType string) string { return "'" + name + "': '" + sqlType + "'" })
}

func (c *sqlColumns) texts() string {
	return c.list(func(name, sqlType string) string {
		if sqlType != "VARCHAR" || name == "call_date_local" {
			return ""
		}
		return "'" + name + "'"
	})
}

// empty is a query with these columns and no rows.
func (c *sqlColumns) empty() string {
	return "SELECT " + c.list(func(name, sqlType string) string { return "NULL::" + sqlType + " AS " + name }) + ", NULL::DATE AS day WHERE false;\n"
}

// quoted returns a text as a literal of SQL.
func quoted(text string) string { return "'" + strings.ReplaceAll(text, "'", "''") + "'" }
