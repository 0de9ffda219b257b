package rules

import (
	"encoding/json"
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// pkg is one package of the module with all its files, including those of other systems.
type pkg struct {
	path  string // without the module's path
	files []source
}

// source is one parsed file.
type source struct {
	name   string // relative to the module's root
	test   bool   // ends in _test.go
	lines  int
	set    *token.FileSet
	syntax *ast.File
}

// listNested reads the packages of modules within the module, which go list omits. The source rules apply to them too.
func listNested(t *testing.T) []pkg {
	t.Helper()
	var packages []pkg
	for _, folder := range []string{"internal/browser", "internal/engines", "internal/kubernetes", "internal/release"} {
		p := pkg{path: folder}
		names, err := filepath.Glob(filepath.Join("..", "..", filepath.FromSlash(folder), "*.go"))
		if err != nil || len(names) == 0 {
			t.Fatalf("%s holds no Go: %v", folder, err)
		}
		for _, name := range names {
			text, err := os.ReadFile(name)
			if err != nil {
				t.Fatal(err)
			}
			file, err := parse(folder+"/"+filepath.Base(name), text)
			if err != nil {
				t.Fatal(err)
			}
			p.files = append(p.files, file)
		}
		packages = append(packages, p)
	}
	return packages
}

// listPackages returns every package of the module.
func listPackages(t *testing.T) []pkg {
	t.Helper()
	var packages []pkg
	// -e: a package that does not compile on this system still has its files read.
	for decoder := json.NewDecoder(strings.NewReader(goList(t, "-e", "-json", "./..."))); ; {
		var listed struct {
			Dir, ImportPath                                              string
			GoFiles, IgnoredGoFiles, TestGoFiles, XTestGoFiles, CgoFiles []string
		}
		err := decoder.Decode(&listed)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatalf("read the answer of go list: %v", err)
		}
		p := pkg{path: strings.TrimPrefix(strings.TrimPrefix(listed.ImportPath, module), "/")}
		for _, name := range slices.Concat(listed.GoFiles, listed.IgnoredGoFiles, listed.TestGoFiles, listed.XTestGoFiles, listed.CgoFiles) {
			text, err := os.ReadFile(filepath.Join(listed.Dir, name))
			if err != nil {
				t.Fatal(err)
			}
			file, err := parse(filepath.ToSlash(filepath.Join(p.path, name)), text)
			if err != nil {
				t.Fatal(err)
			}
			p.files = append(p.files, file)
		}
		packages = append(packages, p)
	}
	const fewest = 5 // guards against a nearly empty list
	if len(packages) < fewest {
		t.Fatalf("go list named %d packages", len(packages))
	}
	return packages
}

func parse(name string, text []byte) (source, error) {
	set := token.NewFileSet()
	syntax, err := parser.ParseFile(set, name, text, parser.ParseComments)
	if err != nil {
		return source{}, fmt.Errorf("parse source: %w", err)
	}
	return source{
		name:   name,
		test:   strings.HasSuffix(name, "_test.go"),
		lines:  strings.Count(string(text), "\n"),
		set:    set,
		syntax: syntax,
	}, nil
}

func (f source) importsTesting() bool {
	return slices.ContainsFunc(f.syntax.Imports, func(spec *ast.ImportSpec) bool {
		return spec.Path.Value == `"testing"`
	})
}

// imports returns what the package's own code imports, on any system, without duplicates and
// without imports of tests.
func (p pkg) imports() []string {
	var paths []string
	for _, file := range p.files {
		if file.test {
			continue
		}
		for _, spec := range file.syntax.Imports {
			path, err := strconv.Unquote(spec.Path.Value)
			if err == nil && !slices.Contains(paths, path) {
				paths = append(paths, path)
			}
		}
	}
	return paths
}

// goList runs go list in the module's root.
func goList(t *testing.T, arguments ...string) string {
	t.Helper()
	command := exec.CommandContext(t.Context(), "go", append([]string{"list"}, arguments...)...)
	command.Dir = "../.."
	var complaint strings.Builder
	command.Stderr = &complaint
	out, err := command.Output()
	if err != nil {
		t.Fatalf("go list: %v\n%s", err, complaint.String())
	}
	return string(out)
}
