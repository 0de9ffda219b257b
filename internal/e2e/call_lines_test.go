package e2e

import (
	"bytes"
	"compress/gzip"
	"io"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"convoso-archiver/archiver/verify"
	"convoso-archiver/evidence"
)

// TestCallLines damages the rows of a closed and sealed day. verify names the lines, and export refuses the
// day. After the repair both work with the remaining rows, until archive has listed the day again and all
// rows are there as before.
func TestCallLines(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		seed   uint64
		damage func(text []byte) []byte // of the lines, nil: the file as it is stored is damaged
	}{
		"a line is cut": {301, func(text []byte) []byte { return changeLine(text, 3, func(l []byte) []byte { return l[:len(l)/2] }) }},
		"NUL bytes": {302, func(text []byte) []byte {
			return changeLine(text, 3, func(l []byte) []byte { return make([]byte, len(l)) })
		}},
		"the end is cut": {303, func(text []byte) []byte { return text[:len(text)-100] }},
		"stored bytes":   {304, nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			onEach(t, test.seed, func(t *testing.T, a *archive, files plainFiles) {
				key, allowed := sealKey(t)
				a.seal(key)
				target := func() string { return filepath.Join(t.TempDir(), "tables") }
				to := target()
				a.export(0, to, "--format", "csv")
				whole, foundBefore := tree(t, to), a.find("--json").want(t, 0).stdout

				file := files.names("calls/" + daysAgo(9) + "/")[0]
				before := files.read(file)
				bad := bytes.Clone(before)
				if test.damage != nil {
					bad = repacked(t, file, before, test.damage)
				} else { // of a line, or of the checksum of a compressed file
					bad[len(bad)-8] ^= 0x80
					bad[len(bad)-2] ^= 0x80
				}
				files.write(file, bad)

				found := a.verify().want(t, 4, verify.BadCallLine, verify.ChangedSegment).found
				for _, f := range found.Findings {
					if f.Kind == verify.BadCallLine && (f.File != file || f.Line == 0 || f.Day != daysAgo(9)) {
						t.Errorf("finding %+v", f)
					}
				}
				if r := a.other(4, "verify"); !strings.Contains(r.stdout, "1 unreadable line in calls/") || !strings.Contains(r.stdout, "verify --repair") {
					t.Errorf("verify says %s", r.stdout)
				}
				if made := a.export(3, target(), "--format", "csv"); len(made.Broken) != 1 || !strings.Contains(made.Broken[0].Error, file) {
					t.Errorf("export: %+v", made)
				}
				a.find("--json").want(t, 4)

				repaired := a.verify("--repair").want(t, 4, verify.BadCallLine, verify.ChangedSegment).found
				if stored := files.names("calls/" + daysAgo(9) + "/"); len(repaired.KeptAside) != 1 || !slices.Contains(stored, repaired.KeptAside[0]) || !bytes.Equal(files.read(repaired.KeptAside[0]), bad) {
					t.Errorf("kept aside %q of %q", repaired.KeptAside, stored)
				}
				if got := a.verify().want(t, 0).found; got.CallsDropped != 1 {
					t.Errorf("%d lines are said to be left out", got.CallsDropped)
				}
				says := "verify --repair left out 1 unreadable line of calls/"
				if r := a.report("--json", "--start-time", daysAgo(9), "--end-time", daysAgo(9)); !strings.Contains(r.stdout, `"calls_repaired"`) || !strings.Contains(r.stdout, says) {
					t.Errorf("report says %s", r.stdout)
				}
				a.export(0, target(), "--format", "csv")
				a.find("--json").want(t, 0)
				// An erasure that does not find the person says which lines it cannot search.
				if e := a.erase(0, "--number", "5559999999"); !strings.Contains(strings.Join(e.Elsewhere, "\n"), repaired.KeptAside[0]) {
					t.Errorf("erase lists %q", e.Elsewhere)
				}
				a.run(twoDays("--relist")...).want(t, 0)
				if got := a.verify().want(t, 0).found; got.CallsDropped != 1 {
					t.Errorf("%d lines are said to be left out, once the day is closed again", got.CallsDropped)
				}
				to = target()
				a.export(0, to, "--format", "csv")
				again := tree(t, to)
				for _, all := range []map[string][]byte{whole, again} { // it has the time of the export
					delete(all, "_archive.json")
				}
				if !maps.EqualFunc(whole, again, bytes.Equal) {
					t.Error("the tables are not as before")
				}
				if got := a.find("--json").want(t, 0).stdout; sortedLines(got) != sortedLines(foundBefore) {
					t.Error("find does not tell what it told before")
				}
				isSame := test.damage == nil && strings.HasSuffix(file, ".gz") // only the checksum was wrong
				if got := a.audit(map[bool]int{false: 4, true: 0}[isSame], "--allowed-signers", allowed); slices.ContainsFunc(got.Findings, func(f evidence.Finding) bool {
					return f.Kind != evidence.LinesRepaired || f.File != file || !strings.Contains(f.Detail, filepath.Base(repaired.KeptAside[0]))
				}) || len(got.Findings) == 0 != isSame {
					t.Errorf("audit: %+v", got.Findings)
				}
				a.seal(key)
			})
		})
	}
}

func sortedLines(text string) string {
	lines := strings.Split(text, "\n")
	slices.Sort(lines)
	return strings.Join(lines, "\n")
}

// changeLine changes one line of a text, which keeps its line feed.
func changeLine(text []byte, n int, change func([]byte) []byte) []byte {
	lines := bytes.SplitAfter(text, []byte("\n"))
	lines[n] = append(change(bytes.TrimSuffix(lines[n], []byte("\n"))), '\n')
	return bytes.Join(lines, nil)
}

// repacked changes what a file holds, compressed or not.
func repacked(t *testing.T, name string, file []byte, change func([]byte) []byte) []byte {
	t.Helper()
	if !strings.HasSuffix(name, ".gz") {
		return change(bytes.Clone(file))
	}
	z, err := gzip.NewReader(bytes.NewReader(file))
	if err != nil {
		t.Fatal(err)
	}
	text, err := io.ReadAll(z)
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	w := gzip.NewWriter(&out)
	if _, err := w.Write(change(text)); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}
