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
	unit := systemdUnit{Options: o, HasUser: o.Folder != "" || len(o.Writable) > 0}
	unit.HomeHidden = !slices.ContainsFunc(slices.Concat(o.Writable, []string{o.Folder, o.Program}), homePattern.MatchString)
	var err error
	if unit.Sandbox, err = render("systemd-sandbox", unit); err != nil {
		return nil, err
	}
	for _, f := range []struct {
		template, name string
		wanted         bool
	}{
		{"systemd.service", "etc/systemd/system/" + o.Name + ".service", true},
		{"systemd.timer", "etc/systemd/system/" + o.Name + ".timer", true},
		{"systemd-lock.service", "etc/systemd/system/" + o.Name + "-lock.service", o.LockDays > 0},
		{"systemd-lock.service", "etc/systemd/system/" + o.Name + "-lock-all.service", o.LockDays > 0},
		{"systemd-lock.timer", "etc/systemd/system/" + o.Name + "-lock-all.timer", o.LockDays > 0},
		{"systemd-failed.service", "etc/systemd/system/" + o.Name + "-failed.service", true},
		{"systemd-sysusers.conf", "etc/sysusers.d/" + o.Name + ".conf", unit.HasUser},
		{"systemd-tmpfiles.conf", "etc/tmpfiles.d/" + o.Name + ".conf", unit.HasUser},
	} {
		if !f.wanted {
			continue
		}
		unit.AllDays = strings.HasSuffix(f.name, "-lock-all.service")
		text, err := render(f.template, unit)
		if err != nil {
			return nil, err
		}
		files = append(files, File{Name: f.name, Text: text, Mode: readable})
	}
	return files, nil
}

// systemdUnit is the data of the templates.
type systemdUnit struct {
	Options
	HasUser    bool // a permanent user, which owns files on disk; otherwise systemd makes one for each run
	HomeHidden bool
	AllDays    bool   // of the monthly lock
	Sandbox    string // the common last lines of our services
}

// homePattern matches folders that ProtectHome= would hide.
var homePattern = regexp.MustCompile(`^/(home|root|run/user)(/|$)`)
