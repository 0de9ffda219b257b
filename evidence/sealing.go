// Seals the days that were closed since the last seal.

package evidence

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"slices"
	"sync"
	"time"

	"golang.org/x/crypto/ssh"
	"golang.org/x/sync/errgroup"

	"convoso-archiver/manifest"
)

// Sealing seals the days closed since the last seal.
type Sealing struct {
	Ledger *manifest.Ledger
	Signer ssh.Signer
	TSA    *TSA // stamps seals without a timestamp; nil for none
	Now    time.Time

	salting sync.Mutex // only one day is written at a time
}

// Sealed is the result of sealing.
type Sealed struct {
	Number   int       `json:"number"` // of the newest seal, 0 for none
	Head     string    `json:"head"`   // its head, for ParseHead; empty for none
	Time     time.Time `json:"time"`   // of it
	New      bool      `json:"new"`    // this run made it
	Days     int       `json:"days"`   // in the new one
	Lines    int64     `json:"lines"`
	Evidence []string  `json:"evidence"`     // files of evidence/ in the new seal
	Open     int       `json:"days_open"`    // not closed, and so not sealed
	Salted   []string  `json:"days_salted"`  // closed by an older version: their lines got salts first
	Changed  []string  `json:"days_changed"` // closed, but different from their day line: verify says more

	Contradictions []Contradiction `json:"contradictions"` // files that are not as they were sealed; their days are not sealed again

	Stamped      int    `json:"stamped"`       // seals stamped by this run
	Unstamped    int    `json:"not_stamped"`   // seals without a timestamp, because the authority failed
	StampFailure string `json:"stamp_failure"` // why
}

// ChainError says why sealing is impossible: the existing seals are not a chain that can be continued.
type ChainError struct{ Problem string }

// Error implements error.
func (e *ChainError) Error() string { return e.Problem }

// Run seals. If no day was closed since the last seal, it makes no new one. The error is a *ChainError, or one of
// the archive. A killed run leaves no seal; the caller must hold the archive's lock, if it has one. A failure to
// stamp is not an error.
func (s *Sealing) Run(ctx context.Context) (Sealed, error) {
	made, err := s.seals(ctx)
	if err == nil && s.TSA != nil {
		err = s.stampSeals(ctx, &made)
	}
	return made, err
}

func (s *Sealing) seals(ctx context.Context) (Sealed, error) {
	made := Sealed{Evidence: []string{}, Salted: []string{}, Changed: []string{}, Contradictions: []Contradiction{}}
	about, err := s.Ledger.Archive(ctx)
	if err != nil {
		return made, err
	}
	before, _, err := load(ctx, s.Ledger.Objects())
	if err != nil {
		return made, err
	}
	seal := Seal{
		V: sealVersion, Kind: kindSeal, Number: 1, Archive: about.ID, AccountID: about.AccountID, APIURL: about.APIURL, TimeZone: about.TimeZone,
		Time: s.Now.UTC().Truncate(time.Second),
		Days: []SealedDay{}, Evidence: []SealedLines{},
	}
	if n := len(before); n > 0 {
		if err := checkChain(before, about.ID, s.Now); err != nil {
			return made, err
		}
		last := &before[n-1]
		seal.Number, seal.Previous = last.Number+1, last.hash
		made.Number, made.Head, made.Time = last.Number, last.head().String(), last.Time
	}
	if err := s.takeDays(ctx, &seal, before, &made); err != nil {
		return made, err
	}
	if err := s.takeEvidence(ctx, &seal, before); err != nil {
		return made, err
	}
	if len(seal.Days) == 0 && len(seal.Evidence) == 0 {
		return made, nil
	}
	head, err := s.write(ctx, &seal)
	if err != nil {
		return made, err
	}
	made.New, made.Number, made.Head, made.Time = true, seal.Number, head.String(), seal.Time
	made.Days = len(seal.Days)
	for _, f := range seal.Evidence {
		made.Evidence = append(made.Evidence, f.Name)
	}
	return made, nil
}

