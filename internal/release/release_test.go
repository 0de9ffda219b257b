package main

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"compress/gzip"
	"crypto/x509"
	"encoding/json"
	"errors"
	"io"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"
	oci "github.com/opencontainers/image-spec/specs-go/v1"
)

func TestPackageVersion(t *testing.T) {
	for version, want := range map[string]string{
		"v1.2.3":                                    "1.2.3",
		"v1.2.3-rc.1":                               "1.2.3~rc.1",
		"v0.0.0-20261128071658-1e6f9e1fbf42":        "0.0.0~20261128071658.1e6f9e1fbf42",
		"v1.2.4-0.20261128071658-1e6f9e1fbf42":      "1.2.4~0.20261128071658.1e6f9e1fbf42",
		"v1.0.0-rc.1.0.20261128071658-1e6f9e1fbf42": "1.0.0~rc.1.0.20261128071658.1e6f9e1fbf42",
		"v0.0.0-20261128071658-1e6f9e1fbf42+dirty":  "0.0.0~20261128071658.1e6f9e1fbf42",
		"v2.0.0+incompatible":                       "2.0.0",
	} {
		if got := packageVersion(version); got != want {
			t.Errorf("packageVersion(%q) = %q, want %q", version, got, want)
		}
	}
}

// sample is a release with fake programs.
func sample(t *testing.T) *release {
	t.Helper()
	at := time.Date(2026, 11, 28, 7, 16, 58, 0, time.FixedZone("", 3600))
	return &release{
		root: "../..", work: t.TempDir(),
		commit:   commit{version: "v1.2.3-rc.1+dirty", revision: strings.Repeat("ab", 20), time: at, compiler: "go1.26.8"},
		programs: map[platform][]byte{{"linux", "amd64"}: []byte("for amd64"), {"linux", "arm64"}: []byte("for arm64")},
		notices:  []byte("licences"),
	}
}

