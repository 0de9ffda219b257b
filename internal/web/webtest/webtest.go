// Package webtest makes a small archive with recordings that browsers play, for the tests of the page.
package webtest

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"time"

	"convoso-archiver/archiver"
	"convoso-archiver/archiver/store"
	"convoso-archiver/manifest"
)

// The archive: three days, the first one closed with a loss, the second closed, and the third open. The third has
// more calls than a page.
const (
	LossDay   = "2025-05-25"
	ClosedDay = "2025-05-26"
	OpenDay   = "2025-05-27"
	LastCalls = 60
	Zone      = "America/Los_Angeles"
)

// Hidden are the first digits of every number, in both notations. They must not be visible without the right to
// numbers.
func Hidden() []string { return []string{"550867", "(550) 867"} }

// World is the content of the archive.
type World struct {
	Calls      map[string]Call // by id
	Recordings map[string]Recording
}

// Call is a call of the archive.
type Call struct {
	ID, Day, CampaignID, UserID, Number, Status string
	Length                                      int
	Recordings                                  []string // ids
}

// Recording is a recording of the archive.
type Recording struct {
	ID, Day, CallID, Key string
	Body                 []byte // nil if it is not stored
	Outcome              manifest.Outcome
}

// Make makes the archive. It does not check for an existing one.
func Make(ctx context.Context, at archiver.Location) (*World, error) {
	opened, err := archiver.Open(ctx, at, archiver.Archive, "", slog.New(slog.DiscardHandler))
	if err != nil {
		return nil, err
	}
	w := &World{Calls: map[string]Call{}, Recordings: map[string]Recording{}}
	err = w.fill(ctx, opened)
	return w, errors.Join(err, opened.Close(ctx))
}

func (w *World) fill(ctx context.Context, opened *archiver.Opened) error {
	err := opened.Ledger.SaveArchive(ctx, manifest.Archive{APIURL: "https://api.convoso.com/v1", TimeZone: Zone, AccountID: "100200"})
	if err != nil {
		return err
	}
	for _, day := range []struct {
		name   string
		calls  int
		closed bool
	}{{LossDay, 4, true}, {ClosedDay, 6, true}, {OpenDay, LastCalls, false}} {
		if err := w.day(ctx, opened, day.name, day.calls, day.closed); err != nil {
			return fmt.Errorf("make %s: %w", day.name, err)
		}
	}
	return nil
}

// day makes a day. Every fourth call has a recording; those of the other calls are of all other outcomes.
func (w *World) day(ctx context.Context, opened *archiver.Opened, name string, calls int, closed bool) error {
	d, err := opened.Ledger.Load(ctx, name)
	if err != nil {
		return err
	}
	var rows []manifest.Call
	var notes []manifest.Recording
	for i := range calls {
		c := w.call(name, i)
		recorded := w.recordings(&c, i, closed)
		for _, r := range recorded {
			if r.Body != nil {
				if err := put(ctx, opened.Store, r); err != nil {
					return err
				}
			}
			notes = append(notes, note(r))
		}
		w.Calls[c.ID] = c
		rows = append(rows, manifest.Call{CallID: c.ID, Row: row(c, i, recorded)})
	}
	listed := time.Now().UTC()
	if err := errors.Join(d.NoteCalls(ctx, rows), d.Note(ctx, notes...)); err != nil {
		return err
	}
	window := manifest.Window{
		From: name + " 00:00:00", To: name + " 23:59:59", Listing: "l1", Rows: calls, Total: calls, Calls: calls, Recordings: len(notes),
		Whole: true, Complete: true, ListedAt: listed,
	}
	if err := d.NoteWindows(ctx, window); err != nil {
		return err
	}
	if !closed {
		return nil
	}
	return d.Close(ctx, manifest.DayLine{Kept: []string{"calls", "recordings"}, ListedAt: listed, Calls: calls})
}

func (w *World) call(day string, i int) Call {
	c := Call{
		ID: fmt.Sprintf("9%s%s%03d", day[5:7], day[8:], i), Day: day, CampaignID: []string{"12", "13"}[i%2], UserID: []string{"3001", "3002", "3003"}[i%3],
		Number: fmt.Sprintf("(550) 867-%04d", 5300+i), Status: []string{"SALE", "HU"}[i%2], Length: 20 + i,
	}
	return c
}

func (w *World) recordings(c *Call, i int, closed bool) []Recording {
	var list []Recording
	add := func(n int, outcome manifest.Outcome, body []byte) {
		id := fmt.Sprintf("7%s%d", c.ID[1:], n)
		r := Recording{
			ID: id, Day: c.Day, CallID: c.ID, Outcome: outcome, Body: body,
			Key: fmt.Sprintf("%s/%s_1%s_%s-all.wav", c.Day, id, digits(c.Number), c.UserID),
		}
		w.Recordings[id] = r
		c.Recordings = append(c.Recordings, id)
		list = append(list, r)
	}
	switch {
	case i%4 == 0:
		add(0, manifest.Archived, Tone(440+20*float64(i), i%8 == 0))
	case i == 1 && c.Day == OpenDay:
		add(0, manifest.Archived, Tone(700, true))
		add(1, manifest.Archived, Tone(900, false))
	case i == 1 && c.Day == LossDay:
		add(0, manifest.Lost, nil)
	case i == 2 && !closed:
		add(0, manifest.Pending, nil)
	case i == 3 && !closed:
		add(0, manifest.Archived, gsm())
	case i == 7 && !closed:
		add(0, manifest.Archived, Sun(600))
	case i == 5 && !closed:
		add(0, manifest.Rejected, nil)
	}
	return list
}