// checkChain refuses to continue from seals that do not follow one another.
func checkChain(seals []stored, archive string, now time.Time) error {
	previous := ""
	for i := range seals {
		s := &seals[i]
		switch {
		case s.Number != i+1:
			return &ChainError{fmt.Sprintf("seal %d is missing: restore seals/ from a copy; nothing was sealed", i+1)}
		case s.bad != nil:
			return &ChainError{fmt.Sprintf("%s cannot be used, %v: restore it from a copy; nothing was sealed", s.file, s.bad)}
		case s.Archive != archive:
			return &ChainError{fmt.Sprintf("%s is of another archive: restore seals/ from a copy of this one; nothing was sealed", s.file)}
		case s.Previous != previous:
			return &ChainError{fmt.Sprintf("%s does not follow the seal before it: run audit --seals; nothing was sealed", s.file)}
		case s.sig == nil:
			return &ChainError{fmt.Sprintf("%s has no signature: restore its .sig from a copy; nothing was sealed", s.file)}
		case !isSigned(s):
			return &ChainError{fmt.Sprintf("the signature of %s is not of this seal: restore both files from a copy; nothing was sealed", s.file)}
		case s.Time.After(now):
			return &ChainError{fmt.Sprintf("seal %d was made at %s, later than this machine's clock: check the clock; nothing was sealed", s.Number, s.Time.Format(time.RFC3339))}
		}
		previous = s.hash
	}
	return nil
}

// isSigned reports whether a seal has a valid signature by any key; audit checks the signer.
func isSigned(s *stored) bool {
	_, err := signedBy(s)
	return err == nil
}

// daysAtOnce is the number of days read in parallel: on disk reading is bound by the CPU, and in S3 by latency.
const daysAtOnce = 8

// takenDay is the result of sealing one day.
type takenDay struct {
	name                    string
	isOpen, salted, changed bool
	contradictions          []Contradiction
	sealed                  []SealedDay
}

