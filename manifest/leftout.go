// Collects recordings that were archived after their erasure.

package manifest

import "bytes"

// LeftOut returns the recordings that were archived after their erasure, and so got no line: a run had them in
// flight. The caller removes their audio. After Close there are no new ones.
func (l *Ledger) LeftOut() []Recording {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.leftOut
}

func (l *Ledger) leaveOut(r Recording) {
	if r.Outcome != Archived || r.Key == "" {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.leftOut = append(l.leftOut, r)
}

// leaveOutOf calls leave for the recordings in complete lines that were erased after they were
// noted.
func (e *Erasures) leaveOutOf(lines []byte, leave func(Recording)) {
	if e.isEmpty() {
		return
	}
	var v view
	for line := range bytes.Lines(lines) {
		kind, err := parseLine(bytes.TrimSuffix(line, []byte("\n")), &v)
		if err != nil || kind != kindRecording {
			continue
		}
		if _, erased := e.of(v.id, v.callID); erased {
			leave(v.recording())
		}
	}
}
