package archiver

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"strings"
	"syscall"
	"testing"
	"testing/iotest"
	"testing/synctest"
	"time"

	"convoso-archiver/archiver/store"
	"convoso-archiver/fetcher"
	"convoso-archiver/manifest"
)

// frames returns n whole MPEG frames of 576 bytes.
func frames(n int) []byte {
	random := rand.New(rand.NewPCG(uint64(n), 3))
	var b bytes.Buffer
	for range n {
		b.Write([]byte{0xff, 0xe3, 0x88, 0xc4})
		for range 572 {
			b.WriteByte(byte(random.UintN(256)))
		}
	}
	return b.Bytes()
}

// sent is an answer of a media host.
type sent struct {
	status  int // default 200
	body    []byte
	header  []string
	framing string // "": a length; "chunked"; "close": until the connection ends
	broken  error  // ends the body, or replaces an answer without a body
}

func (s sent) answer() (*http.Response, error) {
	if s.broken != nil && s.body == nil {
		return nil, s.broken
	}
	status := s.status
	if status == 0 {
		status = http.StatusOK
	}
	answer := answered(status, s.body, s.header...)
	switch s.framing {
	case "chunked":
		answer.ContentLength, answer.TransferEncoding = -1, []string{"chunked"}
	case "close":
		answer.ContentLength = -1
	}
	if s.broken != nil {
		answer.Body = io.NopCloser(io.MultiReader(bytes.NewReader(s.body), iotest.ErrReader(s.broken)))
	}
	return answer, nil
}

const mediaLink = "https://media.test/play/1?rlt=secret"

// errRefused is a refused connection.
func errRefused() error {
	return &net.OpError{Op: "dial", Net: "tcp", Err: os.NewSyscallError("connect", syscall.ECONNREFUSED)}
}

func zipped(b []byte) []byte {
	var out bytes.Buffer
	w := gzip.NewWriter(&out)
	_, _ = w.Write(b)
	_ = w.Close()
	return out.Bytes()
}

