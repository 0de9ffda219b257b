package e2e

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"go.yaml.in/yaml/v3"

	"convoso-archiver/fetcher/convosotest"
	"convoso-archiver/internal/s3test"
)

// These tests run the output of deploy unchanged: in a file system with nothing else (chroot), as a user
// without a home folder, with only the printed variables and the token in a file.

const deployedUser = 65532

// staticBinary builds the program like a release, for a file system without libraries, and returns its path.
var staticBinary = sync.OnceValues(func() (string, error) {
	path := binary + "-static"
	build := exec.Command("go", "build", "-trimpath", "-ldflags=-s -w", "-o", path, "convoso-archiver")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build the program: %w\n%s", err, out)
	}
	return path, nil
})

// machine is a file system with only the program.
type machine struct {
	t    *testing.T
	root string
}

func newMachine(t *testing.T) *machine {
	t.Helper()
	if os.Getuid() != 0 {
		if os.Getenv("REQUIRE_ENGINES") != "" || os.Getenv("CI") != "" {
			t.Fatal("only root can change the root folder")
		}
		t.Skip("only root can change the root folder: what deploy prints is not run")
	}
	program, err := staticBinary()
	if err != nil {
		t.Fatal(err)
	}
	m := &machine{t, t.TempDir()}
	m.folder("/usr/local/bin", 0o755, 0)
	// A link, not a copy: a process that another test starts during the copy would inherit the open file, and a file
	// open for writing cannot be executed.
	if err := os.Link(program, filepath.Join(m.root, "usr/local/bin/convoso-archiver")); err != nil {
		t.Fatal(err)
	}
	m.folder("/tmp", 0o777, 0)
	return m
}

// write writes a file that belongs to a user.
func (m *machine) write(path, text string, mode os.FileMode, user int) {
	m.t.Helper()
	at := filepath.Join(m.root, path)
	err := os.MkdirAll(filepath.Dir(at), 0o755)
	err = errors.Join(err, os.WriteFile(at, []byte(text), mode), os.Chmod(at, mode), os.Chown(at, user, user))
	if err != nil {
		m.t.Fatal(err)
	}
}

// folder makes a folder that belongs to a user.
func (m *machine) folder(path string, mode os.FileMode, user int) {
	m.t.Helper()
	at := filepath.Join(m.root, path)
	if err := errors.Join(os.MkdirAll(at, 0o755), os.Chmod(at, mode), os.Chown(at, user, user)); err != nil {
		m.t.Fatal(err)
	}
}

// deploy prints files from within the machine, and returns stdout.
func (m *machine) deploy(arguments ...string) string {
	m.t.Helper()
	r := m.run(0, nil, append([]string{"/usr/local/bin/convoso-archiver", "deploy"}, arguments...)...)
	if r.code != 0 || r.stderr != "" {
		m.t.Fatalf("deploy %q: exit code %d, %s", arguments, r.code, r.stderr)
	}
	return r.stdout
}

// run runs a command in the machine, with only these variables.
func (m *machine) run(user uint32, env []string, command ...string) (r result) {
	m.t.Helper()
	cmd := exec.CommandContext(m.t.Context(), command[0], command[1:]...)
	cmd.Dir, cmd.Env = "/", append([]string{}, env...) // not nil, which would be the variables of the test
	cmd.SysProcAttr = &syscall.SysProcAttr{Chroot: m.root, Credential: &syscall.Credential{Uid: user, Gid: user}}
	var out, complaint strings.Builder
	cmd.Stdout, cmd.Stderr = &out, &complaint
	err := cmd.Run()
	if _, ok := errors.AsType[*exec.ExitError](err); err != nil && !ok {
		m.t.Fatalf("run %q: %v", command, err)
	}
	r.stdout, r.stderr, r.code = out.String(), complaint.String(), cmd.ProcessState.ExitCode()
	if strings.Contains(r.stdout+r.stderr, canary) {
		m.t.Errorf("%q: the output holds a secret:\n%s%s", command, r.stdout, r.stderr)
	}
	return r
}

// archives runs a command of archive, and returns how many recordings it stored.
func (m *machine) archives(user uint32, env []string, command ...string) int {
	m.t.Helper()
	r := m.run(user, env, command...).want(m.t, 0)
	if err := json.Unmarshal([]byte(r.stdout), &r.summary); err != nil {
		m.t.Fatalf("%q: stdout is not one summary: %v\n%s", command, err, r.stdout)
	}
	return r.summary.Archived
}

// deployment is an account, a destination, and their flags.
type deployment struct {
	flags       []string
	credentials string // file of the AWS chain, "" for a folder
	recordings  int
	store       *s3test.Server
}

