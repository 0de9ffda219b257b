package cli

import (
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
)

// TestKnownFolder: which folders count as unmounted after they had an archive.
func TestKnownFolder(t *testing.T) {
	for name, test := range map[string]struct {
		held, asked string   // relative paths, without and with a symbolic link
		leave       []string // folders that exist afterwards
		refused     bool
	}{
		"it is empty":                             {"disk", "disk", []string{"disk"}, true},
		"the folder above it is empty":            {"disk/recordings", "disk/recordings", []string{"disk"}, true},
		"one far above it is empty":               {"disk/a/b", "disk/a/b", []string{"disk"}, true},
		"it was removed":                          {"disk/recordings", "disk/recordings", []string{"disk/other"}, false},
		"by a link":                               {"link", "disk", []string{"disk"}, true},
		"by a link to the folder above it":        {"link/recordings", "disk/recordings", []string{"disk"}, true},
		"another one, by a link that was changed": {"disk/recordings", "link", []string{"disk/recordings", "new"}, false},
	} {
		t.Run(name, func(t *testing.T) {
			world, state := t.TempDir(), t.TempDir()
			at := func(name string) string { return filepath.Join(world, filepath.FromSlash(name)) }
			link := func(to string) {
				_ = os.Remove(at("link"))
				if err := os.Symlink(at(to), at("link")); err != nil && runtime.GOOS == "windows" {
					t.Skip(err) // Windows lets few users make one
				} else if err != nil {
					t.Fatal(err)
				}
			}
			link("disk")
			if err := os.MkdirAll(at("disk"), 0o700); err != nil {
				t.Fatal(err)
			}
			if err := checkFolder(state, at(test.held), false); err != nil {
				t.Errorf("a new one: %v", err)
			}
			if err := os.MkdirAll(at(test.held), 0o700); err != nil {
				t.Fatal(err)
			}
			rememberFolder(state, at(test.held), slog.New(slog.DiscardHandler))
			if err := os.RemoveAll(at("disk")); err != nil { // like an unmounted disk
				t.Fatal(err)
			}
			for _, folder := range test.leave {
				if err := os.MkdirAll(at(folder), 0o700); err != nil {
					t.Fatal(err)
				}
			}
			if strings.Contains(name, "changed") {
				link("new")
			}
			err := checkFolder(state, at(test.asked), false)
			if (err != nil) != test.refused || err != nil && !strings.Contains(err.Error(), "--new-archive") {
				t.Errorf("got %v", err)
			}
			if err := checkFolder(state, at(test.asked), true); err != nil {
				t.Errorf("with --new-archive: %v", err)
			}
		})
	}
}

func TestUnmounted(t *testing.T) {
	world := t.TempDir() // nothing is mounted in it
	points := filepath.Join(world, "points")
	table := "# comment\n\nUUID=1 / ext4 defaults 0 1\nUUID=2 " + points + " ext4 noauto 0 2\nUUID=3 /with\\040space xfs\nnone none swap sw 0 0\nshort\n"
	file := filepath.Join(world, "fstab")
	if err := os.WriteFile(file, []byte(table), 0o600); err != nil {
		t.Fatal(err)
	}
	got := mountPoints(file)
	if strings.Join(got, "|") != "/|"+points+"|/with space" {
		t.Errorf("got %q", got)
	}
	if len(mountPoints(filepath.Join(world, "nothing"))) > 0 {
		t.Error("a table that is not there has mount points")
	}
	for _, made := range []bool{false, true} {
		if made {
			if err := os.Mkdir(points, 0o700); err != nil {
				t.Fatal(err)
			}
		}
		for path, want := range map[string]bool{points: true, filepath.Join(points, "a"): true, points + "2": false, world: false} {
			if isUnmounted(path, got, nil) != want {
				t.Errorf("%s, made %v: want %v", path, made, want)
			}
			if isUnmounted(path, got, []string{points}) {
				t.Errorf("%s is mounted", path)
			}
		}
	}
}
