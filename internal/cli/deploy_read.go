// Reads and checks the settings of deploy for each engine.

package cli

import (
	"net/url"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"convoso-archiver/archiver/key"
	"convoso-archiver/deploy"
	"convoso-archiver/evidence"
)

const (
	// maxParallelism keeps the parts of a backfill below the 10,000 that AWS Batch allows.
	maxParallelism = 600
	// stopReserve is how much longer than a clean stop an engine waits before it kills.
	stopReserve = 40 * time.Second
	// lockReserve is the number of days before --s3-lock-after that the nightly lock covers, for late archived calls
	// and missed nights.
	lockReserve = 31
	// manyWorkers is the number of parallel downloads that fit into the smaller memory size.
	manyWorkers = 16
	// Memory limits of a run, in MiB: it needs less than 64 with the defaults, and less than 96 with 64
	// workers.
	smallMemory, largeMemory = 128, 256
)

// ownOfEngine are settings of archive that the generated files set.
func ownOfEngine(backfill bool) []string {
	names := []string{"state-dir", "shard", "shards"}
	if backfill {
		names = append(names, "rate-shares")
	}
	return names
}

var (
	namePattern   = regexp.MustCompile(`^[a-z]([a-z0-9-]{0,28}[a-z0-9])?$`) // also that of a user of Linux
	pathPattern   = regexp.MustCompile(`^/[A-Za-z0-9._@+/-]*$`)
	imagePattern  = regexp.MustCompile(`^[a-z0-9][A-Za-z0-9._/:@-]*$`)
	secretPattern = regexp.MustCompile(`^[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?$`)
	arnPattern    = regexp.MustCompile(`^arn:[a-z0-9-]+:[A-Za-z0-9:/_+=,.@-]+$`)
	queuePattern  = regexp.MustCompile(`^[A-Za-z0-9:/_-]+$`)
	sizePattern   = regexp.MustCompile(`^[1-9][0-9]{0,8}(Mi|Gi|Ti|Pi)$`)
	clockPattern  = regexp.MustCompile(`^([01][0-9]|2[0-3]):([0-5][0-9])$`)
)

// deployOptions reads and checks the settings of an engine's files.
func (r *reader) deployOptions(on engine, now time.Time, env environment) deploy.Options {
	backfill := r.toggle("backfill") || on == slurm || on == awsBatch
	r.refuseWithoutEffect(on, backfill)
	o := deploy.Options{
		Name:        r.matching("name", namePattern, "give lower-case letters, digits and hyphens, at most 30"),
		At:          r.clock("at"),
		Program:     r.absolute("program"),
		Parallelism: r.whole("parallelism", 1, maxParallelism),
		Backfill:    backfill,
		Writable:    r.metricsFolder(on),
	}
	o.Shards = deploy.ShardsFor(max(o.Parallelism, 1))
	r.values["state-dir"] = given{items: []string{"/"}} // the printed files set it themselves
	metrics, hasMetrics := r.values["metrics-file"]
	delete(r.values, "metrics-file") // it would be checked on this machine
	job := r.archiveJob(now, env, "linux")
	if hasMetrics {
		r.values["metrics-file"] = metrics
	}
	if _, err := key.Parse(job.template); err != nil && r.err == nil {
		r.keep(misuse("see --path-template in archive --help", "--path-template: %v", err))
	}
	if endpoint := job.bucket.Endpoint; endpoint != "" && !r.isSet("s3-endpoint") {
		r.values["s3-endpoint"] = given{items: []string{endpoint}} // from the AWS chain here, which differs there
	}
	if job.folder != "" {
		o.Folder = r.mountable(on)
	}
	if o.Backfill {
		r.checkBackfill(o)
	} else if r.isSet("parallelism") {
		r.fail(r.values["parallelism"].origin, "add --backfill, or leave it out", "it needs --backfill")
	}
	if _, err := job.locks.over(evidence.LockSettings{}); err != nil { // the first run may start a new archive
		r.keep(err)
	}
	if job.locks.hasAfter && job.locks.mode != noLocks {
		o.LockDays = int(job.locks.after.After(now).Sub(now)/(24*time.Hour)) + lockReserve
	}
	o.Zone, _ = r.raw("time-zone")
	o.Stop = job.config.Grace + closeTime + stopReserve
	if o.MemoryMiB = smallMemory; job.config.Workers > manyWorkers {
		o.MemoryMiB = largeMemory
	}
	r.credentials(on, &o)
	r.container(on, &o)
	if r.err != nil {
		return deploy.Options{}
	}
	o.Ports = r.ports()
	o.Flags, o.Config = r.printed(o.Folder != "")
	if o.Backfill && on == kubernetes {
		o.Name += "-backfill" // next to the nightly run; both use one Secret
	}
	return o
}

