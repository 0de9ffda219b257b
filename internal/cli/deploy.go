// The command deploy: prints or writes the files that package deploy makes.

package cli

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"convoso-archiver/deploy"
)

const groupDeploy = "WHAT TO PRINT (only as flags, not in the configuration file)"

// engine is a system that runs the program on one or many machines.
type engine string

const (
	kubernetes engine = "kubernetes"
	systemd    engine = "systemd"
	slurm      engine = "slurm"
	awsBatch   engine = "aws-batch"
	alerts     engine = "alerts" // not an engine, but alerting rules for all of them
)

func engines() []string {
	return []string{string(kubernetes), string(systemd), string(slurm), string(awsBatch), string(alerts)}
}

// deployFlag is a flag only of deploy, with the engines that use it.
type deployFlag struct {
	setting
	engines []engine // none for all
}

func deployFlags() []deployFlag {
	return []deployFlag{
		{setting{name: "to", placeholder: "FOLDER", usage: "write the files into this folder; overwrites nothing. For systemd, --to / installs them (default: print them)"}, nil},
		{setting{name: "name", placeholder: "NAME", defaultValue: program, usage: "name of the units, objects and jobs, and of their folders; use a different name for each archive"}, []engine{kubernetes, systemd, slurm, awsBatch}},
		{setting{name: "backfill", kind: toggle, usage: "print a job that runs many machines in parallel over --start-time to --end-time, instead of a nightly run"}, []engine{kubernetes, slurm, awsBatch}},
		{setting{name: "at", placeholder: "HH:MM", defaultValue: "03:15", usage: "time of the nightly run, in --time-zone"}, []engine{kubernetes, systemd}},
		{setting{name: "parallelism", placeholder: "N", defaultValue: "4", usage: "parallel runs of a backfill; they share --api-rate and --media-rate"}, []engine{kubernetes, slurm, awsBatch}},
		{setting{name: "program", placeholder: "PATH", defaultValue: "/usr/local/bin/" + program, usage: "path of the program; the packages install /usr/bin/" + program}, []engine{systemd, slurm}},
		{setting{name: "image", placeholder: "IMAGE", usage: "container image, like registry.example.com/convoso-archiver:1.0.0 (required for Kubernetes and AWS Batch)"}, []engine{kubernetes, awsBatch}},
		{setting{name: "token-secret", placeholder: "NAME", usage: "secret with the token: the name of a Kubernetes Secret (default: the value of --name), or the ARN of an AWS secret (required for AWS Batch)"}, []engine{kubernetes, awsBatch}},
		{setting{name: "s3-credentials-file", placeholder: "FILE", usage: "file like ~/.aws/credentials for the runs (default: none; the runs use the role of the machine)"}, []engine{kubernetes, systemd, slurm}},
		{setting{name: "role", placeholder: "ARN", usage: "AWS role of the runs (required for AWS Batch)"}, []engine{kubernetes, awsBatch}},
		{setting{name: "job-queue", placeholder: "NAME", usage: "job queue of AWS Batch (required for AWS Batch)"}, []engine{awsBatch}},
		{setting{name: "volume-size", placeholder: "SIZE", defaultValue: "100Gi", usage: "size of the volume, if --dest is a folder"}, []engine{kubernetes}},
	}
}

func deploySettings() []setting {
	var settings []setting
	for _, f := range deployFlags() {
		f.group, f.flagOnly = groupDeploy, true
		settings = append(settings, f.setting)
	}
	return append(settings, archiveSettings()...)
}

