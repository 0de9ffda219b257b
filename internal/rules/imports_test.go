package rules

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

const module = "convoso-archiver"

// mayImport names, for each package, the module's other packages that its own code may import;
// tests are free. A package that is missing here fails the test, so that a new package must be
// added.
//
//	main -> internal/cli -> archiver -> fetcher, manifest, archiver/store
var mayImport = map[string][]string{
	"":                         {"internal/cli"},
	"internal/cli":             {"archiver", "archiver/key", "archiver/store", "archiver/verify", "deploy", "evidence", "fetcher", "fetcher/convosotest", "internal/doctor", "internal/metrics", "internal/ping", "internal/schedule", "internal/web", "manifest", "manifest/report", "search", "search/bag", "search/copier", "search/export"},
	"archiver":                 {"archiver/audio", "archiver/key", "archiver/store", "fetcher", "manifest"},
	"archiver/audio":           {},
	"archiver/key":             {},
	"archiver/store":           {},
	"archiver/store/storetest": {"archiver/store"},
	"archiver/verify":          {"archiver/store", "internal/retry", "manifest"},
	"deploy":                   {},
	"evidence":                 {"archiver/key", "archiver/store", "fetcher", "internal/retry", "manifest"},
	"fetcher":                  {"internal/retry", "internal/schedule"},
	"fetcher/convosotest":      {}, // independent of the client, so as not to share its misconceptions
	"manifest":                 {},
	"manifest/report":          {"manifest"},
	"search":                   {"fetcher", "manifest"},
	"search/bag":               {"archiver/key", "manifest", "search", "search/copier"},
	"search/copier":            {"archiver/key", "manifest", "search"},
	"search/export":            {"fetcher", "manifest", "search"},
	"internal/retry":           {},
	"internal/bench":           {"archiver", "fetcher", "fetcher/convosotest", "manifest", "search"},
	"internal/cases":           {},
	"internal/doctor":          {"archiver", "archiver/audio", "archiver/store", "fetcher", "manifest"},
	"internal/container":       {},
	"internal/e2e":             {},
	"internal/metrics":         {},
	"internal/enginetest":      {"archiver/store", "fetcher", "fetcher/convosotest", "internal/s3test", "manifest"},
	"internal/mutate":          {},
	"internal/ping":            {"internal/retry"},
	"internal/readme":          {},
	"internal/rules":           {},
	"internal/s3servers":       {},
	"internal/schedule":        {},
	"internal/slurm":           {},
	"internal/s3test":          {},
	"internal/tsatest":         {},
	"internal/wave":            {},
	"internal/web":             {"archiver/audio", "fetcher", "internal/metrics", "internal/wave", "manifest", "manifest/report", "search"},
	"internal/web/webtest":     {"archiver", "archiver/store", "manifest"},
}

// mayImportTesting lists the test helper packages that are not in the program.
var mayImportTesting = []string{"archiver/store/storetest", "internal/enginetest", "internal/s3test", "internal/tsatest"}

// owners names, for each library, the packages whose own code may import it. A library that is
// missing here fails the test; docs/decisions.md has the reason for each.
var owners = map[string][]string{
	"code.dny.dev/ssrf":            {"fetcher"},
	"github.com/aws/":              {"archiver/store", "internal/bench", "internal/s3test"},
	"github.com/cenkalti/backoff/": {"internal/retry"},
	"github.com/gofrs/flock":       {"manifest", "search", "search/bag", "search/copier"},
	"github.com/hiddeco/sshsig":    {"evidence"},
	"github.com/lmittmann/tint":    {"internal/cli"},
	"github.com/notaryproject/":    {"evidence"},
	"github.com/parquet-go/":       {"search/export"},
	"github.com/urfave/cli/":       {"internal/cli"},
	"github.com/vbauerster/":       {"internal/cli"}, // mpb and the writer beneath it
	"go.yaml.in/yaml/":             {"internal/cli"},
	"golang.org/x/sync/":           {"archiver", "archiver/verify", "evidence", "internal/bench", "manifest", "search"},
	"golang.org/x/crypto/":         {"evidence", "internal/cli", "internal/web"}, // SSH keys, hashes of passwords and of numbers
	"golang.org/x/sys/":            {"archiver/store"},
	"golang.org/x/term":            {"internal/cli"},
	"golang.org/x/text/":           {"search"},
	"golang.org/x/time/":           {"fetcher"},
	"modernc.org/sqlite":           {"search"},
}

func TestImports(t *testing.T) {
	for _, p := range listPackages(t) {
		for _, broken := range checkImports(p.path, p.imports()) {
			t.Error(broken)
		}
	}
}

// The program must not contain Go's test packages, although it contains the simulator.
func TestProgramHasNoTestCode(t *testing.T) {
	for _, path := range strings.Fields(goList(t, "-deps", ".")) {
		if path == "testing" || strings.HasPrefix(path, "testing/") || strings.HasSuffix(path, "/storetest") {
			t.Errorf("the program depends on %s", path)
		}
	}
}

