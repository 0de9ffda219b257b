package audio

import (
	"io"
	"testing"
	"time"

	"convoso-archiver/fetcher/convosotest"
)

// Every recording of the simulator, of any kind, is complete audio with the simulator's duration.
func TestRecordingsOfTheSimulator(t *testing.T) {
	server, err := convosotest.New(convosotest.Config{RecordedShare: 1, Oddities: convosotest.Oddities{OtherKinds: true}})
	if err != nil {
		t.Fatal(err)
	}
	formats := map[convosotest.Kind]Format{
		convosotest.KindMP3: MP3, convosotest.KindID3: MP3, convosotest.KindOgg: Ogg, convosotest.KindAU: AU,
		convosotest.KindWAV: WAV, convosotest.KindULaw: WAV, convosotest.KindGSM: WAV, convosotest.KindADPCM: WAV,
	}
	seen := map[convosotest.Kind]bool{}
	for r := range server.Recordings() {
		seen[r.Kind] = true
		body, err := io.ReadAll(r.Body())
		if err != nil {
			t.Fatal(err)
		}
		got := inspect(body, 0)
		// A WAV file states bytes per second as a whole number, Opus skips 6.5 ms.
		const slack = 10 * time.Millisecond
		if off := got.Duration - r.Duration(); off.Abs() > slack+r.Duration()/5000 {
			t.Errorf("%s: it plays %v, want %v", r.Kind, got.Duration, r.Duration())
		}
		if got.Verdict != Audio || got.Format != formats[r.Kind] || !got.Whole || len(got.Oddities) > 0 {
			t.Errorf("%s: got %+v", r.Kind, got)
		}
	}
	if len(seen) != len(formats) {
		t.Errorf("%d kinds, want %d", len(seen), len(formats))
	}
}
