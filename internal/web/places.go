// Limits the number of ZIPs and lists that are sent in parallel.

package web

import "sync"

// Maximum parallel ZIPs and lists, in total and per user: a slow client must not block other users.
const (
	maxHandovers     = 16
	maxHandoversEach = 4
)

// places counts the ZIPs and lists being sent. It is safe for concurrent use.
type places struct {
	mu    sync.Mutex
	taken map[string]int // by user; users without a place are not in the map
	all   int
}

// take takes a place for a user, and reports whether one was free.
func (p *places) take(user string) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.all >= maxHandovers || p.taken[user] >= maxHandoversEach {
		return false
	}
	if p.taken == nil {
		p.taken = map[string]int{}
	}
	p.taken[user]++
	p.all++
	return true
}

func (p *places) leave(user string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.all--
	if p.taken[user]--; p.taken[user] == 0 {
		delete(p.taken, user)
	}
}

func (p *places) count() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.all
}