// refuseOfOthers refuses flags of deploy that are for other engines.
func (r *reader) refuseOfOthers(on engine) {
	for _, f := range deployFlags() {
		if g, ok := r.values[f.name]; ok && on != "" && f.engines != nil && !slices.Contains(f.engines, on) {
			r.fail(g.origin, "leave it out", "it has no effect on %s", on)
		}
	}
}

// refuseWithoutEffect refuses flags that the engine does not use.
func (r *reader) refuseWithoutEffect(on engine, backfill bool) {
	r.refuseOfOthers(on)
	for _, name := range ownOfEngine(backfill) {
		g, ok := r.values[name]
		if ok && g.byFlag() {
			r.fail(g.origin, "leave it out", "the printed files set this flag themselves")
		}
		delete(r.values, name) // the variable is for runs on this machine
	}
	if g, ok := r.values["at"]; ok && backfill {
		r.fail(g.origin, "leave it out", "it has no effect on a backfill, which runs once")
	}
}

func (r *reader) checkBackfill(o deploy.Options) {
	switch {
	case r.isSet("last"):
		r.fail(r.values["last"].origin, "give --start-time and --end-time", "a backfill needs fixed days")
	case o.Folder != "":
		r.fail(r.values["dest"].origin, "give --dest s3://bucket/prefix", "runs on many machines need an archive in S3")
	}
}

// credentials reads where the token is, and the credentials for S3.
func (r *reader) credentials(on engine, o *deploy.Options) {
	switch on {
	case kubernetes:
		o.TokenFile, o.TokenSecret = "token", o.Name // the command that creates the Secret runs here
		if r.isSet("auth-token-file") {
			o.TokenFile = r.text("auth-token-file")
		}
		if r.isSet("token-secret") {
			o.TokenSecret = r.matching("token-secret", secretPattern, "give the name of a Secret")
		}
		o.S3CredentialsFile = r.text("s3-credentials-file")
		return
	case awsBatch:
		o.TokenSecret = r.required("token-secret", arnPattern, "give the ARN of an AWS secret that contains only the token")
		if g, ok := r.values["auth-token-file"]; ok && g.byFlag() {
			r.fail(g.origin, "give --token-secret", "AWS Batch cannot read files of this machine")
		}
		return
	case systemd:
		o.TokenFile = "/etc/" + o.Name + "/token"
	case slurm:
		if !r.isSet("auth-token-file") {
			r.keep(misuse("name a file that every node can read", "--auth-token-file is missing"))
		}
	}
	if r.isSet("auth-token-file") {
		o.TokenFile = r.absolute("auth-token-file")
	}
	if r.isSet("s3-credentials-file") {
		o.S3CredentialsFile = r.absolute("s3-credentials-file")
	}
}

// container reads what Kubernetes and AWS Batch need.
func (r *reader) container(on engine, o *deploy.Options) {
	switch on {
	case awsBatch:
		o.Role = r.required("role", arnPattern, "give the ARN of a role that may read the secret and write to the bucket")
		o.JobQueue = r.required("job-queue", queuePattern, "give the name of a queue")
	case kubernetes:
		if r.isSet("role") {
			o.Role = r.matching("role", arnPattern, "give the ARN of a role")
		}
		o.VolumeSize = r.matching("volume-size", sizePattern, "write it like 500Gi")
		if g, ok := r.values["volume-size"]; ok && o.Folder == "" {
			r.fail(g.origin, "leave it out", "it has no effect on a bucket")
		}
	default:
		return
	}
	o.Image = r.required("image", imagePattern, "give an image, like registry.example.com/convoso-archiver:1.0.0")
}

func (r *reader) required(name string, pattern *regexp.Regexp, try string) string {
	if !r.isSet(name) {
		r.keep(misuse(try, "--%s is missing", name))
		return ""
	}
	return r.matching(name, pattern, try)
}

