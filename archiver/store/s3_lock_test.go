package store_test

import (
	"bytes"
	"crypto/sha256"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"convoso-archiver/archiver/store"
	"convoso-archiver/archiver/store/storetest"
	"convoso-archiver/internal/s3test"
)

// lockServer returns options for a bucket of a real server whose objects can be locked.
func lockServer(t *testing.T, days int32) store.S3Options {
	t.Helper()
	server := s3test.Start(t, false)
	server.Setenv(t)
	return store.S3Options{Bucket: server.NewLockBucket(t, "locks", days), Endpoint: server.Endpoint, Prefix: "a/prefix"}
}

func TestLocks(t *testing.T) {
	s := openS3(t, lockServer(t, 0))
	const key = "2025/a b.mp3"
	until := time.Now().Add(time.Hour).UTC().Truncate(time.Second)
	object := storetest.Object("rec", storetest.Body(1, 1000), key)
	if _, err := s.Put(t.Context(), object); err != nil {
		t.Fatal(err)
	}
	body := []byte("another version")
	if err := s.ReplaceFile(t.Context(), key, bytes.NewReader(body), int64(len(body)), sha256.Sum256(body)); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Put(t.Context(), storetest.Object("other", storetest.Body(2, 10), key+"-1")); err != nil {
		t.Fatal(err)
	}
	if err := s.SetLock(t.Context(), key, store.Governance, until); err != nil {
		t.Fatal(err)
	}
	check := func(when string, held bool) {
		t.Helper()
		locks, err := s.Locks(t.Context(), key)
		if err != nil || len(locks) != 2 {
			t.Fatalf("%s: %d versions, want 2: %v", when, len(locks), err)
		}
		newest, older := locks[0], locks[1]
		if newest.Mode != store.Governance || !newest.Until.Equal(until) || newest.LegalHold != held {
			t.Errorf("%s: the newest version has %+v", when, newest)
		}
		if older.Mode != store.Unlocked || older.LegalHold != held || older.Version == newest.Version {
			t.Errorf("%s: the older version has %+v", when, older)
		}
	}
	check("locked", false)
	if err := s.SetLegalHold(t.Context(), key, true); err != nil {
		t.Fatal(err)
	}
	check("held", true)
	for _, lock := range must(t)(s.Locks(t.Context(), key)) {
		_, err := s.Client().DeleteObject(t.Context(), &s3.DeleteObjectInput{
			Bucket: aws.String("locks"), Key: aws.String("a/prefix/" + key), VersionId: &lock.Version, BypassGovernanceRetention: aws.Bool(true),
		})
		if err == nil {
			t.Errorf("version %s was deleted under a legal hold", lock.Version)
		}
	}
	if err := s.SetLegalHold(t.Context(), key, false); err != nil {
		t.Fatal(err)
	}
	check("released", false)
	if locks, err := s.Locks(t.Context(), "missing.mp3"); err != nil || len(locks) > 0 {
		t.Errorf("a missing key has %v, %v", locks, err)
	}
	if locks, err := s.Locks(t.Context(), key+"-1"); err != nil || len(locks) != 1 || locks[0].LegalHold {
		t.Errorf("the other key has %v, %v", locks, err)
	}
}

// Without Object Lock, and without versions, nothing is locked, which is no error.
func TestLocksOfPlainBucket(t *testing.T) {
	server := s3test.Start(t, false)
	server.Setenv(t)
	for name, versioned := range map[string]bool{"plain": false, "versioned": true} {
		t.Run(name, func(t *testing.T) {
			o := store.S3Options{Bucket: server.NewBucket(t, name), Endpoint: server.Endpoint}
			if versioned {
				keepVersions(t, o)
			}
			s := openS3(t, o)
			if _, err := s.Put(t.Context(), storetest.Object("rec", storetest.Body(1, 10), "a.mp3")); err != nil {
				t.Fatal(err)
			}
			locks, err := s.Locks(t.Context(), "a.mp3")
			if err != nil || len(locks) != 1 || locks[0].Mode != store.Unlocked || locks[0].LegalHold {
				t.Errorf("got %+v, %v", locks, err)
			}
			if err := s.SetLegalHold(t.Context(), "a.mp3", true); err == nil {
				t.Error("a legal hold was set where there is none")
			}
		})
	}
}

func must(t *testing.T) func(locks []store.Lock, err error) []store.Lock {
	return func(locks []store.Lock, err error) []store.Lock {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return locks
	}
}

func TestPeriod(t *testing.T) {
	start := time.Date(2024, 2, 29, 12, 0, 0, 0, time.UTC)
	for _, c := range []struct{ text, end, again string }{
		{"10y", "2034-03-01T12:00:00Z", "10y"},
		{"1y", "2025-03-01T12:00:00Z", "1y"},
		{"4y", "2028-02-29T12:00:00Z", "4y"},
		{"30d", "2024-03-30T12:00:00Z", "30d"},
		{"1w", "2024-03-07T12:00:00Z", "7d"},
		{"1y1d12h", "2025-03-03T00:00:00Z", "1y1d12h"},
		{"36h", "2024-03-02T00:00:00Z", "1d12h"},
		{"90s", "2024-02-29T12:01:30Z", "90s"},
		{"100y", "2124-02-29T12:00:00Z", "100y"},
		{"36524d", "2124-02-29T12:00:00Z", "36524d"},
		{"0s", "2024-02-29T12:00:00Z", "0s"},
	} {
		p, err := store.ParsePeriod(c.text)
		if got := p.After(start).Format(time.RFC3339); err != nil || got != c.end || p.String() != c.again {
			t.Errorf("%s: ends %s, written %s, %v; want %s, %s", c.text, got, p, err, c.end, c.again)
		}
	}
	for _, text := range []string{"", "10", "y", "6m", "10 y", "-1y", "1.5y", "101y", "99y400d", "100y1s", "40000d", "99999999999999999999y", "1y2", "1000000h", "1Y"} {
		if p, err := store.ParsePeriod(text); err == nil {
			t.Errorf("%q is read as %s", text, p)
		}
	}
}
