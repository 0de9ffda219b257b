package manifest

import (
	"fmt"
	"path/filepath"
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

// BenchmarkEncode encodes a recording's line.
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

// archivedDay makes an archive with a segment of n archived recordings.
func archivedDay(b *testing.B, n int) (l *Ledger, size int64) {
	b.Helper()
	var list []Recording
	for i := range n {
		list = append(list, recording(numbered(i), Archived))
	}
	text := linesOf(b, list...)
	dir := b.TempDir()
	writeFile(b, filepath.Join(dir, filepath.FromSlash(unnamed)), text)
	return openDir(b, dir, Options{ReadOnly: true}), int64(len(text))
}

// BenchmarkScan reads lines without folding them.
func BenchmarkScan(b *testing.B) {
	l, size := archivedDay(b, 10_000)
	b.SetBytes(size)
	b.ReportAllocs()
	for b.Loop() {
		if err := l.Scan(b.Context(), func(Entry) error { return nil }); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkLoadDay(b *testing.B) {
	for _, n := range []int{10_000, 100_000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			l, size := archivedDay(b, n)
			b.SetBytes(size)
			b.ReportAllocs()
			for b.Loop() {
				loadDay(b, l, testDay)
			}
		})
	}
}

// BenchmarkVerifyDay reads with verification: it hashes every line of a closed day.
func BenchmarkVerifyDay(b *testing.B) {
	dir := b.TempDir()
	l := openDir(b, dir, Options{Run: runA})
	d := loadDay(b, l, testDay)
	for i := range 10 {
		var list []Recording
		for j := range 1000 {
			list = append(list, recording(numbered(1000*i+j), Archived))
		}
		note(b, d, list...)
	}
	closeDay(b, d, DayLine{})
	line, _ := lineFor(d.Lines(), "")
	b.SetBytes(line.Segments[0].Bytes)
	for b.Loop() {
		wantFaults(b, l, testDay)
	}
}

func BenchmarkStatus(b *testing.B) {
	dir := b.TempDir()
	l := openDir(b, dir, Options{Run: runA})
	d := loadDay(b, l, testDay)
	note(b, d, recording("1", Archived))
	closeDay(b, d, DayLine{})
	b.ReportAllocs()
	for b.Loop() {
		if s := statusOf(b, l, testDay); len(s.Lines) != 1 {
			b.Fatal(s)
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
