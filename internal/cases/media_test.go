package cases

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"
)

// media covers forms of delivery: cases 12 and 43, 30, 31, 42 and 44.
func media() []example {
	all := deliveries()
	all = append(all, encodings()...)
	all = append(all, oddAudio()...)
	return append(all, oddLinks()...)
}

// cut returns frames with a truncated last one.
func cut(seed string) []byte {
	return append(mp3(seed, 20), "\xff\xe3\x88\xc4"+strings.Repeat("a", 200)...)
}

// wav returns a RIFF file of 16-bit sound. The sizes are what the header says; negative for the true ones.
func wav(samples, riffSize, dataSize int, chunks ...string) []byte {
	var data bytes.Buffer
	for i := range samples {
		_ = binary.Write(&data, binary.LittleEndian, int16(i*7%64))
	}
	if dataSize < 0 {
		dataSize = data.Len()
	}
	var b bytes.Buffer
	b.WriteString("WAVE" + strings.Join(chunks, "") + "fmt \x10\x00\x00\x00\x01\x00\x01\x00\x40\x1f\x00\x00\x80\x3e\x00\x00\x02\x00\x10\x00data")
	_ = binary.Write(&b, binary.LittleEndian, uint32(dataSize))
	b.Write(data.Bytes())
	if riffSize < 0 {
		riffSize = b.Len()
	}
	return append(binary.LittleEndian.AppendUint32([]byte("RIFF"), uint32(riffSize)), b.Bytes()...)
}

// delivered archives a day of three recordings, with the second one served by the handler, and
// fails unless it is stored as body; remark says whether a remark must describe its oddity.
func delivered(name string, body []byte, remark bool, by http.HandlerFunc) example {
	return example{name, func(t testing.TB) {
		v := newVendor(t)
		v.fill(ago(5), 100, 3)
		bodies := append(v.bodies(tokenOf(100), tokenOf(102)), body)
		v.Bodies[tokenOf(101)] = by
		a := onDisk(t, v, ago(5), ago(5))
		a.run().want(0)
		a.isClosed(ago(5))
		a.holds(bodies...)
		if n := v.asked(tokenOf(101)); n != 1 {
			t.Errorf("it was asked for %d times", n)
		}
		l, plain := a.day(ago(5)).state("101"), a.day(ago(5)).state("100")
		if remark && (l.Reason == "" || l.Reason == plain.Reason) {
			t.Errorf("no remark says what is odd: %q", l.Reason)
		}
		a.verify().want(0)
	}}
}

// undelivered is the same for a recording that is not stored: its day stays open and it is noted with
// the outcome.
func undelivered(name, outcome string, by http.HandlerFunc) example {
	return example{name, func(t testing.TB) {
		v := newVendor(t)
		v.fill(ago(5), 100, 3)
		bodies := v.bodies(tokenOf(100), tokenOf(102))
		v.Bodies[tokenOf(101)] = by
		a := onDisk(t, v, ago(5), ago(5))
		a.run().want(3)
		a.isOpen(ago(5))
		a.holds(bodies...)
		if l := a.day(ago(5)).state("101"); l.Outcome != outcome {
			t.Errorf("noted is %+v", l)
		}
	}}
}

// untilClosed answers with a body that ends where the connection does.
func untilClosed(body []byte) http.HandlerFunc {
	return raw("HTTP/1.1 200 OK\r\nContent-Type: audio/mpeg\r\nConnection: close\r\n\r\n" + string(body))
}

