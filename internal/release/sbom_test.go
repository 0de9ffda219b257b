package main

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/xeipuuv/gojsonschema"
)

// TestBOM validates the document against the schema of its format.
func TestBOM(t *testing.T) {
	var out bytes.Buffer
	modules := []module{{path: "std", version: "go1.26.8"}, {path: "example.com/a", version: "v1.0.0+incompatible", sum: "h1:x"}}
	if err := writeBOM(&out, sample(t).commit, modules); err != nil {
		t.Fatal(err)
	}
	if faults := schemaFaults(t, out.Bytes()); len(faults) > 0 {
		t.Errorf("%q in %s", faults, out.Bytes())
	}
	for _, want := range []string{`"pkg:golang/std@1.26.8"`, `"pkg:golang/example.com/a@v1.0.0%2Bincompatible"`, `"h1:x"`, `"2026-11-28T06:16:58Z"`} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("no %s in %s", want, out.Bytes())
		}
	}
	if faults := schemaFaults(t, bytes.Replace(out.Bytes(), []byte(`"library"`), []byte(`"book"`), 1)); len(faults) == 0 {
		t.Error("the schema takes everything")
	}
}

// schemaFaults validates a document against the schema. The schemas come with the library that
// writes it.
func schemaFaults(t *testing.T, document []byte) []string {
	t.Helper()
	found, err := exec.CommandContext(t.Context(), "go", "list", "-m", "-f", "{{.Dir}}", "github.com/CycloneDX/cyclonedx-go").Output()
	if err != nil {
		t.Fatal(err)
	}
	load := func(name string) gojsonschema.JSONLoader {
		text, err := os.ReadFile(filepath.Join(strings.TrimSpace(string(found)), "schema", name))
		if err != nil {
			t.Fatal(err)
		}
		return gojsonschema.NewBytesLoader(text)
	}
	loader := gojsonschema.NewSchemaLoader()
	for _, name := range []string{"spdx.schema.json", "jsf-0.82.schemax.json"} {
		if err := loader.AddSchema("http://cyclonedx.org/schema/"+strings.Replace(name, "schemax", "schema", 1), load(name)); err != nil {
			t.Fatal(err)
		}
	}
	schema, err := loader.Compile(load("bom-1.6.schema.json"))
	if err != nil {
		t.Fatal(err)
	}
	result, err := schema.Validate(gojsonschema.NewBytesLoader(document))
	if err != nil {
		t.Fatal(err)
	}
	var faults []string
	for _, fault := range result.Errors() {
		faults = append(faults, fault.String())
	}
	return faults
}
