package main

import (
	"fmt"
	"sync"
	"time"

	"convoso-archiver/fetcher/convosotest"
)

// account is a simulated account that notes when it is first asked something.
type account struct {
	*convosotest.Server

	mu    sync.Mutex
	first time.Time // of a request to the API; zero for none
}

// openAccount starts an account with as many calls on each of some days, each with a small recording.
func openAccount(firstDay string, days, calls int) (*account, error) {
	a := &account{}
	server, err := convosotest.New(convosotest.Config{
		Seed: 1, Zone: zone, FirstDay: firstDay, Days: days, CallsPerDay: calls, RecordedShare: 1, MedianSize: 3_000, MinSize: 2_880,
		APIHook: func(convosotest.APIRequest) convosotest.APIFault {
			a.note(time.Now())
			return ""
		},
	})
	if err != nil {
		return nil, fmt.Errorf("make account: %w", err)
	}
	a.Server = server
	if err := server.Start(); err != nil {
		return nil, fmt.Errorf("start account: %w", err)
	}
	return a, nil
}

func (a *account) note(now time.Time) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.first.IsZero() {
		a.first = now
	}
}

// firstSince returns how long after started the first request came, 0 for none.
func (a *account) firstSince(started time.Time) time.Duration {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.first.IsZero() {
		return 0
	}
	return a.first.Sub(started)
}

// requests returns how many both hosts got.
func (a *account) requests() int64 {
	stats := a.Stats()
	return int64(stats.API.Requests + stats.Media.Requests)
}

// forget makes the next request the first.
func (a *account) forget() {
	a.ResetStats()
	a.mu.Lock()
	defer a.mu.Unlock()
	a.first = time.Time{}
}