// TestImage follows the archive from its index to the files of each layer, by digests.
func TestImage(t *testing.T) {
	data, err := sample(t).image(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	all := untar(t, data)
	blob := func(d oci.Descriptor) []byte {
		body := all["blobs/sha256/"+d.Digest.Encoded()].body
		if d.Digest != digest.FromBytes(body) || d.Size != int64(len(body)) {
			t.Errorf("%s is not what it is said to be", d.Digest)
		}
		return body
	}
	if layout := string(all["oci-layout"].body); layout != `{"imageLayoutVersion":"1.0.0"}` {
		t.Errorf("oci-layout: %s", layout)
	}
	top := decode[oci.Index](t, all["index.json"].body)
	if len(top.Manifests) != 1 || top.Manifests[0].Annotations[oci.AnnotationRefName] != "convoso-archiver:v1.2.3-rc.1-dirty" {
		t.Fatalf("index.json: %+v", top)
	}
	for i, d := range decode[oci.Index](t, blob(top.Manifests[0])).Manifests {
		arch := []string{"amd64", "arm64"}[i]
		manifest := decode[oci.Manifest](t, blob(d))
		config := decode[oci.Image](t, blob(manifest.Config))
		if want := (oci.Platform{OS: "linux", Architecture: arch}); !reflect.DeepEqual(*d.Platform, want) || !reflect.DeepEqual(config.Platform, want) {
			t.Errorf("%s: platforms %+v and %+v", arch, d.Platform, config.Platform)
		}
		labels := config.Config.Labels
		if config.Config.User != "65532:65532" || labels[oci.AnnotationVersion] != "v1.2.3-rc.1+dirty" || labels[oci.AnnotationCreated] != "2026-11-28T06:16:58Z" || labels[oci.AnnotationRevision] != strings.Repeat("ab", 20) {
			t.Errorf("%s: %+v", arch, config.Config)
		}
		layer := gunzip(t, blob(manifest.Layers[0]))
		if config.RootFS.DiffIDs[0] != digest.FromBytes(layer) {
			t.Errorf("%s: another layer than its configuration says", arch)
		}
		files := untar(t, layer)
		if f := files["usr/bin/convoso-archiver"]; string(f.body) != "for "+arch || f.mode != 0o755 {
			t.Errorf("%s: the program is %q, mode %o", arch, f.body, f.mode)
		}
		if files["tmp/"].mode != 0o1777 || string(files["usr/share/doc/convoso-archiver/THIRD-PARTY-LICENSES.txt"].body) != "licences" {
			t.Errorf("%s: no /tmp, or no licences", arch)
		}
		if !x509.NewCertPool().AppendCertsFromPEM(files["etc/ssl/certs/ca-certificates.crt"].body) {
			t.Errorf("%s: no certificates", arch)
		}
	}
	again, err := sample(t).image(t.Context())
	if err != nil || !bytes.Equal(data, again) {
		t.Errorf("a second image differs, or %v", err)
	}
}

func TestRootCertificates(t *testing.T) {
	if n := bytes.Count(rootCertificates(), []byte("BEGIN CERTIFICATE")); n < 100 {
		t.Errorf("%d certificates", n)
	}
}

// TestArchives: the same files in any order make the same bytes, which others can read.
func TestArchives(t *testing.T) {
	docs := []file{{name: "man/a.1", mode: 0o644, body: []byte("a")}, {name: "LICENSE", mode: 0o644, body: []byte("l")}}
	want := []string{"/", "/LICENSE", "/man/", "/man/a.1"}
	for on, name := range map[platform]string{{"linux", "amd64"}: "/convoso-archiver", {"windows", "arm64"}: "/convoso-archiver.exe"} {
		r := sample(t)
		packed, err := r.archive(on, []byte("program"), docs)
		if err != nil {
			t.Fatal(err)
		}
		slices.Reverse(docs)
		again, err := r.archive(on, []byte("program"), docs)
		if err != nil || !bytes.Equal(packed.body, again.body) {
			t.Errorf("%s: a second archive differs, or %v", on, err)
		}
		base := "convoso-archiver-v1.2.3-rc.1+dirty-" + on.String()
		var got []string
		if on.os == "windows" {
			z, err := zip.NewReader(bytes.NewReader(packed.body), int64(len(packed.body)))
			if err != nil {
				t.Fatal(err)
			}
			for _, f := range z.File {
				got = append(got, strings.TrimPrefix(f.Name, base))
			}
		} else {
			for f := range untar(t, gunzip(t, packed.body)) {
				got = append(got, strings.TrimPrefix(f, base))
			}
		}
		slices.Sort(got)
		expected := append([]string{name}, want...)
		slices.Sort(expected)
		if !slices.Equal(got, expected) {
			t.Errorf("%s holds %q, want %q", packed.name, got, expected)
		}
	}
}

func TestPackages(t *testing.T) {
	docs := []file{{name: "man/convoso-archiver.1", mode: 0o644, body: []byte("page")}, {name: "LICENSE", mode: 0o644, body: []byte("licence")}}
	var before []file
	for range 2 { // staged in two folders
		made, err := sample(t).packages(platform{"linux", "arm64"}, []byte("program"), docs)
		if err != nil {
			t.Fatal(err)
		}
		if len(made) != 2 || made[0].name != "convoso-archiver_1.2.3~rc.1-1_arm64.deb" || made[1].name != "convoso-archiver-1.2.3~rc.1-1.aarch64.rpm" {
			t.Errorf("%q and %q", made[0].name, made[1].name)
		}
		if before != nil && !reflect.DeepEqual(made, before) {
			t.Error("the second packages differ")
		}
		before = made
	}
}

// TestInstalled: each document has its place, except the completion of a missing shell.
func TestInstalled(t *testing.T) {
	var docs []file
	for _, name := range []string{"LICENSE", "README.md", "completions/_convoso-archiver", "completions/convoso-archiver.bash",
		"completions/convoso-archiver.fish", "completions/convoso-archiver.ps1", "man/convoso-archiver-find.1"} {
		docs = append(docs, file{name: name})
	}
	var got []string
	for _, f := range installed(nil, docs, "/zsh") {
		got = append(got, f.name)
	}
	want := []string{"/usr/bin/convoso-archiver", "/usr/share/doc/convoso-archiver/copyright", "/usr/share/doc/convoso-archiver/README.md",
		"/zsh/_convoso-archiver", "/usr/share/bash-completion/completions/convoso-archiver",
		"/usr/share/fish/vendor_completions.d/convoso-archiver.fish", "/usr/share/man/man1/convoso-archiver-find.1.gz"}
	if !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

// TestNotices: modules share a licence, one in a folder of a package counts, and a
// module without any is refused.
func TestNotices(t *testing.T) {
	cache := t.TempDir()
	put := func(name, text string) {
		path := filepath.Join(cache, filepath.FromSlash(name))
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o700), os.WriteFile(path, []byte(text), 0o600)); err != nil {
			t.Fatal(err)
		}
	}
	put("a/LICENSE", "shared\n")
	put("b/COPYING.txt", "shared\n")
	put("b/NOTICE", "made by b\n")
	put("b/inner/deep/x.go", "")
	put("b/inner/LICENSE-GO", "of Go\n")
	put("b/other/LICENSE", "of what is not linked\n")
	put("c/NOTICE", "no licence\n")
	put("c/license.go", "")
	put("c/inner/LICENSE", "of a part\n")
	of := func(name string, packages ...string) module {
		m := module{path: "example.com/" + name, version: "v1.0.0", folder: filepath.Join(cache, name)}
		for _, p := range packages {
			m.packages = append(m.packages, filepath.Join(m.folder, filepath.FromSlash(p)))
		}
		return m
	}
	text, err := notices([]module{of("a", ""), of("b", "", "inner/deep")})
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"\nexample.com/a v1.0.0, LICENSE\nexample.com/b v1.0.0, COPYING.txt\n====", "====\n\nshared\n", "\nmade by b\n",
		"\nexample.com/b v1.0.0, inner/LICENSE-GO\n", "\nof Go\n",
	} {
		if !strings.Contains(string(text), want) {
			t.Errorf("no %q in:\n%s", want, text)
		}
	}
	if strings.Count(string(text), "shared") != 1 || strings.Contains(string(text), "not linked") {
		t.Errorf("a licence twice, or one too many:\n%s", text)
	}
	if _, err := notices([]module{of("a", ""), of("c", "", "inner")}); err == nil || !strings.Contains(err.Error(), "example.com/c v1.0.0 has no licence") {
		t.Errorf("a module without a licence: %v", err)
	}
}

