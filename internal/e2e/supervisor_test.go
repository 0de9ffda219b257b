package e2e

import (
	"strings"
	"testing"
)

// TestAuditRefusesASpan: a chain of seals is checked whole, and so is a history; days in the file are of archive.
func TestAuditRefusesASpan(t *testing.T) {
	t.Parallel()
	a := onDisk(t, threeDays(t, 90))
	a.run("--start-time", daysAgo(10), "--end-time", daysAgo(8)).want(t, 0)
	key, allowed := sealKey(t)
	a.seal(key)
	for _, span := range []string{"--start-time=" + daysAgo(9), "--end-time=" + daysAgo(9), "--last=7d"} {
		name, _, _ := strings.Cut(span, "=")
		said := a.other(2, "audit", "--seals", "--allowed-signers", allowed, span)
		wantSaid(t, said.stderr, name+" is for --access-log; --seals always checks the whole chain of seals")
		if strings.Count(said.stderr, "\n") != 1 || said.stdout != "" {
			t.Errorf("it is not one line: %s%s", said.stderr, said.stdout)
		}
		wantSaid(t, a.other(2, "audit", "1234", span).stderr, name+" is for --access-log; a history is always whole")
	}
	a.env = append(a.env, "CONVOSO_ARCHIVER_LAST=7d")
	a.other(0, "audit", "--seals", "--allowed-signers", allowed)
}

// TestVerifyOfNoDay: a span without any day is not intact.
func TestVerifyOfNoDay(t *testing.T) {
	t.Parallel()
	a := onDisk(t, threeDays(t, 91))
	a.run("--start-time", daysAgo(10), "--end-time", daysAgo(8)).want(t, 0)
	said := a.other(3, "verify", "--start-time", "2020-05-01", "--end-time", "2020-05-31").stdout
	wantSaid(t, said, "nothing to verify: the archive has no day (2020-05-01 to 2020-05-31); report shows which days it has\n", "exit code   3   nothing was verified\n")
	wantSaid(t, a.other(3, "verify", "--json", "--last", "1d").stdout, `"exit_code":3`, `"answer":"nothing to verify: `)
	a.other(0, "verify", "--start-time", daysAgo(10), "--end-time", "2030-01-01")
}
