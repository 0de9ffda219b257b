package manifest

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"maps"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"convoso-archiver/internal/s3test"
)

// s3Client is a bucket of a real server as Objects, with only the S3 calls that the ledger needs.
type s3Client struct {
	server *s3test.Server
	bucket string
}

func newS3(t *testing.T, server *s3test.Server) place {
	t.Helper()
	return place{name: "s3", s3: &s3Client{server, server.NewBucket(t, t.Name())}}
}

// do signs a request (AWS signature version 4) and sends it.
func (c *s3Client) do(ctx context.Context, method, name string, query url.Values, header map[string]string, body []byte) (*http.Response, error) {
	path := "/" + c.bucket
	if name != "" {
		path += "/" + name
	}
	target := c.server.Endpoint + path + "?" + query.Encode()
	r, err := http.NewRequestWithContext(ctx, method, target, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	const payload, algorithm, signed = "UNSIGNED-PAYLOAD", "AWS4-HMAC-SHA256", "host;x-amz-content-sha256;x-amz-date"
	now := time.Now().UTC()
	date, stamp := now.Format("20060102"), now.Format("20060102T150405Z")
	scope := date + "/" + s3test.Region + "/s3/aws4_request"
	request := strings.Join([]string{
		method, r.URL.EscapedPath(), strings.ReplaceAll(query.Encode(), "+", "%20"),
		"host:" + r.URL.Host, "x-amz-content-sha256:" + payload, "x-amz-date:" + stamp, "", signed, payload,
	}, "\n")
	sum := sha256.Sum256([]byte(request))
	key := []byte("AWS4" + s3test.SecretKey)
	for _, part := range []string{date, s3test.Region, "s3", "aws4_request", strings.Join([]string{algorithm, stamp, scope, hex.EncodeToString(sum[:])}, "\n")} {
		mac := hmac.New(sha256.New, key)
		mac.Write([]byte(part))
		key = mac.Sum(nil)
	}
	r.Header.Set("X-Amz-Date", stamp)
	r.Header.Set("X-Amz-Content-Sha256", payload)
	r.Header.Set("Authorization", fmt.Sprintf("%s Credential=%s/%s, SignedHeaders=%s, Signature=%x", algorithm, s3test.AccessKey, scope, signed, key))
	for name, value := range header {
		r.Header.Set(name, value)
	}
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		return nil, err
	}
	if answer.StatusCode >= 300 {
		text, _ := io.ReadAll(answer.Body)
		_ = answer.Body.Close()
		err := fmt.Errorf("%s %s: %s %s", method, name, answer.Status, text)
		switch {
		case answer.StatusCode == http.StatusPreconditionFailed || answer.StatusCode == http.StatusConflict:
			err = errors.Join(fs.ErrExist, err)
		case answer.StatusCode == http.StatusNotFound && strings.Contains(string(text), "NoSuchKey"):
			err = errors.Join(fs.ErrNotExist, err)
		}
		return nil, err
	}
	return answer, nil
}

func (c *s3Client) GetFile(ctx context.Context, name string) (io.ReadCloser, string, error) {
	answer, err := c.do(ctx, http.MethodGet, name, nil, nil, nil)
	if err != nil {
		return nil, "", err
	}
	return answer.Body, answer.Header.Get("ETag"), nil
}

func (c *s3Client) PutFile(ctx context.Context, name string, body []byte, ifTag string) error {
	header := map[string]string{"If-None-Match": "*"}
	if ifTag != "" {
		header = map[string]string{"If-Match": ifTag}
	}
	answer, err := c.do(ctx, http.MethodPut, name, nil, header, body)
	if errors.Is(err, fs.ErrNotExist) {
		return errors.Join(fs.ErrExist, err)
	}
	if err != nil {
		return err
	}
	return answer.Body.Close()
}

func (c *s3Client) ListFiles(ctx context.Context, prefix string) iter.Seq2[fs.FileInfo, error] {
	type listing struct {
		Contents []struct {
			Key  string
			Size int64
		}
		NextContinuationToken string
	}
	return func(yield func(fs.FileInfo, error) bool) {
		for token := ""; ; {
			query := url.Values{"list-type": {"2"}, "prefix": {prefix}, "max-keys": {"7"}}
			if token != "" {
				query.Set("continuation-token", token)
			}
			answer, err := c.do(ctx, http.MethodGet, "", query, nil, nil)
			var page listing
			if err == nil {
				err = errors.Join(xml.NewDecoder(answer.Body).Decode(&page), answer.Body.Close())
			}
			if err != nil {
				yield(nil, err)
				return
			}
			for _, o := range page.Contents {
				if !yield(objectInfo{o.Key, o.Size}, nil) {
					return
				}
			}
			if token = page.NextContinuationToken; token == "" {
				return
			}
		}
	}
}

