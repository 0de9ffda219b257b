// Prints the files for systemd.

package deploy

import (
	"regexp"
	"slices"
	"strings"
)

// Systemd returns the units of a nightly run, and its settings, under the paths where they belong.
func Systemd(o Options) ([]File, error) {
	files := []File{
		{Name: "etc/" + o.Name + "/archive.yaml", Text: o.Config, Mode: private},
	}
	for _, unit := range []struct{ template, name string }{
		{"systemd.service", "etc/systemd/system/" + o.Name + ".service"},
		{"systemd.timer", "etc/systemd/system/" + o.Name + ".timer"},
		{"systemd-failed.service", "etc/systemd/system/" + o.Name + "-failed.service"},
		{"systemd-sysusers.conf", "etc/sysusers.d/" + o.Name + ".conf"},
		{"systemd-tmpfiles.conf", "etc/tmpfiles.d/" + o.Name + ".conf"},
	} {
		if o.Folder == "" && strings.HasSuffix(unit.template, ".conf") {
			continue // a user that systemd makes for each run owns nothing on disk
		}
		text, err := render(unit.template, struct {
			Options
			HomeHidden bool
		}{o, !slices.ContainsFunc(slices.Concat(o.Writable, []string{o.Folder, o.Program}), homePattern.MatchString)})
		if err != nil {
			return nil, err
		}
		files = append(files, File{Name: unit.name, Text: text, Mode: readable})
	}
	return files, nil
}

// homePattern is of folders that ProtectHome= would hide.
var homePattern = regexp.MustCompile(`^/(home|root|run/user)(/|$)`)
