// Compares the files of a day with earlier seals, before a seal signs the day again.

package evidence

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"convoso-archiver/manifest"
)

// Contradiction is a file of a sealed day that is not as any seal signed it, without a repair that explains it.
type Contradiction struct {
	Day    string `json:"day"`
	File   string `json:"file"` // relative to the archive's root
	Seal   int    `json:"seal"` // the newest that signed it
	Detail string `json:"detail"`
}

// sealedBefore is what earlier seals say about a day.
type sealedBefore struct {
	roots map[string]string // newest roots, by filter
	files dayClaims
}

// dayClaims are the claims of all seals about the files of a day, by tree and name.
type dayClaims map[manifest.Tree]map[string][]claim

func newDayClaims() dayClaims {
	return dayClaims{manifest.TreeManifest: {}, manifest.TreeCalls: {}}
}

func (c dayClaims) add(seal int, d *SealedDay) {
	for tree, list := range map[manifest.Tree][]SealedLines{manifest.TreeManifest: d.Segments, manifest.TreeCalls: d.CallsSegments} {
		for _, f := range list {
			c[tree][f.Name] = append(c[tree][f.Name], claim{seal, f})
		}
	}
}

// sealedDaysOf returns what seals, in order, say about each day.
func sealedDaysOf(seals []stored) map[string]*sealedBefore {
	days := map[string]*sealedBefore{}
	for i := range seals {
		for _, d := range seals[i].Days {
			if days[d.Day] == nil {
				days[d.Day] = &sealedBefore{roots: map[string]string{}, files: newDayClaims()}
			}
			days[d.Day].roots[d.Filter] = d.Root + d.CallsRoot
			days[d.Day].files.add(seals[i].Number, &d)
		}
	}
	return days
}

// isNew reports whether a day line is not sealed yet.
func (b *sealedBefore) isNew(line manifest.DayLine) bool {
	return b == nil || line.Root == "" || b.roots[line.Filter] != line.Root+line.CallsRoot
}

// mustCompare reports whether the files must be compared with the seals: a day line that is sealed no longer holds, or
// the next seal signs the files again.
func (b *sealedBefore) mustCompare(lines []manifest.DayLine) bool {
	if b == nil {
		return false
	}
	for filter := range b.roots {
		if !slices.ContainsFunc(lines, func(l manifest.DayLine) bool { return l.Filter == filter }) {
			return true
		}
	}
	return slices.ContainsFunc(lines, b.isNew)
}

// contradictions compares the files of a day with earlier seals. A missing file counts only while the day is open,
// because no seal signs it again.
func (s *Sealing) contradictions(ctx context.Context, day string, before *sealedBefore, isOpen bool) (found []Contradiction, err error) {
	var past *repairs // read only if something differs
	for _, tree := range []manifest.Tree{manifest.TreeManifest, manifest.TreeCalls} {
		there, err := s.Ledger.Segments(ctx, tree, day)
		if err != nil {
			return nil, err
		}
		for _, name := range sortedKeys(before.files[tree]) {
			claims := before.files[tree][name]
			c := Contradiction{Day: day, File: string(tree) + "/" + day + "/" + name, Seal: claims[len(claims)-1].seal}
			i := slices.IndexFunc(there, func(f manifest.StoredSegment) bool { return f.Name == name })
			if i >= 0 {
				c.File = there[i].File()
				c.Detail, err = s.differs(ctx, there[i], claims)
			} else if isOpen {
				c.Detail = "it is missing"
			}
			if err == nil && c.Detail != "" && past == nil {
				past, err = readRepairs(ctx, s.Ledger, day)
			}
			if err != nil {
				return nil, err
			}
			if c.Detail != "" && !past.explain(tree, name, i < 0) {
				found = append(found, c)
			}
		}
	}
	return found, nil
}

// differs says how a file differs from the newest seal; "" if it is as some seal signed it.
func (s *Sealing) differs(ctx context.Context, f manifest.StoredSegment, claims []claim) (string, error) {
	checker := newChecker(claims)
	err := s.Ledger.ReadLines(ctx, f, func(l manifest.SegmentLine) error { checker.add(l); return nil })
	wrong := checker.wrong(false)
	if err != nil || len(wrong) < len(claims) {
		return "", err
	}
	return wrong[len(wrong)-1].problem, nil
}

// repairs are what the lines of a day say about repairs of its files.
type repairs struct {
	aside map[manifest.Tree][]string // copies of repaired files, without folder
	noted bool                       // verify --repair has repaired the day, or rebuild has made its lines
}

// readRepairs reads the repairs of a day.
func readRepairs(ctx context.Context, ledger *manifest.Ledger, day string) (*repairs, error) {
	found := &repairs{aside: map[manifest.Tree][]string{}}
	_, err := ledger.Read(ctx, day, func(l manifest.Line) error {
		if l.Kind != "repair" && l.Kind != "rebuild" {
			return nil
		}
		found.noted = true
		var line struct {
			Aside      []string `json:"aside"`
			CallsAside []string `json:"calls_aside"`
		}
		if json.Unmarshal(l.Raw, &line) == nil {
			found.aside[manifest.TreeManifest] = append(found.aside[manifest.TreeManifest], line.Aside...)
			found.aside[manifest.TreeCalls] = append(found.aside[manifest.TreeCalls], line.CallsAside...)
		}
		return nil
	}, func(manifest.Fault) error { return nil }) // verify reports faults
	if err != nil {
		return nil, fmt.Errorf("read the repairs: %w", err)
	}
	return found, nil
}

// explain reports whether a repair explains that a file is missing or differs from its seals.
func (r *repairs) explain(tree manifest.Tree, name string, missing bool) bool {
	return missing && r.noted || r.copyOf(tree, name) != ""
}

// copyOf returns the newest copy of a file that verify --repair made; "" for none.
func (r *repairs) copyOf(tree manifest.Tree, name string) (aside string) {
	for _, one := range r.aside[tree] {
		if strings.HasPrefix(one, name+".bad-") {
			aside = one
		}
	}
	return aside
}
