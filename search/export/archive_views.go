// Makes the SQL that lets DuckDB read an archive directly.

package export

import (
	"fmt"
	"strings"
)

// ArchiveViews returns the SQL that makes an archive in a folder two views of DuckDB, without exporting it: calls, of
// each call the last row, and recordings, of each recording the line that counts. This implements the line rules of
// docs/manifest.md in SQL, independent of the program's own reader. hasCalls, hasLines and hasEvidence say whether
// there is any file in calls/, manifest/ and evidence/, because a pattern without a match is an error in DuckDB.
func ArchiveViews(folder, zone string, hasCalls, hasLines, hasEvidence bool) string {
	place := strings.TrimSuffix(strings.ReplaceAll(folder, `\`, "/"), "/")
	calls, recordings := callsOfArchive, recordingsOfArchive
	if !hasCalls {
		calls = emptyView((&callRow{}).columns)
	}
	if !hasLines {
		recordings = emptyView((&recordingRow{}).columns)
	}
	expired := "SELECT '' AS recording_id, '' AS day, '' AS reason WHERE false"
	if hasEvidence {
		expired = strings.ReplaceAll(expiredOfArchive, "{EVIDENCE}", quoted(pattern(place)+"/evidence/*.jsonl"))
	}
	recordings = strings.ReplaceAll(recordings, "{EXPIRED}", expired)
	return strings.NewReplacer("{CALLS}", quoted(pattern(place)+"/calls/**/*.jsonl*"), "{LINES}", quoted(pattern(place)+"/manifest/**/*.jsonl*"), "{ZONE}", quoted(zone), "{TEXTS}", textsOfArchive()).
		Replace("-- Defines two DuckDB views over an archive: calls has the last row of each call, recordings has the current line of\n" +
			"-- each recording. Each query reads the archive as it is at that moment. If the archive moves, change the two paths.\n" +
			"-- Lines that cannot be read, or are not UTF-8, are skipped. export does not write the day of a line that cannot be read,\n" +
			"-- names the line, and exits with 3.\n" +
			"\nCREATE OR REPLACE VIEW calls AS\n" + calls + ";\n\nCREATE OR REPLACE VIEW recordings AS\n" + recordings + ";\n")
}

// textsOfArchive are the columns of a row that are text.
func textsOfArchive() string {
	types := &sqlColumns{}
	(&callRow{}).columns(types)
	return types.list(func(name, sqlType string) string {
		if sqlType != "VARCHAR" || name == "id" || name == "call_date_local" {
			return ""
		}
		return fmt.Sprintf("coalesce(row->>'$.%s', '') AS %s", name, name)
	})
}

func emptyView(tell func(columns)) string {
	types := &sqlColumns{}
	tell(types)
	return strings.TrimSuffix(types.empty(), ";\n")
}

// pattern escapes the special characters of file patterns in a path.
func pattern(path string) string {
	return strings.NewReplacer("[", "[[]", "*", "[*]", "?", "[?]").Replace(path)
}

// Lines are numbered in reading order, which is by file name: a day's file of the old layout, day.jsonl, comes before
// its folder's, because '.' sorts before '/'. Other files, such as torn tails and copies of a repair, have other
// extensions. Unreadable lines are skipped; DuckDB reads a line whose only fault is a number instead of a text, or the
// reverse, which no program writes.
const callsOfArchive = `WITH lines AS (
  SELECT call_id, row,
    regexp_extract(filename, '(\d{4}-\d\d-\d\d)(/[^/]*)?\.jsonl(\.gz)?$', 1) AS day,
    filename, row_number() OVER () AS line
  FROM read_json({CALLS}, format = 'newline_delimited', ignore_errors = true, filename = true, maximum_object_size = 33554432,
    columns = {v: 'INTEGER', kind: 'VARCHAR', call_id: 'VARCHAR', time: 'TIMESTAMP', row: 'JSON'})
  WHERE v >= 1 AND kind = 'call' AND call_id <> '' AND time IS NOT NULL AND regexp_matches(filename, '\.jsonl(\.gz)?$')
), last_rows AS (
  SELECT * FROM lines QUALIFY row_number() OVER (PARTITION BY day, call_id ORDER BY replace(filename, '\', '/') DESC, line DESC) = 1
), dated AS (
  SELECT *, try_cast(replace(row->>'$.call_date', 'T', ' ') AS TIMESTAMP) AS wall FROM last_rows
)
SELECT call_id AS id,
  timezone({ZONE}, wall) AS call_date,
  strftime(wall, '%Y-%m-%d %H:%M:%S') AS call_date_local,
  CASE WHEN try_cast(row->>'$.call_length' AS DOUBLE) BETWEEN 0 AND 1e9 THEN trunc(try_cast(row->>'$.call_length' AS DOUBLE))::INTEGER END AS call_length,
  {TEXTS},
  CAST(row AS VARCHAR) = '{}' AS erased,
  row,
  day::DATE AS day
FROM dated`

// expiredOfArchive are the recordings that have expired, whose lines stay unchanged.
const expiredOfArchive = `WITH records AS (
    SELECT day, state, expiry, class, ended, unnest(from_json(recordings, '["VARCHAR"]')) AS recording_id
    FROM read_json({EVIDENCE}, format = 'newline_delimited', ignore_errors = true, maximum_object_size = 33554432,
      columns = {kind: 'VARCHAR', state: 'VARCHAR', expiry: 'VARCHAR', day: 'VARCHAR', class: 'VARCHAR', ended: 'VARCHAR', recordings: 'JSON'})
    WHERE kind = 'expiry' AND state IN ('intent', 'withdrawn')
  )
  SELECT recording_id, day, 'its retention, class "' || class || '", ended on ' || ended || '; expiry ' || expiry AS reason
  FROM records i
  WHERE state = 'intent'
    AND NOT EXISTS (SELECT 1 FROM records w WHERE w.state = 'withdrawn' AND w.expiry = i.expiry AND w.day = i.day AND w.recording_id = i.recording_id)
  QUALIFY row_number() OVER (PARTITION BY day, recording_id ORDER BY expiry DESC) = 1`

const recordingsOfArchive = `WITH expired AS (
  {EXPIRED}
), noted AS (
  SELECT *,
    regexp_extract(filename, '(\d{4}-\d\d-\d\d)(/[^/]*)?\.jsonl$', 1) AS day,
    row_number() OVER () AS line
  FROM read_json({LINES}, format = 'newline_delimited', ignore_errors = true, filename = true, maximum_object_size = 33554432,
    columns = {v: 'INTEGER', kind: 'VARCHAR', recording_id: 'VARCHAR', outcome: 'VARCHAR', key: 'VARCHAR', size: 'BIGINT', sha256: 'VARCHAR', time: 'TIMESTAMP',
      run: 'VARCHAR', call_id: 'VARCHAR', first_seen: 'TIMESTAMP', attempts: 'INTEGER', content_type: 'VARCHAR', host: 'VARCHAR', reason: 'VARCHAR',
      cause: 'VARCHAR', restored: 'BOOLEAN', final: 'BOOLEAN', salt: 'VARCHAR', digest: 'VARCHAR'})
  WHERE v >= 1 AND kind = 'recording' AND recording_id <> '' AND outcome <> '' AND (outcome <> 'archived' OR key <> '')
    AND greatest(strlen(recording_id), strlen(coalesce(key, '')), strlen(coalesce(call_id, ''))) <= 65535
    AND time IS NOT NULL AND regexp_matches(filename, '\.jsonl$')
), obeyed AS (
  SELECT n.* REPLACE (
    CASE WHEN e.reason IS NULL OR n.outcome = 'erased' THEN n.outcome ELSE 'expired' END AS outcome,
    CASE WHEN e.reason IS NULL OR n.outcome = 'erased' THEN n.reason ELSE e.reason END AS reason,
    CASE WHEN e.reason IS NULL OR n.outcome = 'erased' THEN n.cause ELSE '' END AS cause)
  FROM noted n LEFT JOIN expired e USING (day, recording_id)
), lines AS (
  SELECT *,
    CASE outcome WHEN 'pending' THEN 0 WHEN 'failed' THEN 0 WHEN 'rejected' THEN 0 WHEN 'lost' THEN 1 WHEN 'archived' THEN 2
      WHEN 'damaged' THEN 3 WHEN 'erased' THEN 4 WHEN 'expired' THEN 4 ELSE 5 END AS rank
  FROM obeyed
), placed AS (
  SELECT *, row_number() OVER (PARTITION BY day, recording_id ORDER BY time, run, replace(filename, '\', '/'), line) AS place,
    min(CASE WHEN year(first_seen) > 1 THEN first_seen ELSE time END) OVER (PARTITION BY day, recording_id) AS first_of_all
  FROM lines
), compared AS (
  SELECT *, max(place) FILTER (WHERE outcome = 'damaged') OVER (PARTITION BY day, recording_id) AS damaged_at,
    arg_max(key, place) FILTER (WHERE outcome = 'damaged') OVER (PARTITION BY day, recording_id) AS damaged_key
  FROM placed
)
SELECT recording_id, call_id, outcome,
  coalesce(final, false) OR rank >= 4 OR outcome = 'archived' OR outcome = 'lost' AND salt IS NULL AND digest IS NULL AS final,
  coalesce(key, '') AS key, coalesce(size, 0) AS size, coalesce(sha256, '') AS sha256, coalesce(content_type, '') AS content_type,
  coalesce(host, '') AS host, coalesce(attempts, 0) AS attempts, coalesce(cause, '') AS cause, coalesce(reason, '') AS reason,
  timezone('UTC', first_of_all) AS first_seen, timezone('UTC', time) AS noted, day::DATE AS day
FROM compared
QUALIFY row_number() OVER (PARTITION BY day, recording_id ORDER BY
  CASE WHEN outcome = 'archived' AND place > damaged_at AND (key <> damaged_key OR coalesce(restored, false)) THEN 3.5 ELSE rank END DESC, place DESC) = 1`
