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

// Archive is manifest/archive.json. It binds an archive to one account, API address and zone.
type Archive struct {
	V         int       `json:"-"`          // format version read; SaveArchive writes the current one
	ID        string    `json:"id"`         // random, given at creation when empty
	AccountID string    `json:"account_id"` // empty until the account is known
	APIURL    string    `json:"api_url"`
	TimeZone  string    `json:"time_zone"` // IANA name of the account's zone
	Created   time.Time `json:"created"`   // zero: now
	// ConditionalWrites says whether the store honours conditions, nil if never noted.
	ConditionalWrites *bool `json:"conditional_writes,omitempty"`
}

// ErrHidden means that the store refuses to create archive.json because it exists, and does not return it. versitygw does
// so if a delete marker hides the older versions. The error is also fs.ErrNotExist.
var ErrHidden = errors.New("the store says that the file exists, and does not return it")

// archive caches archive.json as last read.
type archive struct {
	mu    sync.Mutex
	text  []byte // nil if it did not exist
	tag   string
	isNew bool // it has the current version, or did not exist
}

// archiveLine is the written form of Archive.
type archiveLine struct {
	header
	Archive
}

// Archive reads archive.json. The error is fs.ErrNotExist for a new archive and a *VersionError for one
// written by a later version.
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

// SaveArchive creates archive.json if Archive found none; otherwise it replaces the one that Archive read last
// and keeps unknown fields. The error is fs.ErrExist when another run was first: the caller must read it with
// Archive.
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

// putArchive replaces archive.json if it has not changed since the last read.
func (l *Ledger) putArchive(ctx context.Context, a Archive) error {
	text, err := encodeArchive(a, l.archive.text)
	if err == nil {
		err = l.objects.PutFile(ctx, archiveFile, text, l.archive.tag)
	}
	if err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	// Even after fs.ErrExist it may be ours, if the reply to an earlier attempt was lost. The tag is new.
	_, unread := l.readArchive(ctx)
	switch {
	case err != nil && errors.Is(unread, fs.ErrNotExist):
		return fmt.Errorf("%w: %w", ErrHidden, unread)
	case unread != nil:
		return unread
	}
	if l.archive.isNew = bytes.Equal(l.archive.text, text); !l.archive.isNew {
		l.archive.text, l.archive.tag = nil, "" // the caller must read it before it replaces it
		return fs.ErrExist
	}
	return nil
}

// encodeArchive encodes a, with the unknown fields of old.
func encodeArchive(a Archive, old []byte) ([]byte, error) {
	text, err := encode(archiveLine{header{formatVersion, kindArchive}, a}, maxLine)
	if err != nil || old == nil {
		return text, err
	}
	var known, fields map[string]json.RawMessage
	if err := errors.Join(json.Unmarshal(text, &known), json.Unmarshal(old, &fields)); err != nil {
		return nil, err
	}
	delete(fields, "conditional_writes") // a known field, even if a lacks it
	maps.Copy(fields, known)
	if len(fields) == len(known) {
		return text, nil
	}
	return encode(fields, maxLine)
}

// upgradeArchive writes archive.json in the current version before the first new line, so that older programs,
// which do not know the layout, refuse it.
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
