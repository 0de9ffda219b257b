package e2e

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"convoso-archiver/evidence"
	"convoso-archiver/internal/tsatest"
)

// TestSealStamped seals while the authority is unavailable, and the next run stamps the seal.
func TestSealStamped(t *testing.T) {
	for _, where := range []string{"disk", "s3"} {
		t.Run(where, func(t *testing.T) {
			t.Parallel()
			server := threeDays(t, 86)
			a := onDisk(t, server)
			if where == "s3" {
				a = onS3(t, server, false).archive
			}
			a.run("--start-time", daysAgo(10), "--end-time", daysAgo(8)).want(t, 0)
			key, allowed := sealKey(t)
			tsa := tsatest.Start(t)
			const password = "pass-word-of-tsa"
			r := a.other(3, "seal", "--key", key, "--tsa", "http://user:"+password+"@127.0.0.1:1/")
			if !strings.Contains(r.stdout, "sealed: 3 days") || !strings.Contains(r.stdout, "NO TIMESTAMP 1 seal; the next seal --tsa tries again") || strings.Contains(r.stdout+r.stderr, password) {
				t.Errorf("without its authority: %s%s", r.stdout, r.stderr)
			}
			if got := a.audit(0, "--allowed-signers", allowed, "--tsa-roots", tsa.Roots); got.Stamped != 0 || got.Found != 0 {
				t.Errorf("without a stamp: %+v", got)
			}
			var made evidence.Sealed
			if err := json.Unmarshal([]byte(a.other(0, "seal", "--json", "--key", key, "--tsa", tsa.URL).stdout), &made); err != nil || made.New || made.Stamped != 1 {
				t.Errorf("%+v, %v", made, err)
			}
			if got := a.audit(0, "--allowed-signers", allowed, "--tsa-roots", tsa.Roots); got.Stamped != 1 || !got.TSAChecked {
				t.Errorf("%+v", got)
			}
			if got := a.audit(4, "--allowed-signers", allowed, "--tsa-roots", tsatest.Start(t).Roots); got.Found != 1 || got.Findings[0].Kind != evidence.UnknownTSA {
				t.Errorf("another authority: %+v", got)
			}
			dir := filepath.Join(t.TempDir(), "bag")
			a.bag(0, dir, "--start-time", daysAgo(9), "--end-time", daysAgo(9))
			if _, err := os.Stat(filepath.Join(dir, "data", "seals", "000001.tsr")); err != nil {
				t.Error(err)
			}
			for flag, value := range map[string]string{"--tsa": "timestamp.example.com", "--tsa-roots": key} {
				command := map[string]string{"--tsa": "seal", "--tsa-roots": "audit"}[flag]
				args := map[string][]string{"seal": {"--key", key}, "audit": {"--seals", "--allowed-signers", allowed}}[command]
				if r := a.other(2, command, append(args, flag, value)...); !strings.Contains(r.stderr, flag+": ") {
					t.Errorf("%s %s: %s", flag, value, r.stderr)
				}
			}
		})
	}
}