// deployments returns one with a folder and one with a bucket.
func deployments(t *testing.T) map[string]deployment {
	t.Helper()
	first := daysAgo(9)
	server := simulate(t, convosotest.Config{Seed: 89, FirstDay: first, Days: 4, CallsPerDay: 40, RecordedShare: 0.5, MedianSize: 4000, MaxSize: 20_000})
	store := s3test.Start(t, false)
	recordings := len(truthOf(t, server, nil))
	span := []string{"--start-time", first, "--end-time", daysAgo(6), "--api-rate", "0", "--media-rate", "0",
		"--api-url", server.APIURL(), "--allow-host", server.MediaURL()}
	return map[string]deployment{
		"folder": {slices.Concat(span, []string{"--dest", "/archive"}), "", recordings, nil},
		"bucket": {
			slices.Concat(span, []string{"--dest", "s3://" + store.Bucket + "/calls", "--s3-endpoint", store.Endpoint, "--s3-region", s3test.Region, "--s3-path-style"}),
			"[default]\naws_access_key_id = " + s3test.AccessKey + "\naws_secret_access_key = " + s3test.SecretKey + "\n", recordings, store,
		},
	}
}

func TestDeployedSystemd(t *testing.T) {
	t.Parallel()
	for name, d := range deployments(t) {
		t.Run(name, func(t *testing.T) {
			m := newMachine(t)
			arguments := append([]string{"systemd", "--to", "/"}, d.flags...)
			m.write("/etc/convoso-archiver/token", canaryToken+"\n", 0o600, 0)
			if d.credentials != "" {
				m.write("/etc/convoso-archiver/aws-credentials", d.credentials, 0o600, 0)
				arguments = append(arguments, "--s3-credentials-file", "/etc/convoso-archiver/aws-credentials")
			}
			m.deploy(arguments...)
			service := m.unit("/etc/systemd/system/convoso-archiver.service")
			env := m.load(service)
			m.run(deployedUser, env, m.words(strings.TrimPrefix(service["ExecStartPre"][0], "-"))...).want(t, 0)
			if n := m.archives(deployedUser, env, m.words(service["ExecStart"][0])...); n != d.recordings {
				t.Errorf("%d recordings archived, want %d", n, d.recordings)
			}
		})
	}
}

// credentialsFolder is the folder for copies of a unit's credentials.
const credentialsFolder = "/run/credentials"

// expand replaces the specifiers of the service manager with paths.
func expand(text string) string {
	return strings.NewReplacer("%d", credentialsFolder, "%S", "/var/lib").Replace(text)
}

// words splits a command of a unit.
func (m *machine) words(command string) []string { return strings.Fields(expand(command)) }

// load prepares a service like the service manager, and returns its variables.
func (m *machine) load(service map[string][]string) (env []string) {
	m.t.Helper()
	for _, load := range service["LoadCredential"] {
		id, path, _ := strings.Cut(load, ":")
		text, err := os.ReadFile(filepath.Join(m.root, path))
		if err != nil {
			m.t.Fatal(err)
		}
		m.write(credentialsFolder+"/"+id, string(text), 0o400, deployedUser)
	}
	for _, folder := range service["StateDirectory"] {
		m.folder("/var/lib/"+folder, 0o700, deployedUser)
	}
	for _, path := range service["ReadWritePaths"] { // created by systemd-tmpfiles
		m.folder(path, 0o700, deployedUser)
	}
	env = []string{"CREDENTIALS_DIRECTORY=" + credentialsFolder}
	for _, pair := range service["Environment"] {
		env = append(env, expand(pair))
	}
	return env
}