// TestDownload checks the result of each answer: a recording, a finding that no retry would change,
// or a temporary failure.
func TestDownload(t *testing.T) {
	const pending, failed, rejected = manifest.Pending, manifest.Failed, manifest.Rejected
	whole, cut := frames(5), frames(5)[:4*576+100]
	unknown := append([]byte{0x7f, 'E', 'L', 'F', 2, 1, 1, 0}, bytes.Repeat([]byte{0, 1, 2, 0x90}, 100)...)
	text := func(s string) []byte { return []byte(s) }
	for name, test := range map[string]struct {
		sent
		link    fetcher.Secret // default mediaLink
		passing bool
		refused bool
		silent  bool
		outcome manifest.Outcome // "" for a recording
		cause   string
		reason  string // part of it
		noHost  bool   // the finding names no host, because none got a request
		remark  string
	}{
		"audio with its length":               {sent: sent{body: whole}},
		"audio in chunks":                     {sent: sent{body: whole, framing: "chunked"}},
		"audio until the connection ends":     {sent: sent{body: whole, framing: "close"}},
		"audio as text/html":                  {sent: sent{body: whole, header: []string{"Content-Type", "text/html"}}},
		"audio, encoded as nobody knows":      {sent: sent{body: whole, header: []string{"Content-Encoding", "aws-chunked"}}},
		"audio, zipped":                       {sent: sent{body: zipped(whole), header: []string{"Content-Encoding", "gzip"}}},
		"larger than a worker's memory":       {sent: sent{body: frames(1000)}},
		"a cut frame, and the length is told": {sent: sent{body: cut}, remark: "frame"},
		"a cut frame, and the end is told":    {sent: sent{body: cut, framing: "chunked"}, remark: "frame"},
		"a cut frame, and no end is told":     {sent: sent{body: cut, framing: "close"}, passing: true, outcome: failed, cause: causeConnection, reason: "no length"},
		"a body that breaks":                  {sent: sent{body: whole[:900], broken: io.ErrUnexpectedEOF}, passing: true, outcome: failed, cause: causeConnection, reason: "shorter than its Content-Length"},
		"a reset":                             {sent: sent{body: whole[:900], broken: syscall.ECONNRESET}, passing: true, outcome: failed, cause: causeConnection, reason: "reset"},
		"a large body that breaks":            {sent: sent{body: frames(1000), broken: syscall.ECONNRESET}, passing: true, outcome: failed, cause: causeConnection},

		"no connection":            {sent: sent{broken: errRefused()}, passing: true, silent: true, outcome: failed, cause: causeConnection},
		"a name that is not there": {sent: sent{broken: &net.DNSError{Err: "no such host", Name: "media.test"}}, passing: true, silent: true, outcome: failed, cause: causeConnection},
		"a connection that breaks": {sent: sent{broken: &net.OpError{Op: "read", Net: "tcp", Err: syscall.ECONNRESET}}, passing: true, outcome: failed, cause: causeConnection},

		"404":                         {sent: sent{status: 404, body: text("x")}, outcome: pending, cause: causeNotFound, reason: "404"},
		"410":                         {sent: sent{status: 410, body: whole}, outcome: pending, cause: causeNotFound},
		"not found, by its words":     {sent: sent{body: text(`{"error":"Recording not found!"}`)}, outcome: pending, cause: causeNotFound},
		"not found, of another thing": {sent: sent{body: text(`{"error":"Session not found"}`)}, outcome: rejected, cause: causeNotAudio},
		"not found, on a page":        {sent: sent{body: text("<html>not found</html>")}, outcome: rejected, cause: causeNotAudio, reason: "HTML"},
		"401":                         {sent: sent{status: 401, body: text("x")}, outcome: failed, cause: causeDenied},
		"403, with audio":             {sent: sent{status: 403, body: whole}, outcome: failed, cause: causeDenied},
		"JSON of another kind":        {sent: sent{body: text(`{"success":false}`)}, outcome: rejected, cause: causeNotAudio},
		"a long page":                 {sent: sent{body: text("<html>" + strings.Repeat("maintenance ", 100_000))}, outcome: rejected, cause: causeNotAudio},
		"nothing":                     {sent: sent{body: []byte{}}, outcome: rejected, cause: causeNotAudio, reason: "empty"},
		"an unknown format":           {sent: sent{body: unknown}, outcome: rejected, cause: causeNotAudio, reason: "unknown"},
		"206":                         {sent: sent{status: 206, body: whole}, outcome: failed, cause: causeStatus},
		"400":                         {sent: sent{status: 400, body: text("x")}, outcome: failed, cause: causeStatus},

		"500":                            {sent: sent{status: 500, body: text("x")}, passing: true, outcome: failed, cause: causeStatus},
		"504":                            {sent: sent{status: 504, body: text("x")}, passing: true, outcome: failed, cause: causeStatus},
		"408":                            {sent: sent{status: 408, body: text("x")}, passing: true, outcome: failed, cause: causeStatus},
		"429":                            {sent: sent{status: 429, body: text("x")}, passing: true, refused: true, outcome: failed, cause: causeRefused},
		"503":                            {sent: sent{status: 503, body: text("x"), header: []string{"Retry-After", "60"}}, passing: true, refused: true, outcome: failed, cause: causeRefused},
		"503, to come back in two hours": {sent: sent{status: 503, body: text("x"), header: []string{"Retry-After", "7200"}}, outcome: failed, cause: causeRefused},

		"a redirect that is not allowed": {sent: sent{status: 302, body: []byte{}, header: []string{"Location", "https://elsewhere.test/a"}}, outcome: rejected, cause: causeHost, reason: "redirect"},
		"a link that is not allowed":     {link: "https://elsewhere.test/a?secret", outcome: rejected, cause: causeHost, reason: "add --allow-host elsewhere.test", noHost: true},
		"no address":                     {link: "play/1?secret", outcome: rejected, cause: causeBadLink, noHost: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				vendor := &hooked{world: w, audio: func(*http.Request, string) (*http.Response, error) { return test.answer() }}
				client := w.client(vendor, time.Minute)
				defer client.Close()
				disk, err := store.OpenDisk(w.dir, store.DiskOptions{})
				if err != nil {
					t.Fatal(err)
				}
				defer disk.Close()
				link := test.link
				if link == "" {
					link = mediaLink
				}
				received := 0
				newPart := func() (*store.Part, error) {
					if test.cause == causeNotAudio && !strings.Contains(test.reason, "unknown") {
						t.Error("a text reaches a file")
					}
					return disk.NewPart()
				}
				d := &downloader{source: client, evidence: newEvidence(), newPart: newPart, received: func(n int) { received += n }}
				j := &job{recording: fetcher.Recording{Link: link}}
				got, f, p, err := d.get(t.Context(), t.Context(), j, make([]byte, bufferSize))
				if err != nil {
					t.Fatal(err)
				}
				if test.outcome == "" {
					if f != nil || p != nil || got == nil {
						t.Fatalf("finding %+v, passing %+v", f, p)
					}
					checkDownload(t, got, test.body, test.remark)
					got.body.discard()
				} else {
					if (p != nil) != test.passing || p == nil && f == nil {
						t.Fatalf("finding %+v, passing %+v", f, p)
					}
					if p != nil {
						if (p.refusing > 0) != test.refused || (p.silent > 0) != test.silent || p.err == nil {
							t.Errorf("refusing %v, silent %v, %v", p.refusing, p.silent, p.err)
						}
						f = &p.finding
					}
					if f.outcome != test.outcome || f.cause != test.cause || !strings.Contains(f.reason, test.reason) {
						t.Errorf("%s, %s: %s", f.outcome, f.cause, f.reason)
					}
					if wanted := map[bool]string{false: "media.test"}[test.noHost]; f.host != wanted || (f.moment > 0) == test.noHost {
						t.Errorf("host %q, moment %d", f.host, f.moment)
					}
					if strings.Contains(f.reason, "secret") {
						t.Errorf("the reason holds the link: %s", f.reason)
					}
					if got != nil {
						got.body.discard()
					}
					if isUnknown := name == "an unknown format"; (got != nil) != isUnknown {
						t.Errorf("a body is kept: %v", got != nil)
					}
				}
				if test.outcome == "" && received == 0 {
					t.Error("nothing is counted as received")
				}
				if parts, _ := os.ReadDir(w.dir + "/.tmp"); len(parts) > 0 {
					t.Errorf("%d parts are left", len(parts))
				}
			})
		})
	}
}

