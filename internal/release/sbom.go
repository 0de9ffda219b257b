// Writes the software bill of materials.

package main

import (
	"fmt"
	"io"
	"strings"
	"time"

	cdx "github.com/CycloneDX/cyclonedx-go"
)

// writeBOM writes the components of the program as a CycloneDX document: each module that is linked
// on any platform, with its version and its sum in go.sum.
func writeBOM(w io.Writer, c commit, modules []module) error {
	bom := cdx.NewBOM()
	main := component(cdx.ComponentTypeApplication, module{path: program, version: c.version})
	main.Licenses = &cdx.Licenses{{License: &cdx.License{ID: "Apache-2.0"}}}
	main.Properties = &[]cdx.Property{{Name: "git:revision", Value: c.revision}}
	bom.Metadata = &cdx.Metadata{Timestamp: c.time.UTC().Format(time.RFC3339), Component: &main}
	var components []cdx.Component
	for _, m := range modules {
		part := component(cdx.ComponentTypeLibrary, m)
		if m.sum != "" {
			part.Properties = &[]cdx.Property{{Name: "go:sum", Value: m.sum}}
		}
		components = append(components, part)
	}
	bom.Components = &components
	encoder := cdx.NewBOMEncoder(w, cdx.BOMFileFormatJSON)
	encoder.SetPretty(true)
	if err := encoder.EncodeVersion(bom, cdx.SpecVersion1_6); err != nil {
		return fmt.Errorf("write bill of materials: %w", err)
	}
	return nil
}

func component(kind cdx.ComponentType, m module) cdx.Component {
	version := m.version
	if m.path == "std" { // the name in vulnerability databases
		version = strings.TrimPrefix(version, "go")
	}
	url := "pkg:golang/" + m.path + "@" + strings.ReplaceAll(version, "+", "%2B")
	return cdx.Component{Type: kind, BOMRef: url, Name: m.path, Version: version, PackageURL: url}
}
