package search

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
	"time"

	"convoso-archiver/manifest"
)

// made is an archive on disk that a test creates and modifies.
type made struct {
	t    testing.TB
	dir  string
	zone *time.Location
	rand *rand.Rand
}

func newMade(t testing.TB, seed uint64) *made {
	zone, err := time.LoadLocation("America/Los_Angeles")
	if err != nil {
		t.Fatal(err)
	}
	return &made{t: t, dir: t.TempDir(), zone: zone, rand: rand.New(rand.NewPCG(seed, 0))}
}

// write lets a ledger write to the archive.
func (m *made) write(do func(l *manifest.Ledger)) {
	m.t.Helper()
	root, err := os.OpenRoot(m.dir)
	if err != nil {
		m.t.Fatal(err)
	}
	defer root.Close()
	l, err := manifest.OpenDir(root, manifest.Options{})
	if err != nil {
		m.t.Fatal(err)
	}
	do(l)
	if err := l.Close(context.WithoutCancel(m.t.Context())); err != nil {
		m.t.Fatal(err)
	}
}

// note adds rows and recordings to a day.
func (m *made) note(day string, calls []manifest.Call, recordings []manifest.Recording) {
	m.t.Helper()
	m.write(func(l *manifest.Ledger) { noteInto(m.t, l, day, calls, recordings) })
}

