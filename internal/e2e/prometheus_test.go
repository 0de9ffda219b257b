//go:build prometheus

package e2e

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// These tests run Prometheus's own programs, which make test-prometheus installs.

func promtool(t *testing.T, stdin string, args ...string) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "promtool", args...)
	cmd.Stdin = strings.NewReader(stdin)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("promtool %s: %v\n%s\n%s", strings.Join(args, " "), err, out, stdin)
	}
}

func rulesFile(t *testing.T) string {
	t.Helper()
	path, err := filepath.Abs("../../deploy/alerts.yml")
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// TestAlertRules checks the printed rules, and runs their tests.
func TestAlertRules(t *testing.T) {
	t.Parallel()
	promtool(t, "", "check", "rules", rulesFile(t))
	promtool(t, "", "test", "rules", filepath.Join(filepath.Dir(rulesFile(t)), "alerts_test.yml"))
}

// TestMetricsText lints the metrics of a run, and of serve, with promtool.
func TestMetricsText(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "nightly.prom")
	a := onDisk(t, pingedAccount(t), "--start-time", daysAgo(7), "--end-time", daysAgo(7), "--metrics-file", path)
	a.run().want(t, 0)
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	promtool(t, string(text), "check", "metrics")

	ctx, cancel := context.WithCancel(t.Context())
	cmd := exec.CommandContext(ctx, binary, "serve", "--dest", a.dest, "--state-dir", a.state, "--listen", "127.0.0.1:0")
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		cancel()
		_ = cmd.Wait()
	}()
	address, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	var served string
	waitFor(t, func() bool {
		served, err = get(ctx, strings.TrimSpace(address)+"metrics")
		return err == nil
	})
	promtool(t, served, "check", "metrics")
	for _, line := range []string{`convoso_archiver_recordings{outcome="archived"} 20`, `convoso_archiver_dates{state="closed"} 1`} {
		if !strings.Contains(served, "\n"+line+"\n") {
			t.Errorf("serve does not say %s:\n%s", line, served)
		}
	}
}

func get(ctx context.Context, address string) (string, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return "", err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return "", err
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err == nil && response.StatusCode != http.StatusOK {
		err = fmt.Errorf("status %d", response.StatusCode)
	}
	return string(text), err
}

// TestNodeExporter collects the files of two archives in one folder, next to a partly written file of a killed
// run.
func TestNodeExporter(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	for _, name := range []string{"nightly", "quote\"d"} {
		path := filepath.Join(folder, name+".prom")
		onDisk(t, pingedAccount(t), "--start-time", daysAgo(7), "--end-time", daysAgo(7), "--metrics-file", path).run().want(t, 0)
	}
	if err := os.WriteFile(filepath.Join(folder, ".nightly.prom.123.tmp"), []byte("convoso_arch"), 0o600); err != nil {
		t.Fatal(err)
	}
	free, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := free.Addr().String()
	free.Close()
	ctx, cancel := context.WithCancel(t.Context())
	var talk bytes.Buffer
	cmd := exec.CommandContext(ctx, "prometheus-node-exporter", "--collector.disable-defaults", "--collector.textfile",
		"--collector.textfile.directory="+folder, "--web.listen-address="+address)
	cmd.Stdout, cmd.Stderr = &talk, &talk
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var text string
	waitFor(t, func() bool {
		text, err = get(ctx, "http://"+address+"/metrics")
		return err == nil
	})
	cancel()
	_ = cmd.Wait()
	for _, line := range []string{
		`node_textfile_scrape_error 0`, `convoso_archiver_last_run_exit_code{archive="nightly"} 0`, `convoso_archiver_last_run_exit_code{archive="quote\"d"} 0`,
		`convoso_archiver_recordings{archive="nightly",outcome="archived"} 20`,
	} {
		if !strings.Contains(text, "\n"+line+"\n") {
			t.Errorf("node_exporter does not say %s:\n%s\n%s", line, text, talk.String())
		}
	}
	for name := range metricsOf(t, filepath.Join(folder, "nightly.prom")) {
		name, _, _ = strings.Cut(name, "{")
		if !strings.Contains(text, "\n# TYPE convoso_archiver_"+name+" ") {
			t.Errorf("node_exporter does not have %s", name)
		}
	}
}

// TestAlertsOfFailingNights gives Prometheus the values of each failing night, and checks which alerts fire. Time
// starts at the end of the night; the next night fails in the same way.
func TestAlertsOfFailingNights(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	var tests strings.Builder
	t.Run("nights", func(t *testing.T) {
		for name, n := range nights() {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				text := alertTest(name, n, live(t, n), time.Now())
				mu.Lock()
				defer mu.Unlock()
				tests.WriteString(text)
			})
		}
	})
	path := filepath.Join(t.TempDir(), "nights_test.yml")
	text := "rule_files: [" + rulesFile(t) + "]\nevaluation_interval: 15m\ntests:\n" + tests.String()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	promtool(t, "", "test", "rules", path)
}

// alertTest is promtool's test of one night.
func alertTest(name string, n night, values map[string]float64, now time.Time) string {
	var b strings.Builder
	fmt.Fprintf(&b, "  - name: %s\n    interval: 5m\n    input_series:\n", name)
	for _, series := range slices.Sorted(maps.Keys(values)) {
		value, metric, labels := values[series], series, ""
		if i := strings.IndexByte(series, '{'); i > 0 {
			metric, labels = series[:i], ","+series[i+1:len(series)-1]
		}
		if strings.HasSuffix(metric, "_timestamp_seconds") {
			value -= float64(now.Unix())
		}
		next := value
		if n.starts && (metric == "last_run_timestamp_seconds" || metric == "last_finished_timestamp_seconds" && n.code == 3) {
			next += 86400
		}
		fmt.Fprintf(&b, "      - series: 'convoso_archiver_%s{job=\"node\",instance=\"a:9100\",archive=\"nightly\"%s}'\n        values: '%gx287 %gx287'\n", metric, labels, value, next)
	}
	b.WriteString("    promql_expr_test:\n")
	for at, alerts := range map[string][]string{"2h": n.soon, "27h": n.tomorrow} {
		fmt.Fprintf(&b, "      - expr: count by (alertname) (ALERTS{alertstate=\"firing\"})\n        eval_time: %s\n        exp_samples:\n", at)
		for _, alert := range alerts {
			fmt.Fprintf(&b, "          - {labels: '{alertname=\"ConvosoArchiver%s\"}', value: 1}\n", alert)
		}
	}
	return b.String()
}