func note(r Recording) manifest.Recording {
	n := manifest.Recording{RecordingID: r.ID, Outcome: r.Outcome, CallID: r.CallID, Attempts: 1}
	if r.Body != nil {
		sum := sha256.Sum256(r.Body)
		n.Key, n.Size, n.SHA256, n.ContentType = r.Key, int64(len(r.Body)), hex.EncodeToString(sum[:]), "audio/wav"
		return n
	}
	n.Cause, n.Reason, n.Final = "not_found", "HTTP status 404", r.Outcome == manifest.Lost
	return n
}

func put(ctx context.Context, s archiver.OpenedStore, r Recording) error {
	_, err := s.Put(ctx, store.Object{
		Key: r.Key, Body: bytes.NewReader(r.Body), Size: int64(len(r.Body)), SHA256: sha256.Sum256(r.Body), ContentType: "audio/wav",
		RecordingID: r.ID, CallID: r.CallID, CallDay: r.Day,
	})
	return err
}

// row is a row like the vendor's: the number occurs five times.
func row(c Call, i int, recorded []Recording) json.RawMessage {
	type file struct {
		ID       string `json:"recording_id"`
		Filename string `json:"filename"`
	}
	var files []file
	for _, r := range recorded {
		files = append(files, file{r.ID, r.Key})
	}
	text, _ := json.Marshal(map[string]any{ // texts and numbers can always be encoded
		"id": c.ID, "lead_id": fmt.Sprint(77000 + i), "list_id": "5", "campaign_id": c.CampaignID,
		"campaign": map[string]string{"12": "Solar West", "13": "Solar East"}[c.CampaignID], "user_id": c.UserID,
		"user":         map[string]string{"3001": "Ana Núñez", "3002": "Ben Low", "3003": "Cleo Park"}[c.UserID],
		"phone_number": c.Number, "number_dialed": "1" + digits(c.Number), "first_name": "Mary", "last_name": fmt.Sprintf("O'Neil %c", 'A'+i%26),
		"status": c.Status, "status_name": map[string]string{"SALE": "Sale made", "HU": "Hang up"}[c.Status], "call_length": fmt.Sprint(c.Length),
		"call_date": fmt.Sprintf("%s %02d:%02d:%02d", c.Day, 9+i/12, i%12*5, i%60), "agent_comment": "Call back at " + c.Number + ", soon",
		"caller_id": "+1" + digits(c.Number), "queue_id": nil, "called_count": "2", "call_type": "OUTBOUND", "recording": files,
	})
	return text
}

func digits(number string) string {
	var d []byte
	for i := range len(number) {
		if number[i] >= '0' && number[i] <= '9' {
			d = append(d, number[i])
		}
	}
	return string(d)
}

// The parts of a tone, in seconds: sound, silence, sound.
const (
	Sound   = 2
	Silence = 3
	Rate    = 8000
)

// Tone is a WAV file of 7 s: a tone, silence, and the tone again, as mu-law or as 16 bit PCM.
func Tone(hertz float64, mulaw bool) []byte {
	var samples []int16
	for i := range (2*Sound + Silence) * Rate {
		second := i / Rate
		if second >= Sound && second < Sound+Silence {
			samples = append(samples, 0)
			continue
		}
		samples = append(samples, int16(12000*math.Sin(2*math.Pi*hertz*float64(i)/Rate)))
	}
	if mulaw {
		data := make([]byte, len(samples))
		for i, s := range samples {
			data[i] = encodeMulaw(s)
		}
		return wav(7, 8, data)
	}
	var data bytes.Buffer
	_ = binary.Write(&data, binary.LittleEndian, samples) // a buffer takes all
	return wav(1, 16, data.Bytes())
}

// Sun is a tone as Sun audio, which no browser plays and serve decodes.
func Sun(hz float64) []byte {
	const muLaw, header = 1, 24
	var b bytes.Buffer
	samples := Tone(hz, true)[44:]
	b.WriteString(".snd")
	for _, v := range []uint32{header, uint32(len(samples)), muLaw, Rate, 1} {
		_ = binary.Write(&b, binary.BigEndian, v) // a buffer takes all
	}
	b.Write(samples)
	return b.Bytes()
}

// gsm is a WAV file of a codec that no browser plays.
func gsm() []byte { return wav(49, 0, bytes.Repeat([]byte{0xd8, 0x20, 0xa2, 0xe1, 0x5a}, 1300)) }

func wav(codec, bits int, data []byte) []byte {
	var b bytes.Buffer
	align := max(bits/8, 1)
	b.WriteString("RIFF")
	le := func(v any) { _ = binary.Write(&b, binary.LittleEndian, v) } // a buffer takes all
	le(uint32(36 + len(data)))
	b.WriteString("WAVEfmt ")
	le(uint32(16))
	le(uint16(codec))
	le(uint16(1))
	le(uint32(Rate))
	le(uint32(Rate * align))
	le(uint16(align))
	le(uint16(bits))
	b.WriteString("data")
	le(uint32(len(data)))
	b.Write(data)
	return b.Bytes()
}

// encodeMulaw is ITU-T G.711.
func encodeMulaw(s int16) byte {
	const bias, clip = 0x84, 32635
	sign := byte(0)
	v := int(s)
	if v < 0 {
		sign, v = 0x80, -v
	}
	v = min(v, clip) + bias
	exponent := 7
	for mask := 0x4000; exponent > 0 && v&mask == 0; mask >>= 1 {
		exponent--
	}
	return ^(sign | byte(exponent)<<4 | byte(v>>(exponent+3))&0x0f)
}
