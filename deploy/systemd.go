// Makes the files for systemd.

package deploy

import (
	"regexp"
	"slices"
	"strings"
)

// Systemd returns the units of a nightly run, and its settings, under the paths where they belong.
func Systemd(o Options) ([]File, error) {
	unit := systemdUnit{Options: o, HasUser: o.Folder != "" || len(o.Writable) > 0}
	unit.HomeHidden = !slices.ContainsFunc(slices.Concat(o.Writable, []string{o.Folder, o.Program}), homePattern.MatchString)
	var err error
	if unit.Sandbox, err = render("systemd-sandbox", unit); err != nil {
		return nil, err
	}
	units, locks := "etc/systemd/system/"+o.Name, o.LockDays > 0
	rendered := slices.DeleteFunc([]systemdFile{
		{"systemd.service", units + ".service", "archives; " + nextCommands, true},
		{"systemd.timer", units + ".timer", "starts it each night; enable it", true},
		{"systemd-lock.service", units + "-lock.service", "each night, after archive, locks the recordings that are due; nothing to do", locks},
		{"systemd-lock.service", units + "-lock-all.service", "each month, locks the recordings of all days that are due; nothing to do", locks},
		{"systemd-lock.timer", units + "-lock-all.timer", "starts that service each month; enable this timer", locks},
		{"systemd-failed.service", units + "-failed.service", "writes failures to the journal; add a command that notifies you", true},
		{"systemd-sysusers.conf", "etc/sysusers.d/" + o.Name + ".conf", "the user of the service; run systemd-sysusers", unit.HasUser},
		{"systemd-tmpfiles.conf", "etc/tmpfiles.d/" + o.Name + ".conf", "the user's folders and rights; run systemd-tmpfiles", unit.HasUser},
	}, func(f systemdFile) bool { return !f.wanted })
	files := []File{{Name: "etc/" + o.Name + "/archive.yaml", Use: "settings; change them here", Text: o.Config, Mode: private}}
	for _, f := range rendered {
		files = append(files, File{Name: f.name, Use: f.use, Mode: readable})
	}
	unit.Files = strings.TrimSuffix(List(files, "#   /"), "\n")
	for i, f := range rendered {
		unit.AllDays = strings.HasSuffix(f.name, "-lock-all.service")
		if files[i+1].Text, err = render(f.template, unit); err != nil {
			return nil, err
		}
	}
	return files, nil
}

// systemdFile is a file that a template makes, if it is wanted.
type systemdFile struct {
	template, name, use string
	wanted              bool
}

// systemdUnit is the data of the templates.
type systemdUnit struct {
	Options
	HasUser    bool // a permanent user, which owns files on disk; otherwise systemd makes one for each run
	HomeHidden bool
	AllDays    bool   // of the monthly lock
	Sandbox    string // the common last lines of our services
	Files      string // the list of all files, as comments
}

// homePattern matches folders that ProtectHome= would hide.
var homePattern = regexp.MustCompile(`^/(home|root|run/user)(/|$)`)
