package manifest

import (
	"bytes"
	"testing"
)

// FuzzScanCall: scanning a line gives the same result as decoding it.
func FuzzScanCall(f *testing.F) {
	const salt = `,"salt":"0123456789abcdef0123456789abcdef"}`
	const head = `{"v":1,"kind":"call","call_id":"1","time":"2025-05-02T09:00:03Z","run":"r","row":`
	for _, line := range []string{
		head + `{"id":"1"}` + salt, head + `{}` + salt, head + `null` + salt, head + `{},"x":1` + salt, head + ` {}` + salt, head + `{"a":"` + salt, head + salt,
		head + `{"a":1}` + `,"salt":"0123456789abcdef0123456789abcdeg"}`, head + `{}` + `,"digest":"00"}`, head + `{"id":"` + "\xff" + `"}` + salt,
		`{"v":1,"kind":"call","call_id":"\u0031","time":"2025-05-02T09:00:03Z","run":"r","row":{}` + salt,
	} {
		f.Add([]byte(line))
	}
	f.Fuzz(func(t *testing.T, line []byte) {
		got, ok := scanCall(bytes.Clone(line))
		if !ok {
			return
		}
		var want callLine
		if err := decode(line, &want, &want.header); err != nil || want.Kind != kindCall || want.CallID != got.CallID ||
			!want.Time.Equal(got.Time) || want.Run != got.Run || !bytes.Equal(want.Row, got.Row) {
			t.Errorf("%q is scanned as %+v, decoded as %+v, %v", line, got, want, err)
		}
	})
}
