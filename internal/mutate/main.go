// Command mutate proves that tests notice each condition of a Go file: it negates them, one at a
// time, and fails for each negation with which the tests still pass.
//
//	go run ./internal/mutate --run TestJudge archiver/judge.go
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

func main() {
	run := flag.String("run", ".", "tests to run, as for go test")
	flag.Parse()
	if flag.NArg() != 1 {
		fmt.Fprintln(os.Stderr, "give one Go file")
		os.Exit(2)
	}
	survived, err := mutate(flag.Arg(0), *run)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	if survived > 0 {
		os.Exit(1)
	}
}

// mutate negates each condition of the file and returns the number that the tests did not notice.
func mutate(name, run string) (survived int, err error) {
	source, err := os.ReadFile(name)
	if err != nil {
		return 0, err
	}
	conditions, err := conditionsOf(name, source)
	if err != nil {
		return 0, err
	}
	folder, err := os.MkdirTemp("", "mutate-*")
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(folder)) }()
	if output, err := test(name, source, folder, run); err != nil {
		return 0, fmt.Errorf("the tests fail without a change:\n%s", output)
	}
	for _, c := range conditions {
		mutant := slices.Concat(source[:c.start], []byte("!("), source[c.start:c.end], []byte(")"), source[c.end:])
		output, err := test(name, mutant, folder, run)
		switch {
		case err == nil:
			survived++
			fmt.Printf("%s:%d: no test notices when this is negated: %s\n", name, c.line, source[c.start:c.end])
		case !strings.Contains(output, "--- FAIL") && !strings.Contains(output, "panic:"):
			return survived, fmt.Errorf("%s:%d: the mutant does not build: %s\n%s", name, c.line, source[c.start:c.end], output)
		}
	}
	fmt.Printf("%s: %d conditions, %d not noticed\n", name, len(conditions), survived)
	return survived, nil
}

// test runs the tests of the file's package with the given source in place of the file.
func test(name string, source []byte, folder, run string) (string, error) {
	mutant := filepath.Join(folder, "mutant.go")
	if err := os.WriteFile(mutant, source, 0o600); err != nil {
		return "", err
	}
	path, err := filepath.Abs(name)
	if err != nil {
		return "", err
	}
	overlay, err := json.Marshal(map[string]map[string]string{"Replace": {path: mutant}})
	if err != nil {
		return "", err
	}
	list := filepath.Join(folder, "overlay.json")
	if err := os.WriteFile(list, overlay, 0o600); err != nil {
		return "", err
	}
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	defer cancel()
	output, err := exec.CommandContext(ctx, "go", "test", "-vet=off", "-count=1", "-timeout=60s",
		"-overlay="+list, "-run", run, "./"+filepath.Dir(name)).CombinedOutput()
	return string(output), err
}

// condition is the position of a deciding expression.
type condition struct{ start, end, line int }

// conditionsOf finds the conditions of if, for and switch without a tag, the operands of && and ||,
// and the results of functions that return one bool.
func conditionsOf(name string, source []byte) ([]condition, error) {
	files := token.NewFileSet()
	file, err := parser.ParseFile(files, name, source, 0)
	if err != nil {
		return nil, err
	}
	found := map[condition]bool{}
	add := func(e ast.Expr) {
		if e == nil {
			return
		}
		start := files.Position(e.Pos())
		found[condition{start.Offset, files.Position(e.End()).Offset, start.Line}] = true
	}
	ast.Inspect(file, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.IfStmt:
			add(n.Cond)
		case *ast.ForStmt:
			add(n.Cond)
		case *ast.SwitchStmt:
			for _, c := range n.Body.List {
				for _, e := range c.(*ast.CaseClause).List {
					if n.Tag == nil {
						add(e)
					}
				}
			}
		case *ast.BinaryExpr:
			if n.Op == token.LAND || n.Op == token.LOR {
				add(n.X)
				add(n.Y)
			}
		}
		return true
	})
	list := make([]condition, 0, len(found))
	for c := range found {
		list = append(list, c)
	}
	slices.SortFunc(list, func(a, b condition) int { return a.start*1_000_000 + a.end - b.start*1_000_000 - b.end })
	return list, nil
}