// TestDeployedLock runs what deploy prints for a configuration whose recordings are locked later: the unit of lock
// locks the recordings of the unit of archive. A configuration that archive refuses for a new archive is refused by
// deploy, in the same words.
func TestDeployedLock(t *testing.T) {
	t.Parallel()
	d := deployments(t)["bucket"]
	i := slices.Index(d.flags, "--dest")
	d.flags[i+1] = "s3://" + d.store.NewLockBucket(t, newName(), 0) + "/calls"
	m := newMachine(t)
	m.write("/etc/convoso-archiver/aws-credentials", d.credentials, 0o600, 0)
	m.write("/etc/convoso-archiver/token", canaryToken+"\n", 0o600, 0)
	deploy := append([]string{"deploy", "systemd", "--config", "/nightly.yaml", "--to", "/", "--s3-credentials-file", "/etc/convoso-archiver/aws-credentials"}, d.flags...)
	archive := append([]string{"archive", "--config", "/nightly.yaml", "--auth-token-file", "/etc/convoso-archiver/token", "--state-dir", "/tmp/state"}, d.flags...)
	for locks, said := range map[string]string{
		"s3-lock-after: 1s\n":                                            "the lock mode is missing: give --s3-lock-mode governance or compliance",
		"s3-lock-after: 1s\ns3-lock-mode: governance\n":                  "the lock period is missing: give --s3-lock-for, like 10y",
		"s3-lock-after: 2h\ns3-lock-mode: governance\ns3-lock-for: 1h\n": "--s3-lock-after is not shorter than --s3-lock-for: both count from when a recording was stored",
	} {
		m.write("/nightly.yaml", locks, 0o644, 0)
		env := []string{"AWS_SHARED_CREDENTIALS_FILE=/etc/convoso-archiver/aws-credentials"}
		for _, command := range [][]string{archive, deploy} {
			r := m.run(0, env, append([]string{"/usr/local/bin/convoso-archiver"}, command...)...).want(t, 2)
			if !strings.Contains(strings.ReplaceAll(r.stderr, "\n", " "), said) {
				t.Errorf("%s with %q: %s, want %q", command[0], locks, r.stderr, said)
			}
		}
	}
	m.write("/nightly.yaml", "s3-lock-after: 1s\ns3-lock-mode: governance\ns3-lock-for: 1h\n", 0o644, 0)
	m.deploy(deploy[1:]...)
	const units = "/etc/systemd/system/convoso-archiver"
	service, lock := m.unit(units+".service"), m.unit(units+"-lock.service")
	if !slices.Contains(strings.Fields(service["Wants"][0]), "convoso-archiver-lock.service") || !slices.Contains(strings.Fields(lock["After"][0]), "convoso-archiver.service") {
		t.Errorf("archive wants %q, lock comes after %q", service["Wants"], lock["After"])
	}
	locked := 0
	if n := m.archives(deployedUser, m.load(service), m.words(service["ExecStart"][0])...); n != d.recordings {
		t.Errorf("%d recordings archived, want %d", n, d.recordings)
	}
	for deadline := time.Now().Add(time.Minute); locked < d.recordings && time.Now().Before(deadline); {
		r := m.run(deployedUser, m.load(lock), m.words(lock["ExecStart"][0])...).want(t, 0)
		var made struct{ Locked int }
		if err := json.Unmarshal([]byte(r.stdout), &made); err != nil {
			t.Fatalf("%v: %s", err, r.stdout)
		}
		locked += made.Locked
	}
	if locked != d.recordings {
		t.Errorf("%d recordings locked, want %d", locked, d.recordings)
	}
}

// unit returns the values of each key of a unit.
func (m *machine) unit(path string) map[string][]string {
	m.t.Helper()
	text, err := os.ReadFile(filepath.Join(m.root, path))
	if err != nil {
		m.t.Fatal(err)
	}
	values := map[string][]string{}
	for line := range strings.Lines(string(text)) {
		if key, value, ok := strings.Cut(strings.TrimSpace(line), "="); ok && !strings.HasPrefix(line, "#") {
			values[key] = append(values[key], value)
		}
	}
	return values
}

type container struct {
	Name         string
	Args         []string
	Env          []struct{ Name, Value string }
	VolumeMounts []struct {
		Name      string
		MountPath string `yaml:"mountPath"`
	} `yaml:"volumeMounts"`
}

// podSpec is the part of a pod that the tests use.
type podSpec struct {
	InitContainers  []container `yaml:"initContainers"`
	Containers      []container
	SecurityContext struct {
		RunAsUser int `yaml:"runAsUser"`
	} `yaml:"securityContext"`
	Volumes []volume
}

type volume struct {
	Name      string
	ConfigMap *struct{ Name string } `yaml:"configMap"`
	Secret    *struct{}
}

// object is the part of a Kubernetes object that the tests use.
type object struct {
	Kind     string
	Metadata struct{ Name string }
	Data     map[string]string
	Spec     struct {
		Completions int
		Template    struct{ Spec podSpec }
		JobTemplate struct {
			Spec struct {
				Template struct{ Spec podSpec }
			}
		} `yaml:"jobTemplate"`
	}
}

