package wave

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
	"testing/iotest"

	"convoso-archiver/fetcher/convosotest"
)

func read(t testing.TB, name string) []byte {
	t.Helper()
	content, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	return content
}

func open(t *testing.T, recording []byte) *Reader {
	t.Helper()
	r, err := NewReader(bytes.NewReader(recording))
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func decodeAll(t *testing.T, recording []byte) []byte {
	t.Helper()
	content, err := io.ReadAll(open(t, recording))
	if err != nil {
		t.Fatal(err)
	}
	return content
}

// A Reader decodes exactly the same samples as SoX.
func TestSamplesAreThoseOfSoX(t *testing.T) {
	for name, channels := range map[string]uint16{
		"gsm.wav": 1, "ima-mono.wav": 1, "ima-stereo.wav": 2, "ima-ffmpeg.wav": 2,
		"ulaw.au": 1, "alaw.au": 1, "pcm8.au": 1, "pcm16.au": 2,
	} {
		t.Run(name, func(t *testing.T) {
			recording, want := read(t, name), read(t, name+".pcm")
			if Sniff(recording) != Decodes {
				t.Errorf("Sniff says %v", Sniff(recording))
			}
			got := decodeAll(t, recording)
			checkHeader(t, got, channels)
			if got = got[wavHeaderSize:]; !bytes.Equal(got, want) {
				t.Errorf("%d bytes of samples, want %d; the first other one is number %d", len(got), len(want), differs(got, want))
			}
			if err := iotest.TestReader(open(t, recording), decodeAll(t, recording)); err != nil {
				t.Error(err)
			}
		})
	}
}

func checkHeader(t *testing.T, file []byte, channels uint16) {
	t.Helper()
	le := binary.LittleEndian
	header := struct {
		magic                   string
		riff, data, rate, bytes uint32
		tag, channels, bits     uint16
	}{
		string(file[:4]) + string(file[8:16]) + string(file[36:40]),
		le.Uint32(file[4:]) + 8, le.Uint32(file[40:]) + 44, le.Uint32(file[24:]), le.Uint32(file[28:]),
		le.Uint16(file[20:]), le.Uint16(file[22:]), le.Uint16(file[34:]),
	}
	want := header
	want.magic, want.riff, want.data, want.rate, want.bytes = "RIFFWAVEfmt data", uint32(len(file)), uint32(len(file)), 8000, 16000*uint32(channels)
	want.tag, want.channels, want.bits = 1, channels, 16
	if header != want {
		t.Errorf("header %+v, want %+v", header, want)
	}
}

func differs(a, b []byte) int {
	for i := range min(len(a), len(b)) {
		if a[i] != b[i] {
			return i / 2
		}
	}
	return min(len(a), len(b)) / 2
}

// Seeking gives the same bytes as sequential reading.
func TestSeek(t *testing.T) {
	recordings := map[string][]byte{"long gsm": longGSM(t, 3000)}
	for _, name := range []string{"gsm.wav", "ima-mono.wav", "ima-stereo.wav", "ulaw.au", "pcm16.au"} {
		recordings[name] = read(t, name)
	}
	for name, recording := range recordings {
		t.Run(name, func(t *testing.T) {
			want := decodeAll(t, recording)
			r := open(t, recording)
			if end, err := r.Seek(0, io.SeekEnd); err != nil || end != r.Size() || end != int64(len(want)) {
				t.Errorf("the end is at %d, error %v, size %d, want %d", end, err, r.Size(), len(want))
			}
			random := rand.New(rand.NewPCG(1, 2))
			for range 50 {
				at := random.IntN(len(want))
				got := make([]byte, min(1+random.IntN(3000), len(want)-at))
				if _, err := r.Seek(int64(at), io.SeekStart); err != nil {
					t.Fatal(err)
				}
				if _, err := io.ReadFull(r, got); err != nil || !bytes.Equal(got, want[at:at+len(got)]) {
					t.Fatalf("%d bytes at %d are others than on the way, error %v", len(got), at, err)
				}
			}
		})
	}
}

// longGSM returns a WAV file with that many blocks, longer than a run-up.
func longGSM(t *testing.T, blocks int) []byte {
	t.Helper()
	sample := read(t, "gsm.wav")
	at := bytes.Index(sample, []byte("data")) + 8
	sound := sample[at : len(sample)-len(sample[at:])%gsmBlockSize]
	recording := sample[:at:at]
	for range blocks * gsmBlockSize / len(sound) {
		recording = append(recording, sound...)
	}
	binary.LittleEndian.PutUint32(recording[at-4:], uint32(len(recording)-at))
	return recording
}

// The simulator knows the tones of its recordings over time.
func TestTonesOfTheSimulator(t *testing.T) {
	server, err := convosotest.New(convosotest.Config{RecordedShare: 1, Oddities: convosotest.Oddities{OtherKinds: true}})
	if err != nil {
		t.Fatal(err)
	}
	want := map[convosotest.Kind]Support{
		convosotest.KindMP3: Plays, convosotest.KindID3: Plays, convosotest.KindWAV: Plays, convosotest.KindULaw: Plays,
		convosotest.KindOgg: Plays, convosotest.KindGSM: Decodes, convosotest.KindADPCM: Decodes, convosotest.KindAU: Decodes,
	}
	heard := 0
	for r := range server.Recordings() {
		recording, err := io.ReadAll(r.Body())
		if err != nil {
			t.Fatal(err)
		}
		if got := Sniff(recording[:min(len(recording), HeadSize)]); got != want[r.Kind] {
			t.Errorf("%s: Sniff says %v", r.Kind, got)
		}
		if want[r.Kind] != Decodes {
			if _, err := NewReader(bytes.NewReader(recording)); !errors.Is(err, ErrFormat) {
				t.Errorf("%s: error %v", r.Kind, err)
			}
			continue
		}
		heard++
		samples := decodeAll(t, recording)[wavHeaderSize:]
		if got := int64(len(samples)/2) * 125_000; got != r.Duration().Nanoseconds() {
			t.Errorf("%s: it plays %d ns, want %v", r.Kind, got, r.Duration())
		}
		for note := range r.Notes() {
			half := samples[(note.Start+note.End).Nanoseconds()/250_000*2 : note.End.Nanoseconds()/125_000*2]
			if share := toneShare(half, note.Hz); note.Hz > 0 && share < 0.9 {
				t.Errorf("%s at %v: %.3f of the power is at %v Hz", r.Kind, note.Start, share, note.Hz)
			}
		}
	}
	if heard < 4 {
		t.Errorf("%d recordings to be decoded", heard)
	}
}

// toneShare returns the share of the samples' power at a frequency.
func toneShare(samples []byte, hz float64) float64 {
	var power, in, out float64
	for i := range len(samples) / 2 {
		sample := float64(int16(binary.LittleEndian.Uint16(samples[2*i:])))
		angle := 2 * math.Pi * hz * float64(i) / 8000
		power += sample * sample
		in += sample * math.Cos(angle)
		out += sample * math.Sin(angle)
	}
	return 2 * (in*in + out*out) / float64(len(samples)/2) / power
}
