package manifest

import (
	"bytes"
	"fmt"
	"sync"
	"testing"
)

func BenchmarkParse(b *testing.B) {
	r := recording("4711000001", Archived)
	r.Run = runA
	line, err := r.line()
	if err != nil {
		b.Fatal(err)
	}
	line = line[:len(line)-1]
	b.Run("scan", func(b *testing.B) {
		var v view
		b.SetBytes(int64(len(line)))
		b.ReportAllocs()
		for b.Loop() {
			if _, err := parseLine(line, &v); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("encoding-json", func(b *testing.B) {
		var v view
		b.SetBytes(int64(len(line)))
		b.ReportAllocs()
		for b.Loop() {
			if err := decodeRecording(line, &v); err != nil {
				b.Fatal(err)
			}
		}
	})
}

// BenchmarkEncode makes a recording's line.
func BenchmarkEncode(b *testing.B) {
	r := recording("4711000001", Archived)
	r.Run = runA
	b.ReportAllocs()
	for b.Loop() {
		line, err := r.line()
		if err != nil {
			b.Fatal(err)
		}
		b.SetBytes(int64(len(line)))
	}
}

// linesOf makes the lines of so many archived recordings.
func linesOf(b *testing.B, n int) []byte {
	b.Helper()
	var data bytes.Buffer
	for i := range n {
		r := recording(numbered(i), Archived)
		r.Run = runA
		line, err := r.line()
		if err != nil {
			b.Fatal(err)
		}
		data.Write(line)
	}
	return data.Bytes()
}

// BenchmarkScan reads lines without folding them.
func BenchmarkScan(b *testing.B) {
	data := linesOf(b, 10_000)
	l := openDir(b, archiveWith(b, data), Options{ReadOnly: true})
	b.SetBytes(int64(len(data)))
	b.ReportAllocs()
	for b.Loop() {
		for _, err := range l.Records(b.Context(), testDay) {
			if err != nil {
				b.Fatal(err)
			}
		}
	}
}

func BenchmarkLoadDay(b *testing.B) {
	for _, n := range []int{10_000, 100_000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			data := linesOf(b, n)
			l := openDir(b, archiveWith(b, data), Options{ReadOnly: true})
			b.SetBytes(int64(len(data)))
			b.ReportAllocs()
			for b.Loop() {
				loadDay(b, l, testDay).Release()
			}
		})
	}
}

func BenchmarkStatus(b *testing.B) {
	l := openDir(b, archiveWith(b, sample(b, "closed.jsonl")), Options{ReadOnly: true})
	b.ReportAllocs()
	for b.Loop() {
		if s, err := l.Status(b.Context(), testDay); err != nil || !s.Closed {
			b.Fatal(err)
		}
	}
}

func BenchmarkOwner(b *testing.B) {
	var data bytes.Buffer
	for i := range 100_000 {
		r := recording(numbered(i), Archived)
		r.ETag = ""
		line, err := r.line()
		if err != nil {
			b.Fatal(err)
		}
		data.Write(line)
	}
	l := openDir(b, archiveWith(b, data.Bytes()), Options{ReadOnly: true})
	b.SetBytes(int64(data.Len()))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := l.Owner(b.Context(), "no such key"); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkNote(b *testing.B) {
	for _, workers := range []int{1, 8, 32} {
		b.Run(fmt.Sprint(workers), func(b *testing.B) {
			d := loadDay(b, openDir(b, b.TempDir(), Options{}), testDay)
			b.ReportAllocs()
			var group sync.WaitGroup
			work := make(chan int)
			for range workers {
				group.Go(func() {
					for i := range work {
						if err := d.Note(b.Context(), recording(numbered(i), Archived)); err != nil {
							b.Error(err)
						}
					}
				})
			}
			for i := 0; b.Loop(); i++ {
				work <- i
			}
			close(work)
			group.Wait()
		})
	}
}