func TestSums(t *testing.T) {
	got := sums([]file{{name: "b", body: []byte("x")}, {name: "a", body: nil}})
	want := "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855  a\n2d711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a4881  b\n"
	if string(got) != want {
		t.Errorf("got %s", got)
	}
}

func TestAddModules(t *testing.T) {
	linked := map[string]*module{}
	err := addModules(linked, []byte(`{"Dir":"/go/src/fmt"}
		{"Dir":"/m","Module":{"Path":"m","Main":true}}
		{"Dir":"/c/a/x","Module":{"Path":"a","Version":"v1","Dir":"/c/a","Sum":"h1:x"}}
		{"Dir":"/c/a/y","Module":{"Path":"a","Version":"v1","Dir":"/c/a","Sum":"h1:x"}}`))
	want := map[string]*module{"a": {path: "a", version: "v1", sum: "h1:x", folder: "/c/a", packages: []string{"/c/a/x", "/c/a/y"}}}
	if err != nil || !reflect.DeepEqual(linked, want) {
		t.Errorf("got %v, %v", linked, err)
	}
	if err := addModules(linked, []byte(`{"Module":{"Path":"a","Replace":{"Path":"b"}}}`)); err == nil {
		t.Error("a replaced module is listed under its own version")
	}
}

func decode[T any](t *testing.T, data []byte) T {
	t.Helper()
	var v T
	decoder := json.NewDecoder(bytes.NewReader(data))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&v); err != nil {
		t.Fatalf("%v in %s", err, data)
	}
	return v
}

func gunzip(t *testing.T, data []byte) []byte {
	t.Helper()
	r, err := gzip.NewReader(bytes.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	plain, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	return plain
}

func untar(t *testing.T, data []byte) map[string]file {
	t.Helper()
	all := map[string]file{}
	for r := tar.NewReader(bytes.NewReader(data)); ; {
		header, err := r.Next()
		if errors.Is(err, io.EOF) {
			return all
		}
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		all[header.Name] = file{name: header.Name, mode: header.Mode, body: body}
	}
}