// TestOnS3 repeats the in-memory tests on a real server.
func TestOnS3(t *testing.T) {
	server := s3test.Start(t, false)
	t.Run("day", func(t *testing.T) { testDayIn(t, newS3(t, server)) })
	t.Run("archive", func(t *testing.T) {
		p := newS3(t, server)
		a, b := p.open(t, Options{Run: runA}), p.open(t, Options{Run: runB})
		if err := a.SaveArchive(t.Context(), Archive{TimeZone: "UTC"}); err != nil {
			t.Fatal(err)
		}
		if err := b.SaveArchive(t.Context(), Archive{}); !errors.Is(err, fs.ErrExist) {
			t.Errorf("made twice: %v", err)
		}
		saved, err := b.Archive(t.Context())
		if err != nil || saved.TimeZone != "UTC" {
			t.Fatal(saved, err)
		}
		saved.AccountID = "7"
		if err := b.SaveArchive(t.Context(), saved); err != nil {
			t.Error(err)
		}
		saved.AccountID = "8"
		if err := a.SaveArchive(t.Context(), saved); !errors.Is(err, fs.ErrExist) {
			t.Errorf("over another run's: %v", err)
		}
	})
	for _, disk := range []bool{true, false} {
		t.Run(fmt.Sprint("copied from disk ", disk), func(t *testing.T) {
			from, to := newS3(t, server), place{name: "disk", dir: t.TempDir()}
			if disk {
				from, to = to, from
			}
			testCopy(t, from, to)
		})
	}
	t.Run("old", func(t *testing.T) {
		p := newS3(t, server)
		p.readTestdata(t, "old-bucket")
		l := p.open(t, Options{Run: runNew})
		d := loadDay(t, l, "2025-05-02")
		note(t, d, later("5", Archived, 900_000))
		closeDay(t, d, DayLine{})
		for _, day := range oldDays {
			wantFaults(t, l, day)
		}
		if got := fmt.Sprint(closedFor(t, l)); got != "[01 02 03campaign_id=7 04]" {
			t.Errorf("closed %s", got)
		}
	})
	t.Run("erase", func(t *testing.T) {
		p := newS3(t, server)
		makeErasable(t, p)
		l := p.open(t, Options{Run: runC})
		before := closedLines(t, l, testDay)
		if err := l.PutRecords(t.Context(), ErasureStem, intentOf(testDay)); err != nil {
			t.Fatal(err)
		}
		wantHidden(t, l, testDay)
		if digests := eraseLines(t, l, testDay); len(digests) != 10 {
			t.Errorf("%d digests", len(digests))
		}
		wantNone(t, p, canary)
		wantFaults(t, l, testDay)
		if after := closedLines(t, l, testDay); !maps.Equal(after, before) {
			t.Errorf("closed %v, want %v", after, before)
		}
	})
	t.Run("salt", func(t *testing.T) {
		p := newS3(t, server)
		p.readTestdata(t, "old-bucket")
		l := p.open(t, Options{Run: runNew})
		for _, day := range oldDays {
			if err := l.SaltDay(t.Context(), day); err != nil {
				t.Fatal(err)
			}
			wantFaults(t, l, day)
		}
		if got := fmt.Sprint(closedFor(t, l)); got != "[01 03campaign_id=7 04]" {
			t.Errorf("closed %s", got)
		}
	})
	t.Run("mend", func(t *testing.T) {
		p := newS3(t, server)
		closedDay(t, p, "")
		p.write(t, named, []byte("nonsense\n"))
		l := p.open(t, Options{Run: runC})
		wantFaults(t, l, testDay, FaultBadLine, FaultChangedSegment)
		if _, err := l.Mend(t.Context(), testDay, "a test"); err != nil {
			t.Fatal(err)
		}
		wantFaults(t, l, testDay)
	})
	t.Run("runs at once", func(t *testing.T) {
		p := newS3(t, server)
		var group sync.WaitGroup
		for r := range 4 {
			group.Go(func() {
				if err := workInBucket(p.s3, r); err != nil {
					t.Error(err)
				}
			})
		}
		group.Wait()
		l := p.open(t, Options{Run: runC})
		// versitygw compares the tag and writes in two steps, so a day line may get lost there, but never a recording.
		if lines := statusOf(t, l, testDay).Lines; len(lines) == 0 || loadDay(t, l, testDay).Count() != 100 {
			t.Errorf("closed for %d filters", len(lines))
		}
		wantFaults(t, l, testDay)
	})
}

// workInBucket is a run that notes recordings, closes the day for its filter, and rereads lines of others after
// conflicts.
func workInBucket(objects Objects, number int) error {
	ctx := context.Background()
	l, err := OpenBucket(objects, Options{Run: fmt.Sprintf("20250502T09000%dZ-aaaaaaaa", number)})
	if err != nil {
		return err
	}
	d, err := l.Load(ctx, testDay)
	for i := 0; err == nil && i < 40; i++ {
		err = d.Note(ctx, recording(numbered(20*number+i), Archived)) // half of them are also in another run
		if err == nil && i%7 == 0 {
			err = d.Flush(ctx)
		}
	}
	for tries := 0; err == nil; tries++ {
		if err = d.Close(ctx, DayLine{Filter: fmt.Sprint(number)}); !errors.Is(err, ErrChanged) || tries > 100 {
			break
		}
		d, err = l.Load(ctx, testDay)
	}
	return errors.Join(err, l.Close(ctx))
}
