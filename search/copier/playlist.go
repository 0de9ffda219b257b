// Writes the entries of playlist.m3u8, and reads those of an earlier copy.

package copier

import (
	"bufio"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strconv"
	"strings"
)

// unknownLength is the length of an entry if the length of the recording is unknown.
const unknownLength = -1

const entryStart = "#EXTINF:"

// secondsOf returns the duration of a recording. If it differs from the call's length, it is in a remark of the
// manifest; otherwise the call's length is close enough, if the call has no other recording.
func secondsOf(t *task) int {
	if s := t.rec.State; s != nil {
		for remark := range strings.SplitSeq(s.Reason, "; ") {
			text, isRemark := strings.CutPrefix(remark, "plays ")
			text, _, isLength := strings.Cut(text, " s, call_length is ")
			if seconds, err := strconv.Atoi(text); err == nil && isRemark && isLength {
				return seconds
			}
		}
	}
	if len(t.call.Recordings) > 1 || t.call.Length < 0 {
		return unknownLength
	}
	return t.call.Length
}

// entry returns the playlist entry of a recording.
func (t *tables) entry(row []string, seconds int) string {
	of := func(name string) string { return row[t.column[name]] }
	return fmt.Sprintf("%s%d,%s\n%s\n", entryStart, seconds, title(of), listed(row[0]))
}

// listed is the name of a file in a playlist, where # starts a comment.
func listed(file string) string {
	if strings.HasPrefix(file, "#") {
		return "./" + file
	}
	return file
}

// title returns the title of a call in a playlist: time, agent and campaign, without data of the
// customer.
func title(of func(string) string) string {
	var parts []string
	for _, name := range []string{"call_date", "user", "campaign", "status"} {
		if value := oneLine(of(name)); value != "" {
			parts = append(parts, value)
		}
	}
	return strings.Join(parts, ", ")
}

// oldPlaylist reads the playlist of an earlier copy. Its entries have the order of the index.
type oldPlaylist struct {
	file  *os.File // nil for none
	lines *bufio.Scanner
}

func (f *folder) openPlaylist() (*oldPlaylist, error) {
	file, err := f.root.Open(PlaylistFile)
	if errors.Is(err, fs.ErrNotExist) {
		return &oldPlaylist{}, nil
	}
	if err != nil {
		return nil, folderError("read the playlist", err)
	}
	return &oldPlaylist{file: file, lines: bufio.NewScanner(file)}, nil
}

// next finds the next entry, that of file, and returns its length. It returns unknownLength if the playlist does not
// match the index.
func (p *oldPlaylist) next(file string) int {
	seconds := unknownLength
	for p.lines != nil && p.lines.Scan() {
		line := p.lines.Text()
		if text, ok := strings.CutPrefix(line, entryStart); ok {
			text, _, _ = strings.Cut(text, ",")
			if n, err := strconv.Atoi(text); err == nil {
				seconds = n
			}
			continue
		}
		if line == listed(file) {
			return seconds
		}
		if !strings.HasPrefix(line, "#") {
			p.lines = nil
		}
	}
	return unknownLength
}

func (p *oldPlaylist) close() {
	if p.file != nil {
		_ = p.file.Close() // read only
	}
}