// deliveries: a body that is complete for HTTP is stored, with any last frame.
func deliveries() []example {
	short := wav(8000, 960036, 960000)
	chunks := func(body []byte, end string) string {
		return fmt.Sprintf("HTTP/1.1 200 OK\r\nContent-Type: audio/mpeg\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n%x\r\n%s\r\n%s", len(body), body, end)
	}
	return []example{
		delivered("12 chunked, last frame cut", cut("a"), true, chunked("audio/mpeg", cut("a"))),
		delivered("12 with length, last frame cut", cut("b"), true, sized("audio/mpeg", cut("b"))),
		delivered("12 chunked, last frame of four bytes", append(mp3("c", 20), "\xff\xe3\x88\xc4"...), true, chunked("audio/mpeg", append(mp3("c", 20), "\xff\xe3\x88\xc4"...))),
		delivered("12 chunked, noise behind the last frame", append(mp3("d", 20), strings.Repeat("z", 100)...), false, chunked("audio/mpeg", append(mp3("d", 20), strings.Repeat("z", 100)...))),
		delivered("12 chunked, one frame and a half", cut("e")[:576+300], true, chunked("audio/mpeg", cut("e")[:576+300])),
		delivered("12 chunked, less data than the header says", short, true, chunked("audio/wav", short)),
		delivered("12 chunked, with a trailer", cut("f"), true, raw(chunks(cut("f"), "0\r\nX-Checksum: 1\r\n\r\n"))),
		delivered("12 until closed, whole frames", mp3("g", 20), false, untilClosed(mp3("g", 20))),
		undelivered("12 until closed, last frame cut", "failed", untilClosed(cut("h"))),
		undelivered("12 chunks without an end, last frame cut", "failed", raw(chunks(cut("i"), ""))),
		undelivered("12 chunks without an end, whole frames", "failed", raw(chunks(mp3("j", 20), ""))),
		undelivered("12 shorter than its length", "failed", raw("HTTP/1.1 200 OK\r\nContent-Type: audio/mpeg\r\nContent-Length: 50000\r\n\r\n"+string(mp3("k", 20)))),
		undelivered("12 chunked, not audio", "rejected", chunked("audio/mpeg", []byte("<html>"+strings.Repeat("no audio ", 1000)))),
	}
}

// encodings: the bytes decide, not Content-Encoding; only gzip is decoded.
func encodings() []example {
	var all []example
	for _, name := range []string{"aws-chunked", "UTF-8", "none", "binary", "identity", "gzip", "br", "deflate", "zstd", "aws-chunked, none", "audio/mpeg"} {
		body := mp3(name, 20)
		all = append(all, delivered("30 "+name+" over plain bytes", body, false, sized("audio/mpeg", body, "Content-Encoding", name)))
	}
	for _, name := range []string{"gzip", "x-gzip", "GZIP"} {
		body := mp3(name, 20)
		all = append(all, delivered("31 media "+name, body, false, sized("audio/mpeg", zipped(body), "Content-Encoding", name)))
	}
	body := mp3("chunked gzip", 20)
	odd := cut("odd gzip")
	return append(all,
		delivered("31 media gzip in chunks", body, false, func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Encoding", "gzip")
			chunked("audio/mpeg", zipped(body))(w, r)
		}),
		delivered("31 media gzip, last frame cut", odd, true, sized("audio/mpeg", zipped(odd), "Content-Encoding", "gzip")),
		undelivered("31 media gzip that is cut off", "failed", sized("audio/mpeg", zipped(body)[:4000], "Content-Encoding", "gzip")),
		undelivered("31 media gzip of a page", "rejected", sized("audio/mpeg", zipped([]byte("<!DOCTYPE html><html>no audio</html>")), "Content-Encoding", "gzip")),
	)
}

