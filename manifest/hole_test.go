package manifest

import (
	"bytes"
	"path/filepath"
	"testing"
)

// The system may write the later part of a batch before the earlier one. What the power cut leaves of it is
// torn, whole lines behind the hole included; a hole that no batch can have left is a bad line.
func TestHoleInTheLastBatch(t *testing.T) {
	before := lineOf(t, recording("1", Archived))
	behind := lineOf(t, recording("2", Archived))
	closing := bytes.TrimRight(sample(t, "closed.jsonl"), "\n")
	closing = append(closing[bytes.LastIndexByte(closing, '\n')+1:], '\n')
	for name, test := range map[string]struct {
		hole, behind []byte
		torn         bool
	}{
		"lines behind it":                 {make([]byte, 5000), behind, true},
		"a part of a line before it":      {append([]byte(`{"v":1,"kin`), make([]byte, 700)...), behind, true},
		"a day line behind it":            {append(make([]byte, 5000), '\n'), closing, false},
		"further back than a batch":       {append(make([]byte, 10), '\n'), bytes.Repeat(behind, (maxBatchBytes+maxCallLine)/len(behind)+1), false},
		"a bad line, without a NUL in it": {[]byte("{]\n"), behind, false},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			file := filepath.Join(dir, "manifest", testDay+".jsonl")
			writeFile(t, file, bytes.Join([][]byte{before, test.hole, test.behind}, nil))
			l := openDir(t, dir, Options{})
			d, err := l.Day(t.Context(), testDay)
			if !test.torn {
				if err == nil {
					t.Error("a bad line in the middle was passed over")
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			defer d.Release()
			if got := outcomes(d); len(got) != 1 {
				t.Errorf("got %v", got)
			}
			note(t, d, recording("3", Archived))
			if got := readFile(t, file); !bytes.HasPrefix(got, before) || lineCount(got) != 2 {
				t.Errorf("the file became %q", got)
			}
			if got := readFile(t, file+".torn"); !bytes.Contains(got, test.behind) {
				t.Errorf("%d bytes were kept aside", len(got))
			}
		})
	}
}
