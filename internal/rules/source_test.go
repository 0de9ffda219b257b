package rules

import (
	"errors"
	"fmt"
	"go/ast"
	"go/token"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

// longestFile is the maximum number of lines. A longer file has a second subject, which should be a
// separate file.
const longestFile = 500

func TestSource(t *testing.T) {
	for _, p := range append(listPackages(t), listNested(t)...) {
		for _, broken := range checkPackage(p) {
			t.Error(broken)
		}
	}
}

// TestNoConflictMarks: no file contains the marks of a merge that was not finished.
func TestNoConflictMarks(t *testing.T) {
	grep := exec.Command("git", "grep", "-lE", "^(<<<<<<<|>>>>>>>) ", "--", ":/")
	out, err := grep.Output()
	failed, ok := errors.AsType[*exec.ExitError](err)
	if files := string(out); files != "" || !ok || failed.ExitCode() != 1 {
		t.Errorf("%v: files with marks: %s", err, files)
	}
}

func TestCheckPackage(t *testing.T) {
	const head = "// Package sample is a sample.\npackage sample\n\n"
	for name, c := range map[string]struct {
		file, text string
		broken     string // part of the only finding, "" for none
	}{
		"all is well":            {"a.go", head + "// F does.\nfunc F() {}\n\nfunc g() {}\n", ""},
		"no package comment":     {"a.go", "package sample\n", "has no comment"},
		"comment of another":     {"a.go", "// Package other is.\npackage sample\n", "has no comment"},
		"a test package":         {"a_test.go", "package sample_test\n", "has no comment"},
		"a commented one":        {"a_test.go", "// Package sample tests.\npackage sample_test\n", ""},
		"a program":              {"main.go", "// Sample archives.\npackage main\n", ""},
		"a bare program":         {"main.go", "package main\n", "has no comment"},
		"init":                   {"a.go", head + "func init() {}\n", "a.go:4: func init"},
		"a method init":          {"a.go", head + "type t struct{}\n\nfunc (t) init() {}\n", ""},
		"init in a test":         {"a_test.go", head + "func init() {}\n", "func init"},
		"global logger":          {"a.go", head + "import \"log/slog\"\n\nvar l = slog.Default()\n", "slog.Default"},
		"global log call":        {"a.go", head + "import \"log/slog\"\n\nfunc f() { slog.Info(\"x\") }\n", "slog.Info"},
		"a logger passed in":     {"a.go", head + "import \"log/slog\"\n\nfunc f(log *slog.Logger) { log.Info(\"x\") }\n", ""},
		"bare function":          {"a.go", head + "func F() {}\n", "F has no comment"},
		"bare method":            {"a.go", head + "// T is.\ntype T struct{}\n\nfunc (t *T) M() {}\n", "T.M has no comment"},
		"method of hidden type":  {"a.go", head + "type t struct{}\n\nfunc (t) M() {}\n", ""},
		"method of generic type": {"a.go", head + "// T is.\ntype T[E any] struct{}\n\nfunc (T[E]) M() {}\n", "T.M has no comment"},
		"bare type":              {"a.go", head + "type T struct{}\n", "T has no comment"},
		"bare constant":          {"a.go", head + "const C = 1\n", "C has no comment"},
		"group of constants":     {"a.go", head + "// The sizes.\nconst (\n\tA = 1\n\tB = 2\n)\n", ""},
		"comment at the end":     {"a.go", head + "var E = 1 // the one\n", ""},
		"bare name in a test":    {"a_test.go", head + "func F() {}\n", ""},
		"500 lines":              {"a.go", head + strings.Repeat("\n", 497), ""},
		"501 lines":              {"a.go", head + strings.Repeat("\n", 498), "has 501 lines"},
		"a long test":            {"a_test.go", head + strings.Repeat("\n", 498), ""},
		"a method Skip":          {"a.go", head + "func f(s interface{ Skip() }) { s.Skip() }\n", ""},
		"unreasoned skip":        {"a_test.go", head + "import \"testing\"\n\nfunc TestX(t *testing.T) { t.Skip() }\n", "Skip"},
		"skip of an input": {"a_test.go", head + "import \"testing\"\n\n" +
			"func FuzzX(f *testing.F) {\n\tf.Fuzz(func(t *testing.T, n int) { t.Skip() })\n}\n", ""},
		"skip for want of S3": {"a_test.go", head + "import (\n\t\"os\"\n\t\"testing\"\n)\n\n" +
			"func TestX(t *testing.T) {\n\tif os.Getenv(\"REQUIRE_S3\") == \"\" {\n\t\tt.Skip()\n\t}\n}\n", ""},
		"skip on a system": {"a_test.go", head + "import (\n\t\"runtime\"\n\t\"testing\"\n)\n\n" +
			"func TestX(t *testing.T) {\n\tif runtime.GOOS == \"windows\" {\n\t\tt.Skip()\n\t}\n}\n", ""},
	} {
		t.Run(name, func(t *testing.T) {
			file, err := parse(c.file, []byte(c.text))
			if err != nil {
				t.Fatal(err)
			}
			broken := checkPackage(pkg{path: "sample", files: []source{file}})
			if c.broken == "" && len(broken) > 0 {
				t.Errorf("found %q in a file without fault", broken)
			}
			if c.broken != "" && (len(broken) != 1 || !strings.Contains(broken[0], c.broken)) {
				t.Errorf("found %q, want one that says %q", broken, c.broken)
			}
		})
	}
}

func TestSaysItsPurpose(t *testing.T) {
	for text, want := range map[string]bool{
		"// Package sample is a sample.\npackage sample\n":                 true,
		"// Package sample is a sample:\n//\n//   - one\npackage sample\n": true,
		"// Opens samples.\n\npackage sample\n":                            true,
		"//go:build linux\n\n// Opens samples.\n\npackage sample\n":        true,
		"// Opens samples.\n//\n// It is slow\n\npackage sample\n":         true,
		"// Opens samples\n\npackage sample\n":                             false,
		"//go:build linux\n\npackage sample\n":                             false,
		"package sample\n\n// Sample is a sample.\ntype Sample struct{}\n": false,
		"package sample\n": false,
		"//go:generate sample\n\npackage sample // Opens samples.\n\nvar x int\n": false,
	} {
		file, err := parse("a.go", []byte(text))
		if err != nil {
			t.Fatal(err)
		}
		if got := saysItsPurpose(file); got != want {
			t.Errorf("%q: %v", text, got)
		}
	}
}

// checkPackage returns the violations in the files of a package.
func checkPackage(p pkg) []string {
	var broken []string
	isCommented := slices.ContainsFunc(p.files, hasPackageComment)
	if !isCommented {
		broken = append(broken, fmt.Sprintf("package %s has no comment that begins with its name", display(p.path)))
	}
	for _, file := range p.files {
		report := func(at token.Pos, format string, a ...any) {
			line := file.set.Position(at).Line
			broken = append(broken, fmt.Sprintf("%s:%d: %s", file.name, line, fmt.Sprintf(format, a...)))
		}
		if isCommented && !file.test && !saysItsPurpose(file) {
			broken = append(broken, fmt.Sprintf("%s does not begin with a comment that says in a sentence what the file is for", file.name))
		}
		if !file.test && file.lines > longestFile {
			broken = append(broken, fmt.Sprintf("%s has %d lines, more than %d", file.name, file.lines, longestFile))
		}
		for _, declaration := range file.syntax.Decls {
			checkInit(declaration, report)
			if file.importsTesting() {
				checkSkips(declaration, report)
			}
			if !file.test && file.syntax.Name.Name != "main" {
				checkComments(declaration, report)
			}
		}
		checkLoggers(file.syntax, report)
	}
	return broken
}

type reporter func(at token.Pos, format string, a ...any)

func hasPackageComment(file source) bool {
	text := file.syntax.Doc.Text()
	name := file.syntax.Name.Name
	if name == "main" {
		return text != ""
	}
	return strings.HasPrefix(text, "Package "+strings.TrimSuffix(name, "_test")+" ")
}

// saysItsPurpose reports whether a comment before the package clause begins with a sentence, or with the start of a list.
func saysItsPurpose(file source) bool {
	for _, comment := range file.syntax.Comments {
		if comment.Pos() > file.syntax.Package {
			return false
		}
		first, _, _ := strings.Cut(comment.Text(), "\n\n") // Text leaves directives out
		if first = strings.TrimSpace(first); first != "" {
			return strings.HasSuffix(first, ".") || strings.HasSuffix(first, ":")
		}
	}
	return false
}

func checkInit(declaration ast.Decl, report reporter) {
	if f, ok := declaration.(*ast.FuncDecl); ok && f.Recv == nil && f.Name.Name == "init" {
		report(f.Pos(), "func init: nothing may run before main")
	}
}

// checkSkips requires a function that skips a test to check a permitted condition: the system, -short, or one
// of the variables REQUIRE_…, with which make test, CI or a developer turns the skip into a failure. A skip
// for any other reason could stay unnoticed for ever. A fuzz target may skip inputs.
func checkSkips(declaration ast.Decl, report reporter) {
	if f, ok := declaration.(*ast.FuncDecl); ok && strings.HasPrefix(f.Name.Name, "Fuzz") {
		return
	}
	var skip *ast.SelectorExpr
	reasoned := false
	ast.Inspect(declaration, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.SelectorExpr:
			switch n.Sel.Name {
			case "Skip", "Skipf", "SkipNow":
				skip = n
			case "GOOS", "Short":
				reasoned = true
			}
		case *ast.BasicLit:
			reasoned = reasoned || slices.Contains([]string{`"REQUIRE_S3"`, `"REQUIRE_STRACE"`, `"REQUIRE_FFMPEG"`, `"REQUIRE_ENGINES"`, `"REQUIRE_DOCS"`}, n.Value)
		}
		return true
	})
	if skip != nil && !reasoned {
		report(skip.Pos(), "%s without asking for GOOS, Short or REQUIRE_S3, REQUIRE_STRACE, REQUIRE_FFMPEG, REQUIRE_ENGINES or REQUIRE_DOCS: CI could not tell it from success", skip.Sel.Name)
	}
}