// matching reads a value that goes unchanged into the files.
func (r *reader) matching(name string, pattern *regexp.Regexp, try string) string {
	value, origin := r.raw(name)
	if !pattern.MatchString(value) {
		r.fail(origin, try, "the value cannot be used")
	}
	return value
}

// absolute reads a path on the target machine.
func (r *reader) absolute(name string) string {
	value, origin := r.raw(name)
	switch {
	case !path.IsAbs(value):
		r.fail(origin, "begin it with /", "the path is not absolute")
	case !pathPattern.MatchString(value):
		r.fail(origin, "use only letters, digits and . _ @ + -", "the path has characters that the files do not allow")
	}
	return path.Clean(value)
}

// metricsFolder returns the folder that a unit writes its metrics into.
func (r *reader) metricsFolder(on engine) []string {
	g, ok := r.values["metrics-file"]
	switch {
	case !ok:
		return nil
	case on == systemd:
		return []string{path.Dir(r.absolute("metrics-file"))}
	case g.byFlag():
		r.fail(g.origin, "leave it out", "metrics files of containers or many jobs are not collected")
	}
	delete(r.values, "metrics-file")
	return nil
}

// mountable reads a destination folder that does not conflict with the other mounts.
func (r *reader) mountable(on engine) string {
	folder := r.absolute("dest")
	taken := folder == "/"
	for _, used := range []string{"/etc", "/run", "/state"} {
		taken = taken || on == kubernetes && (folder == used || strings.HasPrefix(folder, used+"/"))
	}
	if taken {
		r.fail(r.values["dest"].origin, "give another folder, like /archive", "nothing can be mounted on that folder")
	}
	return folder
}

func (r *reader) clock(name string) deploy.Clock {
	value, origin := r.raw(name)
	found := clockPattern.FindStringSubmatch(value)
	if found == nil {
		r.fail(origin, "write it like 03:15", "it is not a time of day")
		return deploy.Clock{}
	}
	hour, _ := strconv.Atoi(found[1]) // always two digits
	minute, _ := strconv.Atoi(found[2])
	return deploy.Clock{Hour: hour, Minute: minute}
}

// ports are those that a run connects to: 443, and the port of each address in the settings.
func (r *reader) ports() []int {
	ports := []int{443}
	for _, g := range r.values {
		for _, item := range g.items {
			u, err := url.Parse(item)
			if err != nil || u.Scheme != "http" && u.Scheme != "https" {
				continue
			}
			port := 443
			if u.Scheme == "http" {
				port = 80
			}
			if n, err := strconv.Atoi(u.Port()); err == nil {
				port = n
			}
			ports = append(ports, port)
		}
	}
	slices.Sort(ports)
	return slices.Compact(ports)
}

// printed returns the settings of archive that are set and differ from their defaults, as flags and as
// a file. A given zone is printed always, because it is the account's, whatever the default is.
func (r *reader) printed(onDisk bool) (flags [][]string, config string) {
	notPrinted := []string{"state-dir", "config", "auth-token-file", "json"}
	var lines strings.Builder
	for _, s := range archiveSettings() {
		g, ok := r.values[s.name]
		if !ok || slices.Contains(notPrinted, s.name) || s.name != "time-zone" && slices.Equal(g.items, []string{s.defaultValue}) ||
			onDisk && strings.HasPrefix(s.name, "s3-") {
			continue
		}
		if s.kind == toggle {
			if on, _ := strconv.ParseBool(g.items[0]); on { // archiveJob has refused other values
				flags = append(flags, []string{"--" + s.name})
				lines.WriteString(s.name + ": true\n")
			}
			continue
		}
		flags = append(flags, []string{"--" + s.name, strings.Join(g.items, ",")})
		lines.WriteString(s.name + ": " + yamlScalar(strings.Join(g.items, ",")) + "\n")
	}
	return flags, lines.String()
}

// yamlScalar writes a value of the configuration file on one line. The file is read as text, so only
// values that YAML would read as null or as another kind of node need quotes.
func yamlScalar(value string) string {
	var node yaml.Node
	if err := yaml.Unmarshal([]byte("k: "+value+"\n"), &node); err == nil && len(node.Content) == 1 {
		if pair := node.Content[0].Content; len(pair) == 2 && pair[1].Kind == yaml.ScalarNode &&
			pair[1].Value == value && pair[1].Tag != "!!null" && pair[1].Style == 0 && pair[1].LineComment == "" {
			return value
		}
	}
	return strconv.Quote(value)
}
