//go:build linux

package e2e

import (
	"encoding/hex"
	"maps"
	"math"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestTracedDisk checks what the model lets survive.
func TestTracedDisk(t *testing.T) {
	const (
		opened  = "1 openat(AT_FDCWD</elsewhere>, \"/base/f\", O_RDWR|O_CREAT|O_EXCL, 0600) = 3</base/f>\n"
		written = "1 pwrite64(3</base/f>, \"abc\", 3, 0) = 3\n"
		synced  = "1 fsync(3</base/f>) = 0\n"
		folder  = "1 openat(AT_FDCWD</>, \"base\", O_RDONLY) = 4</base>\n"
		named   = "1 fsync(4</base>) = 0\n"
	)
	type files = map[string]string
	for name, test := range map[string]struct {
		trace          string
		durable, names files
	}{
		"nothing synced":         {opened + written, files{}, files{"f": ""}},
		"the bytes alone":        {opened + written + synced, files{}, files{"f": "abc"}},
		"the name alone":         {opened + written + folder + named, files{"f": ""}, files{"f": ""}},
		"both":                   {opened + written + synced + folder + named, files{"f": "abc"}, files{"f": "abc"}},
		"written after the sync": {opened + synced + written + folder + named, files{"f": ""}, files{"f": ""}},
		"a part of a range is no sync": {
			opened + written + "1 sync_file_range(3</base/f>, 0, 3, SYNC_FILE_RANGE_WRITE) = 0\n" + folder + named, files{"f": ""}, files{"f": ""},
		},
		"the whole file system": {opened + written + folder + "1 syncfs(4</base>) = 0\n", files{"f": "abc"}, files{"f": "abc"}},
		"a sync that failed": {
			opened + written + "1 fsync(3</base/f>) = -1 EIO (Input/output error)\n" + folder + named, files{"f": ""}, files{"f": ""},
		},
		"a sync that did not return": {opened + folder + named + written + "1 fsync(3</base/f> <unfinished ...>\n", files{"f": ""}, files{"f": ""}},
		"written while another thread syncs": {
			opened + folder + named + "2 fsync(3</base/f> <unfinished ...>\n" + written + "2 <... fsync resumed>) = 0\n", files{"f": ""}, files{"f": ""},
		},
		"a write that returned while another thread syncs": {
			opened + folder + named + "1 pwrite64(3</base/f>, \"abc\", 3, 0 <unfinished ...>\n2 fsync(3</base/f> <unfinished ...>\n" +
				"1 <... pwrite64 resumed>) = 3\n2 <... fsync resumed>) = 0\n", files{"f": ""}, files{"f": ""},
		},
		"a link is another name of the same bytes": {
			opened + folder + written + synced + "1 linkat(4</base>, \"f\", 4</base>, \"g\", 0) = 0\n" + named + "1 unlinkat(4</base>, \"f\", 0) = 0\n",
			files{"f": "abc", "g": "abc"}, files{"g": "abc"},
		},
		"a rename is one step": {
			opened + folder + written + synced + named + "1 renameat(4</base>, \"f\", 4</base>, \"g\") = 0\n",
			files{"f": "abc"}, files{"g": "abc"},
		},
		"appended and cut": {
			"1 openat(AT_FDCWD</>, \"/base/f\", O_WRONLY|O_CREAT|O_APPEND, 0600) = 3</base/f>\n" +
				"1 write(3</base/f>, \"abc\", 3) = 3\n1 write(3</base/f>, \"def\", 3) = 3\n1 ftruncate(3</base/f>, 4) = 0\n" +
				synced + folder + named, files{"f": "abcd"}, files{"f": "abcd"},
		},
		"a name below a folder without one": {
			folder + "1 mkdirat(4</base>, \"d\", 0700) = 0\n1 openat(4</base>, \"d\", O_RDONLY|O_DIRECTORY) = 5</base/d>\n" +
				"1 openat(5</base/d>, \"f\", O_RDWR|O_CREAT, 0600) = 3</base/d/f>\n1 fsync(5</base/d>) = 0\n", files{}, files{"d/f": ""},
		},
		"a number given away before close returned": {
			opened + folder + named + "1 close(3</base/f> <unfinished ...>\n" +
				"2 openat(4</base>, \"g\", O_RDWR|O_CREAT, 0600) = 3</base/g>\n1 <... close resumed>) = 0\n" +
				"2 pwrite64(3</base/g>, \"abc\", 3, 0) = 3\n2 fsync(3</base/g>) = 0\n", files{"f": ""}, files{"f": "", "g": "abc"},
		},
		"found by a thread before its maker returned": {
			folder + "1 mkdirat(4</base>, \"d\", 0700 <unfinished ...>\n2 openat(4</base>, \"d/f\", O_RDWR|O_CREAT, 0600) = 3</base/d/f>\n" +
				"2 fsync(4</base>) = 0\n1 <... mkdirat resumed>) = 0\n", files{}, files{"d/f": ""},
		},
	} {
		t.Run(name, func(t *testing.T) {
			base := t.TempDir()
			disk, err := newTracedDisk(base)
			if err != nil {
				t.Fatal(err)
			}
			calls, err := parseTrace(strings.NewReader(asTrace(test.trace, base)), 0)
			if err != nil {
				t.Fatal(err)
			}
			if err := disk.replay(calls); err != nil {
				t.Fatal(err)
			}
			for keep, want := range map[keep]files{keepDurable: test.durable, keepNames: test.names} {
				got := files{}
				for name, content := range disk.cutPower(math.MaxInt, keep, nil).files {
					got[name] = string(content.data())
				}
				if !maps.Equal(got, want) {
					t.Errorf("with %s kept there is %q, want %q", keep, got, want)
				}
			}
		})
	}
}

// TestTraceIsRefused: what the model does not understand must not pass for nothing.
func TestTraceIsRefused(t *testing.T) {
	const opened = "1 openat(AT_FDCWD</>, \"/base/f\", O_RDWR|O_CREAT, 0600) = 3</base/f>\n"
	for name, trace := range map[string]string{
		"an unknown call":    opened + "1 fallocate(3</base/f>, 0, 0, 10) = 0\n",
		"shared memory":      opened + "1 mmap(NULL, 10, PROT_READ|PROT_WRITE, MAP_SHARED, 3</base/f>, 0) = 0x7f0000000000\n",
		"a text that is cut": opened + "1 pwrite64(3</base/f>, \"abc\"..., 30, 0) = 30\n",
		"a file from before": "1 openat(AT_FDCWD</>, \"/base/g\", O_RDWR) = 3</base/g>\n",
		"half a call":        "1 fsync(3</base/f>\n",
		"a call begun never": "1 <... fsync resumed>) = 0\n",
	} {
		t.Run(name, func(t *testing.T) {
			base := t.TempDir()
			disk, err := newTracedDisk(base)
			if err != nil {
				t.Fatal(err)
			}
			calls, err := parseTrace(strings.NewReader(asTrace(trace, base)), 0)
			if err == nil {
				err = disk.replay(calls)
			}
			if err == nil {
				t.Error("nobody complained")
			}
		})
	}
}

// asTrace writes paths and texts as strace -xx does, below a folder of this machine.
func asTrace(trace, base string) string {
	trace = strings.ReplaceAll(trace, "\"base\"", "\""+strings.TrimPrefix(base, "/")+"\"")
	trace = strings.ReplaceAll(trace, "/base", filepath.Clean(base))
	return regexp.MustCompile(`"[^"]*"|</[^>]*>`).ReplaceAllStringFunc(trace, func(quoted string) string {
		var b strings.Builder
		b.WriteByte(quoted[0])
		for _, c := range []byte(quoted[1 : len(quoted)-1]) {
			b.WriteString(`\x` + hex.EncodeToString([]byte{c}))
		}
		b.WriteByte(quoted[len(quoted)-1])
		return b.String()
	})
}
