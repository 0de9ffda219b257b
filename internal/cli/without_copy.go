// Says what to do about changed or missing files of lines that nobody can restore.

package cli

import "strings"

// withoutCopy returns the steps after a loss of lines, given the changed and missing files. The order matters: rebuild
// needs the rows of calls/, and after an archive it would find a manifest and do nothing. last is what to run at the end.
func withoutCopy(files []string, last string) (steps []string) {
	has := func(tree string) bool {
		for _, name := range files {
			if strings.HasPrefix(name, tree) {
				return true
			}
		}
		return false
	}
	ofManifest, ofCalls := has("manifest/"), has("calls/")
	if ofManifest {
		steps = append(steps, "without a copy of a file of manifest/: move the whole folder manifest/DAY of that day out of the archive, and keep it. "+
			"Then run rebuild, before any archive: it finds the stored recordings without the vendor, who may have deleted their audio")
	}
	if ofCalls {
		steps = append(steps, "without a copy of a file of calls/: move that file out of the archive, and keep it. "+
			"archive lists its calls again; if the vendor no longer has them, put the file back. verify --repair leaves out the lines that cannot be read")
	}
	if ofManifest || ofCalls {
		steps = append(steps, last)
	}
	return steps
}
