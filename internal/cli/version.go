// Reports version, commit and dependencies of this build.

package cli

import (
	"encoding/json"
	"fmt"
	"io"
	"runtime"
	"runtime/debug"
	"strings"
)

// build is the build information of this binary. It comes from the module and from version control,
// so no linker flags are needed.
type build struct {
	Version  string `json:"version"`            // of the module, (devel) if unknown
	Revision string `json:"revision,omitempty"` // commit
	Time     string `json:"time,omitempty"`     // of the commit
	Modified bool   `json:"modified"`           // built with uncommitted changes
	Go       string `json:"go"`
	Platform string `json:"platform"`
}

func thisBuild() build {
	b := build{Version: "(devel)", Go: runtime.Version(), Platform: runtime.GOOS + "/" + runtime.GOARCH}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return b
	}
	if info.Main.Version != "" {
		b.Version = info.Main.Version
	}
	for _, s := range info.Settings {
		switch s.Key {
		case "vcs.revision":
			b.Revision = s.Value
		case "vcs.time":
			b.Time = s.Value
		case "vcs.modified":
			b.Modified = s.Value == "true"
		}
	}
	return b
}

// userAgent identifies the program to the API and to the media host. Brackets would be parsed as a
// comment there.
func (b build) userAgent() string { return program + "/" + strings.Trim(b.Version, "()") }

func (b build) text() string {
	s := program + " " + b.Version
	if b.Revision != "" {
		s += " " + b.Revision[:min(12, len(b.Revision))]
		if b.Modified {
			s += "+changes"
		}
	}
	return fmt.Sprintf("%s %s %s", s, b.Go, b.Platform)
}

func writeVersion(w io.Writer, asJSON bool) error {
	b := thisBuild()
	if asJSON {
		return json.NewEncoder(w).Encode(b)
	}
	_, err := fmt.Fprintln(w, b.text())
	return err
}
