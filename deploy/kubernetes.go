// Makes the file for Kubernetes.

package deploy

// Kubernetes returns one file with the objects of a nightly CronJob or, with Backfill, of an Indexed Job.
func Kubernetes(o Options) ([]File, error) {
	kind := "kubernetes-nightly"
	if o.Backfill {
		kind = "kubernetes-backfill"
	}
	pod, err := render("kubernetes-pod.yaml", o)
	if err != nil {
		return nil, err
	}
	work, err := render(kind+".yaml", struct {
		Options
		Pod string
	}{o, pod})
	if err != nil {
		return nil, err
	}
	text, err := render("kubernetes.yaml", struct {
		Options
		Work string
	}{o, work})
	if err != nil {
		return nil, err
	}
	return []File{{Name: o.Name + ".yaml", Use: nextCommands, Text: text, Mode: readable}}, nil
}
