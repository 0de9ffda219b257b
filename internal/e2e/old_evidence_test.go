package e2e

import (
	"testing"

	"convoso-archiver/archiver/store"
	"convoso-archiver/fetcher/convosotest"
)

// TestOldVersionEvidence seals, erases, rebuilds and locks archives of the version before this layout.
func TestOldVersionEvidence(t *testing.T) {
	for _, where := range []string{"disk", "s3"} {
		for _, fixture := range []string{"old-disk", "old-bucket"} {
			t.Run(where+" "+fixture, func(t *testing.T) {
				t.Parallel()
				source := simulate(t, convosotest.Config{Seed: 95, FirstDay: "2025-05-01", Days: 3, CallsPerDay: 8, RecordedShare: 1, MedianSize: 4_000})
				files := oldFiles(t, source, fixture)
				p := copiedTo(t, source, files, where == "s3")
				p.env = append(p.env, quickExit)
				wantOldEvidence(t, p.archive)
				if where == "s3" && !p.bucket.server.IgnoresConditions {
					wantOldLocked(t, p.bucket, files)
				}
			})
		}
	}
}

func wantOldEvidence(t *testing.T, a *archive) {
	t.Helper()
	files := filesOf(t, a)
	key, allowed := sealKey(t)
	if made := a.seal(key); made.Days != 2 {
		t.Errorf("sealed: %+v", made)
	}
	a.audit(0, "--allowed-signers", allowed)
	var gone convosotest.Call
	for c := range a.server.Calls() {
		if c.Day == "2025-05-01" && len(c.Recordings) == 1 {
			gone = c
		}
	}
	if got := a.erase(0, "--id", gone.ID, "--yes", "--reason", "request 7"); len(got.Erased) != 1 || got.Erased[0].Audio != 1 {
		t.Fatalf("erased: %+v", got)
	}
	a.seal(key)
	if got := a.audit(0, "--allowed-signers", allowed); got.Erased != 1 {
		t.Errorf("the audit: %+v", got)
	}
	var folders []string
	if a.bucket == nil {
		folders = []string{a.dest}
	}
	wantTraces(t, a.bucket, map[string][]byte{"audio": a.part(gone.Recordings[0].Ref)}, false, folders...)
	template := []string{"--path-template", "{{.campaign_id}}/{{.filename}}"}
	span := append([]string{"--start-time", "2025-05-01", "--end-time", "2025-05-03"}, template...)
	a.run(span...).want(t, 0)
	a.other(0, "verify")
	for _, prefix := range []string{"manifest/", "manifest/2025-05-01/", "manifest/2025-05-02/", "manifest/2025-05-03/"} {
		for _, name := range files.names(prefix) {
			files.remove(name)
		}
	}
	if made := a.rebuild(0, template...); made.Days != 3 || made.Missing+made.Ambiguous > 0 {
		t.Errorf("rebuilt: %+v", made)
	}
	if r := a.run(span...).want(t, 0); r.summary.MediaRequests != 0 {
		t.Errorf("%d downloads after the rebuild", r.summary.MediaRequests)
	}
	a.other(0, "verify")
}

// wantOldLocked locks the old archive in another bucket.
func wantOldLocked(t *testing.T, b *bucket, files map[string][]byte) {
	t.Helper()
	b.in(b.server.NewLockBucket(t, "old", 0))
	for name, text := range files {
		b.overwrite(name, text)
	}
	b.other(0, "lock", "--s3-lock-mode", "governance", "--s3-lock-for", "99y") // from when the fixtures were made, in 2026
	locked := 0
	for name, mode := range b.locks() {
		if isOwn(name) == (mode == store.Governance) {
			t.Errorf("%s has the lock %q", name, mode)
		}
		if mode == store.Governance {
			locked++
		}
	}
	if locked != 17 {
		t.Errorf("%d recordings are locked, want 17", locked)
	}
	b.other(0, "verify")
}

// locks returns the lock modes of the newest versions of all objects.
func (b *bucket) locks() map[string]store.LockMode {
	b.t.Helper()
	objects := b.store()
	defer objects.Close()
	modes := map[string]store.LockMode{}
	for _, name := range b.names("") {
		lock, _, err := objects.LockOf(b.t.Context(), name)
		if err != nil {
			b.t.Fatal(err)
		}
		modes[name] = lock.Mode
	}
	return modes
}