func checkDownload(t *testing.T, got *download, sent []byte, remark string) {
	t.Helper()
	if bytes.HasPrefix(sent, []byte{0x1f, 0x8b}) {
		z, err := gzip.NewReader(bytes.NewReader(sent))
		if err == nil {
			sent, err = io.ReadAll(z)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	content, err := got.body.reader()
	if err != nil {
		t.Fatal(err)
	}
	body, err := io.ReadAll(content)
	if err != nil || !bytes.Equal(body, sent) {
		t.Errorf("%d bytes of %d are held: %v", len(body), len(sent), err)
	}
	if got.body.size != int64(len(sent)) || got.body.sum() != sha256.Sum256(sent) || got.host != "media.test" {
		t.Errorf("size %d, host %q, or the sum differs", got.body.size, got.host)
	}
	if said := got.remark(""); (said == "") != (remark == "") || !strings.Contains(said, remark) {
		t.Errorf("remark %q", said)
	}
}

// TestRemarkOnLength compares the duration of the audio with the call log.
func TestRemarkOnLength(t *testing.T) {
	got := &download{}
	got.audio.Duration = 100 * time.Second
	for length, want := range map[string]bool{
		"": false, "null": false, "100": false, "105": false, "110": false, "112": true, "80": true, "-1": true, "12abc": false,
	} {
		if said := got.remark(length); (said != "") != want {
			t.Errorf("call_length %q: %q", length, said)
		}
	}
	got.audio.Duration = 0
	if said := got.remark("100"); said != "" {
		t.Errorf("of unknown duration: %q", said)
	}
}

// TestBody writes bodies of sizes around every limit in pieces, and reads them back twice.
func TestBody(t *testing.T) {
	disk, err := store.OpenDisk(t.TempDir(), store.DiskOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer disk.Close()
	buffer := make([]byte, bufferSize)
	for _, piece := range []int{1000, 32 << 10, bufferSize, bufferSize + 1} {
		for _, size := range []int{0, 1, bufferSize - 1, bufferSize, bufferSize + 1, 2*bufferSize + 7} {
			t.Run(fmt.Sprint(size, " by ", piece), func(t *testing.T) {
				content := make([]byte, size)
				_, _ = rand.NewChaCha8([32]byte{byte(size)}).Read(content)
				b := newBody(buffer, disk.NewPart)
				defer b.discard()
				for rest := content; len(rest) > 0; {
					n := min(len(rest), piece)
					if _, err := b.Write(rest[:n]); err != nil {
						t.Fatal(err)
					}
					rest = rest[n:]
				}
				if err := b.end(); err != nil {
					t.Fatal(err)
				}
				for range 2 {
					reader, err := b.reader()
					if err != nil {
						t.Fatal(err)
					}
					if got, err := io.ReadAll(reader); err != nil || !bytes.Equal(got, content) {
						t.Errorf("read back %d bytes: %v", len(got), err)
					}
				}
				if b.size != int64(size) || b.sum() != sha256.Sum256(content) || (b.part != nil) != (size > bufferSize) {
					t.Errorf("size %d, in a part %v, or the sum differs", b.size, b.part != nil)
				}
			})
		}
	}
}

func TestWithoutAny(t *testing.T) {
	long := bytes.Repeat([]byte("x"), 100_000)
	for name, test := range map[string]struct {
		body []byte
		want bool
	}{
		"empty":    {nil, true},
		"without":  {long, true},
		"at end":   {append(bytes.Clone(long), "secret"...), false},
		"at start": {append([]byte("secret"), long...), false},
		"cut":      {append(bytes.Clone(long), "secre"...), true},
	} {
		for _, reader := range []io.Reader{bytes.NewReader(test.body), iotest.OneByteReader(bytes.NewReader(test.body))} {
			if got, err := withoutAny(reader, []string{"secret", "other"}); err != nil || got != test.want {
				t.Errorf("%s: %v %v", name, got, err)
			}
		}
	}
	if _, err := withoutAny(iotest.ErrReader(io.ErrUnexpectedEOF), []string{"secret"}); err == nil {
		t.Error("no error of a body that cannot be read")
	}
}
