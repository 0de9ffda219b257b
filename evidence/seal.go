// Defines the format of a seal.

package evidence

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"convoso-archiver/manifest"
)

const (
	folder      = "seals/"
	kindSeal    = "seal"
	sealVersion = 1
)

// Seal is the signed content of a seal.
type Seal struct {
	V         int           `json:"v"`
	Kind      string        `json:"kind"` // "seal"
	Number    int           `json:"number"`
	Archive   string        `json:"archive"` // its id
	AccountID string        `json:"account_id"`
	APIURL    string        `json:"api_url"`
	TimeZone  string        `json:"time_zone"`
	Time      time.Time     `json:"time"`
	Previous  string        `json:"previous"` // SHA-256 of the file of the previous seal, empty in the first
	Days      []SealedDay   `json:"days"`
	Evidence  []SealedLines `json:"evidence"` // files of evidence/ that are new, or have more lines, since the previous seal
}

// SealedDay is a day that was closed for a filter when it was sealed: its day line, with the lines of each segment
// instead of the sizes and hashes of the files, which an erasure changes.
type SealedDay struct {
	manifest.DayLine
	Segments      []SealedLines `json:"segments"`
	CallsSegments []SealedLines `json:"calls_segments"`
}

// SealedLines are the lines of a file: their number, and the SHA-256 over the digests of all, in hex, one per
// line.
type SealedLines struct {
	Name  string `json:"name"`
	Lines int64  `json:"lines"`
	Root  string `json:"root"`
}

// Head names the newest seal. Keep it outside of the archive: without it, the removal of the newest seals
// cannot be detected.
type Head struct {
	Number int
	Hash   string // SHA-256 of the seal's file, 64 hex digits
}

// String returns the head in the format of ParseHead.
func (h Head) String() string { return fmt.Sprintf("%d:%s", h.Number, h.Hash) }

var headPattern = regexp.MustCompile(`^([1-9][0-9]{0,8}):([0-9a-f]{64})$`)

// ParseHead reads a head, like 42:0123….
func ParseHead(text string) (Head, error) {
	found := headPattern.FindStringSubmatch(strings.TrimSpace(text))
	if found == nil {
		return Head{}, errors.New("it is not a head, which is a number, a colon and 64 hex digits")
	}
	number, _ := strconv.Atoi(found[1]) // nine digits fit
	return Head{Number: number, Hash: found[2]}, nil
}

// stored is a seal as it is in the archive.
type stored struct {
	Seal
	file string
	text []byte
	hash string
	sig  []byte // nil if there is none
	// stamp is the answer of a timestamping authority about sig, nil for none.
	stamp []byte
	bad   error // why it cannot be read
}

func (s *stored) head() Head { return Head{Number: s.Number, Hash: s.hash} }

func sealName(number int) string { return fmt.Sprintf("%s%06d.json", folder, number) }

func sigName(number int) string { return fmt.Sprintf("%s%06d.sig", folder, number) }

var sealPattern = regexp.MustCompile(`^([0-9]{6,9})\.(json|sig|tsr)$`)

// load reads all seals, ascending, and lists other files among them. A signature without a seal, left by a killed
// run, counts as neither.
func load(ctx context.Context, objects manifest.Objects) (seals []stored, foreign []string, err error) {
	beside := map[string]bool{} // signatures and timestamps
	var names []string
	for info, err := range objects.ListFiles(ctx, folder) {
		if errors.Is(err, fs.ErrNotExist) {
			return nil, nil, nil
		}
		if err != nil {
			return nil, nil, fmt.Errorf("list the seals: %w", err)
		}
		name := strings.TrimPrefix(info.Name(), folder)
		switch {
		case !sealPattern.MatchString(name):
			foreign = append(foreign, info.Name())
		case path.Ext(name) != ".json":
			beside[name] = true
		default:
			names = append(names, strings.TrimSuffix(name, ".json"))
		}
	}
	for _, name := range names {
		s, err := loadSeal(ctx, objects, name, beside)
		if err != nil {
			return nil, nil, err
		}
		seals = append(seals, s)
	}
	slices.SortFunc(seals, func(a, b stored) int { return a.Number - b.Number })
	return seals, foreign, nil
}

func loadSeal(ctx context.Context, objects manifest.Objects, name string, beside map[string]bool) (s stored, err error) {
	s.file = folder + name + ".json"
	if s.text, err = readAll(ctx, objects, s.file); err != nil {
		return s, err
	}
	for ext, to := range map[string]*[]byte{".sig": &s.sig, ".tsr": &s.stamp} {
		if !beside[name+ext] {
			continue
		}
		if *to, err = readAll(ctx, objects, folder+name+ext); err != nil {
			return s, err
		}
	}
	s.hash = hashOf(s.text)
	number, _ := strconv.Atoi(name) // nine digits at most
	decoder := json.NewDecoder(bytes.NewReader(s.text))
	switch err := decoder.Decode(&s.Seal); {
	case err != nil || decoder.More():
		s.bad = errors.New("it is not JSON")
	case s.V != sealVersion || s.Kind != kindSeal:
		s.bad = fmt.Errorf("it is not a seal of version %d", sealVersion)
	case s.Number != number:
		s.bad = errors.New("it has the number of another seal")
	}
	s.Number = number
	return s, nil
}

func hashOf(text []byte) string {
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:])
}

func readAll(ctx context.Context, objects manifest.Objects, name string) ([]byte, error) {
	body, _, err := objects.GetFile(ctx, name)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", name, err)
	}
	text, err := io.ReadAll(body)
	if err = errors.Join(err, body.Close()); err != nil {
		return nil, fmt.Errorf("read %s: %w", name, err)
	}
	return text, nil
}

// lines accumulates the number and the hash of the digests of lines.
type lines struct {
	n        int64
	hash     hash.Hash
	unsalted bool // a line has no salt
}

func newLines() *lines { return &lines{hash: sha256.New()} }

func (l *lines) add(digest []byte) {
	l.n++
	l.hash.Write(digest)
	l.hash.Write([]byte("\n"))
}

func (l *lines) root() string { return hex.EncodeToString(l.hash.Sum(nil)) }

func (l *lines) of(name string) SealedLines {
	return SealedLines{Name: name, Lines: l.n, Root: l.root()}
}

// readLines returns the lines of a segment, and adds them to those of a day, nil for none.
func readLines(ctx context.Context, ledger *manifest.Ledger, s manifest.StoredSegment, day *lines) (SealedLines, error) {
	one := newLines()
	err := ledger.ReadLines(ctx, s, func(l manifest.SegmentLine) error {
		one.add(l.Digest)
		if day != nil {
			day.add(l.Digest)
			day.unsalted = day.unsalted || !l.Salted
		}
		return nil
	})
	return one.of(s.Name), err
}