func deployCommand() command {
	return command{
		name:      "deploy",
		usage:     "print files that run archive with systemd, Kubernetes, Slurm or AWS Batch",
		arguments: strings.Join(engines(), "|"),
		about: `Prints complete files for systemd, Kubernetes, Slurm or AWS Batch. deploy makes them from the
flags, variables and configuration file of archive, and checks these as archive does.
Several files are printed one after the other, each below
a line "# ==> NAME <=="; --to writes the files. No file contains the token;
the files name the place where you store it.

systemd and kubernetes run archive every night; kubernetes --backfill, slurm and
aws-batch run it on many machines over the given days, into an S3 bucket. alerts
prints Prometheus alerting rules for the metrics of --metrics-file and serve.`,
		examples: []example{
			{"every night with systemd; installs the units",
				"convoso-archiver deploy systemd --dest s3://my-bucket/calls --last 7d --to /"},
			{"every night with Kubernetes",
				"convoso-archiver deploy kubernetes --image registry.example.com/convoso-archiver:1.0.0 \\\n" +
					"  --dest s3://my-bucket/calls --last 7d --max-duration 20h > nightly.yaml"},
			{"all of the past with Kubernetes, with 8 parallel runs",
				"convoso-archiver deploy kubernetes --backfill --parallelism 8 --image registry.example.com/convoso-archiver:1.0.0 \\\n" +
					"  --dest s3://my-bucket/calls --start-time 2023-01-01 --end-time 2025-05-31 > backfill.yaml"},
			{"all of the past on a Slurm cluster",
				"convoso-archiver deploy slurm --dest s3://my-bucket/calls --start-time 2023-01-01 --end-time 2025-05-31 \\\n" +
					"  --auth-token-file /shared/token > backfill.sh"},
			{"all of the past with AWS Batch; two variables have the ARNs of a role and of the token's secret",
				"convoso-archiver deploy aws-batch --image registry.example.com/convoso-archiver:1.0.0 \\\n" +
					"  --job-queue backfill --role \"$ROLE_ARN\" --token-secret \"$SECRET_ARN\" \\\n" +
					"  --dest s3://my-bucket/calls --start-time 2023-01-01 --end-time 2025-05-31 --to backfill"},
			{"alerting rules for Prometheus",
				"convoso-archiver deploy alerts > alerts.yml"},
		},
		settings:    deploySettings(),
		words:       engines(),
		leads:       1,
		environment: true,
		exitCodes:   true,
		run:         runDeploy,
	}
}

// ofEngine returns the command with the examples and flags of deploy for the engine that the arguments name, for its help. Without an
// engine the command is unchanged.
func (c command) ofEngine(args []string) command {
	if c.name != "deploy" || len(args) == 0 || !slices.Contains(engines(), args[0]) {
		return c
	}
	c.examples = slices.DeleteFunc(slices.Clone(c.examples), func(e example) bool {
		return !strings.HasPrefix(e.line, program+" deploy "+args[0]+" ")
	})
	c.settings = nil
	for _, f := range deployFlags() {
		if f.engines == nil || slices.Contains(f.engines, engine(args[0])) {
			f.group, f.flagOnly = groupDeploy, true
			c.settings = append(c.settings, f.setting)
		}
	}
	c.about += "\n\nThese are the flags for " + args[0] + ". "
	if engine(args[0]) == alerts {
		c.about += "The rules are the same for every archive; settings of archive do not change them."
		return c
	}
	c.about += "You can also give all flags of archive: see archive --help."
	return c
}

func runDeploy(ctx context.Context, p *process, in input) outcome {
	settings := deploySettings()
	merged, err := gather(ctx, settings, in.flags, p.env)
	read := newReader(settings, merged, in, err)
	to := read.text("to")
	files, err := read.deployment(in.args, time.Now(), p.env)
	if err != nil {
		return judge(err, nil, false)
	}
	if to != "" {
		err := p.writeFiles(to, files)
		if err == nil && in.args[0] == string(systemd) {
			_, err = io.WriteString(p.stdout, bringFiles(to))
		}
		return judge(err, nil, false)
	}
	return outcome{unwritten: printFiles(p.stdout, files)}
}

