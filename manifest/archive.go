// Reads and writes archive.json.

package manifest

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"strings"
	"sync"
	"time"
)

const archiveFile = treeManifest + "/archive.json"

// Archive is manifest/archive.json. An archive belongs to one account, API address and zone.
type Archive struct {
	V         int       `json:"-"`          // format version that was read; SaveArchive writes the present one
	ID        string    `json:"id"`         // random, given at creation when empty
	AccountID string    `json:"account_id"` // empty until the account was seen
	APIURL    string    `json:"api_url"`
	TimeZone  string    `json:"time_zone"` // IANA name of the account's zone
	Created   time.Time `json:"created"`   // zero: now
	// ConditionalWrites says whether the store honours conditions, nil when that was never noted.
	ConditionalWrites *bool `json:"conditional_writes,omitempty"`
}

// archive is archive.json as it was read last.
type archive struct {
	mu    sync.Mutex
	text  []byte // nil: it was not there
	tag   string
	isNew bool // it has the present version, or there was none
}

// archiveLine is Archive as it is written.
type archiveLine struct {
	header
	Archive
}

// Archive reads archive.json. The error is fs.ErrNotExist for a new archive and a *VersionError for one
// that a later version wrote.
func (l *Ledger) Archive(ctx context.Context) (Archive, error) {
	l.archive.mu.Lock()
	defer l.archive.mu.Unlock()
	a, err := l.readArchive(ctx)
	return a, l.noteLater(err)
}

// readArchive remembers what it has read.
func (l *Ledger) readArchive(ctx context.Context) (Archive, error) {
	text, tag, err := readFile(ctx, l.objects, archiveFile)
	if errors.Is(err, fs.ErrNotExist) {
		l.archive.text, l.archive.tag = nil, ""
	}
	if err != nil {
		return Archive{}, err
	}
	var a archiveLine
	h, err := parseHeader(text)
	if later := laterIn(err); later > 0 {
		return Archive{}, &VersionError{File: archiveFile, V: later}
	}
	if err == nil && json.Unmarshal(text, &a) != nil {
		err = errFields
	}
	if err != nil {
		return Archive{}, fmt.Errorf("read %s: %w", archiveFile, err)
	}
	l.archive.text, l.archive.tag = text, tag
	a.Archive.V = h.V
	return a.Archive, nil
}

// SaveArchive creates archive.json when Archive has found none, else it replaces the one that Archive read last;
// fields that this version does not know are kept. The error is fs.ErrExist when another run was first: the
// caller reads it with Archive.
func (l *Ledger) SaveArchive(ctx context.Context, a Archive) error {
	a.Created = timeOrNow(a.Created)
	if a.ID == "" {
		a.ID = strings.ToLower(rand.Text())
	}
	err := l.guard(ctx, func() error {
		l.archive.mu.Lock()
		defer l.archive.mu.Unlock()
		return l.putArchive(ctx, a)
	})
	if err != nil {
		return fmt.Errorf("save %s: %w", archiveFile, err)
	}
	return nil
}

// putArchive replaces archive.json if it is as it was read last.
func (l *Ledger) putArchive(ctx context.Context, a Archive) error {
	text, err := encodeArchive(a, l.archive.text)
	if err == nil {
		err = l.objects.PutFile(ctx, archiveFile, text, l.archive.tag)
	}
	if err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	// Also after fs.ErrExist it may be ours: the reply to an earlier try may have been lost. The tag is new.
	if _, err := l.readArchive(ctx); err != nil {
		return err
	}
	if l.archive.isNew = bytes.Equal(l.archive.text, text); !l.archive.isNew {
		l.archive.text, l.archive.tag = nil, "" // the caller must read it before it replaces it
		return fs.ErrExist
	}
	return nil
}

// encodeArchive writes a, with the fields of old that this version does not know.
func encodeArchive(a Archive, old []byte) ([]byte, error) {
	text, err := encode(archiveLine{header{formatVersion, kindArchive}, a}, maxLine)
	if err != nil || old == nil {
		return text, err
	}
	var known, fields map[string]json.RawMessage
	if err := errors.Join(json.Unmarshal(text, &known), json.Unmarshal(old, &fields)); err != nil {
		return nil, err
	}
	delete(fields, "conditional_writes") // known also where a has none
	maps.Copy(fields, known)
	if len(fields) == len(known) {
		return text, nil
	}
	return encode(fields, maxLine)
}

// upgradeArchive makes archive.json one of the present version before the first new line, so that older programs,
// which do not know the layout, stop at it.
func (l *Ledger) upgradeArchive(ctx context.Context) error {
	l.archive.mu.Lock()
	defer l.archive.mu.Unlock()
	for !l.archive.isNew {
		a, err := l.readArchive(ctx)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		if l.archive.isNew = err != nil || a.V == formatVersion; l.archive.isNew {
			return nil
		}
		if err := l.putArchive(ctx, a); err != nil && !errors.Is(err, fs.ErrExist) {
			return fmt.Errorf("save the new layout in %s: %w", archiveFile, err)
		}
	}
	return nil
}