func TestCheckImports(t *testing.T) {
	for _, c := range []struct {
		from, to string
		broken   string // part of the finding, "" for none
	}{
		{"", module + "/internal/cli", ""},
		{"", module + "/archiver", "must not import archiver"},
		{"archiver", module + "/fetcher", ""},
		{"archiver", module + "/internal/cli", "must not import internal/cli"},
		{"fetcher", module + "/manifest", "must not import manifest"},
		{"manifest", module + "/archiver/store", "must not import archiver/store"},
		{"archiver/store", module + "/fetcher", "must not import fetcher"},
		{"fetcher/convosotest", module + "/fetcher", "must not import fetcher"},
		{"fetcher/convosotest", "testing", "must not import testing"},
		{"archiver/store/storetest", "testing", ""},
		{"archiver/store", "github.com/aws/aws-sdk-go-v2/service/s3", ""},
		{"manifest", "github.com/aws/aws-sdk-go-v2/service/s3", "must not import github.com/aws/"},
		{"archiver", "github.com/cenkalti/backoff/v4", "must not import github.com/cenkalti/backoff/"},
		{"archiver", "github.com/urfave/cli/v2", "must not import github.com/urfave/cli/"},
		{"archiver", "example.com/novelty", "has no owner"},
		{"archiver", "net/http", ""},
		{"novelty", "net/http", "has no place"},
	} {
		got := strings.Join(checkImports(c.from, []string{c.to}), "\n")
		if c.broken == "" && got != "" || !strings.Contains(got, c.broken) {
			t.Errorf("%q imports %q: got %q, want %q", c.from, c.to, got, c.broken)
		}
	}
}

// checkImports returns the violations in the imports of a package, whose path is relative to the
// module's.
func checkImports(from string, imports []string) []string {
	allowed, placed := mayImport[from]
	if !placed {
		return []string{fmt.Sprintf("%s has no place in mayImport: say what it may import", from)}
	}
	var broken []string
	for _, to := range imports {
		local, isLocal := strings.CutPrefix(to, module+"/")
		switch {
		case isLocal && !slices.Contains(allowed, local):
			broken = append(broken, fmt.Sprintf("%s must not import %s", display(from), local))
		case isLocal:
		case isStandard(to):
			if to == "testing" && !slices.Contains(mayImportTesting, from) {
				broken = append(broken, fmt.Sprintf("%s must not import testing outside of its tests", display(from)))
			}
		default:
			library, owned := owner(to)
			if !owned {
				broken = append(broken, fmt.Sprintf("%s, which %s imports, has no owner: name it in owners and say in docs/decisions.md why it is needed", to, display(from)))
			} else if !slices.Contains(owners[library], from) {
				broken = append(broken, fmt.Sprintf("%s must not import %s: only %v may", display(from), library, owners[library]))
			}
		}
	}
	return broken
}

func owner(path string) (library string, ok bool) {
	for library := range maps.Keys(owners) {
		if strings.HasPrefix(path+"/", strings.TrimSuffix(library, "/")+"/") {
			return library, true
		}
	}
	return "", false
}

// isStandard reports whether path is in the standard library: its first part has no dot.
func isStandard(path string) bool {
	first, _, _ := strings.Cut(path, "/")
	return !strings.Contains(first, ".")
}

func display(from string) string {
	if from == "" {
		return "main"
	}
	return from
}

// TestLinterHasTheSameRules compares the rules of the linter, which an editor shows, with the
// tables: for each package with non-test code the permitted imports, for each library its owners.
func TestLinterHasTheSameRules(t *testing.T) {
	var config struct {
		Linters struct {
			Settings struct {
				Depguard struct {
					Rules map[string]struct {
						Files, Allow []string
						Deny         []struct{ Pkg string }
					}
				}
			}
		}
	}
	if err := yaml.Unmarshal([]byte(readOfModule(t, ".golangci.yml")), &config); err != nil {
		t.Fatal(err)
	}
	got := map[string]string{}
	for _, rule := range config.Linters.Settings.Depguard.Rules {
		slices.Sort(rule.Files)
		slices.Sort(rule.Allow)
		for _, denied := range rule.Deny {
			got[denied.Pkg+" in "+strings.Join(rule.Files, " ")] = strings.Join(rule.Allow, " ")
		}
	}
	files := func(prefix string, packages ...string) string {
		patterns := []string{"!$test"}
		for _, p := range packages {
			patterns = append(patterns, prefix+strings.ReplaceAll("${config-path}/"+p+"/*.go", "//", "/"))
		}
		slices.Sort(patterns)
		return strings.Join(patterns, " ")
	}
	want := map[string]string{"testing in " + files("", "fetcher/convosotest"): ""}
	for _, p := range listPackages(t) {
		if !slices.ContainsFunc(p.files, func(f source) bool { return !f.test && !strings.HasSuffix(f.name, "doc.go") }) {
			continue
		}
		allowed := []string{}
		for _, to := range mayImport[p.path] {
			allowed = append(allowed, module+"/"+to+"$")
		}
		slices.Sort(allowed)
		want[module+" in "+files("", p.path)] = strings.Join(allowed, " ")
	}
	for library, packages := range owners {
		want[strings.TrimSuffix(library, "/")+" in "+files("!", packages...)] = ""
	}
	for rule, allowed := range want {
		if has, there := got[rule]; !there || has != allowed {
			t.Errorf(".golangci.yml: %s: allows %q, want %q (there: %v)", rule, has, allowed, there)
		}
	}
	for rule := range got {
		if _, wanted := want[rule]; !wanted {
			t.Errorf(".golangci.yml: %s: no such rule in mayImport or owners", rule)
		}
	}
}