// takeDays adds the days whose day line is not sealed yet.
func (s *Sealing) takeDays(ctx context.Context, seal *Seal, before []stored, made *Sealed) error {
	sealed := sealedDaysOf(before)
	var days []*takenDay
	group, taking := errgroup.WithContext(ctx)
	group.SetLimit(daysAtOnce)
	for name, err := range s.Ledger.Days(ctx) {
		if err != nil {
			return errors.Join(fmt.Errorf("list the days of the manifest: %w", err), group.Wait())
		}
		day := &takenDay{name: name}
		days = append(days, day)
		group.Go(func() error {
			if err := s.take(taking, day, sealed[name]); err != nil {
				return fmt.Errorf("read day %s: %w", name, err)
			}
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		return err
	}
	for _, day := range days {
		made.add(day)
		seal.Days = append(seal.Days, day.sealed...)
	}
	return nil
}

// take reads the lines of a day that are not sealed yet, unless the day contradicts an earlier seal.
func (s *Sealing) take(ctx context.Context, day *takenDay, before *sealedBefore) error {
	status, err := s.Ledger.Status(ctx, day.name)
	if err != nil {
		return err
	}
	day.isOpen = len(status.Lines) == 0
	if before.mustCompare(status.Lines) {
		day.contradictions, err = s.contradictions(ctx, day.name, before, day.isOpen)
	}
	if err != nil || day.isOpen || len(day.contradictions) > 0 {
		return err
	}
	day.sealed, err = s.sealLines(ctx, status.Lines, before.isNew)
	if errors.Is(err, errUnsalted) {
		day.salted = true
		day.sealed, err = s.salt(ctx, day.name, before.isNew)
	}
	if day.changed = errors.Is(err, manifest.ErrNotAsClosed); day.changed {
		day.sealed = nil
		return nil
	}
	return err
}

// add adds a day to the result.
func (s *Sealed) add(day *takenDay) {
	s.Contradictions = append(s.Contradictions, day.contradictions...)
	if day.isOpen && len(day.contradictions) == 0 {
		s.Open++
	}
	if day.salted {
		s.Salted = append(s.Salted, day.name)
	}
	if day.changed {
		s.Changed = append(s.Changed, day.name)
	}
	for _, one := range day.sealed {
		for _, segment := range slices.Concat(one.Segments, one.CallsSegments) {
			s.Lines += segment.Lines
		}
	}
}

// errUnsalted means that lines of a day have no salts: a seal would keep a hash that reveals their
// content.
var errUnsalted = errors.New("lines without salts")

// salt gives salts to the lines of a day that an older version closed, and reads it again.
func (s *Sealing) salt(ctx context.Context, day string, isNew func(manifest.DayLine) bool) ([]SealedDay, error) {
	s.salting.Lock()
	defer s.salting.Unlock()
	if err := s.Ledger.SaltDay(ctx, day); err != nil {
		return nil, err
	}
	status, err := s.Ledger.Status(ctx, day)
	if err != nil {
		return nil, err
	}
	days, err := s.sealLines(ctx, status.Lines, isNew)
	if errors.Is(err, errUnsalted) { // another process wrote an unsalted line meanwhile
		err = manifest.ErrNotAsClosed
	}
	return days, err
}

// sealLines reads the segments of a day's new day lines. The error is errUnsalted, or ErrNotAsClosed if the
// segments differ from a day line: it must not be signed then.
func (s *Sealing) sealLines(ctx context.Context, lines []manifest.DayLine, isNew func(manifest.DayLine) bool) (days []SealedDay, err error) {
	for _, line := range lines {
		if !isNew(line) || manifest.IsPersonal(line.Filter) {
			continue
		}
		if line.Root == "" {
			return nil, errUnsalted
		}
		one, err := s.seal(ctx, line)
		if err != nil {
			return nil, err
		}
		days = append(days, one)
	}
	return days, nil
}

// seal reads the segments that a day line names.
func (s *Sealing) seal(ctx context.Context, line manifest.DayLine) (SealedDay, error) {
	day := SealedDay{DayLine: line}
	var root, callsRoot string
	var err error
	if day.Segments, root, err = s.sealTree(ctx, manifest.TreeManifest, line.Day, line.Segments); err != nil {
		return day, err
	}
	if day.CallsSegments, callsRoot, err = s.sealTree(ctx, manifest.TreeCalls, line.Day, line.CallsSegments); err != nil {
		return day, err
	}
	if root != line.Root || callsRoot != line.CallsRoot {
		return day, manifest.ErrNotAsClosed
	}
	return day, nil
}

func (s *Sealing) sealTree(ctx context.Context, tree manifest.Tree, day string, named []manifest.Segment) (list []SealedLines, root string, err error) {
	there, err := s.Ledger.Segments(ctx, tree, day)
	if err != nil {
		return nil, "", err
	}
	list = []SealedLines{}
	all := newLines()
	for _, name := range named {
		i := slices.IndexFunc(there, func(f manifest.StoredSegment) bool { return f.Name == name.Name })
		if i < 0 {
			return list, "", nil
		}
		one, err := readLines(ctx, s.Ledger, there[i], all)
		if err != nil {
			return nil, "", err
		}
		list = append(list, one)
	}
	if all.unsalted {
		return nil, "", errUnsalted
	}
	return list, all.root(), nil
}

// takeEvidence adds the files of evidence/ that are new or have changed since the last seal.
func (s *Sealing) takeEvidence(ctx context.Context, seal *Seal, before []stored) error {
	sealed := map[string]SealedLines{}
	for i := range before {
		for _, f := range before[i].Evidence {
			sealed[f.Name] = f
		}
	}
	files, err := s.Ledger.Segments(ctx, manifest.TreeEvidence, "")
	if err != nil {
		return err
	}
	for _, f := range files {
		now, err := readLines(ctx, s.Ledger, f, nil)
		if err != nil {
			return err
		}
		if now != sealed[f.Name] {
			seal.Evidence = append(seal.Evidence, now)
		}
	}
	return nil
}

// write writes the signature and then the seal. A signature without a seal proves nothing, and the next run
// replaces it. A seal without a signature would have to be signed by a run that does not know who wrote it.
func (s *Sealing) write(ctx context.Context, seal *Seal) (Head, error) {
	text, err := json.MarshalIndent(seal, "", " ")
	if err != nil {
		return Head{}, fmt.Errorf("encode the seal: %w", err)
	}
	text = append(text, '\n')
	signature, err := sign(text, s.Signer)
	if err != nil {
		return Head{}, err
	}
	replaced, err := s.putSignature(ctx, seal.Number, signature)
	if err != nil {
		return Head{}, err
	}
	err = s.Ledger.Objects().PutFile(ctx, sealName(seal.Number), text, "")
	if errors.Is(err, fs.ErrExist) {
		if replaced != nil { // it may be the signature of a seal that another run wrote first
			err = s.keepSignature(ctx, seal.Number, replaced)
		}
		return Head{}, cmp.Or(failureOf(err), madeMeanwhile(seal.Number))
	}
	if err == nil {
		err = s.keepSignature(ctx, seal.Number, signature)
	}
	if err != nil {
		return Head{}, fmt.Errorf("write the seal: %w", err)
	}
	return Head{Number: seal.Number, Hash: hashOf(text)}, nil
}

// failureOf returns an error except fs.ErrExist.
func failureOf(err error) error {
	if errors.Is(err, fs.ErrExist) {
		return nil
	}
	return err
}

// keepSignature restores a signature that another run has replaced meanwhile.
func (s *Sealing) keepSignature(ctx context.Context, number int, signature []byte) error {
	objects, name := s.Ledger.Objects(), sigName(number)
	for range 3 {
		body, tag, err := objects.GetFile(ctx, name)
		if err != nil {
			return err
		}
		there, err := io.ReadAll(body)
		if err = errors.Join(err, body.Close()); err != nil || bytes.Equal(there, signature) {
			return err
		}
		if err := objects.PutFile(ctx, name, signature, tag); !errors.Is(err, fs.ErrExist) {
			return err
		}
	}
	return madeMeanwhile(number)
}

func madeMeanwhile(number int) error {
	return &ChainError{fmt.Sprintf("another run made seal %d at the same time: run audit --seals, and seal again", number)}
}

// putSignature replaces a signature that a killed run left, and returns the old one. It never replaces the
// signature of a seal.
func (s *Sealing) putSignature(ctx context.Context, number int, signature []byte) (replaced []byte, err error) {
	objects, name := s.Ledger.Objects(), sigName(number)
	err = objects.PutFile(ctx, name, signature, "")
	if errors.Is(err, fs.ErrExist) {
		old, tag, readErr := objects.GetFile(ctx, name)
		if readErr != nil {
			return nil, fmt.Errorf("read the existing signature: %w", readErr)
		}
		replaced, readErr = io.ReadAll(old)
		if readErr = errors.Join(readErr, old.Close()); readErr != nil {
			return nil, fmt.Errorf("read the existing signature: %w", readErr)
		}
		switch seal, _, err := objects.GetFile(ctx, sealName(number)); {
		case err == nil:
			_ = seal.Close() // only its existence matters
			return nil, madeMeanwhile(number)
		case !errors.Is(err, fs.ErrNotExist):
			return nil, fmt.Errorf("look for the seal: %w", err)
		}
		err = objects.PutFile(ctx, name, signature, tag)
	}
	if errors.Is(err, fs.ErrExist) {
		return nil, madeMeanwhile(number)
	}
	if err != nil {
		return nil, fmt.Errorf("write the signature: %w", err)
	}
	return replaced, nil
}
