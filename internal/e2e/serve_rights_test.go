package e2e

import (
	"os"
	"path/filepath"
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

// TestServeWarnsOfUsers: serve warns about campaigns of the users file that no call has, at the start and after a change.
func TestServeWarnsOfUsers(t *testing.T) {
	t.Parallel()
	server := simulate(t, convosotest.Config{Seed: 97, FirstDay: daysAgo(7), CallsPerDay: 30, MedianSize: 3_000})
	a := onDisk(t, server)
	a.run("--start-time", daysAgo(7), "--end-time", daysAgo(7)).want(t, 0)
	known := a.findCalls("--limit", "1")[0].CampaignID
	file := filepath.Join(t.TempDir(), "users")
	write := func(campaigns string) {
		if err := os.WriteFile(file, []byte("ben:-:listen;campaigns="+campaigns+"\ncleo:-:listen;agents=Nobody At All\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write(known + ",5O52")
	_, said := a.servePage("--users", file, "--access-log", t.TempDir())
	for _, campaign := range []string{"5O52", "Solar"} {
		want := `check the users file: no call of the archive has campaign \"` + campaign + `\"`
		for wait := 50 * time.Millisecond; !strings.Contains(said(), want) && wait < 60*time.Second; wait *= 2 {
			time.Sleep(wait)
		}
		if text := said(); !strings.Contains(text, want) || strings.Contains(text, "Nobody") {
			t.Fatalf("no %s, or an agent's name, in %s", want, text)
		}
		write(known + ",Solar")
	}
	if text := said(); strings.Count(text, "check the users file") != 2 || !strings.Contains(text, "the users file was reloaded") {
		t.Errorf("more or less is said: %s", text)
	}
}
