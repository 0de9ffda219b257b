package manifest

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"time"
)

const archiveFile = treeManifest + "/archive.json"

// Archive is manifest/archive.json: what the archive is of. An archive belongs to one account, API
// address and zone.
type Archive struct {
	V         int       // format version, 0: the present one
	ID        string    // random, given at creation when empty
	AccountID string    // empty until the account was seen
	APIURL    string    //
	TimeZone  string    // IANA name of the account's zone
	Created   time.Time // zero: now
}

// archiveLine is Archive as it is written.
type archiveLine struct {
	header
	ID        string    `json:"id"`
	AccountID string    `json:"account_id"`
	APIURL    string    `json:"api_url"`
	TimeZone  string    `json:"time_zone"`
	Created   time.Time `json:"created"`
}

func (a Archive) line() archiveLine {
	return archiveLine{header{a.V, kindArchive}, a.ID, a.AccountID, a.APIURL, a.TimeZone, seconds(a.Created)}
}

// Archive reads archive.json. The error is fs.ErrNotExist for a new archive and a *VersionError for one
// that a later version wrote.
func (l *Ledger) Archive(ctx context.Context) (Archive, error) {
	a, _, err := l.readArchive(ctx)
	return a, err
}

func (l *Ledger) readArchive(ctx context.Context) (Archive, []byte, error) {
	data, err := l.medium.readArchive(ctx)
	if err != nil {
		return Archive{}, nil, fmt.Errorf("read %s: %w", archiveFile, err)
	}
	var a archiveLine
	if _, err := parseHeader(data); err != nil {
		return Archive{}, nil, l.refuseLater(rawLine{file: archiveFile}.archiveFault(err))
	}
	if err := json.Unmarshal(data, &a); err != nil {
		return Archive{}, nil, rawLine{file: archiveFile}.archiveFault(jsonFault(err))
	}
	return Archive{a.V, a.ID, a.AccountID, a.APIURL, a.TimeZone, a.Created}, data, nil
}

func (l rawLine) archiveFault(err error) error {
	if later := laterVersion(0); errors.As(err, &later) {
		return l.fault("", err)
	}
	return fmt.Errorf("read %s: %w", l.file, err)
}

// SaveArchive creates archive.json, or replaces one that differs only in that it has no account id
// yet. In every other case the file that is there wins, also when another run created it a moment ago: the
// error is fs.ErrExist, and the caller reads it with Archive.
func (l *Ledger) SaveArchive(ctx context.Context, a Archive) error {
	if l.files == nil {
		return ErrReadOnly
	}
	l.gate.RLock()
	defer l.gate.RUnlock()
	if l.shut {
		return ErrClosed
	}
	if err := l.files.refusal(); err != nil {
		return err
	}
	if err := l.saveArchive(ctx, a); err != nil {
		return fmt.Errorf("save %s: %w", archiveFile, err)
	}
	return nil
}

func (l *Ledger) saveArchive(ctx context.Context, a Archive) error {
	old, data, err := l.readArchive(ctx)
	if errors.Is(err, fs.ErrNotExist) {
		return l.createArchive(ctx, a)
	}
	if err != nil {
		return err
	}
	filled := old
	filled.AccountID = a.AccountID
	if a.ID != old.ID || a.APIURL != old.APIURL || a.TimeZone != old.TimeZone ||
		a.AccountID == old.AccountID || old.AccountID != "" {
		return fs.ErrExist
	}
	data, err = encodeArchive(filled, data)
	if err != nil {
		return err
	}
	return l.medium.writeArchive(ctx, data, true)
}

func (l *Ledger) createArchive(ctx context.Context, a Archive) error {
	a.V, a.Created = formatVersion, secondsOr(a.Created, time.Now())
	if a.ID == "" {
		a.ID = l.newArchive
	}
	data, err := encodeArchive(a, []byte("{}"))
	if err != nil {
		return err
	}
	return l.medium.writeArchive(ctx, data, false)
}

// encodeArchive writes a, and after it the fields of old that this version does not know.
func encodeArchive(a Archive, old []byte) ([]byte, error) {
	data, err := encode(a.line())
	if err != nil {
		return nil, err
	}
	var known, fields map[string]json.RawMessage
	if err := errors.Join(json.Unmarshal(data, &known), json.Unmarshal(old, &fields)); err != nil {
		return nil, err
	}
	data = bytes.TrimSuffix(data, []byte("}\n"))
	for _, name := range unknownFields(known, fields) {
		quoted, err := encode(name)
		if err != nil {
			return nil, err
		}
		data = append(append(data, ','), bytes.TrimSpace(quoted)...)
		data = append(append(data, ':'), fields[name]...)
	}
	return append(data, "}\n"...), nil
}

func unknownFields(known, fields map[string]json.RawMessage) []string {
	var list []string
	for name := range fields {
		if _, ok := known[name]; !ok {
			list = append(list, name)
		}
	}
	slices.Sort(list)
	return list
}
