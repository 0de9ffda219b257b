package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"convoso-archiver/archiver/verify"
	"convoso-archiver/fetcher/convosotest"
	"convoso-archiver/manifest"
)

// verified is one finished verification.
type verified struct {
	result
	found verify.Summary
}

// verify runs the program's verify to its end. It uses the archive's flags for its store.
func (a *archive) verify(args ...string) verified {
	a.t.Helper()
	ctx, cancel := context.WithTimeout(a.t.Context(), 4*time.Minute)
	defer cancel()
	cmd := a.command(ctx)
	cmd.Args = append([]string{cmd.Path, "verify", "--json", "--dest", a.dest, "--state-dir", a.state, "--log-level", "debug"}, a.flags...)
	cmd.Args = append(cmd.Args, args...)
	v := verified{result: a.finish(cmd, nil)}
	if v.stdout != "" {
		if err := json.Unmarshal([]byte(v.stdout), &v.found); err != nil {
			a.t.Fatalf("read the verification: %v\n%s", err, v.stdout)
		}
	}
	for _, f := range v.found.Findings { // results may contain keys, logs may not
		if f.Key != "" && strings.Contains(v.stderr, f.Key) {
			a.t.Errorf("a key of %s is in the log", f.Kind)
		}
	}
	return v
}

// want fails unless the verification ended with the exit code and with findings of these kinds, and no other.
func (v verified) want(t *testing.T, code int, kinds ...verify.Kind) verified {
	t.Helper()
	got := slices.Sorted(maps.Keys(v.found.Counts))
	slices.Sort(kinds)
	if v.code != code || !slices.Equal(got, kinds) {
		t.Fatalf("exit code %d with %v, want %d with %v\nstdout: %s\nstderr: %s", v.code, v.found.Counts, code, kinds, v.stdout, tail(v.stderr))
	}
	if v.found.ExitCode != code {
		t.Errorf("the summary says exit code %d", v.found.ExitCode)
	}
	return v
}

// quickExit removes the one-second delay of the race detector at exit.
const quickExit = "GORACE=halt_on_error=1 atexit_sleep_ms=0"

// threeDays is a source of three settled days.
func threeDays(t *testing.T, seed uint64) *convosotest.Server {
	return simulate(t, convosotest.Config{
		Seed: seed, FirstDay: daysAgo(10), Days: 3, CallsPerDay: 20, RecordedShare: 1, MedianSize: 6_000,
	})
}

// dayFile returns the first segment of the second day.
func (a *archive) dayFile() string {
	a.t.Helper()
	names, err := filepath.Glob(filepath.Join(a.dest, "manifest", daysAgo(9), "*.jsonl"))
	if err != nil || len(names) == 0 {
		a.t.Fatalf("%d segments, %v", len(names), err)
	}
	return names[0]
}

// closedFile returns the file with the day lines of the second day.
func (a *archive) closedFile() string {
	return filepath.Join(a.dest, "manifest", daysAgo(9), "closed.json")
}

// edit modifies a file.
func edit(t *testing.T, name string, change func([]byte) []byte) {
	t.Helper()
	before, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	after := change(bytes.Clone(before))
	if bytes.Equal(before, after) {
		t.Fatalf("nothing was changed in %s", name)
	}
	if err := os.WriteFile(name, after, 0o600); err != nil {
		t.Fatal(err)
	}
}

func remove(t *testing.T, name string) {
	t.Helper()
	if err := os.Remove(name); err != nil {
		t.Fatal(err)
	}
}

func flip(data []byte) []byte { data[len(data)/2] ^= 1; return data }

// editLine changes the line of one recording.
func editLine(t *testing.T, file string, r manifest.Recording, change func(string) string) {
	t.Helper()
	edit(t, file, func(data []byte) []byte {
		var out strings.Builder
		for line := range strings.Lines(string(data)) {
			if strings.Contains(line, `"recording_id":"`+r.RecordingID+`"`) {
				line = change(line)
			}
			out.WriteString(line)
		}
		return []byte(out.String())
	})
}

// victims returns two recordings of the second day.
func (a *archive) victims() (one, other manifest.Recording) {
	a.t.Helper()
	var ids []string
	c := a.read()
	for id := range c.states {
		if strings.HasSuffix(id, daysAgo(9)) {
			ids = append(ids, id)
		}
	}
	slices.Sort(ids)
	return c.states[ids[3]], c.states[ids[7]]
}

// tree describes every file of an archive, to detect changes.
func (a *archive) tree() map[string]string {
	a.t.Helper()
	files := map[string]string{}
	err := filepath.WalkDir(a.dest, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		info, err := entry.Info()
		if err != nil {
			return err
		}
		data, err := os.ReadFile(path)
		files[path] = fmt.Sprint(info.ModTime(), info.Mode(), len(data), string(data))
		return err
	})
	if err != nil {
		a.t.Fatal(err)
	}
	return files
}

