// Package corpus makes the recordings that the benchmarks move: files on disk for a
// web server, known by their hashes, and the simulated account that lists them.
package corpus

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"math/rand/v2"
	"net/url"
	"os"
	"path/filepath"
	"slices"

	"convoso-archiver/fetcher/convosotest"
)

const (
	days     = 4
	seed     = 20250501
	plain    = "f" // folder of the web root with plain names
	smallest = 13_824
	largest  = 3 << 20
)

// Days are the first and the last day of the account, as the flags --start-time and
// --end-time take them. Both are long settled.
func Days() (first, last string) { return "2025-05-01", "2025-05-04" }

// Corpus is a list of recordings. It is the same for the same count and mean.
type Corpus struct {
	Files []File
	Bytes int64

	config convosotest.Config
}

// File is one recording.
type File struct {
	Name   string // plain, with its extension
	Size   int64
	SHA256 string // in hex; "" before Write
}

// Shape is how the sizes are distributed, lognormally: in bytes. The mean is a little
// less than asked for, as no recording is larger than 3 MiB.
type Shape struct{ Median, Mean float64 }

// New describes count recordings; nothing is written yet. The count is rounded up to
// whole days.
func New(count int, shape Shape) *Corpus {
	count = (count + days - 1) / days * days
	// The mean of the distribution is the median times e to the half of the spread's square.
	spread := math.Sqrt(2 * math.Log(shape.Mean/shape.Median))
	random := rand.New(rand.NewPCG(seed, uint64(count)))
	sizes := make([]int64, count)
	for i := range sizes {
		size := int64(shape.Median * math.Exp(spread*random.NormFloat64()))
		sizes[i] = min(max(size, smallest), largest)
	}
	return &Corpus{config: convosotest.Config{
		Seed: seed, Days: days, CallsPerDay: count / days, RecordedShare: 1, BigRecordings: sizes,
	}}
}

// Account returns the account that lists the recordings with links to origin. It
// serves its API; where origin is "" the media too.
func (c *Corpus) Account(origin string) (*convosotest.Server, error) {
	config := c.config
	config.MediaOrigin = origin
	return convosotest.New(config)
}

// Write writes the files below root, each under the path of its link and, as
// another name of the same file, under a plain one, and fills Files.
func (c *Corpus) Write(root string) error {
	const anyOrigin = "http://origin.invalid"
	account, err := c.Account(anyOrigin)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Join(root, plain), 0o755); err != nil {
		return fmt.Errorf("make folder of sources: %w", err)
	}
	c.Files, c.Bytes = nil, 0
	for r := range account.Recordings() {
		link, err := url.Parse(r.Link())
		if err != nil {
			return fmt.Errorf("read link: %w", err)
		}
		name := filepath.Join(root, filepath.FromSlash(link.Path))
		sum, size, err := writeFile(name, r.Body())
		if err != nil {
			return err
		}
		file := File{Name: fmt.Sprintf("%06d.mp3", len(c.Files)+1), Size: size, SHA256: sum}
		if err := os.Link(name, filepath.Join(root, plain, file.Name)); err != nil {
			return fmt.Errorf("give a source its plain name: %w", err)
		}
		c.Files = append(c.Files, file)
		c.Bytes += size
	}
	return nil
}

// writeFile writes a body and returns its hash and size.
func writeFile(name string, body io.Reader) (sum string, size int64, err error) {
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		return "", 0, fmt.Errorf("make folder of sources: %w", err)
	}
	file, err := os.Create(name)
	if err != nil {
		return "", 0, fmt.Errorf("create source: %w", err)
	}
	hash := sha256.New()
	size, err = io.Copy(io.MultiWriter(file, hash), body)
	if err := errors.Join(err, file.Close()); err != nil {
		return "", 0, fmt.Errorf("write source: %w", err)
	}
	return hex.EncodeToString(hash.Sum(nil)), size, nil
}

// URL returns the plain address of a file at a web server that serves the root.
func (f File) URL(origin string) string { return origin + "/" + plain + "/" + f.Name }

// Check fails unless the files below folder are exactly the recordings, whatever
// their names. Folders of the names in except, directly below folder, are left out.
func (c *Corpus) Check(folder string, except ...string) error {
	missing := map[string]int{}
	for _, f := range c.Files {
		missing[f.SHA256]++
	}
	found := 0
	err := filepath.WalkDir(folder, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if entry.IsDir() {
			if filepath.Dir(path) == filepath.Clean(folder) && slices.Contains(except, entry.Name()) {
				return fs.SkipDir
			}
			return nil
		}
		sum, err := hashOf(path)
		if err != nil {
			return err
		}
		if missing[sum] == 0 {
			return fmt.Errorf("file %s is none of the source's, or there twice", entry.Name())
		}
		missing[sum]--
		found++
		return nil
	})
	if err != nil {
		return fmt.Errorf("check output: %w", err)
	}
	if found != len(c.Files) {
		return fmt.Errorf("check output: %d of %d files are there", found, len(c.Files))
	}
	return nil
}

func hashOf(path string) (string, error) {
	file, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer file.Close()
	hash := sha256.New()
	if _, err := io.Copy(hash, file); err != nil {
		return "", err
	}
	return hex.EncodeToString(hash.Sum(nil)), nil
}
