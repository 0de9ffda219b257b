package fetcher

import (
	"bytes"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"
)

// clientFor starts a server and returns a client without limits.
func clientFor(b *testing.B, handler http.HandlerFunc) (client *Client, address string) {
	b.Helper()
	server := httptest.NewServer(handler)
	b.Cleanup(server.Close)
	hosts, err := ParseAllowedHosts([]string{server.URL})
	if err != nil {
		b.Fatal(err)
	}
	client, err = New(Options{
		APIURL: server.URL, Token: "t", Zone: time.UTC, AllowHosts: hosts, UserAgent: "benchmark", Logger: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(client.Close)
	return client, server.URL
}

// BenchmarkListing lists a day of 5,000 calls with a recording each, and converts every row for
// storage. The server's allocations also count, but are few.
func BenchmarkListing(b *testing.B) {
	const pages = 10
	bodies := map[string][]byte{}
	for i := range pages {
		body := bytes.ReplaceAll(vendorPage(b, MaxPageSize, 1), []byte(`"id":"9000`), fmt.Appendf(nil, `"id":"9%03d`, i))
		total := fmt.Appendf(nil, `"total_found":"%d"`, pages*MaxPageSize)
		bodies[fmt.Sprint(i*MaxPageSize)] = bytes.Replace(body, []byte(`"total_found":"500"`), total, 1)
	}
	client, _ := clientFor(b, func(w http.ResponseWriter, r *http.Request) {
		body := bodies[r.FormValue("offset")]
		w.Header().Set("Content-Length", fmt.Sprint(len(body)))
		_, _ = w.Write(body)
	})
	day := Date("2025-05-28")
	b.ReportAllocs()
	for b.Loop() {
		listing := client.Day(day, day.Window(), Filter{}, true)
		for page, err := range listing.Pages(b.Context(), nil) {
			if err != nil {
				b.Fatal(err)
			}
			for i := range page.Calls {
				if _, err = page.Calls[i].RowWithoutLinks(); err != nil {
					b.Fatal(err)
				}
			}
		}
		if r := listing.Result(); len(r.Windows) != 1 || !r.Windows[0].Whole || r.Windows[0].Recordings != pages*MaxPageSize {
			b.Fatalf("%+v", r)
		}
	}
}

// BenchmarkOpen opens and reads one small recording after the other over one connection. The
// server's allocations also count.
func BenchmarkOpen(b *testing.B) {
	audio := make([]byte, 4<<10)
	client, address := clientFor(b, func(w http.ResponseWriter, _ *http.Request) {
		w.Header()["Content-Type"] = []string{"audio/mpeg"}
		_, _ = w.Write(audio)
	})
	link := Secret(address + "/play-recording-public/JTdCJTIyYVudF9pZCUyMiUzQTEwNjM4NyUyQyUyMnVfaWQlMjIlM0ElMjJhNTRiYTFq==?rlt=tH9oAVlBG1gJ1eWTsd8lo7NKyxjnG+GWF8YVlyrUvl8")
	b.ReportAllocs()
	for b.Loop() {
		body, err := client.Open(b.Context(), b.Context(), link, false)
		if err != nil {
			b.Fatal(err)
		}
		if n, err := io.Copy(io.Discard, body); n != int64(len(audio)) || err != nil {
			b.Fatal(n, err)
		}
		if err := body.Close(); err != nil {
			b.Fatal(err)
		}
	}
}