// TestVerifyAndRepair damages an archive in many ways. verify reports the damage without changes; verify
// --repair and archive repair it without deleting anything.
func TestVerifyAndRepair(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		damage func(t *testing.T, a *archive, one, other manifest.Recording)
		full   []verify.Kind
		quick  []verify.Kind
		left   []verify.Kind // remaining non-findings after the repair
	}{
		"one byte flipped": {
			func(t *testing.T, a *archive, one, _ manifest.Recording) {
				edit(t, filepath.Join(a.dest, one.Key), flip)
			},
			[]verify.Kind{verify.WrongHash}, nil, nil,
		},
		"a file deleted": {
			func(t *testing.T, a *archive, one, _ manifest.Recording) { remove(t, filepath.Join(a.dest, one.Key)) },
			[]verify.Kind{verify.Missing}, []verify.Kind{verify.Missing}, nil,
		},
		"a file cut short": {
			func(t *testing.T, a *archive, one, _ manifest.Recording) {
				edit(t, filepath.Join(a.dest, one.Key), func(data []byte) []byte { return data[:len(data)/2] })
			},
			[]verify.Kind{verify.WrongSize}, []verify.Kind{verify.WrongSize}, nil,
		},
		"a file emptied": {
			func(t *testing.T, a *archive, one, _ manifest.Recording) {
				edit(t, filepath.Join(a.dest, one.Key), func([]byte) []byte { return nil })
			},
			[]verify.Kind{verify.Missing}, []verify.Kind{verify.Missing}, nil,
		},
		"a file that grew, another gone": {
			func(t *testing.T, a *archive, one, other manifest.Recording) {
				edit(t, filepath.Join(a.dest, one.Key), func(data []byte) []byte { return append(data, "more"...) })
				remove(t, filepath.Join(a.dest, other.Key))
			},
			[]verify.Kind{verify.WrongSize, verify.Missing}, []verify.Kind{verify.WrongSize, verify.Missing}, nil,
		},
		"a file is a folder": {
			func(t *testing.T, a *archive, one, _ manifest.Recording) {
				remove(t, filepath.Join(a.dest, one.Key))
				if err := os.Mkdir(filepath.Join(a.dest, one.Key), 0o700); err != nil {
					t.Fatal(err)
				}
			},
			[]verify.Kind{verify.Missing}, []verify.Kind{verify.Missing}, nil,
		},
		"a line edited": {
			func(t *testing.T, a *archive, one, _ manifest.Recording) {
				editLine(t, a.dayFile(), one, func(line string) string {
					return strings.Replace(line, fmt.Sprintf(`"size":%d`, one.Size), fmt.Sprintf(`"size":%d`, one.Size+1), 1)
				})
			},
			[]verify.Kind{verify.ChangedSegment, verify.WrongSize}, []verify.Kind{verify.ChangedSegment, verify.WrongSize}, nil,
		},
		"a line cut in half": {
			func(t *testing.T, a *archive, one, _ manifest.Recording) {
				editLine(t, a.dayFile(), one, func(line string) string { return line[:len(line)/2] })
			},
			// Half a line swallows the next line, so two files have no line.
			[]verify.Kind{verify.BadLine, verify.ChangedSegment, verify.Unknown},
			[]verify.Kind{verify.BadLine, verify.ChangedSegment, verify.Unknown}, nil,
		},
		"a line overwritten": {
			func(t *testing.T, a *archive, one, _ manifest.Recording) {
				editLine(t, a.dayFile(), one, func(line string) string { return strings.Repeat("\x00", len(line)-1) + "\n" })
			},
			[]verify.Kind{verify.BadLine, verify.ChangedSegment, verify.Unknown},
			[]verify.Kind{verify.BadLine, verify.ChangedSegment, verify.Unknown}, nil,
		},
		"a line taken out": {
			func(t *testing.T, a *archive, one, _ manifest.Recording) {
				editLine(t, a.dayFile(), one, func(string) string { return "" })
			},
			[]verify.Kind{verify.ChangedSegment, verify.Unknown}, []verify.Kind{verify.ChangedSegment, verify.Unknown}, nil,
		},
		"the last line cut in half": {
			func(t *testing.T, a *archive, _, _ manifest.Recording) {
				edit(t, a.dayFile(), func(data []byte) []byte { return data[:len(data)-100] })
			},
			[]verify.Kind{verify.BadLine, verify.ChangedSegment}, []verify.Kind{verify.BadLine, verify.ChangedSegment}, nil,
		},
		"a day line's counts edited": {
			func(t *testing.T, a *archive, _, _ manifest.Recording) {
				edit(t, a.closedFile(), func(data []byte) []byte {
					return bytes.Replace(data, []byte(`"bytes":`), []byte(`"bytes":1`), 1)
				})
			},
			[]verify.Kind{verify.WrongDayLine}, []verify.Kind{verify.WrongDayLine}, nil,
		},
		"a day line that contradicts itself": {
			func(t *testing.T, a *archive, _, _ manifest.Recording) {
				edit(t, a.closedFile(), func(data []byte) []byte {
					return bytes.Replace(data, []byte(`"by_outcome":{"archived":`), []byte(`"by_outcome":{"archived":1`), 1)
				})
			},
			[]verify.Kind{verify.WrongDayLine}, []verify.Kind{verify.WrongDayLine}, nil,
		},
		"a segment deleted": {
			func(t *testing.T, a *archive, _, _ manifest.Recording) { remove(t, a.dayFile()) },
			[]verify.Kind{verify.LostSegments, verify.Unknown}, []verify.Kind{verify.LostSegments, verify.Unknown}, nil,
		},
		"a call row edited": {
			func(t *testing.T, a *archive, _, _ manifest.Recording) {
				names, err := filepath.Glob(filepath.Join(a.dest, "calls", daysAgo(9), "*.jsonl"))
				if err != nil || len(names) != 1 {
					t.Fatal(len(names), err)
				}
				edit(t, names[0], func(data []byte) []byte { return bytes.Replace(data, []byte(`"row":{"`), []byte(`"row":{"x`), 1) })
			},
			[]verify.Kind{verify.ChangedSegment}, []verify.Kind{verify.ChangedSegment}, nil,
		},
		"the manifest of a day and its recordings deleted": {
			func(t *testing.T, a *archive, _, _ manifest.Recording) {
				c := a.read()
				for id, r := range c.states {
					if strings.HasSuffix(id, daysAgo(9)) {
						remove(t, filepath.Join(a.dest, r.Key))
					}
				}
				if err := os.RemoveAll(filepath.Join(a.dest, "manifest", daysAgo(9))); err != nil {
					t.Fatal(err)
				}
			},
			[]verify.Kind{verify.NoManifest}, []verify.Kind{verify.NoManifest}, nil,
		},
		"a line without its hash": {
			func(t *testing.T, a *archive, one, _ manifest.Recording) {
				editLine(t, a.dayFile(), one, func(line string) string { return strings.Replace(line, one.SHA256, "", 1) })
			},
			[]verify.Kind{verify.ChangedSegment, verify.Unproved}, []verify.Kind{verify.ChangedSegment, verify.Unproved}, nil,
		},
		"two lines with one key": {
			func(t *testing.T, a *archive, one, other manifest.Recording) {
				editLine(t, a.dayFile(), one, func(line string) string { return strings.Replace(line, one.Key, other.Key, 1) })
			},
			[]verify.Kind{verify.ChangedSegment, verify.WrongSize, verify.Contradicted, verify.Unknown},
			[]verify.Kind{verify.ChangedSegment, verify.WrongSize, verify.Contradicted, verify.Unknown}, []verify.Kind{verify.Unknown},
		},
		"two lines that contradict": {
			func(t *testing.T, a *archive, one, other manifest.Recording) {
				editLine(t, a.dayFile(), one, func(line string) string {
					return strings.Replace(line, one.SHA256, other.SHA256, 1) + line
				})
			},
			[]verify.Kind{verify.ChangedSegment, verify.Contradicted}, []verify.Kind{verify.ChangedSegment, verify.Contradicted}, nil,
		},
		"a file added": {
			func(t *testing.T, a *archive, _, _ manifest.Recording) {
				for _, name := range []string{"added.mp3", ".DS_Store", "._added.mp3", "Thumbs.db", filepath.Join(".tmp", "x.part")} {
					if err := os.MkdirAll(filepath.Dir(filepath.Join(a.dest, name)), 0o700); err != nil {
						t.Fatal(err)
					}
					if err := os.WriteFile(filepath.Join(a.dest, name), []byte("new"), 0o600); err != nil {
						t.Fatal(err)
					}
				}
			},
			[]verify.Kind{verify.Unknown}, []verify.Kind{verify.Unknown}, []verify.Kind{verify.Unknown},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a := onDisk(t, threeDays(t, 50))
			a.env = append(a.env, quickExit)
			a.run("--start-time", daysAgo(10), "--end-time", daysAgo(8)).want(t, 0)
			a.verify().want(t, 0)
			one, other := a.victims()
			test.damage(t, a, one, other)
			before := a.tree()
			a.verify().want(t, codeOf(test.full), test.full...)
			a.verify("--quick").want(t, codeOf(test.quick), test.quick...)
			a.verify("--quick", "--start-time", daysAgo(8)).want(t, 0, only(test.full, verify.Unknown)...)
			if !maps.Equal(before, a.tree()) {
				t.Fatal("verify changed the archive")
			}
			repaired := a.verify("--repair").want(t, codeOf(test.full), test.full...)
			after := a.tree()
			for file := range before {
				if _, there := after[file]; !there {
					t.Errorf("the repair deleted %s", file)
				}
			}
			if codeOf(test.full) == 0 {
				return
			}
			if repaired.found.Reopened+repaired.found.MendedDays == 0 {
				t.Errorf("nothing was repaired: %s", repaired.stdout)
			}
			// The reopened day lies before the span: an ordinary nightly run finds it.
			a.run("--last", "1d").want(t, 0)
			closed := a.report("--csv", "--start-time", daysAgo(9), "--end-time", daysAgo(9))
			if !strings.Contains(closed.stdout, "\n"+daysAgo(9)+",closed,") {
				t.Errorf("the day was not closed again: %s", closed.stdout)
			}
			a.verify().want(t, 0, test.left...)
			a.verify("--quick").want(t, 0, test.left...)
		})
	}
}

