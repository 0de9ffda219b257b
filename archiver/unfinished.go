package archiver

import "fmt"

// leaveUnfinished counts a day that was listed, in part at least, and whose
// recordings were not all worked: it tells how many of those known so far wait. It is
// called while the day's ledger is held.
func (d *dayRun) leaveUnfinished() {
	waiting := d.waiting() + d.ledger.unnoted()
	reasons := []string{reasonStopped}
	if waiting > 0 {
		reasons = append(reasons, fmt.Sprintf("recordings that wait: %d", waiting))
	}
	d.leaveOpen(OpenDay{Day: string(d.date), Settled: d.age.settled, Waiting: waiting, Reasons: reasons})
}

// unnoted counts the recordings that were listed and that no line names yet.
func (d *sharedDay) unnoted() int {
	noted := 0
	for identity := range d.Recordings() {
		if d.wasSeen(identity) {
			noted++
		}
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.seen.n - noted
}