// start creates the mounted volumes of a pod, and returns the pod.
func (m *machine) start(manifest string, secret map[string]string) (pod podSpec, completions int) {
	m.t.Helper()
	maps := map[string]map[string]string{}
	for decoder := yaml.NewDecoder(strings.NewReader(manifest)); ; {
		var o object
		err := decoder.Decode(&o)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			m.t.Fatal(err)
		}
		switch o.Kind {
		case "ConfigMap":
			maps[o.Metadata.Name] = o.Data
		case "CronJob":
			pod = o.Spec.JobTemplate.Spec.Template.Spec
		case "Job":
			pod, completions = o.Spec.Template.Spec, o.Spec.Completions
		}
	}
	for _, mount := range pod.Containers[0].VolumeMounts {
		i := slices.IndexFunc(pod.Volumes, func(v volume) bool { return v.Name == mount.Name })
		var files map[string]string
		switch volume := pod.Volumes[i]; {
		case volume.ConfigMap != nil:
			files = maps[volume.ConfigMap.Name]
		case volume.Secret != nil:
			files = secret
		default:
			m.folder(mount.MountPath, 0o700, pod.SecurityContext.RunAsUser)
			continue
		}
		for name, text := range files {
			m.write(mount.MountPath+"/"+name, text, 0o440, pod.SecurityContext.RunAsUser)
		}
	}
	return pod, completions
}

func TestDeployedKubernetes(t *testing.T) {
	t.Parallel()
	for name, d := range deployments(t) {
		t.Run(name, func(t *testing.T) {
			m := newMachine(t)
			arguments := append([]string{"kubernetes", "--image", "registry.example.com/convoso-archiver:1"}, d.flags...)
			secret := map[string]string{"token": canaryToken + "\n"}
			if d.credentials != "" {
				secret["aws-credentials"] = d.credentials
				arguments = append(arguments, "--s3-credentials-file", "aws-credentials")
			}
			pod, _ := m.start(m.deploy(arguments...), secret)
			for _, c := range append(pod.InitContainers, pod.Containers...) {
				var env []string
				for _, pair := range c.Env {
					env = append(env, pair.Name+"="+pair.Value)
				}
				command := append([]string{"/usr/local/bin/convoso-archiver"}, c.Args...) // from the image
				user := uint32(pod.SecurityContext.RunAsUser)
				switch c.Args[0] {
				case "doctor":
					m.run(user, env, command...).want(t, 0)
				default:
					if n := m.archives(user, env, command...); n != d.recordings {
						t.Errorf("%d recordings archived, want %d", n, d.recordings)
					}
				}
			}
		})
	}
}

// TestDeployedBackfill runs every index of the Indexed Job, and of the array of AWS Batch.
func TestDeployedBackfill(t *testing.T) {
	t.Parallel()
	d := deployments(t)["bucket"]
	common := append([]string{"--image", "registry.example.com/convoso-archiver:1", "--parallelism", "1"}, d.flags...)
	t.Run("kubernetes", func(t *testing.T) {
		m := newMachine(t)
		manifest := m.deploy(append([]string{"kubernetes", "--backfill", "--s3-credentials-file", "aws-credentials"}, common...)...)
		pod, completions := m.start(manifest, map[string]string{"token": canaryToken, "aws-credentials": d.credentials})
		env := []string{"AWS_SHARED_CREDENTIALS_FILE=" + pod.Containers[0].Env[0].Value}
		m.backfill(t, "JOB_COMPLETION_INDEX", completions, d.recordings, env, pod.Containers[0].Args)
	})
	t.Run("aws-batch", func(t *testing.T) {
		m := newMachine(t)
		const arn = "arn:aws:iam::123456789012:role/archiver"
		m.deploy(append([]string{"aws-batch", "--to", "/out", "--job-queue", "q", "--role", arn, "--token-secret", arn}, common...)...)
		var definition struct {
			ContainerProperties struct{ Command []string }
		}
		var job struct{ ArrayProperties struct{ Size int } }
		for name, into := range map[string]any{"job-definition.json": &definition, "job.json": &job} {
			text, err := os.ReadFile(filepath.Join(m.root, "out", name))
			if err = errors.Join(err, json.Unmarshal(text, into)); err != nil {
				t.Fatal(err)
			}
		}
		env := []string{"CONVOSO_AUTH_TOKEN=" + canaryToken, "AWS_ACCESS_KEY_ID=" + s3test.AccessKey, "AWS_SECRET_ACCESS_KEY=" + s3test.SecretKey} // from the roles
		// The other job has already closed the days, as each index must find.
		m.backfill(t, "AWS_BATCH_JOB_ARRAY_INDEX", job.ArrayProperties.Size, 0, env, definition.ContainerProperties.Command)
	})
}

// backfill runs a command for each index.
func (m *machine) backfill(t *testing.T, variable string, indexes, recordings int, env, arguments []string) {
	t.Helper()
	got := 0
	for i := range indexes {
		got += m.archives(deployedUser, append(env, variable+"="+strconv.Itoa(i)), append([]string{"/usr/local/bin/convoso-archiver"}, arguments...)...)
	}
	if got != recordings {
		t.Errorf("%d recordings archived, want %d", got, recordings)
	}
}
