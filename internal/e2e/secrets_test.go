package e2e

import (
	"strings"
	"testing"

	"convoso-archiver/fetcher/convosotest"
)

// TestSecretsInFailures causes every kind of error in code that handles the token or a link; each
// run searches its whole output and all files.
func TestSecretsInFailures(t *testing.T) {
	t.Parallel()
	span := []string{"--start-time", daysAgo(5), "--end-time", daysAgo(5), "--retry-for", "2s"}
	config := convosotest.Config{Seed: 40, FirstDay: daysAgo(5), CallsPerDay: 20, RecordedShare: 1, MedianSize: 4_000}
	t.Run("refused token", func(t *testing.T) {
		source := simulate(t, config)
		source.SetTokenValid(false)
		r := onDisk(t, source, span...).run().want(t, 2)
		if !strings.Contains(r.stderr, "5001") || !strings.Contains(r.stderr, "Auth token is invalid") {
			t.Errorf("stderr: %s", r.stderr)
		}
	})
	t.Run("the API repeats the request", func(t *testing.T) {
		source := simulate(t, config)
		source.FailAPI(convosotest.APIEcho, 0)
		onDisk(t, source, append(span, "--phone-number", "5550canary99")...).run().want(t, 1)
	})
	t.Run("the API redirects", func(t *testing.T) {
		source := simulate(t, config)
		source.FailAPI(convosotest.APIRedirect, 0)
		onDisk(t, source, span...).run().want(t, 1)
	})
	t.Run("dead API host", func(t *testing.T) {
		source := simulate(t, config)
		a := onDisk(t, source, span...)
		r := a.run("--api-url", "http://127.0.0.1:1/v1").want(t, 1)
		if !strings.Contains(r.stderr, "refused") {
			t.Errorf("stderr: %s", r.stderr)
		}
	})
	t.Run("dead media host", func(t *testing.T) {
		source := simulate(t, config)
		source.SetMediaDown(convosotest.FaultResetEarly)
		onDisk(t, source, append(span, "--workers", "20")...).run().want(t, 3)
	})
	t.Run("host that is not allowed", func(t *testing.T) {
		source := simulate(t, config)
		a := onDisk(t, source, span...)
		cmd := a.command(t.Context(), "--allow-host", "*.convoso.com")
		for i, arg := range cmd.Args {
			if arg == source.MediaURL() {
				cmd.Args[i] = "*.convoso.com"
			}
		}
		r := a.finish(cmd, nil).want(t, 3)
		if r.summary.Rejected != 20 || source.Stats().Media.Requests != 0 {
			t.Errorf("%d rejected, %d media requests", r.summary.Rejected, source.Stats().Media.Requests)
		}
	})
}
