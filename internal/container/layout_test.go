//go:build podman && linux

package container

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"debug/elf"
	"encoding/json"
	"errors"
	"io"
	"os"
	"strings"
	"testing"
)

type descriptor struct {
	Digest   string
	Size     int
	Platform struct{ Architecture, OS string }
}

// TestLayout reads the image of each platform, because other platforms cannot be run: its size, and
// that its program is a static binary for its CPU.
func TestLayout(t *testing.T) {
	data, err := os.ReadFile(archivePath)
	if err != nil {
		t.Fatal(err)
	}
	files := untar(t, bytes.NewReader(data))
	read := func(d descriptor, v any) {
		if err := json.Unmarshal(files[blob(d)], v); err != nil {
			t.Fatal(err)
		}
	}
	var top, index struct{ Manifests []descriptor }
	if err := json.Unmarshal(files["index.json"], &top); err != nil || len(top.Manifests) != 1 {
		t.Fatalf("index.json: %v, %+v", err, top)
	}
	read(top.Manifests[0], &index)
	machines := map[string]elf.Machine{"amd64": elf.EM_X86_64, "arm64": elf.EM_AARCH64}
	for _, d := range index.Manifests {
		var manifest struct {
			Config descriptor
			Layers []descriptor
		}
		read(d, &manifest)
		var config struct{ Architecture, OS string }
		read(manifest.Config, &config)
		arch := d.Platform.Architecture
		if config != d.Platform || config.OS != "linux" || len(manifest.Layers) != 1 {
			t.Fatalf("%s: configuration %+v, %d layers", arch, config, len(manifest.Layers))
		}
		layer, err := gzip.NewReader(bytes.NewReader(files[blob(manifest.Layers[0])]))
		if err != nil {
			t.Fatal(err)
		}
		built := untar(t, layer)["usr/bin/convoso-archiver"]
		program, err := elf.NewFile(bytes.NewReader(built))
		if err != nil {
			t.Fatal(err)
		}
		static := true
		for _, p := range program.Progs {
			static = static && p.Type != elf.PT_INTERP
		}
		if program.Machine != machines[arch] || !static {
			t.Errorf("%s: a program for %v, static: %v", arch, program.Machine, static)
		}
		delete(machines, arch)
		const goal = 30e6
		size := manifest.Layers[0].Size
		if size >= goal {
			t.Errorf("%s: %d bytes", arch, size)
		}
		t.Logf("linux/%s: %.1f MB, program %.1f MB (goal: below 30 MB)", arch, float64(size)/1e6, float64(len(built))/1e6)
	}
	if len(machines) > 0 {
		t.Errorf("no image for %v", machines)
	}
	t.Logf("archive: %.1f MB", float64(len(data))/1e6)
}

func blob(d descriptor) string { return "blobs/sha256/" + strings.TrimPrefix(d.Digest, "sha256:") }

func untar(t *testing.T, from io.Reader) map[string][]byte {
	t.Helper()
	files := map[string][]byte{}
	for r := tar.NewReader(from); ; {
		header, err := r.Next()
		if errors.Is(err, io.EOF) {
			return files
		}
		if err != nil {
			t.Fatal(err)
		}
		if files[header.Name], err = io.ReadAll(r); err != nil {
			t.Fatal(err)
		}
	}
}
