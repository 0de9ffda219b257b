// Makes the script for Slurm.

package deploy

// Slurm returns the script of an array of jobs.
func Slurm(o Options) ([]File, error) {
	text, err := render("slurm.sh", o)
	if err != nil {
		return nil, err
	}
	return []File{{Name: o.Name + "-backfill.sh", Use: nextCommands, Text: text, Mode: executable}}, nil
}
