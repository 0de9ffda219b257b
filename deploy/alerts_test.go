package deploy

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

// TestAlerts: every alert says how urgent it is, what is wrong, and what to do; docs/operate.md lists it, and its tests
// make it fire. make test-prometheus tests the expressions.
func TestAlerts(t *testing.T) {
	var rules struct {
		Groups []struct {
			Rules []struct {
				Alert, Expr         string
				Labels, Annotations map[string]string
			}
		}
	}
	if err := yaml.Unmarshal([]byte(Alerts()), &rules); err != nil {
		t.Fatal(err)
	}
	if len(rules.Groups) != 1 || len(rules.Groups[0].Rules) < 10 {
		t.Fatalf("%d groups", len(rules.Groups))
	}
	page, err := os.ReadFile(filepath.Join("..", "docs", "operate.md"))
	if err != nil {
		t.Fatal(err)
	}
	tests, err := os.ReadFile("alerts_test.yml")
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range rules.Groups[0].Rules {
		if !strings.HasPrefix(r.Alert, "ConvosoArchiver") || r.Expr == "" || r.Annotations["summary"] == "" || len(r.Annotations["description"]) < 60 {
			t.Errorf("%s is not whole: %+v", r.Alert, r)
		}
		if severity := r.Labels["severity"]; severity != "page" && severity != "ticket" {
			t.Errorf("%s has severity %q", r.Alert, severity)
		}
		if !strings.Contains(string(page), "| `"+r.Alert+"` | "+r.Labels["severity"]+" |") {
			t.Errorf("docs/operate.md does not list %s, %s", r.Alert, r.Labels["severity"])
		}
		if !strings.Contains(string(tests), `alertname="`+r.Alert+`"`) {
			t.Errorf("no test has %s fire", r.Alert)
		}
	}
}
