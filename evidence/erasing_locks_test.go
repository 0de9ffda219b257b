package evidence

import (
	"bytes"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	randv2 "math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"

	"convoso-archiver/archiver/store"
	"convoso-archiver/internal/s3test"
	"convoso-archiver/manifest"
)

// TestLockedIsNeverErased plays random sequences in a bucket with Object Lock: holds with their legal holds, releases,
// locks, deletions by others, which leave a delete marker, overwrites by others, and erasures, many of them killed. A
// recording that is held or locked when an erasure starts or continues keeps its audio. SEQUENCES sets their number.
func TestLockedIsNeverErased(t *testing.T) {
	server := s3test.FromEnv(t)
	if server == nil {
		server = s3test.Start(t, false)
	}
	server.Setenv(t)
	bucket := server.NewLockBucket(t, "never-erased", 0)
	playSequences(t, 20, func(t *testing.T, random *randv2.Rand) {
		playLocks(t, random, server, bucket)
	})
}

// lockPlay is an archive in a bucket, and what a sequence did to it.
type lockPlay struct {
	t       *testing.T
	random  *randv2.Rand
	client  *s3.Client
	bucket  string
	prefix  string
	objects *store.S3
	ids     []string
	held    map[string]map[string]bool // by case
	past    map[string]map[string]bool // likewise, for past holds
	legal   map[string]bool            // whose legal hold is on
	locked  map[string]bool
	// intended are the recordings in erasures that were not withdrawn.
	intended map[string]bool
}

func playLocks(t *testing.T, random *randv2.Rand, server *s3test.Server, bucket string) {
	const recordings, steps = 5, 12
	w := newWorld(t)
	w.keepDay(erasedDay, recordings)
	p := &lockPlay{
		t: t, random: random, client: server.Client(), bucket: bucket, prefix: rand.Text() + "/",
		held: map[string]map[string]bool{"A": {}, "B": {}}, past: map[string]map[string]bool{"A": {}, "B": {}},
		legal: map[string]bool{}, locked: map[string]bool{}, intended: map[string]bool{},
	}
	p.copyFrom(w.dir)
	for i := range recordings {
		p.ids = append(p.ids, fmt.Sprintf("%s-%d", erasedDay, i))
	}
	var err error
	p.objects, err = store.OpenS3(t.Context(), store.S3Options{Bucket: bucket, Prefix: p.prefix, Endpoint: server.Endpoint, PathStyle: true, Workers: 2, NoConditionalWrites: server.IgnoresConditions})
	p.must(err)
	defer p.objects.Close()
	for step := range steps {
		stood := p.standing()
		p.step(step)
		for id, stands := range p.standing() {
			switch {
			case stands || !stood[id]:
			case p.isKept(id):
				t.Fatalf("step %d: %s was held or locked, and went: %+v", step, id, p)
			case !p.intended[id]:
				t.Fatalf("step %d: %s went, and nobody erased it", step, id)
			}
		}
	}
}

func (p *lockPlay) must(err error) {
	p.t.Helper()
	if err != nil {
		p.t.Fatal(err)
	}
}

// copyFrom copies an archive from a folder.
func (p *lockPlay) copyFrom(dir string) {
	p.t.Helper()
	p.must(filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		name, err := filepath.Rel(dir, path)
		if err != nil || strings.HasSuffix(name, "lock") {
			return err
		}
		_, err = p.client.PutObject(p.t.Context(), &s3.PutObjectInput{Bucket: &p.bucket, Key: aws.String(p.prefix + filepath.ToSlash(name)), Body: bytes.NewReader(text)})
		return err
	}))
}

func audioKey(id string) string { return id[:len(erasedDay)] + "/" + id + ".mp3" }

// standing returns for each recording whether a version of its audio exists, even behind a delete
// marker.
func (p *lockPlay) standing() map[string]bool {
	p.t.Helper()
	out, err := p.client.ListObjectVersions(p.t.Context(), &s3.ListObjectVersionsInput{Bucket: &p.bucket, Prefix: aws.String(p.prefix + erasedDay + "/")})
	p.must(err)
	stands := map[string]bool{}
	for _, id := range p.ids {
		stands[id] = slices.ContainsFunc(out.Versions, func(v types.ObjectVersion) bool { return *v.Key == p.prefix+audioKey(id) })
	}
	return stands
}

func (p *lockPlay) isHeld(id string) bool { return p.held["A"][id] || p.held["B"][id] }

// isKept reports whether a case holds a recording, or its object is locked or held.
func (p *lockPlay) isKept(id string) bool { return p.isHeld(id) || p.legal[id] || p.locked[id] }

// some are one or two recordings.
func (p *lockPlay) some() []string {
	picked := slices.Clone(p.ids)
	p.random.Shuffle(len(picked), func(i, j int) { picked[i], picked[j] = picked[j], picked[i] })
	return picked[:1+p.random.IntN(2)]
}

