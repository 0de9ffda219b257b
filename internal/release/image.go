// Packs the program into a container image.

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	oci "github.com/opencontainers/image-spec/specs-go/v1"
	"golang.org/x/crypto/x509roots/fallback/bundle"
)

// nobody is the user that the program runs as in a container: not a user of the machine.
const nobody = 65532

// image returns an OCI archive: a tar of an OCI layout whose one index holds an image for
// each Linux platform, of one layer.
func (r *release) image(ctx context.Context) ([]byte, error) {
	blobs := blobs{}
	index := oci.Index{Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: oci.MediaTypeImageIndex, Annotations: r.labels()}
	for _, on := range platforms() {
		if on.os != "linux" {
			continue
		}
		built, err := r.program(ctx, on)
		if err != nil {
			return nil, err
		}
		manifest, err := r.platformImage(blobs, on, built)
		if err != nil {
			return nil, err
		}
		index.Manifests = append(index.Manifests, manifest)
	}
	// Some tools only load an archive with a single entry, and take its name from there.
	whole := blobs.addJSON(oci.MediaTypeImageIndex, index)
	whole.Annotations = map[string]string{
		oci.AnnotationRefName:      r.imageName(),
		"io.containerd.image.name": "docker.io/library/" + r.imageName(),
	}
	top := oci.Index{Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: oci.MediaTypeImageIndex, Manifests: []oci.Descriptor{whole}}
	all := []file{
		{name: oci.ImageLayoutFile, mode: 0o644, body: encoded(oci.ImageLayout{Version: oci.ImageLayoutVersion})},
		{name: oci.ImageIndexFile, mode: 0o644, body: encoded(top)},
	}
	for _, digest := range slices.Sorted(maps.Keys(blobs)) {
		all = append(all, file{name: "blobs/sha256/" + digest, mode: 0o644, body: blobs[digest]})
	}
	return tarred(all, r.commit.time)
}

// platformImage adds the image of one platform to the blobs, and returns its manifest.
func (r *release) platformImage(blobs blobs, on platform, built []byte) (oci.Descriptor, error) {
	own, err := os.ReadFile(filepath.Join(r.root, "LICENSE"))
	if err != nil {
		return oci.Descriptor{}, fmt.Errorf("read licence: %w", err)
	}
	layer, err := tarred([]file{
		{name: "usr/bin/" + program, mode: 0o755, body: built},
		{name: "etc/ssl/certs/ca-certificates.crt", mode: 0o644, body: rootCertificates()},
		{name: "usr/share/doc/" + program + "/LICENSE", mode: 0o644, body: own},
		{name: "usr/share/doc/" + program + "/" + noticesName, mode: 0o644, body: r.notices},
		{name: "tmp/", mode: 0o1777},
	}, r.commit.time)
	if err != nil {
		return oci.Descriptor{}, err
	}
	created := r.commit.time.UTC()
	config := blobs.addJSON(oci.MediaTypeImageConfig, oci.Image{
		Created:  &created,
		Platform: oci.Platform{OS: on.os, Architecture: on.arch},
		Config: oci.ImageConfig{
			User:       fmt.Sprintf("%d:%d", nobody, nobody),
			Entrypoint: []string{"/usr/bin/" + program},
			// There is no home folder, and only /tmp needs to be writable.
			Env:    []string{"XDG_STATE_HOME=/tmp"},
			Labels: r.labels(),
		},
		RootFS:  oci.RootFS{Type: "layers", DiffIDs: []digest.Digest{digest.FromBytes(layer)}},
		History: []oci.History{{Created: &created, CreatedBy: "make image"}},
	})
	manifest := blobs.addJSON(oci.MediaTypeImageManifest, oci.Manifest{
		Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: oci.MediaTypeImageManifest,
		Config:      config,
		Layers:      []oci.Descriptor{blobs.add(oci.MediaTypeImageLayerGzip, compressed(layer))},
		Annotations: r.labels(),
	})
	manifest.Platform = &oci.Platform{OS: on.os, Architecture: on.arch}
	return manifest, nil
}

// labels describe the image to people and to registry scanners.
func (r *release) labels() map[string]string {
	return map[string]string{
		oci.AnnotationTitle:       program,
		oci.AnnotationDescription: "Saves every call recording of a Convoso account to disk or S3",
		oci.AnnotationLicenses:    "Apache-2.0",
		oci.AnnotationVersion:     r.commit.version,
		oci.AnnotationRevision:    r.commit.revision,
		oci.AnnotationCreated:     r.commit.time.UTC().Format(time.RFC3339),
	}
}

// imageName is the image's name and tag, which must not contain a plus.
func (r *release) imageName() string {
	return program + ":" + strings.ReplaceAll(r.commit.version, "+", "-")
}

// rootCertificates is Mozilla's list from the Go project, in PEM: a pinned version, so that it does
// not depend on the machine that builds. It omits roots that are trusted only for older
// certificates, because a file of roots cannot express that.
func rootCertificates() []byte {
	var out bytes.Buffer
	for root := range bundle.Roots() {
		if root.Constraint == nil {
			out.Write(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: root.Certificate}))
		}
	}
	return out.Bytes()
}

// blobs are contents by digest, in hex.
type blobs map[string][]byte

func (b blobs) add(mediaType string, data []byte) oci.Descriptor {
	sum := digest.FromBytes(data)
	b[sum.Encoded()] = data
	return oci.Descriptor{MediaType: mediaType, Digest: sum, Size: int64(len(data))}
}

func (b blobs) addJSON(mediaType string, document any) oci.Descriptor {
	return b.add(mediaType, encoded(document))
}

func encoded(document any) []byte {
	data, err := json.Marshal(document)
	if err != nil {
		panic(err) // strings and numbers can always be encoded
	}
	return data
}
