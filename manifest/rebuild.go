// Notes that the lines of a day were rebuilt.

package manifest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
)

// NoteRebuild notes that the following lines of this run replace lost lines of the day. Durability is as of Note.
func (d *Day) NoteRebuild(ctx context.Context) error {
	if err := d.noteKind(ctx, kindRebuild); err != nil {
		return fmt.Errorf("save the rebuilt manifest of %s: %w", d.day, err)
	}
	return nil
}

// errOther means that a day has a line that no rebuild wrote.
var errOther = errors.New("a line of another run")

// IsRebuilt reports whether all complete lines of a day are from runs that called NoteRebuild first, or say that the day
// was repaired: a repair of a day whose lines are lost leaves nothing else. It is also true for a day without lines. The
// error is a *BadLineError for an unreadable line.
func (l *Ledger) IsRebuilt(ctx context.Context, day string) (bool, error) {
	runs := map[string]bool{}
	_, err := l.Read(ctx, day, func(line Line) error {
		switch line.Kind {
		case kindRepair:
			return nil
		case kindRebuild:
			var mark beginLine
			if json.Unmarshal(line.Raw, &mark) != nil {
				return errOther
			}
			runs[mark.Run] = true
			return nil
		case kindRecording:
			if r, err := line.Recording(); err == nil && (runs[r.Run] || r.Outcome == Erased) {
				return nil
			}
		}
		return errOther
	}, nil)
	if errors.Is(err, errOther) {
		return false, nil
	}
	return err == nil, err
}