func noteInto(t testing.TB, l *manifest.Ledger, day string, calls []manifest.Call, recordings []manifest.Recording) {
	t.Helper()
	d, err := l.Load(t.Context(), day)
	if err == nil {
		err = d.NoteCalls(t.Context(), calls)
	}
	if err == nil {
		err = d.Note(t.Context(), recordings...)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// open opens the archive for reading.
func (m *made) open() *Archive {
	m.t.Helper()
	root, err := os.OpenRoot(m.dir)
	if err != nil {
		m.t.Fatal(err)
	}
	m.t.Cleanup(func() { _ = root.Close() })
	l, err := manifest.OpenDir(root, manifest.Options{ReadOnly: true})
	if err != nil {
		m.t.Fatal(err)
	}
	return New(l, m.zone)
}

// breakLine writes an invalid line into a day's manifest.
func (m *made) breakLine(day string) {
	m.t.Helper()
	name := filepath.Join(m.dir, "manifest", day, manifest.NewRunID(time.Now())+"-000001.jsonl")
	if err := os.WriteFile(name, []byte("{\"v\":1,\"kind\":\"recording\"}\n"), 0o600); err != nil {
		m.t.Fatal(err)
	}
}

// removeDay removes all files of a day.
func (m *made) removeDay(day string) {
	m.t.Helper()
	for _, tree := range []string{"manifest", "calls"} {
		if err := os.RemoveAll(filepath.Join(m.dir, tree, day)); err != nil {
			m.t.Fatal(err)
		}
	}
}

// fill writes days of calls and recordings, including unusual ones.
func (m *made) fill(days, perDay int) {
	m.t.Helper()
	m.write(func(l *manifest.Ledger) {
		for i := range days {
			day := dayAt(i)
			calls, recordings := m.day(day, i, m.rand.IntN(perDay)+1)
			switch i % 9 {
			case 4:
				calls = nil // like an archive with only recordings
			case 7:
				recordings = nil
			}
			noteInto(m.t, l, day, calls, recordings)
		}
	})
}

func dayAt(i int) string {
	return time.Date(2025, 2, 20, 0, 0, 0, 0, time.UTC).AddDate(0, 0, i).Format(time.DateOnly)
}

var (
	oddFirst    = []string{"Mary Ann", "José", "jose", "Łukasz", "ſam", "\u212Aelvin", "Straße", "李", "", "O'Neil-Smith", "Ana\u0301", "x\x00y", "--"}
	oddLast     = []string{"Núñez", "nunez", "Smith", "SMITH", "Ng", "van der Berg", "Пётр", "", "ﬁsher", "Smithson", "😀"}
	oddStatuses = []string{"SALE", "sale", "HU", "A", "DNC", "ſ", "S", "", "N/A"}
	oddComments = []string{
		"", "", "", "Wants a call-back, \"soon\"", "called 3 times; left message", "não quer", "CALL BACK", "back call back", "...", "gate code 4711 #2",
	}
	oddNumbers = []string{"(555) 867-5309", "15558675309", "+1 555 867 5309", "5309", "", "unknown", "00000000000000000000000000000000000005309"}
)

func pick[T any](m *made, from []T) T { return from[m.rand.IntN(len(from))] }

// day makes the rows and the recordings of a day.
func (m *made) day(day string, i, n int) (calls []manifest.Call, recordings []manifest.Recording) {
	for k := range n {
		id := fmt.Sprint(1_000_000*(i+1) + k)
		row := m.row(day, id, k)
		if m.rand.IntN(40) == 0 {
			row = []byte("{}") // erased
		}
		calls = append(calls, manifest.Call{CallID: id, Row: row})
		if m.rand.IntN(30) == 0 {
			calls = append(calls, manifest.Call{CallID: id, Row: m.row(day, id, k+1)}) // listed again, and changed
		}
		for part := range max(0, m.rand.IntN(5)-2) {
			recordings = append(recordings, m.recording(fmt.Sprintf("%s%d", id, part), id))
		}
	}
	for k := range m.rand.IntN(3) { // of a call without a row
		recordings = append(recordings, m.recording(fmt.Sprintf("R-%d-%d", i, k), fmt.Sprintf("gone-%d", i)))
	}
	return calls, recordings
}

func (m *made) recording(id, call string) manifest.Recording {
	outcomes := append(manifest.Outcomes(), manifest.Archived, manifest.Archived, manifest.Archived, "novel")
	r := manifest.Recording{RecordingID: id, CallID: call, Outcome: pick(m, outcomes), Reason: "it was so", Final: m.rand.IntN(2) == 0}
	if r.Outcome == manifest.Archived || r.Outcome == manifest.Damaged || r.Outcome == manifest.Expired {
		r.Key, r.Size, r.SHA256 = "audio/"+id+".mp3", int64(m.rand.IntN(1e6)), long("5e", 32)
	}
	return r
}

func (m *made) row(day, id string, k int) json.RawMessage {
	seconds := m.rand.IntN(60*60*24) / (1 + k%7*2000) // many at the start of the day
	row := map[string]any{
		"id": id, "lead_id": m.rand.IntN(300), "list_id": fmt.Sprint(m.rand.IntN(5)), "queue_id": pick(m, []any{nil, "7", "8", 9}),
		"campaign_id": fmt.Sprint(m.rand.IntN(4)), "user_id": pick(m, []any{"3001", "3002", nil, "AbC", "abc"}),
		"phone_number": pick(m, oddNumbers), "first_name": pick(m, oddFirst), "last_name": pick(m, oddLast),
		"status": pick(m, oddStatuses), "status_name": pick(m, []string{"Sale made", "", "Hung up"}), "call_length": pick(m, []any{nil, "0", "12", 185, 3600, "-1"}),
		"call_date": day + " " + time.Unix(int64(seconds), 0).UTC().Format(time.TimeOnly), "agent_comment": pick(m, oddComments),
		"called_count": m.rand.IntN(4), "call_type": pick(m, []string{"OUTBOUND", "Inbound", "3WAY", ""}),
	}
	row["campaign"] = pick(m, []string{"Solar West", "Solar  west", "Roofs", "", "!"})
	row["user"] = pick(m, []string{"José Núñez", "3001", "Ann", "", "--"})
	row["number_dialed"] = row["phone_number"]
	switch m.rand.IntN(8) {
	case 0:
		row["phone_number"] = fmt.Sprintf("1%010d", m.rand.IntN(1e10))
	case 1:
		row["number_dialed"] = pick(m, oddNumbers)
	case 2:
		row["call_date"] = pick(m, []any{nil, "2001-01-01 10:00:00", "soon", day + " 02:30:00"})
	case 3:
		row["agent_comment"] = long("comment", m.rand.IntN(200)) + " " + long("tail", 30)
		row["campaign_id"] = long("campaign", m.rand.IntN(30))
	case 4:
		row["first_name"], row["last_name"] = pick(m, oddLast), long("name", m.rand.IntN(40))
	}
	raw, err := json.Marshal(row)
	if err != nil {
		m.t.Fatal(err)
	}
	return raw
}

// long repeats a word without spaces.
func long(word string, times int) string {
	text := ""
	for range times {
		text += word
	}
	return text
}