// oddAudio: audio whose container contradicts its length is stored, with a remark.
func oddAudio() []example {
	behindBOM, err := os.ReadFile("testdata/mp3-behind-bom.mp3")
	if err != nil {
		panic(err)
	}
	const samples, bytes = 8000, 16000
	var all []example
	for _, c := range []struct {
		name   string
		body   []byte
		remark bool // required by the contract
	}{
		{"data size equals file size", wav(samples, bytes+36, bytes+44), true},
		{"header of 60 s and 1 s there", wav(samples, 960036, 960000), true},
		{"odd chunk without pad", wav(samples, -1, -1, "LIST\x05\x00\x00\x00INFOx"), true},
		{"sizes of a stream, all ones", wav(samples, 0xffffffff, 0xffffffff), false},
		{"sizes of a stream, nought", wav(samples, 0, 0), false},
		{"data size one byte too great", wav(samples, bytes+37, bytes+1), true},
		{"RIFF size too small", wav(samples, 36, -1), false},
		{"a sample cut in half", wav(samples, -1, -1)[:44+bytes-1], true},
		{"MP3 behind a byte-order mark", behindBOM, true},
		{"bare frames behind a byte-order mark", append([]byte("\ufeff"), mp3("bom", 20)...), true},
		{"WAV behind a byte-order mark", append([]byte("\ufeff"), wav(samples, -1, -1)...), true},
		{"noise between two frames", append(append(mp3("one", 10), strings.Repeat("\x00", 300)...), mp3("two", 10)...), false},
		{"an ID3 tag longer than it says", append([]byte("ID3\x04\x00\x00\x00\x00\x00\x0a"+strings.Repeat("\x00", 40)), mp3("id3", 20)...), false},
		{"an ID3 tag longer than the file", append([]byte("ID3\x04\x00\x00\x00\x00\x7f\x7f"), mp3("id3 too", 20)...), true},
		{"noise behind the sound of a WAV", append(wav(samples, -1, -1), strings.Repeat("x", 333)...), false},
	} {
		all = append(all, delivered("44 "+c.name, c.body, c.remark, sized("audio/mpeg", c.body)))
	}
	return all
}

// oddLinks: a link is sent byte for byte, except characters that are invalid in a request line.
func oddLinks() []example {
	var all []example
	for _, c := range []struct{ name, link, sent string }{
		{"a space in the query", "/play/x?rlt=a b", "/play/x?rlt=a%20b"},
		{"a space in the path", "/play/a b.mp3?rlt=c", "/play/a%20b.mp3?rlt=c"},
		{"spaces around", "  /play/x?rlt=c ", "/play/x?rlt=c"},
		{"a lone percent sign in the query", "/play/x?rlt=50%", "/play/x?rlt=50%"},
		{"a lone percent sign in the path", "/play/50%/x?rlt=c", "/play/50%/x?rlt=c"},
		{"a percent sign and no hex digits", "/play/x?rlt=%zz%2", "/play/x?rlt=%zz%2"},
		{"a space and a percent sign", "/play/a b%?rlt=50%", "/play/a%20b%?rlt=50%"},
		{"escapes of both cases", "/play/%c3%A4?rlt=%2b%2F", "/play/%c3%A4?rlt=%2b%2F"},
		{"plus, slash and equals signs", "/play/x==?rlt=a+b/c==", "/play/x==?rlt=a+b/c=="},
		{"brackets and bars", "/play/x?rlt={a|b}[c]^`", "/play/x?rlt={a|b}[c]^`"},
		{"a double slash and dots", "/play//a/../x?rlt=./c", "/play//a/../x?rlt=./c"},
		{"an escaped slash", "/play/a%2Fb?rlt=c", "/play/a%2Fb?rlt=c"},
	} {
		all = append(all, example{"42 " + c.name, func(t testing.TB) {
			v := newVendor(t)
			v.fill(ago(5), 100, 3)
			body := mp3(c.name, 20)
			host, requested := lineServer(t, body)
			for _, r := range v.Rows[1]["recording"].([]row) {
				before, path, _ := strings.Cut(c.link, "/")
				r.with("public_url", before+host+"/"+path, "src", before+host+"/"+path)
			}
			a := onDisk(t, v, ago(5), ago(5), "--allow-host", v.media.URL, "--allow-host", host)
			a.run().want(0)
			a.isClosed(ago(5))
			a.holds(append(v.bodies(tokenOf(100), tokenOf(102)), body)...)
			select {
			case line := <-requested:
				if line != "GET "+c.sent+" HTTP/1.1" {
					t.Errorf("sent %q, want the target %q", line, c.sent)
				}
			case <-time.After(time.Second):
				t.Error("nothing was asked for")
			}
		}})
	}
	return all
}
