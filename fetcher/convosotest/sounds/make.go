//go:build ignore

// Make encodes the sounds of the simulator's recordings. README.md in the same folder describes
// them and how to run it.
package main

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"log"
	"math"
	"os"
	"os/exec"
	"path/filepath"
)

const (
	tones      = 24
	firstHz    = 250
	stepHz     = 125
	mp3Record  = 72 // of a frame of 576 bytes: header, side information and main data
	opusRecord = 120
	gsmRecord  = 65 // a block of two frames, 40 ms
	gsmBlocks  = 10 // of a note
)

func main() {
	log.SetFlags(0)
	folder, err := os.MkdirTemp("", "sounds")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(folder)
	for name, steady := range map[string]func(folder string, hz int) ([]byte, error){
		"mp3.bin": steadyFrame, "opus.bin": steadyPacket, "gsm.bin": noteBlocks,
	} {
		var records []byte
		for tone := range tones + 1 {
			hz := 0
			if tone > 0 {
				hz = firstHz + (tone-1)*stepHz
			}
			record, err := steady(folder, hz)
			if err != nil {
				log.Fatalf("encode %s at %d Hz: %v", name, hz, err)
			}
			records = append(records, record...)
		}
		if err := os.WriteFile(name, records, 0o644); err != nil {
			log.Fatal(err)
		}
	}
}

// sine writes a fifth of a second of silence and three seconds of a tone as 16-bit samples without
// a header.
func sine(path string, rate, hz int, amplitude float64) error {
	var samples bytes.Buffer
	samples.Write(make([]byte, 2*rate/5))
	for i := range 3 * rate {
		v := amplitude * math.Sin(2*math.Pi*float64(hz)*float64(i)/float64(rate))
		_ = binary.Write(&samples, binary.LittleEndian, int16(math.Round(v)))
	}
	return os.WriteFile(path, samples.Bytes(), 0o644)
}

// encode writes a tone, runs a command on it in the folder and returns its output.
func encode(folder string, rate, hz int, amplitude float64, command ...string) ([]byte, error) {
	if err := sine(filepath.Join(folder, "tone.raw"), rate, hz, amplitude); err != nil {
		return nil, err
	}
	run := exec.Command(command[0], command[1:]...)
	run.Dir = folder
	if said, err := run.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("run %s: %w: %s", command[0], err, said)
	}
	return os.ReadFile(filepath.Join(folder, "tone.out"))
}

// steadyFrame returns the start of an MPEG frame that LAME repeats for the tone. It raises the
// volume slightly until nothing inside looks like a sync word, so that a decoder that lost a frame
// finds the next one.
func steadyFrame(folder string, hz int) ([]byte, error) {
	const size, headers = 576, 4 + 9
	for try := range 100 {
		content, err := encode(folder, 8000, hz, 8000+float64(try)*20, "lame", "--quiet", "-r", "-s", "8", "--bitwidth", "16",
			"-m", "m", "-b", "64", "--cbr", "--nores", "-t", "--resample", "8", "tone.raw", "tone.out")
		if err != nil {
			return nil, err
		}
		frame, next := content[20*size:21*size], content[21*size:22*size]
		// Side information of MPEG-2.5 mono: 8 bits of main_data_begin, one private,
		// then 12 of part2_3_length.
		reservoir := frame[4]
		bits := int(frame[5]&0x7f)<<5 | int(frame[6])>>3
		used := headers + (bits+7)/8
		switch {
		case !bytes.HasPrefix(frame, []byte("\xff\xe3\x88\xc4")) || reservoir != 0:
			return nil, fmt.Errorf("frame begins with % x", frame[:5])
		case used > mp3Record || !bytes.Equal(frame[:used], next[:used]) || hasSync(frame[1:used]):
			continue
		}
		record := make([]byte, mp3Record)
		copy(record, frame[:used])
		return record, nil
	}
	return nil, errors.New("no loudness gives a steady frame without a sync word")
}

func hasSync(content []byte) bool {
	return bytes.Contains(content, []byte("\xff\xe2")) || bytes.Contains(content, []byte("\xff\xe3"))
}

// steadyPacket returns a packet of 40 ms that opusenc frequently uses for the tone.
func steadyPacket(folder string, hz int) ([]byte, error) {
	content, err := encode(folder, 48000, hz, 8000, "opusenc", "--quiet", "--raw", "--raw-rate", "48000", "--raw-chan", "1",
		"--music", "--framesize", "40", "--hard-cbr", "--bitrate", "24", "tone.raw", "tone.out")
	if err != nil {
		return nil, err
	}
	seen, often := map[string]int{}, ""
	for _, packet := range oggPackets(content)[27:65] {
		seen[packet]++
		if len(packet) == opusRecord && seen[packet] > seen[often] {
			often = packet
		}
	}
	if often == "" {
		return nil, fmt.Errorf("no packet of %d bytes", opusRecord)
	}
	return []byte(often), nil
}

// oggPackets returns the packets of an Ogg file with one stream.
func oggPackets(content []byte) []string {
	var packets []string
	packet := ""
	for len(content) > 27 {
		laces := content[27 : 27+int(content[26])]
		content = content[27+len(laces):]
		for _, lace := range laces {
			packet += string(content[:lace])
			content = content[lace:]
			if lace < 255 {
				packets = append(packets, packet)
				packet = ""
			}
		}
	}
	return packets
}

// noteBlocks returns the blocks of a note that SoX makes at the start of a tone. GSM depends on the
// preceding sound, least after silence, so any other note may precede it.
func noteBlocks(folder string, hz int) ([]byte, error) {
	content, err := encode(folder, 8000, hz, 8000, "sox", "-D", "-t", "raw", "-r", "8000", "-e", "signed", "-b", "16", "-c", "1", "tone.raw",
		"-t", "wav", "-e", "gsm-full-rate", "tone.out")
	if err != nil {
		return nil, err
	}
	const silentBlocks = 5
	blocks := content[bytes.Index(content, []byte("data"))+8:]
	return blocks[silentBlocks*gsmRecord:][:gsmBlocks*gsmRecord], nil
}
