// Packs the program into tar and zip files.

package main

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"
	"time"
)

// file is one file of an archive, an image, a package or a release. Its name has
// slashes, and a folder's ends in one.
type file struct {
	name string
	mode int64
	body []byte
}

// archive packs the files of one platform: the program and its documents.
func (r *release) archive(on platform, built []byte, docs []file) (file, error) {
	base := program + "-" + r.commit.version + "-" + on.String()
	all := append([]file{{name: on.executable(), mode: 0o755, body: built}}, docs...)
	for i := range all {
		all[i].name = base + "/" + all[i].name
	}
	if on.os == "windows" {
		packed, err := zipped(all, r.commit.time)
		return file{name: base + ".zip", body: packed}, err
	}
	packed, err := tarred(all, r.commit.time)
	if err != nil {
		return file{}, err
	}
	return file{name: base + ".tar.gz", body: compressed(packed)}, nil
}

// tarred writes files and the folders above them, sorted, all with the same time.
func tarred(files []file, at time.Time) ([]byte, error) {
	var out bytes.Buffer
	w := tar.NewWriter(&out)
	for _, f := range withFolders(files) {
		header := &tar.Header{Name: f.name, Mode: f.mode, Size: int64(len(f.body)), ModTime: at.UTC(), Typeflag: tar.TypeReg, Format: tar.FormatUSTAR}
		if strings.HasSuffix(f.name, "/") {
			header.Typeflag = tar.TypeDir
		}
		if err := w.WriteHeader(header); err != nil {
			return nil, fmt.Errorf("write %s: %w", f.name, err)
		}
		if _, err := w.Write(f.body); err != nil {
			return nil, fmt.Errorf("write %s: %w", f.name, err)
		}
	}
	if err := w.Close(); err != nil {
		return nil, fmt.Errorf("write archive: %w", err)
	}
	return out.Bytes(), nil
}

// withFolders adds the folders that are missing, and sorts.
func withFolders(files []file) []file {
	all := slices.Clone(files)
	there := map[string]bool{"./": true}
	for _, f := range files {
		there[f.name] = true
	}
	for _, f := range files {
		for folder := path.Dir(strings.TrimSuffix(f.name, "/")) + "/"; !there[folder]; folder = path.Dir(strings.TrimSuffix(folder, "/")) + "/" {
			there[folder] = true
			all = append(all, file{name: folder, mode: 0o755})
		}
	}
	slices.SortFunc(all, func(a, b file) int { return strings.Compare(a.name, b.name) })
	return all
}

// compressed is gzip without a name or a time.
func compressed(data []byte) []byte {
	var out bytes.Buffer
	w, err := gzip.NewWriterLevel(&out, gzip.BestCompression)
	if err == nil {
		_, err = w.Write(data)
		err = errors.Join(err, w.Close())
	}
	if err != nil {
		panic(err) // writes to a buffer never fail, and the level is valid
	}
	return out.Bytes()
}

func zipped(files []file, at time.Time) ([]byte, error) {
	var out bytes.Buffer
	w := zip.NewWriter(&out)
	for _, f := range withFolders(files) {
		header := &zip.FileHeader{Name: f.name, Method: zip.Deflate, Modified: at.UTC()}
		header.SetMode(fs.FileMode(f.mode))
		if strings.HasSuffix(f.name, "/") {
			header.SetMode(fs.ModeDir | fs.FileMode(f.mode))
		}
		entry, err := w.CreateHeader(header)
		if err == nil {
			_, err = entry.Write(f.body)
		}
		if err != nil {
			return nil, fmt.Errorf("write %s: %w", f.name, err)
		}
	}
	if err := w.Close(); err != nil {
		return nil, fmt.Errorf("write archive: %w", err)
	}
	return out.Bytes(), nil
}

// sums lists the files in the format of sha256sum.
func sums(files []file) []byte {
	var lines []string
	for _, f := range files {
		lines = append(lines, fmt.Sprintf("%x  %s\n", sha256.Sum256(f.body), f.name))
	}
	slices.SortFunc(lines, func(a, b string) int { return strings.Compare(a[2*sha256.Size:], b[2*sha256.Size:]) })
	return []byte(strings.Join(lines, ""))
}
