package e2e

import (
	"strings"
	"testing"
	"time"

	"convoso-archiver/fetcher/convosotest"
)

// TestServeWarnsOfLimits: serve warns about campaigns and agents of --rights that no call has, and only about these.
func TestServeWarnsOfLimits(t *testing.T) {
	t.Parallel()
	server := simulate(t, convosotest.Config{Seed: 96, FirstDay: daysAgo(7), CallsPerDay: 30, MedianSize: 3_000})
	a := onDisk(t, server)
	a.run("--start-time", daysAgo(7), "--end-time", daysAgo(7)).want(t, 0)
	known := a.findCalls("--limit", "1")[0]
	_, said := a.servePage("--rights", "listen;campaigns=Solar,"+known.Campaign+";agents=Nobody At All")
	for wait := 50 * time.Millisecond; strings.Count(said(), "check --rights") < 2 && wait < 30*time.Second; wait *= 2 {
		time.Sleep(wait) // the page starts before the index is complete
	}
	text := said()
	for _, part := range []string{`no call of the archive has campaign \"Solar\"`, `no call of the archive has agent \"Nobody At All\"`} {
		if !strings.Contains(text, part) {
			t.Errorf("no %s in %s", part, text)
		}
	}
	if strings.Count(text, "check --rights") != 2 {
		t.Errorf("more warnings: %s", text)
	}
}
