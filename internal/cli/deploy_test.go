package cli

import (
	"slices"
	"strings"
	"testing"
	"time"

	"go.yaml.in/yaml/v3"
)

// deployReader returns a reader of these flags.
func deployReader(flags map[string]string) *reader {
	r := &reader{settings: deploySettings(), values: values{}}
	for name, value := range flags {
		r.values[name] = given{items: []string{value}, origin: "--" + name, source: onCommandLine}
	}
	return r
}

// A unit may also write to the folder of its metrics; other engines do not use it.
func TestDeployMetricsFile(t *testing.T) {
	for _, c := range []struct {
		on       engine
		file     string
		writable []string
		problem  string
	}{
		{systemd, "/var/lib/node_exporter/nowhere/convoso.prom", []string{"/var/lib/node_exporter/nowhere"}, ""},
		{systemd, "convoso.prom", nil, "the path is not absolute"},
		{kubernetes, "/var/lib/node_exporter/convoso.prom", nil, "leave it out"},
	} {
		flags := map[string]string{"dest": "s3://my-bucket/calls", "last": "7d", "metrics-file": c.file}
		if c.on == kubernetes {
			flags["image"] = "x:1"
		}
		r := deployReader(flags)
		o := r.deployOptions(c.on, time.Now(), nil)
		if !slices.Equal(o.Writable, c.writable) || (r.err == nil) != (c.problem == "") || r.err != nil && !strings.Contains(r.err.Error(), c.problem) {
			t.Errorf("%s, %s: writable %q, %v", c.on, c.file, o.Writable, r.err)
		}
	}
}

func TestDeployOptions(t *testing.T) {
	base := map[string]string{"dest": "s3://my-bucket/calls", "last": "7d"}
	with := func(pairs ...string) map[string]string {
		flags := map[string]string{}
		for name, value := range base {
			flags[name] = value
		}
		for i := 0; i < len(pairs); i += 2 {
			flags[pairs[i]] = pairs[i+1]
		}
		return flags
	}
	// Grace, 30 s to store the lines of a stopped run, and a reserve.
	for flags, want := range map[string]time.Duration{"20s": 90 * time.Second, "5m": 370 * time.Second, "0s": 70 * time.Second} {
		r := deployReader(with("grace", flags))
		if o := r.deployOptions(systemd, time.Now(), nil); o.Stop != want || r.err != nil {
			t.Errorf("--grace %s: %v, %v", flags, o.Stop, r.err)
		}
	}
	for workers, want := range map[string]int{"8": 128, "16": 128, "17": 256, "256": 256} {
		r := deployReader(with("workers", workers))
		if o := r.deployOptions(systemd, time.Now(), nil); o.MemoryMiB != want || r.err != nil {
			t.Errorf("%s workers: %d MiB, %v", workers, o.MemoryMiB, r.err)
		}
	}
	r := deployReader(with("api-url", "https://gateway.example.com:8443/v1", "allow-host", "http://10.0.0.1", "s3-endpoint", "http://minio:9000"))
	if o := r.deployOptions(systemd, time.Now(), nil); !slices.Equal(o.Ports, []int{80, 443, 8443, 9000}) {
		t.Errorf("ports %v, %v", o.Ports, r.err)
	}
}

// The configuration file reads a value of yamlScalar unchanged.
func TestYAMLScalar(t *testing.T) {
	for value, want := range map[string]string{
		"7d": "7d", "007": "007", "8": "8", "2025-05-01": "2025-05-01", "s3://b/p": "s3://b/p", "SALE,CB": "SALE,CB",
		"*.convoso.com": `"*.convoso.com"`, "{{.filename}}": `"{{.filename}}"`, "null": `"null"`, "~": `"~"`, "": `""`, " x": `" x"`,
		"a: b": `"a: b"`, "a #b": `"a #b"`, "- a": `"- a"`, "O'Neil": "O'Neil", `say "x"`: `say "x"`, "&a": `"&a"`, "'a'": `"'a'"`,
		"a\nb": `"a\nb"`, "|": `"|"`, "é": "é", "\u2028": `"\u2028"`, "!x": `"!x"`, "[a]": `"[a]"`,
	} {
		got := yamlScalar(value)
		if got != want {
			t.Errorf("%q: %s, want %s", value, got, want)
		}
		var node yaml.Node
		if err := yaml.Unmarshal([]byte("status: "+got+"\n"), &node); err != nil {
			t.Errorf("%q: %v", value, err)
			continue
		}
		items, err := configItems(setting{name: "status"}, node.Content[0].Content[1])
		if err != nil || !slices.Equal(items, []string{value}) {
			t.Errorf("%q: %s is read as %q, %v", value, got, items, err)
		}
	}
}