// only filters kinds by one kind.
func only(kinds []verify.Kind, one verify.Kind) []verify.Kind {
	return slices.DeleteFunc(slices.Clone(kinds), func(k verify.Kind) bool { return k != one })
}

// codeOf returns the exit code for findings of these kinds.
func codeOf(kinds []verify.Kind) int {
	if len(only(kinds, verify.Unknown)) == len(kinds) {
		return 0
	}
	return 4
}

// TestVerifyCommand tests verify apart from finding damage.
func TestVerifyCommand(t *testing.T) {
	t.Parallel()
	a := onDisk(t, threeDays(t, 51))
	a.env = append(a.env, quickExit)
	if v := a.verify(); v.code != 2 {
		t.Errorf("exit code %d where there is no archive", v.code)
	}
	a.run("--start-time", daysAgo(10), "--end-time", daysAgo(8)).want(t, 0)
	whole := a.verify().want(t, 0)
	if whole.found.Days != 3 || whole.found.Checked != 60 || whole.found.BytesRead != whole.found.Bytes || whole.found.Bytes == 0 {
		t.Errorf("found %s", whole.stdout)
	}
	part := a.verify("--start-time", daysAgo(9), "--end-time", daysAgo(9)).want(t, 0)
	if part.found.Days != 1 || part.found.Checked != 20 {
		t.Errorf("found %s", part.stdout)
	}
	if v := a.verify("--last", "9d").want(t, 0); v.found.Days < 1 || v.found.Days > 2 {
		t.Errorf("found %s", v.stdout)
	}
	half := a.verify("--sample", "50%").want(t, 0)
	if half.found.Checked == 0 || half.found.Checked == 60 || half.found.Recordings != 60 {
		t.Errorf("found %s", half.stdout)
	}
	if err := os.WriteFile(filepath.Join(a.dest, "added.mp3"), []byte("new"), 0o600); err != nil {
		t.Fatal(err)
	}
	a.verify("--strict").want(t, 4, verify.Unknown)

	one, _ := a.victims()
	file := filepath.Join(a.dest, one.Key)
	if os.Getuid() != 0 {
		if err := os.Chmod(file, 0); err != nil {
			t.Fatal(err)
		}
		a.verify().want(t, 3, verify.NotReadable, verify.Unknown)
	}
	later := time.Now().Add(time.Hour)
	if err := os.Chtimes(filepath.Join(a.dest, "added.mp3"), later, later); err != nil {
		t.Fatal(err)
	}
	a.verify("--strict", "--quick").want(t, 0)

	edit(t, filepath.Join(a.dest, "manifest", "archive.json"), func(data []byte) []byte { return data[:10] })
	a.verify("--quick").want(t, 4, verify.BadArchive)
}

// TestVerifyWhileLocked: verify needs the lock for a repair, and not to look. TestVerifyNotesAgainstARun
// tests --note.
func TestVerifyWhileLocked(t *testing.T) {
	t.Parallel()
	a := onDisk(t, threeDays(t, 52))
	a.env = append(a.env, quickExit)
	a.run("--start-time", daysAgo(10), "--end-time", daysAgo(8)).want(t, 0)
	root, err := os.OpenRoot(a.dest)
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	ledger, err := manifest.OpenDir(root, manifest.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer ledger.Close(t.Context())
	a.verify().want(t, 0)
	if v := a.verify("--repair"); v.code != 5 {
		t.Errorf("exit code %d, want 5\n%s", v.code, v.stderr)
	}
}