func (p *lockPlay) step(step int) {
	p.t.Helper()
	ledger, err := manifest.OpenBucket(p.objects, manifest.Options{Run: fmt.Sprintf("20260401T0900%02dZ-00000000", step)})
	p.must(err)
	defer func() { p.must(ledger.Close(p.t.Context())) }()
	mortal := &brittle{Remover: p.objects}
	mortal.left.Store(p.random.Int64N(3))
	e := &Erasing{Ledger: ledger, Store: mortal, Locks: p.objects, Keys: rowKeys(nil), Now: time.Now()}
	name, one := []string{"A", "B"}[p.random.IntN(2)], p.some()[0]
	switch p.random.IntN(9) {
	case 0, 1:
		p.hold(ledger, name, p.some())
	case 2, 3:
		if len(p.past[name]) > 0 {
			_, err := ReleaseHold(p.t.Context(), ledger, name)
			p.must(err)
			p.held[name] = map[string]bool{}
			p.apply(ledger, name)
		}
	case 4:
		p.lock(one)
	case 5:
		p.cover(one)
	case 6, 7:
		p.erase(e, name, p.some())
	case 8:
		unfinished, err := e.Unfinished(p.t.Context())
		p.must(err)
		for _, intent := range unfinished {
			p.finish(e, intent)
		}
	}
}

// lock locks the object under the key of a recording.
func (p *lockPlay) lock(id string) {
	p.t.Helper()
	switch err := p.objects.SetLock(p.t.Context(), audioKey(id), store.Governance, time.Now().Add(time.Hour)); {
	case err == nil:
		p.locked[id] = true
	case !errors.Is(err, fs.ErrNotExist): // it is removed, or a delete marker hides it
		p.t.Fatal(err)
	}
}

// cover deletes or overwrites an object without a lock, like another user.
func (p *lockPlay) cover(id string) {
	p.t.Helper()
	key := aws.String(p.prefix + audioKey(id))
	var err error
	if p.random.IntN(2) == 0 {
		_, err = p.client.DeleteObject(p.t.Context(), &s3.DeleteObjectInput{Bucket: &p.bucket, Key: key})
	} else if p.standing()[id] {
		_, err = p.client.PutObject(p.t.Context(), &s3.PutObjectInput{Bucket: &p.bucket, Key: key, Body: strings.NewReader("audio")})
	}
	p.must(err)
}

// hold adds recordings to a case, and sometimes is killed before it sets legal holds.
func (p *lockPlay) hold(ledger *manifest.Ledger, name string, picked []string) {
	p.t.Helper()
	var list []HeldID
	for _, id := range picked {
		list = append(list, HeldID{Day: erasedDay, Call: "c" + id, Recording: id})
		p.held[name][id], p.past[name][id] = true, true
	}
	_, err := AddHold(p.t.Context(), ledger, name, list)
	p.must(err)
	p.apply(ledger, name)
}

func (p *lockPlay) apply(ledger *manifest.Ledger, name string) {
	p.t.Helper()
	if p.random.IntN(3) == 0 {
		return
	}
	stands := p.standing()
	_, _, err := (&LegalHolds{Ledger: ledger, Store: p.objects, Workers: 2}).Apply(p.t.Context(), name)
	p.must(err)
	for id := range p.past[name] {
		if stands[id] && !p.intended[id] { // readers do not know the key of an erased recording
			p.legal[id] = p.isHeld(id)
		}
	}
}

func (p *lockPlay) erase(e *Erasing, name string, picked []string) {
	p.t.Helper()
	kept, err := e.Check(p.t.Context(), chosen(picked...))
	p.must(err)
	stands := p.standing()
	want := slices.ContainsFunc(picked, func(id string) bool { return p.isHeld(id) || stands[id] && p.isKept(id) })
	if want != (len(kept) > 0) {
		p.t.Fatalf("erase of %v: kept %+v, want some: %v", picked, kept, want)
	}
	if want {
		return
	}
	intent, err := e.Begin(p.t.Context(), "request 7", chosen(picked...))
	p.must(err)
	before := maps.Clone(p.intended)
	for _, id := range picked {
		p.intended[id] = true
	}
	switch p.random.IntN(4) {
	case 0: // a hold intervenes
		p.hold(e.Ledger, name, picked[:1])
		wantKept(p.t, e, intent, true)
		p.intended = before
		return
	case 1: // a lock intervenes
		p.lock(picked[0])
	}
	p.finish(e, intent)
}

// finish continues an erasure. It must be refused exactly if something of it is held; the store keeps locked objects.
func (p *lockPlay) finish(e *Erasing, intent manifest.ErasureRecord) {
	p.t.Helper()
	is := func(kept func(string) bool) bool {
		return slices.ContainsFunc(intent.Recordings, func(id manifest.ErasedID) bool { return kept(id.ID) })
	}
	stands := p.standing()
	locked := is(func(id string) bool { return stands[id] && (p.legal[id] || p.locked[id]) })
	_, err := e.Finish(p.t.Context(), intent, nothingElse)
	kept, refused := errors.AsType[*KeptError](err)
	if refused && kept.Withdrawn {
		erasures, err := e.Ledger.Erasures(p.t.Context())
		p.must(err)
		for _, id := range intent.Recordings { // another erasure may name it too
			_, p.intended[id.ID] = erasures.Of(id.ID, "c"+id.ID)
		}
	}
	switch {
	case refused != is(p.isHeld):
		p.t.Fatalf("%v, held %v", err, is(p.isHeld))
	case refused, errors.Is(err, errKilled), locked && errors.Is(err, store.ErrLocked):
	case locked || err != nil:
		p.t.Fatalf("%v, locked %v", err, locked)
	}
}
