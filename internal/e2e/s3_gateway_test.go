package e2e

import (
	"io"
	"net/http"
	"strings"
	"testing"

	"convoso-archiver/fetcher/convosotest"
)

// page answers a request with a page and status 200, like a proxy whose S3 server is down.
func page(w http.ResponseWriter, r *http.Request, text string) bool {
	_, _ = io.Copy(io.Discard, r.Body)
	w.Header().Set("Content-Type", "text/html")
	_, _ = io.WriteString(w, text)
	return true
}

func pages() []string {
	return []string{"", "<html><body>Down for maintenance</body></html>", "<?xml version=\"1.0\"?><Error><Code>InternalError</Code></Error>"}
}

// TestS3PageInPlaceOfAList: an answer with status 200 that is no listing does not count as an empty list.
// Otherwise erase would see no case and erase held recordings, and archive would see no erasure and store
// erased recordings again.
func TestS3PageInPlaceOfAList(t *testing.T) {
	t.Parallel()
	for _, text := range pages() {
		t.Run(text, func(t *testing.T) {
			t.Parallel()
			b, calls := eraseBucket(t)
			held, erased := calls[0], calls[1]
			b.hold(0, []string{"add", "case 1"}, holdIDs(t, held)...)
			b.erase(0, eraseNow(erased)...)
			b.trouble(func(w http.ResponseWriter, r *http.Request, _ int) bool {
				q := r.URL.Query()
				return q.Has("list-type") && strings.Contains(q.Get("prefix"), "evidence/") && page(w, r, text)
			})
			r := b.other(1, "erase", eraseNow(held)...)
			if !isStored(b, held) {
				t.Errorf("what is held was erased: %s", r.stdout)
			}
			b.run("--start-time", daysAgo(10), "--end-time", daysAgo(10), "--relist", "--retry-for", "1s").want(t, 1)
			if isStored(b, erased) {
				t.Error("what was erased was stored again")
			}
		})
	}
}

// TestS3PageInPlaceOfAWrite: an answer with status 200 to a write confirms nothing if it is not the store's
// answer.
func TestS3PageInPlaceOfAWrite(t *testing.T) {
	t.Parallel()
	for _, text := range pages() {
		t.Run(text, func(t *testing.T) {
			t.Parallel()
			server := simulate(t, convosotest.Config{Seed: 132, FirstDay: daysAgo(10), Days: 1, CallsPerDay: 20, RecordedShare: 1, MedianSize: 3_000})
			b := onS3(t, server, false)
			answered := 0
			b.trouble(func(w http.ResponseWriter, r *http.Request, n int) bool {
				if r.Method != http.MethodPut || n%5 != 0 || strings.Contains(r.URL.Path, "/archive.json") || strings.Contains(r.URL.Path, "probe") {
					return false
				}
				answered++
				return page(w, r, text)
			})
			b.run("--start-time", daysAgo(10), "--end-time", daysAgo(10)).want(t, 0)
			b.trouble(nil)
			b.check(func(convosotest.Recording) bool { return true })
			if answered == 0 {
				t.Error("no write was answered by a page")
			}
		})
	}
}
