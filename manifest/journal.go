// Appends and reads the records in evidence/.

package manifest

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"strings"
	"time"
)

// RecordHead is the start of every line of evidence/: records of holds, locks, erasures and verifications. Embed
// it in the type of the line.
type RecordHead struct {
	V        int       `json:"v"`
	Kind     string    `json:"kind"`     // set by the caller
	Previous string    `json:"previous"` // SHA-256 of the previous line in its file, empty for the first
	Time     time.Time `json:"time"`     // zero: now
	Run      string    `json:"run"`
}

func (h *RecordHead) head() *RecordHead { return h }

// Record is a line of evidence/: a pointer to a struct that embeds RecordHead.
type Record interface{ head() *RecordHead }

// maxRecordFiles limits the search for a free number.
const maxRecordFiles = 10_000

// PutRecords writes a new file evidence/STEM-RUN-NUMBER.jsonl with these lines, durable when it returns nil. Each line
// contains the digest of the previous one. Files of evidence/ never change: later records are in later files.
func (l *Ledger) PutRecords(ctx context.Context, stem string, records ...Record) error {
	body, err := l.encodeRecords(records)
	if err != nil {
		return fmt.Errorf("encode a record of %s: %w", TreeEvidence, err)
	}
	err = l.write(ctx, func() error {
		for n := 1; n <= maxRecordFiles; n++ {
			name := fmt.Sprintf("%s/%s-%s-%06d%s", TreeEvidence, stem, l.run, n, extPlain)
			if err := l.objects.PutFile(ctx, name, body, ""); !errors.Is(err, fs.ErrExist) {
				return err
			}
		}
		return fmt.Errorf("write a record of %s: this run has written %d files, which is the maximum", TreeEvidence, maxRecordFiles)
	})
	if err == nil && (stem == ErasureStem || strings.HasPrefix(stem, expireStem)) {
		_, err = l.Erasures(ctx) // this ledger must obey too
	}
	return err
}

func (l *Ledger) encodeRecords(records []Record) ([]byte, error) {
	var body bytes.Buffer
	previous := ""
	for _, r := range records {
		h := r.head()
		h.V, h.Previous, h.Run = lineVersion, previous, l.run
		if h.Time.IsZero() {
			h.Time = time.Now()
		}
		h.Time = h.Time.UTC().Truncate(time.Second)
		line, err := json.Marshal(r)
		if err != nil {
			return nil, err
		}
		if len(line) >= maxCallLine {
			return nil, fmt.Errorf("it has %d bytes, the maximum is %d", len(line), maxCallLine-1)
		}
		sum := sha256.Sum256(line)
		previous = hex.EncodeToString(sum[:])
		body.Write(append(line, '\n'))
	}
	return body.Bytes(), nil
}

// Records calls visit with every line of the files evidence/STEM-*, file by file in the order of runs. raw is valid
// until visit returns. An unreadable line is a *BadLineError, because it may contain a hold or an erasure.
func (l *Ledger) Records(ctx context.Context, stem string, visit func(file string, raw []byte) error) error {
	return l.latestRecords(ctx, stem, math.MaxInt, visit)
}

// latestRecords is like Records, for at most n files, those of the latest runs.
func (l *Ledger) latestRecords(ctx context.Context, stem string, limit int, visit func(file string, raw []byte) error) error {
	files, err := l.evidence(ctx, stem+"-")
	if err != nil {
		return err
	}
	for _, f := range files[max(0, len(files)-limit):] {
		err := l.ReadLines(ctx, f, func(line SegmentLine) error {
			if line.Bad != nil {
				return &BadLineError{File: f.File(), Line: line.Number, Reason: line.Bad.Error()}
			}
			return visit(f.File(), line.Raw)
		})
		if err != nil {
			return err
		}
	}
	return nil
}
