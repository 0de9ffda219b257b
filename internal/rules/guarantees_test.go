package rules

import (
	"fmt"
	"go/ast"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// guaranteesPage says, for each guarantee, which tests fail when it is broken.
const guaranteesPage = "docs/guarantees.md"

// TestGuarantees compares the page with the source: every test, fuzz target and make target on it
// exists, and every row names a test.
func TestGuarantees(t *testing.T) {
	page := readOfModule(t, guaranteesPage)
	for _, broken := range checkGuarantees(page, testsOf(append(listPackages(t), listNested(t)...)), makeTargets(readOfModule(t, "Makefile"))) {
		t.Error(broken)
	}
	const fewest = 40 // guards against unrecognised tables
	if n := len(guaranteeRows(page)); n < fewest {
		t.Errorf("%s has %d rows", guaranteesPage, n)
	}
}

func TestCheckGuarantees(t *testing.T) {
	tests := map[string]map[string]bool{"a": {"TestX": true, "FuzzY": true}, "a/b": {"TestZ": true}}
	targets := map[string]bool{"test": true}
	for name, c := range map[string]struct{ row, broken string }{
		"all is well":        {"`a` TestX, FuzzY; `a/b` TestZ", ""},
		"with a remark":      {"`a` TestX (twice), and more", ""},
		"a make target":      {"`a` TestX; `make test`", ""},
		"no such test":       {"`a` TestX, TestQ", "no TestQ in a"},
		"in another package": {"`a` TestX; `a/b` FuzzY", "no FuzzY in a/b"},
		"without a package":  {"TestX", "no package before TestX"},
		"no such package":    {"`c` TestX", "no package c"},
		"no such target":     {"`a` TestX; `make tea`", "no make target tea"},
		"no test":            {"believe it", "names no test"},
	} {
		t.Run(name, func(t *testing.T) {
			page := "Run `make test`.\n\n| promise | kept by | tests |\n|---|---|---|\n| it holds | care | " + c.row + " |\n"
			broken := checkGuarantees(page, tests, targets)
			if c.broken == "" && len(broken) > 0 {
				t.Errorf("found %q in a page without fault", broken)
			}
			if c.broken != "" && (len(broken) != 1 || !strings.Contains(broken[0], c.broken)) {
				t.Errorf("found %q, want one that says %q", broken, c.broken)
			}
		})
	}
}

// checkGuarantees returns the false statements of the page. tests are the names of tests by
// package.
func checkGuarantees(page string, tests map[string]map[string]bool, targets map[string]bool) []string {
	var broken []string
	for _, target := range regexp.MustCompile("`make ([a-z0-9-]+)").FindAllStringSubmatch(page, -1) {
		if !targets[target[1]] {
			broken = append(broken, "no make target "+target[1])
		}
	}
	names := regexp.MustCompile("`([^`]+)`|\\b(?:Test|Fuzz)[A-Z]\\w*")
	for _, row := range guaranteeRows(page) {
		report := func(format string, a ...any) {
			broken = append(broken, fmt.Sprintf("%s: %q: %s", guaranteesPage, row[0], fmt.Sprintf(format, a...)))
		}
		in, named := "", 0
		for _, found := range names.FindAllStringSubmatch(row[len(row)-1], -1) {
			switch {
			case strings.HasPrefix(found[1], "make "):
			case found[1] != "":
				in = found[1]
				if tests[in] == nil {
					report("no package %s with tests", in)
				}
			case in == "":
				report("no package before %s", found[0])
			case tests[in] != nil && !tests[in][found[0]]:
				report("no %s in %s", found[0], in)
			}
			if found[1] == "" {
				named++
			}
		}
		if named == 0 {
			report("names no test")
		}
	}
	return broken
}

// guaranteeRows returns the cells of the rows of the page's tables, without their
// heads.
func guaranteeRows(page string) [][]string {
	var rows [][]string
	for line := range strings.Lines(page) {
		line = strings.TrimSpace(line)
		if !strings.HasPrefix(line, "|") || strings.HasPrefix(line, "|---") {
			continue
		}
		cells := strings.Split(strings.Trim(line, "|"), "|")
		for i := range cells {
			cells[i] = strings.TrimSpace(cells[i])
		}
		if cells[0] != "promise" {
			rows = append(rows, cells)
		}
	}
	return rows
}

// testsOf returns the names of the tests and fuzz targets of each package, including those of other
// systems.
func testsOf(packages []pkg) map[string]map[string]bool {
	tests := map[string]map[string]bool{}
	for _, p := range packages {
		for _, file := range p.files {
			if !file.test {
				continue
			}
			for _, declared := range file.syntax.Decls {
				function, ok := declared.(*ast.FuncDecl)
				if !ok || function.Recv != nil || !strings.HasPrefix(function.Name.Name, "Test") && !strings.HasPrefix(function.Name.Name, "Fuzz") {
					continue
				}
				if tests[p.path] == nil {
					tests[p.path] = map[string]bool{}
				}
				tests[p.path][function.Name.Name] = true
			}
		}
	}
	return tests
}

// makeTargets returns the targets for people.
func makeTargets(makefile string) map[string]bool {
	targets := map[string]bool{}
	for _, target := range regexp.MustCompile(`(?m)^([a-z0-9-]+):`).FindAllStringSubmatch(makefile, -1) {
		targets[target[1]] = true
	}
	return targets
}

// readOfModule reads a file by its path relative to the module's root.
func readOfModule(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("../..", filepath.FromSlash(name)))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
