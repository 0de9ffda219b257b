// Packs the program into .deb and .rpm packages.

package main

import (
	"bytes"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/goreleaser/nfpm/v2"
	"github.com/goreleaser/nfpm/v2/deb"
	"github.com/goreleaser/nfpm/v2/files"
	"github.com/goreleaser/nfpm/v2/rpm"
)

// packages returns the .deb and the .rpm of a platform.
func (r *release) packages(on platform, built []byte, docs []file) ([]file, error) {
	var made []file
	for _, kind := range []struct {
		packager nfpm.Packager
		zsh      string // folder of zsh completions
	}{
		{deb.Default, "/usr/share/zsh/vendor-completions"},
		{rpm.DefaultRPM, "/usr/share/zsh/site-functions"},
	} {
		contents, err := r.stage(installed(built, docs, kind.zsh))
		if err != nil {
			return nil, err
		}
		info := nfpm.WithDefaults(&nfpm.Info{
			Name: program, Arch: on.arch, Platform: on.os,
			Version: packageVersion(r.commit.version), VersionSchema: "none", Release: "1",
			Maintainer:  "The authors of " + program,
			Description: "Saves every call recording of a Convoso account\nto disk or S3, proves that none is missing, and fetches none twice.",
			License:     "Apache-2.0", Section: "utils", Priority: "optional",
			MTime: r.commit.time,
			Overridables: nfpm.Overridables{
				Contents:   contents,
				Umask:      0o022,
				Recommends: []string{"ca-certificates"},
				RPM:        nfpm.RPM{Summary: "Saves every call recording of a Convoso account", BuildHost: "localhost"},
			},
		})
		var out bytes.Buffer
		if err := kind.packager.Package(info, &out); err != nil {
			return nil, fmt.Errorf("write package: %w", err)
		}
		made = append(made, file{name: kind.packager.ConventionalFileName(info), body: out.Bytes()})
	}
	return made, nil
}

// installed returns the installation paths of a package's files.
func installed(built []byte, docs []file, zsh string) []file {
	all := []file{{name: "/usr/bin/" + program, mode: 0o755, body: built}}
	for _, f := range docs {
		folder, name := filepath.Split(f.name)
		switch {
		case folder == "man/":
			f.name, f.body = "/usr/share/man/man1/"+name+".gz", compressed(f.body)
		case name == program+".bash":
			f.name = "/usr/share/bash-completion/completions/" + program
		case name == program+".fish":
			f.name = "/usr/share/fish/vendor_completions.d/" + name
		case name == "_"+program:
			f.name = zsh + "/" + name
		case strings.HasSuffix(name, ".ps1"):
			continue
		case name == "LICENSE":
			f.name = "/usr/share/doc/" + program + "/copyright"
		default:
			f.name = "/usr/share/doc/" + program + "/" + name
		}
		all = append(all, f)
	}
	return all
}

// stage writes files to disk, because the library reads them from there.
func (r *release) stage(all []file) (files.Contents, error) {
	folder, err := os.MkdirTemp(r.work, "package-*")
	if err != nil {
		return nil, fmt.Errorf("make a folder for a package: %w", err)
	}
	var contents files.Contents
	for i, f := range all {
		source := filepath.Join(folder, fmt.Sprint(i))
		if err := os.WriteFile(source, f.body, 0o600); err != nil {
			return nil, fmt.Errorf("write a file of a package: %w", err)
		}
		contents = append(contents, &files.Content{Source: source, Destination: f.name,
			FileInfo: &files.ContentFileInfo{Owner: "root", Group: "root", Mode: fs.FileMode(f.mode), MTime: r.commit.time}})
	}
	return contents, nil
}