// checkLoggers finds uses of slog's global logger.
func checkLoggers(file *ast.File, report reporter) {
	global := []string{"Default", "SetDefault", "Debug", "Info", "Warn", "Error", "Log", "LogAttrs",
		"DebugContext", "InfoContext", "WarnContext", "ErrorContext", "With"}
	ast.Inspect(file, func(n ast.Node) bool {
		call, ok := n.(*ast.CallExpr)
		if !ok {
			return true
		}
		if f, ok := call.Fun.(*ast.SelectorExpr); ok && slices.Contains(global, f.Sel.Name) {
			if of, ok := f.X.(*ast.Ident); ok && of.Name == "slog" {
				report(call.Pos(), "slog.%s uses the global logger: pass one in", f.Sel.Name)
			}
		}
		return true
	})
}

// checkComments requires a comment on every exported name: on itself, at the end of its line, or on
// its group.
func checkComments(declaration ast.Decl, report reporter) {
	switch d := declaration.(type) {
	case *ast.FuncDecl:
		name := d.Name.Name
		if d.Recv != nil {
			receiver := receiverName(d.Recv.List[0].Type)
			if !ast.IsExported(receiver) {
				return
			}
			name = receiver + "." + name
		}
		if d.Name.IsExported() && d.Doc == nil {
			report(d.Pos(), "%s has no comment", name)
		}
	case *ast.GenDecl:
		for _, spec := range d.Specs {
			checkSpec(spec, d.Doc != nil, report)
		}
	}
}

func checkSpec(spec ast.Spec, groupHasComment bool, report reporter) {
	if groupHasComment {
		return
	}
	switch s := spec.(type) {
	case *ast.TypeSpec:
		if s.Name.IsExported() && s.Doc == nil && s.Comment == nil {
			report(s.Pos(), "%s has no comment", s.Name.Name)
		}
	case *ast.ValueSpec:
		for _, name := range s.Names {
			if name.IsExported() && s.Doc == nil && s.Comment == nil {
				report(name.Pos(), "%s has no comment", name.Name)
			}
		}
	}
}

// receiverName returns the name of a receiver's type without pointer and type
// parameters.
func receiverName(of ast.Expr) string {
	switch t := of.(type) {
	case *ast.StarExpr:
		return receiverName(t.X)
	case *ast.IndexExpr:
		return receiverName(t.X)
	case *ast.IndexListExpr:
		return receiverName(t.X)
	case *ast.Ident:
		return t.Name
	}
	return ""
}
