// Collects the licences of the linked modules.

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

// module is a module that is linked into the program, or Go's standard library.
type module struct {
	path, version string
	sum           string // of its content, in the form of go.sum
	folder        string
	packages      []string // folders of its linked packages
}

func (m module) String() string { return m.path + " " + m.version }

// listModules returns the modules that are linked on any platform, sorted, and the standard library
// first.
func (r *release) listModules(ctx context.Context) ([]module, error) {
	goroot, err := r.goTool(ctx, platform{}, "env", "GOROOT")
	if err != nil {
		return nil, err
	}
	folder := strings.TrimSpace(string(goroot))
	standard := module{path: "std", version: r.commit.compiler, folder: folder, packages: []string{folder}}
	linked := map[string]*module{}
	for _, on := range platforms() {
		listed, err := r.goTool(ctx, on, "list", "-deps", "-json=Dir,Module", ".")
		if err != nil {
			return nil, err
		}
		if err := addModules(linked, listed); err != nil {
			return nil, err
		}
	}
	all := []module{standard}
	for _, path := range slices.Sorted(maps.Keys(linked)) {
		all = append(all, *linked[path])
	}
	return all, nil
}

// addModules reads the output of go list about packages.
func addModules(linked map[string]*module, listed []byte) error {
	for decoder := json.NewDecoder(bytes.NewReader(listed)); ; {
		var p struct {
			Dir    string
			Module *struct {
				Path, Version, Dir, Sum string
				Main                    bool
				Replace                 *struct{ Path string }
			}
		}
		err := decoder.Decode(&p)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("read the answer of go list: %w", err)
		}
		if p.Module == nil || p.Module.Main {
			continue
		}
		if p.Module.Replace != nil {
			return fmt.Errorf("%s is replaced by %s: its version would be wrong", p.Module.Path, p.Module.Replace.Path)
		}
		m := linked[p.Module.Path]
		if m == nil {
			m = &module{path: p.Module.Path, version: p.Module.Version, sum: p.Module.Sum, folder: p.Module.Dir}
			linked[m.path] = m
		}
		if !slices.Contains(m.packages, p.Dir) {
			m.packages = append(m.packages, p.Dir)
		}
	}
}

// notices returns the licences of the modules in one text. Modules with the same licence, byte for
// byte, share it.
func notices(modules []module) ([]byte, error) {
	var texts []string
	holders := map[string][]string{}
	for _, m := range modules {
		found, err := m.licenses()
		if err != nil {
			return nil, err
		}
		for _, f := range found {
			text := string(f.body)
			if holders[text] == nil {
				texts = append(texts, text)
			}
			holders[text] = append(holders[text], m.String()+", "+f.name)
		}
	}
	var out strings.Builder
	out.WriteString(program + " holds code of the modules below, under these licences.\n")
	rule := strings.Repeat("=", 80) + "\n"
	for _, text := range texts {
		out.WriteString("\n" + rule + strings.Join(holders[text], "\n") + "\n" + rule + "\n" + strings.TrimRight(text, "\n") + "\n")
	}
	return []byte(out.String()), nil
}

var (
	licenseName = regexp.MustCompile(`(?i)^(?:[a-z0-9]+[-_])*(?:licen[cs]e|copying|unlicense)(?:[-_.][^.]*)?(?:\.txt|\.md)?$`)
	noticeName  = regexp.MustCompile(`(?i)^(?:notice|patents)(?:\.txt|\.md)?$`)
)

// licenses returns the licences of a module, from its root and from the folders of its linked
// packages and their parents. A module without one is an error, because it could not be
// distributed.
func (m module) licenses() ([]file, error) {
	folders := map[string]bool{}
	for _, folder := range m.packages {
		for ; !folders[folder] && strings.HasPrefix(folder, m.folder); folder = filepath.Dir(folder) {
			folders[folder] = true
		}
	}
	var found []file
	licensed := false
	for _, folder := range slices.Sorted(maps.Keys(folders)) {
		entries, err := os.ReadDir(folder)
		if err != nil {
			return nil, fmt.Errorf("look for licences: %w", err)
		}
		for _, entry := range entries {
			isLicense := licenseName.MatchString(entry.Name())
			if entry.IsDir() || filepath.Ext(entry.Name()) == ".go" || !isLicense && !noticeName.MatchString(entry.Name()) {
				continue
			}
			path := filepath.Join(folder, entry.Name())
			text, err := os.ReadFile(path)
			if err != nil {
				return nil, fmt.Errorf("read licence: %w", err)
			}
			name, err := filepath.Rel(m.folder, path)
			if err != nil {
				return nil, fmt.Errorf("name licence: %w", err)
			}
			found = append(found, file{name: filepath.ToSlash(name), body: text})
			licensed = licensed || isLicense && folder == m.folder
		}
	}
	if !licensed {
		return nil, fmt.Errorf("%s has no licence at its root: it must not be handed out", m)
	}
	return found, nil
}