// deployment makes the files of the engine that the argument names.
func (r *reader) deployment(args []string, now time.Time, env environment) ([]deploy.File, error) {
	on := r.engine(args)
	if on == alerts {
		r.refuseOfOthers(on)
		return []deploy.File{{Name: "alerts.yml", Use: "name it below rule_files in prometheus.yml", Text: deploy.Alerts(), Mode: 0o644}}, r.err
	}
	options := r.deployOptions(on, now, env)
	if r.err != nil {
		return nil, r.err
	}
	switch on {
	case kubernetes:
		return deploy.Kubernetes(options)
	case systemd:
		return deploy.Systemd(options)
	case slurm:
		return deploy.Slurm(options)
	default:
		return deploy.AWSBatch(options)
	}
}

// guessedEngine maps other names to engines.
func guessedEngine(given string) string {
	switch given {
	case "k8s", "kube", "helm":
		return "did you mean kubernetes?"
	case "batch", "aws":
		return "did you mean aws-batch?"
	case "prometheus", "alertmanager":
		return "did you mean alerts?"
	case "cron", "crontab":
		return "cron needs no files but one line: docs/nightly.md shows it"
	}
	return ""
}

func (r *reader) engine(args []string) engine {
	try := "name one of " + strings.Join(engines(), ", ")
	switch {
	case len(args) == 0:
		r.keep(misuse(try, "the engine is missing"))
	case !slices.Contains(engines(), args[0]):
		if !harmless.MatchString(args[0]) && guessedEngine(args[0]) == "" {
			r.keep(misuse(try, "unknown engine (not shown, because it may be personal data)"))
			break
		}
		r.keep(misuse(cmp.Or(guessedEngine(args[0]), didYouMean(args[0], engines(), ""), try), "unknown engine %q", args[0]))
	case len(args) > 1:
		r.keep(strayArgument(args[1], r.values, r.settings))
	default:
		return engine(args[0])
	}
	return ""
}

// printFiles prints a single file unchanged, and several files each after a line with its name.
func printFiles(w io.Writer, files []deploy.File) error {
	for i, f := range files {
		header := ""
		if len(files) > 1 {
			header = "# ==> " + f.Name + " <==\n"
		}
		if i > 0 {
			header = "\n" + header
		}
		if _, err := io.WriteString(w, header+f.Text); err != nil {
			return err
		}
	}
	return nil
}

// writeFiles writes all files, or none if one of them already exists. It prints the use of each.
func (p *process) writeFiles(folder string, files []deploy.File) error {
	for i := range files {
		files[i].Name = filepath.Join(folder, filepath.FromSlash(files[i].Name))
		if _, err := os.Lstat(files[i].Name); err == nil {
			return misuse("remove it, or give another --to", "write files: %s already exists", files[i].Name)
		} else if !errors.Is(err, fs.ErrNotExist) {
			return misuse("check --to", "write files: %v", err)
		}
	}
	lines := slices.Collect(strings.Lines(deploy.List(files, "")))
	for i, f := range files {
		if err := writeNewFile(f); err != nil {
			return fmt.Errorf("write files: %w", err)
		}
		if _, err := io.WriteString(p.stdout, lines[i]); err != nil {
			return err
		}
	}
	return nil
}

// bringFiles says how to bring files for systemd from a folder to where they belong; "" if they are there. cp without -a
// or -p leaves owner and rights of /etc as they are.
func bringFiles(folder string) string {
	if filepath.Clean(folder) == "/" {
		return ""
	}
	from := strings.TrimSuffix(folder, "/") + "/."
	return "\nthen, as root on the machine that archives: cp -R " + shellWord(from) + " /\n"
}

func writeNewFile(f deploy.File) error {
	if err := os.MkdirAll(filepath.Dir(f.Name), 0o755); err != nil {
		return err
	}
	file, err := os.OpenFile(f.Name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, f.Mode)
	if err != nil {
		return err
	}
	_, err = io.WriteString(file, f.Text)
	return errors.Join(err, file.Close())
}
