package e2e

import (
	"bytes"
	"slices"
	"strings"
	"testing"

	"convoso-archiver/evidence"
	"convoso-archiver/fetcher/convosotest"
)

// removeAll removes the files below a prefix.
func removeAll(t *testing.T, files plainFiles, prefix string) {
	t.Helper()
	names := files.names(prefix)
	if len(names) == 0 {
		t.Fatalf("nothing below %s", prefix)
	}
	for _, name := range names {
		files.remove(name)
	}
}

// wantWhole fails unless archive closes both days with every recording and no request for audio, although the vendor has
// none any more, and verify and seal agree.
func wantWhole(t *testing.T, a *archive, key string) {
	t.Helper()
	if r := a.run(twoDays("--relist")...).want(t, 0); r.summary.Known != 40 || r.summary.MediaRequests != 0 || r.summary.DaysClosed != 2 {
		t.Errorf("archive: %s", r.stdout)
	}
	wantSaid(t, a.other(0, "verify", "--strict").stdout, "intact: 40 recordings")
	a.seal(key)
}

// wantOnlyMissing fails unless the audit reports only these files as missing, and says that nothing is left to do.
func wantOnlyMissing(t *testing.T, a *archive, allowed string, missing ...string) {
	t.Helper()
	var names []string
	for _, f := range a.audit(4, "--allowed-signers", allowed).Findings {
		if names = append(names, f.File); f.Kind != evidence.LinesMissing || !f.Resealed {
			t.Errorf("%+v", f)
		}
	}
	if slices.Sort(missing); !slices.Equal(names, missing) {
		t.Errorf("%v are missing, want %v", names, missing)
	}
	said := a.other(4, "audit", "--seals", "--allowed-signers", allowed).stdout
	wantSaid(t, said, "without a copy nothing is left to do, and the finding stays")
	if strings.Contains(said, "run rebuild") {
		t.Errorf("a step that would remove more: %s", said)
	}
}

// TestLostLinesWithoutVendor: lines were changed, nobody has a copy, and the vendor has deleted the audio.
// The steps that seal, audit and verify print keep every stored recording, without a request for audio: also
// after verify --repair, and after a run of archive to which the vendor answered "not found".
func TestLostLinesWithoutVendor(t *testing.T) {
	onEach(t, 193, func(t *testing.T, a *archive, files plainFiles) {
		key, allowed := sealKey(t)
		a.seal(key)
		day := daysAgo(10)
		folder, file, rows := "manifest/"+day+"/", fullSegment(t, files, day), files.names("calls/" + day + "/2")[0]
		was, segments := bytes.Clone(files.read(rows)), files.names(folder+"2")
		original := map[string][]byte{}
		for _, name := range segments {
			original[name] = bytes.Clone(files.read(name))
		}
		a.server.SetMediaDown(convosotest.FaultNotFound)

		files.write(file, longerSize(original[file]))
		a.refusedSeal(key, file)
		for _, command := range [][]string{{"seal", "--key", key}, {"audit", "--seals", "--allowed-signers", allowed}} {
			wantSaid(t, a.other(4, command[0], command[1:]...).stdout, "without a copy of a file of manifest/: move the whole folder manifest/DAY of that day out", "Then run rebuild, before any archive")
		}
		said := a.other(4, "verify").stdout
		wantSaid(t, said, "sealed days are damaged (1 day: "+day+"): do not run verify --repair yet", "run audit --seals: it says what to do")
		if strings.Count(said, "verify --repair") != 1 {
			t.Errorf("verify advises two ways: %s", said)
		}

		// Only the file is moved out: the vendor is asked for all of its recordings, and has none.
		files.remove(file)
		said = a.other(4, "verify", "--repair").stdout
		wantSaid(t, said, "unknown_file", "Before any archive, restore the changed or missing files from a copy")
		if strings.Contains(said, "run archive over these days") {
			t.Errorf("verify --repair advises archive: %s", said)
		}
		if r := a.run(twoDays()...).want(t, 3); r.summary.Pending != archivedIn(original[file]) {
			t.Fatalf("archive: %s", r.stdout)
		}

		removeAll(t, files, folder)
		a.other(4, "verify", "--repair") // leaves a line of its own in the folder
		if made := a.rebuild(0); made.Days != 1 || made.Archived != 20 {
			t.Fatalf("%+v", made)
		}
		wantWhole(t, a, key)
		wantOnlyMissing(t, a, allowed, segments...)

		files.write(rows, append([]byte(nil), was[:len(was)/2]...))
		wantSaid(t, a.other(4, "audit", "--seals", "--allowed-signers", allowed).stdout, "without a copy of a file of calls/: move that file out", "run archive --relist over these days")
		files.remove(rows)
		wantWhole(t, a, key)
		wantOnlyMissing(t, a, allowed, append(segments, rows)...)

		for name, text := range original { // as audit says if a copy is found later
			files.write(name, text)
		}
		files.write(rows, was)
		wantWhole(t, a, key)
		a.audit(0, "--allowed-signers", allowed)
	})
}

// TestLostLinesUnsealed: verify names the same steps for an archive without seals, instead of verify --repair.
func TestLostLinesUnsealed(t *testing.T) {
	onEach(t, 194, func(t *testing.T, a *archive, files plainFiles) {
		day := daysAgo(10)
		a.server.SetMediaDown(convosotest.FaultNotFound)
		files.remove(fullSegment(t, files, day))
		for _, more := range [][]string{nil, {"--repair"}} {
			said := a.other(4, "verify", more...).stdout
			wantSaid(t, said, "missing files of manifest/ or calls/: restore them from a copy", "Then run rebuild, before any archive", "run archive --relist over these days, and then verify again")
			if strings.Contains(said, "run verify --repair") || strings.Contains(said, "run archive over") {
				t.Errorf("two ways: %s", said)
			}
		}
		removeAll(t, files, "manifest/"+day+"/")
		wantSaid(t, a.other(4, "verify").stdout, "no_manifest", "Then run rebuild, before any archive")
		if made := a.rebuild(0); made.Archived != 20 {
			t.Fatalf("%+v", made)
		}
		key, _ := sealKey(t)
		wantWhole(t, a, key)
	})
}
