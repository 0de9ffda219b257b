package archiver

import (
	"context"
	"slices"
	"sync"

	"convoso-archiver/fetcher"
)

// room bounds what the days that are worked side by side hold in memory together: a
// day asks for another page, or has its ledger loaded, while that is not above the
// bound. The day that was begun first never waits, so that the work goes on whatever
// the others hold. So memory is bounded by the bound and what one day holds.
//
// A day leaves when it has been listed to its end, or else one download that takes
// long would keep all others from being listed. What it holds until it is concluded
// counts all the same, as does that of a day that is put off: as long as such days
// alone are above the bound, days are listed one after another.
type room struct {
	most int        // recordings
	held func() int // recordings in memory, of all ledgers that are loaded

	mu      sync.Mutex     // taken before any lock that held takes
	days    []fetcher.Date // being listed, in the order in which they were begun
	loading int            // ledgers of which it is not known yet what they hold
	freed   chan struct{}  // closed and made anew when a day may go on
}

func newRoom(most int, held func() int) *room {
	return &room{most: most, held: held, freed: make(chan struct{})}
}

// enter puts a day behind those being listed. It must leave.
func (m *room) enter(day fetcher.Date) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.days = append(m.days, day)
}

// leave lets the next day be the first. It may be called more than once.
func (m *room) leave(day fetcher.Date) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.days = slices.DeleteFunc(m.days, func(other fetcher.Date) bool { return other == day })
	m.lookAgain()
}

// wake is called when a ledger has gone.
func (m *room) wake() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.lookAgain()
}

func (m *room) lookAgain() {
	close(m.freed)
	m.freed = make(chan struct{})
}

// wait returns when the day may ask for another page, or with the cause of ctx when
// that has ended.
func (m *room) wait(ctx context.Context, day fetcher.Date) error {
	return m.await(ctx, func() bool { return m.isFirst(day) || m.held() <= m.most })
}

// load does what brings a day's ledger into memory when there is room. Behind the
// first day one ledger is loaded at a time, for until then nobody knows how much it is.
func (m *room) load(ctx context.Context, day fetcher.Date, load func() error) error {
	if err := m.await(ctx, func() bool { return m.beginLoading(day) }); err != nil {
		return err
	}
	defer m.endLoading()
	return load()
}

func (m *room) beginLoading(day fetcher.Date) bool {
	yes := m.isFirst(day) || m.loading == 0 && m.held() <= m.most
	if yes {
		m.loading++
	}
	return yes
}

func (m *room) endLoading() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.loading--
	m.lookAgain()
}

func (m *room) isFirst(day fetcher.Date) bool { return m.days[0] == day }

// await returns when may says yes, which is asked with mu held.
func (m *room) await(ctx context.Context, may func() bool) error {
	for {
		m.mu.Lock()
		yes, freed := may(), m.freed
		m.mu.Unlock()
		if yes {
			return nil
		}
		select {
		case <-freed:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}
