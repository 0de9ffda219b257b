package e2e

import (
	"io"
	"log"
	"net/http"
	"net/http/httputil"
	"net/url"
	"strings"
	"testing"

	"convoso-archiver/fetcher/convosotest"
)

// TestStoreThatIgnoresConditions: a bucket whose server claims to create an existing object is
// detected before any download, and the error names the flag for it.
func TestStoreThatIgnoresConditions(t *testing.T) {
	t.Parallel()
	source := simulate(t, convosotest.Config{Seed: 90, FirstDay: daysAgo(7), CallsPerDay: 20, RecordedShare: 1, MedianSize: 4_000})
	b := onS3(t, source, false, "--start-time", daysAgo(7), "--end-time", daysAgo(7))
	target, err := url.Parse(b.server.Endpoint)
	if err != nil {
		t.Fatal(err)
	}
	// The header is signed, so a proxy cannot simply remove it.
	ignorant := &httputil.ReverseProxy{
		ErrorLog: log.New(io.Discard, "", 0),
		Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(target)
			r.Out.Host = r.In.Host
		},
		ModifyResponse: func(answer *http.Response) error {
			if answer.StatusCode != http.StatusPreconditionFailed {
				return nil
			}
			answer.StatusCode, answer.ContentLength = http.StatusOK, 0
			answer.Header = http.Header{"Etag": {`"0"`}, "Content-Length": {"0"}}
			err := answer.Body.Close()
			answer.Body = http.NoBody
			return err
		},
	}
	b.trouble(func(w http.ResponseWriter, r *http.Request, _ int) bool {
		ignorant.ServeHTTP(w, r)
		return true
	})
	r := b.run().want(t, 1)
	if !strings.Contains(r.stderr, "--s3-no-conditional-writes") {
		t.Errorf("stderr: %s", tail(r.stderr))
	}
	if n := source.Stats().Media.Requests; n > 0 {
		t.Errorf("%d recordings were asked for", n)
	}
	b.run("--s3-no-conditional-writes").want(t, 0)
	if left := b.readBucket(); len(left.closed) != 1 {
		t.Error("with the flag the day stays open")
	}
}
