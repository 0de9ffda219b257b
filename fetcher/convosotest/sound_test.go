package convosotest_test

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"math"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"convoso-archiver/fetcher/convosotest"
)

// decode returns a recording's samples of 8 kHz.
func decode(t *testing.T, r convosotest.Recording) []float64 {
	t.Helper()
	var pcm []byte
	if r.Kind == convosotest.KindWAV {
		content, err := io.ReadAll(r.Body())
		if err != nil {
			t.Fatal(err)
		}
		pcm = content[bytes.Index(content, []byte("data"))+8:]
	} else {
		pcm = decodeByFFmpeg(t, r)
	}
	samples := make([]float64, len(pcm)/2)
	for i := range samples {
		samples[i] = float64(int16(binary.LittleEndian.Uint16(pcm[2*i:])))
	}
	return samples
}

// decodeByFFmpeg decodes with codecs that browsers also have, and fails if FFmpeg reports anything
// about the recording. Without FFmpeg it skips the test, unless REQUIRE_FFMPEG is set.
func decodeByFFmpeg(t *testing.T, r convosotest.Recording) []byte {
	t.Helper()
	path, err := exec.LookPath("ffmpeg")
	if err != nil {
		if os.Getenv("REQUIRE_FFMPEG") != "" {
			t.Fatal(err)
		}
		t.Skip("ffmpeg is not installed: nothing decodes this kind")
	}
	level := "warning"
	if strings.HasPrefix(string(r.Kind), "wav") || r.Kind == convosotest.KindAU {
		level = "error" // their headers have no channel layout, of which it always warns
	}
	var pcm, said bytes.Buffer
	command := exec.CommandContext(t.Context(), path, "-v", level, "-xerror", "-i", "pipe:0", "-f", "s16le", "-ar", "8000", "-ac", "1", "pipe:1")
	command.Stdin, command.Stdout, command.Stderr = r.Body(), &pcm, &said
	if err := command.Run(); err != nil || said.Len() > 0 {
		t.Fatalf("decode %s: %v: %s", r.Kind, err, said.String())
	}
	return pcm.Bytes()
}

// toneShare returns the share of the samples' power at a frequency.
func toneShare(samples []float64, hz float64) float64 {
	var power, in, out float64
	for i, sample := range samples {
		angle := 2 * math.Pi * hz * float64(i) / 8000
		power += sample * sample
		in += sample * math.Cos(angle)
		out += sample * math.Sin(angle)
	}
	return 2 * (in*in + out*out) / float64(len(samples)) / power
}

func loudness(samples []float64) float64 {
	var power float64
	for _, sample := range samples {
		power += sample * sample
	}
	return math.Sqrt(power / float64(len(samples)))
}

// Decoders find the tones of Notes at the right times.
func TestNotesSound(t *testing.T) {
	server := start(t, convosotest.Config{RecordedShare: 1, MinSize: 60_000, MaxSize: 60_000, MedianSize: 60_000, Oddities: convosotest.Oddities{OtherKinds: true}})
	heard := map[convosotest.Kind]bool{}
	for r := range server.Recordings() {
		if heard[r.Kind] {
			continue
		}
		heard[r.Kind] = true
		t.Run(string(r.Kind), func(t *testing.T) {
			samples := decode(t, r)
			played := time.Duration(len(samples)) * time.Second / 8000
			if off := played - r.Duration(); off.Abs() > 80*time.Millisecond {
				t.Errorf("it plays %v, want %v", played, r.Duration())
			}
			silent, end := 0, time.Duration(0)
			for note := range r.Notes() {
				mustBe(t, "gap between notes", note.Start, end)
				end = note.End
				if note.End-note.Start < 300*time.Millisecond {
					continue // the last one, cut short
				}
				half := samples[(note.Start+note.End)/2*8/time.Millisecond : min(len(samples), int(note.End*8/time.Millisecond))]
				if note.Hz == 0 {
					silent++
					if rms := loudness(half); rms > 30 {
						t.Errorf("at %v: loudness %.1f in a rest", note.Start, rms)
					}
				} else if share := toneShare(half, note.Hz); share < 0.9 {
					t.Errorf("at %v: %.4f of the power is at %v Hz", note.Start, share, note.Hz)
				}
			}
			mustBe(t, "end of the last note", end, r.Duration())
			mustBe(t, "rests in the first phrase", silent >= 3, true)
		})
	}
	mustBe(t, "kinds", len(heard), 8)
}

// Recordings have different melodies.
func TestMelodiesDiffer(t *testing.T) {
	server := start(t, convosotest.Config{RecordedShare: 1, CallsPerDay: 300, MinSize: 50_000})
	seen := map[string]string{}
	for r := range server.Recordings() {
		melody := ""
		for note := range r.Notes() {
			if note.Start > 4*time.Second {
				break
			}
			melody += fmt.Sprint(note.Hz, " ")
		}
		if other, ok := seen[melody]; ok {
			t.Errorf("recordings %s and %s have the same melody", other, r.Ref)
		}
		seen[melody] = r.Ref
	}
	mustBe(t, "recordings", len(seen), 300)
}
