package engines

import (
	"os/exec"
	"slices"
	"strings"
	"testing"
)

func TestSlurm(t *testing.T) {
	arguments := []string{"slurm", "--dest", "s3://my-bucket/calls", "--start-time", "2023-01-01", "--auth-token-file", "/home/me/token"}
	for name, more := range map[string][]string{
		"plain": nil, "all": append(awkward(), "--parallelism", "16", "--s3-credentials-file", "/home/me/.aws/credentials", "--program", "/opt/convoso-archiver"),
	} {
		t.Run(name, func(t *testing.T) {
			checkShell(t, deploy(t, slices.Concat(arguments, more)...)["convoso-archiver-backfill.sh"])
		})
	}
}

// checkShell checks a script with its shell, and with shellcheck. A value in single quotes is
// intentionally not expanded (SC2016).
func checkShell(t *testing.T, text string) {
	t.Helper()
	shell := "sh"
	if strings.HasPrefix(text, "#!/bin/bash\n") {
		shell = "bash"
	}
	for _, command := range [][]string{{shell, "-n", "/dev/stdin"}, {need(t, "shellcheck", "shellcheck"), "--shell=" + shell, "--exclude=SC2016", "-"}} {
		cmd := exec.CommandContext(t.Context(), command[0], command[1:]...)
		cmd.Stdin = strings.NewReader(text)
		if out, err := cmd.CombinedOutput(); err != nil || len(out) > 0 {
			t.Errorf("%s: %v\n%s\n%s", command[0], err, out, text)
		}
	}
}
