// Writes a BagIt bag of the found calls.

package bag

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"time"

	"convoso-archiver/archiver/key"
	"convoso-archiver/manifest"
	"convoso-archiver/search"
	"convoso-archiver/search/copier"
)

// Bag configures a bag. Its fields are set before Write is called once.
type Bag struct {
	Dir     string // of the bag: missing or empty
	Archive *search.Archive
	Ledger  *manifest.Ledger
	Source  copier.Source // of the audio
	Query   search.Query
	ID      string // of the archive
	Agent   string // program and version
	Now     time.Time
	Workers int // recordings read in parallel

	Passing func(error) bool     // as in package copier
	Tell    func(copier.Failure) // likewise
	Skip    func(error) error    // called with the error of an unreadable day; its error ends the bag
	See     func(*search.Call)   // called with every call in the bag
}

// Summary is the result of a bag.
type Summary struct {
	Calls      int `json:"calls"`
	Recordings int `json:"recordings"` // of these calls
	Stored     int `json:"stored"`     // recordings with audio in the bag
	LeftOut    int `json:"left_out"`   // recordings with missing, damaged or unreadable audio
	Damaged    int `json:"damaged"`    // of these
	// NoAudio counts recordings without audio in the archive, by outcome: expired, erased, lost, or waiting.
	NoAudio map[manifest.Outcome]int `json:"no_audio"`
	Days    int                      `json:"days"`
	Lines   int                      `json:"lines"` // of the ledger
	Seals   int                      `json:"seals"`

	// A day is sealed if a seal in the bag has the root of each of its line files. The recipient checks the signature
	// of the seal.
	SealedCalls   int      `json:"sealed_calls"`
	SealedDays    int      `json:"sealed_days"`
	UnsealedCalls int      `json:"unsealed_calls"`
	UnsealedDays  []string `json:"unsealed_days"`

	Files int   `json:"files"` // of the payload
	Bytes int64 `json:"bytes"` // of these

	Checksum string `json:"tagmanifest_sha256"` // of tagmanifest-sha256.txt, through which it covers every file
}

// ErrNothing means that no call matches.
var ErrNothing = errors.New("no call matches: no bag was written")

// audioFolder holds the copies, with the names of audioNames: names in the archive may contain customers'
// numbers, and be too long for another system.
const (
	audioFolder = payload + "audio"
	audioNames  = `{{.call_date.Format "2006-01-02"}}/{{.recording_id}}`
)

// writing is the state of a bag during writing.
type writing struct {
	*Bag
	folder *folder
	files  payloadFiles
	sum    Summary
	first  string // day
	last   string
	days   []bagDay
	signed [][]byte // seals with a signature
}

// Write writes the bag. On error, nothing has its name. A [*FolderError] concerns the folder; ErrBusy means that
// another export writes there.
func (b *Bag) Write(ctx context.Context) (Summary, error) {
	f, err := openFolder(b.Dir)
	if err != nil {
		return Summary{}, err
	}
	w := &writing{Bag: b, folder: f}
	w.sum.NoAudio = map[manifest.Outcome]int{}
	err = w.payload(ctx)
	if err == nil {
		err = w.tags()
	}
	if err == nil {
		err = f.publish()
	}
	return w.sum, errors.Join(err, f.close())
}

// payload writes everything below data/. Calls come day by day, and the lines of a day follow after all of its
// calls.
func (w *writing) payload(ctx context.Context) (err error) {
	names, err := key.Parse(audioNames)
	if err != nil {
		return err
	}
	audio, err := copier.Start(ctx, w.folder.path(audioFolder), copier.Options{
		Source: w.Source, Names: names, Workers: w.Workers, Passing: w.Passing, Removed: w.Ledger.IsRemoved, Tell: w.Tell,
		Done: func(r search.Recording, name string) {
			w.files.add(audioFolder+"/"+name, hex.EncodeToString(r.State.SHA256[:]), r.Size)
		},
	})
	if err != nil {
		return err
	}
	err = w.calls(ctx, audio)
	counts, copyErr := audio.Finish()
	if err == nil || errors.Is(copyErr, err) {
		err = copyErr
	}
	if err != nil {
		return err
	}
	w.sum.Stored, w.sum.LeftOut, w.sum.Damaged = counts.Copied+counts.There, counts.Damaged+counts.Unread, counts.Damaged
	if w.sum.Calls == 0 {
		return ErrNothing
	}
	for _, name := range []string{copier.IndexFile, copier.PlaylistFile} {
		if err := w.hash(audioFolder + "/" + name); err != nil {
			return err
		}
	}
	if err := w.seals(ctx); err != nil {
		return err
	}
	w.compare()
	return nil
}

