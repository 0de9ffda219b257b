// Limits the number of ZIPs and lists that are sent at once.

package web

import "sync"

// How many ZIPs and lists are sent at once, in all and to one user: who reads slowly holds up nobody else.
const (
	maxHandovers     = 16
	maxHandoversEach = 4
)

// places are those of ZIPs and lists that are being sent. They are safe for concurrent use.
type places struct {
	mu    sync.Mutex
	taken map[string]int // by user; a user without one is not in it
	all   int
}

// take takes a place for a user, and reports whether there was one.
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
