package manifest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
)

// Owner returns the id of the recording that a line says is stored under key, "" when no line of any day
// does. It reads the whole ledger as a stream, so it is for the rare case that a key is found
// taken. A line that cannot be read and may name the key is a *BadLineError.
func (l *Ledger) Owner(ctx context.Context, key string) (recordingID string, err error) {
	needle, err := encode(key)
	if err != nil {
		return "", err
	}
	needle = bytes.TrimSpace(needle)
	for status, err := range l.medium.days(ctx) {
		if status.Day == "" && err != nil {
			return "", fmt.Errorf("find owner of a key: %w", err)
		}
		// An error of a single day's status shows again, with its line, if it matters.
		id, err := l.ownerIn(ctx, status.Day, key, needle)
		if err != nil {
			return "", fmt.Errorf("find owner of a key: %w", err)
		}
		if id != "" {
			return id, nil
		}
	}
	return "", nil
}

func (l *Ledger) ownerIn(ctx context.Context, day, key string, needle []byte) (string, error) {
	var v view
	for raw, err := range lines(ctx, day, l.medium.pieces(ctx, treeManifest, day), maxLine) {
		if err != nil {
			return "", err
		}
		// Our own lines spell a key in one way only. Another writer may have escaped letters in it.
		text := raw.text[:len(raw.text)-1]
		if !bytes.Contains(text, needle) && !bytes.Contains(text, []byte(`\u`)) {
			continue
		}
		kind, err := parseLine(text, &v)
		if err != nil {
			if later := laterVersion(0); errors.As(err, &later) {
				err = l.refuseLater(raw.fault(day, err))
				return "", err
			}
			return "", raw.fault(day, err)
		}
		// The line of a recording that waits names the key that it would have.
		stored := Outcome(v.outcome) == Archived || Outcome(v.outcome) == Damaged
		if kind == kindRecording && stored && string(v.key) == key {
			return string(v.id), nil
		}
	}
	return "", nil
}
