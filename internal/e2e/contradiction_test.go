package e2e

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"convoso-archiver/evidence"
)

// fullSegment returns the name of the segment of a day that notes the most archived recordings. A run that takes longer
// than a second notes the others in further segments, in a bucket.
func fullSegment(t *testing.T, files plainFiles, day string) string {
	t.Helper()
	names := files.names("manifest/" + day + "/2")
	if len(names) == 0 {
		t.Fatal("no segment")
	}
	return slices.MaxFunc(names, func(a, b string) int { return archivedIn(files.read(a)) - archivedIn(files.read(b)) })
}

// archivedIn counts the lines of archived recordings.
func archivedIn(text []byte) int { return bytes.Count(text, []byte(`"outcome":"archived"`)) }

// longerSize adds a digit to the size in the first line that has one.
func longerSize(text []byte) []byte {
	return bytes.Replace(text, []byte(`"size":`), []byte(`"size":9`), 1)
}

// refusedSeal runs seal, which must find a file that contradicts an earlier seal, and seal no day again.
func (a *archive) refusedSeal(key, file string) {
	a.t.Helper()
	var made struct {
		Days           int                      `json:"days"`
		Open           int                      `json:"days_open"`
		Contradictions []evidence.Contradiction `json:"contradictions"`
	}
	if err := json.Unmarshal([]byte(a.other(4, "seal", "--json", "--key", key).stdout), &made); err != nil {
		a.t.Fatal(err)
	}
	if made.Days != 0 || made.Open != 0 || len(made.Contradictions) != 1 || made.Contradictions[0].File != file {
		a.t.Errorf("%+v", made)
	}
	said := a.other(4, "seal", "--key", key).stdout
	for _, want := range []string{"CHANGED      " + file, "the day is not sealed again", "restore these files from a copy, then run verify"} {
		wantSaid(a.t, said, want)
	}
}

// TestSealRefusesFalsified: seal never signs a line that differs from the sealed one, before and after verify --repair.
// With a copy of the file the proof is whole again; without one, only the file is missing.
func TestSealRefusesFalsified(t *testing.T) {
	onEach(t, 191, func(t *testing.T, a *archive, files plainFiles) {
		key, allowed := sealKey(t)
		a.seal(key)
		file := fullSegment(t, files, daysAgo(10))
		was := bytes.Clone(files.read(file))

		files.write(file, longerSize(was))
		a.refusedSeal(key, file)
		if got := a.audit(4, "--allowed-signers", allowed); len(got.Findings) != 1 || got.Findings[0].Kind != evidence.LinesChanged ||
			!strings.HasSuffix(got.Findings[0].Detail, "; so closed.json does not fit it either") || got.Unsure != archivedIn(was) || got.AudioRead != 40-got.Unsure {
			t.Errorf("audio of a changed line: %+v", got)
		}
		wantSaid(t, a.other(4, "audit", "--seals", "--allowed-signers", allowed).stdout,
			fmt.Sprintf("NOT COMPARED audio of %d recording", archivedIn(was)), "\nnext\n  changed or missing lines: restore the files from a copy, before any verify --repair;")
		wantSaid(t, a.other(4, "verify").stdout, "do not run verify --repair yet. Restore the changed or missing files of manifest/ and calls/ from a copy")
		files.write(file, was)
		a.other(0, "verify")
		a.audit(0, "--allowed-signers", allowed)

		files.remove("manifest/" + daysAgo(10) + "/closed.json")
		if got := a.audit(4, "--allowed-signers", allowed); got.Found != 1 || got.Findings[0].Kind != evidence.ClosingMissing {
			t.Errorf("without a day line: %+v", got.Findings)
		}
		a.run(twoDays()...).want(t, 0)
		a.seal(key)
		a.audit(0, "--allowed-signers", allowed)

		files.write(file, longerSize(was))
		a.other(4, "verify", "--repair")
		a.refusedSeal(key, file)
		a.run(twoDays()...).want(t, 0)
		a.refusedSeal(key, file)

		files.write(file, was) // as seal advises
		wantSaid(t, a.other(4, "verify").stdout, "without a copy, or if the damage stays, run audit --seals")
		wantSaid(t, a.other(4, "audit", "--seals", "--allowed-signers", allowed).stdout, "\n  closed.json: restore it from a copy; without one run archive --relist over these days, and then seal")
		a.run(twoDays("--relist")...).want(t, 0)
		a.seal(key)
		a.audit(0, "--allowed-signers", allowed)

		files.write(file, longerSize(was))
		a.refusedSeal(key, file)
		files.remove(file) // as seal advises if there is no copy
		a.other(4, "verify", "--repair")
		a.run(twoDays()...).want(t, 0)
		if s := a.seal(key); s.Days != 1 {
			t.Errorf("%+v", s)
		}
		for _, f := range a.audit(4, "--allowed-signers", allowed).Findings {
			if f.Kind != evidence.LinesMissing || f.File != file {
				t.Errorf("%+v", f)
			}
		}
	})
}

// TestSealAfterRepair: a day of which verify --repair removed bad lines is sealed again, and again.
func TestSealAfterRepair(t *testing.T) {
	t.Parallel()
	a := onDisk(t, threeDays(t, 192))
	files := filesOf(t, a)
	key, allowed := sealKey(t)
	days := []string{"--start-time", daysAgo(10), "--end-time", daysAgo(8)}
	a.run(days...).want(t, 0)
	a.seal(key)
	file, rows := fullSegment(t, files, daysAgo(9)), files.names("calls/" + daysAgo(9) + "/2")[0]
	files.write(file, append([]byte("x"), files.read(file)...))
	a.refusedSeal(key, file)
	files.write(rows, append([]byte("x"), files.read(rows)...))
	a.other(4, "verify", "--repair")
	if s := a.seal(key); s.New { // the day is open
		t.Errorf("%+v", s)
	}
	a.run(days...).want(t, 0)
	if s := a.seal(key); s.Days != 1 {
		t.Errorf("%+v", s)
	}
	a.run(slices.Concat(days, []string{"--relist"})...).want(t, 0)
	if s := a.seal(key); s.Days != 3 {
		t.Errorf("%+v", s)
	}
	for _, f := range a.audit(4, "--allowed-signers", allowed).Findings {
		if f.Kind != evidence.LinesRepaired || f.File != file && f.File != rows {
			t.Errorf("%+v", f)
		}
	}
}