func (w *writing) calls(ctx context.Context, audio *copier.Copy) error {
	q := w.Query
	q.Sort = search.OldestFirst
	var day wanted
	for c, err := range w.Archive.Search(ctx, q) {
		if err != nil {
			if err = w.Skip(err); err != nil {
				return err
			}
			continue
		}
		if c.Day != day.day {
			if err := w.lines(ctx, day); err != nil {
				return err
			}
			day = wanted{day: c.Day, calls: map[string]bool{}, recordings: map[string]bool{}}
		}
		w.See(&c)
		w.sum.Calls++
		day.count++
		day.calls[c.ID] = !c.Erased
		for _, r := range c.Recordings {
			w.sum.Recordings++
			day.recordings[r.ID] = !c.Erased && r.Outcome != manifest.Erased
			if !r.Stored() {
				w.sum.NoAudio[r.Outcome]++
				continue
			}
			if err := audio.Add(&c, r); err != nil {
				return err
			}
		}
	}
	return w.lines(ctx, day)
}

// hash adds an existing file of the folder.
func (w *writing) hash(name string) error {
	file, err := w.folder.root.Open(name)
	if err != nil {
		return folderError("read a file of the bag", err)
	}
	defer file.Close() // read only
	h := newHashed(io.Discard)
	if _, err := io.Copy(h, file); err != nil {
		return folderError("read a file of the bag", err)
	}
	w.files.add(name, h.sum(), h.size)
	return nil
}

// tags writes the tag files that turn the folder into a bag. bagit.txt, which marks it as one, comes last.
func (w *writing) tags() error {
	w.sum.Files, w.sum.Bytes = len(w.files.list), w.files.bytes
	var listed payloadFiles
	for _, tag := range []struct{ name, text string }{{manifestFile, w.files.manifest()}, {infoFile, w.info()}, {readmeFile, readme(w.sum, w.Archive.Zone().String())}} {
		h, err := w.folder.write(tag.name, tag.text)
		if err != nil {
			return err
		}
		listed.add(tag.name, h.sum(), h.size)
	}
	fixed := newHashed(io.Discard)
	_, _ = io.WriteString(fixed, declaration) // it never fails
	listed.add(declarationFile, fixed.sum(), fixed.size)
	h, err := w.folder.write(tagManifestFile, listed.manifest())
	if err != nil {
		return err
	}
	w.sum.Checksum = h.sum()
	_, err = w.folder.write(declarationFile, declaration)
	return err
}

// info describes the content of the bag, only by counts and dates.
func (w *writing) info() string {
	type field struct{ name, value string }
	fields := []field{
		{"Bag-Software-Agent", w.Agent},
		{"Bagging-Date", w.Now.UTC().Format(time.DateOnly)},
		{"Payload-Oxum", fmt.Sprintf("%d.%d", w.files.bytes, len(w.files.list))},
		{"Archive", w.ID},
		{"First-Day", w.first},
		{"Last-Day", w.last},
		{"Time-Zone", w.Archive.Zone().String()},
		{"Calls", fmt.Sprint(w.sum.Calls)},
		{"Recordings", fmt.Sprint(w.sum.Recordings)},
		{"Recordings-With-Audio", fmt.Sprint(w.sum.Stored)},
		{"Recordings-Left-Out", fmt.Sprint(w.sum.LeftOut)},
		{"Recordings-Without-Audio", w.sum.Silent()},
		{"Seals", fmt.Sprint(w.sum.Seals)},
		{"Calls-On-Sealed-Days", fmt.Sprint(w.sum.SealedCalls)},
		{"Sealed-Days", fmt.Sprint(w.sum.SealedDays)},
		{"Calls-On-Unsealed-Days", fmt.Sprint(w.sum.UnsealedCalls)},
	}
	for _, days := range w.sum.UnsealedSpans() {
		fields = append(fields, field{"Unsealed-Days", days})
	}
	text := ""
	for _, f := range fields {
		if f.value != "" {
			text += f.name + ": " + f.value + "\n"
		}
	}
	return text
}
